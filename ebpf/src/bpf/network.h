/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
 *
 * The cut network: packets of every socket in every network namespace, at the root of the control groups, also those of
 * connections that were there before. What passes: loopback, TCP from and to the alert sinks, and the messages by which
 * IPv6 finds its neighbours on the link. Attached only in images that enforce `cut-network`.
 */
#ifndef BENNU_NETWORK_H
#define BENNU_NETWORK_H

#include "respond.h"

/* The beginning of struct __sk_buff (linux/bpf.h): the form in which the kernel shows a packet to a program. */
struct packet {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
};

static long (*load_bytes)(const void *packet, u32 offset, void *to, u32 bytes) = (void *)26;

#define PASS 1
#define DROP 0
/* LOOPBACK_IFINDEX of net/flow.h: in every network namespace. */
#define LOOPBACK 1
#define PROTOCOL_TCP 6
#define PROTOCOL_ICMPV6 58
#define V4_BYTES 20
#define V6_BYTES 40
#define V4_FRAGMENT 0x1fff
/* RFC 4861: router and neighbour solicitation and advertisement, which are never forwarded. */
#define ND_FIRST 133
#define ND_LAST 136
#define ND_HOPS 255

INLINE int is_sink(struct response_state *now, u64 *address, u32 port)
{
	for (u32 i = 0; i < MOST_SINKS; i++) {
		struct sink *sink = &now->sink[i];

		if (i >= now->sinks)
			return 0;
		if (sink->port == port && sink->address[0] == address[0] && sink->address[1] == address[1])
			return 1;
	}
	return 0;
}

/* `leaves`: the other side is who the packet goes to, else who it comes from. `offset`: of the TCP header. */
INLINE int judge_tcp(struct packet *packet, struct response_state *now, u64 *address, u32 offset, int leaves)
{
	u8 ports[4] = {};

	if (load_bytes(packet, offset, ports, sizeof(ports)))
		return DROP;
	return is_sink(now, address, leaves ? ports[2] << 8 | ports[3] : ports[0] << 8 | ports[1]) ? PASS : DROP;
}

INLINE int judge_v4(struct packet *packet, struct response_state *now, int leaves)
{
	u8 head[V4_BYTES] = {};
	u64 address[2] = {};
	u8 *bytes = (u8 *)address;

	if (load_bytes(packet, 0, head, sizeof(head)) || head[9] != PROTOCOL_TCP)
		return DROP;
	if ((head[6] << 8 | head[7]) & V4_FRAGMENT)
		return DROP;
	bytes[10] = bytes[11] = 0xff;
	__builtin_memcpy(bytes + 12, head + (leaves ? 16 : 12), 4);
	return judge_tcp(packet, now, address, (head[0] & 0xf) * 4, leaves);
}

INLINE int is_neighbour_discovery(struct packet *packet, const u8 *head)
{
	const u8 *to = head + 24;
	u8 kind = 0;

	if (head[6] != PROTOCOL_ICMPV6 || head[7] != ND_HOPS || load_bytes(packet, V6_BYTES, &kind, 1))
		return 0;
	/* fe80::/10, ff02::/16 */
	if (!(to[0] == 0xfe && (to[1] & 0xc0) == 0x80) && !(to[0] == 0xff && to[1] == 0x02))
		return 0;
	return kind >= ND_FIRST && kind <= ND_LAST;
}

INLINE int judge_v6(struct packet *packet, struct response_state *now, int leaves)
{
	u8 head[V6_BYTES] = {};
	u64 address[2];

	if (load_bytes(packet, 0, head, sizeof(head)))
		return DROP;
	if (is_neighbour_discovery(packet, head))
		return PASS;
	if (head[6] != PROTOCOL_TCP)
		return DROP;
	__builtin_memcpy(address, head + (leaves ? 24 : 8), 16);
	return judge_tcp(packet, now, address, V6_BYTES, leaves);
}

INLINE int judge_packet(struct packet *packet, int leaves)
{
	struct response_state *now = response();
	u8 version = 0;

	if (!now || !now->cut || packet->ifindex == LOOPBACK)
		return PASS;
	if (load_bytes(packet, 0, &version, 1))
		return DROP;
	if (version >> 4 == 4)
		return judge_v4(packet, now, leaves);
	return version >> 4 == 6 ? judge_v6(packet, now, leaves) : DROP;
}

SEC("cgroup_skb/egress")
int packet_leaves(struct packet *packet)
{
	return judge_packet(packet, 1);
}

SEC("cgroup_skb/ingress")
int packet_comes(struct packet *packet)
{
	return judge_packet(packet, 0);
}

#endif
