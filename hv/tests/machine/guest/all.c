/* Everybody comes, counts and goes. */
#include "guest.h"

static volatile u64 present;

u64 test(unsigned cpu, unsigned count)
{
    CHECK_EQ(READ(mpidr_el1) & 0xff00ffffff, mpidr_of(cpu));
    fetch_add(&present, cpu + 1);
    if (cpu == 0)
        while (load_acquire(&present) != count * (count + 1) / 2)
            asm volatile("yield");
    return present;
}
