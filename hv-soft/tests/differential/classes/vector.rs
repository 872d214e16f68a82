//! C4.1.96 "Data Processing -- Scalar Floating-Point and Advanced SIMD": AdvSIMD integer and floating point, and the
//! cryptographic instructions.

use super::{Classes, Form};
use crate::values::Lane;

/// The lane that a size field of 0 to 3 stands for.
fn integer(size: u32) -> Lane {
    Lane::Integer(8 << size)
}

fn float(sz: u32) -> Lane {
    if sz == 0 { Lane::Single } else { Lane::Double }
}

/// Whether 64-bit lanes make do with half a register: they do not.
fn arrangement_exists(q: u32, size: u32) -> bool {
    q == 1 || size < 3
}

pub(crate) fn all(c: &mut Classes) {
    crypto(c);
    copy(c);
    permute(c);
    three_same(c);
    three_same_float(c);
    two_misc(c);
    two_misc_float(c);
    across(c);
    three_different(c);
    by_element(c);
    modified_immediate(c);
}

fn crypto(c: &mut Classes) {
    for (opcode, name) in [(4, "AESE"), (5, "AESD"), (6, "AESMC"), (7, "AESIMC")] {
        c.plain(name, &format!("0100111000 10100 {opcode:05b} 10 nnnnn ddddd"));
    }
    for (opcode, name) in [
        (0, "SHA1C"),
        (1, "SHA1P"),
        (2, "SHA1M"),
        (3, "SHA1SU0"),
        (4, "SHA256H"),
        (5, "SHA256H2"),
        (6, "SHA256SU1"),
    ] {
        c.plain(name, &format!("01011110000 mmmmm 0{opcode:03b}00 nnnnn ddddd"));
    }
    for (opcode, name) in [(0, "SHA1H"), (1, "SHA1SU1"), (2, "SHA256SU0")] {
        c.plain(name, &format!("0101111000 10100 {opcode:05b} 10 nnnnn ddddd"));
    }
}

fn copy(c: &mut Classes) {
    for (size, imm5) in [(0, "xxxx1"), (1, "xxx10"), (2, "xx100"), (3, "x1000")] {
        let bits = 8 << size;
        for q in 0..2 {
            if arrangement_exists(q, size) {
                c.plain(
                    format!("DUP (element) {bits}, Q={q}"),
                    &format!("0{q}001110000 {imm5} 0 0000 1 nnnnn ddddd"),
                );
                c.plain(
                    format!("DUP (general) {bits}, Q={q}"),
                    &format!("0{q}001110000 {imm5} 0 0001 1 nnnnn ddddd"),
                );
            }
            if size < 2 || (size == 2 && q == 1) {
                c.plain(
                    format!("SMOV {bits}, Q={q}"),
                    &format!("0{q}001110000 {imm5} 0 0101 1 nnnnn ddddd"),
                );
            }
            if (q == 1) == (size == 3) {
                c.plain(
                    format!("UMOV {bits}"),
                    &format!("0{q}001110000 {imm5} 0 0111 1 nnnnn ddddd"),
                );
            }
        }
        c.plain(
            format!("DUP (scalar) {bits}"),
            &format!("01011110000 {imm5} 0 0000 1 nnnnn ddddd"),
        );
        c.plain(
            format!("INS (general) {bits}"),
            &format!("01001110000 {imm5} 0 0011 1 nnnnn ddddd"),
        );
        c.plain(
            format!("INS (element) {bits}"),
            &format!("01101110000 {imm5} 0 iiii 1 nnnnn ddddd"),
        );
    }
}

