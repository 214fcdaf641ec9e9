# SPDX-License-Identifier: Apache-2.0
"""The gateway as a process: started on free ports, watched, stopped, and its log judged."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import httpx

from kit.processes import (BINARY, Adopted, adopt_orphans, clean_environment, children, eventually,
                           group_members, is_alive, spawn)

SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:")
STOP_TIMEOUT_S = 40


def deep_merge(base, more):
    """Key by key; None removes a key."""
    out = dict(base)
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = deep_merge(out[key], value)
        elif value is None:
            out.pop(key, None)
        else:
            out[key] = value
    return out


class Gateway:
    """g = Gateway(directory, config).start(); g.http, g.https, g.admin are ports. g.stop() judges."""

    _count = 0

    def __init__(self, directory, config, env=None, files=(), log_to=None, prefix=()):
        """log_to: a descriptor instead of the log file; the configuration must name the ports then.
        prefix: a command that becomes the gateway (unshare, nice, …)."""
        Gateway._count += 1
        self._base = os.path.join(directory, "gateway-%d" % Gateway._count)
        self._stdout_path = self._base + ".log"
        self.log_path = config.get("log", {}).get("file") or self._stdout_path
        self.stderr_path = self._base + ".stderr"
        self.config_path = self._base + ".yaml"
        self._config = config
        self.configure()
        self._command = [*prefix, BINARY, "-c", self.config_path]
        for path in files:
            self._command += ["-c", path]
        self._env = clean_environment(**(env or {}))
        self._log_to = log_to
        if log_to is not None:
            self.http, self.admin = config["listen"][0]["port"], config["admin"]["port"]
        self.process = None
        self._marks = {}
        self._parsed, self._parsed_to = [], 0  # lines of the log, and how many bytes they take
        self._parsed_ino = None
        self.expect_stderr = ""  # a pattern of lines that may stand on stderr

    # ---- configuration --------------------------------------------------------------------------

    def configure(self, **changes):
        """Writes its file, with these changes for good. The gateway is told by reload()."""
        self._config = deep_merge(self._config, changes)
        self.write_config(json.dumps(self._config, indent=1))  # JSON is YAML

    def write_config(self, text):
        with open(self.config_path + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.config_path + ".new", 0o600)
        os.rename(self.config_path + ".new", self.config_path)

    def reload(self, wait_s=60, **changes):
        """Changes the configuration and waits until all workers serve by it."""
        before = len(self.events("reloaded"))
        self.configure(**changes)
        self.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(self.events("reloaded")) > before, wait_s, what="it is reloaded")

    def have_left(self, workers=2):
        """Waits until only the generation in force has workers: an older one may have connections yet."""
        eventually(lambda: len(children(self.pid)) == workers, what="the old workers have left")

    def upgrade(self, wait_s=60):
        """SIGUSR2: waits until another master has taken over and this one has left."""
        with self.upgrading(wait_s):
            pass

    @contextlib.contextmanager
    def upgrading(self, wait_s=60):
        """The same, and what is done meanwhile."""
        adopt_orphans()
        before = len(self.events("upgraded"))
        self.process.send_signal(signal.SIGUSR2)
        yield
        self.follow(before + 1, wait_s)

    def follow(self, nth, wait_s=60):
        """The master of the nth upgrade of all is the one to look at, when the one before has left."""
        eventually(lambda: len(self.events("upgraded")) >= nth, wait_s, what="it is upgraded")
        assert self.process.wait(STOP_TIMEOUT_S) == 0
        self.pid = int(re.search(r"pid (\d+)", self.events("upgraded")[nth - 1]["message"]).group(1))
        self.process = Adopted(self.pid)

    # ---- life -----------------------------------------------------------------------------------

    def spawn(self):
        with open(self._stdout_path, "ab") as log, open(self.stderr_path, "ab") as err:
            self.process = spawn(self._command, stderr=err, env=self._env,
                                 stdout=log if self._log_to is None else self._log_to)
        self.pid = self.group = self.process.pid
        return self

    def start(self, until="ready"):
        """until: "ready" (every worker is), or "live" (it listens)."""
        self.spawn()
        if self._log_to is None:
            self._find_ports()
        self._admin_client = httpx.Client(base_url="http://127.0.0.1:%d" % self.admin,
                                          trust_env=False, timeout=10)
        if until == "ready":
            eventually(lambda: self._answers() and self.is_ready() and self._all_ready(),
                       what="/readyz is 200, and every worker is ready")
        return self

    def _find_ports(self, nth=1):
        """As the nth line about them says: after a reload that changes them the second, and so on."""
        eventually(lambda: len(self.events("listening")) >= nth or self.process.poll() is not None,
                   what="the gateway listens")
        assert self.process.poll() is None, "the gateway has gone: " + self.stderr()
        urls = self.events("listening")[-1]["message"].split()
        ports = [(url.partition(":")[0], int(url.rsplit(":", 1)[1])) for url in urls if url != "admin"]
        self.admin = ports.pop()[1]
        self.http = next((port for scheme, port in ports if scheme == "http"), None)
        self.https = next((port for scheme, port in ports if scheme == "https"), None)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s=STOP_TIMEOUT_S):
        return self.process.wait(timeout_s)

    def stop(self):
        """SIGTERM if it still runs, then everything that must hold after every test."""
        if self.process is None:
            return
        try:
            if self.process.poll() is None:
                self.terminate()
            code = self.wait()
            assert code == 0, "exit code %d: %s" % (code, self.stderr())
            eventually(lambda: not group_members(self.group), what="no process is left")
            self.judge()
        except subprocess.TimeoutExpired:
            raise AssertionError("the gateway does not stop on SIGTERM") from None
        finally:
            self.kill()

    def kill(self):
        """Whatever is left, without judgement."""
        if self.process is None:
            return
        try:
            os.killpg(self.group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self._close_client()
        self.process = None

    def _close_client(self):
        client = getattr(self, "_admin_client", None)
        if client:
            client.close()

    # ---- what it writes -------------------------------------------------------------------------

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def log_text(self):
        if not os.path.exists(self.log_path):  # log.file, before the master has opened it
            return ""
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def mark(self):
        """What is written from now on is what recent() shows."""
        self._marks = {path: os.path.getsize(path) for path in (self.log_path, self.stderr_path)
                       if os.path.exists(path)}

    def recent(self, n=40):
        """{name: last lines} since mark(), for a failed test's report."""
        out = {}
        for name, path in (("log", self.log_path), ("stderr", self.stderr_path)):
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as f:
                    f.seek(self._marks.get(path, 0))
                    out[name] = "".join(f.readlines()[-n:])
        return {name: text for name, text in out.items() if text}

    def lines(self):
        """Every whole line of the log, parsed; a line that is no JSON object fails."""
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, "rb") as f:
            stat = os.fstat(f.fileno())
            if stat.st_size < self._parsed_to or stat.st_ino != self._parsed_ino:  # another one, or cut
                self._parsed, self._parsed_to, self._parsed_ino = [], 0, stat.st_ino
            f.seek(self._parsed_to)
            data = f.read()
        whole = data[:data.rfind(b"\n") + 1]
        for line in whole.decode("utf-8").split("\n")[:-1]:
            parsed = json.loads(line)
            assert isinstance(parsed, dict), line
            self._parsed.append(parsed)
            self._parsed_to += len(line.encode()) + 1
        return list(self._parsed)

    def events(self, name):
        return [line for line in self.lines() if line.get("event") == name]

    def accesses(self, **wanted):
        return [line for line in self.lines() if line.get("kind") == "access" and
                all(line.get(k) == v for k, v in wanted.items())]

    def judge(self):
        """Every line is JSON, none holds a token, no sanitizer has spoken, stderr is silent."""
        self.lines()
        text, err = self.log_text(), self.stderr()
        assert self.log_path == self._stdout_path or os.path.getsize(self._stdout_path) == 0
        assert "eyJ" not in text and "eyJ" not in err, "a token stands in the log"
        assert not SANITIZER.search(err), err[:8000]
        left = [line for line in err.splitlines()
                if not (self.expect_stderr and re.search(self.expect_stderr, line))]
        assert not left, "stderr: %s" % "\n".join(left)[:4000]

    # ---- workers --------------------------------------------------------------------------------

    def workers(self):
        """{index: pid} of the living workers, as the log and the kernel know them."""
        pids = {}
        for line in self.events("worker_started"):
            index, pid = re.match(r"worker (\d+) started with pid (\d+)", line["message"]).groups()
            pids[int(index)] = int(pid)
        mine = children(self.pid)
        return {index: pid for index, pid in pids.items() if pid in mine and is_alive(pid)}

    # ---- the admin port -------------------------------------------------------------------------

    def get_admin(self, path):
        for _ in range(2):  # the server may have closed an idle connection meanwhile
            try:
                return self._admin_client.get(path)
            except httpx.RemoteProtocolError:
                pass
        return self._admin_client.get(path)

    def _answers(self):
        try:
            return self.get_admin("/livez").status_code == 200
        except httpx.ConnectError:
            return False

    def _all_ready(self):
        workers = self.get_admin("/readyz").json()["workers"]
        return workers["ready"] == workers["expected"]

    def is_ready(self):
        return self.get_admin("/readyz").status_code == 200

    def unready_reasons(self):
        return self.get_admin("/readyz").json()["reasons"]

    def metrics(self):
        """{'name{labels}': value}"""
        samples = {}
        for line in self.get_admin("/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def wait_connected(self, within_s=30):
        """Every connection to PostgreSQL has its statements prepared. That wants the tables: who locks one
        waits for this before."""
        workers, most = self._config["workers"], self._config["db"].get("max_connections", 16)
        shares = [most // workers + (i < most % workers) for i in range(workers)]
        if self._config.get("cache", {}).get("size") != 0:
            shares = [share - (share > 3) for share in shares]  # one of each listens
        eventually(lambda: sum(value for name, value in self.metrics().items()
                               if name.startswith("tillway_db_connections{")) == sum(shares), within_s,
                   what="%s connections are ready" % sum(shares))

    # ---- clients --------------------------------------------------------------------------------

    def connect(self, timeout_s=10):
        return socket.create_connection(("127.0.0.1", self.http), timeout_s)


def since_ms(began):
    return (time.monotonic() - began) * 1000
