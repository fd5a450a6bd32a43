//! The ledger of insights: what is believed now, how old it is, and whether following it paid.

use std::collections::BTreeMap;

use super::{INITIAL_CREDIT, Insight, Scope, Source};

/// How fast old experience with an insight is forgotten.
const FORGETTING: f64 = 0.15;
/// The greatest number of insights from statistics that are kept: more would bury the strong ones.
const MOST: usize = 24;

/// Age and credit outlive an insight: one that comes back is not new.
#[derive(Debug, Clone, Copy)]
struct Standing {
    born: u64,
    credit: f64,
    followed: u64,
    better: u64,
}

/// All insights of a candidate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    derived: Vec<Insight>,
    /// By identity and the solution that they are about: several may have the same advice.
    external: BTreeMap<(String, Option<u64>), Insight>,
    standing: BTreeMap<String, Standing>,
    /// What was followed at least once, in the words of the last time.
    tried: BTreeMap<String, Insight>,
}

impl Ledger {
    /// Replaces the insights from statistics. `now` counts the outcomes told.
    pub(crate) fn refresh(&mut self, mut derived: Vec<Insight>, now: u64) {
        derived.sort_by(|a, b| {
            b.strength
                .total_cmp(&a.strength)
                .then_with(|| a.id.cmp(&b.id))
        });
        // Interactions are few by themselves, and have places of their own.
        let mut places = MOST;
        derived.retain(|insight| {
            let counts = matches!(insight.scope, Scope::Space);
            let has_place = !counts || places > 0;
            places = places.saturating_sub(usize::from(counts));
            has_place
        });
        for insight in &derived {
            self.enter(insight, now);
        }
        self.derived = derived;
    }

    /// Takes what a source says now in the place of what it said before: of the solution of a trial, or of
    /// the whole space. What it said of solutions that are not kept any more goes as well. Age and credit
    /// stay with the identity of an insight, so that advice that did not pay is known when it comes again.
    pub(crate) fn replace(
        &mut self,
        source: &Source,
        about: Option<u64>,
        insights: Vec<Insight>,
        kept: impl Fn(u64) -> bool,
        now: u64,
    ) {
        self.external.retain(|(_, of), insight| {
            let stands = *of != about && of.is_none_or(&kept);
            insight.source != *source || stands
        });
        for insight in insights {
            self.enter(&insight, now);
            self.external.insert((insight.id.clone(), about), insight);
        }
    }

    fn enter(&mut self, insight: &Insight, now: u64) {
        let fresh = Standing {
            born: now,
            credit: INITIAL_CREDIT,
            followed: 0,
            better: 0,
        };
        self.standing.entry(insight.id.clone()).or_insert(fresh);
    }

    /// Pays an insight, or lets it pay, by the reward of a proposal that followed it; `better` says whether
    /// that was better than the solution that it changed.
    pub(crate) fn reward(&mut self, id: &str, reward: f64, better: bool) {
        if let Some(standing) = self.standing.get_mut(id) {
            standing.credit += FORGETTING * (reward.clamp(0.0, 1.0) - standing.credit);
            standing.followed += 1;
            standing.better += u64::from(better);
        }
        let said = self.derived.iter().find(|insight| insight.id == id);
        let mut external = self.external.values();
        if let Some(said) = said.or_else(|| external.find(|insight| insight.id == id)) {
            self.tried.insert(id.to_owned(), said.clone());
        }
    }

    /// Those that were followed and that nobody says any more, the most followed first.
    pub(crate) fn withdrawn(&self, now: u64) -> Vec<Insight> {
        let said = |id: &String| {
            let mut said = self.external.values().chain(&self.derived);
            said.any(|it| it.id == *id)
        };
        let gone = self.tried.iter().filter(|(id, _)| !said(id));
        let mut gone: Vec<Insight> = gone.map(|(_, it)| self.as_it_stands(it, now)).collect();
        gone.sort_by(|a, b| b.followed.cmp(&a.followed).then_with(|| a.id.cmp(&b.id)));
        gone
    }

