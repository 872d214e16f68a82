/* Counters that no CPU may lose an update of: exclusives and LSE in every width, a lock, a pair. */
#include "guest.h"

static volatile u64 exclusive64, lse64, lock, locked_count, cas64;
static volatile u32 exclusive32, lse32;
static volatile u16 exclusive16, lse16;
static volatile u8 exclusive8, lse8;
static struct { volatile u64 low, high; } __attribute__((aligned(16))) pair_exclusive, pair_cas;
static volatile u64 swapped, swap_sum;
static volatile u64 bits, minimum = ~0ul, maximum;

#define ADD_EXCLUSIVE(suffix, w, at)                                                             \
    ({                                                                                           \
        u64 value_;                                                                              \
        u32 failed_;                                                                             \
        do                                                                                       \
            asm volatile("ldxr" suffix " %" w "0, %2\n add %" w "0, %" w "0, #1\n stxr" suffix " %w1, %" w "0, %2" \
                         : "=&r"(value_), "=&r"(failed_), "+Q"(at)::"memory");                    \
        while (failed_);                                                                         \
    })

u64 test(unsigned cpu, unsigned count)
{
    u64 times = parameters.argument;
    barrier(count);
    for (u64 i = 0; i < times; i++) {
        ADD_EXCLUSIVE("", "x", exclusive64);
        ADD_EXCLUSIVE("", "w", exclusive32);
        ADD_EXCLUSIVE("h", "w", exclusive16);
        ADD_EXCLUSIVE("b", "w", exclusive8);
        asm volatile(".arch_extension lse\n"
                     "stadd %4, %0\n stadd %w4, %1\n staddh %w4, %2\n staddb %w4, %3\n"
                     : "+Q"(lse64), "+Q"(lse32), "+Q"(lse16), "+Q"(lse8)
                     : "r"(1ul));
        /* A pair whose halves stay the same. */
        u64 low, high;
        u32 failed;
        do
            asm volatile("ldaxp %0, %1, %3\n add %0, %0, #1\n add %1, %1, #1\n stlxp %w2, %0, %1, %3"
                         : "=&r"(low), "=&r"(high), "=&r"(failed), "+Q"(pair_exclusive)::"memory");
        while (failed);
        CHECK_EQ(low, high);
        register u64 a asm("x2"), b asm("x3");
        register u64 c asm("x4"), d asm("x5");
        u64 seen_a, seen_b;
        do {
            seen_a = a = pair_cas.low;
            seen_b = b = pair_cas.high;
            c = a + 1;
            d = b + 1;
            asm volatile(".arch_extension lse\n caspal %0, %1, %2, %3, %4"
                         : "+r"(a), "+r"(b)
                         : "r"(c), "r"(d), "Q"(pair_cas)
                         : "memory");
        } while (a != seen_a || b != seen_b);
        CHECK_EQ(a, b);
        /* Compare and swap. */
        u64 old, expected;
        do {
            expected = old = load(&cas64);
            asm volatile(".arch_extension lse\n casal %0, %2, %1" : "+r"(old), "+Q"(cas64) : "r"(expected + 1) : "memory");
        } while (old != expected);
        /* A lock by swap, with plain accesses inside. */
        u64 taken;
        do
            asm volatile(".arch_extension lse\n swpa %2, %0, %1" : "=r"(taken), "+Q"(lock) : "r"(1ul) : "memory");
        while (taken);
        store(&locked_count, load(&locked_count) + 1);
        store_release(&lock, 0);
        /* Swaps hand values around: none is lost. */
        u64 mine = i + 1, got;
        asm volatile(".arch_extension lse\n swpal %2, %0, %1" : "=r"(got), "+Q"(swapped) : "r"(mine) : "memory");
        fetch_add(&swap_sum, mine - got);
    }
    asm volatile(".arch_extension lse\n stset %1, %0" : "+Q"(bits) : "r"(1ul << cpu));
    asm volatile(".arch_extension lse\n stumin %1, %0" : "+Q"(minimum) : "r"((u64)cpu + 5));
    asm volatile(".arch_extension lse\n stumax %1, %0" : "+Q"(maximum) : "r"((u64)cpu + 5));
    barrier(count);
    u64 total = times * count;
    CHECK_EQ(exclusive64, total);
    CHECK_EQ(exclusive32, (u32)total);
    CHECK_EQ(exclusive16, (u16)total);
    CHECK_EQ(exclusive8, (u8)total);
    CHECK_EQ(lse64, total);
    CHECK_EQ(lse32, (u32)total);
    CHECK_EQ(lse16, (u16)total);
    CHECK_EQ(lse8, (u8)total);
    CHECK_EQ(pair_exclusive.low, total);
    CHECK_EQ(pair_exclusive.high, total);
    CHECK_EQ(pair_cas.low, total);
    CHECK_EQ(cas64, total);
    CHECK_EQ(locked_count, total);
    CHECK_EQ(swap_sum, swapped);
    CHECK_EQ(bits, (1ul << count) - 1);
    CHECK_EQ(minimum, 5);
    CHECK_EQ(maximum, count + 4);
    barrier(count);
    return 0;
}
