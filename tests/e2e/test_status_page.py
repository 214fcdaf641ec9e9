# SPDX-License-Identifier: Apache-2.0
"""The status page in Chromium, through Playwright (tests/npm/status-page.js); and what its words and
figures are made of, in Node alone (tests/npm/status-figures.js)."""

import json
import os
import re
import shutil

import pytest

from kit.processes import ROOT, SANITIZED, clean_environment, run
from kit.traffic import Traffic

NPM = os.path.join(ROOT, "tests/npm")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed: dev/install.sh npm")
needs_browser = pytest.mark.skipif(
    not os.access(CHROMIUM, os.X_OK) or not os.path.isdir(os.path.join(NPM, "node_modules/playwright-core")),
    reason="no browser: dev/install.sh npm browser, tests/npm/install.sh")


def node(script, *words, timeout_s=120):
    done = run(["node", "--test-reporter=tap", os.path.join(NPM, script), *words], timeout_s=timeout_s,
               env=clean_environment(CHROMIUM=CHROMIUM, HOME=os.environ.get("HOME", "/tmp")))
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_node
@pytest.mark.skipif(SANITIZED, reason="once is enough: no gateway takes part")
def test_figures_and_alerts_in_words():
    assert re.search(r"^# fail 0$", node("status-figures.js"), re.MULTILINE)


def test_the_page_asks_for_metrics_that_exist(gateway):
    there = {name.partition("{")[0] for name in gateway.get_admin("/status.json").json()["metrics"]}
    page = gateway.get_admin("/").text
    wanted = set(re.findall(r"""["']((?:tillway)_[a-z_]+)""", page))
    assert len(wanted) > 5 and wanted <= there, wanted - there


@needs_node
@needs_browser
@pytest.mark.heavy
@pytest.mark.skipif(SANITIZED, reason="once is enough: the browser judges the page, not the gateway")
def test_the_page_lives_under_load(start, database, issuer):
    """Charts move, nothing is complained of, nobody else is asked, and it fits a phone."""
    from kit.shop import Shop
    gateway = start(workers=2)
    url = "http://127.0.0.1:%d/" % gateway.admin
    with Traffic(gateway, [Shop(database, issuer) for _ in range(2)]) as traffic:
        seen = json.loads(node("status-page.js", "look", url))
    assert not traffic.failed
    assert seen["console"] == []
    assert {re.sub(r"\?after=\d+$", "", asked) for asked in seen["requests"]} == \
        {url, url + "status.json", *(r for r in seen["requests"] if r.startswith("data:"))}
    dark, light, chosen, phone = (seen[name] for name in ("dark", "light", "chosen", "phone"))
    assert dark["state"] == "Ready" and dark["title"] == "Ready · Tillway"
    assert {"chart-requests", "chart-latency", "chart-sales", "chart-revenue", "chart-cache"} <= set(seen["moved"])
    assert len(seen["charts"]) == 12
    for now in (dark, light, chosen, phone, seen["narrowed"]):
        assert now["images"] and now["blank"] == 0 and now["sideways"] <= 0, now
        assert re.match(r"[\d.,]+/s$", now["heads"]["requests"]), now["heads"]
        assert re.match(r"[\d.,]+ m?s$", now["heads"]["latency"]), now["heads"]
    assert dark["background"] != light["background"] and phone["background"] == dark["background"]
    assert [row[1] for row in light["workers"]] == ["serving", "serving"]
    assert {int(row[2]) for row in light["workers"]} == set(gateway.workers().values())
    assert {"POST /v1/transactions", "GET /v1/products/{productId}"} <= {row[0] for row in light["routes"]}
    assert re.search(r"not-found\s+[\d.]+/s", light["legends"]["errors"]), light["legends"]
    assert len(light["shops"]) == 2 and all(row[4].startswith("$") or row[4].startswith("€") for row in light["shops"])
    assert any("Certificate localhost expires in" in text for text in dark["alerts"]), dark["alerts"]
