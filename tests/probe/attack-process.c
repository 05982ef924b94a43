// The intruder at other processes, bennud and init first: he traces them, takes what they have, stops and kills them.
#define _GNU_SOURCE
#include "attack.h"
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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
int trace_agent(void) { return seize(agent()); }
int trace_init(void) { return seize(1); }
int trace_me(void) { return ptrace(PTRACE_TRACEME, 0, 0, 0) ? FAILED : 0; }

int trace_child(void)
{
	pid_t child = fork();
	int error;

	if (!child)
		pause();
	error = seize(child);
	kill(child, SIGKILL);
	return error;
}

int write_agent(void)
{
	char byte = 0;
	struct iovec from = { &byte, 1 }, to = { (void *)0x400000, 1 };

	return process_vm_writev(agent(), &from, 1, &to, 1, 0) == 1 ? 0 : FAILED;
}

int take_descriptor(void)
{
	int pidfd = syscall(SYS_pidfd_open, agent(), 0);

	return syscall(SYS_pidfd_getfd, pidfd, 0, 0) < 0 ? FAILED : 0;
}

/* What this process executes is still mapped, and the map is of no use: refused for that, once the kernel has asked its
 * security modules. */
int program_by_file(void)
{
	int fd = open(root_program, O_RDONLY);

	return prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, fd, 0L, 0L) ? FAILED : 0;
}

int program_by_map(void)
{
	struct prctl_mm_map map = { .exe_fd = -1 };

	return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0L) ? FAILED : 0;
}

int memory_of_self(void) { return opens("/proc/self/mem", O_RDWR); }
int memory_of_init(void) { return opens("/proc/1/mem", O_RDWR); }

int kill_agent(void)
{
	pid_t pid = agent();

	if (kill(pid, SIGKILL))
		return FAILED;
	// Gone, or started again by systemd under another number.
	while (agent() == pid)
		usleep(10000);
	return 0;
}

int stop_agent(void) { return kill(agent(), SIGSTOP) ? FAILED : 0; }
int continue_agent(void) { return kill(agent(), SIGCONT) ? FAILED : 0; }

/* More connections than the ring of the trace has room for, while nobody reads it. */
int flood(void)
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

int storm(void)
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
