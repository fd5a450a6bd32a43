//! Which thread computes which tile, and in which order.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::config::{Config, KvOrder, Split};
use super::plan::Plan;

/// What acts at launch: threads, who computes what, and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) struct Schedule {
    pub(crate) threads: usize,
    pub(crate) split: Split,
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
