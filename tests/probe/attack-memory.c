// The intruder at executable memory: mapped from files, made of plain pages, and with a right to it.
#define _GNU_SOURCE
#include "attack.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <unistd.h>

int map(const char *path, int flags, int protection)
{
	int fd = open(path, flags);
	void *page = mmap(0, PAGE, protection, MAP_PRIVATE, fd, 0);

	return page == MAP_FAILED ? FAILED : 0;
}

int map_tmpfs(void) { return copy_self(FIELD "/copy") ?: map(FIELD "/copy", O_RDONLY, PROT_READ | PROT_EXEC); }
int map_verified(void) { return map(root_program, O_RDONLY, PROT_READ | PROT_EXEC); }
int map_write_exec(void) { return map(root_program, O_RDONLY, PROT_READ | PROT_WRITE | PROT_EXEC); }

int map_memfd(void)
{
	return mmap(0, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, memory_file(), 0) == MAP_FAILED ? FAILED : 0;
}

int map_anonymous(void)
{
	return mmap(0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? FAILED : 0;
}

static char *scratch(void) { return mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

int protect_anonymous(void) { return mprotect(scratch(), PAGE, PROT_READ | PROT_EXEC) ? FAILED : 0; }

int protect_plain(void)
{
	char *page = scratch();

	return mprotect(page, PAGE, PROT_READ) || mprotect(page, PAGE, PROT_READ | PROT_WRITE) ? FAILED : 0;
}

/* Pages of a verified file, changed, and only then made executable. */
int protect_changed(void)
{
	int fd = open(root_program, O_RDONLY);
	char *page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	page[100] ^= 1;
	return mprotect(page, PAGE, PROT_READ | PROT_EXEC) ? FAILED : 0;
}

/* As a just-in-time compiler does. */
int compile(void) { return map_anonymous() ?: protect_anonymous(); }

/* With the right to it, which is a right to nothing else. */
int compile_with_right(void) { return run(COMPILER, COMPILE, 0); }
int map_with_right(void) { return copy_self(FIELD "/copy") ?: run(COMPILER, MAP, FIELD "/copy"); }

int shared_memory(void)
{
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0700), error = 0;

	if (shmat(id, 0, SHM_EXEC | SHM_RDONLY) == (void *)-1)
		error = FAILED;
	shmctl(id, IPC_RMID, 0);
	return error;
}

int read_implies_exec(void) { return personality(READ_IMPLIES_EXEC) < 0 ? FAILED : 0; }
