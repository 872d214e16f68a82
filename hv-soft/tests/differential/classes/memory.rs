//! C4.1.94 "Loads and Stores".

use super::{Access, Classes, Form, Offset};
use crate::values::Lane;

fn access(offset: Offset, bytes: u32, store: bool) -> Form {
    Form::Memory(Access { offset, bytes, align: 1, store, exclusive: None })
}

fn aligned(bytes: u32, store: bool) -> Form {
    Form::Memory(Access { offset: Offset::None, bytes, align: bytes, store, exclusive: None })
}

/// Every load and store.
pub(crate) fn all(c: &mut Classes) {
    exclusive(c);
    compare_and_swap(c);
    literal(c);
    pairs(c);
    single(c);
    atomic(c);
    structures(c);
}

const SUFFIX: [(u32, &str, &str); 4] = [(0, "B", ""), (1, "H", ""), (2, "", " 32"), (3, "", " 64")];

fn exclusive(c: &mut Classes) {
    let mut add =
        |name: String, pattern: String, form| c.add(name, &pattern, form, Lane::Integer(64));
    for (size, suffix, width) in SUFFIX {
        let bytes = 1 << size;
        for (o0, name) in [(0, "STXR"), (1, "STLXR")] {
            let form = Form::Memory(Access {
                offset: Offset::None,
                bytes,
                align: bytes,
                store: true,
                exclusive: Some((bytes, false)),
            });
            add(
                format!("{name}{suffix}{width}"),
                format!("{size:02b}001000 000 sssss {o0} 11111 nnnnn ttttt"),
                form,
            );
        }
        for (o0, name) in [(0, "LDXR"), (1, "LDAXR")] {
            add(
                format!("{name}{suffix}{width}"),
                format!("{size:02b}001000 010 11111 {o0} 11111 nnnnn ttttt"),
                aligned(bytes, false),
            );
        }
        add(
            format!("STLR{suffix}{width}"),
            format!("{size:02b}001000 100 11111 1 11111 nnnnn ttttt"),
            aligned(bytes, true),
        );
        add(
            format!("LDAR{suffix}{width}"),
            format!("{size:02b}001000 110 11111 1 11111 nnnnn ttttt"),
            aligned(bytes, false),
        );
        add(
            format!("LDAPR{suffix}{width}"),
            format!("{size:02b}111000 101 11111 1 100 00 nnnnn ttttt"),
            aligned(bytes, false),
        );
    }
    for (size, width, bytes) in [(0b10, "32", 4), (0b11, "64", 8)] {
        for (o0, name) in [(0, "STXP"), (1, "STLXP")] {
            let form = Form::Memory(Access {
                offset: Offset::None,
                bytes: 2 * bytes,
                align: 2 * bytes,
                store: true,
                exclusive: Some((bytes, true)),
            });
            add(
                format!("{name} {width}"),
                format!("{size:02b}001000 001 sssss {o0} uuuuu nnnnn ttttt"),
                form,
            );
        }
        for (o0, name) in [(0, "LDXP"), (1, "LDAXP")] {
            add(
                format!("{name} {width}"),
                format!("{size:02b}001000 011 11111 {o0} uuuuu nnnnn ttttt"),
                aligned(2 * bytes, false),
            );
        }
    }
}

fn compare_and_swap(c: &mut Classes) {
    for (size, suffix, width) in SUFFIX {
        c.add(
            format!("CAS{suffix}{width}"),
            &format!("{size:02b}001000 1A1 sssss R 11111 nnnnn ttttt"),
            aligned(1 << size, true),
            Lane::Integer(64),
        );
    }
    for (size, width, bytes) in [(0b00, "32", 8), (0b01, "64", 16)] {
        c.add(
            format!("CASP {width}"),
            &format!("{size:02b}001000 0A1 ssss0 R 11111 nnnnn tttt0"),
            aligned(bytes, true),
            Lane::Integer(64),
        );
    }
}

