//! Executing a plan.

use std::sync::{Mutex, PoisonError};

use evo_plugin::Error;

use super::config::{KvOrder, Packing, Pin, Rescale};
use super::plan::Plan;
use super::schedule::{Item, Queue, share};
use super::source::{Source, Which};
use crate::attention::{Attention, Pointers};
use crate::buffer::{Scratch, Shared};
use crate::machine::require;
use crate::simd::table::{self, GemmFn, TileSoftmaxFn};
use crate::simd::{
    Elem, ExpKind, Gemm, MASKED, PackTransposed, Prefetch, Start, StoreTransposed, TileSoftmax,
};
use crate::team::Team;

/// A plan with its threads, functions and scratch memory.
pub(crate) struct Tiled<T> {
    plan: Plan,
    team: Team,
    queue: Queue,
    k: Source<T>,
    v: Source<T>,
    functions: Functions<T>,
    /// What the scores are multiplied by before the exponential.
    factor: f32,
    threshold: f32,
    workers: Vec<Mutex<Worker>>,
    shared_k: Scratch,
    shared_v: Scratch,
}

/// The compiled kernels that a plan uses.
struct Functions<T> {
    scores: GemmFn,
    output: GemmFn,
    softmax: TileSoftmaxFn,
    pack_q: unsafe fn(&PackTransposed<T>),
    pack_q_bits: unsafe fn(&PackTransposed<f32>),
    store: unsafe fn(&StoreTransposed<T>),
}

/// The scratch memory of one thread.
struct Worker {
    /// Transposed queries of a tile, group after group.
    q: Scratch,
    /// Transposed outputs of a tile, group after group.
    o: Scratch,
    max: Scratch,
    sum: Scratch,
    shrink: Scratch,
    scores: Scratch,
    k: Scratch,
    v: Scratch,
    /// The head whose K and V are packed here, within one launch.
    head: Option<usize>,
}

impl Worker {
    fn new<T: Elem>(plan: &Plan, k: &Source<T>, v: &Source<T>) -> Result<Self, Error> {
        let blocks = plan.blocks();
        let keys = plan.block_n.next_multiple_of(plan.qk_rows);
        Ok(Self {
            q: Scratch::new(plan.block_m * plan.depth())?,
            o: Scratch::new(plan.block_m * plan.padded_d())?,
            max: Scratch::new(plan.block_m)?,
            sum: Scratch::new(plan.block_m)?,
            shrink: Scratch::new(plan.group())?,
            scores: Scratch::new(keys * plan.group())?,
            k: Scratch::new(k.thread_floats(blocks))?,
            v: Scratch::new(v.thread_floats(blocks))?,
            head: None,
        })
    }
}

/// A tile under way.
struct Tile<'a, T> {
    worker: &'a mut Worker,
    /// This head's part of each tensor.
    k: *const T,
    v: *const T,
    /// Packed K and V: the head's blocks, or room for one block.
    packed_k: *mut f32,
    packed_v: *mut f32,
    /// The first query, and the number of queries.
    first: usize,
    queries: usize,
}

impl<T: Elem> Tiled<T> {
    /// Allocates everything that launches use.
    ///
    /// # Errors
    /// Where memory or the instruction set is missing.
    pub(crate) fn new(plan: Plan) -> Result<Self, Error> {
        require(plan.isa)?;
        let missing =
            || Error::Failed("the plan names a register tile that is not compiled".to_owned());
        let k = Source::new(Which::K, &plan);
        let v = Source::new(Which::V, &plan);
        let functions = Functions {
            scores: table::gemm(plan.isa, plan.qk_rows, plan.vecs, k.depth_unit())
                .ok_or_else(missing)?,
            output: table::gemm(plan.isa, plan.pv_rows, plan.vecs, false).ok_or_else(missing)?,
            softmax: table::tile_softmax(plan.isa, plan.exp, plan.dot),
            pack_q: table::pack_transposed(plan.isa),
            pack_q_bits: table::pack_transposed(plan.isa),
            store: table::store_transposed(plan.isa),
        };
        let workers = (0..plan.schedule.threads)
            .map(|_| Worker::new(&plan, &k, &v).map(Mutex::new))
            .collect::<Result<_, _>>()?;
        let all_blocks = plan.shape.heads * plan.blocks();
        let unit = if plan.exp == ExpKind::Exact {
            std::f32::consts::LN_2
        } else {
            1.0
        };
        Ok(Self {
            team: Team::new(plan.schedule.threads, plan.schedule.pin == Pin::Cores)?,
            queue: Queue::new(&plan),
            functions,
            factor: plan.shape.scale() * plan.exp.prescale(),
            threshold: if plan.rescale == Rescale::Lazy {
                8.0 * unit
            } else {
                0.0
            },
            workers,
            shared_k: Scratch::new(k.shared_floats(all_blocks))?,
            shared_v: Scratch::new(v.shared_floats(all_blocks))?,
            k,
            v,
            plan,
        })
    }

