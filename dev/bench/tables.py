#!/usr/bin/env python3
"""tables.py [FILE]: Markdown of the raw lines that bench.py wrote (default: build/bench/results.jsonl)."""

import json
import statistics
import sys
from collections import defaultdict

from box import BIN
from plan import ADAPTERS, ELSEWHERE, FIGURES, OURS, PEERS


def load(path):
    """The lines of a file of results."""
    with open(path) as f:
        return [json.loads(line) for line in f]


class Results:
    """Raw lines, by test, count and mode, then by adapter."""

    def __init__(self, lines):
        self.lines = lines
        self.runs = defaultdict(list)
        for line in lines:
            self.runs[line["test"], line["count"], line["mode"], line["adapter"]].append(line)

    def values(self, figure, name):
        values = []
        for line in self.runs[figure.run + (name,)]:
            value = line.get(figure.field)
            values += value if isinstance(value, list) else [] if value is None else [value]
        return values

    def median(self, figure, name):
        values = self.values(figure, name)
        return statistics.median(values) if values else None

    def error(self, figure, name):
        return next((line["error"] for line in self.runs[figure.run + (name,)] if "error" in line), None)

    def best(self, figure):
        """The best peer and its median, or (None, None)."""
        medians = [(self.median(figure, name), name) for name in PEERS]
        medians = [m for m in medians if m[0] is not None]
        if not medians:
            return None, None
        value, name = (max if figure.more else min)(medians)
        return name, value

    def adapters(self):
        present = {key[3] for key in self.runs}
        return [name for name in ADAPTERS if name in present]


def number(value):
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1000:
        return f"{value:.0f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio(value, other):
    if value is None or not other:
        return "–"
    return f"{value / other:.2f} ×"


def held(figure, value, floor):
    """The goal, and whether it is held."""
    if figure.goal is None:
        return "–"
    text = f"{'≥' if figure.more else '≤'} {number(figure.goal)}{' × floor' if figure.times else ''}"
    if value is None:
        return text
    if figure.times:
        value = value / floor if floor else float("inf")
    good = value >= figure.goal if figure.more else value <= figure.goal
    return text if good else text + " **missed**"


def summary(results):
    """Ours beside the floor and the best peer, a line a figure."""
    rows = ["| measure (median) | ours | floor | ratio | best peer | ratio | goal |", "|---|---|---|---|---|---|---|"]
    for figure in FIGURES:
        ours = results.median(figure, "init")
        if not results.values(figure, "init") and results.error(figure, "init") is None:
            continue
        floor = results.median(figure, figure.floor) if figure.ratios else None
        name, best = results.best(figure) if figure.ratios else (None, None)
        peer = f"{name} {number(best)}" if name else "–"
        shown = f"{number(ours)} {figure.unit}".strip() if ours is not None else results.error(figure, "init")
        rows.append(f"| {figure.title} | {shown} | {number(floor)} | {ratio(ours, floor)} | {peer} | "
                    f"{ratio(ours, best)} | {held(figure, ours, floor)} |")
    return "\n".join(rows)


def cell(results, figure, name):
    values = results.values(figure, name)
    if not values:
        error = results.error(figure, name)
        return "–" if error is None else "> 12 s" if error.startswith("not over after 12 s") else "failed"
    text = number(statistics.median(values))
    if len(values) > 1 and min(values) != max(values):
        text += f" [{number(min(values))}–{number(max(values))}]"
    if any(line.get("given_up") for line in results.runs[figure.run + (name,)]):
        text += " then given up"
    return text if len(values) > 1 else text + " (1 run)"


def details(results):
    """Every init that took a test: median [least–most], and the ratio to the floor."""
    parts = []
    for figure in FIGURES:
        floor = results.median(figure, figure.floor) if figure.ratios else None
        rows = []
        for name in results.adapters():
            text = cell(results, figure, name)
            if text != "–":
                rows.append(f"| {name} | {text} | {ratio(results.median(figure, name), floor)} |")
        for name, figures in ELSEWHERE.items():
            known = figures.get((figure.test, figure.count, figure.field))
            if known and figure.mode != "storm" and rows and not results.values(figure, name):
                rows.append(f"| {name}, measured elsewhere | | {known:.2f} × |")
        if rows:
            head = f"**{figure.title}**{', ' + figure.unit if figure.unit else ''}"
            parts.append("\n".join([head, "", "| init | median [least–most] | to the floor |", "|---|---|---|"] + rows))
    return "\n\n".join(parts)


def markdown(results):
    first = results.lines[0]
    loads = [line["load"] for line in results.lines]
    boot = next(f for f in FIGURES if f.test == "boot")
    whole = results.median(boot, OURS[1])
    text = [f"Machine: {first['machine']}; load {min(loads):.1f} to {max(loads):.1f}; {first['date']}.", "",
            "Versions: " + ", ".join(f"{k} {v}" for k, v in first["versions"].items()) + ".", "", summary(results)]
    if whole is not None:
        text += ["", f"The whole boot, exec of init → first service of the image: {number(whole)} ms."]
    return "\n".join(text + ["", "## Each init", "", details(results)])


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else BIN + "/results.jsonl"
    print(markdown(Results(load(path))))


if __name__ == "__main__":
    main()
