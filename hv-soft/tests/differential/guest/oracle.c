/*
 * The oracle's side, a static Linux program without a C library: runs batches on request and turns signals into
 * the `fault` record. Descriptor 0 is the memory shared with the host (input at 0, output behind it, then the contents
 * of the arena), descriptor 1 a socket on which the host sends a count and gets it back when the batch has run.
 */
#include <asm/signal.h>
#include <asm/siginfo.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>
#include <asm/unistd.h>
#include <linux/mman.h>
#include "layout.h"

extern void run_batch(void *in, void *out, unsigned long count);
extern char instance_exit[];
extern unsigned long fault[3];

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 asm("x8") = number;
    register long x0 asm("x0") = a;
    register long x1 asm("x1") = b;
    register long x2 asm("x2") = c;
    register long x3 asm("x3") = d;
    register long x4 asm("x4") = e;
    register long x5 asm("x5") = f;
    asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

static void leave(int status)
{
    call(__NR_exit_group, status, 0, 0, 0, 0, 0);
}

static void map(unsigned long address, unsigned long size, int protection, int flags, int fd, unsigned long offset)
{
    if (call(__NR_mmap, address, size, protection, flags | MAP_FIXED, fd, offset) != (long)address)
        leave(10);
}

/* Signal and code in one word, the address that the kernel reports, and where it happened. */
static void handler(int signal, siginfo_t *info, struct ucontext *context)
{
    fault[0] = (unsigned long)(unsigned)signal << 32 | (unsigned)info->si_code;
    fault[1] = (unsigned long)info->si_addr;
    fault[2] = context->uc_mcontext.pc;
    context->uc_mcontext.pc = (unsigned long)instance_exit;
}

asm(".global restorer\nrestorer: mov x8, #139\n svc #0\n");
extern void restorer(void);

static char signal_stack[65536] __attribute__((aligned(16)));

void oracle_main(void)
{
    static const int signals[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV };
    struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } action = {
        handler, SA_SIGINFO | SA_ONSTACK | SA_NODEFER, restorer, 0 };
    stack_t stack = { signal_stack, 0, sizeof signal_stack };

    map(IN_VA, IO_SIZE, PROT_READ, MAP_SHARED, 0, 0);
    map(OUT_VA, IO_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, IO_SIZE);
    map(ARENA_VA, ARENA_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, 0, 2 * IO_SIZE);
    map(SCRATCH_VA, 6 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    call(__NR_munmap, SCRATCH_VA, 6 * 4096, 0, 0, 0, 0);
    map(SCRATCH_VA + 4096, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    map(SCRATCH_VA + 4 * 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    call(__NR_sigaltstack, (long)&stack, 0, 0, 0, 0, 0);
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        call(__NR_rt_sigaction, signals[i], (long)&action, 0, 8, 0, 0);
    for (;;) {
        unsigned count;
        if (call(__NR_read, 1, (long)&count, sizeof count, 0, 0, 0) != sizeof count)
            leave(0);
        run_batch((void *)IN_VA, (void *)OUT_VA, count);
        if (call(__NR_write, 1, (long)&count, sizeof count, 0, 0, 0) != sizeof count)
            leave(11);
    }
}

asm(".global _start\n_start: mov x29, #0\n bl oracle_main\n brk #0\n");
