// What becomes of an intruder's unit and of its connections when bennud answers: `deny` and `cut-network`, and their end.
// Runs once, in the order of main's list; connections and the processes inside of units are made before anything is
// denied. Outside of the machine each connection is echoed and recorded.
#define _GNU_SOURCE
#include "attack-contain.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECORDS "/run/bennu/records"
#define AGENT "/usr/lib/bennu/bennud"
#define LONGEST 90 // s until something must have happened

int until(int (*act)(void), int expected)
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

static int prepare(void)
{
	int error = up("lo", 0);

	if (!error)
		error = up("eth0", OWN_ADDRESS);
	for (int unit = 0; unit < UNITS && !error; unit++)
		error = make_helper(unit);
	return error ? error : connect_all();
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
