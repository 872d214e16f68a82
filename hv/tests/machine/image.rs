//! Guest programs: built by the cross compiler, loaded flat.

use std::path::Path;
use std::process::Command;

/// A program at the start of RAM.
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    /// Address of the word of parameters.
    pub(crate) parameters: u64,
}

impl Image {
    /// Builds the program of `guest/NAME.c`.
    pub(crate) fn build(name: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machine/guest");
        let base =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let (elf, flat) = (base.with_extension("elf"), base.with_extension("bin"));
        let status = Command::new("aarch64-linux-gnu-gcc")
            .current_dir(&source)
            .args([
                "-O2",
                "-g",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-nostdlib",
                "-static",
                "-ffreestanding",
                "-fno-pie",
            ])
            .args([
                "-no-pie",
                "-fno-stack-protector",
                "-mgeneral-regs-only",
                "-mno-outline-atomics",
                "-mstrict-align",
            ])
            .args([
                "-Wl,-z,max-page-size=4096",
                "-Wl,--build-id=none",
                "-Wl,--no-warn-rwx-segments",
                "-T",
                "guest.ld",
            ])
            .args(["start.S", "runtime.c", "gic.c", &format!("{name}.c"), "-o"])
            .arg(&elf)
            .status()
            .expect(
                "aarch64-linux-gnu-gcc builds the guest; Debian has it in gcc-aarch64-linux-gnu",
            );
        assert!(status.success(), "the guest program {name} does not build");
        let status = Command::new("aarch64-linux-gnu-objcopy")
            .args(["-O", "binary"])
            .args([&elf, &flat])
            .status()
            .expect("aarch64-linux-gnu-objcopy comes with the compiler");
        assert!(status.success());
        let symbols = Command::new("aarch64-linux-gnu-nm")
            .arg(&elf)
            .output()
            .expect("nm comes with the compiler");
        let symbols = String::from_utf8(symbols.stdout).expect("names in ASCII");
        let parameters = symbols
            .lines()
            .find_map(|line| line.strip_suffix(" parameters")?.split(' ').next())
            .and_then(|address| u64::from_str_radix(address, 16).ok())
            .expect("every program has parameters");
        let bytes = std::fs::read(&flat).expect("objcopy wrote it");
        let _ = std::fs::remove_file(&elf);
        let _ = std::fs::remove_file(&flat);
        Image { bytes, parameters }
    }
}
