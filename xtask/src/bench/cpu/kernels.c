/*
 * The kernels of `cargo xtask bench cpu`: each does a fixed amount of work several times, and the guest's counter says
 * how long the quickest took, which a busy host disturbs least. The result makes sure that both sides did the same.
 */
#include <arm_neon.h>

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

void leave(const char *text, u64 ns, u64 checksum, u64 hypervisor) __attribute__((noreturn));

/* Filled in from outside: which kernel, and whether HVC or semihosting takes the result. */
#define PARAMETERS ((volatile u64 *)0x41000000)

#define REPEATS 12

static u8 area[2][1 << 20] __attribute__((aligned(64)));

static u64 step(u64 x)
{
    x ^= x << 13;
    x ^= x >> 7;
    return x ^ x << 17;
}

/* Arithmetic, multiplication, division and shifts without memory. */
static u64 integer(void)
{
    u64 x = 88172645463325252, sum = 0;
    for (u64 i = 0; i < 2400000; i++) {
        x = step(x);
        sum += x / ((i & 1023) + 3) ^ (sum >> 5) * 17;
        sum = (sum << 7 | sum >> 57) + (x & 0xff00ff);
    }
    return sum;
}

/* Branches that depend on data: Collatz sequences. */
static u64 branchy(void)
{
    u64 longest = 0, sum = 0;
    for (u64 start = 1; start < 40000; start++) {
        u64 n = start, length = 0;
        while (n != 1) {
            n = n & 1 ? 3 * n + 1 : n / 2;
            length++;
        }
        if (length > longest)
            longest = length;
        sum += length;
    }
    return sum << 16 | longest;
}

static void copy(u8 *to, const u8 *from, u64 size)
{
    const u8 *end = from + size;
    asm volatile("1: ldp x9, x10, [%1], #16\n ldp x11, x12, [%1], #16\n"
                 " stp x9, x10, [%0], #16\n stp x11, x12, [%0], #16\n cmp %1, %2\n b.lo 1b"
                 : "+r"(to), "+r"(from)
                 : "r"(end)
                 : "x9", "x10", "x11", "x12", "cc", "memory");
}

static u64 memory_copy(void)
{
    for (u64 i = 0; i < sizeof area[0]; i++)
        area[0][i] = i * 7;
    for (int round = 0; round < 20; round++)
        copy(area[(round + 1) & 1], area[round & 1], sizeof area[0]);
    return area[0][4711] + area[1][815];
}

static const u32 K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static u32 ror(u32 x, int n) { return x >> n | x << (32 - n); }

