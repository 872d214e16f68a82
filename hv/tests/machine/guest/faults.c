/*
 * Every kind of stage-1 fault, alignment fault and trap that Armv8.0 has at EL0 and EL1 without EL2: class, status
 * code, direction and address (D8.2, D8.15 "Memory aborts", D17.2.37 ESR_EL1).
 */
#include "guest.h"

#define VA 0x100000000000ul /* a level-0 entry of its own */

asm(".balign 64\n"
    "load_x0: ldr x0, [x0]\n ret\n"
    "store_x0: str x1, [x0]\n ret\n"
    "load_byte: ldrb w0, [x0]\n ret\n"
    "load_exclusive: ldxr x0, [x0]\n ret\n"
    "load_acquire_x0: ldar x0, [x0]\n ret\n"
    "add_atomic: .arch_extension lse\n ldadd x1, x0, [x0]\n ret\n"
    "load_pair: ldp x2, x3, [x0]\n ret\n"
    "call_x0: br x0\n"
    "clean_x0: dc civac, x0\n ret\n"
    "clean_cvau: dc cvau, x0\n ret\n"
    "zero_x0: dc zva, x0\n ret\n"
    "undefined: .inst 0\n ret\n"
    "break_x0: brk #0x1234\n ret\n"
    "service: svc #0x4321\n ret\n"
    "load_sp: msr sp_el0, x0\n msr spsel, #0\n ldr x3, [sp]\n msr spsel, #1\n ret\n"
    "fp_add: fadd d0, d0, d0\n ret\n"
    ".balign 4096\n"
    ".global user_start\n"
    "user_start:\n"
    "user_load: ldr x0, [x0]\n svc #0xff\n"
    "user_store: str x1, [x0]\n svc #0xff\n"
    "user_call: br x0\n"
    "user_nop: svc #0xff\n"
    "user_svc: svc #0x1234\n"
    "user_undefined: .inst 0\n"
    "user_mrs: mrs x5, sctlr_el1\n svc #0xff\n"
    "user_msr_daif: msr daifset, #15\n svc #0xff\n"
    "user_counter: mrs x7, cntvct_el0\n svc #0xff\n"
    "user_zva: dc zva, x0\n svc #0xff\n"
    "user_clean: dc cvau, x0\n svc #0xff\n"
    "user_ic: ic ivau, x0\n svc #0xff\n"
    "user_ctr: mrs x3, ctr_el0\n svc #0xff\n"
    "user_wfi: wfi\n svc #0xff\n"
    "user_wfe: sevl\n wfe\n wfe\n svc #0xff\n"
    "user_sp: ldr x0, [sp]\n svc #0xff\n"
    "user_fp: fmov d3, x0\n svc #0xff\n"
    "user_hvc: hvc #5\n svc #0xff\n"
    "user_unprivileged: ldtr x0, [x0]\n svc #0xff\n"
    ".balign 4096\n"
    "user_end:\n"
    ".text\n");
extern char load_x0[], store_x0[], load_byte[], load_exclusive[], load_acquire_x0[], add_atomic[], load_pair[], call_x0[];
extern char clean_x0[], clean_cvau[], zero_x0[], undefined[], break_x0[], service[], load_sp[], fp_add[];
extern char user_start[], user_load[], user_store[], user_call[], user_nop[], user_svc[], user_undefined[], user_mrs[];
extern char user_msr_daif[], user_counter[], user_zva[], user_clean[], user_ic[], user_ctr[], user_wfi[], user_wfe[];
extern char user_sp[], user_fp[], user_hvc[], user_unprivileged[];

#define USER_VA 0x180000000000ul
#define USER_DATA (USER_VA + 0x10000)
#define USER(code) (USER_VA + ((u64)(code) - (u64)user_start))

static struct caught c;

/* Expects a data abort. */
static void data_abort(u64 line, u64 vector, u64 code, u64 va, u64 status, u64 write)
{
    if (vector != VECTOR_SYNC_EL1 || EC(c.esr) != 0x25 || FSC(c.esr) != status || WNR(c.esr) != write)
        fail(line, c.esr, status);
    if (c.far != va)
        fail(line | 1 << 16, c.far, va);
    if (c.elr != code)
        fail(line | 2 << 16, c.elr, code);
    if ((c.spsr & 0xf) != 5)
        fail(line | 3 << 16, c.spsr, 5);
}

#define LOAD_FAULTS(va, status) data_abort(__LINE__, try_call(&c, load_x0, va, 0), (u64)load_x0, va, status, 0)
#define STORE_FAULTS(va, status) data_abort(__LINE__, try_call(&c, store_x0, va, 0), (u64)store_x0, va, status, 1)

