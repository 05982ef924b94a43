/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * What the gate's programs and their loader agree on: ebpf/src/interface.rs has the same numbers, and a test there
 * reads this file. All members are little-endian.
 */
#ifndef BENNU_INTF_H
#define BENNU_INTF_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* gate_config.mode. Zero: loaded, not decided yet, allows and records nothing. */
#define MODE_DRY_RUN 1
#define MODE_ENFORCE 2

/* Rights of a program, the value in `programs`. */
#define MAY_ANONYMOUS_EXEC 1
#define MAY_DEVICE_MAPPER 2
#define MAY_PASSTHROUGH 4
#define MAY_TRACE 8
#define MAY_WRITE_DEVICES 16
#define MAY_KERNEL_SETTINGS 32

/* What a device is guarded from, the value in `devices`: from everybody without MAY_WRITE_DEVICES, or from everybody
 * but bennud, which mends the slot that does not run. */
#define GUARD_FIXED 1
#define GUARD_REPAIRABLE 2

/* gate_event.kind */
#define KIND_EXEC 1
#define KIND_MAP_EXEC 2
#define KIND_ANONYMOUS_EXEC 3
#define KIND_CHANGED_EXEC 4
#define KIND_WRITE_EXEC 5
#define KIND_PERSONALITY 6
#define KIND_TRACE 7
#define KIND_PROCESS_MEMORY 8
#define KIND_MODULE 9
#define KIND_FIRMWARE 10
#define KIND_KEXEC 11
#define KIND_KERNEL_DATA 12
#define KIND_BPF_OBJECT 13
#define KIND_BPF_LOAD 14
#define KIND_DEVICE_WRITE 15
#define KIND_PASSTHROUGH 16
#define KIND_DEVICE_MAPPER 17
#define KIND_PARTITIONS 18
#define KIND_MOUNT 19
#define KIND_UNMOUNT 20
#define KIND_PIN 21
#define KIND_KERNEL_SETTING 22
#define KIND_INTERPRETER 23
#define KIND_SHELL 24
#define KIND_EXECUTABLE 25
#define KIND_CONNECT 26
#define KIND_TCP 27
#define KIND_CGROUP 28
#define KIND_UNIT_DENIED 29
#define KIND_NETWORK_CUT 30
#define KIND_PROGRAM 31

/* gate_event.outcome */
#define OUTCOME_DRY_RUN 0
#define OUTCOME_DENIED 1
#define OUTCOME_WARNED 2

/* What a program is, the value in `interpreters`. */
#define IS_SHELL 1
#define IS_CONFINED 2
#define IS_EXECUTOR 4

/* What a program is allowed in a unit, the value in `executables`. */
#define ALLOWED_START 1
#define ALLOWED_ANONYMOUS_EXEC 2

/* Members of unit_stages. The stages: none, dry run, warn, deny. */
#define RULE_SHELLS 0
#define RULE_EXECUTABLES 1
#define RULE_CONNECT 2
#define RULE_TCP 3
#define RULES 4
#define STAGE_NONE 0
#define STAGE_DRY_RUN 1
#define STAGE_WARN 2
#define STAGE_DENY 3

#define UNIT_BYTES 64
#define PEER_BYTES 128
#define MOST_PROFILES 32
#define MOST_ADDRESSES 16

/* Kinds of BPF objects, in the key of `own`. */
#define OWN_MAP 1
#define OWN_PROGRAM 2
#define OWN_LINK 3

/* gate_config.features: hooks of what is not used return at once. */
#define FEATURE_INTERPRETERS 1
#define FEATURE_PROFILES 2
#define FEATURE_TRACE 4
#define FEATURE_NETWORK 8

/* responses.deny. In `groups`: what holds for a control group and all below it. */
#define DENY_NOBODY 0
#define DENY_MARKED 1
#define DENY_EVERYTHING 2
#define GROUP_DENIED 1
#define GROUP_SPARED 2
#define MOST_SINKS 8

#define TOP_DIRECTORIES 8

/* The one value of `config`. */
struct gate_config {
	u32 mode;
	/* Device numbers as the kernel keeps them: major << 20 | minor. */
	u32 root_dev;
	u32 pin_dev;
	/* Bits of FEATURE_…. */
	u32 features;
	/* bennud's inode on the root. */
	u64 agent_ino;
	/* Directories of the root that nothing is mounted into; zero: none. */
	u64 top_ino[TOP_DIRECTORIES];
};

