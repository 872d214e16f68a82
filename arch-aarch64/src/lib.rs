//! Register, PSCI and SMCCC definitions, ESR decoding, guest-physical layout, FDT and the Linux boot protocol
