//! A broker that acknowledges at once and keeps nothing: what is left is what the producer costs.
//!
//! It reads of a request what the answer needs, and passes over everything else in a buffer that stays in the cache. It
//! speaks one version of each of the four APIs that a producer needs.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

/// Runs until the process ends.
#[derive(Debug)]
pub(crate) struct SinkBroker {
    address: SocketAddr,
    records: Arc<AtomicU64>,
}

impl SinkBroker {
    /// Every topic that it is asked for exists, and has so many partitions.
    pub(crate) fn start(partitions: i32) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let records = Arc::new(AtomicU64::new(0));
        let counter = records.clone();
        thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            for socket in listener.incoming().flatten() {
                let counter = counter.clone();
                let session = move || Session::new(socket, address, partitions, counter)?.serve();
                // A connection that ends in an error shows at the client.
                let _detached = thread::Builder::new().name(THREAD.to_owned()).spawn(session);
            }
        })?;
        Ok(Self { address, records })
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// How many records it has acknowledged.
    pub(crate) fn records(&self) -> u64 {
        self.records.load(Relaxed)
    }
}

/// One connection.
struct Session {
    input: Input,
    socket: TcpStream,
    address: SocketAddr,
    partitions: i32,
    records: Arc<AtomicU64>,
    next_offsets: Vec<i64>,
    out: Vec<u8>,
}

impl Session {
    fn new(
        socket: TcpStream,
        address: SocketAddr,
        partitions: i32,
        records: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let input = Input { reader: BufReader::with_capacity(BUFFER_BYTES, socket.try_clone()?), left: 0 };
        let next_offsets = vec![0; usize::try_from(partitions).unwrap_or(0)];
        Ok(Self { input, socket, address, partitions, records, next_offsets, out: Vec::with_capacity(4096) })
    }

    fn serve(mut self) -> io::Result<()> {
        while self.input.next_frame()? {
            let (key, version) = (self.input.i16()?, self.input.i16()?);
            let correlation_id = self.input.i32()?;
            let client_id_len = self.input.i16()?;
            self.input.skip(usize::try_from(client_id_len).unwrap_or(0))?;
            self.input.no_tags()?;
            self.out.clear();
            self.out.extend([0; 4]);
            self.out.extend(correlation_id.to_be_bytes());
            match (key, version) {
                (API_VERSIONS, 3..) => self.api_versions(),
                (METADATA, METADATA_VERSION) => self.metadata()?,
                (INIT_PRODUCER_ID, INIT_PRODUCER_ID_VERSION) => self.producer_id(),
                (PRODUCE, PRODUCE_VERSION) => self.produce()?,
                _ => return Err(bad("an API or version that was not offered")),
            }
            self.input.skip(self.input.left)?;
            let len = u32::try_from(self.out.len() - 4).map_err(|_| bad("a long answer"))?;
            self.out[..4].copy_from_slice(&len.to_be_bytes());
            self.socket.write_all(&self.out)?;
        }
        Ok(())
    }

    fn api_versions(&mut self) {
        // Its header never has tags.
        self.out.extend(0_i16.to_be_bytes());
        put_len(&mut self.out, OFFERED.len());
        for (key, version) in OFFERED {
            for number in [key, version, version] {
                self.out.extend(number.to_be_bytes());
            }
            self.out.push(0);
        }
        self.out.extend(0_i32.to_be_bytes());
        self.out.push(0);
    }

    fn metadata(&mut self) -> io::Result<()> {
        let mut topics = Vec::new();
        for _ in 0..self.input.compact_len()? {
            self.input.skip(16)?;
            topics.push(self.input.compact_bytes()?);
            self.input.no_tags()?;
        }
        let out = &mut self.out;
        out.push(0);
        out.extend(0_i32.to_be_bytes());
        put_len(out, 1);
        out.extend(BROKER_ID.to_be_bytes());
        put_bytes(out, self.address.ip().to_string().as_bytes());
        out.extend(i32::from(self.address.port()).to_be_bytes());
        out.extend([0, 0]);
        put_bytes(out, b"sink");
        out.extend(BROKER_ID.to_be_bytes());
        put_len(out, topics.len());
        for (number, name) in (1_u128..).zip(topics) {
            out.extend(0_i16.to_be_bytes());
            put_bytes(out, &name);
            out.extend(number.to_be_bytes());
            out.push(0);
            put_len(out, self.next_offsets.len());
            for partition in 0..self.partitions {
                out.extend(0_i16.to_be_bytes());
                out.extend(partition.to_be_bytes());
                out.extend(BROKER_ID.to_be_bytes());
                out.extend(0_i32.to_be_bytes());
                for _replicas_then_in_sync in 0..2 {
                    put_len(out, 1);
                    out.extend(BROKER_ID.to_be_bytes());
                }
                put_len(out, 0);
                out.push(0);
            }
            out.extend(i32::MIN.to_be_bytes());
            out.push(0);
        }
        out.push(0);
        Ok(())
    }