fn permute(c: &mut Classes) {
    for q in 0..2 {
        for len in 0..4 {
            for (op, name) in [(0, "TBL"), (1, "TBX")] {
                c.add(
                    format!("{name}, {} registers, Q={q}", len + 1),
                    &format!("0{q}001110000 mmmmm 0 {len:02b} {op}00 nnnnn ddddd"),
                    Form::Plain,
                    Lane::Integer(8),
                );
            }
        }
        for (opcode, name) in
            [(1, "UZP1"), (2, "TRN1"), (3, "ZIP1"), (5, "UZP2"), (6, "TRN2"), (7, "ZIP2")]
        {
            for size in (0..4).filter(|size| arrangement_exists(q, *size)) {
                c.plain(
                    format!("{name}, Q={q} size={size}"),
                    &format!("0{q}001110{size:02b}0 mmmmm 0 {opcode:03b} 10 nnnnn ddddd"),
                );
            }
        }
    }
    c.plain("EXT 8B", "00101110000 mmmmm 0 0iii 0 nnnnn ddddd");
    c.plain("EXT 16B", "01101110000 mmmmm 0 iiii 0 nnnnn ddddd");
}

/// U, opcode, name, sizes of "Advanced SIMD three same": integers. The scalar form exists where the last field says so.
type ThreeSame = (u32, u32, &'static str, &'static [u32], &'static [u32]);

const THREE_SAME: &[ThreeSame] = &[
    (0, 0b00000, "SHADD", &[0, 1, 2], &[]),
    (0, 0b00001, "SQADD", &[0, 1, 2, 3], &[0, 1, 2, 3]),
    (0, 0b00010, "SRHADD", &[0, 1, 2], &[]),
    (0, 0b00100, "SHSUB", &[0, 1, 2], &[]),
    (0, 0b00101, "SQSUB", &[0, 1, 2, 3], &[0, 1, 2, 3]),
    (0, 0b00110, "CMGT", &[0, 1, 2, 3], &[3]),
    (0, 0b00111, "CMGE", &[0, 1, 2, 3], &[3]),
    (0, 0b01000, "SSHL", &[0, 1, 2, 3], &[3]),
    (0, 0b01001, "SQSHL (register)", &[0, 1, 2, 3], &[0, 1, 2, 3]),
    (0, 0b01010, "SRSHL", &[0, 1, 2, 3], &[3]),
    (0, 0b01011, "SQRSHL", &[0, 1, 2, 3], &[0, 1, 2, 3]),
    (0, 0b01100, "SMAX", &[0, 1, 2], &[]),
    (0, 0b01101, "SMIN", &[0, 1, 2], &[]),
    (0, 0b01110, "SABD", &[0, 1, 2], &[]),
    (0, 0b01111, "SABA", &[0, 1, 2], &[]),
    (0, 0b10000, "ADD (vector)", &[0, 1, 2, 3], &[3]),
    (0, 0b10001, "CMTST", &[0, 1, 2, 3], &[3]),
    (0, 0b10010, "MLA", &[0, 1, 2], &[]),
    (0, 0b10011, "MUL", &[0, 1, 2], &[]),
    (0, 0b10100, "SMAXP", &[0, 1, 2], &[]),
    (0, 0b10101, "SMINP", &[0, 1, 2], &[]),
    (0, 0b10110, "SQDMULH", &[1, 2], &[1, 2]),
    (0, 0b10111, "ADDP (vector)", &[0, 1, 2, 3], &[]),
    (1, 0b00000, "UHADD", &[0, 1, 2], &[]),
    (1, 0b00001, "UQADD", &[0, 1, 2, 3], &[0, 1, 2, 3]),
    (1, 0b00010, "URHADD", &[0, 1, 2], &[]),
    (1, 0b00100, "UHSUB", &[0, 1, 2], &[]),
    (1, 0b00101, "UQSUB", &[0, 1, 2, 3], &[0, 1, 2, 3]),
    (1, 0b00110, "CMHI", &[0, 1, 2, 3], &[3]),
    (1, 0b00111, "CMHS", &[0, 1, 2, 3], &[3]),
    (1, 0b01000, "USHL", &[0, 1, 2, 3], &[3]),
    (1, 0b01001, "UQSHL (register)", &[0, 1, 2, 3], &[0, 1, 2, 3]),
    (1, 0b01010, "URSHL", &[0, 1, 2, 3], &[3]),
    (1, 0b01011, "UQRSHL", &[0, 1, 2, 3], &[0, 1, 2, 3]),
    (1, 0b01100, "UMAX", &[0, 1, 2], &[]),
    (1, 0b01101, "UMIN", &[0, 1, 2], &[]),
    (1, 0b01110, "UABD", &[0, 1, 2], &[]),
    (1, 0b01111, "UABA", &[0, 1, 2], &[]),
    (1, 0b10000, "SUB (vector)", &[0, 1, 2, 3], &[3]),
    (1, 0b10001, "CMEQ", &[0, 1, 2, 3], &[3]),
    (1, 0b10010, "MLS", &[0, 1, 2], &[]),
    (1, 0b10011, "PMUL", &[0], &[]),
    (1, 0b10100, "UMAXP", &[0, 1, 2], &[]),
    (1, 0b10101, "UMINP", &[0, 1, 2], &[]),
    (1, 0b10110, "SQRDMULH", &[1, 2], &[1, 2]),
];

fn three_same(c: &mut Classes) {
    for &(u, opcode, name, sizes, scalars) in THREE_SAME {
        for &size in sizes {
            for q in (0..2).filter(|q| arrangement_exists(*q, size)) {
                c.add(
                    format!("{name}, Q={q} size={size}"),
                    &format!("0{q}{u}01110{size:02b}1 mmmmm {opcode:05b} 1 nnnnn ddddd"),
                    Form::Plain,
                    integer(size),
                );
            }
        }
        for &size in scalars {
            c.add(
                format!("{name}, scalar size={size}"),
                &format!("01{u}11110{size:02b}1 mmmmm {opcode:05b} 1 nnnnn ddddd"),
                Form::Plain,
                integer(size),
            );
        }
    }
    for (u, size, name) in [
        (0, 0, "AND"),
        (0, 1, "BIC"),
        (0, 2, "ORR"),
        (0, 3, "ORN"),
        (1, 0, "EOR"),
        (1, 1, "BSL"),
        (1, 2, "BIT"),
        (1, 3, "BIF"),
    ] {
        c.plain(
            format!("{name} (vector)"),
            &format!("0q{u}01110{size:02b}1 mmmmm 000111 nnnnn ddddd"),
        );
    }
    for size in 1..3 {
        for (opcode, name) in [(0b0000, "SQRDMLAH (vector)"), (0b0001, "SQRDMLSH (vector)")] {
            for q in 0..2 {
                c.add(
                    format!("{name}, Q={q} size={size}"),
                    &format!("0{q}101110{size:02b}0 mmmmm 1{opcode:04b}1 nnnnn ddddd"),
                    Form::Plain,
                    integer(size),
                );
            }
            c.add(
                format!("{name}, scalar size={size}"),
                &format!("01111110{size:02b}0 mmmmm 1{opcode:04b}1 nnnnn ddddd"),
                Form::Plain,
                integer(size),
            );
        }
    }
    for (u, name) in [(0, "SDOT (vector)"), (1, "UDOT (vector)")] {
        c.add(
            name,
            &format!("0q{u}01110100 mmmmm 100101 nnnnn ddddd"),
            Form::Plain,
            Lane::Integer(8),
        );
    }
}

fn three_same_float(c: &mut Classes) {
    for (u, a, opcode, name, scalar) in [
        (0, 0, 0b11000, "FMAXNM", false),
        (0, 0, 0b11001, "FMLA", false),
        (0, 0, 0b11010, "FADD", false),
        (0, 0, 0b11011, "FMULX", true),
        (0, 0, 0b11100, "FCMEQ", true),
        (0, 0, 0b11110, "FMAX", false),
        (0, 0, 0b11111, "FRECPS", true),
        (0, 1, 0b11000, "FMINNM", false),
        (0, 1, 0b11001, "FMLS", false),
        (0, 1, 0b11010, "FSUB", false),
        (0, 1, 0b11110, "FMIN", false),
        (0, 1, 0b11111, "FRSQRTS", true),
        (1, 0, 0b11000, "FMAXNMP", false),
        (1, 0, 0b11010, "FADDP", false),
        (1, 0, 0b11011, "FMUL", false),
        (1, 0, 0b11100, "FCMGE", true),
        (1, 0, 0b11101, "FACGE", true),
        (1, 0, 0b11110, "FMAXP", false),
        (1, 0, 0b11111, "FDIV", false),
        (1, 1, 0b11000, "FMINNMP", false),
        (1, 1, 0b11010, "FABD", true),
        (1, 1, 0b11100, "FCMGT", true),
        (1, 1, 0b11101, "FACGT", true),
        (1, 1, 0b11110, "FMINP", false),
    ] {
        for sz in 0..2 {
            for q in (0..2).filter(|q| arrangement_exists(*q, 2 + sz)) {
                c.add(
                    format!("{name} (vector), Q={q} sz={sz}"),
                    &format!("0{q}{u}01110{a}{sz}1 mmmmm {opcode:05b} 1 nnnnn ddddd"),
                    Form::Plain,
                    float(sz),
                );
            }
            if scalar {
                c.add(
                    format!("{name}, scalar sz={sz}"),
                    &format!("01{u}11110{a}{sz}1 mmmmm {opcode:05b} 1 nnnnn ddddd"),
                    Form::Plain,
                    float(sz),
                );
            }
        }
    }
}

fn two_misc(c: &mut Classes) {
    for (u, opcode, name, sizes, scalars) in [
        (0, 0b00000, "REV64 (vector)", 0..3, 0..0),
        (0, 0b00001, "REV16 (vector)", 0..1, 0..0),
        (0, 0b00010, "SADDLP", 0..3, 0..0),
        (0, 0b00011, "SUQADD", 0..4, 0..4),
        (0, 0b00100, "CLS (vector)", 0..3, 0..0),
        (0, 0b00101, "CNT", 0..1, 0..0),
        (0, 0b00110, "SADALP", 0..3, 0..0),
        (0, 0b00111, "SQABS", 0..4, 0..4),
        (0, 0b01000, "CMGT (zero)", 0..4, 3..4),
        (0, 0b01001, "CMEQ (zero)", 0..4, 3..4),
        (0, 0b01010, "CMLT (zero)", 0..4, 3..4),
        (0, 0b01011, "ABS", 0..4, 3..4),
        (0, 0b10010, "XTN", 0..3, 0..0),
        (0, 0b10100, "SQXTN", 0..3, 0..3),
        (1, 0b00000, "REV32 (vector)", 0..2, 0..0),
        (1, 0b00010, "UADDLP", 0..3, 0..0),
        (1, 0b00011, "USQADD", 0..4, 0..4),
        (1, 0b00100, "CLZ (vector)", 0..3, 0..0),
        (1, 0b00101, "NOT and RBIT (vector)", 0..2, 0..0),
        (1, 0b00110, "UADALP", 0..3, 0..0),
        (1, 0b00111, "SQNEG", 0..4, 0..4),
        (1, 0b01000, "CMGE (zero)", 0..4, 3..4),
        (1, 0b01001, "CMLE (zero)", 0..4, 3..4),
        (1, 0b01011, "NEG (vector)", 0..4, 3..4),
        (1, 0b10010, "SQXTUN", 0..3, 0..3),
        (1, 0b10011, "SHLL", 0..3, 0..0),
        (1, 0b10100, "UQXTN", 0..3, 0..3),
    ] {
        let narrowing = u32::from(name.contains("XT"));
        for size in sizes {
            for q in (0..2).filter(|q| arrangement_exists(*q, size)) {
                c.add(
                    format!("{name}, Q={q} size={size}"),
                    &format!("0{q}{u}01110{size:02b}10000 {opcode:05b} 10 nnnnn ddddd"),
                    Form::Plain,
                    integer(size + narrowing),
                );
            }
        }
        for size in scalars {
            c.add(
                format!("{name}, scalar size={size}"),
                &format!("01{u}11110{size:02b}10000 {opcode:05b} 10 nnnnn ddddd"),
                Form::Plain,
                integer(size + narrowing),
            );
        }
    }
    c.plain("ADDP (scalar)", "0101111011 11000 11011 10 nnnnn ddddd");
}

fn two_misc_float(c: &mut Classes) {
    for (u, a, opcode, name, scalar) in [
        (0, 0, 0b11000, "FRINTN", false),
        (0, 0, 0b11001, "FRINTM", false),
        (0, 0, 0b11010, "FCVTNS", true),
        (0, 0, 0b11011, "FCVTMS", true),
        (0, 0, 0b11100, "FCVTAS", true),
        (0, 0, 0b11101, "SCVTF", true),
        (0, 1, 0b01100, "FCMGT (zero)", true),
        (0, 1, 0b01101, "FCMEQ (zero)", true),
        (0, 1, 0b01110, "FCMLT (zero)", true),
        (0, 1, 0b01111, "FABS", false),
        (0, 1, 0b11000, "FRINTP", false),
        (0, 1, 0b11001, "FRINTZ", false),
        (0, 1, 0b11010, "FCVTPS", true),
        (0, 1, 0b11011, "FCVTZS", true),
        (0, 1, 0b11101, "FRECPE", true),
        (1, 0, 0b11000, "FRINTA", false),
        (1, 0, 0b11001, "FRINTX", false),
        (1, 0, 0b11010, "FCVTNU", true),
        (1, 0, 0b11011, "FCVTMU", true),
        (1, 0, 0b11100, "FCVTAU", true),
        (1, 0, 0b11101, "UCVTF", true),
        (1, 1, 0b01100, "FCMGE (zero)", true),
        (1, 1, 0b01101, "FCMLE (zero)", true),
        (1, 1, 0b01111, "FNEG", false),
        (1, 1, 0b11001, "FRINTI", false),
        (1, 1, 0b11010, "FCVTPU", true),
        (1, 1, 0b11011, "FCVTZU", true),
        (1, 1, 0b11101, "FRSQRTE", true),
        (1, 1, 0b11111, "FSQRT", false),
    ] {
        for sz in 0..2 {
            let lane = if name.ends_with("CVTF") { integer(2 + sz) } else { float(sz) };
            for q in (0..2).filter(|q| arrangement_exists(*q, 2 + sz)) {
                c.add(
                    format!("{name} (vector), Q={q} sz={sz}"),
                    &format!("0{q}{u}01110{a}{sz}10000 {opcode:05b} 10 nnnnn ddddd"),
                    Form::Plain,
                    lane,
                );
            }
            if scalar {
                c.add(
                    format!("{name}, AdvSIMD scalar sz={sz}"),
                    &format!("01{u}11110{a}{sz}10000 {opcode:05b} 10 nnnnn ddddd"),
                    Form::Plain,
                    lane,
                );
            }
        }
    }
    for (name, pattern, lane) in [
        ("FCVTN, single to half", "0q00111000 10000 10110 10 nnnnn ddddd", Lane::Single),
        ("FCVTN, double to single", "0q00111001 10000 10110 10 nnnnn ddddd", Lane::Double),
        ("FCVTL, half to single", "0q00111000 10000 10111 10 nnnnn ddddd", Lane::Half),
        ("FCVTL, single to double", "0q00111001 10000 10111 10 nnnnn ddddd", Lane::Single),
        ("FCVTXN (vector)", "0q10111001 10000 10110 10 nnnnn ddddd", Lane::Double),
        ("FCVTXN (scalar)", "0111111001 10000 10110 10 nnnnn ddddd", Lane::Double),
        ("URECPE", "0q00111010 10000 11100 10 nnnnn ddddd", Lane::Integer(32)),
        ("URSQRTE", "0q10111010 10000 11100 10 nnnnn ddddd", Lane::Integer(32)),
        ("FRECPX, single", "0101111010 10000 11111 10 nnnnn ddddd", Lane::Single),
        ("FRECPX, double", "0101111011 10000 11111 10 nnnnn ddddd", Lane::Double),
    ] {
        c.add(name, pattern, Form::Plain, lane);
    }
    for (a, opcode, name) in [
        (0, 0b01100, "FMAXNMP"),
        (0, 0b01101, "FADDP"),
        (0, 0b01111, "FMAXP"),
        (1, 0b01100, "FMINNMP"),
        (1, 0b01111, "FMINP"),
    ] {
        for sz in 0..2 {
            c.add(
                format!("{name} (scalar), sz={sz}"),
                &format!("01111110{a}{sz}11000 {opcode:05b} 10 nnnnn ddddd"),
                Form::Plain,
                float(sz),
            );
        }
    }
}

fn across(c: &mut Classes) {
    for (u, opcode, name) in [
        (0, 0b00011, "SADDLV"),
        (1, 0b00011, "UADDLV"),
        (0, 0b01010, "SMAXV"),
        (1, 0b01010, "UMAXV"),
        (0, 0b11010, "SMINV"),
        (1, 0b11010, "UMINV"),
        (0, 0b11011, "ADDV"),
    ] {
        for (q, size) in [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2)] {
            c.add(
                format!("{name}, Q={q} size={size}"),
                &format!("0{q}{u}01110{size:02b}11000 {opcode:05b} 10 nnnnn ddddd"),
                Form::Plain,
                integer(size),
            );
        }
    }
    for (a, opcode, name) in [
        (0, 0b01100, "FMAXNMV"),
        (0, 0b01111, "FMAXV"),
        (1, 0b01100, "FMINNMV"),
        (1, 0b01111, "FMINV"),
    ] {
        c.add(
            name,
            &format!("01101110{a}011000 {opcode:05b} 10 nnnnn ddddd"),
            Form::Plain,
            Lane::Single,
        );
    }
}

