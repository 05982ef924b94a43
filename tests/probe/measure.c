// Counts what an operation costs the whole machine, for `make bench`: fork+exec, open+close, connect.
//
//   bennu-measure count LABEL ROUNDS [UNIT]   measures, in that unit's control group
//   bennu-measure stray UNIT           says how a connection ends that the unit's profile does not allow
//   bennu-measure limit LABEL ROUNDS [UNIT]   measures with programs that do nothing attached where the gate's are;
//                                             with UNIT also where those for profiles are
//   bennu-measure burst COUNT          executes that many programs, one after the other
//   bennu-measure cost NAME SECONDS    what a running program costs in that time
//
// One line a round, after a round that is not counted: `MEASURE <label> <operation> <times> <ticks> <median> <ns>`. Ticks
// are those of the processor's counter: under QEMU's `-icount shift=0` one an instruction, whoever executed it. `ticks`
// and `ns` are of the whole round, with what the machine did besides (sockets are made, accepted and closed, interrupts
// come); `median` is the operation's alone. The operation `nothing` is a loop of two instructions a turn, which shows
// whether ticks are instructions. In C so that what is measured is the kernel and nothing else. The product knows nothing
// of it.
#define _GNU_SOURCE
#include "measure.h"
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define NOTHING "nothing"
// Where the control groups are mounted.
#define GROUPS "/tmp/groups"

// Most operations in one round.
#define MOST_TIMES 10000

static uint64_t ticks_of[MOST_TIMES];
static unsigned long counted;

static void fail(const char *what)
{
	printf("MEASURE FAILED %s: %s\n", what, strerror(errno));
	exit(1);
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void took(uint64_t since)
{
	ticks_of[counted++] = __rdtsc() - since;
}

static void loop(unsigned long times)
{
	uint64_t start = __rdtsc();

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(times));
	took(start);
}

void execute_once(void)
{
	static char *arguments[] = { SELF, NOTHING, 0 }, *environment[] = { 0 };
	int status;
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (!child) {
		execve(SELF, arguments, environment);
		_exit(127);
	}
	if (waitpid(child, &status, 0) != child || status)
		fail("execve");
}

static void execute(unsigned long times)
{
	while (times--) {
		uint64_t start = __rdtsc();

		execute_once();
		took(start);
	}
}

static void open_file(unsigned long times)
{
	while (times--) {
		uint64_t start = __rdtsc();
		int fd = open(SELF, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			fail("open");
		close(fd);
		took(start);
	}
}

// What was connected is reset, so that no port stays in use and the next one is found as fast.
static void connect_to(int family, const void *address, socklen_t bytes, unsigned long times)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct sockaddr_in bound;
	socklen_t length = sizeof bound;
	int server = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (server < 0 || bind(server, address, bytes) || listen(server, 8))
		fail("listen");
	if (family == AF_INET) {
		if (getsockname(server, (struct sockaddr *)&bound, &length))
			fail("getsockname");
		address = &bound;
	}
	while (times--) {
		int client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), other;
		uint64_t start;

		if (client < 0)
			fail("socket");
		start = __rdtsc();
		if (connect(client, address, bytes))
			fail("connect");
		took(start);
		other = accept(server, 0, 0);
		if (other < 0)
			fail("accept");
		setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		close(client);
		close(other);
	}
	close(server);
}

static void connect_tcp(unsigned long times)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	connect_to(AF_INET, &address, sizeof address, times);
}

static void connect_unix(unsigned long times)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/tmp/measure" };

	unlink(address.sun_path);
	connect_to(AF_UNIX, &address, sizeof address, times);
	unlink(address.sun_path);
}

static const struct operation {
	const char *name;
	void (*run)(unsigned long times);
	unsigned long times;
} operations[] = {
	// The only one that is more often than MOST_TIMES: it is counted as a whole.
	{ "nothing", loop, 10000000 },
	{ "exec", execute, 200 },
	{ "open", open_file, 10000 },
	{ "connect-tcp", connect_tcp, 1000 },
	{ "connect-unix", connect_unix, 4000 },
};

static int by_size(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return (a > b) - (a < b);
}

static void run(const struct operation *one, const char *label)
{
	uint64_t ns = now_ns(), ticks = __rdtsc();

	counted = 0;
	one->run(one->times);
	ticks = __rdtsc() - ticks;
	ns = now_ns() - ns;
	qsort(ticks_of, counted, sizeof *ticks_of, by_size);
	if (label)
		printf("MEASURE %s %s %lu %llu %llu %llu\n", label, one->name, one->times, (unsigned long long)ticks,
		       (unsigned long long)ticks_of[counted / 2], (unsigned long long)ns);
	fflush(stdout);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		fail("lo");
	close(fd);
}

static void count(const char *label, long rounds)
{
	loopback_up();
	for (unsigned long i = 0; i < sizeof operations / sizeof *operations; i++) {
		run(&operations[i], 0);
		for (long round = 0; round < rounds; round++)
			run(&operations[i], label);
	}
}

// Goes into the control group with the name of a unit: that is what the gate finds a profile by.
static void enter(const char *unit)
{
	char path[200];
	FILE *processes;

	mkdir(GROUPS, 0755);
	// Another run of this program has mounted them already.
	if (mount("groups", GROUPS, "cgroup2", 0, "") && errno != EBUSY)
		fail("cgroup2");
	snprintf(path, sizeof path, GROUPS "/%s", unit);
	mkdir(path, 0755);
	snprintf(path, sizeof path, GROUPS "/%s/cgroup.procs", unit);
	processes = fopen(path, "we");
	if (!processes || fprintf(processes, "%d", getpid()) < 0 || fclose(processes))
		fail(path);
}

// The address is another one than the profile names; nobody listens there.
static void stray(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	printf("MEASURE STRAY %s\n", connect(fd, (struct sockaddr *)&to, sizeof to) ? strerrorname_np(errno) : "passed");
	close(fd);
}

// Where a process's memory lies decides how many page tables a fork copies: 3 % of fork+exec. So it lies where it always
// does, that of the children too.
static void stay_in_place(char **argv)
{
	int found = personality(0xffffffff);

	if (found & ADDR_NO_RANDOMIZE)
		return;
	if (personality(found | ADDR_NO_RANDOMIZE) < 0)
		fail("personality");
	execv("/proc/self/exe", argv);
	fail("execv");
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], NOTHING))
		return 0;
	stay_in_place(argv);
	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "limit")) {
		if (attach_nothing(argc == 5))
			fail("limit");
		if (argc == 5)
			enter(argv[4]);
		count(argv[2], atol(argv[3]));
	} else if ((argc == 4 || argc == 5) && !strcmp(argv[1], "count")) {
		if (argc == 5)
			enter(argv[4]);
		count(argv[2], atol(argv[3]));
	} else if (argc == 3 && !strcmp(argv[1], "stray")) {
		enter(argv[2]);
		stray();
	} else if (argc == 3 && !strcmp(argv[1], "burst")) {
		if (burst(strtoul(argv[2], 0, 10)))
			fail("burst");
	} else if (argc == 4 && !strcmp(argv[1], "cost")) {
		if (show_cost(argv[2], atoi(argv[3])))
			fail("cost");
	} else {
		fprintf(stderr, "usage: %s count LABEL ROUNDS [UNIT], limit LABEL ROUNDS [UNIT], stray UNIT, burst COUNT, or cost NAME SECONDS\n", argv[0]);
		return 2;
	}
	return 0;
}
