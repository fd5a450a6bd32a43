//! The figures of many trials from one session of Nsight Compute over `evo replay`, for `evo export
//! --figures`: a pass for each candidate in a process of its own takes seconds, and this a fraction of one.
//!
//! ```sh
//! ncu --target-processes all --profile-from-start off --clock-control none --csv --page raw \
//!     --section SpeedOfLight --section ComputeWorkloadAnalysis --section MemoryWorkloadAnalysis \
//!     --section MemoryWorkloadAnalysis_Tables --section SchedulerStats --section WarpStateStats \
//!     --section InstructionStats --section LaunchStats --section Occupancy \
//!     --metrics smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio,smsp__sass_average_data_bytes_per_sector_mem_global_op_st.ratio \
//!     --log-file page.csv \
//!     evo replay RUN --top 2000 --launches 1 --json > replay.json
//! cargo run -p evo-plugin-profiler-ncu --example figures -- page.csv replay.json > figures.json
//! evo export RUN --figures figures.json --out recording.json.xz
//! ```
//!
//! Most of the time goes into metrics that no figure is made of. Those that figures are made of, of a page that
//! was collected as above, are printed for `--metrics` in the place of the sections:
//!
//! ```sh
//! cargo run -p evo-plugin-profiler-ncu --example figures -- --metrics page.csv
//! ```
//!
//! Configurations that were recorded earlier need no run of theirs: with `evo replay RUN --configurations
//! RECORDING --rows 0..1000` in the place of `--top`, RUN is any run of the same candidate, and `evo export RUN
//! RECORDING --figures figures.json --out more.json.xz` puts the figures to what was recorded.

use std::collections::BTreeMap;
use std::process::ExitCode;

use evo_plugin_profiler_ncu::{SOURCE, figures_of, metrics_of, rules};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let printed = match words.as_slice() {
        ["--metrics", page] => metrics(page),
        [page, replay] => document(page, replay).map(|document| document.to_string()),
        _ => Err("figures PAGE.csv REPLAY.json, or figures --metrics PAGE.csv".to_owned()),
    };
    match printed {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn read(file: &str) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))
}

fn metrics(page: &str) -> Result<String, String> {
    let names = metrics_of(&read(page)?).map_err(|message| format!("{page}: {message}"))?;
    Ok(names.join(","))
}

fn document(page: &str, replay: &str) -> Result<Value, String> {
    let replayed: Value =
        serde_json::from_str(&read(replay)?).map_err(|error| format!("{replay}: {error}"))?;
    let candidates = replayed["candidates"]
        .as_array()
        .ok_or_else(|| format!("{replay}: it is no document of `evo replay --json`"))?;
    let failed = candidates.iter().filter(|it| it["passed"] != true).count();
    if failed > 0 {
        return Err(format!(
            "{replay}: {failed} candidates failed, so that it is not known whose kernels are whose; replay \
             the others alone"
        ));
    }
    let figures = figures_of(&read(page)?, candidates.len())
        .map_err(|message| format!("{page}: {message}"))?;
    let mut trials: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    let mut configurations: Vec<Value> = Vec::new();
    for (candidate, metrics) in candidates.iter().zip(figures) {
        let values = metrics.into_iter().map(|it| (it.name, it.value));
        let values: BTreeMap<String, f64> = values.collect();
        match candidate["trial"].as_u64() {
            Some(trial) => {
                trials.insert(trial.to_string(), values);
            }
            None => {
                configurations.push(json!({ "params": candidate["params"], "figures": values }))
            }
        }
    }
    Ok(json!({
        "source": SOURCE,
        "rules": rules(),
        "trials": trials,
        "configurations": configurations,
    }))
}
