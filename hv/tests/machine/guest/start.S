// Entry, vectors and the ways down to EL0 and back.
#define STACK 0x4000
        .section .text.start, "ax"
        .global _start
_start: // x0 = index of this CPU, x1 = number of CPUs
        mov     x19, x0
        mov     x20, x1
        msr     tpidr_el1, x0
        mov     x2, #(3 << 20)
        msr     cpacr_el1, x2
        adrp    x2, vectors
        msr     vbar_el1, x2
        msr     spsel, #1
        adrp    x2, stacks
        add     x3, x19, #1
        lsl     x3, x3, #14
        add     sp, x2, x3
        isb
        mov     x0, x19
        mov     x1, x20
        bl      guest_main
        hvc     #0
        b       .

        .text
        .global hvc_event
hvc_event:
        hvc     #2
        ret
        .global fail
fail:   hvc     #1
        b       .

// try_call(caught, code, a, b): callee-saved registers and the way back are on the stack while `catcher` says where.
        .global try_call
try_call:
        stp     x29, x30, [sp, #-112]!
        stp     x19, x20, [sp, #16]
        stp     x21, x22, [sp, #32]
        stp     x23, x24, [sp, #48]
        stp     x25, x26, [sp, #64]
        stp     x27, x28, [sp, #80]
        str     x0, [sp, #96]
        adrp    x9, catcher
        add     x9, x9, :lo12:catcher
        mrs     x10, tpidr_el1
        mov     x11, sp
        str     x11, [x9, x10, lsl #3]
        mov     x9, x1
        mov     x0, x2
        mov     x1, x3
        blr     x9
        mov     x0, #0
try_return:
        adrp    x9, catcher
        add     x9, x9, :lo12:catcher
        mrs     x10, tpidr_el1
        str     xzr, [x9, x10, lsl #3]
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     x29, x30, [sp], #112
        ret

// The handler resumes here with x0 = vector and x1 = the catcher's stack pointer.
        .global try_caught
try_caught:
        mov     sp, x1
        b       try_return

// try_el0(caught, code, a, b, sp)
        .global try_el0
try_el0:
        stp     x29, x30, [sp, #-112]!
        stp     x19, x20, [sp, #16]
        stp     x21, x22, [sp, #32]
        stp     x23, x24, [sp, #48]
        stp     x25, x26, [sp, #64]
        stp     x27, x28, [sp, #80]
        str     x0, [sp, #96]
        adrp    x9, catcher
        add     x9, x9, :lo12:catcher
        mrs     x10, tpidr_el1
        mov     x11, sp
        str     x11, [x9, x10, lsl #3]
        msr     elr_el1, x1
        msr     spsr_el1, xzr
        msr     sp_el0, x4
        mov     x0, x2
        mov     x1, x3
        eret

        .macro  vector number
        .balign 128
        sub     sp, sp, #288
        stp     x0, x1, [sp]
        mov     x0, #\number
        b       exception
        .endm

        .balign 2048
        .global vectors
vectors:
        .irp    number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vector  \number
        .endr

exception:
        stp     x2, x3, [sp, #16]
        stp     x4, x5, [sp, #32]
        stp     x6, x7, [sp, #48]
        stp     x8, x9, [sp, #64]
        stp     x10, x11, [sp, #80]
        stp     x12, x13, [sp, #96]
        stp     x14, x15, [sp, #112]
        stp     x16, x17, [sp, #128]
        stp     x18, x19, [sp, #144]
        stp     x20, x21, [sp, #160]
        stp     x22, x23, [sp, #176]
        stp     x24, x25, [sp, #192]
        stp     x26, x27, [sp, #208]
        stp     x28, x29, [sp, #224]
        mrs     x1, elr_el1
        stp     x30, x1, [sp, #240]
        mrs     x1, spsr_el1
        mrs     x2, esr_el1
        stp     x1, x2, [sp, #256]
        mrs     x1, far_el1
        stp     x1, x0, [sp, #272]
        mov     x0, sp
        bl      exception_c
        ldp     x1, x2, [sp, #248]
        msr     elr_el1, x1
        msr     spsr_el1, x2
        ldp     x2, x3, [sp, #16]
        ldp     x4, x5, [sp, #32]
        ldp     x6, x7, [sp, #48]
        ldp     x8, x9, [sp, #64]
        ldp     x10, x11, [sp, #80]
        ldp     x12, x13, [sp, #96]
        ldp     x14, x15, [sp, #112]
        ldp     x16, x17, [sp, #128]
        ldp     x18, x19, [sp, #144]
        ldp     x20, x21, [sp, #160]
        ldp     x22, x23, [sp, #176]
        ldp     x24, x25, [sp, #192]
        ldp     x26, x27, [sp, #208]
        ldp     x28, x29, [sp, #224]
        ldr     x30, [sp, #240]
        ldp     x0, x1, [sp]
        add     sp, sp, #288
        eret

        .bss
        .balign 4096
stacks: .skip   STACK * 32
