//! The contract that every preset inherits: legal proposals, no repeats, deterministic, honest
//! about the budget, at home in constrained, conditional and failing spaces.

mod engine_support;

use std::collections::BTreeSet;

use engine_support::{
    Objective, conditional, constrained, evaluate, run, settings, small, tell_all,
};
use evo_core::engine::{Ask, Budget, Campaign, Cost, Preset, Proposal, StopReason};
use evo_types::Outcome;
use proptest::prelude::*;

fn spaces() -> Vec<(&'static str, std::sync::Arc<evo_core::space::Space>)> {
    vec![
        ("small", small()),
        ("constrained", constrained()),
        ("conditional", conditional()),
    ]
}

#[test]
fn proposals_are_legal_and_never_repeat() {
    for preset in Preset::ALL {
        for (name, space) in spaces() {
            let proposals = run(&space, preset, 7, 60, Objective::Smooth);
            let mut seen = BTreeSet::new();
            for proposal in &proposals {
                let config = space.from_params(&proposal.params).unwrap();
                assert!(space.is_valid(&config), "{preset} on {name}: {proposal:?}");
                assert!(
                    seen.insert(config),
                    "{preset} on {name} repeats {proposal:?}"
                );
                assert!(
                    proposal
                        .origin
                        .parents
                        .iter()
                        .all(|parent| *parent < proposal.trial)
                );
            }
            let trials: Vec<u64> = proposals.iter().map(|proposal| proposal.trial).collect();
            assert_eq!(trials, (0..proposals.len() as u64).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_small_space_is_exhausted_exactly() {
    for preset in Preset::ALL {
        for (name, space) in spaces() {
            for objective in [Objective::Smooth, Objective::AllFail, Objective::Flat] {
                let mut campaign =
                    Campaign::single("k", space.clone(), settings(preset, Budget::default()), 3);
                let count = tell_all(&mut campaign, objective).len();
                assert_eq!(count, space.iter_valid().count(), "{preset} on {name}");
                assert_eq!(campaign.ask(), Ask::Exhausted);
                assert_eq!(campaign.counts().proposed, count as u64);
            }
        }
    }
}

#[test]
fn the_same_seed_and_outcomes_give_the_same_proposals() {
    for preset in Preset::ALL {
        for (_, space) in spaces() {
            let first = run(&space, preset, 11, 50, Objective::Patchy);
            let again = run(&space, preset, 11, 50, Objective::Patchy);
            assert_eq!(first, again);
            let other = run(&space, preset, 12, 50, Objective::Patchy);
            assert_ne!(first, other, "{preset}: the seed has to matter");
        }
    }
}

/// Proposals are data that outlive the process, so a change of them has to be deliberate: this
/// fails when the engine proposes differently, and then `ENGINE_VERSION` has to grow.
#[test]
fn proposals_of_this_engine_version_are_pinned() {
    let digest = |preset| {
        let proposals = run(&constrained(), preset, 5, 48, Objective::Patchy);
        let ids: Vec<&str> = proposals
            .iter()
            .map(|proposal| proposal.id.as_str())
            .collect();
        evo_types::ContentHash::of_bytes(ids.join(" ").as_bytes())
            .short()
            .to_owned()
    };
    let digests: Vec<String> = Preset::ALL
        .iter()
        .map(|preset| format!("{preset} {}", digest(*preset)))
        .collect();
    let version = evo_core::engine::ENGINE_VERSION;
    insta::assert_snapshot!(
        "pinned",
        format!("engine {version}\n{}", digests.join("\n"))
    );
}

/// A model of many parameters needs as many trials before it knows the effect of any.
#[test]
fn the_initial_design_has_a_trial_for_each_of_many_parameters() {
    let designed = |count: usize| {
        let params: Vec<String> = (0..count)
            .map(|place| format!("(name: \"P{place}\", values: [1, 2, 3])"))
            .collect();
        let text = format!("(name: \"many\", params: [{}])", params.join(", "));
        let space = evo_core::space::Space::parse(&text, "many", &Default::default()).unwrap();
        let proposals = run(
            &std::sync::Arc::new(space),
            Preset::Full,
            3,
            40,
            Objective::Smooth,
        );
        let design = ["default", "initial design"];
        let mut all = proposals.iter().map(|it| it.origin.operator.as_str());
        let first = all
            .by_ref()
            .take_while(|name| design.contains(name))
            .count();
        assert!(
            all.all(|name| !design.contains(&name)),
            "the design comes first"
        );
        first
    };
    let usual = evo_core::engine::Tuning::default().initial;
    assert_eq!(designed(12), usual);
    assert_eq!(designed(14), 14);
    assert_eq!(designed(22), 22);
}

/// With outcomes awaited, the order of asks and tells is part of the input.
#[test]
fn several_outstanding_proposals_are_deterministic_and_distinct() {
    let space = constrained();
    for preset in Preset::ALL {
        let ahead_run = |ahead: usize| -> Vec<Proposal> {
            let budget = Budget::trials(40);
            let mut campaign = Campaign::single("k", space.clone(), settings(preset, budget), 2);
            let (mut waiting, mut all) = (Vec::new(), Vec::new());
            loop {
                while waiting.len() < ahead {
                    match campaign.ask() {
                        Ask::Propose(proposal) => waiting.push(proposal),
                        _ => break,
                    }
                }
                if waiting.is_empty() {
                    return all;
                }
                let oldest: Proposal = waiting.remove(0);
                let outcome = evaluate(&oldest, Objective::Patchy);
                campaign
                    .tell(oldest.trial, &outcome, Cost::default())
                    .unwrap();
                all.push(oldest);
            }
        };
        for ahead in [1, 2, 5] {
            let proposals = ahead_run(ahead);
            assert_eq!(proposals.len(), 40, "{preset} with {ahead} ahead");
            assert_eq!(proposals, ahead_run(ahead));
            let ids: BTreeSet<&str> = proposals.iter().map(|each| each.id.as_str()).collect();
            assert_eq!(ids.len(), proposals.len());
        }
    }
}

/// What the tuning says about intensification is what the proposals say they were chosen from.
#[test]
fn the_share_of_near_choices_is_that_of_the_tuning() {
    let near = |share: f64| {
        let mut settings = settings(Preset::Full, Budget::trials(40));
        settings.tuning.near_share = share;
        let mut campaign = Campaign::single("k", constrained(), settings, 4);
        let proposals = tell_all(&mut campaign, Objective::Smooth);
        let near = proposals
            .iter()
            .filter(|proposal| proposal.origin.note.contains(" near drafts"));
        near.inspect(|proposal| {
            assert_eq!(proposal.origin.operator, "local");
            assert_eq!(proposal.origin.parents.len(), 1);
        })
        .count()
    };
    assert_eq!(near(0.0), 0);
    // With every step from the elites proposed, the whole pool takes over.
    let (some, all) = (near(0.25), near(1.0));
    assert!(3 <= some && some < all && all >= 20, "{some} and {all}");
}

#[test]
fn the_budget_of_trials_is_spent_exactly_and_said_so() {
    for preset in Preset::ALL {
        let mut campaign =
            Campaign::single("k", constrained(), settings(preset, Budget::trials(17)), 1);
        assert_eq!(tell_all(&mut campaign, Objective::Patchy).len(), 17);
        assert_eq!(campaign.ask(), Ask::Stop(StopReason::Trials { trials: 17 }));
        assert_eq!(campaign.counts().trials, 17);
    }
}

#[test]
fn guided_presets_start_from_the_default() {
    let space = constrained();
    for preset in [Preset::Free, Preset::Insight, Preset::Full] {
        let first = &run(&space, preset, 9, 1, Objective::Smooth)[0];
        assert_eq!(first.params, space.to_params(&space.default_config()));
        assert_eq!(first.origin.operator, "default");
    }
}

/// Mean best value over seeds: guidance has to pay on a landscape that has a structure.
#[test]
fn each_guided_preset_finds_better_solutions_than_the_control() {
    let space = engine_support::large();
    let mean_best = |preset| {
        let best = |seed| {
            let mut campaign = Campaign::single(
                "k",
                space.clone(),
                settings(preset, Budget::trials(60)),
                seed,
            );
            tell_all(&mut campaign, Objective::Smooth);
            campaign.best().unwrap().1.value
        };
        (0..8).map(best).sum::<f64>() / 8.0
    };
    let control = mean_best(Preset::Random);
    for preset in [Preset::Free, Preset::Insight, Preset::Full] {
        let guided = mean_best(preset);
        assert!(guided < control, "{preset}: {guided} against {control}");
    }
}

/// The controls that learn have to learn something too.
#[test]
fn each_classical_strategy_that_learns_beats_the_control() {
    let space = engine_support::large();
    let mean_best = |preset| {
        let best = |seed| {
            let budget = Budget::trials(150);
            let mut campaign = Campaign::single("k", space.clone(), settings(preset, budget), seed);
            tell_all(&mut campaign, Objective::Patchy);
            campaign.best().unwrap().1.value
        };
        (0..8).map(best).sum::<f64>() / 8.0
    };
    let control = mean_best(Preset::Random);
    for preset in [
        Preset::LocalSearch,
        Preset::DifferentialEvolution,
        Preset::SimulatedAnnealing,
        Preset::Surrogate,
        Preset::Portfolio,
    ] {
        let learnt = mean_best(preset);
        assert!(learnt < control, "{preset}: {learnt} against {control}");
    }
}

/// A low-discrepancy sequence leaves smaller gaps than random points do: the least used values
/// of a parameter are used more often.
#[test]
fn quasi_random_sampling_is_more_even_than_random_sampling() {
    let space = engine_support::large();
    let least_used = |preset, seed| {
        let proposals = run(&space, preset, seed, 120, Objective::Flat);
        let uses = |value: i64| {
            let has = |p: &&Proposal| p.params["C"] == evo_types::Value::Int(value);
            proposals.iter().filter(has).count()
        };
        (1..=12).map(uses).min().unwrap()
    };
    let total = |preset| -> usize { (0..6).map(|seed| least_used(preset, seed)).sum() };
    let (even, uneven) = (total(Preset::QuasiRandom), total(Preset::Random));
    assert!(even > uneven + 12, "{even} against {uneven}");
}

#[test]
fn a_portfolio_reports_what_its_strategies_earned() {
    let budget = Budget::trials(60);
    let mut campaign = Campaign::single(
        "k",
        engine_support::large(),
        settings(Preset::Portfolio, budget),
        4,
    );
    let proposals = tell_all(&mut campaign, Objective::Smooth);
    let state = campaign.state();
    let credits = &state.candidates[0].operators;
    let names: Vec<&str> = credits
        .iter()
        .map(|credit| credit.operator.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "local search",
            "differential evolution",
            "annealing",
            "surrogate"
        ]
    );
    assert_eq!(credits.iter().map(|credit| credit.used).sum::<u64>(), 60);
    let made = |name: &str| {
        proposals
            .iter()
            .filter(|p| p.origin.operator == name)
            .count()
    };
    assert!(
        credits
            .iter()
            .all(|c| c.used == made(&c.operator) as u64 && c.used > 0)
    );
}

/// Three quarters of the space fail; a search that learns meets fewer failures than that.
#[test]
fn what_fails_is_avoided() {
    let failures = |preset| -> usize {
        let failed = |seed| {
            let proposals = run(
                &engine_support::large(),
                preset,
                seed,
                30,
                Objective::FailsForB,
            );
            let failed = proposals
                .iter()
                .filter(|each| evaluate(each, Objective::FailsForB).measurement().is_none());
            failed.count()
        };
        (0..6).map(failed).sum()
    };
    let (full, random) = (failures(Preset::Full), failures(Preset::Random));
    assert!(full * 3 < random * 2, "{full} failures against {random}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Any small space, any outcomes, any number ahead: legal, distinct, exhaustive, in budget.
    #[test]
    fn random_spaces_with_random_outcomes(
        sizes in proptest::collection::vec(1usize..5, 1..5),
        preset in proptest::sample::select(Preset::ALL.to_vec()),
        seed in any::<u64>(),
        budget in 1u64..80,
        ahead in 1usize..4,
        fates in proptest::collection::vec(0u8..4, 80),
    ) {
        let space = engine_support::product(&sizes);
        let valid = space.iter_valid().count() as u64;
        let mut campaign =
            Campaign::single("k", space.clone(), settings(preset, Budget::trials(budget)), seed);
        let mut waiting: Vec<Proposal> = Vec::new();
        let mut seen = BTreeSet::new();
        let end = loop {
            let answer = campaign.ask();
            if let Ask::Propose(proposal) = answer {
                let config = space.from_params(&proposal.params).unwrap();
                prop_assert!(space.is_valid(&config) && seen.insert(config));
                waiting.push(proposal);
                if waiting.len() < ahead {
                    continue;
                }
            } else if waiting.is_empty() {
                break answer;
            }
            let oldest = waiting.remove(0);
            let first = oldest.trial.checked_sub(1).filter(|_| fates[oldest.trial as usize % 80] == 3);
            let outcome = match (fates[oldest.trial as usize % 80], first) {
                (_, Some(earlier)) => Outcome::DuplicateOf { trial: earlier },
                (0, _) => evaluate(&oldest, Objective::AllFail),
                (1, _) => evaluate(&oldest, Objective::Flat),
                _ => evaluate(&oldest, Objective::Smooth),
            };
            campaign.tell(oldest.trial, &outcome, Cost::default()).unwrap();
        };
        let counts = campaign.counts();
        prop_assert_eq!(counts.proposed, seen.len() as u64);
        prop_assert_eq!(counts.trials + counts.duplicates(), counts.proposed);
        match end {
            Ask::Stop(StopReason::Trials { trials }) => prop_assert_eq!(trials, budget),
            Ask::Exhausted => prop_assert_eq!(counts.proposed, valid),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
