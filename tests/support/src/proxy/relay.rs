//! Task: one connection between a client and a broker, and the frames on it.

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::frames::{RequestHead, Splitter, answered_correlation_id};
use super::ledger::Ledger;
use super::pour::pour;
use super::rule::Direction;
use super::rules::{End, Sight, Verdict};
use super::wiring::Wiring;

/// Frames that wait for their time; then the sender waits, as on a full wire.
const QUEUED_BYTES_MAX: usize = 16 << 20;
/// How long the other side is listened to when one has hung up.
const PARTING: Duration = Duration::from_secs(1);

/// Carries frames until the connection ends, whichever way.
pub(super) async fn relay(wiring: Arc<Wiring>, node: i32, mut client: TcpStream, upstream: SocketAddr) {
    let (number, life) = wiring.connected(node);
    let Ok(mut broker) = TcpStream::connect(upstream).await else {
        let _ = client.set_zero_linger();
        return;
    };
    // What a rule spreads over time is not to be gathered again.
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let connection = Connection { wiring: &wiring, node, number, ledger: Mutex::default() };
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_broker, to_broker) = broker.split();
        let requests = pin!(connection.carry(Direction::Request, from_client, to_broker));
        let answers = pin!(connection.carry(Direction::Answer, from_broker, to_client));
        tokio::select! {
            ended = both(requests, answers) => ended,
            () = outlive(life.map(|(_, life)| life)) => Ended::OfAge,
        }
    };
    if let (Ended::OfAge, Some((rule, _))) = (&ended, life) {
        wiring.life_ended(rule);
    }
    match ended {
        Ended::Eof => {}
        Ended::Reset => {
            let _ = (client.set_zero_linger(), broker.set_zero_linger());
        }
        Ended::Cut | Ended::OfAge => {
            drop(broker);
            let _ = client.shutdown().await;
            // Closing with bytes unread would be a reset, and could undo what was written.
            let mut rest = [0; 4096];
            let drain = async { while client.read(&mut rest).await.is_ok_and(|len| len > 0) {} };
            let _ = timeout(PARTING, drain).await;
        }
    }
}

/// How the connection came to its end.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// One side hung up, and the other has been told.
    Eof,
    Cut,
    Reset,
    OfAge,
}

async fn both(
    mut requests: impl Future<Output = Ended> + Unpin,
    mut answers: impl Future<Output = Ended> + Unpin,
) -> Ended {
    tokio::select! {
        ended = &mut requests => match ended {
            Ended::Eof => timeout(PARTING, answers).await.unwrap_or(Ended::Eof),
            other => other,
        },
        ended = &mut answers => match ended {
            Ended::Eof => timeout(PARTING, requests).await.unwrap_or(Ended::Eof),
            other => other,
        },
    }
}

async fn outlive(life: Option<Duration>) {
    match life {
        Some(life) => sleep(life).await,
        None => pending().await,
    }
}

struct Connection<'a> {
    wiring: &'a Wiring,
    node: i32,
    number: u64,
    ledger: Mutex<Ledger>,
}

/// A frame on its way.
struct Due {
    at: Instant,
    frame: Vec<u8>,
    verdict: Verdict,
}

impl Connection<'_> {
    /// Carries one direction's frames, each when it is due, in order.
    async fn carry(&self, direction: Direction, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Ended {
        let mut splitter = Splitter::default();
        let mut queue: VecDeque<Due> = VecDeque::new();
        let mut buffer = vec![0; 64 << 10];
        let mut open = true;
        let mut black_hole = false;
        let mut overtaken: Option<Due> = None;
        loop {
            let queued: usize = queue.iter().map(|due| due.frame.len()).sum();
            let next = queue.front().map(|due| due.at);
            tokio::select! {
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    let Some(due) = queue.pop_front() else { continue };
                    if let Some(ended) = self.deliver(due, &mut to).await {
                        return ended;
                    }
                }
                read = from.read(&mut buffer), if open && queued < QUEUED_BYTES_MAX => match read {
                    Err(_) if !black_hole => return Ended::Reset,
                    Ok(0) | Err(_) => {
                        open = false;
                        if !black_hole {
                            queue.extend(overtaken.take());
                            queue.push_back(Due { at: Instant::now(), frame: splitter.rest(), verdict: Verdict::default() });
                        }
                    }
                    Ok(len) => {
                        splitter.push(&buffer[..len]);
                        while let Some(frame) = splitter.pop() {
                            if !black_hole {
                                let due = self.judge(direction, frame);
                                black_hole = due.verdict.vanishes;
                                if due.verdict.swapped && overtaken.is_none() {
                                    overtaken = Some(due);
                                } else {
                                    queue.push_back(due);
                                    queue.extend(overtaken.take());
                                }
                            }
                        }
                    }
                },
                else => break,
            }
        }
        match (black_hole, direction) {
            (false, _) => {
                let _ = to.shutdown().await;
                Ended::Eof
            }
            // The client has left; the broker need not be kept.
            (true, Direction::Request) => Ended::Eof,
            // The client must not learn that the broker has hung up.
            (true, Direction::Answer) => pending().await,
        }
    }

    fn judge(&self, direction: Direction, mut frame: Vec<u8>) -> Due {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let head = match direction {
            Direction::Request => RequestHead::of(&frame).inspect(|head| ledger.asked(*head)),
            Direction::Answer => {
                let asked = ledger.answered(answered_correlation_id(&frame));
                asked.inspect(|head| self.wiring.answered(*head, &frame))
            }
        };
        let api_key = head.map(|head| head.api_key);
        let sight = Sight { node: self.node, connection: self.number, direction, api_key, len: frame.len() };
        let verdict = self.wiring.judge(sight);
        verdict.harm(&mut frame);
        Due { at: Instant::now() + verdict.delay, frame, verdict }
    }

    /// Returns how the connection is to end, if it is.
    async fn deliver(&self, due: Due, to: &mut WriteHalf<'_>) -> Option<Ended> {
        if let Some(rule) = due.verdict.held_by {
            self.wiring.removed(rule).await;
        }
        if due.verdict.vanishes {
            return None;
        }
        let (len, end) = match due.verdict.end {
            Some((at, End::Fin)) => (at, Some(Ended::Cut)),
            Some((at, End::Reset)) => (at, Some(Ended::Reset)),
            None => (due.frame.len(), None),
        };
        match pour(to, due.frame.get(..len).unwrap_or(&due.frame), &due.verdict).await {
            Ok(()) => end,
            Err(_) => Some(Ended::Reset),
        }
    }
}
