//! C4.1.93 "Branches, Exception Generating and System instructions", as far as EL0 has them.

use super::{Classes, Form};
use crate::values::Lane;

/// Branches and the instructions that generate exceptions. SVC is the oracle's own system call and is left out.
pub(crate) fn branches(c: &mut Classes) {
    let mut add = |name: &str, pattern: &str, form| c.add(name, pattern, form, Lane::Integer(64));
    add("B.cond", "01010100 iiiiiiiiiiiiiiiiiii 0 cccc", Form::Branch);
    add("B", "000101 iiiiiiiiiiiiiiiiiiiiiiiiii", Form::Branch);
    add("BL", "100101 iiiiiiiiiiiiiiiiiiiiiiiiii", Form::Branch);
    add("CBZ 32", "00110100 iiiiiiiiiiiiiiiiiii ttttt", Form::Branch);
    add("CBNZ 32", "00110101 iiiiiiiiiiiiiiiiiii ttttt", Form::Branch);
    add("CBZ 64", "10110100 iiiiiiiiiiiiiiiiiii ttttt", Form::Branch);
    add("CBNZ 64", "10110101 iiiiiiiiiiiiiiiiiii ttttt", Form::Branch);
    add("TBZ", "b0110110 bbbbb iiiiiiiiiiiiii ttttt", Form::Branch);
    add("TBNZ", "b0110111 bbbbb iiiiiiiiiiiiii ttttt", Form::Branch);
    add("BR", "1101011000011111000000 nnnnn 00000", Form::BranchRegister);
    add("BLR", "1101011000111111000000 nnnnn 00000", Form::BranchRegister);
    add("RET", "1101011001011111000000 nnnnn 00000", Form::BranchRegister);
    add("BRK", "11010100001 iiiiiiiiiiiiiiii 00000", Form::Plain);
    add("HLT", "11010100010 iiiiiiiiiiiiiiii 00000", Form::Plain);
    add("HVC", "11010100000 iiiiiiiiiiiiiiii 00010", Form::Plain);
    add("SMC", "11010100000 iiiiiiiiiiiiiiii 00011", Form::Plain);
    add("DCPS1", "11010100101 iiiiiiiiiiiiiiii 00001", Form::Plain);
    add("DCPS2", "11010100101 iiiiiiiiiiiiiiii 00010", Form::Plain);
    add("DCPS3", "11010100101 iiiiiiiiiiiiiiii 00011", Form::Plain);
    add("UDF", "0000000000000000 iiiiiiiiiiiiiiii", Form::Plain);
}

/// Hints, barriers, system registers and operations.
pub(crate) fn system(c: &mut Classes) {
    let mut add = |name: &str, pattern: &str, form| c.add(name, pattern, form, Lane::Integer(64));
    // WFE and WFI wait, which Linux hides from the oracle: bare-metal tests cover them.
    add("NOP and YIELD", "11010101000000110010 0000 00h 11111", Form::Plain);
    add("SEV and SEVL", "11010101000000110010 0000 10h 11111", Form::Plain);
    add("HINT #6 and #7", "11010101000000110010 0000 11h 11111", Form::Plain);
    add("HINT #8 to #127", "11010101000000110010 mmmm ooo 11111", Form::Plain);
    add("CLREX", "11010101000000110011 mmmm 010 11111", Form::Plain);
    add("DSB", "11010101000000110011 mmmm 100 11111", Form::Plain);
    add("DMB", "11010101000000110011 mmmm 101 11111", Form::Plain);
    add("ISB", "11010101000000110011 mmmm 110 11111", Form::Plain);
    add("MRS NZCV", "110101010011 1011 0100 0010 000 ttttt", Form::Plain);
    add("MRS FPCR", "110101010011 1011 0100 0100 000 ttttt", Form::Plain);
    add("MRS FPSR", "110101010011 1011 0100 0100 001 ttttt", Form::Plain);
    add("MRS TPIDRRO_EL0", "110101010011 1011 1101 0000 011 ttttt", Form::Plain);
    add("MSR NZCV", "110101010001 1011 0100 0010 000 ttttt", Form::SystemWrite);
    add("MSR FPCR", "110101010001 1011 0100 0100 000 ttttt", Form::SystemWrite);
    add("MSR FPSR", "110101010001 1011 0100 0100 001 ttttt", Form::SystemWrite);
    add("MSR TPIDR_EL0", "110101010001 1011 1101 0000 010 ttttt", Form::SystemWrite);
    add("MSR TPIDRRO_EL0", "110101010001 1011 1101 0000 011 ttttt", Form::Plain);
    add("MRS DCZID_EL0", "110101010011 1011 0000 0000 111 ttttt", Form::Plain);
    add("DC ZVA", "110101010000 1011 0111 0100 001 ttttt", Form::CacheLine);
    add("DC CVAC", "110101010000 1011 0111 1010 001 ttttt", Form::CacheLine);
    add("DC CVAU", "110101010000 1011 0111 1011 001 ttttt", Form::CacheLine);
    add("DC CIVAC", "110101010000 1011 0111 1110 001 ttttt", Form::CacheLine);
    add("IC IVAU", "110101010000 1011 0111 0101 001 ttttt", Form::CacheLine);
    // Privileged at EL0 with SCTLR_EL1 as Linux sets it: UNDEFINED, or trapped, which Linux reports as the same.
    add("MSR DAIFSet", "110101010000 0011 0100 mmmm 110 11111", Form::Plain);
    add("MSR DAIFClr", "110101010000 0011 0100 mmmm 111 11111", Form::Plain);
    add("MSR SPSel", "110101010000 0000 0100 mmmm 101 11111", Form::Plain);
    add("DC IVAC", "110101010000 1000 0111 0110 001 ttttt", Form::Plain);
    add("TLBI", "110101010000 1000 1000 mmmm ooo ttttt", Form::Plain);
    add("AT", "110101010000 1000 0111 1000 ooo ttttt", Form::Plain);
    add("ERET", "1101011010011111000000 11111 00000", Form::Plain);
    add("DRPS", "1101011010111111000000 11111 00000", Form::Plain);
}
