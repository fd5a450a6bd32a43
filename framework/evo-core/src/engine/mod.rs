//! The EvoEngineer engine (arXiv 2510.03760): ask, tell, steady state.
//!
//! Two separate things make up a search. The *traverse technique* decides what information a
//! proposal gets ([`Information`]) and turns it into a proposal (the operators). *Population
//! management* decides which solutions are kept. A [`Preset`] of the paper is a choice of both;
//! everything else is shared. Further presets are classical strategies, which propose in their own
//! ways, to compare with. [`Campaign`] is the interface.
//!
//! The engine is a fold: proposals are a function of spaces, settings, seed and the outcomes told
//! in order. It has no clock, thread, file or environment, and iterates over nothing whose order
//! is not fixed.

mod budget;
mod campaign;
mod candidate;

mod diagnosis;
mod error;
mod history;
mod information;
mod insights;
mod model;
mod operators;
mod pool;
mod population;
mod proposal;
mod ranking;
mod selection;
mod settings;
mod strategies;

pub use budget::{Budget, Counts, StopReason};
pub use campaign::{Campaign, CampaignState, ReplayStep};
pub use candidate::CandidateState;
pub use diagnosis::{DiagnosedLever, Diagnosis, Findings, diagnose};
pub use error::EngineError;
pub use information::{Information, TaskContext, TaskParam};
pub use insights::{Action, Evidence, Insight, Lever, Scope, Source};
pub use population::Solution;
pub use proposal::{Ask, Cost, Genotype, InsightRef, Origin, Proposal};
pub use ranking::{Ranked, Ranking};
pub use selection::OperatorCredit;
pub use settings::{EngineSettings, InformationUse, PopulationKind, Preset, Tuning, Turns};

/// Changes whenever the proposals for the same spaces, settings, seed and outcomes change. A
/// recorded run is resumed under the same version only.
pub const ENGINE_VERSION: u32 = 6;
