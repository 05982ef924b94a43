//! The rules of the TPM proxy, as data, and their bookkeeping. No I/O here.

use std::time::Duration;

use super::command::{HEADER, ResponseCode, TpmCommand};
use super::public;

/// One thing that goes wrong on the TPM's wire. Several apply side by side, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TpmFault {
    /// Each such command reaches the TPM this much later. The proxy's end ends the wait.
    Delay {
        /// Which.
        command: TpmCommand,
        /// How long.
        by: Duration,
    },
    /// The command is answered with `code` and does not reach the TPM.
    Error {
        /// Which.
        command: TpmCommand,
        /// The answer.
        code: ResponseCode,
        /// How many are answered so; `u32::MAX` for all.
        times: u32,
        /// How many pass before.
        after: u32,
    },
    /// The proxy sends a command of its own before the guest's, and keeps the answer to itself.
    Inject {
        /// Before which.
        before: TpmCommand,
        /// The whole command, header included; [`super::pcr_extend`] makes one.
        command: Vec<u8>,
        /// How often; `u32::MAX` for every time.
        times: u32,
        /// How many pass before.
        after: u32,
    },
    /// Each ECC P-256 storage key that `TPM2_ReadPublic` or `TPM2_CreatePrimary` tells the guest of gets the
    /// point of private key 2, with the names that belong to it: a valid key that everybody can use.
    SwapSrkPublic,
    /// The TPM executes one such command, the response is lost, and no further command is answered:
    /// QEMU tells the guest of a fatal error each time.
    Drop {
        /// The last command that the TPM executes.
        after: TpmCommand,
        /// How many of them are answered before.
        answered: u32,
    },
    /// `TPM2_PCR_Extend` of one PCR does not do what it says.
    Extend {
        /// Of which PCR.
        pcr: u32,
        /// How many extend it before.
        passed: u32,
        /// What happens to the others.
        instead: ExtendInstead,
    },
    /// Keeps every request and response.
    Record,
}

/// What an extend does that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendInstead {
    /// Another PCR is extended, and success answered. Works for sessions with passwords, which sign no handle.
    OfPcr(u32),
    /// It is answered with this, and does not reach the TPM.
    Refused(ResponseCode),
}

/// What happens to one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    /// Commands to send before, each with the number of its rule.
    pub(crate) inject: Vec<(usize, Vec<u8>)>,
    /// Answer instead of the TPM's.
    pub(crate) answer: Option<ResponseCode>,
    /// The PCR whose handle is put into the request.
    pub(crate) pcr: Option<u32>,
    /// Rule by which the channel ends after the TPM's answer.
    pub(crate) drop: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// Matching commands so far.
    seen: u32,
    /// How often the rule struck.
    struck: u32,
}

/// The rules with their counts.
#[derive(Debug)]
pub(crate) struct Rules {
    faults: Vec<TpmFault>,
    counts: Vec<Count>,
}

impl Rules {
    pub(crate) fn new(faults: Vec<TpmFault>) -> Self {
        let counts = vec![Count::default(); faults.len()];
        Self { faults, counts }
    }

    pub(crate) fn record(&self) -> bool {
        self.faults.contains(&TpmFault::Record)
    }

    /// How often rule `number` struck, 0 for one that does not exist.
    pub(crate) fn struck(&self, number: usize) -> u32 {
        self.counts.get(number).map_or(0, |count| count.struck)
    }

    pub(crate) fn strike(&mut self, number: usize) {
        if let Some(count) = self.counts.get_mut(number) {
            count.struck = count.struck.saturating_add(1);
        }
    }

    /// What is to happen to this request. A rule that injects is counted when its command has succeeded.
    pub(crate) fn plan(&mut self, request: &[u8]) -> Plan {
        let mut plan = Plan::default();
        let Some(found) = TpmCommand::of(request) else {
            return plan;
        };
        for (number, (fault, count)) in self.faults.iter().zip(&mut self.counts).enumerate() {
            match fault {
                TpmFault::Delay { command, by } if *command == found => {
                    plan.delay += *by;
                    count.struck = count.struck.saturating_add(1);
                }
                TpmFault::Error {
                    command,
                    code,
                    times,
                    after,
                } if *command == found && plan.answer.is_none() && count.turn(*after, *times) => {
                    plan.answer = Some(*code);
                    count.struck = count.struck.saturating_add(1);
                }
                TpmFault::Inject {
                    before,
                    command,
                    times,
                    after,
                } if *before == found && count.turn(*after, *times) => {
                    plan.inject.push((number, command.clone()));
                }
                TpmFault::Drop { after, answered } if *after == found && count.turn(*answered, 1) => {
                    plan.drop = Some(number);
                }
                TpmFault::Extend { pcr, passed, instead }
                    if extended(request) == Some(*pcr) && count.turn(*passed, u32::MAX) =>
                {
                    match instead {
                        ExtendInstead::OfPcr(other) => plan.pcr = Some(*other),
                        ExtendInstead::Refused(code) => plan.answer = Some(*code),
                    }
                    count.struck = count.struck.saturating_add(1);
                }
                _ => {}
            }
        }
        plan
    }

    /// The response that the guest gets instead of the TPM's, if a rule forges it.
    pub(crate) fn forge(&mut self, request: &[u8], response: &[u8]) -> Option<Vec<u8>> {
        let number = self
            .faults
            .iter()
            .position(|fault| *fault == TpmFault::SwapSrkPublic)?;
        let forged = public::swap(TpmCommand::of(request)?, request.get(HEADER..)?, response)?;
        self.strike(number);
        Some(forged)
    }
}

/// The PCR that `request` extends; a PCR's handle is its number (TPM 2.0 Part 2, 7.4).
pub(crate) fn extended(request: &[u8]) -> Option<u32> {
    if TpmCommand::of(request) != Some(TpmCommand::PCR_EXTEND) {
        return None;
    }
    let handle = request.get(HEADER..HEADER + 4)?;
    handle.try_into().ok().map(u32::from_be_bytes)
}

/// `request` with the handle of another PCR.
pub(crate) fn with_pcr(mut request: Vec<u8>, pcr: u32) -> Vec<u8> {
    if let Some(handle) = request.get_mut(HEADER..HEADER + 4) {
        handle.copy_from_slice(&pcr.to_be_bytes());
    }
    request
}

impl Count {
    /// Counts a matching command; whether the rule is on: after `after` of them, for `times` of them.
    fn turn(&mut self, after: u32, times: u32) -> bool {
        let number = self.seen;
        self.seen = self.seen.saturating_add(1);
        number >= after && number - after < times
    }
}
