//! Kafka's own tools by their classes, each in a JVM of its own (1 to 2 s).

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::distribution::Version;
use crate::node::java_args;
use crate::skip::Skip;
use crate::supervisor;

/// A tool that has not ended by then is killed.
const WITHIN: Duration = Duration::from_secs(180);
/// Short runs: no optimizing compiler, no threads for collecting.
pub(crate) const JVM_OPTIONS: &[&str] = &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// Runs Java programs against one cluster. Dropping a call's future ends its JVM.
#[derive(Debug, Clone)]
pub struct Java {
    bootstrap: String,
    version: Version,
}

/// What a tool printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code; `None` when a signal or the time limit ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// What the console consumer is to read and print.
#[derive(Debug, Clone, Default)]
pub struct ConsumeSpec {
    /// Stop after so many records.
    pub max_messages: usize,
    /// Only this partition.
    pub partition: Option<i32>,
    /// The group to read as; without one the tool makes up its own.
    pub group: Option<String>,
    /// Leave out what transactions aborted.
    pub read_committed: bool,
    /// Formatter properties: `print.key=true`, `print.headers=true`, `print.partition=true`, …
    pub properties: Vec<String>,
    /// Settings of the consumer: `group.protocol=consumer`, …
    pub consumer_properties: Vec<String>,
}

impl Output {
    /// True when it ended with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Its standard output, when it ended with code 0.
    ///
    /// # Panics
    ///
    /// With all that it printed, when it did not.
    #[must_use]
    pub fn expect_success(self) -> String {
        assert!(self.success(), "the Java tool ended with {:?}\n{}\n{}", self.code, self.stdout, self.stderr);
        self.stdout
    }
}

impl Java {
    /// Against the cluster at `bootstrap`, with the tools of this version.
    #[must_use]
    pub fn new(bootstrap: impl Into<String>, version: Version) -> Self {
        Self { bootstrap: bootstrap.into(), version }
    }

    /// The cluster's bootstrap list.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Runs a class with exactly these arguments and this standard input.
    ///
    /// # Panics
    ///
    /// When no JVM can be started.
    pub async fn tool(&self, class: &str, args: &[&str], stdin: &[u8]) -> Output {
        self.run(class.to_owned(), args, stdin).await
    }

    /// Runs one of the programs in this crate's `java/` by Java's source launcher.
    pub(crate) async fn source(&self, file: &str, args: &[&str], stdin: &[u8]) -> Output {
        self.run(crate::distribution::crate_dir().join("java").join(file).display().to_string(), args, stdin)
            .await
    }

    async fn run(&self, program: String, args: &[&str], stdin: &[u8]) -> Output {
        let version = self.version;
        let libs =
            tokio::task::spawn_blocking(move || version.libs()).await.expect("fetching does not panic");
        let libs = libs.unwrap_or_else(|skip| panic!("{skip}"));
        let mut command = vec!["java".to_owned()];
        command.extend(JVM_OPTIONS.iter().map(|option| (*option).to_owned()));
        command.extend(java_args(version, &libs, "tools"));
        command.push(program);
        command.extend(args.iter().map(|arg| (*arg).to_owned()));
        supervised(&command, stdin).await
    }

    async fn with_bootstrap(&self, class: &str, args: &[&str], stdin: &[u8]) -> Output {
        let mut all = vec!["--bootstrap-server", self.bootstrap.as_str()];
        all.extend_from_slice(args);
        self.tool(class, &all, stdin).await
    }

    /// `kafka-topics`: `&["--list"]`, `&["--describe", "--topic", "t"]`, …
    pub async fn topics(&self, args: &[&str]) -> Output {
        self.with_bootstrap("org.apache.kafka.tools.TopicCommand", args, b"").await
    }

    /// Makes a topic.
    ///
    /// # Panics
    ///
    /// When Kafka refuses.
    pub async fn create_topic(
        &self,
        topic: &str,
        partitions: u32,
        replication: u16,
        configs: &[(&str, &str)],
    ) {
        let (partitions, replication) = (partitions.to_string(), replication.to_string());
        let configs: Vec<String> = configs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut args = vec!["--create", "--topic", topic, "--partitions", &partitions];
        args.extend(["--replication-factor", replication.as_str()]);
        for config in &configs {
            args.extend(["--config", config.as_str()]);
        }
        let _ = self.topics(&args).await.expect_success();
    }

