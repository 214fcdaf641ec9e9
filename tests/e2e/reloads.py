# SPDX-License-Identifier: Apache-2.0
"""`make reloads`: FAULTS P4 in full. RELOADS (50) reloads and UPGRADES (10) upgrades, one in EVERY (2) seconds, at
half of what wrk alone reaches in the beginning (SHARES), under wrk, h2load and the suite's own clients; not part of
`make test`. What was really answered meanwhile, and which share of that it is, is printed: on a machine with other
work it may be less.

Who counts: wrk (errors of sockets, answers that are not 2xx), h2load (requests that failed) and kit.steady,
which forgives nothing. h2load does not go on after a GOAWAY, and calls "errored" what it had queued and may
not send any more: it comes anew about each second, and for the reloads, which leave the counters alone, the server
must have answered exactly as many of its requests as it has had answers."""

import contextlib
import os
import re
import subprocess
import threading
import time

from kit.processes import children, descriptors, eventually, resident_kib
from kit.steady import Http2, KeptConnections, NewConnections

RELOADS = int(os.environ.get("RELOADS", "50"))
UPGRADES = int(os.environ.get("UPGRADES", "10"))
EVERY_S = float(os.environ.get("EVERY", "2"))  # one change so often: a start of two workers takes what clients lack
DRAIN_S = 2
CLIENTS, STREAMS = 2, 4  # of an h2load
OF_H2LOAD = "/v1/me"  # nobody else asks for it
# Of what wrk alone reaches: half of it. A handshake costs as much as dozens of requests, so these are few: what the
# clients need must leave the gateway the processors for its half.
SHARES = {"wrk kept": (0.368, False, False), "wrk kept, TLS": (0.07, True, False),
          "wrk new": (0.01, False, True), "wrk new, TLS": (0.002, True, True)}  # TLS, a connection for each request
SHARE_H2LOAD = 0.025  # of each of two
LUA = """
local ffi = require("ffi")
ffi.cdef("typedef struct { long s, ns; } tw_time; int clock_gettime(int clock, tw_time *now);")
local now, due_ms, threads = ffi.new("tw_time"), 0, {}
odd = ""
function setup(thread) table.insert(threads, thread) end
function response(status, headers, body)
    if status ~= 200 and #odd < 2000 then odd = odd .. status .. " " .. body .. " " end
end
function delay() -- by a timetable: an answer that took long does not make the rate smaller
    ffi.C.clock_gettime(1, now)
    local now_ms = tonumber(now.s) * 1000 + tonumber(now.ns) / 1e6
    if due_ms == 0 then due_ms = now_ms end
    due_ms = math.max(due_ms, now_ms - 1000) + %f
    return math.max(0, due_ms - now_ms)
end
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("RESULT %%d %%d %%d %%d %%d %%d\\n", summary.requests, e.connect, e.read, e.write,
        e.status, e.timeout))
    for _, thread in ipairs(threads) do io.write("ODD " .. thread:get("odd") .. "\\n") end
end
"""


