//! "Advanced SIMD shift by immediate" and its scalar twin (C4.1.96): the size of a lane is the highest set bit of immh.

use super::{Classes, Form};
use crate::values::Lane;

/// immh for lanes of 8, 16, 32 and 64 bits.
const IMMH: [&str; 4] = ["0001", "001x", "01xx", "1xxx"];

pub(crate) fn all(c: &mut Classes) {
    // U, opcode, name, sizes of the vector form, of the scalar form. Narrowing and widening shifts have no 64.
    for (u, opcode, name, vector, scalar) in [
        (0, 0b00000, "SSHR", 0..4, 3..4),
        (0, 0b00010, "SSRA", 0..4, 3..4),
        (0, 0b00100, "SRSHR", 0..4, 3..4),
        (0, 0b00110, "SRSRA", 0..4, 3..4),
        (0, 0b01010, "SHL", 0..4, 3..4),
        (0, 0b01110, "SQSHL", 0..4, 0..4),
        (0, 0b10000, "SHRN", 0..3, 0..0),
        (0, 0b10001, "RSHRN", 0..3, 0..0),
        (0, 0b10010, "SQSHRN", 0..3, 0..3),
        (0, 0b10011, "SQRSHRN", 0..3, 0..3),
        (0, 0b10100, "SSHLL", 0..3, 0..0),
        (0, 0b11100, "SCVTF (fixed)", 2..4, 2..4),
        (0, 0b11111, "FCVTZS (fixed)", 2..4, 2..4),
        (1, 0b00000, "USHR", 0..4, 3..4),
        (1, 0b00010, "USRA", 0..4, 3..4),
        (1, 0b00100, "URSHR", 0..4, 3..4),
        (1, 0b00110, "URSRA", 0..4, 3..4),
        (1, 0b01000, "SRI", 0..4, 3..4),
        (1, 0b01010, "SLI", 0..4, 3..4),
        (1, 0b01100, "SQSHLU", 0..4, 0..4),
        (1, 0b01110, "UQSHL", 0..4, 0..4),
        (1, 0b10000, "SQSHRUN", 0..3, 0..3),
        (1, 0b10001, "SQRSHRUN", 0..3, 0..3),
        (1, 0b10010, "UQSHRN", 0..3, 0..3),
        (1, 0b10011, "UQRSHRN", 0..3, 0..3),
        (1, 0b10100, "USHLL", 0..3, 0..0),
        (1, 0b11100, "UCVTF (fixed)", 2..4, 2..4),
        (1, 0b11111, "FCVTZU (fixed)", 2..4, 2..4),
    ] {
        let narrowing = (0b10000..0b10100).contains(&opcode);
        let lane = |size: u32| match (opcode, size) {
            (0b11111, 2) => Lane::Single,
            (0b11111, _) => Lane::Double,
            _ => Lane::Integer(8 << (size + u32::from(narrowing))),
        };
        for size in vector {
            for q in (0..2).filter(|q| *q == 1 || size < 3) {
                c.add(
                    format!("{name}, Q={q} size={size}"),
                    &format!(
                        "0{q}{u}011110 {} iii {opcode:05b} 1 nnnnn ddddd",
                        IMMH[size as usize]
                    ),
                    Form::Plain,
                    lane(size),
                );
            }
        }
        for size in scalar {
            c.add(
                format!("{name}, scalar size={size}"),
                &format!("01{u}111110 {} iii {opcode:05b} 1 nnnnn ddddd", IMMH[size as usize]),
                Form::Plain,
                lane(size),
            );
        }
    }
}
