//! What a user asks of a new machine, and what becomes of it together with the image's configuration.

use std::{collections::BTreeMap, path::PathBuf};

use agent::{ProcessSpec, WindowSize};
use anyhow::bail;
use image::{ImageConfig, PullOptions};

use crate::{
    exit::{Exit, KILN_FAILED},
    record::PortMapping,
    signal,
};

/// Docker's search path for an image that sets none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a user asks of a new machine; what is not said comes from the image.
#[derive(Debug, Clone)]
pub struct Options {
    /// The image's reference.
    pub image: String,
    /// The command's arguments, or the command if there is no entry point.
    pub command: Vec<String>,
    /// Replaces the image's entry point and command; an empty one removes it.
    pub entrypoint: Option<String>,
    /// `NAME=VALUE`, or `NAME` to remove one of the image's.
    pub env: Vec<String>,
    /// `NAME|UID[:GROUP|GID]`.
    pub user: Option<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// The guest's host name; default: the machine's short id.
    pub hostname: Option<String>,
    /// The machine's name; default: one is made up.
    pub name: Option<String>,
    /// Guest memory in bytes.
    pub memory: u64,
    /// Virtual processors.
    pub cpus: u32,
    /// A file that holds an ext4 file system, which takes what the machine writes and keeps it; default: guest memory.
    pub writable: Option<PathBuf>,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// Labels, added to the image's.
    pub labels: BTreeMap<String, String>,
    /// Give the process a terminal of this size.
    pub tty: Option<WindowSize>,
    /// Keep standard input open.
    pub stdin: bool,
    /// Standard input ends when the client that gave it goes.
    pub stdin_once: bool,
    /// Remove the machine once it has ended.
    pub auto_remove: bool,
    /// Linux number of the signal that asks the process to end; default: the image's, else SIGTERM.
    pub stop_signal: Option<i32>,
    /// Seconds between that signal and SIGKILL.
    pub stop_timeout: u64,
    /// Seconds that the guest's agent may take to answer.
    pub init_timeout: u64,
    /// When to pull the image.
    pub pull: Pull,
    /// How to pull it.
    pub fetch: PullOptions,
}

/// When to pull an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Pull {
    /// Always look for a newer one
    Always,
    /// Only if it is not here
    #[default]
    Missing,
    /// Never
    Never,
}

impl Options {
    /// Guest memory unless something is said, in bytes.
    pub const DEFAULT_MEMORY: u64 = 1 << 30;

    /// A machine that runs this image as the image wants.
    pub fn new(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            command: Vec::new(),
            entrypoint: None,
            env: Vec::new(),
            user: None,
            workdir: None,
            hostname: None,
            name: None,
            memory: Self::DEFAULT_MEMORY,
            cpus: Self::default_cpus(),
            writable: None,
            ports: Vec::new(),
            labels: BTreeMap::new(),
            tty: None,
            stdin: false,
            stdin_once: false,
            auto_remove: false,
            stop_signal: None,
            stop_timeout: 10,
            init_timeout: 60,
            pull: Pull::Missing,
            fetch: PullOptions::default(),
        }
    }

    /// Virtual processors unless something is said: the host's, at most four.
    pub fn default_cpus() -> u32 {
        std::thread::available_parallelism().map_or(1, |n| n.get().min(4) as u32)
    }

    /// The process that the image and the user want together.
    pub(crate) fn process(
        &self,
        image: &ImageConfig,
        hostname: &str,
    ) -> anyhow::Result<ProcessSpec> {
        let (entrypoint, cmd) = match &self.entrypoint {
            // The user's entry point makes the image's arguments meaningless.
            Some(entrypoint) if entrypoint.is_empty() => (vec![], vec![]),
            Some(entrypoint) => (vec![entrypoint.clone()], vec![]),
            None => (image.entrypoint.clone(), image.cmd.clone()),
        };
        let cmd = if self.command.is_empty() { cmd } else { self.command.clone() };
        let args: Vec<String> = entrypoint.into_iter().chain(cmd).collect();
        if args.first().is_none_or(String::is_empty) {
            bail!(Exit::new(
                KILN_FAILED,
                format!("the image {} names no command; give one behind it", self.image)
            ));
        }
        let mut env = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={hostname}")];
        if self.tty.is_some() {
            env.push("TERM=xterm".into());
        }
        merge_env(&mut env, image.env.clone());
        merge_env(&mut env, self.env.clone());
        Ok(ProcessSpec {
            args,
            env,
            cwd: self.workdir.clone().unwrap_or_else(|| image.working_dir.clone()),
            user: self.user.clone().unwrap_or_else(|| image.user.clone()),
            tty: self.tty,
            stdin: self.stdin,
            ..ProcessSpec::default()
        })
    }

    /// The signal that asks the process to end.
    pub(crate) fn signal(&self, image: &ImageConfig) -> i32 {
        let images = || image.stop_signal.as_deref().and_then(|name| signal::parse(name).ok());
        self.stop_signal.or_else(images).unwrap_or(signal::TERM)
    }
}

