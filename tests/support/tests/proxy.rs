//! The proxy does what its rules say: on a broker that answers every request with its body, and on a real one.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use craftwire_test_support::proxy::{Direction, Fault, FaultProxy, ReservedAddress, Rule, api};
use craftwire_test_support::{KafkaCluster, eventually, fetch_metadata, require_kafka};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for a byte that is on its way to arrive.
const QUIET: Duration = Duration::from_millis(200);

/// A broker that repeats what it is asked, and tells of every request that arrives.
struct Echo {
    proxy: FaultProxy,
    arrived: mpsc::UnboundedReceiver<i32>,
    _address: ReservedAddress,
}

impl Echo {
    async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        let (tell, arrived) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(repeat(socket, tell.clone()));
            }
        });
        let address = ReservedAddress::free();
        let proxy = FaultProxy::start(&[(address.address(), upstream)], seed).await;
        Self { proxy, arrived, _address: address }
    }

    async fn connect(&self) -> TcpStream {
        let address: SocketAddr = self.proxy.bootstrap().parse().unwrap();
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }
}

async fn repeat(mut socket: TcpStream, tell: mpsc::UnboundedSender<i32>) -> std::io::Result<()> {
    loop {
        let frame = read_frame(&mut socket).await?;
        let correlation_id = i32::from_be_bytes(frame[8..12].try_into().unwrap());
        let _ = tell.send(correlation_id);
        socket.write_all(&answer(&frame)).await?;
    }
}

async fn read_frame(socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let len = socket.read_i32().await?;
    let mut frame = len.to_be_bytes().to_vec();
    frame.resize(4 + usize::try_from(len).unwrap(), 0);
    socket.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}

fn request(api_key: i16, correlation_id: i32) -> Vec<u8> {
    let mut frame = 208_i32.to_be_bytes().to_vec();
    frame.extend_from_slice(&api_key.to_be_bytes());
    frame.extend_from_slice(&[0, 3]);
    frame.extend_from_slice(&correlation_id.to_be_bytes());
    frame.extend_from_slice(&[0x5a; 200]);
    frame
}

fn answer(request: &[u8]) -> Vec<u8> {
    [&204_i32.to_be_bytes()[..], &request[8..]].concat()
}

async fn ask(socket: &mut TcpStream, api_key: i16, correlation_id: i32) -> std::io::Result<Vec<u8>> {
    socket.write_all(&request(api_key, correlation_id)).await?;
    timeout(PATIENCE, read_frame(socket)).await.expect("an answer or an end")
}

async fn ask_well(socket: &mut TcpStream, api_key: i16, correlation_id: i32) {
    let answered = ask(socket, api_key, correlation_id).await.unwrap();
    assert!(answered == answer(&request(api_key, correlation_id)), "{correlation_id}");
}

#[tokio::test]
async fn the_nth_answer_of_an_api_is_lost_after_the_deed() {
    let mut echo = Echo::start(1).await;
    let lost = echo.proxy.add(Rule::answers(Fault::Reset { at: 0 }).api(api::PRODUCE).skip(1).times(1));
    let mut socket = echo.connect().await;
    for id in 1..=3 {
        ask_well(&mut socket, if id == 1 { api::PRODUCE } else { api::FETCH }, id).await;
        assert_eq!(echo.arrived.recv().await, Some(id));
    }
    let error = ask(&mut socket, api::PRODUCE, 4).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(echo.arrived.recv().await, Some(4));
    assert_eq!((lost.injected(), echo.proxy.counters()["reset"]), (1, 1));
    ask_well(&mut echo.connect().await, api::PRODUCE, 5).await;
    assert_eq!(echo.proxy.frames(Direction::Answer, api::PRODUCE), 3);
    assert_eq!(echo.proxy.connections(), 2);
}

#[tokio::test]
async fn a_cut_answer_ends_after_the_byte_and_in_good_order() {
    let echo = Echo::start(1).await;
    for at in [0, 1, 4, 7, 100, 207, 208, 5000] {
        let _ = echo.proxy.add(Rule::answers(Fault::Cut { at }).times(1));
        let mut socket = echo.connect().await;
        // A second request that nobody reads must not turn the end into a reset.
        let requests = [request(api::METADATA, 1), request(api::METADATA, 2)].concat();
        socket.write_all(&requests).await.unwrap();
        let mut read = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut read)).await.unwrap().unwrap();
        assert!(read == answer(&requests[..212])[..at.min(208)], "{at}: {}", read.len());
    }
}

