#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Instructions that the worker spends on one request, by callgrind, against the committed baseline.

    make bench-instructions                       fails when a path takes 5 % more than the baseline
    bench/instructions.py --rounds 5              ... and tells the spread
    bench/instructions.py --save                  the baseline anew (bench/instructions.json)
    bench/instructions.py --only sale product_cache --profile DIR
                                                  callgrind's profiles, for callgrind_annotate

(make build build/tillway-issuer; dev/install.sh run test bench.) TILLWAY_BIN names another gateway.

One client with one connection sends the requests of a path one after the other: first some that warm
caches, then the counters are set to zero, then those that count, then the counters are read. So
start and end of a process are in none of the figures. What the kernel does is not in them either.

The figures do not depend on who else is busy, but on compiler and libraries: the baseline says which."""

import argparse
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys

from suite.setting import BENCH, Setting
from suite.wire import Wire, request
from kit.processes import children, eventually

BASELINE = os.path.join(BENCH, "instructions.json")
ALLOWED = 1.05
WARM = 60  # more than the connections that each lane may open
PACKAGES = ("gcc", "libc6", "libpq5", "libssl3", "libjansson4", "valgrind")


class Path:
    """What is asked `count` times; each request stands for `units` of what the figure counts."""

    def __init__(self, title, status, make, count=600, units=1, server="plain", h2c=False):
        self.title, self.status, self.make, self.count = title, status, make, count
        self.units, self.server, self.h2c = units, server, h2c


def get(path):
    return lambda s, chance: request("GET", path(s) if callable(path) else path, s.token)


def product_path(s):
    return "/v1/products/" + s.product


def sale(s, chance):
    return request("POST", "/v1/transactions", s.token, s.sale(chance),
                   idempotency_key=s.random_uuid(chance))


def batch(s, chance):
    return request("POST", "/v1/transactions/batch", s.token,
                   [s.sale(chance, transactionId=s.random_uuid(chance)) for _ in range(500)])


def refused(s, chance):
    return request("GET", "/v1/me", s.expired)


# The path of an h2c figure is what h2load can ask: the same request each time.
PATHS = {
    "me": Path("GET /v1/me", 200, get("/v1/me")),
    "product_cache": Path("product from the cache", 200, get(product_path), server="cache"),
    "product_database": Path("product from the database", 200, get(product_path)),
    "list_50": Path("list of 50 products", 200, get("/v1/products?limit=50"), 200),
    "sale": Path("sale of 3 lines", 201, sale, 300),
    "batch_sale": Path("sale in a batch of 500", 200, batch, 3, 500),
    "refused": Path("token refused (expired)", 401, refused, 300),
    "limited": Path("limited (429)", 429, get("/v1/inventory")),
    "me_h2c": Path("GET /v1/me, h2c", 200, "/v1/me", 1000, h2c=True),
    "product_cache_h2c": Path("product from the cache, h2c", 200, product_path, 1000, server="cache", h2c=True),
    "product_database_h2c": Path("product from the database, h2c", 200, product_path, 1000, h2c=True),
}


class Counted:
    """A gateway whose worker runs under callgrind."""

    def __init__(self, setting, server):
        self._out = os.path.join(setting.work, "callgrind-%s" % server)
        self._dumps = 0
        config = setting.config(
            seccomp="off",  # callgrind makes files of its own
            cache={"size": "16MiB" if server == "cache" else 0},
            # On a busy machine all of this is slow, and nothing of it may fail.
            db={"connect_timeout": "60s", "fast_timeout": "60s", "write_timeout": "60s", "slow_timeout": "60s",
                "queue_timeout": "60s", "queue_target": "0s"},
            http={"deadline": "60s", "request_timeout": "60s"},
            # A refused token is judged each time; the one policy that is ever reached is for `limited`.
            auth={"issuers": [setting.issuer.yaml()], "failures": {"rate": 0}},
            limits=[{"name": "per-client", "key": "principal", "rate": "1000000/s", "burst": 1000000},
                    {"name": "scarce", "key": "principal", "rate": "1/h", "burst": 1,
                     "routes": ["GET /v1/inventory"]}])
        self.gateway = setting.gateway(config, prefix=[
            "valgrind", "--tool=callgrind", "-q", "--trace-children=yes", "--callgrind-out-file=%s.%%p" % self._out])
        self.gateway.start()
        self.gateway.wait_connected(120)  # else a password's 4096 rounds of SHA-256 are in some request
        (self.worker,) = children(self.gateway.pid)
        if server == "cache":
            eventually(lambda: self.gateway.metrics()["tillway_cache_listening"] == 1, 60)

    def _control(self, word):
        done = subprocess.run(["callgrind_control", word, str(self.worker)], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0 and "OK" in done.stdout, done.stdout + done.stderr

    def zero(self):
        self._control("--zero")

    def read(self, keep_as=None):
        """Instructions since zero()."""
        self._control("--dump")
        self._dumps += 1
        path = "%s.%d.%d" % (self._out, self.worker, self._dumps)
        with open(path, encoding="utf-8", errors="replace") as f:
            count = int(re.search(r"^(?:totals|summary): (\d+)", f.read(), re.M).group(1))
        if keep_as:
            shutil.copy(path, keep_as)
        os.remove(path)
        return count


def ask_all(setting, port, path, count, chance, may_be=()):
    if path.h2c:
        target = path.make(setting) if callable(path.make) else path.make
        done = subprocess.run(["h2load", "-c", "1", "-m", "1", "-n", str(count), "-H",
                               "authorization: Bearer " + setting.token,
                               "http://127.0.0.1:%d%s" % (port, target)],
                              capture_output=True, text=True, timeout=300)
        assert "status codes: %d 2xx, 0 3xx, 0 4xx, 0 5xx" % count in done.stdout, done.stdout
        return
    requests = [path.make(setting, chance) for _ in range(count)]
    with Wire(port, 300) as wire:
        for data in requests:
            status, body = wire.ask(data)
            assert status in (path.status, *may_be), "%d: %s" % (status, body[:500])


def measure(setting, names, profiles):
    """{name: instructions per unit} of one life of each gateway."""
    counts = {}
    for server in sorted({PATHS[name].server for name in names}):
        counted = Counted(setting, server)
        for name in (n for n in names if PATHS[n].server == server):
            path, chance = PATHS[name], random.Random(name)
            ask_all(setting, counted.gateway.http, path, 1 if path.units > 1 else WARM, chance,
                    may_be=(200,))  # the one that is not limited yet
            counted.zero()
            ask_all(setting, counted.gateway.http, path, path.count, chance)
            keep = os.path.join(profiles, "callgrind.%s" % name) if profiles else None
            counts[name] = round(counted.read(keep) / path.count / path.units)
        counted.gateway.stop()
    return counts


def surroundings():
    """What else the figures depend on."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES], text=True,
                          capture_output=True)
    return {"machine": platform.machine(), **dict(line.split() for line in done.stdout.splitlines())}


