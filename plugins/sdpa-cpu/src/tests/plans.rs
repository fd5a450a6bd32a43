//! Plans: what is refused and why, and which configurations are the same execution.

use evo_plugin::Error;

use crate::direct::AnyPlan;
use crate::machine::Machine;
use crate::testing::params;
use crate::{Shape, Storage};

fn machine() -> Machine {
    Machine {
        avx2: true,
        avx512: true,
        avx512_bf16: false,
        cores: 4,
        memory: 1 << 30,
    }
}

fn shape(storage: Storage) -> Shape {
    Shape::new([2, 8, 512, 64], false, storage).unwrap()
}

fn parts(words: &str, shape: Shape) -> (Vec<u8>, String) {
    let plan = AnyPlan::resolve("tiled", &params(words), shape, &machine()).unwrap();
    let (bytes, launch) = plan.to_parts().unwrap();
    assert_eq!(AnyPlan::from_parts(&bytes, &launch).unwrap(), plan);
    (bytes, format!("{launch:?}"))
}

fn refusal(kernel: &str, words: &str, shape: Shape, machine: &Machine) -> String {
    match AnyPlan::resolve(kernel, &params(words), shape, machine) {
        Err(Error::Rejected(reason)) => reason,
        other => panic!("{words}: {other:?}"),
    }
}

#[test]
fn the_same_execution_has_the_same_bytes() {
    let f32 = shape(Storage::F32);
    for (one, other) in [
        ("BLOCK_N=512", "BLOCK_N=1024"),
        ("BLOCK_N=512 RESCALE=lazy", "BLOCK_N=512"),
        ("BLOCK_N=512 KV_ORDER=serpentine", "BLOCK_N=512"),
        ("BLOCK_M=16 VECS=2", "BLOCK_M=32 VECS=2"),
        ("BLOCK_M=512", "BLOCK_M=600"),
        ("THREADS=all", "THREADS=4"),
        ("THREADS=quarter SPLIT=dynamic", "THREADS=one"),
        ("SPLIT=heads THREADS=4", "SPLIT=contiguous THREADS=4"),
        ("ISA=auto", "ISA=avx512"),
        ("PIN=cores THREADS=one", "THREADS=one"),
        ("PIN=cores THREADS=5", "THREADS=5"),
        ("BF16=dot", ""),
        ("BLOCK_M=512 PACK_K=head", "BLOCK_M=512 PACK_K=block"),
    ] {
        assert_eq!(parts(one, f32), parts(other, f32), "{one} and {other}");
    }
}

#[test]
fn another_execution_has_other_bytes_or_another_launch() {
    let words = [
        "",
        "BLOCK_M=64",
        "BLOCK_N=32",
        "VECS=2",
        "QK_ROWS=8",
        "PV_ROWS=8",
        "THREADS=2",
        "SPLIT=strided",
        "SPLIT=dynamic",
        "SPLIT=heavy_first",
        "PIN=cores",
        "PACK_K=none",
        "PACK_K=head",
        "PACK_K=shared",
        "PACK_V=block",
        "PACK_V=head",
        "PACK_V=shared",
        "EXP=poly5",
        "EXP=poly4",
        "RESCALE=grown",
        "RESCALE=lazy",
        "PREFETCH=1",
        "PREFETCH=2",
        "KV_ORDER=serpentine",
        "ISA=avx2",
    ];
    let all: Vec<_> = words
        .iter()
        .map(|words| parts(words, shape(Storage::F32)))
        .collect();
    for (index, one) in all.iter().enumerate() {
        for (other, words) in all.iter().zip(words).skip(index + 1) {
            assert_ne!(one, other, "`{}` and `{words}`", words);
        }
    }
    // What acts at launch only is no part of the bytes.
    assert_eq!(all[0].0, all[6].0);
    assert_eq!(all[0].0, all[7].0);
}

