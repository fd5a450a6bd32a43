//! Descriptions built and called, without the framework around them.

use std::path::Path;
use std::sync::Arc;

use evo_bundle::source::{Description, Language};
use evo_bundle::{Bundle, gather};
use evo_plugin::abi::{RawIo, RawTensor};
use evo_plugin::{
    BuildRequest, DeviceFacts, Dtype, Error, Io, Kernel, Params, Problem, Rows, Stream, Tensor,
    TensorMut, Value,
};

use crate::Source;
use crate::kernel::SourceKernel;
use crate::problem::SourceProblem;

/// A folder with a description and its files.
struct Case {
    folder: tempfile::TempDir,
}

const SCALE_C: &str = "void scale(const float *x, float *y, int n)\n{\n    \
                       for (int i = 0; i < n; i++)\n        y[i] = FACTOR * x[i];\n}\n";
const REFERENCE_C: &str = "void scale(const double *x, double *y, int n)\n{\n    \
                           for (int i = 0; i < n; i++)\n        y[i] = 3.0 * x[i];\n}\n";
const SCALE_RON: &str = r#"(
    language: c,
    sources: ["scale.c"],
    entry: "scale",
    arguments: [
        input(name: "x", dtype: f32, shape: ["N"]),
        output(name: "y", dtype: f32, shape: ["N"]),
        scalar(type: "int", value: "N"),
    ],
    space: (params: [(name: "FACTOR", values: [3, 4]), (name: "DEAD", values: [1, 2])]),
    problem: (
        fields: [(name: "N", default: 1000)],
        reference: function(source: "reference.c", symbol: "scale"),
        flops: "N",
    ),
)"#;

impl Case {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        Self { folder }
    }

    fn scale() -> Self {
        Self::new(&[
            ("scale.c", SCALE_C),
            ("reference.c", REFERENCE_C),
            ("scale.kernel.ron", SCALE_RON),
        ])
    }

    fn changed(from: &str, to: &str) -> Self {
        assert!(SCALE_RON.contains(from), "{from}");
        let case = Self::scale();
        let text = SCALE_RON.replace(from, to);
        std::fs::write(case.path().join("scale.kernel.ron"), text).unwrap();
        case
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn bundle(&self) -> Bundle {
        gather(&self.path().join("scale.kernel.ron")).unwrap_or_else(|error| panic!("{error}"))
    }

    fn source(&self) -> Arc<Source> {
        let bundle = self.bundle();
        let read = |file: &str| {
            String::from_utf8(bundle.files[file].clone()).map_err(|error| error.to_string())
        };
        let description =
            Description::parse(&bundle.description, "scale.kernel.ron", "scale", &read).unwrap();
        Arc::new(Source {
            description,
            bundle,
        })
    }
}

fn cpu() -> DeviceFacts {
    DeviceFacts {
        kind: "cpu".into(),
        name: "test".into(),
        uuid: "cpu-test".into(),
        facts: Params::from([("CORES".into(), Value::Int(2))]),
    }
}

/// A source as kernel and problem, with a request for some parameters and fields.
struct Ready {
    kernel: SourceKernel,
    problem: SourceProblem,
    request: BuildRequest,
}

fn ready(source: &Arc<Source>, config: &[(&str, Value)], fields: &[(&str, i64)]) -> Ready {
    let kernel = SourceKernel::new(Arc::clone(source)).unwrap();
    let problem = SourceProblem::new(Arc::clone(source)).unwrap();
    let mut values: Params = problem
        .info()
        .fields
        .iter()
        .map(|field| (field.name.clone(), field.default.clone()))
        .collect();
    for (name, value) in fields {
        values.insert((*name).to_owned(), Value::Int(*value));
    }
    let config = config
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    let request = BuildRequest {
        problem: problem.resolve(&values).unwrap(),
        config: config.collect(),
        device: cpu(),
    };
    Ready {
        kernel,
        problem,
        request,
    }
}

/// Owned memory for a tensor.
struct Buffer {
    words: Vec<u64>,
    shape: Vec<i64>,
    dtype: Dtype,
}

