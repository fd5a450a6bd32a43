//! Which thread computes which tile, and in which order.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::config::{Config, KvOrder, Pin, Split};
use super::plan::Plan;

/// What acts at launch: threads, who computes what, and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) struct Schedule {
    pub(crate) threads: usize,
    pub(crate) split: Split,
    pub(crate) pin: Pin,
    pub(crate) kv_order: KvOrder,
}

/// A tile of queries of one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) head: usize,
    pub(crate) tile: usize,
}

impl Schedule {
    /// Resolves the part of a configuration that acts at launch.
    pub(super) fn resolve(config: &Config, plan: &Plan, cores: usize) -> Self {
        let (heads, tiles) = (plan.shape.heads, plan.tiles());
        let parts = if config.split == Split::Heads {
            heads
        } else {
            heads * tiles
        };
        let threads = config.threads.on(cores).min(parts);
        let split = match config.split {
            // Whole heads are runs of tiles where they divide evenly.
            Split::Heads if heads % threads == 0 => Split::Contiguous,
            // One tile for each thread, whatever the rule.
            Split::Strided | Split::Dynamic if threads == heads * tiles => Split::Contiguous,
            // One thread takes the tiles in their order.
            Split::Strided | Split::Dynamic if threads == 1 => Split::Contiguous,
            // One tile per head: all are as heavy.
            Split::HeavyFirst if tiles == 1 && threads == 1 => Split::Contiguous,
            Split::HeavyFirst if tiles == 1 => Split::Dynamic,
            other => other,
        };
        Self {
            threads,
            split,
            // The caller's own thread is not pinned, nor are threads without a core each.
            pin: if (2..=cores).contains(&threads) {
                config.pin
            } else {
                Pin::None
            },
            kv_order: config.kv_order,
        }
    }
}

/// The tiles of one launch as the threads take them.
pub(crate) struct Queue {
    split: Split,
    threads: usize,
    heads: usize,
    tiles: usize,
    next: AtomicUsize,
}

impl Queue {
    /// All tiles of a plan.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            split: plan.schedule.split,
            threads: plan.schedule.threads,
            heads: plan.shape.heads,
            tiles: plan.tiles(),
            next: AtomicUsize::new(0),
        }
    }

    /// Makes the queue full again. No thread may be using it.
    pub(crate) fn refill(&self) {
        self.next.store(0, Ordering::Relaxed);
    }

    /// Calls `work` with each tile that falls to a thread.
    pub(crate) fn for_thread(&self, thread: usize, mut work: impl FnMut(Item)) {
        let items = self.heads * self.tiles;
        match self.split {
            Split::Contiguous => {
                share(items, thread, self.threads).for_each(|i| work(self.item(i)))
            }
            Split::Heads => {
                let heads = share(self.heads, thread, self.threads);
                (heads.start * self.tiles..heads.end * self.tiles).for_each(|i| work(self.item(i)));
            }
            Split::Strided => (thread..items)
                .step_by(self.threads)
                .for_each(|i| work(self.item(i))),
            Split::Dynamic | Split::HeavyFirst => loop {
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                if index >= items {
                    break;
                }
                work(self.item(index));
            },
        }
    }

    fn item(&self, index: usize) -> Item {
        if self.split == Split::HeavyFirst {
            // The last tiles of all heads see the most keys.
            return Item {
                head: index % self.heads,
                tile: self.tiles - 1 - index / self.heads,
            };
        }
        Item {
            head: index / self.tiles,
            tile: index % self.tiles,
        }
    }
}

/// The part of `0..count` that falls to one of several threads; parts differ by at most one.
pub(crate) fn share(count: usize, thread: usize, threads: usize) -> Range<usize> {
    let bound = |t: usize| (count as u128 * t as u128 / threads as u128) as usize;
    bound(thread)..bound(thread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_is_computed_once_and_heavy_ones_first() {
        for split in [
            Split::Heads,
            Split::Contiguous,
            Split::Strided,
            Split::Dynamic,
            Split::HeavyFirst,
        ] {
            for (threads, heads, tiles) in [(1, 1, 1), (2, 3, 4), (5, 2, 7), (4, 9, 1)] {
                let next = AtomicUsize::new(0);
                let queue = Queue {
                    split,
                    threads,
                    heads,
                    tiles,
                    next,
                };
                // Twice: a queue can be filled again.
                for _ in 0..2 {
                    queue.refill();
                    let mut items = Vec::new();
                    for thread in 0..threads {
                        queue.for_thread(thread, |item| items.push((item.head, item.tile)));
                    }
                    if split == Split::HeavyFirst {
                        assert!(items.is_sorted_by_key(|(_, tile)| tiles - tile));
                    }
                    items.sort_unstable();
                    let all: Vec<_> = (0..heads)
                        .flat_map(|head| (0..tiles).map(move |tile| (head, tile)))
                        .collect();
                    assert_eq!(items, all, "{split:?} {threads} {heads} {tiles}");
                }
            }
        }
    }

    #[test]
    fn shares_cover_everything_evenly() {
        for (count, threads) in [(0, 3), (7, 3), (12, 4), (2, 5)] {
            let shares: Vec<_> = (0..threads)
                .map(|thread| share(count, thread, threads))
                .collect();
            assert!(shares.iter().flat_map(Clone::clone).eq(0..count));
            let longest = shares.iter().map(ExactSizeIterator::len).max();
            assert!(longest <= Some(count.div_ceil(threads)));
        }
    }
}
