#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""make bench: the gateway against the database alone, the bare library, and peers; README.md tells what
the figures mean.

    make bench                                    one table; the same as JSON in var/bench.json
    BENCH_PEERS="fastify express bun nginx haproxy" make bench
    BENCH_ROUNDS=5 BENCH_SECONDS=2                how often each figure is measured, and how long
    BENCH_FIGURES="read_* hello_http1"            only these (suite/figures.py); as option: --figures "…"
    BENCH_SAVE=1                                  keeps it in bench/results/
    bench/run.py --append FILE                    more rounds of an earlier result
    bench/run.py --show FILE                      its table again

Figures of one round follow each other at once, each round begins with another figure, and what is
compared is compared within a round, so that a slow minute meets all. After each round the JSON is
written, so that an end by Ctrl-C loses one round. The status is not 0 when a figure is invalid."""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time

from suite import accounting, pauses, report, servers
from suite.clients import Load
from suite.figures import FIGURES, HELLO_BYTES, OWN_FIGURES, PEER_FIGURES, SELLING, named, write_scripts
from suite.setting import BENCH, ROOT, STORE, Setting
from suite.wire import Wire, request

SCARCE = [{"name": "per-client", "key": "principal", "rate": "1000000/s", "burst": 1000000},
          {"name": "scarce", "key": "principal", "rate": "1/h", "burst": 1, "routes": ["GET /v1/inventory"]}]

PAUSES_S = 2


class Lab:
    """What the figures need: servers, clients, tokens, scripts."""

    def __init__(self, setting, figures, peers):
        self.setting, self.load = setting, Load(setting)
        self.scripts = write_scripts(setting)
        self.tokens = {"expired": setting.issuer.sign(setting.issuer.claims(exp=1700000000))}
        self.run = 0
        self.servers = {}
        self._capacities = {}  # of this round
        wanted = {server for name in figures for server in (FIGURES[name].server, FIGURES[name].needs)}
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
        if "sockets" in wanted:
            self.servers["sockets"] = servers.sockets(self.setting, HELLO_BYTES)
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

    def capacity(self, url, seconds, sells):
        """Measured once in a round."""
        if url not in self._capacities:
            self._capacities[url] = self.load.capacity(url, seconds, sells)
        return self._capacities[url]

    def begin_round(self):
        self._capacities.clear()

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
            if name in ("sockets", "hello", "hello-tls"):
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


class Use:
    """What was used since: by the server, by PostgreSQL, by the load, by the whole machine."""

    def __init__(self, server, postmaster):
        self._server, self._postmaster = server, postmaster
        self._before = self._now()

    def _now(self):
        each = [accounting.cpu_us([pid]) for pid in self._server.cpu_pids()] if self._server else []
        return [accounting.server_cpu_us(self._postmaster), accounting.client_cpu_us(), *accounting.machine_us(), *each]

    def so_far(self):
        postgres, client, all_of, idle, *each = (now - then for now, then in zip(self._now(), self._before))
        out = {"postgres_cpu_us": round(postgres), "client_cpu_us": round(client), "busy_part": round(1 - idle / all_of, 3),
               "others_part": round(max(0, 1 - (idle + postgres + client + sum(each)) / all_of), 3)}
        if each:
            out["server_cpu_us"] = round(sum(each))
        if len(each) > 1:
            out["busiest_part"] = round(max(each) / max(1, sum(each)), 3)
        return out


def measure(lab, name, seconds, rate=0):
    """One run of one figure, as it goes into the JSON."""
    figure, setting = FIGURES[name], lab.setting
    server = lab.servers.get(figure.server)
    lab.run += 1
    sales = setting.database.value("SELECT count(*) FROM transactions") if name in SELLING else 0
    faults = 0
    if server:
        server.quiet()
        faults = server.faults()
    use = Use(server, setting.postmaster)
    result = figure.measure(lab, seconds, rate)
    run = {"figure": name, "requests": result.requests, "seconds": result.seconds, "errors": result.errors,
           "p50_us": result.p50, "p99_us": result.p99, "p999_us": result.p999, **use.so_far(), **result.more}
    if server:
        run["errors"] += server.faults() - faults
        run["memory_kib"] = accounting.pss_kib(server.memory_pids())
    if name in SELLING:
        run["errors"] += missing_sales(setting, sales, result.requests)
    if rate:
        run["offered_per_s"] = round(rate)
    if run["busy_part"] > figure.busy_at_most:
        run["invalid"] = "the machine was %.0f %% busy" % (100 * run["busy_part"])
    if figure.latency:
        run["p50_us"], run["p99_us"], run["p999_us"] = figure.latency(lab)
    return run


def measure_in_round(lab, name, seconds):
    """The same at its rate; what went wrong becomes an invalid run, and the others go on."""
    figure, capacity = FIGURES[name], 0
    try:
        lab.setting.settle(name in SELLING)
        if figure.part:
            capacity = figure.capacity(lab)
        run = measure(lab, name, figure.seconds or seconds, capacity * (figure.part or 0))
    except (AssertionError, OSError, subprocess.TimeoutExpired) as problem:
        print("%s: %s" % (name, problem), file=sys.stderr)
        return {"figure": name, "requests": 0, "seconds": 1, "errors": 1, "invalid": str(problem)[-300:]}
    return {**run, "capacity_per_s": round(capacity)} if capacity else run


def turned(names, number):
    first = number % len(names) if names else 0
    return names[first:] + names[:first]


def measure_round(lab, names, number, seconds):
    """Those at a rate come last, and only in every second round, since they take longest."""
    lab.begin_round()
    closed = [name for name in names if not FIGURES[name].part]
    at_rate = [name for name in names if FIGURES[name].part and number % FIGURES[name].every == 0]
    return [{"round": number, **measure_in_round(lab, name, seconds)}
            for name in turned(closed, number) + turned(at_rate, number // 2)]


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
    for name in peers:
        assert name in PEER_FIGURES, "there is no peer '%s'; there are: %s" % (name, " ".join(PEER_FIGURES))
    of_peers = [name for peer in peers for name in PEER_FIGURES[peer]]
    if not words:
        return OWN_FIGURES + of_peers
    names = [name for name in named(words) if name in OWN_FIGURES or name in of_peers]
    assert names, "%s: of peers that BENCH_PEERS does not name" % " ".join(words)
    return names


def hooked(command, word):
    """What the caller wants done around each round: to keep others off the machine, say."""
    if command:
        subprocess.run([*command.split(), word], check=True)


def measure_all(names, peers, rounds, result, path, hook):
    seconds = result["seconds"]
    with Setting("suite") as setting:
        setting.find_postmaster()
        result["machine"] = machine(setting)
        if result["machine"]["load"] > 0.5 and not hook:
            print("the machine is not quiet (load %.1f): take the figures for a smoke test"
                  % result["machine"]["load"], file=sys.stderr)
        setting.calm_postgres(bool(set(names) & set(SELLING)))
        lab = Lab(setting, names, peers)
        try:
            lab.check()
            for name in names:  # warm: connections, caches, compiled code
                if not FIGURES[name].part:
                    measure(lab, name, 1)
            before = max((run["round"] for run in result["runs"]), default=-1) + 1
            for number in range(before, before + rounds):
                hooked(hook, "begin")
                try:
                    result.setdefault("pauses", []).append({"round": number, **pauses.watch(PAUSES_S)})
                    result["runs"] += measure_round(lab, names, number, seconds)
                finally:
                    hooked(hook, "end")
                report.write(path, result)
                print("round %d of %d" % (number + 1, before + rounds), file=sys.stderr)
        finally:
            lab.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--append", metavar="FILE")
    parser.add_argument("--show", metavar="FILE")
    parser.add_argument("--figures", metavar="NAMES", default=os.environ.get("BENCH_FIGURES", ""))
    options = parser.parse_args()
    path = options.append or options.show or os.path.join(ROOT, "var/bench.json")
    result = {"machine": {}, "seconds": int(os.environ.get("BENCH_SECONDS", 2)), "runs": []}
    if options.show or options.append and os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            result = json.load(f)
    if not options.show:
        peers = os.environ.get("BENCH_PEERS", "").split()
        measure_all(choose(options.figures.split(), peers), peers, int(os.environ.get("BENCH_ROUNDS", 5)), result, path,
                    os.environ.get("BENCH_HOOK"))
        if os.environ.get("BENCH_SAVE"):
            report.write(os.path.join(BENCH, "results", result["machine"]["date"].replace(":", "") + ".json"),
                         result)
    sys.exit(not report.table(result, FIGURES))


if __name__ == "__main__":
    main()
