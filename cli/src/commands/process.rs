//! What `run` and `exec` share about processes.

use std::{env::VarError, path::PathBuf};

use anyhow::{Context, bail};
use clap::Parser;

/// Environment variables.
#[derive(Debug, Clone, Default, Parser)]
pub(super) struct EnvArgs {
    /// Set an environment variable: NAME=VALUE, or NAME for this process's own value
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file, one a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

impl EnvArgs {
    /// Files first, then flags, as `NAME=VALUE`; `NAME` alone for one that is to be removed.
    pub(super) fn all(&self) -> anyhow::Result<Vec<String>> {
        let mut all = Vec::new();
        for path in &self.env_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the environment file {}", path.display()))?;
            for line in text.trim_start_matches('\u{feff}').lines() {
                let line = line.trim_start();
                if !line.is_empty() && !line.starts_with('#') {
                    all.push(own_value(line)?);
                }
            }
        }
        for variable in &self.env {
            all.push(own_value(variable)?);
        }
        Ok(all)
    }
}

fn own_value(variable: &str) -> anyhow::Result<String> {
    let name = variable.split('=').next().unwrap_or_default();
    if name.is_empty() || name.contains(char::is_whitespace) {
        bail!("{variable:?} sets no environment variable; write NAME=VALUE");
    }
    if variable.contains('=') {
        return Ok(variable.into());
    }
    match std::env::var(variable) {
        Ok(value) => Ok(format!("{variable}={value}")),
        Err(VarError::NotPresent) => Ok(variable.into()),
        Err(VarError::NotUnicode(_)) => {
            bail!("the value of {variable} is not UTF-8; set another one with {variable}=VALUE")
        }
    }
}

/// Labels written as `KEY=VALUE` or `KEY`.
pub(super) fn labels<T: FromIterator<(String, String)>>(texts: &[String]) -> T {
    let label = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    texts.iter().map(label).collect()
}

/// An exit status as this process can have it.
pub(super) fn status(code: i32) -> u8 {
    code.clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_before_flags_and_comments_are_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("env");
        std::fs::write(&file, "# a comment\n\nA=from file\n  B= spaces kept\n").unwrap();
        let args = EnvArgs { env: vec!["A=from flag".into()], env_file: vec![file] };
        assert_eq!(args.all().unwrap(), ["A=from file", "B= spaces kept", "A=from flag"]);
        let bad = EnvArgs { env: vec!["=x".into()], env_file: vec![] };
        assert!(bad.all().is_err());
    }
}