#[tokio::test]
async fn one_rule_cuts_answers_everywhere() {
    let echo = Echo::start(1).await;
    let len = answer(&request(api::METADATA, 1)).len();
    let cuts = echo.proxy.add(Rule::answers(Fault::CutEverywhere { step: 50 }).times(6));
    for at in [0, 50, 100, 150, 200, len] {
        let mut socket = echo.connect().await;
        socket.write_all(&request(api::METADATA, 1)).await.unwrap();
        let mut read = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut read)).await.unwrap().unwrap();
        assert_eq!(read.len(), at);
    }
    ask_well(&mut echo.connect().await, api::METADATA, 2).await;
    assert_eq!(cuts.injected(), 6);
    assert_eq!(echo.proxy.longest_frame(Direction::Answer, api::METADATA), len);
    assert_eq!(echo.proxy.longest_frame(Direction::Answer, api::FETCH), 0);
}

#[tokio::test]
async fn a_rule_for_one_connection_leaves_the_others_alone() {
    let echo = Echo::start(1).await;
    let rule = echo.proxy.add(Rule::answers(Fault::Reset { at: 0 }).connection(2));
    let (mut first, mut second) = (echo.connect().await, echo.connect().await);
    ask_well(&mut first, api::FETCH, 1).await;
    assert!(ask(&mut second, api::FETCH, 2).await.is_err());
    ask_well(&mut first, api::FETCH, 3).await;
    ask_well(&mut echo.connect().await, api::FETCH, 4).await;
    assert_eq!(rule.injected(), 1);
}

#[tokio::test]
async fn answers_come_under_wrong_names_twice_unasked_and_swapped() {
    let echo = Echo::start(1).await;
    let mut socket = echo.connect().await;
    let well = |id| answer(&request(api::FETCH, id));
    let mut misnamed = well(1);
    misnamed[4] ^= 0x80;
    let _ = echo.proxy.add(Rule::answers(Fault::Misname).times(1));
    assert!(ask(&mut socket, api::FETCH, 1).await.unwrap() == misnamed);

    let _ = echo.proxy.add(Rule::answers(Fault::Twice).times(1));
    ask_well(&mut socket, api::FETCH, 2).await;
    assert!(read_frame(&mut socket).await.unwrap() == well(2));

    let _ = echo.proxy.add(Rule::answers(Fault::Stray).times(1));
    assert!(ask(&mut socket, api::FETCH, 3).await.unwrap() == [0, 0, 0, 4, 0x80, 0, 0, 3]);
    assert!(read_frame(&mut socket).await.unwrap() == well(3));

    let _ = echo.proxy.add(Rule::answers(Fault::Swap).times(1));
    socket.write_all(&request(api::FETCH, 4)).await.unwrap();
    assert!(timeout(QUIET, socket.read_u8()).await.is_err(), "it waits for the next");
    assert!(ask(&mut socket, api::FETCH, 5).await.unwrap() == well(5));
    assert!(read_frame(&mut socket).await.unwrap() == well(4));
    for fault in ["wrong correlation id", "two answers", "answer to nobody", "swapped answers"] {
        assert_eq!(echo.proxy.counters()[fault], 1);
    }
}

#[tokio::test]
async fn a_black_hole_says_nothing_and_stays_on_its_connection() {
    for (rule, arrives) in [
        (Rule::both_ways(Fault::BlackHole), false),
        (Rule::requests(Fault::BlackHole), false),
        (Rule::answers(Fault::BlackHole), true),
    ] {
        let mut echo = Echo::start(1).await;
        let mut socket = echo.connect().await;
        ask_well(&mut socket, api::FETCH, 1).await;
        assert_eq!(echo.arrived.recv().await, Some(1));
        let rule = echo.proxy.add(rule);
        socket.write_all(&request(api::FETCH, 2)).await.unwrap();
        assert!(timeout(QUIET, socket.read_u8()).await.is_err(), "neither bytes nor an end");
        assert_eq!(timeout(QUIET, echo.arrived.recv()).await.ok(), arrives.then_some(Some(2)));
        rule.remove();
        socket.write_all(&request(api::FETCH, 3)).await.unwrap();
        assert!(timeout(QUIET, socket.read_u8()).await.is_err(), "the connection is gone for good");
        ask_well(&mut echo.connect().await, api::FETCH, 4).await;
    }
}

#[tokio::test]
async fn what_is_held_arrives_in_order_when_the_rule_goes() {
    let mut echo = Echo::start(1).await;
    let mut socket = echo.connect().await;
    let hold = echo.proxy.add(Rule::answers(Fault::Hold));
    for id in 1..=3 {
        socket.write_all(&request(api::FETCH, id)).await.unwrap();
        assert_eq!(echo.arrived.recv().await, Some(id));
    }
    assert!(timeout(QUIET, socket.read_u8()).await.is_err());
    hold.remove();
    for id in 1..=3 {
        let answered = timeout(PATIENCE, read_frame(&mut socket)).await.unwrap().unwrap();
        assert_eq!(answered[4..8], i32::to_be_bytes(id)[..]);
    }
    assert_eq!(hold.injected(), 1, "the first held up the others");
}

