# SPDX-License-Identifier: Apache-2.0
"""deploy/observability: what it holds is well-formed, and a real Prometheus that scrapes a gateway
finds data for every query of the dashboards and every expression of the rules."""

import glob
import itertools
import json
import math
import os
import re
import subprocess
import sys
import uuid

import pytest

from kit.clients import Api
from kit.processes import eventually, patient
from kit.prometheus import OBSERVABILITY, Prometheus

RULES = [os.path.join(OBSERVABILITY, "rules", name) for name in ("recording.yml", "alerts.yml")]
DASHBOARDS = sorted(glob.glob(os.path.join(OBSERVABILITY, "grafana", "*.json")))
COMPARISON = re.compile(r"\s(?:==|!=|<=|>=|<|>)\s")
JOINT = re.compile(r"\s(?:and|or|unless)(?:\s+(?:ignoring|on)\s*\([^)]*\))?\s")


def command(*argv, cwd=OBSERVABILITY):
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- what it holds ---------------------------------------------------------------------------------


def test_examples_and_rules_are_well_formed():
    command("promtool", "check", "config", "prometheus.yml")
    assert command("promtool", "check", "rules", *RULES).count("SUCCESS") == 2
    command("amtool", "check-config", "alertmanager.yml")
    command(sys.executable, "grafana/make.py", "--check")


@pytest.mark.parametrize("name", ["alerts_test.yml", "alerts_days_test.yml"])
def test_alerts_fire_when_they_should(name):
    assert "SUCCESS" in command("promtool", "test", "rules", name, cwd=os.path.dirname(RULES[0]))


def test_every_alert_is_tested_and_explained():
    """promtool fires each of them, and README says what to do then."""
    with open(RULES[1], encoding="utf-8") as f:
        alerts = re.findall(r"- alert: (\w+)", f.read())
    assert len(alerts) > 20 and len(set(alerts)) == len(alerts)
    tests = "".join(open(path, encoding="utf-8").read()
                    for path in glob.glob(os.path.join(OBSERVABILITY, "rules", "*_test.yml")))
    with open(os.path.join(OBSERVABILITY, "README.md"), encoding="utf-8") as f:
        readme = f.read()
    for alert in alerts:
        assert re.search(r"\b%s\b" % alert, tests), alert
        assert "`%s`" % alert in readme, alert


@pytest.mark.parametrize("receiver, labels", [
    ("on-call", {"alertname": "TillwayDown", "severity": "page"}),
    ("tickets", {"alertname": "TillwayReloadFailed", "severity": "ticket"})])
def test_alertmanager_sends_pages_to_whoever_is_on_call(receiver, labels):
    words = ["%s=%s" % pair for pair in labels.items()]
    command("amtool", "config", "routes", "test", "--config.file=alertmanager.yml", "--verify.receivers=" + receiver, *words)


# ---- expressions -----------------------------------------------------------------------------------


