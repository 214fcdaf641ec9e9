#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""make bench: the gateway against the database alone, the bare library, and peers; README.md tells what
the figures mean.

    make bench                                    one table; the same as JSON in var/bench.json
    BENCH_PEERS="fastify express bun nginx haproxy" make bench
    BENCH_ROUNDS=5 BENCH_SECONDS=3                how often each figure is measured, and how long
    BENCH_FIGURES="read_pgbench read_http1"       only these (suite/figures.py)
    BENCH_SAVE=1                                  keeps it in bench/results/
    bench/run.py --append FILE                    more rounds of an earlier result
    bench/run.py --show FILE                      its table again

Figures of one round follow each other at once, each round begins with another figure, and what is
compared is compared within a round, so that a slow minute meets all. The status is not 0 when a
figure is invalid."""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time

from suite import accounting, report, servers
from suite.clients import Load
from suite.figures import (FIGURES, HELLO_BYTES, OPEN_PART, OWN_FIGURES, PEER_FIGURES, SELLING,
                           write_scripts)
from suite.setting import BENCH, ROOT, STORE, Setting
from suite.wire import Wire, request

SCARCE = [{"name": "per-client", "key": "principal", "rate": "1000000/s", "burst": 1000000},
          {"name": "scarce", "key": "principal", "rate": "1/h", "burst": 1, "routes": ["GET /v1/inventory"]}]


class Lab:
    """What the figures need: servers, clients, tokens, scripts."""

    def __init__(self, setting, figures, peers):
        self.setting, self.load = setting, Load(setting)
        self.scripts = write_scripts(setting)
        self.tokens = {"expired": setting.issuer.sign(setting.issuer.claims(exp=1700000000))}
        self.run = 0
        self.servers = {}
        wanted = {FIGURES[name].server for name in figures}
        try:
            self._start(wanted, peers)
        except BaseException:
            self.stop()
            raise

    def _start(self, wanted, peers):
        tls = self._certificate()
        auth = {"issuers": [self.setting.issuer.yaml()], "failures": {"rate": 0}}
        for name, workers, cache in (("tillway", 1, 0), ("cached", 1, "16MiB"), ("two", 2, 0),
                                     ("two-cached", 2, "16MiB")):
            if name in wanted:
                self.servers[name] = servers.Tillway(
                    self.setting, tls, workers=workers, cache={"size": cache}, auth=auth, limits=SCARCE,
                    db={"max_connections": 12 if workers == 1 else 16})
        if "hello" in wanted:
            self.servers["hello"] = servers.hello(self.setting, HELLO_BYTES)
        if "hello-tls" in wanted:
            pem = os.path.join(self.setting.work, "both.pem")
            with open(pem, "w", encoding="ascii") as out:
                for path in tls:
                    with open(path, encoding="ascii") as f:
                        out.write(f.read())
            self.servers["hello-tls"] = servers.hello(self.setting, HELLO_BYTES, pem)
        self.servers.update(servers.start_peers(self.setting, peers))

    def _certificate(self):
        paths = [os.path.join(self.setting.work, name) for name in ("cert.pem", "key.pem")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost", "-keyout", paths[1], "-out", paths[0]],
                       check=True, capture_output=True)
        return paths

    def stop(self):
        for server in reversed(list(self.servers.values())):
            server.stop()

    def get(self, path):
        return request("GET", path, self.setting.token)

    @staticmethod
    def clock():
        """Grows by far more than the sales of a run."""
        return int(time.time()) * 100000

    # ---- the real answers -----------------------------------------------------------------------

    def check(self):
        """Everybody answers the same product, to who brings a good token and to nobody else."""
        path = "/v1/products/" + self.setting.product
        answers = {}
        for name, server in self.servers.items():
            if name.startswith("hello"):
                continue
            with Wire(server.port) as wire:
                status, body = wire.ask(self.get(path))
                assert status == 200, "%s answers %d: %s" % (name, status, body[:300])
                answers[name] = json.loads(body)
                for token in (None, self.tokens["expired"]):
                    status, _ = wire.ask(request("GET", path, token))
                    assert status == 401, "%s answers %d to who brings no good token" % (name, status)
                if name in ("tillway", "cached"):
                    assert len(body) == HELLO_BYTES, "HELLO_BYTES is to be %d" % len(body)
                    wire.ask(self.get("/v1/inventory"))
        first = next(iter(answers.values()), None)
        for name, answer in answers.items():
            assert answer == first, "%s answers another product: %s, not %s" % (name, answer, first)


def missing_sales(setting, before, told):
    recorded = setting.database.value("SELECT count(*) FROM transactions") - before
    return max(0, told - recorded)


def measure(lab, name, seconds, rate=0):
    """One run of one figure, as it goes into the JSON."""
    figure, setting = FIGURES[name], lab.setting
    server = lab.servers.get(figure.server)
    postmaster = setting.postmaster
    lab.run += 1
    setting.database.rows("CHECKPOINT")
    sales = setting.database.value("SELECT count(*) FROM transactions") if name in SELLING else 0
    faults = 0
    if server:
        server.quiet()
        faults = server.faults()
        cpu = accounting.cpu_us(server.cpu_pids())
    postgres = accounting.server_cpu_us(postmaster)
    result = figure.measure(lab, seconds, rate)
    run = {"figure": name, "requests": result.requests, "seconds": result.seconds, "errors": result.errors,
           "p50_us": result.p50, "p99_us": result.p99, "p999_us": result.p999,
           "postgres_cpu_us": round(accounting.server_cpu_us(postmaster) - postgres)}
    if server:
        run["server_cpu_us"] = round(accounting.cpu_us(server.cpu_pids()) - cpu)
        run["errors"] += server.faults() - faults
        run["memory_kib"] = accounting.pss_kib(server.memory_pids())
    if name in SELLING:
        run["errors"] += missing_sales(setting, sales, result.requests)
    if rate:
        run["offered_per_s"], run["sent_p99_us"] = round(rate), result.sent_p99
    if figure.latency:
        run["p50_us"], run["p99_us"], run["p999_us"] = figure.latency(lab)
    return run


def measure_round(lab, names, number, seconds):
    """Open loops come last: they need the rate of a closed one."""
    closed = [name for name in names if not FIGURES[name].of]
    first = number % len(closed) if closed else 0
    runs, rates = [], {}
    for name in closed[first:] + closed[:first] + [name for name in names if FIGURES[name].of]:
        source = FIGURES[name].of
        run = measure(lab, name, seconds, rates[source] * OPEN_PART if source else 0)
        rates[name] = run["requests"] / run["seconds"]
        runs.append({"round": number, **run})
    return runs


def machine(setting):
    def first(path, start):
        with open(path, encoding="utf-8") as f:
            return next((line.split(":", 1)[1].strip() for line in f if line.startswith(start)), "unknown")

    git = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "revision": git.stdout.strip() or "unknown", "cores": os.cpu_count(),
            "cpu": first("/proc/cpuinfo", "model name"), "kernel": os.uname().release,
            "memory_mib": int(first("/proc/meminfo", "MemTotal").split()[0]) // 1024,
            "postgres": setting.database.value("SHOW server_version"), "load": os.getloadavg()[0]}


def choose(words, peers):
    for name in words:
        assert name in FIGURES, "there is no figure '%s'; there are: %s" % (name, " ".join(FIGURES))
    for name in peers:
        assert name in PEER_FIGURES, "there is no peer '%s'; there are: %s" % (name, " ".join(PEER_FIGURES))
    if words:
        return words
    return OWN_FIGURES + [name for peer in peers for name in PEER_FIGURES[peer]]


def hooked(command, word):
    """What the caller wants done around each round: to keep others off the machine, say."""
    if command:
        subprocess.run([*command.split(), word], check=True)


def measure_all(names, peers, rounds, seconds, result, hook):
    with Setting("suite") as setting:
        setting.find_postmaster()
        result["machine"] = machine(setting)
        if result["machine"]["load"] > 0.5 and not hook:
            print("the machine is not quiet (load %.1f): take the figures for a smoke test"
                  % result["machine"]["load"], file=sys.stderr)
        lab = Lab(setting, names, peers)
        try:
            lab.check()
            for name in names:  # warm: connections, caches, compiled code
                measure(lab, name, 1, 500 if FIGURES[name].of else 0)
            before = max((run["round"] for run in result["runs"]), default=-1) + 1
            for number in range(before, before + rounds):
                hooked(hook, "begin")
                try:
                    result["runs"] += measure_round(lab, names, number, seconds)
                finally:
                    hooked(hook, "end")
                print("round %d of %d" % (number + 1, before + rounds), file=sys.stderr)
        finally:
            lab.stop()


def words(name, fallback=""):
    return os.environ.get(name, fallback).split()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--append", metavar="FILE")
    parser.add_argument("--show", metavar="FILE")
    options = parser.parse_args()
    path = options.append or options.show or os.path.join(ROOT, "var/bench.json")
    result = {"machine": {}, "seconds": int(os.environ.get("BENCH_SECONDS", 3)), "runs": []}
    if options.show or options.append and os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            result = json.load(f)
    if not options.show:
        peers = words("BENCH_PEERS")
        names = choose(words("BENCH_FIGURES"), peers)
        measure_all(names, peers, int(os.environ.get("BENCH_ROUNDS", 5)), result["seconds"], result,
                    os.environ.get("BENCH_HOOK"))
        report.write(path, result)
        if os.environ.get("BENCH_SAVE"):
            report.write(os.path.join(BENCH, "results", result["machine"]["date"].replace(":", "") + ".json"),
                         result)
    sys.exit(not report.table(result, FIGURES))


if __name__ == "__main__":
    main()
