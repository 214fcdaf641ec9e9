# SPDX-License-Identifier: Apache-2.0
"""/metrics: the business's own figures, and that nothing a client sends makes it grow."""

import json
import os
import random
import re
import subprocess
import time
import uuid

from kit.clients import Api
from kit.processes import ROOT, eventually

BUSINESS = ("sales", "revenue_minor", "refunds", "refunded_minor", "voids", "voided_minor")


def business(gateway, store):
    """{(figure, payment method): value} of one store."""
    out = {}
    for name, value in gateway.metrics().items():
        found = re.fullmatch(r'tillway_(\w+)_total\{store="%s",currency="EUR",payment_method="(\w+)"\}' % store, name)
        if found:
            out[found.groups()] = value
    return out


def test_sales_and_revenue_are_counted_by_store_and_method(start, shop):
    """Each recorded sale once, however it came: one by one, repeated, in a batch, from an order."""
    gateway = start()
    bread = shop.product(250, stock=100)
    assert business(gateway, shop.store) == {}
    with Api(gateway, shop.token("manager")) as api:
        for key in ("one", "one", "two"):
            assert api.sell(shop.basket(bread), key).status_code == 201
        assert api.sell(shop.basket(bread, 1000), "three").status_code == 409  # not that many are there
        split = {"items": shop.basket(bread, 2)["items"],
                 "payments": [{"method": "cash", "amount": 3}, {"method": "card", "amount": 2}]}
        assert api.sell(split, "four").status_code == 201
        batch = [shop.basket(bread, n, transactionId=str(uuid.uuid4()), paymentMethod="cash") for n in (1, 3)]
        for replayed in (0, 2):
            answer = api.request("POST", "/v1/transactions/batch", content=json.dumps(batch).encode(),
                                 headers={"content-type": "application/json"})
            assert answer.json()["replayed"] == replayed
        order = api.post("/v1/orders", json={"items": shop.basket(bread, 4)["items"]})
        paid = api.post(order.headers["location"] + "/checkout", json={"paymentMethod": "card"}, key="five").json()
        path = "/v1/transactions/" + paid["transactionId"]
        for _ in range(2):
            assert api.post(path + "/refunds", json={"amount": 1.5}, key="six").status_code == 201
        undone = api.sell(shop.basket(bread), "seven").json()
        assert api.post("/v1/transactions/%s/void" % undone["transactionId"]).status_code == 201
    wanted = {"card": (4, 2 * 250 + 1000 + 250, 1, 150, 1, 250), "cash": (2, 1000, 0, 0, 0, 0),
              "mixed": (1, 500, 0, 0, 0, 0)}
    assert business(gateway, shop.store) == {(figure, method): value for method, values in wanted.items()
                                             for figure, value in zip(BUSINESS, values)}


def test_products_that_are_low_are_counted_by_store(start, shop, database):
    """By one worker for all, also what another program changes; 0 once it is over; not what is not sold."""
    bread, milk, gone = (shop.product(stock=10) for _ in range(3))

    def levels(product, stock, mark):
        database.rows("UPDATE inventory SET stock_milli = %s, low_stock_at_milli = %s"
                           " WHERE store_id = %s AND product_id = %s", stock, mark, shop.store, uuid.UUID(product))

    def low():
        return gateway.metrics().get('tillway_low_stock_products{store="%s"}' % shop.store)

    for product in (bread, gone):
        levels(product, 2000, 2000)
    database.rows("UPDATE products SET deleted_at = now() WHERE product_id = %s", uuid.UUID(gone))
    gateway = start(metrics={"low_stock_interval": "100ms"})
    eventually(lambda: low() == 1, what="bread is low")
    levels(milk, 1000, 5000)
    eventually(lambda: low() == 2, what="and milk")
    for product in (bread, milk):
        levels(product, 9000, 5000)
    eventually(lambda: low() == 0, what="nothing is low any more")


LATER = re.compile(r'tillway_(?:\w+_(?:duration|wait)_seconds_(?:bucket|sum|count)|db_statement_\w+_total)'
                   r'(\{.*?)(?:,(?:le|sqlstate)="[^"]*")?\}$')


def series(gateway):
    """The names and labels of all series there are but those that come with their first value."""
    return {name for name in gateway.metrics() if not LATER.match(name)}


def assert_later_ones_are_of_what_is_known(gateway):
    """No more of them than there are routes, statements and lanes."""
    known = {'{lane="%s"' % lane for lane in ("fast", "write", "slow")}
    known |= {'{statement="%s"' % name[:-4] for name in os.listdir(os.path.join(ROOT, "db/queries"))}
    for name in series(gateway):
        if found := re.match(r'tillway_http_requests_total(\{.*?),status="[^"]*"\}$', name):
            known.add(found.group(1))
    later = {found.group(1) for found in map(LATER.match, gateway.metrics()) if found}
    assert len(later) > 3 and later <= known


