# SPDX-License-Identifier: Apache-2.0
"""Runs as a table and as JSON. Every number shown is a median over the rounds; a ratio is the median of
the ratios within each round."""

import json
import os

from suite import promises
from suite.summary import median, open_spread, paired, rate, server_us, summaries

COLUMNS = (("requests/s", 10), ("(min-max)", 17), ("ratio", 7), ("server", 8), ("Postgres", 9), ("client", 8), ("p50", 8),
           ("p99", 8), ("p99.9", 8), ("MiB", 7), ("errors", 7))
UNITS = ("", "", "", "us/req", "us/req", "us/req", "ms", "ms", "ms", "", "")
TITLE = 38
QUIET_PART = 0.15  # of the machine, for who has no part in the figures
PEERS = ("fastify", "express", "bun", "nginx", "haproxy")


def _shown(value, form):
    return form % value if value is not None else "-"


def _row(title, s):
    cells = ["%.0f" % s.rate, "(%.0f-%.0f)" % (min(s.rates), max(s.rates)), _shown(s.ratio, "%.2f"),
             *(_shown(us, "%.1f") for us in (s.server_us, s.postgres_us, s.client_us)),
             *(_shown(value, "%.2f") for value in s.ms), _shown(s.memory_mib, "%.1f"), "%d" % s.errors]
    print("%-*s" % (TITLE, title) + " ".join("%*s" % (width, cell) for cell, (_, width) in zip(cells, COLUMNS)) +
          ("" if s.is_valid else "  INVALID"))


def _head(result, all_of):
    m = result["machine"]
    counts = sorted({len(s.rates) for s in all_of.values()})
    rounds = "%d" % counts[0] if len(counts) == 1 else "%d to %d" % (counts[0], counts[-1])
    print("%s, %s core(s) of %s, Linux %s, PostgreSQL %s, revision %s" % (
        m["date"], m["cores"], m["cpu"], m["kernel"], m["postgres"], m["revision"]))
    print("medians of %s rounds of %d s (open loops have their own); one worker unless said; wrk and open loop 64 "
          "connections, h2load 8 x 16, pgbench 8" % (rounds, result["seconds"]))
    if result.get("pauses"):
        print("the machine itself stopped a busy thread for %.1f %% of the time (median of the rounds), for %.1f ms at "
              "the longest" % (100 * median([p["part"] for p in result["pauses"]]),
                               max(p["longest_us"] for p in result["pauses"]) / 1000))
    others = [run["others_part"] for run in result["runs"] if "others_part" in run]
    if others:
        print("neither server, client, PostgreSQL nor idle (kernel threads, log writer, hypervisor, neighbours): %.1f %% of "
              "the machine (median), %.1f %% at the most%s" % (
                  100 * median(others), 100 * max(others),
                  "; NOT QUIET: take all for a smoke test" if median(others) > QUIET_PART else ""))
    for line in (COLUMNS, tuple((unit, width) for unit, (_, width) in zip(UNITS, COLUMNS))):
        print(" " * TITLE + " ".join("%*s" % (width, text) for text, width in line))


def table(result, figures):
    """Prints it; false when a figure is invalid."""
    all_of = summaries(result, figures)
    _head(result, all_of)
    for name, s in all_of.items():
        _row(figures[name].title, s)
    print()
    for name, s in all_of.items():
        for reason in sorted(set(s.left_out)):
            print("%s: %d of %d runs left out: %s" % (figures[name].title, s.left_out.count(reason),
                                                      len(s.left_out) + len(s.runs) * (s.runs[0].get("invalid") is None),
                                                      reason))
    for name, s in all_of.items():
        if s.ratio is not None:
            print("%s: %.2fx %s" % (figures[name].title, s.ratio, figures[figures[name].against].title))
    for part in (_two, _room, _open, _peers, promises.show):
        part(result, all_of, figures)
    return all(s.is_valid for s in all_of.values())


# ---- what the table does not hold -----------------------------------------------------------------


def _two(result, all_of, figures):
    for name in all_of:
        if name.endswith("_two") and figures[name].against in all_of:
            print("%s: %.2fx the CPU of one worker per request, in a closed loop that fills the machine" % (
                figures[name].title, paired(result, name, figures[name].against, server_us)))


def _room(result, all_of, figures):
    """Two workers where the machine has room."""
    for kind in ("cache", "read"):
        names = ["room_%s_%s" % (kind, part) for part in ("one", "two", "double")]
        if not all(name in all_of for name in names):
            continue
        one, two, double = (all_of[name] for name in names)
        busy = [run["busy_part"] for s in (one, two, double) for run in s.runs if "busy_part" in run]
        ratio = paired(result, names[1], names[0], server_us)
        if ratio is not None:
            print("%s with room, R = %.0f/s, machine %.0f to %.0f %% busy: CPU per request of one worker at R %.1f us, of two "
                  "at 2R %.1f us (%.2fx; the busier had %.0f %%), of one at 2R %.1f us" % (
                      figures[names[0]].title.split(",")[0], one.of("offered_per_s", 1), 100 * min(busy),
                      100 * max(busy), one.server_us, two.server_us, ratio, 100 * two.of("busiest_part", 1),
                      double.server_us))


def _open(result, all_of, figures):
    for name, s in all_of.items():
        if not name.startswith("open_") or s.of("own_late_part") is None:
            continue
        print("%s, %.0f of %.0f/s: p99 is %.1fx p50 (%.1fx in the best round), p99.9 %.1f ms (%.1f), the longest %.1f ms; "
              "p99 from when it was sent %.2f ms" % (
                  figures[name].title, s.of("offered_per_s", 1), s.of("capacity_per_s", 1), open_spread(s),
                  min(run["p99_us"] / run["p50_us"] for run in s.runs), s.ms[2],
                  min(run["p999_us"] for run in s.runs) / 1000, s.of("longest_us"), s.of("sent_p99_us")))
        print("    generator: %.0f %% of a core, ready without one for %.0f %% of the time; sent more than 1 ms late by "
              "itself: %.2f %%; machine %.0f %% busy" % tuple(100 * s.of(key, 1) for key in (
                  "generator_part", "generator_waited_part", "own_late_part", "busy_part")))


def peer_ratios(result):
    """[(peer's figure, ours, ratio of rates, ratio of memory)]"""
    out = []
    for peer in dict.fromkeys(run["figure"] for run in result["runs"]):
        if peer.split("_")[0] not in PEERS:
            continue
        for ours in (("sale_http1",) if peer.endswith("sale") else ("read_http1", "cache_http1")):
            times = paired(result, ours, peer, rate)
            if times is not None:
                out.append((peer, ours, times, paired(result, ours, peer, lambda run: run["memory_kib"])))
    return out


def _peers(result, all_of, figures):
    words = {"read_http1": "from the database, as the peer does", "cache_http1": "as configured by default (cache on)",
             "sale_http1": "a whole sale"}
    for peer, ours, times, memory in peer_ratios(result):
        print("beside %-32s %-38s %5.1fx the requests/s, %.2f of the memory" % (
            figures[peer].title + ":", words[ours], times, memory))


def write(path, result):
    """One run a line, so that two results can be compared by diff."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    head = json.dumps({key: value for key, value in result.items() if key != "runs"}, indent=1)
    runs = ",\n".join("  " + json.dumps(run) for run in result["runs"])
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(head[:-2] + ',\n "runs": [\n' + runs + "\n ]\n}\n")
    os.rename(path + ".new", path)
