//! Baseline B: fused attention with fixed, sensible choices.
//!
//! The classical layout: keys along the lanes, tiles of 64 queries by blocks of 64 keys, K
//! transposed once per head, online softmax row by row, tiles shared out evenly among threads.

use std::sync::{Mutex, PoisonError};

use evo_plugin::Error;
use serde::{Deserialize, Serialize};

use crate::Shape;
use crate::attention::{Attention, Pointers, is_f32};
use crate::buffer::Scratch;
use crate::machine::{Machine, require};
use crate::rows::{RowGemm, RowProduct};
use crate::simd::table::{self, RowSoftmaxFn};
use crate::simd::{
    Elem, ExpKind, Isa, MASKED, PackRows, PackTransposed, RowSoftmax, ScaleRows, Start, StoreRows,
};
use crate::team::Team;
use crate::tiled::share;

const BLOCK_M: usize = 64;
const BLOCK_N: usize = 64;

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlashPlan {
    pub(crate) shape: Shape,
    pub(crate) isa: Isa,
    pub(crate) threads: usize,
}

impl FlashPlan {
    /// All cores, the widest vectors.
    ///
    /// # Errors
    /// `Rejected` where memory would not suffice.
    pub(crate) fn resolve(shape: Shape, threads: usize, machine: &Machine) -> Result<Self, Error> {
        let threads = threads.min(shape.heads * shape.s.div_ceil(BLOCK_M));
        let plan = Self {
            shape,
            isa: machine.best(),
            threads,
        };
        machine.check_scratch(plan.scratch_bytes(), "flash")?;
        Ok(plan)
    }

    /// Bytes of scratch memory over all threads.
    pub(crate) fn scratch_bytes(&self) -> u128 {
        let head = self.padded_s() * (self.shape.d + self.padded_d());
        let tile = BLOCK_M * (self.shape.d + self.padded_d() + BLOCK_N + 3);
        4 * self.threads as u128 * (head + tile) as u128
    }

    fn padded_s(&self) -> usize {
        self.shape.s.next_multiple_of(BLOCK_N)
    }

    fn padded_d(&self) -> usize {
        self.shape.d.next_multiple_of(self.isa.lanes())
    }
}

/// A plan with its threads, functions and scratch memory.
pub(crate) struct Flash<T> {
    plan: FlashPlan,
    team: Team,
    product: RowProduct,
    softmax: RowSoftmaxFn,
    scale_rows: unsafe fn(&ScaleRows),
    pack_transposed: unsafe fn(&PackTransposed<T>),
    pack_rows: unsafe fn(&PackRows<T>),
    store: unsafe fn(&StoreRows<T>),
    workers: Vec<Mutex<Worker>>,
}

struct Worker {
    q: Scratch,
    o: Scratch,
    scores: Scratch,
    /// Maxima, sums and shrink factors, `BLOCK_M` of each.
    rows: Scratch,
    k: Scratch,
    v: Scratch,
}

impl<T: Elem> Flash<T> {
    /// # Errors
    /// Where memory or the instruction set is missing.
    pub(crate) fn new(plan: FlashPlan) -> Result<Self, Error> {
        require(plan.isa)?;
        let worker = || -> Result<Mutex<Worker>, Error> {
            Ok(Mutex::new(Worker {
                q: Scratch::new(BLOCK_M * plan.shape.d)?,
                o: Scratch::new(BLOCK_M * plan.padded_d())?,
                scores: Scratch::new(BLOCK_M * BLOCK_N)?,
                rows: Scratch::new(3 * BLOCK_M)?,
                k: Scratch::new(plan.padded_s() * plan.shape.d)?,
                v: Scratch::new(plan.padded_s() * plan.padded_d())?,
            }))
        };
        Ok(Self {
            team: Team::new(plan.threads, false)?,
            product: RowProduct::new(plan.isa)?,
            softmax: table::row_softmax(plan.isa),
            scale_rows: table::scale_rows(plan.isa),
            pack_transposed: table::pack_transposed(plan.isa),
            pack_rows: table::pack_rows(plan.isa),
            store: table::store_rows(plan.isa),
            workers: (0..plan.threads)
                .map(|_| worker())
                .collect::<Result<_, _>>()?,
            plan,
        })
    }

    /// Transposes the keys of a head block by block, and converts or pads its values.
    ///
    /// # Safety
    /// `k` and `v` point to a head.
    unsafe fn pack_head(&self, worker: &mut Worker, k: *const T, v: *const T) {
        let (s, d) = (self.plan.shape.s, self.plan.shape.d);
        for start in (0..s).step_by(BLOCK_N) {
            // SAFETY: the block is inside the head and inside the scratch memory.
            unsafe {
                (self.pack_transposed)(&PackTransposed {
                    from: k.add(start * d),
                    from_stride: d,
                    rows: BLOCK_N.min(s - start),
                    columns: d,
                    to: worker.k.as_mut_ptr().add(start * d),
                    width: BLOCK_N,
                    scale: 1.0,
                });
            }
        }
        if !self.values_in_place() {
            // SAFETY: the head has S rows and the scratch memory as many.
            unsafe {
                (self.pack_rows)(&PackRows {
                    from: v,
                    from_stride: d,
                    rows: s,
                    columns: d,
                    to: worker.v.as_mut_ptr(),
                    to_stride: self.plan.padded_d(),
                    scale: 1.0,
                });
            }
        }
    }

