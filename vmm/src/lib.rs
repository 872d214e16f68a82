//! One machine: builds, runs, pauses, captures and restores it
