/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * What bennud has the gate do about drift: units that start no more programs, and a network that is cut. bennud alone
 * opens the two maps (`open_map`); they are not frozen, because what is done is undone as well.
 */
#ifndef BENNU_RESPOND_H
#define BENNU_RESPOND_H

#include "gate.h"

struct {
	uint(type, BPF_MAP_TYPE_ARRAY);
	uint(max_entries, 1);
	type(key, u32);
	type(value, struct response_state);
} responses SEC(".maps");

/* Control group -> GROUP_…. */
struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, 64);
	type(key, struct group_key);
	type(value, u32);
} groups SEC(".maps");

/* Control groups from a process's own to the root. Who lies deeper is taken for denied: nobody evades by making more. */
#define DEEPEST_GROUP 20

INLINE struct response_state *response(void)
{
	u32 zero = 0;

	return map_lookup(&responses, &zero);
}

/* What `groups` says of the running process's control group or one above it; the nearest decides. */
INLINE u32 mark_of_current(void)
{
	struct cgroup *group = current_task()->cgroups->dfl_cgrp, *parent;
	struct kernfs_node *node, *above;
	struct group_key key;
	const char *name;
	u32 *found;

	for (int i = 0; i < DEEPEST_GROUP; i++) {
		/* The state of a cgroup itself is its first member. */
		if (read_kernel(&parent, sizeof(parent), &group->self.parent))
			return GROUP_DENIED;
		if (!parent)
			return 0;
		__builtin_memset(&key, 0, sizeof(key));
		if (read_kernel(&node, sizeof(node), &group->kn) || read_kernel(&name, sizeof(name), &node->name) ||
		    read_kernel(&above, sizeof(above), &parent->kn) || read_kernel(&key.parent, sizeof(key.parent), &above->id))
			return GROUP_DENIED;
		read_kernel_text(key.name, sizeof(key.name), name);
		found = map_lookup(&groups, &key);
		if (found)
			return *found;
		group = parent;
	}
	return GROUP_DENIED;
}

/* Whether the running process starts no more programs. */
INLINE int is_denied(void)
{
	struct response_state *now = response();
	u32 mark;

	if (!now || now->deny == DENY_NOBODY)
		return 0;
	mark = mark_of_current();
	return mark == GROUP_DENIED || (!mark && now->deny == DENY_EVERYTHING);
}

INLINE int is_network_cut(void)
{
	struct response_state *now = response();

	return now && now->cut;
}

#endif
