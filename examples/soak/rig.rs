//! The cluster, the proxies before it and the group, and how each fault is done to them.

use crate::{
    group::Group,
    load::{Load, PATIENCE},
    plan::{Fault, Kind},
};
use craftwire_test_support::{
    Election, KafkaCluster, eventually, lasts,
    proxy::{self, FaultProxy, ReservedAddress, Rule, api},
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::time::interval;

pub(crate) const TOPIC: &str = "soak";
pub(crate) const GROUP: &str = "soak-group";
const PARTITIONS_MAX: i32 = 16;
const EVERY: Duration = Duration::from_millis(500);

/// Nodes that advertise the addresses of a fault proxy, behind a name that stays when those change.
pub(crate) struct Rig {
    pub(crate) cluster: KafkaCluster,
    pub(crate) partitions: i32,
    /// What a name in DNS would be.
    name: FaultProxy,
    proxy: FaultProxy,
    addresses: Vec<ReservedAddress>,
    _name_address: ReservedAddress,
    injected_before: BTreeMap<&'static str, u64>,
    seed: u64,
}

impl Rig {
    pub(crate) async fn start(nodes: usize, partitions: i32, seed: u64) -> Self {
        let addresses: Vec<_> = (0..nodes).map(|_| ReservedAddress::free()).collect();
        let advertised: Vec<_> = addresses.iter().map(ReservedAddress::address).collect();
        let cluster = KafkaCluster::builder().nodes(nodes).advertise(&advertised).start().await;
        let proxy = FaultProxy::start(&pairs(&cluster, &addresses), seed).await;
        let name_address = ReservedAddress::free();
        let name = FaultProxy::start(&[(name_address.address(), advertised[0])], seed).await;
        Self {
            cluster,
            partitions,
            name,
            proxy,
            addresses,
            _name_address: name_address,
            injected_before: BTreeMap::new(),
            seed,
        }
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.name.bootstrap()
    }

    /// How many frames and connections the proxy harmed, by the fault's name.
    pub(crate) fn injected(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.injected_before.clone();
        for (name, count) in self.proxy.counters() {
            *all.entry(name).or_default() += count;
        }
        all
    }

    /// Does it, and undoes it. Says what exactly; nothing when there was nothing to be done.
    pub(crate) async fn befall(&mut self, fault: Fault, load: &Load, group: &mut Group) -> Option<String> {
        let partition = i32::try_from(fault.whom).unwrap() % self.partitions;
        match fault.kind {
            Kind::KillLeader => {
                let leader = self.leader(partition).await;
                self.cluster.kill(leader);
                lasts(fault.lasts).await;
                self.cluster.restart(leader).await;
                Some(format!("node {leader}"))
            }
            Kind::FreezeLeader => {
                let leader = self.leader(partition).await;
                self.cluster.pause(leader);
                lasts(fault.lasts).await;
                self.cluster.resume(leader);
                Some(format!("node {leader} for {:.1?}", fault.lasts))
            }
            Kind::RollingRestart => {
                for node in self.cluster.node_ids() {
                    self.cluster.restart(node).await;
                    self.cluster.wait_in_sync().await;
                }
                Some(String::new())
            }
            Kind::AllDown => {
                self.kill_all();
                let before = self.proxy.connections();
                lasts(fault.lasts).await;
                let tried = self.proxy.connections() - before;
                self.start_all();
                Some(format!("for {:.1?}, {tried} connections tried", fault.lasts))
            }
            Kind::NewPorts => {
                self.new_ports().await;
                Some(self.proxy.bootstrap())
            }
            Kind::FullDisk => {
                let leader = self.leader(partition).await;
                self.cluster.fill_disk(leader);
                let alive = async || (!self.cluster.is_alive(leader)).then_some(());
                eventually("Kafka gives the node up", PATIENCE, alive).await;
                self.cluster.kill(leader);
                self.cluster.restart(leader).await;
                Some(format!("node {leader}"))
            }
            Kind::MoveLeaders => Some(format!("{} times", self.move_leaders(fault.lasts).await)),
            Kind::PreferredElection => {
                for partition in 0..self.partitions {
                    // One that cannot be now, will be another time.
                    let _ = self.cluster.elect(TOPIC, partition, Election::Preferred).await;
                }
                Some(String::new())
            }
            Kind::Growth => {
                let more = self.partitions + 2;
                if more > PARTITIONS_MAX {
                    return None;
                }
                self.cluster.grow(TOPIC, more).await.unwrap();
                self.partitions = more;
                let all = usize::try_from(more).unwrap();
                group.shares(&group.running(), all).await;
                Some(format!("{more} now"))
            }
            Kind::KillMember | Kind::FreezeMember | Kind::MemberLeaves => {
                Some(self.befall_member(fault, group).await)
            }
            Kind::LostAcks | Kind::BlackHole | Kind::Latency | Kind::ShortLives => {
                let node = self.leader(partition).await;
                let rule = self.proxy.add(rule(fault.kind, node));
                if fault.kind == Kind::ShortLives {
                    // It befalls connections that are made: these are made again.
                    self.proxy.add(Rule::answers(proxy::Fault::Reset { at: 0 }).times(8));
                }
                lasts(fault.lasts).await;
                rule.remove();
                load.goes_on_for_each_key(1).await;
                Some(format!("{} for {:.1?}", rule.injected(), fault.lasts))
            }
        }
    }

    /// Waits until every node and replica is there and in sync again.
    pub(crate) async fn is_whole(&self) {
        self.cluster.wait_until_up().await;
        self.cluster.wait_in_sync().await;
    }

    async fn befall_member(&self, fault: Fault, group: &mut Group) -> String {
        let all = usize::try_from(self.partitions).unwrap();
        let running = group.running();
        let member = running[fault.whom % running.len()];
        let mut others = running.clone();
        others.retain(|other| *other != member);
        match fault.kind {
            Kind::FreezeMember => {
                group.pause(member);
                lasts(fault.lasts).await;
                group.shares(&others, all).await;
                group.resume(member, true);
                eventually("it notices", PATIENCE, async || group.has_noticed(member).then_some(())).await;
                group.shares(&running, all).await;
                return format!("member {member} for {:.1?}", fault.lasts);
            }
            Kind::KillMember => group.kill(member),
            _ => assert!(group.leave(member).await, "member {member} did not commit and leave"),
        }
        others.push(group.join());
        group.shares(&others, all).await;
        format!("member {member}, then {} comes", others.last().unwrap())
    }

    async fn leader(&self, partition: i32) -> i32 {
        self.cluster.wait_for_leader(TOPIC, partition, |_| true).await
    }

    async fn move_leaders(&self, time: Duration) -> u32 {
        let mut moved = 0;
        let mut ticks = interval(EVERY);
        for round in 0..i32::try_from(time.as_millis() / EVERY.as_millis()).unwrap() {
            ticks.tick().await;
            let partition = round % self.partitions;
            let (_, topics) = self.cluster.metadata().await;
            let Some(topic) = topics.iter().find(|topic| topic.name == TOPIC) else { continue };
            let state = &topic.partitions[usize::try_from(partition).unwrap()];
            let mut replicas = state.replicas.clone();
            while replicas[0] == state.leader {
                replicas.rotate_left(1);
            }
            moved += u32::from(self.cluster.lead_by(TOPIC, partition, &replicas).await.is_ok());
        }
        moved
    }

    fn kill_all(&self) {
        self.cluster.node_ids().for_each(|node| self.cluster.kill(node));
    }

    fn start_all(&self) {
        self.cluster.node_ids().for_each(|node| self.cluster.restart_without_waiting(node));
    }

    /// All nodes at once come back at other ports, advertise other addresses, and only the name leads to them.
    async fn new_ports(&mut self) {
        self.kill_all();
        self.injected_before = self.injected();
        let addresses: Vec<_> = self.addresses.iter().map(|_| ReservedAddress::free()).collect();
        for (node, address) in self.cluster.node_ids().zip(&addresses) {
            self.cluster.move_away(node);
            self.cluster.advertise(node, address.address());
        }
        self.proxy = FaultProxy::start(&pairs(&self.cluster, &addresses), self.seed).await;
        self.name.set_upstream(1, addresses[0].address());
        self.addresses = addresses;
        self.start_all();
    }
}

fn pairs(cluster: &KafkaCluster, addresses: &[ReservedAddress]) -> Vec<(SocketAddr, SocketAddr)> {
    let upstreams = cluster.node_ids().filter_map(|node| cluster.proxied_upstream(node));
    addresses.iter().map(ReservedAddress::address).zip(upstreams).collect()
}

fn rule(kind: Kind, node: i32) -> Rule {
    let millis = Duration::from_millis;
    match kind {
        Kind::LostAcks => Rule::answers(proxy::Fault::Reset { at: 0 }).api(api::PRODUCE).one_in(3),
        Kind::BlackHole => Rule::both_ways(proxy::Fault::BlackHole).node(node),
        Kind::ShortLives => Rule::both_ways(proxy::Fault::Life { least: millis(500), most: millis(1500) }),
        _ => Rule::both_ways(proxy::Fault::Delay { least: millis(20), jitter: millis(60) }),
    }
}
