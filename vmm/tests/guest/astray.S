// Jumps to where no memory is.
#include "bare.h"
    image
main:
    mov     x0, #0x2000
    br      x0
    finish
