//! Interim.
pub(crate) fn render(space: &evo_core::space::Space) -> String {
    format!("{}\n", space.name())
}
