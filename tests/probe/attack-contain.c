// What becomes of an intruder's unit and of its connections when bennud answers: `deny` and `cut-network`, and their end.
// Runs once, in the order of main's list; connections and the processes inside of units are made before anything is
// denied. Outside of the machine each connection is echoed and recorded.
#define _GNU_SOURCE
#include "attack.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GROUPS "/sys/fs/cgroup"
#define RECORDS "/run/bennu/records"
#define AGENT "/usr/lib/bennu/bennud"
#define OWN_ADDRESS "10.0.2.15"
#define SINK "10.0.2.100"
#define SINK_PORT 6514
#define OTHER "10.0.2.101"
#define OTHER_PORT 7001
#define LOOPBACK "127.0.0.1"
#define ECHO_PORT 7004
#define PATIENCE 4000 // ms until a connection counts as dead
#define LONGEST 90 // s until something must have happened

enum { WEB, OTHER_UNIT, SPARED, INNER, UNITS };
static const char *const unit_names[UNITS] = { "web.service", "other.service", "spared.service", "web.service/inner" };

// A process inside of each unit: it does what a byte says and answers with another.
static struct helper {
	int to, from;
	pid_t pid;
} helpers[UNITS];
static int to_loopback, to_sink, to_other;

static int enter_group(const char *name)
{
	char path[200], pid[16];
	int length = snprintf(pid, sizeof pid, "%d", getpid()), fd;

	snprintf(path, sizeof path, GROUPS "/%s/cgroup.procs", name);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, pid, length) != length)
		return FAILED;
	close(fd);
	return 0;
}

static int status_of(pid_t child)
{
	int status;

	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGKILL ? EOWNERDEAD : EIO;
	return WEXITSTATUS(status);
}

static int start_program(void)
{
	pid_t child = fork();

	if (!child) {
		errno = 0;
		_exit(execute(root_program));
	}
	return status_of(child);
}

static int write_disk_in_unit(void)
{
	int fd;

	errno = 0;
	fd = open(disk, O_WRONLY);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? FAILED : 0;
}

static int leave_unit(void)
{
	errno = 0;
	return enter_group(unit_names[OTHER_UNIT]);
}

// The child would live in another group; neither it nor its parent lives on.
static int clone_away(void)
{
	pid_t child = fork();

	if (!child) {
		struct clone_args arguments = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
		long made;

		arguments.cgroup = open(GROUPS "/other.service", O_RDONLY | O_DIRECTORY);
		errno = 0;
		made = syscall(SYS_clone3, &arguments, sizeof arguments);
		_exit(made < 0 ? FAILED : 0);
	}
	return status_of(child);
}

static void serve(int from, int to)
{
	char asked, answer;

	while (read(from, &asked, 1) == 1) {
		answer = asked == 'x' ? start_program() : asked == 'd' ? write_disk_in_unit() : asked == 'l' ? leave_unit() : clone_away();
		if (write(to, &answer, 1) != 1)
			break;
	}
	_exit(0);
}

static int make_helper(int unit)
{
	int down[2], up[2];
	char path[200];

	snprintf(path, sizeof path, GROUPS "/%s", unit_names[unit]);
	if ((mkdir(path, 0755) && errno != EEXIST) || pipe(down) || pipe(up))
		return FAILED;
	errno = 0;
	helpers[unit].pid = fork();
	if (!helpers[unit].pid) {
		close(down[1]);
		close(up[0]);
		if (enter_group(unit_names[unit]))
			_exit(1);
		serve(down[0], up[1]);
	}
	close(down[0]);
	close(up[1]);
	helpers[unit].to = down[1];
	helpers[unit].from = up[0];
	return 0;
}

static int ask(int unit, char what)
{
	struct pollfd answer = { .fd = helpers[unit].from, .events = POLLIN };
	unsigned char found;

	if (write(helpers[unit].to, &what, 1) != 1 || poll(&answer, 1, 20000) != 1 || read(answer.fd, &found, 1) != 1)
		return ETIME;
	return found;
}

