"""What is measured: one line a figure, and how it is shown."""

from dataclasses import dataclass

FLOORS = ["floor", "floorgo", "gomain", "gopump"]
PEERS = ["tini", "dumb-init", "catatonit", "s6", "runit", "supervisord", "pebble", "process-compose", "dinit"]
OURS = ["init", "init-boot"]
ADAPTERS = FLOORS + PEERS + OURS

GIGABYTE = 1_000_000_000


@dataclass(frozen=True)
class Figure:
    title: str
    test: str  # of measures.py, with count and mode
    count: int
    mode: str
    field: str  # of what the test returns
    unit: str
    goal: float = None  # ours: at most, or at least where more is better
    more: bool = False  # more is better
    floor: str = "floor"
    times: bool = False  # the goal is a ratio to the floor
    full: bool = False  # left out of the quick set
    ratios: bool = True  # False where a figure is a matter of configuration

    @property
    def run(self):
        return self.test, self.count, self.mode


FIGURES = [
    Figure("exec of PID 1 → first instruction of its one service", "boot", 1, "", "first_ms", "ms", 4),
    Figure("10 services: all run", "boot", 10, "", "all_ms", "ms", full=True),
    Figure("100 services: all run", "boot", 100, "", "all_ms", "ms", 40),
    Figure("1,000 services: all run", "boot", 1000, "", "all_ms", "ms", 350),
    Figure("CPU of a start, each of 1,000 services", "boot", 1000, "", "cpu_ms_per_service", "ms", 0.4),
    Figure("memory, 1 service, RSS", "mem", 1, "", "rss_mb", "MB", full=True),
    Figure("memory, 10 services, RSS", "mem", 10, "", "rss_mb", "MB", 8),
    Figure("memory, 100 services, RSS", "mem", 100, "", "rss_mb", "MB", 12),
    Figure("memory, 100 services, PSS", "mem", 100, "", "pss_mb", "MB"),
    Figure("processes of the init's own, 100 services", "mem", 100, "", "processes", "", 1),
    Figure("idle CPU, 100 services", "mem", 100, "", "idle_cpu_ms_per_s", "ms/s", 0.2),
    Figure("10,000 orphans at once: zombies 0.2 s later", "reap", 10_000, "burst", "zombies", "", 0),
    Figure("10,000 orphans at once: all reaped", "reap", 10_000, "burst", "total_ms", "ms", 1.2, times=True),
    Figure("10,000 double forks: zombies 0.2 s later", "reap", 10_000, "storm", "zombies", "", 0, full=True),
    Figure("10,000 double forks: all reaped", "reap", 10_000, "storm", "total_ms", "ms", full=True),
    Figure("10,000 double forks: CPU of PID 1", "reap", 10_000, "storm", "init_cpu_ms", "ms", full=True),
    Figure("crash after 1.3 s up → first instruction", "restart", 1, "aged", "latency_ms", "ms", 3),
    Figure("the same, 5 crashes in a row", "restart", 5, "aged", "latency_ms", "ms", full=True),
    Figure("6 crashes after 30 ms, each", "restart", 6, "young", "latency_ms", "ms", full=True),
    Figure("8 crashes after 30 ms, least delay configured", "restart", 8, "fast", "latency_ms", "ms", full=True),
    Figure("stop of 100 services", "stop", 100, "", "stop_ms", "ms", 15),
    Figure("stop of 10 services that need 200 ms", "stop", 10, "slow", "stop_ms", "ms", 230),
    Figure("of these, killed before they were done", "stop", 10, "slow", "killed", "", 0),
    Figure("stop where one of 10 services ignores SIGTERM", "stop", 10, "stubborn", "stop_ms", "ms", ratios=False),
    Figure("log, 1 GB in writes of 4 KiB", "log", GIGABYTE, "4096", "mb_per_s", "MB/s", 600, True, "gopump"),
    Figure("log, 1 GB in writes of 4 KiB: CPU", "log", GIGABYTE, "4096", "cpu_s_per_gb", "s/GB", 1.6, floor="gopump"),
    Figure("log, 1 GB in writes of 4 KiB: kept", "log", GIGABYTE, "4096", "kept_mb", "MB", ratios=False),
    Figure("log, 1 GB in writes of 4 KiB: peak RSS", "log", GIGABYTE, "4096", "peak_rss_mb", "MB", floor="gopump"),
    Figure("log, 100 MB, a write a line", "log", 100_000_000, "100", "mb_per_s", "MB/s", 200, True, "gopump"),
]

# Measured elsewhere: inits that Debian 12 does not have, shown where the run has none of its own, each figure as its ratio to the floor of the same
# run (2 virtual CPUs, Linux 6.18; dinit at commit d7d843b, nitro at f9761d5).
ELSEWHERE = {
    "dinit": {
        ("boot", 1, "first_ms"): 3.7, ("boot", 100, "all_ms"): 2.4, ("boot", 1000, "all_ms"): 3.3,
        ("boot", 1000, "cpu_ms_per_service"): 4.6, ("mem", 10, "rss_mb"): 4.9, ("mem", 100, "rss_mb"): 5.1,
        ("reap", 10_000, "total_ms"): 1.04,
    },
    "nitro": {
        ("boot", 1, "first_ms"): 5.9, ("boot", 100, "all_ms"): 6.8, ("mem", 10, "rss_mb"): 1.9,
        ("mem", 100, "rss_mb"): 1.9, ("reap", 10_000, "total_ms"): 1.2,
    },
}
