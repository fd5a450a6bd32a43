//! The campaign: order, budget, duplicates, several candidates, replay.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at once")]

mod engine_support;

use engine_support::{
    Objective, constrained, evaluate, failed, large, measured, parse, run, settings, small,
    tell_all,
};
use evo_core::engine::{
    Action, Ask, Budget, Campaign, Cost, EngineError, Evidence, Insight, Lever, Preset, Proposal,
    Ranked, Ranking, ReplayStep, Scope, Source, StopReason,
};
use evo_types::{Direction, Metric, Outcome, OutcomeKind, Value};

fn propose(campaign: &mut Campaign) -> Proposal {
    match campaign.ask() {
        Ask::Propose(proposal) => proposal,
        other => panic!("expected a proposal: {other:?}"),
    }
}

fn full(budget: Budget) -> Campaign {
    Campaign::single("k", constrained(), settings(Preset::Full, budget), 1)
}

#[test]
fn outcomes_are_told_in_the_order_of_the_proposals() {
    let mut campaign = full(Budget::default());
    let error = campaign.tell(0, &failed(), Cost::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the outcome of trial 0 was told, but no proposal is outstanding"
    );
    propose(&mut campaign);
    propose(&mut campaign);
    let error = campaign.tell(1, &failed(), Cost::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the outcome of trial 1 was told, but that of trial 0 has to come first"
    );
    campaign.tell(0, &failed(), Cost::default()).unwrap();
    assert!(campaign.tell(0, &failed(), Cost::default()).is_err());
    assert_eq!(campaign.outstanding().collect::<Vec<_>>(), [1]);
    campaign.tell(1, &failed(), Cost::default()).unwrap();
    assert_eq!(campaign.counts().of(OutcomeKind::BuildFailed), 2);
}

#[test]
fn an_outcome_that_cannot_be_told_changes_nothing() {
    let mut campaign = full(Budget::default());
    propose(&mut campaign);
    let before = campaign.state();
    let unknown = campaign.tell(0, &Outcome::DuplicateOf { trial: 0 }, Cost::default());
    assert_eq!(
        unknown,
        Err(EngineError::UnknownOriginal {
            trial: 0,
            original: 0
        })
    );
    let other_metric = Ranking::lower("energy");
    let mut energy = settings(Preset::Full, Budget::default());
    energy.ranking = other_metric;
    let mut strict = Campaign::single("k", constrained(), energy, 1);
    propose(&mut strict);
    let error = strict.tell(0, &measured(1.0), Cost::default()).unwrap_err();
    assert!(
        error.to_string().contains("has no metric `energy`"),
        "{error}"
    );
    assert_eq!(strict.outstanding().count(), 1);
    assert_eq!(campaign.state(), before);
}

#[test]
fn a_duplicate_is_no_trial_and_teaches_the_fitness_of_its_original() {
    let mut campaign = full(Budget::trials(2));
    propose(&mut campaign);
    campaign.tell(0, &measured(3.0), Cost::default()).unwrap();
    propose(&mut campaign);
    campaign
        .tell(1, &Outcome::DuplicateOf { trial: 0 }, Cost::default())
        .unwrap();
    assert_eq!(
        (campaign.counts().trials, campaign.counts().duplicates()),
        (1, 1)
    );
    let best = campaign.best().unwrap().1;
    assert_eq!(
        (best.trial, best.value),
        (0, 3.0),
        "the original keeps the credit"
    );
    assert_eq!(campaign.state().candidates[0].elites.len(), 1);
    propose(&mut campaign);
    campaign.tell(2, &measured(4.0), Cost::default()).unwrap();
    assert_eq!(campaign.ask(), Ask::Stop(StopReason::Trials { trials: 2 }));
}

#[test]
fn a_run_of_nothing_but_duplicates_ends() {
    let budget = Budget {
        duplicates_in_a_row: 20,
        ..Budget::default()
    };
    let mut campaign = Campaign::single("k", large(), settings(Preset::Full, budget), 1);
    let first = propose(&mut campaign);
    campaign
        .tell(first.trial, &measured(1.0), Cost::default())
        .unwrap();
    let mut duplicates = 0;
    while let Ask::Propose(proposal) = campaign.ask() {
        campaign
            .tell(
                proposal.trial,
                &Outcome::DuplicateOf { trial: 0 },
                Cost::default(),
            )
            .unwrap();
        duplicates += 1;
    }
    assert_eq!(duplicates, 20);
    assert_eq!(
        campaign.ask(),
        Ask::Stop(StopReason::Duplicates { duplicates: 20 })
    );
}

