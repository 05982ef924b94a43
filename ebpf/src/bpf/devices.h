/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * What lies below the root and beside it: block devices, device-mapper, mounts, and the kernel's settings that name
 * programs. At the level of open files, so that it does not matter which system call or ring asked.
 */
#include "gate.h"
#include "interpreter.h"
#include "profile.h"

#define MAJOR(dev) ((dev) >> 20)
#define SCSI_GENERIC_MAJOR 21
#define DEVICE_MAPPER_CONTROL MKDEV(10, 236)

INLINE int open_block_device(struct gate_config *set, struct inode *inode)
{
	u32 dev = inode->i_rdev;
	u32 *guard = map_lookup(&devices, &dev);

	if (!guard || may(set, MAY_WRITE_DEVICES))
		return 0;
	if (*guard == GUARD_REPAIRABLE && is_agent(set))
		return 0;
	return deny(set, KIND_DEVICE_WRITE, dev, inode->i_ino, 0);
}

/* Names in procfs are the kernel's own and cannot be changed. */
INLINE int open_kernel_setting(struct gate_config *set, struct file *file, struct inode *inode)
{
	char name[NAME_BYTES] = {};

	read_kernel_text(name, sizeof(name), file->f_path.dentry->d_name.name);
	if (is_name(name, "mem"))
		return may(set, MAY_TRACE) ? 0 : deny_inode(set, KIND_PROCESS_MEMORY, inode, 0);
	/* The last one takes the kernel's calls of our programs away. */
	if (is_name(name, "core_pattern") || is_name(name, "modprobe") || is_name(name, "poweroff_cmd") ||
	    is_name(name, "ftrace_enabled"))
		return may(set, MAY_KERNEL_SETTINGS) ? 0 : deny_inode(set, KIND_KERNEL_SETTING, inode, 0);
	return 0;
}

/* bennud opens the directory of the pins once, when it has mounted it: that tells which mount it is. */
INLINE void remember_pins(struct gate_config *set, struct file *file)
{
	u32 what = STATE_PIN_MOUNT;
	struct mount *mount;
	u64 address;

	if (state_of(STATE_PIN_MOUNT) || !is_agent(set))
		return;
	read_kernel(&address, sizeof(address), &file->f_path.mnt);
	address -= (u64)&((struct mount *)0)->mnt;
	mount = (void *)address;
	map_update(&state, &what, &address, 0);
	what = STATE_INIT_NAMESPACE;
	read_kernel(&address, sizeof(address), &mount->mnt_ns);
	map_update(&state, &what, &address, 0);
}

SEC("lsm/file_open")
int open_file(u64 *ctx)
{
	struct file *file = (void *)ctx[0];
	struct inode *inode = file->f_inode;
	struct gate_config *set = gate();
	unsigned long magic;
	u32 kind;

	if (!set)
		return 0;
	if (inode->i_sb->s_dev == set->pin_dev) {
		remember_pins(set, file);
		return 0;
	}
	kind = inode->i_mode & S_IFMT;
	if (set->features & FEATURE_INTERPRETERS && kind == S_IFREG && open_by_interpreter(set, file, inode))
		return -EPERM;
	if (!(file->f_mode & FMODE_WRITE))
		return 0;
	if (kind == S_IFBLK)
		return open_block_device(set, inode);
	if (kind == S_IFCHR) {
		if (MAJOR(inode->i_rdev) != SCSI_GENERIC_MAJOR || may(set, MAY_PASSTHROUGH))
			return 0;
		return deny(set, KIND_PASSTHROUGH, inode->i_rdev, inode->i_ino, 0);
	}
	magic = inode->i_sb->s_magic;
	if (magic == PROC_SUPER_MAGIC)
		return open_kernel_setting(set, file, inode);
	if (magic == BINFMTFS_MAGIC)
		return may(set, MAY_KERNEL_SETTINGS) ? 0 : deny_inode(set, KIND_KERNEL_SETTING, inode, 0);
	if (magic == CGROUP2_SUPER_MAGIC)
		return open_cgroup_file(set, file, inode);
	return 0;
}

