# SPDX-License-Identifier: Apache-2.0
"""The load: wrk, h2load, pgbench and batches in a closed loop, openloop.c at a rate. Each run returns a
Result."""

import collections
import os
import re
import subprocess
import threading
import time

from suite.setting import BENCH, ROOT
from suite.wire import Wire, request

CONNECTIONS = 64  # HTTP/1.1
H2_CONNECTIONS, H2_STREAMS = 8, 16
PG_CONNECTIONS = 8
OPENLOOP = os.path.join(ROOT, "build/bench-openloop")
# Before an open loop counts. After a checkpoint PostgreSQL writes each page whole once more: sales are slow until then.
WARM_S, WARM_SALES_S = 1, 3
# Of what was due in an open loop. Unsent: still waiting for a connection at the end, so in no percentile. Own: sent
# more than 1 ms late though a connection was idle, so that p99 would be the generator's, unless p99 is so long that
# what the generator was late by (its own p99) is a small part of it.
UNSENT_AT_MOST = OWN_LATE_AT_MOST = 0.01
OWN_OF_P99_AT_MOST = 0.2
SALE = '{"registerId":"{register}","paymentMethod":"card","items":[%s]}' % ",".join(
    ['{"productId":"{product}","quantity":1}'] * 3)

# Latencies in microseconds, None when the client does not tell. more: what else goes into the JSON; "invalid" says
# why the run is not to be counted.
Result = collections.namedtuple("Result", "requests seconds errors p50 p99 p999 more", defaults=(None, None, None, {}))


def _ran(argv, env=None, timeout_s=120):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})})
    assert done.returncode == 0, "%s: %s" % (argv[0], (done.stdout + done.stderr)[-2000:])
    return done.stdout


def percentiles(values):
    """p50, p99 and p99.9."""
    if not values:
        return (None,) * 3
    values.sort()
    return tuple(values[int((len(values) - 1) * part)] for part in (0.5, 0.99, 0.999))