    /// `kafka-configs`.
    pub async fn configs(&self, args: &[&str]) -> Output {
        self.with_bootstrap("kafka.admin.ConfigCommand", args, b"").await
    }

    /// `kafka-consumer-groups`.
    pub async fn consumer_groups(&self, args: &[&str]) -> Output {
        self.with_bootstrap("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", args, b"").await
    }

    /// `kafka-leader-election` of the preferred leader of every partition.
    pub async fn elect_preferred_leaders(&self) -> Output {
        let args = ["--election-type", "preferred", "--all-topic-partitions"];
        self.with_bootstrap("org.apache.kafka.tools.LeaderElectionCommand", &args, b"").await
    }

    /// Moves one partition to these replicas, the first of them the preferred leader. Returns when Kafka has taken the
    /// request; [`KafkaCluster::metadata`](crate::KafkaCluster::metadata) shows when it is done.
    pub async fn reassign(&self, topic: &str, partition: i32, replicas: &[i32]) -> Output {
        let plan = format!(
            r#"{{"version":1,"partitions":[{{"topic":"{topic}","partition":{partition},"replicas":{replicas:?}}}]}}"#
        );
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        file.write_all(plan.as_bytes()).expect("a temporary file can be written");
        let path = file.path().display().to_string();
        let args = ["--execute", "--reassignment-json-file", path.as_str()];
        self.with_bootstrap("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", &args, b"").await
    }

    /// `kafka-console-producer`: a record a line of `lines`; `args` are more of its own, such as
    /// `--compression-codec lz4` or `--property parse.key=true`.
    pub async fn console_producer(&self, topic: &str, args: &[&str], lines: &str) -> Output {
        let mut all = vec!["--topic", topic];
        all.extend_from_slice(args);
        self.with_bootstrap("org.apache.kafka.tools.ConsoleProducer", &all, lines.as_bytes()).await
    }

    /// `kafka-console-consumer` from the beginning: the lines that it printed. It gives up after 30 s without a record,
    /// and then there are fewer lines than were asked for.
    pub async fn console_consumer(&self, topic: &str, spec: &ConsumeSpec) -> Vec<String> {
        let max = spec.max_messages.to_string();
        let partition = spec.partition.map(|partition| partition.to_string());
        let mut args =
            vec!["--topic", topic, "--from-beginning", "--timeout-ms", "30000", "--max-messages", &max];
        if let Some(partition) = &partition {
            args.extend(["--partition", partition]);
        }
        if let Some(group) = &spec.group {
            args.extend(["--group", group]);
        }
        if spec.read_committed {
            args.extend(["--isolation-level", "read_committed"]);
        }
        for property in &spec.properties {
            args.extend(["--property", property]);
        }
        for property in &spec.consumer_properties {
            args.extend(["--consumer-property", property]);
        }
        let output = self.with_bootstrap("org.apache.kafka.tools.consumer.ConsoleConsumer", &args, b"").await;
        output.stdout.lines().map(str::to_owned).collect()
    }
}

/// Runs `kcat` (librdkafka) with these arguments and this standard input.
///
/// # Errors
///
/// [`Skip`] when it is not installed.
pub async fn kcat(args: &[&str], stdin: &[u8]) -> Result<Output, Skip> {
    let mut command = vec!["kcat".to_owned()];
    command.extend(args.iter().map(|arg| (*arg).to_owned()));
    let output = supervised(&command, stdin).await;
    // What a shell says of a command that it does not find.
    if output.code == Some(127) { Err(Skip::new("`kcat` does not run; install it")) } else { Ok(output) }
}

/// Runs a command that ends when the future is dropped or this process dies.
async fn supervised(command: &[String], stdin: &[u8]) -> Output {
    let mut input = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    input.write_all(stdin).expect("a temporary file can be written");
    let mut shell = supervisor::tool(input.path());
    shell.args(command).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(shell).kill_on_drop(true).spawn().expect("sh starts");
    // While this is open the command may live.
    let lifeline = child.stdin.take();
    let waited = tokio::time::timeout(WITHIN, child.wait_with_output()).await;
    drop(lifeline);
    match waited {
        Ok(output) => {
            let output = output.expect("the command can be waited for");
            Output {
                code: output.status.code(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }
        }
        Err(_) => Output { code: None, stdout: String::new(), stderr: format!("not done after {WITHIN:?}") },
    }
}
