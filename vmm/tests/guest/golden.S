// Fills registers, says that it has, and waits to be told to report them. The golden snapshot was taken while it waits.
#include "bare.h"
    image
main:
    find_results
    mov     x1, #(3 << 20)          // CPACR_EL1.FPEN
    msr     CPACR_EL1, x1
    isb
    movz    x20, #0x1122
    movk    x20, #0x3344, lsl #48
    fmov    d9, #2.5
    movz    x1, #0xcafe
    msr     TPIDR_EL1, x1
    mov     x21, sp
    mov     x1, #1
    str     x1, [x19]
wait:
    ldr     x1, [x19, #8]
    cbz     x1, wait
    add     x19, x19, #16
    result  x20
    str     d9, [x19], #8
    mrs     x1, TPIDR_EL1
    result  x1
    power_off
    finish
