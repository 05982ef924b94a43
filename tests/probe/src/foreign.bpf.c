/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * Somebody else's gate: what systemd's RestrictFileSystemAccess= decides (systemd.exec(5), systemd 261), in five programs
 * that have the names of systemd's. Files of one device execute, nothing else does; nobody but their owner opens the programs
 * or traces process 1. Loaded by the probe, which is process 1, before Bennu's gate stands.
 */
#include "../../../ebpf/src/bpf/kernel.h"

#define EPERM 1
#define PROT_EXEC 4
#define PTRACE_MODE_ATTACH 2

/* Set before it is loaded: device of the root, major << 20 | minor. */
const volatile u32 root_dev;

/* Ids of the programs that are guarded. */
struct {
	uint(type, BPF_MAP_TYPE_HASH);
	uint(max_entries, 16);
	type(key, u32);
	type(value, u32);
} guarded SEC(".maps");

INLINE int is_first(void)
{
	return current_pid_tgid() >> 32 == 1;
}

SEC("lsm/bprm_check_security")
int restrict_fsaccess_bprm_check(u64 *ctx)
{
	struct linux_binprm *bprm = (void *)ctx[0];

	return bprm->file->f_inode->i_sb->s_dev == root_dev ? 0 : -EPERM;
}

SEC("lsm/mmap_file")
int restrict_fsaccess_mmap_file(u64 *ctx)
{
	struct file *file = (void *)ctx[0];
	u64 value = 0;

	if (!(ctx[2] & PROT_EXEC))
		return 0;
	/* See is_null_argument() in ebpf/src/bpf/gate.h. */
	read_kernel(&value, sizeof(value), &ctx[0]);
	if (!value || !file)
		return -EPERM;
	return file->f_inode->i_sb->s_dev == root_dev ? 0 : -EPERM;
}

SEC("lsm/ptrace_access_check")
int restrict_fsaccess_ptrace_guard(u64 *ctx)
{
	struct task_struct *child = (void *)ctx[0];

	return child->tgid == 1 && ctx[1] & PTRACE_MODE_ATTACH && !is_first() ? -EPERM : 0;
}

SEC("lsm/bpf_prog")
int restrict_fsaccess_bpf_prog_guard(u64 *ctx)
{
	struct bpf_prog *program = (void *)ctx[0];
	u32 id = program->aux->id;

	return !is_first() && map_lookup(&guarded, &id) ? -EPERM : 0;
}

/* RestrictFileSystems=, for a machine where no unit asks for it; not guarded. */
SEC("lsm/file_open")
int restrict_filesystems(u64 *ctx)
{
	(void)ctx;
	return 0;
}

char licence[] SEC("license") = "Dual MIT/GPL";
