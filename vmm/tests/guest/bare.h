// A bare-metal program that is loaded as if it were Linux: the header of an arm64 Image
// (Documentation/arch/arm64/booting.rst), results at a known place, firmware calls.

#define PSCI_CPU_OFF 0x84000002
#define PSCI_CPU_ON 0xc4000003
#define PSCI_SYSTEM_OFF 0x84000008

#define RESULTS 0x8000
#define SIZE 0x10000

    .macro image
_start:
    b       main
    .long   0
    .quad   0               // text_offset
    .quad   SIZE            // image_size
    .quad   0xa             // little-endian, 4 KiB pages, anywhere
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0
    .endm

    // X19 points at the results from here on.
    .macro find_results
    adr     x19, _start
    add     x19, x19, #RESULTS
    .endm

    .macro result value
    str     \value, [x19], #8
    .endm

    .macro firmware function
    movz    x0, #(\function & 0xffff)
    movk    x0, #(\function >> 16), lsl #16
    hvc     #0
    .endm

    .macro power_off
    firmware PSCI_SYSTEM_OFF
    b       .
    .endm

    .macro finish
    .org    SIZE
    .endm
