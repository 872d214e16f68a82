/*
 * The C interface of hv-soft: that of Apple's Hypervisor.framework for arm64 as of macOS 15.0, so that
 * a program written against the framework compiles and links with this header and library instead.
 *
 * Names, values and meanings are the framework's; its documentation applies. Where hv-soft has limits:
 *
 * - No EL2: hv_vm_config_set_el2_enabled(true) and everything that needs EL2 answer HV_UNSUPPORTED.
 * - Host memory given to hv_vm_map must stay mapped, with a sufficient protection, until it is
 *   unmapped from the guest: guest accesses are accesses of this process.
 * - hv-soft is a functional backend and not a security boundary.
 *
 * Build the library:   cargo rustc -p hv-soft --release --crate-type cdylib     (or staticlib)
 * Build a program:     cc program.c -I hv-soft/include -L target/release -lhv_soft
 */
#ifndef HV_SOFT_H
#define HV_SOFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Return values ------------------------------------------------------------------------- */

typedef int32_t hv_return_t;

enum {
    HV_SUCCESS = 0,
    HV_ERROR = (int32_t)0xfae94001,
    HV_BUSY = (int32_t)0xfae94002,
    HV_BAD_ARGUMENT = (int32_t)0xfae94003,
    HV_ILLEGAL_GUEST_STATE = (int32_t)0xfae94004,
    HV_NO_RESOURCES = (int32_t)0xfae94005,
    HV_NO_DEVICE = (int32_t)0xfae94006,
    HV_DENIED = (int32_t)0xfae94007,
    HV_FAULT = (int32_t)0xfae94008,
    HV_UNSUPPORTED = (int32_t)0xfae9400f,
};

/* ---- Objects ------------------------------------------------------------------------------- */

typedef struct hv_vm_config_s *hv_vm_config_t;
typedef struct hv_vcpu_config_s *hv_vcpu_config_t;
typedef struct hv_gic_config_s *hv_gic_config_t;
typedef struct hv_gic_state_s *hv_gic_state_t;

/* Releases an object that a function of this header has created. */
void os_release(void *object);

/* ---- Virtual machine ----------------------------------------------------------------------- */

hv_vm_config_t hv_vm_config_create(void);
hv_return_t hv_vm_config_get_max_ipa_size(uint32_t *ipa_bit_length);
hv_return_t hv_vm_config_get_default_ipa_size(uint32_t *ipa_bit_length);
hv_return_t hv_vm_config_set_ipa_size(hv_vm_config_t config, uint32_t ipa_bit_length);
hv_return_t hv_vm_config_get_ipa_size(hv_vm_config_t config, uint32_t *ipa_bit_length);
hv_return_t hv_vm_config_get_el2_supported(bool *el2_supported);
hv_return_t hv_vm_config_get_el2_enabled(hv_vm_config_t config, bool *el2_enabled);
hv_return_t hv_vm_config_set_el2_enabled(hv_vm_config_t config, bool el2_enabled);

/* One VM a process. The configuration may be NULL. */
hv_return_t hv_vm_create(hv_vm_config_t config);
hv_return_t hv_vm_destroy(void);
hv_return_t hv_vm_get_max_vcpu_count(uint32_t *max_vcpu_count);

/* ---- Memory: addresses and sizes are multiples of 16 KiB ------------------------------------ */

typedef uint64_t hv_ipa_t;
typedef uint64_t hv_memory_flags_t;
typedef uint64_t hv_allocate_flags_t;

enum {
    HV_MEMORY_READ = 1 << 0,
    HV_MEMORY_WRITE = 1 << 1,
    HV_MEMORY_EXEC = 1 << 2,
};

enum {
    HV_ALLOCATE_DEFAULT = 0,
};

hv_return_t hv_vm_allocate(void **uvap, size_t size, hv_allocate_flags_t flags);
hv_return_t hv_vm_deallocate(void *uva, size_t size);
hv_return_t hv_vm_map(void *addr, hv_ipa_t ipa, size_t size, hv_memory_flags_t flags);
hv_return_t hv_vm_unmap(hv_ipa_t ipa, size_t size);
hv_return_t hv_vm_protect(hv_ipa_t ipa, size_t size, hv_memory_flags_t flags);

/* ---- vCPU: each belongs to the thread that creates it --------------------------------------- */

typedef uint64_t hv_vcpu_t;

typedef uint32_t hv_exit_reason_t;
enum {
    HV_EXIT_REASON_CANCELED,
    HV_EXIT_REASON_EXCEPTION,
    HV_EXIT_REASON_VTIMER_ACTIVATED,
    HV_EXIT_REASON_UNKNOWN,
};

typedef uint64_t hv_exception_syndrome_t;
typedef uint64_t hv_exception_address_t;

typedef struct {
    hv_exception_syndrome_t syndrome;
    hv_exception_address_t virtual_address;
    hv_ipa_t physical_address;
} hv_vcpu_exit_exception_t;

