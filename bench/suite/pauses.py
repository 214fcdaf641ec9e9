# SPDX-License-Identifier: Apache-2.0
"""How often the machine itself stops a thread that only looks at the clock, one on each processor, while
nothing is measured: a hypervisor's neighbours and the kernel's own threads, which no server can undo. They are the
floor of every p99.9."""

import gc
import json
import os
import subprocess
import sys
import time

PAUSE_US = 1000  # shorter ones are not counted


def _watch(processor, seconds):
    """How long each pause was, in microseconds."""
    os.sched_setaffinity(0, {processor})
    gc.disable()
    found, clock = [], time.perf_counter_ns
    last = clock()
    end = last + int(seconds * 1e9)
    while last < end:
        now = clock()
        if now - last >= PAUSE_US * 1000:
            found.append((now - last) / 1000)
        last = now
    return found


def watch(seconds):
    """{"part": of the time of all processors, "longest_us": of one pause}"""
    watchers = [subprocess.Popen([sys.executable, "-B", os.path.realpath(__file__), str(processor), str(seconds)],
                                 stdout=subprocess.PIPE) for processor in sorted(os.sched_getaffinity(0))]
    found = [us for watcher in watchers for us in json.loads(watcher.communicate()[0])]
    return {"part": round(sum(found) / (seconds * 1e6 * len(watchers)), 5), "longest_us": round(max(found, default=0))}


if __name__ == "__main__":
    print(json.dumps(_watch(int(sys.argv[1]), float(sys.argv[2]))))
