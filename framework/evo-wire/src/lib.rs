//! evo-wire
