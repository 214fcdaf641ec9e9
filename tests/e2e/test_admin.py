# SPDX-License-Identifier: Apache-2.0
"""The admin port: health, readiness, metrics, configuration."""

import collections
import re

import httpx
import pytest

from kit.clients import Api
from kit.invariants import is_connected
from kit.processes import eventually

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="[^"\\]*",?)*)\})? (-?\d+(?:\.\d+)?)')


def parse(text):
    """{name: [(labels, value)]}, and {family: type}. Every line must be well-formed."""
    samples, types = collections.defaultdict(list), {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in types, "two blocks of " + name
            types[name] = kind
        elif not line.startswith("# HELP "):
            found = SAMPLE.fullmatch(line)
            assert found, line
            labels = dict(re.findall(r'([a-z_]+)="([^"]*)"', found.group(2) or ""))
            samples[found.group(1)].append((labels, float(found.group(3))))
    return samples, types


def test_livez_and_readyz(gateway):
    assert gateway.get_admin("/livez").status_code == 200
    ready = gateway.get_admin("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "workers": {"ready": 2, "expected": 2}, "reasons": []}


def test_other_pages_are_404_and_other_methods_405(gateway):
    assert gateway.get_admin("/nothing").status_code == 404
    answer = httpx.post("http://127.0.0.1:%d/metrics" % gateway.admin, trust_env=False)
    assert answer.status_code == 405 and answer.headers["allow"] == "GET, HEAD"
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_public_port_has_none_of_it(api):
    """N4"""
    for path in ("/livez", "/readyz", "/metrics", "/config"):
        assert api.get(path, token=None).status_code == 404


def test_secrets_are_masked(gateway, database):
    """N4"""
    text = gateway.get_admin("/config").text
    password = re.search(r"://[^:]+:([^@]+)@", database.url).group(1)
    assert "db:" in text and password not in text and password not in gateway.log_text()


def test_metrics_are_well_formed(gateway, api):
    """What Prometheus' text format asks for: one block a family, every sample of a declared one."""
    api.get("/v1/me")
    answer = gateway.get_admin("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples, types = parse(answer.text)
    for name in samples:
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in types or types.get(family) == "histogram", name
    for name, kind in types.items():
        assert (kind == "counter") == name.endswith("_total"), name
    assert samples["tillway_workers"] == [({}, 2.0)]


def test_histograms_add_up(gateway, api, shop):
    api.sell(shop.basket(shop.product()))
    samples, types = parse(gateway.get_admin("/metrics").text)
    histograms = [name for name, kind in types.items() if kind == "histogram"]
    assert histograms
    for name in histograms:
        series = collections.defaultdict(list)
        for labels, value in samples[name + "_bucket"]:
            le = labels.pop("le")
            series[tuple(labels.items())].append((float(le), value))
        counts = {tuple(labels.items()): value for labels, value in samples[name + "_count"]}
        sums = {tuple(labels.items()): value for labels, value in samples[name + "_sum"]}
        assert series.keys() == counts.keys() == sums.keys()
        for key, buckets in series.items():
            assert buckets == sorted(buckets), "buckets rise"
            values = [value for _, value in buckets]
            assert values == sorted(values) and values[-1] == counts[key]
            assert buckets[-1][0] == float("inf")
            assert (sums[key] > 0) == (counts[key] > 0) or sums[key] == 0


def test_requests_are_counted_by_route_and_class(gateway, shop):
    """A label is a route's pattern, never a path somebody sent."""
    product = shop.product()
    before = gateway.metrics()
    with Api(gateway, shop.token()) as api:
        for _ in range(3):
            assert api.get("/v1/products/" + product).status_code == 200
        api.get("/v1/products/no-such")
        api.get("/nowhere/" + product)
    moved = {name: value - before[name] for name, value in gateway.metrics().items()
             if name.startswith("tillway_http_requests_total") and value != before[name]}
    row = 'tillway_http_requests_total{method="%s",route="%s",status="%s"}'
    assert moved == {row % ("GET", "/v1/products/{productId}", "2xx"): 3,
                     row % ("GET", "/v1/products/{productId}", "4xx"): 1,
                     row % ("any", "unmatched", "4xx"): 1}
    assert product not in gateway.get_admin("/metrics").text


def test_sales_tokens_and_queries_are_counted(gateway, shop, issuer):
    before = gateway.metrics()
    with Api(gateway, shop.token(username="counted")) as api:
        body = shop.basket(shop.product(stock=1))
        for key in ("first", "first", "second"):  # recorded, replayed, refused
            api.sell(body, key)
        api.get("/v1/me", token=issuer.token(ttl=-60))

    def moved(name):
        return gateway.metrics()[name] - before[name]
    assert [moved('tillway_sale_results_total{result="%s"}' % r) for r in ("recorded", "replayed", "refused")] == [1, 1, 1]
    assert moved('tillway_token_checks_total{result="verified"}') == 1
    assert moved('tillway_token_checks_total{result="cached"}') == 2
    assert moved('tillway_token_checks_total{result="refused"}') == 1
    assert moved("tillway_db_queries_total") == 3
    assert moved("tillway_connections_accepted_total") == 1


def test_gauges_come_back_to_zero(gateway, shop):
    with Api(gateway, shop.token()) as api:
        api.get("/v1/me")
        assert gateway.metrics()["tillway_connections"] >= 1
    eventually(lambda: gateway.metrics()["tillway_connections"] == 0, what="no connection is open")
    assert gateway.metrics()["tillway_requests_in_flight"] == 0
    assert [gateway.metrics()['tillway_db_queue_length{lane="%s"}' % lane]
            for lane in ("fast", "write", "slow")] == [0, 0, 0]


def test_database_connections_are_as_many_as_configured(gateway, database):
    """db.max_connections counts for the whole process tree."""
    eventually(lambda: is_connected(gateway), what="all its database connections")
    names = database.rows("SELECT application_name FROM pg_stat_activity"
                          " WHERE datname = current_database() AND application_name LIKE 'tillway %%'"
                          " AND pid <> pg_backend_pid()")
    assert len(names) == 16


@pytest.mark.parametrize("workers, connections", [(1, 3), (1, 7), (3, 9)])
def test_few_connections_are_split_too(start, database, workers, connections, shop):
    gateway = start(workers=workers, db={"max_connections": connections})
    with Api(gateway, shop.token()) as api:
        assert api.get("/v1/products?limit=1").status_code == 200
        assert api.sell(shop.basket(shop.product())).status_code == 201
    total = sum(value for name, value in gateway.metrics().items()
                if name.startswith("tillway_db_connections{"))
    assert total <= connections
