/* Many processes, as cheaply as they can be had:

   crowd GATE           ten thousand children, each of which holds /alive open and ends
                        when the last writer of the pipe GATE closes it
   crowd GATE collect   the same, and collects them: what that took of the processor is
                        printed, and no parent can be quicker
   crowd                ten thousand orphans, one after the other */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { many = 10000 };

static pid_t child(void)
{
	pid_t pid = fork();
	if (pid < 0)
		err(1, "fork");
	return pid;
}

static double used(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void orphans(void)
{
	for (int i = 0; i < many; i++) {
		pid_t pid = child();
		if (pid) {
			waitpid(pid, NULL, 0);
			continue;
		}
		child();
		_exit(0);
	}
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		orphans();
		return 0;
	}
	if (open("/alive", O_WRONLY) < 0)
		err(1, "/alive");
	int gate = open(argv[1], O_RDONLY);
	if (gate < 0)
		err(1, "%s", argv[1]);
	for (int i = 0; i < many; i++)
		if (!child()) {
			char c;
			_exit(read(gate, &c, 1));
		}
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
