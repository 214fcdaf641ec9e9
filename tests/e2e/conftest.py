# SPDX-License-Identifier: Apache-2.0
"""End-to-end tests: a real gateway (TILLWAY_BIN, build/tillway unless given), a real PostgreSQL, the
development issuer; everything on 127.0.0.1 and ports the kernel chose.

    tests/run.sh e2e                              all of them, as CI does
    /usr/bin/python3 -m pytest tests/e2e -k sale  some; starts what it needs by itself

Every test has a store of its own (fixture `shop`), so nothing is cleaned between tests. Tests that
kill, restart or configure use `start`, which makes gateways of their own; the others share one.
Waiting is always for a condition with a deadline (kit.processes.eventually). Docstrings cite the
rows of FAULTS that a test would catch being broken."""

import os
import shutil
import signal
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(1, os.path.join(HERE, "..", "h2o"))

from kit.clients import Api  # noqa: E402
from kit.database import Database, Postgres  # noqa: E402
from kit.gateway import Gateway, deep_merge  # noqa: E402
from kit.issuer import Issuer  # noqa: E402
from kit.postgres_pair import PostgresPair  # noqa: E402
from kit.processes import BINARY, ISSUER_BINARY, ROOT, eventually, run  # noqa: E402
from kit.shop import Shop  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "heavy: load or faults; smaller under sanitizers")

    def stop(number, frame):
        raise KeyboardInterrupt  # so that the fixtures stop what they have started

    signal.signal(signal.SIGTERM, stop)
    for path in (BINARY, ISSUER_BINARY):
        if not os.access(path, os.X_OK):
            pytest.exit("%s is not built: make build build/tillway-issuer" % path, 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """What the gateways wrote during the test comes with its failure."""
    report = (yield).get_result()
    setattr(item, "report_" + report.when, report)
    if report.failed:
        for gateway in getattr(item, "gateways", []):
            for name, text in gateway.recent().items():
                report.sections.append(("%s of the gateway" % name, text))


# ---- neighbours ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def work():
    """A directory for this run, gone at the end. Short: a Unix socket's path must fit in."""
    parent = os.path.join(ROOT, "var")
    os.makedirs(parent, exist_ok=True)
    path = tempfile.mkdtemp(prefix="test-", dir=parent)
    os.chmod(path, 0o711)  # the account of PostgreSQL passes through
    yield path
    logs = os.environ.get("TILLWAY_TEST_LOGS")
    if logs:
        os.makedirs(logs, exist_ok=True)
        for name in os.listdir(path):
            if name.endswith((".log", ".stderr")):
                shutil.copy(os.path.join(path, name), logs)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(work):
    """The server that tests/run.sh has started, else one of our own."""
    given = os.environ.get("TILLWAY_TEST_POSTGRES")
    server = Postgres(given or os.path.join(work, "pg"))
    if not given:
        server.start()
    yield server
    if not given:
        server.remove()


@pytest.fixture(scope="session")
def postgres_pair(work):
    """A primary and a streaming standby of their own, for tests that break them."""
    pair = PostgresPair(work)
    try:
        yield pair.start()
    finally:
        pair.remove()


@pytest.fixture
def pair(postgres_pair):
    """Whole again at the end."""
    postgres_pair.broken = False
    yield postgres_pair
    if postgres_pair.broken:
        postgres_pair.heal()


@pytest.fixture(scope="session")
def pair_name(postgres_pair):
    name = "servers_%d" % os.getpid()
    postgres_pair.create(name).close()
    return name


@pytest.fixture
def pair_database(pair, pair_name):
    """On whichever server is the primary when the test begins."""
    database = Database(pair.primary.url(pair_name))
    yield database
    database.close()


@pytest.fixture
def pair_shop(pair_database, issuer):
    return Shop(pair_database, issuer)


@pytest.fixture(scope="session")
def database(postgres):
    name = "e2e_%d" % os.getpid()
    database = postgres.create(name)
    database.migrate()
    database.load_sample()
    yield database
    database.close()
    postgres.drop(name)


@pytest.fixture
def empty_database(postgres):
    """A database without our schema."""
    name = "e2e_empty_%d" % os.getpid()
    database = postgres.create(name)
    yield database
    database.close()
    postgres.drop(name)


@pytest.fixture
def own_database(postgres):
    """A migrated database that a test may spoil."""
    name = "e2e_own_%d" % os.getpid()
    database = postgres.create(name)
    database.migrate()
    yield database
    database.close()
    postgres.drop(name)


@pytest.fixture(scope="session")
def issuer(work):
    issuer = Issuer(os.path.join(work, "issuer")).start()
    yield issuer
    issuer.stop()


@pytest.fixture(scope="session")
def certificate(work):
    """(certificate, key) for localhost, self-signed."""
    certificate, key = os.path.join(work, "cert.pem"), os.path.join(work, "key.pem")
    done = run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out",
                certificate])
    assert done.returncode == 0, done.stderr
    return certificate, key


# ---- gateways --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def config(database, issuer, certificate):
    return {
        "listen": [{"address": "127.0.0.1", "port": 0},
                   {"address": "127.0.0.1", "port": 0,
                    "tls": {"certificate": certificate[0], "key": certificate[1]}}],
        "admin": {"address": "127.0.0.1", "port": 0},
        "workers": 2,
        "auth": {"issuers": [issuer.yaml()], "jwks": {"min_refetch": "1s"}},
        # Sheds nothing, as a busy machine is no database under overload (test_overload.py).
        "db": {"url": database.url, "queue_target": "0s"},
        "metrics": {"low_stock_interval": "0s"},  # so that tests may count queries
    }


@pytest.fixture(scope="session")
def shared_gateway(work, config):
    gateway = Gateway(work, config).start()
    yield gateway
    gateway.stop()


@pytest.fixture
def gateway(shared_gateway, request):
    """The gateway that most tests share. Nothing a client sends may cost it a worker."""
    request.node.gateways = [shared_gateway]
    shared_gateway.mark()
    eventually(shared_gateway.is_ready, what="the shared gateway is ready again")
    before = shared_gateway.workers()
    yield shared_gateway
    assert shared_gateway.workers() == before, "a worker has gone"


@pytest.fixture
def start(work, config, request):
    """start(until="ready", env=..., files=..., **changes) makes a gateway for this test alone;
    changes are merged into the configuration, None removes a key. It is stopped and judged."""
    running = request.node.gateways = []

    def start_one(until="ready", env=None, files=(), log_to=None, prefix=(), **changes):
        gateway = Gateway(work, deep_merge(config, changes), env=env, files=files, log_to=log_to,
                          prefix=prefix)
        running.append(gateway)
        return gateway.start(until) if until else gateway.spawn()

    yield start_one
    failed = getattr(request.node, "report_call", None) and request.node.report_call.failed
    try:
        for gateway in running:
            if failed:
                gateway.kill()
            else:
                gateway.stop()
    finally:
        for gateway in running:
            gateway.kill()


@pytest.fixture
def shop(database, issuer):
    return Shop(database, issuer)


@pytest.fixture
def api(gateway, shop):
    """A cashier of the test's own store, over HTTP/1.1."""
    with Api(gateway, shop.token("cashier")) as api:
        yield api


@pytest.fixture
def manager(gateway, shop):
    with Api(gateway, shop.token("manager")) as api:
        yield api