def load_baseline():
    if not os.path.exists(BASELINE):
        return {"with": {}, "instructions": {}}
    with open(BASELINE, encoding="utf-8") as f:
        return json.load(f)


def save(medians):
    baseline = {"with": surroundings(), "instructions": {**load_baseline()["instructions"], **medians}}
    with open(BASELINE, "w", encoding="utf-8") as f:
        json.dump(baseline, f, indent=1)
        f.write("\n")


def report(rounds, baseline):
    """The table; returns the names that are above what is allowed."""
    print("%-32s %10s %10s %8s %8s" % ("instructions per request", "now", "baseline", "change", "spread"))
    above = []
    for name in rounds[0]:
        values = [r[name] for r in rounds]
        now, before = round(statistics.median(values)), baseline.get(name)
        change = "%+.1f %%" % (100 * now / before - 100) if before else "-"
        spread = "%.2f %%" % (100 * (max(values) - min(values)) / now) if len(values) > 1 else "-"
        mark = ""
        if before and now > before * ALLOWED:
            above.append(name)
            mark = "  ABOVE"
        print("%-32s %10d %10s %8s %8s%s" % (PATHS[name].title, now, before or "-", change, spread, mark))
    return above


def judge(rounds):
    """Compares with the baseline, if that was made on such a machine. Prints what tests/run.sh counts."""
    baseline, here = load_baseline(), surroundings()
    others = ["%s %s, not %s" % (name, here.get(name), there) for name, there in baseline["with"].items()
              if here.get(name) != there]
    is_comparable = baseline["with"].get("machine") == here["machine"]
    above = report(rounds, baseline["instructions"] if is_comparable else {})
    if above:
        print("More than %d %% above the baseline: find out why (--profile), or show that it is worth it and "
              "make the baseline anew (--save)." % round(100 * ALLOWED - 100))
    if others:
        print("The baseline was made with others: " + "; ".join(others))
    print("%d passed, %d failed" % (len(rounds[0]) - len(above), len(above)))
    return not above


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="the result is the new baseline")
    parser.add_argument("--only", nargs="+", choices=PATHS, default=list(PATHS), metavar="PATH")
    parser.add_argument("--profile", metavar="DIR", help="keep callgrind's profiles here")
    options = parser.parse_args()
    if options.profile:
        os.makedirs(options.profile, exist_ok=True)
    names = [name for name in PATHS if name in options.only]
    with Setting("instructions") as setting:
        setting.expired = setting.issuer.sign(setting.issuer.claims(exp=1700000000))
        rounds = [measure(setting, names, options.profile) for _ in range(options.rounds)]
    if options.save:
        save({name: round(statistics.median(r[name] for r in rounds)) for name in names})
    sys.exit(not judge(rounds))


if __name__ == "__main__":
    main()