    /// Packs the share of a thread of what all threads read.
    fn pack_shared(&self, io: &Pointers<T>, shared: [Shared<f32>; 2], thread: usize) {
        let blocks = self.plan.blocks();
        let head_elements = self.plan.shape.head_elements();
        let tensors = [(&self.k, io.k, shared[0]), (&self.v, io.v, shared[1])];
        for index in share(
            self.plan.shape.heads * blocks,
            thread,
            self.plan.schedule.threads,
        ) {
            for (source, tensor, to) in tensors {
                if source.packing() == Packing::Shared {
                    // SAFETY: every block has its own place in the shared memory and is packed by
                    // one thread; blocks are inside the tensor.
                    unsafe {
                        let head = tensor.add(index / blocks * head_elements);
                        let to = to.get().add(index * source.block_floats);
                        source.pack(head, index % blocks, to);
                    }
                }
            }
        }
    }

    /// Computes one tile from the first key to the stored output.
    fn tile(&self, io: &Pointers<T>, shared: [Shared<f32>; 2], worker: &mut Worker, item: Item) {
        let plan = &self.plan;
        let blocks = plan.blocks();
        let offset = item.head * plan.shape.head_elements();
        let first = item.tile * plan.block_m;
        // SAFETY: `item` is a tile of the problem, so every address below is inside the tensors
        // or inside the scratch memory, which has room for a whole tile.
        unsafe {
            let place = |source: &Source<T>, own: &mut Scratch, shared: Shared<f32>| {
                if source.packing() == Packing::Shared {
                    shared.get().add(item.head * blocks * source.block_floats)
                } else {
                    own.as_mut_ptr()
                }
            };
            let packed_k = place(&self.k, &mut worker.k, shared[0]);
            let packed_v = place(&self.v, &mut worker.v, shared[1]);
            let (k, v) = (io.k.add(offset), io.v.add(offset));
            if worker.head != Some(item.head) {
                worker.head = Some(item.head);
                self.pack_head(&self.k, k, packed_k);
                self.pack_head(&self.v, v, packed_v);
            }
            let queries = plan.block_m.min(plan.shape.s - first);
            let mut tile = Tile {
                worker,
                k,
                v,
                packed_k,
                packed_v,
                first,
                queries,
            };
            self.begin(&mut tile, io.q.add(offset));
            self.all_blocks(&mut tile, item.tile);
            self.finish(&mut tile, io.o.add(offset));
        }
    }

    /// # Safety
    /// As [`Source::pack`], for all blocks of a head.
    unsafe fn pack_head(&self, source: &Source<T>, head: *const T, to: *mut f32) {
        if source.packing() == Packing::Head {
            for block in 0..self.plan.blocks() {
                // SAFETY: `to` has room for all blocks of the head.
                unsafe { source.pack(head, block, to.add(block * source.block_floats)) };
            }
        }
    }

