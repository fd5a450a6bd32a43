//! Baseline A: unfused attention. All scores of a head are computed and stored, turned into
//! probabilities in a second pass, and multiplied by V in a third.
//!
//! Both products are register-tiled and blocked for the caches; heads are taken in batches whose
//! scores fit in a bounded amount of memory. Masked scores are computed and then masked.

use std::sync::{Mutex, PoisonError};

use evo_plugin::Error;
use serde::{Deserialize, Serialize};

use crate::Shape;
use crate::attention::{Attention, Pointers, is_f32};
use crate::buffer::{Scratch, Shared};
use crate::machine::{Machine, require};
use crate::rows::{RowGemm, RowProduct};
use crate::simd::table::{self, RowSoftmaxFn};
use crate::simd::{
    Elem, ExpKind, Isa, MASKED, PackRows, PackTransposed, RowSoftmax, ScaleRows, Start, StoreRows,
};
use crate::team::Team;
use crate::tiled::share;

/// Rows that a thread takes at once.
const STRIPE: usize = 48;
/// Keys whose transposed form is one block: 64 columns of `D` floats stay in the first-level cache.
const BLOCK_N: usize = 64;
/// Depth of a block of the second product.
const BLOCK_K: usize = 256;
/// Floats of scores to keep at once, where a head needs no more.
const BATCH_FLOATS: usize = 1 << 25;

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MathPlan {
    pub(crate) shape: Shape,
    pub(crate) isa: Isa,
    pub(crate) threads: usize,
    /// Heads whose scores exist at the same time.
    pub(crate) batch: usize,
}

impl MathPlan {
    /// All cores, the widest vectors.
    ///
    /// # Errors
    /// `Rejected` where memory would not suffice.
    pub(crate) fn resolve(shape: Shape, threads: usize, machine: &Machine) -> Result<Self, Error> {
        let mut plan = Self {
            shape,
            isa: machine.best(),
            threads,
            batch: 1,
        };
        plan.batch = shape
            .heads
            .min((BATCH_FLOATS / plan.floats_per_head()).max(1));
        plan.threads = threads.min(plan.batch * shape.s.div_ceil(STRIPE));
        machine.check_scratch(
            plan.scratch_bytes(),
            "math, which stores all scores of a head,",
        )?;
        Ok(plan)
    }

    /// Bytes of scratch memory over all threads.
    pub(crate) fn scratch_bytes(&self) -> u128 {
        let stripe = STRIPE * (self.shape.d + self.padded_d() + 3);
        4 * (self.batch as u128 * self.floats_per_head() as u128
            + self.threads as u128 * stripe as u128)
    }

    fn floats_per_head(&self) -> usize {
        self.scores_per_head() + self.padded_s() * (self.shape.d + self.padded_d())
    }

    fn padded_s(&self) -> usize {
        self.shape.s.next_multiple_of(BLOCK_N)
    }

    fn padded_d(&self) -> usize {
        self.shape.d.next_multiple_of(self.isa.lanes())
    }

    fn scores_per_head(&self) -> usize {
        self.shape.s * self.padded_s()
    }
}

/// A plan with its threads, functions and scratch memory.
pub(crate) struct Math<T> {
    plan: MathPlan,
    team: Team,
    product: RowProduct,
    softmax: RowSoftmaxFn,
    scale_rows: unsafe fn(&ScaleRows),
    pack_transposed: unsafe fn(&PackTransposed<T>),
    pack_rows: unsafe fn(&PackRows<T>),
    store: unsafe fn(&StoreRows<T>),
    workers: Vec<Mutex<Worker>>,
    scores: Scratch,
    k: Scratch,
    v: Scratch,
}

struct Worker {
    q: Scratch,
    o: Scratch,
    /// Maxima, sums and factors of a stripe, `STRIPE` of each.
    rows: Scratch,
}

/// What the stages of one batch share.
#[derive(Clone, Copy)]
struct Batch<T> {
    io: Pointers<T>,
    first_head: usize,
    scores: Shared<f32>,
    k: Shared<f32>,
    v: Shared<f32>,
}

