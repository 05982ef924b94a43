/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * What happened and was allowed: each program that a privileged process starts or that starts privileged, and each
 * outbound connection, with those who started the process. A ring of its own, so that a flood hides no denial.
 */
#ifndef BENNU_TRACE_H
#define BENNU_TRACE_H

#include "gate.h"

struct {
	uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	uint(max_entries, 1);
	type(key, u32);
	type(value, struct gate_counters);
} trace_counters SEC(".maps");

struct {
	uint(type, BPF_MAP_TYPE_RINGBUF);
	uint(max_entries, 1 << 20);
} traces SEC(".maps");

INLINE void read_program(struct mm_struct *mm, u32 *dev, u64 *ino)
{
	struct super_block *super;
	struct inode *inode;
	struct file *file;

	if (!mm || read_kernel(&file, sizeof(file), &mm->exe_file) || !file)
		return;
	if (read_kernel(&inode, sizeof(inode), &file->f_inode) || !inode)
		return;
	read_kernel(ino, sizeof(*ino), &inode->i_ino);
	if (!read_kernel(&super, sizeof(super), &inode->i_sb))
		read_kernel(dev, sizeof(*dev), &super->s_dev);
}

INLINE void read_ancestors(struct trace_event *event)
{
	struct task_struct *task = current_task()->real_parent;
	struct mm_struct *mm;

	__builtin_memset(event->ancestors, 0, sizeof(event->ancestors));
#pragma unroll
	for (int i = 0; i < ANCESTORS; i++) {
		struct ancestor *one = &event->ancestors[i];
		u32 pid = 0;

		if (!task || read_kernel(&pid, sizeof(pid), &task->tgid) || !pid)
			return;
		one->pid = pid;
		read_kernel(one->comm, sizeof(one->comm), &task->comm);
		if (!read_kernel(&mm, sizeof(mm), &task->mm))
			read_program(mm, &one->dev, &one->ino);
		if (pid == 1 || read_kernel(&task, sizeof(task), &task->real_parent))
			return;
	}
}

/* As begin_event. Zero in what the caller does not fill in. */
INLINE struct trace_event *begin_trace(u32 kind)
{
	u32 zero = 0;
	struct gate_counters *count = map_lookup(&trace_counters, &zero);
	struct task_struct *task = current_task();
	struct kernfs_node *node;
	struct trace_event *event;
	const char *name;
	u64 number;

	if (!count)
		return 0;
	number = __sync_fetch_and_add(&count->events, 1) + 1;
	event = ring_reserve(&traces, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&count->lost, 1);
		return 0;
	}
	event->number = number;
	event->time_ns = boot_time_ns();
	event->cgroup = current_cgroup();
	event->ino = 0;
	event->cpu = current_cpu();
	event->kind = kind;
	event->pid = current_pid_tgid() >> 32;
	event->uid = current_uid_gid();
	event->dev = event->verified = event->detail = event->protocol = 0;
	__builtin_memset(event->address, 0, sizeof(event->address));
	__builtin_memset(event->unit, 0, sizeof(event->unit));
	__builtin_memset(event->text, 0, sizeof(event->text));
	current_comm(event->comm, sizeof(event->comm));
	node = task->cgroups->dfl_cgrp->kn;
	if (!read_kernel(&name, sizeof(name), &node->name))
		read_kernel_text(event->unit, sizeof(event->unit), name);
	read_ancestors(event);
	return event;
}

INLINE int is_privileged(const struct cred *cred)
{
	kernel_cap_t capabilities = { 0 };
	kuid_t user = { 1 };

	read_kernel(&user, sizeof(user), &cred->euid);
	read_kernel(&capabilities, sizeof(capabilities), &cred->cap_effective);
	return !user.val || capabilities.val;
}

/* The credentials of before are still those of the process, the new ones are in `bprm`. */
SEC("lsm/bprm_committing_creds")
int executed(u64 *ctx)
{
	struct linux_binprm *bprm = (void *)ctx[0];
	struct gate_config *set = gate();
	struct trace_event *event;
	struct inode *inode;
	const char *path;

	if (!set || !(set->features & FEATURE_TRACE))
		return 0;
	if (!is_privileged(current_task()->cred) && !is_privileged(bprm->cred))
		return 0;
	event = begin_trace(TRACE_EXEC);
	if (!event)
		return 0;
	inode = bprm->file->f_inode;
	event->ino = inode->i_ino;
	event->dev = inode->i_sb->s_dev;
	event->verified = is_trusted(set, event->dev) ? 1 : 0;
	path = bprm->filename;
	read_kernel_text(event->text, sizeof(event->text), path);
	ring_submit(event, 0);
	return 0;
}

INLINE void trace_connect(struct gate_config *set, u32 family, u32 port, u32 protocol, const u64 *address,
			  const char *name, u32 abstract)
{
	struct trace_event *event = begin_trace(TRACE_CONNECT);

	if (!event)
		return;
	read_program(current_task()->mm, &event->dev, &event->ino);
	event->verified = is_trusted(set, event->dev) ? 1 : 0;
	event->detail = family << 16 | port;
	event->protocol = protocol;
	if (address)
		__builtin_memcpy(event->address, address, sizeof(event->address));
	if (name && abstract) {
		event->text[0] = '@';
		__builtin_memcpy(event->text + 1, name, PATH_BYTES - 1);
	} else if (name) {
		__builtin_memcpy(event->text, name, PATH_BYTES);
	}
	ring_submit(event, 0);
}

#endif