typedef struct {
    hv_exit_reason_t reason;
    hv_vcpu_exit_exception_t exception;
} hv_vcpu_exit_t;

typedef uint32_t hv_interrupt_type_t;
enum {
    HV_INTERRUPT_TYPE_IRQ,
    HV_INTERRUPT_TYPE_FIQ,
};

typedef uint32_t hv_cache_type_t;
enum {
    HV_CACHE_TYPE_DATA,
    HV_CACHE_TYPE_INSTRUCTION,
};

typedef uint32_t hv_feature_reg_t;
enum {
    HV_FEATURE_REG_ID_AA64DFR0_EL1 = 0,
    HV_FEATURE_REG_ID_AA64DFR1_EL1 = 1,
    HV_FEATURE_REG_ID_AA64ISAR0_EL1 = 2,
    HV_FEATURE_REG_ID_AA64ISAR1_EL1 = 3,
    HV_FEATURE_REG_ID_AA64MMFR0_EL1 = 4,
    HV_FEATURE_REG_ID_AA64MMFR1_EL1 = 5,
    HV_FEATURE_REG_ID_AA64MMFR2_EL1 = 6,
    HV_FEATURE_REG_ID_AA64PFR0_EL1 = 7,
    HV_FEATURE_REG_ID_AA64PFR1_EL1 = 8,
    HV_FEATURE_REG_CTR_EL0 = 9,
    HV_FEATURE_REG_CLIDR_EL1 = 10,
    HV_FEATURE_REG_DCZID_EL0 = 11,
};

typedef uint32_t hv_reg_t;
enum {
    HV_REG_X0 = 0, HV_REG_X1 = 1, HV_REG_X2 = 2, HV_REG_X3 = 3, HV_REG_X4 = 4, HV_REG_X5 = 5,
    HV_REG_X6 = 6, HV_REG_X7 = 7, HV_REG_X8 = 8, HV_REG_X9 = 9, HV_REG_X10 = 10, HV_REG_X11 = 11,
    HV_REG_X12 = 12, HV_REG_X13 = 13, HV_REG_X14 = 14, HV_REG_X15 = 15, HV_REG_X16 = 16,
    HV_REG_X17 = 17, HV_REG_X18 = 18, HV_REG_X19 = 19, HV_REG_X20 = 20, HV_REG_X21 = 21,
    HV_REG_X22 = 22, HV_REG_X23 = 23, HV_REG_X24 = 24, HV_REG_X25 = 25, HV_REG_X26 = 26,
    HV_REG_X27 = 27, HV_REG_X28 = 28, HV_REG_X29 = 29, HV_REG_X30 = 30, HV_REG_PC = 31,
    HV_REG_FPCR = 32, HV_REG_FPSR = 33, HV_REG_CPSR = 34,
    HV_REG_FP = HV_REG_X29,
    HV_REG_LR = HV_REG_X30,
};

typedef uint8_t hv_simd_fp_uchar16_t __attribute__((vector_size(16)));

typedef uint32_t hv_simd_fp_reg_t;
enum {
    HV_SIMD_FP_REG_Q0 = 0, HV_SIMD_FP_REG_Q1 = 1, HV_SIMD_FP_REG_Q2 = 2, HV_SIMD_FP_REG_Q3 = 3,
    HV_SIMD_FP_REG_Q4 = 4, HV_SIMD_FP_REG_Q5 = 5, HV_SIMD_FP_REG_Q6 = 6, HV_SIMD_FP_REG_Q7 = 7,
    HV_SIMD_FP_REG_Q8 = 8, HV_SIMD_FP_REG_Q9 = 9, HV_SIMD_FP_REG_Q10 = 10,
    HV_SIMD_FP_REG_Q11 = 11, HV_SIMD_FP_REG_Q12 = 12, HV_SIMD_FP_REG_Q13 = 13,
    HV_SIMD_FP_REG_Q14 = 14, HV_SIMD_FP_REG_Q15 = 15, HV_SIMD_FP_REG_Q16 = 16,
    HV_SIMD_FP_REG_Q17 = 17, HV_SIMD_FP_REG_Q18 = 18, HV_SIMD_FP_REG_Q19 = 19,
    HV_SIMD_FP_REG_Q20 = 20, HV_SIMD_FP_REG_Q21 = 21, HV_SIMD_FP_REG_Q22 = 22,
    HV_SIMD_FP_REG_Q23 = 23, HV_SIMD_FP_REG_Q24 = 24, HV_SIMD_FP_REG_Q25 = 25,
    HV_SIMD_FP_REG_Q26 = 26, HV_SIMD_FP_REG_Q27 = 27, HV_SIMD_FP_REG_Q28 = 28,
    HV_SIMD_FP_REG_Q29 = 29, HV_SIMD_FP_REG_Q30 = 30, HV_SIMD_FP_REG_Q31 = 31,
};

