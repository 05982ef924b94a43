/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * What a unit of systemd may do: which programs it starts, whether a shell is among them, whom it connects to. A unit is
 * known by the name of its cgroup's directory, the kernel's own copy, so a profile holds from the unit's first program
 * on and nobody has to announce it. Below a unit's cgroup its profile holds as well.
 */
#ifndef BENNU_PROFILE_H
#define BENNU_PROFILE_H

#include "respond.h"

struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, MOST_PROFILES);
	type(key, struct unit_key);
	type(value, u32);
} units SEC(".maps");

/* By profile, the first at 1. Not frozen: bennud raises stages; nobody else opens it. */
struct {
	uint(type, BPF_MAP_TYPE_ARRAY);
	uint(max_entries, MOST_PROFILES + 1);
	type(key, u32);
	type(value, struct unit_stages);
} stages SEC(".maps");

struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, 2048);
	type(key, struct executable_key);
	type(value, u32);
} executables SEC(".maps");

struct {
	uint(type, BPF_MAP_TYPE_ARRAY);
	uint(max_entries, MOST_PROFILES + 1);
	type(key, u32);
	type(value, struct address_rules);
} addresses SEC(".maps");

struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, 512);
	type(key, struct peer_key);
	type(value, u32);
} peers SEC(".maps");

/* What was found once, written by the programs alone; frozen. The id of a cgroup is never given again, its name and what
 * lies above it never change, and `units` is frozen: what is known of one holds as long as it lives. */
struct {
	uint(type, BPF_MAP_TYPE_LRU_HASH);
	uint(max_entries, 1024);
	type(key, u64);
	type(value, u32);
} known_units SEC(".maps");

/* Unix sockets that those of a cgroup may talk to. A socket's cookie is never given again, and a name once bound stays. */
struct {
	uint(type, BPF_MAP_TYPE_LRU_HASH);
	uint(max_entries, 1024);
	type(key, struct known_peer);
	type(value, u32);
} known_peers SEC(".maps");

/* Cgroups above a process that are looked at. */
#define MOST_LEVELS 6

/* Gives zero if the kernel's memory was read; `profile`: of the running process's unit, from 1; zero: none. */
INLINE int find_profile(u32 *profile)
{
	struct cgroup *group = current_task()->cgroups->dfl_cgrp;
	struct kernfs_node *node;
	struct unit_key key;
	const char *name;
	u32 *found;

	for (int i = 0; i < MOST_LEVELS; i++) {
		if (!group)
			return 0;
		if (read_kernel(&node, sizeof(node), &group->kn))
			return -1;
		__builtin_memset(&key, 0, sizeof(key));
		if (read_kernel(&name, sizeof(name), &node->name))
			return -1;
		read_kernel_text(key.name, sizeof(key.name), name);
		found = map_lookup(&units, &key);
		if (found) {
			*profile = *found;
			return 0;
		}
		/* The state of a cgroup itself is its first member. */
		if (read_kernel(&group, sizeof(group), &group->self.parent))
			return -1;
	}
	return 0;
}

/* The profile of the running process's unit, from 1; zero: none. */
INLINE u32 current_profile(void)
{
	u64 group = current_cgroup();
	u32 *known = map_lookup(&known_units, &group), profile = 0;

	if (known)
		return *known;
	if (!find_profile(&profile))
		map_update(&known_units, &group, &profile, 0);
	return profile;
}

INLINE u32 stage_of(u32 profile, u32 rule)
{
	struct unit_stages *found = map_lookup(&stages, &profile);

	return found && rule < RULES ? found->stage[rule] : STAGE_NONE;
}

/* A gate in a dry run denies nothing, whatever the profiles say. */
INLINE u32 outcome_of(struct gate_config *set, u32 stage)
{
	if (stage == STAGE_WARN)
		return OUTCOME_WARNED;
	return stage == STAGE_DENY && set->mode == MODE_ENFORCE ? OUTCOME_DENIED : OUTCOME_DRY_RUN;
}