#[tokio::test]
async fn slow_frames_arrive_whole_and_late_ones_overlap() {
    let echo = Echo::start(1).await;
    let mut socket = echo.connect().await;
    let drops =
        echo.proxy.add(Rule::both_ways(Fault::OneByteWrites { pause: Duration::ZERO }).api(api::FETCH));
    let rate = echo.proxy.add(Rule::answers(Fault::Rate { bytes_per_second: 20_000 }).api(api::METADATA));
    ask_well(&mut socket, api::FETCH, 1).await;
    ask_well(&mut socket, api::METADATA, 2).await;
    assert_eq!((drops.injected(), rate.injected()), (2, 1));

    // One after the other they would take twice as long as anybody waits.
    let (late, count) = (Duration::from_millis(300), 200_i32);
    let delay = Fault::Delay { least: late, jitter: late / 30 };
    let delayed = echo.proxy.add(Rule::answers(delay).api(api::PRODUCE));
    for id in 1..=count {
        socket.write_all(&request(api::PRODUCE, id)).await.unwrap();
    }
    let all = async {
        for id in 1..=count {
            let answered = read_frame(&mut socket).await.unwrap();
            assert_eq!(answered[4..8], id.to_be_bytes()[..]);
        }
    };
    timeout(PATIENCE, all).await.unwrap();
    assert_eq!(delayed.injected(), 200);
}

#[tokio::test]
async fn one_bit_arrives_wrong_and_the_seed_says_which() {
    let harmed = async |seed| {
        let echo = Echo::start(seed).await;
        let _ = echo.proxy.add(Rule::answers(Fault::BitFlip { from: 8, spare_last: 0 }));
        let mut socket = echo.connect().await;
        let mut harmed = Vec::new();
        for id in 1..=4 {
            harmed.push(ask(&mut socket, api::FETCH, id).await.unwrap());
            let well = answer(&request(api::FETCH, id));
            let wrong: u32 =
                well.iter().zip(&harmed[harmed.len() - 1]).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!(wrong, 1);
        }
        harmed
    };
    let first = harmed(5).await;
    assert!(first == harmed(5).await && first != harmed(6).await);

    let echo = Echo::start(5).await;
    let flip = echo.proxy.add(Rule::requests(Fault::BitFlip { from: 12, spare_last: 0 }));
    let repeated = ask(&mut echo.connect().await, api::FETCH, 1).await.unwrap();
    let well = answer(&request(api::FETCH, 1));
    assert_eq!(well.iter().zip(&repeated).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>(), 1);
    assert_eq!(flip.injected(), 1);
}

#[tokio::test]
async fn short_lives_end_whatever_goes_on() {
    let echo = Echo::start(1).await;
    let (least, most) = (Duration::from_millis(20), Duration::from_millis(60));
    let rule = echo.proxy.add(Rule::both_ways(Fault::Life { least, most }).times(3));
    for id in 1..=3 {
        let mut socket = echo.connect().await;
        let ended = async { while ask(&mut socket, api::FETCH, id).await.is_ok() {} };
        timeout(PATIENCE, ended).await.unwrap();
        eventually("it is counted", PATIENCE, async || {
            (rule.injected() == u64::try_from(id).unwrap()).then_some(())
        })
        .await;
    }
    assert_eq!(echo.proxy.counters()["short life"], 3);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_a_reset_and_one_that_moved_is_found() {
    let echo = Echo::start(1).await;
    let nobody = ReservedAddress::free();
    let listener = TcpListener::bind(nobody.address()).await.unwrap();
    drop(listener);
    echo.proxy.set_upstream(1, nobody.address());
    assert!(ask(&mut echo.connect().await, api::FETCH, 1).await.is_err());
    let other = Echo::start(1).await;
    echo.proxy.set_upstream(1, other.proxy.bootstrap().parse().unwrap());
    ask_well(&mut echo.connect().await, api::FETCH, 2).await;
}

#[tokio::test]
async fn clients_of_a_real_cluster_stay_behind_the_proxy() {
    require_kafka!();
    let (proxy, kafka) = FaultProxy::in_front_of(KafkaCluster::builder(), 1, 7).await;
    let look = async |address: String| {
        tokio::task::spawn_blocking(move || fetch_metadata(&address)).await.unwrap().map_err(drop)
    };
    let (brokers, _) = look(proxy.bootstrap()).await.unwrap();
    let address = &brokers[0];
    assert_eq!(format!("{}:{}", address.host, address.port), proxy.bootstrap());
    assert_ne!(look(kafka.bootstrap()).await.unwrap().0[0].port, address.port);

    let metadata = Rule::answers(Fault::Reset { at: 0 }).api(api::METADATA).times(2);
    let lost = proxy.add(metadata);
    assert!(look(proxy.bootstrap()).await.is_err() && look(proxy.bootstrap()).await.is_err());
    assert!(look(proxy.bootstrap()).await.is_ok());
    assert_eq!(lost.injected(), 2);
    assert_eq!(proxy.frames(Direction::Request, api::METADATA), 4);
}