impl Buffer {
    fn new(dtype: Dtype, shape: &[usize]) -> Self {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        Self {
            words: vec![0; bytes.div_ceil(8).max(1)],
            shape: shape.iter().map(|extent| *extent as i64).collect(),
            dtype,
        }
    }

    fn raw(&mut self) -> RawTensor {
        let data = self.words.as_mut_ptr().cast();
        // SAFETY: the buffer outlives the tensors of a test.
        unsafe { RawTensor::host(data, self.dtype, &self.shape) }
    }
}

/// The outputs of a candidate and of the reference for one seed.
fn run(ready: &Ready, distribution: &str) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let spec = &ready.request.problem;
    let mut inputs: Vec<Buffer> = spec
        .inputs()
        .map(|t| Buffer::new(t.dtype, &t.shape))
        .collect();
    let mut outputs: Vec<Buffer> = spec
        .outputs()
        .map(|t| Buffer::new(t.dtype, &t.shape))
        .collect();
    let mut right: Vec<Buffer> = spec
        .outputs()
        .map(|t| Buffer::new(Dtype::F64, &t.shape))
        .collect();
    let raw_inputs: Vec<RawTensor> = inputs.iter_mut().map(Buffer::raw).collect();
    // SAFETY: the buffers live to the end of this function and are used by one at a time.
    let mut fill: Vec<TensorMut<'_>> = raw_inputs
        .iter()
        .map(|raw| unsafe { TensorMut::from_raw(*raw) })
        .collect();
    ready.problem.fill(spec, 7, distribution, &mut fill)?;
    // SAFETY: as above.
    let read: Vec<Tensor<'_>> = raw_inputs
        .iter()
        .map(|raw| unsafe { Tensor::from_raw(*raw) })
        .collect();
    // SAFETY: as above.
    let mut to: Vec<TensorMut<'_>> = right
        .iter_mut()
        .map(|it| unsafe { TensorMut::from_raw(it.raw()) })
        .collect();
    ready.problem.reference(spec, &read, Rows::All, &mut to)?;
    let artifact = ready.kernel.build(&ready.request)?;
    let mut instance = ready.kernel.load(&artifact, &ready.request)?;
    let mut workspace = vec![0u64; instance.workspace_size().div_ceil(8)];
    let raw = RawIo {
        inputs: raw_inputs.into(),
        outputs: outputs
            .iter_mut()
            .map(Buffer::raw)
            .collect::<Vec<_>>()
            .into(),
        workspace: workspace.as_mut_ptr().cast(),
        workspace_bytes: instance.workspace_size(),
    };
    // SAFETY: as above.
    let mut io = unsafe { Io::from_raw(&raw) };
    instance.bind(&mut io)?;
    instance.launch(&mut io, Stream(0))?;
    let doubles = |buffer: &mut Buffer| -> Vec<f64> {
        // SAFETY: as above.
        let tensor = unsafe { Tensor::from_raw(buffer.raw()) };
        let bytes = crate::element::bytes(&tensor).unwrap();
        crate::element::to_doubles(bytes, buffer.dtype)
    };
    Ok((doubles(&mut outputs[0]), doubles(&mut right[0])))
}

fn failure(error: Error) -> (String, String) {
    match error {
        Error::BuildFailed { message, log } => (message, log),
        other => panic!("{other:?}"),
    }
}

fn factor(value: i64) -> (&'static str, Value) {
    ("FACTOR", Value::Int(value))
}

#[test]
fn a_c_kernel_computes_what_its_parameters_say() {
    let source = Case::scale().source();
    for distribution in ["normal", "outliers"] {
        let (found, right) = run(&ready(&source, &[factor(3)], &[]), distribution).unwrap();
        assert_eq!(found.len(), 1000);
        let off = found
            .iter()
            .zip(&right)
            .any(|(a, b)| (a - b).abs() > 1e-5 * b.abs());
        assert!(!off);
        let (found, right) = run(&ready(&source, &[factor(4)], &[]), distribution).unwrap();
        assert_ne!(found, right);
    }
    let (found, _) = run(&ready(&source, &[factor(3)], &[("N", 37)]), "normal").unwrap();
    assert_eq!(found.len(), 37);
}