struct own_key {
	u32 kind;
	u32 id;
};

/* Of each CPU. */
struct gate_counters {
	/* Denials, or what would be one in a dry run; the number of the last event. */
	u64 events;
	/* Those that the ring had no room for. */
	u64 lost;
};

/* 144 bytes in the ring. */
struct gate_event {
	u64 number; /* of its CPU, from 1, without gaps unless events were lost */
	u64 time_ns; /* since kernel start, suspended time included */
	u64 ino;
	u64 cgroup;
	u32 cpu;
	u32 kind;
	u32 dev;
	u32 pid;
	u32 uid;
	u32 detail; /* ioctl or bpf command, target's pid, what the kernel reads, family << 16 | port, … */
	u32 outcome;
	u32 profile; /* from 1; zero: none */
	char comm[16];
	/* 16 bytes of an IPv6 address (mapped for IPv4), or the beginning of a Unix socket's name. */
	char peer[64];
};

/* Unit -> profile, from 1. The name of a cgroup's directory, filled up with zeros. */
struct unit_key {
	char name[UNIT_BYTES];
};

/* What holds for a profile now; bennud raises them as days pass. */
struct unit_stages {
	u32 stage[RULES];
};

struct executable_key {
	u32 profile;
	u32 unused;
	u64 ino;
};

/* A directory whose files an interpreter may open. */
struct data_key {
	u64 program_ino;
	u64 ino;
	u32 dev;
	u32 unused;
};

/* IPv6, IPv4 mapped, in the order of bytes on the wire. Ports inclusive, in the host's order; protocol zero: any. */
struct address_rule {
	u64 address[2];
	u64 mask[2];
	u16 first_port;
	u16 last_port;
	u32 protocol;
};

/* In `addresses`, of one profile. */
struct address_rules {
	u32 count;
	u32 unused;
	struct address_rule rule[MOST_ADDRESSES];
};

/* A Unix socket by the name that its server bound it to. */
struct peer_key {
	u32 profile;
	u32 abstract;
	char name[PEER_BYTES];
};

/* A Unix socket that those of a control group may talk to, by the group's id and the socket's cookie. */
struct known_peer {
	u64 group;
	u64 cookie;
};

/* A control group by its name and the id of the one above it: it is another one when a unit starts anew, and these stay. */
struct group_key {
	u64 parent;
	char name[UNIT_BYTES];
};

/* An alert sink: IPv6 or mapped IPv4, in the order of bytes on the wire; the port in the host's order. */
struct sink {
	u64 address[2];
	u32 port;
	u32 unused;
};

/* The one value of `responses`: what bennud does about drift. */
struct response_state {
	u32 deny;
	u32 cut;
	u32 sinks;
	u32 unused;
	struct sink sink[MOST_SINKS];
};

#define DIGEST_BYTES 32

/* The one value of `memory`: SHA-256 of the file in which bennud keeps what it must not forget. Zeros: no file. */
struct memory_marks {
	u8 settled[DIGEST_BYTES]; /* as it was last known to lie there */
	u8 begun[DIGEST_BYTES]; /* as it is about to be written; zeros: it is not */
};

#define TRACE_EXEC 1
#define TRACE_CONNECT 2
#define ANCESTORS 6
#define PATH_BYTES 128

struct ancestor {
	u32 pid;
	u32 dev;
	u64 ino; /* of its program */
	char comm[16];
};

/* 480 bytes in the ring `traces`. */
struct trace_event {
	u64 number; /* of its CPU, as in gate_event, counted by itself */
	u64 time_ns;
	u64 cgroup;
	u64 ino; /* of the program; its device is `dev` */
	u32 cpu;
	u32 kind;
	u32 pid;
	u32 uid;
	u32 dev;
	u32 verified;
	u32 detail; /* connect: family << 16 | port */
	u32 protocol;
	u8 address[16];
	char comm[16];
	char unit[UNIT_BYTES];
	char text[PATH_BYTES]; /* path as it was asked for, or a Unix socket's name */
	struct ancestor ancestors[ANCESTORS]; /* parent first; pid zero: no more */
};

#endif
