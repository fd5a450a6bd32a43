//! evo-plugin
