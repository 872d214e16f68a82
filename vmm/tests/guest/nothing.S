// Touches addresses and registers where nothing is.
#include "bare.h"
    image
main:
    find_results
    mov     x20, #0x1000
    // Each width reads zero, over whatever the register held.
    mov     x1, #-1
    ldrb    w1, [x20]
    result  x1
    mov     x1, #-1
    ldrsh   x1, [x20, #2]
    result  x1
    mov     x1, #-1
    ldr     w1, [x20, #4]
    result  x1
    mov     x1, #-1
    ldr     x1, [x20, #8]
    result  x1
    str     x1, [x20]
    strb    w1, [x20, #1]
    // Unknown registers: implementation defined ones, and XZR as source and target.
    mov     x1, #-1
    mrs     x1, S3_0_C15_C2_0
    result  x1
    msr     S3_0_C15_C2_0, x1
    msr     S3_0_C15_C2_0, xzr
    mrs     xzr, S3_0_C15_C2_0
    // Unknown firmware calls.
    mov     x0, #0x1234
    smc     #0
    result  x0
    movz    x0, #0x8400, lsl #16
    smc     #7
    result  x0
    // A pair has no syndrome: an External abort, at this place.
    adr     x0, vectors
    msr     VBAR_EL1, x0
    adr     x0, pair
    result  x0
    mov     x2, #-1
pair:
    ldp     x2, x3, [x20, #16]
    result  x2
    power_off
    .balign 2048
vectors:
    .balign 512
    .org    vectors + 0x200
    mrs     x1, ESR_EL1
    result  x1
    mrs     x1, FAR_EL1
    result  x1
    mrs     x1, ELR_EL1
    result  x1
    add     x1, x1, #4
    msr     ELR_EL1, x1
    eret
    finish