#[test]
fn time_and_target_and_stagnation_end_a_search() {
    let stopped = |budget: Budget| {
        let mut campaign = full(budget);
        let told = tell_all(&mut campaign, Objective::Flat).len();
        (told, campaign.state().stopped)
    };
    let wall = Budget {
        wall_s: Some(5.0),
        ..Budget::default()
    };
    assert_eq!(
        stopped(wall),
        (5, Some(StopReason::WallTime { limit_s: 5.0 }))
    );
    let device = Budget {
        device_s: Some(5.0),
        ..Budget::default()
    };
    assert_eq!(
        stopped(device),
        (10, Some(StopReason::DeviceTime { limit_s: 5.0 }))
    );
    let target = Budget {
        target: Some(1.0),
        ..Budget::default()
    };
    assert_eq!(
        stopped(target),
        (
            1,
            Some(StopReason::Target {
                value: 1.0,
                target: 1.0
            })
        )
    );
    let stagnation = Budget {
        stagnation: Some(4),
        ..Budget::default()
    };
    assert_eq!(
        stopped(stagnation),
        (5, Some(StopReason::Stagnation { trials: 4 }))
    );
}

#[test]
fn an_ask_waits_where_outstanding_proposals_may_use_up_the_trials() {
    let mut campaign = full(Budget::trials(2));
    propose(&mut campaign);
    propose(&mut campaign);
    assert_eq!(campaign.ask(), Ask::Wait);
    campaign.tell(0, &measured(1.0), Cost::default()).unwrap();
    assert_eq!(campaign.ask(), Ask::Wait);
    campaign
        .tell(1, &Outcome::DuplicateOf { trial: 0 }, Cost::default())
        .unwrap();
    propose(&mut campaign);
}

/// Trials of each of two candidates, of which the second takes `ratio` times as long.
fn trials_of_each(preset: Preset, ratio: f64, trials: u64) -> [usize; 2] {
    let candidates = vec![("a".to_owned(), large()), ("b".to_owned(), large())];
    let budget = Budget::trials(trials);
    let mut campaign = Campaign::new(candidates, settings(preset, budget), 3);
    let mut of_each = [0, 0];
    while let Ask::Propose(proposal) = campaign.ask() {
        of_each[proposal.candidate] += 1;
        let time = 1000.0 * [1.0, ratio][proposal.candidate];
        let told = campaign.tell(proposal.trial, &measured(time), Cost::default());
        told.unwrap();
    }
    of_each
}

#[test]
fn candidates_that_are_behind_get_fewer_turns_once_their_first_trials_are_known() {
    assert_eq!(trials_of_each(Preset::Full, 1.0, 40), [20, 20]);
    // Two designs of six trials each are shared evenly.
    assert_eq!(trials_of_each(Preset::Full, 4.0, 24), [12, 12]);
    let [ahead, behind] = trials_of_each(Preset::Full, 1.1, 44);
    assert!(behind > 12 && ahead > behind, "{ahead} and {behind}");
    // A twentieth of the turns goes to one that is far behind.
    for (ratio, behind) in [(4.0, 1), (0.25, 0)] {
        let of_each = trials_of_each(Preset::Full, ratio, 24 + 42);
        assert!((13..=15).contains(&of_each[behind]), "{of_each:?}");
    }
    assert_eq!(trials_of_each(Preset::Random, 4.0, 40), [20, 20]);
}

#[test]
fn a_candidate_that_always_fails_leaves_its_turns_to_the_others() {
    let candidates = vec![("a".to_owned(), large()), ("b".to_owned(), large())];
    let mut campaign = Campaign::new(candidates, settings(Preset::Full, Budget::trials(45)), 3);
    let mut of_each = [0, 0];
    while let Ask::Propose(proposal) = campaign.ask() {
        of_each[proposal.candidate] += 1;
        let outcome = match proposal.candidate {
            0 => failed(),
            _ => measured(1000.0),
        };
        let told = campaign.tell(proposal.trial, &outcome, Cost::default());
        told.unwrap();
    }
    assert!(of_each[0] < 15 && of_each[1] >= 30, "{of_each:?}");
}

