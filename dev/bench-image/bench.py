#!/usr/bin/env python3
"""Ours beside skopeo and nix2container, on one image, one registry, and daemons with empty folders. skopeo gets our
layers as an OCI layout, and those that nix2container plans. CPU seconds are those of the client and, where it says so,
of the daemon; walls compare only within a table. Progress goes to stderr."""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

OUT = "build/bench-image"
OURS = "build/nix2vast"
CACHE = OUT + "/cache"
DAEMONS = ["docker overlay2", "docker 26 overlay2", "docker 26 containerd store", "podman"]
PEER = OUT + "/nix2container"
TICK = os.sysconf("SC_CLK_TCK")


def children():
    t = os.times()
    return t.children_user + t.children_system


def timed(*command, env=None, stdout=subprocess.DEVNULL, daemon=lambda: 0):
    """Runs a command: wall seconds, its CPU seconds, those of a daemon meanwhile."""
    cpu, behind, wall = children(), daemon(), time.monotonic()
    done = subprocess.run(command, env={**os.environ, **(env or {})}, stdout=stdout, stderr=subprocess.PIPE, text=True)
    result = {"wall": time.monotonic() - wall, "cpu": children() - cpu, "daemon": daemon() - behind}
    if done.returncode:
        sys.exit(f"bench-image: {' '.join(command)}\n{done.stderr[-3000:]}")
    return result


class Registry:
    """Debian's docker-registry on a loopback port, with an empty folder."""

    def __init__(self, port):
        self.address, self.folder = f"127.0.0.1:{port}", f"{OUT}/registry"
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        config = f"{OUT}/registry.yml"
        with open(config, "w") as f:
            f.write(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                    f"storage: {{filesystem: {{rootdirectory: {os.path.abspath(self.folder)}}}, delete: {{enabled: true}}}}\n"
                    f"http: {{addr: '{self.address}'}}\n")
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://{self.address}/v2/").read()
                return
            except OSError:
                if time.monotonic() > deadline:
                    sys.exit("bench-image: docker-registry does not answer")

    def size(self):
        """Bytes of all blobs."""
        return sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(self.folder) for f in files if f == "data")

    def close(self):
        self.process.terminate()
        self.process.wait()


class Docker:
    """A dockerd of its own: bin is where its programs are, None for the machine's."""

    def __init__(self, name, bin, config):
        self.name, self.home = name, f"{OUT}/{name.replace(' ', '-')}"
        self.stop_old()
        os.makedirs(self.home)
        self.env = {"DOCKER_HOST": f"unix://{os.path.abspath(self.home)}/sock"}
        with open(f"{self.home}/daemon.json", "w") as f:
            json.dump(config, f)
        home = os.path.abspath(self.home)
        path = f"{os.path.abspath(bin)}:{os.environ['PATH']}" if bin else os.environ["PATH"]
        self.log = open(f"{self.home}/log", "w")
        self.process = subprocess.Popen(
            [shutil.which("dockerd", path=path), "--config-file", f"{home}/daemon.json", "--data-root", f"{home}/data", "--exec-root", f"{home}/exec",
             "--pidfile", f"{home}/pid", "--host", self.env["DOCKER_HOST"], "--bridge", "none", "--iptables=false"],
            stdout=self.log, stderr=self.log, env={**os.environ, "PATH": path})
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "info"], env={**os.environ, **self.env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"bench-image: dockerd does not answer, see {self.home}/log")
            time.sleep(0.2)

    def stop_old(self):
        shutil.rmtree(self.home, ignore_errors=True)

    def cpu(self):
        """CPU seconds of dockerd and its children that are there."""
        total, parents = 0, {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                stat = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(pid)] = (int(stat[1]), sum(map(int, stat[11:15])) / TICK)
        for pid, (parent, seconds) in parents.items():
            while pid not in (0, 1, self.process.pid) and pid in parents:
                pid = parents[pid][0]
            total += seconds if pid == self.process.pid else 0
        return total

    def timed(self, *command):
        return timed(*command, env=self.env, daemon=self.cpu)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)


