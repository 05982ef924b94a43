/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * Whom the processes of a unit with a profile talk to. Addresses are the kernel's copies; a Unix socket is known by the
 * name that its server bound it to, which the kernel keeps, whatever path led there.
 */
#ifndef BENNU_CONNECT_H
#define BENNU_CONNECT_H

#include "profile.h"
#include "trace.h"

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define AF_ALG 38

/* Where something goes: an IPv6 address, IPv4 mapped into it. */
struct target {
	u32 family; /* AF_UNSPEC: nowhere */
	u32 port;
	u32 protocol;
	u32 unused;
	u64 address[2];
};

/* struct sockaddr_in and sockaddr_in6, from linux/in.h and linux/in6.h: both begin like this. */
struct wire_address {
	u16 family;
	u16 port;
	u32 ipv4;
	u64 ipv6[2];
};

/* `address` is a sockaddr_storage of the kernel's. An IPv4 socket takes AF_UNSPEC for AF_INET when it sends. */
INLINE int read_target(struct target *to, struct sock *sk, const void *address, int sends)
{
	struct wire_address wire;
	u8 *bytes = (u8 *)to->address;

	__builtin_memset(to, 0, sizeof(*to));
	if (read_kernel(&wire, sizeof(wire), address))
		return 0;
	to->family = wire.family;
	if (to->family == AF_UNSPEC && sends && sk->__sk_common.skc_family == AF_INET)
		to->family = AF_INET;
	to->protocol = sk->sk_protocol;
	if (to->family != AF_INET && to->family != AF_INET6)
		return 1;
	to->port = __builtin_bswap16(wire.port);
	if (to->family == AF_INET6) {
		to->address[0] = wire.ipv6[0];
		to->address[1] = wire.ipv6[1];
		return 1;
	}
	bytes[10] = bytes[11] = 0xff;
	__builtin_memcpy(bytes + 12, &wire.ipv4, 4);
	return 1;
}

INLINE int is_inside(struct address_rule *rule, struct target *to)
{
	if (rule->protocol && rule->protocol != to->protocol)
		return 0;
	if (to->port < rule->first_port || to->port > rule->last_port)
		return 0;
	return !((rule->address[0] ^ to->address[0]) & rule->mask[0] || (rule->address[1] ^ to->address[1]) & rule->mask[1]);
}

INLINE int is_address_allowed(u32 profile, struct target *to)
{
	struct address_rules *rules = map_lookup(&addresses, &profile);

	if (!rules)
		return 0;
	for (u32 i = 0; i < MOST_ADDRESSES; i++) {
		if (i >= rules->count)
			return 0;
		if (is_inside(&rules->rule[i], to))
			return 1;
	}
	return 0;
}

/* Netlink reaches the kernel and nobody else. */
INLINE int judge_target(struct gate_config *set, struct target *to)
{
	u32 profile = current_profile(), stage, outcome;
	struct gate_event *event;

	if (!profile || to->family == AF_UNSPEC || to->family == AF_UNIX || to->family == AF_NETLINK)
		return 0;
	stage = stage_of(profile, RULE_CONNECT);
	if (!stage)
		return 0;
	if ((to->family == AF_INET || to->family == AF_INET6) && is_address_allowed(profile, to))
		return 0;
	if (is_executor(set))
		return 0;
	outcome = outcome_of(set, stage);
	event = begin_event(outcome, KIND_CONNECT, 0, 0, to->family << 16 | to->port);
	if (event) {
		event->profile = profile;
		__builtin_memcpy(event->peer, to->address, 16);
		ring_submit(event, 0);
	}
	return outcome == OUTCOME_DENIED ? -EPERM : 0;
}

SEC("lsm/socket_connect")
int connect_socket(u64 *ctx)
{
	struct socket *socket = (void *)ctx[0];
	struct sock *sk = socket->sk;
	struct gate_config *set;
	struct target to;

	/* Unix sockets have hooks that know the other side. */
	if (!sk || sk->__sk_common.skc_family == AF_UNIX)
		return 0;
	set = gate();
	if (!set || !(set->features & (FEATURE_PROFILES | FEATURE_TRACE)))
		return 0;
	if (!read_target(&to, sk, (void *)ctx[1], 0) || to.family == AF_UNIX || to.family == AF_UNSPEC)
		return 0;
	if (set->features & FEATURE_TRACE)
		trace_connect(set, to.family, to.port, to.protocol, to.address, 0, 0);
	return set->features & FEATURE_PROFILES ? judge_target(set, &to) : 0;
}

/* Whether sockets of a family reach something outside the machine past IP: packet sockets and their like. */
INLINE int is_past_ip(u32 family)
{
	return family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK && family != AF_ALG;
}

INLINE int send_while_cut(struct gate_config *set, struct socket *socket)
{
	struct sock *sk = socket->sk;
	u32 family;

	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	return is_past_ip(family) ? deny(set, KIND_NETWORK_CUT, 0, 0, family << 16) : 0;
}

/* A datagram to an address, and what is sent with the first packet of a connection. */
SEC("lsm/socket_sendmsg")
int send_message(u64 *ctx)
{
	struct socket *socket = (void *)ctx[0];
	struct msghdr *message = (void *)ctx[1];
	struct gate_config *set = gate();
	struct sock *sk = socket->sk;
	struct target to;
	void *name;

	if (!set || !(set->features & (FEATURE_PROFILES | FEATURE_NETWORK)))
		return 0;
	if (set->features & FEATURE_NETWORK && is_network_cut() && send_while_cut(set, socket))
		return -EPERM;
	if (!(set->features & FEATURE_PROFILES))
		return 0;
	name = message->msg_name;
	if (!name || !sk || !read_target(&to, sk, name, 1))
		return 0;
	return judge_target(set, &to);
}

