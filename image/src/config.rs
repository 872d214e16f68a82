//! The image's configuration (OCI image specification, `config.md`), as typed data for a runner.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::manifest::{CONFIG_BYTES_MAX, LAYERS_MAX};
use crate::{Digest, Error, Platform};

/// What to run and how, and what the layers' tars hash to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageConfig {
    /// The platform that the image was built for.
    pub platform: Platform,
    /// When the image was built, in RFC 3339, as the builder wrote it.
    pub created: Option<String>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments after the entry point, which a caller's own replace.
    pub cmd: Vec<String>,
    /// `NAME=value`, in the image's order.
    pub env: Vec<String>,
    /// `user`, `uid`, `user:group`, `uid:gid` and mixtures; empty for root.
    pub user: String,
    /// The working directory; empty for `/`.
    pub working_dir: String,
    /// Ports the image says it listens on.
    pub exposed_ports: Vec<ExposedPort>,
    /// Directories that the image wants to be volumes.
    pub volumes: Vec<String>,
    /// The signal that asks the program to stop; `None` is SIGTERM.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How to find out whether the program is well.
    pub healthcheck: Option<HealthCheck>,
    /// The digests of the uncompressed layer tars, lowest first.
    pub diff_ids: Vec<Digest>,
}

/// A port and its protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExposedPort {
    /// The port.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// Docker's health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", arguments…]` or `["CMD-SHELL", command]`.
    pub test: Vec<String>,
    /// Between two checks; `None` is the default.
    pub interval: Option<Duration>,
    /// For one check; `None` is the default.
    pub timeout: Option<Duration>,
    /// In which failures do not count; `None` is the default.
    pub start_period: Option<Duration>,
    /// Between two checks in that period; `None` is the default.
    pub start_interval: Option<Duration>,
    /// Consecutive failures until the program counts as unwell; `None` is the default.
    pub retries: Option<u32>,
}

#[derive(Deserialize)]
struct RawConfig {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    created: Option<String>,
    config: Option<RawRun>,
    rootfs: RawRootfs,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Option<Vec<Digest>>,
}

type Set = BTreeMap<String, serde_json::Value>;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct RawRun {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    exposed_ports: Option<Set>,
    volumes: Option<Set>,
    stop_signal: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    healthcheck: Option<RawHealthCheck>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct RawHealthCheck {
    test: Option<Vec<String>>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    start_interval: i64,
    retries: i64,
}

impl ImageConfig {
    /// Reads a configuration blob.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let bad = |reason: String| Error::BadConfig { reason };
        if bytes.len() as u64 > CONFIG_BYTES_MAX {
            return Err(bad(format!("it is larger than {CONFIG_BYTES_MAX} bytes")));
        }
        let raw: RawConfig = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        if raw.rootfs.kind != "layers" {
            let kind = crate::text::clip(&raw.rootfs.kind);
            return Err(bad(format!("its root file system is of type {kind:?}, not \"layers\"")));
        }
        let diff_ids = raw.rootfs.diff_ids.unwrap_or_default();
        if diff_ids.len() > LAYERS_MAX {
            return Err(Error::TooManyLayers { found: diff_ids.len() });
        }
        let platform = Platform::new(
            raw.os.as_deref().unwrap_or_default(),
            raw.architecture.as_deref().unwrap_or_default(),
            raw.variant.as_deref().unwrap_or_default(),
        );
        let run = raw.config.unwrap_or_default();
        let config = Self {
            platform,
            created: raw.created,
            entrypoint: run.entrypoint.unwrap_or_default(),
            cmd: run.cmd.unwrap_or_default(),
            env: run.env.unwrap_or_default(),
            user: run.user.unwrap_or_default(),
            working_dir: run.working_dir.unwrap_or_default(),
            exposed_ports: run
                .exposed_ports
                .unwrap_or_default()
                .keys()
                .map(|key| exposed_port(key))
                .collect::<Result<_, _>>()?,
            volumes: run.volumes.unwrap_or_default().into_keys().collect(),
            stop_signal: run.stop_signal.filter(|s| !s.is_empty()),
            labels: run.labels.unwrap_or_default(),
            healthcheck: run.healthcheck.map(health_check),
            diff_ids,
        };
        if config.words().any(|word| word.contains('\0')) {
            return Err(bad("an argument, a variable or a name in it contains a NUL".into()));
        }
        Ok(config)
    }

    /// All that programs or people get to see.
    fn words(&self) -> impl Iterator<Item = &String> {
        let lists = [&self.entrypoint, &self.cmd, &self.env, &self.volumes];
        let test = self.healthcheck.iter().map(|check| &check.test);
        let labels = self.labels.iter().flat_map(|(name, value)| [name, value]);
        let rest = [&self.user, &self.working_dir].into_iter().chain(&self.stop_signal);
        lists.into_iter().chain(test).flatten().chain(labels).chain(rest)
    }
}

