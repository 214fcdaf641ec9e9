# SPDX-License-Identifier: Apache-2.0
"""Many products in one call: each has a result of its own, and one bad one sinks no other."""

import uuid

import pytest

from kit.clients import Api, assert_problem, at_once


def batch(api, items, status=200):
    answer = api.post("/v1/products/batch", json=items)
    assert answer.status_code == status, answer.text
    return answer.json()["results"]


def test_each_is_judged_on_its_own(manager, api, shop):
    code, known = uuid.uuid4().hex, shop.product(name="Bread", price_minor=250)
    made = str(uuid.uuid4())
    items = [{"name": "a", "price": 1, "sku": code},
             {"name": "", "price": "x", "colour": 1},
             {"name": "b", "price": 2, "sku": code, "productId": made},
             {"productId": known, "name": "Bread", "price": 3},
             {"productId": made, "name": "c", "price": 1},
             {"sku": code, "name": "a", "price": 1},
             {"sku": code, "name": "a2", "price": 1},
             {"productId": "x", "name": "d", "price": 1},
             7]
    results = batch(manager, items)
    assert [r["index"] for r in results] == list(range(len(items)))
    assert [r["status"] for r in results] == ["created", "refused", "refused", "updated", "created",
                                              "unchanged", "updated", "refused", "refused"]
    assert {(e["pointer"], e["code"]) for e in results[1]["problem"]["errors"]} == {
        ("/name", "length"), ("/price", "type"), ("/colour", "unknown")}
    assert (results[1]["problem"]["code"], results[1]["problem"]["status"]) == ("validation-failed", 422)
    assert (results[2]["problem"]["code"], results[2]["problem"]["status"]) == ("already-exists", 409)
    assert results[2]["problem"]["errors"][0]["pointer"] == "/sku"
    assert results[8]["problem"]["errors"] == [
        {"pointer": "", "code": "type", "detail": "Must be an object."}]
    assert results[3] == {"index": 3, "status": "updated", "productId": known, "version": 2}
    assert results[4] == {"index": 4, "status": "created", "productId": made, "version": 1}
    assert results[6]["productId"] == results[0]["productId"] and results[6]["version"] == 2
    assert api.get("/v1/products/" + known).json()["price"] == 3
    assert api.get("/v1/products/lookup?code=" + code).json()["name"] == "a2"


def test_a_file_may_be_sent_again(manager, database):
    """500 products, known by their skus: the second time nothing changes, and no till need hear of it."""
    prefix = uuid.uuid4().hex
    items = [{"name": "é %d" % i, "price": i / 100, "sku": "%s-%d" % (prefix, i), "taxRate": 0.2}
             for i in range(500)]
    first = batch(manager, items)
    assert {r["status"] for r in first} == {"created"}
    items[7]["price"] = 99
    again = batch(manager, items)
    assert [r["index"] for r in again if r["status"] != "unchanged"] == [7]
    assert [r["productId"] for r in again] == [r["productId"] for r in first]
    assert database.value("SELECT count(*) FROM products WHERE sku LIKE %s", prefix + "%") == 500


def test_what_nothing_names_would_be_another_each_time(manager, database):
    """Without productId and sku: refused, else a file that is sent again doubles the catalogue."""
    name = uuid.uuid4().hex
    results = batch(manager, [{"name": name, "price": 1}, {"name": name, "price": 1, "sku": None, "barcode": name},
                              {"name": name, "price": 1, "sku": name}])
    assert [r["status"] for r in results] == ["refused", "refused", "created"]
    for refused in results[:2]:
        assert [(e["pointer"], e["code"]) for e in refused["problem"]["errors"]] == [("/sku", "required")]
    assert database.value("SELECT count(*) FROM products WHERE name = %s", name) == 1


def test_a_batch_where_all_is_wrong_is_still_answered(manager):
    assert [r["status"] for r in batch(manager, [{}, []])] == ["refused", "refused"]


@pytest.mark.parametrize("items, status", [([], 422), ([{}] * 501, 422), ({}, 422), ({"items": []}, 422)])
def test_what_is_no_batch_is_refused(manager, items, status):
    assert_problem(manager.post("/v1/products/batch", json=items), status, "validation-failed")


def test_who_may(api):
    assert_problem(api.post("/v1/products/batch", json=[{"name": "x", "price": 1}]), 403, "forbidden")


def test_batches_that_cross_do_not_wait_for_each_other(gateway, shop, database):
    """The same skus in opposite orders at once: no deadlock, no duplicate."""
    prefix, token = uuid.uuid4().hex, shop.token("manager")
    items = [{"name": "x", "price": 1, "sku": "%s-%d" % (prefix, i)} for i in range(50)]

    def send(i):
        with Api(gateway, token) as api:
            mine = [{**item, "price": i + 1} for item in items]
            return batch(api, mine if i % 2 else mine[::-1])

    results = at_once(8, send)
    assert {r["status"] for rs in results for r in rs} <= {"created", "updated"}
    assert sum(r["status"] == "created" for rs in results for r in rs) == 50
    assert database.rows("SELECT DISTINCT count(*) OVER (), version FROM products WHERE sku LIKE %s",
                         prefix + "%") == [(50, 8)]
