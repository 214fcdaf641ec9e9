# SPDX-License-Identifier: Apache-2.0
"""Tests of the master alone: the harness's worker needs no h2o, no PostgreSQL, no network."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import gateway  # noqa: E402
import issuer  # noqa: E402


def pytest_collection_modifyitems(items):
    if gateway.HARNESS:
        return
    for item in items:
        item.add_marker(pytest.mark.skip(
            reason="TILLWAY_MASTER_HARNESS does not name the harness's binary"))


@pytest.fixture(scope="session")
def key_document():
    return issuer.key_set("k1")


@pytest.fixture
def file_issuer(tmp_path, key_document):
    """The auth section with keys from a file."""
    path = tmp_path / "jwks.json"
    path.write_bytes(key_document)
    return ("auth:\n  issuers:\n    - {issuer: 'https://id.example.com', jwksFile: '%s', "
            "audience: [tills]}\n" % path)


@pytest.fixture
def start(tmp_path, file_issuer):
    """start(workers=2, ...) makes a Gateway that is ended with the test."""
    running = []

    def start_one(issuer_yaml=None, **options):
        one = gateway.Gateway(str(tmp_path), issuer_yaml or file_issuer, **options)
        running.append(one)
        return one.__enter__()

    yield start_one
    for one in running:
        one.__exit__(None)
