//! Words that are not compared as they stand: their behaviour is left open by the architecture, belongs to Linux, or
//! comes with an extension that the oracle's CPU has and ours does not promise.

fn field(word: u32, low: u32, width: u32) -> u32 {
    word >> low & ((1 << width) - 1)
}

fn matches(word: u32, mask: u32, value: u32) -> bool {
    word & mask == value
}

/// CONSTRAINED UNPREDICTABLE operand combinations and fields that should be one or zero but are not (DDI 0487,
/// appendix K1.2): any two implementations may differ.
pub(crate) fn unpredictable(word: u32) -> bool {
    let (rt, rn, rt2, rs) =
        (field(word, 0, 5), field(word, 5, 5), field(word, 10, 5), field(word, 16, 5));
    // Load/store pair.
    if matches(word, 0x3a00_0000, 0x2800_0000) {
        let (load, vector) = (field(word, 22, 1) == 1, field(word, 26, 1) == 1);
        let writeback = field(word, 23, 1) == 1;
        return load && rt == rt2 || writeback && !vector && rn != 31 && (rt == rn || rt2 == rn);
    }
    // Load/store register with an immediate and write-back.
    if matches(word, 0x3f20_0400, 0x3800_0400) {
        return rn == rt && rn != 31;
    }
    // Exclusive and ordered.
    if matches(word, 0x3f00_0000, 0x0800_0000) {
        let (o2, load, o1) = (field(word, 23, 1), field(word, 22, 1) == 1, field(word, 21, 1));
        let pair = o1 == 1 && field(word, 31, 1) == 1;
        if o2 == 1 && o1 == 0 {
            return rs != 31 || rt2 != 31;
        }
        if o2 == 1 || o1 == 1 && !pair {
            return false; // compare and swap
        }
        return if load {
            rs != 31 || if pair { rt == rt2 } else { rt2 != 31 }
        } else {
            rs == rt || rs == rn && rn != 31 || if pair { rs == rt2 } else { rt2 != 31 }
        };
    }
    // LDAPR.
    if matches(word, 0x3fa0_fc00, 0x38a0_c000) {
        return rs != 31;
    }
    // SMULH, UMULH.
    if matches(word, 0xff60_8000, 0x9b40_0000) {
        return rt2 != 31;
    }
    // Comparisons with zero.
    matches(word, 0xff20_fc0f, 0x1e20_2008) && rs != 0
}

/// Words that do not mean the same under Linux and on bare metal, or read what differs between machines.
pub(crate) fn incomparable(word: u32) -> bool {
    // SVC; WFE and WFI; the semihosting HLT.
    if matches(word, 0xffe0_001f, 0xd400_0001)
        || matches(word, 0xffff_ffdf, 0xd503_205f)
        || word == 0xd45e_0000
    {
        return true;
    }
    // System register moves.
    if matches(word, 0xffc0_0000, 0xd500_0000) && field(word, 20, 1) == 1 {
        let (op0, op1, crn, crm, op2) = (
            2 + field(word, 19, 1),
            field(word, 16, 3),
            field(word, 12, 4),
            field(word, 8, 4),
            field(word, 5, 3),
        );
        return match (op0, op1, crn) {
            (2, 3, _) => true,                 // debug communication channel
            (3, 0, 0) => true,                 // identification registers, which Linux emulates
            (3, 3, 0) => crm == 0 && op2 == 1, // CTR_EL0 describes the caches
            (3, 3, 9) => true,                 // performance monitors
            (3, 3, 14) => true,                // timers
            _ => false,
        };
    }
    false
}

/// The extension, if any, by which the oracle's CPU allocates the word although our ID registers do not promise it:
/// there it must be UNDEFINED.
pub(crate) fn unpromised(word: u32) -> Option<&'static str> {
    if half_precision(word) {
        return Some("FEAT_FP16");
    }
    // STLLR, LDLAR.
    if matches(word, 0x3fa0_8000, 0x0880_0000) {
        return Some("FEAT_LOR");
    }
    // DC CVAP.
    if matches(word, 0xffff_ffe0, 0xd50b_7c20) {
        return Some("FEAT_DPB");
    }
    // MSR SSBS (immediate), MSR and MRS SSBS.
    if matches(word, 0xffff_f0ff, 0xd503_403f) || matches(word, 0xffdf_ffe0, 0xd51b_42c0) {
        return Some("FEAT_SSBS");
    }
    None
}

/// Half-precision data processing. Conversions from and to half precision are Armv8.0.
fn half_precision(word: u32) -> bool {
    // Scalar: the type field is 0b11; FCVT with that type, one source with opcode 4 or 5, is not among them.
    if matches(word, 0x5e00_0000, 0x1e00_0000) && field(word, 31, 1) <= 1 && field(word, 29, 1) == 0
    {
        let conversion = matches(word, 0xff3e_7c00, 0x1e22_4000);
        return field(word, 22, 2) == 3 && !conversion;
    }
    // Vector: three same, two registers, across lanes, by element, modified immediate, conversions with fixed point.
    matches(word, 0x9f60_c400, 0x0e40_0400)
        || matches(word, 0xdf60_c400, 0x5e40_0400)
        || matches(word, 0x9f7e_0c00, 0x0e78_0800)
        || matches(word, 0xdf7e_0c00, 0x5e78_0800)
        || matches(word, 0xbf7e_0c00, 0x0e30_0800)
            && matches!(field(word, 12, 5), 0b01100 | 0b01111)
        || matches(word, 0xff7e_0c00, 0x5e30_0800)
            && matches!(field(word, 12, 5), 0b01100 | 0b01101 | 0b01111)
        || matches(word, 0x9fc0_0400, 0x0f00_0000)
            && matches!(field(word, 12, 4), 0b0001 | 0b0101 | 0b1001)
        || matches(word, 0xdfc0_0400, 0x5f00_0000)
            && matches!(field(word, 12, 4), 0b0001 | 0b0101 | 0b1001)
        || matches(word, 0xbff8_fc00, 0x0f00_fc00)
        || matches(word, 0x9ff0_0400, 0x0f10_0400)
            && matches!(field(word, 11, 5), 0b11100 | 0b11111)
        || matches(word, 0xdff0_0400, 0x5f10_0400)
            && matches!(field(word, 11, 5), 0b11100 | 0b11111)
}
