//! evo-report
