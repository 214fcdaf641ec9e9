# SPDX-License-Identifier: Apache-2.0
"""What FAULTS promises after every fault, as one check."""

import urllib.parse

from kit.processes import (SANITIZED, children, descriptors, eventually, group_members, patient,
                           resident_kib)

READY_AGAIN_S = 5
# 5 % of a small process is less than one allocation of its libraries; what leaks grows past this.
MEMORY_FLOOR_KIB = 4096
FDS_FLOOR = 2


def is_connected(gateway, connections=16):
    """All of db.max_connections are there. /readyz is 200 earlier: with the first one of each lane,
    and the others come after it, each with two descriptors."""
    return connections == sum(value for name, value in gateway.metrics().items()
                              if name.startswith("tillway_db_connections{") or
                              name == "tillway_cache_listening")


class Invariants:
    """Made before the fault and before the clients whose connections it will not find again; hold()
    after the fault's end."""

    def __init__(self, gateway, *databases, connections=16):
        """databases: whose password may stand in no log. connections: db.max_connections."""
        self._gateway, self._connections = gateway, connections
        self._secrets = {urllib.parse.urlsplit(database.url).password for database in databases}
        self.remember()

    def remember(self):
        """What is there now is how it should be: again after a worker was killed on purpose."""
        eventually(self._is_connected, patient(READY_AGAIN_S), what="all its database connections")
        self._workers = self._gateway.workers()
        pids = [self._gateway.pid, *self._workers.values()]
        self._fds = {pid: descriptors(pid) for pid in pids}
        self._kib = {pid: resident_kib(pid) for pid in pids}

    def hold(self):
        """To be called when no client is connected any more that was not there before."""
        gateway = self._gateway
        eventually(gateway.is_ready, patient(READY_AGAIN_S), what="ready again")
        assert gateway.workers() == self._workers, "the expected worker pids"
        assert children(gateway.pid) == set(self._workers.values())
        assert set(group_members(gateway.group)) == {gateway.pid, *self._workers.values()}
        # One that was just tried in vain comes back after db.backoff_max (5 s).
        eventually(self._is_connected, patient(2 * READY_AGAIN_S), what="all its database connections")
        eventually(self._fds_are_back, patient(READY_AGAIN_S), what="descriptors are back: %s, were %s" % (
            {pid: descriptors(pid) for pid in self._fds}, self._fds))
        if not SANITIZED:  # freed memory waits in a quarantine there
            eventually(self._memory_is_back, patient(READY_AGAIN_S), what="memory is back: %s KiB, was %s" % (
                {pid: resident_kib(pid) for pid in self._kib}, self._kib))
        gateway.judge()
        written = gateway.log_text() + gateway.stderr()
        assert not any(secret and secret in written for secret in self._secrets), "a password"

    def _is_connected(self):
        return is_connected(self._gateway, self._connections)

    def _fds_are_back(self):
        return all(abs(descriptors(pid) - n) <= max(FDS_FLOOR, n * 0.05)
                   for pid, n in self._fds.items())

    def _memory_is_back(self):
        return all(resident_kib(pid) - n <= max(MEMORY_FLOOR_KIB, n * 0.05)
                   for pid, n in self._kib.items())
