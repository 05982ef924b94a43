/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * The gate keeps itself: its maps, programs and links, the directory that holds them, and programs' memory.
 */
#include "gate.h"

/* Written and read by bennud, which finds here after its own end whether its memory is the one that it wrote. No program
 * reads it; `open_map` keeps it from everybody else. Not frozen: it changes with the memory. */
struct {
	uint(type, BPF_MAP_TYPE_ARRAY);
	uint(max_entries, 1);
	type(key, u32);
	type(value, struct memory_marks);
} memory SEC(".maps");

SEC("lsm/bpf_map")
int open_map(u64 *ctx)
{
	struct bpf_map *map = (void *)ctx[0];
	struct gate_config *set = gate();
	struct own_key key = { OWN_MAP, map->id };

	if (!set || !map_lookup(&own, &key) || is_agent(set))
		return 0;
	return deny(set, KIND_BPF_OBJECT, 0, key.id, OWN_MAP);
}

SEC("lsm/bpf_prog")
int open_program(u64 *ctx)
{
	struct bpf_prog *program = (void *)ctx[0];
	struct gate_config *set = gate();
	struct own_key key = { OWN_PROGRAM, program->aux->id };

	if (!set || !map_lookup(&own, &key) || is_agent(set))
		return 0;
	return deny(set, KIND_BPF_OBJECT, 0, key.id, OWN_PROGRAM);
}

#define BPF_LINK_GET_FD_BY_ID 30

/* There is no hook for links. `attr` is the kernel's copy; the id is its first member for this command. */
SEC("lsm/bpf")
int bpf_call(u64 *ctx)
{
	struct own_key key = { OWN_LINK, 0 };
	struct gate_config *set;

	if ((u32)ctx[0] != BPF_LINK_GET_FD_BY_ID)
		return 0;
	set = gate();
	if (!set || read_kernel(&key.id, sizeof(key.id), (void *)ctx[1]))
		return 0;
	if (!map_lookup(&own, &key) || is_agent(set))
		return 0;
	return deny(set, KIND_BPF_OBJECT, 0, key.id, OWN_LINK);
}

/* enum bpf_prog_type of programs that attach to functions of the kernel or replace other programs: kprobe, tracepoint,
 * perf event, raw tracepoint (and writable), tracing, struct_ops, extension, LSM, syscall. With the right one of them
 * somebody could decide before our hooks do. */
#define REACHES_INTO_KERNEL                                                                                            \
	(1u << 2 | 1u << 5 | 1u << 7 | 1u << 17 | 1u << 24 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29 | 1u << 31)

SEC("lsm/bpf_prog_load")
int load_program(u64 *ctx)
{
	struct bpf_prog *program = (void *)ctx[0];
	struct gate_config *set = gate();
	u32 kind = program->type;

	if (!set || (kind < 32 && !(REACHES_INTO_KERNEL >> kind & 1)))
		return 0;
	/* systemd's own programs for RestrictFileSystems= and the like. */
	if (current_pid_tgid() >> 32 == 1 || is_agent(set))
		return 0;
	return deny(set, KIND_BPF_LOAD, 0, 0, kind);
}

SEC("lsm/inode_unlink")
int unlink_pin(u64 *ctx)
{
	struct inode *directory = (void *)ctx[0];
	struct gate_config *set = gate();

	if (!set || directory->i_sb->s_dev != set->pin_dev)
		return 0;
	return deny_inode(set, KIND_PIN, directory, 0);
}

SEC("lsm/inode_rmdir")
int remove_pin_directory(u64 *ctx)
{
	struct inode *directory = (void *)ctx[0];
	struct gate_config *set = gate();

	if (!set || directory->i_sb->s_dev != set->pin_dev)
		return 0;
	return deny_inode(set, KIND_PIN, directory, 0);
}

SEC("lsm/inode_rename")
int rename_pin(u64 *ctx)
{
	struct inode *directory = (void *)ctx[0];
	struct gate_config *set = gate();

	if (!set || directory->i_sb->s_dev != set->pin_dev)
		return 0;
	return deny_inode(set, KIND_PIN, directory, 0);
}

/* Whoever writes the memory of a verified program makes another program of it, be it the program itself. */
SEC("lsm/ptrace_access_check")
int trace(u64 *ctx)
{
	struct task_struct *child = (void *)ctx[0];
	u32 mode = ctx[1];
	struct gate_config *set;

	if (!(mode & PTRACE_MODE_ATTACH))
		return 0;
	set = gate();
	if (!set || may(set, MAY_TRACE))
		return 0;
	return deny(set, KIND_TRACE, 0, 0, child->tgid);
}

/* linux/prctl.h */
#define PR_SET_MM 35
#define PR_SET_MM_EXE_FILE 13
#define PR_SET_MM_MAP 14

/* bennud's question whether this gate is asked at all, and its answer: crates/linux/src/bpf.rs. No other security module
 * looks at such a call, and without a gate the kernel answers EINVAL. */
#define QUESTION 0x42656e6e
#define EALREADY 114

/* What a process executes is what it has its rights by, and the kernel lets root name another file for it. What
 * PR_SET_MM_MAP names lies in user memory. */
SEC("lsm/task_prctl")
int name_program(u64 *ctx)
{
	u32 option = ctx[0];
	u64 what = ctx[1];
	struct gate_config *set;

	if (option != PR_SET_MM || (what != PR_SET_MM_EXE_FILE && what != PR_SET_MM_MAP && what != QUESTION))
		return 0;
	set = gate();
	if (what == QUESTION)
		return set && is_agent(set) ? -EALREADY : 0;
	return set ? deny(set, KIND_PROGRAM, 0, 0, what) : 0;
}

SEC("lsm/ptrace_traceme")
int trace_me(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0];
	struct gate_config *set = gate();

	if (!set || may(set, MAY_TRACE))
		return 0;
	return deny(set, KIND_TRACE, 0, 0, parent->tgid);
}
