//! `kiln pause` and `kiln unpause`

use clap::Parser;
use hyper::Method;

use crate::launch;

/// Stop all processes of machines where they are
///
/// A paused machine keeps its memory. It goes on with `kiln unpause`, and before it is stopped.
#[derive(Debug, Parser)]
pub(super) struct Pause {
    /// Names or ids of machines
    #[arg(required = true)]
    machines: Vec<String>,
}

/// Let the processes of paused machines go on
#[derive(Debug, Parser)]
pub(super) struct Unpause {
    /// Names or ids of machines
    #[arg(required = true)]
    machines: Vec<String>,
}

pub(super) fn pause(args: &Pause) -> anyhow::Result<u8> {
    ask(&args.machines, "/v1/pause")
}

pub(super) fn unpause(args: &Unpause) -> anyhow::Result<u8> {
    ask(&args.machines, "/v1/unpause")
}

fn ask(names: &[String], what: &str) -> anyhow::Result<u8> {
    super::for_each(names, |machines, name| {
        let machine = machines.find(name)?;
        Ok(launch::running(&machine)?.call(Method::POST, what, &())?)
    })
}