#[test]
fn candidates_take_turns_and_an_exhausted_one_leaves_the_rest_to_the_others() {
    let candidates = vec![("a".to_owned(), small()), ("b".to_owned(), constrained())];
    let budget = Budget::trials(70);
    let mut campaign = Campaign::new(candidates, settings(Preset::Full, budget), 1);
    let proposals = tell_all(&mut campaign, Objective::Smooth);
    let turns: Vec<usize> = proposals
        .iter()
        .map(|proposal| proposal.candidate)
        .collect();
    assert_eq!(turns[..6], [0, 1, 0, 1, 0, 1]);
    assert_eq!(
        turns.iter().filter(|turn| **turn == 0).count(),
        small().iter_valid().count()
    );
    assert_eq!(proposals.len(), 70);
    assert!(proposals[1].trial == 1 && proposals[69].trial == 69);
    let state = campaign.state();
    let (winner, best) = state.best.unwrap();
    let of_winner = state.candidates[winner].best.as_ref().unwrap();
    let bests = state
        .candidates
        .iter()
        .map(|each| each.best.as_ref().unwrap().value);
    assert_eq!(&best, of_winner);
    assert_eq!(best.value, bests.fold(f64::INFINITY, f64::min));
}

#[test]
fn a_campaign_without_candidates_is_exhausted() {
    let mut campaign = Campaign::new(Vec::new(), settings(Preset::Full, Budget::trials(3)), 0);
    assert_eq!(campaign.ask(), Ask::Exhausted);
}

/// The steps of a run with up to two proposals ahead.
fn recorded(trials: u64) -> Vec<ReplayStep> {
    let mut campaign = full(Budget::trials(trials));
    let (mut steps, mut waiting) = (Vec::new(), Vec::new());
    loop {
        if waiting.len() < 2
            && let Ask::Propose(proposal) = campaign.ask()
        {
            steps.push(ReplayStep::Proposed(proposal.clone()));
            waiting.push(proposal);
            continue;
        }
        if waiting.is_empty() {
            return steps;
        }
        let oldest: Proposal = waiting.remove(0);
        let (trial, cost) = (oldest.trial, Cost::default());
        let outcome = evaluate(&oldest, Objective::Patchy);
        campaign.tell(trial, &outcome, cost).unwrap();
        steps.push(ReplayStep::Told {
            trial,
            outcome,
            cost,
        });
    }
}

/// A run that is cut anywhere, replayed through JSON and continued is the uninterrupted run.
#[test]
fn a_replayed_campaign_goes_on_as_if_nothing_had_happened() {
    let steps = recorded(30);
    for cut in [0, 1, 2, 7, 30, steps.len()] {
        let mut resumed = full(Budget::trials(30));
        let through_json = steps[..cut].iter().map(|step| match step {
            ReplayStep::Proposed(proposal) => {
                let text = serde_json::to_string(proposal).unwrap();
                ReplayStep::Proposed(serde_json::from_str(&text).unwrap())
            }
            other => other.clone(),
        });
        resumed.replay(through_json).unwrap();
        resumed.replay(steps[cut..].iter().cloned()).unwrap();
        assert_eq!(resumed.ask(), Ask::Stop(StopReason::Trials { trials: 30 }));
    }
}

#[test]
fn a_record_of_another_search_is_refused() {
    let steps = recorded(12);
    let mut other = Campaign::single(
        "k",
        constrained(),
        settings(Preset::Full, Budget::trials(12)),
        2,
    );
    let error = other.replay(steps.clone()).unwrap_err();
    assert!(matches!(error, EngineError::Diverged { .. }), "{error}");
    let mut shorter = full(Budget::trials(5));
    let error = shorter.replay(steps).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("give it at least the recorded budget"),
        "{error}"
    );
}

#[test]
fn a_finished_run_can_be_extended() {
    let mut campaign = full(Budget::trials(10));
    tell_all(&mut campaign, Objective::Smooth);
    campaign.set_budget(Budget::trials(25));
    tell_all(&mut campaign, Objective::Smooth);
    assert_eq!(campaign.counts().trials, 25);
    let at_once = run(&constrained(), Preset::Full, 1, 25, Objective::Smooth);
    assert_eq!(campaign.counts().proposed, at_once.len() as u64);
}

