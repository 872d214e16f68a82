/* What the bare-metal test programs share. Sections in comments are those of the Arm ARM (DDI 0487). */
#ifndef GUEST_H
#define GUEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef unsigned __int128 u128;

#define MAX_CPUS 32
#define PAGE 4096ul
#define INLINE static inline __attribute__((always_inline))

/* Filled in by the host before the start. */
struct parameters {
    u64 distributor, redistributors, redistributor_size;
    u64 argument;
    u64 shared; /* a word that host and guest both use */
};
extern volatile struct parameters parameters;

/* Talking to the host: the immediate of HVC, with x0 to x3. */
#define HVC_DONE 0    /* x0: result */
#define HVC_FAIL 1    /* x0: line, x1 and x2: values */
#define HVC_EVENT 2   /* x0: which; the host goes on when it likes */

u64 hvc_event(u64 which, u64 value);
void __attribute__((noreturn)) fail(u64 line, u64 got, u64 expected);

#define CHECK_EQ(got, expected)                             \
    do {                                                    \
        u64 got_ = (u64)(got), expected_ = (u64)(expected); \
        if (got_ != expected_)                              \
            fail(__LINE__, got_, expected_);                \
    } while (0)
#define CHECK(condition)                  \
    do {                                  \
        if (!(condition))                 \
            fail(__LINE__, 0, 1);         \
    } while (0)

#define READ(reg)                                          \
    ({                                                     \
        u64 value_;                                        \
        asm volatile("mrs %0, " #reg : "=r"(value_) :: "memory"); \
        value_;                                            \
    })
#define WRITE(reg, value) asm volatile("msr " #reg ", %0" ::"r"((u64)(value)) : "memory")
#define ISB() asm volatile("isb" ::: "memory")
#define DSB(domain) asm volatile("dsb " #domain ::: "memory")
#define DMB(domain) asm volatile("dmb " #domain ::: "memory")
#define WFI() asm volatile("wfi" ::: "memory")

INLINE u64 load_acquire(volatile u64 *at)
{
    u64 value;
    asm volatile("ldar %0, %1" : "=r"(value) : "Q"(*at) : "memory");
    return value;
}

INLINE void store_release(volatile u64 *at, u64 value)
{
    asm volatile("stlr %1, %0" : "=Q"(*at) : "r"(value) : "memory");
}

INLINE u64 load(volatile u64 *at)
{
    u64 value;
    asm volatile("ldr %0, %1" : "=r"(value) : "Q"(*at));
    return value;
}

INLINE void store(volatile u64 *at, u64 value)
{
    asm volatile("str %1, %0" : "=Q"(*at) : "r"(value));
}

/* Adds by LSE; returns what was there. */
INLINE u64 fetch_add(volatile u64 *at, u64 value)
{
    u64 old;
    asm volatile(".arch_extension lse\n ldaddal %2, %0, %1" : "=r"(old), "+Q"(*at) : "r"(value) : "memory");
    return old;
}

INLINE void mask_interrupts(void) { asm volatile("msr daifset, #15" ::: "memory"); }
INLINE void unmask_interrupts(void) { asm volatile("msr daifclr, #15" ::: "memory"); }

/* Sleeps until the condition holds, which the handler of an interrupt makes true. Interrupts are masked between the look and
   the sleep: one that came between the two would be handled, and nothing would end the sleep. WFI ends for a masked one. */
#define WAIT_UNTIL(condition)         \
    do {                              \
        mask_interrupts();            \
        while (!(condition)) {        \
            WFI();                    \
            unmask_interrupts();      \
            ISB();                    \
            mask_interrupts();        \
        }                             \
        unmask_interrupts();          \
    } while (0)

/* Exceptions */

struct frame {
    u64 x[31];
    u64 elr, spsr, esr, far;
    u64 vector; /* 0 to 15, as in D1.3.2 */
};

#define VECTOR_SYNC_EL1 4
#define VECTOR_IRQ_EL1 5
#define VECTOR_SYNC_EL0 8
#define VECTOR_IRQ_EL0 9

/* A handler returns whether it dealt with the exception. */
typedef int (*handler)(struct frame *);
extern handler on_sync[MAX_CPUS], on_irq[MAX_CPUS];

unsigned cpu_id(void);

/* The last exception that `try` or `try_el0` caught. */
struct caught {
    u64 esr, far, elr, spsr, vector;
};
/* Calls code with one argument and returns 0, or an exception's vector number, with the rest in `caught`. */
u64 try_call(struct caught *caught, void *code, u64 a, u64 b);
/* The same at EL0; code ends with SVC #0xff, which counts as no exception. */
u64 try_el0(struct caught *caught, u64 code, u64 a, u64 b, u64 sp);

#define EC(esr) ((esr) >> 26 & 63)
#define ISS(esr) ((esr) & 0x1ffffff)
#define FSC(esr) ((esr) & 63)
#define WNR(esr) ((esr) >> 6 & 1)

/* Translation */

#define PTE_VALID 1ul
#define PTE_TABLE 3ul
#define PTE_PAGE 3ul
#define PTE_BLOCK 1ul
#define PTE_ATTR(n) ((u64)(n) << 2)
#define PTE_USER (1ul << 6)
#define PTE_RO (1ul << 7)
#define PTE_ISH (3ul << 8)
#define PTE_AF (1ul << 10)
#define PTE_NG (1ul << 11)
#define PTE_PXN (1ul << 53)
#define PTE_UXN (1ul << 54)
#define ATTR_NORMAL PTE_ATTR(0)
#define ATTR_DEVICE PTE_ATTR(1)
#define KERNEL_DATA (ATTR_NORMAL | PTE_ISH | PTE_AF | PTE_PXN | PTE_UXN)

/* The entry for va at a level (0 to 3), making the tables above it. */
u64 *pte(u64 *root, u64 va, int level);
extern u64 root_low[512], root_high[512];
/* Identity mapping of RAM and the GIC; on CPU 0 before anyone else. Then on every CPU. */
void build_identity(void);
void enable_mmu(void);
void map_page(u64 va, u64 pa, u64 attributes);
INLINE void flush_tlb(void)
{
    DSB(ishst);
    asm volatile("tlbi vmalle1is");
    DSB(ish);
    ISB();
}
/* A fresh zeroed page of RAM. */
u64 allocate_page(void);

/* GIC: what IHI 0069 calls them, group 1 non-secure, both security states alike. */
void gic_init_distributor(void);
void gic_init_cpu(void);
void gic_enable(u32 intid, u8 priority, int edge);
void gic_disable(u32 intid);
void gic_route(u32 spi, u64 mpidr);
void send_sgi(u32 intid, u64 mpidr);
void send_sgi_to_others(u32 intid);
INLINE u32 acknowledge(void) { return (u32)READ(S3_0_C12_C12_0); }
INLINE void end_of_interrupt(u32 intid)
{
    WRITE(S3_0_C12_C12_1, intid);
    ISB();
}

/* The vCPU affinities that the host hands out: 16 to a cluster. */
INLINE u64 mpidr_of(unsigned cpu) { return (u64)(cpu / 16) << 8 | (cpu % 16); }

/* Every test program is this; the result of CPU 0 is the result. */
u64 test(unsigned cpu, unsigned count);
/* Called on CPU 0 before the others leave the start. */
void prepare(unsigned count);

/* All CPUs wait for each other. */
void barrier(unsigned count);

void *memset(void *to, int value, u64 size);
void *memcpy(void *to, const void *from, u64 size);

#endif
