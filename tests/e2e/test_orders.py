# SPDX-License-Identifier: Apache-2.0
"""Orders: opened, changed, parked, resumed, checked out once, cancelled."""

import json
import uuid

import pytest

from kit.clients import Api, Connection, assert_problem, at_once

FIELDS = ["orderId", "storeId", "userId", "customerId", "status", "parked", "label", "note", "items",
          "discount", "subtotal", "discountTotal", "taxTotal", "total", "currency", "transactionId",
          "createdAt", "updatedAt", "version"]


def lines(*items):
    return [{"productId": product, "quantity": quantity} for product, quantity in items]


def opened(api, *items, **more):
    """(path, order) of a new order."""
    answer = api.post("/v1/orders", json={"items": lines(*items), **more})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"], answer.json()


def patch(api, path, body, **headers):
    return api.request("PATCH", path, json=body, headers=headers)


def checkout(api, path, key=None, headers=(), **body):
    return api.post(path + "/checkout", json=body or {"paymentMethod": "card"},
                    key=key or str(uuid.uuid4()), headers=headers)


def faults(answer, status=422, code="validation-failed"):
    return {(e["pointer"], e["code"]) for e in assert_problem(answer, status, code)["errors"]}


# ---- open -----------------------------------------------------------------------------------------


def test_an_order_is_opened_read_and_changed(api, shop):
    bread, milk = shop.product(250, tax_rate_micro=200000), shop.product(99, name="Milk")
    path, order = opened(api, (bread, 2), (milk, 1.5), note="no bag", label="Ada", parked=True)
    assert list(order) == FIELDS and path == "/v1/orders/" + order["orderId"]
    assert [(i["name"], i["quantity"], i["unitPrice"], i["lineTotal"]) for i in order["items"]] == [
        ("Bread", 2, 2.5, 5.0), ("Milk", 1.5, 0.99, 1.48)]
    assert (order["subtotal"], order["taxTotal"], order["total"]) == (6.48, 0.83, 6.48)
    assert (order["status"], order["parked"], order["label"]) == ("open", True, "Ada")
    assert (order["transactionId"], order["customerId"], order["version"]) == (None, None, 1)
    read = api.get(path)
    assert read.json() == order and read.headers["etag"] == '"1"'
    resumed = patch(api, path, {"parked": False, "label": None}, **{"if-match": '"1"'}).json()
    assert (resumed["parked"], resumed["label"], resumed["note"]) == (False, None, "no bag")
    assert resumed["items"] == order["items"] and resumed["version"] == 2
    changed = patch(api, path, {"items": lines((milk, 1)), "discount": 0.09}).json()
    assert (changed["subtotal"], changed["discountTotal"], changed["total"]) == (0.99, 0.09, 0.9)
    assert patch(api, path, {"discount": None}).json()["total"] == 0.99
    assert_problem(patch(api, path, {"note": "x"}, **{"if-match": '"1"'}), 412, "precondition-failed")
    assert shop.sales() == 0


def test_what_an_order_refuses(api, manager, shop):
    bread = shop.product()
    post = lambda body: api.post("/v1/orders", json=body)  # noqa: E731
    assert faults(post({"items": [], "note": "", "colour": 1})) == {
        ("/items", "length"), ("/note", "length"), ("/colour", "unknown")}
    assert faults(post({"items": lines((bread, 0)), "parked": "yes"})) == {
        ("/items/0/quantity", "range"), ("/parked", "type")}
    unknown = str(uuid.uuid4())
    assert faults(post({"items": lines((bread, 1), (unknown, 1))}), code="unknown-product") == {
        ("/items/1", "unknown-product")}
    assert faults(post({"items": lines((bread, 1)), "customerId": unknown}), code="unknown-customer") == {
        ("/customerId", "unknown-customer")}
    path, order = opened(api, (bread, 1), orderId=str(uuid.uuid4()))
    assert faults(post({"items": lines((bread, 1)), "orderId": order["orderId"]}), 409,
                  "already-exists") == {("/orderId", "already-exists")}
    assert faults(patch(api, path, {"items": lines((unknown, 1))}), code="unknown-product") == {
        ("/items/0", "unknown-product")}
    assert faults(patch(api, path, {"items": None, "parked": None})) == {
        ("/items", "required"), ("/parked", "required")}
    assert api.get(path).json() == order
    customer = api.post("/v1/customers", json={"name": "Ada"}).headers["location"]
    manager.request("DELETE", customer)
    assert_problem(patch(api, path, {"customerId": customer.rsplit("/", 1)[1]}), 422, "unknown-customer")


