//! evo-worker
