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

/* Kinds of BPF objects, in the key of `own`. */
#define OWN_MAP 1
#define OWN_PROGRAM 2
#define OWN_LINK 3

#define TOP_DIRECTORIES 8

/* The one value of `config`. */
struct gate_config {
	u32 mode;
	/* Device numbers as the kernel keeps them: major << 20 | minor. */
	u32 root_dev;
	u32 pin_dev;
	u32 unused;
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

/* 80 bytes in the ring. */
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
	u32 detail; /* ioctl or bpf command, target's pid, what the kernel reads, … */
	u32 denied;
	u32 unused;
	char comm[16];
};

#endif
