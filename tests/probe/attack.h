// What the parts of the intruder share (attack*.c).
#ifndef BENNU_ATTACK_H
#define BENNU_ATTACK_H

#include <errno.h>

#define SELF "/proc/self/exe"
#define FIELD "/tmp/field" // a tmpfs of the intruder's own, where files may execute
#define INTERPRETER "/usr/bin/bennu-interpreter" // another file of the root with the same bytes
#define SHELL "/bin/sh"
#define COMPILER "/usr/bin/bennu-compiler" // the same bytes again, with the right to executable memory
#define DISK_BYTES 64
#define GREETING "greet"
#define UNVERIFIED 77
#define FAILED (errno ? errno : EIO)
#define PAGE 4096UL

// What the intruder does when he is started by himself.
#define WHICH "which" // exits with UNVERIFIED when it was executed from the intruder's field
#define INTERPRET "interpret" // reads a file: exits with UNVERIFIED when the intruder wrote it
#define COMPILE "compile" // makes memory executable
#define MAP "map" // maps a file executable

struct attempt {
	const char *name;
	int (*act)(void);
};

#define ATTACK(name, act) { "ATTACK " name, act }
#define CONTROL(name, act) { "CONTROL " name, act }

extern char root_program[256], disk[DISK_BYTES], slot[80], other_slot[80], esp[80];
extern const struct attempt unit_attempts[];
extern const unsigned long unit_count;
extern const struct attempt clock_attempts[];
extern const unsigned long clock_count;

int execute(const char *path);
int copy_self(const char *to);
int copied_to(const char *path);
int script_at(const char *path);
int opens(const char *path, int flags);
// Exit status of a program of the root, or the errno that it could not be started for.
int run(const char *program, const char *first, const char *second);

// attack-exec.c
int exec_tmpfs(void);
int exec_verified(void);
int exec_bind(void);
int exec_memfd(void);
int exec_script(void);
int exec_descriptor(void);
int exec_proc_descriptor(void);
int exec_race_link(void);
int exec_race_rename(void);
int memory_file(void);
int which(void);
// Passes if an unverified file was ever taken while `flip` changes what a name leads to.
int race(void (*flip)(void), const char *program, const char *first, const char *second);

// attack-interpret.c
int interpret_verified(void);
int interpret_data(void);
int interpret_overlay(void);
int interpret_kernel(void);
int interpret_tmpfs(void);
int interpret_dev(void);
int interpret_link(void);
int interpret_bind(void);
int interpret_memfd(void);
int interpret_race(void);
int put(const char *path);
int interpret(const char *path);

// attack-memory.c
int map_tmpfs(void);
int map_verified(void);
int map_write_exec(void);
int map_memfd(void);
int map_anonymous(void);
int protect_anonymous(void);
int protect_plain(void);
int protect_changed(void);
int compile_with_right(void);
int map_with_right(void);
int shared_memory(void);
int read_implies_exec(void);
int map(const char *path, int flags, int protection);
int compile(void);

// attack-process.c
int trace_agent(void);
int trace_init(void);
int trace_me(void);
int trace_child(void);
int write_agent(void);
int take_descriptor(void);
int memory_of_self(void);
int program_by_file(void);
int program_by_map(void);
int memory_of_init(void);
int kill_agent(void);
int stop_agent(void);
int continue_agent(void);
int flood(void);
int storm(void);

// attack-kernel.c
int core_pattern(void);
int modprobe(void);
int poweroff_command(void);
int tracing_off(void);
int load_module(void);
int load_module_bytes(void);
int load_kernel(void);
int load_kernel_old(void);

// attack-gate.c
int unmount_pins(void);
int unmount_root(void);
int unmount_pins_elsewhere(void);
int mount_over_pins(void);
int unlink_pin(void);
int rename_pin(void);
int maps_by_id(void);
int programs_by_id(void);
int links_by_id(void);
int pinned_map(void);
int detach_link(void);
int load_probe(void);
int load_filter(void);

// attack-device.c
int write_disk(void);
int write_slot(void);
int write_other_slot(void);
int write_esp(void);
int read_disk(void);
int write_own_node(void);
int swap(void);
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
int hide(const char *what);
int mount_over_usr(void);
int bind_private_over_usr(void);
int bind_shared_over_usr(void);
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
