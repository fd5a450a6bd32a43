//! evo-core
