//! The library, as a program uses it that runs machines itself.

mod common;

use std::time::Duration;

use common::{Kiln, image};
use kiln::{Home, Moment, Options, Ready, RestoreOptions, Sandbox};

#[test]
fn machines_are_run_baked_restored_and_forked() {
    // Removes its machines at the end, whatever comes.
    let kiln = Kiln::new();
    let home = Home::at(kiln.home()).unwrap();
    let mut options = Options::new(image());
    options.memory = 128 << 20;
    options.stop_timeout = 0;
    let script = "nonce=$(cat /proc/sys/kernel/random/uuid); echo $nonce > /tmp/nonce; echo ready; sleep 100000";
    options.command = ["sh", "-c", script].map(str::to_owned).into();
    let nonce = |sandbox: &Sandbox| {
        let output = sandbox.exec(&["cat", "/tmp/nonce"]).unwrap();
        assert_eq!(output.exit.status.code(), 0);
        String::from_utf8(output.stdout).unwrap()
    };

    let moment = Moment {
        ready: Ready::Marker("ready".into()),
        timeout: Duration::from_secs(300),
        settle: Duration::ZERO,
        rehearse: false,
    };
    assert!(Sandbox::bake(&home, &options, &moment, "base").unwrap().bytes > 1 << 20);
    let named = RestoreOptions { name: Some("one".into()), ..RestoreOptions::default() };
    let one = Sandbox::restore(&home, "base", &named).unwrap();
    assert_eq!((one.name(), one.id().len()), ("one", 64));
    let forks = one.fork(&home, 2).unwrap();
    assert!(forks.iter().all(|fork| nonce(fork) == nonce(&one)));
    one.snapshot(&home, "later").unwrap();
    let later = Sandbox::restore(&home, "later", &RestoreOptions::default()).unwrap();
    assert_eq!(nonce(&later), nonce(&one));

    let fresh = Sandbox::run(&home, &options).unwrap();
    while fresh.exec(&["test", "-s", "/tmp/nonce"]).unwrap().exit.status.code() != 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_ne!(nonce(&fresh), nonce(&one));
    for sandbox in forks.into_iter().chain([one, later, fresh]) {
        sandbox.stop().unwrap();
        assert_eq!(sandbox.wait().unwrap(), 137, "sh as PID 1 heeds no SIGTERM");
        sandbox.remove().unwrap();
    }
    assert_eq!(kiln.text(&["ps", "-aq"]), "");
}
