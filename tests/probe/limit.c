// Programs of two instructions at the hooks that fork+exec, open and connect go through when the gate stands.
//
// By bpf(2) and the kernel's type information (BTF, Documentation/bpf/btf.rst), without a library: small roots have none.
#define _GNU_SOURCE
#include "measure.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KERNEL_TYPES "/sys/kernel/btf/vmlinux"
#define MOST_BYTES (32u << 20)

// With the mode `enforce`, without profiles and trace.
static const char *const hooks[] = {
	"bpf_lsm_bprm_check_security",
	"bpf_lsm_mmap_file",
	"bpf_lsm_file_mprotect",
	"bpf_lsm_file_open",
	"bpf_lsm_file_ioctl",
	0,
};

// What profiles add.
static const char *const socket_hooks[] = {
	"bpf_lsm_socket_create",
	"bpf_lsm_socket_connect",
	"bpf_lsm_unix_stream_connect",
	0,
};

static char *types;
static size_t types_bytes;

static int read_types(void)
{
	int fd = open(KERNEL_TYPES, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	types = malloc(MOST_BYTES);
	if (fd < 0 || !types)
		return -1;
	while ((length = read(fd, types + types_bytes, MOST_BYTES - types_bytes)) > 0)
		types_bytes += length;
	close(fd);
	return length < 0 ? -1 : 0;
}

// Bytes behind a type's head.
static size_t rest_of(const struct btf_type *type)
{
	size_t members = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_DATASEC:
	case BTF_KIND_ENUM64:
		return members * 12;
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO:
		return members * 8;
	default:
		return 0;
	}
}

// Number of the kernel's function, 0 if it has none of that name.
static unsigned int function(const char *name)
{
	const struct btf_header *head = (const void *)types;
	const char *at = types + head->hdr_len + head->type_off, *end = at + head->type_len;
	const char *names = types + head->hdr_len + head->str_off;

	for (unsigned int id = 1; at < end; id++) {
		const struct btf_type *type = (const void *)at;

		if (BTF_INFO_KIND(type->info) == BTF_KIND_FUNC && !strcmp(names + type->name_off, name))
			return id;
		at += sizeof *type + rest_of(type);
	}
	return 0;
}

static int attach(const char *hook)
{
	struct bpf_insn allow[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_LSM,
		.expected_attach_type = BPF_LSM_MAC,
		.insns = (unsigned long)allow,
		.insn_cnt = 2,
		.license = (unsigned long)"GPL",
		.attach_btf_id = function(hook),
	};
	union bpf_attr attach = { 0 };
	int program;

	if (!load.attach_btf_id) {
		errno = ENOENT;
		return -1;
	}
	program = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
	if (program < 0)
		return -1;
	attach.raw_tracepoint.prog_fd = program;
	return syscall(SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &attach, sizeof attach);
}

static int attach_all(const char *const *hook)
{
	for (; *hook; hook++)
		if (attach(*hook) < 0)
			return -1;
	return 0;
}

int attach_nothing(int with_profiles)
{
	if (read_types() || types_bytes < sizeof(struct btf_header))
		return -1;
	if (attach_all(hooks) || (with_profiles && attach_all(socket_hooks)))
		return -1;
	free(types);
	return 0;
}
