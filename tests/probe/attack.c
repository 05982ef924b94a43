// The intruder of the gate's stories: a process of root's that tries what the execution gate must deny.
//
// Prints one line an attempt: `ATTACK <name> <result>`, where the result is `passed`, the name of an errno, or of the
// signal that ended it; and `CONTROL <name> <result>` for what must keep working. It does no harm where it is let: it
// opens devices and writes nothing, and takes back what it mounts and makes. Linked statically, since small roots have
// no libraries. In C because half of it is raw system calls. The product knows nothing of it.
#define _GNU_SOURCE
#include "attack.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char root_program[256];
char disk[DISK_BYTES];
char slot[80], other_slot[80], esp[80];

int copy_self(const char *to)
{
	char buffer[1 << 16];
	ssize_t length;
	int in = open(SELF, O_RDONLY), out;

	// A race leaves a link there.
	unlink(to);
	out = open(to, O_CREAT | O_TRUNC | O_WRONLY, 0755);
	if (in < 0 || out < 0)
		return FAILED;
	while ((length = read(in, buffer, sizeof buffer)) > 0)
		if (write(out, buffer, length) != length)
			return FAILED;
	close(in);
	close(out);
	return 0;
}

int execute(const char *path)
{
	execl(path, path, GREETING, (char *)0);
	return FAILED;
}

int copied_to(const char *path)
{
	int error = copy_self(path);

	return error ? error : execute(path);
}

