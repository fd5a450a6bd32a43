//! Configurations of the Hopper kernel: what they mean for the device code, and which make sense. The
//! constraints are those of `search-spaces/sdpa_hopper.ron`, in the same words, but for the one that only saves
//! a search from slots that nothing would fill; a test holds the two against each other.

use evo_plugin::{Dtype, Error, ParamInfo, Params, Value};

use crate::config::{name_of, one_of};
use crate::task::{Task, Tiling};

/// Bytes of shared memory that the system takes of each block.
const RESERVED: i64 = 1024;
/// Query rows of a warpgroup: what its products have.
const GROUP_ROWS: i64 = 64;
/// Registers that the producer keeps where it makes no difference.
const USUAL_PRODUCER: i64 = 24;

/// One configuration. What is inactive has the value that the device code takes for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HopperConfig {
    row_groups: i64,
    key_groups: i64,
    pub(crate) block_n: i64,
    score_parts: i64,
    weight_parts: i64,
    stages: i64,
    producer: bool,
    producer_regs: i64,
    late_values: bool,
    overlap: bool,
    pingpong: bool,
    lazy: bool,
    tensor_sum: bool,
    subset: bool,
    fast_exp: i64,
    store: String,
    persistent: bool,
    head_group: i64,
    l2_hint: bool,
    l2_prefetch: String,
    /// Whether a launch may start before the one ahead of it has ended.
    pub(crate) early: bool,
    ctas_per_sm: i64,
    /// Whether the producer turns 8-bit values; else a kernel before does.
    pub(crate) turns_values: bool,
    /// Keys after which outputs of 8-bit products leave the accumulators; 0 for never.
    promotion: i64,
}

/// The parameters with their defaults.
pub(crate) fn params() -> Vec<ParamInfo> {
    let params: [(&str, Value, &str); 24] = [
        ("ROW_GROUPS", 1.into(), "warpgroups on rows of their own"),
        ("KEY_GROUPS", 1.into(), "warpgroups on the same rows"),
        ("BLOCK_N", 128.into(), "keys of a block"),
        ("SCORE_PARTS", 1.into(), "parts in which a block is scored"),
        ("WEIGHT_PARTS", 1.into(), "parts of the second product"),
        ("STAGES", 2.into(), "slots of keys and of values"),
        ("PRODUCER", false.into(), "a warpgroup that only loads"),
        ("PRODUCER_REGS", 24.into(), "registers that it keeps"),
        (
            "V_ISSUE",
            "early".into(),
            "when the first values are asked for",
        ),
        (
            "OVERLAP",
            true.into(),
            "second product beside the next softmax",
        ),
        (
            "PINGPONG",
            false.into(),
            "row groups issue products in turn",
        ),
        (
            "RESCALE",
            "always".into(),
            "when outputs follow a new maximum",
        ),
        ("ROW_SUM", "registers".into(), "where weights are summed"),
        ("MAXIMUM", "exact".into(), "of which scores it is taken"),
        ("USE_FAST_EXP", 1.into(), "how 2^x is computed"),
        ("STORE", "tma".into(), "the way of the output to memory"),
        ("PERSISTENT", false.into(), "blocks that take several tiles"),
        (
            "HEAD_GROUP",
            1.into(),
            "heads whose tiles start beside each other",
        ),
        ("L2_HINT", true.into(), "what is to stay in the cache"),
        (
            "L2_PREFETCH",
            "none".into(),
            "what a block asks the cache for",
        ),
        ("PDL", false.into(), "launches overlap"),
        (
            "CTAS_PER_SM",
            1.into(),
            "blocks that registers must suffice for",
        ),
        (
            "V_TRANSPOSE",
            "kernel".into(),
            "who makes rows of the columns of 8-bit values",
        ),
        (
            "PROMOTION",
            2048.into(),
            "keys after which sums of 8-bit products leave the tensor cores",
        ),
    ];
    let info = |(name, default, doc): (&str, Value, &str)| ParamInfo {
        name: name.to_owned(),
        doc: doc.to_owned(),
        default,
        runtime: false,
    };
    params.map(info).into()
}

