//! What is known on disk about each machine: one directory a machine under [`Home::machines`].
//!
//! | file           | content                                                                      |
//! |----------------|------------------------------------------------------------------------------|
//! | `spec.json`    | [`Spec`]: what was asked for; written once                                   |
//! | `state.json`   | [`State`]: what became of it; replaced atomically by the machine's process   |
//! | `lock`         | held by the machine's process as long as it lives                            |
//! | `control.sock` | the machine's control socket                                                 |
//! | `log`          | what the process wrote, see [`log`](crate::log); rotated                     |
//! | `console.log`  | the guest kernel's messages; rotated                                         |
//! | `process.log`  | what the machine's process says of itself; rotated                           |
//! | `process.err`  | why it could not be one with this record, or a panic                         |
//!
//! Whether a machine runs is told by its lock alone. A state that says *running* with a free lock is what a killed
//! process left behind: it reads as ended with status 137.

mod list;
mod name;
mod spec;
mod state;

pub(crate) use list::{Machine, Machines, SHORT};
pub(crate) use name::{check_name, random_id, random_name};
pub(crate) use spec::{Origin, Spec};
pub use spec::{PortMapping, Protocol};
pub(crate) use state::{RestoreReport, State, Status};