int run(const char *program, const char *first, const char *second)
{
	int status;
	pid_t child = fork();

	if (!child) {
		execl(program, program, first, second, (char *)0);
		_exit(errno);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

int opens(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0)
		return FAILED;
	close(fd);
	return 0;
}


// Without a gate each passes, or fails for a reason of its own that is not EPERM.
static const struct attempt common[] = {
	CONTROL("exec-verified", exec_verified), CONTROL("map-verified", map_verified),
	CONTROL("protect-plain", protect_plain), CONTROL("dm-version", dm_version),
	CONTROL("read-disk", read_disk), CONTROL("write-esp", write_esp),
	CONTROL("mount-over-tmp", mount_over_tmp), CONTROL("mount-in-own-namespace", mount_in_own_namespace),
	CONTROL("pivot-in-own-namespace", pivot_in_own_namespace), CONTROL("compile-with-right", compile_with_right),
	CONTROL("load-filter", load_filter), CONTROL("interpret-verified", interpret_verified),
	CONTROL("interpret-data", interpret_data), CONTROL("interpret-overlay", interpret_overlay), CONTROL("interpret-kernel", interpret_kernel),
	ATTACK("exec-descriptor", exec_descriptor), ATTACK("exec-proc-descriptor", exec_proc_descriptor),
	ATTACK("exec-race-link", exec_race_link), ATTACK("exec-race-rename", exec_race_rename),
	ATTACK("interpret-tmpfs", interpret_tmpfs), ATTACK("interpret-dev", interpret_dev),
	ATTACK("interpret-link", interpret_link), ATTACK("interpret-bind", interpret_bind),
	ATTACK("interpret-memfd", interpret_memfd), ATTACK("interpret-race", interpret_race),
	ATTACK("poweroff-command", poweroff_command), ATTACK("tracing-off", tracing_off),
	ATTACK("program-by-file", program_by_file), ATTACK("program-by-map", program_by_map), ATTACK("dm-suspend", dm_suspend), ATTACK("dm-load", dm_load),
	ATTACK("dm-remove", dm_remove), ATTACK("mount-over-program", mount_over_program),
	ATTACK("overlay-over-usr", overlay_over_usr),
	ATTACK("exec-tmpfs", exec_tmpfs), ATTACK("exec-dev", exec_dev), ATTACK("exec-shm", exec_shm),
	ATTACK("exec-tmp", exec_tmp), ATTACK("exec-var", exec_var), ATTACK("exec-bind", exec_bind),
	ATTACK("exec-memfd", exec_memfd), ATTACK("exec-script", exec_script),
	ATTACK("exec-etc", exec_etc), ATTACK("exec-overlay", exec_overlay),
	ATTACK("exec-overlay-changed", exec_overlay_changed), ATTACK("map-with-right", map_with_right),
	ATTACK("map-tmpfs", map_tmpfs), ATTACK("map-memfd", map_memfd), ATTACK("map-anonymous", map_anonymous),
	ATTACK("map-write-exec", map_write_exec), ATTACK("protect-anonymous", protect_anonymous),
	ATTACK("protect-changed", protect_changed), ATTACK("shared-memory", shared_memory),
	ATTACK("read-implies-exec", read_implies_exec), ATTACK("read-implies-exec-32", read_implies_exec_32),
	ATTACK("trace-child", trace_child), ATTACK("trace-me", trace_me),
	ATTACK("memory-of-self", memory_of_self), ATTACK("memory-of-init", memory_of_init),
	ATTACK("core-pattern", core_pattern), ATTACK("modprobe", modprobe),
	ATTACK("write-disk", write_disk), ATTACK("write-slot", write_slot), ATTACK("write-other-slot", write_other_slot),
	ATTACK("write-own-node", write_own_node), ATTACK("ring-open", ring_open), ATTACK("swap", swap),
	ATTACK("ring-command", ring_command), ATTACK("passthrough", passthrough),
	ATTACK("passthrough-mmc", passthrough_mmc), ATTACK("passthrough-ata", passthrough_ata),
	ATTACK("passthrough-nvme", passthrough_nvme), ATTACK("partitions", partitions),
	ATTACK("dm-create", dm_create), ATTACK("dm-create-32", dm_create_32),
	ATTACK("load-module", load_module), ATTACK("load-module-bytes", load_module_bytes),
	ATTACK("load-kernel", load_kernel), ATTACK("load-kernel-old", load_kernel_old),
	ATTACK("bind-private-over-usr", bind_private_over_usr), ATTACK("bind-shared-over-usr", bind_shared_over_usr),
	ATTACK("mount-over-usr", mount_over_usr), ATTACK("mount-over-deep", mount_over_deep),
	ATTACK("move-over-usr", move_over_usr), ATTACK("mount-from-shared-namespace", mount_from_shared_namespace),
	ATTACK("load-probe", load_probe),
	// Last: in its moment nothing has its root.
	ATTACK("pivot-over-root", pivot_over_root),
};

// What a small root has no programs for.
static const struct attempt debian[] = {
	ATTACK("exec-loader", exec_loader), ATTACK("preload", preload), ATTACK("interpret-shell", interpret_shell),
	ATTACK("firmware", firmware), ATTACK("binfmt-misc", binfmt_misc),
};

// On the gate itself and on bennud: only once they are there.
static const struct attempt gate[] = {
	ATTACK("trace-agent", trace_agent), ATTACK("trace-init", trace_init), ATTACK("write-agent", write_agent),
	ATTACK("take-descriptor", take_descriptor),
	ATTACK("maps-by-id", maps_by_id), ATTACK("programs-by-id", programs_by_id), ATTACK("links-by-id", links_by_id),
	ATTACK("pinned-map", pinned_map), ATTACK("detach-link", detach_link),
	ATTACK("unlink-pin", unlink_pin), ATTACK("rename-pin", rename_pin), ATTACK("mount-over-pins", mount_over_pins),
	ATTACK("unmount-pins", unmount_pins), ATTACK("unmount-pins-elsewhere", unmount_pins_elsewhere),
	ATTACK("unmount-root", unmount_root),
	CONTROL("kill-agent", kill_agent),
	ATTACK("exec-tmpfs-after-kill", exec_tmpfs), ATTACK("map-anonymous-after-kill", map_anonymous),
	CONTROL("exec-verified-after-kill", exec_verified),
};


static const struct attempt storming[] = {
	CONTROL("stop-agent", stop_agent), CONTROL("storm", storm), ATTACK("write-disk", write_disk),
	ATTACK("exec-tmpfs", exec_shm), CONTROL("continue-agent", continue_agent),
};

static const struct attempt flooding[] = {
	CONTROL("stop-agent", stop_agent), CONTROL("flood", flood), ATTACK("exec-tmpfs", exec_tmpfs),
	CONTROL("continue-agent", continue_agent),
};

/* A gate in dry run lets it pass. */
static const struct attempt unpinning[] = { ATTACK("unlink-pin", unlink_pin) };

#define MODE(name, list) { name, list, sizeof list / sizeof *list }
static const struct mode {
	const char *name;
	const struct attempt *list;
	size_t length;
} modes[] = {
	MODE("common", common), MODE("gate", gate), MODE("debian", debian), MODE("flood", flooding), MODE("storm", storming),
	MODE("unpin", unpinning),
};

static void say(const char *name, const char *result) { printf("%s %s\r\n", name, result); }

static void say_result(const char *name, int result)
{
	say(name, result == EOWNERDEAD ? "KILL" : result ? strerrorname_np(result) : "passed");
	fflush(stdout);
}

static void attempt(const struct attempt *what)
{
	int status;
	pid_t child = fork();

	if (!child) {
		errno = 0;
		_exit(what->act());
	}
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		say(what->name, sigabbrev_np(WTERMSIG(status)));
	else
		say(what->name, WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "passed");
	fflush(stdout);
	// bennud tells a limited number of lines in one moment.
	usleep(100000);
}

/* What the intruder does when he is started by himself, or as the interpreter of a script; whether he is. */
static int as_program(int count, char **arguments, int *result)
{
	if (count < 2)
		return 0;
	if (!strcmp(arguments[1], GREETING))
		*result = 0;
	else if (!strcmp(arguments[1], WHICH))
		*result = which();
	else if (count == 2 && !strcmp(arguments[1], COMPILE))
		*result = compile();
	else if (count == 3 && !strcmp(arguments[1], MAP))
		*result = map(arguments[2], O_RDONLY, PROT_READ | PROT_EXEC);
	else if (count == 3 && !strcmp(arguments[1], INTERPRET))
		*result = interpret(arguments[2]);
	else
		return 0;
	return 1;
}

int main(int count, char **arguments)
{
	const struct attempt *list = common;
	size_t length = sizeof common / sizeof *common;
	int units, result;

	if (as_program(count, arguments, &result))
		return result;
	if (count != 3) {
		fprintf(stderr, "usage: bennu-attack common|gate|debian|free|unit|clock|flood|storm|unpin|contain DISK\n");
		return 2;
	}
	if (!strcmp(arguments[1], "contain")) {
		if (readlink(SELF, root_program, sizeof root_program - 1) < 0)
			return 2;
		setvbuf(stdout, 0, _IOLBF, 0);
		contain(arguments[2], say_result);
		printf("ATTACKS END\r\n");
		return 0;
	}
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (!strcmp(arguments[1], modes[i].name)) {
			list = modes[i].list;
			length = modes[i].length;
		}
	units = !strcmp(arguments[1], "unit") || !strcmp(arguments[1], "free");
	if (units) {
		list = unit_attempts;
		length = unit_count;
	}
	if (!strcmp(arguments[1], "clock")) {
		units = 1;
		list = clock_attempts;
		length = clock_count;
	}
	snprintf(disk, sizeof disk, "%s", arguments[2]);
	snprintf(esp, sizeof esp, "%s1", disk);
	snprintf(slot, sizeof slot, "%s2", disk);
	snprintf(other_slot, sizeof other_slot, "%s5", disk);
	if (readlink(SELF, root_program, sizeof root_program - 1) < 0)
		return 2;
	mkdir(FIELD, 0755);
	mkdir("/dev/shm", 0755);
	if (mount("field", FIELD, "tmpfs", 0, ""))
		return 2;
	if (units && prepare_units(strcmp(arguments[1], "free")))
		return 2;
	for (size_t i = 0; i < length; i++)
		attempt(&list[i]);
	if (units)
		end_units();
	umount2(FIELD, MNT_DETACH);
	printf("ATTACKS END\r\n");
	return 0;
}
