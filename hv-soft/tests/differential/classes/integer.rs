//! C4.1.92 "Data Processing -- Immediate" and C4.1.95 "Data Processing -- Register".

use super::Classes;

/// Data processing with an immediate.
pub(crate) fn immediate(c: &mut Classes) {
    c.plain("ADR", "0ii10000 iiiiiiiiiiiiiiiiiii ddddd");
    c.plain("ADRP", "1ii10000 iiiiiiiiiiiiiiiiiii ddddd");
    for (sf, width) in [(0, "32"), (1, "64")] {
        for (op, name) in [(0b00, "ADD"), (0b01, "ADDS"), (0b10, "SUB"), (0b11, "SUBS")] {
            c.plain(
                format!("{name} (immediate) {width}"),
                &format!("{sf}{op:02b}100010 h iiiiiiiiiiii nnnnn ddddd"),
            );
        }
        for (opc, name) in [(0b00, "AND"), (0b01, "ORR"), (0b10, "EOR"), (0b11, "ANDS")] {
            let n = if sf == 1 { "N" } else { "0" };
            c.plain(
                format!("{name} (immediate) {width}"),
                &format!("{sf}{opc:02b}100100 {n} rrrrrr ssssss nnnnn ddddd"),
            );
        }
        for (opc, name) in [(0b00, "MOVN"), (0b10, "MOVZ"), (0b11, "MOVK")] {
            let hw = if sf == 1 { "hh" } else { "0h" };
            c.plain(
                format!("{name} {width}"),
                &format!("{sf}{opc:02b}100101 {hw} iiiiiiiiiiiiiiii ddddd"),
            );
        }
        let field = if sf == 1 { "xxxxxx" } else { "0xxxxx" };
        for (opc, name) in [(0b00, "SBFM"), (0b01, "BFM"), (0b10, "UBFM")] {
            c.plain(
                format!("{name} {width}"),
                &format!("{sf}{opc:02b}100110 {sf} {field} {field} nnnnn ddddd"),
            );
        }
        c.plain(format!("EXTR {width}"), &format!("{sf}00100111 {sf} 0 mmmmm {field} nnnnn ddddd"));
    }
}

/// Data processing with registers.
pub(crate) fn register(c: &mut Classes) {
    for (sf, width) in [(0, "32"), (1, "64")] {
        for (opcode, name) in [
            (0b000010, "UDIV"),
            (0b000011, "SDIV"),
            (0b001000, "LSLV"),
            (0b001001, "LSRV"),
            (0b001010, "ASRV"),
            (0b001011, "RORV"),
        ] {
            c.plain(
                format!("{name} {width}"),
                &format!("{sf}0011010110 mmmmm {opcode:06b} nnnnn ddddd"),
            );
        }
        for (opcode, name) in
            [(0, "RBIT"), (1, "REV16"), (2, "REV"), (3, "REV64"), (4, "CLZ"), (5, "CLS")]
        {
            if opcode == 3 && sf == 0 {
                continue;
            }
            let name = if opcode == 2 && sf == 1 { "REV32" } else { name };
            c.plain(
                format!("{name} {width}"),
                &format!("{sf}1011010110 00000 {opcode:06b} nnnnn ddddd"),
            );
        }
        let amount = if sf == 1 { "iiiiii" } else { "0iiiii" };
        for (opc, n, name) in [
            (0b00, 0, "AND"),
            (0b00, 1, "BIC"),
            (0b01, 0, "ORR"),
            (0b01, 1, "ORN"),
            (0b10, 0, "EOR"),
            (0b10, 1, "EON"),
            (0b11, 0, "ANDS"),
            (0b11, 1, "BICS"),
        ] {
            c.plain(
                format!("{name} (shifted register) {width}"),
                &format!("{sf}{opc:02b}01010 tt {n} mmmmm {amount} nnnnn ddddd"),
            );
        }
        for (op, name) in [(0b00, "ADD"), (0b01, "ADDS"), (0b10, "SUB"), (0b11, "SUBS")] {
            for (shift, kind) in [(0, "LSL"), (1, "LSR"), (2, "ASR")] {
                c.plain(
                    format!("{name} (shifted register, {kind}) {width}"),
                    &format!("{sf}{op:02b}01011 {shift:02b} 0 mmmmm {amount} nnnnn ddddd"),
                );
            }
            c.plain(
                format!("{name} (extended register) {width}"),
                &format!("{sf}{op:02b}01011 001 mmmmm ooo 0ii nnnnn ddddd"),
            );
            c.plain(
                format!("{name} (extended register, 4) {width}"),
                &format!("{sf}{op:02b}01011 001 mmmmm ooo 100 nnnnn ddddd"),
            );
        }
        for (op, name) in [(0b00, "ADC"), (0b01, "ADCS"), (0b10, "SBC"), (0b11, "SBCS")] {
            c.plain(
                format!("{name} {width}"),
                &format!("{sf}{op:02b}11010000 mmmmm 000000 nnnnn ddddd"),
            );
        }
        for (op, name) in [(0, "CCMN"), (1, "CCMP")] {
            c.plain(
                format!("{name} (register) {width}"),
                &format!("{sf}{op}111010010 mmmmm cccc 00 nnnnn 0 ffff"),
            );
            c.plain(
                format!("{name} (immediate) {width}"),
                &format!("{sf}{op}111010010 iiiii cccc 10 nnnnn 0 ffff"),
            );
        }
        for (op, o2, name) in [(0, 0, "CSEL"), (0, 1, "CSINC"), (1, 0, "CSINV"), (1, 1, "CSNEG")] {
            c.plain(
                format!("{name} {width}"),
                &format!("{sf}{op}011010100 mmmmm cccc 0{o2} nnnnn ddddd"),
            );
        }
        for (o0, name) in [(0, "MADD"), (1, "MSUB")] {
            c.plain(
                format!("{name} {width}"),
                &format!("{sf}0011011000 mmmmm {o0} aaaaa nnnnn ddddd"),
            );
        }
    }
    for (sf, size, name) in [(0, 0b00, "B"), (0, 0b01, "H"), (0, 0b10, "W"), (1, 0b11, "X")] {
        c.plain(
            format!("CRC32{name}"),
            &format!("{sf}0011010110 mmmmm 0100{size:02b} nnnnn ddddd"),
        );
        c.plain(
            format!("CRC32C{name}"),
            &format!("{sf}0011010110 mmmmm 0101{size:02b} nnnnn ddddd"),
        );
    }
    for (op, o0, name) in
        [(0b001, 0, "SMADDL"), (0b001, 1, "SMSUBL"), (0b101, 0, "UMADDL"), (0b101, 1, "UMSUBL")]
    {
        c.plain(name, &format!("10011011{op:03b} mmmmm {o0} aaaaa nnnnn ddddd"));
    }
    c.plain("SMULH", "10011011010 mmmmm 0 11111 nnnnn ddddd");
    c.plain("UMULH", "10011011110 mmmmm 0 11111 nnnnn ddddd");
}
