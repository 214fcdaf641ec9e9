# SPDX-License-Identifier: Apache-2.0
"""The servers that are measured: gateways, the bare library, and the peers, one process of each. All run
at the same time; the one that is not asked waits."""

import os
import re
import shutil
import subprocess

from kit.processes import children, eventually, free_port, spawn
from suite.accounting import tree
from suite.setting import BENCH, ROOT

PEERS = os.path.join(BENCH, "peers")
PEER_POOL = 8  # connections to PostgreSQL, as many as pgbench has


class Tillway:
    """A gateway of the setting's configuration with changes. CPU is the workers', memory all of it."""

    def __init__(self, setting, certificate=None, **changes):
        config = setting.config(**changes)
        if certificate:
            config["listen"].append({"address": "127.0.0.1", "port": 0,
                                     "tls": {"certificate": certificate[0], "key": certificate[1]}})
        self.gateway = setting.gateway(config).start()
        self.port, self.tls_port = self.gateway.http, self.gateway.https
        if changes.get("cache", {}).get("size") != 0:
            workers = config["workers"]
            eventually(lambda: self.gateway.metrics()["tillway_cache_listening"] == workers)

    def cpu_pids(self):
        return list(children(self.gateway.pid))

    def memory_pids(self):
        return tree(self.gateway.pid)

    def faults(self):
        """Log lines that were dropped and workers that were restarted, so far."""
        return sum(value for name, value in self.gateway.metrics().items()
                   if re.match(r"tillway_(log_lines_dropped|worker_restarts)_total", name))

    def quiet(self):
        os.truncate(self.gateway.log_path, 0)

    def stop(self):
        self.gateway.kill()


class Process:
    """Any other server, which says "port N" on its first line or is given one."""

    tls_port = None

    def __init__(self, setting, name, argv, port=None, env=None, behind=None):
        """behind: a server whose CPU and memory count as this one's."""
        self._behind = behind
        self._log = os.path.join(setting.work, name + ".log")
        with open(self._log, "wb") as log:
            self._process = spawn(argv, stdout=log, stderr=log, env={**os.environ, **(env or {})})
        self.port = port or int(eventually(self._said_port, 30, what="%s says its port" % name))
        if port:
            eventually(self._listens, 20, what="%s listens" % name)

    def _said_port(self):
        with open(self._log, encoding="utf-8", errors="replace") as f:
            text = f.read()
        assert self._process.poll() is None, text[-2000:]
        found = re.search(r"^port (\d+)", text, re.M)
        return found and found.group(1)

    def _listens(self):
        assert self._process.poll() is None, self._log
        done = subprocess.run(["curl", "-s", "-o", "/dev/null", "--noproxy", "*", "--max-time", "2",
                               "http://127.0.0.1:%d/" % self.port])
        return done.returncode == 0

    def cpu_pids(self):
        return tree(self._process.pid) + (self._behind.cpu_pids() if self._behind else [])

    memory_pids = cpu_pids

    def faults(self):
        return 0

    def quiet(self):
        pass

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


# ---- less than any gateway: sockets alone, and the bare library -----------------------------------


def sockets(setting, body_bytes):
    return Process(setting, "sockets", [os.path.join(ROOT, "build/bench-sockets"), str(body_bytes)])


def build_hello():
    """tests/h2o/hello.c with the flags of our own build of h2o; its path."""
    out = os.path.join(ROOT, "build/bench-hello")
    with open(os.path.join(ROOT, "build/h2o/flags.mk"), encoding="utf-8") as f:
        flags = dict(re.findall(r"^(H2O_\w+) := (.*)$", f.read(), re.M))
    done = subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-g", "-fPIE", "-pie",
                           *flags["H2O_CFLAGS"].split(), "tests/h2o/hello.c", *flags["H2O_LIBS"].split(),
                           "-o", out], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def hello(setting, body_bytes, pem=None):
    """With `pem` it speaks TLS only."""
    env = {"HELLO_IDLE_MS": "3600000"}
    if pem:
        env["HELLO_PEM"] = pem
    server = Process(setting, "hello-tls" if pem else "hello", [build_hello(), str(body_bytes)], env=env)
    if pem:
        server.tls_port = server.port
    return server


# ---- peers ----------------------------------------------------------------------------------------


def _peer_env(setting):
    return {
        "NODE_ENV": "production", "BENCH_DATABASE": setting.database.url, "BENCH_ISSUER": setting.issuer.url,
        "BENCH_AUDIENCE": setting.issuer.audience, "BENCH_JWKS": setting.issuer.jwks_uri,
        "BENCH_PRODUCT_SQL": os.path.join(BENCH, "product.sql"), "BENCH_POOL": str(PEER_POOL)}


def _node(setting, name):
    return Process(setting, name, ["node", os.path.join(PEERS, name + ".js")], env=_peer_env(setting))


def _bun(setting):
    program = next(path for path in _bun_programs() if os.access(path, os.X_OK))
    return Process(setting, "bun", [program, os.path.join(PEERS, "bun.js")], env=_peer_env(setting))


def _bun_programs():
    """npm installs those of this machine's kind; the plain one needs AVX2."""
    oven = os.path.join(PEERS, "node_modules/@oven")
    return [os.path.join(oven, name, "bin/bun") for name in sorted(os.listdir(oven))]


def _fill(setting, source, name, **values):
    with open(os.path.join(PEERS, source), encoding="utf-8") as f:
        text = f.read()
    for key, value in values.items():
        text = text.replace("@%s@" % key, str(value))
    path = os.path.join(setting.work, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def _nginx(setting, upstream):
    port = free_port()
    config = _fill(setting, "nginx.conf.in", "nginx.conf", PORT=port, UPSTREAM=upstream.port, WORK=setting.work)
    program = shutil.which("nginx", path="/usr/sbin:" + os.environ["PATH"])
    return Process(setting, "nginx", [program, "-c", config], port, behind=upstream)


def _haproxy(setting, upstream):
    port = free_port()
    config = _fill(setting, "haproxy.cfg.in", "haproxy.cfg", PORT=port, UPSTREAM=upstream.port)
    program = shutil.which("haproxy", path="/usr/sbin:" + os.environ["PATH"])
    return Process(setting, "haproxy", [program, "-db", "-f", config], port, behind=upstream)


PEER_NAMES = ("fastify", "express", "bun", "nginx", "haproxy")


def start_peers(setting, names):
    """{name: server}. nginx and haproxy stand in front of Fastify, whose CPU counts as theirs."""
    servers = {}
    for name in ("fastify", "express"):
        if name in names or name == "fastify" and {"nginx", "haproxy"} & set(names):
            servers[name] = _node(setting, name)
    if "bun" in names:
        servers["bun"] = _bun(setting)
    for name, start in (("nginx", _nginx), ("haproxy", _haproxy)):
        if name in names:
            servers[name] = start(setting, servers["fastify"])
    return servers
