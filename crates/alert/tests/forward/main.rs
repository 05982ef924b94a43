//! The queue against logs that the real writer made; the sink against rsyslog and OpenSSL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod queue;
mod server;
mod sink;
mod workshop;