/* FIPS 180-4, section 6.2.2. */
static void sha256_block(u32 h[8], const u32 *block)
{
    u32 w[64], s[8];
    for (int t = 0; t < 16; t++)
        w[t] = __builtin_bswap32(block[t]);
    for (int t = 16; t < 64; t++) {
        u32 s0 = ror(w[t - 15], 7) ^ ror(w[t - 15], 18) ^ w[t - 15] >> 3;
        u32 s1 = ror(w[t - 2], 17) ^ ror(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    for (int i = 0; i < 8; i++)
        s[i] = h[i];
    for (int t = 0; t < 64; t++) {
        u32 e = s[4], a = s[0];
        u32 t1 = s[7] + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + K[t] + w[t];
        u32 t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = e, s[4] = s[3] + t1;
        s[3] = s[2], s[2] = s[1], s[1] = a, s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        h[i] += s[i];
}

__attribute__((target("+crypto"))) static void sha256_block_crypto(u32 h[8], const u32 *block)
{
    uint32x4_t abcd = vld1q_u32(h), efgh = vld1q_u32(h + 4), w[4];
    for (int i = 0; i < 4; i++)
        w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8((const u8 *)(block + 4 * i))));
    for (int t = 0; t < 16; t++) {
        uint32x4_t wk = vaddq_u32(w[t & 3], vld1q_u32(K + 4 * t)), before = abcd;
        abcd = vsha256hq_u32(abcd, efgh, wk);
        efgh = vsha256h2q_u32(efgh, before, wk);
        if (t < 12)
            w[t & 3] = vsha256su1q_u32(vsha256su0q_u32(w[t & 3], w[(t + 1) & 3]), w[(t + 2) & 3], w[(t + 3) & 3]);
    }
    vst1q_u32(h, vaddq_u32(vld1q_u32(h), abcd));
    vst1q_u32(h + 4, vaddq_u32(vld1q_u32(h + 4), efgh));
}

static u64 sha256(void (*block)(u32 *, const u32 *), int rounds)
{
    u32 h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    for (u64 i = 0; i < 65536; i++)
        area[0][i] = i * 13;
    for (int round = 0; round < rounds; round++)
        for (u64 at = 0; at < 65536; at += 64)
            block(h, (const u32 *)(area[0] + at));
    return (u64)h[0] << 32 | h[7];
}

static u64 sha256_plain(void) { return sha256(sha256_block, 4); }
static u64 sha256_crypto(void) { return sha256(sha256_block_crypto, 20); }

/* The Mandelbrot set, in double precision. */
static u64 scalar_float(void)
{
    u64 sum = 0;
    for (int row = 0; row < 60; row++)
        for (int column = 0; column < 108; column++) {
            double cr = column * (3.0 / 108) - 2.2, ci = row * (2.4 / 60) - 1.2, r = 0, i = 0;
            int n = 0;
            for (; n < 300 && r * r + i * i < 4; n++) {
                double next = r * r - i * i + cr;
                i = 2 * r * i + ci;
                r = next;
            }
            sum = sum * 3 + n;
        }
    return sum;
}

/* A product of single-precision matrices and a sum of absolute differences. */
static u64 advanced_simd(void)
{
    enum { N = 64 };
    static float a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = i - j;
            b[i][j] = i * 2 + j;
        }
    for (int round = 0; round < 8; round++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j += 4) {
                float32x4_t sum = vdupq_n_f32(0);
                for (int k = 0; k < N; k++)
                    sum = vfmaq_n_f32(sum, vld1q_f32(&b[k][j]), a[i][k]);
                vst1q_f32(&c[i][j], sum);
            }
    for (u64 i = 0; i < 65536; i++) {
        area[0][i] = i * 7;
        area[1][i] = i * 11;
    }
    uint32x4_t total = vdupq_n_u32(0);
    for (int round = 0; round < 12; round++)
        for (u64 i = 0; i < 65536; i += 16) {
            uint8x16_t difference = vabdq_u8(vld1q_u8(area[0] + i), vld1q_u8(area[1] + i));
            total = vpadalq_u16(total, vpaddlq_u8(difference));
        }
    return vaddvq_u32(total) + (u64)c[7][9] + ((u64)c[63][62] << 20);
}

/* LSE and exclusive additions, compare and swap. */
static u64 atomics(void)
{
    static volatile u64 counters[8];
    for (u64 i = 0; i < 400000; i++) {
        volatile u64 *at = &counters[i & 7];
        u64 old, value;
        u32 failed;
        asm volatile(".arch_extension lse\n ldaddal %2, %0, %1" : "=r"(old), "+Q"(*at) : "r"(i) : "memory");
        do
            asm volatile("ldaxr %0, %2\n add %0, %0, #3\n stlxr %w1, %0, %2"
                         : "=&r"(value), "=&r"(failed), "+Q"(*at)::"memory");
        while (failed);
        old = value;
        asm volatile(".arch_extension lse\n casal %0, %2, %1" : "+r"(old), "+Q"(*at) : "r"(value + 1) : "memory");
    }
    u64 sum = 0;
    for (int i = 0; i < 8; i++)
        sum = sum * 5 + counters[i];
    return sum;
}

static u64 (*const kernels[])(void) = {
    integer, branchy, memory_copy, sha256_plain, sha256_crypto, scalar_float, advanced_simd, atomics,
};

static u64 counter(void)
{
    u64 now;
    asm volatile("isb\n mrs %0, cntvct_el0" : "=r"(now)::"memory");
    return now;
}

static char *decimal(char *end, u64 value)
{
    do
        *--end = '0' + value % 10;
    while (value /= 10);
    return end;
}

void kernel_main(void)
{
    u64 frequency;
    asm volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
    u64 checksum = 0, best = ~0ul;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        u64 start = counter();
        checksum = checksum * 31 + kernels[PARAMETERS[0]]();
        u64 ticks = counter() - start;
        if (ticks < best)
            best = ticks;
    }
    u64 ns = best * (1000000000 / 1000) / (frequency / 1000);
    static char text[64];
    char *at = text + 62;
    *--at = '\n';
    at = decimal(at, checksum);
    *--at = ' ';
    at = decimal(at, ns);
    leave(at, ns, checksum, PARAMETERS[1]);
}