/* op0, op1, CRn, CRm and op2 of the register, packed. */
typedef uint32_t hv_sys_reg_t;
enum {
#define HV_SOFT_DEBUG(n)                                                                            \
    HV_SYS_REG_DBGBVR##n##_EL1 = 0x8004 + 8 * n, HV_SYS_REG_DBGBCR##n##_EL1 = 0x8005 + 8 * n,         \
    HV_SYS_REG_DBGWVR##n##_EL1 = 0x8006 + 8 * n, HV_SYS_REG_DBGWCR##n##_EL1 = 0x8007 + 8 * n,
    HV_SOFT_DEBUG(0) HV_SOFT_DEBUG(1) HV_SOFT_DEBUG(2) HV_SOFT_DEBUG(3) HV_SOFT_DEBUG(4)
    HV_SOFT_DEBUG(5) HV_SOFT_DEBUG(6) HV_SOFT_DEBUG(7) HV_SOFT_DEBUG(8) HV_SOFT_DEBUG(9)
    HV_SOFT_DEBUG(10) HV_SOFT_DEBUG(11) HV_SOFT_DEBUG(12) HV_SOFT_DEBUG(13) HV_SOFT_DEBUG(14)
    HV_SOFT_DEBUG(15)
#undef HV_SOFT_DEBUG
    HV_SYS_REG_MDCCINT_EL1 = 0x8010,
    HV_SYS_REG_MDSCR_EL1 = 0x8012,
    HV_SYS_REG_MIDR_EL1 = 0xc000,
    HV_SYS_REG_MPIDR_EL1 = 0xc005,
    HV_SYS_REG_ID_AA64PFR0_EL1 = 0xc020,
    HV_SYS_REG_ID_AA64PFR1_EL1 = 0xc021,
    HV_SYS_REG_ID_AA64DFR0_EL1 = 0xc028,
    HV_SYS_REG_ID_AA64DFR1_EL1 = 0xc029,
    HV_SYS_REG_ID_AA64ISAR0_EL1 = 0xc030,
    HV_SYS_REG_ID_AA64ISAR1_EL1 = 0xc031,
    HV_SYS_REG_ID_AA64MMFR0_EL1 = 0xc038,
    HV_SYS_REG_ID_AA64MMFR1_EL1 = 0xc039,
    HV_SYS_REG_ID_AA64MMFR2_EL1 = 0xc03a,
    HV_SYS_REG_SCTLR_EL1 = 0xc080,
    HV_SYS_REG_ACTLR_EL1 = 0xc081,
    HV_SYS_REG_CPACR_EL1 = 0xc082,
    HV_SYS_REG_TTBR0_EL1 = 0xc100,
    HV_SYS_REG_TTBR1_EL1 = 0xc101,
    HV_SYS_REG_TCR_EL1 = 0xc102,
    HV_SYS_REG_APIAKEYLO_EL1 = 0xc108,
    HV_SYS_REG_APIAKEYHI_EL1 = 0xc109,
    HV_SYS_REG_APIBKEYLO_EL1 = 0xc10a,
    HV_SYS_REG_APIBKEYHI_EL1 = 0xc10b,
    HV_SYS_REG_APDAKEYLO_EL1 = 0xc110,
    HV_SYS_REG_APDAKEYHI_EL1 = 0xc111,
    HV_SYS_REG_APDBKEYLO_EL1 = 0xc112,
    HV_SYS_REG_APDBKEYHI_EL1 = 0xc113,
    HV_SYS_REG_APGAKEYLO_EL1 = 0xc118,
    HV_SYS_REG_APGAKEYHI_EL1 = 0xc119,
    HV_SYS_REG_SPSR_EL1 = 0xc200,
    HV_SYS_REG_ELR_EL1 = 0xc201,
    HV_SYS_REG_SP_EL0 = 0xc208,
    HV_SYS_REG_AFSR0_EL1 = 0xc288,
    HV_SYS_REG_AFSR1_EL1 = 0xc289,
    HV_SYS_REG_ESR_EL1 = 0xc290,
    HV_SYS_REG_FAR_EL1 = 0xc300,
    HV_SYS_REG_PAR_EL1 = 0xc3a0,
    HV_SYS_REG_MAIR_EL1 = 0xc510,
    HV_SYS_REG_AMAIR_EL1 = 0xc518,
    HV_SYS_REG_VBAR_EL1 = 0xc600,
    HV_SYS_REG_CONTEXTIDR_EL1 = 0xc681,
    HV_SYS_REG_TPIDR_EL1 = 0xc684,
    HV_SYS_REG_CNTKCTL_EL1 = 0xc708,
    HV_SYS_REG_CSSELR_EL1 = 0xd000,
    HV_SYS_REG_TPIDR_EL0 = 0xde82,
    HV_SYS_REG_TPIDRRO_EL0 = 0xde83,
    HV_SYS_REG_CNTP_TVAL_EL0 = 0xdf10,
    HV_SYS_REG_CNTP_CTL_EL0 = 0xdf11,
    HV_SYS_REG_CNTP_CVAL_EL0 = 0xdf12,
    HV_SYS_REG_CNTV_CTL_EL0 = 0xdf19,
    HV_SYS_REG_CNTV_CVAL_EL0 = 0xdf1a,
    HV_SYS_REG_VPIDR_EL2 = 0xe000,
    HV_SYS_REG_VMPIDR_EL2 = 0xe005,
    HV_SYS_REG_MDCR_EL2 = 0xe019,
    HV_SYS_REG_SCTLR_EL2 = 0xe080,
    HV_SYS_REG_HCR_EL2 = 0xe088,
    HV_SYS_REG_CPTR_EL2 = 0xe08a,
    HV_SYS_REG_TTBR0_EL2 = 0xe100,
    HV_SYS_REG_TTBR1_EL2 = 0xe101,
    HV_SYS_REG_TCR_EL2 = 0xe102,
    HV_SYS_REG_VTTBR_EL2 = 0xe108,
    HV_SYS_REG_VTCR_EL2 = 0xe10a,
    HV_SYS_REG_SPSR_EL2 = 0xe200,
    HV_SYS_REG_ELR_EL2 = 0xe201,
    HV_SYS_REG_SP_EL1 = 0xe208,
    HV_SYS_REG_ESR_EL2 = 0xe290,
    HV_SYS_REG_FAR_EL2 = 0xe300,
    HV_SYS_REG_HPFAR_EL2 = 0xe304,
    HV_SYS_REG_MAIR_EL2 = 0xe510,
    HV_SYS_REG_VBAR_EL2 = 0xe600,
    HV_SYS_REG_TPIDR_EL2 = 0xe682,
    HV_SYS_REG_CNTVOFF_EL2 = 0xe703,
    HV_SYS_REG_CNTHCTL_EL2 = 0xe708,
    HV_SYS_REG_CNTHP_TVAL_EL2 = 0xe710,
    HV_SYS_REG_CNTHP_CTL_EL2 = 0xe711,
    HV_SYS_REG_CNTHP_CVAL_EL2 = 0xe712,
    HV_SYS_REG_SP_EL2 = 0xf208,
};