#[test]
fn the_same_text_gives_the_same_bytes_and_a_dead_macro_changes_nothing() {
    let first = Case::scale().source();
    let second = Case::scale().source();
    assert_eq!(first.bundle.files, second.bundle.files);
    let build = |source, dead| {
        let ready = ready(source, &[factor(3), ("DEAD", Value::Int(dead))], &[]);
        ready.kernel.build(&ready.request).unwrap()
    };
    let one = build(&first, 1);
    // Another macro is another build: nothing is taken from the builds that are kept.
    let two = build(&second, 2);
    assert_eq!(one.bytes, two.bytes);
    assert_eq!(one.launch, two.launch);
    let figure = |name: &str| {
        one.resources
            .iter()
            .find(|it| it.name == name)
            .unwrap()
            .value
    };
    assert!(figure("code_bytes") > 0.0);
    let other = ready(&first, &[factor(4)], &[]);
    assert_ne!(one.bytes, other.kernel.build(&other.request).unwrap().bytes);
}

#[test]
fn the_version_is_that_of_the_files_wherever_they_are() {
    let version = |case: &Case| {
        let kernel = SourceKernel::new(case.source()).unwrap();
        kernel.version().to_owned()
    };
    let (here, there) = (Case::scale(), Case::scale());
    assert_ne!(here.path(), there.path());
    assert_eq!(version(&here), version(&there));
    assert_ne!(version(&here), version(&Case::changed("[3, 4]", "[3, 5]")));
    std::fs::write(there.path().join("reference.c"), "// another\n").unwrap();
    assert_ne!(version(&here), version(&there));
}

#[test]
fn a_compile_error_has_the_compilers_text_and_the_parameters() {
    let case = Case::scale();
    let broken = SCALE_C.replace("FACTOR * x[i]", "FACTOR * z[i]");
    std::fs::write(case.path().join("scale.c"), broken).unwrap();
    let ready = ready(&case.source(), &[factor(4)], &[]);
    let (message, log) = failure(ready.kernel.build(&ready.request).unwrap_err());
    assert!(message.starts_with("scale.c:4:"), "{message}");
    assert!(
        message.contains("error: ") && message.ends_with("(with FACTOR=4)"),
        "{message}"
    );
    assert!(log.starts_with("parameters: FACTOR=4\ncc -shared"), "{log}");
    assert!(log.contains("-DFACTOR=4"), "{log}");
}

#[test]
fn arguments_that_the_function_does_not_take_are_shown_in_the_description() {
    let case = Case::changed(
        r#"dtype: f32, shape: ["N"]),
        output"#,
        r#"dtype: f64, shape: ["N"]),
        output"#,
    );
    let ready = ready(&case.source(), &[factor(3)], &[]);
    let (message, _) = failure(ready.kernel.build(&ready.request).unwrap_err());
    assert!(message.starts_with("scale.kernel.ron:6:"), "{message}");
    assert!(message.contains("incompatible pointer type"), "{message}");
}

