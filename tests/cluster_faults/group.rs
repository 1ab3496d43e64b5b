//! A group whose members are processes, and the book of what they handed out.

use crate::{
    child::ROLE,
    ledger::{Fate, Fates},
    load::PATIENCE,
};
use craftwire_test_support::{Child, eventually};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Says how to start this program as a child that calls [`child::play`](crate::child::play).
pub(crate) type ChildArgs = &'static [&'static str];

/// Starts this program again, in another role.
pub(crate) fn start_child(
    args: ChildArgs,
    role: &str,
    limit: Option<u32>,
    told: impl FnMut(&str) + Send + 'static,
) -> Child {
    let program = std::env::current_exe().unwrap();
    let program = program.to_str().unwrap();
    // A shell that becomes the program: the process id is the program's.
    let limit = limit.map_or(String::new(), |files| format!("ulimit -n {files}; "));
    let script = format!("{limit}exec \"$0\" \"$@\"");
    let role = format!("{ROLE}={role}");
    let mut all = vec![role.as_str(), "sh", "-c", &script, program];
    all.extend(args);
    Child::spawn("env", &all, told)
}

/// What one member told so far.
#[derive(Debug, Default)]
struct Told {
    is_up: bool,
    has_left: bool,
    owns: BTreeSet<i32>,
    next: BTreeMap<i32, i64>,
    /// Since it was continued and until it says that it lost its partitions: what it handed out.
    as_zombie: Option<u64>,
    ended_at: Option<Instant>,
}

/// What all members told so far.
#[derive(Debug)]
pub(crate) struct Book {
    started: Instant,
    members: Vec<Told>,
    /// Who handed an offset out first, and when, in milliseconds since the start; by partition and offset.
    first: BTreeMap<i32, Vec<Option<(u16, u32)>>>,
    pub(crate) handed_out: u64,
    pub(crate) again: u64,
    /// The longest time between the first hand-out of a record that came again and the end of who handed it out.
    pub(crate) oldest_again: Duration,
    pub(crate) lost_partitions: u64,
    pub(crate) truncated: u64,
    pub(crate) errors: u64,
    /// What must not be.
    pub(crate) breaches: Vec<String>,
}

impl Book {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            members: Vec::new(),
            first: BTreeMap::new(),
            handed_out: 0,
            again: 0,
            oldest_again: Duration::ZERO,
            lost_partitions: 0,
            truncated: 0,
            errors: 0,
            breaches: Vec::new(),
        }
    }

    fn told(&mut self, member: usize, line: &str) {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        let numbers = || rest.split(' ').filter_map(|word| word.parse::<i64>().ok());
        let partitions = || numbers().map(|number| i32::try_from(number).unwrap());
        let one = &mut self.members[member];
        match mark {
            "up" => one.is_up = true,
            "left" => one.has_left = true,
            "a" => {
                for partition in partitions() {
                    one.owns.insert(partition);
                    one.next.remove(&partition);
                }
            }
            "v" | "l" => {
                for partition in partitions() {
                    one.owns.remove(&partition);
                }
                if mark == "l" {
                    self.lost_partitions += u64::try_from(partitions().count()).unwrap();
                    let zombie = one.as_zombie.take().unwrap_or(0);
                    // One may have been in its handler when the process was stopped.
                    if zombie > 1 {
                        self.breaches.push(format!("member {member} handed out {zombie} before it noticed"));
                    }
                }
            }
            "r" => {
                let numbers: Vec<i64> = numbers().collect();
                // The last line of one that was killed may be cut.
                if let [partition, offset, _, _] = numbers[..] {
                    self.handed_out(member, i32::try_from(partition).unwrap(), offset);
                }
            }
            "s" => self.breaches.push(format!("member {member} was reset: {rest}")),
            "t" => {
                self.truncated += 1;
                if let Some(partition) = partitions().next() {
                    one.next.remove(&partition);
                }
            }
            "e" => {
                self.errors += 1;
                eprintln!("  member {member}: {rest}");
            }
            _ => eprintln!("  member {member} says {line}"),
        }
    }

    fn handed_out(&mut self, member: usize, partition: i32, offset: i64) {
        self.handed_out += 1;
        let one = &mut self.members[member];
        if let Some(zombie) = &mut one.as_zombie {
            *zombie += 1;
        }
        if !one.owns.contains(&partition) {
            self.breaches.push(format!("member {member} does not have partition {partition}: {offset}"));
        }
        let wanted = one.next.insert(partition, offset + 1).unwrap_or(offset);
        if wanted != offset {
            self.breaches.push(format!("member {member}, {partition}: offset {offset} in place of {wanted}"));
        }
        let now = u32::try_from(self.started.elapsed().as_millis()).unwrap();
        let place = usize::try_from(offset).unwrap();
        let offsets = self.first.entry(partition).or_default();
        offsets.resize(offsets.len().max(place + 1), None);
        match offsets[place] {
            None => offsets[place] = Some((u16::try_from(member).unwrap(), now)),
            Some((who, at)) => {
                self.again += 1;
                let first_at = self.started + Duration::from_millis(at.into());
                if let Some(ended) = self.members[usize::from(who)].ended_at {
                    self.oldest_again = self.oldest_again.max(ended.saturating_duration_since(first_at));
                }
            }
        }
    }

    /// How many records below these ends nobody handed out.
    pub(crate) fn missing(&self, ends: &BTreeMap<i32, i64>) -> u64 {
        let missing = ends.iter().map(|(partition, end)| {
            let seen = self.first.get(partition).map_or(&[][..], Vec::as_slice);
            let end = usize::try_from(*end).unwrap();
            let holes = seen.iter().take(end).filter(|first| first.is_none()).count();
            holes + end.saturating_sub(seen.len())
        });
        u64::try_from(missing.sum::<usize>()).unwrap()
    }

    /// The bytes that the book keeps.
    pub(crate) fn bytes(&self) -> usize {
        self.first.values().map(|offsets| offsets.capacity() * size_of::<Option<(u16, u32)>>()).sum()
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handed_out, again, oldest_again, lost_partitions, errors, .. } = self;
        write!(
            f,
            "{handed_out} handed out, {again} of them again (the oldest {oldest_again:.1?} old when its "
        )?;
        write!(f, "member ended), {lost_partitions} partitions lost, {errors} errors reported")
    }
}

