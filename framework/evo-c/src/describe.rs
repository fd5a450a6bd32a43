//! Descriptions as C authors write them: JSON in which much may be left out.

use evo_plugin::{
    CachePolicy, Direction, FieldInfo, FieldKind, Gate, KernelInfo, ObjectiveInfo, ParamInfo,
    Params, ProblemInfo, ProblemSpec, ProfilerInfo, TensorSpec, Value,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Characters that are shown on each side of the place of an error.
const AROUND: usize = 24;

#[derive(Serialize, Deserialize)]
struct ParamForm {
    name: String,
    #[serde(default)]
    doc: String,
    default: Value,
    #[serde(default)]
    runtime: bool,
}

#[derive(Serialize, Deserialize)]
struct KernelForm {
    name: String,
    version: Option<String>,
    #[serde(default)]
    doc: String,
    problems: Vec<String>,
    #[serde(default = "cpu")]
    devices: Vec<String>,
    #[serde(default)]
    params: Vec<ParamForm>,
    #[serde(default = "yes")]
    deterministic: bool,
    prepares: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct FieldForm {
    name: String,
    #[serde(default)]
    doc: String,
    kind: FieldKind,
    default: Value,
}

#[derive(Serialize, Deserialize)]
struct ProblemForm {
    name: String,
    #[serde(default)]
    doc: String,
    #[serde(default)]
    fields: Vec<FieldForm>,
}

#[derive(Serialize, Deserialize)]
struct ObjectiveForm {
    name: String,
    #[serde(default)]
    doc: String,
    #[serde(default)]
    settings: Vec<FieldForm>,
    metric: String,
    #[serde(default = "lower")]
    direction: Direction,
}

#[derive(Serialize, Deserialize)]
struct ProfilerForm {
    name: String,
    #[serde(default)]
    doc: String,
    #[serde(default = "cpu")]
    devices: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct SpecForm {
    tensors: Vec<TensorSpec>,
    gates: Vec<Gate>,
    distributions: Vec<String>,
    flops: f64,
    bytes: Option<f64>,
    constants: Option<Params>,
    extra_shapes: Vec<Params>,
    cache: Option<CachePolicy>,
}

fn cpu() -> Vec<String> {
    vec!["cpu".to_owned()]
}

fn yes() -> bool {
    true
}

fn lower() -> Direction {
    Direction::Lower
}

/// Whose description it is, for messages and defaults.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// What is read, such as `kernels[0].info`.
    pub(crate) what: &'a str,
    /// Whether members that this version does not know are an error: not in the description of a
    /// plugin that was made for a later one.
    pub(crate) strict: bool,
}

/// A kernel's description, with its space. `prepares` says whether it has the function.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn kernel(
    text: &str,
    source: Source<'_>,
    plugin_version: &str,
    space: Option<String>,
    has_prepare: bool,
) -> Result<KernelInfo, String> {
    let form: KernelForm = read(text, source)?;
    if form.prepares == Some(true) && !has_prepare {
        return Err(format!(
            "{}: `prepares` is true, but the function `prepare` is NULL (it came with version \
             1.1 of the header)",
            source.what
        ));
    }
    Ok(KernelInfo {
        name: form.name,
        version: form.version.unwrap_or_else(|| plugin_version.to_owned()),
        doc: form.doc,
        problems: form.problems,
        devices: form.devices,
        params: form.params.into_iter().map(ParamForm::into_info).collect(),
        space,
        deterministic: form.deterministic,
        prepares: form.prepares.unwrap_or(has_prepare),
    })
}

/// A problem's description.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn problem(text: &str, source: Source<'_>) -> Result<ProblemInfo, String> {
    let form: ProblemForm = read(text, source)?;
    Ok(ProblemInfo {
        name: form.name,
        doc: form.doc,
        fields: form.fields.into_iter().map(FieldForm::into_info).collect(),
    })
}

/// An objective's description, with its space.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn objective(
    text: &str,
    source: Source<'_>,
    space: Option<String>,
) -> Result<ObjectiveInfo, String> {
    let form: ObjectiveForm = read(text, source)?;
    Ok(ObjectiveInfo {
        name: form.name,
        doc: form.doc,
        settings: form
            .settings
            .into_iter()
            .map(FieldForm::into_info)
            .collect(),
        space,
        metric: form.metric,
        direction: form.direction,
    })
}

