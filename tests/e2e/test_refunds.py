# SPDX-License-Identifier: Apache-2.0
"""Giving back: never above what was paid or sold, over any sequence and from any number of clients."""

import json
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kit.clients import Api, Connection, assert_problem, at_once


def sold(api, shop, lines, **more):
    body = {"paymentMethod": "cash", "items": [{"productId": p, "quantity": q} for p, q in lines], **more}
    return api.sell(body).json()


def refund(api, sale, key=None, **body):
    return api.post("/v1/transactions/%s/refunds" % sale["transactionId"], json=body, key=key or str(uuid.uuid4()))


def void(api, sale, body=None, **how):
    return api.post("/v1/transactions/%s/void" % sale["transactionId"], json=body, **how)


def read(api, sale):
    return api.get("/v1/transactions/" + sale["transactionId"]).json()


def test_lines_are_refunded_and_restocked_once(api, manager, shop, database):
    """Partial refunds of a line add up to it, taxes included; the sale shows them; a receipt of its own."""
    bread, tea = shop.product(333, stock=10, tax_rate_micro=190000), shop.product(250, stock=10)
    sale = sold(api, shop, [(bread, 3), (tea, 1)])
    key = str(uuid.uuid4())
    first = refund(manager, sale, key, items=[{"line": 0, "quantity": 1}], reason="stale")
    assert first.status_code == 201, first.text
    body = first.json()
    assert (body["total"], body["taxTotal"], body["receiptNumber"], body["kind"]) == (3.33, 0.53, 1, "refund")
    assert (body["reason"], body["transactionId"], body["storeId"]) == ("stale", sale["transactionId"], shop.store)
    assert shop.stock(bread) == 8
    again = refund(manager, sale, key, items=[{"line": 0, "quantity": 1}], reason="stale")
    assert again.headers["idempotency-replayed"] == "true" and again.content == first.content
    assert_problem(refund(manager, sale, key, items=[{"line": 0, "quantity": 2}]), 422, "idempotency-mismatch")
    assert_problem(api.sell(shop.basket(bread), key, token=manager.token), 422, "idempotency-mismatch")
    problem = assert_problem(refund(manager, sale, items=[{"line": 1, "quantity": 1}, {"line": 0, "quantity": 2.001}]),
                             409, "refund-exceeds")
    assert [e["pointer"] for e in problem["errors"]] == ["/items/1"]
    rest = refund(manager, sale, items=[{"productId": bread, "quantity": 2, "restock": False}]).json()
    assert round(body["taxTotal"] + rest["taxTotal"], 2) == sale["items"][0]["tax"]
    shown = read(api, sale)
    assert shown["status"] == "partially_refunded"
    assert [r["refundId"] for r in shown["refunds"]] == [body["refundId"], rest["refundId"]]
    assert shown["refunds"][0] == body
    assert refund(manager, sale, amount=2.5).json()["receiptNumber"] == 3
    assert read(api, sale)["status"] == "refunded"
    assert (shop.stock(bread), shop.stock(tea)) == (8, 9)
    moved = database.rows("SELECT quantity_milli FROM inventory_movements WHERE kind = 'refund' AND store_id = %s",
                          shop.store)
    assert moved == [(1000,)]
    audit = database.rows("SELECT action FROM audit_log WHERE entity_id = %s ORDER BY id", sale["transactionId"])
    assert audit == [("transaction.refund",)] * 3


def test_what_is_no_refund_is_refused(api, manager, shop):
    sale = sold(api, shop, [(shop.product(), 2)])
    path = "/v1/transactions/%s/refunds" % sale["transactionId"]
    lines = {"items": [{"line": 0, "quantity": 1}]}
    assert_problem(manager.post(path, json=lines), 400, "idempotency-key-missing")
    assert_problem(refund(api, sale, **lines), 403, "forbidden")
    assert_problem(void(api, sale), 403, "forbidden")
    for body, pointer in (({}, "/items"), ({**lines, "amount": 1}, "/items"), ({"amount": 0}, "/amount"),
                          ({"amount": -1}, "/amount"), ({"items": [{"quantity": 1}]}, "/items/0/line"),
                          ({"items": [{"line": 0, "quantity": 0}]}, "/items/0/quantity"),
                          ({"items": [{"line": 0.5, "quantity": 1}]}, "/items/0/line")):
        problem = assert_problem(refund(manager, sale, **body), 422, "validation-failed")
        assert [e["pointer"] for e in problem["errors"]] == [pointer]
    assert_problem(refund(manager, sale, items=[{"line": 1, "quantity": 1}]), 422, "unknown-line")
    assert_problem(refund(manager, sale, amount=5.01), 409, "refund-exceeds")
    assert read(api, sale)["status"] == "completed" and read(api, sale)["refunds"] == []