#[test]
fn insights_from_outside_steer_proposals_and_are_named_in_them() {
    let advice = Insight {
        id: "profiler:occupancy".to_owned(),
        statement: "occupancy is limited by registers".to_owned(),
        lever: Lever {
            param: "B".to_owned(),
            action: Action::Prefer(Value::from("w")),
        },
        scope: Scope::Space,
        strength: 1.0,
        evidence: Evidence {
            n: 1,
            others: 0,
            effect: 0.0,
            statistic: 0.0,
        },
        source: Source::Profiler("ncu".to_owned()),
        age: 0,
        credit: 0.5,
        followed: 0,
        better: 0,
    };
    // B makes no difference to the outcome, so only the advice speaks for a value of it.
    let proposals = |with: bool| {
        let settings = settings(Preset::Insight, Budget::trials(60));
        let mut campaign = Campaign::single("k", large(), settings, 6);
        if with {
            campaign.add_insights(0, &advice.source, None, vec![advice.clone()]);
            let told = campaign.information(0).unwrap().to_string();
            assert!(told.contains("occupancy is limited by registers [set B=w; profiler ncu"));
        }
        let mut proposals = Vec::new();
        while let Ask::Propose(mut proposal) = campaign.ask() {
            let chosen = proposal.params.insert("B".to_owned(), Value::from("x"));
            let outcome = evaluate(&proposal, Objective::Smooth);
            proposal
                .params
                .extend(chosen.map(|chosen| ("B".to_owned(), chosen)));
            campaign
                .tell(proposal.trial, &outcome, Cost::default())
                .unwrap();
            proposals.push(proposal);
        }
        proposals
    };
    let named = |proposal: &Proposal| {
        proposal
            .origin
            .insights
            .iter()
            .any(|insight| insight.id == "profiler:occupancy")
    };
    let followed: Vec<Proposal> = proposals(true).into_iter().filter(&named).collect();
    assert!(!followed.is_empty());
    let chosen = Some(&Value::from("w"));
    assert!(
        followed.iter().all(|each| each.params.get("B") == chosen),
        "{followed:?}"
    );
    assert!(!proposals(false).iter().any(named));
}

/// What a proposer is told, in words; the four presets differ in it as their table says.
#[test]
fn information_reads_well_and_is_withheld_by_preset() {
    let told = |preset| {
        let mut campaign =
            Campaign::single("tiled", small(), settings(preset, Budget::trials(14)), 1);
        campaign.add_notes(0, vec!["attention, S=512, on 8 cores".to_owned()]);
        tell_all(&mut campaign, Objective::Smooth);
        campaign.information(0).unwrap().to_string()
    };
    insta::assert_snapshot!("told_random", told(Preset::Random));
    insta::assert_snapshot!("told_free", told(Preset::Free));
    let (insight, full) = (told(Preset::Insight), told(Preset::Full));
    assert!(insight.contains("Insights:") && !insight.contains("Solutions so far"));
    insta::assert_snapshot!("told_full", full);
}

#[test]
fn what_is_named_to_start_with_follows_the_first_proposal_of_every_preset() {
    let space = constrained();
    let valid: Vec<_> = space.iter_valid().collect();
    let [first, second] = [&valid[valid.len() / 2], valid.last().unwrap()];
    for preset in Preset::ALL {
        let mut campaign =
            Campaign::single("k", constrained(), settings(preset, Budget::trials(4)), 1);
        // What was proposed already is not proposed again.
        let default = space.default_config();
        campaign.start_with(0, vec![default, first.clone(), second.clone()]);
        let proposals: Vec<Proposal> = (0..4).map(|_| propose(&mut campaign)).collect();
        let all: Vec<_> = proposals.iter().map(|it| it.params.clone()).collect();
        assert_ne!(proposals[0].origin.operator, "start", "{preset:?}");
        assert_eq!(proposals[1].origin.operator, "start", "{preset:?}");
        for config in [first, second] {
            let params = space.to_params(config);
            assert_eq!(
                all.iter().filter(|it| **it == params).count(),
                1,
                "{preset:?}"
            );
        }
        let place = |config| all.iter().position(|it| *it == space.to_params(config));
        assert!(place(first) < place(second), "{preset:?}");
    }
}

/// The operators of the first proposals in a space of many parameters, with so many configurations
/// named to start with.
fn operators_after_starts(starts: usize) -> Vec<String> {
    let params: Vec<String> = (0..20)
        .map(|place| format!("(name: \"P{place}\", values: [1, 2, 3])"))
        .collect();
    let text = format!("(name: \"many\", params: [{}])", params.join(", "));
    let space = parse(&text);
    let named: Vec<_> = space.iter_valid().skip(1).take(starts).collect();
    let settings = settings(Preset::Full, Budget::trials(30));
    let mut campaign = Campaign::single("k", space, settings, 1);
    campaign.start_with(0, named);
    let one = |campaign: &mut Campaign| {
        let proposal = propose(campaign);
        let outcome = evaluate(&proposal, Objective::Smooth);
        campaign
            .tell(proposal.trial, &outcome, Cost::default())
            .unwrap();
        proposal.origin.operator
    };
    (0..30).map(|_| one(&mut campaign)).collect()
}

