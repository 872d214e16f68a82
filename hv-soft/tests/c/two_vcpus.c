/*
 * A program against the framework's interface: a VM with an interrupt controller and two vCPUs, each on
 * its own thread. vCPU 1 waits for an interrupt inside WFI; vCPU 0 sends it one.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv_soft.h"

#define CHECK(call)                                                                                \
    do {                                                                                           \
        hv_return_t result_ = (call);                                                              \
        if (result_ != HV_SUCCESS) {                                                               \
            fprintf(stderr, "line %d: %s: %#x\n", __LINE__, #call, (unsigned)result_);             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum {
    RAM = 0x40000000,
    RAM_SIZE = 0x10000,
    GICD = 0x08000000,
    GICR = 0x0a000000,
    GICR_WAKER = 0x14,
    SGI = 3,
};

static const uint32_t code[2][8] = {
    {
        0xb900003f, /* str wzr, [x1]           GICR_WAKER: awake */
        0xd518cba5, /* msr icc_sgi1r_el1, x5 */
        0x4ea01c02, /* mov v2.16b, v0.16b */
        0xd4000022, /* hvc #1 */
    },
    {
        0xb900003f, /* str wzr, [x1] */
        0xd503207f, /* wfi */
        0xd538cc05, /* mrs x5, icc_iar1_el1 */
        0xd518cc25, /* msr icc_eoir1_el1, x5 */
        0xd4000042, /* hvc #2 */
    },
};

static pthread_barrier_t created;

static void *vcpu_thread(void *argument) {
    uint64_t index = (uint64_t)(uintptr_t)argument;
    hv_vcpu_t vcpu;
    hv_vcpu_exit_t *exit_info;
    CHECK(hv_vcpu_create(&vcpu, &exit_info, NULL));
    CHECK(hv_vcpu_set_sys_reg(vcpu, HV_SYS_REG_MPIDR_EL1, index));
    CHECK(hv_vcpu_set_sys_reg(vcpu, HV_SYS_REG_CPACR_EL1, 3 << 20));

    hv_ipa_t redistributor;
    CHECK(hv_gic_get_redistributor_base(vcpu, &redistributor));
    CHECK(hv_gic_set_redistributor_reg(vcpu, HV_GIC_REDISTRIBUTOR_REG_GICR_IGROUPR0, 1 << SGI));
    CHECK(hv_gic_set_redistributor_reg(vcpu, HV_GIC_REDISTRIBUTOR_REG_GICR_ISENABLER0, 1 << SGI));
    CHECK(hv_gic_set_icc_reg(vcpu, HV_GIC_ICC_REG_PMR_EL1, 0xf8));
    CHECK(hv_gic_set_icc_reg(vcpu, HV_GIC_ICC_REG_IGRPEN1_EL1, 1));

    hv_simd_fp_uchar16_t vector = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    CHECK(hv_vcpu_set_simd_fp_reg(vcpu, HV_SIMD_FP_REG_Q0, vector));
    CHECK(hv_vcpu_set_reg(vcpu, HV_REG_CPSR, 0x3c5));
    CHECK(hv_vcpu_set_reg(vcpu, HV_REG_PC, RAM + 0x100 * index));
    CHECK(hv_vcpu_set_reg(vcpu, HV_REG_X1, redistributor + GICR_WAKER));
    CHECK(hv_vcpu_set_reg(vcpu, HV_REG_X5, SGI << 24 | 1 << 1)); /* to Aff0 1 */
    pthread_barrier_wait(&created);

    CHECK(hv_vcpu_run(vcpu));
    REQUIRE(exit_info->reason == HV_EXIT_REASON_EXCEPTION);
    REQUIRE(exit_info->exception.syndrome == (0x5a000000 | (index + 1)));
    if (index == 0) {
        hv_simd_fp_uchar16_t copy;
        CHECK(hv_vcpu_get_simd_fp_reg(vcpu, HV_SIMD_FP_REG_Q2, &copy));
        REQUIRE(memcmp(&copy, &vector, sizeof copy) == 0);
    } else {
        uint64_t intid;
        CHECK(hv_vcpu_get_reg(vcpu, HV_REG_X5, &intid));
        REQUIRE(intid == SGI);
    }
    CHECK(hv_vcpu_destroy(vcpu));
    return NULL;
}

int main(void) {
    CHECK(hv_vm_create(NULL));
    REQUIRE(hv_vm_create(NULL) == HV_BUSY);

    hv_gic_config_t config = hv_gic_config_create();
    CHECK(hv_gic_config_set_distributor_base(config, GICD));
    CHECK(hv_gic_config_set_redistributor_base(config, GICR));
    CHECK(hv_gic_create(config));
    os_release(config);
    CHECK(hv_gic_set_distributor_reg(HV_GIC_DISTRIBUTOR_REG_GICD_CTLR, 2));

    void *ram;
    CHECK(hv_vm_allocate(&ram, RAM_SIZE, HV_ALLOCATE_DEFAULT));
    for (int index = 0; index < 2; index++) {
        memcpy((char *)ram + 0x100 * index, code[index], sizeof code[index]);
    }
    CHECK(hv_vm_map(ram, RAM, RAM_SIZE, HV_MEMORY_READ | HV_MEMORY_WRITE | HV_MEMORY_EXEC));

    pthread_t threads[2];
    REQUIRE(pthread_barrier_init(&created, NULL, 2) == 0);
    for (uintptr_t index = 0; index < 2; index++) {
        REQUIRE(pthread_create(&threads[index], NULL, vcpu_thread, (void *)index) == 0);
    }
    for (int index = 0; index < 2; index++) {
        REQUIRE(pthread_join(threads[index], NULL) == 0);
    }

    CHECK(hv_vm_unmap(RAM, RAM_SIZE));
    CHECK(hv_vm_destroy());
    CHECK(hv_vm_deallocate(ram, RAM_SIZE));
    puts("passed");
    return 0;
}