fn exposed_port(key: &str) -> Result<ExposedPort, Error> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    match (port.parse(), protocol) {
        (Ok(port), "tcp" | "udp" | "sctp") => {
            Ok(ExposedPort { port, protocol: protocol.to_owned() })
        }
        _ => Err(Error::BadConfig {
            reason: format!("{:?} is not a port to expose", crate::text::clip(key)),
        }),
    }
}

fn health_check(raw: RawHealthCheck) -> HealthCheck {
    // Docker writes nanoseconds; nought and less mean "the default".
    let duration = |ns: i64| u64::try_from(ns).ok().filter(|n| *n > 0).map(Duration::from_nanos);
    HealthCheck {
        test: raw.test.unwrap_or_default(),
        interval: duration(raw.interval),
        timeout: duration(raw.timeout),
        start_period: duration(raw.start_period),
        start_interval: duration(raw.start_interval),
        retries: u32::try_from(raw.retries).ok().filter(|n| *n > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_configuration() {
        let json = r#"{"architecture":"arm64","os":"linux","created":"2024-01-02T03:04:05Z",
          "config":{"User":"www:33","ExposedPorts":{"80/tcp":{},"53/udp":{},"9":{}},
            "Env":["PATH=/bin","A=b=c"],"Entrypoint":["/e"],"Cmd":["a","b"],"Volumes":{"/data":{}},
            "WorkingDir":"/w","Labels":{"k":"v"},"StopSignal":"SIGQUIT",
            "Healthcheck":{"Test":["CMD","x"],"Interval":5000000000,"StartInterval":7,"Retries":3}},
          "rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"x"}]}"#;
        let config = ImageConfig::parse(json.as_bytes()).unwrap();
        assert_eq!(config.platform, Platform::guest());
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("www:33", "/w"));
        assert_eq!(config.env, ["PATH=/bin", "A=b=c"]);
        assert_eq!(config.exposed_ports.len(), 3);
        assert_eq!(config.volumes, ["/data"]);
        assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
        let health = config.healthcheck.unwrap();
        assert_eq!(health.interval, Some(Duration::from_secs(5)));
        assert_eq!(health.start_interval, Some(Duration::from_nanos(7)));
        assert_eq!((health.timeout, health.retries), (None, Some(3)));
    }

    #[test]
    fn nulls_and_absences_are_defaults() {
        let json = r#"{"architecture":"arm64","os":"linux","config":{"Env":null,"Cmd":null,
          "Volumes":null,"Entrypoint":null},"rootfs":{"type":"layers","diff_ids":null}}"#;
        let config = ImageConfig::parse(json.as_bytes()).unwrap();
        assert!(config.cmd.is_empty() && config.entrypoint.is_empty() && config.user.is_empty());
        let bare = r#"{"rootfs":{"type":"layers"}}"#;
        assert_eq!(ImageConfig::parse(bare.as_bytes()).unwrap().platform.os, "");
    }

    #[test]
    fn refused() {
        for json in [
            "",
            "{}",
            r#"{"rootfs":{"type":"base"}}"#,
            r#"{"rootfs":{"type":"layers","diff_ids":["sha256:x"]}}"#,
            r#"{"rootfs":{"type":"layers"},"config":{"Cmd":["a\u0000b"]}}"#,
            r#"{"rootfs":{"type":"layers"},"config":{"Volumes":{"a\u0000b":{}}}}"#,
            r#"{"rootfs":{"type":"layers"},"config":{"Labels":{"a":"a\u0000b"}}}"#,
            r#"{"rootfs":{"type":"layers"},"config":{"StopSignal":"a\u0000b"}}"#,
            r#"{"rootfs":{"type":"layers"},"config":{"ExposedPorts":{"70000/tcp":{}}}}"#,
        ] {
            assert!(ImageConfig::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