#[test]
fn a_search_goes_on_around_what_it_starts_with() {
    let designed = |operators: &[String]| {
        let mut design = operators.iter().filter(|name| *name == "initial design");
        design.by_ref().count()
    };
    // A trial for each parameter, the default among them.
    assert_eq!(designed(&operators_after_starts(0)), 19);
    // The usual six, with the default and two named ones among them.
    assert_eq!(designed(&operators_after_starts(2)), 3);
    assert_eq!(designed(&operators_after_starts(8)), 0);
}

/// Speed costs energy along `A`; `B` only costs.
fn trade_off(proposal: &Proposal) -> (f64, f64) {
    let value = |name: &str| proposal.params[name].as_float().unwrap();
    let (a, b) = (value("A"), value("B"));
    (33.0 - a + b, a + b)
}

/// A search for the front of time and energy; the proposals in order.
fn search_front(preset: Preset, ahead: usize, trials: usize) -> (Campaign, Vec<ReplayStep>) {
    let space = parse(
        "(name: \"t\", params: [(name: \"A\", range: (from: 1, to: 32)), (name: \"B\", range: (from: 1, to: 8))])",
    );
    let ranking = Ranking::Front {
        metrics: vec![Ranked::lower("time"), Ranked::lower("energy")],
    };
    let mut settings = settings(preset, Budget::default());
    settings.ranking = ranking;
    let mut campaign = Campaign::single("k", space, settings, 4);
    let mut steps = Vec::new();
    let mut waiting: Vec<Proposal> = Vec::new();
    for _ in 0..trials {
        while waiting.len() < ahead {
            let proposal = propose(&mut campaign);
            steps.push(ReplayStep::Proposed(proposal.clone()));
            waiting.push(proposal);
        }
        let proposal = waiting.remove(0);
        let (time, energy) = trade_off(&proposal);
        let mut outcome = measured(time);
        if let Outcome::Measured(measurement) = &mut outcome {
            measurement.metrics = vec![
                Metric::new("time", "us", Direction::Lower, time),
                Metric::new("energy", "mJ", Direction::Lower, energy),
            ];
        }
        let (trial, cost) = (proposal.trial, Cost::default());
        campaign.tell(trial, &outcome, cost).unwrap();
        steps.push(ReplayStep::Told {
            trial,
            outcome,
            cost,
        });
    }
    (campaign, steps)
}

fn proposals(steps: &[ReplayStep]) -> Vec<&Proposal> {
    let found = steps.iter().filter_map(|step| match step {
        ReplayStep::Proposed(proposal) => Some(proposal),
        _ => None,
    });
    found.collect()
}

#[test]
fn a_search_for_a_front_finds_its_ends_and_its_middle() {
    let (_, steps) = search_front(Preset::Full, 1, 60);
    let found = proposals(&steps);
    let mut on_front: Vec<i64> = found
        .iter()
        .filter(|it| it.params["B"] == Value::Int(1))
        .filter_map(|it| it.params["A"].as_int())
        .collect();
    on_front.sort_unstable();
    assert!(on_front.len() >= 12, "{on_front:?}");
    let (least, most) = (on_front[0], on_front[on_front.len() - 1]);
    assert!(least <= 2 && most >= 31, "{on_front:?}");
    assert!(
        on_front.iter().any(|a| (10..24).contains(a)),
        "{on_front:?}"
    );
}

#[test]
fn a_search_for_a_front_repeats_nothing_and_is_the_same_every_time() {
    for preset in Preset::EVO_ENGINEER {
        for ahead in [1, 5] {
            let (campaign, steps) = search_front(preset, ahead, 40);
            let mut ids: Vec<&str> = proposals(&steps).iter().map(|it| it.id.as_str()).collect();
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), count, "{preset}: a proposal was made twice");
            let (_, again) = search_front(preset, ahead, 40);
            assert_eq!(steps, again, "{preset}");
            // Folding the record gives the same campaign.
            let (mut folded, _) = search_front(preset, 1, 0);
            folded.replay(steps).unwrap();
            assert_eq!(folded.state(), campaign.state(), "{preset}");
        }
    }
}
