//! What `bennud` does beside a gate that stands: tells its events, raises its profiles, writes its trace. The gate needs
//! none of it, so one that cannot start is told and the others go on.

use super::{NoGate, watch};
use crate::tracing::file::TraceFile;
use crate::watch::Inbox;
use crate::{profiles, tracing};
use bennu_ebpf::Gate;
use bennu_formats::gate::{GateConfig, TraceRule};
use bennu_policy::gate::Device;

/// Starts them; what the gate denies goes into `denied` as well, and what was lost of it and of the trace, which is
/// written to `trace`. Gives words about those that could not be started.
pub fn start(gate: Gate, config: GateConfig, denied: Inbox, trace: TraceFile) -> Vec<String> {
    let root = Device::of_kernel(gate.root_dev());
    let mut faults = Vec::new();
    let mut fault = |what: &str, error: NoGate| faults.push(format!("the gate stands, {what}: {error}"));
    let set = profiles::read().unwrap_or_else(|error| {
        fault("profiles are not read", NoGate::Document(error));
        None
    });
    let units = set.iter().flat_map(|set| &set.profiles);
    let units = units.map(|profile| profile.unit.clone()).collect();
    if let Err(error) = watch::start(gate, units, denied.clone()) {
        fault("its events are not watched", NoGate::Thread(error));
    }
    if config.trace == TraceRule::On
        && let Err(error) = tracing::start(denied, trace)
    {
        fault("the trace is not written", error);
    }
    if let Err(error) = profiles::keep::start(config, set, root) {
        fault("profiles stay as strict as they are", error);
    }
    faults
}
