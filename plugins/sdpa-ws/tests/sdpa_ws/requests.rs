//! What is accepted and what is refused, before anything is compiled.

use evo_plugin::{Error, Kernel, Plugin};
use evo_plugin_sdpa_ws::{Math, plugin};

use crate::support::{defaults, device, fused, refusal};

#[test]
fn there_are_five_candidates_and_the_one_that_is_three_of_them() {
    let plugin: Plugin = plugin();
    let info = plugin.info();
    let names: Vec<&str> = info
        .kernels
        .iter()
        .map(|kernel| kernel.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["math", "stage2", "ws_p1", "ws_p2", "fused", "hopper"]
    );
    assert!(info.kernels.iter().all(|kernel| kernel.devices == ["cuda"]));
}

#[test]
fn every_problem_that_the_device_code_solves_is_accepted() {
    let kernels: [&dyn Kernel; 2] = [&fused(), &Math];
    for kernel in kernels {
        for words in [
            "",
            "S=1",
            "S=129 mask=causal D=128 dtype=bf16",
            "epilogue=scale",
            "epilogue=scale_bias dtype=f8_e4m3",
            "dtype=f8_e4m3 scales=per_head D=128",
            "B=32 H=32 S=512",
        ] {
            for arch in ["sm_80", "sm_89", "sm_90a"] {
                let request = defaults(kernel, words, "", arch);
                assert_eq!(refusal(kernel, &request), None, "{words} {arch}");
            }
        }
    }
}

#[test]
fn what_the_device_code_cannot_do_is_refused_with_the_reason() {
    let kernels: [&dyn Kernel; 2] = [&fused(), &Math];
    for kernel in kernels {
        for (words, arch, wanted) in [
            (
                "D=40",
                "sm_90a",
                "D is 40, and the kernels are made for 64 and 128",
            ),
            ("dtype=f32", "sm_90a", "made for f16, bf16 and f8_e4m3"),
            ("dtype=f8_e4m3 output=f16", "sm_90a", "write bf16"),
            ("", "sm_75", "compute capability 7.5: the kernels need 8.0"),
        ] {
            let reason = refusal(kernel, &defaults(kernel, words, "", arch)).unwrap();
            assert!(reason.contains(wanted), "{reason}");
        }
        let mut request = defaults(kernel, "", "", "sm_90a");
        request.problem.problem = "gemm".to_owned();
        assert!(refusal(kernel, &request).unwrap().contains("not `gemm`"));
        let mut request = defaults(kernel, "", "", "sm_90a");
        request.device = device("sm_90a");
        request.device.facts.remove("SMS");
        assert!(
            refusal(kernel, &request)
                .unwrap()
                .contains("does not tell its SMS")
        );
    }
}

#[test]
fn values_that_the_device_code_does_not_know_are_named() {
    for (words, wanted) in [
        (
            "BLOCK_M=48",
            "`BLOCK_M` is 48, but must be 16, 32, 64, 128, 256",
        ),
        (
            "SMEM_LAYOUT=diagonal",
            "`SMEM_LAYOUT` is diagonal, but must be row or col or pad",
        ),
        ("USE_WS=1", "must be true or false"),
        ("NUM_STAGES=9", "`NUM_STAGES` is 9"),
    ] {
        let reason = refusal(&fused(), &defaults(&fused(), "", words, "sm_90a")).unwrap();
        assert!(reason.contains(wanted), "{reason}");
    }
}

#[test]
fn a_large_problem_is_no_reason_to_count_wrongly() {
    let request = defaults(&Math, "B=65536 H=2 S=64", "", "sm_90a");
    assert!(refusal(&Math, &request).unwrap().contains("131072 heads"));
    for (words, taken) in [
        ("", false),
        ("HEAD_GROUP=4", true),
        ("USE_PERSISTENT_CTA=true", true),
    ] {
        let request = defaults(&fused(), "B=65536 H=2 S=64", words, "sm_90a");
        assert_eq!(refusal(&fused(), &request).is_none(), taken, "{words}");
    }
    // A missing parameter is the candidate's fault, never a panic.
    let mut request = defaults(&fused(), "", "", "sm_90a");
    request.config.clear();
    assert!(matches!(fused().build(&request), Err(Error::Rejected(_))));
}
