//! The C library and its header: a C program is compiled against them and run.

use std::path::{Path, PathBuf};
use std::process::Command;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}{errors}");
    text
}

/// Builds the libraries beside this test's own artefacts and returns their directory.
fn build_library() -> PathBuf {
    // <target>/<profile>/deps/<this test>
    let this = std::env::current_exe().expect("this test's path");
    let library = this.ancestors().nth(2).expect("the profile's directory");
    let target = library.parent().expect("the target directory");
    let profile = match library.file_name() {
        Some(name) if name != "debug" => name,
        _ => "dev".as_ref(),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["rustc", "--quiet", "--lib", "--crate-type", "staticlib,cdylib", "--profile"])
        .arg(profile)
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR")));
    library.to_owned()
}

fn compile(output: &Path, link: &[&std::ffi::OsStr]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    run(Command::new("gcc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-pthread", "-I"])
        .arg(root.join("include"))
        .arg(root.join("tests/c/two_vcpus.c"))
        .arg("-o")
        .arg(output)
        .args(link)
        .args(["-lm", "-ldl"]));
}

#[test]
fn a_c_program_runs_two_vcpus() {
    let library = build_library();
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));

    let linked_statically = scratch.join("two_vcpus-static");
    compile(&linked_statically, &[library.join("libhv_soft.a").as_os_str()]);
    assert_eq!(run(&mut Command::new(&linked_statically)), "passed\n");

    let linked_dynamically = scratch.join("two_vcpus-dynamic");
    compile(&linked_dynamically, &[library.join("libhv_soft.so").as_os_str()]);
    let program = &mut Command::new(&linked_dynamically);
    assert_eq!(run(program.env("LD_LIBRARY_PATH", &library)), "passed\n");
}

#[test]
fn the_header_is_plain_c_and_cxx() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for language in ["c", "c++"] {
        run(Command::new("gcc")
            .args(["-x", language, "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
            .arg(root.join("include/hv_soft.h")));
    }
}
