// The intruder inside a service: it enters a cgroup that has the name of a unit with a profile, and tries what the
// profile rules out. The same attempts from a cgroup without a profile are the positive control.
#define _GNU_SOURCE
#include "attack-unit.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GROUPS "/tmp/groups"

static int with_profiles;
static pid_t servers;

int enter(const char *unit)
{
	char path[200];
	int fd, length;
	char pid[16];

	snprintf(path, sizeof path, GROUPS "/%s/cgroup.procs", with_profiles ? unit : "free.service");
	fd = open(path, O_WRONLY);
	length = snprintf(pid, sizeof pid, "%d", getpid());
	if (fd < 0 || write(fd, pid, length) != length)
		return FAILED;
	close(fd);
	return 0;
}

static int exec_in(const char *unit, const char *path)
{
	IN(unit);
	return execute(path);
}

static int unit_exec(void) { return exec_in("probe.service", root_program); }
static int unit_exec_other(void) { return exec_in("probe.service", INTERPRETER); }
static int unit_executor(void) { return exec_in("probe.service", "/usr/lib/systemd/systemd-executor"); }
static int map_anonymous_in(const char *unit)
{
	IN(unit);
	return map_anonymous();
}

static int shell_anonymous(void) { return map_anonymous_in("shell.service"); }
static int unit_anonymous(void) { return map_anonymous_in("probe.service"); }
static int unit_shell(void) { return exec_in("shell.service", SHELL); }
static int shell_exec(void) { return exec_in("shell.service", root_program); }
static int below_exec_other(void) { return exec_in("probe.service/inner", INTERPRETER); }
static int dry_exec_other(void) { return exec_in("dry.service", INTERPRETER); }
static int late_exec_other(void) { return exec_in("late.service", INTERPRETER); }
static int old_exec_other(void) { return exec_in("old.service", INTERPRETER); }

