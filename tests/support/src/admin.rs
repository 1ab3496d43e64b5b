//! What tests order from a cluster without a JVM: replicas in another order, elections, more partitions.
//!
//! Written by hand like the look at the metadata, so that it does not depend on the client under test. Each function
//! is one request to the first running node that answers; Kafka hands it on to its controller.

use std::io::{Error, ErrorKind, Result};

use crate::cluster::KafkaCluster;
use crate::probe::ask;

/// Which replica an election may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// The first of the replicas, if it is in sync.
    Preferred,
    /// Any that is alive, also one that lacks records which were acked.
    Unclean,
}

impl KafkaCluster {
    /// Puts a partition on these replicas, the first of them the preferred leader.
    ///
    /// # Errors
    ///
    /// When no node takes it, or the partition is being moved already.
    pub async fn put_on(&self, topic: &str, partition: i32, replicas: &[i32]) -> Result<()> {
        let (topic, replicas) = (topic.to_owned(), replicas.to_vec());
        self.order(move |address| {
            let mut body = Body::default();
            body.i32(WITHIN_MS);
            body.array(1);
            body.string(&topic);
            body.array(1);
            body.i32(partition);
            body.array(replicas.len());
            replicas.iter().for_each(|replica| body.i32(*replica));
            (0..3).for_each(|_| body.no_tags());
            let mut answer = Answer::to(address, ALTER_PARTITION_REASSIGNMENTS, 0, &body)?;
            answer.skip(4)?;
            answer.code()?;
            answer.string()?;
            answer.each_partition()
        })
        .await
    }

    /// Has a partition's leader elected anew.
    ///
    /// # Errors
    ///
    /// When no node takes it, or no replica can be elected. That the wanted one leads already is fine.
    pub async fn elect(&self, topic: &str, partition: i32, election: Election) -> Result<()> {
        let topic = topic.to_owned();
        self.order(move |address| {
            let mut body = Body::default();
            body.0.push(u8::from(election == Election::Unclean));
            body.array(1);
            body.string(&topic);
            body.array(1);
            body.i32(partition);
            body.no_tags();
            body.i32(WITHIN_MS);
            body.no_tags();
            let mut answer = Answer::to(address, ELECT_LEADERS, 2, &body)?;
            answer.skip(4)?;
            answer.code()?;
            answer.each_partition()
        })
        .await
    }

    /// Lets another replica lead a partition: its replicas in this order, and an election.
    ///
    /// # Errors
    ///
    /// When no node takes it, or the first of the replicas is not in sync.
    pub async fn lead_by(&self, topic: &str, partition: i32, replicas: &[i32]) -> Result<()> {
        self.put_on(topic, partition, replicas).await?;
        self.elect(topic, partition, Election::Preferred).await
    }

    /// Gives a topic so many partitions in all.
    ///
    /// # Errors
    ///
    /// When no node takes it, or the topic has as many.
    pub async fn grow(&self, topic: &str, partitions: i32) -> Result<()> {
        let topic = topic.to_owned();
        self.order(move |address| {
            let mut body = Body::default();
            body.array(1);
            body.string(&topic);
            body.i32(partitions);
            body.0.push(0); // no assignments
            body.no_tags();
            body.i32(WITHIN_MS);
            body.0.push(0); // in earnest
            body.no_tags();
            let mut answer = Answer::to(address, CREATE_PARTITIONS, 2, &body)?;
            answer.skip(4)?;
            for _ in 0..answer.count()? {
                answer.string()?;
                answer.code()?;
                answer.string()?;
                answer.skip(1)?;
            }
            Ok(())
        })
        .await
    }

    async fn order(&self, ask: impl Fn(&str) -> Result<()> + Send + 'static) -> Result<()> {
        self.blocking(move |cluster| {
            let mut last = Error::new(ErrorKind::NotConnected, "no node runs");
            for address in cluster.running() {
                match ask(&address) {
                    Ok(()) => return Ok(()),
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
        .await
    }
}

/// A request's body in a flexible version.
#[derive(Debug, Default)]
struct Body(Vec<u8>);

impl Body {
    fn i32(&mut self, number: i32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    /// The length of what follows, up to 126.
    fn array(&mut self, len: usize) {
        self.0.push(u8::try_from(len + 1).ok().filter(|len| *len < 128).expect("tests' lists are short"));
    }

    fn string(&mut self, text: &str) {
        self.array(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn no_tags(&mut self) {
        self.0.push(0);
    }
}

struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn to(address: &str, api_key: i16, version: i16, body: &Body) -> Result<Self> {
        let mut request = Vec::new();
        request.extend_from_slice(&api_key.to_be_bytes());
        request.extend_from_slice(&version.to_be_bytes());
        request.extend_from_slice(&1_i32.to_be_bytes()); // correlation id
        request.extend_from_slice(&(-1_i16).to_be_bytes()); // no client id
        request.push(0); // no tags
        request.extend_from_slice(&body.0);
        // The correlation id and no tags.
        Ok(Self { bytes: ask(address, &request)?, at: 5 })
    }

    fn take(&mut self, len: usize) -> Result<&[u8]> {
        let taken = self.bytes.get(self.at..self.at + len).ok_or(ErrorKind::UnexpectedEof)?;
        self.at += len;
        Ok(taken)
    }

    fn skip(&mut self, len: usize) -> Result<()> {
        self.take(len).map(drop)
    }

    fn count(&mut self) -> Result<usize> {
        let (mut number, mut shift) = (0_usize, 0);
        loop {
            let byte = self.take(1)?[0];
            number |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 || shift > 28 {
                return Ok(number.saturating_sub(1));
            }
        }
    }

    fn string(&mut self) -> Result<String> {
        let len = self.count()?;
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    /// An error code.
    fn code(&mut self) -> Result<()> {
        let code = i16::from_be_bytes(self.take(2)?.try_into().map_err(Error::other)?);
        match code {
            0 | ELECTION_NOT_NEEDED => Ok(()),
            code => Err(Error::other(format!("Kafka answers with error {code}"))),
        }
    }

    /// The answer's topics and their partitions, each with a code and a message.
    fn each_partition(&mut self) -> Result<()> {
        for _ in 0..self.count()? {
            self.string()?;
            for _ in 0..self.count()? {
                self.skip(4)?;
                self.code()?;
                self.string()?;
                self.skip(1)?;
            }
            self.skip(1)?;
        }
        Ok(())
    }
}

const CREATE_PARTITIONS: i16 = 37;
const ELECT_LEADERS: i16 = 43;
const ALTER_PARTITION_REASSIGNMENTS: i16 = 45;
/// What the controller gives itself for it.
const WITHIN_MS: i32 = 5000;
const ELECTION_NOT_NEEDED: i16 = 84;
