/* floor LIST: the least that an init can do, in C. It starts each line of LIST, "NAME COMMAND...", by vfork and execve,
   reaps for ever, and starts again what has ended. SIGTERM: a SIGTERM to all, reap until there is nobody, exit 0.
   No logs, no back-off, no timeouts. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 4096, WORDS = 16 };

static struct {
	char *word[WORDS];
	pid_t pid;
} service[MOST];
static int count;
static volatile sig_atomic_t term;

static void on_term(int sig)
{
	(void)sig;
	term = 1;
}

static void start(int i)
{
	pid_t pid = vfork();
	if (!pid) {
		execv(service[i].word[0], service[i].word);
		_exit(111);
	}
	service[i].pid = pid;
}

static void load(const char *path)
{
	char line[4096], *word;
	FILE *f = fopen(path, "r");
	if (!f) {
		perror(path);
		exit(111);
	}
	for (; count < MOST && fgets(line, sizeof line, f); count++) {
		strtok(line, " \t\n"); /* the name */
		for (int n = 0; n < WORDS - 1 && (word = strtok(0, " \t\n")); n++)
			service[count].word[n] = strdup(word);
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_term}; /* without SA_RESTART: waitpid comes back */
	int asked = 0;

	if (argc != 2)
		return 64;
	sigaction(SIGTERM, &action, 0);
	load(argv[1]);
	for (int i = 0; i < count; i++)
		start(i);
	for (;;) {
		pid_t pid = waitpid(-1, 0, 0);
		if (term && !asked) {
			asked = 1;
			kill(-1, SIGTERM);
		}
		if (pid < 0 && errno == ECHILD) {
			if (term)
				return 0;
			pause();
		}
		for (int i = 0; pid > 0 && !term && i < count; i++)
			if (service[i].pid == pid)
				start(i);
	}
}
