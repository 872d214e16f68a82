/*
 * TLB shootdown: CPU 0 moves one virtual page from frame to frame by break-before-make (D8.14.1) while the others read
 * through it. Once TLBI and DSB are done and an epoch is published, nobody may see an older frame.
 */
#include "guest.h"

#define VA 0x100000000000ul
#define FRAMES 8

static volatile u64 epoch, finished;
static u64 frame_at[FRAMES];
static u64 retries[MAX_CPUS];

/* A reader may hit the break: it tries again. */
static int retry(struct frame *frame)
{
    if (EC(frame->esr) != 0x25 || FSC(frame->esr) != 0x07 || frame->far != VA)
        return 0;
    retries[cpu_id()]++;
    return 1;
}

void prepare(unsigned count)
{
    (void)count;
    for (int i = 0; i < FRAMES; i++)
        frame_at[i] = allocate_page();
    *(volatile u64 *)frame_at[0] = 0;
    map_page(VA, frame_at[0], KERNEL_DATA);
    DSB(ishst);
}

static void move(u64 next)
{
    u64 *entry = pte(root_low, VA, 3);
    /* The frame that comes in next is not mapped now, so nobody reads it. */
    u64 frame = frame_at[next % FRAMES];
    *(volatile u64 *)frame = next;
    *(volatile u64 *)entry = 0;
    DSB(ishst);
    switch (next % 4) {
    case 0: asm volatile("tlbi vae1is, %0" ::"r"(VA >> 12)); break;
    case 1: asm volatile("tlbi vaae1is, %0" ::"r"(VA >> 12)); break;
    case 2: asm volatile("tlbi vale1is, %0" ::"r"(VA >> 12)); break;
    default: asm volatile("tlbi vmalle1is"); break;
    }
    DSB(ish);
    ISB();
    /* From here on nobody has the old frame: what it holds may be destroyed. */
    *(volatile u64 *)frame_at[(next - 1) % FRAMES] = ~0ul;
    DSB(ishst);
    *(volatile u64 *)entry = frame | KERNEL_DATA | PTE_PAGE;
    DSB(ishst);
    ISB();
    store_release(&epoch, next);
}

u64 test(unsigned cpu, unsigned count)
{
    on_sync[cpu] = retry;
    barrier(count);
    if (cpu == 0) {
        for (u64 next = 1; next <= parameters.argument; next++) {
            move(next);
            CHECK_EQ(*(volatile u64 *)VA, next);
        }
        store_release(&finished, 1);
    } else {
        u64 last = 0;
        while (!load_acquire(&finished)) {
            u64 known = load_acquire(&epoch);
            u64 seen = *(volatile u64 *)VA;
            /* Never the poison, never older than what had been published. */
            if (seen < known || seen > known + parameters.argument)
                fail(__LINE__, seen, known);
            if (seen < last)
                fail(__LINE__, seen, last);
            last = seen;
        }
    }
    barrier(count);
    return 0;
}
