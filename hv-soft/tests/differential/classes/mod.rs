//! The encoding classes under test, written from the Arm Architecture Reference Manual (DDI 0487, section C4.1 "A64
//! instruction set encoding") and not from the decoder.

pub(crate) mod exceptions;
mod float;
mod integer;
mod memory;
mod shift;
mod system;
mod vector;

use crate::values::Lane;

/// How an instance of a class gets at memory or moves the program counter, which decides what registers must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Registers only.
    Plain,
    /// A branch to an immediate offset, or none.
    Branch,
    /// A branch to Rn.
    BranchRegister,
    /// A PC-relative load: its data are the random bytes around the slots.
    Literal,
    /// Loads or stores relative to Rn.
    Memory(Access),
    /// DC ZVA and the other operations by address in Rt.
    CacheLine,
    /// Any word of a top-level group.
    Random,
    /// `MSR register, Xt` followed by `MRS Xm, register`.
    SystemWrite,
}

/// The effective address of a load or store, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub offset: Offset,
    /// Bytes from the effective address on.
    pub bytes: u32,
    /// Alignment that the architecture demands, 1 for none.
    pub align: u32,
    pub store: bool,
    /// The store half of an exclusive pair: size of one register in bytes, and whether it is a pair.
    pub exclusive: Option<(u32, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offset {
    /// The base register alone, also for post-index forms.
    None,
    /// Bits 20:12, signed.
    Imm9,
    /// Bits 21:10, scaled.
    Imm12(u32),
    /// Bits 21:15, signed and scaled.
    Imm7(u32),
    /// Rm extended by option and shifted by S × scale.
    Register(u32),
}

#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub name: String,
    pub mask: u32,
    pub value: u32,
    pub form: Form,
    /// What the vector registers should mostly hold.
    pub lane: Lane,
}

impl Class {
    /// Whether every word of the class is UNDEFINED, or traps as if it were, at EL0.
    pub(crate) fn is_undefined(&self) -> bool {
        [
            "HLT",
            "HVC",
            "SMC",
            "DCPS",
            "UDF",
            "MSR DAIF",
            "MSR SPSel",
            "MSR TPIDRRO",
            "DC IVAC",
            "TLBI",
            "AT",
            "ERET",
            "DRPS",
        ]
        .iter()
        .any(|name| self.name.starts_with(name))
    }
}

/// The classes in the making.
#[derive(Default)]
pub(crate) struct Classes(Vec<Class>);

impl Classes {
    /// Adds a class. In `pattern`, `0` and `1` are fixed, blanks are nothing, everything else is free.
    fn add(&mut self, name: impl Into<String>, pattern: &str, form: Form, lane: Lane) {
        let (mut mask, mut value, mut length) = (0u32, 0u32, 0);
        for c in pattern.chars().filter(|c| !c.is_whitespace()) {
            mask = mask << 1 | u32::from(matches!(c, '0' | '1'));
            value = value << 1 | u32::from(c == '1');
            length += 1;
        }
        let name = name.into();
        assert_eq!(length, 32, "the pattern of {name} has {length} bits: {pattern}");
        assert!(self.0.iter().all(|c| c.name != name), "two classes named {name}");
        self.0.push(Class { name, mask, value, form, lane });
    }

    fn plain(&mut self, name: impl Into<String>, pattern: &str) {
        self.add(name, pattern, Form::Plain, Lane::Any);
    }
}

/// Every class, in the order of the manual.
pub(crate) fn all() -> Vec<Class> {
    let mut classes = Classes::default();
    integer::immediate(&mut classes);
    system::branches(&mut classes);
    system::system(&mut classes);
    memory::all(&mut classes);
    integer::register(&mut classes);
    vector::all(&mut classes);
    shift::all(&mut classes);
    float::all(&mut classes);
    groups(&mut classes);
    classes.0
}

/// Random words of each top-level group (C4.1, table "Main encoding table"): what is not allocated is UNDEFINED.
fn groups(classes: &mut Classes) {
    for (name, pattern) in [
        ("any: reserved", "xxx0000xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: SME", "xxx0001xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: SVE", "xxx0010xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: unallocated", "xxx0011xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: data processing, immediate", "xxx100xxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: branches, exceptions, system", "xxx101xxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: system registers and operations", "1101010100xxxxxxxxxxxxxxxxxxxxxx"),
        ("any: hints and barriers", "11010101000000110xxxxxxxxxxxxxxx"),
        ("any: branch to register", "1101011xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: loads and stores", "xxxx1x0xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: exclusives and ordered", "xx001000xxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: structures", "0x00110xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: atomics and register offset", "xx111x00xx1xxxxxxxxxxxxxxxxxxxxx"),
        ("any: data processing, register", "xxxx101xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: one and two sources", "xx0110101xxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: three sources", "xxx11011xxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: SIMD and floating point", "xxxx111xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: AdvSIMD", "0xx01110xxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: AdvSIMD by element and shift", "0xx01111xxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: AdvSIMD two registers", "0xx01110xx1x000xxxxx10xxxxxxxxxx"),
        ("any: AdvSIMD scalar", "01x1111xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: AdvSIMD scalar two registers", "01x11110xx1x000xxxxx10xxxxxxxxxx"),
        ("any: floating point", "x0x1111xxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("any: floating point, conversions", "x0011110xx1xxxxx000000xxxxxxxxxx"),
        ("any: floating point, one source", "x0011110xx1xxxxxx10000xxxxxxxxxx"),
        ("any: cryptographic", "01x0111000xxxxxxxxxx10xxxxxxxxxx"),
        ("any: cryptographic, scalar", "010111100xxxxxxx0xxxx0xxxxxxxxxx"),
        ("any: cryptographic, Armv8.2", "11001110xxxxxxxxxxxxxxxxxxxxxxxx"),
    ] {
        classes.add(name, pattern, Form::Random, Lane::Any);
    }
}
