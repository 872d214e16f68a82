/*
 * Code that changes (B2.4.4 "Concurrent modification and execution of instructions", D7.5.9 "ordering of cache maintenance"): CPU 0 rewrites a
 * function, cleans and invalidates by address, and publishes; the others synchronise with ISB and call it.
 */
#include "guest.h"

static u64 page;
static volatile u64 epoch, finished;

static u32 movz(u64 value) { return 0xd2800000 | (value & 0xffff) << 5; }

static void rewrite(u64 next)
{
    volatile u32 *code = (volatile u32 *)page;
    code[0] = movz(next);
    asm volatile("dc cvau, %0" ::"r"(code));
    DSB(ish);
    if (next & 1)
        asm volatile("ic ivau, %0" ::"r"(code));
    else
        asm volatile("ic ialluis");
    DSB(ish);
    ISB();
}

void prepare(unsigned count)
{
    (void)count;
    page = allocate_page();
    ((volatile u32 *)page)[0] = movz(0);
    ((volatile u32 *)page)[1] = 0xd65f03c0; /* ret */
    rewrite(0);
}

u64 test(unsigned cpu, unsigned count)
{
    u64 (*function)(void) = (u64(*)(void))page;
    barrier(count);
    ISB();
    if (cpu == 0) {
        for (u64 next = 1; next <= parameters.argument; next++) {
            rewrite(next);
            store_release(&epoch, next);
            CHECK_EQ(function(), next & 0xffff);
        }
        store_release(&finished, 1);
    } else {
        while (!load_acquire(&finished)) {
            u64 known = load_acquire(&epoch);
            ISB();
            u64 seen = function();
            if (seen < known)
                fail(__LINE__, seen, known);
        }
    }
    barrier(count);
    return 0;
}
