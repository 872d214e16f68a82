/*
 * A computation that interrupts do not change, to be stopped anywhere and continued elsewhere: each CPU mixes its
 * own stream through general and vector registers and memory while its timer ticks; the result combines all.
 */
#include "guest.h"

#define CNTV 27
#define WORDS 512

static volatile u64 ticks[MAX_CPUS];
static u64 memory[MAX_CPUS][WORDS], results[MAX_CPUS];

static int interrupt(struct frame *frame)
{
    (void)frame;
    u32 intid = acknowledge();
    CHECK_EQ(intid, CNTV);
    ticks[cpu_id()]++;
    WRITE(cntv_tval_el0, 24000);
    end_of_interrupt(intid);
    return 1;
}

void prepare(unsigned count)
{
    (void)count;
    gic_init_distributor();
}

u64 test(unsigned cpu, unsigned count)
{
    on_irq[cpu] = interrupt;
    gic_init_cpu();
    gic_enable(CNTV, 0xa0, 0);
    WRITE(cntv_tval_el0, 24000);
    WRITE(cntv_ctl_el0, 1);
    WRITE(tpidr_el0, 0x1234 + cpu);
    unmask_interrupts();
    barrier(count);
    u64 state = cpu + 1;
    asm volatile("fmov d9, %0" ::"r"(state));
    for (u64 i = 0; i < parameters.argument; i++) {
        state = state * 6364136223846793005ul + 1442695040888963407ul;
        u64 *word = &memory[cpu][state >> 55];
        *word = (*word ^ state) + i;
        /* V9 carries a sum that nothing else holds. */
        asm volatile(".arch_extension simd\n fmov d8, %0\n add d9, d9, d8" ::"r"(*word));
        if (i == parameters.argument / 4 && cpu == 0)
            hvc_event(1, i);
    }
    u64 sum;
    asm volatile("fmov %0, d9" : "=r"(sum));
    results[cpu] = sum;
    CHECK_EQ(READ(tpidr_el0), 0x1234 + cpu);
    /* The timer still works. */
    u64 now = ticks[cpu];
    WAIT_UNTIL(ticks[cpu] != now);
    WRITE(cntv_ctl_el0, 0);
    barrier(count);
    u64 result = 0;
    for (unsigned i = 0; i < count; i++)
        result = result * 31 + results[i];
    return result;
}