def test_promtool_finds_nothing_to_say(start, shop):
    gateway = start(limits=[{"name": "per-till", "key": "principal", "rate": "1000/s", "burst": 2000}])
    with Api(gateway, shop.token("manager")) as api:
        assert api.sell(shop.basket(shop.product()), "one").status_code == 201
    text = gateway.get_admin("/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert gateway.metrics()['tillway_limit_decisions_total{policy="per-till",result="allowed"}'] == 1


def test_nothing_that_clients_send_makes_it_grow(start, shop, issuer):
    """Random paths, methods, codes, headers, keys, tokens, stores and payment methods."""
    gateway = start()
    bread = shop.product()
    dice = random.Random(7)

    def word():
        return "".join(dice.choices("abcdefghijklmnopqrstuvwxyz0123456789-_.", k=dice.randint(1, 40)))

    with Api(gateway, shop.token("manager")) as api:
        assert api.sell(shop.basket(bread), "one").status_code == 201
        before = series(gateway)
        for _ in range(300):
            headers = {word().strip("-_.") or "x": word(), "x-request-id": word(), "origin": "https://" + word(),
                       "x-forwarded-for": word(), "user-agent": word(), "accept": word() + "/" + word()}
            api.request(dice.choice(("GET", "POST", "PUT", "PATCH", "DELETE", word().upper().strip("-_.") or "X")),
                        dice.choice(("/", "/v1/", "/v1/products/", "/v1/orders/")) + word() + "?" + word() + "=" + word(),
                        headers=headers, token=dice.choice((None, word(), issuer.token(username=word()))))
        assert series(gateway) == before
        assert_later_ones_are_of_what_is_known(gateway)
    admin = issuer.token("admin", username="owner-" + shop.store)
    with Api(gateway, admin) as api:  # who may name any store
        sold = [api.sell(shop.basket(bread, storeId=word(), paymentMethod=word()), word() + str(i)).status_code
                for i in range(400)]
    assert sold.count(201) > 300
    names = {label: {re.search(label + '="([^"]*)"', name).group(1) for name in series(gateway) if label + '="' in name}
             for label in ("store", "payment_method")}
    assert (len(names["store"]), len(names["payment_method"])) == (128 + 1, 8 + 1)
    assert sum(value for name, value in gateway.metrics().items()
               if name.startswith("tillway_sales_total{")) == 1 + sold.count(201)
    assert {name for name in series(gateway) - before if "store=" not in name} == set()


def test_processes_and_readiness(start):
    gateway = start()
    samples = gateway.metrics()
    assert [samples["tillway_ready"], samples["tillway_workers_ready"], samples["tillway_workers_expected"]] == [1, 2, 2]
    assert [value for name, value in samples.items() if name.startswith("tillway_unready{")] == [0, 0, 0, 0]
    for index, pid in gateway.workers().items():
        of = {name: samples['tillway_worker_%s{worker="%d"}' % (name, index)]
              for name in ("resident_memory_bytes", "open_fds", "max_fds", "heartbeat_age_seconds", "start_time_seconds",
                           "cpu_seconds_total")}
        assert of["resident_memory_bytes"] > 1e6 and of["max_fds"] >= of["open_fds"] > 5
        assert 0 <= of["heartbeat_age_seconds"] < 5 and abs(of["start_time_seconds"] - time.time()) < 60
        assert of["cpu_seconds_total"] < 30
        assert abs(len(os.listdir("/proc/%d/fd" % pid)) - of["open_fds"]) < 20
    assert samples["process_resident_memory_bytes"] > 1e6 and samples["process_open_fds"] > 5


def test_problems_and_refusals_are_counted(start, shop):
    gateway = start(limits=[{"name": "few", "key": "principal", "rate": "1/m", "burst": 2}])
    before = gateway.metrics()
    with Api(gateway, shop.token()) as api:
        assert [api.get("/v1/me").status_code for _ in range(5)] == [200, 200, 429, 429, 429]
        assert api.get("/v1/nowhere").status_code == 404
        assert api.get("/v1/me", token="x").status_code == 401

    def moved(name):
        return gateway.metrics()[name] - before[name]
    assert moved('tillway_limit_decisions_total{policy="few",result="allowed"}') == 2
    assert moved('tillway_limit_decisions_total{policy="few",result="refused"}') == 3
    assert [moved('tillway_problems_total{code="%s"}' % code)
            for code in ("quota-exceeded", "not-found", "token-invalid", "overloaded")] == [3, 1, 1, 0]
