//! evo-run
