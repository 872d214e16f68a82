/* A CPU that waits with nothing to come, until the host lets it go by an interrupt. */
#include "guest.h"

void prepare(unsigned count)
{
    (void)count;
    gic_init_distributor();
    gic_enable(40, 0xa0, 1);
    gic_route(40, mpidr_of(0));
}

u64 test(unsigned cpu, unsigned count)
{
    (void)count;
    if (cpu != 0)
        return 0;
    gic_init_cpu();
    hvc_event(1, 0);
    if (parameters.argument) {
        /* Or it spins, with everything masked. */
        while (*(volatile u64 *)&parameters.shared == 0)
            ;
        return 0;
    }
    u32 intid;
    do
        WFI();
    while ((intid = acknowledge()) == 1023);
    CHECK_EQ(intid, 40);
    end_of_interrupt(intid);
    return 0;
}
