//! Sends the record log (`docs/spec/records.md`) to a syslog server over TLS. Normative text: RFC 5424 (message), RFC 5425
//! (transport).
//!
//! Read: the record files, the cursor. Written: the cursor alone. A line is sent until the server has confirmed it
//! ([`Confirm`]); the cursor moves after that and not before, so a power cut sends a line twice rather than never. A line
//! carries its number in the log, by which the receiver drops the second copy.
//!
//! Who calls: `bennu-forward`, in a process of its own without privileges: what the network answers is read there and not
//! in the agent. On failure nothing is lost: the log itself is the queue.
//!
//! [`collect`] is the other end, on the log server: there a line that came twice becomes one.

pub mod collect;
mod cursor;
mod message;
mod queue;
pub mod resolve;
mod sink;

pub use cursor::{Cursor, CursorError};
pub use message::{MAX_MESSAGE_BYTES, Message, Severity, frame, timestamp};
pub use queue::{Batch, MAX_BATCH_BYTES, Queue, QueueError, Selection};
pub use sink::{Confirm, DeliverError, Sink, SinkError};
