//! The decoder is total, and agrees with its own table: a word decodes to an allocated instruction exactly if a class
//! claims it, and its operands are registers that exist.
#![no_main]

use hv_soft::decode::{class_of, decode, patterns};
use hv_soft::insn::Op;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for word in bytes.chunks_exact(4) {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let insn = decode(word);
        match class_of(word) {
            Some(class) => {
                assert!(class.matches(word));
                assert_ne!(insn.op, Op::Undefined, "{word:#010x} belongs to {}", class.name);
            }
            None => assert_eq!(insn.op, Op::Undefined, "{word:#010x} belongs to no class"),
        }
        // The index finds what a walk through the table finds.
        let walked = patterns().find(|p| p.matches(word) && (p.decode)(word).is_some());
        assert_eq!(walked.map(|p| p.name), class_of(word).map(|p| p.name), "{word:#010x}");
    }
});