    /// Transposes the queries of a tile and resets its statistics.
    ///
    /// # Safety
    /// `q` is the tile's head of the tensor.
    unsafe fn begin(&self, tile: &mut Tile<'_, T>, q: *const T) {
        let (plan, group) = (&self.plan, self.plan.group());
        let worker = &mut *tile.worker;
        for start in (0..tile.queries).step_by(group) {
            let rows = group.min(tile.queries - start);
            // SAFETY: the group's queries are inside the tensor; scratch has room for all groups.
            unsafe {
                let from = q.add((tile.first + start) * plan.shape.d);
                let to = worker.q.as_mut_ptr().add(start * plan.depth());
                let (columns, width, scale) = (plan.depth(), group, 1.0);
                if plan.dot {
                    (self.functions.pack_q_bits)(&PackTransposed {
                        from: from.cast(),
                        from_stride: plan.depth(),
                        rows,
                        columns,
                        to,
                        width,
                        scale,
                    });
                } else {
                    (self.functions.pack_q)(&PackTransposed {
                        from,
                        from_stride: plan.shape.d,
                        rows,
                        columns,
                        to,
                        width,
                        scale,
                    });
                }
                for lane in start..start + group {
                    *worker.max.as_mut_ptr().add(lane) = MASKED * self.factor;
                    *worker.sum.as_mut_ptr().add(lane) = 0.0;
                }
            }
        }
    }

    /// Goes through the blocks of keys that the tile sees.
    ///
    /// # Safety
    /// The tile was begun.
    unsafe fn all_blocks(&self, tile: &mut Tile<'_, T>, number: usize) {
        let plan = &self.plan;
        let last_query = tile.first + tile.queries - 1;
        let keys = if plan.shape.causal {
            last_query + 1
        } else {
            plan.shape.s
        };
        let blocks = keys.div_ceil(plan.block_n);
        let backwards = plan.schedule.kv_order == KvOrder::Serpentine && number % 2 == 1;
        let at = |step: usize| if backwards { blocks - 1 - step } else { step };
        // Whether the outputs of a group hold anything yet, is seen from the first block on.
        for step in 0..blocks {
            let block = at(step);
            let ahead = |distance: usize| {
                let later = step + distance;
                (plan.prefetch > 0 && later < blocks).then(|| at(later))
            };
            let near = plan.prefetch == 1;
            // SAFETY: the block is inside the head, and prefetching reads nothing.
            unsafe {
                for (source, head, packed) in [
                    (&self.k, tile.k, tile.packed_k),
                    (&self.v, tile.v, tile.packed_v),
                ] {
                    let held = matches!(source.packing(), Packing::Head | Packing::Shared);
                    if !held && source.thread_floats(1) > 0 {
                        source.pack(head, block, packed);
                    }
                }
                let fetch_v = ahead(plan.prefetch.saturating_sub(1))
                    .map_or(Prefetch::NONE, |later| {
                        self.v.prefetch(tile.v, later, tile.packed_v, near)
                    });
                let fetch_k = ahead(plan.prefetch).map_or(Prefetch::NONE, |later| {
                    self.k.prefetch(tile.k, later, tile.packed_k, near)
                });
                self.block(tile, block, [fetch_k, fetch_v], backwards);
            }
        }
    }

