# SPDX-License-Identifier: Apache-2.0
"""An Idempotency-Key for what is made besides sales: who was not answered asks again and makes nothing twice."""

import uuid

import pytest

from kit.clients import Api, assert_problem, at_once

TABLES = {"products": ("productId", "product_id"), "customers": ("customerId", "customer_id"),
          "orders": ("orderId", "order_id")}


@pytest.fixture(params=sorted(TABLES))
def kind(request):
    return request.param


@pytest.fixture
def body(kind, shop):
    """Of something that nobody else makes."""
    name = uuid.uuid4().hex
    if kind == "orders":
        return {"items": [{"productId": shop.product(250), "quantity": 2}], "label": name}
    return {"name": name, **({"price": 2.5, "sku": name[:20]} if kind == "products" else {})}


def post(api, kind, body, key):
    return api.post("/v1/" + kind, json=body, key=key)


def count(database, kind, body):
    field = "label" if kind == "orders" else "name"
    return database.value("SELECT count(*) FROM %s WHERE %s = %%s" % (kind, field), body[field])


def test_asking_again_makes_nothing_twice(manager, database, kind, body):
    key = str(uuid.uuid4())
    first = post(manager, kind, body, key)
    assert first.status_code == 201 and "idempotency-replayed" not in first.headers
    again = post(manager, kind, body, key)
    assert again.status_code == 201 and again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert [again.headers[h] for h in ("location", "etag")] == [first.headers[h] for h in ("location", "etag")]
    assert count(database, kind, body) == 1


def test_of_ten_at_once_one_makes_it(gateway, manager, database, kind, body):
    key, apis = str(uuid.uuid4()), [Api(gateway, manager.token) for _ in range(10)]
    answers = at_once(10, lambda i: post(apis[i], kind, body, key))
    assert [a.status_code for a in answers] == [201] * 10
    assert len({a.headers["location"] for a in answers}) == 1 and count(database, kind, body) == 1
    assert sum("idempotency-replayed" not in a.headers for a in answers) == 1


def test_another_body_or_another_thing_under_the_key_is_refused(manager, shop, database, kind, body):
    key, field = str(uuid.uuid4()), TABLES[kind][0]
    post(manager, kind, body, key)
    other = {"label": "x"} if kind == "orders" else {"name": "x"}
    for changed in (other, {field: str(uuid.uuid4())}):
        assert_problem(post(manager, kind, {**body, **changed}, key), 422, "idempotency-mismatch")
    another = "customers" if kind != "customers" else "products"
    assert_problem(post(manager, another, {"name": "x", **({"price": 1} if another == "products" else {})}, key),
                   422, "idempotency-mismatch")
    assert_problem(manager.sell(shop.basket(shop.product(100)), key), 422, "idempotency-mismatch")
    assert count(database, kind, body) == 1


def test_a_key_is_its_principals_own(gateway, manager, shop, database, kind, body):
    key = str(uuid.uuid4())
    body.pop("sku", None)
    with Api(gateway, shop.token("manager", username="another")) as other:
        assert [post(api, kind, body, key).headers.get("idempotency-replayed") for api in (manager, other)] == [None] * 2
    assert count(database, kind, body) == 2


def test_a_refusal_leaves_the_key_free(manager, kind, body):
    key, field = str(uuid.uuid4()), TABLES[kind][0]
    taken = post(manager, kind, {**body, **({"sku": "s" + body["sku"][1:]} if kind == "products" else {})},
                 str(uuid.uuid4())).json()[field]
    assert_problem(post(manager, kind, {**body, field: taken}, key), 409, "already-exists")
    made = post(manager, kind, body, key)
    assert made.status_code == 201 and "idempotency-replayed" not in made.headers


def test_without_a_key_each_is_another(manager, database, kind, body):
    body.pop("sku", None)
    assert [manager.post("/v1/" + kind, json=body).status_code for _ in range(2)] == [201] * 2
    assert count(database, kind, body) == 2


def test_what_was_made_and_is_gone_stays_gone(manager, kind, body):
    """An order never goes: it is answered as it is now."""
    key = str(uuid.uuid4())
    made = post(manager, kind, body, key)
    if kind == "orders":
        assert manager.post(made.headers["location"] + "/cancel").status_code == 200
        again = post(manager, kind, body, key)
        assert (again.status_code, again.json()["status"]) == (201, "cancelled")
        return
    assert manager.request("DELETE", made.headers["location"]).status_code == 204
    assert_problem(post(manager, kind, body, key), 404, "not-found")
