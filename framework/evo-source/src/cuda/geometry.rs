//! Launch geometry from the description.

use evo_bundle::source::{Description, Expr};
use evo_cuda::LaunchConfig;
use evo_plugin::{Error, Params, Value};

use crate::values;

/// The greatest extents of a grid, by CUDA's specification for every architecture.
const LARGEST_GRID: [u32; 3] = [i32::MAX as u32, 65_535, 65_535];
/// Threads of a block, for devices that do not tell.
const MOST_THREADS: i64 = 1024;

/// The geometry for a configuration.
///
/// # Errors
/// `Rejected` where an extent makes no sense or is more than the device has.
pub(super) fn of(description: &Description, known: &Params) -> Result<LaunchConfig, Error> {
    let Some(launch) = &description.launch else {
        return Err(Error::Rejected(
            "the description has no `launch`".to_owned(),
        ));
    };
    let grid = extents(description, &launch.grid, known)?;
    let block = extents(description, &launch.block, known)?;
    let cluster = match launch.cluster.is_empty() {
        true => None,
        false => Some(extents(description, &launch.cluster, known)?),
    };
    let shared_bytes = match &launch.shared {
        Some(expr) => u32::try_from(values::size(description, expr, known, 0)?)
            .map_err(|_| Error::Rejected(format!("`{}` is too large", expr.text())))?,
        None => 0,
    };
    let config = LaunchConfig {
        grid,
        block,
        shared_bytes,
        cluster,
        early: false,
    };
    check(&config, known)?;
    Ok(config)
}

fn extents(description: &Description, exprs: &[Expr], known: &Params) -> Result<[u32; 3], Error> {
    let mut extents = [1; 3];
    for (extent, expr) in extents.iter_mut().zip(exprs) {
        let size = values::size(description, expr, known, 1)?;
        *extent = u32::try_from(size)
            .map_err(|_| Error::Rejected(format!("`{}` is {size}: too large", expr.text())))?;
    }
    Ok(extents)
}

/// What is known without the kernel's own figures.
fn check(config: &LaunchConfig, known: &Params) -> Result<(), Error> {
    let fact = |name: &str| known.get(name).and_then(Value::as_int);
    let extents = config.block.iter().map(|it| i64::from(*it));
    let threads = extents.fold(1, i64::saturating_mul);
    let most = fact("MAX_THREADS_PER_BLOCK").unwrap_or(MOST_THREADS);
    if threads > most {
        return Err(Error::Rejected(format!(
            "a block has {threads} threads, and the device takes {most}"
        )));
    }
    for (extent, most) in config.grid.iter().zip(LARGEST_GRID) {
        if *extent > most {
            return Err(Error::Rejected(format!(
                "the grid is {:?}, and CUDA takes {LARGEST_GRID:?}",
                config.grid
            )));
        }
    }
    if let Some(most) = fact("SMEM_BYTES").filter(|most| i64::from(config.shared_bytes) > *most) {
        return Err(Error::Rejected(format!(
            "the launch asks for {} bytes of shared memory, and a block of the device has {most}",
            config.shared_bytes
        )));
    }
    if let Some(cluster) = config.cluster {
        let uneven = config
            .grid
            .iter()
            .zip(cluster)
            .any(|(a, b)| !a.is_multiple_of(b));
        if uneven {
            return Err(Error::Rejected(format!(
                "the grid {:?} is no multiple of the cluster {cluster:?}",
                config.grid
            )));
        }
    }
    Ok(())
}

/// The geometry as part of the execution's identity.
pub(super) fn params(config: &LaunchConfig) -> Params {
    let mut all: Vec<(String, u32)> = vec![("shared_bytes".to_owned(), config.shared_bytes)];
    let mut add = |what: &str, extents: [u32; 3]| {
        for (axis, extent) in ["x", "y", "z"].into_iter().zip(extents) {
            all.push((format!("{what}_{axis}"), extent));
        }
    };
    add("grid", config.grid);
    add("block", config.block);
    if let Some(cluster) = config.cluster {
        add("cluster", cluster);
    }
    let int = |(name, value): (String, u32)| (name, Value::Int(i64::from(value)));
    all.into_iter().map(int).collect()
}

/// The geometry out of the execution's identity.
///
/// # Errors
/// Where it is not the identity of a CUDA execution.
pub(super) fn from_params(params: &Params) -> Result<LaunchConfig, Error> {
    let number = |name: &str| {
        let value = params.get(name).and_then(Value::as_int);
        value
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| Error::Failed(format!("the artifact's launch has no `{name}`")))
    };
    let extents = |what: &str| -> Result<[u32; 3], Error> {
        Ok([
            number(&format!("{what}_x"))?,
            number(&format!("{what}_y"))?,
            number(&format!("{what}_z"))?,
        ])
    };
    Ok(LaunchConfig {
        grid: extents("grid")?,
        block: extents("block")?,
        shared_bytes: number("shared_bytes")?,
        cluster: match params.contains_key("cluster_x") {
            true => Some(extents("cluster")?),
            false => None,
        },
        early: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometry_survives_the_artifact() {
        for cluster in [None, Some([2, 1, 1])] {
            let config = LaunchConfig {
                grid: [4, 2, 1],
                block: [32, 8, 1],
                shared_bytes: 4096,
                cluster,
                early: false,
            };
            assert_eq!(from_params(&params(&config)).unwrap(), config);
        }
        assert!(from_params(&Params::new()).is_err());
    }

    #[test]
    fn what_the_device_does_not_have_is_refused() {
        let config = |grid, block, shared_bytes| LaunchConfig {
            grid,
            block,
            shared_bytes,
            cluster: None,
            early: false,
        };
        let known = Params::from([("SMEM_BYTES".to_owned(), Value::Int(1000))]);
        assert!(check(&config([1; 3], [1024, 1, 1], 1000), &known).is_ok());
        assert!(check(&config([1; 3], [1024, 2, 1], 0), &known).is_err());
        // Whose product is 2^64: no number of threads wraps around to a small one.
        assert!(check(&config([1; 3], [1 << 31, 1 << 31, 4], 0), &known).is_err());
        assert!(check(&config([1; 3], [1; 3], 1001), &known).is_err());
        assert!(check(&config([1, 65_536, 1], [1; 3], 0), &known).is_err());
        let clusters = LaunchConfig {
            cluster: Some([2, 1, 1]),
            ..config([3, 1, 1], [32, 1, 1], 0)
        };
        assert!(check(&clusters, &known).is_err());
    }
}
