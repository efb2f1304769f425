/* A service with a watchdog: it is ready, naps for 50 ms as often as its argument
   says, speaks, and so on. STATUS is how often it has spoken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

int main(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char text[64] = "READY=1";
	if (argc != 2 || !path || fd < 0)
		return 2;
	strncpy(to.sun_path, path, sizeof to.sun_path - 1);
	for (int n = 1;; n++) {
		if (sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof to) < 0)
			return 1;
		for (int i = 0; i < atoi(argv[1]); i++)
			nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, 0);
		snprintf(text, sizeof text, "WATCHDOG=1\nSTATUS=%d", n);
	}
}
