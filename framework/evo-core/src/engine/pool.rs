//! The pool of drafts among which the model chooses.

use std::collections::BTreeSet;

use super::operators::{Context, Draft};
use crate::space::Config;

/// Distinct drafts that were not proposed before, with the operators that made them.
#[derive(Default)]
pub(crate) struct Pool {
    pub(crate) drafts: Vec<(&'static str, Draft)>,
    known: BTreeSet<Config>,
}

impl Pool {
    /// Takes a draft in, unless it is known.
    pub(crate) fn add(&mut self, context: &Context<'_>, operator: &'static str, draft: Draft) {
        if context.is_new(&draft.config) && self.known.insert(draft.config.clone()) {
            self.drafts.push((operator, draft));
        }
    }
}
