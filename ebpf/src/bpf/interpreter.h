/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * Interpreters that the image confines open verified files and files below the directories that it names for them.
 * What comes through a pipe, as an argument or through a descriptor that somebody else opened, no hook sees.
 */
#ifndef BENNU_INTERPRETER_H
#define BENNU_INTERPRETER_H

#include "gate.h"

/* Filled by bennud as directories turn up; nobody else opens it. */
struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, 512);
	type(key, struct data_key);
	type(value, u32);
} data SEC(".maps");

/* Directories between a file and the one that is named. */
#define MOST_DEPTH 16

/* Whether a directory above the file, on the same file system, is named for this program. */
INLINE int is_data(struct file *file, u64 program, u32 dev)
{
	struct dentry *dentry = file->f_path.dentry, *parent;
	struct data_key key = { program, 0, dev, 0 };
	struct inode *inode;

	for (int i = 0; i < MOST_DEPTH; i++) {
		parent = dentry->d_parent;
		if (parent == dentry)
			return 0;
		inode = parent->d_inode;
		if (!inode)
			return 0;
		key.ino = inode->i_ino;
		if (map_lookup(&data, &key))
			return 1;
		dentry = parent;
	}
	return 0;
}

/* Files for reading, since reading is what an interpreter executes by. The kernel's own (procfs, sysfs, cgroups) hold
 * no programs. */
INLINE int open_by_interpreter(struct gate_config *set, struct file *file, struct inode *inode)
{
	u32 mode = file->f_mode, dev = inode->i_sb->s_dev;
	unsigned long magic;
	u64 program;

	if (!(mode & FMODE_READ) || mode & FMODE_BACKING || is_trusted(set, dev))
		return 0;
	program = current_program(set);
	if (!program || !(kind_of_program(program) & IS_CONFINED))
		return 0;
	magic = inode->i_sb->s_magic;
	if (magic == PROC_SUPER_MAGIC || magic == SYSFS_MAGIC || magic == CGROUP2_SUPER_MAGIC)
		return 0;
	if (is_data(file, program, dev))
		return 0;
	return deny_inode(set, KIND_INTERPRETER, inode, 0);
}

#endif
