//! Where the program of a command is.

use std::path::{Path, PathBuf};

use evo_plugin::Error;

/// The file of a program: a name with a `/` in it starts from the folder, any other is looked for
/// where the system looks for programs.
///
/// # Errors
/// `Rejected` where there is none.
pub(crate) fn find(name: &str, folder: &Path) -> Result<PathBuf, Error> {
    if name.contains('/') {
        // Without the `.` of `./name`, which would only stand in messages.
        let path: PathBuf = folder.join(name).components().collect();
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Error::Rejected(format!(
                "there is no program `{}`; the name in `command` starts from the setting `folder`",
                path.display()
            )))
        };
    }
    let list = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&list)
        .map(|place| place.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Error::Rejected(format!(
                "no program is called `{name}` in the folders of PATH; write `./{name}` for one in \
                 the folder of the spec"
            ))
        })
}