impl HopperConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// `Rejected`, naming the parameter.
    pub(crate) fn read(params: &Params, task: &Task) -> Result<Self, Error> {
        let int = |name, known: &[i64]| one_of(params, name, known);
        let flag = |name| evo_plugin::flag(params, name);
        let is =
            |name, [no, yes]: [&str; 2]| Ok::<_, Error>(name_of(params, name, &[no, yes])? == yes);
        let row_groups = int("ROW_GROUPS", &[1, 2, 3])?;
        let key_groups = int("KEY_GROUPS", &[1, 2, 4])?;
        let ctas_per_sm = int("CTAS_PER_SM", &[1, 2, 3])?;
        let producer = flag("PRODUCER")?;
        let overlap = flag("OVERLAP")?;
        let persistent = producer && flag("PERSISTENT")?;
        let chooses = producer && (row_groups * key_groups > 1 || ctas_per_sm > 1);
        Ok(Self {
            row_groups,
            key_groups,
            block_n: int("BLOCK_N", &[64, 80, 96, 112, 128, 160, 176, 192, 256])?,
            score_parts: int("SCORE_PARTS", &[1, 2, 4])?,
            weight_parts: if overlap {
                1
            } else {
                int("WEIGHT_PARTS", &[1, 2, 4])?
            },
            stages: int("STAGES", &[1, 2, 3, 4])?,
            producer,
            producer_regs: match chooses {
                true => int("PRODUCER_REGS", &[24, 32, 40, 56])?,
                false => USUAL_PRODUCER,
            },
            late_values: !producer && is("V_ISSUE", ["early", "late"])?,
            overlap,
            pingpong: row_groups > 1 && flag("PINGPONG")?,
            lazy: is("RESCALE", ["always", "lazy"])?,
            tensor_sum: is("ROW_SUM", ["registers", "tensor"])?,
            subset: !producer && is("MAXIMUM", ["exact", "subset"])?,
            fast_exp: int("USE_FAST_EXP", &[1, 2])?,
            store: name_of(params, "STORE", &["direct", "staged", "tma"])?,
            persistent,
            head_group: int("HEAD_GROUP", &[1, 2, 4, 8, 16])?,
            l2_hint: flag("L2_HINT")?,
            l2_prefetch: match persistent {
                true => "none".to_owned(),
                false => name_of(params, "L2_PREFETCH", &["none", "k", "qk", "qkv"])?,
            },
            early: flag("PDL")?,
            ctas_per_sm,
            // Of other types there are no values to turn, and no such choice.
            turns_values: chooses
                && key_groups == 1
                && params.contains_key("V_TRANSPOSE")
                && is("V_TRANSPOSE", ["kernel", "producer"])?,
            // Products of 16 bits are summed as floats. A configuration of a short sequence, which does not
            // name it, may be executed for a long one.
            promotion: match (
                task.attention.input_dtype() == Dtype::F8E4m3,
                params.contains_key("PROMOTION"),
            ) {
                (true, true) => int("PROMOTION", &[0, 1024, 2048])?,
                (true, false) if task.seq() > 2048 => 2048,
                _ => 0,
            },
        })
    }

    /// Refuses what the device code or the device cannot do, by the first reason.
    ///
    /// # Errors
    /// `Rejected`.
    pub(crate) fn check(&self, task: &Task) -> Result<(), Error> {
        let is_f8 = task.attention.input_dtype() == Dtype::F8E4m3;
        let step = if is_f8 { 32 } else { 16 };
        let (d, consumers) = (task.d(), self.consumers());
        let outputs = d / 2 + if self.tensor_sum { 4 } else { 0 };
        let weights = match self.overlap {
            true => self.block_n * task.element_bytes() / 8,
            false => 0,
        };
        let others = if self.producer { 28 } else { 32 } + if self.lazy && is_f8 { 8 } else { 0 };
        let entry = self.entry_registers();
        let shared = (task.shared_per_sm / self.ctas_per_sm - RESERVED).min(task.shared_bytes);
        let reasons = [
            (
                consumers <= 4,
                "registers do not suffice for more than four computing warpgroups",
            ),
            (
                self.block_n % (step * self.score_parts) == 0,
                "a part of the scores has whole steps of the second product",
            ),
            (
                self.block_n % (step * self.weight_parts) == 0,
                "a part of the second product has whole steps",
            ),
            (
                !is_f8 || self.block_n % 64 == 0,
                "8-bit values come in boxes of 64 keys",
            ),
            (
                !self.tensor_sum || d == 64 || is_f8,
                "the column of ones takes the place of the second half of a head of 128, where values \
                 have 16 bits",
            ),
            (
                !self.subset || (!self.pingpong && self.fast_exp == 1 && !is_f8),
                "a tile that is done again takes more turns, needs powers that overflow, and weights \
                 of 16 bits",
            ),
            (
                self.key_groups == 1 || self.store != "direct",
                "outputs of several key groups meet in shared memory",
            ),
            (
                !is_f8 || self.l2_prefetch != "qkv",
                "8-bit values are read from their transposed copy",
            ),
            (
                !self.turns_values || is_f8,
                "values of 16 bits need no transposition",
            ),
            (
                !self.turns_values || self.producer_regs >= 40,
                "a producer that turns values needs 38 registers",
            ),
            (
                self.ctas_per_sm == 1 || i64::from(self.threads()) * self.ctas_per_sm > 256,
                "so few threads limit no registers: fewer blocks give the same code",
            ),
            (
                self.shared_bytes(task) <= shared,
                "the tiles of so many blocks need more shared memory than there is",
            ),
            (
                (self.block_n / self.score_parts / 2 + 26).max(outputs + 30) <= entry,
                "an instruction has more accumulators than a thread has registers at the start",
            ),
            (
                !self.producer || self.producer_regs <= entry,
                "the producer would keep more registers than it has at the start",
            ),
            (
                outputs + self.block_n / 2 + weights + others <= self.consumer_registers(),
                "outputs, scores and weights alone need more registers than there are",
            ),
        ];
        match reasons.into_iter().find(|(holds, _)| !holds) {
            None => task.grid(self.tiling()).map(drop),
            Some((_, reason)) => Err(Error::Rejected(reason.to_owned())),
        }
    }

    /// Warpgroups that compute.
    fn consumers(&self) -> i64 {
        self.row_groups * self.key_groups
    }

    /// Threads of a block.
    pub(crate) fn threads(&self) -> u32 {
        let warpgroups = self.consumers() + i64::from(self.producer);
        u32::try_from(128 * warpgroups).unwrap_or(u32::MAX)
    }

    /// Query rows of a tile.
    pub(crate) fn rows(&self) -> i64 {
        GROUP_ROWS * self.row_groups
    }

    /// Registers of a thread at the start of a block: of 65,536 for all threads of a multiprocessor, in
    /// units of 8.
    fn entry_registers(&self) -> i64 {
        let warpgroups = self.consumers() + i64::from(self.producer);
        (512 / (self.ctas_per_sm * warpgroups) / 8 * 8).min(256)
    }

    /// Registers of a thread that computes: with a producer, what that gives away is theirs.
    fn consumer_registers(&self) -> i64 {
        let entry = self.entry_registers();
        match self.producer {
            true => {
                let all = (self.consumers() + 1) * entry - self.producer_regs;
                (all / self.consumers() / 8 * 8).min(256)
            }
            false => entry.min(255),
        }
    }

    /// Bytes of dynamic shared memory of a block: as `hopper_config.cuh` lays it out, which says so too.
    pub(crate) fn shared_bytes(&self, task: &Task) -> i64 {
        let (d, element) = (task.d(), task.element_bytes());
        let apart = self.key_groups > 1
            || (self.store != "direct"
                && (self.persistent || (element == 1 && self.row_groups > 1)));
        let output = self.rows() * d * 2;
        let tiles = match apart {
            true => self.rows() * d * element + self.key_groups * output,
            false => output,
        };
        let rings = 2 * self.key_groups * self.stages * self.block_n * d * element;
        let ones = match (self.tensor_sum, element) {
            (false, _) => 0,
            // In every slot, and up to the next 1,024 bytes.
            (true, 1) => (self.key_groups * self.stages * self.block_n * 8 + 1023) / 1024 * 1024,
            (true, _) => self.block_n * 128,
        };
        let statistics = match self.key_groups {
            1 => 0,
            groups => groups * self.rows() * 8,
        };
        // Values that are to be turned, and their barrier.
        let raw = match self.turns_values {
            true => self.block_n * d * element + 16,
            false => 0,
        };
        tiles + rings + ones + statistics + raw + 16 + self.key_groups * self.stages * 32
    }

    /// How rows are shared out to blocks.
    pub(crate) fn tiling(&self) -> Tiling {
        Tiling {
            rows: self.rows(),
            head_group: self.head_group,
            ctas_per_sm: self.ctas_per_sm,
            persistent: self.persistent,
        }
    }

    /// The macros that say how it is computed.
    pub(crate) fn macros(&self) -> Vec<String> {
        let number = |name: &str, value: i64| format!("-D{name}={value}");
        let flag = |name: &str, value: bool| number(name, i64::from(value));
        let choice = |name: &str, value: &str| format!("-D{name}={value}");
        let either = |name: &str, value: bool, [no, yes]: [&str; 2]| {
            choice(name, if value { yes } else { no })
        };
        let mut macros = vec![
            number("ROW_GROUPS", self.row_groups),
            number("KEY_GROUPS", self.key_groups),
            number("BLOCK_N", self.block_n),
            number("SCORE_PARTS", self.score_parts),
            number("WEIGHT_PARTS", self.weight_parts),
            number("STAGES", self.stages),
            flag("PRODUCER", self.producer),
            either("V_ISSUE", self.late_values, ["early", "late"]),
            flag("OVERLAP", self.overlap),
            flag("PINGPONG", self.pingpong),
            either("RESCALE", self.lazy, ["always", "lazy"]),
            either("ROW_SUM", self.tensor_sum, ["registers", "tensor"]),
            either("MAXIMUM", self.subset, ["exact", "subset"]),
            number("USE_FAST_EXP", self.fast_exp),
            choice("STORE", &self.store),
            flag("PERSISTENT", self.persistent),
            number("HEAD_GROUP", self.head_group),
            flag("L2_HINT", self.l2_hint),
            choice("L2_PREFETCH", &self.l2_prefetch),
            flag("PDL", self.early),
            number("CTAS_PER_SM", self.ctas_per_sm),
            either("V_TRANSPOSE", self.turns_values, ["kernel", "producer"]),
            number("PROMOTION", self.promotion),
        ];
        if self.producer {
            macros.push(number("PRODUCER_REGS", self.producer_regs));
            macros.push(number("CONSUMER_REGS", self.consumer_registers()));
        }
        macros
    }
}