static int exec_web(void) { return ask(WEB, 'x'); }
static int exec_inner(void) { return ask(INNER, 'x'); }
static int exec_other(void) { return ask(OTHER_UNIT, 'x'); }
static int exec_spared(void) { return ask(SPARED, 'x'); }
static int leave_web(void) { return ask(WEB, 'l'); }
static int leave_inner(void) { return ask(INNER, 'l'); }
static int clone_web(void) { return ask(WEB, 'c'); }
static int write_disk_web(void) { return ask(WEB, 'd'); }

// As systemd does: the group goes and comes again with another number.
static int restart_web(void)
{
	kill(helpers[INNER].pid, SIGKILL);
	kill(helpers[WEB].pid, SIGKILL);
	waitpid(helpers[INNER].pid, 0, 0);
	waitpid(helpers[WEB].pid, 0, 0);
	usleep(200000);
	if (rmdir(GROUPS "/web.service/inner") || rmdir(GROUPS "/web.service"))
		return FAILED;
	return make_helper(WEB);
}

static int until(int (*act)(void), int expected)
{
	int found = 0;

	for (int i = 0; i < LONGEST * 2; i++) {
		found = act();
		if (found == expected)
			return 0;
		usleep(500000);
	}
	return found ? found : ETIME;
}

static int await_denied(void) { return until(exec_web, EPERM); }
static int await_everything_denied(void) { return until(exec_other, EPERM); }
static int await_allowed(void) { return until(exec_web, 0); }

static int connect_to(const char *address, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	socklen_t length = sizeof error;

	inet_pton(AF_INET, address, &to.sin_addr);
	if (connect(fd, (void *)&to, sizeof to) && errno != EINPROGRESS)
		error = errno;
	else if (poll(&ready, 1, PATIENCE) != 1)
		error = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error) {
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

// Sends a word of its own and waits for its echo.
static int talk(int fd)
{
	static int number;
	char word[32], found[4096];
	struct pollfd answer = { .fd = fd, .events = POLLIN };
	int length = snprintf(word, sizeof word, "word-%d-%d.", getpid(), ++number);

	if (fd < 0)
		return FAILED;
	if (send(fd, word, length, MSG_NOSIGNAL) != length)
		return FAILED;
	for (;;) {
		ssize_t got;

		if (poll(&answer, 1, PATIENCE) != 1)
			return ETIMEDOUT;
		got = recv(fd, found, sizeof found - 1, 0);
		if (got <= 0)
			return ECONNRESET;
		found[got] = 0;
		if (strstr(found, word))
			return 0;
	}
}

static int talk_new(const char *address, int port)
{
	int fd = connect_to(address, port), result;

	if (fd < 0)
		return FAILED;
	result = talk(fd);
	close(fd);
	return result;
}

static int talk_loopback(void) { return talk(to_loopback); }
static int talk_sink(void) { return talk(to_sink); }
static int talk_other(void) { return talk(to_other); }
static int new_loopback(void) { return talk_new(LOOPBACK, ECHO_PORT); }
static int new_own_address(void) { return talk_new(OWN_ADDRESS, ECHO_PORT); }
static int new_sink(void) { return talk_new(SINK, SINK_PORT); }
static int new_other(void) { return talk_new(OTHER, OTHER_PORT); }
static int await_cut(void) { return until(new_other, ETIMEDOUT); }
static int await_whole(void) { return until(new_other, 0); }

// Slow: a cut connection sends again at ever longer intervals.
static int await_other(void)
{
	for (int i = 0; i < 40; i++)
		if (!talk(to_other))
			return 0;
	return ETIMEDOUT;
}

static int send_datagram(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	inet_pton(AF_INET, OTHER, &to.sin_addr);
	return sendto(fd, "word", 4, 0, (void *)&to, sizeof to) == 4 ? 0 : FAILED;
}

// Past IP: a frame for nobody.
static int send_frame(void)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_halen = 6 };
	int fd = socket(AF_PACKET, SOCK_DGRAM, 0);

	to.sll_ifindex = if_nametoindex("eth0");
	memset(to.sll_addr, 0xff, 6);
	return sendto(fd, "word", 4, 0, (void *)&to, sizeof to) == 4 ? 0 : FAILED;
}

