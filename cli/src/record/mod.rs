//! What is known on disk about each machine: one directory a machine under [`Home::machines`].
//!
//! | file           | content                                                                      |
//! |----------------|------------------------------------------------------------------------------|
//! | `spec.json`    | [`Spec`]: what was asked for; written once                                   |
//! | `state.json`   | [`State`]: what became of it; replaced atomically by the machine's process   |
//! | `lock`         | held by the machine's process as long as it lives                            |
//! | `control.sock` | the machine's control socket                                                 |
//! | `log.jsonl`    | what the process wrote, one JSON object a piece; rotated                     |
//! | `console.log`  | the guest kernel's messages                                                  |
//!
//! Whether a machine runs is told by its lock alone. A state that says *running* with a free lock is what a killed
//! process left behind: it reads as ended with status 137.

mod list;
mod name;
mod spec;
mod state;

pub use list::{Machine, Machines, SHORT};
pub use name::{check_name, random_id, random_name};
pub use spec::{Origin, PortMapping, Protocol, Spec};
pub use state::{RestoreReport, State, Status};
