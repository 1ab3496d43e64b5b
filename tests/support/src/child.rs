//! A client in a process of its own, so that it can be stopped, continued and killed as brokers are.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::node::wait_end;
use crate::supervisor::Supervised;

/// The first letter of a line that is for the parent.
const MARK: char = '@';

/// A child process that tells what happens to it line by line: `@` and a text on its standard output or error. Other
/// lines it prints are shown. It is killed when this is dropped, and when this process ends in any way.
#[derive(Debug)]
pub struct Child {
    process: Supervised,
    reader: Option<JoinHandle<()>>,
}

impl Child {
    /// Starts `program`; `told` gets its lines, without the `@`, on a thread of their own.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn spawn<S: AsRef<OsStr>>(
        program: &str,
        args: &[S],
        mut told: impl FnMut(&str) + Send + 'static,
    ) -> Self {
        let mut process = Supervised::spawn_to(program, args, Stdio::piped()).expect("a child starts");
        let output = process.take_output().expect("the output is piped");
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                // A killed child's last line may be cut within a letter, and is nobody's then.
                let Ok(line) = line else { continue };
                match line.find(MARK) {
                    // The test harness may have left its own line open.
                    Some(at) => told(&line[at + MARK.len_utf8()..]),
                    None if line.is_empty() => {}
                    None => eprintln!("child: {line}"),
                }
            }
        });
        Self { process, reader: Some(reader) }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Another signal by its name: `USR1`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// SIGTERM, which a child may take as an order to leave in good manners.
    pub fn ask_to_end(&self) {
        self.process.signal("TERM");
    }

    /// SIGKILL; returns when all that it said was told.
    pub fn kill(mut self) {
        self.process.signal("KILL");
        self.finish();
    }

    /// Waits until it has ended by itself and all that it said was told; false when it had to be killed after all.
    #[must_use]
    pub fn ended_within(mut self, within: Duration) -> bool {
        let status = wait_end(&mut self.process, within);
        if status.is_none() {
            self.process.signal("KILL");
        }
        self.finish();
        status.is_some_and(|status| status.success())
    }

    fn finish(&mut self) {
        let _ = wait_end(&mut self.process, Duration::from_secs(10));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader of a child's lines does not panic");
        }
    }
}
