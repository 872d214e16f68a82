//! The guest image: assembled by the cross compiler, read by both sides.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Addresses in the image.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Symbols {
    pub instance_exit: u64,
    /// Where hv-soft starts, at EL1.
    pub boot: u64,
}

/// A loaded segment: its address and bytes, zero-filled to its size in memory.
pub(crate) struct Segment {
    pub address: u64,
    pub bytes: Vec<u8>,
}

pub(crate) struct Guest {
    pub path: PathBuf,
    pub segments: Vec<Segment>,
    pub symbols: Symbols,
}

static GUEST: OnceLock<Guest> = OnceLock::new();

/// The image, built at the first call.
pub(crate) fn image() -> &'static Guest {
    GUEST.get_or_init(build)
}

pub(crate) fn symbols() -> Symbols {
    image().symbols
}

fn build() -> Guest {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/guest");
    // One image a process: runs may overlap.
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("differential-{}.elf", std::process::id()));
    let status = Command::new("aarch64-linux-gnu-gcc")
        .current_dir(&source)
        .args([
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-nostdlib",
            "-static",
            "-ffreestanding",
            "-fno-pie",
            "-no-pie",
        ])
        .args([
            "-fno-stack-protector",
            "-mgeneral-regs-only",
            "-Wl,-z,max-page-size=4096",
            "-Wl,--build-id=none",
        ])
        .args(["-T", "guest.ld", "harness.S", "vectors.S", "oracle.c", "-o"])
        .arg(&path)
        .status()
        .expect(
            "aarch64-linux-gnu-gcc assembles the guest; Debian has it in gcc-aarch64-linux-gnu",
        );
    assert!(status.success(), "the guest image does not build");
    let elf = std::fs::read(&path).expect("the image that was just built");
    let mut symbols = Symbols::default();
    for (name, value) in elf_symbols(&elf) {
        match name {
            b"instance_exit" => symbols.instance_exit = value,
            b"boot" => symbols.boot = value,
            _ => {}
        }
    }
    assert!(symbols.instance_exit != 0 && symbols.boot != 0, "{symbols:x?}");
    Guest { segments: elf_segments(&elf), symbols, path }
}

fn number(elf: &[u8], offset: usize, bytes: usize) -> u64 {
    elf[offset..offset + bytes].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// Program headers of type PT_LOAD (ELF-64 object file format, "Program header table").
fn elf_segments(elf: &[u8]) -> Vec<Segment> {
    let (table, size, count) =
        (number(elf, 32, 8) as usize, number(elf, 54, 2) as usize, number(elf, 56, 2) as usize);
    (0..count)
        .map(|i| table + i * size)
        .filter(|h| number(elf, *h, 4) == 1)
        .map(|h| {
            let (offset, stored) =
                (number(elf, h + 8, 8) as usize, number(elf, h + 32, 8) as usize);
            let mut bytes = elf[offset..offset + stored].to_vec();
            bytes.resize(number(elf, h + 40, 8) as usize, 0);
            Segment { address: number(elf, h + 16, 8), bytes }
        })
        .collect()
}

/// Names and values of the symbol table (section type SHT_SYMTAB).
fn elf_symbols(elf: &[u8]) -> Vec<(&[u8], u64)> {
    let (table, size, count) =
        (number(elf, 40, 8) as usize, number(elf, 58, 2) as usize, number(elf, 60, 2) as usize);
    let section = |i: usize| table + i * size;
    let contents = |s: usize| {
        let (offset, length) = (number(elf, s + 24, 8) as usize, number(elf, s + 32, 8) as usize);
        &elf[offset..offset + length]
    };
    let symtab = (0..count)
        .map(section)
        .find(|s| number(elf, s + 4, 4) == 2)
        .expect("the image has a symbol table");
    let names = contents(section(number(elf, symtab + 40, 4) as usize));
    contents(symtab)
        .chunks_exact(24)
        .map(|symbol| {
            let name = &names[number(symbol, 0, 4) as usize..];
            let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
            (&name[..end], number(symbol, 8, 8))
        })
        .collect()
}
