# SPDX-License-Identifier: Apache-2.0
"""Who changed what: every change is there, in order, and each sees what is his to see."""

import uuid

import pytest

from kit.clients import Api, assert_problem


def entries(api, query, limit=500):
    """All pages, the newest first."""
    found, after = [], ""
    while after is not None:
        page = api.get("/v1/audit?limit=%d%s%s" % (limit, query and "&" + query, after)).json()
        assert page.keys() == {"items", "next"} and len(page["items"]) <= limit
        found += page["items"]
        after = page["next"] and "&after=" + page["next"]
    return found


@pytest.fixture
def admin(gateway, shop):
    with Api(gateway, shop.token("admin")) as api:
        yield api


def test_every_change_of_a_product_is_there(admin, manager, shop, issuer):
    product_id = str(uuid.uuid4())
    path = "/v1/products/" + product_id
    body = {"name": "Tea", "price": 1.5, "taxRate": 0.07}
    assert manager.request("PUT", path, json=body).status_code == 201
    assert manager.request("PUT", path, json=body).status_code == 200  # changes nothing
    assert manager.request("PATCH", path, json={"price": 2}).status_code == 200
    assert manager.request("PATCH", path, json={"price": 3}, headers={"if-match": '"1"'}).status_code == 412
    assert manager.post("/v1/products/batch", json=[{**body, "productId": product_id}]).status_code == 200
    assert manager.request("DELETE", path).status_code == 204
    for limit in (500, 1):
        found = entries(admin, "entity=product&entityId=" + product_id, limit)
        assert [e["action"] for e in found] == ["product.delete", "product.update", "product.update",
                                                "product.create"]
    actor = manager.get("/v1/me").json()
    assert {e["actor"] for e in found} == {actor.get("subject") or actor.get("sub")}
    created, patched = found[3], found[2]
    assert created.keys() == {"id", "at", "actor", "action", "entity", "entityId", "storeId", "before", "after"}
    assert created["before"] is None and created["after"]["priceMinor"] == 150 and created["storeId"] is None
    assert (patched["before"]["priceMinor"], patched["after"]["priceMinor"]) == (150, 200)
    assert (patched["before"]["version"], patched["after"]["version"]) == (1, 2)
    assert found[0]["after"] is None and found[0]["before"]["name"] == "Tea"
    ids = [e["id"] for e in found]
    assert ids == sorted(ids, reverse=True)


def test_a_sale_in_anothers_name_is_there(api, manager, shop):
    """Sold, sent in a batch or checked out: by whom, and in whose name; nobody's own sales are."""
    bread = shop.product(stock=10)
    cashier, actor = (who.get("/v1/me").json()["sub"] for who in (api, manager))
    sold = [api.sell(shop.basket(bread)), manager.sell(shop.basket(bread)),
            manager.sell(shop.basket(bread, cashierId=cashier))]
    batch = [shop.basket(bread, transactionId=str(uuid.uuid4()), **more) for more in
             ({"cashierId": cashier}, {}, {"cashierId": cashier, "total": 99})]
    assert manager.post("/v1/transactions/batch", json=batch).json()["recorded"] == 2
    order = api.post("/v1/orders", json={"items": [{"productId": bread, "quantity": 1}]}).headers["location"]
    paid = manager.post(order + "/checkout", key="k", json={"paymentMethod": "card", "cashierId": cashier})
    assert paid.status_code == 201, paid.text
    for_another = [sold[2].json()["transactionId"], batch[0]["transactionId"], paid.json()["transactionId"]]
    entries = manager.get("/v1/audit?entity=transaction").json()["items"][::-1]
    assert [(e["action"], e["actor"], e["entityId"], e["storeId"]) for e in entries] == [
        ("transaction.record", actor, sale, shop.store) for sale in for_another]
    assert {(e["before"], e["after"]["cashierId"]) for e in entries} == {(None, cashier)}