class Load:
    """What all clients need to know."""

    def __init__(self, setting):
        self._s = setting
        self._file = os.path.join(setting.work, "products")
        with open(self._file, "w", encoding="ascii") as f:
            f.write("\n".join(setting.products) + "\n")

    def wrk(self, script, url, seconds, token=None, expect=2):
        """script: product or sale. expect: the class of every answer."""
        out = os.path.join(self._s.work, "wrk")
        _ran(["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", "%ds" % seconds, "--timeout", "10s", "-s",
              os.path.join(BENCH, script + ".lua"), url],
             {"BENCH_DIR": BENCH, "BENCH_TOKEN": token or self._s.token, "BENCH_RESULT": out,
              "BENCH_PRODUCTS": self._file, "BENCH_RUN": str(time.time_ns())}, seconds + 60)
        with open(out, encoding="ascii") as f:
            requests, duration, broken, refused, p50, p99, p999 = map(float, f.read().split())
        wrong = refused if expect == 2 else abs(requests - refused)
        return Result(requests, duration, broken + wrong, p50, p99, p999)

    def h2load(self, url, seconds, log=None):
        words = ["h2load", "-t", "1", "-c", str(H2_CONNECTIONS), "-m", str(H2_STREAMS), "-D", str(seconds)]
        if log:
            words.append("--log-file=" + log)
        text = _ran([*words, "-H", "authorization: Bearer " + self._s.token, url], timeout_s=seconds + 60)
        done, failed, errored, timed_out = map(int, re.search(
            r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text).groups())
        wrong = sum(map(int, re.search(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text).groups()))
        return Result(done, seconds, failed + errored + timed_out + wrong)

    def h2load_latency(self, url, seconds=1):
        """Percentiles need a log of every request, which slows it: a run of its own."""
        log = os.path.join(self._s.work, "h2load.log")
        self.h2load(url, seconds, log)
        with open(log, encoding="ascii") as f:
            values = [int(fields[2]) for line in f if (fields := line.split())[1] == "200"]
        os.remove(log)
        return percentiles(values)

    def pgbench(self, script, seconds, sample=1.0, connections=PG_CONNECTIONS, each=1, **variables):
        """each: so many requests in one call of the script; percentiles are those of a call."""
        prefix = os.path.join(self._s.work, "pgbench_log")
        words = ["pgbench", "-n", "-M", "prepared", "-c", str(connections), "-j", "1", "-T", str(seconds), "-f",
                 script, "-l", "--log-prefix=" + prefix, "--sampling-rate=%g" % sample]
        for name, value in variables.items():
            words += ["-D", "%s=%s" % (name, value)]
        text = _ran([*words, self._s.database.url], timeout_s=seconds + 60)
        calls = int(re.search(r"actually processed: (\d+)", text).group(1))
        failed = int(re.search(r"failed transactions: (\d+)", text).group(1))
        rate = float(re.search(r"tps = ([\d.]+)", text).group(1))
        values = []
        for name in os.listdir(self._s.work):
            if name.startswith("pgbench_log"):
                path = os.path.join(self._s.work, name)
                with open(path, encoding="ascii") as f:
                    values += [int(line.split()[2]) for line in f]
                os.remove(path)
        return Result(calls * each, calls / rate, failed, *percentiles(values))

    def _open(self, url, rate, seconds, sells, connections):
        """{name: value} of openloop.c; rate 0: each connection as fast as it gets answers."""
        words = [OPENLOOP, "-c", str(connections), "-r", "%.0f" % rate, "-w", str(self._warm_s(sells)), "-s", str(seconds),
                 "-H", "Authorization: Bearer " + self._s.token]
        if sells:
            words += ["-H", "Content-Type: application/json", "-H", "Idempotency-Key: {key}", "-p", self._file, "-b", SALE]
        return {name: float(value) for name, value in map(str.split, _ran(
            [*words, url], timeout_s=seconds + 60).splitlines())}

    @staticmethod
    def _warm_s(sells):
        return WARM_SALES_S if sells else WARM_S

    def capacity(self, url, seconds, sells):
        """Requests a second in a closed loop of the generator and the connections of the open loop."""
        return self._open(url, 0, seconds, sells, CONNECTIONS)["ok_per_s"]

    def open_loop(self, url, rate, seconds, sells=False, connections=CONNECTIONS):
        """So many a second, whether answers come or not. Percentiles are without the warm-up; requests and
        seconds with it, as CPU time is."""
        told = self._open(url, rate, seconds, sells, connections)
        errors = told["lost"] + told["all_shed"] + told["all_other"]
        more = {"sent_p99_us": 1000 * told["ok_sent_p99_ms"], "longest_us": 1000 * told["ok_max_ms"],
                "own_late_part": told["own_late"] / max(1, told["scheduled"]),
                "own_p99_us": 1000 * told["own_p99_ms"], "own_p999_us": 1000 * told["own_p999_ms"],
                "generator_part": told["cpu_us"] / seconds / 1e6, "generator_waited_part": told["waited_us"] / seconds / 1e6}
        if told["unsent"] > UNSENT_AT_MOST * told["scheduled"]:
            more["invalid"] = "%.1f %% of the requests found no connection until the end" % (
                100 * told["unsent"] / told["scheduled"])
        elif more["own_late_part"] > OWN_LATE_AT_MOST and told["own_p99_ms"] > OWN_OF_P99_AT_MOST * told["ok_p99_ms"]:
            more["invalid"] = "the generator sent %.1f %% more than 1 ms late by itself" % (100 * more["own_late_part"])
        return Result(told["all_ok"], seconds + self._warm_s(sells), errors, *(1000 * told["ok_%s_ms" % part] for part in (
            "p50", "p99", "p999")), more)

    def batches(self, port, seconds, chance, size, connections, at_most):
        """Sales in batches, one after the other on each connection; latencies are those of a batch."""
        bodies = [self._batch(chance, size) for _ in range(at_most)]
        times, lock, began = [], threading.Lock(), time.monotonic()

        def post():
            with Wire(port) as wire:
                while time.monotonic() < began + seconds:
                    with lock:
                        data = bodies.pop()
                    at = time.monotonic()
                    status, _ = wire.ask(data)
                    with lock:
                        times.append((time.monotonic() - at) * 1e6 if status == 200 else None)

        threads = [threading.Thread(target=post) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lasted, good = time.monotonic() - began, [t for t in times if t is not None]
        return Result(len(good) * size, lasted, len(times) - len(good), *percentiles(good))

    def _batch(self, chance, size):
        return request("POST", "/v1/transactions/batch", self._s.token,
                       [self._s.sale(chance, transactionId=self._s.random_uuid(chance)) for _ in range(size)])
