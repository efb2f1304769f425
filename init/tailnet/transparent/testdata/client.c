// client connects to an address of the tailnet in the ways of C: one address in static, read-only
// memory for all connections, many threads, sendmsg. It prints a line for each.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// 100.64.0.2:80
static const struct sockaddr_in peer = {
	.sin_family = AF_INET, .sin_port = 80 << 8, .sin_addr = {0x02004064},
};

static int echo(void) {
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char b[5];
	if (connect(fd, (const struct sockaddr *)&peer, sizeof peer) < 0)
		return errno;
	if (send(fd, "hello", 5, 0) != 5 || recv(fd, b, 5, MSG_WAITALL) != 5 || memcmp(b, "hello", 5))
		return -1;
	struct sockaddr_in name;
	socklen_t len = sizeof name;
	if (getpeername(fd, (struct sockaddr *)&name, &len) < 0 || len != sizeof name ||
		name.sin_addr.s_addr != 0x02004064 || name.sin_port != 80 << 8)
		return -2;
	// With less room the address is cut, and its length told as it is.
	len = 3;
	if (getpeername(fd, (struct sockaddr *)&name, &len) < 0 || len != sizeof name)
		return -3;
	close(fd);
	return 0;
}

static void *echoes(void *arg) {
	for (int i = 0; i < 100; i++) {
		int err = echo();
		if (err)
			return (void *)(long)err;
	}
	return 0;
}

static void tell(const char *what, int ok) { printf("%s: %s\n", what, ok ? "ok" : strerror(errno)); }

static void datagrams(void) {
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = 80 << 8, .sin_addr = {0x02004064}};
	struct sockaddr_in other = {.sin_family = AF_INET, .sin_port = 80 << 8, .sin_addr = {0x0100007f}};
	struct iovec v = {"x", 1};
	struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &v, .msg_iovlen = 1};
	struct mmsghdr two[2] = {{{.msg_name = &other, .msg_namelen = sizeof other, .msg_iov = &v, .msg_iovlen = 1}, 0}, {m, 0}};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	tell("sendto", sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to) == 1);
	tell("sendmsg", sendmsg(fd, &m, 0) == 1);
	tell("sendmmsg", sendmmsg(fd, two, 2, 0) == 2);
	tell("connect", connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	tell("other sendmmsg", sendmmsg(fd, two, 1, 0) == 1);
	int tcp = socket(AF_INET, SOCK_STREAM, 0);
	tell("fastopen", sendto(tcp, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof to) == 1);
	tell("io_uring", syscall(425, 1, 0) >= 0);
	tell("unmapped", connect(tcp, (struct sockaddr *)8, sizeof to) == 0);
}

// bench prints the nanoseconds of one connect, of many to an address.
static int bench(const char *ip, int port, int count) {
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct linger now = {1, 0};
	struct timespec a, b;
	double sum = 0;
	for (int i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		inet_pton(AF_INET, ip, &to.sin_addr);
		to.sin_port = htons(port);
		clock_gettime(CLOCK_MONOTONIC, &a);
		if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
			perror("connect");
			return 1;
		}
		clock_gettime(CLOCK_MONOTONIC, &b);
		sum += (b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
		close(fd);
	}
	printf("%.0f\n", sum / count);
	return 0;
}

// binds three sockets by one address in memory, whose port is 0: each gets its own.
static void binds(void) {
	static struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {0x020200c0}}; // 192.0.2.2
	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		tell("bind", bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 1) == 0);
	}
}

int main(int argc, char **argv) {
	if (argc > 4 && !strcmp(argv[1], "bench"))
		return bench(argv[2], atoi(argv[3]), atoi(argv[4]));
	if (argc > 1 && !strcmp(argv[1], "binds")) {
		binds();
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "datagrams")) {
		datagrams();
		return 0;
	}
	printf("once: %d\n", echo());
	printf("twice: %d\n", echo());
	pthread_t t[20];
	long failed = 0;
	for (int i = 0; i < 20; i++)
		pthread_create(&t[i], 0, echoes, 0);
	for (int i = 0; i < 20; i++) {
		void *err;
		pthread_join(t[i], &err);
		if (err)
			failed = (long)err;
	}
	printf("threads: %ld\n", failed);
	fflush(stdout);
	int status;
	if (!fork())
		_exit(echo());
	wait(&status);
	printf("child: %d\n", status);
	return 0;
}