static int is_frozen(const char *group, int expected)
{
	char path[200], text[200] = "";
	int fd;

	snprintf(path, sizeof path, GROUPS "/%s/cgroup.events", group);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
		return FAILED;
	close(fd);
	return !strstr(text, "frozen 1") == !expected ? 0 : EBUSY;
}

static int service_frozen(void) { return is_frozen("service", 1); }
static int service_goes_on(void) { return is_frozen("service", 0); }

static int count_in_records(const char *words)
{
	static char text[1 << 20];
	DIR *folder = opendir(RECORDS);
	struct dirent *entry;
	int count = 0;

	while (folder && (entry = readdir(folder))) {
		char path[400];
		ssize_t length;
		int fd;

		snprintf(path, sizeof path, RECORDS "/%s", entry->d_name);
		fd = open(path, O_RDONLY);
		length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
		if (fd >= 0)
			close(fd);
		if (length <= 0)
			continue;
		text[length] = 0;
		for (char *at = text; (at = strstr(at, words)); at++)
			count++;
	}
	if (folder)
		closedir(folder);
	return count;
}

static int kill_the_agent(void)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	int result = ESRCH;

	while (processes && (entry = readdir(processes))) {
		char path[400], program[300];
		ssize_t length;

		snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
		length = readlink(path, program, sizeof program - 1);
		program[length < 0 ? 0 : length] = 0;
		if (!strcmp(program, AGENT))
			result = kill(atoi(entry->d_name), SIGKILL) ? FAILED : 0;
	}
	if (processes)
		closedir(processes);
	usleep(500000);
	return result;
}

static int start_the_agent(void)
{
	int before = count_in_records("watch-begins");

	if (!fork()) {
		execl(AGENT, AGENT, (char *)0);
		_exit(1);
	}
	for (int i = 0; i < LONGEST; i++) {
		if (count_in_records("watch-begins") > before) {
			// Its first look is what later ones are compared with.
			sleep(3);
			return 0;
		}
		sleep(1);
	}
	return ETIME;
}

static int show_status(void)
{
	pid_t child = fork();

	if (!child) {
		execl("/usr/bin/bennuctl", "bennuctl", "status", (char *)0);
		_exit(FAILED);
	}
	// 1: not marked good.
	return status_of(child) <= 1 ? 0 : EIO;
}

static int verify_log(void)
{
	pid_t child = fork();

	if (!child) {
		execl("/usr/bin/bennuctl", "bennuctl", "log", "verify", "--tpm", RECORDS, (char *)0);
		_exit(FAILED);
	}
	return status_of(child) ? EIO : 0;
}

static int show_certificates(void)
{
	pid_t child = fork();

	if (!child) {
		execl("/usr/bin/bennuctl", "bennuctl", "certificates", (char *)0);
		_exit(FAILED);
	}
	return status_of(child) ? EIO : 0;
}

/* Writes over a line that was written long ago, in place. */
static int change_log(void)
{
	char path[400], oldest[300] = "";
	DIR *folder = opendir(RECORDS);
	struct dirent *entry;
	int fd, result;

	while (folder && (entry = readdir(folder)))
		if (!strncmp(entry->d_name, "records-", 8) && (!*oldest || strcmp(entry->d_name, oldest) < 0))
			snprintf(oldest, sizeof oldest, "%s", entry->d_name);
	if (folder)
		closedir(folder);
	snprintf(path, sizeof path, RECORDS "/%s", oldest);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	result = pwrite(fd, "#", 1, 20) == 1 ? 0 : FAILED;
	close(fd);
	for (int i = 0; !result && !count_in_records("log-broken"); i++) {
		if (i == LONGEST)
			return ETIME;
		sleep(1);
	}
	return result;
}