fn literal(c: &mut Classes) {
    for (opc, v, name) in [
        (0b00, 0, "LDR (literal) 32"),
        (0b01, 0, "LDR (literal) 64"),
        (0b10, 0, "LDRSW (literal)"),
        (0b11, 0, "PRFM (literal)"),
        (0b00, 1, "LDR (literal) S"),
        (0b01, 1, "LDR (literal) D"),
        (0b10, 1, "LDR (literal) Q"),
    ] {
        c.add(
            name,
            &format!("{opc:02b}011{v}00 iiiiiiiiiiiiiiiiiii ttttt"),
            Form::Literal,
            Lane::Integer(64),
        );
    }
}

fn pairs(c: &mut Classes) {
    for (opc, v, l, name, size) in [
        (0b00, 0, 0, "STP 32", 4),
        (0b00, 0, 1, "LDP 32", 4),
        (0b01, 0, 1, "LDPSW", 4),
        (0b10, 0, 0, "STP 64", 8),
        (0b10, 0, 1, "LDP 64", 8),
        (0b00, 1, 0, "STP S", 4),
        (0b00, 1, 1, "LDP S", 4),
        (0b01, 1, 0, "STP D", 8),
        (0b01, 1, 1, "LDP D", 8),
        (0b10, 1, 0, "STP Q", 16),
        (0b10, 1, 1, "LDP Q", 16),
    ] {
        let offset = Offset::Imm7(size);
        for (kind, label, offset) in [
            (0b000, "no-allocate", offset),
            (0b001, "post-index", Offset::None),
            (0b010, "offset", offset),
            (0b011, "pre-index", offset),
        ] {
            if kind == 0 && name == "LDPSW" {
                continue;
            }
            c.add(
                format!("{name} ({label})"),
                &format!("{opc:02b}101{v}{kind:03b}{l} iiiiiii uuuuu nnnnn ttttt"),
                access(offset, 2 * size, l == 0),
                Lane::Integer(64),
            );
        }
    }
}

/// Size, opc, name and bytes of every single-register load and store of general registers.
const GENERAL: [(u32, u32, &str, u32); 13] = [
    (0, 0, "STRB", 1),
    (0, 1, "LDRB", 1),
    (0, 2, "LDRSB 64", 1),
    (0, 3, "LDRSB 32", 1),
    (1, 0, "STRH", 2),
    (1, 1, "LDRH", 2),
    (1, 2, "LDRSH 64", 2),
    (1, 3, "LDRSH 32", 2),
    (2, 0, "STR 32", 4),
    (2, 1, "LDR 32", 4),
    (2, 2, "LDRSW", 4),
    (3, 0, "STR 64", 8),
    (3, 1, "LDR 64", 8),
];

const VECTOR: [(u32, u32, &str, u32); 10] = [
    (0, 0, "STR B", 1),
    (0, 1, "LDR B", 1),
    (0, 2, "STR Q", 16),
    (0, 3, "LDR Q", 16),
    (1, 0, "STR H", 2),
    (1, 1, "LDR H", 2),
    (2, 0, "STR S", 4),
    (2, 1, "LDR S", 4),
    (3, 0, "STR D", 8),
    (3, 1, "LDR D", 8),
];

fn single(c: &mut Classes) {
    let registers = GENERAL.iter().map(|r| (0, *r)).chain(VECTOR.iter().map(|r| (1, *r)));
    for (v, (size, opc, name, bytes)) in registers.chain([(0, (3, 2, "PRFM", 8))]) {
        // A prefetch is neither: it touches nothing and never faults.
        let store = name.starts_with("STR");
        let kinds: &[(u32, &str, Offset)] = &[
            (0b00, "unscaled", Offset::Imm9),
            (0b01, "post-index", Offset::None),
            (0b10, "unprivileged", Offset::Imm9),
            (0b11, "pre-index", Offset::Imm9),
        ];
        for &(kind, label, offset) in kinds {
            if (name == "PRFM" && kind != 0) || (v == 1 && kind == 2) {
                continue;
            }
            c.add(
                format!("{name} ({label})"),
                &format!("{size:02b}111{v}00{opc:02b}0 iiiiiiiii {kind:02b} nnnnn ttttt"),
                access(offset, bytes, store),
                Lane::Integer(64),
            );
        }
        for (option, extend) in [(0b010, "UXTW"), (0b011, "LSL"), (0b110, "SXTW"), (0b111, "SXTX")]
        {
            c.add(
                format!("{name} (register, {extend})"),
                &format!("{size:02b}111{v}00{opc:02b}1 mmmmm {option:03b} s 10 nnnnn ttttt"),
                access(Offset::Register(bytes), bytes, store),
                Lane::Integer(64),
            );
        }
        c.add(
            format!("{name} (unsigned offset)"),
            &format!("{size:02b}111{v}01{opc:02b} iiiiiiiiiiii nnnnn ttttt"),
            access(Offset::Imm12(bytes), bytes, store),
            Lane::Integer(64),
        );
    }
}

