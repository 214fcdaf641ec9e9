# SPDX-License-Identifier: Apache-2.0
"""The master with the harness's worker, as a context manager, and what it says of itself."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

HARNESS = os.environ.get("TILLWAY_MASTER_HARNESS")


def eventually(probe, within_s=20.0, every_s=0.02):
    """The first true value of probe(), or its last false one after the time is over."""
    end = time.monotonic() + within_s
    while True:
        value = probe()
        if value or time.monotonic() > end:
            return value
        time.sleep(every_s)


def free_port():
    """Below the kernel's own range, where it would give a port that was let go to anybody who connects."""
    for port in random.sample(range(18000, 20000), 200):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise AssertionError("no free port")


class Gateway:
    """with Gateway(tmp_path, workers=1, extra="...") as g: g.http, g.admin, g.command(...)"""

    def __init__(self, directory, issuer, workers=1, extra="", env=None, listen=None, admin_port=0,
                 ready=True):
        self._directory = directory
        self._log_path = os.path.join(directory, "log-%d" % time.monotonic_ns())
        self.config_path = self._log_path + ".yaml"
        self._env = dict(os.environ, **(env or {}))
        # A sanitizer would turn a worker's SIGSEGV and SIGABRT into an exit.
        self._env["ASAN_OPTIONS"] = self._env.get("ASAN_OPTIONS", "") + ":handle_segv=0"
        self._wait_ready = ready
        listen = listen or '[{address: 127.0.0.1, port: 0}, {address: "127.0.0.1", port: 0}]'
        with open(self.config_path, "w") as f:
            f.write("listen: %s\nadmin: {address: 127.0.0.1, port: %d}\nworkers: %d\n"
                    "db: {url: 'postgresql://till:hidden@127.0.0.1/pos'}\n%s\n%s\n"
                    % (listen, admin_port, workers, issuer, extra))

    def start(self):
        self._log = open(self._log_path, "w")
        self.process = subprocess.Popen([HARNESS, "-c", self.config_path], stdout=self._log,
                                        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                        env=self._env, start_new_session=True)
        self.pid = self.group = self.process.pid

    def __enter__(self):
        self.start()
        line = eventually(lambda: self.events("listening") or self.process.poll() is not None)
        assert line and line is not True, self.process.stderr.read()
        urls = line[0]["message"].split()
        self.admin = urls[-1]
        self.http = [int(url.rsplit(":", 1)[1]) for url in urls[:-2]]
        if self._wait_ready:
            assert eventually(lambda: self.ready()[0] == 200), self.ready()
        return self

    def __exit__(self, *exception):
        try:
            os.killpg(self.group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stderr.close()
        self._log.close()
        if exception[0]:
            print(self.log_text())

    def wait(self, timeout_s=10):
        """Exit code and standard error."""
        code = self.process.wait(timeout_s)
        return code, self.process.stderr.read().decode()

    def log_text(self):
        with open(self._log_path) as f:
            return f.read()

    def lines(self):
        return [json.loads(line) for line in self.log_text().splitlines(True) if line[-1] == "\n"]

    def events(self, name):
        return [line for line in self.lines() if line.get("event") == name]

    def pids(self):
        """Pids of the living workers, by index, as the log and the kernel know them."""
        pids = {}
        for line in self.events("worker_started"):
            index, pid = re.match(r"worker (\d+) started with pid (\d+)", line["message"]).groups()
            pids[int(index)] = int(pid)
        return {index: pid for index, pid in pids.items() if os.path.exists("/proc/%d" % pid)}

    def command(self, words, listener=0):
        """One line to whichever worker accepts; its answer without the final "ok"."""
        with socket.create_connection(("127.0.0.1", self.http[listener]), 10) as s:
            s.sendall(words.encode() + b"\n")
            data = b""
            while chunk := _receive(s):
                data += chunk
        return data.decode().rsplit("ok\n", 1)[0].strip()

    def get(self, path, method="GET"):
        """Status, headers and text of an admin page."""
        request = urllib.request.Request(self.admin + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def ready(self):
        status, _, text = self.get("/readyz")
        return status, json.loads(text)

    def metrics(self):
        """Samples by name with labels."""
        samples = {}
        for line in self.get("/metrics")[2].splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples


def _receive(s):
    try:
        return s.recv(65536)
    except ConnectionResetError:
        return b""
