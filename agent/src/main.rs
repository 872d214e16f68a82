//! PID 1 of a kiln guest. See the library's documentation for what it is told.

#[cfg(target_os = "linux")]
mod pid1;

#[cfg(target_os = "linux")]
fn main() {
    pid1::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the guest agent runs on Linux only; `cargo xtask guest-agent` builds it");
    std::process::exit(1);
}