static void fetch_fault(u64 line, u64 vector, u64 ec, u64 va, u64 status)
{
    u64 expected = ec == 0x21 ? VECTOR_SYNC_EL1 : VECTOR_SYNC_EL0;
    if (vector != expected || EC(c.esr) != ec || FSC(c.esr) != status)
        fail(line, c.esr, status);
    if (c.far != va || c.elr != va)
        fail(line | 1 << 16, c.far, va);
}

#define FETCH_FAULTS(va, status) fetch_fault(__LINE__, try_call(&c, call_x0, va, 0), 0x21, va, status)

static void user_abort(u64 line, u64 vector, u64 code, u64 va, u64 status, u64 write)
{
    if (vector != VECTOR_SYNC_EL0 || EC(c.esr) != 0x24 || FSC(c.esr) != status || WNR(c.esr) != write)
        fail(line, c.esr, status);
    if (c.far != va || c.elr != code)
        fail(line | 1 << 16, c.far, va);
    if ((c.spsr & 0xf) != 0)
        fail(line | 3 << 16, c.spsr, 0);
}

#define USER_LOAD_FAULTS(va, status) \
    user_abort(__LINE__, try_el0(&c, USER(user_load), va, 0, USER_DATA + 0x800), USER(user_load), va, status, 0)
#define USER_STORE_FAULTS(va, status) \
    user_abort(__LINE__, try_el0(&c, USER(user_store), va, 0, USER_DATA + 0x800), USER(user_store), va, status, 1)

