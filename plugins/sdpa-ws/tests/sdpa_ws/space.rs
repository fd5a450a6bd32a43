//! The space file: its sizes, and that the kernel reads it as the search does.

use evo_core::space::{Count, Role};
use evo_plugin::Kernel;
use evo_plugin_sdpa_ws::{Fused, SPACE, Variant};

use crate::support::{defaults, device, fused, problem, refusal, request, space, space_of};

#[test]
fn the_original_dimensions_are_there_with_their_values() {
    let space = space(&problem(""), &device("sm_90a"));
    let values = |name: &str| -> Vec<String> {
        let param = space.params().iter().find(|param| param.name == name);
        let param = param.unwrap_or_else(|| panic!("{name}"));
        param.values.iter().map(ToString::to_string).collect()
    };
    let original = include_str!("../../../../search-spaces/sdpa_ws_original.ron");
    let original = space_of(original, &problem(""), &device("sm_90a"));
    let mut product = 1;
    for param in original.params() {
        match param.role {
            Role::Problem => continue,
            _ => product *= param.values.len(),
        }
        for value in &param.values {
            assert!(
                values(&param.name).contains(&value.to_string()),
                "{}",
                param.name
            );
        }
    }
    assert_eq!(product, 6_912);
    let fields = ["epilogue", "mask", "dtype"];
    for field in fields {
        let param = space.params().iter().find(|param| param.name == field);
        assert_eq!(param.unwrap().role, Role::Problem);
    }
    assert_eq!(space.params().len(), original.params().len() + 7);
}

/// The candidates are the space in three parts.
#[test]
fn the_candidates_share_the_space_out() {
    let (problem, device) = (problem(""), device("sm_90a"));
    let count = |text: &str| match space_of(text, &problem, &device).count(10_000_000) {
        Count::Exact(count) => count,
        other => panic!("{other:?}"),
    };
    let parts = [Variant::Stage2, Variant::Ws1, Variant::Ws2]
        .map(|variant| count(&Fused::new(variant).space()));
    assert_eq!(parts.iter().sum::<u128>(), count(SPACE));
    assert!(parts.iter().all(|part| *part > 10_000), "{parts:?}");
}

#[test]
fn the_kernel_knows_every_parameter_with_its_default() {
    let (problem, device) = (problem(""), device("sm_90a"));
    for variant in [Variant::Stage2, Variant::Ws1, Variant::Ws2, Variant::Any] {
        let kernel = Fused::new(variant);
        let known = kernel.info().params;
        let space = space_of(&kernel.space(), &problem, &device);
        let searched: Vec<_> = space
            .params()
            .iter()
            .filter(|param| param.role != Role::Problem)
            .collect();
        let names: Vec<_> = known.iter().map(|param| &param.name).collect();
        assert_eq!(
            names,
            searched.iter().map(|param| &param.name).collect::<Vec<_>>()
        );
        let config = space.default_config();
        for (name, value) in space.to_params(&config) {
            let known = known.iter().find(|param| param.name == name);
            assert!(
                known.is_none_or(|known| known.default == value),
                "{name} {value}"
            );
        }
        let request = request(&problem, &device, &space, &config);
        assert_eq!(refusal(&kernel, &request), None);
    }
}

#[test]
fn a_candidate_takes_its_own_configurations_only() {
    for (variant, words, wanted) in [
        (Variant::Stage2, "USE_WS=true", "USE_WS=false"),
        (Variant::Ws1, "USE_WS=false", "USE_WS=true PROD_WARPS=1"),
        (Variant::Ws1, "PROD_WARPS=2", "USE_WS=true PROD_WARPS=1"),
        (Variant::Ws2, "PROD_WARPS=1", "USE_WS=true PROD_WARPS=2"),
    ] {
        let kernel = Fused::new(variant);
        let request = defaults(&kernel, "", words, "sm_90a");
        assert!(refusal(&kernel, &request).unwrap().contains(wanted));
        assert_eq!(refusal(&fused(), &request), None);
    }
}
