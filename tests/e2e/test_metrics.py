# SPDX-License-Identifier: Apache-2.0
"""/metrics: the business's own figures, and that nothing a client sends makes it grow."""

import json
import re
import uuid

from kit.clients import Api

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
