// The units of the story of containment: a process inside of each does what it is asked.
#define _GNU_SOURCE
#include "attack-contain.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const unit_names[UNITS] = { "web.service", "other.service", "spared.service", "web.service/inner" };

// A process inside of each unit: it does what a byte says and answers with another.
static struct helper {
	int to, from;
	pid_t pid;
} helpers[UNITS];

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

int status_of(pid_t child)
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

int make_helper(int unit)
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

int exec_web(void) { return ask(WEB, 'x'); }
int exec_inner(void) { return ask(INNER, 'x'); }
int exec_other(void) { return ask(OTHER_UNIT, 'x'); }
int exec_spared(void) { return ask(SPARED, 'x'); }
int leave_web(void) { return ask(WEB, 'l'); }
int leave_inner(void) { return ask(INNER, 'l'); }
int clone_web(void) { return ask(WEB, 'c'); }
int write_disk_web(void) { return ask(WEB, 'd'); }

// As systemd does: the group goes and comes again with another number.
int restart_web(void)
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

int await_denied(void) { return until(exec_web, EPERM); }
int await_everything_denied(void) { return until(exec_other, EPERM); }
int await_allowed(void) { return until(exec_web, 0); }

int exec_here(void) { return start_program(); }
