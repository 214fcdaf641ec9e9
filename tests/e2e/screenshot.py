# SPDX-License-Identifier: Apache-2.0
"""`make screenshot`: docs/status-page.png, of a gateway with shops that sell for SCREENSHOT_SECONDS
(200). Not part of `make test`. SCREENSHOTS=DIR keeps more views there."""

import os
import re
import time

from kit.processes import ROOT
from kit.shop import Shop
from kit.traffic import Traffic
from test_status_page import node

SECONDS = int(os.environ.get("SCREENSHOT_SECONDS", "200"))
NAMES = ["harbour", "main", "station", "airport"]


def test_screenshot(start, own_database, issuer, work):
    shops = [Shop(own_database, issuer) for _ in NAMES]
    for shop, name in zip(shops, NAMES):
        shop.store = name
    certificates = os.path.join(work, "year.pem"), os.path.join(work, "year.key")
    from kit.processes import run
    done = run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "300", "-subj", "/CN=pos.example.com", "-addext", "subjectAltName=DNS:pos.example.com",
                "-keyout", certificates[1], "-out", certificates[0]])
    assert done.returncode == 0, done.stderr
    gateway = start(workers=2, db={"url": own_database.url},
                    listen=[{"address": "127.0.0.1", "port": 0},
                            {"address": "127.0.0.1", "port": 0, "tls": {"certificate": certificates[0], "key": certificates[1]}}])
    url = "http://127.0.0.1:%d/" % gateway.admin
    with Traffic(gateway, shops, pace_s=0.05) as traffic:
        time.sleep(SECONDS)  # the picture shows what has happened in this time
        more = os.environ.get("SCREENSHOTS")
        if more:
            for name, scheme, size in (("light", "light", "1440x900"), ("phone", "dark", "390x844"),
                                       ("full", "dark", "1440x0"), ("full-light", "light", "1440x0"),
                                       ("phone-light", "light", "390x0")):
                node("status-page.js", "shoot", url, os.path.join(more, name + ".png"), scheme,
                     re.sub("x0$", "x900", size), *(["full"] if size.endswith("x0") else []))
        node("status-page.js", "shoot", url, os.path.join(ROOT, "docs/status-page.png"), "dark", "1440x900")
    assert not traffic.failed
