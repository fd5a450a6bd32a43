//! The functions of a plugin, and what of the host each may use.

/// A function of a plugin: its name, and what of the host it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Accept,
    Build,
    Load,
    WorkspaceSize,
    Bind,
    Launch,
    Prepare,
    Resolve,
    Fill,
    Reference,
    Open,
    MakeSpace,
    Evaluate,
    Probe,
    Profile,
}

impl Function {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Build => "build",
            Self::Load => "load",
            Self::WorkspaceSize => "workspace_size",
            Self::Bind => "bind",
            Self::Launch => "launch",
            Self::Prepare => "prepare",
            Self::Resolve => "resolve",
            Self::Fill => "fill",
            Self::Reference => "reference",
            Self::Open => "open",
            Self::MakeSpace => "make_space",
            Self::Evaluate => "evaluate",
            Self::Probe => "probe",
            Self::Profile => "profile",
        }
    }

    /// Whether a function of the host has a meaning here.
    pub(crate) fn may(self, what: Offer) -> bool {
        match what {
            Offer::Write => matches!(self, Self::Build | Self::Resolve | Self::MakeSpace),
            Offer::Metric => matches!(self, Self::Build | Self::Evaluate | Self::Profile),
            Offer::LaunchParam => self == Self::Build,
            Offer::Cost => self == Self::Evaluate,
        }
    }
}

/// What the host offers beside messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Offer {
    Write,
    Metric,
    LaunchParam,
    Cost,
}
