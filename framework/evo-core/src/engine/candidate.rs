//! The engine of one candidate: proposes configurations of one space and learns from verdicts.
//!
//! Steady state: every verdict changes what the next proposal is told. The random stream of a
//! proposal is chosen by its trial number, so a proposal is a function of the seed, the trial
//! number and the verdicts told before, and an ask that yields nothing changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::history::{Entry, History};
use super::information::{Information, TaskContext};
use super::insights::{self, Guidance, Insight, Ledger, Source};
use super::model::Model;
use super::operators::{Context, Draft, REGISTRY, UNIFORM};
use super::pool::Pool;
use super::population::{Population, Solution};
use super::proposal::{Genotype, Origin, Proposal, identity};
use super::ranking::Verdict;
use super::selection::{OperatorCredit, Selection};
use super::settings::EngineSettings;
use super::strategies::{self, Strategy, Told};
use crate::space::{Config, Radius, Space};

/// Drafts of operators that repeat earlier proposals before uniform sampling takes over.
const ATTEMPTS: usize = 32;
/// Uniform samples that repeat before the space is walked through for what is left.
const SAMPLES: usize = 64;
/// Unproposed configurations that the walk collects before it chooses one of them.
const LEFT_OVER: usize = 1024;
/// Searched parameters above which the initial design has a trial for each, where none is named to start
/// with.
const MANY_PARAMS: usize = 12;
/// Samples from which each point of the initial design is chosen.
const DESIGN_SAMPLES: usize = 24;
/// Insights are refreshed at the latest after this share more outcomes.
const REFRESH_SHARE: u64 = 32;

/// What one candidate's engine knows, for reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CandidateState {
    /// The candidate's name.
    pub candidate: String,
    /// The best solution.
    pub best: Option<Solution>,
    /// The solutions that are kept, best first.
    pub elites: Vec<Solution>,
    /// What is believed, most influential first.
    pub insights: Vec<Insight>,
    /// What proposals have followed and nobody says any more, most followed first.
    pub withdrawn: Vec<Insight>,
    /// What the operators have earned.
    pub operators: Vec<OperatorCredit>,
    /// Proposals made for this candidate.
    pub proposed: u64,
}

/// A draft with its maker.
struct Made {
    operator: &'static str,
    draft: Draft,
    note: String,
}

impl Made {
    fn new(operator: &'static str, draft: Draft, note: &str) -> Self {
        Self {
            operator,
            draft,
            note: note.to_owned(),
        }
    }
}

/// The engine of one candidate.
#[derive(Debug)]
pub(crate) struct Engine {
    index: usize,
    space: Arc<Space>,
    settings: Arc<EngineSettings>,
    rng: ChaCha8Rng,
    information: Information,
    guidance: Guidance,
    history: History,
    population: Population,
    selection: Selection,
    ledger: Ledger,
    /// What proposes instead of the operators, for presets that are classical strategies.
    strategy: Option<Box<dyn Strategy>>,
    /// The model belongs to the insights: without them there is none.
    model: Option<Model>,
    /// The losses of measured solutions, ascending.
    losses: Vec<f64>,
    told: u64,
    /// The number of outcomes at which the insights are refreshed.
    refresh_at: u64,
    /// Configurations that somebody wants tried early, in this order.
    start: Vec<Config>,
    /// Configurations found when the space was walked through for what is left.
    left: Vec<Config>,
    since_best: u64,
    /// The neighbourhoods of the best solutions, by their trials, where a model chooses from them.
    near: BTreeMap<u64, Vec<Config>>,
    exhausted: bool,
}

