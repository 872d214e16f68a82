//! Where the program `kiln` is, which machines' processes run.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// This program, if it is kiln; else the one beside a program that uses the library, or in `PATH`.
pub(crate) fn find() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("cannot find this program's own file")?;
    let name = format!("kiln{}", env::consts::EXE_SUFFIX);
    if own.file_name().is_some_and(|own| own == name.as_str()) {
        return Ok(own);
    }
    // Cargo keeps tests and examples one directory below the programs.
    let beside = own.ancestors().skip(1).take(2).map(Path::to_path_buf);
    let path = env::var_os("PATH").unwrap_or_default();
    let found = beside.chain(env::split_paths(&path)).map(|place| place.join(&name));
    let Some(program) = found.into_iter().find(|path| path.is_file()) else {
        bail!(
            "the program kiln is neither beside {} nor in PATH; install it with `cargo install kiln`, or put it there",
            own.display()
        );
    };
    Ok(program)
}
