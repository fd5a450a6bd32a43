use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use std::collections::BTreeSet;

use evo_core::engine::diagnose;
use evo_core::space::Rules;
use evo_plugin::{Artifact, BuildRequest, Params, Value};
use tempfile::TempDir;

use super::*;

/// Nsight Compute 2025.3.1 on an H100: two attention kernels.
const PAGE: &str = include_str!("../tests/ncu_raw_h100_2025.3.1.csv");

fn value(metrics: &[Metric], name: &str) -> Option<f64> {
    metrics.iter().find(|it| it.name == name).map(|it| it.value)
}

#[test]
fn what_a_session_has_to_collect_is_what_figures_are_made_of() {
    let page = include_str!("../tests/h200_2025.3.1/stage2.csv");
    let names = metrics_of(page).unwrap();
    let told = figures(page).unwrap();
    for (name, sources) in metrics::known() {
        let collected = sources
            .iter()
            .filter(|source| names.iter().any(|it| it == *source));
        let expected = usize::from(value(&told, name).is_some());
        assert_eq!(collected.count(), expected, "{name}");
    }
    let stalls = told.iter().filter(|it| it.name.starts_with("stall_"));
    for reason in stalls.map(|it| it.name.trim_start_matches("stall_")) {
        let name = format!("smsp__average_warps_issue_stalled_{reason}_per_issue_active.ratio");
        assert!(names.contains(&name), "{name}");
    }
    assert!(metrics_of("\"ID\"\n").is_err());
}

#[test]
fn the_mix_of_instructions_is_told_by_the_pipes() {
    let page = include_str!("../tests/h200_2025.3.1/hopper.csv");
    let told = figures(page).unwrap();
    let mix = ["alu", "fma", "fp64", "xu", "lsu", "tma", "uniform"];
    let mix = mix.map(|pipe| value(&told, &format!("pipe_{pipe}")).unwrap());
    assert_eq!(mix, [9.24, 6.3, 0.0, 14.82, 1.35, 0.12, 2.27]);
    // Where instructions are not counted by pipe, their cycles stand for those that issue one a cycle.
    let other = page.replace("sm__inst_executed_pipe_fma.", "sm__pipe_fma_cycles_active.");
    assert_eq!(value(&figures(&other).unwrap(), "pipe_fma"), Some(6.3));
    let busy = page.replace("\"14.82\"", "\"84.82\"");
    let space = r#"(
        name: "attention",
        params: [(name: "EXP", values: [1, 2])],
        rules: [(id: "special_functions", levers: [(param: "EXP", action: raise)])],
    )"#;
    let expected = ("special_functions".to_owned(), "raise EXP".to_owned());
    // Bulk copies are no loads of threads.
    let unjudged = ["uncoalesced_loads"];
    assert_eq!(named_in(space, &busy, &unjudged), [expected]);
    assert_eq!(named_in(space, page, &unjudged), []);
}

#[test]
fn a_real_page_is_read_without_a_gap() {
    let kernels = page::read(PAGE).unwrap();
    assert_eq!(kernels.len(), 2);
    let longest = page::longest(&kernels).unwrap();
    assert_eq!(longest.get("gpu__time_duration.sum"), Some(11872.0));
    let metrics = metrics::metrics(&kernels[0]);
    let expected = [
        ("gpu_time", 6336.0),
        ("sm_throughput", 18.09),
        ("tensor_active", 29.58),
        ("achieved_occupancy", 12.38),
        ("possible_occupancy", 12.5),
        ("eligible_warps", 0.30),
        ("l2_throughput", 25.05),
        ("dram_throughput", 14.97),
        ("l2_hit_rate", 55.99),
        ("bank_conflicts", 52.0),
        ("shared_wavefronts", 227_377.0),
        ("store_sectors_per_request", 16.0),
        ("thread_registers", 192.0),
        ("launched_blocks", 128.0),
        ("launched_waves", 0.97),
        ("limit_registers", 1.0),
        ("limit_shared_memory", 1.0),
        ("instructions", 820_096.0),
        ("stall_long_scoreboard", 1.97),
        ("stall_barrier", 1.28),
    ];
    for (name, wanted) in expected {
        assert_eq!(value(&metrics, name), Some(wanted), "{name}");
    }
    // Nothing is loaded from global memory by threads here, so there is no share of it.
    assert_eq!(value(&metrics, "load_efficiency"), None);
    let stalls: Vec<f64> = metrics
        .iter()
        .filter(|it| it.name.starts_with("stall_"))
        .map(|it| it.value)
        .collect();
    assert!(stalls.len() > 10 && stalls.is_sorted_by(|a, b| a >= b));
    assert!(metrics.iter().all(Metric::is_finite));
}