    fn producer_id(&mut self) {
        let out = &mut self.out;
        out.push(0);
        out.extend(0_i32.to_be_bytes());
        out.extend(0_i16.to_be_bytes());
        out.extend(7_i64.to_be_bytes());
        out.extend(0_i16.to_be_bytes());
        out.push(0);
    }

    fn produce(&mut self) -> io::Result<()> {
        let (input, out) = (&mut self.input, &mut self.out);
        let transactional_id_len = input.compact_len()?;
        input.skip(transactional_id_len + 2 + 4)?;
        out.push(0);
        let topics = input.compact_len()?;
        put_len(out, topics);
        for _ in 0..topics {
            let name_len = input.compact_len()?;
            put_len(out, name_len);
            input.copy(name_len, out)?;
            let partitions = input.compact_len()?;
            put_len(out, partitions);
            for _ in 0..partitions {
                let partition = input.i32()?;
                let end = input.compact_len()?;
                input.skip(RECORD_COUNT_AT)?;
                let count = input.i32()?;
                input.skip(end.saturating_sub(RECORD_COUNT_AT + 4))?;
                input.no_tags()?;
                self.records.fetch_add(u64::try_from(count).unwrap_or(0), Relaxed);
                let next = usize::try_from(partition).ok().and_then(|at| self.next_offsets.get_mut(at));
                let next = next.ok_or_else(|| bad("no such partition"))?;
                let base_offset = *next;
                *next += i64::from(count);
                out.extend(partition.to_be_bytes());
                out.extend(0_i16.to_be_bytes());
                out.extend(base_offset.to_be_bytes());
                out.extend((-1_i64).to_be_bytes());
                out.extend(0_i64.to_be_bytes());
                put_len(out, 0);
                out.extend([0, 0]); // no message, no tags
            }
            input.no_tags()?;
            out.push(0);
        }
        out.extend(0_i32.to_be_bytes());
        out.push(0);
        Ok(())
    }
}

/// The requests of a connection, read front to back.
struct Input {
    reader: BufReader<TcpStream>,
    /// Of the request at hand.
    left: usize,
}

impl Input {
    /// `false` when the client has gone.
    fn next_frame(&mut self) -> io::Result<bool> {
        if self.reader.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.left = 4;
        self.left = usize::try_from(self.i32()?).map_err(|_| bad("a negative length"))?;
        Ok(true)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.left = self.left.checked_sub(N).ok_or_else(|| bad("a short request"))?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn i16(&mut self) -> io::Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> io::Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// A compact length, zero where it is null.
    fn compact_len(&mut self) -> io::Result<usize> {
        let (mut value, mut shift) = (0_usize, 0);
        loop {
            let [byte] = self.array()?;
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(value.saturating_sub(1));
            }
        }
    }

    fn compact_bytes(&mut self) -> io::Result<Vec<u8>> {
        let (len, mut bytes) = (self.compact_len()?, Vec::new());
        self.copy(len, &mut bytes)?;
        Ok(bytes)
    }

    fn no_tags(&mut self) -> io::Result<()> {
        if self.array()? == [0] { Ok(()) } else { Err(bad("tagged fields")) }
    }

    fn skip(&mut self, count: usize) -> io::Result<()> {
        self.pass(count, |_| {})
    }

    fn copy(&mut self, count: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.pass(count, |bytes| out.extend_from_slice(bytes))
    }

    fn pass(&mut self, mut count: usize, mut see: impl FnMut(&[u8])) -> io::Result<()> {
        self.left = self.left.checked_sub(count).ok_or_else(|| bad("a short request"))?;
        while count > 0 {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let passed = bytes.len().min(count);
            see(&bytes[..passed]);
            self.reader.consume(passed);
            count -= passed;
        }
        Ok(())
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    let mut rest = len + 1;
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend(bytes);
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// The name of its threads, so that what they use is not taken for the client's.
pub(crate) const THREAD: &str = "sink";
const BROKER_ID: i32 = 1;
const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const INIT_PRODUCER_ID: i16 = 22;
const PRODUCE_VERSION: i16 = 9;
const METADATA_VERSION: i16 = 12;
const INIT_PRODUCER_ID_VERSION: i16 = 4;
const OFFERED: [(i16, i16); 4] = [
    (PRODUCE, PRODUCE_VERSION),
    (METADATA, METADATA_VERSION),
    (API_VERSIONS, 3),
    (INIT_PRODUCER_ID, INIT_PRODUCER_ID_VERSION),
];
/// In a record batch.
const RECORD_COUNT_AT: usize = 57;
/// Small enough for the cache of a core.
const BUFFER_BYTES: usize = 128 * 1024;
