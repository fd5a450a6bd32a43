//! Batches of launches on a GPU, recorded once as graphs: kernels of a microsecond then follow each
//! other without waiting for the host.

use std::sync::Arc;

use evo_cuda::Graph;
use evo_plugin::Error;

use crate::check::Slot;
use crate::gpu::Gpu;

/// Most launches of one graph.
const MOST_LAUNCHES: u32 = 2048;

/// Graphs that launch over the buffer sets in turn.
#[derive(Debug)]
pub(crate) struct Batches {
    gpu: Arc<Gpu>,
    /// One where it goes over all sets; else each goes on with the set after the last one of the
    /// graph before.
    graphs: Vec<Graph>,
    /// Launches of each graph.
    launches: u32,
    next: usize,
}

/// How many launches one graph has, and how many graphs there are, for batches of so many launches
/// over so many sets.
fn plan(launches: u32, sets: u32) -> (u32, u32) {
    let (launches, sets) = (launches.clamp(1, MOST_LAUNCHES), sets.max(1));
    if launches >= sets {
        // Every set as often as the others.
        (launches.next_multiple_of(sets), 1)
    } else {
        (launches, sets.div_ceil(launches))
    }
}

impl Batches {
    /// Records graphs for batches of about so many launches. `None` where the launches cannot be
    /// recorded, or not all of what they do went into the stream: then they are queued one by one.
    ///
    /// # Errors
    /// Where the device is lost, or a launch fails also when it is not recorded.
    pub(crate) fn record(
        gpu: &Arc<Gpu>,
        slots: &mut [Slot],
        launches: u32,
    ) -> Result<Option<Self>, Error> {
        let sets = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let (launches, count) = plan(launches, sets);
        let mut graphs = Vec::new();
        let mut turn = 0usize;
        for _ in 0..count {
            let recorded = gpu.record(|| {
                for _ in 0..launches {
                    let place = turn % slots.len().max(1);
                    turn += 1;
                    if let Some(Slot { set, instance, .. }) = slots.get_mut(place) {
                        instance.launch(set)?;
                    }
                }
                Ok(())
            });
            match recorded {
                Ok(graph) if graph.nodes() >= launches as usize => graphs.push(graph),
                _ => {
                    settle(gpu, slots)?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(Self {
            gpu: Arc::clone(gpu),
            graphs,
            launches,
            next: 0,
        }))
    }

    /// Launches of each graph.
    pub(crate) fn launches(&self) -> u32 {
        self.launches
    }

    /// Whether these are the graphs that [`record`](Self::record) would make.
    pub(crate) fn fit(&self, launches: u32, sets: usize) -> bool {
        let sets = u32::try_from(sets).unwrap_or(u32::MAX);
        plan(launches, sets).0 == self.launches
    }

    /// Queues the next so many graphs.
    ///
    /// # Errors
    /// Where the device fails.
    ///
    /// # Safety
    /// The slots must live until the stream is done.
    pub(crate) unsafe fn queue(&mut self, graphs: u32) -> Result<(), Error> {
        for _ in 0..graphs {
            let place = self.next % self.graphs.len().max(1);
            self.next = place + 1;
            if let Some(graph) = self.graphs.get(place) {
                // SAFETY: as promised.
                unsafe { self.gpu.queue(graph) }?;
            }
        }
        Ok(())
    }

    /// Queues all graphs once, so that every set is launched onto.
    ///
    /// # Errors
    /// Where the device fails.
    ///
    /// # Safety
    /// As for [`queue`](Self::queue).
    pub(crate) unsafe fn queue_all(&mut self) -> Result<(), Error> {
        let count = u32::try_from(self.graphs.len()).unwrap_or(u32::MAX);
        // SAFETY: as promised.
        unsafe { self.queue(count) }
    }
}

/// Launches as usual after a recording that came to nothing: a library may still tell the next call
/// of the failure, so the second launch counts.
fn settle(gpu: &Gpu, slots: &mut [Slot]) -> Result<(), Error> {
    let Some(Slot { set, instance, .. }) = slots.first_mut() else {
        return Ok(());
    };
    let _ = instance.launch(set);
    instance.launch(set)?;
    gpu.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_launched_onto_as_often_as_the_others() {
        assert_eq!(plan(1, 1), (1, 1));
        assert_eq!(plan(1000, 64), (1024, 1));
        assert_eq!(plan(1_000_000, 64), (2048, 1));
        assert_eq!(plan(1_000_000, 7), (2051, 1));
        assert_eq!(plan(0, 0), (1, 1));
        for sets in 1..70u32 {
            for launches in 1..200 {
                let (each, graphs) = plan(launches, sets);
                assert!(each >= launches && each * graphs >= sets);
                assert!(each % sets == 0 || each < sets);
            }
        }
    }
}