/* linux/dm-ioctl.h: version, list devices, device status, wait, dependencies, table status, list versions, arm poll,
 * target version. Everything else changes something. */
#define DM_IOCTL 0xfd
#define DM_READS (1u << 0 | 1u << 2 | 1u << 7 | 1u << 8 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 16 | 1u << 17)

#define SG_IO 0x2285
#define SCSI_IOCTL_SEND_COMMAND 0x1
#define CDROM_SEND_PACKET 0x5393
#define HDIO_DRIVE_TASKFILE 0x31d /* linux/hdreg.h: ATA registers */
#define HDIO_DRIVE_TASK 0x31e
#define HDIO_DRIVE_CMD 0x31f
#define BLKROSET 0x125d
#define BLKPG 0x1269
#define IOCTL_TYPE(command) ((command) >> 8 & 0xff)
#define IOCTL_NUMBER(command) ((command) & 0xff)
#define NVME_IOCTL 'N'
#define NVME_FIRST 0x41 /* admin command; then submit, I/O command, resets, rescan, 64-bit forms */
#define NVME_LAST 0x49
#define MMC_IOCTL 0xb3 /* linux/mmc/ioctl.h: one command, several */
#define MMC_LAST 1

/* The drivers ask for a capability, not for a descriptor that may write. */
INLINE int is_passthrough(u32 command)
{
	u32 number = IOCTL_NUMBER(command);

	if (command == SG_IO || command == SCSI_IOCTL_SEND_COMMAND || command == CDROM_SEND_PACKET)
		return 1;
	if (command >= HDIO_DRIVE_TASKFILE && command <= HDIO_DRIVE_CMD)
		return 1;
	if (IOCTL_TYPE(command) == MMC_IOCTL)
		return number <= MMC_LAST;
	return IOCTL_TYPE(command) == NVME_IOCTL && number >= NVME_FIRST && number <= NVME_LAST;
}

INLINE int control(struct file *file, u32 command)
{
	struct inode *inode = file->f_inode;
	u32 kind = inode->i_mode & S_IFMT, dev = inode->i_rdev, number = IOCTL_NUMBER(command);
	struct gate_config *set;

	if (kind != S_IFBLK && kind != S_IFCHR)
		return 0;
	set = gate();
	if (!set)
		return 0;
	if (kind == S_IFCHR && dev == DEVICE_MAPPER_CONTROL) {
		if (IOCTL_TYPE(command) == DM_IOCTL && number < 32 && DM_READS >> number & 1)
			return 0;
		return may(set, MAY_DEVICE_MAPPER) ? 0 : deny(set, KIND_DEVICE_MAPPER, dev, inode->i_ino, command);
	}
	if (is_passthrough(command))
		return may(set, MAY_PASSTHROUGH) ? 0 : deny(set, KIND_PASSTHROUGH, dev, inode->i_ino, command);
	/* Another partition over a slot's blocks would have another number. */
	if (kind == S_IFBLK && (command == BLKPG || command == BLKROSET) && map_lookup(&devices, &dev))
		return may(set, MAY_WRITE_DEVICES) ? 0 : deny(set, KIND_PARTITIONS, dev, inode->i_ino, command);
	return 0;
}

SEC("lsm/file_ioctl")
int control_device(u64 *ctx)
{
	return control((void *)ctx[0], ctx[1]);
}

SEC("lsm/file_ioctl_compat")
int control_device_32(u64 *ctx)
{
	return control((void *)ctx[0], ctx[1]);
}

/* NVMe commands through a ring; sockets use the same hook and are none of our business. */
SEC("lsm/uring_cmd")
int ring_command(u64 *ctx)
{
	struct io_uring_cmd *command = (void *)ctx[0];
	struct inode *inode = command->file->f_inode;
	u32 kind = inode->i_mode & S_IFMT;
	struct gate_config *set = gate();

	if (!set || (kind != S_IFBLK && kind != S_IFCHR) || may(set, MAY_PASSTHROUGH))
		return 0;
	return deny(set, KIND_PASSTHROUGH, inode->i_rdev, inode->i_ino, 0);
}