/// A profiler's description, with its rules.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn profiler(
    text: &str,
    source: Source<'_>,
    rules: Option<String>,
) -> Result<ProfilerInfo, String> {
    let form: ProfilerForm = read(text, source)?;
    Ok(ProfilerInfo {
        name: form.name,
        doc: form.doc,
        devices: form.devices,
        rules,
    })
}

/// What a problem's `resolve` wrote.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn spec(
    text: &str,
    source: Source<'_>,
    problem: &str,
    fields: &Params,
) -> Result<ProblemSpec, String> {
    let form: SpecForm = read(text, source)?;
    let mut bytes = 0.0;
    for tensor in &form.tensors {
        let size = tensor.bytes().ok_or_else(|| {
            format!(
                "{}: the tensor `{}` of shape {:?} has more bytes than can be counted",
                source.what, tensor.name, tensor.shape
            )
        })?;
        bytes += size as f64;
    }
    Ok(ProblemSpec {
        problem: problem.to_owned(),
        fields: fields.clone(),
        tensors: form.tensors,
        constants: form.constants.unwrap_or_else(|| fields.clone()),
        gates: form.gates,
        flops: form.flops,
        bytes: form.bytes.unwrap_or(bytes),
        cache: form.cache.unwrap_or(CachePolicy::Rotate),
        extra_shapes: form.extra_shapes,
        unquantised: Params::new(),
        distributions: form.distributions,
    })
}

impl ParamForm {
    fn into_info(self) -> ParamInfo {
        ParamInfo {
            name: self.name,
            doc: self.doc,
            default: self.default,
            runtime: self.runtime,
        }
    }
}

impl FieldForm {
    fn into_info(self) -> FieldInfo {
        FieldInfo {
            name: self.name,
            doc: self.doc,
            kind: self.kind,
            default: self.default,
        }
    }
}

fn read<T: Serialize + DeserializeOwned>(text: &str, source: Source<'_>) -> Result<T, String> {
    let what = source.what;
    let wrong = |error: serde_json::Error| {
        format!(
            "{what} cannot be read: {error}, near `{}`",
            near(text, &error)
        )
    };
    let form: T = serde_json::from_str(text).map_err(wrong)?;
    if source.strict {
        let given: Json = serde_json::from_str(text).map_err(wrong)?;
        let known = serde_json::to_value(&form)
            .map_err(|error| format!("{what} cannot be checked: {error}"))?;
        if let Some((path, others)) = unknown(&given, &known, "") {
            return Err(format!(
                "{what} has a member `{path}` that means nothing; there are: {others}"
            ));
        }
    }
    Ok(form)
}

/// A member that was given but is gone after reading, and those that are known in its place.
fn unknown(given: &Json, known: &Json, path: &str) -> Option<(String, String)> {
    match (given, known) {
        (Json::Object(given), Json::Object(known)) => given.iter().find_map(|(name, value)| {
            let path = match path {
                "" => name.clone(),
                _ => format!("{path}.{name}"),
            };
            match known.get(name) {
                Some(known) => unknown(value, known, &path),
                None => {
                    let names: Vec<&str> = known.keys().map(String::as_str).collect();
                    Some((path, names.join(", ")))
                }
            }
        }),
        (Json::Array(given), Json::Array(known)) => given
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(index, (given, known))| unknown(given, known, &format!("{path}[{index}]"))),
        _ => None,
    }
}

