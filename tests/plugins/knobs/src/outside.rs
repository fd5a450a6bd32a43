//! A profiler that looks at the candidate from outside, in a process of its own.

use std::process::Command;

use evo_plugin::{Direction, Error, Metric, Profiler, ProfilerInfo, Runnable};

pub(crate) struct Outside;

impl Profiler for Outside {
    fn info(&self) -> ProfilerInfo {
        ProfilerInfo {
            name: "outside".to_owned(),
            doc: "Starts the candidate in a process of its own".to_owned(),
            devices: vec!["cpu".to_owned()],
            rules: None,
        }
    }

    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error> {
        let command = runnable.command(3)?;
        let folder = runnable
            .folder()
            .ok_or_else(|| Error::Failed("there is no folder".to_owned()))?;
        let failed = |error: std::io::Error| Error::Failed(error.to_string());
        let (program, words) = command
            .split_first()
            .ok_or_else(|| Error::Failed("an empty command".to_owned()))?;
        let ended = Command::new(program).args(words).output().map_err(failed)?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        std::fs::write(
            folder.join("outside.txt"),
            format!("{}\n{said}", ended.status),
        )
        .map_err(failed)?;
        let code = ended.status.code().unwrap_or(-1);
        Ok(vec![Metric::new(
            "exit_code",
            "",
            Direction::Info,
            f64::from(code),
        )])
    }
}
