//! Blocks of K and V as the micro-kernels read them: in place, converted, or in panels.

use super::config::Packing;
use super::plan::Plan;
use crate::simd::table;
use crate::simd::{Elem, PackColumns, PackPanels, PackRows, Prefetch};

/// The `A` of a product: see [`crate::simd::Gemm`].
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub(super) a: *const f32,
    pub(super) panel: usize,
    pub(super) stride: usize,
}

/// Which of the two matrices.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Keys: register tiles of whole rows.
    K,
    /// Values: register tiles of columns.
    V,
}

/// How blocks of one matrix are brought into the form that the products want.
#[derive(Clone, Copy)]
pub(super) struct Source<T> {
    which: Which,
    packing: Packing,
    /// Whether the tensor itself is read by the products.
    in_place: bool,
    dot: bool,
    d: usize,
    depth: usize,
    rows_per_panel: usize,
    s: usize,
    block_n: usize,
    /// Floats from one packed block to the next.
    pub(super) block_floats: usize,
    pack_rows: unsafe fn(&PackRows<T>),
    pack_panels: unsafe fn(&PackPanels<T>),
    pack_panels_bits: unsafe fn(&PackPanels<f32>),
    pack_columns: unsafe fn(&PackColumns<T>),
}

impl<T: Elem> Source<T> {
    pub(super) fn new(which: Which, plan: &Plan) -> Self {
        let packing = if which == Which::K {
            plan.pack_k
        } else {
            plan.pack_v
        };
        let is_f32 = crate::attention::is_f32::<T>();
        Self {
            which,
            packing,
            in_place: packing == Packing::None && (is_f32 || (plan.dot && which == Which::K)),
            dot: plan.dot,
            d: plan.shape.d,
            depth: plan.depth(),
            rows_per_panel: if which == Which::K {
                plan.qk_rows
            } else {
                plan.pv_rows
            },
            s: plan.shape.s,
            block_n: plan.block_n,
            block_floats: if which == Which::K {
                plan.k_block_floats()
            } else {
                plan.v_block_floats()
            },
            pack_rows: table::pack_rows(plan.isa),
            pack_panels: table::pack_panels(plan.isa),
            pack_panels_bits: table::pack_panels(plan.isa),
            pack_columns: table::pack_columns(plan.isa, plan.dot && which == Which::V),
        }
    }

    /// Whether the products need `DEPTH_UNIT`: rows whose elements lie side by side.
    pub(super) fn depth_unit(&self) -> bool {
        self.which == Which::K && self.packing == Packing::None
    }

    /// Whether panels, and the rows of the result, are padded.
    pub(super) fn padded(&self) -> bool {
        self.packing != Packing::None
    }

    /// Floats of scratch that each thread needs, for `blocks` blocks per head.
    pub(super) fn thread_floats(&self, blocks: usize) -> usize {
        match self.packing {
            Packing::Shared => 0,
            Packing::Head => blocks * self.block_floats,
            Packing::None if self.in_place => 0,
            Packing::None | Packing::Block => self.block_floats,
        }
    }

    /// Floats that all threads share, for `blocks` blocks over all heads.
    pub(super) fn shared_floats(&self, blocks: usize) -> usize {
        if self.packing == Packing::Shared {
            blocks * self.block_floats
        } else {
            0
        }
    }

    pub(super) fn packing(&self) -> Packing {
        self.packing
    }

    fn keys(&self, block: usize) -> usize {
        self.block_n.min(self.s - block * self.block_n)
    }

    /// Brings a block into the form that [`operand`](Self::operand) describes.
    ///
    /// # Safety
    /// `head` points to a head of the tensor; `to` has room for `block_floats` floats and a
    /// vector; the CPU has the plan's instruction set.
    pub(super) unsafe fn pack(&self, head: *const T, block: usize, to: *mut f32) {
        let rows = self.keys(block);
        // SAFETY: the block is inside the head, and its packed form inside `to`.
        unsafe {
            let from = head.add(block * self.block_n * self.d);
            let (from_stride, columns) = (self.d, self.d);
            match (self.which, self.padded()) {
                (Which::K, false) => (self.pack_rows)(&PackRows {
                    from,
                    from_stride,
                    rows,
                    columns,
                    to,
                    to_stride: self.d,
                    scale: 1.0,
                }),
                // A pair of bf16 moves like one float.
                (Which::K, true) if self.dot => (self.pack_panels_bits)(&PackPanels {
                    from: from.cast(),
                    from_stride: self.depth,
                    rows,
                    columns: self.depth,
                    to,
                    panel: self.rows_per_panel,
                }),
                (Which::K, true) => (self.pack_panels)(&PackPanels {
                    from,
                    from_stride,
                    rows,
                    columns,
                    to,
                    panel: self.rows_per_panel,
                }),
                (Which::V, padded) => (self.pack_columns)(&PackColumns {
                    from,
                    from_stride,
                    rows,
                    columns,
                    to,
                    // One panel as wide as a row is a row-major matrix.
                    panel: if padded { self.rows_per_panel } else { self.d },
                }),
            }
        }
    }

    /// Where the products find a block, given where [`pack`](Self::pack) put it.
    ///
    /// # Safety
    /// As [`pack`](Self::pack).
    pub(super) unsafe fn operand(
        &self,
        head: *const T,
        block: usize,
        packed: *const f32,
    ) -> Operand {
        let a = if self.in_place {
            // SAFETY: the block is inside the head.
            unsafe { head.add(block * self.block_n * self.d).cast() }
        } else {
            packed
        };
        let rows = self.keys(block);
        let tile = self.rows_per_panel;
        let (panel, stride) = match (self.which, self.padded()) {
            (Which::K, false) => (tile * self.depth, self.depth),
            (Which::K, true) => (tile * self.depth, tile),
            (Which::V, false) => (tile, self.d),
            (Which::V, true) => (tile * if self.dot { rows.div_ceil(2) } else { rows }, tile),
        };
        Operand { a, panel, stride }
    }

    /// The memory that the first use of a block will read: the packed block where it is packed
    /// already, else the tensor.
    pub(super) fn prefetch(
        &self,
        head: *const T,
        block: usize,
        packed: *const f32,
        near: bool,
    ) -> Prefetch {
        if matches!(self.packing, Packing::Head | Packing::Shared) {
            let from = packed.wrapping_add(block * self.block_floats).cast();
            return Prefetch {
                from,
                bytes: self.block_floats * size_of::<f32>(),
                near,
            };
        }
        let from = head.wrapping_add(block * self.block_n * self.d).cast();
        Prefetch {
            from,
            bytes: self.keys(block) * self.d * size_of::<T>(),
            near,
        }
    }
}