static void translation(void)
{
    u64 page = allocate_page();
    *(u64 *)page = 0x1122334455667788;
    /* Nothing at level 0. */
    LOAD_FAULTS(VA, 0x04);
    STORE_FAULTS(VA + 8, 0x04);
    FETCH_FAULTS(VA, 0x04);
    /* Level 1, 2, 3 as tables come in. */
    u64 *one = pte(root_low, VA, 1);
    LOAD_FAULTS(VA, 0x05);
    FETCH_FAULTS(VA + 4, 0x05);
    u64 *two = pte(root_low, VA, 2);
    LOAD_FAULTS(VA, 0x06);
    STORE_FAULTS(VA, 0x06);
    u64 *three = pte(root_low, VA, 3);
    LOAD_FAULTS(VA, 0x07);
    STORE_FAULTS(VA + 0xff8, 0x07);
    FETCH_FAULTS(VA + 0x10, 0x07);
    /* A level-3 descriptor with bit 1 clear is reserved: as if invalid. */
    *three = page | KERNEL_DATA | PTE_VALID;
    DSB(ishst);
    LOAD_FAULTS(VA, 0x07);
    /* So is a level-0 "block". */
    u64 saved = root_low[64];
    root_low[64] = page | KERNEL_DATA | PTE_BLOCK;
    DSB(ishst);
    LOAD_FAULTS(0x200000000000ul, 0x04);
    root_low[64] = saved;
    DSB(ishst);
    /* Access flag at levels 3, 2 and 1. An entry that faults for it is not cached, so it may be changed in place. */
    *three = page | (KERNEL_DATA & ~PTE_AF) | PTE_PAGE;
    DSB(ishst);
    LOAD_FAULTS(VA, 0x0b);
    STORE_FAULTS(VA, 0x0b);
    FETCH_FAULTS(VA, 0x0b);
    *three = page | KERNEL_DATA | PTE_PAGE;
    DSB(ishst);
    CHECK_EQ(try_call(&c, load_x0, VA, 0), 0);
    u64 saved_two = *two;
    *two = 0;
    flush_tlb();
    *two = 0x40000000 | (KERNEL_DATA & ~PTE_AF) | PTE_BLOCK;
    DSB(ishst);
    LOAD_FAULTS(VA, 0x0a);
    u64 saved_one = *one;
    *one = 0;
    flush_tlb();
    *one = 0x40000000 | (KERNEL_DATA & ~PTE_AF) | PTE_BLOCK;
    DSB(ishst);
    LOAD_FAULTS(VA, 0x09);
    /* Permission at levels 1, 2 and 3. */
    *one = 0x40000000 | KERNEL_DATA | PTE_RO | PTE_BLOCK;
    flush_tlb();
    CHECK_EQ(try_call(&c, load_x0, VA + (page & 0x3fffffff), 0), 0);
    STORE_FAULTS(VA, 0x0d);
    FETCH_FAULTS(VA, 0x0d);
    *one = 0;
    flush_tlb();
    *one = saved_one;
    *two = 0x40000000 | KERNEL_DATA | PTE_RO | PTE_BLOCK;
    flush_tlb();
    STORE_FAULTS(VA, 0x0e);
    FETCH_FAULTS(VA, 0x0e);
    *two = 0;
    flush_tlb();
    *two = saved_two;
    *three = page | KERNEL_DATA | PTE_RO | PTE_PAGE;
    flush_tlb();
    STORE_FAULTS(VA, 0x0f);
    FETCH_FAULTS(VA, 0x0f);
    /* Writable at EL0 is never executable at EL1. */
    *three = page | (KERNEL_DATA & ~PTE_PXN) | PTE_USER | PTE_PAGE;
    flush_tlb();
    CHECK_EQ(try_call(&c, load_x0, VA, 0), 0);
    FETCH_FAULTS(VA, 0x0f);
    /* Hierarchical permissions: APTable, PXNTable in the level-2 entry. */
    *three = page | (KERNEL_DATA & ~PTE_PXN) | PTE_PAGE;
    *two |= 1ul << 62 | 1ul << 59;
    flush_tlb();
    STORE_FAULTS(VA, 0x0f);
    FETCH_FAULTS(VA, 0x0f);
    *two &= ~(1ul << 62 | 1ul << 59);
    flush_tlb();
    CHECK_EQ(try_call(&c, store_x0, VA, 0), 0);
    /* SCTLR_EL1.WXN: writable is not executable. */
    *(u32 *)page = 0xd65f03c0; /* ret */
    DSB(ish);
    asm volatile("ic ialluis");
    DSB(ish);
    ISB();
    CHECK_EQ(try_call(&c, (void *)VA, 0, 0), 0);
    u64 sctlr = READ(sctlr_el1);
    WRITE(sctlr_el1, sctlr | 1 << 19);
    flush_tlb();
    FETCH_FAULTS(VA, 0x0f);
    *three = page | (KERNEL_DATA & ~PTE_PXN) | PTE_RO | PTE_PAGE;
    flush_tlb();
    CHECK_EQ(try_call(&c, (void *)VA, 0, 0), 0);
    WRITE(sctlr_el1, sctlr);
    flush_tlb();
    /* Address size: an output address beyond TCR_EL1.IPS, in entries of each level. */
    *three = 0x010000000000ul | KERNEL_DATA | PTE_PAGE;
    flush_tlb();
    LOAD_FAULTS(VA, 0x03);
    *two = 0x010000000000ul | KERNEL_DATA | PTE_BLOCK;
    flush_tlb();
    LOAD_FAULTS(VA, 0x02);
    *two = 0x010000000000ul | PTE_TABLE;
    flush_tlb();
    LOAD_FAULTS(VA, 0x02);
    *two = saved_two;
    *one = 0x010000000000ul | PTE_TABLE;
    flush_tlb();
    LOAD_FAULTS(VA, 0x01);
    *one = saved_one;
    flush_tlb();
    /* Cache maintenance by address faults as a store with CM set; DC ZVA as a store without. */
    *three = 0;
    flush_tlb();
    data_abort(__LINE__, try_call(&c, clean_x0, VA, 0), (u64)clean_x0, VA, 0x07, 1);
    CHECK(c.esr >> 8 & 1);
    data_abort(__LINE__, try_call(&c, zero_x0, VA + 0x40, 0), (u64)zero_x0, VA + 0x40, 0x07, 1);
    CHECK_EQ(c.esr >> 8 & 1, 0);
    /* Outside both halves. */
    LOAD_FAULTS(0x0100000000000000ul, 0x04);
    LOAD_FAULTS(0xff00000000000000ul, 0x04);
    /* A page boundary: the half that faults is the one that FAR names. */
    *three = page | KERNEL_DATA | PTE_PAGE;
    *pte(root_low, VA + 0x1000, 3) = 0;
    flush_tlb();
    CHECK_EQ(try_call(&c, load_x0, VA + 0xffc, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(FSC(c.esr), 0x07);
    CHECK_EQ(c.far & ~7ul, VA + 0x1000);
    *(u64 *)page = 0x1122334455667788;
}

static void upper_half(void)
{
    u64 page = allocate_page();
    u64 va = 0xffff800000000000ul;
    LOAD_FAULTS(va, 0x04);
    *(u64 *)page = 77;
    map_page(va, page, KERNEL_DATA);
    DSB(ishst);
    CHECK_EQ(load((u64 *)va), 77);
    /* EPD1: no walks of the upper half. */
    u64 tcr = READ(tcr_el1);
    WRITE(tcr_el1, tcr | 1 << 23);
    flush_tlb();
    LOAD_FAULTS(va, 0x04);
    WRITE(tcr_el1, tcr);
    /* E0PD1 (FEAT_E0PD): EL0 faults at level 0 whatever is mapped. */
    flush_tlb();
    if (READ(S3_0_C0_C7_2) >> 60 & 15) {
        *pte(root_high, va, 3) = page | KERNEL_DATA | PTE_USER | PTE_PAGE;
        flush_tlb();
        CHECK_EQ(try_el0(&c, USER(user_load), va, 0, 0), 0);
        WRITE(tcr_el1, tcr | 1ul << 56);
        flush_tlb();
        USER_LOAD_FAULTS(va, 0x04);
        CHECK_EQ(load((u64 *)va), 77);
        WRITE(tcr_el1, tcr);
        flush_tlb();
    }
    /* Top byte ignored in the lower half when TBI0 is set, and not otherwise. */
    page = allocate_page();
    *(u64 *)page = 78;
    map_page(VA, page, KERNEL_DATA);
    flush_tlb();
    LOAD_FAULTS(VA | 0x5aul << 56, 0x04);
    WRITE(tcr_el1, tcr | 1ul << 37);
    flush_tlb();
    CHECK_EQ(load((u64 *)(VA | 0x5aul << 56)), 78);
    WRITE(tcr_el1, tcr);
    flush_tlb();
}

static u64 aligned_words[4] __attribute__((aligned(16)));

static void alignment(void)
{
    u64 page = allocate_page();
    map_page(VA, page, KERNEL_DATA);
    map_page(VA + 0x1000, page, ATTR_DEVICE | PTE_AF | PTE_PXN | PTE_UXN);
    flush_tlb();
    CHECK_EQ(try_call(&c, load_x0, VA + 1, 0), 0);
    /* Exclusive, acquire and atomic accesses are always checked before FEAT_LSE2. */
    data_abort(__LINE__, try_call(&c, load_exclusive, VA + 4, 0), (u64)load_exclusive, VA + 4, 0x21, 0);
    data_abort(__LINE__, try_call(&c, load_acquire_x0, VA + 2, 0), (u64)load_acquire_x0, VA + 2, 0x21, 0);
    CHECK_EQ(try_call(&c, add_atomic, VA + 1, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(FSC(c.esr), 0x21);
    /* Device memory. */
    data_abort(__LINE__, try_call(&c, load_x0, VA + 0x1001, 0), (u64)load_x0, VA + 0x1001, 0x21, 0);
    data_abort(__LINE__, try_call(&c, store_x0, VA + 0x1004, 0), (u64)store_x0, VA + 0x1004, 0x21, 1);
    /* SCTLR_EL1.A: everything, with pairs checked by element. */
    u64 sctlr = READ(sctlr_el1);
    WRITE(sctlr_el1, sctlr | 2);
    ISB();
    data_abort(__LINE__, try_call(&c, load_x0, VA + 4, 0), (u64)load_x0, VA + 4, 0x21, 0);
    CHECK_EQ(try_call(&c, load_byte, VA + 1, 0), 0);
    CHECK_EQ(try_call(&c, load_pair, VA + 8, 0), 0);
    data_abort(__LINE__, try_call(&c, load_pair, VA + 4, 0), (u64)load_pair, VA + 4, 0x21, 0);
    /* Alignment goes before translation. */
    data_abort(__LINE__, try_call(&c, load_x0, VA + 0x200001, 0), (u64)load_x0, VA + 0x200001, 0x21, 0);
    WRITE(sctlr_el1, sctlr);
    ISB();
    /* Stack pointer: SA for EL1, SA0 for EL0. */
    WRITE(sctlr_el1, sctlr | 8 | 16);
    ISB();
    /* On SP_EL0, so that the handler's own stack pointer is aligned. */
    c.esr = 0;
    try_call(&c, load_sp, (u64)&aligned_words[1], 0);
    CHECK_EQ(EC(c.esr), 0x26);
    CHECK_EQ(c.vector, 0);
    CHECK_EQ(try_call(&c, load_sp, (u64)&aligned_words[2], 0), 0);
    CHECK_EQ(try_el0(&c, USER(user_sp), 0, 0, USER_DATA + 8), VECTOR_SYNC_EL0);
    CHECK_EQ(EC(c.esr), 0x26);
    CHECK_EQ(try_el0(&c, USER(user_sp), 0, 0, USER_DATA + 16), 0);
    WRITE(sctlr_el1, sctlr);
    ISB();
    CHECK_EQ(try_el0(&c, USER(user_sp), 0, 0, USER_DATA + 8), 0);
    /* Program counter. */
    CHECK_EQ(try_call(&c, call_x0, (u64)load_x0 + 2, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(EC(c.esr), 0x22);
    CHECK_EQ(c.far, (u64)load_x0 + 2);
    CHECK_EQ(c.elr, (u64)load_x0 + 2);
}

static void user(void)
{
    u64 page = allocate_page();
    CHECK_EQ(try_el0(&c, USER(user_nop), 0, 0, 0), 0);
    /* Kernel memory, for every access. */
    map_page(VA, page, KERNEL_DATA);
    flush_tlb();
    USER_LOAD_FAULTS(VA, 0x0f);
    USER_STORE_FAULTS(VA, 0x0f);
    fetch_fault(__LINE__, try_el0(&c, USER(user_call), VA, 0, 0), 0x20, VA, 0x0f);
    fetch_fault(__LINE__, try_el0(&c, USER(user_call), VA + 0x10000000, 0, 0), 0x20, VA + 0x10000000, 0x06);
    /* LDTR at EL1 has the rights of EL0. */
    asm volatile("" ::: "memory");
    CHECK_EQ(try_call(&c, (void *)(u64)user_unprivileged, VA, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(FSC(c.esr), 0x0f);
    /* Read-only, and execute never, for EL0. */
    map_page(VA, page, KERNEL_DATA | PTE_USER | PTE_RO);
    flush_tlb();
    CHECK_EQ(try_el0(&c, USER(user_load), VA, 0, 0), 0);
    USER_STORE_FAULTS(VA, 0x0f);
    STORE_FAULTS(VA, 0x0f);
    fetch_fault(__LINE__, try_el0(&c, USER(user_call), VA, 0, 0), 0x20, VA, 0x0f);
    /* APTable[0] takes away what EL0 had; UXNTable its execution. */
    u64 *two = pte(root_low, VA, 2);
    *two |= 1ul << 61;
    flush_tlb();
    USER_LOAD_FAULTS(VA, 0x0f);
    CHECK_EQ(try_call(&c, load_x0, VA, 0), 0);
    *two &= ~(1ul << 61);
    flush_tlb();
    /* Instructions. */
    CHECK_EQ(try_el0(&c, USER(user_svc), 0, 0, 0), VECTOR_SYNC_EL0);
    CHECK_EQ(c.esr, 0x56001234);
    CHECK_EQ(c.elr, USER(user_svc) + 4);
    CHECK_EQ(try_el0(&c, USER(user_undefined), 0, 0, 0), VECTOR_SYNC_EL0);
    CHECK_EQ(c.esr, 0x02000000);
    CHECK_EQ(try_el0(&c, USER(user_hvc), 0, 0, 0), VECTOR_SYNC_EL0);
    CHECK_EQ(c.esr, 0x02000000);
    CHECK_EQ(try_el0(&c, USER(user_mrs), 0, 0, 0), VECTOR_SYNC_EL0);
    CHECK_EQ(EC(c.esr), 0);
    /* SCTLR_EL1.UMA = 0 traps: op0 3, op1 3, CRn 4, op2 6, CRm 15 as an immediate. */
    CHECK_EQ(try_el0(&c, USER(user_msr_daif), 0, 0, 0), VECTOR_SYNC_EL0);
    CHECK_EQ(EC(c.esr), 0x18);
}

static void traps(void)
{
    u64 sctlr = READ(sctlr_el1);
    /* CNTKCTL_EL1.EL0VCTEN: MRS x7, CNTVCT_EL0 = op0 3, op2 2, op1 3, CRn 14, Rt 7, CRm 0, read. */
    WRITE(cntkctl_el1, 0);
    ISB();
    CHECK_EQ(try_el0(&c, USER(user_counter), 0, 0, 0), VECTOR_SYNC_EL0);
    CHECK_EQ(EC(c.esr), 0x18);
    CHECK_EQ(ISS(c.esr), 3ul << 20 | 2 << 17 | 3 << 14 | 14 << 10 | 7 << 5 | 0 << 1 | 1);
    WRITE(cntkctl_el1, 2);
    ISB();
    CHECK_EQ(try_el0(&c, USER(user_counter), 0, 0, 0), 0);
    /* DZE, UCI, UCT, nTWI, nTWE: clear means trapped. */
    WRITE(sctlr_el1, sctlr & ~(1ul << 14 | 1ul << 26 | 1ul << 15 | 1ul << 16 | 1ul << 18));
    ISB();
    char *trapped[] = { user_zva, user_clean, user_ic, user_ctr };
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(try_el0(&c, USER(trapped[i]), USER_DATA, 0, 0), VECTOR_SYNC_EL0);
        CHECK_EQ(EC(c.esr), 0x18);
        CHECK_EQ(c.elr, USER(trapped[i]));
    }
    CHECK_EQ(try_el0(&c, USER(user_wfi), 0, 0, 0), VECTOR_SYNC_EL0);
    CHECK_EQ(EC(c.esr), 0x01);
    CHECK_EQ(ISS(c.esr) & 3, 0);
    /* SEVL makes the first WFE return, so the second one traps, if any. */
    CHECK_EQ(try_el0(&c, USER(user_wfe), 0, 0, 0), VECTOR_SYNC_EL0);
    CHECK_EQ(EC(c.esr), 0x01);
    CHECK_EQ(ISS(c.esr) & 3, 1);
    WRITE(sctlr_el1, sctlr | 1ul << 14 | 1ul << 26 | 1ul << 15 | 1ul << 16 | 1ul << 18);
    ISB();
    for (int i = 0; i < 4; i++)
        CHECK_EQ(try_el0(&c, USER(trapped[i]), USER_DATA, 0, 0), 0);
    WRITE(sctlr_el1, sctlr);
    ISB();
    /* CPACR_EL1.FPEN. */
    WRITE(cpacr_el1, 0);
    ISB();
    CHECK_EQ(try_call(&c, fp_add, 0, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(EC(c.esr), 0x07);
    WRITE(cpacr_el1, 1 << 20);
    ISB();
    CHECK_EQ(try_call(&c, fp_add, 0, 0), 0);
    CHECK_EQ(try_el0(&c, USER(user_fp), 0, 0, 0), VECTOR_SYNC_EL0);
    CHECK_EQ(EC(c.esr), 0x07);
    WRITE(cpacr_el1, 3 << 20);
    ISB();
    CHECK_EQ(try_el0(&c, USER(user_fp), 0, 0, 0), 0);
    /* Instructions that generate exceptions at EL1. */
    CHECK_EQ(try_call(&c, undefined, 0, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(c.esr, 0x02000000);
    CHECK_EQ(c.elr, (u64)undefined);
    CHECK_EQ(try_call(&c, break_x0, 0, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(c.esr, 0xf2001234);
    CHECK_EQ(c.elr, (u64)break_x0);
    CHECK_EQ(try_call(&c, service, 0, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(c.esr, 0x56004321);
    CHECK_EQ(c.elr, (u64)service + 4);
}

asm("illegal_eret: msr spsr_el1, x0\n adr x1, 1f\n msr elr_el1, x1\n eret\n1: ret\n");
extern char illegal_eret[];

static void illegal_state(void)
{
    /* ERET to EL2, to EL3 and to AArch32: PSTATE.IL is set, and the next instruction faults (D1.5). */
    u64 bad[] = { 0x3c9, 0x3cd, 0x3d0, 0x3c1, 0x3c6 };
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(try_call(&c, illegal_eret, bad[i], 0), VECTOR_SYNC_EL1);
        CHECK_EQ(EC(c.esr), 0x0e);
        CHECK(c.spsr >> 20 & 1);
        CHECK_EQ(c.elr, (u64)illegal_eret + 16);
    }
}

/* AT: PAR_EL1 holds the address and attributes, or the fault (D17.2.111). */
static void address_translation(void)
{
    u64 page = allocate_page();
    map_page(VA, page, KERNEL_DATA | PTE_RO);
    map_page(VA + 0x1000, page, KERNEL_DATA | PTE_USER);
    *pte(root_low, VA + 0x2000, 3) = 0;
    flush_tlb();
    asm volatile("at s1e1r, %0\n isb" ::"r"(VA + 0x123));
    CHECK_EQ(READ(par_el1) & 1, 0);
    CHECK_EQ(READ(par_el1) & 0xfffffffff000, page);
    CHECK_EQ(READ(par_el1) >> 56, 0xff);
    asm volatile("at s1e1w, %0\n isb" ::"r"(VA));
    CHECK_EQ(READ(par_el1) & 1, 1);
    CHECK_EQ(READ(par_el1) >> 1 & 0x3f, 0x0f);
    asm volatile("at s1e0r, %0\n isb" ::"r"(VA));
    CHECK_EQ(READ(par_el1) >> 1 & 0x3f, 0x0f);
    asm volatile("at s1e0w, %0\n isb" ::"r"(VA + 0x1000));
    CHECK_EQ(READ(par_el1) & 1, 0);
    asm volatile("at s1e0r, %0\n isb" ::"r"(VA + 0x2000));
    CHECK_EQ(READ(par_el1) & 1, 1);
    CHECK_EQ(READ(par_el1) >> 1 & 0x3f, 0x07);
    asm volatile("at s1e1r, %0\n isb" ::"r"(0x300000000000ul));
    CHECK_EQ(READ(par_el1) >> 1 & 0x3f, 0x04);
}

/* ASIDs keep non-global entries apart; TLBI by ASID and by address remove what they name. */
static void address_spaces(void)
{
    u64 first = allocate_page(), second = allocate_page(), third = allocate_page();
    *(u64 *)first = 1;
    *(u64 *)second = 2;
    *(u64 *)third = 3;
    u64 *entry = pte(root_low, VA, 3);
    *entry = first | KERNEL_DATA | PTE_NG | PTE_PAGE;
    WRITE(ttbr0_el1, (u64)root_low | 5ul << 48);
    flush_tlb();
    CHECK_EQ(load((u64 *)VA), 1);
    *entry = second | KERNEL_DATA | PTE_NG | PTE_PAGE;
    DSB(ish);
    WRITE(ttbr0_el1, (u64)root_low | 0x8006ul << 48);
    ISB();
    CHECK_EQ(load((u64 *)VA), 2);
    /* Remove what 0x8006 has, by address; 5 may keep its own until ASIDE1. */
    *entry = third | KERNEL_DATA | PTE_NG | PTE_PAGE;
    DSB(ish);
    asm volatile("tlbi vae1, %0" ::"r"((VA >> 12 & 0xfffffffffff) | 0x8006ul << 48));
    DSB(ish);
    ISB();
    CHECK_EQ(load((u64 *)VA), 3);
    asm volatile("tlbi aside1, %0" ::"r"(5ul << 48));
    DSB(ish);
    WRITE(ttbr0_el1, (u64)root_low | 5ul << 48);
    ISB();
    CHECK_EQ(load((u64 *)VA), 3);
    /* By address in all ASIDs. */
    *entry = first | KERNEL_DATA | PTE_NG | PTE_PAGE;
    DSB(ish);
    asm volatile("tlbi vaae1is, %0" ::"r"(VA >> 12 & 0xfffffffffff));
    DSB(ish);
    ISB();
    CHECK_EQ(load((u64 *)VA), 1);
    *entry = second | KERNEL_DATA | PTE_NG | PTE_PAGE;
    DSB(ish);
    asm volatile("tlbi vale1is, %0" ::"r"((VA >> 12 & 0xfffffffffff) | 5ul << 48));
    DSB(ish);
    ISB();
    CHECK_EQ(load((u64 *)VA), 2);
    WRITE(ttbr0_el1, root_low);
    flush_tlb();
}

/* D2.9, D2.10, D2.12: a debugger in the guest. */
asm("stepped: add x0, x0, #1\n add x0, x0, #2\n add x0, x0, #4\n ret\n");
extern char stepped[];
static u64 watched[4] __attribute__((aligned(64)));
static u64 user_steps, user_elr;

static int step_handler(struct frame *frame)
{
    if (EC(frame->esr) != 0x32)
        return 0;
    /* ISV and no exclusive. */
    CHECK_EQ(FSC(frame->esr), 0x22);
    user_steps++;
    user_elr = frame->elr;
    if (user_steps == 2) {
        frame->spsr &= ~(1ul << 21);
        WRITE(mdscr_el1, READ(mdscr_el1) & ~1ul);
    } else {
        frame->spsr |= 1ul << 21;
    }
    return 1;
}

static void debug(void)
{
    WRITE(oslar_el1, 0);
    ISB();
    WRITE(mdscr_el1, 1 << 15 | 1 << 13); /* MDE, KDE */
    asm volatile("msr daifclr, #8");
    /* Breakpoint 0 at an instruction of EL1 (and EL0): E, PMC 0b11, BAS 0b1111. */
    WRITE(dbgbvr0_el1, (u64)stepped + 4);
    WRITE(dbgbcr0_el1, 1 | 3 << 1 | 15 << 5);
    ISB();
    CHECK_EQ(try_call(&c, stepped, 0, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(EC(c.esr), 0x31);
    CHECK_EQ(FSC(c.esr), 0x22);
    CHECK_EQ(c.elr, (u64)stepped + 4);
    asm volatile("msr daifclr, #8");
    WRITE(dbgbcr0_el1, 0);
    WRITE(dbgbvr1_el1, (u64)stepped + 8);
    WRITE(dbgbcr1_el1, 1 | 3 << 1 | 15 << 5);
    ISB();
    CHECK_EQ(try_call(&c, stepped, 0, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(c.elr, (u64)stepped + 8);
    WRITE(dbgbcr1_el1, 0);
    asm volatile("msr daifclr, #8");
    ISB();
    CHECK_EQ(try_call(&c, stepped, 0, 0), 0);
    /* Watchpoint 0 on stores to the second of the words: E, PAC 0b11, LSC store, BAS all. */
    WRITE(dbgwvr0_el1, &watched[1]);
    WRITE(dbgwcr0_el1, 1 | 3 << 1 | 2 << 3 | 255 << 5);
    ISB();
    CHECK_EQ(try_call(&c, load_x0, (u64)&watched[1], 0), 0);
    CHECK_EQ(try_call(&c, store_x0, (u64)&watched[0], 9), 0);
    CHECK_EQ(try_call(&c, store_x0, (u64)&watched[1], 9), VECTOR_SYNC_EL1);
    CHECK_EQ(EC(c.esr), 0x35);
    CHECK_EQ(WNR(c.esr), 1);
    CHECK_EQ(c.far, &watched[1]);
    CHECK_EQ(watched[1], 0);
    asm volatile("msr daifclr, #8");
    /* Watchpoint 1 on loads of one byte. */
    WRITE(dbgwcr0_el1, 0);
    WRITE(dbgwvr1_el1, &watched[2]);
    WRITE(dbgwcr1_el1, 1 | 3 << 1 | 1 << 3 | 0x10 << 5);
    ISB();
    CHECK_EQ(try_call(&c, load_byte, (u64)&watched[2] + 3, 0), 0);
    CHECK_EQ(try_call(&c, load_byte, (u64)&watched[2] + 4, 0), VECTOR_SYNC_EL1);
    CHECK_EQ(WNR(c.esr), 0);
    WRITE(dbgwcr1_el1, 0);
    asm volatile("msr daifset, #8");
    /* Software step of EL0: two instructions. */
    WRITE(mdscr_el1, 1);
    ISB();
    on_sync[0] = step_handler;
    user_steps = 0;
    extern u64 try_step(struct caught *, u64 code, u64 a, u64 b, u64 sp);
    CHECK_EQ(try_step(&c, USER(user_load), USER_DATA, 0, 0), 0);
    on_sync[0] = 0;
    CHECK(user_steps >= 1);
    CHECK_EQ(user_steps, 1);
    CHECK_EQ(user_elr, USER(user_load) + 4);
    WRITE(mdscr_el1, 0);
}

/* try_el0 with PSTATE.SS set. */
asm(".global try_step\n"
    "try_step:\n"
    " stp x29, x30, [sp, #-112]!\n stp x19, x20, [sp, #16]\n stp x21, x22, [sp, #32]\n stp x23, x24, [sp, #48]\n"
    " stp x25, x26, [sp, #64]\n stp x27, x28, [sp, #80]\n str x0, [sp, #96]\n"
    " adrp x9, catcher\n add x9, x9, :lo12:catcher\n mrs x10, tpidr_el1\n mov x11, sp\n str x11, [x9, x10, lsl #3]\n"
    " msr elr_el1, x1\n mov x9, #(1 << 21)\n msr spsr_el1, x9\n msr sp_el0, x4\n mov x0, x2\n mov x1, x3\n eret\n");

void prepare(unsigned count)
{
    (void)count;
    u64 data = allocate_page();
    map_page(USER_VA, (u64)user_start, ATTR_NORMAL | PTE_ISH | PTE_AF | PTE_USER | PTE_RO | PTE_NG);
    map_page(USER_DATA, data, KERNEL_DATA | PTE_USER | PTE_NG);
    /* Nothing else is mapped below VA's own level-0 entry yet: the walk tests start from level 0. */
}

u64 test(unsigned cpu, unsigned count)
{
    if (cpu == 0)
        translation();
    barrier(count);
    if (cpu == 0) {
        upper_half();
        alignment();
        user();
        traps();
        illegal_state();
        address_translation();
        address_spaces();
        debug();
    }
    return 0;
}
