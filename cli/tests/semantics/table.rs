//! One row of a table: a call and what is expected of it.

use crate::common::Kiln;

/// A call of `kiln run` or `kiln exec`, and what is expected of it.
pub(crate) struct Case {
    /// What it shows.
    name: &'static str,
    /// Between `run --rm` or `exec` and the image or machine.
    flags: &'static [&'static str],
    /// Tag of the image for `run`; without meaning for `exec`.
    pub(crate) image: &'static str,
    command: &'static [&'static str],
    /// Variables of kiln's own environment.
    host_env: &'static [(&'static str, &'static str)],
    stdin: &'static [u8],
    status: i32,
    stdout: &'static str,
    stderr: Option<&'static str>,
    says: Option<&'static str>,
}

/// A call that ends with status 0 and prints this.
pub(crate) const fn case(
    name: &'static str,
    flags: &'static [&'static str],
    command: &'static [&'static str],
    stdout: &'static str,
) -> Case {
    Case {
        name,
        flags,
        image: "plain",
        command,
        host_env: &[],
        stdin: b"",
        status: 0,
        stdout,
        stderr: None,
        says: None,
    }
}

impl Case {
    pub(crate) const fn image(self, image: &'static str) -> Self {
        Self { image, ..self }
    }

    pub(crate) const fn host_env(self, host_env: &'static [(&'static str, &'static str)]) -> Self {
        Self { host_env, ..self }
    }

    pub(crate) const fn stdin(self, stdin: &'static [u8]) -> Self {
        Self { stdin, ..self }
    }

    pub(crate) const fn status(self, status: i32) -> Self {
        Self { status, ..self }
    }

    /// Standard error of the process, whole.
    pub(crate) const fn stderr(self, stderr: &'static str) -> Self {
        Self { stderr: Some(stderr), ..self }
    }

    /// kiln fails with this status and one sentence in which this occurs.
    pub(crate) const fn fails(self, status: i32, says: &'static str) -> Self {
        Self { status, says: Some(says), ..self }
    }

    /// Makes the call: `before`, the flags, the image or machine, the command. What is wrong with what came of it, if
    /// anything is.
    fn problem(&self, kiln: &Kiln, before: &[&str], on: &str) -> Option<String> {
        let mut args = before.to_vec();
        args.extend(self.flags);
        args.push(on);
        args.extend(self.command);
        let mut command = kiln.command(&args);
        command.envs(self.host_env.iter().copied());
        let output = kiln.finish(command, self.stdin);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let sentence = |part: &str| {
            stderr.starts_with("kiln: ") && stderr.contains(part) && stderr.lines().count() == 1
        };
        let right = output.status.code() == Some(self.status)
            && output.stdout == self.stdout.as_bytes()
            && self.stderr.is_none_or(|expected| stderr == expected)
            && self.says.is_none_or(sentence);
        let expected = (self.status, self.stdout, self.stderr, self.says);
        (!right).then(|| format!("{}: expected {expected:?}, got {output:?}", self.name))
    }
}

/// Checks every case: `before`, the flags, what `on` says, the command.
pub(crate) fn check(kiln: &Kiln, cases: &[Case], before: &[&str], on: impl Fn(&Case) -> String) {
    let problems: Vec<String> =
        cases.iter().filter_map(|case| case.problem(kiln, before, &on(case))).collect();
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), cases.len(), problems.join("\n"));
}
