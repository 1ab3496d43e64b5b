//! A network in virtual time between the clients and the mock's brokers.
//!
//! Each client has a [`Wire`] of its own, which resolves names and connects; a connection is two [`Pipe`]s. What the link
//! does to them follows from the faults that are active. A link that is held up loses nothing for good, as TCP does not:
//! what was written arrives when it is open again, also when the client has given the connection up meanwhile.
//!
//! Invariant: all that is random comes from the seed, and all waits are virtual.

mod stream;

use crate::{
    epochs::{Epochs, WentBack},
    pipe::{Pace, Pipe},
    random::Random,
    schedule::{BROKERS, What},
    trace::{Frames, Trace},
};
use craftwire::{
    internals::{ByteStream, Later, Network},
    mock::MockCluster,
};
use std::{
    collections::BTreeMap,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use stream::SimStream;
use tokio::time::{Instant, sleep_until};

/// The network of one run.
#[derive(Clone)]
pub(crate) struct Net {
    state: Arc<Mutex<State>>,
    mock: MockCluster,
}

struct State {
    random: Random,
    started: Instant,
    base: Duration,
    active: Vec<What>,
    /// Brokers whose address changed, and how often.
    moves: BTreeMap<i32, u8>,
    connections: BTreeMap<u64, Connection>,
    last_connection: u64,
    /// Clients that are cut off for good.
    dead: Vec<usize>,
    trace: Trace,
    resolved_badly: u64,
    epochs: Epochs,
    went_back: Vec<WentBack>,
}

#[derive(Debug)]
struct Connection {
    client: usize,
    life: u64,
    broker: i32,
    /// From the client, and to it.
    pipes: [Pipe; 2],
    gone: [bool; 2],
    is_reset: bool,
    is_severed: bool,
    frames: Frames,
}

impl Net {
    pub(crate) fn new(seed: u64, mock: MockCluster) -> Self {
        let mut random = Random::of(seed, "network");
        let state = State {
            base: Duration::from_millis(random.between(1, 4)),
            random,
            started: Instant::now(),
            active: Vec::new(),
            moves: BTreeMap::new(),
            connections: BTreeMap::new(),
            last_connection: 0,
            dead: Vec::new(),
            trace: Trace::new(),
            resolved_badly: 0,
            epochs: Epochs::default(),
            went_back: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), mock }
    }

    /// The network as one life of a client has it.
    pub(crate) fn wire(&self, client: usize, life: u64) -> Arc<dyn Network> {
        Arc::new(Wire { net: self.clone(), client, life })
    }

    pub(crate) fn with_trace<T>(&self, look: impl FnOnce(&mut Trace) -> T) -> T {
        look(&mut self.lock().trace)
    }

    /// Milliseconds since the start.
    pub(crate) fn now_ms(&self) -> u64 {
        self.lock().now_ms()
    }

    /// How often a name did not lead to its broker at once.
    pub(crate) fn resolved_badly(&self) -> u64 {
        self.lock().resolved_badly
    }

    /// Leader epochs that a client named after newer ones.
    pub(crate) fn went_back(&self) -> Vec<WentBack> {
        self.lock().went_back.clone()
    }

    /// Whether the client of the mock's connection with this number has given it up.
    pub(crate) fn is_given_up(&self, connection: u64) -> bool {
        self.lock().connections.get(&connection).is_none_or(|connection| connection.gone[CLIENT])
    }

    pub(crate) fn begin(&self, fault: What) {
        let mut state = self.lock();
        match fault {
            // Names are asked for by those who connect.
            What::DeadFirst { broker } | What::NoName { broker } => state.each(broker, Connection::reset),
            What::CutFin { broker } => state.each(broker, Connection::finish),
            What::CutReset { broker } => state.each(broker, Connection::reset),
            What::Sever { broker } => state.each(broker, |connection| connection.is_severed = true),
            What::CutAnswer { broker, after_bytes } => state.each(broker, |connection| {
                let pipe = &mut connection.pipes[SERVER];
                pipe.cut_at = Some(pipe.written + after_bytes);
            }),
            What::Moved { broker } => {
                *state.moves.entry(broker).or_default() += 1;
                // Whoever is connected to the old address talks to nobody.
                state.each(broker, |connection| connection.is_severed = true);
            }
            _ => {}
        }
        state.active.push(fault);
    }

    pub(crate) fn end(&self, fault: What) {
        let mut state = self.lock();
        if let Some(at) = state.active.iter().position(|active| *active == fault) {
            state.active.remove(at);
        }
        state.resend();
    }

    /// A client's machine is gone: nobody hears of it again.
    pub(crate) fn kill(&self, client: usize) {
        self.lock().dead.push(client);
    }

    /// A client's machine is back.
    pub(crate) fn revive(&self, client: usize) {
        self.lock().dead.retain(|dead| *dead != client);
    }

    /// Cuts what is severed for good or belongs to the dead, as a broker's idle timeout does in the end.
    pub(crate) fn bury(&self) {
        let mut state = self.lock();
        let dead = state.dead.clone();
        for connection in state.connections.values_mut() {
            if connection.is_severed || dead.contains(&connection.client) {
                connection.reset();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(
        self,
        (client, life): (usize, u64),
        address: SocketAddr,
    ) -> io::Result<Box<dyn ByteStream>> {
        let SocketAddr::V4(v4) = address else { return Err(io::ErrorKind::AddrNotAvailable.into()) };
        let [_, _, generation, number] = v4.ip().octets();
        let broker = i32::from(number);
        let round_trip = {
            let mut state = self.lock();
            let at_ms = state.now_ms();
            state.trace.connect(at_ms, client, broker);
            state.link(client, broker).delay(&mut state.random) * 2
        };
        sleep_until(Instant::now() + round_trip).await;
        loop {
            {
                let state = self.lock();
                let link = state.link(client, broker);
                if link.is_refused {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                let is_there = state.moves.get(&broker).copied().unwrap_or(0) == generation;
                if is_there && !link.hangs && !link.held[CLIENT] && !link.held[SERVER] {
                    drop(state);
                    return self.accept(client, life, broker);
                }
            }
            // The kernel tries again.
            sleep_until(Instant::now() + SYN_AGAIN).await;
        }
    }

    /// A connection whose server end the mock has.
    fn accept(&self, client: usize, life: u64, broker: i32) -> io::Result<Box<dyn ByteStream>> {
        // The mock counts connections as they are accepted here, so both know a connection by the same number.
        let id = self.lock().last_connection + 1;
        let stream = |side| SimStream::new(self.clone(), id, side);
        let now = Instant::now();
        let connection = Connection {
            client,
            life,
            broker,
            pipes: [Pipe::new(now), Pipe::new(now)],
            gone: [false; 2],
            is_reset: false,
            is_severed: false,
            frames: Frames::default(),
        };
        self.lock().connections.insert(id, connection);
        self.mock.serve(broker, stream(SERVER))?;
        self.lock().last_connection = id;
        Ok(Box::new(stream(CLIENT)))
    }

    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut state = self.lock();
        let number = host.strip_prefix("mock-").and_then(|number| number.parse::<u8>().ok());
        let Some(number) = number.filter(|number| (1..=BROKERS).contains(&i32::from(*number))) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let broker = i32::from(number);
        let at = |generation| SocketAddr::from((Ipv4Addr::new(10, 0, generation, number), port));
        let now = state.moves.get(&broker).copied().unwrap_or(0);
        let is = |fault: What| state.active.contains(&fault);
        if is(What::NoName { broker }) {
            state.resolved_badly += 1;
            return Err(io::ErrorKind::NotFound.into());
        }
        if is(What::DeadFirst { broker }) {
            state.resolved_badly += 1;
            return Ok(vec![at(DEAD), at(now)]);
        }
        Ok(vec![at(now)])
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

impl State {
    fn now_ms(&self) -> u64 {
        u64::try_from((Instant::now() - self.started).as_millis()).unwrap()
    }

    fn link(&self, client: usize, broker: i32) -> Link {
        let mut link = Link { base: self.base, held: [self.dead.contains(&client); 2], ..Link::default() };
        for fault in &self.active {
            link.suffer(*fault, client, broker);
        }
        link
    }

    fn each(&mut self, broker: i32, act: impl Fn(&mut Connection)) {
        self.connections.values_mut().filter(|connection| connection.broker == broker).for_each(act);
    }

    /// Wakes whoever is held up no longer.
    fn resend(&mut self) {
        let now = Instant::now();
        let links: Vec<(u64, Link)> = self
            .connections
            .iter()
            .map(|(id, connection)| (*id, self.link(connection.client, connection.broker)))
            .collect();
        for (id, link) in links {
            let delay = link.delay(&mut self.random);
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            for (side, pipe) in connection.pipes.iter_mut().enumerate() {
                if !link.held[side] {
                    pipe.resend(delay, now);
                }
            }
        }
    }
}

impl Connection {
    /// Ends in order: what is on its way arrives.
    fn finish(&mut self) {
        self.pipes.iter_mut().for_each(Pipe::end);
    }

    fn reset(&mut self) {
        self.is_reset = true;
        self.pipes.iter_mut().for_each(Pipe::wake_both);
    }
}

/// What a link does now.
#[derive(Debug, Default, Clone, Copy)]
struct Link {
    base: Duration,
    slow_ms: u64,
    jitter_ms: u64,
    bytes_per_ms: Option<usize>,
    piece: Option<usize>,
    /// From the client, and to it.
    held: [bool; 2],
    is_refused: bool,
    hangs: bool,
}

impl Link {
    const fn suffer(&mut self, fault: What, client: usize, broker: i32) {
        match fault {
            What::Slow { broker: at, delay_ms, jitter_ms } if at == broker => {
                self.slow_ms += delay_ms;
                self.jitter_ms += jitter_ms;
            }
            What::Narrow { broker: at, bytes_per_ms } if at == broker => {
                self.bytes_per_ms = Some(bytes_per_ms);
            }
            What::Chop { broker: at, piece } if at == broker => self.piece = Some(piece),
            What::BlackHole { broker: at } if at == broker => self.held = [true; 2],
            What::LoseRequests { broker: at } if at == broker => self.held[CLIENT] = true,
            What::LoseAnswers { broker: at } if at == broker => self.held[SERVER] = true,
            What::Refuse { broker: at } if at == broker => self.is_refused = true,
            What::HangConnect { broker: at } if at == broker => self.hangs = true,
            What::Isolate { client: at } if at == client => self.held = [true; 2],
            _ => {}
        }
    }

    fn delay(&self, random: &mut Random) -> Duration {
        let jitter = random.between(0, self.jitter_ms + 1);
        self.base + Duration::from_millis(self.slow_ms + jitter)
    }

    fn pace(&self, random: &mut Random) -> Pace {
        Pace { delay: self.delay(random), bytes_per_ms: self.bytes_per_ms, piece: self.piece }
    }
}

/// One client's way to the brokers.
#[derive(Debug)]
struct Wire {
    net: Net,
    client: usize,
    life: u64,
}

impl Network for Wire {
    fn resolve(&self, host: &str, port: u16) -> Later<Vec<SocketAddr>> {
        let resolved = self.net.resolve(host, port);
        Box::pin(async move { resolved })
    }

    fn connect(&self, address: SocketAddr) -> Later<Box<dyn ByteStream>> {
        Box::pin(self.net.clone().connect((self.client, self.life), address))
    }
}

const CLIENT: usize = 0;
const SERVER: usize = 1;
/// The third number of an address that nobody is at.
const DEAD: u8 = 255;
const SYN_AGAIN: Duration = Duration::from_millis(500);
