// The intruder of the gate's stories: a process of root's that tries what the execution gate must deny.
//
// Prints one line an attempt: `ATTACK <name> <result>`, where the result is `passed`, the name of an errno, or of the
// signal that ended it; and `CONTROL <name> <result>` for what must keep working. It does no harm where it is let: it
// opens devices and writes nothing, and takes back what it mounts and makes. Linked statically, since small roots have
// no libraries. In C because half of it is raw system calls. The product knows nothing of it.
#define _GNU_SOURCE
#include "attack.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SELF "/proc/self/exe"
#define PINS "/usr/lib/bennu/gate"
#define PAGE 4096UL
#define WHICH "which" // exits with UNVERIFIED when it was executed from the intruder's field
#define INTERPRET "interpret" // reads a file: exits with UNVERIFIED when the intruder wrote it
#define COMPILE "compile" // makes memory executable
#define MAP "map" // maps a file executable
#define BAD "bad"
#define ROUNDS 40

char root_program[256];
char disk[DISK_BYTES];
static char slot[80], other_slot[80], esp[80];

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

static int exec_tmpfs(void) { return copied_to(FIELD "/copy"); }
static int exec_verified(void) { return execute(root_program); }

static int exec_bind(void)
{
	int error = copy_self(FIELD "/copy");

	mkdir(FIELD "/bound", 0755);
	if (error || mount(FIELD, FIELD "/bound", 0, MS_BIND, 0))
		return FAILED;
	return execute(FIELD "/bound/copy");
}

static int memory_file(void)
{
	int fd = memfd_create("x", 0), in = open(SELF, O_RDONLY);
	char buffer[1 << 16];
	ssize_t length;

	while ((length = read(in, buffer, sizeof buffer)) > 0)
		if (write(fd, buffer, length) != length)
			return -1;
	close(in);
	return fd;
}

static int exec_memfd(void)
{
	char *arguments[] = { "x", GREETING, 0 };

	syscall(SYS_execveat, memory_file(), "", arguments, environ, AT_EMPTY_PATH);
	return FAILED;
}

int script_at(const char *path)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0755), length;

	if (fd < 0)
		return FAILED;
	length = dprintf(fd, "#!%s %s\n", root_program, GREETING);
	close(fd);
	return length <= 0 ? FAILED : execute(path);
}

static int exec_script(void) { return script_at(FIELD "/script"); }

static int exec_descriptor(void)
{
	char *arguments[] = { "x", GREETING, 0 };
	int error = copy_self(FIELD "/copy");

	fexecve(open(FIELD "/copy", O_RDONLY), arguments, environ);
	return error ? error : FAILED;
}

static int exec_proc_descriptor(void)
{
	char path[64];
	int error = copy_self(FIELD "/copy");

	snprintf(path, sizeof path, "/proc/self/fd/%d", open(FIELD "/copy", O_PATH));
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

static void flip_link(void)
{
	unlink(FIELD "/next");
	symlink(root_program, FIELD "/next");
	rename(FIELD "/next", FIELD "/race");
	symlink(FIELD "/copy", FIELD "/next");
	rename(FIELD "/next", FIELD "/race");
}

static void flip_name(void)
{
	syscall(SYS_renameat2, AT_FDCWD, FIELD "/race", AT_FDCWD, FIELD "/copy", RENAME_EXCHANGE);
}

/* While `flip` makes one name lead to the verified and to an unverified file by turns, it is used again and again. Passes
 * if the unverified one was ever taken. */
static int race(void (*flip)(void), const char *program, const char *first, const char *second)
{
	int unverified = 0, denied = 0;
	pid_t flipper = fork();

	if (!flipper)
		for (;;)
			flip();
	for (int i = 0; i < ROUNDS; i++) {
		int result = run(program, first, second);

		unverified += result == UNVERIFIED;
		denied += result == EPERM;
	}
	kill(flipper, SIGKILL);
	waitpid(flipper, 0, 0);
	return unverified ? 0 : denied ? EPERM : EAGAIN;
}

static int exec_race_link(void)
{
	int error = copy_self(FIELD "/copy") ?: symlink(FIELD "/copy", FIELD "/race") ? FAILED : 0;

	return error ? error : race(flip_link, FIELD "/race", WHICH, 0);
}

static int exec_race_rename(void)
{
	int error = copy_self(FIELD "/copy") ?: (unlink(FIELD "/race"), symlink(root_program, FIELD "/race")) ? FAILED : 0;

	return error ? error : race(flip_name, FIELD "/race", WHICH, 0);
}

int put(const char *path)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0755);
	int written = write(fd, BAD, sizeof BAD) == sizeof BAD;

	close(fd);
	return written ? 0 : FAILED;
}