static time_t last_weak;

static time_t uptime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

// Until no weak signal counts any more.
static int be_quiet(void)
{
	while (uptime() < last_weak + 65)
		sleep(1);
	return 0;
}

static int move_clock(void)
{
	struct timespec now;

	last_weak = uptime();
	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += 7200;
	return clock_settime(CLOCK_REALTIME, &now) ? FAILED : 0;
}

// TPM2_PCR_Extend of PCR 12, SHA-256, with an empty password (TPM 2.0 Part 3, 22.2).
static int extend_pcr(void)
{
	unsigned char command[65] = { 0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, 12, 0, 0, 0, 9, 0x40, 0, 0, 9 };
	unsigned char answer[256] = {};
	int fd = open("/dev/tpmrm0", O_RDWR);

	command[30] = 1; // one digest
	command[32] = 0x0b; // SHA-256
	memset(command + 33, 0x66, 32);
	if (fd < 0 || write(fd, command, sizeof command) != sizeof command || read(fd, answer, sizeof answer) < 10)
		return FAILED;
	close(fd);
	return answer[6] | answer[7] | answer[8] | answer[9] ? EIO : 0;
}

static int bpf(int command, union bpf_attr *attributes) { return syscall(SYS_bpf, command, attributes, sizeof *attributes); }

// Passes if one of the programs that see packets leave is taken off: by a descriptor made from its id, or by none.
static int take_off(void)
{
	unsigned ids[16];
	int groups = open(GROUPS, O_RDONLY | O_DIRECTORY), error = 0;
	union bpf_attr query = { .query = { .target_fd = groups, .attach_type = BPF_CGROUP_INET_EGRESS,
					    .prog_ids = (unsigned long)ids, .prog_cnt = 16 } };

	if (groups < 0 || bpf(BPF_PROG_QUERY, &query))
		return FAILED;
	for (unsigned i = 0; i < query.query.prog_cnt; i++) {
		union bpf_attr one = { .prog_id = ids[i] };
		int fd = bpf(BPF_PROG_GET_FD_BY_ID, &one);
		union bpf_attr off = { .target_fd = groups, .attach_bpf_fd = fd, .attach_type = BPF_CGROUP_INET_EGRESS };

		error = fd < 0 ? FAILED : 0;
		if (!bpf(BPF_PROG_DETACH, &off))
			return 0;
		if (!error)
			return EIO;
	}
	close(groups);
	return error ? error : ENOENT;
}

static int exec_here(void) { return start_program(); }

static void serve_echo(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(ECHO_PORT) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (void *)&at, sizeof at) || listen(listener, 8))
		_exit(1);
	for (;;) {
		int fd = accept(listener, 0, 0);
		char bytes[4096];
		ssize_t length;

		if (fork()) {
			close(fd);
			continue;
		}
		while ((length = recv(fd, bytes, sizeof bytes, 0)) > 0)
			send(fd, bytes, length, MSG_NOSIGNAL);
		_exit(0);
	}
}

static int up(const char *name, const char *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq request = {};
	struct sockaddr_in *at = (void *)&request.ifr_addr;

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	at->sin_family = AF_INET;
	if (address) {
		inet_pton(AF_INET, address, &at->sin_addr);
		if (ioctl(fd, SIOCSIFADDR, &request))
			return FAILED;
		inet_pton(AF_INET, "255.255.255.0", &at->sin_addr);
		if (ioctl(fd, SIOCSIFNETMASK, &request))
			return FAILED;
	}
	memset(&request.ifr_addr, 0, sizeof request.ifr_addr);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(fd, SIOCSIFFLAGS, &request) ? FAILED : 0;
}

