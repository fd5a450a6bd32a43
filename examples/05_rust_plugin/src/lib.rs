//! The smallest Rust kernel plugin: sums of the columns of a matrix.
use evo_plugin::{BuildRequest, CpuFunction, Error, Io, KernelInfo, Plugin, size};

/// Walks down all rows for a block of columns, then for the next block.
fn column_sums(request: &BuildRequest, io: &mut Io<'_>) -> Result<(), Error> {
    let block = size(&request.config, "BLOCK")?.max(1);
    let (x, mut y) = (io.input(0)?, io.output(0)?);
    let columns = x.shape().last().copied().unwrap_or(1);
    let x = x.as_slice::<f32>()?;
    for (number, sums) in y.as_mut_slice::<f32>()?.chunks_mut(block).enumerate() {
        sums.fill(0.0);
        for row in x.chunks_exact(columns) {
            for (sum, x) in sums.iter_mut().zip(&row[number * block..]) {
                *sum += x;
            }
        }
    }
    Ok(())
}

fn plugin() -> Plugin {
    let info = KernelInfo::new("column_sums", "1", "Sums of columns, block by block")
        .solves("reduction")
        .param("BLOCK", 16, "Columns that are summed together")
        .space(include_str!("../space.ron"));
    let kernel = CpuFunction::new(info, column_sums)
        .only("op", "sum")
        .only("axis", "first")
        .only("dtype", "f32");
    Plugin::new("column-sums", "1.0.0", "The smallest Rust kernel").kernel(kernel)
}
evo_plugin::export!(plugin);
