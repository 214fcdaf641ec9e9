# SPDX-License-Identifier: Apache-2.0
"""A primary and its streaming standby, which change their roles and heal."""

import os
import urllib.parse

from kit.database import Database, Postgres
from kit.processes import eventually


class PostgresPair:
    """`primary` and `standby` are servers by the role they have now; ports stay as they are. Whoever
    breaks one calls heal() at the end."""

    def __init__(self, directory):
        self.primary = Postgres(os.path.join(directory, "pg-a"))
        self.standby = Postgres(os.path.join(directory, "pg-b"))
        self._ports = {}

    def start(self):
        self.primary.start()
        self.standby.follow(self.primary)
        for server in (self.primary, self.standby):
            self._ports[server] = urllib.parse.urlsplit(server.url("x")).port
        return self

    def remove(self):
        for server in (self.standby, self.primary):
            server.stop_immediate(check=False)
            server.remove()

    def ask(self, server, sql, *args, database="postgres"):
        """Rows, of a connection that is closed again."""
        asked = Database(server.url(database))
        try:
            return asked.rows(sql, *args)
        finally:
            asked.close()

    def create(self, name):
        """A migrated database, known to both."""
        database = self.primary.create(name)
        database.migrate()
        self.caught_up()
        return database

    def url(self, name, query=""):
        """Of both servers, the present primary first."""
        parts = urllib.parse.urlsplit(self.primary.url(name))
        login = parts.netloc.rpartition("@")[0]
        hosts = ",".join("127.0.0.1:%d" % self._ports[s] for s in (self.primary, self.standby))
        return parts._replace(netloc="%s@%s" % (login, hosts), query=query).geturl()

    def caught_up(self):
        at = self.ask(self.primary, "SELECT pg_current_wal_lsn()")[0][0]
        eventually(lambda: self.ask(self.standby, "SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')"
                                    " >= %s::pg_lsn", at)[0][0], 60, 0.05, "the standby has all of it")

    def synchronous(self, on):
        """Whether a commit waits until the standby has it: then a failover loses none."""
        self.ask(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '%s'" % ("*" if on else ""))
        self.ask(self.primary, "SELECT pg_reload_conf()")
        eventually(lambda: self.ask(self.primary, "SELECT count(*) > 0 FROM pg_stat_replication WHERE"
                                    " sync_state = %s", "sync" if on else "async")[0][0])

    def pause_replay(self):
        self.ask(self.standby, "SELECT pg_wal_replay_pause()")
        eventually(lambda: self.ask(self.standby, "SELECT pg_get_wal_replay_pause_state()"
                                    )[0][0] == "paused", what="replay is paused")

    def resume_replay(self):
        self.ask(self.standby, "SELECT pg_wal_replay_resume()")

    def promote(self):
        """The standby takes writes; roles change. What the old primary does is the caller's affair."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def heal(self):
        """The primary runs; the standby is made anew from it, and has caught up."""
        self.primary.start()
        self.ask(self.primary, "ALTER SYSTEM RESET synchronous_standby_names")
        self.ask(self.primary, "SELECT pg_reload_conf()")
        self.standby.stop_immediate(check=False)  # if it runs; nobody needs its last checkpoint
        self.standby.remove()
        self.standby.follow(self.primary, self._ports[self.standby])
        self.caught_up()
