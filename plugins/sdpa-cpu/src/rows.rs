//! Row-major products for the baselines: rows of A broadcast against columns along the lanes.

use evo_plugin::Error;

use crate::simd::table::{self, GemmFn};
use crate::simd::{Gemm, Isa, Prefetch, Start};

/// The products of one instruction set, from wide strips of columns to narrow ones.
pub(crate) struct RowProduct {
    lanes: usize,
    strips: Vec<(usize, usize, GemmFn)>,
}

/// `C = start(C) + A B` with every matrix row-major.
#[derive(Clone, Copy)]
pub(crate) struct RowGemm {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    /// A multiple of the lanes.
    pub(crate) columns: usize,
    pub(crate) a: *const f32,
    pub(crate) a_stride: usize,
    pub(crate) b: *const f32,
    pub(crate) b_stride: usize,
    pub(crate) c: *mut f32,
    pub(crate) c_stride: usize,
    pub(crate) start: Start,
}

impl RowProduct {
    /// Register tiles that fill the registers of the instruction set.
    pub(crate) fn new(isa: Isa) -> Result<Self, Error> {
        let shapes: &[(usize, usize)] = if isa.registers() == 32 {
            &[(4, 6), (2, 12), (1, 24)]
        } else {
            &[(2, 6), (1, 12)]
        };
        let strips = shapes
            .iter()
            .map(|&(vecs, rows)| Some((vecs, rows, table::gemm(isa, rows, vecs, true)?)))
            .collect::<Option<_>>()
            .ok_or_else(|| Error::Failed("a register tile is not compiled".to_owned()))?;
        Ok(Self {
            lanes: isa.lanes(),
            strips,
        })
    }

    /// Computes a product strip by strip, each as wide as what is left allows.
    ///
    /// # Safety
    /// The pointers are valid for the extents, and the CPU has the instruction set.
    pub(crate) unsafe fn run(&self, job: &RowGemm) {
        let mut column = 0;
        for &(vecs, rows, gemm) in &self.strips {
            while column + vecs * self.lanes <= job.columns {
                // SAFETY: the strip is inside the caller's matrices.
                unsafe {
                    gemm(&Gemm {
                        rows: job.rows,
                        depth: job.depth,
                        a: job.a,
                        a_panel: rows * job.a_stride,
                        a_stride: job.a_stride,
                        padded: false,
                        b: job.b.add(column),
                        b_stride: job.b_stride,
                        c: job.c.add(column),
                        c_stride: job.c_stride,
                        start: job.start,
                        prefetch: Prefetch::NONE,
                    });
                }
                column += vecs * self.lanes;
            }
        }
    }
}
