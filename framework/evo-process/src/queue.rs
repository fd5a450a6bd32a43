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

#[derive(Deserialize)]
struct Launched {
    seconds: f64,
}

fn launch(connection: &Connection, batch: &Batch) -> Result<f64, Error> {
    let fields = json!({ "order": batch.order, "launches": batch.launches });
    let launched: Launched = connection.ask("launch", fields)?;
    if launched.seconds.is_finite() && launched.seconds >= 0.0 {
        return Ok(launched.seconds);
    }
    Err(Error::Implausible(format!(
        "the process reports that a batch took {} s",
        launched.seconds
    )))
}

/// Launches what waits in a stream, in order, and waits until it is done. Returns the seconds that
/// the other side says it took, by its own clock; `None` where nothing waited.
///
/// # Errors
/// What the other side answered instead of launching; what waited behind that is dropped.
pub fn finish(stream: u64) -> Result<Option<f64>, Error> {
    let waiting = match queues().get_mut(&stream) {
        Some(queue) => std::mem::take(&mut queue.waiting),
        None => return Ok(None),
    };
    let mut seconds = None;
    for (connection, batch) in &waiting {
        seconds = Some(seconds.unwrap_or(0.0) + launch(connection, batch)?);
    }
    Ok(seconds)
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
        launch(&connection, &Batch::default())?;
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

/// Holds the seconds that the other side reports for a batch against those that were observed
/// here. The report cannot be longer than what was observed from outside; it cannot be much
/// shorter either, or the work is done outside of what the other side calls its launches (a
/// thread that goes on, a result made while the message is read).
///
/// Returns what is wrong, with both figures. Allowed: a report of up to 1 % and a microsecond
/// above the observed time (two readings of clocks), or below it by a tenth and 20 round trips.
pub fn implausible(reported_s: f64, observed_s: f64, round_trip_s: f64) -> Option<String> {
    let figures = || {
        format!(
            "the process reports {:.1} us for a batch that took {:.1} us as seen from outside",
            reported_s * 1e6,
            observed_s * 1e6
        )
    };
    if reported_s > observed_s * 1.01 + 1e-6 {
        return Some(format!("{}: longer than can be", figures()));
    }
    let unexplained = observed_s * (1.0 - TOLERANCE) - round_trip_s * TRIPS_ALLOWED - reported_s;
    (unexplained > 0.0).then(|| {
        format!(
            "{}: a round trip takes {:.1} us and does not explain the difference",
            figures(),
            round_trip_s * 1e6
        )
    })
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
        assert_eq!(finish(u64::MAX), Ok(None));
        assert!(round_trip(u64::MAX).is_err());
    }

    #[test]
    fn reports_that_cannot_be_are_named_with_both_figures() {
        let trip = 50e-6;
        assert_eq!(implausible(10e-3, 10.1e-3, trip), None);
        assert_eq!(implausible(0.0, 60e-6, trip), None);
        let longer = implausible(11e-3, 10e-3, trip).unwrap();
        assert!(
            longer.contains("11000.0 us") && longer.contains("10000.0 us"),
            "{longer}"
        );
        let shorter = implausible(1e-3, 10e-3, trip).unwrap();
        assert!(shorter.contains("a round trip takes 50.0 us"), "{shorter}");
    }
}
