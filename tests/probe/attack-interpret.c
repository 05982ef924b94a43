// The intruder at an interpreter of the root: what he wrote, given to it to read.
#define _GNU_SOURCE
#include "attack.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define BAD "bad"

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

int interpret_verified(void) { return run(INTERPRETER, INTERPRET, "/usr/lib/os-release"); }
int interpret_data(void) { return put("/tmp/data") ?: interpreted("/tmp/data"); }
int interpret_overlay(void) { return put("/etc/data") ?: interpreted("/etc/data"); }
int interpret_kernel(void) { return run(INTERPRETER, INTERPRET, "/proc/self/status"); }
int interpret_tmpfs(void) { return put(FIELD "/script") ?: interpreted(FIELD "/script"); }
int interpret_dev(void) { return put("/dev/script") ?: interpreted("/dev/script"); }

int interpret_link(void)
{
	int error = put(FIELD "/script");

	unlink("/tmp/link");
	return error || symlink(FIELD "/script", "/tmp/link") ? FAILED : interpreted("/tmp/link");
}

/* Another file system below the directory that is allowed. */
int interpret_bind(void)
{
	int error = put(FIELD "/script");

	mkdir("/tmp/bound", 0755);
	if (error || mount(FIELD, "/tmp/bound", 0, MS_BIND, 0))
		return FAILED;
	error = interpreted("/tmp/bound/script");
	umount2("/tmp/bound", MNT_DETACH);
	return error;
}

int interpret_memfd(void)
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

int interpret_race(void)
{
	int error = put(FIELD "/script") ?: symlink(FIELD "/script", FIELD "/text") ? FAILED : 0;

	return error ? error : race(flip_script, INTERPRETER, INTERPRET, FIELD "/text");
}

/* The interpreter's own part. */
int interpret(const char *path)
{
	char text[sizeof BAD] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return errno;
	return read(fd, text, sizeof text) > 0 && !memcmp(text, BAD, sizeof BAD) ? UNVERIFIED : 0;
}
