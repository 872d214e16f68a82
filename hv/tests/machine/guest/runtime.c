/* Start-up, exceptions, translation tables. */
#include "guest.h"

volatile struct parameters parameters __attribute__((section(".data")));
handler on_sync[MAX_CPUS], on_irq[MAX_CPUS];
u64 catcher[MAX_CPUS];
u64 root_low[512] __attribute__((aligned(4096)));
u64 root_high[512] __attribute__((aligned(4096)));
static volatile u64 started;
static volatile u64 arrived, generation;
extern char image_end[], text_end[];
extern void try_caught(void);

unsigned cpu_id(void) { return READ(tpidr_el1); }

void *memset(void *to, int value, u64 size)
{
    volatile u8 *at = to;
    while (size--)
        *at++ = value;
    return to;
}

void *memcpy(void *to, const void *from, u64 size)
{
    volatile u8 *at = to;
    const u8 *source = from;
    while (size--)
        *at++ = *source++;
    return to;
}

u64 guest_main(unsigned cpu, unsigned count)
{
    if (cpu == 0) {
        build_identity();
        enable_mmu();
        prepare(count);
        store_release(&started, 1);
    } else {
        while (load_acquire(&started) == 0)
            ;
        enable_mmu();
    }
    return test(cpu, count);
}

__attribute__((weak)) void prepare(unsigned count) { (void)count; }

void barrier(unsigned count)
{
    u64 now = load_acquire(&generation);
    if (fetch_add(&arrived, 1) == count - 1) {
        store_release(&arrived, 0);
        store_release(&generation, now + 1);
    } else {
        while (load_acquire(&generation) == now)
            ;
    }
}

void exception_c(struct frame *frame)
{
    unsigned cpu = cpu_id();
    int irq = (frame->vector & 3) == 1;
    handler own = irq ? on_irq[cpu] : on_sync[cpu];
    if (own && own(frame))
        return;
    u64 sp = catcher[cpu];
    if (sp && !irq) {
        struct caught *caught = *(struct caught **)(sp + 96);
        *caught = (struct caught){ frame->esr, frame->far, frame->elr, frame->spsr, frame->vector };
        /* SVC #0xff from EL0 is the ordinary way back. */
        frame->x[0] = frame->esr == 0x560000ff ? 0 : frame->vector;
        frame->x[1] = sp;
        frame->elr = (u64)try_caught;
        frame->spsr = 0x3c5; /* EL1h, everything masked */
        return;
    }
    fail(0xe0000000 | frame->vector, frame->esr, frame->elr);
}

static u64 next_page;

u64 allocate_page(void)
{
    u64 page = next_page;
    next_page += PAGE;
    memset((void *)page, 0, PAGE);
    return page;
}

u64 *pte(u64 *table, u64 va, int level)
{
    for (int l = 0;; l++) {
        u64 *entry = &table[va >> (39 - 9 * l) & 511];
        if (l == level)
            return entry;
        if (!(*entry & PTE_VALID))
            *entry = allocate_page() | PTE_TABLE;
        table = (u64 *)(*entry & 0xfffffffff000);
    }
}

void map_page(u64 va, u64 pa, u64 attributes)
{
    *pte(va >> 55 & 1 ? root_high : root_low, va, 3) = pa | attributes | PTE_PAGE;
}

void build_identity(void)
{
    next_page = ((u64)image_end + PAGE - 1) & ~(PAGE - 1);
    /* RAM, executable at EL1: the program's text read-only by pages, the rest by blocks of 2 MiB. */
    for (u64 at = 0x40000000; at < 0x40200000; at += PAGE)
        map_page(at, at, ATTR_NORMAL | PTE_ISH | PTE_AF | PTE_UXN | (at < (u64)text_end ? PTE_RO : 0));
    for (u64 at = 0x40200000; at < 0x42000000; at += 0x200000)
        *pte(root_low, at, 2) = at | ATTR_NORMAL | PTE_ISH | PTE_AF | PTE_UXN | PTE_BLOCK;
    /* Everything below is devices. */
    *pte(root_low, 0, 1) = ATTR_DEVICE | PTE_AF | PTE_UXN | PTE_PXN | PTE_BLOCK;
}

void enable_mmu(void)
{
    WRITE(mair_el1, 0x04ff);         /* normal write-back, Device-nGnRE */
    /* 48 bits on both sides, 4 KiB, cacheable inner shareable walks, 40 bits out, 16-bit ASIDs */
    WRITE(tcr_el1, 16ul | 16ul << 16 | 0x3500ul | 0x35000000ul | 2ul << 30 | 2ul << 32 | 1ul << 36);
    WRITE(ttbr0_el1, root_low);
    WRITE(ttbr1_el1, root_high);
    ISB();
    asm volatile("tlbi vmalle1");
    DSB(nsh);
    ISB();
    WRITE(sctlr_el1, 0x30d00800 | 1 | 1 << 2 | 1 << 12);
    ISB();
}
