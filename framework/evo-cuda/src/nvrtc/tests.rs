//! NVRTC itself; each test says so and passes where it is absent.

use super::*;
use crate::cubin::Parameter;

/// The NVRTC of this machine; where there is none, says that a test is skipped. Where one is
/// promised by `EVO_NVRTC` and is not there, the test fails.
fn nvrtc() -> Option<&'static Nvrtc> {
    match Nvrtc::get() {
        Ok(nvrtc) => Some(nvrtc),
        Err(error @ NvrtcError::NotFound { given: None, .. }) => {
            println!(
                "skipped: {}",
                error.to_string().lines().next().unwrap_or_default()
            );
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn request(source: &str) -> CompileRequest {
    CompileRequest {
        name: "test.cu".into(),
        source: source.into(),
        headers: vec![],
        arch: "sm_90a".into(),
        options: vec![],
        name_expressions: vec![],
    }
}

const SAXPY: &str = r#"
extern "C" __global__ void __launch_bounds__(256) saxpy(int n, float a, const float* x, float* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}
"#;

#[test]
fn a_kernel_compiles_for_every_architecture_and_tells_its_needs() {
    let Some(nvrtc) = nvrtc() else { return };
    for arch in ["sm_80", "sm_89", "sm_90a"] {
        let compiled = nvrtc
            .compile(&CompileRequest {
                arch: arch.into(),
                ..request(SAXPY)
            })
            .unwrap();
        let [kernel] = &compiled.kernels().unwrap()[..] else {
            panic!("one kernel");
        };
        assert_eq!(kernel.name, "saxpy");
        assert!((4..64).contains(&kernel.registers), "{kernel:?}");
        assert_eq!(
            (kernel.spill_store_bytes, kernel.spill_load_bytes),
            (Some(0), Some(0))
        );
        assert_eq!((kernel.stack_bytes, kernel.shared_bytes), (0, 0));
        assert_eq!(kernel.barriers, Some(0));
        assert_eq!(kernel.max_threads, Some(256));
        assert!(
            kernel.code_bytes > 0 && kernel.constant_bytes >= 24,
            "{kernel:?}"
        );
        let sizes = [(0, 4), (4, 4), (8, 8), (16, 8)];
        let parameters = sizes.map(|(offset, bytes)| Parameter { offset, bytes });
        assert_eq!(kernel.parameters, parameters, "{arch}");
        assert_eq!(kernel.metrics().len(), 8);
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_and_log() {
    let Some(nvrtc) = nvrtc() else { return };
    let request = CompileRequest {
        name_expressions: vec!["scale<64>".into()],
        ..request(
            "namespace { __device__ int hidden[4]; }\n\
             static __device__ int counter = 5;\n\
             template <int N> __global__ void scale(int* x) { x[N] = hidden[x[0]] + counter; }",
        )
    };
    let first = nvrtc.compile(&request).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let request = request.clone();
            std::thread::spawn(move || compile(&request).unwrap())
        })
        .collect();
    // The clock has gone on by more than a second when the last one begins.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let later = nvrtc.compile(&request).unwrap();
    for other in threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .chain([later])
    {
        assert!(other == first, "{}\n{}", first.log, other.log);
    }
    let names = String::from_utf8_lossy(&first.cubin);
    let process = format!("_{}", std::process::id());
    assert!(!names.contains(&process), "the process's number is in it");
}

#[test]
fn a_define_reaches_the_machine_code_and_shared_memory_is_counted() {
    let Some(nvrtc) = nvrtc() else { return };
    let source = "extern \"C\" __global__ void k(float* x) {\n\
        __shared__ float tile[TILE];\n\
        tile[threadIdx.x] = x[threadIdx.x]; __syncthreads();\n\
        x[threadIdx.x] = tile[TILE - 1 - threadIdx.x]; }";
    for arch in ["sm_80", "sm_90a"] {
        for tile in [64u32, 256] {
            let compiled = nvrtc
                .compile(&CompileRequest {
                    options: vec![format!("-DTILE={tile}")],
                    arch: arch.into(),
                    ..request(source)
                })
                .unwrap();
            let with_log = &compiled.kernels().unwrap()[0];
            assert_eq!(with_log.shared_bytes, tile * 4);
            assert_eq!(with_log.barriers, Some(1));
            // Without the log the file says the same, but for the spills.
            let without = cubin::kernels(&compiled.cubin, "").unwrap();
            let expected = KernelFigures {
                spill_store_bytes: None,
                spill_load_bytes: None,
                ..with_log.clone()
            };
            assert_eq!(without, [expected], "{arch}");
        }
    }
}

#[test]
fn spills_are_seen() {
    let Some(nvrtc) = nvrtc() else { return };
    let source = "extern \"C\" __global__ void k(float* x) {\n\
        float v[64];\n\
        #pragma unroll\n\
        for (int i = 0; i < 64; i++) v[i] = x[i * 32 + threadIdx.x];\n\
        #pragma unroll\n\
        for (int r = 0; r < 3; r++)\n\
        #pragma unroll\n\
        for (int i = 0; i < 64; i++) v[i] = v[i] * v[(i * 7 + 3) % 64] + v[(i * 5 + 1) % 64];\n\
        #pragma unroll\n\
        for (int i = 0; i < 64; i++) x[i * 32 + threadIdx.x] = v[i]; }";
    let spills = |options: Vec<String>| {
        let compiled = nvrtc
            .compile(&CompileRequest {
                options,
                ..request(source)
            })
            .unwrap();
        compiled.kernels().unwrap()[0].clone()
    };
    let free = spills(vec![]);
    assert_eq!(free.spill_store_bytes, Some(0), "{free:?}");
    let tight = spills(vec!["--maxrregcount=32".into()]);
    assert!(
        tight.spill_store_bytes > Some(0) && tight.spill_load_bytes > Some(0),
        "{tight:?}"
    );
    assert!(tight.stack_bytes > 0 && tight.registers <= 32, "{tight:?}");
}

#[test]
fn template_expressions_become_symbols() {
    let Some(nvrtc) = nvrtc() else { return };
    let compiled = nvrtc
        .compile(&CompileRequest {
            name_expressions: vec!["fill<float, 4>".into(), "fill<double, 8>".into()],
            ..request(
                "template <typename T, int N> __global__ void fill(T* x) { x[threadIdx.x] = N; }",
            )
        })
        .unwrap();
    let mut names: Vec<_> = compiled
        .kernels()
        .unwrap()
        .into_iter()
        .map(|it| it.name)
        .collect();
    names.sort();
    let mut lowered = compiled.lowered_names.clone();
    assert!(
        lowered[0] != lowered[1] && lowered[0].starts_with("_Z"),
        "{lowered:?}"
    );
    lowered.sort();
    assert_eq!(names, lowered);
}

#[test]
fn the_toolkits_headers_are_found() {
    let Some(nvrtc) = nvrtc() else { return };
    if nvrtc.includes().is_empty() {
        println!("skipped: no headers beside {}", nvrtc.path().display());
        return;
    }
    let source = "#include <cuda_fp16.h>\n#include <cuda_bf16.h>\n#include <mma.h>\n\
        #include \"mine.cuh\"\n\
        extern \"C\" __global__ void k(half* x) { x[0] = __float2half(MINE); }";
    let mut request = CompileRequest {
        headers: vec![Header {
            name: "mine.cuh".into(),
            text: "#define MINE 2.5f".into(),
        }],
        ..request(source)
    };
    assert!(nvrtc.compile(&request).is_ok());
    request.source = "#include <not_there.h>".into();
    let text = nvrtc.compile(&request).unwrap_err();
    let NvrtcError::Compile { message, log } = &text else {
        panic!("{text}");
    };
    assert!(message.contains("test.cu(1)"), "{message}");
    assert!(log.contains("note: headers are searched in"), "{log}");
}

#[test]
fn an_error_names_the_line_and_keeps_the_text() {
    let Some(nvrtc) = nvrtc() else { return };
    let wrong = request("extern \"C\" __global__ void k(float* x) {\n  x[0] = undeclared;\n}\n");
    let NvrtcError::Compile { message, log } = nvrtc.compile(&wrong).unwrap_err() else {
        panic!("a compile error");
    };
    insta::assert_snapshot!(message, @r#"test.cu(2): error: identifier "undeclared" is undefined"#);
    assert!(
        log.contains("undeclared") && log.contains("1 error detected"),
        "{log}"
    );
}

#[test]
fn a_warning_is_kept_on_success() {
    let Some(nvrtc) = nvrtc() else { return };
    let source = "extern \"C\" __global__ void k(float* x) { int unused; x[0] = 1; }";
    let compiled = nvrtc.compile(&request(source)).unwrap();
    assert!(compiled.log.contains("warning #"), "{}", compiled.log);
    assert!(!compiled.log.contains("Compile time"), "{}", compiled.log);
}

#[test]
fn wrong_options_architectures_and_bytes_are_refused() {
    let Some(nvrtc) = nvrtc() else { return };
    let texts = [
        CompileRequest {
            options: vec!["--no-such-option".into()],
            ..request(SAXPY)
        },
        CompileRequest {
            arch: "sm_12".into(),
            ..request(SAXPY)
        },
        CompileRequest {
            arch: "compute_90".into(),
            ..request(SAXPY)
        },
        CompileRequest {
            source: "a\0b".into(),
            ..request("")
        },
        CompileRequest {
            name_expressions: vec!["nowhere<1>".into()],
            ..request(SAXPY)
        },
    ]
    .map(|request| nvrtc.compile(&request).unwrap_err().to_string());
    insta::assert_snapshot!(texts.join("\n"), @r#"
    nvrtc: error: unrecognized option --no-such-option found
    nvrtc: error: invalid value for --gpu-architecture (-arch)
    NVRTC made no machine code for `compute_90`: it takes a real architecture such as sm_90a
    the source has a zero byte, which ends a text in C
    name expressions: error: identifier "nowhere" is undefined
    "#);
}

#[test]
fn absence_tells_the_places_and_the_cure() {
    let empty = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(empty.path().join("here/lib")).unwrap();
    let error = Nvrtc::find(&Search {
        given: Some(empty.path().join("here")),
        ..Search::default()
    })
    .unwrap_err();
    let text = error
        .to_string()
        .replace(&empty.path().display().to_string(), "/tmp");
    insta::assert_snapshot!(text, @r"
    EVO_NVRTC is /tmp/here, and there is no libnvrtc.so.13 or libnvrtc.so.12 in it; install it with `pip install nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-cccl` in a virtual environment that is active, or set EVO_NVRTC to its file or folder.
    It was looked for in:
      /tmp/here
      /tmp/here/lib
      and 6 folders of CUDA toolkits and Python environments that do not exist
    ");

    let file = empty.path().join("libnvrtc.so.13");
    std::fs::write(&file, "no library").unwrap();
    let error = Nvrtc::find(&Search {
        given: Some(file),
        ..Search::default()
    })
    .unwrap_err();
    assert!(matches!(error, NvrtcError::Unusable { .. }), "{error}");
    assert!(
        error.to_string().contains("libnvrtc.so.13 cannot be used"),
        "{error}"
    );
}

#[test]
fn code_in_which_kernels_can_leave_something_is_told_from_other_code() {
    let Some(nvrtc) = nvrtc() else { return };
    let of = |variable: &str| {
        let source = format!(
            "{variable}\nextern \"C\" __global__ void count(int* to) {{ to[0] = seen(); }}"
        );
        let compiled = nvrtc.compile(&request(&source)).unwrap();
        cubin::has_variables(&compiled.cubin).unwrap()
    };
    assert!(!of("__device__ int seen() { return 17; }"));
    assert!(of(
        "__device__ int last = 1; __device__ int seen() { return atomicAdd(&last, 1); }"
    ));
    assert!(of(
        "__device__ int last; __device__ int seen() { return atomicAdd(&last, 1); }"
    ));
    assert!(cubin::has_variables(b"no cubin").is_err());
}