#[test]
fn refusals_say_why() {
    let (f32, bf16) = (shape(Storage::F32), shape(Storage::Bf16));
    let old = Machine {
        avx512: false,
        ..machine()
    };
    let tiny = Machine {
        memory: 1 << 20,
        ..machine()
    };
    let cases = [
        refusal("tiled", "ISA=avx512", f32, &old),
        refusal("tiled", "VECS=4 QK_ROWS=8", f32, &machine()),
        refusal("tiled", "VECS=2 PV_ROWS=8 ISA=avx2", f32, &machine()),
        refusal("tiled", "BF16=dot", bf16, &machine()),
        refusal("tiled", "PACK_K=shared", f32, &tiny),
        refusal("math", "", f32, &tiny),
        refusal("math", "BLOCK_M=3", f32, &machine()),
        refusal("tiled", "BLOCK=3", f32, &machine()),
        refusal("tiled", "QK_ROWS=5", f32, &machine()),
        refusal("tiled", "BLOCK_N=0", f32, &machine()),
        refusal("tiled", "SPLIT=evenly", f32, &machine()),
        refusal("tiled", "EXP=fast", f32, &machine()),
        refusal("tiled", "THREADS=some", f32, &machine()),
        refusal("fast", "", f32, &machine()),
    ];
    let wanted = [
        "ISA is avx512, which the device does not have",
        "QK_ROWS=8 with VECS=4 needs more than the 32 vector registers of avx512",
        "PV_ROWS=8 with VECS=2 needs more than the 16 vector registers of avx2",
        "BF16 is dot, and the device has no bf16 dot product (AVX512_BF16)",
        "this configuration needs 2246144 bytes of scratch memory, more than half of the device's \
         1048576",
        "math, which stores all scores of a head, needs 21072128 bytes of scratch memory, more than \
         half of the device's 1048576",
        "a baseline has no parameter `BLOCK_M`, only `THREADS`",
        "`tiled` has no parameter `BLOCK`; it has BLOCK_M, BLOCK_N, VECS, QK_ROWS, PV_ROWS, THREADS, \
         SPLIT, PIN, PACK_K, PACK_V, EXP, RESCALE, PREFETCH, KV_ORDER, ISA, BF16",
        "`QK_ROWS` is 5, but must be one of [4, 6, 8, 12, 16, 24]",
        "`BLOCK_N` is 0, but must be from 1 to 65536",
        "`SPLIT`: unknown variant `evenly`, expected one of `heads`, `contiguous`, `strided`, \
         `dynamic`, `heavy_first`",
        "`EXP` is fast, but must be one of exact, poly5, poly4, poly3, poly2",
        "`THREADS` is some, but must be all, half, quarter, one, or a number",
        "no kernel is called `fast`",
    ];
    for (reason, wanted) in cases.iter().zip(wanted) {
        assert_eq!(reason, wanted);
    }
}

#[test]
fn damaged_artifacts_are_refused() {
    let (bytes, _) = parts("", shape(Storage::F32));
    for bytes in [
        b"{}".as_slice(),
        b"nonsense",
        bytes.get(..bytes.len() / 2).unwrap(),
    ] {
        let error = AnyPlan::from_parts(bytes, &params(""))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the artifact is not a plan of this plugin: "),
            "{error}"
        );
    }
}

#[test]
fn impossible_shapes_are_refused() {
    let error = Shape::new([2, 0, 512, 64], false, Storage::F32).unwrap_err();
    assert_eq!(error, "B=2 H=0 S=512 D=64: every extent must be at least 1");
    let error = Shape::new([usize::MAX, 2, 512, 64], false, Storage::F32).unwrap_err();
    assert!(
        error.ends_with("a tensor may have at most 274877906944 elements"),
        "{error}"
    );
    let error = Shape::new([1 << 16, 1 << 16, 1 << 20, 4096], false, Storage::F32).unwrap_err();
    assert!(error.contains("may have at most"), "{error}");
}
