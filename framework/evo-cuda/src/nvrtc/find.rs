//! Where NVRTC and the toolkit's headers may be.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Names of the library, the preferred version first.
pub(super) const LIBRARIES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc.so.12"];
/// Folders of a Python environment's packages that hold the library.
const WHEELS: [&str; 3] = [
    "nvidia/cu13/lib",
    "nvidia/cuda_nvrtc/lib",
    "nvidia/cu12/lib",
];
/// A header that every toolkit has.
const HEADER: &str = "cuda_fp16.h";

/// The places to look in; separate from the environment, so that it can be tested.
#[derive(Debug, Default, Clone)]
pub(super) struct Search {
    /// `EVO_NVRTC`: a file, or the folder of a toolkit, of a Python environment or its packages, or
    /// of the library itself. Where it is given, nothing else is looked at.
    pub(super) given: Option<PathBuf>,
    /// Roots of CUDA toolkits.
    pub(super) toolkits: Vec<PathBuf>,
    /// Folders of the loader.
    pub(super) loader: Vec<PathBuf>,
    /// Roots of Python environments.
    pub(super) pythons: Vec<PathBuf>,
}

impl Search {
    /// What the environment of this process says.
    pub(super) fn from_environment() -> Self {
        let paths = |name: &str| -> Vec<PathBuf> {
            let value = env::var_os(name).unwrap_or_default();
            env::split_paths(&value)
                .filter(|path| path.is_absolute())
                .collect()
        };
        let mut toolkits = paths("CUDA_HOME");
        toolkits.extend(paths("CUDA_PATH"));
        toolkits.extend(installed_toolkits(Path::new("/usr/local")));
        let mut loader = paths("LD_LIBRARY_PATH");
        let system = [
            "lib/x86_64-linux-gnu",
            "lib/aarch64-linux-gnu",
            "lib64",
            "lib",
        ];
        loader.extend(system.iter().map(|folder| Path::new("/usr").join(folder)));
        let mut pythons = paths("VIRTUAL_ENV");
        pythons.extend(paths("CONDA_PREFIX"));
        // `bin/python3` on the path belongs to the environment around it.
        pythons.extend(paths("PATH").iter().filter_map(|folder| {
            let holds = folder.join("python3").exists();
            holds
                .then(|| folder.parent().map(Path::to_path_buf))
                .flatten()
        }));
        pythons.extend(paths("HOME").iter().map(|home| home.join(".local")));
        Self {
            given: env::var_os("EVO_NVRTC")
                .filter(|it| !it.is_empty())
                .map(PathBuf::from),
            toolkits,
            loader,
            pythons,
        }
    }

    /// The folders that may hold the library, in the order in which they are looked at.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        if let Some(given) = &self.given {
            folders.extend(in_toolkit(given));
            let packages = site_packages(given);
            for packages in packages.iter().chain([given]) {
                folders.extend(WHEELS.iter().map(|wheel| packages.join(wheel)));
            }
            return folders;
        }
        self.toolkits
            .iter()
            .for_each(|root| folders.extend(in_toolkit(root)));
        folders.extend(self.loader.iter().cloned());
        for root in &self.pythons {
            for packages in site_packages(root) {
                folders.extend(WHEELS.iter().map(|wheel| packages.join(wheel)));
            }
            // Conda keeps the library with the environment's own.
            folders.push(root.join("lib"));
        }
        let mut seen = std::collections::HashSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        folders
    }

    /// The library, if it is in one of the places.
    pub(super) fn library(&self) -> Option<PathBuf> {
        if let Some(file) = self.given.as_ref().filter(|path| path.is_file()) {
            return Some(file.clone());
        }
        let folders = self.folders();
        let files = folders
            .iter()
            .flat_map(|folder| LIBRARIES.map(|name| folder.join(name)));
        files.into_iter().find(|file| file.is_file())
    }

    /// Folders with the toolkit's headers for a library: those beside it, else the first found
    /// elsewhere; empty where there are none.
    pub(super) fn includes(&self, library: &Path) -> Vec<PathBuf> {
        let real = fs::canonicalize(library).unwrap_or_else(|_| library.to_path_buf());
        let mut places: Vec<PathBuf> = real
            .ancestors()
            .skip(1)
            .take(1)
            .map(PathBuf::from)
            .collect();
        places.extend(self.folders());
        // Where only the library was pointed at, the headers may still be installed elsewhere.
        let elsewhere = Self {
            given: None,
            ..self.clone()
        };
        places.extend(elsewhere.folders());
        places
            .iter()
            .map(|folder| headers_beside(folder))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }
}

/// `cuda`, `cuda-13`, `cuda-13.0`, ...: the plain name first, then the newest.
fn installed_toolkits(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            name == "cuda" || name.starts_with("cuda-")
        })
        .collect();
    let version = |path: &PathBuf| -> Vec<u32> {
        let name = path.to_string_lossy();
        let digits = name.rsplit_once("cuda-").map_or("", |(_, digits)| digits);
        digits
            .split('.')
            .filter_map(|part| part.parse().ok())
            .collect()
    };
    found.sort_by_key(version);
    found.reverse();
    found.sort_by_key(|path| !path.ends_with("cuda"));
    found
}

/// The folders of a toolkit, or of a folder that holds the library itself.
fn in_toolkit(root: &Path) -> [PathBuf; 5] {
    [
        root.to_path_buf(),
        root.join("lib64"),
        root.join("lib"),
        root.join("targets/x86_64-linux/lib"),
        root.join("targets/sbsa-linux/lib"),
    ]
}

