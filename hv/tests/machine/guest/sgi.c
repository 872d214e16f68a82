/* Software-generated interrupts: to one, to all others, to oneself; priorities, masks, preemption and both EOI modes. */
#include "guest.h"

#define RING 3
#define ALL 5
#define ANSWER 6

static volatile u64 tokens[MAX_CPUS], calls[MAX_CPUS], answers;
static volatile u64 logs[MAX_CPUS][16], logged_by[MAX_CPUS];
#define log logs[cpu_id()]
#define logged logged_by[cpu_id()]

static int interrupt(struct frame *frame)
{
    unsigned cpu = cpu_id();
    (void)frame;
    u32 intid = acknowledge();
    switch (intid) {
    case RING: tokens[cpu]++; break;
    case ALL:
        calls[cpu]++;
        send_sgi(ANSWER, mpidr_of(0));
        break;
    case ANSWER: break;
    default: fail(__LINE__, intid, RING);
    }
    end_of_interrupt(intid);
    return 1;
}

void prepare(unsigned count)
{
    (void)count;
    gic_init_distributor();
}

/* On one CPU: pending interrupts come by priority, and the mask and the running priority hold back the others. */
static int priorities_handler(struct frame *frame)
{
    (void)frame;
    u32 intid = acknowledge();
    log[logged++] = intid;
    if (intid == 9) {
        /* Priority 0xc0 runs; 0x40 preempts it, 0xe0 does not. */
        send_sgi(11, mpidr_of(cpu_id()));
        send_sgi(10, mpidr_of(cpu_id()));
        CHECK_EQ(READ(S3_0_C12_C11_3), 0xc0); /* ICC_RPR_EL1 */
        u64 elr = READ(elr_el1), spsr = READ(spsr_el1);
        unmask_interrupts();
        ISB();
        mask_interrupts();
        WRITE(elr_el1, elr);
        WRITE(spsr_el1, spsr);
        log[logged++] = 0x100 | intid;
    }
    end_of_interrupt(intid);
    return 1;
}

static void priorities(unsigned cpu)
{
    handler before = on_irq[cpu];
    on_irq[cpu] = priorities_handler;
    mask_interrupts();
    gic_enable(8, 0x80, 1);
    gic_enable(9, 0xc0, 1);
    gic_enable(10, 0x40, 1);
    gic_enable(11, 0xe0, 1);
    send_sgi(9, mpidr_of(cpu));
    send_sgi(8, mpidr_of(cpu));
    CHECK_EQ(READ(S3_0_C12_C12_2), 8); /* ICC_HPPIR1_EL1 */
    logged = 0;
    unmask_interrupts();
    ISB();
    while (logged < 5)
        ;
    u64 expected[] = { 8, 9, 10, 0x109, 11 };
    for (int i = 0; i < 5; i++)
        CHECK_EQ(log[i], expected[i]);
    CHECK_EQ(READ(S3_0_C12_C11_3), 0xff);
    /* The priority mask. */
    logged = 0;
    WRITE(S3_0_C4_C6_0, 0x80);
    send_sgi(8, mpidr_of(cpu));
    ISB();
    CHECK_EQ(logged, 0);
    CHECK_EQ(READ(S3_0_C12_C12_0), 1023);
    WRITE(S3_0_C4_C6_0, 0xf0);
    ISB();
    while (logged < 1)
        ;
    /* EOImode 1: priority drop and deactivation apart. */
    mask_interrupts();
    WRITE(S3_0_C12_C12_4, 2); /* ICC_CTLR_EL1.EOImode */
    ISB();
    send_sgi(8, mpidr_of(cpu));
    u32 intid = acknowledge();
    CHECK_EQ(intid, 8);
    end_of_interrupt(intid);
    CHECK_EQ(READ(S3_0_C12_C11_3), 0xff);
    /* Active still: sent again it pends but is not delivered until it is deactivated. */
    send_sgi(8, mpidr_of(cpu));
    CHECK_EQ(acknowledge(), 1023);
    WRITE(S3_0_C12_C11_1, 8); /* ICC_DIR_EL1 */
    ISB();
    CHECK_EQ(acknowledge(), 8);
    end_of_interrupt(8);
    WRITE(S3_0_C12_C11_1, 8);
    WRITE(S3_0_C12_C12_4, 0);
    ISB();
    for (u32 i = 8; i < 12; i++)
        gic_disable(i);
    on_irq[cpu] = before;
    unmask_interrupts();
}

u64 test(unsigned cpu, unsigned count)
{
    u64 rounds = parameters.argument;
    on_irq[cpu] = interrupt;
    gic_init_cpu();
    gic_enable(RING, 0xa0, 1);
    gic_enable(ALL, 0xa0, 1);
    gic_enable(ANSWER, 0xa0, 1);
    unmask_interrupts();
    priorities(cpu);
    barrier(count);
    /* A token goes around. */
    if (cpu == 0)
        send_sgi(RING, mpidr_of(1 % count));
    for (u64 round = 1; round <= rounds; round++) {
        WAIT_UNTIL(tokens[cpu] >= round);
        if (cpu != 0 || round < rounds)
            send_sgi(RING, mpidr_of((cpu + 1) % count));
    }
    barrier(count);
    CHECK_EQ(tokens[cpu], rounds);
    /* One to all others. */
    for (u64 round = 1; round <= 10; round++) {
        if (cpu == 0)
            send_sgi_to_others(ALL);
        else
            WAIT_UNTIL(calls[cpu] >= round);
        barrier(count);
        CHECK_EQ(calls[cpu], cpu == 0 ? 0 : round);
        barrier(count);
    }
    return 0;
}
