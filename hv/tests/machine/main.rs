//! Bare-metal programs on machines of one, two and four vCPUs, through the public interface of `hv` and nothing else.
//!
//! The programs are in `guest/`, built by the cross compiler. Every test runs in a process of its own, because there is
//! one VM a process: without `--child` this program starts itself once for each test.
//!
//! ```text
//! cargo test -p hv --test machine [-- TEXT]
//! ```

mod image;
mod interrupts;
mod machine;
mod memory;
mod order;
mod snapshot;
mod start;
mod timer;

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// A test: its name and what it does. It fails by panicking.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

/// A test that has not ended by then hangs.
const LIMIT: Duration = Duration::from_secs(120);

fn tests() -> Vec<Test> {
    [memory::TESTS, interrupts::TESTS, order::TESTS, snapshot::TESTS, start::TESTS, timer::TESTS]
        .into_iter()
        .flatten()
        .map(|(name, run)| Test { name, run: *run })
        .collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, ..] = arguments.as_slice()
        && flag == "--child"
    {
        let test =
            tests().into_iter().find(|t| t.name == name).expect("the parent knows the names");
        // A vCPU that panics ends the test, whatever the others wait for.
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            report(panic);
            std::process::exit(101);
        }));
        (test.run)();
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|a| a == "--list") {
        tests().iter().for_each(|t| println!("{}: test", t.name));
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|a| !a.starts_with('-'));
    let mut failed = Vec::new();
    for test in tests().iter().filter(|t| filter.is_none_or(|f| t.name.contains(f.as_str()))) {
        let started = Instant::now();
        let outcome = in_a_process(test.name);
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("test {} ... ok ({seconds:.2} s)", test.name),
            Err(message) => {
                println!("test {} ... FAILED: {message} ({seconds:.2} s)", test.name);
                failed.push(test.name);
            }
        }
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!("failed: {failed:?}");
        ExitCode::FAILURE
    }
}

fn in_a_process(name: &str) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut child = Command::new(own)
        .args(["--child", name])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    let deadline = Instant::now() + LIMIT;
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(status.to_string()),
            None if Instant::now() > deadline => {
                // It is our own child, still running.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no end after {} s", LIMIT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