/// Where a Python environment keeps its packages.
fn site_packages(root: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for lib in ["lib", "lib64"] {
        let entries = fs::read_dir(root.join(lib)).into_iter().flatten().flatten();
        let mut versions: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .unwrap_or_default();
                name.starts_with("python3")
            })
            .collect();
        versions.sort();
        for version in versions {
            folders.push(version.join("site-packages"));
            folders.push(version.join("dist-packages"));
        }
    }
    folders
}

/// The header folders that belong to a folder of libraries.
fn headers_beside(libraries: &Path) -> Vec<PathBuf> {
    let Some(root) = libraries.parent() else {
        return Vec::new();
    };
    // A toolkit, or the wheels of CUDA 13, where all share one folder.
    let mut tops = vec![root.join("include")];
    // `/usr/lib/<machine>` and `targets/<machine>/lib`.
    tops.extend(root.parent().map(|above| above.join("include")));
    // The wheels of CUDA 12: one folder for each component.
    let parts = ["cuda_runtime", "cuda_cccl", "cuda_nvcc"];
    let siblings = parts.map(|part| root.with_file_name(part).join("include"));
    if siblings
        .first()
        .is_some_and(|folder| folder.join(HEADER).is_file())
    {
        return siblings
            .into_iter()
            .filter(|folder| folder.is_dir())
            .collect();
    }
    let Some(top) = tops.into_iter().find(|top| top.join(HEADER).is_file()) else {
        return Vec::new();
    };
    let library_collection = top.join("cccl");
    let mut found = vec![top];
    if library_collection.is_dir() {
        found.push(library_collection);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn a_given_place_is_the_only_one_and_may_be_a_file_or_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a/lib/libnvrtc.so.13");
        touch(&file);
        let other = root.path().join("b/lib64/libnvrtc.so.12");
        touch(&other);
        let toolkits = vec![root.path().join("b")];
        let wheel = root
            .path()
            .join("venv/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13");
        touch(&wheel);
        for given in ["venv", "venv/lib/python3.12/site-packages"] {
            let search = Search {
                given: Some(root.path().join(given)),
                ..Search::default()
            };
            assert_eq!(search.library(), Some(wheel.clone()));
        }
        for given in [
            file.clone(),
            root.path().join("a"),
            root.path().join("a/lib"),
        ] {
            let search = Search {
                given: Some(given),
                toolkits: toolkits.clone(),
                ..Search::default()
            };
            assert_eq!(search.library(), Some(file.clone()));
        }
        let wrong = Search {
            given: Some(root.path().join("c")),
            toolkits: toolkits.clone(),
            ..Search::default()
        };
        assert_eq!(wrong.library(), None, "no other place is taken instead");
        let search = Search {
            toolkits,
            ..Search::default()
        };
        assert_eq!(search.library(), Some(other));
    }

    #[test]
    fn wheels_are_found_with_their_headers() {
        let root = tempfile::tempdir().unwrap();
        let nvidia = root.path().join("lib/python3.11/site-packages/nvidia");
        touch(&nvidia.join("cu13/lib/libnvrtc.so.13"));
        touch(&nvidia.join("cu13/include/cuda_fp16.h"));
        touch(&nvidia.join("cu13/include/cccl/cuda/std/version"));
        let search = Search {
            pythons: vec![root.path().to_path_buf()],
            ..Search::default()
        };
        let library = search.library().unwrap();
        assert_eq!(library, nvidia.join("cu13/lib/libnvrtc.so.13"));
        let real = fs::canonicalize(nvidia).unwrap();
        assert_eq!(
            search.includes(&library),
            [real.join("cu13/include"), real.join("cu13/include/cccl")]
        );
    }

    #[test]
    fn wheels_of_cuda_12_keep_headers_in_folders_of_their_own() {
        let root = tempfile::tempdir().unwrap();
        let nvidia = root.path().join("lib/python3.9/dist-packages/nvidia");
        touch(&nvidia.join("cuda_nvrtc/lib/libnvrtc.so.12"));
        touch(&nvidia.join("cuda_runtime/include/cuda_fp16.h"));
        let search = Search {
            pythons: vec![root.path().to_path_buf()],
            ..Search::default()
        };
        let library = search.library().unwrap();
        let real = fs::canonicalize(&nvidia).unwrap();
        assert_eq!(
            search.includes(&library),
            [real.join("cuda_runtime/include")]
        );
    }

    #[test]
    fn the_plain_toolkit_comes_before_the_newest() {
        let root = tempfile::tempdir().unwrap();
        for name in ["cuda-12.9", "cuda", "cuda-13.0", "cuda-9.2", "other"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let names: Vec<_> = installed_toolkits(root.path())
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["cuda", "cuda-13.0", "cuda-12.9", "cuda-9.2"]);
    }

    #[test]
    fn headers_elsewhere_serve_a_library_that_has_none() {
        let root = tempfile::tempdir().unwrap();
        let alone = root.path().join("alone/libnvrtc.so.13");
        touch(&alone);
        touch(&root.path().join("toolkit/include/cuda_fp16.h"));
        let search = Search {
            given: Some(alone.clone()),
            toolkits: vec![root.path().join("toolkit")],
            ..Search::default()
        };
        assert_eq!(search.library(), Some(alone.clone()));
        assert_eq!(
            search.includes(&alone),
            [root.path().join("toolkit/include")]
        );
    }
}
