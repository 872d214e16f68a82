//! What was asked for.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, str::FromStr};

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything a machine's process needs to know, fixed when the machine is created.
///
/// It is part of every snapshot and of every machine on disk: a new field has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// 64 hexadecimal digits, chosen at random.
    pub id: String,
    /// Unique among the machines of a home.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// The image as the user named it.
    pub image: String,
    /// Digest of the image's manifest.
    pub digest: String,
    /// Guest memory in bytes.
    pub memory: u64,
    /// Virtual processors.
    pub cpus: u32,
    /// Where the machine comes from.
    pub origin: Origin,
    /// The guest's surroundings.
    pub guest: agent::Config,
    /// The process that is the machine's purpose.
    pub process: agent::ProcessSpec,
    /// Standard input ends when the client that gave it goes, as with `kiln run -i`.
    pub stdin_once: bool,
    /// TCP ports of the guest that the host publishes.
    pub ports: Vec<PortMapping>,
    /// Labels for people and scripts.
    pub labels: BTreeMap<String, String>,
    /// Remove everything once it has ended.
    pub auto_remove: bool,
    /// Linux number of the signal that asks the process to end.
    pub stop_signal: i32,
    /// Seconds between that signal and SIGKILL.
    pub stop_timeout: u64,
    /// Seconds that the guest's agent may take to answer.
    pub init_timeout: u64,
}

/// Where a machine comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// Its kernel boots.
    Boot {
        /// The kernel's `Image`.
        kernel: PathBuf,
        /// The initramfs with the agent.
        initramfs: PathBuf,
        /// The image's layers, the lowest first.
        layers: Vec<PathBuf>,
        /// The disk that takes changes in place of memory.
        #[serde(default)]
        writable: Option<PathBuf>,
    },
    /// It goes on where a snapshot was taken.
    Snapshot {
        /// The snapshot's directory.
        path: PathBuf,
        /// Read all RAM at once instead of on demand, so that the snapshot may go.
        copy: bool,
        /// This host's kernel.
        kernel: PathBuf,
        /// This host's initramfs.
        initramfs: PathBuf,
        /// The layers of the image that the guest runs, in this host's store, the lowest first.
        layers: Vec<PathBuf>,
    },
}

/// The protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, the only one that is carried.
    Tcp,
}

/// One published port, `[IP:]HOST:GUEST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Address on the host.
    pub address: IpAddr,
    /// Port on the host; 0 lets the host choose a free one.
    pub host: u16,
    /// Port in the guest.
    pub guest: u16,
    /// Always TCP.
    pub protocol: Protocol,
}

impl FromStr for PortMapping {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
        if protocol != "tcp" {
            bail!("cannot publish {text:?}: only tcp ports can be published");
        }
        let (rest, guest) = ports.rsplit_once(':').unwrap_or(("0", ports));
        let (address, host) = match rest.rsplit_once(':') {
            Some((address, host)) => (address, host),
            None if rest.contains('.') => (rest, ""),
            None => ("127.0.0.1", rest),
        };
        let port = |text: &str| {
            text.parse::<u16>().with_context(|| {
                format!("cannot publish {ports:?}: {text:?} is no port; write [IP:]HOST:GUEST")
            })
        };
        let guest = port(guest)?;
        if guest == 0 {
            bail!("cannot publish {text:?}: the guest's port cannot be 0");
        }
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        let address = bare.parse().with_context(|| {
            format!("cannot publish {text:?}: {bare:?} is no IP address; write [IP:]HOST:GUEST")
        })?;
        let host = if host.is_empty() { 0 } else { port(host)? };
        Ok(Self { address, host, guest, protocol: Protocol::Tcp })
    }
}

impl std::fmt::Display for PortMapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = std::net::SocketAddr::new(self.address, self.host);
        write!(f, "{host}->{}/tcp", self.guest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<PortMapping>().map_or_else(|e| e.to_string(), |p| p.to_string())
    }

    #[test]
    fn ports_are_published_on_loopback_unless_an_address_is_given() {
        assert_eq!(shown("8080:80"), "127.0.0.1:8080->80/tcp");
        assert_eq!(shown("0.0.0.0:8080:80"), "0.0.0.0:8080->80/tcp");
        assert_eq!(shown("[::1]:8080:80/tcp"), "[::1]:8080->80/tcp");
        assert_eq!(shown("80"), "127.0.0.1:0->80/tcp");
        assert_eq!(shown("127.0.0.1::80"), "127.0.0.1:0->80/tcp");
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        for text in ["", "a:80", "80:0", "1:2:3:4", "70000:80", "8080:80/udp", "host:1:2"] {
            assert!(text.parse::<PortMapping>().is_err(), "{text:?}");
        }
    }
}
