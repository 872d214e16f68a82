//! Linux's arm64 boot protocol (`Documentation/arch/arm64/booting.rst`): the header of an `Image` and
//! where kernel, FDT and initial RAM file system go.

use core::ops::Range;

/// Bytes of the header.
pub const HEADER_LEN: usize = 64;
/// `ARM\x64`, little-endian, at offset 56.
const MAGIC: [u8; 4] = *b"ARM\x64";
/// The longest command line the kernel keeps, with its terminating NUL (`COMMAND_LINE_SIZE`).
pub const COMMAND_LINE_SIZE: usize = 2048;
/// The FDT may not be larger.
pub const MAX_FDT_SIZE: u64 = 2 << 20;
/// Kernel and FDT are placed at multiples of this.
const PLACEMENT: u64 = 2 << 20;

/// The header of an arm64 `Image`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageHeader {
    /// Bytes from a 2 MiB boundary to the image.
    pub text_offset: u64,
    /// Bytes of memory the kernel takes, with what it clears.
    pub image_size: u64,
    /// Translation granule it was built for, if it says.
    pub page_size: Option<u64>,
}

/// What keeps a kernel from being booted; "it" is the kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Shorter than its header, or than the header says.
    #[error("it has {len} bytes, too few for an arm64 Image; use arch/arm64/boot/Image")]
    Short {
        /// Bytes there are.
        len: u64,
    },
    /// The magic number is missing.
    #[error("it is not an arm64 Image but {what}; {remedy}")]
    NotAnImage {
        /// What it looks like.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Built for big-endian CPUs.
    #[error("it is big-endian; build it with CONFIG_CPU_LITTLE_ENDIAN")]
    BigEndian,
    /// A header that contradicts itself.
    #[error(
        "its header is not valid: {field} is {value:#x}; use an intact Image of Linux 3.17 or later"
    )]
    Header {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

impl ImageHeader {
    /// Checks the header of an `Image` of `len` bytes.
    pub fn parse(header: &[u8; HEADER_LEN], len: u64) -> Result<Self, ImageError> {
        if len < HEADER_LEN as u64 {
            return Err(ImageError::Short { len });
        }
        if header[56..60] != MAGIC {
            return Err(not_an_image(header));
        }
        let word = |at: usize| {
            header[at..at + 8].iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte))
        };
        let (text_offset, image_size, flags) = (word(8), word(16), word(24));
        if flags & 1 != 0 {
            return Err(ImageError::BigEndian);
        }
        // A zero size marks kernels before 3.17, whose text offset may be of any endianness.
        if image_size == 0 || image_size > 1 << 32 {
            return Err(ImageError::Header { field: "image_size", value: image_size });
        }
        if text_offset >= PLACEMENT || !text_offset.is_multiple_of(0x1000) {
            return Err(ImageError::Header { field: "text_offset", value: text_offset });
        }
        // The file holds no more than the kernel takes in memory.
        if len > image_size {
            return Err(ImageError::Header { field: "image_size", value: image_size });
        }
        let page_size = match flags >> 1 & 0b11 {
            0 => None,
            1 => Some(4 << 10),
            2 => Some(16 << 10),
            _ => Some(64 << 10),
        };
        Ok(Self { text_offset, image_size, page_size })
    }
}

fn not_an_image(header: &[u8; HEADER_LEN]) -> ImageError {
    let (what, remedy) = match header {
        [0x1f, 0x8b, ..] => ("a gzip file", "decompress it with gunzip"),
        [b'M', b'Z', 0, 0, b'z', b'i', b'm', b'g', ..] => {
            ("a compressed EFI image", "use arch/arm64/boot/Image of the same build")
        }
        [0x7f, b'E', b'L', b'F', ..] => ("an ELF file", "use arch/arm64/boot/Image, not vmlinux"),
        [b'M', b'Z', ..] => {
            ("an EFI program, perhaps for another architecture", "use an arm64 Image")
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("a zstd file", "decompress it with unzstd"),
        _ => ("something else", "use arch/arm64/boot/Image"),
    };
    ImageError::NotAnImage { what, remedy }
}

/// Where the parts of a boot go in guest-physical memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootPlacement {
    /// The kernel: its memory, of which the first byte is the entry point.
    pub kernel: Range<u64>,
    /// Room for the FDT.
    pub fdt: Range<u64>,
    /// The initial RAM file system, if there is one.
    pub initramfs: Option<Range<u64>>,
}

