//! evo-stats
