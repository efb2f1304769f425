/* Many processes, as cheaply as they can be had:

   crowd GATE           ten thousand children, each of which holds /alive open and ends
                        when the last writer of the pipe GATE closes it
   crowd GATE collect   the same, and collects them: what that took of the processor is
                        printed, and no parent can be quicker
   crowd                ten thousand orphans, one after the other

   They share one memory, since a copy of it costs a guest whose page faults are slow a
   millisecond. So each has a stack of its own, and calls nothing but the kernel. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { many = 10000, page = 4096 };

typedef char stack[page];

static stack stacks[many] __attribute__((aligned(16))), parents __attribute__((aligned(16)));
static int gate;

static pid_t child(stack *s, int (*run)(void *), void *argument)
{
	pid_t pid = clone(run, s + 1, CLONE_VM | SIGCHLD, argument);
	if (pid < 0)
		err(1, "clone");
	return pid;
}

/* With CLONE_VM exit(2) ends one process; what a function returns is given to it. */
static int orphan(void *none)
{
	(void)none;
	return 0;
}

static int parent(void *s)
{
	child(s, orphan, NULL);
	return 0;
}

static int waits(void *none)
{
	char c;
	(void)none;
	return syscall(SYS_read, gate, &c, 1);
}

static double used(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		for (int i = 0; i < many; i++)
			waitpid(child(&parents, parent, &stacks[i]), NULL, 0);
		return 0;
	}
	if (open("/alive", O_WRONLY) < 0)
		err(1, "/alive");
	gate = open(argv[1], O_RDONLY);
	if (gate < 0)
		err(1, "%s", argv[1]);
	for (int i = 0; i < many; i++)
		child(&stacks[i], waits, NULL);
	if (argc == 2)
		return 0;
	double before = used();
	puts("forked");
	fflush(stdout);
	while (wait(NULL) > 0)
		;
	printf("collected %.2f\n", used() - before);
	return 0;
}
