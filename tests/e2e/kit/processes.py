# SPDX-License-Identifier: Apache-2.0
"""Processes, waiting, and what the kernel says about both."""

import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BINARY = os.path.realpath(os.environ.get("TILLWAY_BIN", os.path.join(ROOT, "build/tillway")))
ISSUER_BINARY = os.path.join(ROOT, "build/tillway-issuer")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)


def _is_sanitized():
    with open(BINARY, "rb") as f:
        return b"__asan_init" in f.read()


SANITIZED = os.path.exists(BINARY) and _is_sanitized()


def scaled(n, least=1):
    """n, or a fifth of it when the sanitizers make every request dear."""
    return max(least, n // 5) if SANITIZED else n


def patient(seconds):
    """A limit of time that is part of a promise, with what it costs on top that other suites run on the same
    processors, and that the sanitizers do."""
    return seconds * (4 if SANITIZED else 2)


def eventually(probe, within_s=30.0, every_s=0.02, what=None):
    """The first true value of probe(); fails when the time is over. Waiting is done so only."""
    end = time.monotonic() + within_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s (last: %r)" % (
                within_s, what or getattr(probe, "__doc__", None) or "the condition", value))
        time.sleep(every_s)


def clean_environment(**more):
    """The caller's environment without any of our own variables."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TILLWAY_", "PG"))}
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:handle_abort=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.update(more)
    return env


def _dies_with_us():
    os.setsid()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def spawn(argv, **options):
    """A process in a group of its own, told to stop should this one be killed."""
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=_dies_with_us, **options)


def adopt_orphans():
    """Processes whose parent ends become children of this one."""
    assert _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1) == 0


class Adopted:
    """A child that this process has not started, with the words of a Popen."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout_s=None):
        end = time.monotonic() + timeout_s if timeout_s is not None else None
        while self.poll() is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout_s)
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)


def run(argv, timeout_s=90, **options):
    options.setdefault("env", clean_environment())
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout_s, **options)


def _stat(pid):
    """Fields of /proc/PID/stat from the third on (state, parent, group, ...), or None."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(pid):
    fields = _stat(pid)
    return fields is not None and fields[0] != "Z"


def group_members(pgid):
    """Living processes of a process group."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids
            if (fields := _stat(pid)) and int(fields[2]) == pgid and fields[0] != "Z"]


def children(pid):
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return {p for p in pids if (fields := _stat(p)) and int(fields[1]) == pid and fields[0] != "Z"}


def cpu_seconds(pid):
    """CPU used so far."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def cpu_percent(pid, over_s=1.0):
    """CPU used over the next over_s seconds, in per cent of one CPU."""
    before, at = cpu_seconds(pid), time.monotonic()
    time.sleep(over_s)  # the measurement itself, nothing is awaited
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - at)


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def resident_kib(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


_given_ports = set()


def free_port(lowest=20000, highest=32000):
    """A port, below the kernel's own range, on which nothing listens now. Each is given once, and the suites
    that run side by side, with sanitizers and without, have every other one: until it is bound it is nobody
    else's."""
    mine = set(range(lowest + SANITIZED, highest, 2)) - _given_ports
    for port in random.sample(sorted(mine), min(len(mine), 200)):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given_ports.add(port)
        return port
    raise AssertionError("no free port")


def unread_bytes(sock):
    """How much of what was sent on this connection of 127.0.0.1 waits for the other side to read it."""
    ours, theirs = (":%04X" % address[1] for address in (sock.getsockname(), sock.getpeername()))
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in f:
            fields = line.split()
            if fields[1].endswith(theirs) and fields[2].endswith(ours):
                return int(fields[4].partition(":")[2], 16)
    raise AssertionError("the connection is not there")