def wrk(gateway, token, path, connections, rate, tls=False, close=False, seconds=3600, work=""):
    """Started; rate: so many requests a second, 0 for as many as it can."""
    url = "https://localhost:%d" % gateway.https if tls else "http://127.0.0.1:%d" % gateway.http
    script = os.path.join(work, "wrk-%d.lua" % rate)
    with open(script, "w", encoding="ascii") as f:
        f.write(LUA % (1000 / rate if rate else 0))
    words = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--timeout", "10s", "-s", script,
             "-H", "Authorization: Bearer " + token]
    if close:
        words += ["-H", "Connection: close"]
    return subprocess.Popen([*words, url + path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wrk_result(process, interrupt=True):
    """(requests, {kind of error: n}, what was not 200)"""
    if interrupt:
        process.send_signal(2)
    text = process.communicate(timeout=60)[0]
    n, *errors = [int(word) for word in re.search(r"RESULT (.*)", text).group(1).split()]
    odd = re.search(r"ODD (.*)", text, re.S).group(1).strip()
    return n, dict(zip(("connect", "read", "write", "status", "timeout"), errors)), odd


class H2load(threading.Thread):
    """One run of a second after the other; over TLS with `tls`."""

    def __init__(self, gateway, token, path, rate, tls):
        super().__init__(daemon=True)
        url = ("https://localhost:%d" % gateway.https if tls else "http://127.0.0.1:%d" % gateway.http) + path
        self._words = ["h2load", "-c%d" % CLIENTS, "-m%d" % STREAMS, "--rps=%d" % (rate // CLIENTS), "-n%d" % rate,
                       "-H", "authorization: Bearer " + token, url]
        self.stopping = threading.Event()
        self.done, self.runs, self.unsent, self.failed = 0, 0, 0, []

    def run(self):
        while not self.stopping.is_set():
            text = subprocess.run(self._words, capture_output=True, text=True, timeout=60).stdout
            found = re.search(r"requests: \d+ total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed,"
                              r" (\d+) errored, (\d+) timeout\nstatus codes: (\d+) 2xx", text)
            started, _, good, failed, errored, late, good_status = [int(word) for word in found.groups()]
            self.runs += 1
            self.done += good
            self.unsent += started - good
            if late or failed != errored or started - good > CLIENTS * STREAMS or good != good_status or not good:
                self.failed.append(found.group(0))

    def end(self):
        self.stopping.set()
        self.join(60)
        assert not self.is_alive()


def have_left(gateway):
    eventually(lambda: len(children(gateway.pid)) == 2, 30, what="the old workers have left")


class Pace:
    """Its next() returns once in EVERY_S."""

    def __init__(self):
        self._due = time.monotonic()

    def next(self):
        self._due += EVERY_S
        time.sleep(max(0, self._due - time.monotonic()))


def h2loads_of(gateway, token, rate):
    """Begun: one without and one with TLS."""
    both = [H2load(gateway, token, OF_H2LOAD, rate, tls) for tls in (False, True)]
    for client in both:
        client.start()
    return both


def reloads(gateway):
    """(descriptors, KiB) of the master after the first one and the last."""
    gateway.reload()
    have_left(gateway)
    first, pace = (descriptors(gateway.pid), resident_kib(gateway.pid)), Pace()
    for i in range(RELOADS - 1):
        pace.next()
        gateway.reload(http={"idle_timeout": "%ds" % (10 + i)})
        have_left(gateway)
    eventually(lambda: descriptors(gateway.pid) <= first[0], 10, what="the master has closed what was the old workers'")
    last = descriptors(gateway.pid), resident_kib(gateway.pid)
    assert gateway.metrics()['tillway_config_reloads_total{result="done"}'] == RELOADS
    return first, last


def answered(gateway, route):
    return sum(n for name, n in gateway.metrics().items()
               if name.startswith("tillway_http_requests_total{") and 'route="%s"' % route in name)


def test_no_request_fails(start, shop, certificate, work):
    gateway = start(shutdown={"drain_timeout": "%ds" % DRAIN_S}, log={"access": False})
    token, path = shop.token(), "/v1/products/" + shop.product()
    n, _, _ = wrk_result(wrk(gateway, token, path, 32, 0, seconds=4, work=work), interrupt=False)
    able = n / 4
    ours = [kind(gateway, token, path, 2, pause_s=0.05, ca=tls)
            for kind in (KeptConnections, NewConnections, Http2) for tls in (None, certificate[0])]
    with contextlib.ExitStack() as stack:
        for client in ours:
            stack.enter_context(client)
        theirs = {name: wrk(gateway, token, path, 16, able * share, tls, close, work=work)
                  for name, (share, tls, close) in SHARES.items()}
        began = time.monotonic()
        try:
            h2loads = h2loads_of(gateway, token, int(able * SHARE_H2LOAD))
            first, last = reloads(gateway)
            for client in h2loads:
                client.end()
            by_server, by_h2load = answered(gateway, OF_H2LOAD), sum(client.done for client in h2loads)
            h2loads += h2loads_of(gateway, token, int(able * SHARE_H2LOAD))
            pace = Pace()
            for _ in range(UPGRADES):
                pace.next()
                gateway.upgrade()
                have_left(gateway)
            for client in h2loads[2:]:
                client.end()
            results = {name: wrk_result(process) for name, process in theirs.items()}
            lasted_s = time.monotonic() - began
        finally:
            for process in theirs.values():
                process.kill()
    total = sum([n for n, _, _ in results.values()] + [client.done for client in [*h2loads, *ours]])
    planned = able * (sum(share for share, _, _ in SHARES.values()) + 2 * SHARE_H2LOAD)
    print("%d reloads, %d upgrades in %d s; wrk alone has %d answers a second, planned were %d, and there were %d: "
          "%.0f %% of capacity" % (RELOADS, UPGRADES, lasted_s, able, planned, total / lasted_s,
                                   100 * total / lasted_s / able))
    for name, (n, errors, odd) in results.items():
        print("%-14s %8d answers, errors: %s %s" % (name, n, errors, odd))
    for name, client in zip(("reloads", "reloads, TLS", "upgrades", "upgrades, TLS"), h2loads):
        print("h2load, %-14s %8d answers in %d runs, failed: %s; %d not sent after a GOAWAY" % (
            name, client.done, client.runs, client.failed, client.unsent))
    print("the server has answered %d of h2load's requests during the reloads, who had %d answers" % (
        by_server, by_h2load))
    for client in ours:
        print("%-14s %8d answers on %d connections, failed: %s; %d streams sent again" % (
            type(client).__name__ + (", TLS" if client.is_tls else ""), client.done, client.connections,
            client.failed, client.retried))
    print("the master after the first and the last reload: %s, %s (descriptors, KiB)" % (first, last),
          flush=True)
    assert all(n > 0 and not any(errors.values()) for n, errors, _ in results.values())
    assert all(client.done and not client.failed for client in h2loads)
    assert by_server == by_h2load > 0
    for client in ours:
        client.verdict()
    assert last[0] <= first[0] and last[1] < first[1] * 1.05 + 1024
    assert not gateway.events("workers_killed")
