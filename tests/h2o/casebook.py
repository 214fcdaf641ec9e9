# SPDX-License-Identifier: Apache-2.0
"""What the files of cases share: the list that they stand in, the two servers, and what is true of
a server that nobody asks anything."""

import os

from server import Hello

PATCHED, UNPATCHED = "TILLWAY_H2O_HELLO", "TILLWAY_H2O_HELLO_UNPATCHED"
IDLE_PERCENT, BUSY_PERCENT = 10, 25    # a loop may have to share its CPU with other programs

CASES = []


def case(needs):
    def register(function):
        function.needs = needs
        CASES.append(function)
        return function
    return register


def start(which, body_len=4096, entity_max=None, env=None):
    return Hello(os.environ[which], body_len, entity_max, env)


def assert_idle(server):
    assert server.alive(), "died: %s" % server.wait_dead()
    assert server.stderr() == "", "stderr: %r" % server.stderr()[:200]
    busy = server.cpu_percent()
    assert busy < IDLE_PERCENT, "busy: %.0f %% CPU" % busy
    return "idle, %.0f %% CPU" % busy
