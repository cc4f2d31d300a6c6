//! Sends what the requests of one thread ask at the same time as one call of the script.
//!
//! While no call is out, a group is sent at once. While one is, groups gather until it is back or they
//! are [`ENOUGH`] for another. So the cost of a call is shared by what came meanwhile, and a busy lane
//! keeps up to [`CALLS`] out. Where calls come back so fast that little gathers, though much is asked, the
//! next one waits for [`GATHER`] since the last: a call costs the server's core several spends, mostly in
//! waking up. A lane lives on the runtime of its requests, and wakes no other thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::Value;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::decode::{Reader, Told};
use super::encode::{Group, put};
use super::failure::{Executed, Failure, FailureKind};
use super::hub::{Hub, Tally};
use super::link::Link;
use super::name::Tag;
use super::script::Call;

/// Calls of one lane that are out at once.
const CALLS: usize = 4;
/// Groups for which another call is worth its fixed cost while one is out.
const ENOUGH: usize = 16;
/// Time from one call to the next of a busy lane.
const GATHER: Duration = Duration::from_micros(250);
/// Groups within [`GATHER`] that make a lane busy: some 16,000 a second.
const BUSY: usize = 4;
/// Groups of one call: the server does nothing else meanwhile, at 2 to 5 microseconds each.
const MOST_GROUPS: usize = 128;
/// Keys of one call.
const MOST_KEYS: usize = 2_048;

/// What is told of a job.
pub(super) type Answer = Result<Told, Failure>;

/// A group that waits for its answer.
pub(super) struct Job {
    pub(super) group: Group,
    pub(super) answer: oneshot::Sender<Answer>,
    pub(super) deadline: Instant,
}

/// Where jobs are put.
pub(super) type Lane = mpsc::UnboundedSender<Job>;

/// Asks the lane; the answer comes within the deadline.
pub(super) async fn ask(lane: &Lane, group: Group, deadline: Instant) -> Answer {
    put_in(lane, group, deadline).await.unwrap_or_else(|_| Err(gone()))
}

/// Puts a group into the lane.
pub(super) fn put_in(lane: &Lane, group: Group, deadline: Instant) -> oneshot::Receiver<Answer> {
    let (answer, told) = oneshot::channel();
    // Without its runtime the lane is gone, and so is the sender that the receiver waits for.
    let _ = lane.send(Job { group, answer, deadline });
    told
}

/// The failure of a lane whose runtime has ended.
pub(super) fn gone() -> Failure {
    Failure::new(FailureKind::Cut, Executed::Unknown, "the runtime of the caller has ended")
}

/// Starts a lane on the runtime that `spawn` spawns on.
pub(super) fn start(hub: Arc<Hub>, runtime: &tokio::runtime::Handle) -> Lane {
    let (lane, jobs) = mpsc::unbounded_channel();
    runtime.spawn(run(hub, jobs));
    lane
}

async fn run(hub: Arc<Hub>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let link = Link::new(hub.clone());
    let out = Arc::new(Out::default());
    let mut pace = Pace::default();
    let mut left: Option<Job> = None;
    loop {
        let first = match left.take() {
            Some(job) => job,
            None => match jobs.recv().await {
                Some(job) => job,
                None => return,
            },
        };
        let mut batch = Batch { keys: first.group.keys.len(), jobs: vec![first] };
        loop {
            while left.is_none() && batch.jobs.len() < MOST_GROUPS {
                let Ok(job) = jobs.try_recv() else { break };
                left = batch.put(job);
            }
            let calls = out.calls.load(Ordering::Relaxed);
            let full = left.is_some() || batch.jobs.len() >= ENOUGH;
            if calls == 0 && !full && pace.is_early(batch.jobs.len()) {
                // Shorter than what a timer can tell; the thread's other tasks go on.
                tokio::task::yield_now().await;
                continue;
            }
            if calls == 0 || (full && calls < CALLS) {
                break;
            }
            tokio::select! {
                () = out.back.notified() => {}
                job = jobs.recv(), if left.is_none() && batch.jobs.len() < MOST_GROUPS => match job {
                    Some(job) => left = batch.put(job),
                    // What is gathered is still sent.
                    None => break,
                },
            }
        }
        pace.sent(batch.jobs.len());
        let trip = Arc::new(Trip::start(&out));
        for batch in parts(&hub, batch.jobs) {
            let (hub, link, trip) = (hub.clone(), link.clone(), trip.clone());
            tokio::spawn(async move {
                send(&hub, &link, batch).await;
                drop(trip);
            });
        }
    }
}

/// Groups that gather for one call.
struct Batch {
    jobs: Vec<Job>,
    keys: usize,
}

impl Batch {
    /// Takes a job in, or gives it back where the call has no room for its keys.
    fn put(&mut self, job: Job) -> Option<Job> {
        let keys = self.keys + job.group.keys.len();
        if keys > MOST_KEYS {
            return Some(job);
        }
        self.keys = keys;
        self.jobs.push(job);
        None
    }
}

