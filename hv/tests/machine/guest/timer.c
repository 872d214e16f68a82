/* The generic timer's interrupts through the GIC: private interrupts 27 (virtual) and 30 (physical), on every CPU. */
#include "guest.h"

#define CNTV 27
#define CNTP 30
#define ENABLE 1
#define IMASK 2
#define ISTATUS 4
#define TICKS 20

static volatile u64 virtual_count[MAX_CPUS], physical_count[MAX_CPUS];

static int interrupt(struct frame *frame)
{
    unsigned cpu = cpu_id();
    (void)frame;
    u32 intid = acknowledge();
    if (intid == CNTV) {
        CHECK_EQ(READ(cntv_ctl_el0), ENABLE | ISTATUS);
        CHECK(READ(cntvct_el0) >= READ(cntv_cval_el0));
        /* The level falls with the condition; both ways of setting the next one. */
        if (++virtual_count[cpu] & 1)
            WRITE(cntv_tval_el0, 2400);
        else
            WRITE(cntv_cval_el0, READ(cntvct_el0) + 2400);
        if (virtual_count[cpu] == TICKS)
            WRITE(cntv_ctl_el0, 0);
    } else if (intid == CNTP) {
        physical_count[cpu]++;
        WRITE(cntp_ctl_el0, ENABLE | IMASK);
    } else {
        fail(__LINE__, intid, CNTV);
    }
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
    CHECK_EQ(READ(cntfrq_el0), 24000000);
    on_irq[cpu] = interrupt;
    gic_init_cpu();
    gic_enable(CNTV, 0xa0, 0);
    gic_enable(CNTP, 0xa0, 0);
    /* A timer that is masked, or not due, interrupts nobody. */
    WRITE(cntv_tval_el0, 0);
    WRITE(cntv_ctl_el0, ENABLE | IMASK);
    ISB();
    CHECK_EQ(READ(cntv_ctl_el0), ENABLE | IMASK | ISTATUS);
    unmask_interrupts();
    ISB();
    CHECK_EQ(virtual_count[cpu], 0);
    WRITE(cntv_tval_el0, 2400);
    WRITE(cntv_ctl_el0, ENABLE);
    ISB();
    WAIT_UNTIL(virtual_count[cpu] >= TICKS);
    CHECK_EQ(virtual_count[cpu], TICKS);

    WRITE(cntp_tval_el0, 2400);
    WRITE(cntp_ctl_el0, ENABLE);
    ISB();
    WAIT_UNTIL(physical_count[cpu] != 0);
    CHECK_EQ(physical_count[cpu], 1);
    CHECK_EQ(READ(cntp_ctl_el0), ENABLE | IMASK | ISTATUS);

    /* WFI returns for an interrupt that PSTATE masks; ISR_EL1 shows it, and it is taken when unmasked. */
    mask_interrupts();
    WRITE(cntv_tval_el0, 2400);
    WRITE(cntv_ctl_el0, ENABLE);
    ISB();
    WFI();
    CHECK_EQ(virtual_count[cpu], TICKS);
    CHECK_EQ(READ(isr_el1), 1 << 7);
    unmask_interrupts();
    ISB();
    CHECK_EQ(virtual_count[cpu], TICKS + 1);
    /* A loop that never leaves its block is interrupted too: by the tick that follows. */
    while (virtual_count[cpu] < TICKS + 3)
        ;
    WRITE(cntv_ctl_el0, 0);
    ISB();
    /* The counter does not go back, also between CPUs. */
    static volatile u64 latest;
    for (int i = 0; i < 1000; i++) {
        u64 seen = load_acquire(&latest);
        ISB();
        u64 now = READ(cntvct_el0);
        CHECK(now >= seen);
        store_release(&latest, now);
    }
    barrier(count);
    return 0;
}
