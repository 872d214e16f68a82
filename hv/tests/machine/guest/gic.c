/* GICv3 as IHI 0069 describes it, affinity routing on, one security state. */
#include "guest.h"

#define GICD_CTLR 0x0000
#define GICD_CTLR_RWP (1u << 31)
#define IGROUPR 0x0080
#define ISENABLER 0x0100
#define ICENABLER 0x0180
#define IPRIORITYR 0x0400
#define ICFGR 0x0c00
#define GICD_IROUTER 0x6000
#define GICR_WAKER 0x0014
#define SGI_FRAME 0x10000

static volatile u32 *at(u64 base, u64 offset) { return (volatile u32 *)(base + offset); }

static u64 redistributor(void) { return parameters.redistributors + cpu_id() * parameters.redistributor_size; }

static u64 frame_of(u32 intid) { return intid < 32 ? redistributor() + SGI_FRAME : parameters.distributor; }

void gic_init_distributor(void)
{
    *at(parameters.distributor, GICD_CTLR) = 1 << 4; /* ARE */
    *at(parameters.distributor, GICD_CTLR) = 1 << 4 | 1 << 1; /* and group 1 */
    while (*at(parameters.distributor, GICD_CTLR) & GICD_CTLR_RWP)
        ;
}

void gic_init_cpu(void)
{
    u64 own = redistributor();
    *at(own, GICR_WAKER) &= ~2u; /* ProcessorSleep */
    while (*at(own, GICR_WAKER) & 4u) /* ChildrenAsleep */
        ;
    *at(own, SGI_FRAME + IGROUPR) = 0xffffffff;
    WRITE(S3_0_C12_C12_5, 7); /* ICC_SRE_EL1 */
    ISB();
    WRITE(S3_0_C4_C6_0, 0xf0); /* ICC_PMR_EL1 */
    WRITE(S3_0_C12_C12_3, 0); /* ICC_BPR1_EL1 */
    WRITE(S3_0_C12_C12_4, 0); /* ICC_CTLR_EL1: EOImode 0 */
    WRITE(S3_0_C12_C12_7, 1); /* ICC_IGRPEN1_EL1 */
    ISB();
}

void gic_enable(u32 intid, u8 priority, int edge)
{
    u64 base = frame_of(intid);
    *at(base, IGROUPR + intid / 32 * 4) |= 1u << intid % 32;
    ((volatile u8 *)(base + IPRIORITYR))[intid] = priority;
    if (intid >= 16) {
        volatile u32 *config = at(base, ICFGR + intid / 16 * 4);
        u32 bit = 2u << intid % 16 * 2;
        *config = edge ? *config | bit : *config & ~bit;
    }
    *at(base, ISENABLER + intid / 32 * 4) = 1u << intid % 32;
    DSB(sy);
}

void gic_disable(u32 intid) { *at(frame_of(intid), ICENABLER + intid / 32 * 4) = 1u << intid % 32; }

void gic_route(u32 spi, u64 mpidr)
{
    *(volatile u64 *)(parameters.distributor + GICD_IROUTER + 8ul * spi) = mpidr;
}

void send_sgi(u32 intid, u64 mpidr)
{
    u64 value = (u64)intid << 24 | (mpidr >> 8 & 0xff) << 16 | (mpidr >> 16 & 0xff) << 32 | 1ul << (mpidr & 15);
    DSB(ish);
    WRITE(S3_0_C12_C11_5, value); /* ICC_SGI1R_EL1 */
    ISB();
}

void send_sgi_to_others(u32 intid)
{
    DSB(ish);
    WRITE(S3_0_C12_C11_5, (u64)intid << 24 | 1ul << 40);
    ISB();
}
