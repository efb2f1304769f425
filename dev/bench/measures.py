"""The tests. Each takes (adapter, count, mode), makes one run and returns its figures, or {"error": why}."""

import os
import signal
import time

from box import Box, now, read

# How long a service has run before it is killed in the test "restart": all inits that tell a crash from one that
# never worked draw the line at a second or less, s6 and supervisord at a second.
AGE = 1.3
SETTLE = 1.0  # after which nothing is left of a start
PATIENCE = 12  # of a stop: docker's is 10 s


def ticking(count):
    return [(f"s{i}", "tick") for i in range(count)]


def boot(name, count, _):
    """Exec of PID 1 to the first instruction of the first and of the last service."""
    with Box(name, ticking(count)) as box:
        started = box.wait("start", count, 30 + count / 10)
        time.sleep(0.3)
        cpu = (box.cgroup.cpu() - box.cpu_before) / 1e6
        began = box.events("exec")[-1][1]
        if len({e[0] for e in started}) < count:
            return {"error": f"only {len(started)} of {count} services started: {box.last_words()}"}
        at = [e[1] for e in started]
        return {"first_ms": (min(at) - began) / 1e6, "all_ms": (max(at) - began) / 1e6, "cpu_ms_per_service": cpu / count}


def mem(name, count, _):
    """What the init and its helpers hold while nothing happens, and the CPU that all together take."""
    with Box(name, ticking(count)) as box:
        started = box.wait("start", count, 60)
        time.sleep(SETTLE + 0.5)
        rss = pss = fds = threads = 0
        helpers = box.helpers()
        for pid in helpers:
            rollup = {}
            for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
                key, _, value = line.partition(":")
                if value.endswith("kB"):
                    rollup[key] = int(value.split()[0])
            rss += rollup.get("Rss", 0)
            pss += rollup.get("Pss", 0)
            fds += len(os.listdir(f"/proc/{pid}/fd"))
            threads += len(os.listdir(f"/proc/{pid}/task"))
        cpu, at = box.cgroup.cpu(), now()
        time.sleep(2)
        idle = (box.cgroup.cpu() - cpu) / 1e6 / ((now() - at) / 1e9)
        if len(started) < count:
            return {"error": f"only {len(started)} of {count} services started"}
        return {"processes": len(helpers), "rss_mb": rss / 1024, "pss_mb": pss / 1024, "fds": fds, "threads": threads,
                "idle_cpu_ms_per_s": idle}


def reap(name, count, mode):
    """Orphans, as a burst or a storm (see svc.c), to the moment when the last is gone or nothing moves any more."""
    with Box(name, [("o", mode, count)]) as box:
        trigger = box.wait("trigger", 1, 60)
        if not trigger:
            return {"error": "no orphans came: " + box.last_words()}
        cpu = box.cpu_ms([box.init])
        samples, done, last, since = [], None, None, now()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            tasks, at = box.cgroup.tasks(), now()
            samples.append((at, tasks))
            if tasks != last:
                last, since = tasks, at
            if done is None and len(samples) % 20 == 0:
                done = next((e[1] for e in box.events("done")), None)
            if done is not None and at > done + 200e6 and at - since > 150e6:
                break
            time.sleep(0.0002)
        cpu = box.cpu_ms([box.init]) - cpu
        zombies = box.zombies()
        if done is None:
            return {"error": "the orphans were not all made"}
        over = next(at for at, tasks in samples if at >= done and tasks <= last)
        result = {"zombies": zombies, "init_cpu_ms": cpu, "backlog": max(tasks for _, tasks in samples) - last}
        if not zombies:  # else it is not over
            result["total_ms"] = (over - trigger[0][1]) / 1e6
        return result


def restart(name, count, mode):
    """SIGKILL of the service to its next first instruction, count times in a row. The mode says how long it had run:
    aged AGE seconds, young 30 ms, fast 30 ms with the shortest delay that can be configured."""
    with Box(name, [("s0", "tick")], fast=mode == "fast") as box:
        started = box.wait("start", 1, 20)
        latencies = []
        for _ in range(count if started else 0):
            time.sleep(AGE if mode == "aged" else 0.03)
            pid = box.outside(started[-1][2])
            if pid is None:
                break
            at = now()
            os.kill(pid, signal.SIGKILL)
            again = box.wait("start", len(started) + 1, 40)
            if len(again) == len(started):
                break
            started = again
            latencies.append((started[-1][1] - at) / 1e6)
        if not latencies:
            return {"error": "it did not come back"}
        return {"latency_ms": latencies, "given_up": int(len(latencies) < count)}


def stop(name, count, mode):
    """The init's stop signal to the end of PID 1. Mode slow: each service needs 200 ms; stubborn: one ignores TERM."""
    services = ticking(count)
    if mode == "slow":
        services = [(f"s{i}", "slow", 200) for i in range(count)]
    if mode == "stubborn":
        services[0] = ("s0", "ignore")
    with Box(name, services) as box:
        started = box.wait("start", count, 60)
        time.sleep(SETTLE)
        if len(started) < count or box.parent.poll() is not None:
            return {"error": "not all services ran: " + box.last_words()}
        at = now()
        os.kill(box.init, box.stop_signal)
        over = box.gone(PATIENCE)
        finished = len(box.events("stop"))
        if over is not None:
            box.parent.wait()
        code = box.parent.returncode
        if over is None:
            return {"error": f"not over after {PATIENCE} s"}
        result = {"exit_code": code}
        if mode == "slow":
            result["killed"] = count - finished
        if not result.get("killed"):  # else it did not do what is timed
            result["stop_ms"] = (over - at) / 1e6
        return result


def log(name, count, mode):
    """A service that writes count bytes as fast as they are taken, lines of 100 bytes in writes of mode bytes."""
    with Box(name, [("w", "lines", count, mode, 100)], log=True) as box:
        if not box.wait("trigger", 1, 30):
            return {"error": "the service did not start: " + box.last_words()}
        helpers = box.helpers()
        cpu = box.cpu_ms(helpers)
        box.wait("done", 1, 240)
        size, before = box.printed(), -1
        while size != before:  # until all that is on its way is written
            time.sleep(0.2)
            size, before = box.printed(), size
        helpers = box.helpers()
        cpu = box.cpu_ms(helpers) - cpu
        peak = 0
        for pid in helpers:
            status = read(f"/proc/{pid}/status").splitlines()
            peak += sum(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        began, done = box.events("trigger")[0][1], box.events("done")
        if not done:
            return {"error": "not over after 240 s"}
        return {"mb_per_s": count / 1e6 / ((done[0][1] - began) / 1e9), "cpu_s_per_gb": cpu / 1e3 / (count / 1e9),
                "kept_mb": size / 1e6, "peak_rss_mb": peak / 1024}


TESTS = {"boot": boot, "mem": mem, "reap": reap, "restart": restart, "stop": stop, "log": log}