/* Passes if the interpreter has read what the intruder wrote. */
static int interpreted(const char *path)
{
	int result = run(INTERPRETER, INTERPRET, path);

	return result == UNVERIFIED ? 0 : result ? result : EAGAIN;
}

static int interpret_verified(void) { return run(INTERPRETER, INTERPRET, "/usr/lib/os-release"); }
static int interpret_data(void) { return put("/tmp/data") ?: interpreted("/tmp/data"); }
static int interpret_overlay(void) { return put("/etc/data") ?: interpreted("/etc/data"); }
static int interpret_kernel(void) { return run(INTERPRETER, INTERPRET, "/proc/self/status"); }
static int interpret_tmpfs(void) { return put(FIELD "/script") ?: interpreted(FIELD "/script"); }
static int interpret_dev(void) { return put("/dev/script") ?: interpreted("/dev/script"); }

static int interpret_link(void)
{
	int error = put(FIELD "/script");

	unlink("/tmp/link");
	return error || symlink(FIELD "/script", "/tmp/link") ? FAILED : interpreted("/tmp/link");
}

/* Another file system below the directory that is allowed. */
static int interpret_bind(void)
{
	int error = put(FIELD "/script");

	mkdir("/tmp/bound", 0755);
	if (error || mount(FIELD, "/tmp/bound", 0, MS_BIND, 0))
		return FAILED;
	error = interpreted("/tmp/bound/script");
	umount2("/tmp/bound", MNT_DETACH);
	return error;
}

static int interpret_memfd(void)
{
	char path[64];
	int fd = memfd_create("x", 0);

	if (write(fd, BAD, sizeof BAD) != sizeof BAD)
		return FAILED;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return interpreted(path);
}

static void flip_script(void)
{
	unlink(FIELD "/next");
	symlink("/usr/lib/os-release", FIELD "/next");
	rename(FIELD "/next", FIELD "/text");
	symlink(FIELD "/script", FIELD "/next");
	rename(FIELD "/next", FIELD "/text");
}

static int interpret_race(void)
{
	int error = put(FIELD "/script") ?: symlink(FIELD "/script", FIELD "/text") ? FAILED : 0;

	return error ? error : race(flip_script, INTERPRETER, INTERPRET, FIELD "/text");
}

/* The interpreter's own part. */
static int interpret(const char *path)
{
	char text[sizeof BAD] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return errno;
	return read(fd, text, sizeof text) > 0 && !memcmp(text, BAD, sizeof BAD) ? UNVERIFIED : 0;
}

static int which(void)
{
	char path[256] = "";

	return readlink(SELF, path, sizeof path - 1) > 0 && !strncmp(path, FIELD, strlen(FIELD)) ? UNVERIFIED : 0;
}

static int map(const char *path, int flags, int protection)
{
	int fd = open(path, flags);
	void *page = mmap(0, PAGE, protection, MAP_PRIVATE, fd, 0);

	return page == MAP_FAILED ? FAILED : 0;
}

static int map_tmpfs(void) { return copy_self(FIELD "/copy") ?: map(FIELD "/copy", O_RDONLY, PROT_READ | PROT_EXEC); }
static int map_verified(void) { return map(root_program, O_RDONLY, PROT_READ | PROT_EXEC); }
static int map_write_exec(void) { return map(root_program, O_RDONLY, PROT_READ | PROT_WRITE | PROT_EXEC); }

static int map_memfd(void)
{
	return mmap(0, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, memory_file(), 0) == MAP_FAILED ? FAILED : 0;
}

