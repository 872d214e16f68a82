// Entry of the benchmark image at EL1: caches and translation on (identity, blocks of 1 GiB), then `kernel_main`.
        .section .start, "ax"
        .global _start
_start:
        mov     x0, #(3 << 20)
        msr     cpacr_el1, x0
        ldr     x0, =0x04ff             // normal write-back, device
        msr     mair_el1, x0
        ldr     x0, =0x200803519        // T0SZ 25, cacheable inner shareable walks, EPD1, 40 bits out
        msr     tcr_el1, x0
        adrp    x0, table
        msr     ttbr0_el1, x0
        dsb     sy
        isb
        tlbi    vmalle1
        dsb     nsh
        isb
        ldr     x0, =0x30d01805         // M, C, I and the RES1 bits
        msr     sctlr_el1, x0
        isb
        adrp    x0, stack_top
        mov     sp, x0
        bl      kernel_main
        b       .

        .global leave                   // leave(text, ns, checksum, hypervisor)
leave:  cbz     x3, 1f
        mov     x0, x1
        mov     x1, x2
        hvc     #0
1:      mov     x1, x0                  // semihosting: SYS_WRITE0, then SYS_EXIT
        mov     x0, #4
        hlt     #0xf000
        adr     x1, 2f
        mov     x0, #0x18
        hlt     #0xf000
        b       .
        .balign 8
2:      .quad   0x20026, 0

        .data
        .balign 4096
table:  .quad   0x0000000000000405      // devices
        .quad   0x0000000040000701      // RAM
        .skip   4080
        .bss
        .balign 4096
        .skip   65536
stack_top:
        .skip   4096