/// Adds variables; a later one replaces an earlier one of its name, and a bare name removes it.
pub(crate) fn merge_env(env: &mut Vec<String>, more: Vec<String>) {
    for variable in more {
        let (name, bare) = match variable.split_once('=') {
            Some((name, _)) => (name.to_owned(), false),
            None => (variable.clone(), true),
        };
        let same = |other: &String| other.split('=').next() == Some(&name);
        match env.iter().position(same) {
            Some(at) if bare => drop(env.remove(at)),
            Some(at) => env[at] = variable,
            None if bare => {}
            None => env.push(variable),
        }
    }
}

/// Sets a variable that is not set.
pub(crate) fn default_env(env: &mut Vec<String>, name: &str, value: &str) {
    if !env.iter().any(|variable| variable.split('=').next() == Some(name)) {
        env.push(format!("{name}={value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entrypoint: &[&str], cmd: &[&str]) -> ImageConfig {
        let config = serde_json::json!({
            "os": "linux", "architecture": "arm64",
            "config": { "Entrypoint": entrypoint, "Cmd": cmd, "Env": ["PATH=/bin", "A=image"],
                        "User": "web", "WorkingDir": "/srv", "StopSignal": "SIGQUIT" },
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        ImageConfig::parse(config.to_string().as_bytes()).unwrap()
    }

    fn args(entrypoint: Option<&str>, command: &[&str], image: &ImageConfig) -> Vec<String> {
        let mut options = Options::new("test");
        options.entrypoint = entrypoint.map(Into::into);
        options.command = command.iter().map(|&arg| arg.into()).collect();
        options.process(image, "host").map(|spec| spec.args).unwrap_or_default()
    }

    /// The table of Docker's documentation, "Understand how CMD and ENTRYPOINT interact".
    #[test]
    fn entry_point_and_command_combine_as_docker_says() {
        let both = image(&["/entry", "-x"], &["cmd", "arg"]);
        assert_eq!(args(None, &[], &both), ["/entry", "-x", "cmd", "arg"]);
        assert_eq!(args(None, &["mine"], &both), ["/entry", "-x", "mine"]);
        assert_eq!(args(Some("/mine"), &[], &both), ["/mine"]);
        assert_eq!(args(Some("/mine"), &["arg"], &both), ["/mine", "arg"]);
        assert_eq!(args(Some(""), &["cmd"], &both), ["cmd"]);
        assert!(args(Some(""), &[], &both).is_empty());
        assert_eq!(args(None, &[], &image(&[], &["cmd"])), ["cmd"]);
        assert!(args(None, &[], &image(&[], &[])).is_empty());
    }

    #[test]
    fn the_users_word_is_above_the_images() {
        let image = image(&[], &["cmd"]);
        let mut options = Options::new("test");
        let spec = options.process(&image, "h1").unwrap();
        assert_eq!(spec.env, ["PATH=/bin", "HOSTNAME=h1", "A=image"]);
        assert_eq!((spec.user.as_str(), spec.cwd.as_str()), ("web", "/srv"));
        assert_eq!(options.signal(&image), 3);
        options.env = vec!["A=user".into(), "B=1".into()];
        options.user = Some("0".into());
        options.workdir = Some("/".into());
        options.stop_signal = Some(9);
        let spec = options.process(&image, "h1").unwrap();
        assert_eq!(spec.env, ["PATH=/bin", "HOSTNAME=h1", "A=user", "B=1"]);
        assert_eq!((spec.user.as_str(), spec.cwd.as_str()), ("0", "/"));
        assert_eq!(options.signal(&image), 9);
    }

    #[test]
    fn later_variables_replace_earlier_ones_in_place() {
        let mut env = vec!["PATH=/bin".to_owned(), "A=1".into(), "B=2".into()];
        merge_env(&mut env, vec!["A=3".into(), "C=".into(), "B".into()]);
        assert_eq!(env, ["PATH=/bin", "A=3", "C="]);
        default_env(&mut env, "A", "9");
        default_env(&mut env, "TERM", "xterm");
        assert_eq!(env, ["PATH=/bin", "A=3", "C=", "TERM=xterm"]);
    }
}