hv_vcpu_config_t hv_vcpu_config_create(void);
hv_return_t hv_vcpu_config_get_feature_reg(hv_vcpu_config_t config, hv_feature_reg_t feature_reg,
                                           uint64_t *value);
/* Writes eight values, one a cache level. */
hv_return_t hv_vcpu_config_get_ccsidr_el1_sys_reg_values(hv_vcpu_config_t config,
                                                         hv_cache_type_t cache_type,
                                                         uint64_t values[8]);

hv_return_t hv_vcpu_create(hv_vcpu_t *vcpu, hv_vcpu_exit_t **exit, hv_vcpu_config_t config);
hv_return_t hv_vcpu_destroy(hv_vcpu_t vcpu);
hv_return_t hv_vcpu_run(hv_vcpu_t vcpu);
/* Any thread may call it. Sticky: a vCPU that is not running returns from its next run at once. */
hv_return_t hv_vcpus_exit(hv_vcpu_t *vcpus, uint32_t vcpu_count);
hv_return_t hv_vcpu_get_exec_time(hv_vcpu_t vcpu, uint64_t *time);

hv_return_t hv_vcpu_get_reg(hv_vcpu_t vcpu, hv_reg_t reg, uint64_t *value);
hv_return_t hv_vcpu_set_reg(hv_vcpu_t vcpu, hv_reg_t reg, uint64_t value);
hv_return_t hv_vcpu_get_simd_fp_reg(hv_vcpu_t vcpu, hv_simd_fp_reg_t reg,
                                    hv_simd_fp_uchar16_t *value);
hv_return_t hv_vcpu_set_simd_fp_reg(hv_vcpu_t vcpu, hv_simd_fp_reg_t reg,
                                    hv_simd_fp_uchar16_t value);
hv_return_t hv_vcpu_get_sys_reg(hv_vcpu_t vcpu, hv_sys_reg_t reg, uint64_t *value);
hv_return_t hv_vcpu_set_sys_reg(hv_vcpu_t vcpu, hv_sys_reg_t reg, uint64_t value);

/* Cleared after each run. */
hv_return_t hv_vcpu_get_pending_interrupt(hv_vcpu_t vcpu, hv_interrupt_type_t type, bool *pending);
hv_return_t hv_vcpu_set_pending_interrupt(hv_vcpu_t vcpu, hv_interrupt_type_t type, bool pending);

hv_return_t hv_vcpu_get_trap_debug_exceptions(hv_vcpu_t vcpu, bool *value);
hv_return_t hv_vcpu_set_trap_debug_exceptions(hv_vcpu_t vcpu, bool value);
hv_return_t hv_vcpu_get_trap_debug_reg_accesses(hv_vcpu_t vcpu, bool *value);
hv_return_t hv_vcpu_set_trap_debug_reg_accesses(hv_vcpu_t vcpu, bool value);

