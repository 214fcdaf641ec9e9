#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""What an idle keep-alive connection costs: a worker's memory with and without 10,000 of them, in clear and
under TLS, and how fast it answers meanwhile.

    bench/idle.py                       (make build build/tillway-issuer; dev/install.sh run test bench)
    BENCH_IDLE=10000                    connections
    BENCH_IDLE_ROUNDS=3                 in each /v1/me five times without and five times with them, 1 s each

Each connection has been asked once (/v1/me), so that what a request needs has been there and was given
back. The figure is the growth of the worker's own pages (Private, smaps_rollup) for each; what the
kernel keeps for a socket is not in it. Promised are at most 4 KiB in clear, 32 KiB under TLS, and 0.9 of
the speed; the status is 1 when one is broken."""

import os
import resource
import socket
import ssl
import statistics
import subprocess
import sys

from suite.accounting import cpu_us
from suite.clients import Load
from suite.setting import Setting
from suite.wire import request
from kit.processes import children, eventually

COUNT = int(os.environ.get("BENCH_IDLE", 10000))
ROUNDS = int(os.environ.get("BENCH_IDLE_ROUNDS", 3))
PROMISED_KIB = {"clear": 4, "TLS": 32}
PROMISED_PART = 0.9
RUNS = 5  # a client that is started anew may find other cores, a third faster or slower
PEERS = 16  # addresses of ours, so that ports do not run out


def private_kib(pid):
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_"))


def connect(port, number, tls, data):
    """A connection that has had one answer."""
    sock = socket.create_connection(("127.0.0.1", port), 30, source_address=("127.0.1.%d" % (1 + number % PEERS), 0))
    if tls:
        sock = tls.wrap_socket(sock, server_hostname="localhost")
    sock.sendall(data)
    answer = sock.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return sock


def speeds(load, port, worker, cpu):
    """Requests a second of each run; the worker's CPU us per request goes to `cpu`."""
    rates = []
    for _ in range(RUNS):
        before = cpu_us([worker])
        result = load.wrk("product", "http://127.0.0.1:%d/v1/me" % port, 1)
        assert result.errors == 0, result
        cpu.append((cpu_us([worker]) - before) / result.requests)
        rates.append(result.requests / result.seconds)
    return rates


def measure(setting, load, kind, certificate):
    """KiB for each connection, and the speed with them as a part of that without."""
    config = setting.config(cache={"size": 0}, http={"idle_timeout": "10m", "max_connections": 65536,
                                                     "max_connections_per_peer": 65536})
    config["listen"].append({"address": "127.0.0.1", "port": 0,
                             "tls": {"certificate": certificate[0], "key": certificate[1]}})
    gateway = setting.gateway(config).start()
    (worker,) = children(gateway.pid)
    tls = None
    if kind == "TLS":
        tls = ssl.create_default_context(cafile=certificate[0])
    data = request("GET", "/v1/me", setting.token)
    port = gateway.https if tls else gateway.http
    speeds(load, gateway.http, worker, [])
    without, with_them, each, cpu, cpu_with = [], [], [], [], []
    for _ in range(ROUNDS):
        without += speeds(load, gateway.http, worker, cpu)
        held = [connect(port, i, tls, data) for i in range(100)]  # pages that the first ones touch
        before = private_kib(worker)
        held += [connect(port, i, tls, data) for i in range(COUNT)]
        each.append((private_kib(worker) - before) / COUNT)
        with_them += speeds(load, gateway.http, worker, cpu_with)
        assert all(sock.fileno() >= 0 for sock in held)
        for sock in held:
            sock.close()
        eventually(lambda: gateway.metrics().get("tillway_connections", 0) <= 100, 30, what="they are gone")
    gateway.kill()
    # Memory that was freed is used again: only the first round shows what they cost.
    print("%s: worker's CPU per request %.1f us without, %.1f us with them (medians)" % (
        kind, statistics.median(cpu), statistics.median(cpu_with)))
    return each[0], statistics.median(with_them) / statistics.median(without), without, with_them


def spread(rates):
    return "%.0f to %.0f" % (min(rates), max(rates))


def main():
    # For us and for the gateway, which is our child.
    files = COUNT + 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(files, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    broken = False
    with Setting("idle") as setting:
        certificate = [os.path.join(setting.work, name) for name in ("cert.pem", "key.pem")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", certificate[1], "-out", certificate[0]], check=True, capture_output=True)
        load = Load(setting)
        for kind, promised in PROMISED_KIB.items():
            kib, part, without, with_them = measure(setting, load, kind, certificate)
            bad = kib > promised or part < PROMISED_PART
            broken |= bad
            print("%d idle connections, %s: %.2f KiB each (promise: %d), /v1/me at %.2fx (%s without, %s with; promise: "
                  "%.1f)%s" % (COUNT, kind, kib, promised, part, spread(without), spread(with_them), PROMISED_PART,
                               "  BROKEN" if bad else ""))
    sys.exit(broken)


if __name__ == "__main__":
    main()
