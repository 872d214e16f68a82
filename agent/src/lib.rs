//! PID 1 of a kiln guest, and the host/guest protocol
