# SPDX-License-Identifier: Apache-2.0
"""What processes used: CPU to the microsecond (schedstat), memory without counting shared pages twice."""

import os

from kit.processes import TICKS_PER_S, children


def tree(pid):
    """The process and all its descendants."""
    out = [pid]
    for child in children(pid):
        out += tree(child)
    return out


def _tasks_ns(pid):
    """CPU time of the threads that live."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task), encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total


def cpu_us(pids):
    """Of those that live; a thread that ended meanwhile is not seen."""
    total = 0
    for pid in pids:
        try:
            total += _tasks_ns(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / 1000


def ended_children_us(pid):
    """CPU time of children that were waited for, to a hundredth of a second."""
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS_PER_S * 1e6


def server_cpu_us(postmaster):
    """All of PostgreSQL: backends, checkpointer, WAL writer; a backend's time goes to the postmaster when
    it ends."""
    return cpu_us(tree(postmaster)) + ended_children_us(postmaster)


def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total
