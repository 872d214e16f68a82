/* Shared peripheral interrupts from the host, level and edge, to the CPU they are routed to; and waiting for them. */
#include "guest.h"

#define LEVEL 40
#define EDGE 41

static volatile u64 level_count, edge_count, wrong_cpu;
static volatile unsigned target;

static int interrupt(struct frame *frame)
{
    (void)frame;
    u32 intid = acknowledge();
    if (cpu_id() != target)
        wrong_cpu = 1;
    if (intid == LEVEL) {
        level_count++;
        /* The device lowers its line when told so; until then the host has the word. */
        hvc_event(2, level_count);
        while (*(volatile u64 *)&parameters.shared != level_count)
            ;
    } else if (intid == EDGE) {
        edge_count++;
    } else {
        fail(__LINE__, intid, LEVEL);
    }
    end_of_interrupt(intid);
    return 1;
}

void prepare(unsigned count)
{
    gic_init_distributor();
    target = count - 1;
    gic_enable(LEVEL, 0xa0, 0);
    gic_enable(EDGE, 0xa0, 1);
    gic_route(LEVEL, mpidr_of(target));
    gic_route(EDGE, mpidr_of(target));
}

u64 test(unsigned cpu, unsigned count)
{
    on_irq[cpu] = interrupt;
    gic_init_cpu();
    unmask_interrupts();
    barrier(count);
    if (cpu == target) {
        for (u64 n = 1; n <= parameters.argument; n++) {
            hvc_event(1, n); /* raise the level */
            WAIT_UNTIL(level_count >= n);
            hvc_event(3, n); /* a pulse */
            WAIT_UNTIL(edge_count >= n);
        }
        CHECK_EQ(level_count, parameters.argument);
        CHECK_EQ(edge_count, parameters.argument);
        CHECK_EQ(wrong_cpu, 0);
    }
    barrier(count);
    return level_count;
}
