//! Devices, problems and requests.

use evo_core::space::{Config, Env, Space};
use evo_cuda::{Nvrtc, NvrtcError};
use evo_plugin::{BuildRequest, DeviceFacts, Error, Kernel, Params, Problem, ProblemSpec, Value};
use evo_plugin_sdpa_ws::{Fused, SPACE, Variant};
use evo_problems::Sdpa;

/// Whether there is an NVRTC; where there is none, says that a test is skipped. Where one is
/// promised by `EVO_NVRTC` and is not there, the test fails.
pub(crate) fn has_nvrtc() -> bool {
    match Nvrtc::get() {
        Ok(_) => true,
        Err(error @ NvrtcError::NotFound { given: None, .. }) => {
            let text = error.to_string();
            println!("skipped: {}", text.lines().next().unwrap_or_default());
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// A device of an architecture, with the figures of the profile that is shipped for it.
pub(crate) fn device(arch: &str) -> DeviceFacts {
    let (capability, sms, shared, per_sm) = match arch {
        "sm_75" => (75, 40, 65_536, 65_536),
        "sm_80" => (80, 108, 166_912, 167_936),
        "sm_89" => (89, 128, 101_376, 102_400),
        "sm_90a" => (90, 132, 232_448, 233_472),
        _ => panic!("{arch}"),
    };
    let facts = [
        ("COMPUTE_CAPABILITY", capability),
        ("SMS", sms),
        ("SMEM_BYTES", shared),
        ("SMEM_PER_SM", per_sm),
    ];
    DeviceFacts {
        kind: "cuda".to_owned(),
        name: format!("a device of {arch}"),
        uuid: "none".to_owned(),
        facts: facts
            .map(|(name, value)| (name.to_owned(), Value::Int(value)))
            .into(),
    }
}

/// The problem with these fields, as `NAME=VALUE` words; attention of the mission's shape where they
/// are silent.
pub(crate) fn problem(words: &str) -> ProblemSpec {
    let info = Sdpa.info();
    let mut fields: Params = info
        .fields
        .into_iter()
        .map(|field| (field.name, field.default))
        .collect();
    fields.insert("dtype".to_owned(), "f16".into());
    fields.insert("same_d".to_owned(), true.into());
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        let value = value
            .parse::<i64>()
            .map_or_else(|_| Value::from(value), Value::from);
        assert!(fields.insert(name.to_owned(), value).is_some(), "{name}");
    }
    Sdpa.resolve(&fields).unwrap()
}

/// The space for a problem on a device.
pub(crate) fn space(problem: &ProblemSpec, device: &DeviceFacts) -> Space {
    space_of(SPACE, problem, device)
}

pub(crate) fn space_of(text: &str, problem: &ProblemSpec, device: &DeviceFacts) -> Space {
    let mut constants = problem.fields.clone();
    constants.extend(problem.constants.clone());
    let env = Env {
        problem: constants,
        device: device.facts.clone(),
        pinned: Params::new(),
    };
    match Space::parse(text, "sdpa_ws.ron", &env) {
        Ok(space) => space,
        Err(errors) => panic!("{errors}"),
    }
}

/// What the kernel is asked for a configuration of a space: searched parameters only.
pub(crate) fn request(
    problem: &ProblemSpec,
    device: &DeviceFacts,
    space: &Space,
    config: &Config,
) -> BuildRequest {
    let mut params = space.to_params(config);
    for name in ["epilogue", "mask", "dtype"] {
        params.remove(name);
    }
    BuildRequest {
        problem: problem.clone(),
        config: params,
        device: device.clone(),
    }
}

/// The kernel that takes every configuration.
pub(crate) fn fused() -> Fused {
    Fused::new(Variant::Any)
}

/// A request for the defaults of a kernel, changed by `NAME=VALUE` words.
pub(crate) fn defaults(kernel: &dyn Kernel, fields: &str, words: &str, arch: &str) -> BuildRequest {
    let mut config: Params = kernel
        .info()
        .params
        .into_iter()
        .map(|param| (param.name, param.default))
        .collect();
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        let value = match value {
            "true" => Value::from(true),
            "false" => Value::from(false),
            _ => value
                .parse::<i64>()
                .map_or_else(|_| Value::from(value), Value::from),
        };
        assert!(config.insert(name.to_owned(), value).is_some(), "{name}");
    }
    BuildRequest {
        problem: problem(fields),
        config,
        device: device(arch),
    }
}

/// Why a request is refused; `None` where it is not.
pub(crate) fn refusal(kernel: &dyn Kernel, request: &BuildRequest) -> Option<String> {
    match kernel.accept(request) {
        Ok(()) => None,
        Err(Error::Rejected(reason)) => Some(reason),
        Err(other) => panic!("{other}"),
    }
}
