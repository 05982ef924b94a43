// The connections of the story of containment: within the machine, to where alerts go, and to another place.
#define _GNU_SOURCE
#include "attack-contain.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SINK "10.0.2.100"
#define SINK_PORT 6514
#define OTHER "10.0.2.101"
#define OTHER_PORT 7001
#define LOOPBACK "127.0.0.1"
#define ECHO_PORT 7004
#define PATIENCE 4000 // ms until a connection counts as dead

static int to_loopback, to_sink, to_other;

static int connect_to(const char *address, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	socklen_t length = sizeof error;

	inet_pton(AF_INET, address, &to.sin_addr);
	if (connect(fd, (void *)&to, sizeof to) && errno != EINPROGRESS)
		error = errno;
	else if (poll(&ready, 1, PATIENCE) != 1)
		error = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error) {
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

// Sends a word of its own and waits for its echo.
static int talk(int fd)
{
	static int number;
	char word[32], found[4096];
	struct pollfd answer = { .fd = fd, .events = POLLIN };
	int length = snprintf(word, sizeof word, "word-%d-%d.", getpid(), ++number);

	if (fd < 0)
		return FAILED;
	if (send(fd, word, length, MSG_NOSIGNAL) != length)
		return FAILED;
	for (;;) {
		ssize_t got;

		if (poll(&answer, 1, PATIENCE) != 1)
			return ETIMEDOUT;
		got = recv(fd, found, sizeof found - 1, 0);
		if (got <= 0)
			return ECONNRESET;
		found[got] = 0;
		if (strstr(found, word))
			return 0;
	}
}

static int talk_new(const char *address, int port)
{
	int fd = connect_to(address, port), result;

	if (fd < 0)
		return FAILED;
	result = talk(fd);
	close(fd);
	return result;
}

int talk_loopback(void) { return talk(to_loopback); }
int talk_sink(void) { return talk(to_sink); }
int talk_other(void) { return talk(to_other); }
int new_loopback(void) { return talk_new(LOOPBACK, ECHO_PORT); }
int new_own_address(void) { return talk_new(OWN_ADDRESS, ECHO_PORT); }
int new_sink(void) { return talk_new(SINK, SINK_PORT); }
int new_other(void) { return talk_new(OTHER, OTHER_PORT); }
int await_cut(void) { return until(new_other, ETIMEDOUT); }
int await_whole(void) { return until(new_other, 0); }

// Slow: a cut connection sends again at ever longer intervals.
int await_other(void)
{
	for (int i = 0; i < 40; i++)
		if (!talk(to_other))
			return 0;
	return ETIMEDOUT;
}

int send_datagram(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	inet_pton(AF_INET, OTHER, &to.sin_addr);
	return sendto(fd, "word", 4, 0, (void *)&to, sizeof to) == 4 ? 0 : FAILED;
}

// Past IP: a frame for nobody.
int send_frame(void)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_halen = 6 };
	int fd = socket(AF_PACKET, SOCK_DGRAM, 0);

	to.sll_ifindex = if_nametoindex("eth0");
	memset(to.sll_addr, 0xff, 6);
	return sendto(fd, "word", 4, 0, (void *)&to, sizeof to) == 4 ? 0 : FAILED;
}

static void serve_echo(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(ECHO_PORT) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (void *)&at, sizeof at) || listen(listener, 8))
		_exit(1);
	for (;;) {
		int fd = accept(listener, 0, 0);
		char bytes[4096];
		ssize_t length;

		if (fork()) {
			close(fd);
			continue;
		}
		while ((length = recv(fd, bytes, sizeof bytes, 0)) > 0)
			send(fd, bytes, length, MSG_NOSIGNAL);
		_exit(0);
	}
}

int up(const char *name, const char *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq request = {};
	struct sockaddr_in *at = (void *)&request.ifr_addr;

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	at->sin_family = AF_INET;
	if (address) {
		inet_pton(AF_INET, address, &at->sin_addr);
		if (ioctl(fd, SIOCSIFADDR, &request))
			return FAILED;
		inet_pton(AF_INET, "255.255.255.0", &at->sin_addr);
		if (ioctl(fd, SIOCSIFNETMASK, &request))
			return FAILED;
	}
	memset(&request.ifr_addr, 0, sizeof request.ifr_addr);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(fd, SIOCSIFFLAGS, &request) ? FAILED : 0;
}

int connect_all(void)
{
	if (!fork())
		serve_echo();
	for (int i = 0; i < 50 && (to_loopback = connect_to(LOOPBACK, ECHO_PORT)) < 0; i++)
		usleep(100000);
	to_sink = connect_to(SINK, SINK_PORT);
	to_other = connect_to(OTHER, OTHER_PORT);
	return to_loopback < 0 || to_sink < 0 || to_other < 0 ? FAILED : 0;
}