/// Pages of `examples/11_bottlenecks` on an H200, cut to the columns that are read; the bottleneck that was
/// planted, and the first of its levers.
const PLANTED: [(&str, &str, &str); 4] = [
    (
        include_str!("../tests/h200_2025.3.1/bank_conflicts.csv"),
        "bank_conflicts",
        "set PAD=1",
    ),
    (
        include_str!("../tests/h200_2025.3.1/register_spills.csv"),
        "register_spills",
        "lower MIN_BLOCKS",
    ),
    (
        include_str!("../tests/h200_2025.3.1/too_few_blocks.csv"),
        "too_few_blocks",
        "lower TILES",
    ),
    (
        include_str!("../tests/h200_2025.3.1/uncoalesced.csv"),
        "uncoalesced_loads",
        "set STAGED=1",
    ),
];
const HEALTHY: &str = include_str!("../tests/h200_2025.3.1/default.csv");

/// The parameters and rules of that example's space.
const SPACE: &str = r#"(
    name: "softmax",
    params: [
        (name: "STAGED", values: [0, 1]),
        (name: "PAD", values: [0, 1]),
        (name: "MIN_BLOCKS", values: [1, 4, 16]),
        (name: "TILES", values: [1, 4, 64]),
    ],
    rules: [
        (id: "bank_conflicts", levers: [(param: "PAD", action: set(1))]),
        (id: "register_spills", levers: [(param: "MIN_BLOCKS", action: lower)]),
        (id: "too_few_blocks", levers: [(param: "TILES", action: lower)]),
        (id: "uncoalesced_loads", levers: [(param: "STAGED", action: set(1))]),
        (id: "uncoalesced_stores", levers: [(param: "STAGED", action: set(1), strength: 0.9)]),
    ],
)"#;

/// The rules that hold for a page and have something to do, with the first thing to do.
fn named(page: &str) -> Vec<(String, String)> {
    // These pages were cut to what was read then.
    named_in(SPACE, page, &["arithmetic_bound", "special_functions"])
}

/// `unjudged`: the rules whose figures a page does not have.
fn named_in(space: &str, page: &str, unjudged: &[&str]) -> Vec<(String, String)> {
    let metrics = figures(page).unwrap();
    let own: BTreeSet<String> = metrics.iter().map(|it| it.name.clone()).collect();
    let mut known: Params = metrics
        .iter()
        .map(|it| (it.name.clone(), Value::Float(it.value)))
        .collect();
    known.insert("SMS".to_owned(), Value::Int(132));
    let rules = Rules::parse(RULES, "rules.ron").unwrap();
    let space = evo_core::space::Space::parse(space, "space", &Default::default()).unwrap();
    let found = diagnose(&rules, space.rules(), &known, &own, false);
    assert!(
        found.unjudged.keys().eq(unjudged.iter()),
        "{:?}",
        found.unjudged
    );
    let pairs = found.diagnoses.into_iter().filter_map(|it| {
        let lever = it.levers.first()?.lever.to_string();
        Some((it.rule, lever))
    });
    pairs.collect()
}

#[test]
fn planted_bottlenecks_are_named_first_with_their_cure_and_nowhere_else() {
    assert_eq!(named(HEALTHY), []);
    for (page, rule, lever) in PLANTED {
        let named = named(page);
        assert_eq!(
            named.first(),
            Some(&(rule.to_owned(), lever.to_owned())),
            "{named:?}"
        );
        for (_, other, _) in PLANTED {
            let is_named = named.iter().any(|it| it.0 == other);
            assert_eq!(is_named, other == rule, "{rule}: {named:?}");
        }
    }
}

