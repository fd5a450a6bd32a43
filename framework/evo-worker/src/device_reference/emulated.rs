//! The device code of the reference, compiled for the host: its arithmetic is held against the
//! host's reference also where there is no GPU.

use std::fs;
use std::path::Path;
use std::process::Command;

use evo_problems::sdpa::{Attention, Epilogue, REFERENCE, Scales};

use super::dtype_name;
use super::tests::{fields, problem};
use crate::memory::{BufferSet, Placement};
use crate::site::Site;

/// Compiles into a folder; `false` where there is no compiler with C++20.
fn compiled(folder: &Path, d: usize, dtype: &str) -> bool {
    fs::write(folder.join("reference.cu"), REFERENCE).unwrap();
    fs::write(folder.join("emulation.cpp"), include_str!("emulation.cpp")).unwrap();
    let built = Command::new("c++")
        .current_dir(folder)
        .args([
            "-std=c++20",
            "-O2",
            "-pthread",
            "-w",
            "emulation.cpp",
            "-o",
            "emulation",
        ])
        .args([format!("-DHEAD_DIM={d}"), format!("-DDTYPE={dtype}")])
        .output();
    match built {
        Err(error) => {
            println!("skipped: no c++: {error}");
            false
        }
        Ok(output) if output.status.success() => true,
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn the_device_code_computes_what_the_host_does() {
    let problem = problem();
    for words in [
        "B=1 H=2 S=67 D=40 dtype=f16 mask=full",
        "B=1 H=2 S=70 D=64 dtype=bf16 mask=causal epilogue=scale_bias alpha=0.25",
        "B=2 H=1 S=33 D=24 dtype=f32 mask=causal epilogue=scale",
        "B=1 H=2 S=65 D=32 dtype=f8_e4m3 mask=full scales=per_head",
    ] {
        let spec = problem.resolve(&fields(words)).unwrap();
        let attention = Attention::of(&spec.fields).unwrap();
        let shape = attention.shape;
        let folder = tempfile::tempdir().unwrap();
        if !compiled(folder.path(), shape.d, dtype_name(&attention)) {
            return;
        }
        let mut set = BufferSet::new(&Site::Host, &spec, 0, Placement::Page).unwrap();
        problem.fill(&spec, 11, "outliers", &mut set).unwrap();
        for (tensor, bytes) in spec.tensors.iter().zip(set.input_bytes()) {
            fs::write(folder.path().join(&tensor.name), bytes).unwrap();
        }
        let alpha = match attention.epilogue {
            Epilogue::None => 1.0,
            Epilogue::Scale(alpha) | Epilogue::ScaleBias(alpha) => f64::from(alpha),
        };
        let stride = usize::from(attention.quantised == Some(Scales::PerHead));
        let causal = usize::from(shape.causal);
        let ran = Command::new(folder.path().join("emulation"))
            .current_dir(folder.path())
            .args([shape.heads, shape.s, causal, stride].map(|number| number.to_string()))
            .args([alpha.to_string(), attention.heads_per_batch.to_string()])
            .status();
        assert!(ran.unwrap().success(), "{words}");
        let bytes = fs::read(folder.path().join("o")).unwrap();
        let double = |bytes: &[u8]| f64::from_ne_bytes(bytes.try_into().unwrap());
        let computed: Vec<f64> = bytes.chunks_exact(8).map(double).collect();
        let expected = problem.host_reference(&spec, &set, None).unwrap().remove(0);
        assert_eq!(computed.len(), expected.len());
        let pairs = || computed.iter().zip(expected.iter());
        let error: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
        let norm: f64 = expected.iter().map(|a| a.powi(2)).sum();
        assert!(
            error.sqrt() <= 1e-13 * norm.sqrt(),
            "{words}: {error} {norm}"
        );
    }
}
