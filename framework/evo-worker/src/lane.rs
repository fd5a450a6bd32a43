//! A candidate that is ready to be timed: enough buffer sets for the problem's cache policy, each
//! with an instance of its own that is bound to it.

use std::time::{Duration, Instant};

use evo_plugin::Error;
use evo_types::{CachePolicy, Outcome, Phase};

use crate::batches::Batches;
use crate::check::{Content, Slot};
use crate::element::Poison;
use crate::fault::{Fault, LaunchPlace, outcome_of, outcome_of_launch};
use crate::memory::Placement;
use crate::site::Site;
use crate::verify::Candidate;

/// Most buffer sets that launches rotate over, on the host and on a GPU: what fits into its cache
/// is launched over so quickly that few sets would stay there.
const MOST_SETS: usize = 16;
const MOST_SETS_ON_GPU: usize = 64;
/// Most bytes of all buffer sets together.
const MOST_BYTES: usize = 1 << 30;
/// Most launches that another process is asked to record: an interpreter takes a while for each.
const MOST_RECORDED_THERE: u32 = 256;
/// The sets together exceed the last-level cache by this factor.
const EXCESS: f64 = 1.5;

/// Buffer sets, launched in turn.
pub(crate) struct Lane {
    /// Recorded launches, where the site and the kernel allow it. Dropped before the buffers.
    batches: Option<Batches>,
    /// As for `batches`, where the process that the kernel works in has recorded them: launches of
    /// one replay, which begins with the first set and goes over all of them.
    recorded_there: Option<u32>,
    /// Whether a recording came to nothing.
    unrecordable: bool,
    slots: Vec<Slot>,
    next: usize,
    cache: CachePolicy,
    prepares: bool,
}

impl Lane {
    /// Loads and binds. Every set holds the same inputs, at other addresses.
    ///
    /// `share` is the part of the memory limit that this lane may use: 1 where it is alone.
    ///
    /// # Errors
    /// The outcome of a candidate that failed.
    pub(crate) fn new(
        candidate: &Candidate<'_>,
        content: &Content,
        share: f64,
    ) -> Result<Self, Fault> {
        let spec = &candidate.request.problem;
        let mut lane = Self {
            batches: None,
            recorded_there: None,
            unrecordable: false,
            slots: Vec::new(),
            next: 0,
            cache: spec.cache,
            prepares: candidate.kernel.info.prepares,
        };
        lane.add(candidate, content)?;
        let footprint = lane.slots.first().map_or(0, |slot| slot.set.footprint());
        for _ in 1..sets(&lane.site(), spec.cache, footprint, share) {
            if !lane.add(candidate, content)? {
                break;
            }
        }
        if let Some(gpu) = lane.site().gpu() {
            gpu.clear_access_window();
        }
        // What `bind` and the launches of the checks have set aside.
        lane.check_cache()?;
        Ok(lane)
    }

    /// Refuses a candidate that keeps its data in the cache beyond its launches.
    ///
    /// Lines that were marked as persisting without that, by the cache hints of loads, are replaced as
    /// others are, and not reset: `cuCtxResetPersistingL2Cache` itself makes later kernels of the process
    /// slower.
    ///
    /// # Errors
    /// The outcome `Implausible`.
    pub(crate) fn check_cache(&self) -> Result<(), Fault> {
        let Some(bytes) = self.site().gpu().and_then(|gpu| gpu.undo_set_aside()) else {
            return Ok(());
        };
        Err(Outcome::Implausible {
            message: format!(
                "it has set {bytes} bytes of the second-level cache aside for data of its own \
                 (CU_LIMIT_PERSISTING_L2_CACHE_SIZE): buffers that launches rotate over stay there, so \
                 that its times are not those of new inputs. Leave the limit as it is; hints with single \
                 loads are allowed"
            ),
        }
        .into())
    }

    /// Adds a buffer set; `false` where there is no memory for another one, which is no fault of
    /// the candidate.
    fn add(&mut self, candidate: &Candidate<'_>, content: &Content) -> Result<bool, Fault> {
        let Candidate {
            kernel,
            built,
            request,
            ..
        } = candidate;
        let mut slot = match Slot::new(kernel, built, request, Placement::Page) {
            Ok(slot) => slot,
            Err(Error::OutOfMemory(_)) if !self.slots.is_empty() => return Ok(false),
            Err(error) => return Err(outcome_of(error, Phase::Measure).into()),
        };
        slot.set.set_inputs(&content.inputs);
        slot.set.poison(Poison::First).map_err(of_launch)?;
        slot.set.push().map_err(of_launch)?;
        if self.prepares {
            slot.instance.prepare(&slot.set).map_err(of_launch)?;
        }
        slot.instance.bind(&slot.set).map_err(of_launch)?;
        self.slots.push(slot);
        Ok(true)
    }