def test_another_stores_sale_cannot_be_given_back(api, shop, issuer):
    """B6: 404, like an id that nobody has."""
    sale = sold(api, shop, [(shop.product(), 1)])
    other = issuer.token("manager", "elsewhere")
    path = "/v1/transactions/%s/" % sale["transactionId"]
    for answer in (api.post(path + "refunds", json={"amount": 1}, key="x", token=other),
                   api.post(path + "void", token=other),
                   api.post("/v1/transactions/%s/void" % uuid.uuid4(), token=other),
                   api.post("/v1/transactions/x/void", token=other)):
        assert_problem(answer, 404, "not-found")
    assert read(api, sale)["status"] == "completed"


def test_a_void_undoes_all_of_it_on_its_day(api, manager, shop):
    """Whole, restocked, once; whoever asks again gets the same void; nothing can be refunded then."""
    bread = shop.product(250, stock=10)
    sale = sold(api, shop, [(bread, 3)])
    first = void(manager, sale, {"reason": "wrong basket"})
    assert first.status_code == 201 and (first.json()["kind"], first.json()["total"]) == ("void", 7.5)
    again = void(manager, sale)
    assert again.headers["idempotency-replayed"] == "true" and again.content == first.content
    assert_problem(void(manager, sale, key="k"), 409, "transaction-voided")
    assert_problem(refund(manager, sale, amount=1), 409, "transaction-voided")
    assert read(api, sale)["status"] == "voided" and shop.stock(bread) == 10

    partly = sold(api, shop, [(bread, 2)])
    assert refund(manager, partly, items=[{"line": 0, "quantity": 1}]).status_code == 201
    assert_problem(void(manager, partly), 409, "transaction-refunded")
    at = (datetime.now(timezone.utc) - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert_problem(void(manager, sold(api, shop, [(bread, 1)], timestamp=at)), 409, "void-too-late")


def many(gateway, token, n, path, body, key):
    connections = [Connection(gateway, token).connect() for _ in range(n)]
    answers = at_once(n, lambda i: connections[i].request("POST", path, json.dumps(body).encode(), key(i)))
    for connection in connections:
        connection.close()
    return answers


@pytest.mark.heavy
def test_50_clients_refund_the_same(gateway, api, shop):
    """B1, B2: 50 copies of a key are one refund; 50 keys for 10 pieces are 10; 50 voids are one."""
    bread, token = shop.product(250, stock=100), shop.token("manager")
    sale = sold(api, shop, [(bread, 10)])
    path = "/v1/transactions/%s/" % sale["transactionId"]
    one = {"items": [{"line": 0, "quantity": 1}]}
    copies = many(gateway, token, 50, path + "refunds", one, lambda i: "the-same")
    assert {status for status, _, _ in copies} == {201} and len({text for _, _, text in copies}) == 1
    assert sum("Idempotency-Replayed" not in head for _, head, _ in copies) == 1
    assert shop.stock(bread) == 91
    each = many(gateway, token, 50, path + "refunds", one, lambda i: "key-%d" % i)
    assert sorted(status for status, _, _ in each) == [201] * 9 + [409] * 41
    assert {json.loads(text)["code"] for status, _, text in each if status == 409} == {"refund-exceeds"}
    assert shop.stock(bread) == 100
    shown = read(api, sale)
    assert shown["status"] == "refunded" and len(shown["refunds"]) == 10
    assert sorted(r["receiptNumber"] for r in shown["refunds"]) == list(range(1, 11))
    assert round(sum(r["total"] for r in shown["refunds"]), 2) == sale["total"]

    other = sold(api, shop, [(bread, 4)])
    voids = many(gateway, token, 50, "/v1/transactions/%s/void" % other["transactionId"], {}, lambda i: None)
    assert {status for status, _, _ in voids} == {201} and len({text for _, _, text in voids}) == 1
    assert shop.stock(bread) == 100


def test_what_was_sold_in_another_currency_stays_in_it(start, api, shop):
    """pos.currency was changed to one without decimals: sales, refunds and paid orders of before do not follow."""
    bread = shop.product(250)
    sale = sold(api, shop, [(bread, 3)])
    path = api.post("/v1/orders", json={"items": [{"productId": bread, "quantity": 1}]}).headers["location"]
    paid = api.post(path + "/checkout", json={"paymentMethod": "card"}, key=str(uuid.uuid4()))
    assert paid.status_code == 201
    order = api.get(path).json()
    assert (order["total"], order["currency"]) == (2.5, "EUR")
    with Api(start(pos={"currency": "JPY"}), shop.token("manager")) as manager:
        given = refund(manager, sale, items=[{"line": 0, "quantity": 1}]).json()
        assert (given["total"], given["items"][0]["lineTotal"], given["currency"]) == (2.5, 2.5, "EUR")
        shown = read(manager, sale)
        assert (shown["total"], shown["items"][0]["unitPrice"], shown["currency"]) == (7.5, 2.5, "EUR")
        assert shown["refunds"] == [given]
        assert manager.get(path).json() == order and manager.get("/v1/orders").json()["items"] == [order]
        assert manager.sell(shop.basket(bread)).json()["total"] == 250


def test_an_amount_is_of_the_sales_currency(start, api, shop):
    """pos.currency has other decimals by now: a refund by amount is read with the sale's own."""
    bread = shop.product(250)
    sale = sold(api, shop, [(bread, 3)])
    with Api(start(pos={"currency": "JPY"}), shop.token("manager")) as manager:
        assert refund(manager, sale, amount=3).json()["total"] == 3
        key = str(uuid.uuid4())
        first, again = (refund(manager, sale, key, amount=2.25) for _ in range(2))
        assert first.json()["total"] == 2.25 and again.content == first.content
        yen = manager.sell(shop.basket(bread)).json()
        assert refund(manager, yen, amount=100).json()["total"] == 100
        problem = assert_problem(refund(manager, yen, amount=2.5), 422, "validation-failed")
        assert problem["errors"] == [{"pointer": "/amount", "code": "decimals",
                                      "detail": "At most 0 decimals are allowed in the sale's currency."}]
    with Api(start(pos={"currency": "KWD"}), shop.token("manager")) as manager:
        assert refund(manager, yen, amount=50).json()["total"] == 50
        assert_problem(refund(manager, sale, amount=0.125), 422, "validation-failed")
        assert refund(manager, sale, amount=1.5).json()["total"] == 1.5
        dinars = manager.sell(shop.basket(bread)).json()
        assert refund(manager, dinars, amount=0.125).json()["total"] == 0.125


@pytest.mark.heavy
def test_no_sequence_makes_a_balance_negative(api, manager, shop, database):
    """Show 2: sales, refunds by line and by amount, and voids in any order: money, taxes, goods and stock
    are never below zero, and what is in PostgreSQL is what the answers said."""
    products = [(shop.product(price, stock=50, tax_rate_micro=rate)) for price, rate in
                ((333, 190000), (99, 70000), (2501, 0))]

    class Till(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.sales, self.back = [], {}

        @rule(lines=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4000)), min_size=1, max_size=3),
              offline=st.booleans(), discount=st.integers(0, 90))
        def sell(self, lines, offline, discount):
            answer = api.sell({"paymentMethod": "cash", "discount": discount / 100, "offline": offline,
                               "items": [{"productId": products[p], "quantity": q / 1000} for p, q in lines]})
            assert answer.status_code in (201, 409, 422), answer.text
            if answer.status_code == 201:
                self.sales.append(answer.json())
                self.back[answer.json()["transactionId"]] = []

        def note(self, sale, answer):
            assert answer.status_code in (201, 409, 422), answer.text
            if answer.status_code == 201 and "idempotency-replayed" not in answer.headers:
                self.back[sale["transactionId"]].append(answer.json())

        @rule(data=st.data(), line=st.integers(0, 2), milli=st.integers(1, 4000), restock=st.booleans())
        def refund_line(self, data, line, milli, restock):
            if self.sales:
                sale = data.draw(st.sampled_from(self.sales))
                self.note(sale, refund(manager, sale, items=[
                    {"line": line, "quantity": milli / 1000, "restock": restock}]))

        @rule(data=st.data(), cents=st.integers(1, 2000))
        def refund_amount(self, data, cents):
            if self.sales:
                sale = data.draw(st.sampled_from(self.sales))
                self.note(sale, refund(manager, sale, amount=cents / 100))

        @rule(data=st.data())
        def void(self, data):
            if self.sales:
                sale = data.draw(st.sampled_from(self.sales))
                self.note(sale, void(manager, sale))

        @invariant()
        def nothing_is_negative(self):
            for sale in self.sales:
                back = self.back[sale["transactionId"]]
                assert round(sum(r["total"] for r in back), 2) <= sale["total"]
                assert round(sum(r["taxTotal"] for r in back), 2) <= sale["taxTotal"]

        def teardown(self):
            for sale in self.sales[-1:]:
                assert read(api, sale)["refunds"] == self.back[sale["transactionId"]]
            assert database.value(
                "SELECT count(*) FROM inventory i WHERE store_id = %s AND (stock_milli < 0 OR stock_milli <>"
                " (SELECT sum(quantity_milli) FROM inventory_movements m WHERE m.store_id = i.store_id"
                " AND m.product_id = i.product_id))", shop.store) == 0
            assert database.value(
                "SELECT count(*) FROM transactions t, refundable_lines(t.transaction_id) l WHERE t.store_id = %s"
                " AND least(l.quantity_milli, l.tax_minor, l.total_minor) < 0", shop.store) == 0

    run_state_machine_as_test(Till, settings=settings(
        max_examples=15, stateful_step_count=20, deadline=None, database=None,
        suppress_health_check=list(HealthCheck)))