static int map_anonymous(void)
{
	return mmap(0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? FAILED : 0;
}

static char *scratch(void) { return mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

static int protect_anonymous(void) { return mprotect(scratch(), PAGE, PROT_READ | PROT_EXEC) ? FAILED : 0; }

static int protect_plain(void)
{
	char *page = scratch();

	return mprotect(page, PAGE, PROT_READ) || mprotect(page, PAGE, PROT_READ | PROT_WRITE) ? FAILED : 0;
}

/* Pages of a verified file, changed, and only then made executable. */
static int protect_changed(void)
{
	int fd = open(root_program, O_RDONLY);
	char *page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	page[100] ^= 1;
	return mprotect(page, PAGE, PROT_READ | PROT_EXEC) ? FAILED : 0;
}

/* As a just-in-time compiler does. */
static int compile(void) { return map_anonymous() ?: protect_anonymous(); }

/* With the right to it, which is a right to nothing else. */
static int compile_with_right(void) { return run(COMPILER, COMPILE, 0); }
static int map_with_right(void) { return copy_self(FIELD "/copy") ?: run(COMPILER, MAP, FIELD "/copy"); }

static int shared_memory(void)
{
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0700), error = 0;

	if (shmat(id, 0, SHM_EXEC | SHM_RDONLY) == (void *)-1)
		error = FAILED;
	shmctl(id, IPC_RMID, 0);
	return error;
}

static int read_implies_exec(void) { return personality(READ_IMPLIES_EXEC) < 0 ? FAILED : 0; }

static pid_t agent(void)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;

	while ((entry = readdir(processes))) {
		char path[300], name[32] = "";
		FILE *file;

		snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
		file = fopen(path, "r");
		if (file && fgets(name, sizeof name, file) && !strcmp(name, "bennud\n"))
			return atoi(entry->d_name);
		if (file)
			fclose(file);
	}
	return -1;
}

static int seize(pid_t pid) { return ptrace(PTRACE_SEIZE, pid, 0, 0) ? FAILED : 0; }
static int trace_agent(void) { return seize(agent()); }
static int trace_init(void) { return seize(1); }
static int trace_me(void) { return ptrace(PTRACE_TRACEME, 0, 0, 0) ? FAILED : 0; }

static int trace_child(void)
{
	pid_t child = fork();
	int error;

	if (!child)
		pause();
	error = seize(child);
	kill(child, SIGKILL);
	return error;
}

static int write_agent(void)
{
	char byte = 0;
	struct iovec from = { &byte, 1 }, to = { (void *)0x400000, 1 };

	return process_vm_writev(agent(), &from, 1, &to, 1, 0) == 1 ? 0 : FAILED;
}

static int take_descriptor(void)
{
	int pidfd = syscall(SYS_pidfd_open, agent(), 0);

	return syscall(SYS_pidfd_getfd, pidfd, 0, 0) < 0 ? FAILED : 0;
}

int opens(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0)
		return FAILED;
	close(fd);
	return 0;
}

static int memory_of_self(void) { return opens("/proc/self/mem", O_RDWR); }
static int memory_of_init(void) { return opens("/proc/1/mem", O_RDWR); }
static int core_pattern(void) { return opens("/proc/sys/kernel/core_pattern", O_WRONLY); }
static int modprobe(void) { return opens("/proc/sys/kernel/modprobe", O_WRONLY); }
static int poweroff_command(void) { return opens("/proc/sys/kernel/poweroff_cmd", O_WRONLY); }
static int write_disk(void) { return opens(disk, O_WRONLY); }
static int write_slot(void) { return opens(slot, O_RDWR); }
static int write_other_slot(void) { return opens(other_slot, O_RDWR); }
static int write_esp(void) { return opens(esp, O_RDWR); }
static int read_disk(void) { return opens(disk, O_RDONLY); }

static int write_own_node(void)
{
	struct stat found;

	stat(disk, &found);
	unlink("/dev/node");
	if (mknod("/dev/node", S_IFBLK | 0600, found.st_rdev))
		return FAILED;
	return opens("/dev/node", O_RDWR);
}

static int swap(void) { return swapon(other_slot, 0) ? FAILED : 0; }

static int load_module(void)
{
	int fd = open(FIELD "/module.ko", O_CREAT | O_RDWR, 0600);

	dprintf(fd, "no module");
	close(fd);
	fd = open(FIELD "/module.ko", O_RDONLY);
	return syscall(SYS_finit_module, fd, "", 0) ? FAILED : 0;
}

