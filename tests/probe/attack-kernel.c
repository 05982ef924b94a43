// The intruder at the kernel: its helpers, its modules, another kernel in its place.
#define _GNU_SOURCE
#include "attack.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int core_pattern(void) { return opens("/proc/sys/kernel/core_pattern", O_WRONLY); }
int modprobe(void) { return opens("/proc/sys/kernel/modprobe", O_WRONLY); }
int poweroff_command(void) { return opens("/proc/sys/kernel/poweroff_cmd", O_WRONLY); }

int tracing_off(void) { return opens("/proc/sys/kernel/ftrace_enabled", O_WRONLY); }

int load_module(void)
{
	int fd = open(FIELD "/module.ko", O_CREAT | O_RDWR, 0600);

	dprintf(fd, "no module");
	close(fd);
	fd = open(FIELD "/module.ko", O_RDONLY);
	return syscall(SYS_finit_module, fd, "", 0) ? FAILED : 0;
}

/* Longer than an ELF header: a shorter one is refused before anybody is asked. */
int load_module_bytes(void)
{
	static char bytes[PAGE];

	return syscall(SYS_init_module, bytes, sizeof bytes, "") ? FAILED : 0;
}

int load_kernel(void)
{
	int fd = open(FIELD "/module.ko", O_CREAT | O_RDWR, 0600);

	close(fd);
	fd = open(FIELD "/module.ko", O_RDONLY);
	return syscall(SYS_kexec_file_load, fd, -1, 1UL, "", 4UL) ? FAILED : 0;
}

/* The older call, without a file. No image: what is loaded would be unloaded. */
int load_kernel_old(void) { return syscall(SYS_kexec_load, 0UL, 0UL, 0UL, 0UL) ? FAILED : 0; }
