//! A JVM that ends when this process does, whatever ends it.
//!
//! The JVM is the child of a shell whose standard input is a pipe from us. Nothing is ever written to it: when we die,
//! by SIGKILL even, the kernel closes our end, the shell's `read` returns, and the JVM gets SIGKILL, which ends it also
//! when it is stopped. A process group of its own keeps the terminal's Ctrl-C from it, so that we decide how it ends.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// `$0` is a name; `$@` the command, whose output goes to stderr: stdout says its process id.
const SUPERVISE_BROKER: &str = r#"
exec 3<&0
"$@" </dev/null >&2 3<&- &
pid=$!
echo $pid
exec >/dev/null
( read -r _; kill -9 $pid ) <&3 3<&- >/dev/null 2>&1 &
watcher=$!
wait $pid
status=$?
kill -9 $watcher
exit $status
"#;

/// `$0` is the file that the command reads as its standard input; `$@` the command.
const SUPERVISE_TOOL: &str = r#"
exec 3<&0
"$@" <"$0" 3<&- &
pid=$!
( read -r _; kill -9 $pid ) <&3 3<&- >/dev/null 2>&1 &
watcher=$!
wait $pid
status=$?
kill -9 $watcher
exit $status
"#;

/// Removes the directory `$0` after we are gone; tries again, since the brokers that write to it are dying just then.
const REMOVE_AFTERWARDS: &str = r#"
read -r _
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$0" && exit 0; sleep 0.2; done
"#;

/// A supervised process. Dropping it kills the process and waits until it is gone.
#[derive(Debug)]
pub(crate) struct Supervised {
    shell: Child,
    pid: u32,
}

impl Supervised {
    /// Starts `program` with `args`; what it prints is appended to the file `output`.
    pub(crate) fn spawn<S: AsRef<OsStr>>(program: &str, args: &[S], output: &Path) -> std::io::Result<Self> {
        let output = File::options().create(true).append(true).open(output)?;
        Self::spawn_to(program, args, output.into())
    }

    /// As [`spawn`](Self::spawn), with what it prints going elsewhere.
    pub(crate) fn spawn_to<S: AsRef<OsStr>>(
        program: &str,
        args: &[S],
        output: Stdio,
    ) -> std::io::Result<Self> {
        let mut shell = shell(SUPERVISE_BROKER, OsStr::new("broker"))
            .arg(program)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(output)
            .spawn()?;
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("stdout is piped")).read_line(&mut line)?;
        let pid = line
            .trim()
            .parse()
            .map_err(|_| std::io::Error::other("the supervising shell said no process id"))?;
        Ok(Self { shell, pid })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it prints, when that is piped.
    pub(crate) fn take_output(&mut self) -> Option<ChildStderr> {
        self.shell.stderr.take()
    }

    /// Sends a signal by its name: `KILL`, `TERM`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let _ = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{name} {}", self.pid))
            .stderr(Stdio::null())
            .status();
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.shell.try_wait().ok().flatten()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A command that runs a tool supervised. The caller pipes its standard input and keeps that pipe while the tool may live.
pub(crate) fn tool(stdin: &Path) -> Command {
    shell(SUPERVISE_TOOL, stdin.as_os_str())
}

/// Removes a directory when this is dropped, and also when this process is killed.
#[derive(Debug)]
pub(crate) struct Janitor {
    shell: Child,
}

impl Janitor {
    pub(crate) fn of(dir: &Path) -> std::io::Result<Self> {
        let shell =
            shell(REMOVE_AFTERWARDS, dir.as_os_str()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { shell })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn shell(script: &str, name: &OsStr) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(name).stdin(Stdio::piped()).process_group(0);
    command
}