/* Directories between a mount point and the root; what lies deeper counts as protected. */
#define MOST_PARENTS 16

/* Whether something mounted on `dentry` would hide files of the root that programs are made of. */
INLINE int hides_the_root(struct gate_config *set, struct dentry *dentry)
{
	struct dentry *parent, *grandparent;
	struct inode *inode;
	u64 ino;

#pragma unroll
	for (int i = 0; i < MOST_PARENTS; i++) {
		parent = dentry->d_parent;
		if (parent == dentry)
			return 0;
		grandparent = parent->d_parent;
		if (grandparent != parent) {
			dentry = parent;
			continue;
		}
		inode = dentry->d_inode;
		if (!inode)
			return 1;
		ino = inode->i_ino;
#pragma unroll
		for (int top = 0; top < TOP_DIRECTORIES; top++)
			if (ino == set->top_ino[top])
				return 1;
		return 0;
	}
	return 1;
}

/* Whether the running process sees the mounts that everybody sees: those among which the pins are. */
INLINE int is_in_first_namespace(void)
{
	return (u64)current_task()->nsproxy->mnt_ns == state_of(STATE_INIT_NAMESPACE);
}

/* Mounts in a namespace of one's own harm nobody else, unless they spread from there. */
INLINE int mount_over(struct path *path)
{
	struct gate_config *set = gate();
	struct dentry *dentry;
	u32 dev;

	if (!set)
		return 0;
	dentry = path->dentry;
	dev = dentry->d_sb->s_dev;
	if (dev == set->pin_dev)
		return deny(set, KIND_MOUNT, dev, 0, 0);
	if (dev != set->root_dev)
		return 0;
	if (!is_in_first_namespace() && !(path->mnt->mnt_flags & MNT_SHARED))
		return 0;
	if (!hides_the_root(set, dentry))
		return 0;
	return deny_inode(set, KIND_MOUNT, dentry->d_inode, 0);
}

/* In the order in which the kernel looks at the flags (path_mount of fs/namespace.c): what it takes for a bind is one, with
 * whatever other flags. */
SEC("lsm/sb_mount")
int mount_file_system(u64 *ctx)
{
	u64 flags = ctx[3];

	if (flags & MS_REMOUNT || (flags & MS_PROPAGATION && !(flags & MS_BIND)))
		return 0;
	return mount_over((void *)ctx[1]);
}

SEC("lsm/move_mount")
int attach_mount(u64 *ctx)
{
	return mount_over((void *)ctx[1]);
}

/* It gives another root to every process of the namespace, and spreads to no other: services and containers do it in
 * namespaces of their own. */
SEC("lsm/sb_pivotroot")
int pivot_root(u64 *ctx)
{
	struct path *new_root = (void *)ctx[1];
	struct gate_config *set = gate();

	if (!set || !is_in_first_namespace())
		return 0;
	return deny_inode(set, KIND_MOUNT, new_root->dentry->d_inode, 0);
}

/* A lazy unmount takes away everything below. */
#define MOST_MOUNTS 8

SEC("lsm/sb_umount")
int unmount(u64 *ctx)
{
	struct vfsmount *target = (void *)ctx[0];
	struct gate_config *set = gate();
	struct mount *mount, *parent;
	u32 dev;

	if (!set)
		return 0;
	dev = target->mnt_sb->s_dev;
	if (dev == set->pin_dev)
		return deny(set, KIND_UNMOUNT, dev, 0, 0);
	mount = (void *)state_of(STATE_PIN_MOUNT);
	for (int i = 0; i < MOST_MOUNTS; i++) {
		if (!mount)
			return 0;
		if ((u64)&mount->mnt == ctx[0])
			return deny(set, KIND_UNMOUNT, dev, 0, 0);
		if (read_kernel(&parent, sizeof(parent), &mount->mnt_parent) || parent == mount)
			return 0;
		mount = parent;
	}
	return 0;
}
