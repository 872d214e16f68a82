//! Headers of kernels: whatever is accepted fits into RAM, in the order and alignment of the boot protocol.
#![no_main]

use arch_aarch64::linux::{BootPlacement, HEADER_LEN, ImageHeader};

libfuzzer_sys::fuzz_target!(|input: ([u8; HEADER_LEN], bool, u64, u64, u16, Option<u64>)| {
    let (mut header, magic, len, base, blocks, initramfs) = input;
    if magic {
        header[56..60].copy_from_slice(b"ARM\x64");
    }
    let Ok(image) = ImageHeader::parse(&header, len) else { return };
    assert!(len <= image.image_size);
    // RAM as any layout has it: a multiple of 2 MiB at one.
    let base = base % (1 << 39) >> 21 << 21;
    let ram = base..base + (u64::from(blocks) << 21);
    let Ok(place) = BootPlacement::new(&ram, &image, initramfs) else { return };
    assert_eq!(place.kernel.start % (2 << 20), image.text_offset);
    assert!(ram.start <= place.kernel.start && place.kernel.end <= place.fdt.start);
    assert!(place.kernel.end - place.kernel.start >= image.image_size);
    assert!(place.fdt.start % 8 == 0 && place.fdt.end <= ram.end);
    match (&place.initramfs, initramfs) {
        (Some(range), Some(len)) => {
            assert_eq!(range.end - range.start, len);
            assert!(ram.start <= range.start && range.end <= ram.end);
            for other in [&place.kernel, &place.fdt] {
                assert!(range.end <= other.start || other.end <= range.start);
            }
        }
        (None, None | Some(0)) => {}
        both => panic!("{both:?}"),
    }
});