def test_a_product_on_two_lines_is_given_back_at_once(api, manager, shop):
    """By its product: from the first line that has enough left, else from all of them."""
    bread, tea = shop.product(250, stock=20), shop.product(100)
    sale = sold(api, shop, [(bread, 2), (tea, 1), (bread, 3)])
    problem = assert_problem(refund(manager, sale, items=[{"productId": bread, "quantity": 5.001}]),
                             409, "refund-exceeds")
    assert [e["pointer"] for e in problem["errors"]] == ["/items/0"]
    one = refund(manager, sale, items=[{"productId": bread, "quantity": 2.5}]).json()
    assert [(i["line"], i["quantity"], i["lineTotal"]) for i in one["items"]] == [(2, 2.5, 6.25)]
    both = refund(manager, sale, items=[{"productId": bread, "quantity": 0.5, "restock": False},
                                        {"productId": bread, "quantity": 2}])
    assert both.status_code == 201, both.text
    assert [(i["line"], i["quantity"], i["lineTotal"]) for i in both.json()["items"]] == [(0, 2, 5), (2, 0.5, 1.25)]
    assert shop.stock(bread) == 19.5 and read(api, sale)["status"] == "partially_refunded"
    assert_problem(refund(manager, sale, items=[{"productId": bread, "quantity": 0.001}]), 409, "refund-exceeds")
    assert_problem(refund(manager, sale, items=[{"productId": shop.product(), "quantity": 1}]), 422, "unknown-line")


def test_of_one_line_some_goes_back_to_the_shelf_and_some_does_not(manager, shop, database):
    bread = shop.product(250, stock=10)
    for first in (True, False):
        sale = manager.sell(shop.basket(bread, quantity=2)).json()["transactionId"]
        before = shop.stock(bread)
        answer = manager.post("/v1/transactions/%s/refunds" % sale, key=str(uuid.uuid4()), json={"items": [
            {"line": 0, "quantity": 1, "restock": restock} for restock in (first, not first)]})
        assert answer.status_code == 201 and shop.stock(bread) == before + 1
    assert database.value("SELECT sum(quantity_milli) FROM inventory_movements WHERE product_id = %s",
                          uuid.UUID(bread)) == 1000 * shop.stock(bread)
