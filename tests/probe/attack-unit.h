// What the parts of the intruder inside a service share (attack-unit*.c).
#ifndef BENNU_ATTACK_UNIT_H
#define BENNU_ATTACK_UNIT_H

#include "attack.h"
#include <sys/socket.h>
#include <sys/un.h>

#define ALLOWED_PORT 7001
#define OTHER_PORT 7002
#define DATAGRAM_PORT 7003

// Goes into the unit's cgroup.
int enter(const char *unit);

#define IN(unit)                                                                                                       \
	do {                                                                                                           \
		int error = enter(unit);                                                                               \
		if (error)                                                                                             \
			return ENOTRECOVERABLE;                                                                        \
		errno = 0;                                                                                             \
	} while (0)

// The address of a socket by that name; `@` stands before an abstract one. Gives its length.
socklen_t named(struct sockaddr_un *to, const char *name);

// attack-unit-socket.c
int unit_connect(void);
int unit_connect_port(void);
int unit_connect_address(void);
int unit_connect_6(void);
int unit_connect_6_port(void);
int unit_connect_mapped(void);
int unit_connect_mapped_address(void);
int unit_connect_mixed(void);
int unit_send(void);
int unit_send_address(void);
int unit_send_unspec(void);
int unit_fast_open(void);
int unit_raw(void);
int unit_ring_connect(void);
int unit_socket(void);
int unit_socket_other(void);
int unit_socket_abstract(void);
int unit_socket_abstract_other(void);
int unit_socket_renamed(void);
int unit_datagram_other(void);
int local_tcp(void);
int local_tcp_6(void);
int local_unix(void);

#endif
