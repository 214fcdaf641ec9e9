# SPDX-License-Identifier: Apache-2.0
"""What every benchmark stands on: a PostgreSQL, an issuer and a database of its own, one directory for
all files, and the end of all that was started. The parts are those of the end-to-end tests (tests/e2e/kit)."""

import os
import shutil
import signal
import tempfile
import uuid

from kit.database import Postgres
from kit.gateway import Gateway, deep_merge
from kit.issuer import Issuer
from kit.processes import run

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BENCH = os.path.join(ROOT, "bench")
STORE = "main"
WAL_MIB = 640  # more than a figure writes
ENDLESS_STOCK_MILLI = 10**15  # moved by every sale, as in a shop, and never gone


def sample_product_id(sku):
    """The id that db/sample/load.sql gives it."""
    done = run([os.path.join(ROOT, "dev/product-id.sh"), sku])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Setting:
    """with Setting("name") as s: s.work, s.database, s.issuer, s.token, s.products, s.product."""

    def __init__(self, name):
        self._name = name
        self._servers = []

    def __enter__(self):
        def stop(number, frame):
            raise KeyboardInterrupt

        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        parent = os.path.join(ROOT, "var")
        os.makedirs(parent, exist_ok=True)
        self.work = tempfile.mkdtemp(prefix="bench-%s-" % self._name, dir=parent)
        os.chmod(self.work, 0o711)  # the account of PostgreSQL passes through
        self.postgres = Postgres(os.path.join(self.work, "pg"))
        self.issuer = None
        try:
            self._prepare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _prepare(self):
        self.postgres.start()
        self.issuer = Issuer(os.path.join(self.work, "issuer")).start()
        self.database = self.postgres.create("tillway")
        self.database.migrate()
        self.database.load_sample()
        self.database.rows("UPDATE inventory SET stock_milli = %s", ENDLESS_STOCK_MILLI)
        self.products = [str(row[0]) for row in self.database.rows(
            "SELECT product_id FROM inventory WHERE store_id = %s ORDER BY 1", STORE)]
        self.product = sample_product_id("BEV-0001")
        self.database.rows("VACUUM ANALYZE")
        self.token = self.issuer.token("cashier", STORE, ttl=43200)

    def calm_postgres(self, writes):
        """Nothing that PostgreSQL does by its own clock falls on whoever is measured then: settle() vacuums. With
        `writes` it has files of its log to use again, as one that has sold for a while: a new one is filled
        with zeros and synced first, which holds up every commit for 15 ms, each 16 MB."""
        self.database.rows("ALTER SYSTEM SET autovacuum = off")
        self.database.rows("ALTER SYSTEM SET min_wal_size = '1GB'")
        self.database.rows("SELECT pg_reload_conf()")
        if writes:
            self.database.rows("SELECT count(pg_logical_emit_message(false, '', repeat('x', 1048576)))"
                               " FROM generate_series(1, %s)", WAL_MIB)

    def settle(self, writes):
        """Before each figure; `writes`: it is one that sells."""
        if writes:
            self.database.rows("VACUUM ANALYZE")
        self.database.rows("CHECKPOINT")

    def find_postmaster(self):
        with open(os.path.join(self.postgres.directory, "data/postmaster.pid"), encoding="ascii") as f:
            self.postmaster = int(f.readline())

    def __exit__(self, *_):
        for server in reversed(self._servers):
            server.kill()
        if self.issuer:
            self.issuer.stop()
        self.postgres.remove()
        shutil.rmtree(self.work, ignore_errors=True)

    def config(self, **changes):
        """A gateway of one worker with token check, access log, metrics and a limit that nobody reaches."""
        return deep_merge({
            "listen": [{"address": "127.0.0.1", "port": 0}],
            "admin": {"address": "127.0.0.1", "port": 0},
            "workers": 1,
            "auth": {"issuers": [self.issuer.yaml()]},
            # Eight for sales, as many as pgbench gets; two for point reads and two for lists.
            "db": {"url": self.database.url, "max_connections": 12},
            "limits": [{"name": "per-client", "key": "principal", "rate": "1000000/s", "burst": 1000000}],
            "http": {"max_connections_per_peer": 16384},
        }, changes)

    def gateway(self, config, **options):
        """Not started yet; killed at the end, should it still run."""
        gateway = Gateway(self.work, config, **options)
        self._servers.append(gateway)
        return gateway

    def sale(self, chance, lines=3, **more):
        """The body of a sale of products drawn at random."""
        return {"registerId": str(chance.randint(1, 64)), "paymentMethod": "card",
                "items": [{"productId": chance.choice(self.products), "quantity": 1} for _ in range(lines)],
                **more}

    @staticmethod
    def random_uuid(chance):
        return str(uuid.UUID(int=chance.getrandbits(128), version=4))
