//! Flags of `docker run` that kiln does not do yet: one sentence instead of what clap says of a flag that it does not know.

use anyhow::bail;
use clap::Parser;

use crate::exit::{Exit, KILN_FAILED};

const COPY: &str = "copy files with `kiln cp`";
const PUBLISH: &str = "publish ports with -p";

/// The flags, none of which is shown.
#[derive(Debug, Default, Parser)]
pub(super) struct Unsupported {
    #[arg(short, long, hide = true)]
    volume: Vec<String>,
    #[arg(long, hide = true)]
    mount: Vec<String>,
    #[arg(long, hide = true)]
    volumes_from: Vec<String>,
    #[arg(long, hide = true)]
    tmpfs: Vec<String>,
    #[arg(long, visible_alias = "net", hide = true)]
    network: Vec<String>,
    #[arg(short = 'P', long, hide = true)]
    publish_all: bool,
    #[arg(long, hide = true)]
    dns: Vec<String>,
    #[arg(long, visible_alias = "dns-opt", hide = true)]
    dns_option: Vec<String>,
    #[arg(long, hide = true)]
    dns_search: Vec<String>,
    #[arg(long, hide = true)]
    add_host: Vec<String>,
    #[arg(long, hide = true)]
    link: Vec<String>,
    #[arg(long, hide = true)]
    ip: Vec<String>,
}

impl Unsupported {
    /// Says that a flag is not supported, if one was given, and what to do instead.
    pub(super) fn refuse(&self) -> anyhow::Result<()> {
        let flags = [
            (!self.volume.is_empty(), "--volume", COPY),
            (!self.mount.is_empty(), "--mount", COPY),
            (!self.volumes_from.is_empty(), "--volumes-from", COPY),
            (!self.tmpfs.is_empty(), "--tmpfs", "what a machine writes is in memory anyway"),
            (!self.network.is_empty(), "--network", PUBLISH),
            (self.publish_all, "--publish-all", PUBLISH),
            (!self.dns.is_empty(), "--dns", PUBLISH),
            (!self.dns_option.is_empty(), "--dns-option", PUBLISH),
            (!self.dns_search.is_empty(), "--dns-search", PUBLISH),
            (!self.add_host.is_empty(), "--add-host", PUBLISH),
            (!self.link.is_empty(), "--link", PUBLISH),
            (!self.ip.is_empty(), "--ip", PUBLISH),
        ];
        match flags.into_iter().find(|(given, ..)| *given) {
            Some((_, flag, remedy)) => {
                bail!(Exit::new(KILN_FAILED, format!("{flag} is not supported yet; {remedy}")))
            }
            None => Ok(()),
        }
    }
}
