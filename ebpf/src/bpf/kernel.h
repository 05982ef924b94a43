/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * The members of kernel structures that the gate reads, and the helpers that it calls. Only names and types count:
 * where a member lies is read from the running kernel's BTF when the programs are loaded (CO-RE).
 */
#ifndef BENNU_KERNEL_H
#define BENNU_KERNEL_H

#include "intf.h"

#define SEC(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline))
#define uint(name, value) int (*name)[value]
#define type(name, value) value *name

/* Only its name and kind count: a relocation compares them with the kernel's. */
enum bpf_prog_type { BPF_PROG_TYPE_UNSPEC };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
};

struct inode {
	u16 i_mode;
	u32 i_rdev;
	unsigned long i_ino;
	struct super_block *i_sb;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};

struct vfsmount {
	struct super_block *mnt_sb;
	int mnt_flags;
};

struct mnt_namespace;

struct mount {
	struct mount *mnt_parent;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	u32 f_mode;
	struct inode *f_inode;
	struct path f_path;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct mm_struct {
	struct file *exe_file;
};

struct kernfs_node {
	const char *name;
	u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

typedef struct {
	u32 val;
} kuid_t;

typedef struct {
	u64 val;
} kernel_cap_t;

struct cred {
	kuid_t euid;
	kernel_cap_t cap_effective;
};

struct task_struct {
	int tgid;
	unsigned int personality;
	char comm[16];
	struct mm_struct *mm;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	struct task_struct *real_parent;
	const struct cred *cred;
};

struct linux_binprm {
	struct file *file;
	struct cred *cred;
	const char *filename;
};

struct kernel_clone_args {
	u64 flags;
};

struct sock_common {
	u16 skc_family;
};

struct sock {
	struct sock_common __sk_common;
	u16 sk_protocol;
};

struct socket {
	short type;
	struct sock *sk;
};

struct msghdr {
	void *msg_name;
};

/* Its last member, the address, stands behind `len`. */
struct unix_address {
	int len;
};

struct unix_sock {
	struct unix_address *addr;
};

struct anon_vma;

struct vm_area_struct {
	struct anon_vma *anon_vma;
	struct file *vm_file;
};

struct block_device {
	u32 bd_dev;
};

struct bpf_map {
	u32 id;
};

struct bpf_prog_aux {
	u32 id;
};

struct bpf_prog {
	enum bpf_prog_type type;
	struct bpf_prog_aux *aux;
};

struct io_uring_cmd {
	struct file *file;
};

struct pt_regs {
	unsigned long bx;
	unsigned long di;
};

#pragma clang attribute pop

/* linux/bpf.h, enum bpf_func_id */
static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*map_delete)(void *map, const void *key) = (void *)3;
static u32 (*current_cpu)(void) = (void *)8;
static u64 (*current_pid_tgid)(void) = (void *)14;
static u64 (*current_uid_gid)(void) = (void *)15;
static long (*current_comm)(void *out, u32 bytes) = (void *)16;
static u64 (*socket_cookie)(void *socket) = (void *)46;
static u64 (*current_cgroup)(void) = (void *)80;
static long (*send_signal)(u32 signal) = (void *)109;
static long (*read_kernel)(void *out, u32 bytes, const void *from) = (void *)113;
static long (*read_kernel_text)(void *out, u32 bytes, const void *from) = (void *)115;
static u64 (*boot_time_ns)(void) = (void *)125;
static void *(*ring_reserve)(void *ring, u64 bytes, u64 flags) = (void *)131;
static u64 (*ring_query)(void *ring, u64 flags) = (void *)134;
static void (*ring_submit)(void *record, u64 flags) = (void *)132;
static struct task_struct *(*current_task)(void) = (void *)158;

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_RINGBUF 27

#define EPERM 1
#define EINVAL 22
#define SIGKILL 9

#define PROT_WRITE 2
#define PROT_EXEC 4
#define READ_IMPLIES_EXEC 0x0400000
#define FMODE_READ 1
#define FMODE_WRITE 2
#define PTRACE_MODE_ATTACH 2
#define PTRACE_MODE_READ 1

#define S_IFMT 0170000
#define S_IFCHR 0020000
#define S_IFBLK 0060000
#define S_IFREG 0100000
#define MKDEV(major, minor) ((major) << 20 | (minor))

#define PROC_SUPER_MAGIC 0x9fa0
#define BINFMTFS_MAGIC 0x42494e4d
#define CGROUP2_SUPER_MAGIC 0x63677270
#define SYSFS_MAGIC 0x62656572

#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_PROPAGATION (1 << 17 | 1 << 18 | 1 << 19 | 1 << 20)
#define MNT_SHARED 0x1000
#define MNT_INTERNAL 0x4000

#endif