    fn values_in_place(&self) -> bool {
        is_f32::<T>() && self.plan.padded_d() == self.plan.shape.d
    }

    /// Computes the outputs of one tile of queries.
    ///
    /// # Safety
    /// The tile is one of the problem and its head is packed.
    unsafe fn tile(&self, io: &Pointers<T>, worker: &mut Worker, head: usize, first: usize) {
        let (shape, d) = (&self.plan.shape, self.plan.shape.d);
        let rows = BLOCK_M.min(shape.s - first);
        let offset = head * shape.head_elements() + first * d;
        let o_stride = self.plan.padded_d();
        let statistics = worker.rows.as_mut_ptr();
        // SAFETY: each part of the statistics has BLOCK_M elements; `offset` is inside the tensor.
        let (max, sum, shrink, q) = unsafe {
            for row in 0..BLOCK_M {
                *statistics.add(row) = MASKED;
                *statistics.add(BLOCK_M + row) = 0.0;
            }
            let from = io.q.add(offset);
            let q = if is_f32::<T>() {
                from.cast()
            } else {
                let to = worker.q.as_mut_ptr();
                let job = PackRows {
                    from,
                    from_stride: d,
                    rows,
                    columns: d,
                    to,
                    to_stride: d,
                    scale: 1.0,
                };
                (self.pack_rows)(&job);
                to.cast_const()
            };
            (
                statistics,
                statistics.add(BLOCK_M),
                statistics.add(2 * BLOCK_M),
                q,
            )
        };
        let keys = if shape.causal { first + rows } else { shape.s };
        for start in (0..keys).step_by(BLOCK_N) {
            let count = BLOCK_N.min(keys - start);
            let scores = worker.scores.as_mut_ptr();
            // SAFETY: the block is packed, and scratch has room for a tile and a block.
            unsafe {
                self.product.run(&RowGemm {
                    rows,
                    depth: d,
                    columns: count.next_multiple_of(self.plan.isa.lanes()),
                    a: q,
                    a_stride: d,
                    b: worker.k.as_mut_ptr().add(start * d),
                    b_stride: BLOCK_N,
                    c: scores,
                    c_stride: BLOCK_N,
                    start: Start::Zero,
                });
                (self.softmax)(&RowSoftmax {
                    scores,
                    rows,
                    stride: BLOCK_N,
                    keys: count,
                    seen: if shape.causal {
                        first as i64 + 1 - start as i64
                    } else {
                        i64::MAX
                    },
                    max,
                    sum,
                    shrink,
                    factor: shape.scale() * ExpKind::Poly5.prescale(),
                });
                let o = worker.o.as_mut_ptr();
                if start > 0 {
                    (self.scale_rows)(&ScaleRows {
                        data: o,
                        rows,
                        stride: o_stride,
                        width: o_stride,
                        factors: shrink,
                    });
                }
                let b = if self.values_in_place() {
                    io.v.add(head * shape.head_elements() + start * d).cast()
                } else {
                    worker.v.as_mut_ptr().add(start * o_stride).cast_const()
                };
                self.product.run(&RowGemm {
                    rows,
                    depth: count,
                    columns: o_stride,
                    a: scores,
                    a_stride: BLOCK_N,
                    b,
                    b_stride: o_stride,
                    c: o,
                    c_stride: o_stride,
                    start: if start == 0 { Start::Zero } else { Start::Keep },
                });
            }
        }
        // SAFETY: the tile's rows are inside the output, which no other thread writes.
        unsafe {
            (self.store)(&StoreRows {
                from: worker.o.as_mut_ptr(),
                from_stride: o_stride,
                sum,
                to: io.o.add(offset),
                rows,
                columns: d,
            });
        }
    }
}

impl<T: Elem> Attention<T> for Flash<T> {
    unsafe fn launch(&mut self, io: Pointers<T>) {
        let (shape, threads) = (self.plan.shape, self.plan.threads);
        let tiles = shape.s.div_ceil(BLOCK_M);
        let this = &*self;
        this.team.run(|thread| {
            let Some(worker) = this.workers.get(thread) else {
                return;
            };
            let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
            let mut packed = None;
            for index in share(shape.heads * tiles, thread, threads) {
                let (head, tile) = (index / tiles, index % tiles);
                // SAFETY: `head` and `tile` are of the problem; the caller vouches for the tensors.
                unsafe {
                    if packed != Some(head) {
                        let offset = head * shape.head_elements();
                        this.pack_head(&mut worker, io.k.add(offset), io.v.add(offset));
                        packed = Some(head);
                    }
                    this.tile(&io, &mut worker, head, tile * BLOCK_M);
                }
            }
        });
    }
}
