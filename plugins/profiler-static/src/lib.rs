//! The profiler `static`: what a built kernel tells without being run. Nothing is launched.
//!
//! The figures of the build, the size of the code and, where a disassembler is there (`nvdisasm` of the
//! CUDA toolkit for GPU kernels, `objdump` for libraries), how many instructions of each kind it has.

mod mix;
mod tool;

use evo_plugin::{Direction, Error, Metric, Plugin, Profiler, ProfilerInfo, Runnable};

use crate::tool::Code;

/// What its figures mean.
const RULES: &str = include_str!("../rules.ron");

struct Static;

impl Profiler for Static {
    fn info(&self) -> ProfilerInfo {
        ProfilerInfo {
            name: "static".to_owned(),
            doc: "What a build tells without being run: resources and the mix of instructions"
                .to_owned(),
            devices: vec!["cpu".to_owned(), "cuda".to_owned()],
            rules: Some(RULES.to_owned()),
        }
    }

    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error> {
        let artifact = runnable.artifact();
        let mut metrics = figures(&artifact.bytes)?;
        // Those that the kernel tells have the last word on their names.
        metrics.retain(|own| artifact.resources.iter().all(|told| told.name != own.name));
        metrics.extend(artifact.resources.iter().cloned());
        Ok(metrics)
    }
}

/// What the bytes of an artifact tell.
fn figures(bytes: &[u8]) -> Result<Vec<Metric>, Error> {
    let count = |name: &str, value: f64| Metric::new(name, "count", Direction::Info, value);
    let size = bytes.len() as f64;
    let mut metrics = vec![Metric::new("artifact_bytes", "B", Direction::Info, size)];
    let Some((code, program)) = tool::code(bytes).and_then(|it| Some((it, it.program()?))) else {
        return Ok(metrics);
    };
    let listing = code.list(&program, bytes)?;
    let mix = match code {
        Code::Sass => mix::sass(&listing),
        Code::X86 => mix::x86(&listing),
    };
    for (kind, number) in &mix.0 {
        let name = match *kind {
            "all" => "listed_instructions".to_owned(),
            kind => format!("{kind}_instructions"),
        };
        metrics.push(count(&name, *number as f64));
    }
    Ok(metrics)
}

fn plugin() -> Plugin {
    Plugin::new(
        "profiler-static",
        env!("CARGO_PKG_VERSION"),
        "What a built kernel tells without being run",
    )
    .profiler(Static)
}

evo_plugin::export!(plugin);

#[cfg(test)]
mod tests {
    use super::*;

    fn value(metrics: &[Metric], name: &str) -> Option<f64> {
        metrics.iter().find(|it| it.name == name).map(|it| it.value)
    }

    /// This test's own program: a library for this machine is no different.
    #[test]
    fn machine_code_of_this_machine_is_listed_where_there_is_a_disassembler() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let metrics = figures(&own).unwrap();
        assert_eq!(value(&metrics, "artifact_bytes"), Some(own.len() as f64));
        let listed = tool::code(&own).and_then(Code::program).is_some();
        if !listed {
            eprintln!("skipped: no disassembler for this machine's code");
        }
        assert_eq!(value(&metrics, "listed_instructions").is_some(), listed);
        if listed {
            assert!(value(&metrics, "listed_instructions").unwrap() > 1000.0);
            assert!(value(&metrics, "call_instructions").unwrap() > 10.0);
        }
    }

    #[test]
    fn what_is_no_machine_code_has_a_size_and_no_instructions() {
        for bytes in [
            &b""[..],
            b"params",
            b"\x7fELF",
            b"\x7fELF\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x3e",
        ] {
            let metrics = figures(bytes).unwrap();
            assert_eq!(metrics.len(), 1, "{bytes:?}");
        }
        let mut cubin = b"\x7fELF".to_vec();
        cubin.resize(18, 0);
        cubin.extend([190, 0]);
        assert_eq!(tool::code(&cubin), Some(Code::Sass));
    }

    #[test]
    fn a_disassembler_that_fails_is_told() {
        let error = Code::X86.list(&"/bin/false".into(), b"x").unwrap_err();
        assert!(
            error.to_string().contains("/bin/false: exit status: 1"),
            "{error}"
        );
        let error = Code::X86
            .list(&"/nowhere/objdump".into(), b"x")
            .unwrap_err();
        assert!(
            error.to_string().contains("/nowhere/objdump: No such file"),
            "{error}"
        );
    }
}
