/* svc: the services of the benchmark. It uses no C library, so that its first instruction is ours and its memory is
   two pages: what is measured is the init, not the start of a service. amd64 only.

     svc tick   OUT NAME                     stamp "NAME start NS PID", then pause for ever; SIGTERM ends it
     svc ignore OUT NAME                     the same, with SIGTERM, SIGINT and SIGHUP ignored
     svc slow   OUT NAME MS                  the same; on SIGTERM it waits MS, stamps "stop" and exits with 0
     svc exit   OUT NAME CODE                stamp, exit with CODE
     svc burst  OUT NAME K                   K orphans, alive together, all let go at one instant, "trigger"; then pause
     svc storm  OUT NAME K                   K double forks, one after the other, whose grandchild ends at once; pause
     svc lines  OUT NAME BYTES CHUNK LINE    BYTES to stdout, as lines of LINE bytes in writes of CHUNK bytes; pause

   A stamp is one line appended to OUT: name, event, CLOCK_MONOTONIC in ns, pid. */

typedef unsigned long size;
typedef long word;

enum {
	WRITE = 1, OPEN = 2, CLOSE = 3, SIGACTION = 13, PIPE = 22, PAUSE = 34, NANOSLEEP = 35, GETPID = 39,
	FORK = 57, EXIT = 60, WAIT4 = 61, CLOCK_GETTIME = 228, READ = 0,
};

static word sys(word n, word a, word b, word c, word d)
{
	word r;
	register word r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return r;
}

/* The compiler calls these two by itself. */
void *memset(void *to, int c, size n)
{
	char *p = to;
	while (n--)
		*p++ = c;
	return to;
}

void *memcpy(void *to, const void *from, size n)
{
	char *p = to;
	const char *q = from;
	while (n--)
		*p++ = *q++;
	return to;
}

static size length(const char *s)
{
	size n = 0;
	while (s[n])
		n++;
	return n;
}

static int equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static word number(const char *s)
{
	word v = 0;
	while (*s >= '0' && *s <= '9')
		v = v * 10 + *s++ - '0';
	return v;
}

static char *decimal(char *p, word v)
{
	char digits[24];
	int n = 0;
	do
		digits[n++] = '0' + v % 10;
	while (v /= 10);
	while (n)
		*p++ = digits[--n];
	return p;
}

static word now(void)
{
	word t[2];
	sys(CLOCK_GETTIME, 1 /* CLOCK_MONOTONIC */, (word)t, 0, 0);
	return t[0] * 1000000000 + t[1];
}

static const char *out, *name;

static void stamp_at(const char *event, word t)
{
	char line[256], *p = line;
	size n = length(name);
	int fd;

	if (n > 100)
		n = 100;
	memcpy(p, name, n);
	p += n;
	*p++ = ' ';
	n = length(event);
	memcpy(p, event, n);
	p += n;
	*p++ = ' ';
	p = decimal(p, t);
	*p++ = ' ';
	p = decimal(p, sys(GETPID, 0, 0, 0, 0));
	*p++ = '\n';
	fd = sys(OPEN, (word)out, 1 | 0100 | 02000 | 02000000 /* O_WRONLY O_CREAT O_APPEND O_CLOEXEC */, 0666, 0);
	sys(WRITE, fd, (word)line, p - line, 0);
	sys(CLOSE, fd, 0, 0, 0);
}

static void stamp(const char *event) { stamp_at(event, now()); }

/* What the kernel takes in rt_sigaction; without a restorer a handler could not return. */
struct action {
	void *handler;
	size flags;
	void *restorer;
	size mask;
};

__attribute__((naked)) static void restore(void) { __asm__ volatile("mov $15, %eax\n syscall"); }

static void catch(int sig, void *handler)
{
	struct action a = {handler, 0x04000000 /* SA_RESTORER */, restore, 0};
	sys(SIGACTION, sig, (word)&a, 0, 8);
}

static volatile int caught;

static void on_signal(int sig) { caught = sig; }

static void pause_ms(word ms)
{
	word t[2] = {ms / 1000, ms % 1000 * 1000000};
	sys(NANOSLEEP, (word)t, 0, 0, 0);
}

__attribute__((noreturn)) static void quit(int code)
{
	for (;;)
		sys(EXIT, code, 0, 0, 0);
}

static void slow(word ms)
{
	while (!caught)
		sys(PAUSE, 0, 0, 0, 0);
	pause_ms(ms);
	stamp("stop");
	quit(0);
}

/* Parents of 500 at a time, so that forking takes no tree deeper than two. Each orphan reads from a pipe whose write
   end is ours alone; closing it lets all go. */
static void burst(word count)
{
	int gate[2];
	sys(PIPE, (word)gate, 0, 0, 0);
	for (word done = 0; done < count; done += 500) {
		word k = count - done < 500 ? count - done : 500;
		if (!sys(FORK, 0, 0, 0, 0)) {
			sys(CLOSE, gate[1], 0, 0, 0);
			while (k--)
				if (!sys(FORK, 0, 0, 0, 0)) {
					char c;
					sys(READ, gate[0], (word)&c, 1, 0);
					quit(0);
				}
			quit(0);
		}
		sys(WAIT4, -1, 0, 0, 0);
	}
	pause_ms(300);
	stamp("trigger");
	sys(CLOSE, gate[0], 0, 0, 0);
	sys(CLOSE, gate[1], 0, 0, 0);
	stamp("done");
}

static void storm(word count)
{
	pause_ms(200);
	stamp("trigger");
	while (count > 0) {
		word child = sys(FORK, 0, 0, 0, 0);
		if (!child) {
			sys(FORK, 0, 0, 0, 0);
			quit(0);
		}
		if (child < 0) {
			pause_ms(1); /* no room for a process */
			continue;
		}
		sys(WAIT4, child, 0, 0, 0);
		count--;
	}
	stamp("done");
}

static char buffer[1 << 20];

static void lines(word total, word chunk, word line)
{
	for (word i = 0; i < chunk; i++)
		buffer[i] = (i + 1) % line ? 'a' + i % 23 : '\n';
	pause_ms(500);
	stamp("trigger");
	while (total > 0) {
		word n = total < chunk ? total : chunk;
		for (word written = 0; written < n;) {
			word w = sys(WRITE, 1, (word)buffer + written, n - written, 0);
			if (w == -4 /* EINTR */)
				continue;
			if (w < 0) {
				stamp("writeerror");
				quit(1);
			}
			written += w;
		}
		total -= n;
	}
	stamp("done");
}

__attribute__((used, noreturn)) static void run(word *stack)
{
	word began = now();
	int count = stack[0];
	char **arg = (char **)(stack + 1);

	if (count < 4)
		quit(64);
	out = arg[2];
	name = arg[3];
	char *mode = arg[1];
	word value = count > 4 ? number(arg[4]) : 0;
	if (equal(mode, "ignore")) {
		catch(15, (void *)1);
		catch(2, (void *)1);
		catch(1, (void *)1);
	}
	if (equal(mode, "slow"))
		catch(15, on_signal);
	stamp_at("start", began);
	if (equal(mode, "exit"))
		quit(value);
	if (equal(mode, "slow"))
		slow(value);
	if (equal(mode, "burst"))
		burst(value);
	if (equal(mode, "storm"))
		storm(value);
	if (equal(mode, "lines") && count > 6)
		lines(value, number(arg[5]), number(arg[6]));
	for (;;)
		sys(PAUSE, 0, 0, 0, 0);
}

__attribute__((naked, used)) void _start(void) { __asm__ volatile("mov %rsp, %rdi\n and $-16, %rsp\n call run\n"); }
