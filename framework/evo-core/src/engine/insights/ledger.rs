//! The ledger of insights: what is believed now, how old it is, and whether following it paid.

use std::collections::BTreeMap;

use super::{INITIAL_CREDIT, Insight, Source};

/// How fast old experience with an insight is forgotten.
const FORGETTING: f64 = 0.15;
/// The greatest number of insights from statistics that are kept: more would bury the strong ones.
const MOST: usize = 24;

/// Age and credit outlive an insight: one that comes back is not new.
#[derive(Debug, Clone, Copy)]
struct Standing {
    born: u64,
    credit: f64,
}

/// All insights of a candidate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    derived: Vec<Insight>,
    external: BTreeMap<String, Insight>,
    standing: BTreeMap<String, Standing>,
}

impl Ledger {
    /// Replaces the insights from statistics. `now` counts the outcomes told.
    pub(crate) fn refresh(&mut self, mut derived: Vec<Insight>, now: u64) {
        derived.sort_by(|a, b| {
            b.strength
                .total_cmp(&a.strength)
                .then_with(|| a.id.cmp(&b.id))
        });
        derived.truncate(MOST);
        for insight in &derived {
            self.enter(insight, now);
        }
        self.derived = derived;
    }

    /// Takes what a source says now in the place of what it said before. Age and credit stay with the
    /// identity of an insight, so that advice that did not pay is known when it comes again.
    pub(crate) fn replace(&mut self, source: &Source, insights: Vec<Insight>, now: u64) {
        self.external.retain(|_, insight| insight.source != *source);
        for insight in insights {
            self.enter(&insight, now);
            self.external.insert(insight.id.clone(), insight);
        }
    }

    fn enter(&mut self, insight: &Insight, now: u64) {
        let fresh = Standing {
            born: now,
            credit: INITIAL_CREDIT,
        };
        self.standing.entry(insight.id.clone()).or_insert(fresh);
    }

    /// Pays an insight, or lets it pay, by the reward of a proposal that followed it.
    pub(crate) fn reward(&mut self, id: &str, reward: f64) {
        if let Some(standing) = self.standing.get_mut(id) {
            standing.credit += FORGETTING * (reward.clamp(0.0, 1.0) - standing.credit);
        }
    }

    /// All insights with their age and credit, the most influential first.
    pub(crate) fn current(&self, now: u64) -> Vec<Insight> {
        let mut current: Vec<Insight> = self
            .derived
            .iter()
            .chain(self.external.values())
            .map(|insight| {
                let mut insight = insight.clone();
                if let Some(standing) = self.standing.get(&insight.id) {
                    insight.age = now.saturating_sub(standing.born);
                    insight.credit = standing.credit;
                }
                insight
            })
            .collect();
        current.sort_by(|a, b| {
            b.influence()
                .total_cmp(&a.influence())
                .then_with(|| a.id.cmp(&b.id))
        });
        current
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Evidence, Lever, Scope, Source};
    use super::*;

    fn insight(id: &str, strength: f64) -> Insight {
        Insight {
            id: id.to_owned(),
            statement: id.to_owned(),
            lever: Lever {
                param: "A".to_owned(),
                action: Action::Raise,
            },
            scope: Scope::Space,
            strength,
            evidence: Evidence {
                n: 5,
                others: 5,
                effect: -0.1,
                statistic: -3.0,
            },
            source: Source::History,
            age: 0,
            credit: INITIAL_CREDIT,
        }
    }

    #[test]
    fn credit_grows_when_advice_pays_decays_otherwise_and_survives_a_refresh() {
        let mut ledger = Ledger::default();
        ledger.refresh(vec![insight("a", 0.5), insight("b", 0.5)], 3);
        for _ in 0..5 {
            ledger.reward("a", 1.0);
            ledger.reward("b", 0.0);
        }
        ledger.refresh(vec![insight("b", 0.6), insight("a", 0.5)], 9);
        let current = ledger.current(10);
        assert_eq!(
            current[0].id, "a",
            "advice that paid outweighs stronger advice that did not"
        );
        assert!(current[0].credit > 0.7 && current[1].credit < 0.3);
        assert_eq!(current[0].age, 7);
        assert!(current[0].influence() > current[1].influence());
    }

    #[test]
    fn outside_insights_stay_until_their_source_says_something_else() {
        let of = |id: &str, source: Source| Insight {
            source,
            ..insight(id, 0.9)
        };
        let profiler = || Source::Profiler("p".to_owned());
        let mut ledger = Ledger::default();
        ledger.replace(&profiler(), vec![of("p", profiler())], 0);
        ledger.replace(&Source::Build, vec![of("b", Source::Build)], 0);
        ledger.refresh(Vec::new(), 4);
        assert_eq!(ledger.current(4).len(), 2);
        ledger.reward("p", 0.0);
        ledger.replace(&profiler(), Vec::new(), 5);
        let ids = |ledger: &Ledger| -> Vec<String> {
            ledger.current(6).into_iter().map(|it| it.id).collect()
        };
        assert_eq!(ids(&ledger), ["b"]);
        ledger.replace(&profiler(), vec![of("p", profiler())], 6);
        assert_eq!(
            ids(&ledger),
            ["b", "p"],
            "what did not pay comes back behind"
        );
        assert!(ledger.current(6)[1].credit < 0.5);
    }
}
