# SPDX-License-Identifier: Apache-2.0
"""Runs as numbers: medians over the rounds, and medians of ratios within each round."""

import statistics


def rate(run):
    return run["requests"] / run["seconds"]


def median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def per_request(run, key):
    return run[key] / run["requests"] if run.get(key) is not None and run["requests"] else None


class Summary:
    """One figure over all rounds. Runs that say why they are not to be counted are left out, unless that
    would be half of them."""

    def __init__(self, name, runs, against):
        mine = [run for run in runs if run["figure"] == name]
        good = [run for run in mine if "invalid" not in run]
        others = {run["round"]: run for run in runs if run["figure"] == against and "invalid" not in run}
        self.errors = sum(run["errors"] for run in mine)
        self.left_out = [run["invalid"] for run in mine if "invalid" in run]
        self.is_valid = self.errors == 0 and 2 * len(good) > len(mine) and all(run["requests"] > 0 for run in good)
        self.runs = good or mine
        self.rates = [rate(run) for run in self.runs]
        self.rate = median(self.rates)
        self.ratio = median([rate(run) / rate(others[run["round"]]) for run in self.runs if run["round"] in others])
        self.server_us, self.postgres_us, self.client_us = (
            median([per_request(run, key + "_cpu_us") for run in self.runs]) for key in ("server", "postgres", "client"))
        self.ms = [self.of(key) for key in ("p50_us", "p99_us", "p999_us")]
        kib = median([run.get("memory_kib") for run in self.runs])
        self.memory_mib = kib / 1024 if kib else None

    def of(self, key, divisor=1000):
        """The median of what is there of it."""
        return median([run[key] / divisor if run.get(key) is not None else None for run in self.runs])


def summaries(result, figures):
    names = {run["figure"] for run in result["runs"]}
    return {name: Summary(name, result["runs"], figures[name].against) for name in figures if name in names}


def paired(result, ours, theirs, value):
    """The median of value(our run) / value(their run) within each round, or None."""
    runs = {(run["figure"], run["round"]): run for run in result["runs"] if "invalid" not in run and run["requests"]}
    return median([value(run) / value(runs[theirs, number]) for (name, number), run in runs.items()
                   if name == ours and (theirs, number) in runs])


def server_us(run):
    return per_request(run, "server_cpu_us")


def open_spread(s):
    return median([run["p99_us"] / run["p50_us"] for run in s.runs])
