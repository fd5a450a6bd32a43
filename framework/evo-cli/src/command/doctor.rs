//! `evo doctor`: what this machine has, and what follows from it.

use std::fmt::Write;
use std::fs;
use std::process::ExitCode;

use evo_run::{Described, Host, SearchPath, Stop, default_worker, describe_plugin};
use evo_types::DeviceFacts;

use super::{print, program, shown};
use crate::VERSION;
use crate::args::Doctor;
use crate::failure::Failure;

/// `evo doctor`.
pub(crate) fn doctor(args: &Doctor) -> Result<ExitCode, Failure> {
    let commit = option_env!("EVO_COMMIT").map_or_else(String::new, |hash| format!(" ({hash})"));
    let mut report = Report {
        text: format!("evo {VERSION}{commit}\n\n"),
        faults: 0,
    };
    let mut host = default_worker(&program()?)?;
    report.good("plugin store", &shown(host.settings().store.folder()));
    match host.device(&Stop::default()) {
        Ok(device) => cpu(&mut report, &device),
        Err(error) => report.bad("worker", &error.to_string()),
    }
    tools(&mut report, &mut host);
    let search = SearchPath::new(&args.plugins.folders);
    let found = search.list();
    if found.is_empty() {
        let folders: Vec<String> = search
            .folders()
            .iter()
            .map(|(folder, _)| folder.display().to_string())
            .collect();
        report.bad(
            "plugins",
            &format!("none; they are looked for in {}", folders.join(", ")),
        );
    }
    for plugin in found {
        match describe_plugin(&mut host, &plugin.path, &Stop::default()) {
            Ok(described) => {
                let info = &described.info;
                report.good(
                    &format!("plugin {}", plugin.name),
                    &format!("{} {}", info.version, info.doc),
                );
                profilers(&mut report, &mut host, &described);
            }
            // What is built or started here may lack a tool, which only narrows what can be done.
            Err(error) if evo_run::is_description(&plugin.path) => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                report.absent(&format!("plugin {}", plugin.name), first);
            }
            Err(error) => report.bad(&format!("plugin {}", plugin.name), &error.to_string()),
        }
    }
    let _ = writeln!(
        report.text,
        "\n{}",
        if report.faults == 0 {
            "everything that a CPU run needs is there"
        } else {
            "see the lines marked NO"
        }
    );
    print(&report.text)?;
    Ok(if report.faults == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

struct Report {
    text: String,
    faults: usize,
}

impl Report {
    fn line(&mut self, mark: &str, what: &str, found: &str) {
        let _ = writeln!(self.text, "{mark:<4} {what:<18} {found}");
    }

    /// It is there.
    fn good(&mut self, what: &str, found: &str) {
        self.line("ok", what, found);
    }

    /// It is absent, which only narrows what can be done.
    fn absent(&mut self, what: &str, follows: &str) {
        self.line("-", what, follows);
    }

    /// It has to be mended.
    fn bad(&mut self, what: &str, problem: &str) {
        self.line("NO", what, problem);
        self.faults += 1;
    }
}

fn cpu(report: &mut Report, device: &DeviceFacts) {
    let fact = |name: &str| {
        device
            .facts
            .get(name)
            .map_or_else(|| "?".to_owned(), ToString::to_string)
    };
    let kib = |name: &str| {
        let bytes = device
            .facts
            .get(name)
            .and_then(|value| value.as_int())
            .unwrap_or(0);
        format!("{} KiB", bytes >> 10)
    };
    report.good(
        "CPU",
        &format!("{}, {} cores for this process", device.name, fact("CORES")),
    );
    report.good("SIMD", &format!("{} bits wide", fact("SIMD_BITS")));
    report.good(
        "caches",
        &format!(
            "L1d {}, L2 {}, L3 {}",
            kib("L1D_BYTES"),
            kib("L2_BYTES"),
            kib("L3_BYTES")
        ),
    );
    let memory = device
        .facts
        .get("MEM_BYTES")
        .and_then(|value| value.as_int())
        .unwrap_or(0);
    report.good(
        "memory",
        &format!("{:.1} GiB", memory as f64 / f64::from(1 << 30)),
    );
    match governor() {
        Some(governor) if governor != "performance" => report.absent(
            "frequency",
            &format!("the governor is `{governor}`: times vary more than with `performance`"),
        ),
        Some(governor) => report.good("frequency", &format!("governor `{governor}`")),
        None => report.absent(
            "frequency",
            "no governor is visible (a virtual machine?): expect noise, trust confirmed ratios",
        ),
    }
}

/// What profilers say when a run first asks them.
fn profilers(report: &mut Report, host: &mut Host, plugin: &Described) {
    for profiler in &plugin.info.profilers {
        let what = format!("  profiler {}", profiler.name);
        match evo_run::probe_profiler(host, plugin, &profiler.name, &Stop::default()) {
            Ok(None) => report.good(&what, "works here"),
            Ok(Some(reason)) => report.absent(&what, &reason),
            Err(error) => report.bad(&what, &error.to_string()),
        }
    }
}

fn governor() -> Option<String> {
    let text = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").ok()?;
    Some(text.trim().to_owned())
}

/// What some plugins need: looked for in the worker, which opens what the program does not.
fn tools(report: &mut Report, host: &mut Host) {
    match evo_run::tools(host, &Stop::default()) {
        Ok(tools) => {
            for tool in tools {
                match tool.found {
                    Ok(found) => report.good(&tool.name, &found),
                    Err(follows) => report.absent(&tool.name, &follows),
                }
            }
        }
        Err(error) => report.bad("tools", &error.to_string()),
    }
    match fs::read_to_string("/proc/sys/kernel/perf_event_paranoid") {
        Ok(level) => report.good(
            "perf events",
            &format!("perf_event_paranoid is {}", level.trim()),
        ),
        Err(_) => report.absent("perf events", "not in this kernel: no hardware counters"),
    }
}
