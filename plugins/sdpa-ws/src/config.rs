//! Configurations of the fused kernels: what they mean for the device code, and which make sense.
//! The constraints are those of `search-spaces/sdpa_ws.ron`, in the same words; a test holds the
//! two against each other.

use evo_plugin::{Error, ParamInfo, Params, Value};

use crate::task::{Task, Tiling};

/// Bytes of shared memory that the system takes of each block.
const RESERVED: i64 = 1024;

/// One configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    block_m: i64,
    block_n: i64,
    block_k: i64,
    num_warps: i64,
    kv_split: i64,
    num_stages: i64,
    prefetch: i64,
    smem_layout: String,
    qkt_chunk: i64,
    kv_layout: String,
    /// Warps that only load; `None` where the computing warps do.
    pub(crate) producers: Option<i64>,
    pub(crate) persistent: bool,
    use_fast_exp: i64,
    q_in_regs: bool,
    lazy_rescale: bool,
    ctas_per_sm: i64,
    head_group: i64,
}

/// Bytes of shared memory: queries, the ring of keys and values, what groups of warps that share
/// rows exchange, and mbarriers.
struct Shared {
    queries: i64,
    ring: i64,
    exchange: i64,
    mbarriers: i64,
}

/// The parameters with their defaults.
pub(crate) fn params() -> Vec<ParamInfo> {
    let param = |name: &str, default: Value, doc: &str| ParamInfo {
        name: name.to_owned(),
        doc: doc.to_owned(),
        default,
        runtime: false,
    };
    vec![
        param("BLOCK_M", 64.into(), "query rows of a tile"),
        param("BLOCK_N", 64.into(), "keys that are loaded together"),
        param(
            "BLOCK_K",
            64.into(),
            "columns of a slab of a tile in shared memory",
        ),
        param("NUM_WARPS", 4.into(), "warps that compute"),
        param(
            "NUM_STAGES",
            2.into(),
            "tiles of keys and values in shared memory",
        ),
        param("PREFETCH", 1.into(), "tiles on their way while one is used"),
        param(
            "SMEM_LAYOUT",
            "row".into(),
            "where a chunk of 16 bytes lies in a tile",
        ),
        param("QKT_CHUNK", 1.into(), "parts in which a tile is scored"),
        param(
            "KV_LAYOUT",
            "separate".into(),
            "whether keys and values arrive together",
        ),
        param("USE_WS", false.into(), "warps that only load"),
        param("PROD_WARPS", 1.into(), "how many of them"),
        param(
            "USE_PERSISTENT_CTA",
            false.into(),
            "blocks that take several tiles",
        ),
        param("USE_FAST_EXP", 0.into(), "how 2^x is computed"),
        param(
            "KV_SPLIT",
            1.into(),
            "warps that share rows and divide the keys of a tile",
        ),
        param(
            "Q_IN_REGS",
            true.into(),
            "queries in registers, not in shared memory",
        ),
        param(
            "LAZY_RESCALE",
            false.into(),
            "rows rescaled only where the maximum has grown much",
        ),
        param(
            "CTAS_PER_SM",
            1.into(),
            "blocks that the registers of a multiprocessor must suffice for",
        ),
        param(
            "HEAD_GROUP",
            1.into(),
            "heads whose rows are taken in turns",
        ),
    ]
}

/// Refuses a value that the device code does not know.
pub(crate) fn one_of(params: &Params, name: &str, known: &[i64]) -> Result<i64, Error> {
    let value = evo_plugin::int(params, name)?;
    if known.contains(&value) {
        return Ok(value);
    }
    let known: Vec<String> = known.iter().map(i64::to_string).collect();
    Err(Error::Rejected(format!(
        "`{name}` is {value}, but must be {}",
        known.join(", ")
    )))
}

