//! Task: the proxy as a test holds it: its addresses, its rules, its counts.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::relay::relay;
use super::rule::{Direction, Rule};
use super::rules::RuleId;
use super::wiring::Wiring;
use crate::builder::Builder;
use crate::cluster::KafkaCluster;
use crate::eventually::eventually;
use crate::ports::Port;

/// For the tasks of a dropped proxy to end.
const LET_GO: Duration = Duration::from_secs(10);

/// An address for a proxy, kept from others while this lives. It lies below the kernel's ephemeral ports, so that a
/// client which keeps trying it while nobody listens does not meet itself.
#[derive(Debug)]
pub struct ReservedAddress {
    port: Port,
}

impl ReservedAddress {
    /// A free one on 127.0.0.1.
    #[must_use]
    pub fn free() -> Self {
        Self { port: Port::free() }
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number))
    }
}

/// A proxy that runs; when it is dropped its connections end and its addresses refuse.
#[derive(Debug)]
pub struct FaultProxy {
    wiring: Arc<Wiring>,
    nodes: Vec<Node>,
    _reserved: Vec<ReservedAddress>,
}

#[derive(Debug)]
struct Node {
    address: SocketAddr,
    upstream: Arc<Mutex<SocketAddr>>,
    listening: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl FaultProxy {
    /// Listens on the first address of each pair and connects to the second; the pairs are nodes 1, 2, 3.
    ///
    /// # Panics
    ///
    /// When an address cannot be listened on.
    pub async fn start(nodes: &[(SocketAddr, SocketAddr)], seed: u64) -> Self {
        let wiring = Arc::new(Wiring::new(seed));
        let mut running = Vec::new();
        for (node, &(address, upstream)) in (1..).zip(nodes) {
            // A proxy that was here before may not have let go yet: dropping one does not wait for its tasks.
            let what = format!("{address} can be listened on");
            let bind = async || TcpListener::bind(address).await.ok();
            let listener = eventually(&what, LET_GO, bind).await;
            let upstream = Arc::new(Mutex::new(upstream));
            let listening = tokio::spawn(listen(wiring.clone(), node, listener, upstream.clone()));
            running.push(Node { address, upstream, listening });
        }
        Self { wiring, nodes: running, _reserved: Vec::new() }
    }

    /// Starts a cluster of so many nodes that advertises the proxy's addresses, and the proxy in front of it.
    ///
    /// # Panics
    ///
    /// When either does not start.
    pub async fn in_front_of(builder: Builder, nodes: usize, seed: u64) -> (Self, KafkaCluster) {
        let reserved: Vec<_> = (0..nodes).map(|_| ReservedAddress::free()).collect();
        let addresses: Vec<_> = reserved.iter().map(ReservedAddress::address).collect();
        let cluster = builder.nodes(nodes).advertise(&addresses).start().await;
        let upstreams = cluster.node_ids().filter_map(|node| cluster.proxied_upstream(node));
        let pairs: Vec<_> = addresses.into_iter().zip(upstreams).collect();
        let proxy = Self { _reserved: reserved, ..Self::start(&pairs, seed).await };
        (proxy, cluster)
    }

    /// Its addresses as a client's bootstrap list.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        addresses.join(",")
    }

    /// Writes the answers of brokers to this folder from now on, each to a file of its own: the API's number, the version,
    /// and the body, as the fuzz target `response` takes them. The folder must be there.
    ///
    /// # Panics
    ///
    /// When a file cannot be written: the connection then ends.
    pub fn record_answers(&self, folder: &Path) {
        self.wiring.record_into(folder);
    }

    /// Where new connections of a node go from now on.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn set_upstream(&self, node: i32, upstream: SocketAddr) {
        let index = usize::try_from(node - 1).expect("nodes count from 1");
        *self.nodes[index].upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Lets a rule stand until it is removed. All rules that stand apply, in the order they came.
    pub fn add(&self, rule: Rule) -> RuleHandle {
        RuleHandle { id: self.wiring.add(rule), wiring: self.wiring.clone() }
    }

    /// Removes every rule: frames that come from now on go unharmed, and those that were held arrive. What fell into a
    /// black hole stays there, and so does what follows on its connection.
    pub fn clear(&self) {
        self.wiring.clear();
    }

    /// How often each fault came so far, by its name; frames, and connections for the short life.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.wiring.injected()
    }

    /// How many frames of an API came, harmed or not. What came after the beginning of a black hole is not counted.
    #[must_use]
    pub fn frames(&self, direction: Direction, api_key: i16) -> u64 {
        self.wiring.frames(direction, api_key)
    }

    /// How long the longest of them was, its length's own four bytes included.
    #[must_use]
    pub fn longest_frame(&self, direction: Direction, api_key: i16) -> usize {
        self.wiring.longest_frame(direction, api_key)
    }

    /// How many connections clients made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.wiring.connections()
    }
}

/// A rule that was added. Dropping this does not remove it.
#[derive(Debug, Clone)]
pub struct RuleHandle {
    wiring: Arc<Wiring>,
    id: RuleId,
}

impl RuleHandle {
    /// How many frames, or connections, it befell.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.wiring.injected_by(self.id)
    }

    /// Removes it; what it held arrives.
    pub fn remove(&self) {
        self.wiring.remove(self.id);
    }
}

/// Accepts until it is aborted, and its connections with it.
async fn listen(wiring: Arc<Wiring>, node: i32, listener: TcpListener, upstream: Arc<Mutex<SocketAddr>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that was gone before it was accepted is nobody's concern.
                let Ok((client, _)) = accepted else { continue };
                let upstream = *upstream.lock().unwrap_or_else(PoisonError::into_inner);
                connections.spawn(relay(wiring.clone(), node, client, upstream));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