def test_what_is_taken_off_a_basket_is_there(api, manager, shop):
    """By whom; what changes nothing that a customer pays for is not, nor what was refused."""
    bread, milk = shop.product(250), shop.product(99)
    actor = api.get("/v1/me").json()["sub"]
    made = api.post("/v1/orders", json={"items": [{"productId": p, "quantity": 2} for p in (bread, milk)]})
    path, order = made.headers["location"], made.json()["orderId"]
    for change in ({"label": "x", "parked": True}, {"items": [{"productId": bread, "quantity": 2}]},
                   {"items": [{"productId": bread, "quantity": 2}]}, {"discount": 0.5}):
        assert api.request("PATCH", path, json=change).status_code == 200
    assert api.request("PATCH", path, json={"items": [{"productId": str(uuid.uuid4()), "quantity": 1}]}
                       ).status_code == 422
    assert api.request("PATCH", path, json={"discount": 1}, headers={"if-match": '"1"'}).status_code == 412
    found = entries(manager, "entity=order&entityId=" + order)[::-1]
    assert {(e["action"], e["actor"], e["storeId"]) for e in found} == {("order.update", actor, shop.store)}
    assert [(len(e[when]["items"]), e[when]["discountMinor"], e[when]["version"])
            for e in found for when in ("before", "after")] == [(2, 0, 2), (1, 0, 3), (1, 0, 4), (1, 50, 5)]
    assert found[0]["after"]["items"] == [{"productId": bread, "quantityMilli": 2000, "discountMinor": 0}]


def test_filters(admin, database, shop):
    store, actors = shop.store, ["a-" + shop.store, "b-" + shop.store]
    for n in range(12):
        database.rows("INSERT INTO audit_log (at, actor, action, entity, entity_id, store_id) VALUES"
                      " (timestamptz '2020-01-01 00:00Z' + %s * interval '1 hour', %s, 'x', %s, %s, %s)",
                      n, actors[n % 2], "thing-" + store if n < 6 else "other-" + store, str(n % 3), store)

    def hours(query, limit=5):
        return [int(e["at"][11:13]) for e in entries(admin, query, limit)]

    assert hours("actor=" + actors[0]) == [10, 8, 6, 4, 2, 0]
    assert hours("entity=thing-" + store) == [5, 4, 3, 2, 1, 0]
    assert hours("entity=thing-%s&entityId=1" % store) == [4, 1]
    assert hours("entity=thing-%s&entityId=1&actor=%s" % (store, actors[0]), 1) == [4]
    assert hours("actor=%s&from=2020-01-01T04:00:00Z&to=2020-01-01T08:00:00Z" % actors[0], 1) == [6, 4]
    assert hours("entity=other-%s&to=2020-01-01T09:00:00Z" % store) == [8, 7, 6]
    assert hours("actor=nobody") == []


def test_an_admin_asks_for_one_store(admin, manager, database, shop):
    """FAULTS B6"""
    stores = [shop.store, shop.store + "-other"]
    for store in stores + [None]:
        database.rows("INSERT INTO audit_log (actor, action, entity, entity_id, store_id)"
                      " VALUES (%s, 'x', %s, '1', %s)", shop.store, shop.store, store)
    for query in ("", "&entity=" + shop.store, "&entity=%s&entityId=1" % shop.store, "&actor=" + shop.store):
        for store in stores:
            assert [e["storeId"] for e in entries(admin, "storeId=" + store + query)] == [store], query
    assert [e["storeId"] for e in entries(manager, "storeId=" + stores[0])] == stores[:1]
    assert_problem(manager.get("/v1/audit?storeId=" + stores[1]), 403, "forbidden")


def test_a_manager_sees_his_store_and_nothing_else(admin, manager, api, database, shop):
    """FAULTS B6"""
    for store in (shop.store, shop.store + "-other", None):
        database.rows("INSERT INTO audit_log (actor, action, entity, entity_id, store_id)"
                      " VALUES (%s, 'x', %s, '1', %s)", shop.store, shop.store, store)
    for query in ("", "entity=" + shop.store, "entity=%s&entityId=1" % shop.store, "actor=" + shop.store):
        found = entries(manager, query)
        assert [e["storeId"] for e in found] == [shop.store], query
        if query:
            assert len(entries(admin, query)) == 3
    assert_problem(api.get("/v1/audit"), 403, "forbidden")


@pytest.mark.parametrize("query, code", [
    ("colour=red", "unknown-parameter"), ("limit=0", "invalid-parameter"), ("limit=501", "invalid-parameter"),
    ("entityId=1", "invalid-parameter"), ("from=yesterday", "invalid-parameter"),
    ("to=2026-13-01T00:00:00Z", "invalid-parameter"), ("after=x", "invalid-parameter"),
    ("after=1.x", "invalid-parameter"), ("after=1.0", "invalid-parameter"), ("actor=%00", "invalid-parameter")])
def test_bad_queries_are_400(manager, query, code):
    assert_problem(manager.get("/v1/audit?" + query), 400, code)
