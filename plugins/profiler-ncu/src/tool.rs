//! The tool: where it is, whether it may be used, and running it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use evo_plugin::{Error, Runnable};

use crate::page;

/// Launches that are looked at.
const LAUNCHES: u32 = 1;

/// What is collected: everything that [`crate::metrics`] tells, and what `ncu-ui` shows beside it. Not
/// in it are counters of each line of code, samples over time and charts, which make most of the
/// passes and of the report.
const SECTIONS: [&str; 9] = [
    "SpeedOfLight",
    "ComputeWorkloadAnalysis",
    "MemoryWorkloadAnalysis",
    "MemoryWorkloadAnalysis_Tables",
    "SchedulerStats",
    "WarpStateStats",
    "InstructionStats",
    "LaunchStats",
    "Occupancy",
];

/// Metrics that are in no section of these.
const METRICS: &str = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio,\
                       smsp__sass_average_data_bytes_per_sector_mem_global_op_st.ratio";

/// The report that is kept, without and with its ending.
const REPORT: &str = "report";
const REPORT_FILE: &str = "report.ncu-rep";

/// `EVO_NCU`, the search path, and where toolkits are installed.
///
/// # Errors
/// Where it was looked for, and what to do.
pub(crate) fn find() -> Result<PathBuf, Error> {
    if let Some(given) = std::env::var_os("EVO_NCU").filter(|given| !given.is_empty()) {
        let given = PathBuf::from(given);
        if given.is_file() {
            return Ok(given);
        }
        return Err(Error::Rejected(format!(
            "EVO_NCU names {}, which is no file; name the program `ncu` of Nsight Compute",
            given.display()
        )));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/local/cuda/bin".into());
    for root in [
        "/opt/nvidia/nsight-compute",
        "/usr/local/cuda/nsight-compute",
    ] {
        let mut versions: Vec<PathBuf> = fs::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        // The newest first.
        versions.sort();
        places.extend(versions.into_iter().rev());
    }
    let mut programs = places.into_iter().map(|place| place.join("ncu"));
    programs.find(|program| program.is_file()).ok_or_else(|| {
        Error::Rejected(
            "Nsight Compute was not found: install it (it is part of the CUDA toolkit), put `ncu` on \
             the search path, or name it by EVO_NCU"
                .to_owned(),
        )
    })
}

/// Whether this user may read the counters, as far as the driver says so beforehand.
///
/// # Errors
/// What to do where not.
pub(crate) fn permitted(driver: &str, root: bool) -> Result<(), Error> {
    let restricted = driver
        .lines()
        .any(|line| line.trim() == "RmProfilingAdminOnly: 1");
    if restricted && !root {
        return Err(Error::Rejected(format!(
            "this driver lets only root read performance counters: {}",
            page::PERMISSION
        )));
    }
    Ok(())
}

/// The driver's settings; empty where it does not tell them.
pub(crate) fn driver_settings() -> String {
    fs::read_to_string("/proc/driver/nvidia/params").unwrap_or_default()
}

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// Profiles the candidate in a process of its own; returns the raw page. The report stays in the
/// candidate's folder.
///
/// # Errors
/// What the tool or the candidate said.
pub(crate) fn profile(ncu: &Path, runnable: &dyn Runnable) -> Result<String, Error> {
    let folder = runnable.folder().ok_or_else(|| {
        Error::Rejected("this evo keeps no files of profilers; a newer one does".to_owned())
    })?;
    let command = runnable.command(LAUNCHES)?;
    let report = folder.join(REPORT);
    let mut collect = Command::new(ncu);
    collect
        .args(SECTIONS.iter().flat_map(|section| ["--section", section]))
        .args(["--metrics", METRICS])
        .args(["--force-overwrite", "--export"])
        .arg(&report)
        // Clocks are not ours to touch, and only the launches between the marks count.
        .args(["--clock-control", "none", "--profile-from-start", "off"])
        .args(["--target-processes", "all"])
        .args(&command);
    run(collect, "collecting")?;
    let file = folder.join(REPORT_FILE);
    if !file.is_file() {
        return Err(Error::Failed(format!(
            "Nsight Compute wrote no {REPORT_FILE}: no kernel was launched between the marks"
        )));
    }
    let mut import = Command::new(ncu);
    import
        .arg("--import")
        .arg(&file)
        .args(["--csv", "--page", "raw"]);
    run(import, "reading its report")
}

/// Runs the tool to its end; returns what it prints.
fn run(mut command: Command, what: &str) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let ended = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::Failed(format!("{program} cannot be started: {error}")))?;
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ended.stderr);
    if ended.status.success() {
        return Ok(printed);
    }
    let said = page::complaint(&printed).or_else(|| page::complaint(&errors));
    if let Some(said) = said
        .as_deref()
        .filter(|said| said.contains(page::PERMISSION))
    {
        // As for every other candidate: a driver need not tell it beforehand, and a container may have
        // taken it from root.
        return Err(Error::Rejected(said.to_owned()));
    }
    let last = errors
        .lines()
        .chain(printed.lines())
        .rfind(|line| !line.trim().is_empty());
    let said = said.or_else(|| last.map(str::to_owned)).unwrap_or_default();
    Err(Error::Failed(format!(
        "Nsight Compute, {what}: {} ({said})",
        ended.status
    )))
}