class Podman:
    """Podman with a storage of its own."""
    name = "podman"

    def __init__(self):
        self.home = f"{OUT}/podman"
        shutil.rmtree(self.home, ignore_errors=True)
        os.makedirs(self.home)
        home = os.path.abspath(self.home)
        with open(f"{home}/storage.conf", "w") as f:
            f.write(f'[storage]\ndriver = "overlay"\ngraphroot = "{home}/graph"\nrunroot = "{home}/run"\n')
        self.env = {"CONTAINERS_STORAGE_CONF": f"{home}/storage.conf", "NIX2VAST_RUNTIME": "podman"}

    def timed(self, *command):
        return timed(*command, env=self.env)

    def close(self):
        subprocess.run(["umount", f"{self.home}/graph/overlay"], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.home, ignore_errors=True)


class Bench:
    def __init__(self, args):
        self.args, self.rows, self.registry = args, [], Registry(args.port)

    def row(self, name, runs, sent=None):
        m = {k: statistics.median(r[k] for r in runs) for k in ("wall", "cpu", "daemon")}
        self.rows.append((name, len(runs), m, sent))
        mib = "" if sent is None else f", {sent / 2**20:.2f} MiB"
        print(f"{name}: {m['wall']:.2f} s wall, {m['cpu']:.2f} CPU-s, daemon {m['daemon']:.2f} CPU-s{mib}", file=sys.stderr, flush=True)

    def ours(self, verb, plan, *more, env=None):
        return timed(OURS, "image", verb, "--cache", CACHE, f"{OUT}/plan{plan}.json", *more, env=env)

    def push(self, plan, repository, *more):
        before = self.registry.size()
        result = self.ours("push", plan, f"{self.registry.address}/{repository}:{plan}", "--allow-http", *more)
        return result, self.registry.size() - before

    def plans(self):
        shutil.rmtree(CACHE, ignore_errors=True)
        self.row("ours: digests of all layers, nothing known", [timed(OURS, "image", "archive", "--cache", CACHE, f"{OUT}/plan1.json", "-o", "/dev/null")])
        self.row("ours: plan and digests, second time", [self.ours("inspect", 1) for _ in range(self.args.r)])

    def pushes(self):
        for kind, level in ("gzip", 0), ("zstd", 0), ("zstd", 1):
            how = ["--compression", kind] + (["--compression-level", str(level)] if level else [])
            name = f"{kind} at level {level}" if level else kind
            repository = f"{kind}{level or ''}"
            shutil.rmtree(CACHE, ignore_errors=True)
            result, sent = self.push(1, repository, *how)
            self.row(f"ours: first push, {name}", [result], sent)
            result, sent = self.push(2, repository, *how)
            self.row(f"ours: push after a config edit, {name}", [result], sent)
            runs = [self.push(2, repository, *how) for _ in range(self.args.r)]
            self.row(f"ours: push of the unchanged image, {name}", [r for r, _ in runs], runs[-1][1])

    def skopeo(self, source, target, docker=None):
        """docker is where docker-daemon: leads: skopeo does not read DOCKER_HOST."""
        command = ["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false"]
        if docker:
            return docker.timed(*command, "--dest-daemon-host", docker.env["DOCKER_HOST"], source, target)
        return timed(*command, source, target)

    def peers(self):
        folder = f"{OUT}/peer"
        shutil.rmtree(folder, ignore_errors=True)
        for plan in 1, 2:
            timed(OURS, "image", "oci", "--cache", CACHE, "--tag", f"peer:{plan}", f"{OUT}/plan{plan}.json", folder)
        self.copies("skopeo, our layers", folder, "peer")

    def copies(self, name, folder, repository):
        known = "/var/lib/containers/cache/blob-info-cache-v1.boltdb"
        for plan, what in (1, "first push"), (2, "push after a config edit"), (2, "push of the unchanged image, cold"):
            if os.path.exists(known) and (plan == 1 or "cold" in what):
                os.remove(known)
            before = self.registry.size()
            result = self.skopeo(f"oci:{folder}:{plan}", f"docker://{self.registry.address}/{repository}:{plan}")
            self.row(f"{name}: {what}", [result], self.registry.size() - before)

    def nix2container(self):
        """Its planner in one derivation, as buildImage with maxLayers has it."""
        if not os.path.exists(PEER):
            print("bench-image: without nix2container", file=sys.stderr)
            return
        folder = f"{OUT}/planned"
        shutil.rmtree(folder, ignore_errors=True)
        for plan in 1, 2:
            p = json.load(open(f"{OUT}/plan{plan}.json"))
            graph = f"{OUT}/graph{plan}.json"
            paths = p["closure"] + [p["rootfs"]] + p.get("files", [])
            with open(graph, "w") as f:
                json.dump([{"path": q["path"], "references": q.get("references", [])} for q in paths], f)
            timed(PEER, graph, p["rootfs"]["path"], "50", folder, str(plan))
            if plan == 1:
                again = timed(PEER + "-plan", "layers-from-reproducible-storepaths", f"{OUT}/layers.json", graph, "--max-layers", "50")
                self.row("nix2container: digests of all layers, each time that the config changes", [again])
        self.copies("skopeo, nix2container's layers", folder, "planned")

    def loads(self):
        reference = self.reference(2)
        for kind in DAEMONS:
            daemon = self.daemon(kind)
            if daemon is None:
                continue
            try:
                self.row(f"ours: first load into {kind}", [daemon.timed(OURS, "image", "load", "--cache", CACHE, f"{OUT}/plan1.json")])
                edits = []
                for _ in range(self.args.r):
                    daemon.timed(daemon.env.get("NIX2VAST_RUNTIME", "docker"), "rmi", "-f", reference) if edits else None
                    edits.append(daemon.timed(OURS, "image", "load", "--cache", CACHE, f"{OUT}/plan2.json"))
                self.row(f"ours: load into {kind} after a config edit", edits)
                if kind == DAEMONS[0] and os.path.exists(f"{OUT}/peer"):
                    result = self.skopeo(f"oci:{OUT}/peer:2", "docker-daemon:bench/peer:2", docker=daemon)
                    self.row(f"skopeo, our layers: load into {kind}, which has them all", [result])
            finally:
                daemon.close()

    def daemon(self, kind):
        if kind == "podman":
            return Podman()
        new = "build/docker/bin" if "26" in kind else None
        if new and not os.path.exists(new):
            print(f"bench-image: without {kind}: dev/docker.sh build/docker", file=sys.stderr)
            return None
        config = {"storage-driver": "overlay2"} if "overlay2" in kind else {"features": {"containerd-snapshotter": True}}
        return Docker(kind, new, config)

    def reference(self, plan):
        p = json.load(open(f"{OUT}/plan{plan}.json"))
        return f"{p['name']}:{p['tag']}"

    def pulls(self):
        """By turns, each into an empty docker, and each first once: what was written before costs whoever comes next."""
        there = [("ours, gzip", "gzip"), ("skopeo, our layers", "peer"), ("skopeo, nix2container's layers", "planned")]
        there = [(n, r) for n, r in there if os.path.exists(f"{self.registry.folder}/docker/registry/v2/repositories/{r}")]
        runs = {name: [] for name, _ in there}
        for turn in range(self.args.p):
            first = turn % max(1, len(there))
            for name, repository in there[first:] + there[:first]:
                os.sync()
                daemon = Docker("docker pulls", None, {"storage-driver": "overlay2"})
                try:
                    runs[name].append(daemon.timed("docker", "pull", "-q", f"{self.registry.address}/{repository}:1"))
                finally:
                    daemon.close()
        for name in runs:
            self.row(f"{name}: docker pull", runs[name])

    def markdown(self):
        model = next(line.split(": ", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
        yield f"{os.cpu_count()} CPUs, {model}, Linux {platform.release()}, {time.strftime('%Y-%m-%d')}\n"
        yield "| what | runs | wall s | CPU-s | CPU-s of dockerd | MiB sent |\n|---|---|---|---|---|---|"
        for name, n, m, sent in self.rows:
            yield f"| {name} | {n} | {m['wall']:.2f} | {m['cpu']:.2f} | {m['daemon']:.2f} | {'' if sent is None else f'{sent / 2**20:.2f}'} |"


def main():
    p = argparse.ArgumentParser(prog="dev/bench-image/run", description=__doc__)
    p.add_argument("-t", default="plans,pushes,peers,nix2container,pulls,loads", metavar="TEST,…", help="only these: %(default)s")
    p.add_argument("-r", type=int, default=5, metavar="RUNS", help="of what takes seconds; the rest runs once")
    p.add_argument("--port", type=int, default=5591, help="of the registry")
    p.add_argument("-p", type=int, default=3, metavar="RUNS", help="of the pulls")
    args = p.parse_args()
    bench = Bench(args)
    try:
        for test in args.t.split(","):
            getattr(bench, test)()
    finally:
        bench.registry.close()
    print("\n".join(bench.markdown()))


if __name__ == "__main__":
    main()
