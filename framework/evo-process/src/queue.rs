//! Launches wait in a queue, by stream, until the framework finishes it: a batch is one message.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use evo_plugin::Error;
use serde::Deserialize;
use serde_json::json;

use crate::connection::Connection;

/// Empty batches that are timed for [`round_trip`].
const TRIPS: usize = 25;

/// What one connection is to launch, in order: the sequence `order`, repeated, cut off after
/// `launches`. Rotation over buffer sets is such a sequence, however many launches there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Batch {
    order: Vec<u64>,
    launches: usize,
}

impl Batch {
    /// Adds a launch.
    fn push(&mut self, instance: u64) {
        if self.launches == self.order.len() && self.order.first() != Some(&instance) {
            self.order.push(instance);
        } else if self.expected() != Some(instance) {
            // No rotation after all: written out in full.
            self.order = self.sequence().collect();
            self.order.push(instance);
        }
        self.launches += 1;
    }

    fn expected(&self) -> Option<u64> {
        let turn = self.launches.checked_rem(self.order.len())?;
        self.order.get(turn).copied()
    }

    fn sequence(&self) -> impl Iterator<Item = u64> {
        self.order.iter().copied().cycle().take(self.launches)
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<(Arc<Connection>, Batch)>,
    /// The connection that was used last.
    last: Weak<Connection>,
    /// What a round trip takes, once it was measured.
    trip_s: Option<f64>,
    suspicion: Suspicion,
    /// Whether profilers are to look at what is launched.
    marked: bool,
}

/// A number for a stream that nobody else has.
pub fn new_stream() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

fn queues() -> MutexGuard<'static, BTreeMap<u64, Queue>> {
    static QUEUES: Mutex<BTreeMap<u64, Queue>> = Mutex::new(BTreeMap::new());
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a launch to a stream.
pub(crate) fn push(stream: u64, connection: &Arc<Connection>, instance: u64) {
    let mut queues = queues();
    let queue = queues.entry(stream).or_default();
    match queue.waiting.last_mut() {
        Some((last, batch)) if Arc::ptr_eq(last, connection) => batch.push(instance),
        _ => {
            let mut batch = Batch::default();
            batch.push(instance);
            queue.waiting.push((Arc::clone(connection), batch));
            queue.last = Arc::downgrade(connection);
        }
    }
}

/// Says whether profilers that are over the other side are to look at the launches of a stream from now
/// on. What is on a GPU in another process cannot be marked from here.
pub fn mark_for_profilers(stream: u64, begins: bool) {
    queues().entry(stream).or_default().marked = begins;
}

#[derive(Deserialize)]
struct Launched {
    seconds: f64,
}

fn launch(
    connection: &Connection,
    batch: &Batch,
    collect: bool,
    marked: bool,
) -> Result<f64, Error> {
    let mut fields =
        json!({ "order": batch.order, "launches": batch.launches, "collect": collect });
    if marked && let Some(fields) = fields.as_object_mut() {
        fields.insert("marked".to_owned(), json!(true));
    }
    let launched: Launched = connection.ask("launch", fields)?;
    if launched.seconds.is_finite() && launched.seconds >= 0.0 {
        return Ok(launched.seconds);
    }
    Err(Error::Implausible(format!(
        "the process reports that a batch took {} s",
        launched.seconds
    )))
}

/// What waits in a stream, and whether profilers are to look at it.
fn take_waiting(stream: u64) -> (Vec<(Arc<Connection>, Batch)>, bool) {
    let mut queues = queues();
    match queues.get_mut(&stream) {
        Some(queue) => (std::mem::take(&mut queue.waiting), queue.marked),
        None => (Vec::new(), false),
    }
}

/// Launches what waits in a stream, in order, and waits until it is done and the results are in the
/// output buffers.
///
/// # Errors
/// What the other side answered instead of launching; what waited behind that is dropped.
pub fn finish(stream: u64) -> Result<(), Error> {
    launch_waiting(stream, true).map(|_| ())
}

/// The seconds that the other side says it took; `None` where nothing waited. `collect`: results
/// that a kernel could not write into the output buffers are copied there, after the clock stopped.
fn launch_waiting(stream: u64, collect: bool) -> Result<Option<f64>, Error> {
    let mut seconds = None;
    let (waiting, marked) = take_waiting(stream);
    for (connection, batch) in &waiting {
        let took = launch(connection, batch, collect, marked)?;
        seconds = Some(seconds.unwrap_or(0.0) + took);
    }
    Ok(seconds)
}

#[derive(Deserialize)]
struct Recorded {
    launches: u32,
}

/// Has the other side record what waits in a stream, instead of launching it, for batches of so
/// many launches: the instances that wait, in turn. Returns how many launches one replay has;
/// batches of multiples of it, in the same order, are then replayed. `None` where they cannot be
/// recorded, or the other side knows no recording.
///
/// # Errors
/// Where the other side is gone.
pub fn record(stream: u64, launches: u32) -> Result<Option<u32>, Error> {
    let (waiting, _) = take_waiting(stream);
    let [(connection, batch)] = waiting.as_slice() else {
        return Ok(None);
    };
    let fields = json!({ "order": batch.order, "launches": launches });
    match connection.ask("record", fields) {
        Ok(Recorded { launches }) => Ok((launches > 0).then_some(launches)),
        Err(error @ Error::Crashed(_)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Seconds that an empty batch takes on a stream: the median of some, measured once. A batch that
/// is to be timed well takes a hundred times as long at least.
///
/// # Errors
/// Where nothing was launched on the stream yet, or the process does not answer.
pub fn round_trip(stream: u64) -> Result<f64, Error> {
    let last = queues().get(&stream).and_then(|queue| queue.last.upgrade());
    let connection = last
        .ok_or_else(|| Error::Failed(format!("nothing was launched on the stream {stream} yet")))?;
    let mut trips = Vec::with_capacity(TRIPS);
    for _ in 0..TRIPS {
        let start = Instant::now();
        launch(&connection, &Batch::default(), false, false)?;
        trips.push(start.elapsed().as_secs_f64());
    }
    trips.sort_by(f64::total_cmp);
    let trip = trips.get(TRIPS / 2).copied().unwrap_or_default();
    if let Some(queue) = queues().get_mut(&stream) {
        queue.trip_s = Some(trip);
    }
    Ok(trip)
}

/// The share of a batch's time that the two clocks may disagree by.
const TOLERANCE: f64 = 0.1;
/// Round trips that the observed time may be longer by, beyond that: one, and scheduling.
const TRIPS_ALLOWED: f64 = 20.0;
/// Batches that have to be reported too short before a process is accused: one alone was
/// interrupted by something else.
const LEAST_SHORT: u32 = 8;

/// Whose clock says how long a batch took, once both have been held against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// This process's, around the whole message.
    Ours,
    /// The other side's: events in its stream on a GPU, which leave the message out.
    Events,
}

/// As [`finish`], for a batch that began at `start`: returns the seconds that it took, after holding
/// the seconds since `start` against those that the other side reports. Results stay where they are.
///
/// A report cannot be longer than what is observed from outside: 1 % and a microsecond are allowed
/// for the reading of clocks. Nor can it be much shorter, time after time, or work is done outside
/// of what the other side calls its launches (while a message is read, or on a thread that goes
/// on): a tenth and 20 round trips are allowed, and that more than half of the batches, and 8 at
/// least, are shorter still.
///
/// # Errors
/// As for [`finish`]; [`Error::Implausible`] with both figures where they do not fit.
pub fn finish_timed(stream: u64, start: Instant, clock: Clock) -> Result<f64, Error> {
    let reported = launch_waiting(stream, false)?;
    let observed_s = start.elapsed().as_secs_f64();
    let Some(reported_s) = reported else {
        return Ok(observed_s);
    };
    let trip_s = round_trip(stream)?;
    let report = Report {
        reported_s,
        observed_s,
        trip_s,
    };
    let mut queues = queues();
    let suspicion = &mut queues.entry(stream).or_default().suspicion;
    match (suspicion.look_at(&report), clock) {
        (None, Clock::Ours) => Ok(observed_s),
        (None, Clock::Events) => Ok(reported_s),
        (Some(message), _) => Err(Error::Implausible(message)),
    }
}

/// What is known of one batch.
#[derive(Debug, Clone, Copy)]
struct Report {
    reported_s: f64,
    observed_s: f64,
    trip_s: f64,
}

impl Report {
    fn is_longer_than_can_be(&self) -> bool {
        self.reported_s > self.observed_s * 1.01 + 1e-6
    }

    fn is_short(&self) -> bool {
        let explained = self.reported_s + self.trip_s * TRIPS_ALLOWED;
        explained < self.observed_s * (1.0 - TOLERANCE)
    }

    fn figures(&self) -> String {
        format!(
            "the process reports {:.1} us for a batch that took {:.1} us as seen from outside",
            self.reported_s * 1e6,
            self.observed_s * 1e6
        )
    }
}

/// How many batches were looked at, and how many of them were reported too short.
#[derive(Debug, Clone, Copy, Default)]
struct Suspicion {
    batches: u32,
    short: u32,
}

impl Suspicion {
    fn look_at(&mut self, report: &Report) -> Option<String> {
        if report.is_longer_than_can_be() {
            return Some(format!("{}: longer than can be", report.figures()));
        }
        self.batches = self.batches.saturating_add(1);
        self.short = self.short.saturating_add(u32::from(report.is_short()));
        let guilty = self.short >= LEAST_SHORT && self.short > self.batches / 2;
        (guilty && report.is_short()).then(|| {
            format!(
                "{}, and it was like that in {} of {} batches: a round trip takes {:.1} us and \
                 does not explain it",
                report.figures(),
                self.short,
                self.batches,
                report.trip_s * 1e6
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_batch_is_what_was_pushed(launches in prop::collection::vec(1u64..4, 0..30)) {
            let mut batch = Batch::default();
            launches.iter().for_each(|instance| batch.push(*instance));
            prop_assert_eq!(batch.sequence().collect::<Vec<_>>(), launches);
        }

        #[test]
        fn a_rotation_is_short_wherever_it_begins(
            sets in 1u64..6, start in 0u64..6, launches in 0usize..500,
        ) {
            let mut batch = Batch::default();
            (0..launches as u64).for_each(|turn| batch.push((start + turn) % sets));
            prop_assert!(batch.order.len() <= sets as usize);
            prop_assert_eq!(batch.launches, launches);
        }
    }

    #[test]
    fn nothing_waits_in_an_unknown_stream() {
        assert_eq!(finish(u64::MAX), Ok(()));
        assert_eq!(record(u64::MAX, 100), Ok(None));
        assert!(round_trip(u64::MAX).is_err());
    }

    fn report(reported_s: f64, observed_s: f64) -> Report {
        Report {
            reported_s,
            observed_s,
            trip_s: 50e-6,
        }
    }

    #[test]
    fn a_report_that_is_longer_than_the_observation_is_named_at_once() {
        let mut suspicion = Suspicion::default();
        assert_eq!(suspicion.look_at(&report(10e-3, 10e-3)), None);
        let longer = suspicion.look_at(&report(11e-3, 10e-3)).unwrap();
        assert!(
            longer.contains("11000.0 us") && longer.contains("10000.0 us"),
            "{longer}"
        );
    }

    #[test]
    fn reports_that_are_short_every_time_are_named_and_a_rare_one_is_not() {
        let mut honest = Suspicion::default();
        for batch in 0..100 {
            let seen = if batch % 3 == 0 { 20e-3 } else { 10.1e-3 };
            assert_eq!(honest.look_at(&report(10e-3, seen)), None);
        }
        let mut cheat = Suspicion::default();
        let accused: Vec<String> = (0..10)
            .filter_map(|_| cheat.look_at(&report(1e-3, 10e-3)))
            .collect();
        assert_eq!(accused.len(), 3);
        assert!(
            accused[0].contains("in 8 of 8 batches: a round trip takes 50.0 us"),
            "{accused:?}"
        );
    }
}
