// The intruder at devices: the boot disk through a ring, commands past the block layer, device-mapper, and the system
// calls of 32-bit programs.
#define _GNU_SOURCE
#include "attack.h"
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/dm-ioctl.h>
#include <linux/hdreg.h>
#include <linux/io_uring.h>
#include <linux/mmc/ioctl.h>
#include <linux/nvme_ioctl.h>
#include <scsi/sg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* One request by a ring. */
static int ring(const struct io_uring_sqe *asked)
{
	struct io_uring_params setup = { 0 };
	int fd = syscall(SYS_io_uring_setup, 1, &setup);
	size_t length = setup.sq_off.array + setup.sq_entries * sizeof(unsigned);
	char *queue, *done;
	struct io_uring_sqe *entry;
	struct io_uring_cqe *result;

	if (fd < 0)
		return ENOSYS;
	queue = mmap(0, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	entry = mmap(0, sizeof *entry, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	done = mmap(0, setup.cq_off.cqes + setup.cq_entries * sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    IORING_OFF_CQ_RING);
	*entry = *asked;
	*(unsigned *)(queue + setup.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(queue + setup.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0)
		return FAILED;
	result = (void *)(done + setup.cq_off.cqes);
	return result->res < 0 ? -result->res : 0;
}

/* openat(2), in a thread of the kernel's. */
int ring_open(void)
{
	struct io_uring_sqe asked = { .opcode = IORING_OP_OPENAT, .flags = IOSQE_ASYNC, .fd = AT_FDCWD,
				      .addr = (unsigned long)disk, .open_flags = O_RDWR };

	return ring(&asked);
}

/* No command that a block device knows. */
int ring_command(void)
{
	struct io_uring_sqe asked = { .opcode = IORING_OP_URING_CMD, .fd = open(disk, O_RDONLY) };

	return asked.fd < 0 ? FAILED : ring(&asked);
}

static int controls(const char *path, unsigned long command, void *argument)
{
	int fd = open(path, O_RDONLY);

	return fd < 0 || ioctl(fd, command, argument) < 0 ? FAILED : 0;
}

int passthrough(void)
{
	unsigned char inquiry[6] = { 0x12 }, sense[32];
	sg_io_hdr_t header = { .interface_id = 'S', .cmd_len = 6, .cmdp = inquiry, .sbp = sense, .timeout = 1000,
			       .dxfer_direction = SG_DXFER_NONE };

	return controls(disk, SG_IO, &header);
}

/* Each with no argument. Passes if one is let through; the gate is to refuse all of them. */
static int pass_commands(const unsigned long *commands, size_t count)
{
	size_t refused = 0;
	int last = 0;

	for (size_t i = 0; i < count; i++) {
		errno = 0;
		last = controls(disk, commands[i], 0);
		if (!last)
			return 0;
		refused += last == EPERM;
	}
	return refused && refused < count ? EAGAIN : last;
}

#define COMMANDS(list) pass_commands(list, sizeof list / sizeof *list)

int passthrough_mmc(void)
{
	static const unsigned long commands[] = { MMC_IOC_CMD, MMC_IOC_MULTI_CMD };

	return COMMANDS(commands);
}

int passthrough_ata(void)
{
	static const unsigned long commands[] = { HDIO_DRIVE_CMD, HDIO_DRIVE_TASK, HDIO_DRIVE_TASKFILE };

	return COMMANDS(commands);
}

int passthrough_nvme(void)
{
	static const unsigned long commands[] = { NVME_IOCTL_ADMIN_CMD, NVME_IOCTL_SUBMIT_IO, NVME_IOCTL_IO_CMD,
						  NVME_IOCTL_ADMIN64_CMD, NVME_IOCTL_IO64_CMD };

	return COMMANDS(commands);
}

int partitions(void)
{
	struct blkpg_ioctl_arg nothing = { .op = 99 };

	return controls(disk, BLKPG, &nothing);
}

#define DM_CONTROL "/dev/mapper/control"

static int mapper(unsigned long command)
{
	struct dm_ioctl request = { .version = { 4, 0, 0 }, .data_size = sizeof request };

	mkdir("/dev/mapper", 0755);
	mknod(DM_CONTROL, S_IFCHR | 0600, makedev(10, 236));
	if (command != DM_VERSION)
		strcpy(request.name, "intruder");
	return controls(DM_CONTROL, command, &request);
}

int dm_version(void) { return mapper(DM_VERSION); }

int dm_create(void)
{
	int error = mapper(DM_DEV_CREATE);

	if (!error)
		mapper(DM_DEV_REMOVE);
	return error;
}

int dm_suspend(void) { return mapper(DM_DEV_SUSPEND); }
int dm_load(void) { return mapper(DM_TABLE_LOAD); }
int dm_remove(void) { return mapper(DM_DEV_REMOVE); }

/* A system call of a 32-bit program, asm/unistd_32.h. Pointers must lie below 4 GiB: those of a static program's own data
 * do. */
#define IOCTL_32 54
#define PERSONALITY_32 136

static int call_32(long number, long first, long second, long third)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second), "d"(third)
			 : "memory", "cc", "r8", "r9", "r10", "r11");
	return result;
}

int dm_create_32(void)
{
	static struct dm_ioctl request = { .version = { 4, 0, 0 }, .data_size = sizeof request, .name = "intruder" };
	int fd, result;

	if (mapper(DM_VERSION))
		return EIO;
	fd = open(DM_CONTROL, O_RDONLY);
	result = call_32(IOCTL_32, fd, DM_DEV_CREATE, (long)&request);
	close(fd);
	if (result < 0)
		return -result;
	mapper(DM_DEV_REMOVE);
	return 0;
}

int read_implies_exec_32(void)
{
	int result = call_32(PERSONALITY_32, READ_IMPLIES_EXEC, 0, 0);

	return result < 0 ? -result : 0;
}

int write_disk(void) { return opens(disk, O_WRONLY); }
int write_slot(void) { return opens(slot, O_RDWR); }
int write_other_slot(void) { return opens(other_slot, O_RDWR); }
int write_esp(void) { return opens(esp, O_RDWR); }
int read_disk(void) { return opens(disk, O_RDONLY); }

int write_own_node(void)
{
	struct stat found;

	stat(disk, &found);
	unlink("/dev/node");
	if (mknod("/dev/node", S_IFBLK | 0600, found.st_rdev))
		return FAILED;
	return opens("/dev/node", O_RDWR);
}

int swap(void) { return swapon(other_slot, 0) ? FAILED : 0; }