/// What the tool says of the same launch in words: the line of a figure, in its own unit.
fn in_words(line: &str) -> f64 {
    let text = include_str!("../tests/h200_2025.3.1/stage2_details.txt");
    let mut lines = text.lines().filter(|it| it.trim().starts_with(line));
    let found = lines
        .next()
        .unwrap_or_else(|| panic!("there is no line {line}"));
    let word = found.split_whitespace().next_back().unwrap();
    word.replace(',', "").parse().unwrap()
}

#[test]
fn figures_are_those_that_the_tool_tells_in_words() {
    let metrics = figures(include_str!("../tests/h200_2025.3.1/stage2.csv")).unwrap();
    for (name, line, scale) in [
        ("gpu_time", "Duration", 1e3),
        ("dram_throughput", "DRAM Throughput", 1.0),
        ("l1_throughput", "L1/TEX Cache Throughput", 1.0),
        ("l2_throughput", "L2 Cache Throughput", 1.0),
        ("sm_throughput", "Compute (SM) Throughput", 1.0),
        ("instructions_per_cycle", "Executed Ipc Active", 1.0),
        ("l1_hit_rate", "L1/TEX Hit Rate", 1.0),
        ("l2_hit_rate", "L2 Hit Rate", 1.0),
        ("issue_active", "One or More Eligible", 1.0),
        ("warps", "Active Warps Per Scheduler", 1.0),
        ("eligible_warps", "Eligible Warps Per Scheduler", 1.0),
        ("instructions", "Executed Instructions", 1.0),
        ("thread_registers", "Registers Per Thread", 1.0),
        ("launched_blocks", "Grid Size", 1.0),
        ("launched_waves", "Waves Per SM", 1.0),
        ("possible_occupancy", "Theoretical Occupancy", 1.0),
        ("achieved_occupancy", "Achieved Occupancy", 1.0),
        ("limit_registers", "Block Limit Registers", 1.0),
        ("limit_shared_memory", "Block Limit Shared Mem", 1.0),
        (
            "store_bytes_per_sector",
            "smsp__sass_average_data_bytes_per_sector_mem_global_op_st",
            1.0,
        ),
    ] {
        let ours = value(&metrics, name).unwrap_or_else(|| panic!("{name} is not told"));
        let told = in_words(line) * scale;
        // In words there are two decimals.
        assert!(
            (ours - told).abs() <= 0.006 * scale.max(1.0) + 1e-4 * told.abs(),
            "{name} is {ours}, and {line} {told}"
        );
    }
}

#[test]
fn many_candidates_are_told_apart_by_the_order_of_their_kernels() {
    let all = figures_of(PAGE, 2).unwrap();
    assert_eq!(value(&all[0], "gpu_time"), Some(6336.0));
    assert_eq!(value(&all[1], "gpu_time"), Some(11872.0));
    // One candidate of two kernels: the longer one.
    let one = figures_of(PAGE, 1).unwrap();
    assert_eq!(value(&one[0], "gpu_time"), Some(11872.0));
    assert!(figures_of(PAGE, 3).unwrap_err().contains("no equal number"));
    assert!(figures_of(PAGE, 0).is_err());
}

#[test]
fn no_figure_that_a_page_has_is_left_out() {
    for page in [
        PAGE,
        HEALTHY,
        PLANTED[0].0,
        PLANTED[1].0,
        PLANTED[2].0,
        PLANTED[3].0,
    ] {
        let kernels = page::read(page).unwrap();
        let metrics = metrics::metrics(&kernels[0]);
        let missing: Vec<&str> = metrics::known()
            .filter(|(_, sources)| sources.iter().any(|name| kernels[0].get(name).is_some()))
            .map(|(name, _)| name)
            .filter(|name| value(&metrics, name).is_none())
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(metrics.len() > 45, "{}", metrics.len());
    }
}