def depths(expression):
    """How many parentheses are open behind each character."""
    return list(itertools.accumulate({"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(char, 0)
                                     for char in expression))


def pieces(expression, separator):
    """Split at a separator that stands in no parentheses."""
    out, begin = [], 0
    for at, depth in enumerate(depths(expression)):
        found = depth == 0 and at >= begin and separator.match(expression, at)
        if found:
            out.append(expression[begin:at])
            begin = found.end()
    return [piece.strip() for piece in out + [expression[begin:]]]


def operands(expression):
    """What an alert compares and joins: each of them must be there, whether or not it fires now."""
    expression = expression.strip()
    if expression.startswith("(") and depths(expression).index(0) == len(expression) - 1:
        return operands(expression[1:-1])
    for separator in (JOINT, COMPARISON):
        parts = pieces(expression, separator)
        if len(parts) > 1:
            return [operand for part in parts for operand in operands(part)]
    return [expression]


def test_alerts_are_taken_apart_as_they_should():
    assert operands("(a > 14.4 * 0.001)\nand ignoring (x) (sum(b{c=\"d > e\"}) == 0)") == [
        "a", "14.4 * 0.001", "sum(b{c=\"d > e\"})", "0"]
    assert operands("((a / b offset 1w) < 0.3) and ((a) > 0)") == ["a / b offset 1w", "0.3", "a", "0"]


def dashboard_queries():
    """[(dashboard: panel, query)], with what Grafana would put in for the variables."""
    out = []
    for path in DASHBOARDS:
        with open(path, encoding="utf-8") as f:
            board = json.load(f)
        values = {"$__rate_interval": "10s", "$job": "tillway", "$instance": ".*", "$minor": "100"}
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                query = target["expr"]
                for name, value in values.items():
                    query = query.replace(name, value)
                assert "$" not in query, query
                out.append(("%s: %s" % (board["title"], panel["title"]), query))
    return out


def rule_expressions(prometheus):
    """[(rule, expression)] as Prometheus itself has read them."""
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    return [(rule["name"], operand) for rule in rules for operand in operands(rule["query"])]


def has_data(prometheus, expression):
    return any(not math.isnan(value) for value in prometheus.query(expression))


# ---- a Prometheus that scrapes ---------------------------------------------------------------------


def a_little_of_everything(gateway, shop, product, round_):
    """One round of what shops do, of each kind that a panel shows."""
    with Api(gateway, shop.token("manager", username="round-" + shop.store)) as api:
        for method in ("cash", "card"):
            sale = api.sell(shop.basket(product, paymentMethod=method), str(uuid.uuid4())).json()
        again = str(uuid.uuid4())
        for _ in range(2):
            undone = api.sell(shop.basket(product), again).json()
        path = "/v1/transactions/%s"
        assert api.post(path % sale["transactionId"] + "/refunds", json={"amount": 0.5}, key=again + "-r").status_code == 201
        assert api.post(path % undone["transactionId"] + "/void").status_code == 201
        assert api.sell(shop.basket(product, 100000), str(uuid.uuid4())).status_code == 409
        for _ in range(3):
            assert api.get("/v1/products/" + product).status_code == 200
        assert api.get("/v1/transactions?limit=5").status_code == 200
        assert api.get("/v1/inventory/" + product).status_code == 200
        api.get("/v1/nowhere/%d" % round_)
        api.get("/v1/me", token="bad")
    with gateway.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        sock.recv(1000)


def test_every_query_and_rule_has_data(work, start, shop):
    gateway = start(limits=[{"name": "per-till", "key": "principal", "rate": "1000/s", "burst": 2000}],
                    metrics={"low_stock_interval": "1s"})
    product = shop.product(250, stock=1000)
    prometheus = Prometheus(os.path.join(work, "prometheus"), "127.0.0.1:%d" % gateway.admin)
    prometheus.last_week({'tillway:revenue_minor:rate30m{job="tillway",currency="EUR"}': 1})
    a_little_of_everything(gateway, shop, product, 0)  # so that all series are there for the first scrape
    try:
        prometheus.start()
        eventually(lambda: has_data(prometheus, 'up{job="tillway"} == 1'), what="it is scraped")
        wanted = dashboard_queries() + rule_expressions(prometheus)
        assert len(wanted) > 120
        left, rounds = wanted, 0

        def all_have_data():
            nonlocal left, rounds
            rounds += 1
            a_little_of_everything(gateway, shop, product, rounds)
            left = [(name, query) for name, query in left if not has_data(prometheus, query)]
            return not left
        try:
            eventually(all_have_data, patient(30), 0.5)
        except AssertionError:
            raise AssertionError("no data: %s" % "\n".join("%s: %s" % pair for pair in left)) from None
        for group in prometheus.get("rules")["groups"]:
            for rule in group["rules"]:
                assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule
        firing = {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"] if alert["state"] == "firing"}
        assert not firing & {"TillwayDown", "TillwayNotReady", "TillwayWorkerRestarts", "TillwayReloadFailed"}
        # The last scrape, or one soon: a busy machine may answer one in more than a second.
        eventually(lambda: [(t["health"], t["lastError"]) for t in prometheus.get("targets")["activeTargets"]]
                   == [("up", "")], what="the target is up")
    finally:
        prometheus.stop()