    pub(crate) fn slots(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// The least time in seconds that a batch can tell from nothing.
    pub(crate) fn resolution(&self, clock_s: f64) -> f64 {
        self.site().resolution(clock_s)
    }

    /// Prepares batches of about so many launches; returns how many they have. Where launches can
    /// be recorded, a batch is one graph or several.
    ///
    /// # Errors
    /// The outcome of a launch that failed.
    pub(crate) fn prepare(&mut self, launches: u32) -> Result<u32, Fault> {
        // A flushed cache takes a launch, and an event, at a time.
        if self.unrecordable || self.cache == CachePolicy::Flush {
            return Ok(launches);
        }
        let gpu = match self.site() {
            Site::Host | Site::Process(_) => return Ok(launches),
            Site::CudaProcess(_, stream) => return self.prepare_there(stream, launches),
            Site::Cuda(gpu) => gpu,
        };
        let sets = self.slots.len();
        if !self
            .batches
            .as_ref()
            .is_some_and(|it| it.fit(launches, sets))
        {
            self.batches = None;
            self.batches = Batches::record(&gpu, &mut self.slots, launches).map_err(of_launch)?;
            self.unrecordable = self.batches.is_none();
        }
        let each = self.batches.as_ref().map_or(1, Batches::launches);
        Ok(launches.checked_next_multiple_of(each).unwrap_or(launches))
    }

    /// As [`prepare`](Self::prepare), where the kernel works in another process.
    fn prepare_there(&mut self, stream: u64, launches: u32) -> Result<u32, Fault> {
        let sets = u32::try_from(self.slots.len()).unwrap_or(u32::MAX).max(1);
        let each = launches
            .clamp(1, MOST_RECORDED_THERE)
            .next_multiple_of(sets);
        if self.recorded_there != Some(each) {
            // What was recorded for other batches is replaced.
            self.site().wait().map_err(of_launch)?;
            for Slot { set, instance } in &mut self.slots {
                instance.launch(set).map_err(of_launch)?;
            }
            self.recorded_there = evo_process::record(stream, each).map_err(of_launch)?;
            self.unrecordable = self.recorded_there.is_none();
        }
        let each = self.recorded_there.unwrap_or(1);
        Ok(launches.checked_next_multiple_of(each).unwrap_or(launches))
    }

    /// How batches are timed: launches of one graph, where they are recorded.
    pub(crate) fn recorded(&self) -> Option<u32> {
        let here = self.batches.as_ref().map(Batches::launches);
        here.or(self.recorded_there)
    }

    /// Launches onto every set, in the way that was timed, and waits. `false` where nothing was
    /// recorded, so that the launches of the checks are the same as the timed ones.
    ///
    /// # Errors
    /// The outcome of a launch that failed.
    pub(crate) fn replay(&mut self) -> Result<bool, Fault> {
        if let Some(launches) = self.recorded_there {
            self.next = 0;
            let queued = (0..launches).try_for_each(|_| {
                let Slot { set, instance } = self.turn()?;
                instance.launch(set)
            });
            queued
                .and_then(|()| self.site().wait())
                .map_err(of_launch)?;
            return Ok(true);
        }
        let Some(batches) = &mut self.batches else {
            return Ok(false);
        };
        // SAFETY: the slots live as long as the lane, and this waits for the stream; a lane that
        // has failed is not dropped.
        let queued = unsafe { batches.queue_all() };
        queued
            .and_then(|()| self.site().wait())
            .map_err(of_launch)?;
        Ok(true)
    }

    pub(crate) fn site(&self) -> Site {
        let slot = self.slots.first();
        slot.map_or(Site::Host, |slot| slot.instance.site().clone())
    }

    pub(crate) fn sets(&self) -> usize {
        self.slots.len()
    }

    fn turn(&mut self) -> Result<&mut Slot, Error> {
        let turn = self.next % self.slots.len().max(1);
        self.next = turn + 1;
        self.slots
            .get_mut(turn)
            .ok_or_else(|| Error::Failed("the lane is empty".to_owned()))
    }

    /// Seconds that this many launches take together.
    ///
    /// # Errors
    /// The outcome of a launch that failed.
    pub(crate) fn time(&mut self, launches: u32) -> Result<f64, Fault> {
        self.timed(launches).map_err(of_launch)
    }

    fn timed(&mut self, launches: u32) -> Result<f64, Error> {
        let site = self.site();
        if self.cache == CachePolicy::Flush {
            let mut total = 0.0;
            for _ in 0..launches {
                let Slot { set, instance } = self.turn()?;
                set.flush()?;
                let batch = site.begin()?;
                instance.launch(set)?;
                total += batch.end()?;
            }
            return Ok(total);
        }
        if let Some(batches) = &mut self.batches
            && launches.is_multiple_of(batches.launches())
        {
            let graphs = launches / batches.launches();
            let batch = site.begin()?;
            // SAFETY: the slots live as long as the lane, and the batch is waited for; a lane that
            // has failed is not dropped.
            unsafe { batches.queue(graphs) }?;
            return batch.end();
        }
        if self.recorded_there.is_some() {
            self.next = 0;
        }
        let batch = site.begin()?;
        for _ in 0..launches {
            let Slot { set, instance } = self.turn()?;
            instance.launch(set)?;
        }
        batch.end()
    }

    /// Seconds that this many executions take from inputs to result: with `prepare` and `bind`.
    ///
    /// # Errors
    /// The outcome of a launch that failed.
    pub(crate) fn time_end_to_end(&mut self, executions: u32) -> Result<f64, Fault> {
        let prepares = self.prepares;
        let flush = self.cache == CachePolicy::Flush;
        let mut total = Duration::ZERO;
        for _ in 0..executions {
            let slot = self.turn().map_err(of_launch)?;
            if flush {
                let flushed = slot.set.flush().and_then(|()| slot.instance.site().wait());
                flushed.map_err(of_launch)?;
            }
            let start = Instant::now();
            execute(slot, prepares).map_err(of_launch)?;
            total += start.elapsed();
        }
        Ok(total.as_secs_f64())
    }
}

fn execute(slot: &mut Slot, prepares: bool) -> Result<(), Error> {
    let Slot { set, instance } = slot;
    if prepares {
        instance.prepare(set)?;
    }
    instance.bind(set)?;
    instance.launch(set)?;
    instance.site().wait()
}

fn of_launch(error: Error) -> Fault {
    let place = LaunchPlace {
        phase: Phase::Measure,
        seed: 0,
    };
    outcome_of_launch(error, place).into()
}

/// How many sets of this many bytes the policy wants and the limits allow.
fn sets(site: &Site, cache: CachePolicy, footprint: usize, share: f64) -> usize {
    if cache != CachePolicy::Rotate {
        return 1;
    }
    let footprint = footprint.max(1);
    let wanted = (site.cache_bytes() as f64 * EXCESS / footprint as f64).ceil() as usize;
    let available = usize::try_from(site.available_bytes()).unwrap_or(usize::MAX) / 4;
    let most = match site.gpu() {
        None => MOST_SETS,
        Some(_) => MOST_SETS_ON_GPU,
    };
    let limit = (MOST_BYTES.min(available) as f64 * share) as usize;
    wanted.clamp(1, most).min((limit / footprint).max(1))
}

/// How many lanes of a comparison share the limit.
pub(crate) fn share(lanes: usize) -> f64 {
    1.0 / lanes.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn only_rotation_takes_several_sets_and_within_bounds() {
        assert_eq!(sets(&Site::Host, CachePolicy::Hot, 1, 1.0), 1);
        assert_eq!(sets(&Site::Host, CachePolicy::Flush, 1, 1.0), 1);
        assert_eq!(sets(&Site::Host, CachePolicy::Rotate, 1, 1.0), MOST_SETS);
        assert_eq!(sets(&Site::Host, CachePolicy::Rotate, usize::MAX, 1.0), 1);
        let l3 = device::caches().l3 as usize;
        let count = sets(&Site::Host, CachePolicy::Rotate, l3 / 4, 1.0);
        assert!(count * (l3 / 4) > l3 || count == MOST_SETS);
    }
}
