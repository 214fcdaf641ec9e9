# SPDX-License-Identifier: Apache-2.0
"""Redis servers of a test's own, on 127.0.0.1: alone, with TLS, watched by a sentinel, as a cluster.

Debian's redis-tools has the server's program under the name redis-check-rdb; what it does is decided
by the name it is called by."""

import os
import shutil
import signal
import socket
import subprocess

from kit.processes import eventually, free_port, spawn

PROGRAM = shutil.which("redis-check-rdb") or shutil.which("redis-server")


class RedisError(Exception):
    pass


class _Client:
    """One command at a time, over a connection of its own."""

    def __init__(self, port, password=None):
        self._sock = socket.create_connection(("127.0.0.1", port), 15)
        self._file = self._sock.makefile("rb")
        if password:
            self.command("AUTH", password)

    def close(self):
        self._file.close()
        self._sock.close()

    def command(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self._sock.sendall(b"*%d\r\n" % len(words) +
                           b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self._answer()

    def _answer(self):
        line = self._file.readline()
        if not line:
            raise ConnectionResetError
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        n = int(rest)
        if kind == b"$":
            return None if n < 0 else self._file.read(n + 2)[:-2].decode()
        return None if n < 0 else [self._answer() for _ in range(n)]


class Redis:
    """r = Redis(directory).start(); r.port, r.uri; r.command("GET", "x"). Nothing is written to disk."""

    def __init__(self, directory, *options, password=None, certificate=None, sentinel=False):
        """options: words of its command line. certificate: (certificate, key) for TLS beside plain."""
        self.port, self.password = free_port(), password
        self._name = "redis-sentinel" if sentinel else "redis-server"
        self._directory = os.path.join(directory, "redis-%d" % self.port)
        os.makedirs(self._directory)
        self._options = list(options)
        self.process = None
        if certificate:
            self.tls_port = free_port()
            self._options += ["--tls-port", self.tls_port, "--tls-cert-file", certificate[0],
                              "--tls-key-file", certificate[1], "--tls-auth-clients", "no",
                              "--tls-ca-cert-file", certificate[0]]
        if password:
            self._options += ["--requirepass", password, "--masterauth", password]

    @property
    def uri(self):
        return "redis://%s127.0.0.1:%d" % (":%s@" % self.password if self.password else "", self.port)

    def start(self):
        self.spawn()
        eventually(self.answers, what="Redis answers")
        return self

    def spawn(self):
        # Killed without a word at the end: a cluster node that stays knows its name from its file.
        words = [self._name] + self._config() + [
            "--port", self.port, "--bind", "127.0.0.1", "--dir", self._directory, "--daemonize", "no",
            "--logfile", "log"] + self._options
        self.process = spawn([str(w) for w in words], executable=PROGRAM, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)

    def _config(self):
        if self._name == "redis-server":
            return ["--save", "", "--appendonly", "no"]
        path = os.path.join(self._directory, "sentinel.conf")
        with open(path, "a", encoding="ascii"):
            pass
        return [path]

    def answers(self):
        try:
            return self.command("PING") == "PONG"
        except (OSError, RedisError):
            return False

    def command(self, *words):
        client = _Client(self.port, self.password)
        try:
            return client.command(*words)
        finally:
            client.close()

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


class Sentinels:
    """A master, a replica, and one sentinel that is enough to fail over."""

    def __init__(self, directory, start):
        self.master = start()
        self.replica = start("--replicaof", "127.0.0.1 %d" % self.master.port)
        self.sentinel = start(sentinel=True)
        for words in (("MONITOR", "shop", "127.0.0.1", self.master.port, 1),
                      ("SET", "shop", "down-after-milliseconds", 400),
                      ("SET", "shop", "failover-timeout", 2000)):
            self.sentinel.command("SENTINEL", *words)
        eventually(lambda: "slave0:" in self.master.command("INFO", "replication") and
                   len(self.sentinel.command("SENTINEL", "replicas", "shop")) == 1,
                   what="the sentinel knows the replica")


class Cluster:
    """Three masters with a third of the slots each."""

    def __init__(self, start):
        buses = [free_port() for _ in range(3)]  # else 10000 above the other port, whoever has that
        self.nodes = [start("--cluster-enabled", "yes", "--cluster-node-timeout", 15000,
                            "--cluster-port", bus) for bus in buses]
        for i, node in enumerate(self.nodes):
            node.command("CLUSTER", "ADDSLOTSRANGE", 5462 * i, min(5462 * (i + 1), 16384) - 1)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, buses[0])
        eventually(lambda: all("cluster_state:ok" in n.command("CLUSTER", "INFO") and
                               len(n.command("CLUSTER", "SLOTS")) == 3 for n in self.nodes),
                   what="the cluster is whole")

    def keys(self):
        return [node.command("KEYS", "*") for node in self.nodes]

    def move_slot(self, slot, source, target):
        """As redis-cli --cluster does: with both sides told, key by key."""
        ids = [node.command("CLUSTER", "MYID") for node in (source, target)]
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        yield "under way"
        for key in source.command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.command("MIGRATE", "127.0.0.1", target.port, key, 0, 10000)
        for node in (target, source):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        yield "done"