def test_an_order_that_cannot_be_priced_says_so(api, shop, database):
    """A product has gone, a discount is too large: null, and no checkout."""
    bread = shop.product(250)
    path, order = opened(api, (bread, 1), discount=2.51)
    assert (order["total"], order["items"][0]["unitPrice"]) == (None, 2.5)
    assert_problem(checkout(api, path), 422, "discount-too-large")
    patch(api, path, {"discount": None})
    database.rows("UPDATE products SET deleted_at = now() WHERE product_id = %s", uuid.UUID(bread))
    order = api.get(path).json()
    item = order["items"][0]
    assert (order["total"], item["name"], item["taxRate"], item["lineTotal"]) == (None, "Bread", None, None)
    assert faults(checkout(api, path), code="unknown-product") == {("/items/0", "unknown-product")}
    assert api.get(path).json()["status"] == "open"


# ---- checkout -------------------------------------------------------------------------------------


def test_checkout_makes_a_sale_at_the_prices_of_that_moment(api, shop, database):
    bread = shop.product(250, stock=10, tax_rate_micro=200000)
    customer = api.post("/v1/customers", json={"name": "Ada"}).json()["customerId"]
    path, order = opened(api, (bread, 2), customerId=customer, parked=True, discount=0.5)
    assert order["total"] == 4.5 and shop.stock(bread) == 10
    database.rows("UPDATE products SET price_minor = 300 WHERE product_id = %s", uuid.UUID(bread))
    assert_problem(checkout(api, path, paymentMethod="card", total=4.5), 422, "total-mismatch")
    answer = checkout(api, path, total=5.5, registerId="till-7", payments=[
        {"method": "giftcard", "amount": 2, "reference": "GC"}, {"method": "cash", "amount": 5}])
    sale = answer.json()
    assert answer.status_code == 201 and answer.headers["location"].endswith(sale["transactionId"])
    assert (sale["total"], sale["change"], sale["registerId"]) == (5.5, 1.5, "till-7")
    assert (sale["customerId"], sale["storeId"]) == (customer, shop.store)
    assert api.get(answer.headers["location"]).json()["total"] == 5.5
    database.rows("UPDATE products SET price_minor = 900 WHERE product_id = %s", uuid.UUID(bread))
    paid = api.get(path).json()
    assert (paid["status"], paid["parked"], paid["transactionId"]) == ("paid", False, sale["transactionId"])
    assert (paid["total"], paid["items"][0]["unitPrice"], paid["discountTotal"]) == (5.5, 3.0, 0.5)
    assert shop.stock(bread) == 8 and shop.sales() == 1


def test_a_repeated_checkout_gives_the_same_sale(api, shop):
    """B1, also after the answer was lost; another key, body or order under the key is refused."""
    bread, key = shop.product(stock=9), str(uuid.uuid4())
    path, _ = opened(api, (bread, 2))
    first, second = checkout(api, path, key), checkout(api, path, key)
    assert first.status_code == second.status_code == 201 and first.content == second.content
    assert second.headers["idempotency-replayed"] == "true" and shop.sales() == 1
    assert_problem(checkout(api, path, key, paymentMethod="cash"), 422, "idempotency-mismatch")
    other, _ = opened(api, (bread, 2))
    assert_problem(checkout(api, other, key), 422, "idempotency-mismatch")
    assert_problem(checkout(api, path), 409, "order-not-open")
    assert_problem(api.post(other + "/checkout", json={"paymentMethod": "card"}), 400,
                   "idempotency-key-missing")
    till_made = str(uuid.uuid4())
    answers = [api.post(other + "/checkout", json={"paymentMethod": "card", "transactionId": till_made})
               for _ in range(2)]
    assert [a.json()["transactionId"] for a in answers] == [till_made] * 2
    third, _ = opened(api, (bread, 1))
    assert_problem(checkout(api, third, paymentMethod="card", transactionId=till_made), 422,
                   "idempotency-mismatch")
    assert api.get(third).json()["status"] == "open" and shop.sales() == 2