#[test]
fn other_names_of_the_same_figures_are_known() {
    let text = "==PROF== Connected to process 1\n\
        \"ID\",\"Kernel Name\",\"sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active\",\
        \"dram__throughput.avg.pct_of_peak_sustained_elapsed\",\
        \"smsp__average_warp_latency_issue_stalled_barrier.ratio\",\
        \"smsp__average_warp_latency_issue_stalled_selected.ratio\"\n\
        \"\",\"\",\"%\",\"%\",\"\",\"\"\n\"0\",\"k\",\"41.5\",\"80\",\"2.5\",\"1\"\n";
    let metrics = figures(text).unwrap();
    assert_eq!(value(&metrics, "tensor_active"), Some(41.5));
    assert_eq!(value(&metrics, "dram_throughput"), Some(80.0));
    assert_eq!(value(&metrics, "stall_barrier"), Some(2.5));
    assert_eq!(value(&metrics, "stall_selected"), None);
    assert_eq!(value(&metrics, "launches"), Some(1.0));
}

#[test]
fn a_driver_that_lets_only_root_profile_is_told_with_the_cure() {
    let restricted = "ModifyDeviceFiles: 1\nRmProfilingAdminOnly: 1\n";
    tool::permitted(restricted, true).unwrap();
    tool::permitted("RmProfilingAdminOnly: 0\n", false).unwrap();
    tool::permitted("", false).unwrap();
    let error = tool::permitted(restricted, false).unwrap_err().to_string();
    assert!(
        error.contains("NVreg_RestrictProfilingToAdminUsers=0"),
        "{error}"
    );
}

/// A candidate whose command is known.
struct Candidate {
    folder: TempDir,
    request: BuildRequest,
    artifact: Artifact,
}

impl Runnable for Candidate {
    fn request(&self) -> &BuildRequest {
        &self.request
    }
    fn artifact(&self) -> &Artifact {
        &self.artifact
    }
    fn launch(&mut self) -> Result<(), Error> {
        Ok(())
    }
    fn command(&self, launches: u32) -> Result<Vec<String>, Error> {
        Ok(vec!["candidate".to_owned(), format!("{launches}")])
    }
    fn folder(&self) -> Option<PathBuf> {
        Some(self.folder.path().to_owned())
    }
}

fn candidate() -> Candidate {
    Candidate {
        folder: TempDir::new().unwrap(),
        request: BuildRequest::default(),
        artifact: Artifact::default(),
    }
}

/// Stands for the tool: a script.
fn stand_in(folder: &TempDir, script: &str) -> PathBuf {
    let path = folder.path().join("ncu");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn the_tool_is_run_over_the_candidate_and_its_report_is_kept() {
    let (place, candidate) = (TempDir::new().unwrap(), candidate());
    let page = place.path().join("page.csv");
    fs::write(&page, PAGE).unwrap();
    let log = place.path().join("log");
    let ncu = stand_in(
        &place,
        &format!(
            "echo \"$@\" >> {log}\n\
             case \"$*\" in *--export*) echo report > {report} ;; *--import*) cat {page} ;; esac",
            log = log.display(),
            report = candidate.folder.path().join("report.ncu-rep").display(),
            page = page.display()
        ),
    );
    let text = tool::profile(&ncu, &candidate).unwrap();
    assert_eq!(value(&figures(&text).unwrap(), "launches"), Some(2.0));
    let log = fs::read_to_string(log).unwrap();
    let first = log.lines().next().unwrap();
    assert!(
        first.contains("--clock-control none --profile-from-start off"),
        "{first}"
    );
    assert!(first.ends_with("candidate 1"), "{first}");
}

#[test]
fn a_tool_that_fails_is_told_in_its_own_words() {
    let (place, candidate) = (TempDir::new().unwrap(), candidate());
    let failing = stand_in(
        &place,
        "echo '==PROF== Connected'; echo '==ERROR== ERR_NVGPUCTRPERM - The user does not have permission'; exit 1",
    );
    let error = tool::profile(&failing, &candidate).unwrap_err().to_string();
    assert!(error.contains("does not have permission"), "{error}");
    assert!(error.contains("run as root"), "{error}");
    let silent = stand_in(&place, "exit 0");
    let error = tool::profile(&silent, &candidate).unwrap_err().to_string();
    assert!(error.contains("wrote no report.ncu-rep"), "{error}");
    let error = tool::profile(&place.path().join("nothing"), &candidate);
    assert!(error.unwrap_err().to_string().contains("cannot be started"));
}