/* A socket that reaches the network without connecting: raw and packet sockets and whatever else there is. */
SEC("lsm/socket_create")
int create_socket(u64 *ctx)
{
	u32 family = ctx[0], type = ctx[1], profile, stage, inet = family == AF_INET || family == AF_INET6;
	struct gate_config *set = gate();

	if (!set || !(set->features & FEATURE_PROFILES) || ctx[3] || family == AF_UNIX || family == AF_NETLINK)
		return 0;
	profile = current_profile();
	if (!profile || is_executor(set))
		return 0;
	stage = stage_of(profile, RULE_TCP);
	if (stage && inet && type == SOCK_STREAM)
		return judge(set, profile, stage, KIND_TCP, 0, 0, family << 16 | type);
	stage = stage_of(profile, RULE_CONNECT);
	if (!stage || (inet && (type == SOCK_STREAM || type == SOCK_DGRAM)))
		return 0;
	return judge(set, profile, stage, KIND_CONNECT, 0, 0, family << 16);
}

/* Of the length of an abstract socket's address: the family and the zero that its name begins with. */
#define ABSTRACT_HEAD 3
/* From unix_address.len to its sun_path: struct sockaddr_un follows, with the family before the path (linux/un.h). aya
 * does not relocate into an array without a length. */
#define UNIX_PATH_OFFSET 6
#define UNIX_PATH_BYTES 108

/* The name that a Unix socket was bound to; zero: it has none, or none yet. */
INLINE int read_peer(struct peer_key *key, struct sock *socket)
{
	struct unix_address *address;
	const char *path;
	char first = 0;
	u32 bytes = 0;

	if (read_kernel(&address, sizeof(address), &((struct unix_sock *)socket)->addr) || !address)
		return 0;
	__builtin_memset(key, 0, sizeof(*key));
	path = (const char *)&address->len + UNIX_PATH_OFFSET;
	read_kernel(&first, 1, path);
	if (first) {
		read_kernel_text(key->name, UNIX_PATH_BYTES, path);
		return 1;
	}
	/* The name of an abstract socket is as long as it is, without a zero at its end. */
	read_kernel(&bytes, sizeof(bytes), &address->len);
	key->abstract = 1;
	read_kernel(key->name, (bytes - ABSTRACT_HEAD) & (PEER_BYTES - 1), path + 1);
	return 1;
}

/* Records; gives what the hook is to return. */
INLINE int deny_peer(struct gate_config *set, struct peer_key *key, u32 stage)
{
	u32 outcome = outcome_of(set, stage);
	struct gate_event *event = begin_event(outcome, KIND_CONNECT, 0, 0, AF_UNIX << 16 | key->abstract);

	if (event) {
		event->profile = key->profile;
		__builtin_memcpy(event->peer, key->name, sizeof(event->peer));
		ring_submit(event, 0);
	}
	return outcome == OUTCOME_DENIED ? -EPERM : 0;
}

INLINE int judge_peer(struct gate_config *set, struct sock *other, int connects)
{
	struct known_peer pair = { current_cgroup(), socket_cookie(other) };
	int is_traced = connects && set->features & FEATURE_TRACE;
	struct peer_key key;
	u32 stage, yes = 1;

	if (!is_traced && map_lookup(&known_peers, &pair))
		return 0;
	/* Without a name: a pair, or a descriptor that somebody handed over. */
	if (!read_peer(&key, other))
		return 0;
	if (is_traced)
		trace_connect(set, AF_UNIX, 0, 0, 0, key.name, key.abstract);
	if (!(set->features & FEATURE_PROFILES))
		return 0;
	key.profile = current_profile();
	if (!key.profile || map_lookup(&peers, &key)) {
		map_update(&known_peers, &pair, &yes, 0);
		return 0;
	}
	stage = stage_of(key.profile, RULE_CONNECT);
	return stage && !is_executor(set) ? deny_peer(set, &key, stage) : 0;
}

SEC("lsm/unix_stream_connect")
int connect_unix(u64 *ctx)
{
	struct gate_config *set = gate();

	if (!set || !(set->features & (FEATURE_PROFILES | FEATURE_TRACE)))
		return 0;
	return judge_peer(set, (void *)ctx[1], 1);
}

SEC("lsm/unix_may_send")
int send_unix(u64 *ctx)
{
	struct socket *other = (void *)ctx[1];
	struct gate_config *set = gate();
	struct sock *sk;

	if (!set || !(set->features & FEATURE_PROFILES))
		return 0;
	sk = other->sk;
	return sk ? judge_peer(set, sk, 0) : 0;
}

#define CLONE_INTO_CGROUP 0x200000000ULL

/* A child in another cgroup would have left the profile, or would start programs again, and no hook can refuse it. Neither it nor its parent lives on. */
SEC("fentry/cgroup_can_fork")
int fork_into_cgroup(u64 *ctx)
{
	struct kernel_clone_args *arguments = (void *)ctx[1];
	struct gate_config *set = gate();
	u64 flags = arguments->flags;

	if (!(flags & CLONE_INTO_CGROUP) || !set)
		return 0;
	if (!is_denied() && (!(set->features & FEATURE_PROFILES) || !current_profile()))
		return 0;
	if (deny(set, KIND_CGROUP, 0, 0, 1))
		send_signal(SIGKILL);
	return 0;
}

#endif
