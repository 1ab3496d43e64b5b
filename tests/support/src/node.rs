//! One node: its directory, its ports, and the JVM that is or is not running.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::distribution::Version;
use crate::ports::Port;
use crate::supervisor::Supervised;

/// `USER_HZ`: the kernel counts in 10 ms whatever its own tick.
const TICK: Duration = Duration::from_millis(10);
const POLL: Duration = Duration::from_millis(20);

/// Processor time that a process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// In its own code.
    pub user: Duration,
    /// In the kernel on its behalf.
    pub system: Duration,
}

impl CpuTimes {
    /// Both together.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

/// A node of a cluster.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) port: Port,
    pub(crate) proxied: Option<Port>,
    /// Held for the claim on its number.
    pub(crate) _controller: Port,
    pub(crate) dir: PathBuf,
    pub(crate) jvm_options: Vec<String>,
    pub(crate) running: Option<Supervised>,
}

impl Node {
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn output(&self) -> PathBuf {
        self.dir.join("output.txt")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("kafka.log")
    }

    /// Formats its directory and waits for that: a JVM of about a second.
    pub(crate) fn format(
        &self,
        version: Version,
        libs: &Path,
        cluster_id: &str,
        extra: &[String],
    ) -> Result<(), String> {
        let mut args = java_args(version, libs, "tools");
        args.extend(["-XX:TieredStopAtLevel=1".into(), "-XX:+UseSerialGC".into()]);
        args.extend(["kafka.tools.StorageTool".into(), "format".into(), "-t".into(), cluster_id.to_owned()]);
        args.extend(["-c".into(), self.dir.join("server.properties").display().to_string()]);
        args.extend_from_slice(extra);
        let mut format = Supervised::spawn("java", &args, &self.output()).map_err(|e| e.to_string())?;
        let ended = wait_end(&mut format, Duration::from_secs(60));
        if ended.is_some_and(|status| status.success()) { Ok(()) } else { Err(self.tail()) }
    }

    pub(crate) fn spawn(&mut self, version: Version, libs: &Path) -> Result<(), String> {
        let mut args = self.jvm_options.clone();
        args.push(format!("-Dcraftwire.log={}", self.log().display()));
        args.push(format!("-Dkafka.logs.dir={}", self.dir.display()));
        args.extend(java_args(version, libs, "broker"));
        args.extend(["kafka.Kafka".into(), self.dir.join("server.properties").display().to_string()]);
        self.running = Some(Supervised::spawn("java", &args, &self.output()).map_err(|e| e.to_string())?);
        Ok(())
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// SIGTERM, and waits until the process is gone; SIGKILL when that takes longer than `within`.
    pub(crate) fn stop(&mut self, within: Duration) {
        if let Some(mut running) = self.running.take() {
            running.signal("TERM");
            wait_end(&mut running, within);
        }
    }

    pub(crate) fn cpu_times(&self) -> Option<CpuTimes> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.running.as_ref()?.pid())).ok()?;
        // The second field, the name in brackets, may hold blanks.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u32>().ok();
        Some(CpuTimes { user: TICK * ticks()?, system: TICK * ticks()? })
    }

    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.as_ref()?.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// The last lines of what it printed and logged.
    pub(crate) fn tail(&self) -> String {
        let mut text = String::new();
        for path in [self.output(), self.log()] {
            let all = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = all.lines().collect();
            for line in &lines[lines.len().saturating_sub(25)..] {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    /// True when it printed or logged this text.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        [self.output(), self.log()]
            .iter()
            .any(|path| fs::read_to_string(path).is_ok_and(|all| all.contains(text)))
    }
}

/// The options that every JVM gets: its class data, where it logs, and its class path. `kind` is `broker` or `tools`.
pub(crate) fn java_args(version: Version, libs: &Path, kind: &str) -> Vec<String> {
    let suffix = if kind == "broker" { "" } else { "-tools" };
    let config = crate::distribution::crate_dir().join("kafka");
    let log = match version {
        Version::V3_9 => {
            format!(
                "-Dlog4j.configuration=file:{}",
                config.join(format!("log4j{suffix}.properties")).display()
            )
        }
        Version::V4_1 => {
            format!(
                "-Dlog4j2.configurationFile={}",
                config.join(format!("log4j2{suffix}.properties")).display()
            )
        }
    };
    let mut args = crate::archive::options(libs, kind);
    args.extend([log, "-cp".into(), format!("{}/*", libs.display())]);
    args
}

pub(crate) fn wait_end(process: &mut Supervised, within: Duration) -> Option<std::process::ExitStatus> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = process.ended() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(POLL);
    }
}
