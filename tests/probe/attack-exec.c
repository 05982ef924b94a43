// The intruder at programs that are not of the verified root: copies of himself, in the ways that a file is executed.
#define _GNU_SOURCE
#include "attack.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 40

int exec_tmpfs(void) { return copied_to(FIELD "/copy"); }
int exec_verified(void) { return execute(root_program); }

int exec_bind(void)
{
	int error = copy_self(FIELD "/copy");

	mkdir(FIELD "/bound", 0755);
	if (error || mount(FIELD, FIELD "/bound", 0, MS_BIND, 0))
		return FAILED;
	return execute(FIELD "/bound/copy");
}

int memory_file(void)
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

int exec_memfd(void)
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

int exec_script(void) { return script_at(FIELD "/script"); }

int exec_descriptor(void)
{
	char *arguments[] = { "x", GREETING, 0 };
	int error = copy_self(FIELD "/copy");

	fexecve(open(FIELD "/copy", O_RDONLY), arguments, environ);
	return error ? error : FAILED;
}

int exec_proc_descriptor(void)
{
	char path[64];
	int error = copy_self(FIELD "/copy");

	snprintf(path, sizeof path, "/proc/self/fd/%d", open(FIELD "/copy", O_PATH));
	return error ? error : execute(path);
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
int race(void (*flip)(void), const char *program, const char *first, const char *second)
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

int exec_race_link(void)
{
	int error = copy_self(FIELD "/copy") ?: symlink(FIELD "/copy", FIELD "/race") ? FAILED : 0;

	return error ? error : race(flip_link, FIELD "/race", WHICH, 0);
}

int exec_race_rename(void)
{
	int error = copy_self(FIELD "/copy") ?: (unlink(FIELD "/race"), symlink(root_program, FIELD "/race")) ? FAILED : 0;

	return error ? error : race(flip_name, FIELD "/race", WHICH, 0);
}

int which(void)
{
	char path[256] = "";

	return readlink(SELF, path, sizeof path - 1) > 0 && !strncmp(path, FIELD, strlen(FIELD)) ? UNVERIFIED : 0;
}
