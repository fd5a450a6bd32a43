//! The operating system's accounts of this process.

use std::fs;

use evo_plugin::Error;

/// Totals over all threads of this process since they began.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Accounts {
    /// Nanoseconds on a CPU.
    pub(crate) run_ns: f64,
    /// Nanoseconds runnable, but waiting for a CPU.
    pub(crate) wait_ns: f64,
    /// Page faults served without the disk.
    pub(crate) minor_faults: f64,
    /// Page faults served from the disk.
    pub(crate) major_faults: f64,
    /// Context switches because a thread waited.
    pub(crate) voluntary: f64,
    /// Context switches because a thread's time was up.
    pub(crate) involuntary: f64,
}

impl Accounts {
    /// Reads the present totals.
    ///
    /// # Errors
    /// Where this kernel keeps no such accounts.
    pub(crate) fn read() -> Result<Self, Error> {
        let mut totals = Self::default();
        let stat = read("/proc/self/stat")?;
        // The second field is the program's name in parentheses and may hold spaces.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
        totals.minor_faults = number(fields.get(7).copied())?;
        totals.major_faults = number(fields.get(9).copied())?;
        let tasks = fs::read_dir("/proc/self/task")
            .map_err(|error| Error::Rejected(format!("/proc/self/task: {error}")))?;
        for task in tasks.flatten() {
            let folder = task.path();
            // A thread may end between the listing and the reading.
            let Ok(schedstat) = fs::read_to_string(folder.join("schedstat")) else {
                continue;
            };
            let mut words = schedstat.split_whitespace();
            totals.run_ns += number(words.next())?;
            totals.wait_ns += number(words.next())?;
            let Ok(status) = fs::read_to_string(folder.join("status")) else {
                continue;
            };
            for line in status.lines() {
                match line.split_once(':') {
                    Some(("voluntary_ctxt_switches", count)) => {
                        totals.voluntary += number(Some(count.trim()))?;
                    }
                    Some(("nonvoluntary_ctxt_switches", count)) => {
                        totals.involuntary += number(Some(count.trim()))?;
                    }
                    _ => {}
                }
            }
        }
        if totals.run_ns == 0.0 {
            return Err(Error::Rejected(
                "this kernel keeps no scheduler accounts (CONFIG_SCHED_INFO is off)".to_owned(),
            ));
        }
        Ok(totals)
    }

    /// What was added since an earlier reading. A thread that ended in between takes its part
    /// away; the difference is then cut at zero.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let less = |now: f64, then: f64| (now - then).max(0.0);
        Self {
            run_ns: less(self.run_ns, earlier.run_ns),
            wait_ns: less(self.wait_ns, earlier.wait_ns),
            minor_faults: less(self.minor_faults, earlier.minor_faults),
            major_faults: less(self.major_faults, earlier.major_faults),
            voluntary: less(self.voluntary, earlier.voluntary),
            involuntary: less(self.involuntary, earlier.involuntary),
        }
    }
}

fn read(path: &str) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::Rejected(format!("{path}: {error}")))
}

fn number(word: Option<&str>) -> Result<f64, Error> {
    word.and_then(|word| word.parse().ok())
        .ok_or_else(|| Error::Rejected("the kernel's accounts have an unknown form".to_owned()))
}
