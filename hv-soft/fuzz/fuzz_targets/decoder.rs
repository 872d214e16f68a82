//! The decoder is total, and agrees with its own table: a word decodes to an allocated instruction exactly if a class
//! claims it, and its operands are registers that exist.
#![no_main]

use hv_soft::decode::{class_of, decode};
use hv_soft::insn::Op;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for word in bytes.chunks_exact(4) {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let insn = decode(word);
        match class_of(word) {
            // The index finds what a walk through the table finds.
            Some(class) => {
                let walked = (class.decode)(word).map(|insn| format!("{insn:?}"));
                assert_eq!(walked, Some(format!("{insn:?}")), "{word:#010x} is {}", class.name);
            }
            None => assert_eq!(insn.op, Op::Undefined, "{word:#010x} belongs to no class"),
        }
    }
});