/// When the last calls were sent, and of how much.
#[derive(Default)]
struct Pace {
    last: Option<std::time::Instant>,
    /// Whether the lane is busy, as the last call told.
    busy: bool,
}

impl Pace {
    /// Whether a call of `groups` may still wait for more.
    fn is_early(&self, groups: usize) -> bool {
        let Some(last) = self.last.filter(|_| self.busy || groups >= BUSY) else { return false };
        last.elapsed() < GATHER
    }

    fn sent(&mut self, groups: usize) {
        let now = std::time::Instant::now();
        let since = self.last.replace(now).map_or(Duration::MAX, |last| now - last);
        // Groups for each time of gathering, at the rate since the last call.
        let gathering = GATHER.as_secs_f64() / since.max(GATHER / 16).as_secs_f64();
        self.busy = gathering * groups as f64 >= BUSY as f64;
    }
}

/// Calls that are out.
#[derive(Default)]
struct Out {
    calls: AtomicUsize,
    back: Notify,
}

/// One of them; back when it is dropped.
struct Trip(Arc<Out>);

impl Trip {
    fn start(out: &Arc<Out>) -> Self {
        out.calls.fetch_add(1, Ordering::Relaxed);
        Self(out.clone())
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
        self.0.back.notify_one();
    }
}

/// On a Cluster, one call for each tag.
fn parts(hub: &Hub, batch: Vec<Job>) -> Vec<Vec<Job>> {
    if !hub.options.cluster {
        return vec![batch];
    }
    let mut parts: HashMap<Tag, Vec<Job>, ahash::RandomState> = HashMap::default();
    for job in batch {
        parts.entry(job.group.tag).or_default().push(job);
    }
    parts.into_values().collect()
}

/// Sends a batch; what is repeatable is sent a second time where the connection broke.
async fn send(hub: &Arc<Hub>, link: &Arc<Link>, batch: Vec<Job>) {
    let left = attempt(hub, link, batch, true).await;
    if !left.is_empty() {
        Tally::add(&hub.tally.retried, left.len() as u64);
        attempt(hub, link, left, false).await;
    }
}

/// Sends a batch and hands out the answers; returns what may be sent again.
async fn attempt(hub: &Arc<Hub>, link: &Arc<Link>, batch: Vec<Job>, first: bool) -> Vec<Job> {
    let now = Instant::now();
    let (batch, late): (Vec<Job>, Vec<Job>) = batch.into_iter().partition(|job| job.deadline > now);
    for job in late {
        let executed = if first { Executed::No } else { Executed::Unknown };
        tell(job, Err(Failure::new(FailureKind::Timeout, executed, "waited too long for its turn")));
    }
    let Some(deadline) = batch.iter().map(|job| job.deadline).min() else { return Vec::new() };
    Tally::add(&hub.tally.batches, 1);
    Tally::add(&hub.tally.groups, batch.len() as u64);
    let failure = match link.call(&call(hub, &batch), deadline).await {
        Ok(Value::BulkString(answer)) => match Reader::new(&answer) {
            Some(reader) => {
                hand_out(hub, reader, batch);
                return Vec::new();
            }
            None => Failure::protocol("the script's answer is too short"),
        },
        Ok(_) => Failure::protocol("the script's answer is no string"),
        Err(failure) => failure,
    };
    let again = first && failure.kind == FailureKind::Cut;
    let (left, lost): (Vec<Job>, Vec<Job>) = batch.into_iter().partition(|job| again && job.group.repeatable);
    if failure.executed == Executed::Unknown {
        Tally::add(&hub.tally.uncertain, lost.len() as u64);
    }
    for job in lost {
        tell(job, Err(failure.clone()));
    }
    left
}

fn call(hub: &Hub, batch: &[Job]) -> Call {
    let mut keys = Vec::with_capacity(batch.len() * 2);
    let mut argument = Vec::with_capacity(16 + batch.len() * 56);
    put(&mut argument, hub.clock.floor_us());
    put(&mut argument, u64::try_from(hub.options.replay_window.as_millis()).unwrap_or(u64::MAX).max(1));
    for job in batch {
        keys.extend_from_slice(&job.group.keys);
        argument.extend_from_slice(&job.group.bytes);
    }
    let slot = match hub.options.cluster {
        true => keys.first().map_or(0, super::name::Key::slot),
        false => 0,
    };
    Call { slot, keys, argument }
}

fn hand_out(hub: &Hub, mut reader: Reader<'_>, batch: Vec<Job>) {
    hub.clock.told(reader.now_us());
    let mut broken = false;
    for job in batch {
        let told = if broken { None } else { reader.group(&job.group) };
        broken = told.is_none();
        tell(job, told.ok_or_else(|| Failure::protocol("the script's answer makes no sense")));
    }
}

fn tell(job: Job, answer: Answer) {
    // Whoever asked may have gone away.
    let _ = job.answer.send(answer);
}