fn three_different(c: &mut Classes) {
    for (u, opcode, name, sizes) in [
        (0, 0b0000, "SADDL", 0..3),
        (0, 0b0001, "SADDW", 0..3),
        (0, 0b0010, "SSUBL", 0..3),
        (0, 0b0011, "SSUBW", 0..3),
        (0, 0b0100, "ADDHN", 0..3),
        (0, 0b0101, "SABAL", 0..3),
        (0, 0b0110, "SUBHN", 0..3),
        (0, 0b0111, "SABDL", 0..3),
        (0, 0b1000, "SMLAL", 0..3),
        (0, 0b1001, "SQDMLAL", 1..3),
        (0, 0b1010, "SMLSL", 0..3),
        (0, 0b1011, "SQDMLSL", 1..3),
        (0, 0b1100, "SMULL", 0..3),
        (0, 0b1101, "SQDMULL", 1..3),
        (0, 0b1110, "PMULL 8", 0..1),
        (0, 0b1110, "PMULL 64", 3..4),
        (1, 0b0000, "UADDL", 0..3),
        (1, 0b0001, "UADDW", 0..3),
        (1, 0b0010, "USUBL", 0..3),
        (1, 0b0011, "USUBW", 0..3),
        (1, 0b0100, "RADDHN", 0..3),
        (1, 0b0101, "UABAL", 0..3),
        (1, 0b0110, "RSUBHN", 0..3),
        (1, 0b0111, "UABDL", 0..3),
        (1, 0b1000, "UMLAL", 0..3),
        (1, 0b1010, "UMLSL", 0..3),
        (1, 0b1100, "UMULL", 0..3),
    ] {
        for size in sizes {
            for q in 0..2 {
                c.add(
                    format!("{name} (vector), Q={q} size={size}"),
                    &format!("0{q}{u}01110{size:02b}1 mmmmm {opcode:04b} 00 nnnnn ddddd"),
                    Form::Plain,
                    integer(size),
                );
            }
            if name.starts_with("SQDM") {
                c.add(
                    format!("{name} (scalar), size={size}"),
                    &format!("01011110{size:02b}1 mmmmm {opcode:04b} 00 nnnnn ddddd"),
                    Form::Plain,
                    integer(size),
                );
            }
        }
    }
}