/// Members of one group on one topic, each a process.
#[derive(Debug)]
pub(crate) struct Group {
    args: ChildArgs,
    bootstrap: String,
    name: String,
    topic: String,
    handler: Duration,
    book: Arc<Mutex<Book>>,
    running: BTreeMap<usize, Child>,
}

impl Group {
    pub(crate) fn new(args: ChildArgs, bootstrap: &str, name: &str, topic: &str) -> Self {
        Self {
            args,
            bootstrap: bootstrap.to_owned(),
            name: name.to_owned(),
            topic: topic.to_owned(),
            handler: Duration::ZERO,
            book: Arc::new(Mutex::new(Book::new())),
            running: BTreeMap::new(),
        }
    }

    /// How long a member handles each record.
    pub(crate) fn handler(mut self, each: Duration) -> Self {
        self.handler = each;
        self
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one more member; its number.
    pub(crate) fn join(&mut self) -> usize {
        let member = {
            let mut book = self.book();
            book.members.push(Told::default());
            book.members.len() - 1
        };
        let role =
            format!("member {} {} {} {}", self.bootstrap, self.name, self.topic, self.handler.as_millis());
        let book = self.book.clone();
        let child = start_child(self.args, &role, None, move |line| {
            book.lock().unwrap_or_else(PoisonError::into_inner).told(member, line);
        });
        self.running.insert(member, child);
        member
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        self.running.keys().copied().collect()
    }

    pub(crate) fn pid(&self, member: usize) -> u32 {
        self.running[&member].pid()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, member: usize) {
        self.book().members[member].ended_at = Some(Instant::now());
        self.running.remove(&member).unwrap().kill();
    }

    pub(crate) fn pause(&self, member: usize) {
        self.book().members[member].ended_at = Some(Instant::now());
        self.running[&member].pause();
    }

    /// SIGCONT. `is_late` when the group has surely dropped the member: then it may not hand out anything before it
    /// says that it lost its partitions.
    pub(crate) fn resume(&self, member: usize, is_late: bool) {
        {
            let one = &mut self.book().members[member];
            one.ended_at = None;
            one.as_zombie = (is_late && !one.owns.is_empty()).then_some(0);
        }
        self.running[&member].resume();
    }

    /// Whether a member that was continued late has said that it lost its partitions.
    pub(crate) fn has_noticed(&self, member: usize) -> bool {
        self.book().members[member].as_zombie.is_none()
    }

    /// SIGTERM: it commits and leaves. False when it did not say so.
    pub(crate) async fn leave(&mut self, member: usize) -> bool {
        let child = self.running.remove(&member).unwrap();
        child.ask_to_end();
        let ended = tokio::task::spawn_blocking(move || child.ended_within(PATIENCE)).await.unwrap();
        ended && self.book().members[member].has_left
    }

    /// Waits until these members have all partitions between them, each about as many.
    pub(crate) async fn shares(&self, members: &[usize], partitions: usize) {
        let (least, most) = (partitions / members.len(), partitions.div_ceil(members.len()));
        eventually("an even share for each member", PATIENCE, async || {
            let book = self.book();
            let owned: Vec<&BTreeSet<i32>> =
                members.iter().map(|member| &book.members[*member].owns).collect();
            let distinct: BTreeSet<i32> = owned.iter().flat_map(|owns| owns.iter().copied()).collect();
            let even = owned.iter().all(|owns| (least..=most).contains(&owns.len()));
            (even && distinct.len() == partitions).then_some(())
        })
        .await;
    }

    /// Waits until so many more records were handed out.
    pub(crate) async fn goes_on(&self, more: u64) {
        let before = self.book().handed_out;
        let enough = async || (self.book().handed_out >= before + more).then_some(());
        eventually("more records are handed out", PATIENCE, enough).await;
    }

    /// Waits until everything below these ends was handed out.
    pub(crate) async fn covers(&self, ends: &BTreeMap<i32, i64>) {
        eventually("everything was handed out", PATIENCE, async || {
            (self.book().missing(ends) == 0).then_some(())
        })
        .await;
    }
}

/// The fates that a producing child told.
pub(crate) fn read_fate(line: &str, fates: &mut Vec<Fates>) -> bool {
    let mut words = line.split(' ');
    if words.next() != Some("f") {
        return false;
    }
    let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
    let key = usize::try_from(number().unwrap()).unwrap();
    fates.resize(fates.len().max(key + 1), Fates::default());
    let fate = match line.split(' ').nth(2) {
        Some("a") => {
            let rest: Vec<i64> = line.split(' ').skip(3).map(|word| word.parse().unwrap()).collect();
            let offset = Some(rest[1]).filter(|offset| *offset >= 0);
            Fate::Acked { partition: i32::try_from(rest[0]).unwrap(), offset }
        }
        Some("n") => Fate::NotSent,
        _ => Fate::Unknown,
    };
    fates[key].push(fate);
    true
}