def test_a_refused_checkout_leaves_the_order_open(api, shop):
    bread, scarce = shop.product(stock=5), shop.product(stock=1)
    path, order = opened(api, (bread, 1), (scarce, 2))
    assert faults(checkout(api, path), 409, "insufficient-stock") == {("/items/1", "insufficient-stock")}
    assert_problem(checkout(api, path, payments=[{"method": "card", "amount": 1}]), 422, "payment-mismatch")
    assert_problem(checkout(api, path, headers={"if-match": '"7"'}), 412, "precondition-failed")
    assert api.get(path).json() == order and (shop.stock(bread), shop.sales()) == (5, 0)
    patch(api, path, {"items": lines((bread, 1), (scarce, 1))})
    assert checkout(api, path, headers={"if-match": '"2"'}).status_code == 201


def test_a_cancelled_order_is_not_sold(api, shop, database):
    bread = shop.product(stock=5)
    path, order = opened(api, (bread, 1))
    assert_problem(api.post(path + "/cancel", headers={"if-match": '"9"'}), 412)
    for _ in range(2):
        answer = api.post(path + "/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert_problem(checkout(api, path), 409, "order-not-open")
    assert_problem(patch(api, path, {"note": "x"}), 409, "order-not-open")
    assert database.rows("SELECT action, actor FROM audit_log WHERE entity_id = %s", order["orderId"]) == [
        ("order.cancel", order["userId"])]
    sold, _ = opened(api, (bread, 1))
    checkout(api, sold)
    assert_problem(api.post(sold + "/cancel"), 409, "order-not-open")


# ---- lists and who may ----------------------------------------------------------------------------


def test_lists_are_newest_first_and_complete(gateway, shop):
    bread = shop.product()
    with Api(gateway, shop.token(username="ana")) as ana, Api(gateway, shop.token(username="ben")) as ben:
        made = []
        for n in range(9):
            path, order = opened((ana, ben)[n % 2], (bread, 1), label=str(n), parked=n % 2 == 0)
            made.insert(0, order)
            if n % 3 == 1:
                ana.post(path + "/cancel")
            elif n % 3 == 2:
                checkout(ana, path)

        def listed(query=""):
            items, after = [], ""
            while after is not None:
                page = ana.get("/v1/orders?limit=2" + query + (after and "&after=" + after)).json()
                items, after = items + page["items"], page["next"]
            return [order["label"] for order in items]

        assert listed() == list("876543210")
        assert listed("&status=open") == list("630")
        assert listed("&status=cancelled") == list("741")
        assert listed("&userId=" + made[0]["userId"]) == list("86420")
        assert listed("&status=paid&userId=" + made[1]["userId"]) == ["5"]
        assert ana.get("/v1/orders?limit=1").json()["items"][0] == ana.get(
            "/v1/orders/" + made[0]["orderId"]).json()
        assert ana.get("/v1/orders?after=%s" % uuid.uuid4()).json()["items"] == []  # no page came before
        for query in ("status=parked", "after=x", "limit=0"):
            assert_problem(ana.get("/v1/orders?" + query), 400, "invalid-parameter")


def test_another_stores_order_does_not_exist(gateway, api, shop, issuer):
    """B6"""
    path, order = opened(api, (shop.product(), 1))
    with Api(gateway, issuer.token("manager", shop.store + "-other")) as other:
        for answer in (other.get(path), patch(other, path, {"note": "x"}), other.post(path + "/cancel"),
                       checkout(other, path), other.get("/v1/orders/x"), other.post("/v1/orders/x/cancel"),
                       checkout(other, "/v1/orders/x"), patch(other, "/v1/orders/x", {"note": "x"})):
            assert_problem(answer, 404, "not-found")
        assert other.get("/v1/orders").json()["items"] == []
        assert_problem(other.get("/v1/orders?storeId=" + shop.store), 403, "forbidden")
        body = {"items": lines((shop.product(), 1)), "storeId": shop.store}
        assert_problem(other.post("/v1/orders", json=body), 403, "forbidden")
    assert api.get(path).json() == order
    with Api(gateway, issuer.token("admin", "elsewhere")) as admin:
        assert checkout(admin, path).json()["storeId"] == shop.store


# ---- many at once ---------------------------------------------------------------------------------


@pytest.mark.heavy
def test_two_tills_check_out_one_order(gateway, api, shop):
    """50 tills at once: one sells it, the others get 409; with one key all get the one sale."""
    bread = shop.product(stock=1000)
    token = shop.token()
    body = json.dumps({"paymentMethod": "card"}).encode()

    def all_at_once(key_of):
        path, _ = opened(api, (bread, 1))
        connections = [Connection(gateway, token).connect() for _ in range(50)]
        answers = at_once(50, lambda i: connections[i].request("POST", path + "/checkout", body, key_of(i)))
        for connection in connections:
            connection.close()
        return answers

    answers = all_at_once(lambda i: str(uuid.uuid4()))
    assert sorted(status for status, _, _ in answers) == [201] + [409] * 49
    assert {json.loads(text)["code"] for status, _, text in answers if status == 409} == {"order-not-open"}
    key = str(uuid.uuid4())
    answers = all_at_once(lambda i: key)
    assert {status for status, _, _ in answers} == {201} and len({text for _, _, text in answers}) == 1
    assert shop.sales() == 2 and shop.stock(bread) == 998


@pytest.mark.heavy
def test_50_orders_check_out_the_last_item(gateway, api, shop):
    """B8 by way of orders and sales together: one is sold; the others get 409 that names the line."""
    last, plenty = shop.product(stock=1), shop.product(stock=1000)
    token = shop.token()
    paths = [opened(api, (plenty, 1), (last, 1))[0] for _ in range(40)]
    sale = json.dumps({"items": lines((last, 1), (plenty, 1)), "paymentMethod": "cash"}).encode()
    connections = [Connection(gateway, token).connect() for _ in range(50)]

    def one(i):
        if i < 40:
            return connections[i].request("POST", paths[i] + "/checkout", b'{"paymentMethod":"cash"}',
                                          str(uuid.uuid4()))
        return connections[i].request("POST", "/v1/transactions", sale, str(uuid.uuid4()))

    answers = at_once(50, one)
    for connection in connections:
        connection.close()
    assert sorted(status for status, _, _ in answers) == [201] + [409] * 49
    for i, (status, _, text) in enumerate(answers):
        if status == 409:
            problem = json.loads(text)
            assert problem["code"] == "insufficient-stock"
            assert problem["errors"][0]["pointer"] == ("/items/1" if i < 40 else "/items/0")
    assert (shop.stock(last), shop.stock(plenty), shop.sales()) == (0, 999, 1)


def test_a_checkout_under_another_sales_id_sells_nothing(api, shop):
    """Whatever its key: a 201 never leaves the order open."""
    bread, sale = shop.product(250, stock=10), str(uuid.uuid4())
    path, _ = opened(api, (bread, 1))
    assert api.sell(shop.basket(bread, transactionId=sale)).status_code == 201
    assert_problem(checkout(api, path, transactionId=sale, paymentMethod="card"), 422, "idempotency-mismatch")
    assert api.get(path).json()["status"] == "open"
    assert checkout(api, path).status_code == 201 and api.get(path).json()["status"] == "paid"
    assert shop.sales() == 2 and shop.stock(bread) == 8
