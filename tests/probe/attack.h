// What the parts of the intruder share (attack*.c).
#ifndef BENNU_ATTACK_H
#define BENNU_ATTACK_H

#include <errno.h>

#define FIELD "/tmp/field" // a tmpfs of the intruder's own, where files may execute
#define INTERPRETER "/usr/bin/bennu-interpreter" // another file of the root with the same bytes
#define SHELL "/bin/sh"
#define COMPILER "/usr/bin/bennu-compiler" // the same bytes again, with the right to executable memory
#define DISK_BYTES 64
#define GREETING "greet"
#define UNVERIFIED 77
#define FAILED (errno ? errno : EIO)

struct attempt {
	const char *name;
	int (*act)(void);
};

#define ATTACK(name, act) { "ATTACK " name, act }
#define CONTROL(name, act) { "CONTROL " name, act }

extern char root_program[256], disk[DISK_BYTES];
extern const struct attempt unit_attempts[];
extern const unsigned long unit_count;
extern const struct attempt clock_attempts[];
extern const unsigned long clock_count;

int execute(const char *path);
int copy_self(const char *to);
int copied_to(const char *path);
int script_at(const char *path);
int put(const char *path);
int opens(const char *path, int flags);
int hide(const char *what);
// Exit status of a program of the root, or the errno that it could not be started for.
int run(const char *program, const char *first, const char *second);

// attack-device.c
int ring_open(void);
int ring_command(void);
int passthrough(void);
int passthrough_mmc(void);
int passthrough_ata(void);
int passthrough_nvme(void);
int partitions(void);
int dm_version(void);
int dm_create(void);
int dm_create_32(void);
int dm_suspend(void);
int dm_load(void);
int dm_remove(void);
int read_implies_exec_32(void);

// attack-mount.c
int mount_over_usr(void);
int mount_over_deep(void);
int mount_over_program(void);
int mount_over_tmp(void);
int overlay_over_usr(void);
int move_over_usr(void);
int mount_in_own_namespace(void);
int mount_from_shared_namespace(void);
int exec_dev(void);
int exec_shm(void);
int exec_tmp(void);
int exec_var(void);
int exec_etc(void);
int exec_overlay(void);
int exec_overlay_changed(void);
int pivot_over_root(void);
int pivot_in_own_namespace(void);

// attack-debian.c
int interpret_shell(void);
int preload(void);
int exec_loader(void);
int firmware(void);
int binfmt_misc(void);

// Makes the cgroups and the servers; `profiled` says whether the units with profiles are used.
int prepare_units(int profiled);
void end_units(void);
// The story of containment, once, in this process.
int contain(const char *disk, void (*say)(const char *name, int result));

#endif
