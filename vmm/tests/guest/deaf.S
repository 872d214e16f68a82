// Every vCPU runs in circles with all interrupts masked.
#include "bare.h"
    image
main:
    adr     x20, _start
    mov     x21, #1
1:  mov     x1, x21
    adr     x2, circle
    firmware PSCI_CPU_ON
    add     x21, x21, #1
    cbz     x0, 1b
    find_results
    result  x21
circle:
    b       circle
    finish
