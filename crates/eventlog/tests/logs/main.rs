//! Event logs: a real one judged from outside, made ones, and bytes that are none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod append;
mod changes;
mod readers;
mod verdicts;
mod writer;

/// The firmware's log of a small image under OVMF, systemd-boot and systemd-stub 257.13, Linux 6.12, with a TPM
/// that has the SHA-256 bank: story `event-logs-account-for-every-pcr`.
pub const REAL: &[u8] = include_bytes!("../fixtures/firmware-257.log");