#[test]
fn a_symbol_that_is_not_there_is_a_failed_build() {
    let case = Case::changed(r#"entry: "scale""#, r#"entry: "scales""#);
    let ready = ready(&case.source(), &[factor(3)], &[]);
    let (message, _) = failure(ready.kernel.build(&ready.request).unwrap_err());
    assert!(message.contains("scales"), "{message}");
}

#[test]
fn templates_placeholders_flags_and_workspace_reach_the_build() {
    let cpp = "#include \"add.hpp\"\ntemplate <int FACTOR, typename T, bool TWICE>\n\
               void scale(const T *x, T *y, int n, unsigned char *scratch)\n{\n    \
               scratch[9] = 1;\n    \
               for (int i = 0; i < n; i++)\n        \
               y[i] = FACTOR * x[i] * (TWICE ? 2 : 1) + {{ADDED}} + FLAG + added();\n}\n";
    let case = Case::changed("language: c", "language: cpp");
    let text = SCALE_RON
        .replace("language: c", "language: cpp")
        .replace("scale.c\"", "scale.cpp\"")
        .replace("scalar(type: \"int\", value: \"N\"),", "scalar(type: \"int\", value: \"N\"), workspace(bytes: \"FACTOR * 10\"),")
        .replace(
            "space: (params: [",
            "template: [\"FACTOR\", \"TYPE\", \"TWICE\"], placeholders: {\"ADDED\": \"DEAD * 10\"},
             flags: [\"-O{OPT}\", (flag: \"-DFLAG=100\", when: \"OPT == 2\"), (flag: \"-DFLAG=200\", when: \"OPT != 2\")],
             space: (params: [(name: \"TYPE\", values: [\"float\"]), (name: \"TWICE\", values: [true]), (name: \"OPT\", values: [1, 2]),",
        );
    std::fs::write(case.path().join("scale.kernel.ron"), text).unwrap();
    std::fs::write(case.path().join("scale.cpp"), cpp).unwrap();
    std::fs::write(
        case.path().join("add.hpp"),
        "inline int added() { return 1000; }\n",
    )
    .unwrap();
    let source = case.source();
    assert_eq!(source.description.language, Language::Cpp);
    let config = [
        factor(3),
        ("DEAD", Value::Int(2)),
        ("TYPE", Value::from("float")),
        ("TWICE", Value::Bool(true)),
        ("OPT", Value::Int(2)),
    ];
    let ready = ready(&source, &config, &[]);
    let (found, right) = run(&ready, "normal").unwrap();
    // The reference has 3 x.
    let wrong = found
        .iter()
        .zip(&right)
        .find(|(found, right)| (**found - (2.0 * **right + 1120.0)).abs() > 1e-3);
    assert_eq!(wrong, None);
    let artifact = ready.kernel.build(&ready.request).unwrap();
    assert_eq!(artifact.launch["workspace_bytes"], Value::Int(30));
    // Everything that reaches the build in another way is no macro.
    assert!(source.description.params.iter().all(|param| !param.defined));
}

#[test]
fn scalars_that_depend_on_parameters_are_part_of_the_identity() {
    let case = Case::changed(
        r#"scalar(type: "int", value: "N"),"#,
        r#"scalar(type: "int", value: "N / DEAD * DEAD"),"#,
    );
    let text = std::fs::read_to_string(case.path().join("scale.kernel.ron")).unwrap();
    let text = text.replace("space: (", "runtime: [\"DEAD\"], space: (");
    std::fs::write(case.path().join("scale.kernel.ron"), text).unwrap();
    // What depends on a parameter is nothing to the reference.
    let reference = "void scale(const double *x, double *y) { y[0] = x[0]; }\n";
    std::fs::write(case.path().join("reference.c"), reference).unwrap();
    let source = case.source();
    let kernel = SourceKernel::new(Arc::clone(&source)).unwrap();
    assert!(kernel.info().params[1].runtime);
    let problem = SourceProblem::new(Arc::clone(&source)).unwrap();
    let spec = problem
        .resolve(&Params::from([("N".into(), Value::Int(1001))]))
        .unwrap();
    let build = |dead: i64| {
        let config = Params::from([
            ("FACTOR".to_owned(), Value::Int(3)),
            ("DEAD".to_owned(), Value::Int(dead)),
        ]);
        let request = BuildRequest {
            problem: spec.clone(),
            config,
            device: cpu(),
        };
        kernel.build(&request).unwrap()
    };
    let (one, two) = (build(1), build(2));
    assert_eq!(one.bytes, two.bytes);
    assert_eq!(one.launch["argument_2"], Value::Int(1001));
    assert_eq!(two.launch["argument_2"], Value::Int(1000));
}

#[test]
fn derived_shapes_are_ragged_and_the_gate_is_that_of_the_type() {
    let source = Case::scale().source();
    let spec = ready(&source, &[], &[]).request.problem;
    let extents: Vec<&Value> = spec.extra_shapes.iter().map(|shape| &shape["N"]).collect();
    assert_eq!(extents, [&Value::Int(37), &Value::Int(65), &Value::Int(1)]);
    assert_eq!(spec.gates[0].relative_error, 1e-5);
    assert_eq!((spec.flops, spec.bytes), (1000.0, 8000.0));
    assert_eq!(spec.distributions, ["normal", "outliers"]);
}

#[test]
fn a_reference_that_does_not_fit_is_known_before_anything_runs() {
    let case = Case::scale();
    let other = REFERENCE_C.replace("double *y", "float *y");
    std::fs::write(case.path().join("reference.c"), other).unwrap();
    let problem = SourceProblem::new(case.source()).unwrap();
    let fields = Params::from([("N".to_owned(), Value::Int(1000))]);
    let error = problem.resolve(&fields).unwrap_err().to_string();
    assert!(
        error.starts_with("the reference does not compile: scale.kernel.ron:7:"),
        "{error}"
    );
}

/// A file as NumPy writes it.
fn npy(values: &[f32]) -> Vec<u8> {
    let header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}\n",
        values.len()
    );
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    file
}

#[test]
fn expected_values_verify_what_they_were_computed_for() {
    let case = Case::changed(
        r#"reference: function(source: "reference.c", symbol: "scale"),"#,
        r#"reference: expected([
            (inputs: {"x": "x1.npy"}, outputs: {"y": "y1.npy"}),
            (inputs: {"x": "x2.npy"}, outputs: {"y": "y2.npy"}),
            (fields: {"N": 3}, inputs: {"x": "x3.npy"}, outputs: {"y": "y3.npy"}),
        ]),"#,
    );
    for (name, count, start) in [("1", 1000u16, 0.0f32), ("2", 1000, 5.0), ("3", 3, 1.0)] {
        let x: Vec<f32> = (0..count).map(|i| f32::from(i) + start).collect();
        let y: Vec<f32> = x.iter().map(|x| 3.0 * x).collect();
        std::fs::write(case.path().join(format!("x{name}.npy")), npy(&x)).unwrap();
        std::fs::write(case.path().join(format!("y{name}.npy")), npy(&y)).unwrap();
    }
    let source = case.source();
    let main = ready(&source, &[factor(3)], &[]);
    assert_eq!(main.request.problem.distributions, ["case-1", "case-2"]);
    assert_eq!(main.request.problem.extra_shapes.len(), 1);
    for distribution in ["case-1", "case-2"] {
        let (found, right) = run(&main, distribution).unwrap();
        assert_eq!(found, right);
    }
    let (found, right) = run(&ready(&source, &[factor(3)], &[("N", 3)]), "case-1").unwrap();
    assert_eq!((found, right), (vec![3.0, 6.0, 9.0], vec![3.0, 6.0, 9.0]));
    let problem = SourceProblem::new(source).unwrap();
    let other = problem.resolve(&Params::from([("N".into(), Value::Int(9))]));
    assert!(
        other
            .unwrap_err()
            .to_string()
            .contains("no expected values for these fields")
    );
}

#[test]
fn a_reference_by_rows_computes_the_rows_that_are_asked_for() {
    let case = Case::changed(
        r#"reference: function(source: "reference.c", symbol: "scale"),"#,
        r#"reference: function(source: "rows.c", symbol: "scale", by_rows: true, defines: {"WIDTH": "7"}),"#,
    );
    let text = std::fs::read_to_string(case.path().join("scale.kernel.ron")).unwrap();
    let text = text.replace(r#"shape: ["N"]"#, r#"shape: ["N / 7", 7]"#);
    std::fs::write(case.path().join("scale.kernel.ron"), text).unwrap();
    std::fs::write(
        case.path().join("rows.c"),
        "void scale(const double *x, double *y, int n, long first, long last)\n{\n    (void)n;\n    \
         for (long i = first * WIDTH; i < last * WIDTH; i++)\n        y[i] = 3.0 * x[i];\n}\n",
    )
    .unwrap();
    let source = case.source();
    let ready = ready(&source, &[factor(3)], &[("N", 70)]);
    let (found, right) = run(&ready, "normal").unwrap();
    assert_eq!(right.len(), 70);
    let off = found
        .iter()
        .zip(&right)
        .any(|(a, b)| (a - b).abs() > 1e-5 * b.abs().max(1e-3));
    assert!(!off, "{found:?} {right:?}");

    let spec = &ready.request.problem;
    let mut input = Buffer::new(Dtype::F32, &[10, 7]);
    let mut output = Buffer::new(Dtype::F64, &[10, 7]);
    output.words.fill(f64::NAN.to_bits());
    // SAFETY: the buffers live to the end of the test.
    let (inputs, mut outputs) = unsafe {
        (
            [Tensor::from_raw(input.raw())],
            [TensorMut::from_raw(output.raw())],
        )
    };
    let rows = Rows::Some(&[2, 9]);
    ready
        .problem
        .reference(spec, &inputs, rows, &mut outputs)
        .unwrap();
    let written: Vec<bool> = output
        .words
        .chunks(7)
        .map(|row| row.iter().all(|word| !f64::from_bits(*word).is_nan()))
        .collect();
    let expected: Vec<bool> = (0..10).map(|row| row == 2 || row == 9).collect();
    assert_eq!(written, expected);
}

#[test]
fn a_named_problem_brings_its_own_tensors() {
    let case = Case::scale();
    let text = r#"(
        language: c, sources: ["scale.c"], entry: "scale",
        arguments: [tensor("x"), tensor("y"), scalar(type: "int", value: "N")],
        problem: "triple",
    )"#;
    std::fs::write(case.path().join("scale.kernel.ron"), text).unwrap();
    let kernel = SourceKernel::new(case.source()).unwrap();
    assert_eq!(kernel.info().problems, ["triple"]);
    let mut spec = ready(&Case::scale().source(), &[], &[]).request.problem;
    spec.problem = "triple".into();
    let request = |spec: &evo_plugin::ProblemSpec| BuildRequest {
        problem: spec.clone(),
        config: Params::new(),
        device: cpu(),
    };
    kernel.accept(&request(&spec)).unwrap();
    spec.tensors[1].name = "z".into();
    let error = kernel.accept(&request(&spec)).unwrap_err().to_string();
    assert!(error.contains("has no tensor `y`, but: x, z"), "{error}");
    assert!(error.contains("scale.kernel.ron:3:41"), "{error}");
}

/// The shipped CUDA example compiles for a GPU that need not be there.
#[test]
fn the_cuda_example_compiles() {
    if let Err(error) = evo_cuda::Nvrtc::get() {
        eprintln!("skipped: {error}");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("examples/07_cuda_source_only/convolution.kernel.ron");
    let bundle = gather(&path).unwrap();
    let description = Description::parse(
        &bundle.description,
        "convolution.kernel.ron",
        "convolution",
        &|_| Err("not needed".into()),
    )
    .unwrap();
    let source = Arc::new(Source {
        description,
        bundle,
    });
    let device = |capability: i64| DeviceFacts {
        kind: "cuda".into(),
        facts: Params::from([
            ("COMPUTE_CAPABILITY".into(), Value::Int(capability)),
            ("MAX_THREADS_PER_BLOCK".into(), Value::Int(1024)),
            ("SMEM_BYTES".into(), Value::Int(101_376)),
        ]),
        ..cpu()
    };
    let mut ready = ready(&source, &[], &[]);
    let defaults = ready.kernel.info().params.into_iter();
    ready.request.config = defaults.map(|param| (param.name, param.default)).collect();
    let mut seen = Vec::new();
    for capability in [80, 90] {
        ready.request.device = device(capability);
        ready.kernel.accept(&ready.request).unwrap();
        let artifact = ready.kernel.build(&ready.request).unwrap();
        assert!(artifact.bytes.starts_with(b"\x7fELF"));
        assert_eq!(artifact.launch["grid_x"], Value::Int(128));
        assert_eq!(artifact.launch["grid_y"], Value::Int(512));
        assert_eq!(artifact.launch["block_x"], Value::Int(32));
        assert!(
            artifact
                .resources
                .iter()
                .any(|it| it.name == "registers" && it.value > 0.0)
        );
        seen.push(artifact.bytes);
    }
    assert_ne!(seen[0], seen[1]);
    ready
        .request
        .config
        .insert("BLOCK_Y".into(), Value::Int(64));
    let error = ready.kernel.accept(&ready.request).unwrap_err().to_string();
    assert!(error.contains("2048 threads"), "{error}");
    ready.request.config.insert("BLOCK_Y".into(), Value::Int(8));
    ready
        .request
        .config
        .insert("UNROLL".into(), Value::from("wrong"));
    let (message, log) = failure(ready.kernel.build(&ready.request).unwrap_err());
    assert!(message.contains("convolution.cu"), "{message}\n{log}");
    assert!(message.contains("UNROLL=wrong"), "{message}\n{log}");
}
