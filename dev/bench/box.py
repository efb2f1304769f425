"""One run of one init: fresh PID and mount namespaces, a cgroup, and what the kernel says of it."""

import os
import select
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get("BIN", os.path.join(HERE, "../../build/bench"))
BIN = os.path.realpath(BIN)
INIT = os.path.realpath(os.environ.get("INIT", os.path.join(HERE, "../../build/init")))
STATE = os.environ.get("BENCH_STATE", "/dev/shm/nix2vast-bench")  # all files of a run, in memory
TICKS = os.sysconf("SC_CLK_TCK")


def now():
    """CLOCK_MONOTONIC in ns, the clock that the services stamp with."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def read(path):
    """The text of a file; empty where it cannot be read, as /proc of a process that has ended."""
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def adapter(function, name, *args, **env):
    """What a function of an adapter prints; see adapters/README."""
    env = {**os.environ, "BIN": BIN, "INIT": INIT, **env}
    command = [HERE + "/adapter.sh", function, name, *args]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {function} of the adapter {name} failed: {done.stderr.strip()}")
    return done.stdout.strip()


class Cgroup:
    """A cgroup, v1 or v2, that counts the tasks of a run and their CPU time."""

    def __init__(self):
        name, root = os.path.basename(STATE), "/sys/fs/cgroup"
        self.v2 = os.path.exists(root + "/cgroup.controllers")
        parts = [""] if self.v2 else ["/pids", "/cpuacct", "/cpu"]
        self.dirs = [f"{root}{part}/{name}" for part in parts]
        for path in self.dirs:
            os.makedirs(path, exist_ok=True)
        # Before whatever else this machine does.
        if self.v2:
            self.set(root + "/cgroup.subtree_control", "+pids +cpu")
            self.set(self.dirs[0] + "/cpu.weight", "10000")
        else:
            self.set(self.dirs[2] + "/cpu.shares", "262144")
        self.current = open(self.dirs[0] + "/pids.current")

    @staticmethod
    def set(path, value):
        """Best effort: a container may not be allowed to."""
        try:
            with open(path, "w") as f:
                f.write(value)
        except OSError:
            pass

    def join(self):
        """Move the calling process in."""
        for path in self.dirs:
            with open(path + "/cgroup.procs", "w") as f:
                f.write("0")

    def tasks(self):
        """How many tasks there are, zombies included."""
        self.current.seek(0)
        return int(self.current.read())

    def cpu(self):
        """CPU time of all that ever ran in it, in ns."""
        if self.v2:
            return int(read(self.dirs[0] + "/cpu.stat").split()[1]) * 1000
        return int(read(self.dirs[1] + "/cpuacct.usage"))

    def clear(self):
        """End what an interrupted run left behind."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def processes(self):
        return [int(pid) for pid in read(self.dirs[0] + "/cgroup.procs").split()]


