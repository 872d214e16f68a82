/*
 * Litmus tests (B2.3 "Definition of the Armv8 memory model"; J1.2 of DDI 0487 lists the shapes). Every round has a row
 * of locations, so that the CPUs run against each other without meeting in between; forbidden outcomes fail.
 */
#include "guest.h"

#define ROW 256
#define STRIDE 8 /* words: a cache line each */

static volatile u64 x[ROW * STRIDE], y[ROW * STRIDE];
static u64 r[4][2][ROW];

enum shape { MP_RELEASE, MP_BARRIER, SB_BARRIER, SB_RELEASE, LSE_RELEASE, IRIW, SHAPES };

static void writer(enum shape shape, int i)
{
    volatile u64 *a = &x[i * STRIDE], *b = &y[i * STRIDE];
    switch (shape) {
    case MP_RELEASE:
        store(a, 1);
        store_release(b, 1);
        break;
    case MP_BARRIER:
        store(a, 1);
        DMB(ishst);
        store(b, 1);
        break;
    case SB_BARRIER:
        store(a, 1);
        DMB(ish);
        r[0][0][i] = load(b);
        break;
    case SB_RELEASE:
        store_release(a, 1);
        r[0][0][i] = load_acquire(b);
        break;
    case LSE_RELEASE:
        store(a, 1);
        asm volatile(".arch_extension lse\n staddl %1, %0" : "+Q"(*b) : "r"(1ul) : "memory");
        break;
    default:
        store(a, 1);
        break;
    }
}

static void reader(enum shape shape, int i)
{
    volatile u64 *a = &x[i * STRIDE], *b = &y[i * STRIDE];
    switch (shape) {
    case MP_RELEASE:
    case LSE_RELEASE:
        r[1][0][i] = load_acquire(b);
        r[1][1][i] = load(a);
        break;
    case MP_BARRIER:
        r[1][0][i] = load(b);
        DMB(ishld);
        r[1][1][i] = load(a);
        break;
    case SB_BARRIER:
        store(b, 1);
        DMB(ish);
        r[1][0][i] = load(a);
        break;
    case SB_RELEASE:
        store_release(b, 1);
        r[1][0][i] = load_acquire(a);
        break;
    default:
        store(b, 1);
        break;
    }
}

u64 test(unsigned cpu, unsigned count)
{
    for (u64 round = 0; round < parameters.argument; round++)
        for (enum shape shape = 0; shape < SHAPES; shape++) {
            if (shape == IRIW && count < 4)
                continue;
            if (cpu == 0)
                for (int i = 0; i < ROW; i++)
                    x[i * STRIDE] = y[i * STRIDE] = 0;
            barrier(count);
            /* Other directions meet at other places. */
            for (int n = 0; n < ROW; n++) {
                int i = (round & 1) && cpu == 1 ? ROW - 1 - n : n;
                if (cpu == 0) {
                    writer(shape, i);
                } else if (cpu == 1) {
                    reader(shape, i);
                } else if (shape == IRIW) {
                    volatile u64 *a = &x[i * STRIDE], *b = &y[i * STRIDE];
                    r[cpu][0][i] = load_acquire(cpu == 2 ? a : b);
                    r[cpu][1][i] = load_acquire(cpu == 2 ? b : a);
                }
            }
            barrier(count);
            for (int i = 0; cpu == 0 && i < ROW; i++)
                switch (shape) {
                case MP_RELEASE:
                case MP_BARRIER:
                case LSE_RELEASE: CHECK(!(r[1][0][i] == 1 && r[1][1][i] == 0)); break;
                case SB_BARRIER:
                case SB_RELEASE: CHECK(!(r[0][0][i] == 0 && r[1][0][i] == 0)); break;
                default: CHECK(!(r[2][0][i] && !r[2][1][i] && r[3][0][i] && !r[3][1][i])); break;
                }
        }
    barrier(count);
    return 0;
}
