# SPDX-License-Identifier: Apache-2.0
"""What processes and the machine used: CPU to the microsecond (schedstat), memory without counting shared
pages twice."""

import os
import resource
import time

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


def client_cpu_us():
    """Ours and that of clients that have ended: the load, to a few milliseconds."""
    return 1e6 * sum(used.ru_utime + used.ru_stime for used in map(
        resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def machine_us():
    """What all processors together could have given so far, and how long they idled, to a hundredth of a second.
    What a hypervisor takes is in neither kind of ticks; here it counts as not idle."""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = f.readline().split()
    return 1e6 * time.monotonic() * os.cpu_count(), (int(ticks[4]) + int(ticks[5])) / TICKS_PER_S * 1e6