impl<T: Elem> Math<T> {
    /// # Errors
    /// Where memory or the instruction set is missing.
    pub(crate) fn new(plan: MathPlan) -> Result<Self, Error> {
        require(plan.isa)?;
        let worker = || -> Result<Mutex<Worker>, Error> {
            Ok(Mutex::new(Worker {
                q: Scratch::new(STRIPE * plan.shape.d)?,
                o: Scratch::new(STRIPE * plan.padded_d())?,
                rows: Scratch::new(3 * STRIPE)?,
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
            scores: Scratch::new(plan.batch * plan.scores_per_head())?,
            k: Scratch::new(plan.batch * plan.padded_s() * plan.shape.d)?,
            v: Scratch::new(plan.batch * plan.padded_s() * plan.padded_d())?,
            plan,
        })
    }

    fn values_in_place(&self) -> bool {
        is_f32::<T>() && self.plan.padded_d() == self.plan.shape.d
    }

    /// Transposes a block of keys, and converts or pads the values beside it.
    ///
    /// # Safety
    /// `head` (counted within the batch) and `block` exist.
    unsafe fn pack(&self, batch: &Batch<T>, head: usize, block: usize) {
        let (shape, d) = (&self.plan.shape, self.plan.shape.d);
        let start = block * BLOCK_N;
        let rows = BLOCK_N.min(shape.s - start);
        let offset = (batch.first_head + head) * shape.head_elements() + start * d;
        let place = head * self.plan.padded_s() + start;
        // SAFETY: the block is inside the tensors and has its own place in the scratch memory.
        unsafe {
            (self.pack_transposed)(&PackTransposed {
                from: batch.io.k.add(offset),
                from_stride: d,
                rows,
                columns: d,
                to: batch.k.get().add(place * d),
                width: BLOCK_N,
                scale: 1.0,
            });
            if !self.values_in_place() {
                let to_stride = self.plan.padded_d();
                (self.pack_rows)(&PackRows {
                    from: batch.io.v.add(offset),
                    from_stride: d,
                    rows,
                    columns: d,
                    to: batch.v.get().add(place * to_stride),
                    to_stride,
                    scale: 1.0,
                });
            }
        }
    }

    /// The scores of a stripe of queries with all keys.
    ///
    /// # Safety
    /// `head` and `stripe` exist, and the batch is packed.
    unsafe fn scores(&self, batch: &Batch<T>, worker: &mut Worker, head: usize, stripe: usize) {
        let (shape, d) = (&self.plan.shape, self.plan.shape.d);
        let first = stripe * STRIPE;
        let rows = STRIPE.min(shape.s - first);
        let stride = self.plan.padded_s();
        // SAFETY: the stripe is inside the tensors, and its scores are this thread's alone.
        unsafe {
            let from = batch
                .io
                .q
                .add((batch.first_head + head) * shape.head_elements() + first * d);
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
            let c = batch
                .scores
                .get()
                .add(head * self.plan.scores_per_head() + first * stride);
            for start in (0..shape.s).step_by(BLOCK_N) {
                self.product.run(&RowGemm {
                    rows,
                    depth: d,
                    columns: BLOCK_N,
                    a: q,
                    a_stride: d,
                    b: batch.k.get().add((head * stride + start) * d),
                    b_stride: BLOCK_N,
                    c: c.add(start),
                    c_stride: stride,
                    start: Start::Zero,
                });
            }
        }
    }

    /// Turns the scores of a stripe into probabilities.
    ///
    /// # Safety
    /// `head` and `stripe` exist, and their scores are computed.
    unsafe fn probabilities(
        &self,
        batch: &Batch<T>,
        worker: &mut Worker,
        head: usize,
        stripe: usize,
    ) {
        let shape = &self.plan.shape;
        let first = stripe * STRIPE;
        let rows = STRIPE.min(shape.s - first);
        let stride = self.plan.padded_s();
        // SAFETY: the statistics have STRIPE elements each; the stripe is this thread's alone.
        unsafe {
            let max = worker.rows.as_mut_ptr();
            let (sum, factors) = (max.add(STRIPE), max.add(2 * STRIPE));
            for row in 0..rows {
                *max.add(row) = MASKED;
                *sum.add(row) = 0.0;
            }
            let data = batch
                .scores
                .get()
                .add(head * self.plan.scores_per_head() + first * stride);
            (self.softmax)(&RowSoftmax {
                scores: data,
                rows,
                stride,
                keys: shape.s,
                seen: if shape.causal {
                    first as i64 + 1
                } else {
                    i64::MAX
                },
                max,
                sum,
                shrink: factors,
                factor: shape.scale() * ExpKind::Poly5.prescale(),
            });
            for row in 0..rows {
                *factors.add(row) = 1.0 / *sum.add(row);
            }
            (self.scale_rows)(&ScaleRows {
                data,
                rows,
                stride,
                width: stride,
                factors,
            });
        }
    }

    /// The outputs of a stripe.
    ///
    /// # Safety
    /// `head` and `stripe` exist, and their probabilities are computed.
    unsafe fn outputs(&self, batch: &Batch<T>, worker: &mut Worker, head: usize, stripe: usize) {
        let (shape, d) = (&self.plan.shape, self.plan.shape.d);
        let first = stripe * STRIPE;
        let rows = STRIPE.min(shape.s - first);
        let (stride, o_stride) = (self.plan.padded_s(), self.plan.padded_d());
        let offset = (batch.first_head + head) * shape.head_elements();
        // SAFETY: the stripe is inside the tensors, and its outputs are this thread's alone.
        unsafe {
            let a = batch
                .scores
                .get()
                .add(head * self.plan.scores_per_head() + first * stride);
            let b = if self.values_in_place() {
                batch.io.v.add(offset).cast()
            } else {
                batch.v.get().add(head * stride * o_stride).cast_const()
            };
            let c = worker.o.as_mut_ptr();
            for start in (0..shape.s).step_by(BLOCK_K) {
                self.product.run(&RowGemm {
                    rows,
                    depth: BLOCK_K.min(shape.s - start),
                    columns: o_stride,
                    a: a.add(start),
                    a_stride: stride,
                    b: b.add(start * o_stride),
                    b_stride: o_stride,
                    c,
                    c_stride: o_stride,
                    start: if start == 0 { Start::Zero } else { Start::Keep },
                });
            }
            let ones = worker.rows.as_mut_ptr();
            for row in 0..rows {
                *ones.add(row) = 1.0;
            }
            (self.store)(&StoreRows {
                from: c,
                from_stride: o_stride,
                sum: ones,
                to: batch.io.o.add(offset + first * d),
                rows,
                columns: d,
            });
        }
    }
}

impl<T: Elem> Attention<T> for Math<T> {
    unsafe fn launch(&mut self, io: Pointers<T>) {
        let (shape, threads) = (self.plan.shape, self.plan.threads);
        let shared = [&mut self.scores, &mut self.k, &mut self.v]
            .map(|scratch| Shared::new(scratch.as_mut_ptr()));
        let this = &*self;
        for first_head in (0..shape.heads).step_by(this.plan.batch) {
            let heads = this.plan.batch.min(shape.heads - first_head);
            let [scores, k, v] = shared;
            let batch = Batch {
                io,
                first_head,
                scores,
                k,
                v,
            };
            let each = |count: usize, stage: &(dyn Fn(&mut Worker, usize, usize) + Sync)| {
                this.team.run(|thread| {
                    let Some(worker) = this.workers.get(thread) else {
                        return;
                    };
                    let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
                    for index in share(heads * count, thread, threads) {
                        stage(&mut worker, index / count, index % count);
                    }
                });
            };
            let stripes = shape.s.div_ceil(STRIPE);
            // SAFETY (all four): heads and stripes are of this batch; a stage begins when the one
            // before it has ended on all threads.
            each(shape.s.div_ceil(BLOCK_N), &|_, head, block| {
                // SAFETY: see above.
                unsafe { this.pack(&batch, head, block) }
            });
            each(stripes, &|worker, head, stripe| {
                // SAFETY: see above.
                unsafe { this.scores(&batch, worker, head, stripe) }
            });
            each(stripes, &|worker, head, stripe| {
                // SAFETY: see above.
                unsafe { this.probabilities(&batch, worker, head, stripe) }
            });
            each(stripes, &|worker, head, stripe| {
                // SAFETY: see above.
                unsafe { this.outputs(&batch, worker, head, stripe) }
            });
        }
    }
}
