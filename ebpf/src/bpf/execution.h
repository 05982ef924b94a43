/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * Nothing executes, is mapped executable or is loaded into the kernel unless its file lies on a trusted device.
 */
#include "gate.h"
#include "profile.h"

/* This memory is no file; what is named is the program that asks for it, if that is one of the root. What bennud tries to
 * see whether this is denied, memory that may be executed and not read, is not recorded. */
INLINE int deny_anonymous(struct gate_config *set, u32 prot)
{
	u64 program = current_program(set);

	if (prot == PROT_EXEC && program && program == set->agent_ino && set->mode == MODE_ENFORCE)
		return -EPERM;
	return deny(set, KIND_ANONYMOUS_EXEC, program ? set->root_dev : 0, program, prot);
}

SEC("lsm/bprm_check_security")
int execute(u64 *ctx)
{
	struct linux_binprm *bprm = (void *)ctx[0];
	struct gate_config *set = gate();
	struct inode *inode;

	if (!set)
		return 0;
	inode = bprm->file->f_inode;
	if (!is_trusted(set, inode->i_sb->s_dev))
		return deny_inode(set, KIND_EXEC, inode, 0);
	/* Its stack and heap would be executable. */
	if (current_task()->personality & READ_IMPLIES_EXEC)
		return deny_inode(set, KIND_PERSONALITY, inode, 0);
	if (is_denied() && deny_inode(set, KIND_UNIT_DENIED, inode, 0))
		return -EPERM;
	return set->features & FEATURE_PROFILES ? execute_in_unit(set, inode) : 0;
}

/* `prot` is what the kernel makes of the request, read-implies-exec included. */
SEC("lsm/mmap_file")
int map_file(u64 *ctx)
{
	struct file *file = (void *)ctx[0];
	u64 prot = ctx[2];
	struct gate_config *set;
	struct inode *inode;

	if (!(prot & PROT_EXEC))
		return 0;
	set = gate();
	if (!set)
		return 0;
	if (is_null_argument(&ctx[0]) || !file)
		return may_make_executable(set) ? 0 : deny_anonymous(set, prot);
	inode = file->f_inode;
	if (!is_trusted(set, inode->i_sb->s_dev))
		return deny_inode(set, KIND_MAP_EXEC, inode, prot);
	if (prot & PROT_WRITE && !may_make_executable(set))
		return deny_inode(set, KIND_WRITE_EXEC, inode, prot);
	return set->features & FEATURE_PROFILES ? map_in_unit(set, inode) : 0;
}

SEC("lsm/file_mprotect")
int protect_memory(u64 *ctx)
{
	struct vm_area_struct *vma = (void *)ctx[0];
	u64 prot = ctx[2];
	struct gate_config *set;
	struct inode *inode;
	struct file *file;

	if (!(prot & PROT_EXEC))
		return 0;
	set = gate();
	if (!set)
		return 0;
	file = vma->vm_file;
	if (!file)
		return may_make_executable(set) ? 0 : deny_anonymous(set, prot);
	inode = file->f_inode;
	if (!is_trusted(set, inode->i_sb->s_dev))
		return deny_inode(set, KIND_MAP_EXEC, inode, prot);
	if (may_make_executable(set))
		return 0;
	if (prot & PROT_WRITE)
		return deny_inode(set, KIND_WRITE_EXEC, inode, prot);
	/* A private mapping of a verified file that has pages of its own is not the file any more. */
	if (vma->anon_vma)
		return deny_inode(set, KIND_CHANGED_EXEC, inode, prot);
	return 0;
}

/* No hook can refuse personality(2), and after it brk(2) gives executable memory that no hook sees. The caller does not
 * come back from it. The argument lies in a register, not in memory that another thread could change. */
INLINE int change_personality(u64 persona)
{
	struct gate_config *set;

	/* 0xffffffff asks and changes nothing. */
	if (!(persona & READ_IMPLIES_EXEC) || (u32)persona == 0xffffffff)
		return 0;
	set = gate();
	if (set && deny(set, KIND_PERSONALITY, 0, 0, persona))
		send_signal(SIGKILL);
	return 0;
}

SEC("fentry/__x64_sys_personality")
int personality_64(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];

	return change_personality(regs->di);
}

SEC("fentry/__ia32_sys_personality")
int personality_32(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];

	return change_personality(regs->bx);
}

/* enum kernel_read_file_id and enum kernel_load_data_id have the same numbers. */
#define READING_FIRMWARE 1
#define READING_MODULE 2
#define READING_KEXEC_IMAGE 3
#define READING_KEXEC_INITRAMFS 4

INLINE u32 kind_of_data(u32 id)
{
	if (id == READING_FIRMWARE)
		return KIND_FIRMWARE;
	if (id == READING_MODULE)
		return KIND_MODULE;
	if (id == READING_KEXEC_IMAGE || id == READING_KEXEC_INITRAMFS)
		return KIND_KEXEC;
	return KIND_KERNEL_DATA;
}

SEC("lsm/kernel_read_file")
int read_into_kernel(u64 *ctx)
{
	struct file *file = (void *)ctx[0];
	u32 id = ctx[1];
	u32 kind = kind_of_data(id);
	struct gate_config *set = gate();
	struct inode *inode;

	if (!set)
		return 0;
	if (is_null_argument(&ctx[0]) || !file)
		return deny(set, kind, 0, 0, id);
	inode = file->f_inode;
	if (kind != KIND_KEXEC && is_trusted(set, inode->i_sb->s_dev))
		return 0;
	return deny_inode(set, kind, inode, id);
}

/* From a buffer: nothing says where it came from. */
SEC("lsm/kernel_load_data")
int load_into_kernel(u64 *ctx)
{
	u32 id = ctx[0];
	struct gate_config *set = gate();

	if (!set)
		return 0;
	/* The kernel asks this for each firmware file that the root does not have: may user space hand it over? It may
	 * not, and nobody has tried anything yet. */
	if (id == READING_FIRMWARE)
		return set->mode == MODE_ENFORCE ? -EPERM : 0;
	return deny(set, kind_of_data(id), 0, 0, id);
}

#define LSM_INT_DMVERITY_SIG_VALID 0

/* dm-verity tells whether the root hash of a device is signed by a key of the kernel's. Kernels before 6.16 do not let
 * programs read the third argument; the length says the same. */
SEC("lsm/bdev_setintegrity")
int device_verified(u64 *ctx)
{
	struct block_device *device = (void *)ctx[0];
	u32 what = ctx[1], dev = device->bd_dev, one = 1;

	if (what != LSM_INT_DMVERITY_SIG_VALID)
		return 0;
	if (ctx[3])
		map_update(&trusted, &dev, &one, 0);
	else
		map_delete(&trusted, &dev);
	return 0;
}

SEC("lsm/bdev_free_security")
int device_gone(u64 *ctx)
{
	struct block_device *device = (void *)ctx[0];
	u32 dev = device->bd_dev;

	map_delete(&trusted, &dev);
	return 0;
}
