//! `kiln bake`

use std::time::Duration;

use clap::Parser;

use super::{Format, run::NewArgs, snapshot};
use crate::{
    Home,
    bake::{self, Moment, Ready},
    exit::before_the_command,
    progress::{Mode, Show},
    text,
};

/// Run an image until it is ready, and keep a snapshot of that moment
///
/// Then the snapshot is restored once, asked for `/` over HTTP at its published ports, and thrown away: what that needs first is
/// read ahead by later restores.
#[derive(Debug, Parser)]
#[command(trailing_var_arg = true, disable_help_flag = true)]
#[command(
    override_usage = "kiln bake [OPTIONS] --ready <READY> --output <NAME> IMAGE [COMMAND] [ARG...]"
)]
pub(super) struct Args {
    #[command(flatten)]
    new: NewArgs,
    /// When it is ready: listen:PORT, marker:TEXT in its output, exec:COMMAND succeeds, or after:DURATION
    #[arg(long)]
    ready: Ready,
    /// How long it may take to be ready
    #[arg(long, default_value = "60s", value_parser = text::parse_duration)]
    timeout: Duration,
    /// How long to let it come to rest once it is ready
    #[arg(long, default_value = "0s", value_parser = text::parse_duration)]
    settle: Duration,
    /// Do not restore it once
    #[arg(long)]
    no_rehearsal: bool,
    /// Name of the snapshot
    #[arg(short, long)]
    output: String,
    /// Say on standard error how long the snapshot took
    #[arg(long)]
    timings: bool,
    /// How to show the snapshot: its name, or its size and how long it took as JSON
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The image, then the command and its arguments
    #[arg(required = true, value_name = "IMAGE [COMMAND]")]
    target: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    bake(args).map_err(before_the_command)
}

fn bake(args: &Args) -> anyhow::Result<u8> {
    let options = args.new.options(&args.target)?;
    let Args { ready, timeout, settle, .. } = args;
    let (ready, rehearse) = (ready.clone(), !args.no_rehearsal);
    let moment = Moment { ready, timeout: *timeout, settle: *settle, rehearse };
    let show = Show::new(Mode::Auto);
    let baked =
        bake::bake(&Home::open()?, &options, &moment, &args.output, &|event| show.event(&event));
    show.finish();
    snapshot::show(&args.output, &baked?, args.timings, args.format)?;
    Ok(0)
}
