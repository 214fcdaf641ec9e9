# SPDX-License-Identifier: Apache-2.0
"""Other people's corpora against a running gateway: `make conformance`.

TILLWAY_CORPORA names their directory (../shared/corpora beside the project unless given); what is not
there is skipped, with a line that says so. Gateway, database and issuer come from tests/e2e."""

import importlib.util
import os
import sys

import pytest

HERE = os.path.dirname(os.path.realpath(__file__))
E2E = os.path.join(HERE, "..", "e2e")
CORPORA = os.path.realpath(os.environ.get("TILLWAY_CORPORA") or os.path.join(HERE, "..", "..", "..", "shared", "corpora"))

_spec = importlib.util.spec_from_file_location("e2e_conftest", os.path.join(E2E, "conftest.py"))
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)  # puts tests/e2e on the path
for _name in ("work", "postgres", "database", "issuer", "certificate", "config", "shared_gateway", "gateway",
              "start", "shop", "manager", "pytest_configure", "pytest_runtest_makereport"):
    globals()[_name] = getattr(_e2e, _name)
sys.path.insert(0, HERE)


@pytest.fixture(scope="session")
def hasty_gateway(work, config):
    """Waits a second for what does not come: many of the requests are incomplete."""
    from kit.gateway import Gateway
    gateway = Gateway(work, {**config, "http": {"request_timeout": "1s"}}).start()
    yield gateway
    gateway.stop()
