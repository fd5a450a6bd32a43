//! Which of Nsight Compute's metrics are told, under which names.
//!
//! Names differ between architectures and versions: for each figure there is a list, of which the first
//! that a report has is taken.

use evo_plugin::{Direction, Metric};

use crate::page::Kernel;

/// A figure and the metrics that it may be.
struct Figure {
    name: &'static str,
    unit: &'static str,
    sources: &'static [&'static str],
}

const fn figure(
    name: &'static str,
    unit: &'static str,
    sources: &'static [&'static str],
) -> Figure {
    Figure {
        name,
        unit,
        sources,
    }
}

/// What is told of a kernel.
const FIGURES: &[Figure] = &[
    figure(
        "gpu_time",
        "ns",
        &["gpu__time_duration.sum", "gpu__time_duration.avg"],
    ),
    figure(
        "sm_throughput",
        "%",
        &["sm__throughput.avg.pct_of_peak_sustained_elapsed"],
    ),
    figure(
        "tensor_active",
        "%",
        &[
            "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
            "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active",
            "sm__pipe_tensor_op_hmma_cycles_active.avg.pct_of_peak_sustained_active",
        ],
    ),
    figure(
        "achieved_occupancy",
        "%",
        &["sm__warps_active.avg.pct_of_peak_sustained_active"],
    ),
    figure(
        "possible_occupancy",
        "%",
        &[
            "sm__maximum_warps_per_active_cycle_pct",
            "sm__maximum_warps_avg_per_active_cycle_pct",
        ],
    ),
    figure(
        "warps",
        "",
        &[
            "smsp__warps_active.avg.per_cycle_active",
            "smsp__warps_active.avg.peak_sustained",
        ],
    ),
    figure(
        "eligible_warps",
        "",
        &["smsp__warps_eligible.avg.per_cycle_active"],
    ),
    figure(
        "issue_active",
        "%",
        &[
            "smsp__issue_active.avg.pct_of_peak_sustained_active",
            "smsp__issue_active.avg.pct",
        ],
    ),
    figure(
        "instructions_per_cycle",
        "",
        &[
            "sm__inst_executed.avg.per_cycle_active",
            "smsp__inst_executed.avg.per_cycle_active",
        ],
    ),
    figure(
        "l1_throughput",
        "%",
        &[
            "l1tex__throughput.avg.pct_of_peak_sustained_active",
            "l1tex__throughput.avg.pct_of_peak_sustained_elapsed",
        ],
    ),
    figure(
        "l2_throughput",
        "%",
        &["lts__throughput.avg.pct_of_peak_sustained_elapsed"],
    ),
    figure(
        "dram_throughput",
        "%",
        &[
            "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
            "dram__throughput.avg.pct_of_peak_sustained_elapsed",
        ],
    ),
    figure("l1_hit_rate", "%", &["l1tex__t_sector_hit_rate.pct"]),
    figure("l2_hit_rate", "%", &["lts__t_sector_hit_rate.pct"]),
    figure(
        "bank_conflicts",
        "count",
        &[
            "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum",
            "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum",
        ],
    ),
    figure(
        "shared_wavefronts",
        "count",
        &[
            "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum",
            "l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld.sum",
        ],
    ),
    figure(
        "load_sectors",
        "count",
        &["l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"],
    ),
    figure(
        "load_requests",
        "count",
        &["l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum"],
    ),
    figure(
        "store_sectors",
        "count",
        &["l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum"],
    ),
    figure(
        "store_requests",
        "count",
        &["l1tex__t_requests_pipe_lsu_mem_global_op_st.sum"],
    ),
    figure(
        "load_bytes_per_sector",
        "B",
        &["smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio"],
    ),
    figure(
        "store_bytes_per_sector",
        "B",
        &["smsp__sass_average_data_bytes_per_sector_mem_global_op_st.ratio"],
    ),
    figure(
        "local_loads",
        "count",
        &["l1tex__t_requests_pipe_lsu_mem_local_op_ld.sum"],
    ),
    figure(
        "local_stores",
        "count",
        &["l1tex__t_requests_pipe_lsu_mem_local_op_st.sum"],
    ),
    figure(
        "instructions",
        "count",
        &["smsp__inst_executed.sum", "sm__inst_executed.sum"],
    ),
    // The mix of instructions: of what each pipe could issue. That of the tensor cores is above.
    figure(
        "pipe_alu",
        "%",
        &[
            "sm__inst_executed_pipe_alu.avg.pct_of_peak_sustained_active",
            "sm__pipe_alu_cycles_active.avg.pct_of_peak_sustained_active",
        ],
    ),
    figure(
        "pipe_fma",
        "%",
        &[
            "sm__inst_executed_pipe_fma.avg.pct_of_peak_sustained_active",
            "sm__pipe_fma_cycles_active.avg.pct_of_peak_sustained_active",
        ],
    ),
    figure(
        "pipe_fp64",
        "%",
        &[
            "sm__inst_executed_pipe_fp64.avg.pct_of_peak_sustained_active",
            "sm__pipe_fp64_cycles_active.avg.pct_of_peak_sustained_active",
        ],
    ),
    figure(
        "pipe_xu",
        "%",
        &["sm__inst_executed_pipe_xu.avg.pct_of_peak_sustained_active"],
    ),
    figure(
        "pipe_lsu",
        "%",
        &["sm__inst_executed_pipe_lsu.avg.pct_of_peak_sustained_active"],
    ),
    figure(
        "pipe_tma",
        "%",
        &["sm__inst_executed_pipe_tma.avg.pct_of_peak_sustained_active"],
    ),
    figure(
        "pipe_uniform",
        "%",
        &["sm__inst_executed_pipe_uniform.avg.pct_of_peak_sustained_active"],
    ),
    figure(
        "thread_registers",
        "count",
        &["launch__registers_per_thread"],
    ),
    figure("launched_blocks", "count", &["launch__grid_size"]),
    figure("launched_waves", "", &["launch__waves_per_multiprocessor"]),
    figure(
        "limit_registers",
        "count",
        &["launch__occupancy_limit_registers"],
    ),
    figure(
        "limit_shared_memory",
        "count",
        &["launch__occupancy_limit_shared_mem"],
    ),
    figure("limit_warps", "count", &["launch__occupancy_limit_warps"]),
    figure("limit_blocks", "count", &["launch__occupancy_limit_blocks"]),
];

