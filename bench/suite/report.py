# SPDX-License-Identifier: Apache-2.0
"""Runs as a table and as JSON. Every number shown is a median over the rounds; a ratio is the median of
the ratios within each round."""

import json
import os
import statistics

COLUMNS = (("requests/s", 10), ("(min-max)", 17), ("ratio", 7), ("server", 8), ("Postgres", 9), ("p50", 8),
           ("p99", 8), ("p99.9", 8), ("MiB", 7), ("errors", 7))
UNITS = ("", "", "", "us/req", "us/req", "ms", "ms", "ms", "", "")


def rate(run):
    return run["requests"] / run["seconds"]


def median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def per_request(run, key):
    return run[key] / run["requests"] if run.get(key) is not None and run["requests"] else None


class Summary:
    """One figure over all rounds."""

    def __init__(self, name, runs, against):
        mine = [run for run in runs if run["figure"] == name]
        others = {run["round"]: run for run in runs if run["figure"] == against}
        self.rates = [rate(run) for run in mine]
        self.rate = median(self.rates)
        self.ratio = median([rate(run) / rate(others[run["round"]]) for run in mine if run["round"] in others])
        self.server_us = median([per_request(run, "server_cpu_us") for run in mine])
        self.postgres_us = median([per_request(run, "postgres_cpu_us") for run in mine])
        self.ms = [median([run[key] / 1000 if run[key] is not None else None for run in mine])
                   for key in ("p50_us", "p99_us", "p999_us")]
        kib = median([run.get("memory_kib") for run in mine])
        self.memory_mib = kib / 1024 if kib else None
        self.errors = sum(run["errors"] for run in mine)
        self.is_valid = self.errors == 0 and all(run["requests"] > 0 for run in mine)
        self.sent_p99_ms = median([run["sent_p99_us"] / 1000 for run in mine if "sent_p99_us" in run])


def summaries(result, figures):
    names = {run["figure"] for run in result["runs"]}
    return {name: Summary(name, result["runs"], figures[name].against) for name in figures if name in names}


def _shown(value, form):
    return form % value if value is not None else "-"


def table(result, figures):
    """Prints it; false when a figure is invalid."""
    m, all_of = result["machine"], summaries(result, figures)
    counts = sorted({len(s.rates) for s in all_of.values()})
    rounds = "%d" % counts[0] if len(counts) == 1 else "%d to %d" % (counts[0], counts[-1])
    print("%s, %s core(s) of %s, Linux %s, PostgreSQL %s, revision %s" % (
        m["date"], m["cores"], m["cpu"], m["kernel"], m["postgres"], m["revision"]))
    print("medians of %s rounds of %d s; one worker unless said; wrk and open loop 64 connections, h2load 8 x 16, "
          "pgbench 8" % (rounds, result["seconds"]))
    for line in (COLUMNS, tuple((unit, width) for unit, (_, width) in zip(UNITS, COLUMNS))):
        print(" " * 34 + " ".join("%*s" % (width, text) for text, width in line))
    for name, s in all_of.items():
        cells = ["%.0f" % s.rate, "(%.0f-%.0f)" % (min(s.rates), max(s.rates)), _shown(s.ratio, "%.2f"),
                 _shown(s.server_us, "%.1f"), _shown(s.postgres_us, "%.1f"), *(_shown(ms, "%.2f") for ms in s.ms),
                 _shown(s.memory_mib, "%.1f"), "%d" % s.errors]
        print("%-34s" % figures[name].title + " ".join(
            "%*s" % (width, cell) for cell, (_, width) in zip(cells, COLUMNS)) + ("" if s.is_valid else "  INVALID"))
    print()
    for name, s in all_of.items():
        if s.ratio is not None:
            print("%s: %.2fx %s" % (figures[name].title, s.ratio, figures[figures[name].against].title))
    for name, s in all_of.items():
        one = all_of.get(figures[name].against)
        if name.endswith("_two") and one:
            print("%s: %.2fx the CPU of one worker per request" % (figures[name].title, s.server_us / one.server_us))
    for line in against_peers(result, figures):
        print(line)
    for name, s in all_of.items():
        if s.sent_p99_ms is not None:
            print("%s: p99 is %.1fx p50; counted from when it was sent, %.2f ms" % (
                figures[name].title, s.ms[1] / s.ms[0], s.sent_p99_ms))
    return all(s.is_valid for s in all_of.values())


def peer_ratios(result):
    """[(peer's figure, ours, ratio of rates, ratio of memory)]"""
    runs = {(run["figure"], run["round"]): run for run in result["runs"]}
    out = []
    for peer in dict.fromkeys(run["figure"] for run in result["runs"]):
        if peer.split("_")[0] not in ("fastify", "express", "bun", "nginx", "haproxy"):
            continue
        for ours in (("sale_http1",) if peer.endswith("sale") else ("read_http1", "cache_http1")):
            pairs = [(runs[ours, n], run) for (name, n), run in runs.items() if name == peer and (ours, n) in runs]
            if pairs:
                out.append((peer, ours, median([rate(a) / rate(b) for a, b in pairs]),
                            median([a["memory_kib"] / b["memory_kib"] for a, b in pairs])))
    return out


def against_peers(result, figures):
    return ["%s: %.1fx %s, with %.2f of its memory" % (figures[ours].title, ratio, figures[peer].title, memory)
            for peer, ours, ratio, memory in peer_ratios(result)]


def write(path, result):
    """One run a line, so that two results can be compared by diff."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    head = json.dumps({key: value for key, value in result.items() if key != "runs"}, indent=1)
    runs = ",\n".join("  " + json.dumps(run) for run in result["runs"])
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(head[:-2] + ',\n "runs": [\n' + runs + "\n ]\n}\n")
    os.rename(path + ".new", path)
