//! The machine and the program, for the record.

use std::fs;

use evo_journal::Environment;

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn proc_field(path: &str, field: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Captures what a run needs for its record. What cannot be read is said to be unknown.
///
/// `evo` is the program's version, `commit` the commit it was built from.
pub fn capture(evo: &str, commit: Option<&str>) -> Environment {
    let unknown = || "unknown".to_owned();
    let memory = proc_field("/proc/meminfo", "MemTotal")
        .and_then(|text| {
            text.split_whitespace()
                .next()
                .and_then(|word| word.parse::<u64>().ok())
        })
        .map_or(0, |kib| kib.saturating_mul(1024));
    Environment {
        evo: evo.to_owned(),
        commit: commit.map(str::to_owned),
        command: std::env::args().collect(),
        folder: std::env::current_dir()
            .map_or_else(|_| unknown(), |path| path.display().to_string()),
        host: read("/proc/sys/kernel/hostname").unwrap_or_else(unknown),
        os: read("/proc/sys/kernel/osrelease").map_or_else(unknown, |os| format!("Linux {os}")),
        cpu: proc_field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
        memory_bytes: memory,
        boot: boot_id(),
    }
}

/// The identity of the machine's present start; empty where the system does not tell.
pub(crate) fn boot_id() -> String {
    read("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}
