// The intruder at mounts: over verified files, in place of the root, and what he executes on mounts of his own.
#define _GNU_SOURCE
#include "attack.h"
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int hide(const char *what)
{
	if (mount(FIELD, what, 0, MS_BIND, 0))
		return FAILED;
	umount2(what, MNT_DETACH);
	return 0;
}

int mount_over_usr(void) { return hide("/usr"); }
/* The kernel takes it for a bind, whatever else the flags ask for. */
static int bind_with(unsigned long flags)
{
	if (mount(FIELD, "/usr", 0, MS_BIND | flags, 0))
		return FAILED;
	umount2("/usr", MNT_DETACH);
	return 0;
}

int bind_private_over_usr(void) { return bind_with(MS_PRIVATE); }
int bind_shared_over_usr(void) { return bind_with(MS_SHARED); }
int mount_over_deep(void) { return hide("/usr/lib"); }
int mount_over_program(void)
{
	int error = copy_self(FIELD "/copy");

	if (error || mount(FIELD "/copy", root_program, 0, MS_BIND, 0))
		return FAILED;
	umount2(root_program, MNT_DETACH);
	return 0;
}

int overlay_over_usr(void)
{
	mkdir(FIELD "/upper", 0755);
	mkdir(FIELD "/work", 0755);
	if (mount("x", "/usr", "overlay", 0, "lowerdir=/usr,upperdir=" FIELD "/upper,workdir=" FIELD "/work"))
		return FAILED;
	umount2("/usr", MNT_DETACH);
	return 0;
}

int mount_over_tmp(void) { return hide("/tmp"); }

int move_over_usr(void)
{
	int context = syscall(SYS_fsopen, "tmpfs", 0), made;

	syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
	made = syscall(SYS_fsmount, context, 0, 0);
	if (syscall(SYS_move_mount, made, "", AT_FDCWD, "/usr/lib", MOVE_MOUNT_F_EMPTY_PATH))
		return FAILED;
	umount2("/usr/lib", MNT_DETACH);
	return 0;
}

int mount_in_own_namespace(void)
{
	if (unshare(CLONE_NEWNS) || mount(0, "/", 0, MS_REC | MS_PRIVATE, 0))
		return FAILED;
	return hide("/usr/lib");
}

/* In a namespace whose mounts spread to the others. */
int mount_from_shared_namespace(void)
{
	if (mount(0, "/", 0, MS_REC | MS_SHARED, 0) || unshare(CLONE_NEWNS))
		return FAILED;
	return hide("/usr/lib");
}

/* A mount of the intruder's own where what lies in `folder` may execute, whatever its own mount says: so it is the gate that
 * decides. Private, since mounts are shared by now: the next folder comes to stand over this one, and not over its source.
 * Gone with FIELD. */
static int let_execute(const char *folder)
{
	mkdir(FIELD "/seen", 0755);
	if (mount(folder, FIELD "/seen", 0, MS_BIND, 0) || mount(0, FIELD "/seen", 0, MS_PRIVATE, 0))
		return FAILED;
	return mount(0, FIELD "/seen", 0, MS_REMOUNT | MS_BIND, 0) ? FAILED : 0;
}

static int copied_in(const char *folder) { return let_execute(folder) ?: copied_to(FIELD "/seen/copy"); }

/* A few bytes, where there is no room for more. */
static int script_in(const char *folder) { return let_execute(folder) ?: script_at(FIELD "/seen/script"); }

int exec_dev(void) { return copied_in("/dev"); }
int exec_shm(void) { return copied_in("/dev/shm"); }
int exec_tmp(void) { return copied_in("/tmp"); }
int exec_var(void) { return script_in("/var"); }
int exec_etc(void) { return script_in("/etc"); }

/* The verified programs seen through an overlay of the intruder's own. */
static int overlay(const char *name, char *program, size_t length)
{
	char base[100], path[120], options[400];

	if (strncmp(root_program, "/usr/", 5))
		return ENOENT;
	snprintf(base, sizeof base, FIELD "/%s", name);
	mkdir(base, 0755);
	for (const char *const *part = (const char *const[]){ "upper", "work", "merged", 0 }; *part; part++) {
		snprintf(path, sizeof path, "%s/%s", base, *part);
		mkdir(path, 0755);
	}
	snprintf(options, sizeof options, "lowerdir=/usr,upperdir=%s/upper,workdir=%s/work", base, base);
	if (mount("x", path, "overlay", 0, options))
		return FAILED;
	snprintf(program, length, "%s/%s", path, root_program + strlen("/usr/"));
	return 0;
}

int exec_overlay(void)
{
	char program[512];

	return overlay("plain", program, sizeof program) ?: execute(program);
}

/* With a byte more, so that it is a file of the upper directory. */
int exec_overlay_changed(void)
{
	char program[512];
	int error = overlay("changed", program, sizeof program), fd;

	if (error)
		return error;
	fd = open(program, O_WRONLY | O_APPEND);
	if (fd < 0 || write(fd, "", 1) != 1)
		return FAILED;
	close(fd);
	return execute(program);
}

/* No place to go to, and refused for that: a root that moved away and back is not the one of before. The kernel asks its
 * security modules first. */
int pivot_over_root(void)
{
	return syscall(SYS_pivot_root, "/usr", "/usr") ? FAILED : 0;
}

/* As services and containers do. */
int pivot_in_own_namespace(void)
{
	mkdir(FIELD "/root", 0755);
	if (unshare(CLONE_NEWNS) || mount(0, "/", 0, MS_REC | MS_PRIVATE, 0))
		return FAILED;
	if (mount("root", FIELD "/root", "tmpfs", 0, "") || mkdir(FIELD "/root/old", 0755))
		return FAILED;
	return syscall(SYS_pivot_root, FIELD "/root", FIELD "/root/old") ? FAILED : 0;
}