fn atomic(c: &mut Classes) {
    for (size, suffix, width) in SUFFIX {
        for (o3, opc, name) in [
            (0, 0, "LDADD"),
            (0, 1, "LDCLR"),
            (0, 2, "LDEOR"),
            (0, 3, "LDSET"),
            (0, 4, "LDSMAX"),
            (0, 5, "LDSMIN"),
            (0, 6, "LDUMAX"),
            (0, 7, "LDUMIN"),
            (1, 0, "SWP"),
        ] {
            c.add(
                format!("{name}{suffix}{width}"),
                &format!("{size:02b}111000 AR1 sssss {o3}{opc:03b}00 nnnnn ttttt"),
                aligned(1 << size, true),
                Lane::Integer(64),
            );
        }
    }
}

/// "Advanced SIMD load/store multiple structures" and "single structure", with and without post-index.
fn structures(c: &mut Classes) {
    for (l, verb) in [(0, "ST"), (1, "LD")] {
        for (opcode, name, registers) in [
            (0b0000, "4 multiple", 4),
            (0b0010, "1 of four registers", 4),
            (0b0100, "3 multiple", 3),
            (0b0110, "1 of three registers", 3),
            (0b0111, "1 of one register", 1),
            (0b1000, "2 multiple", 2),
            (0b1010, "1 of two registers", 2),
        ] {
            for q in 0..2 {
                for size in 0..4 {
                    if size == 3 && q == 0 && matches!(opcode, 0b0000 | 0b0100 | 0b1000) {
                        continue;
                    }
                    let form = access(Offset::None, registers * (8 << q), l == 0);
                    let tail = format!("{opcode:04b}{size:02b} nnnnn ttttt");
                    c.add(
                        format!("{verb}{name}, Q={q} size={size}"),
                        &format!("0{q}001100 0{l}0 00000 {tail}"),
                        form,
                        Lane::Integer(64),
                    );
                    c.add(
                        format!("{verb}{name}, Q={q} size={size}, post-index"),
                        &format!("0{q}001100 1{l}0 mmmmm {tail}"),
                        form,
                        Lane::Integer(64),
                    );
                }
            }
        }
        for registers in 1..=4u32 {
            let (r, high) = ((registers - 1) & 1, (registers - 1) >> 1);
            for (scale, tail, element) in [
                (0b00, "s ss", 1),
                (0b01, "s s0", 2),
                (0b10, "s 00", 4),
                (0b10, "0 01", 8),
                (0b11, "0 ss", 0),
            ] {
                if scale == 3 && l == 0 {
                    continue;
                }
                let opcode = scale << 1 | high;
                // Replication loads one element of each structure, at most eight bytes.
                let (bytes, kind) = if element == 0 {
                    (8 * registers, "replicated".to_owned())
                } else {
                    (element * registers, format!("lane of {element}"))
                };
                let form = access(Offset::None, bytes, l == 0);
                c.add(
                    format!("{verb}{registers} {kind}"),
                    &format!("0q001101 0{l}{r} 00000 {opcode:03b} {tail} nnnnn ttttt"),
                    form,
                    Lane::Integer(64),
                );
                c.add(
                    format!("{verb}{registers} {kind}, post-index"),
                    &format!("0q001101 1{l}{r} mmmmm {opcode:03b} {tail} nnnnn ttttt"),
                    form,
                    Lane::Integer(64),
                );
            }
        }
    }
}