hv_return_t hv_vcpu_get_vtimer_mask(hv_vcpu_t vcpu, bool *vtimer_is_masked);
hv_return_t hv_vcpu_set_vtimer_mask(hv_vcpu_t vcpu, bool vtimer_is_masked);
hv_return_t hv_vcpu_get_vtimer_offset(hv_vcpu_t vcpu, uint64_t *vtimer_offset);
hv_return_t hv_vcpu_set_vtimer_offset(hv_vcpu_t vcpu, uint64_t vtimer_offset);

/* ---- Interrupt controller: after the VM, before any vCPU ------------------------------------ */

typedef uint32_t hv_gic_intid_t;
enum {
    HV_GIC_INT_PERFORMANCE_MONITOR = 23,
    HV_GIC_INT_MAINTENANCE = 25,
    HV_GIC_INT_EL2_PHYSICAL_TIMER = 26,
    HV_GIC_INT_EL1_VIRTUAL_TIMER = 27,
    HV_GIC_INT_EL1_PHYSICAL_TIMER = 30,
};

/* Decades and centuries of a register array. */
#define HV_SOFT_10(M, t) M(t##0) M(t##1) M(t##2) M(t##3) M(t##4) M(t##5) M(t##6) M(t##7) M(t##8) M(t##9)
#define HV_SOFT_100(M, h)                                                                           \
    HV_SOFT_10(M, h##0) HV_SOFT_10(M, h##1) HV_SOFT_10(M, h##2) HV_SOFT_10(M, h##3)                 \
    HV_SOFT_10(M, h##4) HV_SOFT_10(M, h##5) HV_SOFT_10(M, h##6) HV_SOFT_10(M, h##7)                 \
    HV_SOFT_10(M, h##8) HV_SOFT_10(M, h##9)
#define HV_SOFT_0_TO_9(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9)
#define HV_SOFT_0_TO_31(M) HV_SOFT_0_TO_9(M) HV_SOFT_10(M, 1) HV_SOFT_10(M, 2) M(30) M(31)

/* Offsets of the registers (Arm IHI 0069, 12.9). */
typedef uint32_t hv_gic_distributor_reg_t;
enum {
    HV_GIC_DISTRIBUTOR_REG_GICD_CTLR = 0x0000,
    HV_GIC_DISTRIBUTOR_REG_GICD_TYPER = 0x0004,
#define HV_SOFT_IGROUPR(n) HV_GIC_DISTRIBUTOR_REG_GICD_IGROUPR##n = 0x0080 + 4 * n,
#define HV_SOFT_ISENABLER(n) HV_GIC_DISTRIBUTOR_REG_GICD_ISENABLER##n = 0x0100 + 4 * n,
#define HV_SOFT_ICENABLER(n) HV_GIC_DISTRIBUTOR_REG_GICD_ICENABLER##n = 0x0180 + 4 * n,
#define HV_SOFT_ISPENDR(n) HV_GIC_DISTRIBUTOR_REG_GICD_ISPENDR##n = 0x0200 + 4 * n,
#define HV_SOFT_ICPENDR(n) HV_GIC_DISTRIBUTOR_REG_GICD_ICPENDR##n = 0x0280 + 4 * n,
#define HV_SOFT_ISACTIVER(n) HV_GIC_DISTRIBUTOR_REG_GICD_ISACTIVER##n = 0x0300 + 4 * n,
#define HV_SOFT_ICACTIVER(n) HV_GIC_DISTRIBUTOR_REG_GICD_ICACTIVER##n = 0x0380 + 4 * n,
#define HV_SOFT_IPRIORITYR(n) HV_GIC_DISTRIBUTOR_REG_GICD_IPRIORITYR##n = 0x0400 + 4 * n,
#define HV_SOFT_ICFGR(n) HV_GIC_DISTRIBUTOR_REG_GICD_ICFGR##n = 0x0c00 + 4 * n,
#define HV_SOFT_IROUTER(n) HV_GIC_DISTRIBUTOR_REG_GICD_IROUTER##n = 0x6000 + 8 * n,
    HV_SOFT_0_TO_31(HV_SOFT_IGROUPR)
    HV_SOFT_0_TO_31(HV_SOFT_ISENABLER)
    HV_SOFT_0_TO_31(HV_SOFT_ICENABLER)
    HV_SOFT_0_TO_31(HV_SOFT_ISPENDR)
    HV_SOFT_0_TO_31(HV_SOFT_ICPENDR)
    HV_SOFT_0_TO_31(HV_SOFT_ISACTIVER)
    HV_SOFT_0_TO_31(HV_SOFT_ICACTIVER)
    HV_SOFT_0_TO_9(HV_SOFT_IPRIORITYR)
    HV_SOFT_10(HV_SOFT_IPRIORITYR, 1) HV_SOFT_10(HV_SOFT_IPRIORITYR, 2)
    HV_SOFT_10(HV_SOFT_IPRIORITYR, 3) HV_SOFT_10(HV_SOFT_IPRIORITYR, 4)
    HV_SOFT_10(HV_SOFT_IPRIORITYR, 5) HV_SOFT_10(HV_SOFT_IPRIORITYR, 6)
    HV_SOFT_10(HV_SOFT_IPRIORITYR, 7) HV_SOFT_10(HV_SOFT_IPRIORITYR, 8)
    HV_SOFT_10(HV_SOFT_IPRIORITYR, 9)
    HV_SOFT_100(HV_SOFT_IPRIORITYR, 1)
    HV_SOFT_10(HV_SOFT_IPRIORITYR, 20) HV_SOFT_10(HV_SOFT_IPRIORITYR, 21)
    HV_SOFT_10(HV_SOFT_IPRIORITYR, 22) HV_SOFT_10(HV_SOFT_IPRIORITYR, 23)
    HV_SOFT_10(HV_SOFT_IPRIORITYR, 24)
    HV_SOFT_IPRIORITYR(250) HV_SOFT_IPRIORITYR(251) HV_SOFT_IPRIORITYR(252)
    HV_SOFT_IPRIORITYR(253) HV_SOFT_IPRIORITYR(254)
    HV_SOFT_0_TO_31(HV_SOFT_ICFGR)
    HV_SOFT_ICFGR(32) HV_SOFT_ICFGR(33) HV_SOFT_ICFGR(34) HV_SOFT_ICFGR(35) HV_SOFT_ICFGR(36)
    HV_SOFT_ICFGR(37) HV_SOFT_ICFGR(38) HV_SOFT_ICFGR(39)
    HV_SOFT_10(HV_SOFT_ICFGR, 4) HV_SOFT_10(HV_SOFT_ICFGR, 5)
    HV_SOFT_ICFGR(60) HV_SOFT_ICFGR(61) HV_SOFT_ICFGR(62) HV_SOFT_ICFGR(63)
    HV_SOFT_IROUTER(32) HV_SOFT_IROUTER(33) HV_SOFT_IROUTER(34) HV_SOFT_IROUTER(35)
    HV_SOFT_IROUTER(36) HV_SOFT_IROUTER(37) HV_SOFT_IROUTER(38) HV_SOFT_IROUTER(39)
    HV_SOFT_10(HV_SOFT_IROUTER, 4) HV_SOFT_10(HV_SOFT_IROUTER, 5) HV_SOFT_10(HV_SOFT_IROUTER, 6)
    HV_SOFT_10(HV_SOFT_IROUTER, 7) HV_SOFT_10(HV_SOFT_IROUTER, 8) HV_SOFT_10(HV_SOFT_IROUTER, 9)
    HV_SOFT_100(HV_SOFT_IROUTER, 1) HV_SOFT_100(HV_SOFT_IROUTER, 2)
    HV_SOFT_100(HV_SOFT_IROUTER, 3) HV_SOFT_100(HV_SOFT_IROUTER, 4)
    HV_SOFT_100(HV_SOFT_IROUTER, 5) HV_SOFT_100(HV_SOFT_IROUTER, 6)
    HV_SOFT_100(HV_SOFT_IROUTER, 7) HV_SOFT_100(HV_SOFT_IROUTER, 8)
    HV_SOFT_100(HV_SOFT_IROUTER, 9)
    HV_SOFT_10(HV_SOFT_IROUTER, 100) HV_SOFT_10(HV_SOFT_IROUTER, 101)
#undef HV_SOFT_IGROUPR
#undef HV_SOFT_ISENABLER
#undef HV_SOFT_ICENABLER
#undef HV_SOFT_ISPENDR
#undef HV_SOFT_ICPENDR
#undef HV_SOFT_ISACTIVER
#undef HV_SOFT_ICACTIVER
#undef HV_SOFT_IPRIORITYR
#undef HV_SOFT_ICFGR
#undef HV_SOFT_IROUTER
    HV_GIC_DISTRIBUTOR_REG_GICD_PIDR2 = 0xffe8,
};

#undef HV_SOFT_0_TO_31
#undef HV_SOFT_0_TO_9
#undef HV_SOFT_100
#undef HV_SOFT_10

/* Offsets of the registers from RD_base (12.11). */
typedef uint32_t hv_gic_redistributor_reg_t;
enum {
    HV_GIC_REDISTRIBUTOR_REG_GICR_TYPER = 0x00008,
    HV_GIC_REDISTRIBUTOR_REG_GICR_PIDR2 = 0x0ffe8,
    HV_GIC_REDISTRIBUTOR_REG_GICR_IGROUPR0 = 0x10080,
    HV_GIC_REDISTRIBUTOR_REG_GICR_ISENABLER0 = 0x10100,
    HV_GIC_REDISTRIBUTOR_REG_GICR_ICENABLER0 = 0x10180,
    HV_GIC_REDISTRIBUTOR_REG_GICR_ISPENDR0 = 0x10200,
    HV_GIC_REDISTRIBUTOR_REG_GICR_ICPENDR0 = 0x10280,
    HV_GIC_REDISTRIBUTOR_REG_GICR_ISACTIVER0 = 0x10300,
    HV_GIC_REDISTRIBUTOR_REG_GICR_ICACTIVER0 = 0x10380,
    HV_GIC_REDISTRIBUTOR_REG_GICR_IPRIORITYR0 = 0x10400,
    HV_GIC_REDISTRIBUTOR_REG_GICR_IPRIORITYR1 = 0x10404,
    HV_GIC_REDISTRIBUTOR_REG_GICR_IPRIORITYR2 = 0x10408,
    HV_GIC_REDISTRIBUTOR_REG_GICR_IPRIORITYR3 = 0x1040c,
    HV_GIC_REDISTRIBUTOR_REG_GICR_IPRIORITYR4 = 0x10410,
    HV_GIC_REDISTRIBUTOR_REG_GICR_IPRIORITYR5 = 0x10414,
    HV_GIC_REDISTRIBUTOR_REG_GICR_IPRIORITYR6 = 0x10418,
    HV_GIC_REDISTRIBUTOR_REG_GICR_IPRIORITYR7 = 0x1041c,
    HV_GIC_REDISTRIBUTOR_REG_GICR_ICFGR0 = 0x10c00,
    HV_GIC_REDISTRIBUTOR_REG_GICR_ICFGR1 = 0x10c04,
};

typedef uint32_t hv_gic_icc_reg_t;
enum {
    HV_GIC_ICC_REG_PMR_EL1 = 0xc230,
    HV_GIC_ICC_REG_BPR0_EL1 = 0xc643,
    HV_GIC_ICC_REG_AP0R0_EL1 = 0xc644,
    HV_GIC_ICC_REG_AP1R0_EL1 = 0xc648,
    HV_GIC_ICC_REG_RPR_EL1 = 0xc65b,
    HV_GIC_ICC_REG_BPR1_EL1 = 0xc663,
    HV_GIC_ICC_REG_CTLR_EL1 = 0xc664,
    HV_GIC_ICC_REG_SRE_EL1 = 0xc665,
    HV_GIC_ICC_REG_IGRPEN0_EL1 = 0xc666,
    HV_GIC_ICC_REG_IGRPEN1_EL1 = 0xc667,
    HV_GIC_ICC_REG_SRE_EL2 = 0xe64d,
};

typedef uint32_t hv_gic_ich_reg_t;
enum {
    HV_GIC_ICH_REG_AP0R0_EL2 = 0xe640,
    HV_GIC_ICH_REG_AP1R0_EL2 = 0xe648,
    HV_GIC_ICH_REG_HCR_EL2 = 0xe658,
    HV_GIC_ICH_REG_VTR_EL2 = 0xe659,
    HV_GIC_ICH_REG_MISR_EL2 = 0xe65a,
    HV_GIC_ICH_REG_EISR_EL2 = 0xe65b,
    HV_GIC_ICH_REG_ELRSR_EL2 = 0xe65d,
    HV_GIC_ICH_REG_VMCR_EL2 = 0xe65f,
    HV_GIC_ICH_REG_LR0_EL2 = 0xe660,
    HV_GIC_ICH_REG_LR1_EL2 = 0xe661,
    HV_GIC_ICH_REG_LR2_EL2 = 0xe662,
    HV_GIC_ICH_REG_LR3_EL2 = 0xe663,
    HV_GIC_ICH_REG_LR4_EL2 = 0xe664,
    HV_GIC_ICH_REG_LR5_EL2 = 0xe665,
    HV_GIC_ICH_REG_LR6_EL2 = 0xe666,
    HV_GIC_ICH_REG_LR7_EL2 = 0xe667,
    HV_GIC_ICH_REG_LR8_EL2 = 0xe668,
    HV_GIC_ICH_REG_LR9_EL2 = 0xe669,
    HV_GIC_ICH_REG_LR10_EL2 = 0xe66a,
    HV_GIC_ICH_REG_LR11_EL2 = 0xe66b,
    HV_GIC_ICH_REG_LR12_EL2 = 0xe66c,
    HV_GIC_ICH_REG_LR13_EL2 = 0xe66d,
    HV_GIC_ICH_REG_LR14_EL2 = 0xe66e,
    HV_GIC_ICH_REG_LR15_EL2 = 0xe66f,
};

typedef uint32_t hv_gic_icv_reg_t;
enum {
    HV_GIC_ICV_REG_PMR_EL1 = 0xc230,
    HV_GIC_ICV_REG_BPR0_EL1 = 0xc643,
    HV_GIC_ICV_REG_AP0R0_EL1 = 0xc644,
    HV_GIC_ICV_REG_AP1R0_EL1 = 0xc648,
    HV_GIC_ICV_REG_RPR_EL1 = 0xc65b,
    HV_GIC_ICV_REG_BPR1_EL1 = 0xc663,
    HV_GIC_ICV_REG_CTLR_EL1 = 0xc664,
    HV_GIC_ICV_REG_SRE_EL1 = 0xc665,
    HV_GIC_ICV_REG_IGRPEN0_EL1 = 0xc666,
    HV_GIC_ICV_REG_IGRPEN1_EL1 = 0xc667,
};

/* Offsets of the registers of the message frame. */
typedef uint32_t hv_gic_msi_reg_t;
enum {
    HV_GIC_REG_GICM_TYPER = 0x0008,
    HV_GIC_REG_GICM_SET_SPI_NSR = 0x0040,
};

hv_return_t hv_gic_get_distributor_size(size_t *distributor_size);
hv_return_t hv_gic_get_distributor_base_alignment(size_t *distributor_base_alignment);
hv_return_t hv_gic_get_redistributor_region_size(size_t *redistributor_region_size);
hv_return_t hv_gic_get_redistributor_size(size_t *redistributor_size);
hv_return_t hv_gic_get_redistributor_base_alignment(size_t *redistributor_base_alignment);
hv_return_t hv_gic_get_msi_region_size(size_t *msi_region_size);
hv_return_t hv_gic_get_msi_region_base_alignment(size_t *msi_region_base_alignment);
hv_return_t hv_gic_get_spi_interrupt_range(uint32_t *spi_intid_base, uint32_t *spi_intid_count);
hv_return_t hv_gic_get_intid(hv_gic_intid_t interrupt, uint32_t *intid);

/* NULL before there is a VM. */
hv_gic_config_t hv_gic_config_create(void);
hv_return_t hv_gic_config_set_distributor_base(hv_gic_config_t config,
                                               hv_ipa_t distributor_base_address);
hv_return_t hv_gic_config_set_redistributor_base(hv_gic_config_t config,
                                                 hv_ipa_t redistributor_base_address);
hv_return_t hv_gic_config_set_msi_region_base(hv_gic_config_t config,
                                              hv_ipa_t msi_region_base_address);
hv_return_t hv_gic_config_set_msi_interrupt_range(hv_gic_config_t config, uint32_t msi_intid_base,
                                                  uint32_t msi_intid_count);

hv_return_t hv_gic_create(hv_gic_config_t gic_config);
hv_return_t hv_gic_reset(void);
/* Any thread may call these two. */
hv_return_t hv_gic_set_spi(uint32_t intid, bool level);
hv_return_t hv_gic_send_msi(hv_ipa_t address, uint32_t intid);

hv_return_t hv_gic_get_distributor_reg(hv_gic_distributor_reg_t reg, uint64_t *value);
hv_return_t hv_gic_set_distributor_reg(hv_gic_distributor_reg_t reg, uint64_t value);
hv_return_t hv_gic_get_msi_reg(hv_gic_msi_reg_t reg, uint64_t *value);
hv_return_t hv_gic_set_msi_reg(hv_gic_msi_reg_t reg, uint64_t value);

/* After the vCPU's MPIDR_EL1 has been set. */
hv_return_t hv_gic_get_redistributor_base(hv_vcpu_t vcpu, hv_ipa_t *redistributor_base_address);
hv_return_t hv_gic_get_redistributor_reg(hv_vcpu_t vcpu, hv_gic_redistributor_reg_t reg,
                                         uint64_t *value);
hv_return_t hv_gic_set_redistributor_reg(hv_vcpu_t vcpu, hv_gic_redistributor_reg_t reg,
                                         uint64_t value);
hv_return_t hv_gic_get_icc_reg(hv_vcpu_t vcpu, hv_gic_icc_reg_t reg, uint64_t *value);
hv_return_t hv_gic_set_icc_reg(hv_vcpu_t vcpu, hv_gic_icc_reg_t reg, uint64_t value);
hv_return_t hv_gic_get_ich_reg(hv_vcpu_t vcpu, hv_gic_ich_reg_t reg, uint64_t *value);
hv_return_t hv_gic_set_ich_reg(hv_vcpu_t vcpu, hv_gic_ich_reg_t reg, uint64_t value);
hv_return_t hv_gic_get_icv_reg(hv_vcpu_t vcpu, hv_gic_icv_reg_t reg, uint64_t *value);
hv_return_t hv_gic_set_icv_reg(hv_vcpu_t vcpu, hv_gic_icv_reg_t reg, uint64_t value);

/* The state without the CPU interfaces. NULL while a vCPU is running. */
hv_gic_state_t hv_gic_state_create(void);
hv_return_t hv_gic_state_get_size(hv_gic_state_t state, size_t *gic_state_size);
hv_return_t hv_gic_state_get_data(hv_gic_state_t state, void *gic_state_data);
/* After the interrupt controller and the vCPUs, before any of them runs. */
hv_return_t hv_gic_set_state(const void *gic_state_data, size_t gic_state_size);

#ifdef __cplusplus
}
#endif

#endif
