# SPDX-License-Identifier: Apache-2.0
"""pgbouncer in transaction mode before one PostgreSQL, on a port of 127.0.0.1 that stays its own."""

import os
import shutil
import signal
import socket
import subprocess
import urllib.parse

from kit.processes import clean_environment, eventually, free_port, spawn

PROGRAM = "/usr/sbin/pgbouncer"
ACCOUNT = "postgres"  # as root it wants another account to run as


class Pgbouncer:
    """Give it a database's URL; `url` is the way through. Two server connections unless told: clients
    share them, so that what one leaves behind another would find."""

    def __init__(self, directory, database_url, server_connections=2):
        self._target = urllib.parse.urlsplit(database_url)
        self._size = server_connections
        self.port = free_port()
        self.url = self._target._replace(netloc="anybody@127.0.0.1:%d" % self.port).geturl()
        self._path = os.path.join(directory, "pgbouncer-%d.ini" % self.port)
        self._log = os.path.join(directory, "pgbouncer-%d.log" % self.port)
        self._process = None

    def _write_settings(self):
        target = self._target
        with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="ascii") as f:
            f.write("""[databases]
* = host=%s port=%d user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 200
default_pool_size = %d
server_login_retry = 0.1
""" % (target.hostname, target.port, target.username, target.password, self.port, self._size))
        if os.geteuid() == 0:
            shutil.chown(self._path, ACCOUNT)

    def start(self):
        self._write_settings()
        command = [PROGRAM, self._path]
        if os.geteuid() == 0:
            command[1:1] = ["-u", ACCOUNT]
        with open(self._log, "ab") as log:
            self._process = spawn(command, stdout=log, stderr=subprocess.STDOUT,
                                  env=clean_environment())
        eventually(self._listens, what="pgbouncer listens (%s)" % self._log)
        return self

    def _listens(self):
        assert self._process.poll() is None, open(self._log, encoding="utf-8").read()
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        """At once, whatever its clients are doing."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
        self._process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
