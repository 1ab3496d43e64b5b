//! One Metadata request written by hand: who is there, who leads, who is in sync.
//!
//! It shares no code with the client under test, so that readiness does not depend on it. Metadata v7 is the last
//! version with a leader epoch and without flexible fields; every broker from 3.9 on speaks it.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);
const MAX_RESPONSE: usize = 64 << 20;

/// A broker as Metadata names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Its node id.
    pub id: i32,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: i32,
}

/// A topic as Metadata describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// Its name.
    pub name: String,
    /// Kafka's error code for it; 0 is none.
    pub error: i16,
    /// Kafka made it for itself: `__consumer_offsets` and its like.
    pub internal: bool,
    /// Its partitions, sorted by index.
    pub partitions: Vec<PartitionState>,
}

/// A partition as Metadata describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// Its index.
    pub index: i32,
    /// Kafka's error code for it; 0 is none.
    pub error: i16,
    /// The node that leads it; -1 is nobody.
    pub leader: i32,
    /// The leader epoch.
    pub leader_epoch: i32,
    /// The nodes that hold a replica, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The nodes whose replica is in sync.
    pub isr: Vec<i32>,
}

impl PartitionState {
    /// Has a leader, and every replica is in sync.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.leader >= 0 && self.isr.len() == self.replicas.len()
    }
}

/// Asks the broker at `address` for all brokers and topics that it knows of. Blocks for at most a few seconds.
///
/// # Errors
///
/// When nobody answers, or what answers is not a Kafka broker.
pub fn fetch_metadata(address: &str) -> Result<(Vec<BrokerAddress>, Vec<TopicState>)> {
    let mut request = Vec::new();
    request.extend_from_slice(&3_i16.to_be_bytes()); // Metadata
    request.extend_from_slice(&7_i16.to_be_bytes()); // version
    request.extend_from_slice(&1_i32.to_be_bytes()); // correlation id
    request.extend_from_slice(&(-1_i16).to_be_bytes()); // no client id
    request.extend_from_slice(&(-1_i32).to_be_bytes()); // all topics
    request.push(0); // create none
    let body = ask(address, &request)?;
    read_metadata(&mut Cursor(&body))
}

/// Sends one request over a connection of its own; returns the answer without its length.
pub(crate) fn ask(address: &str, request: &[u8]) -> Result<Vec<u8>> {
    let address = address.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(&u32::try_from(request.len()).map_err(|_| ErrorKind::InvalidData)?.to_be_bytes())?;
    stream.write_all(request)?;

    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| ErrorKind::InvalidData)?;
    if length > MAX_RESPONSE {
        return Err(Error::new(ErrorKind::InvalidData, format!("an answer of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn read_metadata(body: &mut Cursor<'_>) -> Result<(Vec<BrokerAddress>, Vec<TopicState>)> {
    body.i32()?; // correlation id
    body.i32()?; // throttle time
    let mut brokers = body.array(|body| {
        let broker = BrokerAddress { id: body.i32()?, host: body.string()?, port: body.i32()? };
        body.string()?; // rack
        Ok(broker)
    })?;
    brokers.sort_by_key(|broker| broker.id);
    body.string()?; // cluster id
    body.i32()?; // controller
    let topics = body.array(|body| {
        let (error, name, internal) = (body.i16()?, body.string()?, body.take(1)?[0] != 0);
        let mut partitions = body.array(|body| {
            let partition = PartitionState {
                error: body.i16()?,
                index: body.i32()?,
                leader: body.i32()?,
                leader_epoch: body.i32()?,
                replicas: body.array(Cursor::i32)?,
                isr: body.array(Cursor::i32)?,
            };
            body.array(Cursor::i32)?; // offline replicas
            Ok(partition)
        })?;
        partitions.sort_by_key(|partition| partition.index);
        Ok(TopicState { name, error, internal, partitions })
    })?;
    Ok((brokers, topics))
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(taken)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into().map_err(Error::other)?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().map_err(Error::other)?))
    }

    /// Null reads as empty.
    fn string(&mut self) -> Result<String> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        String::from_utf8(self.take(length)?.to_vec()).map_err(Error::other)
    }

    fn array<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.i32()?;
        (0..count).map(|_| item(self)).collect()
    }
}
