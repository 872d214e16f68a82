//! Runs any OCI image as a hardware-isolated microVM
