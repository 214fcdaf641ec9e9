# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL (dev/postgres.sh) and one database in it."""

import hashlib
import os
import subprocess
import uuid

import psycopg2
import psycopg2.extras

from kit.processes import BINARY, ROOT, clean_environment, spawn

psycopg2.extras.register_uuid()

MIGRATE_CONFIG = os.path.join(os.path.dirname(__file__), "migrate.yaml")


class Postgres:
    """The server in one directory. `ours`: started here, so removed here."""

    def __init__(self, directory):
        self.directory = directory

    def _script(self, command, *words, check=True):
        # Its server may inherit our pipes if it hangs on to them: output goes to a file.
        log = self.directory + "-script.log"
        with open(log, "a+b") as out:
            begin = out.tell()
            code = subprocess.run([os.path.join(ROOT, "dev/postgres.sh"), command, self.directory,
                                   *words], stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=subprocess.STDOUT, timeout=120).returncode
            out.seek(begin)
            text = out.read().decode()
        assert code == 0 or not check, "dev/postgres.sh %s: %s" % (command, text)
        return text.strip()

    def start(self):
        self._script("start")

    def stop(self):
        self._script("stop")

    def stop_immediate(self, check=True):
        self._script("stop-immediate", check=check)

    def follow(self, primary, port=""):
        """Starts as a streaming standby of a running Postgres, made by pg_basebackup."""
        self._script("standby", primary.directory, str(port))

    def promote(self):
        self._script("promote")

    def remove(self):
        self._script("remove")

    def restart_immediate(self):
        self._script("restart-immediate")

    def url(self, name):
        return self._script("url", name)

    def create(self, name):
        self._script("createdb", name)
        return Database(self.url(name))

    def drop(self, name):
        self._script("dropdb", name)


class Database:
    """One database: an autocommit connection that is made anew after a restart."""

    def __init__(self, url):
        self.url = url
        self._connection = None

    def connect(self, autocommit=True):
        connection = psycopg2.connect(self.url)
        connection.autocommit = autocommit
        return connection

    def close(self):
        if self._connection:
            self._connection.close()
        self._connection = None

    def rows(self, sql, *args):
        """Rows as tuples; an empty list for what returns none."""
        for attempt in (1, 2):
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = self.connect()
                with self._connection.cursor() as cursor:
                    cursor.execute(sql, args or None)
                    return cursor.fetchall() if cursor.description else []
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self.close()
                if attempt == 2:
                    raise

    def value(self, sql, *args):
        return self.rows(sql, *args)[0][0]

    def migrate(self):
        done = self.spawn_migrate().communicate(timeout=60)
        assert "schema is up to date" in done[0], done

    def spawn_migrate(self, **options):
        """`tillway migrate` as a process, with pipes."""
        return spawn([BINARY, "migrate", "-c", MIGRATE_CONFIG], text=True, stdout=subprocess.PIPE,
                     stderr=subprocess.PIPE, env=clean_environment(TILLWAY_DB_URL=self.url, **options))

    def migrated_before(self, name):
        """As `tillway migrate` of a binary left it that ended before this migration."""
        scripts = os.path.join(ROOT, "db/migrations")
        with open(os.path.join(ROOT, "db/queries/migrate_table.sql"), encoding="utf-8") as f:
            self.rows(f.read())
        for script in sorted(os.listdir(scripts)):
            if script.split("_")[0] >= name:
                return
            with open(os.path.join(scripts, script), "rb") as f:
                text = f.read()
            alone = b"\n-- tillway: outside a transaction\n" in text
            for part in text.decode().split(";\n")[:-1] if alone else [text.decode()]:
                self.rows(part)
            self.rows("INSERT INTO tillway_migrations (name, sha256) VALUES (%s, %s)", script[:-len(".sql")],
                      hashlib.sha256(text).hexdigest())

    def load_sample(self):
        with open(os.path.join(ROOT, "db/sample/products.csv"), "rb") as csv:
            done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f",
                                   os.path.join(ROOT, "db/sample/load.sql"), self.url],
                                  stdin=csv, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()

    # ---- what tests ask -------------------------------------------------------------------------

    def sales_of(self, store):
        return self.value("SELECT count(*) FROM transactions WHERE store_id = %s", store)

    def stock_of(self, store, product_id):
        """In units; None when the product is not counted there."""
        rows = self.rows("SELECT stock_milli FROM inventory WHERE store_id = %s AND product_id = %s",
                         store, uuid.UUID(product_id))
        return rows[0][0] / 1000 if rows else None
