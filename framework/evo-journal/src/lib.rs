//! evo-journal