class Box:
    """An init as PID 1 with services, each a tuple (NAME, MODE, ARGUMENT...) for svc."""

    def __init__(self, name, services, fast=False, log=False):
        shutil.rmtree(STATE, ignore_errors=True)
        os.makedirs(STATE + "/d")
        os.makedirs(STATE + "/log")
        self.out, self.seen, self.offset = STATE + "/out", [], 0
        open(self.out, "w").close()
        with open(STATE + "/list", "w") as f:
            for service, mode, *args in services:
                print(service, BIN + "/svc", mode, self.out, service, *args, file=f)
        env = {}
        if fast:
            env["FAST"] = "1"
        if log:
            env["LOG"] = STATE + "/log"
        adapter("a_write", name, STATE + "/d", STATE + "/list", **env)
        words = adapter("a_command", name, STATE + "/d", STATE + "/list", **env).split()
        self.stop_signal = getattr(signal, "SIG" + adapter("a_signal", name))
        svc = os.stat(BIN + "/svc")
        self.svc = (svc.st_dev, svc.st_ino)
        self.cgroup = Cgroup()
        self.cpu_before, self.tasks_before = self.cgroup.cpu(), self.cgroup.tasks()
        self.start(words)

    def start(self, words):
        """Start the init; self.init is its pid, as seen from here."""
        environ = dict(os.environ)
        while "=" in words[0]:
            key, value = words.pop(0).split("=", 1)
            environ[key] = value
        command = ["unshare", "-fpm", "--mount-proc", "--kill-child=KILL", BIN + "/stamp", self.out, *words]
        with open(STATE + "/stdout", "wb") as stdout:
            self.parent = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stdout, env=environ, cwd=STATE,
                preexec_fn=self.cgroup.join)
        self.init = None
        while not self.init and self.parent.poll() is None:
            children = read(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children").split()
            if children:
                self.init = int(children[0])

    def events(self, event):
        """The stamps of one event so far, (name, ns, pid), oldest first."""
        with open(self.out) as f:
            f.seek(self.offset)
            for line in f:
                if not line.endswith("\n"):
                    break
                self.offset += len(line)
                name, what, at, pid = line.split()
                self.seen.append((what, name, int(at), int(pid)))
        return [e[1:] for e in self.seen if e[0] == event]

    def wait(self, event, count, limit):
        """Wait until an event was stamped so often, at most limit seconds; return its stamps."""
        end = time.monotonic() + limit
        while True:
            list_ = self.events(event)
            if len(list_) >= count or time.monotonic() > end or self.parent.poll() is not None:
                return list_
            time.sleep(0.002 if count < 50 else 0.01)

    def gone(self, limit):
        """Wait until PID 1 has ended; the ns then, or None. By pidfd: Popen.wait only looks every 50 ms."""
        try:
            fd = os.pidfd_open(self.init)
        except ProcessLookupError:
            return now()
        ended = select.select([fd], [], [], limit)[0]
        at = now()
        os.close(fd)
        return at if ended else None

    def is_service(self, pid):
        try:
            st = os.stat(f"/proc/{pid}/exe")
        except OSError:
            return False
        return (st.st_dev, st.st_ino) == self.svc

    def helpers(self):
        """Every process of the init's own: PID 1 and what it started beside the services."""
        return [p for p in self.cgroup.processes() if p != self.parent.pid and not self.is_service(p)]

    def outside(self, pid):
        """The pid that a process of the box has here, or None."""
        for p in self.cgroup.processes():
            for line in read(f"/proc/{p}/status").splitlines():
                if line.startswith("NSpid:") and line.split()[-1] == str(pid):
                    return p
        return None

    @staticmethod
    def cpu_ms(pids):
        """User and system time of processes, in ms."""
        ticks = 0
        for pid in pids:
            stat = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            if stat:
                ticks += int(stat[11]) + int(stat[12])
        return ticks * 1000 / TICKS

    def zombies(self):
        """How many children of PID 1 are dead and not reaped."""
        count = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            stat = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            count += bool(stat) and stat[0] == "Z" and int(stat[1]) == self.init
        return count

    def printed(self):
        """How many bytes the init has written: its own output and the log files."""
        size = os.stat(STATE + "/stdout").st_size
        for path, _, files in os.walk(STATE + "/log"):
            for name in files:
                try:
                    size += os.stat(path + "/" + name).st_size
                except OSError:
                    pass  # rotated away
        return size

    def last_words(self):
        return read(STATE + "/stdout")[-300:].strip() or "nothing was printed"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """End everything, and wait until the cgroup is as empty as before."""
        if self.parent.poll() is None:
            try:
                os.kill(self.init, signal.SIGKILL)
            except (OSError, TypeError):
                pass
            self.parent.wait()
        end = time.monotonic() + 5
        while self.cgroup.tasks() > self.tasks_before and time.monotonic() < end:
            time.sleep(0.005)
        self.cgroup.current.close()