/* Exit status or errno of a program started in the unit whose rule is to deny from 2099 on. */
static int soon_exec_other(void)
{
	int status;
	pid_t child = fork();

	if (!child)
		_exit(exec_in("soon.service", INTERPRETER));
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

static int set_clock(time_t seconds)
{
	struct timespec now = { .tv_sec = seconds };

	return clock_settime(CLOCK_REALTIME, &now) ? FAILED : 0;
}

#define DAY_OF_2026 1785000000
#define DAY_OF_2100 4102444800

/* bennud looks at the clock every ten seconds. */
static int soon_exec_in_2100(void)
{
	if (set_clock(DAY_OF_2100))
		return ENOTRECOVERABLE;
	for (int i = 0; i < 60; i++) {
		int result = soon_exec_other();

		if (result)
			return result;
		sleep(1);
	}
	return 0;
}

static int soon_exec_clock_back(void)
{
	if (set_clock(DAY_OF_2026))
		return ENOTRECOVERABLE;
	sleep(15);
	return soon_exec_other();
}

static int unit_shell_map(void)
{
	int fd;

	IN("shell.service");
	fd = open(SHELL, O_RDONLY);
	return mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? FAILED : 0;
}

static int unit_leave(void)
{
	int fd;

	IN("probe.service");
	fd = open(GROUPS "/cgroup.procs", O_WRONLY);
	return fd < 0 ? FAILED : 0;
}

static int unit_clone_away(void)
{
	struct clone_args arguments = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	pid_t child;

	arguments.cgroup = open(GROUPS "/free.service", O_PATH | O_DIRECTORY);
	IN("probe.service");
	child = syscall(SYS_clone3, &arguments, sizeof arguments);
	if (!child)
		_exit(0);
	return child < 0 ? FAILED : 0;
}

const struct attempt unit_attempts[] = {
	CONTROL("unit-exec", unit_exec), CONTROL("unit-connect", unit_connect), CONTROL("unit-connect-6", unit_connect_6),
	CONTROL("unit-connect-mapped", unit_connect_mapped), CONTROL("unit-send", unit_send),
	CONTROL("unit-socket", unit_socket), CONTROL("unit-socket-abstract", unit_socket_abstract),
	CONTROL("shell-exec", shell_exec), CONTROL("local-unix", local_unix),
	CONTROL("dry-exec-other", dry_exec_other), CONTROL("late-exec-other", late_exec_other),
	ATTACK("unit-exec-other", unit_exec_other), ATTACK("unit-executor", unit_executor),
	ATTACK("unit-anonymous", unit_anonymous), CONTROL("shell-anonymous", shell_anonymous), ATTACK("below-exec-other", below_exec_other),
	ATTACK("old-exec-other", old_exec_other),
	ATTACK("unit-shell", unit_shell), ATTACK("unit-shell-map", unit_shell_map),
	ATTACK("unit-connect-port", unit_connect_port), ATTACK("unit-connect-address", unit_connect_address),
	ATTACK("unit-connect-6-port", unit_connect_6_port),
	ATTACK("unit-connect-mapped-address", unit_connect_mapped_address),
	ATTACK("unit-connect-mixed", unit_connect_mixed), ATTACK("unit-ring-connect", unit_ring_connect),
	ATTACK("unit-send-address", unit_send_address), ATTACK("unit-send-unspec", unit_send_unspec),
	ATTACK("unit-fast-open", unit_fast_open), ATTACK("unit-raw", unit_raw),
	ATTACK("unit-socket-other", unit_socket_other), ATTACK("unit-socket-renamed", unit_socket_renamed),
	ATTACK("unit-socket-abstract-other", unit_socket_abstract_other),
	ATTACK("unit-datagram-other", unit_datagram_other),
	ATTACK("local-tcp", local_tcp), ATTACK("local-tcp-6", local_tcp_6),
	ATTACK("unit-leave", unit_leave), ATTACK("unit-clone-away", unit_clone_away),
};
const struct attempt clock_attempts[] = {
	CONTROL("soon-exec-other", soon_exec_other), ATTACK("soon-exec-in-2100", soon_exec_in_2100),
	ATTACK("soon-exec-clock-back", soon_exec_clock_back),
};
const unsigned long clock_count = sizeof clock_attempts / sizeof *clock_attempts;
const unsigned long unit_count = sizeof unit_attempts / sizeof *unit_attempts;

static void bind_unix(const char *name, int type)
{
	struct sockaddr_un at;
	socklen_t length = named(&at, name);
	int fd = socket(AF_UNIX, type, 0);

	if (bind(fd, (void *)&at, length) || (type == SOCK_STREAM && listen(fd, 64)))
		perror(name);
}

static void listen_tcp(int port)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (void *)&at, sizeof at) || listen(fd, 64))
		perror("tcp");
}

int prepare_units(int profiled)
{
	static const char *const units[] = { "probe.service", "probe.service/inner", "shell.service", "local.service",
					     "dry.service", "late.service", "old.service", "soon.service",
					     "free.service" };
	struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(DATAGRAM_PORT) };
	char path[200];

	with_profiles = profiled;
	ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &loopback);
	mkdir(GROUPS, 0755);
	if (mount("groups", GROUPS, "cgroup2", 0, ""))
		return FAILED;
	for (unsigned long i = 0; i < sizeof units / sizeof *units; i++) {
		snprintf(path, sizeof path, GROUPS "/%s", units[i]);
		mkdir(path, 0755);
	}
	servers = fork();
	if (!servers) {
		bind_unix(FIELD "/allowed", SOCK_STREAM);
		bind_unix(FIELD "/other", SOCK_STREAM);
		bind_unix("@bennu-allowed", SOCK_STREAM);
		bind_unix("@bennu-other", SOCK_STREAM);
		bind_unix(FIELD "/datagram", SOCK_DGRAM);
		listen_tcp(ALLOWED_PORT);
		listen_tcp(OTHER_PORT);
		if (bind(socket(AF_INET6, SOCK_DGRAM, 0), (void *)&at, sizeof at))
			perror("udp");
		creat(FIELD "/ready", 0600);
		for (;;)
			pause();
	}
	while (access(FIELD "/ready", F_OK))
		usleep(1000);
	return 0;
}

void end_units(void)
{
	kill(servers, SIGKILL);
	waitpid(servers, 0, 0);
	umount2(GROUPS, MNT_DETACH);
}