static int prepare(void)
{
	int error = up("lo", 0);

	if (!error)
		error = up("eth0", OWN_ADDRESS);
	for (int unit = 0; unit < UNITS && !error; unit++)
		error = make_helper(unit);
	if (error)
		return error;
	if (!fork())
		serve_echo();
	for (int i = 0; i < 50 && (to_loopback = connect_to(LOOPBACK, ECHO_PORT)) < 0; i++)
		usleep(100000);
	to_sink = connect_to(SINK, SINK_PORT);
	to_other = connect_to(OTHER, OTHER_PORT);
	return to_loopback < 0 || to_sink < 0 || to_other < 0 ? FAILED : 0;
}

// In this order. The number stands before the name, since many are tried again and again.
static const struct attempt steps[] = {
	CONTROL("0-prepare", prepare), CONTROL("0-exec-web", exec_web), CONTROL("0-exec-other", exec_other),
	CONTROL("0-talk-loopback", talk_loopback), CONTROL("0-talk-sink", talk_sink), CONTROL("0-talk-other", talk_other),
	CONTROL("0-new-other", new_other), CONTROL("0-new-sink", new_sink), CONTROL("0-datagram", send_datagram),
	CONTROL("0-frame", send_frame),
	// One strong signal, by a unit: it starts no more programs.
	ATTACK("1-write-disk", write_disk_web), CONTROL("1-await-denied", await_denied),
	ATTACK("1-exec-web", exec_web), ATTACK("1-exec-inner", exec_inner), ATTACK("1-leave-web", leave_web),
	ATTACK("1-leave-inner", leave_inner), ATTACK("1-clone-web", clone_web),
	CONTROL("1-exec-other", exec_other), CONTROL("1-exec-here", exec_here), CONTROL("1-talk-other", talk_other),
	CONTROL("1-restart-web", restart_web), ATTACK("1-exec-web-again", exec_web),
	CONTROL("1-status", show_status),
	CONTROL("1-kill-agent", kill_the_agent), ATTACK("1-exec-web-without-agent", exec_web),
	CONTROL("1-start-agent", start_the_agent), ATTACK("1-exec-web-with-agent", exec_web),
	// A weak one beside it: the network is cut.
	CONTROL("2-move-clock", move_clock), CONTROL("2-await-cut", await_cut),
	ATTACK("2-talk-other", talk_other), ATTACK("2-new-other", new_other), ATTACK("2-datagram", send_datagram),
	ATTACK("2-frame", send_frame),
	CONTROL("2-talk-loopback", talk_loopback), CONTROL("2-new-loopback", new_loopback),
	CONTROL("2-new-own-address", new_own_address), CONTROL("2-talk-sink", talk_sink), CONTROL("2-new-sink", new_sink),
	CONTROL("2-service-frozen", service_frozen),
	// Their time is over.
	CONTROL("3-await-whole", await_whole), CONTROL("3-datagram", send_datagram), CONTROL("3-frame", send_frame),
	CONTROL("3-await-other", await_other),
	CONTROL("3-service-goes-on", service_goes_on), CONTROL("3-await-allowed", await_allowed),
	CONTROL("3-status", show_status), CONTROL("3-log", verify_log),
	CONTROL("3-certificates", show_certificates),
	// A strong signal that names no unit: nobody starts programs but whom the image spares.
	CONTROL("4-quiet", be_quiet), CONTROL("4-extend-pcr", extend_pcr), CONTROL("4-await-everything", await_everything_denied),
	ATTACK("4-exec-web", exec_web), ATTACK("4-exec-here", exec_here), CONTROL("4-exec-spared", exec_spared),
	// The last: each is a strong signal.
	CONTROL("5-change-log", change_log), ATTACK("5-take-off", take_off),
};

int contain(const char *of_disk, void (*say)(const char *name, int result))
{
	snprintf(disk, sizeof disk, "%s", of_disk);
	for (unsigned long i = 0; i < sizeof steps / sizeof *steps; i++) {
		errno = 0;
		say(steps[i].name, steps[i].act());
	}
	return 0;
}
