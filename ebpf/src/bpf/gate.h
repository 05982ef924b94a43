/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * The gate's maps, and what every hook asks: who acts, is this device trusted, record and decide.
 */
#ifndef BENNU_GATE_H
#define BENNU_GATE_H

#include "kernel.h"

/* Set once by the loader, then frozen: user space cannot write them any more, whoever has them open. */
struct {
	uint(type, BPF_MAP_TYPE_ARRAY);
	uint(max_entries, 1);
	type(key, u32);
	type(value, struct gate_config);
} config SEC(".maps");

/* Inode on the root -> rights. */
struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, 64);
	type(key, u64);
	type(value, u32);
} programs SEC(".maps");

/* Block devices that nobody writes: the whole boot disk, the slots' partitions; GUARD_…. */
struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, 64);
	type(key, u32);
	type(value, u32);
} devices SEC(".maps");

/* Ids of our own maps, programs and links. */
struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, 128);
	type(key, struct own_key);
	type(value, u32);
} own SEC(".maps");

/* Written by the programs alone; frozen. Verity devices whose root hash the kernel found signed. */
struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, 256);
	type(key, u32);
	type(value, u32);
} trusted SEC(".maps");

#define STATE_PIN_MOUNT 0
#define STATE_INIT_NAMESPACE 1

/* Addresses of kernel objects, to compare with. */
struct {
	uint(type, BPF_MAP_TYPE_ARRAY);
	uint(max_entries, 2);
	type(key, u32);
	type(value, u64);
} state SEC(".maps");

struct {
	uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	uint(max_entries, 1);
	type(key, u32);
	type(value, struct gate_counters);
} counters SEC(".maps");

#define EVENTS_BYTES (1 << 18)
struct {
	uint(type, BPF_MAP_TYPE_RINGBUF);
	uint(max_entries, EVENTS_BYTES);
} events SEC(".maps");
#define RING_AVAILABLE 0 /* BPF_RB_AVAIL_DATA */

/* Inode on the root -> what it is. */
struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, 128);
	type(key, u64);
	type(value, u32);
} interpreters SEC(".maps");

/* Whether an argument of a hook is null. Linux 6.12's verifier takes pointers among them for never null, removes the
 * comparison, and the program would fault in the kernel; the value read as memory it does not know. Later ones demand
 * the comparison of the pointer itself, so both stand where an argument may be null. */
INLINE int is_null_argument(u64 *argument)
{
	u64 value = 0;

	read_kernel(&value, sizeof(value), argument);
	return !value;
}

/* The configuration once the gate is set, else nothing. */
INLINE struct gate_config *gate(void)
{
	u32 zero = 0;
	struct gate_config *found = map_lookup(&config, &zero);

	return found && found->mode ? found : 0;
}

INLINE u64 state_of(u32 what)
{
	u64 *found = map_lookup(&state, &what);

	return found ? *found : 0;
}

/* The inode of the running program if it is a file of the root, else zero. A kernel thread has none. */
INLINE u64 current_program(struct gate_config *gate)
{
	struct mm_struct *mm = current_task()->mm;
	struct file *file;
	struct inode *inode;

	if (!mm)
		return 0;
	file = mm->exe_file;
	if (!file)
		return 0;
	inode = file->f_inode;
	return inode->i_sb->s_dev == gate->root_dev ? inode->i_ino : 0;
}

/* What a program of the root is besides; IS_…. */
INLINE u32 kind_of_program(u64 ino)
{
	u32 *found = map_lookup(&interpreters, &ino);

	return found ? *found : 0;
}

INLINE int is_agent(struct gate_config *gate)
{
	return current_program(gate) == gate->agent_ino;
}

INLINE int may(struct gate_config *gate, u32 right)
{
	u64 program = current_program(gate);
	u32 *rights;

	if (!program)
		return 0;
	rights = map_lookup(&programs, &program);
	return rights && *rights & right;
}

INLINE int is_trusted(struct gate_config *gate, u32 dev)
{
	if (!dev)
		return 0;
	return dev == gate->root_dev || map_lookup(&trusted, &dev);
}

/* Attempts on the gate, protected memory and the slots: what no sound machine makes. They alone get the last half of the
 * ring, so that a flood of the others hides none of them. The same as bennud's strong signals (watch/gate.rs). */
INLINE int is_tampering(u32 kind)
{
	return kind == KIND_PROCESS_MEMORY || kind == KIND_BPF_OBJECT || kind == KIND_DEVICE_WRITE ||
	       kind == KIND_DEVICE_MAPPER || kind == KIND_PARTITIONS || kind == KIND_UNMOUNT || kind == KIND_PIN;
}

/* Takes a place in the ring, with the event filled in but for `peer`; zero: there is none, and the loss is counted. */
INLINE struct gate_event *begin_event(u32 outcome, u32 kind, u32 dev, u64 ino, u32 detail)
{
	u32 zero = 0;
	struct gate_counters *count = map_lookup(&counters, &zero);
	struct gate_event *event = 0;
	u64 number;

	if (!count)
		return 0;
	number = __sync_fetch_and_add(&count->events, 1) + 1;
	if (is_tampering(kind) || ring_query(&events, RING_AVAILABLE) < EVENTS_BYTES / 2)
		event = ring_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&count->lost, 1);
		return 0;
	}
	event->number = number;
	event->time_ns = boot_time_ns();
	event->ino = ino;
	event->cgroup = current_cgroup();
	event->cpu = current_cpu();
	event->kind = kind;
	event->dev = dev;
	event->pid = current_pid_tgid() >> 32;
	event->uid = current_uid_gid();
	event->detail = detail;
	event->outcome = outcome;
	event->profile = 0;
	__builtin_memset(event->peer, 0, sizeof(event->peer));
	current_comm(event->comm, sizeof(event->comm));
	return event;
}

/* Records; gives what the hook is to return. */
INLINE int deny(struct gate_config *gate, u32 kind, u32 dev, u64 ino, u32 detail)
{
	u32 outcome = gate->mode == MODE_ENFORCE ? OUTCOME_DENIED : OUTCOME_DRY_RUN;
	struct gate_event *event = begin_event(outcome, kind, dev, ino, detail);

	if (event)
		ring_submit(event, 0);
	return outcome == OUTCOME_DENIED ? -EPERM : 0;
}

INLINE int deny_inode(struct gate_config *gate, u32 kind, struct inode *inode, u32 detail)
{
	return deny(gate, kind, inode->i_sb->s_dev, inode->i_ino, detail);
}

/* Whether the kernel's name of a file (no user memory) is `text`, for names of up to 15 characters. */
#define NAME_BYTES 16
INLINE int is_name(const char *name, const char *text)
{
#pragma unroll
	for (int i = 0; i < NAME_BYTES; i++) {
		if (name[i] != text[i])
			return 0;
		if (!text[i])
			return 1;
	}
	return 0;
}

#endif