    fn as_it_stands(&self, insight: &Insight, now: u64) -> Insight {
        let mut insight = insight.clone();
        if let Some(standing) = self.standing.get(&insight.id) {
            insight.age = now.saturating_sub(standing.born);
            insight.credit = standing.credit;
            insight.followed = standing.followed;
            insight.better = standing.better;
        }
        insight
    }

    /// All insights with their age and credit, the most influential first.
    pub(crate) fn current(&self, now: u64) -> Vec<Insight> {
        let mut current: Vec<Insight> = self
            .derived
            .iter()
            .chain(self.external.values())
            .map(|insight| self.as_it_stands(insight, now))
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
    use super::super::{Action, Evidence, Lever};
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
            followed: 0,
            better: 0,
        }
    }

    #[test]
    fn credit_grows_when_advice_pays_decays_otherwise_and_survives_a_refresh() {
        let mut ledger = Ledger::default();
        ledger.refresh(vec![insight("a", 0.5), insight("b", 0.5)], 3);
        for _ in 0..5 {
            ledger.reward("a", 1.0, true);
            ledger.reward("b", 0.0, false);
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
        assert_eq!((current[0].followed, current[0].better), (5, 5));
        assert_eq!((current[1].followed, current[1].better), (5, 0));
    }

    #[test]
    fn what_was_followed_is_remembered_when_nobody_says_it_any_more() {
        let mut ledger = Ledger::default();
        ledger.refresh(vec![insight("a", 0.5), insight("b", 0.5)], 3);
        ledger.reward("a", 1.0, true);
        assert_eq!(ledger.withdrawn(4), []);
        ledger.refresh(Vec::new(), 5);
        let gone = ledger.withdrawn(6);
        let words: Vec<_> = gone
            .iter()
            .map(|it| (it.id.as_str(), it.followed, it.better, it.age))
            .collect();
        assert_eq!(words, [("a", 1, 1, 3)]);
        ledger.refresh(vec![insight("a", 0.5)], 7);
        assert_eq!(ledger.withdrawn(8), []);
    }

    #[test]
    fn outside_insights_stay_until_their_source_says_something_else() {
        let of = |id: &str, source: Source| Insight {
            source,
            ..insight(id, 0.9)
        };
        let profiler = || Source::Profiler("p".to_owned());
        let mut ledger = Ledger::default();
        let all = |_| true;
        ledger.replace(&profiler(), Some(1), vec![of("p", profiler())], all, 0);
        ledger.replace(
            &Source::Build,
            Some(1),
            vec![of("b", Source::Build)],
            all,
            0,
        );
        ledger.refresh(Vec::new(), 4);
        assert_eq!(ledger.current(4).len(), 2);
        ledger.reward("p", 0.0, false);
        ledger.replace(&profiler(), Some(1), Vec::new(), all, 5);
        let ids = |ledger: &Ledger| -> Vec<String> {
            ledger.current(6).into_iter().map(|it| it.id).collect()
        };
        assert_eq!(ids(&ledger), ["b"]);
        ledger.replace(&profiler(), Some(1), vec![of("p", profiler())], all, 6);
        assert_eq!(
            ids(&ledger),
            ["b", "p"],
            "what did not pay comes back behind"
        );
        assert!(ledger.current(6)[1].credit < 0.5);
        // Of another solution it says something else, until the first is not kept any more.
        ledger.replace(&profiler(), Some(2), vec![of("q", profiler())], all, 7);
        assert_eq!(ids(&ledger), ["b", "q", "p"]);
        ledger.replace(&profiler(), Some(3), Vec::new(), |trial| trial == 2, 8);
        assert_eq!(ids(&ledger), ["b", "q"]);
        // What it says of the whole space stands beside, and is replaced by itself.
        ledger.replace(&profiler(), None, vec![of("s", profiler())], all, 9);
        assert_eq!(ids(&ledger), ["b", "q", "s"]);
        ledger.replace(&profiler(), None, Vec::new(), all, 10);
        assert_eq!(ids(&ledger), ["b", "q"]);
    }
}
