// Runs a batch of instances at EL0. The same code runs under both implementations: each instance's state is loaded
// from its input record, its slot entered, and the state that it leaves stored to its output record. A faulting
// instance reaches `instance_exit` through a signal handler (oracle) or an EL1 vector (hv-soft), which leaves what
// happened in `fault`.
#include "layout.h"

        .text
        .balign 64
// run_batch(x0 = input records, x1 = output records, x2 = count)
        .global run_batch
run_batch:
        adrp    x9, context
        add     x9, x9, :lo12:context
        stp     x19, x20, [x9, #32]
        stp     x29, x30, [x9, #48]
        mov     x10, sp
        str     x10, [x9, #64]
        stp     d8, d9, [x9, #80]
        stp     d10, d11, [x9, #96]
        stp     d12, d13, [x9, #112]
        stp     d14, d15, [x9, #128]
        stp     x21, x22, [x9, #144]
        stp     x23, x24, [x9, #160]
        stp     x25, x26, [x9, #176]
        stp     x27, x28, [x9, #192]
        stp     x0, x1, [x9, #0]
        cbz     x2, batch_done

        // Copy every instance's code to its slot and make it visible to the fetch.
        ldr     x3, =SLOTS_VA
        mov     x4, x2
        add     x5, x0, #R_CODE
1:      ldp     q0, q1, [x5]
        ldp     q2, q3, [x5, #32]
        stp     q0, q1, [x3]
        stp     q2, q3, [x3, #32]
        dc      cvau, x3
        add     x5, x5, #R_SIZE
        add     x3, x3, #SLOT_SIZE
        subs    x4, x4, #1
        b.ne    1b
        dsb     ish
        ldr     x3, =SLOTS_VA
        mov     x4, x2
2:      ic      ivau, x3
        add     x3, x3, #SLOT_SIZE
        subs    x4, x4, #1
        b.ne    2b
        dsb     ish
        isb

        ldr     x3, =SLOTS_VA
        stp     x2, x3, [x9, #16]

next_instance:
        // x9 = context, x0 = input record
        ldr     x0, [x9, #0]
        adrp    x2, fault
        add     x2, x2, :lo12:fault
        stp     xzr, xzr, [x2]
        str     xzr, [x2, #16]

        ldr     x1, [x0, #R_FLAGS]
        str     x1, [x9, #72]
        tbz     x1, #0, 3f
        ldr     x2, =WINDOW_VA
        add     x3, x0, #R_MEM
        mov     x4, #4
4:      ldp     q0, q1, [x3], #32
        ldp     q2, q3, [x3], #32
        stp     q0, q1, [x2], #32
        stp     q2, q3, [x2], #32
        subs    x4, x4, #1
        b.ne    4b
3:
        add     x1, x0, #R_V
        ldp     q0, q1, [x1, #0]
        ldp     q2, q3, [x1, #32]
        ldp     q4, q5, [x1, #64]
        ldp     q6, q7, [x1, #96]
        ldp     q8, q9, [x1, #128]
        ldp     q10, q11, [x1, #160]
        ldp     q12, q13, [x1, #192]
        ldp     q14, q15, [x1, #224]
        ldp     q16, q17, [x1, #256]
        ldp     q18, q19, [x1, #288]
        ldp     q20, q21, [x1, #320]
        ldp     q22, q23, [x1, #352]
        ldp     q24, q25, [x1, #384]
        ldp     q26, q27, [x1, #416]
        ldp     q28, q29, [x1, #448]
        ldp     q30, q31, [x1, #480]
        ldp     x1, x2, [x0, #R_NZCV]
        msr     fpcr, x2
        ldp     x2, x3, [x0, #R_FPSR]
        msr     fpsr, x2
        mov     sp, x3
        msr     nzcv, x1
        clrex
        ldr     x30, [x9, #24]
        ldp     x2, x3, [x0, #R_X + 16]
        ldp     x4, x5, [x0, #R_X + 32]
        ldp     x6, x7, [x0, #R_X + 48]
        ldp     x8, x9, [x0, #R_X + 64]
        ldp     x10, x11, [x0, #R_X + 80]
        ldp     x12, x13, [x0, #R_X + 96]
        ldp     x14, x15, [x0, #R_X + 112]
        ldp     x16, x17, [x0, #R_X + 128]
        ldp     x18, x19, [x0, #R_X + 144]
        ldp     x20, x21, [x0, #R_X + 160]
        ldp     x22, x23, [x0, #R_X + 176]
        ldp     x24, x25, [x0, #R_X + 192]
        ldp     x26, x27, [x0, #R_X + 208]
        ldp     x28, x29, [x0, #R_X + 224]
        ldp     x0, x1, [x0, #R_X]
        br      x30             // the slot reloads x30 from its own literal

        .global instance_exit
instance_exit:
        msr     tpidr_el0, x30
        ldr     x30, =context
        ldr     x30, [x30, #8]
        stp     x0, x1, [x30, #R_X]
        stp     x2, x3, [x30, #R_X + 16]
        stp     x4, x5, [x30, #R_X + 32]
        stp     x6, x7, [x30, #R_X + 48]
        stp     x8, x9, [x30, #R_X + 64]
        stp     x10, x11, [x30, #R_X + 80]
        stp     x12, x13, [x30, #R_X + 96]
        stp     x14, x15, [x30, #R_X + 112]
        stp     x16, x17, [x30, #R_X + 128]
        stp     x18, x19, [x30, #R_X + 144]
        stp     x20, x21, [x30, #R_X + 160]
        stp     x22, x23, [x30, #R_X + 176]
        stp     x24, x25, [x30, #R_X + 192]
        stp     x26, x27, [x30, #R_X + 208]
        stp     x28, x29, [x30, #R_X + 224]
        mrs     x0, tpidr_el0
        str     x0, [x30, #R_X + 240]
        mrs     x0, nzcv
        mrs     x1, fpcr
        stp     x0, x1, [x30, #R_NZCV]
        mrs     x0, fpsr
        mov     x1, sp
        stp     x0, x1, [x30, #R_FPSR]
        msr     fpcr, xzr

        add     x1, x30, #R_V
        stp     q0, q1, [x1, #0]
        stp     q2, q3, [x1, #32]
        stp     q4, q5, [x1, #64]
        stp     q6, q7, [x1, #96]
        stp     q8, q9, [x1, #128]
        stp     q10, q11, [x1, #160]
        stp     q12, q13, [x1, #192]
        stp     q14, q15, [x1, #224]
        stp     q16, q17, [x1, #256]
        stp     q18, q19, [x1, #288]
        stp     q20, q21, [x1, #320]
        stp     q22, q23, [x1, #352]
        stp     q24, q25, [x1, #384]
        stp     q26, q27, [x1, #416]
        stp     q28, q29, [x1, #448]
        stp     q30, q31, [x1, #480]

        ldr     x9, =context
        ldr     x10, [x9, #64]
        mov     sp, x10
        ldr     x2, =fault
        ldp     x3, x4, [x2]
        ldr     x5, [x2, #16]
        str     x3, [x30, #R_FAULT]
        str     x4, [x30, #R_FAULT + 8]
        str     x5, [x30, #R_FAULT + 16]

        ldr     x1, [x9, #72]
        tbz     x1, #0, 5f
        ldr     x2, =WINDOW_VA
        add     x3, x30, #R_MEM
        mov     x4, #4
6:      ldp     q0, q1, [x2], #32
        ldp     q2, q3, [x2], #32
        stp     q0, q1, [x3], #32
        stp     q2, q3, [x3], #32
        subs    x4, x4, #1
        b.ne    6b
5:
        ldp     x0, x1, [x9, #0]
        ldp     x2, x3, [x9, #16]
        add     x0, x0, #R_SIZE
        add     x1, x1, #R_SIZE
        sub     x2, x2, #1
        add     x3, x3, #SLOT_SIZE
        stp     x0, x1, [x9, #0]
        stp     x2, x3, [x9, #16]
        cbnz    x2, next_instance

batch_done:
        ldp     x19, x20, [x9, #32]
        ldp     x29, x30, [x9, #48]
        ldp     d8, d9, [x9, #80]
        ldp     d10, d11, [x9, #96]
        ldp     d12, d13, [x9, #112]
        ldp     d14, d15, [x9, #128]
        ldp     x21, x22, [x9, #144]
        ldp     x23, x24, [x9, #160]
        ldp     x25, x26, [x9, #176]
        ldp     x27, x28, [x9, #192]
        ret
        .ltorg

// hv-soft enters here with run_batch's arguments.
        .balign 64
        .global soft_entry
soft_entry:
        bl      run_batch
        svc     #0

        .bss
        .balign 4096
// 0 input, 8 output, 16 remaining, 24 slot, 32.. callee-saved registers, 64 sp, 72 flags
context:
        .skip   256
        .global fault
fault:  .skip   64
        .global el1_save
el1_save:
        .skip   64
