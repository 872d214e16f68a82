//! Scalar floating point (C4.1.96): conversions, arithmetic, comparisons.

use super::{Classes, Form};
use crate::values::Lane;

const TYPES: [(u32, &str, Lane); 2] = [(0b00, "S", Lane::Single), (0b01, "D", Lane::Double)];

pub(crate) fn all(c: &mut Classes) {
    conversions(c);
    one_source(c);
    compare(c);
    arithmetic(c);
}

fn conversions(c: &mut Classes) {
    for (kind, letter, lane) in TYPES {
        for (sf, width) in [(0, "32"), (1, "64")] {
            for (rmode, opcode, name) in [
                (0, 0, "FCVTNS"),
                (0, 1, "FCVTNU"),
                (0, 2, "SCVTF"),
                (0, 3, "UCVTF"),
                (0, 4, "FCVTAS"),
                (0, 5, "FCVTAU"),
                (1, 0, "FCVTPS"),
                (1, 1, "FCVTPU"),
                (2, 0, "FCVTMS"),
                (2, 1, "FCVTMU"),
                (3, 0, "FCVTZS"),
                (3, 1, "FCVTZU"),
            ] {
                c.add(
                    format!("{name} {letter}, {width}"),
                    &format!("{sf}0011110{kind:02b}1 {rmode:02b} {opcode:03b} 000000 nnnnn ddddd"),
                    Form::Plain,
                    lane,
                );
            }
            let scale = if sf == 0 { "1xxxxx" } else { "xxxxxx" };
            for (rmode, opcode, name) in
                [(0, 2, "SCVTF"), (0, 3, "UCVTF"), (3, 0, "FCVTZS"), (3, 1, "FCVTZU")]
            {
                c.add(
                    format!("{name} (fixed) {letter}, {width}"),
                    &format!("{sf}0011110{kind:02b}0 {rmode:02b} {opcode:03b} {scale} nnnnn ddddd"),
                    Form::Plain,
                    lane,
                );
            }
        }
    }
    c.plain("FMOV S to general", "0001111000 1 00 110 000000 nnnnn ddddd");
    c.plain("FMOV general to S", "0001111000 1 00 111 000000 nnnnn ddddd");
    c.plain("FMOV D to general", "1001111001 1 00 110 000000 nnnnn ddddd");
    c.plain("FMOV general to D", "1001111001 1 00 111 000000 nnnnn ddddd");
    c.plain("FMOV top half to general", "1001111010 1 01 110 000000 nnnnn ddddd");
    c.plain("FMOV general to top half", "1001111010 1 01 111 000000 nnnnn ddddd");
}

fn one_source(c: &mut Classes) {
    for (kind, letter, lane) in TYPES {
        for (opcode, name) in [
            (0, "FMOV (register)"),
            (1, "FABS (scalar)"),
            (2, "FNEG (scalar)"),
            (3, "FSQRT (scalar)"),
            (8, "FRINTN (scalar)"),
            (9, "FRINTP (scalar)"),
            (10, "FRINTM (scalar)"),
            (11, "FRINTZ (scalar)"),
            (12, "FRINTA (scalar)"),
            (14, "FRINTX (scalar)"),
            (15, "FRINTI (scalar)"),
        ] {
            c.add(
                format!("{name} {letter}"),
                &format!("00011110{kind:02b}1 {opcode:06b} 10000 nnnnn ddddd"),
                Form::Plain,
                lane,
            );
        }
        c.add(
            format!("FMOV (immediate, scalar) {letter}"),
            &format!("00011110{kind:02b}1 iiiiiiii 100 00000 ddddd"),
            Form::Plain,
            lane,
        );
    }
    for (kind, opcode, name, lane) in [
        (0b00, 5, "FCVT S to D", Lane::Single),
        (0b00, 7, "FCVT S to H", Lane::Single),
        (0b01, 4, "FCVT D to S", Lane::Double),
        (0b01, 7, "FCVT D to H", Lane::Double),
        (0b11, 4, "FCVT H to S", Lane::Half),
        (0b11, 5, "FCVT H to D", Lane::Half),
    ] {
        c.add(
            name,
            &format!("00011110{kind:02b}1 {opcode:06b} 10000 nnnnn ddddd"),
            Form::Plain,
            lane,
        );
    }
}

fn compare(c: &mut Classes) {
    for (kind, letter, lane) in TYPES {
        for (opcode, name) in [("00", "FCMP"), ("10", "FCMPE")] {
            c.add(
                format!("{name} {letter}"),
                &format!("00011110{kind:02b}1 mmmmm 00 1000 nnnnn {opcode}000"),
                Form::Plain,
                lane,
            );
        }
        for (opcode, name) in [("01", "FCMP (zero)"), ("11", "FCMPE (zero)")] {
            c.add(
                format!("{name} {letter}"),
                &format!("00011110{kind:02b}1 00000 00 1000 nnnnn {opcode}000"),
                Form::Plain,
                lane,
            );
        }
        for (op, name) in [(0, "FCCMP"), (1, "FCCMPE")] {
            c.add(
                format!("{name} {letter}"),
                &format!("00011110{kind:02b}1 mmmmm cccc 01 nnnnn {op} ffff"),
                Form::Plain,
                lane,
            );
        }
        c.add(
            format!("FCSEL {letter}"),
            &format!("00011110{kind:02b}1 mmmmm cccc 11 nnnnn ddddd"),
            Form::Plain,
            lane,
        );
    }
}

fn arithmetic(c: &mut Classes) {
    for (kind, letter, lane) in TYPES {
        for (opcode, name) in [
            (0, "FMUL (scalar)"),
            (1, "FDIV (scalar)"),
            (2, "FADD (scalar)"),
            (3, "FSUB (scalar)"),
            (4, "FMAX (scalar)"),
            (5, "FMIN (scalar)"),
            (6, "FMAXNM (scalar)"),
            (7, "FMINNM (scalar)"),
            (8, "FNMUL"),
        ] {
            c.add(
                format!("{name} {letter}"),
                &format!("00011110{kind:02b}1 mmmmm {opcode:04b} 10 nnnnn ddddd"),
                Form::Plain,
                lane,
            );
        }
        for (o1, o0, name) in [(0, 0, "FMADD"), (0, 1, "FMSUB"), (1, 0, "FNMADD"), (1, 1, "FNMSUB")]
        {
            c.add(
                format!("{name} {letter}"),
                &format!("00011111{kind:02b}{o1} mmmmm {o0} aaaaa nnnnn ddddd"),
                Form::Plain,
                lane,
            );
        }
    }
}
