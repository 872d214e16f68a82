// vCPUs 1 and 2 turn vCPU 3 on at the same time; vCPU 3 waits until both have their answer. Then each
// switches itself off, the first vCPU last.
#include "bare.h"
    image
main:
    adr     x20, _start
    find_results
    mov     x21, #1
1:  mov     x1, x21
    adr     x2, racer
    mov     x3, x21
    firmware PSCI_CPU_ON
    str     x0, [x19, x21, lsl #3]      // results 1 and 2: started
    add     x21, x21, #1
    cmp     x21, #3
    b.ne    1b
    add     x22, x19, #64               // at 64: how many are done
2:  ldar    x0, [x22]
    cmp     x0, #3
    b.ne    2b
    firmware PSCI_CPU_OFF
    b       .
racer:
    mov     x23, x0                     // the context identifier is our number
    find_results
    mov     x1, #3
    adr     x2, third
    mov     x3, #0x77
    add     x24, x19, #72               // at 72: both wait for each other
    bl      add_one
3:  ldar    x0, [x24]
    cmp     x0, #2
    b.ne    3b
    firmware PSCI_CPU_ON
    add     x4, x19, #24
    str     x0, [x4, x23, lsl #3]       // results 4 and 5: what CPU_ON said
    b       done
third:
    find_results
    str     x0, [x19, #48]              // result 6: the context identifier
    add     x24, x19, #64
4:  ldar    x0, [x24]
    cmp     x0, #2
    b.lo    4b
done:
    add     x24, x19, #64
    bl      add_one
    firmware PSCI_CPU_OFF
    b       .
add_one:
    ldaxr   x5, [x24]
    add     x5, x5, #1
    stlxr   w6, x5, [x24]
    cbnz    w6, add_one
    ret
    finish