    /// One block of keys for every group of the tile.
    ///
    /// # Safety
    /// The tile was begun and the block is packed.
    unsafe fn block(
        &self,
        tile: &mut Tile<'_, T>,
        block: usize,
        mut fetch: [Prefetch; 2],
        backwards: bool,
    ) {
        let (plan, group) = (&self.plan, self.plan.group());
        let start_key = block * plan.block_n;
        let place = |source: &Source<T>, packed: *mut f32| match source.packing() {
            Packing::Head | Packing::Shared => packed.wrapping_add(block * source.block_floats),
            Packing::None | Packing::Block => packed,
        };
        // SAFETY: the block is packed; see `tile` for the addresses.
        let (k, v) = unsafe {
            (
                self.k.operand(tile.k, block, place(&self.k, tile.packed_k)),
                self.v.operand(tile.v, block, place(&self.v, tile.packed_v)),
            )
        };
        for start in (0..tile.queries).step_by(group) {
            let first = tile.first + start;
            let seen = |query: usize| {
                if plan.shape.causal {
                    query + 1
                } else {
                    plan.shape.s
                }
            };
            let last = first + group.min(tile.queries - start) - 1;
            let end = seen(last).min(start_key + plan.block_n).min(plan.shape.s);
            if end <= start_key {
                continue;
            }
            let keys = end - start_key;
            let opening = if backwards {
                seen(last).div_ceil(plan.block_n) - 1
            } else {
                0
            };
            let worker = &mut *tile.worker;
            // SAFETY: the group's part of each scratch buffer is inside it.
            unsafe {
                let scores = worker.scores.as_mut_ptr();
                (self.functions.scores)(&Gemm {
                    rows: keys,
                    depth: plan.depth(),
                    a: k.a,
                    a_panel: k.panel,
                    a_stride: k.stride,
                    padded: self.k.padded(),
                    b: worker.q.as_mut_ptr().add(start * plan.depth()),
                    b_stride: group,
                    c: scores,
                    c_stride: group,
                    start: Start::Zero,
                    prefetch: std::mem::replace(&mut fetch[1], Prefetch::NONE),
                });
                let shrink = worker.shrink.as_mut_ptr();
                let moved = (self.functions.softmax)(&TileSoftmax {
                    scores,
                    keys,
                    vecs: plan.vecs,
                    unmasked: seen(first).saturating_sub(start_key).min(keys),
                    first_seer: start_key as f32 - first as f32,
                    max: worker.max.as_mut_ptr().add(start),
                    sum: worker.sum.as_mut_ptr().add(start),
                    shrink,
                    factor: self.factor,
                    threshold: self.threshold,
                });
                (self.functions.output)(&Gemm {
                    rows: plan.shape.d,
                    depth: plan.v_rows(keys),
                    a: v.a,
                    a_panel: v.panel,
                    a_stride: v.stride,
                    padded: self.v.padded(),
                    b: scores,
                    b_stride: group,
                    c: worker.o.as_mut_ptr().add(start * plan.padded_d()),
                    c_stride: group,
                    start: match plan.rescale {
                        _ if block == opening => Start::Zero,
                        Rescale::Grown | Rescale::Lazy if !moved => Start::Keep,
                        _ => Start::Scale(shrink),
                    },
                    prefetch: std::mem::replace(&mut fetch[0], Prefetch::NONE),
                });
            }
        }
    }

    /// Divides by the sums and stores the outputs of a tile.
    ///
    /// # Safety
    /// `o` is the tile's head of the output, and no other thread writes this tile.
    unsafe fn finish(&self, tile: &mut Tile<'_, T>, o: *mut T) {
        let (plan, group) = (&self.plan, self.plan.group());
        for start in (0..tile.queries).step_by(group) {
            // SAFETY: the group's outputs are inside the tensor and its scratch inside the buffers.
            unsafe {
                (self.functions.store)(&StoreTransposed {
                    from: tile.worker.o.as_mut_ptr().add(start * plan.padded_d()),
                    width: group,
                    sum: tile.worker.sum.as_mut_ptr().add(start),
                    to: o.add((tile.first + start) * plan.shape.d),
                    rows: group.min(tile.queries - start),
                    columns: plan.shape.d,
                });
            }
        }
    }
}

impl<T: Elem> Attention<T> for Tiled<T> {
    unsafe fn launch(&mut self, io: Pointers<T>) {
        let shared = [
            Shared::new(self.shared_k.as_mut_ptr()),
            Shared::new(self.shared_v.as_mut_ptr()),
        ];
        let this = &*self;
        let packs = [&this.k, &this.v]
            .iter()
            .any(|source| source.packing() == Packing::Shared);
        if packs {
            this.team
                .run(|thread| this.pack_shared(&io, shared, thread));
        }
        this.queue.refill();
        this.team.run(|thread| {
            let Some(worker) = this.workers.get(thread) else {
                return;
            };
            let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
            // What an earlier launch packed belongs to other inputs.
            worker.head = None;
            this.queue
                .for_thread(thread, |item| this.tile(&io, shared, &mut worker, item));
        });
    }
}
