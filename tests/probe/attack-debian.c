// The intruder with what a distribution has and a small root has not: a dynamic loader, libraries, a shell, modules. What
// he makes of their exit statuses is EPERM only where the gate's own event says the same.
#define _GNU_SOURCE
#include "attack.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A shell of the distribution's that the image confines. */
int interpret_shell(void)
{
	int fd = open(FIELD "/script.sh", O_CREAT | O_TRUNC | O_WRONLY, 0755);
	int result;

	if (access(SHELL, X_OK) || access("/bin/cat", X_OK))
		return ENOENT; // a root without programs
	dprintf(fd, "exit 77\n");
	close(fd);
	result = run(SHELL, FIELD "/script.sh", 0);
	// dash says that it cannot open the script and exits with 2.
	return result == UNVERIFIED ? 0 : result == 2 || result == 127 || result == 126 ? EPERM : EAGAIN;
}

/* A library of the intruder's before all others, in a program of the root. Passes if it is mapped executable; its headers
 * may be read. */
int preload(void)
{
	char maps[1 << 16] = "", library[] = FIELD "/library.so";
	int ends[2], status, error = 0, in = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY);
	ssize_t length = 0, got;
	int out = open(library, O_CREAT | O_WRONLY, 0755);
	pid_t child;

	if (in < 0)
		return ENOENT; // a root without libraries
	while ((got = read(in, maps, sizeof maps)) > 0)
		if (write(out, maps, got) != got)
			return FAILED;
	close(out);
	if (pipe(ends))
		return FAILED;
	child = fork();
	if (!child) {
		dup2(ends[1], 1);
		setenv("LD_PRELOAD", library, 1);
		execl("/bin/cat", "cat", "/proc/self/maps", (char *)0);
		_exit(127);
	}
	close(ends[1]);
	while ((got = read(ends[0], maps + length, sizeof maps - 1 - length)) > 0)
		length += got;
	maps[length] = 0;
	waitpid(child, &status, 0);
	if (!strstr(maps, "/bin/cat"))
		error = EIO;
	for (char *line = strtok(maps, "\n"); line; line = strtok(0, "\n"))
		if (strstr(line, library) && strstr(line, "xp "))
			return 0;
	return error ? error : EPERM;
}

static int loader(const char *argument, char *const environment[])
{
	const char *ld = "/lib64/ld-linux-x86-64.so.2";
	char *const arguments[] = { (char *)ld, (char *)argument, 0 };

	execve(ld, arguments, environment);
	return FAILED;
}

/* The dynamic loader of the root, told to run a copy of a program of the root. */
int exec_loader(void)
{
	char *const none[] = { 0 };
	int status, in = open("/bin/true", O_RDONLY), out = open(FIELD "/true", O_CREAT | O_WRONLY, 0755);
	char buffer[1 << 18];
	ssize_t length = read(in, buffer, sizeof buffer);
	pid_t child;

	if (in < 0)
		return ENOENT; // a root without libraries

	if (length <= 0 || write(out, buffer, length) != length)
		return FAILED;
	close(out);
	child = fork();
	if (!child)
		_exit(loader(FIELD "/true", none));
	waitpid(child, &status, 0);
	// The loader says why it failed and exits with 127.
	return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? EPERM : status;
}

static int tell(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), written;

	errno = fd < 0 ? errno : 0;
	written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return written ? 0 : FAILED;
}

#define MODPROBE "/sbin/modprobe"
#define FIRMWARE_FOLDER "/sys/module/firmware_class/parameters/path"
#define FIRMWARE_TRIGGER "/sys/devices/virtual/misc/test_firmware/trigger_request"

/* A verified driver asks for a file that the intruder put where the kernel looks first. The kernel looks in other places as
 * well, and says at last that there is none. */
int firmware(void)
{
	int error;

	if (run(MODPROBE, "test_firmware", 0))
		return ENODEV;
	error = put(FIELD "/intruder.bin") ?: tell(FIRMWARE_FOLDER, FIELD);
	if (!error) {
		error = tell(FIRMWARE_TRIGGER, "intruder.bin");
		tell(FIRMWARE_FOLDER, "\n");
	}
	run(MODPROBE, "-r", "test_firmware");
	return error;
}

/* Opens where programs for kinds of files are named, and names none. */
int binfmt_misc(void)
{
	mkdir(FIELD "/binfmt", 0755);
	if (mount("x", FIELD "/binfmt", "binfmt_misc", 0, 0))
		return ENODEV;
	errno = 0;
	return opens(FIELD "/binfmt/register", O_WRONLY);
}
