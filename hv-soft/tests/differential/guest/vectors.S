// The whole of EL1 under hv-soft. `boot` turns translation on and enters the harness; a synchronous exception from EL0 leaves ESR, FAR and ELR in `fault` and resumes at
// `instance_exit`; SVC ends the batch, and anything else is an error of the test. Both reach the host by HVC.
        .section .vectors, "ax"
        .balign 2048
        .global vectors
vectors:
        .rept   8
        hvc     #1              // from EL1: unexpected
        b       .
        .balign 128
        .endr
        msr     tpidr_el1, x30  // synchronous, from EL0 in AArch64
        ldr     x30, =el1_save
        stp     x0, x1, [x30]
        mrs     x0, esr_el1
        lsr     x1, x0, #26
        cmp     x1, #0x15
        b.eq    1f
        ldr     x30, =fault
        mrs     x1, far_el1
        stp     x0, x1, [x30]
        mrs     x1, elr_el1
        str     x1, [x30, #16]
        lsr     x1, x1, #16     // a fault of the harness itself would never end
        cmp     x1, #0x4000
        b.eq    3f
        ldr     x30, =instance_exit
        msr     elr_el1, x30
        ldr     x30, =el1_save
        ldp     x0, x1, [x30]
        mrs     x30, tpidr_el1
        eret
1:      hvc     #0
        b       .
3:      hvc     #2
        b       .
        .balign 128
        .rept   7
        hvc     #1              // interrupts and AArch32: unexpected
        b       .
        .balign 128
        .endr

// Starts at EL1 with x0, x1 and x2 for run_batch, and MAIR, TCR, TTBR0 and SCTLR in x3 to x6.
        .global boot
boot:   msr     mair_el1, x3
        msr     tcr_el1, x4
        msr     ttbr0_el1, x5
        ldr     x7, =vectors
        msr     vbar_el1, x7
        mov     x7, #(3 << 20)
        msr     cpacr_el1, x7
        msr     cntkctl_el1, xzr
        dsb     sy
        isb
        tlbi    vmalle1
        dsb     nsh
        isb
        msr     sctlr_el1, x6
        isb
        ldr     x7, =soft_entry
        msr     elr_el1, x7
        msr     spsr_el1, xzr
        eret
        .ltorg
