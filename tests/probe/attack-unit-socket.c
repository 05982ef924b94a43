// The intruder inside a service, at its sockets: addresses, ports and names that the profile does not name.
#define _GNU_SOURCE
#include "attack-unit.h"
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sockaddr_in v4(const char *address, int port)
{
	struct sockaddr_in found = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, address, &found.sin_addr);
	return found;
}

static struct sockaddr_in6 v6(const char *address, int port)
{
	struct sockaddr_in6 found = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	inet_pton(AF_INET6, address, &found.sin6_addr);
	return found;
}

static int to4(const char *address, int port)
{
	struct sockaddr_in to = v4(address, port);

	IN("probe.service");
	return connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&to, sizeof to) ? FAILED : 0;
}

static int to6(const char *address, int port)
{
	struct sockaddr_in6 to = v6(address, port);

	IN("probe.service");
	return connect(socket(AF_INET6, SOCK_STREAM, 0), (void *)&to, sizeof to) ? FAILED : 0;
}

int unit_connect(void) { return to4("127.0.0.1", ALLOWED_PORT); }
int unit_connect_port(void) { return to4("127.0.0.1", OTHER_PORT); }
int unit_connect_address(void) { return to4("127.0.0.2", ALLOWED_PORT); }
int unit_connect_6(void) { return to6("::1", ALLOWED_PORT); }
int unit_connect_6_port(void) { return to6("::1", OTHER_PORT); }
int unit_connect_mapped(void) { return to6("::ffff:127.0.0.1", ALLOWED_PORT); }
int unit_connect_mapped_address(void) { return to6("::ffff:127.0.0.2", ALLOWED_PORT); }

/* An IPv4 address given to an IPv6 socket. */
int unit_connect_mixed(void)
{
	struct sockaddr_in to = v4("127.0.0.2", DATAGRAM_PORT);

	IN("probe.service");
	return connect(socket(AF_INET6, SOCK_DGRAM, 0), (void *)&to, sizeof to) ? FAILED : 0;
}

static int sends(const char *address, int family, int type, int port, int flags)
{
	struct sockaddr_in to = v4(address, port);

	to.sin_family = family;
	IN("probe.service");
	return sendto(socket(AF_INET, type, 0), "x", 1, flags, (void *)&to, sizeof to) == 1 ? 0 : FAILED;
}

int unit_send(void) { return sends("127.0.0.1", AF_INET, SOCK_DGRAM, DATAGRAM_PORT, 0); }
int unit_send_address(void) { return sends("127.0.0.2", AF_INET, SOCK_DGRAM, DATAGRAM_PORT, 0); }
/* The kernel takes it for AF_INET. */
int unit_send_unspec(void) { return sends("127.0.0.2", AF_UNSPEC, SOCK_DGRAM, DATAGRAM_PORT, 0); }
int unit_fast_open(void) { return sends("127.0.0.1", AF_INET, SOCK_STREAM, OTHER_PORT, MSG_FASTOPEN); }

int unit_raw(void)
{
	IN("probe.service");
	return socket(AF_INET, SOCK_RAW, IPPROTO_UDP) < 0 ? FAILED : 0;
}

/* connect(2) by a ring, in a thread of the kernel's. */
int unit_ring_connect(void)
{
	struct sockaddr_in to = v4("127.0.0.2", ALLOWED_PORT);
	struct io_uring_params setup = { 0 };
	int ring = syscall(SYS_io_uring_setup, 1, &setup), fd = socket(AF_INET, SOCK_STREAM, 0);
	size_t length = setup.sq_off.array + setup.sq_entries * sizeof(unsigned);
	struct io_uring_sqe *entry;
	struct io_uring_cqe *result;
	char *queue, *done;

	if (ring < 0)
		return ENOSYS;
	IN("probe.service");
	queue = mmap(0, length, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	entry = mmap(0, sizeof *entry, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	done = mmap(0, setup.cq_off.cqes + setup.cq_entries * sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		    IORING_OFF_CQ_RING);
	memset(entry, 0, sizeof *entry);
	entry->opcode = IORING_OP_CONNECT;
	entry->flags = IOSQE_ASYNC;
	entry->fd = fd;
	entry->addr = (unsigned long)&to;
	entry->off = sizeof to;
	__atomic_store_n((unsigned *)(queue + setup.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0)
		return FAILED;
	result = (void *)(done + setup.cq_off.cqes);
	return result->res < 0 ? -result->res : 0;
}

socklen_t named(struct sockaddr_un *to, const char *name)
{
	memset(to, 0, sizeof *to);
	to->sun_family = AF_UNIX;
	strcpy(to->sun_path, name);
	if (*name != '@')
		return sizeof *to;
	to->sun_path[0] = 0;
	return offsetof(struct sockaddr_un, sun_path) + strlen(name);
}

static int to_socket(const char *name)
{
	struct sockaddr_un to;
	socklen_t length = named(&to, name);

	IN("probe.service");
	return connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, length) ? FAILED : 0;
}

int unit_socket(void) { return to_socket(FIELD "/allowed"); }
int unit_socket_other(void) { return to_socket(FIELD "/other"); }
int unit_socket_abstract(void) { return to_socket("@bennu-allowed"); }
int unit_socket_abstract_other(void) { return to_socket("@bennu-other"); }

/* The allowed name, but it leads to another server. */
int unit_socket_renamed(void)
{
	int error;

	if (rename(FIELD "/allowed", FIELD "/aside") || symlink("other", FIELD "/allowed"))
		return ENOTRECOVERABLE;
	error = to_socket(FIELD "/allowed");
	rename(FIELD "/aside", FIELD "/allowed");
	return error;
}

int unit_datagram_other(void)
{
	struct sockaddr_un to;
	socklen_t length = named(&to, FIELD "/datagram");

	IN("probe.service");
	return sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, 0, (void *)&to, length) == 1 ? 0 : FAILED;
}

int local_tcp(void)
{
	IN("local.service");
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? FAILED : 0;
}

int local_tcp_6(void)
{
	IN("local.service");
	return socket(AF_INET6, SOCK_STREAM, 0) < 0 ? FAILED : 0;
}

int local_unix(void)
{
	struct sockaddr_un to;
	socklen_t length = named(&to, FIELD "/other");

	IN("local.service");
	return connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, length) ? FAILED : 0;
}