pub(crate) fn name_of(params: &Params, name: &str, known: &[&str]) -> Result<String, Error> {
    let value = evo_plugin::choice(params, name)?;
    if known.contains(&value) {
        return Ok(value.to_owned());
    }
    Err(Error::Rejected(format!(
        "`{name}` is {value}, but must be {}",
        known.join(" or ")
    )))
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// `Rejected`, naming the parameter.
    pub(crate) fn read(params: &Params) -> Result<Self, Error> {
        let producers = match evo_plugin::flag(params, "USE_WS")? {
            true => Some(one_of(params, "PROD_WARPS", &[1, 2, 4])?),
            false => None,
        };
        Ok(Self {
            block_m: one_of(params, "BLOCK_M", &[16, 32, 64, 128, 256])?,
            block_n: one_of(params, "BLOCK_N", &[16, 32, 64, 128, 256])?,
            block_k: one_of(params, "BLOCK_K", &[32, 64])?,
            num_warps: one_of(params, "NUM_WARPS", &[1, 2, 4, 8, 16])?,
            kv_split: one_of(params, "KV_SPLIT", &[1, 2, 4])?,
            num_stages: one_of(params, "NUM_STAGES", &[1, 2, 3, 4])?,
            prefetch: one_of(params, "PREFETCH", &[1, 2, 3, 4])?,
            smem_layout: name_of(params, "SMEM_LAYOUT", &["row", "col", "pad"])?,
            qkt_chunk: one_of(params, "QKT_CHUNK", &[1, 2, 4])?,
            kv_layout: name_of(params, "KV_LAYOUT", &["interleaved", "separate"])?,
            producers,
            persistent: evo_plugin::flag(params, "USE_PERSISTENT_CTA")?,
            use_fast_exp: one_of(params, "USE_FAST_EXP", &[0, 1, 2])?,
            q_in_regs: evo_plugin::flag(params, "Q_IN_REGS")?,
            lazy_rescale: evo_plugin::flag(params, "LAZY_RESCALE")?,
            ctas_per_sm: one_of(params, "CTAS_PER_SM", &[1, 2, 3, 4])?,
            head_group: one_of(params, "HEAD_GROUP", &[1, 2, 4, 8, 16])?,
        })
    }

    /// Refuses what the device code or the device cannot do, by the first reason.
    ///
    /// # Errors
    /// `Rejected`.
    pub(crate) fn check(&self, task: &Task) -> Result<(), Error> {
        let Shared {
            queries,
            ring,
            exchange,
            mbarriers,
        } = self.shared(task);
        let of_block = (task.shared_per_sm / self.ctas_per_sm - RESERVED).min(task.shared_bytes);
        let most = of_block - mbarriers - queries;
        let reasons = [
            (
                self.num_warps % self.kv_split == 0,
                "warps that share rows come in groups of KV_SPLIT",
            ),
            (
                self.block_m * self.kv_split % (16 * self.num_warps) == 0,
                "a warp has whole groups of 16 query rows",
            ),
            (
                self.block_m * self.kv_split <= 64 * self.num_warps,
                "a warp has at most 64 query rows",
            ),
            (
                self.block_n % (16 * self.kv_split * self.qkt_chunk) == 0,
                "a part of a tile has whole groups of 16 keys",
            ),
            (
                self.prefetch <= self.num_stages,
                "every tile on its way needs a stage",
            ),
            (
                self.fits_registers(task.d()),
                "accumulators, scores and queries alone need more registers than there are",
            ),
            (
                self.ctas_per_sm == 1
                    || self.persistent
                    || i64::from(self.threads()) * self.ctas_per_sm > 256,
                "so few threads limit no registers: fewer blocks give the same code",
            ),
            (
                ring <= most,
                "the tiles of so many blocks need more shared memory than there is",
            ),
            (
                exchange <= most,
                "what groups of warps exchange needs more shared memory than there is",
            ),
            (
                !self.persistent || ring + exchange <= most,
                "tiles and exchange together need more shared memory than there is",
            ),
        ];
        match reasons.into_iter().find(|(holds, _)| !holds) {
            None => task.grid(self.tiling()).map(drop),
            Some((_, reason)) => Err(Error::Rejected(reason.to_owned())),
        }
    }

    /// Whether what a warp keeps in registers can be there: its accumulators, the scores of the keys
    /// that it takes at once, its queries, and some for everything else.
    fn fits_registers(&self, d: i64) -> bool {
        let row_tiles = self.block_m * self.kv_split / self.num_warps / 16;
        let keys = self.block_n / self.kv_split / self.qkt_chunk;
        let queries = if self.q_in_regs { d / 4 } else { 0 };
        let warps = self.num_warps + self.producers.unwrap_or(0);
        // Of 65,536 registers for the threads of a multiprocessor, in units of 8.
        let most = (2048 / warps / self.ctas_per_sm / 8 * 8).min(255);
        row_tiles * (d / 2 + keys / 2 + queries) + 40 <= most
    }

    /// What lies in the dynamic shared memory of a block: as `fused.cu` lays it out.
    fn shared(&self, task: &Task) -> Shared {
        let (d, element) = (task.d(), task.element_bytes());
        let padding = match self.smem_layout.as_str() {
            "pad" => 16 * (d / self.block_k),
            _ => 0,
        };
        let row = d * element + padding;
        let exchange = match self.kv_split {
            1 => 0,
            split => split * self.block_m * (d + 2) * 4,
        };
        let rings = if self.kv_layout == "separate" { 4 } else { 2 };
        Shared {
            queries: self.block_m * row.max(2 * d),
            ring: 2 * self.num_stages * self.block_n * row,
            exchange,
            mbarriers: self.producers.map_or(0, |_| 8 * rings * self.num_stages),
        }
    }

    /// Bytes of dynamic shared memory of a block.
    pub(crate) fn shared_bytes(&self, task: &Task) -> i64 {
        let Shared {
            queries,
            ring,
            exchange,
            mbarriers,
        } = self.shared(task);
        let rest = match self.persistent {
            true => ring + exchange,
            false => ring.max(exchange),
        };
        queries + rest + mbarriers
    }

    /// Threads of a block.
    pub(crate) fn threads(&self) -> u32 {
        let warps = self.num_warps + self.producers.unwrap_or(0);
        u32::try_from(32 * warps).unwrap_or(u32::MAX)
    }

    /// How rows are shared out to blocks.
    pub(crate) fn tiling(&self) -> Tiling {
        Tiling {
            rows: self.block_m,
            head_group: self.head_group,
            ctas_per_sm: self.ctas_per_sm,
            persistent: self.persistent,
        }
    }

    /// The macros that say how it is computed.
    pub(crate) fn macros(&self) -> Vec<String> {
        let number = |name: &str, value: i64| format!("-D{name}={value}");
        vec![
            number("BLOCK_M", self.block_m),
            number("BLOCK_N", self.block_n),
            number("BLOCK_K", self.block_k),
            number("NUM_WARPS", self.num_warps),
            number("KV_SPLIT", self.kv_split),
            number("NUM_STAGES", self.num_stages),
            number("PREFETCH", self.prefetch),
            format!("-DSMEM_LAYOUT={}", self.smem_layout),
            number("QKT_CHUNK", self.qkt_chunk),
            format!("-DKV_LAYOUT={}", self.kv_layout),
            number("USE_WS", i64::from(self.producers.is_some())),
            number("PROD_WARPS", self.producers.unwrap_or(0)),
            number("USE_PERSISTENT_CTA", i64::from(self.persistent)),
            number("USE_FAST_EXP", self.use_fast_exp),
            number("Q_IN_REGS", i64::from(self.q_in_regs)),
            number("LAZY_RESCALE", i64::from(self.lazy_rescale)),
            number("CTAS_PER_SM", self.ctas_per_sm),
            number("HEAD_GROUP", self.head_group),
        ]
    }
}
