// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//
// The execution gate: programs for the hooks of the BPF LSM (Linux 6.12 and later). Loaded by ebpf/src/lib.rs.
//
// Every decision is made here, from inodes, device numbers and the kernel's own copies of arguments; never from
// strings in user memory, and without asking user space. What is not allowed is recorded in the ring `events`.

#include "connect.h"
#include "devices.h"
#include "execution.h"
#include "network.h"
#include "own.h"

/* The kernel lends its helpers to programs under its licence only; ours is a choice that includes it. */
char licence[] SEC("license") = "Dual MIT/GPL";
