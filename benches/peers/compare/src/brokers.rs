//! The cluster: topics made for each run and deleted after it, and the brokers' processor time.

use craftwire::{Admin, Client, admin::NewTopic};
use std::{error::Error, fs, time::SystemTime};

use crate::payloads::Kind;

pub struct Cluster {
    admin: Admin,
    replication: i16,
    pids: Vec<u32>,
    made: u64,
}

impl Cluster {
    pub async fn connect(brokers: &str, pids: &[u32]) -> Result<Self, Box<dyn Error>> {
        let admin = Client::connect(brokers).await?.admin();
        let replication = if admin.brokers().len() >= 3 { 3 } else { 1 };
        Ok(Self { admin, replication, pids: pids.to_vec(), made: 0 })
    }

    /// A name that nobody used before.
    pub fn fresh(&mut self, what: &str) -> String {
        self.made += 1;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!("peers.{what}.{:x}-{}", now.as_millis(), self.made)
    }

    /// A topic with the contract's partitions and settings.
    pub async fn create(&mut self, kind: Kind) -> Result<String, Box<dyn Error>> {
        let (partitions, retention_ms, segment_ms) = match kind {
            Kind::Events => (16, "604800000", "3600000"),
            Kind::Progress => (24, "3600000", "600000"),
        };
        let name = self.fresh(kind.name());
        let topic = NewTopic::new(&name, partitions, self.replication)
            .config("retention.ms", retention_ms)
            .config("segment.ms", segment_ms);
        self.admin.create_topic(topic).await?;
        Ok(name)
    }

    pub async fn delete(&self, topic: &str) -> Result<(), Box<dyn Error>> {
        Ok(self.admin.delete_topic(topic).await?)
    }

    /// Seconds used by the brokers, in steps of 10 ms; `None` if nobody said which processes they are.
    pub fn cpu_s(&self) -> Option<f64> {
        let ticks = |pid: &u32| -> Option<u64> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        };
        let all: Option<u64> = self.pids.iter().map(ticks).sum();
        all.filter(|_| !self.pids.is_empty()).map(|ticks| ticks as f64 / 100.0)
    }
}