/* Longer than an ELF header: a shorter one is refused before anybody is asked. */
static int load_module_bytes(void)
{
	static char bytes[PAGE];

	return syscall(SYS_init_module, bytes, sizeof bytes, "") ? FAILED : 0;
}

static int load_kernel(void)
{
	int fd = open(FIELD "/module.ko", O_CREAT | O_RDWR, 0600);

	close(fd);
	fd = open(FIELD "/module.ko", O_RDONLY);
	return syscall(SYS_kexec_file_load, fd, -1, 1UL, "", 4UL) ? FAILED : 0;
}

/* The older call, without a file. No image: what is loaded would be unloaded. */
static int load_kernel_old(void) { return syscall(SYS_kexec_load, 0UL, 0UL, 0UL, 0UL) ? FAILED : 0; }

static int unmount_pins(void) { return umount2(PINS, MNT_DETACH) ? FAILED : 0; }
static int unmount_root(void) { return umount2("/", MNT_DETACH) ? FAILED : 0; }

static int unmount_pins_elsewhere(void)
{
	if (unshare(CLONE_NEWNS))
		return FAILED;
	return unmount_pins();
}

static int mount_over_pins(void) { return hide(PINS); }
static int unlink_pin(void) { return unlink(PINS "/execute") ? FAILED : 0; }
static int rename_pin(void) { return rename(PINS "/execute", PINS "/gone") ? FAILED : 0; }

static int bpf(int command, union bpf_attr *attributes) { return syscall(SYS_bpf, command, attributes, sizeof *attributes); }

#define OUR_MAPS 20

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

static int maps_by_id(void) { return open_by_id(BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID, OUR_MAPS); }
static int programs_by_id(void) { return open_by_id(BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, our_links()); }
static int links_by_id(void) { return open_by_id(BPF_LINK_GET_NEXT_ID, BPF_LINK_GET_FD_BY_ID, our_links()); }

static int pinned(const char *path)
{
	union bpf_attr attributes = { .pathname = (unsigned long)path };

	return bpf(BPF_OBJ_GET, &attributes);
}

static int pinned_map(void) { return pinned(PINS "/config") < 0 ? FAILED : 0; }

static int detach_link(void)
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

static int load_probe(void) { return load_program(BPF_PROG_TYPE_KPROBE); }
static int load_filter(void) { return load_program(BPF_PROG_TYPE_SOCKET_FILTER); }

static int kill_agent(void)
{
	pid_t pid = agent();

	if (kill(pid, SIGKILL))
		return FAILED;
	// Gone, or started again by systemd under another number.
	while (agent() == pid)
		usleep(10000);
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
	ATTACK("poweroff-command", poweroff_command), ATTACK("dm-suspend", dm_suspend), ATTACK("dm-load", dm_load),
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

/* More connections than the ring of the trace has room for, while nobody reads it. */
static int stop_agent(void) { return kill(agent(), SIGSTOP) ? FAILED : 0; }
static int continue_agent(void) { return kill(agent(), SIGCONT) ? FAILED : 0; }

static int flood(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (int i = 0; i < 5000; i++)
		if (connect(fd, (void *)&to, sizeof to))
			return FAILED;
	return 0;
}

/* More denials than the ring of the gate has room for (1,724), from many processes, while nobody reads it; and not for so
 * long that the watchdog of bennud's unit (60 s) ends it. */
#define STORM_PROCESSES 8
#define STORM_ROUNDS 1000
#define STORM_S 30

static int storm(void)
{
	int error = copy_self(FIELD "/copy"), status;
	time_t end = time(0) + STORM_S;

	if (error)
		return error;
	for (int i = 0; i < STORM_PROCESSES; i++)
		if (!fork()) {
			for (int round = 0; round < STORM_ROUNDS; round++)
				if (time(0) > end || execute(FIELD "/copy") != EPERM)
					_exit(1);
			_exit(0);
		}
	for (int i = 0; i < STORM_PROCESSES; i++)
		if (wait(&status) < 0 || status)
			return ECHILD;
	return 0;
}

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