/// The text around the place of an error: a description out of `EVO_TEXT` is one long line.
fn near(text: &str, error: &serde_json::Error) -> String {
    let line = text
        .split('\n')
        .nth(error.line().saturating_sub(1))
        .unwrap_or_default();
    let from = error.column().saturating_sub(AROUND);
    let bytes: Vec<u8> = line.bytes().skip(from).take(2 * AROUND).collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: Source<'_> = Source {
        what: "kernels[0].info",
        strict: true,
    };

    fn read_kernel(text: &str) -> Result<KernelInfo, String> {
        kernel(text, STRICT, "1.2.3", Some("(..)".into()), false)
    }

    #[test]
    fn little_has_to_be_said() {
        let info = read_kernel(
            r#"{"name": "k", "problems": ["p"], "params": [{"name": "T", "default": 8}]}"#,
        )
        .unwrap();
        assert_eq!(info.version, "1.2.3");
        assert_eq!(info.devices, ["cpu"]);
        assert!(info.deterministic && !info.prepares && !info.params[0].runtime);
        assert_eq!(info.params[0].default, Value::Int(8));

        let fields = Params::from([("N".to_owned(), Value::Int(4))]);
        let text = r#"{"tensors": [{"name": "x", "role": "input", "dtype": "f8_e4m3", "shape": [4]},
            {"name": "y", "role": "output", "dtype": "f32", "shape": [1]}],
            "gates": [{"tensor": "y", "relative_error": 1e-5}],
            "distributions": ["uniform", "outliers"], "extra_shapes": [{"N": 1}], "flops": 3}"#;
        let spec = spec(text, STRICT, "sum", &fields).unwrap();
        assert_eq!((spec.bytes, spec.cache), (8.0, CachePolicy::Rotate));
        assert_eq!((&spec.constants, &spec.fields), (&fields, &fields));
    }

    #[test]
    fn errors_say_where_and_what() {
        insta::assert_snapshot!(
            read_kernel("not json").unwrap_err(),
            @"kernels[0].info cannot be read: expected ident at line 1 column 2, near `not json`"
        );
        insta::assert_snapshot!(
            read_kernel(r#"{"name": "k", "params": [{"name": "T"}], "problems": ["p"]}"#).unwrap_err(),
            @r#"kernels[0].info cannot be read: missing field `default` at line 1 column 38, near `"params": [{"name": "T"}], "problems": ["p"]}`"#
        );
        insta::assert_snapshot!(
            read_kernel(r#"{"name": "k", "problems": ["p"], "parms": []}"#).unwrap_err(),
            @"kernels[0].info has a member `parms` that means nothing; there are: deterministic, devices, doc, name, params, prepares, problems, version"
        );
        insta::assert_snapshot!(
            read_kernel(r#"{"name": "k", "problems": ["p"], "params": [{"name": "T", "default": 1, "space": []}]}"#).unwrap_err(),
            @"kernels[0].info has a member `params[0].space` that means nothing; there are: default, doc, name, runtime"
        );
        insta::assert_snapshot!(
            read_kernel(r#"{"name": "k", "problems": ["p"], "prepares": true}"#).unwrap_err(),
            @"kernels[0].info: `prepares` is true, but the function `prepare` is NULL (it came with version 1.1 of the header)"
        );
    }

    #[test]
    fn a_later_version_may_say_more() {
        let later = Source {
            what: "x",
            strict: false,
        };
        let text = r#"{"name": "k", "problems": [], "of_1_9": {"a": 1}}"#;
        assert!(kernel(text, later, "1", None, false).is_ok());
        assert!(kernel(text, STRICT, "1", None, false).is_err());
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let text = r#"{"tensors": [{"name": "x", "role": "input", "dtype": "f32",
            "shape": [4294967296, 4294967296]}], "gates": [], "distributions": [], "extra_shapes": [], "flops": 1}"#;
        let error = spec(text, STRICT, "p", &Params::new()).unwrap_err();
        assert!(error.contains("more bytes than can be counted"), "{error}");
    }

    /// Texts that are nearly descriptions.
    fn nearly() -> impl Strategy<Value = String> {
        let good = r#"{"name": "k", "problems": ["p"], "params": [{"name": "T", "default": 8}]}"#;
        (0..=good.len(), "\\PC{0,12}", 0..20usize).prop_map(move |(at, insert, cut)| {
            let (before, after) = good.split_at(at);
            format!("{before}{insert}{}", after.get(cut..).unwrap_or_default())
        })
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in prop_oneof!["\\PC{0,200}", nearly()]) {
            let _ = read_kernel(&text);
            let _ = problem(&text, STRICT);
            let _ = objective(&text, STRICT, None);
            let _ = profiler(&text, STRICT, None);
            let _ = spec(&text, STRICT, "p", &Params::new());
        }
    }
}
