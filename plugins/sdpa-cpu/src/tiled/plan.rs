//! A configuration resolved for a problem and a device: exactly what will be executed.

use evo_plugin::Error;
use serde::{Deserialize, Serialize};

use super::config::{Bf16, Config, IsaChoice, KvOrder, Packing, Pin, Rescale, Split};
use super::schedule::Schedule;
use crate::machine::Machine;
use crate::simd::{ExpKind, Isa, micro_shape_exists};
use crate::team::CAN_PIN;
use crate::{Shape, Storage};

/// Everything that the engine does, with nothing left to choose. Two configurations that execute
/// the same thing resolve to equal plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    pub(crate) isa: Isa,
    /// Whether products are taken on pairs of bf16.
    pub(crate) dot: bool,
    /// Queries per tile: a multiple of the group.
    pub(crate) block_m: usize,
    /// Keys per block, at most all.
    pub(crate) block_n: usize,
    pub(crate) vecs: usize,
    pub(crate) qk_rows: usize,
    pub(crate) pv_rows: usize,
    pub(crate) pack_k: Packing,
    pub(crate) pack_v: Packing,
    pub(crate) exp: ExpKind,
    pub(crate) rescale: Rescale,
    pub(crate) prefetch: usize,
    pub(crate) schedule: Schedule,
}

impl Plan {
    /// Resolves a configuration.
    ///
    /// # Errors
    /// `Rejected` where the device cannot execute it or memory would not suffice.
    pub(crate) fn resolve(config: &Config, shape: Shape, machine: &Machine) -> Result<Self, Error> {
        let isa = match config.isa {
            IsaChoice::Auto => machine.best(),
            IsaChoice::Avx2 => Isa::Avx2,
            IsaChoice::Avx512 => Isa::Avx512,
            IsaChoice::Portable => Isa::Portable,
        };
        if !machine.has(isa) {
            return Err(Error::Rejected(format!(
                "ISA is {isa}, which the device does not have"
            )));
        }
        if config.pin == Pin::Cores && !CAN_PIN {
            return Err(Error::Rejected(
                "PIN is cores, and threads cannot be pinned on this system".to_owned(),
            ));
        }
        let isa = dot_isa(config, shape, isa, machine)?;
        for (name, rows) in [("QK_ROWS", config.qk_rows), ("PV_ROWS", config.pv_rows)] {
            if !micro_shape_exists(isa, rows, config.vecs) {
                return Err(Error::Rejected(format!(
                    "{name}={rows} with VECS={} needs more than the {} vector registers of {isa}",
                    config.vecs,
                    isa.registers()
                )));
            }
        }
        let group = config.vecs * isa.lanes();
        let mut plan = Self {
            shape,
            isa,
            dot: isa == Isa::Avx512Bf16,
            block_m: config.block_m.min(shape.s).next_multiple_of(group),
            block_n: config.block_n.min(shape.s),
            vecs: config.vecs,
            qk_rows: config.qk_rows,
            pv_rows: config.pv_rows,
            pack_k: config.pack_k,
            pack_v: config.pack_v,
            exp: config.exp,
            rescale: config.rescale,
            prefetch: config.prefetch,
            schedule: Schedule {
                threads: 1,
                split: Split::Contiguous,
                pin: Pin::None,
                kv_order: KvOrder::Forward,
            },
        };
        plan.schedule = Schedule::resolve(config, &plan, machine.cores);
        plan.drop_what_has_no_effect();
        machine.check_scratch(plan.scratch_bytes(), "this configuration")?;
        Ok(plan)
    }

    /// Queries per group: the lanes of a register tile.
    pub(crate) fn group(&self) -> usize {
        self.vecs * self.isa.lanes()
    }

    /// Tiles of queries per head.
    pub(crate) fn tiles(&self) -> usize {
        self.shape.s.div_ceil(self.block_m)
    }

    /// Blocks of keys per head.
    pub(crate) fn blocks(&self) -> usize {
        self.shape.s.div_ceil(self.block_n)
    }

    /// Depth of the product of Q and K in 32-bit elements.
    pub(crate) fn depth(&self) -> usize {
        if self.dot {
            self.shape.d / 2
        } else {
            self.shape.d
        }
    }

    /// Floats of a block of keys in panels (or rows).
    pub(crate) fn k_block_floats(&self) -> usize {
        self.block_n.next_multiple_of(self.qk_rows) * self.depth()
    }

    /// Rows of a block of values as the product sees them.
    pub(crate) fn v_rows(&self, keys: usize) -> usize {
        if self.dot { keys.div_ceil(2) } else { keys }
    }

    /// Floats of a block of values in panels (or rows).
    pub(crate) fn v_block_floats(&self) -> usize {
        self.v_rows(self.block_n) * self.padded_d()
    }

    /// Output columns, rounded up to whole register tiles.
    pub(crate) fn padded_d(&self) -> usize {
        self.shape.d.next_multiple_of(self.pv_rows)
    }

    /// Bytes of scratch memory over all threads.
    pub(crate) fn scratch_bytes(&self) -> u128 {
        let keys = self.block_n.next_multiple_of(self.qk_rows);
        let per_query = (self.depth() + self.padded_d() + 3) as u128;
        let blocks = self.blocks() as u128;
        let held = |packing: Packing, floats: usize| match packing {
            Packing::Head => blocks * floats as u128,
            Packing::None | Packing::Block => floats as u128,
            Packing::Shared => 0,
        };
        let per_thread = self.block_m as u128 * per_query
            + (keys * self.group()) as u128
            + held(self.pack_k, self.k_block_floats())
            + held(self.pack_v, self.v_block_floats());
        let shared = |packing: Packing, floats: usize| {
            let floats = blocks * floats as u128 * self.shape.heads as u128;
            if packing == Packing::Shared {
                floats
            } else {
                0
            }
        };
        4 * (per_thread * self.schedule.threads as u128
            + shared(self.pack_k, self.k_block_floats())
            + shared(self.pack_v, self.v_block_floats()))
    }

    /// Sets parameters that this plan never comes to use to one fixed value.
    fn drop_what_has_no_effect(&mut self) {
        let blocks = self.blocks();
        if blocks == 1 {
            self.rescale = Rescale::Always;
            self.schedule.kv_order = KvOrder::Forward;
        }
        if self.tiles() == 1 {
            self.schedule.kv_order = KvOrder::Forward;
            // Every head is met once: keeping it packed is packing each block.
            for packing in [&mut self.pack_k, &mut self.pack_v] {
                if *packing == Packing::Head {
                    *packing = Packing::Block;
                }
            }
        }
        // Values are fetched `prefetch - 1` blocks ahead, keys `prefetch`.
        if self.prefetch > blocks {
            self.prefetch = 0;
        }
    }
}

fn dot_isa(config: &Config, shape: Shape, isa: Isa, machine: &Machine) -> Result<Isa, Error> {
    if config.bf16 == Bf16::Convert || shape.storage != Storage::Bf16 || isa != Isa::Avx512 {
        return Ok(isa);
    }
    if !machine.has(Isa::Avx512Bf16) {
        return Err(Error::Rejected(
            "BF16 is dot, and the device has no bf16 dot product (AVX512_BF16)".to_owned(),
        ));
    }
    // Pairs of elements of an odd row would reach into the next row.
    Ok(if shape.d.is_multiple_of(2) {
        Isa::Avx512Bf16
    } else {
        isa
    })
}
