//! Makes a schedule's faults happen, and ends them.

use crate::{
    members::Members,
    random::Random,
    schedule::{BROKERS, FAULTS_UNTIL_MS, Fault, TOPICS, What},
    world::{GROUP, World},
};
use craftwire::mock::{Hooked, MockCluster};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// See the module.
pub(crate) struct Injector {
    world: World,
    started: Instant,
    /// By time: a fault's begin (`true`) or end.
    agenda: Vec<(u64, bool, usize, Fault)>,
    hooks: Vec<(usize, Hooked)>,
}

impl Injector {
    pub(crate) fn new(world: World, faults: &[Fault]) -> Self {
        let mut agenda = Vec::new();
        for (number, fault) in faults.iter().enumerate() {
            agenda.push((fault.at_ms, true, number, fault.clone()));
            agenda.push((fault.at_ms + fault.for_ms, false, number, fault.clone()));
        }
        // A fault that ends at once begins first.
        agenda.sort_by_key(|(at_ms, begins, number, _)| (*at_ms, !begins, *number));
        Self { world, started: Instant::now(), agenda, hooks: Vec::new() }
    }

    /// Returns when the last fault is over.
    pub(crate) async fn run(&mut self, members: &mut Members) {
        for (at_ms, begins, number, fault) in std::mem::take(&mut self.agenda) {
            sleep_until(self.started + Duration::from_millis(at_ms)).await;
            if begins {
                self.world.injected(&fault);
                self.begin(number, fault.what, members);
            } else {
                self.end(number, fault.what);
            }
        }
        sleep_until(self.started + Duration::from_millis(FAULTS_UNTIL_MS)).await;
    }

    /// Whatever is left of faults is taken back.
    pub(crate) fn heal(&mut self, members: &mut Members) {
        for (_, hook) in self.hooks.drain(..) {
            hook.remove();
        }
        let mock = self.world.mock();
        mock.clear_forged_leaders();
        mock.clear_replication_lags();
        for broker in 1..=BROKERS {
            mock.resume_broker(broker);
            mock.start_broker(broker).unwrap();
        }
        self.world.net().bury();
        members.ensure_one();
        let mut random = Random::of(self.world.seed(), "log cleaner");
        if random.chance(50) {
            self.clean_logs(random.chance(50));
        }
    }

    /// Whoever reads the logs from their start now meets gaps, and a start in the midst of a batch.
    fn clean_logs(&self, trims: bool) {
        for (topic, partition) in self.world.places() {
            self.world.remove_records((topic, partition), |mock, topic| {
                mock.compact(topic, partition).unwrap();
                if trims {
                    trim(mock, topic, partition);
                }
            });
        }
    }

    fn begin(&mut self, number: usize, what: What, members: &mut Members) {
        let mock = self.world.mock().clone();
        let hook = match what {
            What::StopBroker { broker } => return mock.stop_broker(broker),
            What::KillBroker { broker } => return mock.kill_broker(broker),
            What::PauseBroker { broker } => return mock.pause_broker(broker),
            What::Lag { lag_ms } => return mock.set_replication_lag(Duration::from_millis(lag_ms)),
            What::PreferredLeaders => return mock.elect_preferred_leaders(),
            What::Compact { topic, partition } => {
                return self.world.remove_records((topic, partition), |mock, topic| {
                    mock.compact(topic, partition).unwrap();
                });
            }
            What::Trim { topic, partition } => {
                return self.world.remove_records((topic, partition), |mock, topic| {
                    trim(mock, topic, partition);
                });
            }
            What::Throttle { api, throttle_ms, times } => mock.on(api).times(times).throttle(throttle_ms),
            What::Twice { api } => mock.on(api).answer_twice(),
            What::Misnamed { api } => mock.on(api).misname(),
            What::MoveLeader { topic, partition, broker } => {
                return move_leader(&mock, topic, partition, broker);
            }
            What::MoveCoordinator { broker } => return mock.move_coordinator(GROUP, broker),
            What::Fail { api, code, is_after, times } => {
                if matches!(code.0, 25 | 110) {
                    self.world.expelled();
                }
                let on = mock.on(api).times(times);
                if is_after { on.fail_after(code) } else { on.fail(code) }
            }
            What::Delay { api, delay_ms, is_after, times } => {
                let (on, by) = (mock.on(api).times(times), Duration::from_millis(delay_ms));
                if is_after { on.delay(by) } else { on.delay_before(by) }
            }
            What::Silence { api, is_after, times } => {
                let on = mock.on(api).times(times);
                if is_after { on.drop_after() } else { on.drop_before() }
            }
            What::Disconnect { api, is_after, times } => {
                let on = mock.on(api).times(times);
                if is_after { on.disconnect_after() } else { on.disconnect_before() }
            }
            What::Stale { topic, partition, broker, answers } => {
                mock.freeze_leader(TOPICS[topic].0, partition, answers).unwrap();
                return move_leader(&mock, topic, partition, broker);
            }
            What::Leaderless { topic, partition, answers } => {
                return mock.hide_leader(TOPICS[topic].0, partition, answers).unwrap();
            }
            What::Grow { topic } => {
                let name = TOPICS[topic].0;
                let count = self.world.places().iter().filter(|place| place.0 == topic).count();
                // Growing again and again would only make the run longer.
                // The controller places no replicas while it takes all brokers for dead.
                let is_led = (0..).take(count).all(|partition| mock.leader(name, partition).is_some());
                if count < 5 && is_led {
                    mock.grow_topic(name, i32::try_from(count + 1).unwrap()).unwrap();
                }
                return;
            }
            What::Expel { nth } => {
                let members: Vec<String> = mock.assignments(GROUP).into_keys().collect();
                if let Some(member) = members.get(nth % members.len().max(1)) {
                    self.world.expelled();
                    mock.expel_member(GROUP, member);
                }
                return;
            }
            What::Join { member } => return members.join(member),
            What::Leave { member } => return members.leave(member),
            What::Die { member } => return members.die(member),
            network => return self.world.net().begin(network),
        };
        self.hooks.push((number, hook));
    }

    fn end(&mut self, number: usize, what: What) {
        match what {
            What::StopBroker { broker } | What::KillBroker { broker } => {
                self.world.mock().start_broker(broker).unwrap();
            }
            What::PauseBroker { broker } => self.world.mock().resume_broker(broker),
            What::Lag { .. } => self.world.mock().clear_replication_lags(),
            _ => {}
        }
        if let Some(at) = self.hooks.iter().position(|(whose, _)| *whose == number) {
            self.hooks.remove(at).1.remove();
        }
        self.world.net().end(what);
    }
}

/// To the broker, or to the next that can lead.
fn move_leader(mock: &MockCluster, topic: usize, partition: i32, broker: i32) {
    let topic = TOPICS[topic].0;
    let leader = mock.leader(topic, partition);
    for step in 0..BROKERS {
        let candidate = (broker - 1 + step) % BROKERS + 1;
        if Some(candidate) != leader && mock.move_leader(topic, partition, candidate).is_ok() {
            return;
        }
    }
}

/// Deletes the first half of a log.
fn trim(mock: &MockCluster, topic: &str, partition: i32) {
    let start = mock.offsets(topic, partition).map_or(0, |(start, _)| start);
    let end = mock.high_watermark(topic, partition).unwrap_or(0);
    mock.delete_records(topic, partition, start.midpoint(end)).unwrap();
}
