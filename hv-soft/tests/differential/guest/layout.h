/* Virtual addresses and record layout shared by the two guests; `layout.rs` states the same numbers. */
#ifndef LAYOUT_H
#define LAYOUT_H

#define ARENA_VA   0x44000000 /* random bytes around the slots, which literal loads read */
#define ARENA_SIZE 0x00400000
#define SLOTS_VA   0x44200000
#define SLOT_SIZE  64
#define SLOT_LINK  56 /* offset in a slot of the value that its first word loads into x30 */
#define SLOT_WORDS 14 /* instructions in a slot */

#define IN_VA      0x60000000
#define OUT_VA     0x61000000
#define IO_SIZE    0x01000000

/* unmapped | writable | writable | unmapped | read-only | unmapped */
#define SCRATCH_VA 0x70000000
#define WINDOW_VA  0x70001f80 /* 256 bytes across the border of the two writable pages */

/* One record: the state before (in) or after (out) one instance. */
#define R_NZCV  0
#define R_FPCR  8
#define R_FPSR  16
#define R_SP    24
#define R_X     32  /* x0..x30 */
#define R_FLAGS 280 /* in: bit 0: the window is part of the instance */
#define R_FAULT 280 /* out: kind, address, pc */
#define R_CODE  288 /* in: the slot's 64 bytes */
#define R_V     352 /* v0..v31 */
#define R_MEM   864 /* the window */
#define R_SIZE  1120

#endif