INLINE int judge(struct gate_config *set, u32 profile, u32 stage, u32 kind, u32 dev, u64 ino, u32 detail)
{
	u32 outcome = outcome_of(set, stage);
	struct gate_event *event = begin_event(outcome, kind, dev, ino, detail);

	if (event) {
		event->profile = profile;
		ring_submit(event, 0);
	}
	return outcome == OUTCOME_DENIED ? -EPERM : 0;
}

INLINE int is_shell(struct gate_config *set, struct inode *inode)
{
	return inode->i_sb->s_dev == set->root_dev && kind_of_program(inode->i_ino) & IS_SHELL;
}

/* Whether systemd's executor runs, which prepares a unit's process in the unit's cgroup before it starts its program. */
INLINE int is_executor(struct gate_config *set)
{
	u64 program = current_program(set);

	return program && kind_of_program(program) & IS_EXECUTOR;
}

/* ALLOWED_… of a program in a unit. */
INLINE u32 allowed_in_unit(struct executable_key *key)
{
	u32 *found = map_lookup(&executables, key);

	return found ? *found : 0;
}

/* Whether the running program may make memory executable: wherever it runs, or in this unit. */
INLINE int may_make_executable(struct gate_config *set)
{
	struct executable_key key = { 0, 0, current_program(set) };

	if (!key.ino)
		return 0;
	if (may(set, MAY_ANONYMOUS_EXEC))
		return 1;
	if (!(set->features & FEATURE_PROFILES))
		return 0;
	key.profile = current_profile();
	return key.profile && allowed_in_unit(&key) & ALLOWED_ANONYMOUS_EXEC;
}

/* Whether the process is on its way from PID 1 to the program that it starts: still in the memory of PID 1 (vfork), which
 * nobody else shares. */
INLINE int is_spawned_by_init(void)
{
	struct task_struct *task = current_task(), *parent = task->real_parent;
	u64 memory = (u64)task->mm;

	return parent->tgid == 1 && memory && memory == (u64)parent->mm;
}

INLINE int execute_in_unit(struct gate_config *set, struct inode *inode)
{
	u32 profile = current_profile(), stage, dev = inode->i_sb->s_dev;
	struct executable_key key = { profile, 0, inode->i_ino };

	if (!profile)
		return 0;
	/* It leaves the unit's cgroup as it likes, and by whom it is started says what it does. */
	if (dev == set->root_dev && kind_of_program(key.ino) & IS_EXECUTOR)
		return is_spawned_by_init() ? 0 : judge(set, profile, STAGE_DENY, KIND_EXECUTABLE, dev, key.ino, 0);
	stage = stage_of(profile, RULE_SHELLS);
	if (stage && is_shell(set, inode) && judge(set, profile, stage, KIND_SHELL, dev, key.ino, 0))
		return -EPERM;
	stage = stage_of(profile, RULE_EXECUTABLES);
	if (!stage || (dev == set->root_dev && allowed_in_unit(&key) & ALLOWED_START))
		return 0;
	return judge(set, profile, stage, KIND_EXECUTABLE, dev, key.ino, 0);
}

/* The dynamic loader by hand maps a shell instead of executing it. */
INLINE int map_in_unit(struct gate_config *set, struct inode *inode)
{
	u32 profile, stage;

	if (!is_shell(set, inode))
		return 0;
	profile = current_profile();
	stage = profile ? stage_of(profile, RULE_SHELLS) : STAGE_NONE;
	if (!stage)
		return 0;
	return judge(set, profile, stage, KIND_SHELL, inode->i_sb->s_dev, inode->i_ino, 1);
}

/* Who left the cgroup would leave the profile, or start programs again. */
INLINE int open_cgroup_file(struct gate_config *set, struct file *file, struct inode *inode)
{
	char name[NAME_BYTES] = {};
	int denied = is_denied();

	if (!denied && !(set->features & FEATURE_PROFILES))
		return 0;
	read_kernel_text(name, sizeof(name), file->f_path.dentry->d_name.name);
	if (!is_name(name, "cgroup.procs") && !is_name(name, "cgroup.threads"))
		return 0;
	/* The executor puts itself into the unit's cgroup once more before it starts the unit's program. */
	if (!denied && (!current_profile() || is_executor(set)))
		return 0;
	return deny_inode(set, KIND_CGROUP, inode, 0);
}

#endif