fn by_element(c: &mut Classes) {
    for (u, opcode, name, scalar) in [
        (0, 0b0010, "SMLAL", false),
        (0, 0b0011, "SQDMLAL", true),
        (0, 0b0110, "SMLSL", false),
        (0, 0b0111, "SQDMLSL", true),
        (0, 0b1000, "MUL", false),
        (0, 0b1010, "SMULL", false),
        (0, 0b1011, "SQDMULL", true),
        (0, 0b1100, "SQDMULH", true),
        (0, 0b1101, "SQRDMULH", true),
        (1, 0b0000, "MLA", false),
        (1, 0b0010, "UMLAL", false),
        (1, 0b0100, "MLS", false),
        (1, 0b0110, "UMLSL", false),
        (1, 0b1010, "UMULL", false),
        (1, 0b1101, "SQRDMLAH", true),
        (1, 0b1111, "SQRDMLSH", true),
    ] {
        for size in 1..3 {
            for q in 0..2 {
                c.add(
                    format!("{name} (by element), Q={q} size={size}"),
                    &format!("0{q}{u}01111{size:02b} L mmmmm {opcode:04b} H 0 nnnnn ddddd"),
                    Form::Plain,
                    integer(size),
                );
            }
            if scalar {
                c.add(
                    format!("{name} (by element), scalar size={size}"),
                    &format!("01{u}11111{size:02b} L mmmmm {opcode:04b} H 0 nnnnn ddddd"),
                    Form::Plain,
                    integer(size),
                );
            }
        }
    }
    for (u, opcode, name) in
        [(0, 0b0001, "FMLA"), (0, 0b0101, "FMLS"), (0, 0b1001, "FMUL"), (1, 0b1001, "FMULX")]
    {
        for (kind, q, sz) in [
            ("Q=0", "00", 0),
            ("Q=1", "01", 0),
            ("Q=1", "01", 1),
            ("scalar", "01", 0),
            ("scalar", "01", 1),
        ] {
            let (index, scalar) = (if sz == 0 { "L" } else { "0" }, u32::from(kind == "scalar"));
            c.add(
                format!("{name} (by element), {kind} sz={sz}"),
                &format!("{q}{u}{scalar}1111 1{sz} {index} mmmmm {opcode:04b} H 0 nnnnn ddddd"),
                Form::Plain,
                float(sz),
            );
        }
    }
    for (u, name) in [(0, "SDOT"), (1, "UDOT")] {
        c.add(
            format!("{name} (by element)"),
            &format!("0q{u}0111110 L mmmmm 1110 H 0 nnnnn ddddd"),
            Form::Plain,
            Lane::Integer(8),
        );
    }
}

fn modified_immediate(c: &mut Classes) {
    for (name, op, cmode) in [
        ("MOVI 32", 0, "0xx0"),
        ("ORR (immediate) 32", 0, "0xx1"),
        ("MOVI 16", 0, "10x0"),
        ("ORR (immediate) 16", 0, "10x1"),
        ("MOVI 32, shifted ones", 0, "110x"),
        ("MOVI 8", 0, "1110"),
        ("FMOV (immediate) single", 0, "1111"),
        ("MVNI 32", 1, "0xx0"),
        ("BIC (immediate) 32", 1, "0xx1"),
        ("MVNI 16", 1, "10x0"),
        ("BIC (immediate) 16", 1, "10x1"),
        ("MVNI 32, shifted ones", 1, "110x"),
        ("MOVI 64", 1, "1110"),
        ("FMOV (immediate) double", 1, "1111"),
    ] {
        let q = if name.ends_with("double") { "1" } else { "q" };
        c.plain(
            format!("{name}, vector"),
            &format!("0{q}{op}0111100000 iii {cmode} 01 iiiii ddddd"),
        );
    }
}
