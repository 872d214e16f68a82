//! Links the unwinder into the program where the compiler has it as an archive: a shared library is found and read anew at
//! every start.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let gnu = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux")
        && env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu")
        && env::var("HOST") == env::var("TARGET");
    // A compiler without the archive prints its bare name.
    let find = || Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    if gnu && find().is_ok_and(|found| found.stdout.starts_with(b"/")) {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
