//! What a compiled library says of itself.

use evo_plugin::{Direction, Metric};
use object::{Object as _, ObjectSection as _, SectionKind};

/// Sizes of the machine code, of constants and of writable data; none where the bytes are no
/// object file.
pub(crate) fn figures(bytes: &[u8]) -> Vec<Metric> {
    let Ok(file) = object::File::parse(bytes) else {
        return Vec::new();
    };
    let size = |wanted: &[SectionKind]| -> f64 {
        let sections = file.sections();
        let sizes = sections.filter(|it| wanted.contains(&it.kind()));
        sizes.map(|section| section.size()).sum::<u64>() as f64
    };
    let figure = |name, value| Metric::new(name, "B", Direction::Info, value);
    vec![
        figure("code_bytes", size(&[SectionKind::Text])),
        figure(
            "constant_bytes",
            size(&[SectionKind::ReadOnlyData, SectionKind::ReadOnlyString]),
        ),
        figure(
            "data_bytes",
            size(&[SectionKind::Data, SectionKind::UninitializedData]),
        ),
    ]
}
