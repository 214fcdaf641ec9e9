# SPDX-License-Identifier: Apache-2.0
"""The hello server as a context manager, and what the kernel says about it."""

import os
import selectors
import signal
import subprocess
import tempfile
import time

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Hello:
    """with Hello(binary, body_len) as server: ... server.port, server.pid

    Killed at the end whatever happened; it also dies with this process."""

    host = "127.0.0.1"

    def __init__(self, binary, body_len=4096, entity_max=None, env=None):
        self._argv = [binary, str(body_len)] + ([str(entity_max)] if entity_max else [])
        self._env = {**os.environ, **(env or {})}
        self._stderr = tempfile.TemporaryFile()

    def __enter__(self):
        self._proc = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=self._stderr,
                                      env=self._env)
        self.pid = self._proc.pid
        with selectors.DefaultSelector() as sel:
            sel.register(self._proc.stdout, selectors.EVENT_READ)
            line = self._proc.stdout.readline() if sel.select(10) else b""
        if not line.startswith(b"port "):
            self.__exit__()
            raise RuntimeError("%s does not start" % self._argv[0])
        self.port = int(line.split()[1])
        return self

    def __exit__(self, *_):
        self._proc.kill()
        self._proc.wait()
        self._proc.stdout.close()
        self._stderr.close()

    def begin_shutdown(self):
        os.kill(self.pid, signal.SIGUSR1)

    def wait_dead(self, timeout_s=5.0):
        """The name of the signal that ended it, or None while it lives."""
        try:
            code = self._proc.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return signal.Signals(-code).name if code < 0 else "exit %d" % code

    def alive(self):
        return self._proc.poll() is None

    def stderr(self):
        return os.pread(self._stderr.fileno(), 1 << 20, 0).decode(errors="replace")

    def peak_bytes(self):
        """The most memory it has had so far."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as f:
            return 1024 * int(next(line for line in f if line.startswith("VmHWM")).split()[1])

    def cpu_percent(self, over_s=1.0):
        """CPU time used over the next over_s seconds, in per cent of one CPU."""
        return cpu_percent(self.pid, over_s)


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def cpu_percent(pid, over_s=1.0):
    before, at = cpu_seconds(pid), time.monotonic()
    time.sleep(over_s)          # the measurement itself, nothing is awaited
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - at)
