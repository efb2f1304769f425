#!/usr/bin/env python3
"""Our init beside others. Each run is one init as PID 1 of fresh namespaces; every figure is read from the kernel, or
stamped by the services themselves, never told by the init. The inits take turns, so that a change of the machine's
load meets all alike. Markdown goes to stdout, progress to stderr, the raw lines to build/bench/results.jsonl."""

import argparse
import datetime
import fcntl
import json
import os
import platform
import signal
import statistics
import sys
import time

from box import BIN, STATE, Cgroup, adapter, read
from measures import TESTS
from plan import ADAPTERS, FIGURES
from tables import Results, markdown, number

# A run that takes longer than this is not repeated, where the init is not ours.
LONG = 10


def machine():
    """What the figures were taken on, in words."""
    model = next((line.split(": ", 1)[1] for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")),
                 platform.machine())
    memory = int(read("/proc/meminfo").split()[1]) / 1024 / 1024
    return f"{os.cpu_count()} CPUs, {model}, {memory:.0f} GiB, Linux {platform.release()}"


def arguments():
    p = argparse.ArgumentParser(prog="dev/bench/run", description=__doc__)
    p.add_argument("--quick", action="store_true", help="the figures of the table, 5 runs each (the default)")
    p.add_argument("--full", action="store_true", help="more figures, 7 runs each")
    p.add_argument("-a", metavar="INIT,…", default=",".join(ADAPTERS), help="only these inits: " + " ".join(ADAPTERS))
    p.add_argument("-t", metavar="TEST,…", default=",".join(TESTS), help="only these tests: " + " ".join(TESTS))
    p.add_argument("-n", metavar="N", type=int, help="only the figures of so many services")
    p.add_argument("-r", metavar="RUNS", type=int, help="how many runs each")
    p.add_argument("-o", metavar="FILE", default=BIN + "/results.jsonl", help="the raw lines")
    p.add_argument("--append", action="store_true", help="keep the raw lines that FILE has, and show all")
    args = p.parse_args()
    args.r = args.r or (7 if args.full else 5)
    args.a, args.t = args.a.split(","), args.t.split(",")
    for given, known in ((args.a, ADAPTERS), (args.t, list(TESTS))):
        for name in given:
            if name not in known:
                p.error(f"there is no {name}; there are {' '.join(known)}")
    return args


def present(names):
    """The adapters whose init is on this machine, with their versions."""
    versions = {}
    for name in names:
        program = BIN + "/" + name
        if name == "dinit":
            program = os.environ.get("DINIT") or "program named by DINIT in the environment"
        if name in ("pebble", "process-compose", "dinit") and not os.path.exists(program):
            print(f"bench: {name} is left out: there is no {program}", file=sys.stderr)
            continue
        versions[name] = adapter("a_version", name).removeprefix(name + " ")
    return versions


def plan(args):
    """The (test, count, mode) to run, in the order of the figures."""
    runs = []
    for figure in FIGURES:
        wanted = (args.full or not figure.full) and figure.test in args.t and args.n in (None, figure.count)
        if wanted and figure.run not in runs:
            runs.append(figure.run)
    return runs


def able(name, test, count):
    most = int(adapter("a_most", name))
    return test in adapter("a_tests", name).split() and (test not in ("boot", "mem", "stop") or not most or count <= most)


def show(test, count, mode, lines):
    """One line of progress: the medians of one init."""
    text = []
    for key in dict.fromkeys(k for line in lines for k in line["result"]):
        values = [line["result"][key] for line in lines if key in line["result"]]
        values = [v for value in values for v in (value if isinstance(value, list) else [value])]
        text.append(f"{key} {values[0] if isinstance(values[0], str) else number(statistics.median(values))}")
    print(f"{test} {count} {mode} {lines[0]['adapter']}: {', '.join(text)}", file=sys.stderr, flush=True)


def measure(names, run, times, common):
    """All runs of one test, the inits in turn; yields raw lines."""
    test, count, mode = run
    lines = {name: [] for name in names if able(name, test, count)}
    skip = set()
    for k in range(times):
        for name in lines:
            if name in skip:
                continue
            began, load = time.monotonic(), os.getloadavg()[0]
            result = TESTS[test](name, count, mode)
            if time.monotonic() - began > LONG and not name.startswith("init"):
                skip.add(name)
            line = {"test": test, "count": count, "mode": mode, "adapter": name, "run": k, "load": load, **common}
            lines[name].append({**line, "result": result})
            yield {**line, **result}
    for list_ in lines.values():
        if list_:
            show(test, count, mode, list_)


def main():
    args = arguments()
    lock = open(os.path.dirname(STATE) + "/." + os.path.basename(STATE), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("bench: another one runs: both would measure each other")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended before its time"))  # through the end of the run
    Cgroup().clear()
    versions = present(args.a)
    common = {"machine": machine(), "date": datetime.date.today().isoformat(), "versions": versions}
    with open(args.o, "a" if args.append else "w") as out:
        for run in plan(args):
            for line in measure(list(versions), run, args.r, common):
                print(json.dumps(line), file=out, flush=True)
    with open(args.o) as f:
        print(markdown(Results([json.loads(line) for line in f])))


if __name__ == "__main__":
    main()