impl Engine {
    pub(crate) fn new(
        index: usize,
        name: &str,
        space: Arc<Space>,
        settings: Arc<EngineSettings>,
        seed: u64,
    ) -> Self {
        let used = settings.information;
        Self {
            index,
            information: Information {
                used,
                task: TaskContext::new(name, &space, &settings.ranking),
                current: None,
                history: used.history.then(Vec::new),
                insights: Vec::new(),
            },
            guidance: Guidance::new(&space, &[]),
            history: History::default(),
            population: Population::new(settings.population),
            selection: Selection::new(REGISTRY.iter().map(|each| (each.name(), each.prior()))),
            ledger: Ledger::default(),
            strategy: strategies::row(settings.preset)
                .make
                .map(|make| make(&space)),
            model: used.insights.then(|| Model::new(&space, &settings.tuning)),
            losses: Vec::new(),
            told: 0,
            refresh_at: settings.tuning.refresh as u64,
            start: Vec::new(),
            left: Vec::new(),
            since_best: 0,
            near: BTreeMap::new(),
            exhausted: false,
            rng: ChaCha8Rng::seed_from_u64(seed),
            space,
            settings,
        }
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    pub(crate) fn information(&self) -> &Information {
        &self.information
    }

    /// How many of its trials have an outcome.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// How many proposals were made for the candidate.
    pub(crate) fn proposed(&self) -> usize {
        self.history.len()
    }

    pub(crate) fn best_loss(&self) -> Option<f64> {
        self.losses.first().copied()
    }

    pub(crate) fn best(&self) -> Option<&Solution> {
        self.population.best()
    }

    /// The solutions that are kept, best first.
    pub(crate) fn elites(&self) -> &[Solution] {
        self.population.kept()
    }

    pub(crate) fn state(&self) -> CandidateState {
        CandidateState {
            candidate: self.information.task.candidate.clone(),
            best: self.population.best().cloned(),
            elites: self.population.kept().to_vec(),
            insights: self.ledger.current(self.told),
            withdrawn: self.ledger.withdrawn(self.told),
            operators: match &self.strategy {
                Some(strategy) => strategy.credits().to_vec(),
                None => self.selection.credits().to_vec(),
            },
            proposed: self.history.len() as u64,
        }
    }

    pub(crate) fn add_notes(&mut self, notes: Vec<String>) {
        self.information.task.notes.extend(notes);
    }

    pub(crate) fn start_with(&mut self, configs: Vec<Config>) {
        self.start.extend(configs);
    }

    pub(crate) fn add_insights(
        &mut self,
        source: &Source,
        about: Option<u64>,
        insights: Vec<Insight>,
    ) {
        if !self.settings.tuning.diagnoses {
            return;
        }
        let kept = self.population.kept();
        let is_kept = |trial| kept.iter().any(|solution| solution.trial == trial);
        self.ledger
            .replace(source, about, insights, is_kept, self.told);
        self.publish_insights();
    }

    /// Makes the proposal with the given trial number; `None` once everything was proposed.
    pub(crate) fn propose(&mut self, trial: u64) -> Option<Proposal> {
        if self.exhausted {
            return None;
        }
        let mut rng = self.rng.clone();
        rng.set_stream(trial);
        let Some(made) = self.next(&mut rng) else {
            self.exhausted = true;
            return None;
        };
        let draft = made.draft;
        let origin = Origin {
            operator: made.operator.to_owned(),
            note: self.note(&draft, &made.note),
            parents: draft.parents,
            insights: draft.insights,
        };
        let params = self.space.to_params(&draft.config);
        let proposal = Proposal {
            trial,
            candidate: self.index,
            genotype: Genotype::Config(draft.config.choices().to_vec()),
            id: identity(&self.information.task.candidate, &params),
            params,
            origin: origin.clone(),
        };
        self.history.push(trial, draft.config, origin);
        Some(proposal)
    }

    /// Takes in a proposal that another engine of the same candidate has made, so that it is not made
    /// again and its outcome can be learnt.
    pub(crate) fn adopt(&mut self, proposal: &Proposal) {
        if let Ok(config) = self.space.from_params(&proposal.params) {
            self.history
                .push(proposal.trial, config, proposal.origin.clone());
        }
    }

    fn next(&mut self, rng: &mut ChaCha8Rng) -> Option<Made> {
        // Taken out while the context borrows the rest.
        let mut strategy = self.strategy.take();
        let made = self.next_of(strategy.as_deref_mut(), rng);
        self.strategy = strategy;
        made.or_else(|| self.left_over(rng))
    }

    fn next_of(
        &self,
        strategy: Option<&mut (dyn Strategy + 'static)>,
        rng: &mut ChaCha8Rng,
    ) -> Option<Made> {
        let context = self.context();
        if let Some(made) = self.started(&context) {
            return Some(made);
        }
        let guided = if let Some(strategy) = strategy {
            let proposed = strategy.propose(&context, rng);
            let fresh = proposed.filter(|(_, draft)| context.is_new(&draft.config));
            fresh.map(|(name, draft)| Made::new(name, draft, ""))
        } else if !self.information.used.task {
            None
        } else if self.history.len() < self.initial_trials() {
            self.initial(&context, rng)
        } else {
            self.modelled(&context, rng)
                .or_else(|| self.drafted(&context, rng))
        };
        guided.or_else(|| self.unguided(&context, rng))
    }

    fn context(&self) -> Context<'_> {
        let patience = 4.0 * self.space.searched().len().max(1) as f64;
        Context {
            space: &self.space,
            information: &self.information,
            guidance: &self.guidance,
            history: &self.history,
            near: &self.near,
            unrest: (self.since_best as f64 / patience).min(1.0),
        }
    }

    /// The configurations to start with, from the second proposal on: the first is the default, which
    /// everything is compared with.
    fn started(&self, context: &Context<'_>) -> Option<Made> {
        if self.history.len() == 0 {
            return None;
        }
        let mut start = self.start.iter();
        let config = start.find(|config| context.is_new(config))?;
        let draft = Draft::fresh(config.clone());
        Some(Made::new("start", draft, "named to start with"))
    }

    /// How many trials the initial design has: a model of many parameters needs at least as many
    /// trials as these before it knows the effect of any. Whoever names configurations to start with, which
    /// count as trials of the design, knows where to look: the search goes on around these.
    pub(crate) fn initial_trials(&self) -> usize {
        let initial = self.settings.tuning.initial;
        let params = self.space.searched().len();
        if params > MANY_PARAMS && self.start.is_empty() {
            initial.max(params)
        } else {
            initial
        }
    }

    /// The default first, then configurations far from all that were proposed.
    fn initial(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Made> {
        let default = self.space.default_config();
        if self.history.len() == 0 && self.space.is_valid(&default) {
            let draft = Draft::fresh(default);
            return Some(Made::new("default", draft, "the defaults of the space"));
        }
        let mut farthest: Option<(usize, Config)> = None;
        for _ in 0..DESIGN_SAMPLES {
            let sample = self.space.sample(rng);
            if !context.is_new(&sample) {
                continue;
            }
            let entries = self.history.entries().iter();
            let nearest = entries.map(|entry| entry.config.distance(&sample)).min();
            let distance = nearest.unwrap_or(usize::MAX);
            if farthest.as_ref().is_none_or(|(most, _)| distance > *most) {
                farthest = Some((distance, sample));
            }
        }
        let (_, config) = farthest?;
        Some(Made::new("initial design", Draft::fresh(config), ""))
    }

    /// The most promising of many drafts, by the model of the history: at times among the steps
    /// from historical solutions alone.
    fn modelled(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Made> {
        let model = self.model.as_ref()?;
        let mut pool = Pool::default();
        let near = rng.random::<f64>() < self.settings.tuning.near_share && self.has_near(context);
        if !near {
            self.draft_into(&mut pool, context, rng)?;
        }
        // Complete neighbourhoods come last: a step that an insight led to is that insight's.
        for operator in REGISTRY {
            for draft in operator.all(context).unwrap_or_default() {
                pool.add(context, operator.name(), draft);
            }
        }
        let configs: Vec<&Config> = pool.drafts.iter().map(|(_, draft)| &draft.config).collect();
        let choice = model.choose(&self.history, &configs)?;
        let kind = if near { "near " } else { "" };
        let note = format!("chosen by the model among {} {kind}drafts", configs.len());
        let (operator, draft) = pool.drafts.into_iter().nth(choice)?;
        Some(Made {
            operator,
            draft,
            note,
        })
    }

    /// Whether there are new steps from several solutions: around one alone they do not pay.
    fn has_near(&self, context: &Context<'_>) -> bool {
        let mut steps = self.near.values().flatten();
        self.near.len() > 1 && steps.any(|step| context.is_new(step))
    }

    /// Fills a pool with drafts of operators that are drawn by their credit.
    fn draft_into(
        &self,
        pool: &mut Pool,
        context: &Context<'_>,
        rng: &mut ChaCha8Rng,
    ) -> Option<()> {
        let wanted = self.settings.tuning.pool;
        for _ in 0..wanted.saturating_mul(4) {
            let operator = REGISTRY.get(self.selection.draw(rng))?;
            if operator.has_all() {
                continue;
            }
            if let Some(draft) = operator.draft(context, rng) {
                pool.add(context, operator.name(), draft);
                if pool.drafts.len() >= wanted {
                    break;
                }
            }
        }
        Some(())
    }

    /// A draft of one operator, drawn by its credit.
    fn drafted(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Made> {
        for _ in 0..ATTEMPTS {
            let operator = REGISTRY.get(self.selection.draw(rng))?;
            if let Some(draft) = operator.draft(context, rng)
                && context.is_new(&draft.config)
            {
                return Some(Made::new(operator.name(), draft, ""));
            }
        }
        None
    }

    /// Uniform sampling, where it does not only repeat.
    fn unguided(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Made> {
        for _ in 0..SAMPLES {
            if let Some(draft) = UNIFORM.draft(context, rng)
                && context.is_new(&draft.config)
            {
                return Some(Made::new(UNIFORM.name(), draft, ""));
            }
        }
        None
    }

    /// One of the last configurations, found by walking through the space. A walk serves many
    /// proposals.
    fn left_over(&mut self, rng: &mut ChaCha8Rng) -> Option<Made> {
        let history = &self.history;
        self.left.retain(|config| !history.proposed(config));
        if self.left.is_empty() {
            let all = self.space.iter_valid();
            let new = all.filter(|config| !history.proposed(config));
            self.left = new.take(LEFT_OVER).collect();
        }
        let draft = Draft::fresh(self.left.choose(rng)?.clone());
        let note = "one of the last that are left";
        Some(Made::new(UNIFORM.name(), draft, note))
    }

    /// What changed from the first parent, and how the draft was chosen: for people.
    fn note(&self, draft: &Draft, chosen: &str) -> String {
        let parent = draft.parents.first().and_then(|t| self.history.get(*t));
        let changes = parent.map(|parent| describe(&self.space, &parent.config, &draft.config));
        match changes {
            Some(changes) if chosen.is_empty() => changes,
            Some(changes) => format!("{changes}; {chosen}"),
            None => chosen.to_owned(),
        }
    }

    /// Learns what became of a proposal; says whether it is the new best. An execution that
    /// repeats an earlier one teaches the same lesson but earns no operator anything.
    pub(crate) fn learn(
        &mut self,
        trial: u64,
        verdict: Verdict,
        duplicate_of: Option<u64>,
        why: Option<&str>,
    ) -> bool {
        let Some(entry) = self.history.tell(trial, verdict, duplicate_of, why) else {
            return false;
        };
        let (config, origin) = (entry.config.clone(), entry.origin.clone());
        self.told += 1;
        let mut improved = false;
        let mut earned = None;
        if duplicate_of.is_none() {
            let reward = verdict.loss().map_or(0.0, |loss| self.reward(loss));
            earned = Some(reward);
            if let Verdict::Measured { value, loss } = verdict {
                let params = self.space.to_params(&config);
                improved = self.population.offer(Solution {
                    trial,
                    config,
                    params,
                    value,
                    loss,
                });
                let place = self.losses.partition_point(|other| *other < loss);
                self.losses.insert(place, loss);
            }
            self.since_best = if improved { 0 } else { self.since_best + 1 };
            self.selection.reward(&origin.operator, reward, improved);
            let parent = origin.parents.first().and_then(|it| self.history.get(*it));
            let better = match (verdict.loss(), parent.and_then(Entry::loss)) {
                (Some(own), Some(before)) => own < before,
                _ => false,
            };
            for insight in &origin.insights {
                self.ledger.reward(&insight.id, reward, better);
            }
        }
        self.inform();
        if let Some(strategy) = &mut self.strategy
            && let Some(place) = self.history.place(trial)
        {
            let told = Told {
                history: &self.history,
                place,
                trial,
                count: self.told,
                earned: earned.map(|reward| (reward, improved)),
            };
            // The streams of proposals count up from 0; those of outcomes count down.
            let mut rng = self.rng.clone();
            rng.set_stream(u64::MAX - trial);
            strategy.learn(&told, &mut rng);
        }
        if let Some(model) = &mut self.model
            && let Some(place) = self.history.place(trial)
        {
            model.learn(&self.history, place, self.told);
        }
        improved
    }

    /// The cube of the share of earlier solutions that are beaten: a new best earns 1, a median
    /// solution an eighth.
    fn reward(&self, loss: f64) -> f64 {
        let worse = self.losses.len() - self.losses.partition_point(|other| *other <= loss);
        let share = worse as f64 / self.losses.len().max(1) as f64;
        share * share * share
    }

    /// Renews what the next proposal is told.
    fn inform(&mut self) {
        self.look_around();
        let parents = self.population.parents();
        self.information.current = parents.first().cloned();
        if let Some(history) = &mut self.information.history {
            *history = parents.to_vec();
        }
        if self.information.used.insights && self.told >= self.refresh_at {
            // Every refresh reads the whole history: they grow rarer as it grows.
            let refresh = self.settings.tuning.refresh.max(1) as u64;
            self.refresh_at = self.told + refresh.max(self.told / REFRESH_SHARE);
            self.ledger
                .refresh(insights::derive(&self.space, &self.history), self.told);
            self.publish_insights();
        }
    }

    /// Keeps the neighbourhoods of the best parents, each found once.
    fn look_around(&mut self) {
        if self.model.is_none() {
            return;
        }
        let best = self.settings.tuning.neighbourhoods;
        let mut before = std::mem::take(&mut self.near);
        for parent in self.population.parents().iter().take(best) {
            let known = before.remove(&parent.trial);
            let near = known.unwrap_or_else(|| self.space.neighbours(&parent.config, Radius::Any));
            self.near.insert(parent.trial, near);
        }
    }

    fn publish_insights(&mut self) {
        if self.information.used.insights {
            self.information.insights = self.ledger.current(self.told);
            self.guidance = Guidance::new(&self.space, &self.information.insights);
        }
    }
}

/// What changed from a parent, for people: `BLOCK_M 64 -> 128`.
fn describe(space: &Space, parent: &Config, child: &Config) -> String {
    let word = |param: usize, config: &Config| match config.get(param) {
        Some(index) => space.params()[param].value(index).to_string(),
        None => "off".to_owned(),
    };
    let changes: Vec<String> = (0..space.params().len())
        .filter(|param| parent.get(*param) != child.get(*param))
        .map(|param| {
            let name = &space.params()[param].name;
            format!("{name} {} -> {}", word(param, parent), word(param, child))
        })
        .collect();
    changes.join(", ")
}
