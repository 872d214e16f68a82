//! `kiln wait`

use clap::Parser;
use hyper::Method;

use crate::{
    Home,
    control::{Client, WaitReply},
    record::{Machine, Machines},
};

/// Wait until machines end, and print their exit statuses
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Names or ids of machines
    #[arg(required = true)]
    machines: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let machines = Machines::open(&Home::open()?)?;
    let mut failure = None;
    for name in &args.machines {
        match machines.find(name).and_then(|machine| exit_code(&machine)) {
            Ok(code) => println!("{code}"),
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(0), Err)
}

fn exit_code(machine: &Machine) -> anyhow::Result<i32> {
    if machine.is_alive() {
        let reply = Client::new(&machine.directory).call(Method::GET, "/v1/wait", &());
        if let Ok(WaitReply { exit_code }) = reply {
            return Ok(exit_code);
        }
    }
    // It ended before it could answer.
    let machine = Machine::open(&machine.directory)?;
    machine
        .state
        .exit_code
        .ok_or_else(|| anyhow::anyhow!("machine {} never ran", machine.spec.name))
}
