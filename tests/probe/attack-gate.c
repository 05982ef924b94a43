// The intruder at the gate itself: its pins, and its programs, maps and links by their ids.
#define _GNU_SOURCE
#include "attack.h"
#include <dirent.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PINS "/usr/lib/bennu/gate"

int unmount_pins(void) { return umount2(PINS, MNT_DETACH) ? FAILED : 0; }
int unmount_root(void) { return umount2("/", MNT_DETACH) ? FAILED : 0; }

int unmount_pins_elsewhere(void)
{
	if (unshare(CLONE_NEWNS))
		return FAILED;
	return unmount_pins();
}

int mount_over_pins(void) { return hide(PINS); }
int unlink_pin(void) { return unlink(PINS "/execute") ? FAILED : 0; }
int rename_pin(void) { return rename(PINS "/execute", PINS "/gone") ? FAILED : 0; }

static int bpf(int command, union bpf_attr *attributes) { return syscall(SYS_bpf, command, attributes, sizeof *attributes); }

/* As many as ebpf/src/lib.rs names. */
#define OUR_MAPS 22

/* Links that are pinned; each has a program of its own. */
static int our_links(void)
{
	DIR *pins = opendir(PINS);
	int found = 0;

	while (pins && readdir(pins))
		found++;
	return found - 2 - OUR_MAPS;
}

/* Opens each object by its id. There may be others, of systemd's: passes if fewer are refused than the gate has. */
static int open_by_id(int next, int open_one, int ours)
{
	union bpf_attr attributes = { 0 };
	int refused = 0;

	while (!bpf(next, &attributes)) {
		union bpf_attr one = { .map_id = attributes.next_id };
		int fd = bpf(open_one, &one);

		if (fd >= 0)
			close(fd);
		else
			refused += errno == EPERM;
		attributes.start_id = attributes.next_id;
	}
	return ours > 0 && refused >= ours ? EPERM : 0;
}

int maps_by_id(void) { return open_by_id(BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID, OUR_MAPS); }
int programs_by_id(void) { return open_by_id(BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, our_links()); }
int links_by_id(void) { return open_by_id(BPF_LINK_GET_NEXT_ID, BPF_LINK_GET_FD_BY_ID, our_links()); }

static int pinned(const char *path)
{
	union bpf_attr attributes = { .pathname = (unsigned long)path };

	return bpf(BPF_OBJ_GET, &attributes);
}

int pinned_map(void) { return pinned(PINS "/config") < 0 ? FAILED : 0; }

int detach_link(void)
{
	union bpf_attr attributes = { .link_detach.link_fd = pinned(PINS "/execute") };

	return bpf(BPF_LINK_DETACH, &attributes) ? FAILED : 0;
}

static int load_program(int type)
{
	struct bpf_insn nothing[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
				      { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr attributes = { .prog_type = type, .insns = (unsigned long)nothing, .insn_cnt = 2,
				      .license = (unsigned long)"GPL" };

	return bpf(BPF_PROG_LOAD, &attributes) < 0 ? FAILED : 0;
}

int load_probe(void) { return load_program(BPF_PROG_TYPE_KPROBE); }
int load_filter(void) { return load_program(BPF_PROG_TYPE_SOCKET_FILTER); }