/// The figures by name, with the metrics that each may be.
#[cfg(test)]
pub(crate) fn known() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    FIGURES.iter().map(|figure| (figure.name, figure.sources))
}

/// How the reasons of stalls are called: before and behind the reason.
const STALLS: [(&str, &str); 2] = [
    (
        "smsp__average_warps_issue_stalled_",
        "_per_issue_active.ratio",
    ),
    ("smsp__average_warp_latency_issue_stalled_", ".ratio"),
];

/// The metrics of a kernel that its figures are made of.
pub(crate) fn sources(kernel: &Kernel) -> Vec<String> {
    let figures = FIGURES.iter().filter_map(|figure| {
        let mut sources = figure.sources.iter();
        sources.find(|name| kernel.get(name).is_some())
    });
    let mut names: Vec<String> = figures.map(|name| (*name).to_owned()).collect();
    for (before, behind) in STALLS {
        let stalls = kernel.iter().map(|(name, _)| name);
        let stalls = stalls.filter(|name| name.starts_with(before) && name.ends_with(behind));
        let found: Vec<String> = stalls.map(str::to_owned).collect();
        if !found.is_empty() {
            names.extend(found);
            break;
        }
    }
    names
}

/// The figures of a kernel, and what follows from them.
pub(crate) fn metrics(kernel: &Kernel) -> Vec<Metric> {
    let info = |name: &str, unit: &str, value: f64| Metric::new(name, unit, Direction::Info, value);
    let mut metrics: Vec<Metric> = FIGURES
        .iter()
        .filter_map(|figure| {
            let mut found = figure.sources.iter().filter_map(|name| kernel.get(name));
            Some(info(figure.name, figure.unit, found.next()?))
        })
        .collect();
    let value = |name: &str| metrics.iter().find(|it| it.name == name).map(|it| it.value);
    let ratio = |name: &str, unit: &str, times: f64, of: &str, among: &str| {
        let (of, among) = (value(of)?, value(among)?);
        (among > 0.0).then(|| info(name, unit, times * of / among))
    };
    // Of 32 bytes of each sector, those that were asked for.
    let efficiency = |name: &str, of: &str| {
        let bytes = value(of).filter(|bytes| *bytes > 0.0)?;
        Some(info(name, "%", 100.0 * bytes / 32.0))
    };
    let derived = [
        ratio(
            "load_sectors_per_request",
            "",
            1.0,
            "load_sectors",
            "load_requests",
        ),
        ratio(
            "store_sectors_per_request",
            "",
            1.0,
            "store_sectors",
            "store_requests",
        ),
        efficiency("load_efficiency", "load_bytes_per_sector"),
        efficiency("store_efficiency", "store_bytes_per_sector"),
        ratio(
            "bank_conflict_share",
            "%",
            100.0,
            "bank_conflicts",
            "shared_wavefronts",
        ),
    ];
    let derived: Vec<Metric> = derived.into_iter().flatten().collect();
    metrics.extend(derived);
    metrics.extend(stalls(kernel));
    metrics
}

/// Why warps could not issue, stalled warps for each issued instruction, the most frequent first.
fn stalls(kernel: &Kernel) -> Vec<Metric> {
    for (before, behind) in STALLS {
        let mut found: Vec<Metric> = kernel
            .iter()
            .filter_map(|(name, value)| {
                let reason = name.strip_prefix(before)?.strip_suffix(behind)?;
                // What a warp does that is not stalled.
                if reason == "selected" || reason.contains("not_issued") {
                    return None;
                }
                let name = format!("stall_{reason}");
                Some(Metric::new(&name, "", Direction::Info, value))
            })
            .collect();
        if !found.is_empty() {
            found.sort_by(|a, b| b.value.total_cmp(&a.value));
            return found;
        }
    }
    Vec::new()
}