/// Memory that is too small for what is to be booted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "kernel and initramfs take {needed} bytes but the machine has {ram} bytes of memory; give it \
     more or use smaller ones"
)]
pub struct DoesNotFit {
    /// Bytes needed.
    pub needed: u64,
    /// Bytes of RAM.
    pub ram: u64,
}

impl BootPlacement {
    /// Puts the kernel at the start of RAM, then the FDT, then the initramfs: all within the 32 GiB
    /// window and the alignments that the protocol demands.
    pub fn new(
        ram: &Range<u64>,
        kernel: &ImageHeader,
        initramfs: Option<u64>,
    ) -> Result<Self, DoesNotFit> {
        let start = ram.start.next_multiple_of(PLACEMENT) + kernel.text_offset;
        let kernel = start..start + kernel.image_size;
        let fdt = kernel.end.next_multiple_of(PLACEMENT);
        let fdt = fdt..fdt + MAX_FDT_SIZE;
        let initramfs = match initramfs {
            None | Some(0) => None,
            Some(size) => Some(fdt.end..fdt.end.saturating_add(size)),
        };
        let end = initramfs.as_ref().map_or(fdt.end, |range| range.end);
        if end > ram.end {
            return Err(DoesNotFit {
                needed: end.saturating_sub(ram.start),
                ram: ram.end - ram.start,
            });
        }
        Ok(Self { kernel, fdt, initramfs })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first 64 bytes as the header documentation lays them out.
    fn header(text_offset: u64, image_size: u64, flags: u64) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[8..16].copy_from_slice(&text_offset.to_le_bytes());
        header[16..24].copy_from_slice(&image_size.to_le_bytes());
        header[24..32].copy_from_slice(&flags.to_le_bytes());
        header[56..60].copy_from_slice(b"ARM\x64");
        header
    }

    #[test]
    fn a_modern_kernel_is_accepted() {
        let parsed = ImageHeader::parse(&header(0, 0xb0_0000, 0b1010), 0x98_0000).unwrap();
        assert_eq!(
            parsed,
            ImageHeader { text_offset: 0, image_size: 0xb0_0000, page_size: Some(4096) }
        );
    }

    #[test]
    fn bad_headers_have_names() {
        use ImageError::*;
        let parse = |header, len| ImageHeader::parse(&header, len).unwrap_err();
        assert_eq!(parse(header(0, 0x1000, 1), 64), BigEndian);
        assert!(matches!(parse(header(0, 0, 0), 64), Header { field: "image_size", .. }));
        assert!(matches!(parse(header(0, u64::MAX, 0), 64), Header { .. }));
        assert!(matches!(parse(header(1 << 40, 0x1000, 0), 64), Header { .. }));
        assert!(matches!(parse(header(0, 0x1000, 0), 0x1001), Header { .. }));
        assert_eq!(parse(header(0, 0x1000, 0), 63), Short { len: 63 });
        let mut gzip = [0; 64];
        gzip[..2].copy_from_slice(&[0x1f, 0x8b]);
        assert!(parse(gzip, 64).to_string().contains("gunzip"));
    }

    #[test]
    fn an_initramfs_that_does_not_fit_is_refused() {
        let kernel = ImageHeader { text_offset: 0, image_size: 16 << 20, page_size: None };
        let ram = 0x4000_0000..0x4000_0000 + (64 << 20);
        let placed = BootPlacement::new(&ram, &kernel, Some(46 << 20)).unwrap();
        assert_eq!(placed.initramfs.unwrap().end, ram.end);
        assert!(BootPlacement::new(&ram, &kernel, Some((46 << 20) + 1)).is_err());
        assert!(BootPlacement::new(&ram, &kernel, Some(u64::MAX)).is_err());
    }

    proptest! {
        #[test]
        fn any_header_is_answered(bytes in proptest::array::uniform32(any::<u8>()), len: u64) {
            let mut header = [0; HEADER_LEN];
            header[..32].copy_from_slice(&bytes);
            header[56..60].copy_from_slice(b"ARM\x64");
            if let Ok(parsed) = ImageHeader::parse(&header, len) {
                let ram = 0x4000_0000..0x8000_0000;
                if let Ok(placed) = BootPlacement::new(&ram, &parsed, Some(len)) {
                    prop_assert!(placed.kernel.end <= placed.fdt.start);
                    prop_assert!(placed.fdt.start.is_multiple_of(8));
                    prop_assert!(placed.fdt.end <= ram.end);
                }
            }
        }
    }
}
