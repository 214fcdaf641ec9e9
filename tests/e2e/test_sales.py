# SPDX-License-Identifier: Apache-2.0
"""Selling: Shows 1 and 2 of the first issue, and what may never go wrong with a sale."""

import json
import threading
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from kit.clients import PROTOCOLS, Api, Connection, assert_problem, at_once
from kit.processes import eventually


@pytest.fixture(params=PROTOCOLS)
def any_api(request, gateway, shop, certificate):
    """A cashier over each protocol in turn."""
    with Api(gateway, shop.token(), request.param, ca=certificate[0]) as api:
        yield api


# ---- Show 1 and 2 ---------------------------------------------------------------------------------


def test_a_sale_is_recorded_in_integer_minor_units(any_api, shop, database):
    """201, and the rows hold what the answer says, in cents."""
    bread = shop.product(250, stock=10, tax_rate_micro=200000)
    answer = any_api.sell(shop.basket(bread, 2))
    sale = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/transactions/" + sale["transactionId"]
    assert (sale["total"], sale["taxTotal"], sale["currency"]) == (5.00, 0.83, "EUR")
    assert b'"total":5.00,' in answer.content  # a number with the currency's decimals
    row = database.rows(
        "SELECT subtotal_minor, discount_total_minor, tax_total_minor, total_minor, change_minor,"
        " currency, payment_method, status, receipt_number FROM transactions"
        " WHERE transaction_id = %s", uuid.UUID(sale["transactionId"]))
    assert row == [(500, 0, 83, 500, 0, "EUR", "card", "completed", 1)]
    line = database.rows(
        "SELECT line_no, product_id, name, quantity_milli, unit_price_minor, discount_minor,"
        " tax_rate_micro, tax_minor, line_total_minor FROM transaction_items"
        " WHERE transaction_id = %s", uuid.UUID(sale["transactionId"]))
    assert line == [(1, uuid.UUID(bread), "Bread", 2000, 250, 0, 200000, 83, 500)]
    assert shop.stock(bread) == 8


def test_the_same_key_gives_the_same_answer_and_one_row(any_api, shop):
    """B1: a repetition is answered from what was recorded."""
    body, key = shop.basket(shop.product()), str(uuid.uuid4())
    first, second = any_api.sell(body, key), any_api.sell(body, key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.content == first.content
    assert second.headers["location"] == first.headers["location"]
    assert shop.sales() == 1


def test_another_body_under_the_key_is_refused(any_api, shop):
    """B1: 422 idempotency-mismatch, and nothing is sold."""
    bread, key = shop.product(stock=10), str(uuid.uuid4())
    assert any_api.sell(shop.basket(bread, 1), key).status_code == 201
    assert_problem(any_api.sell(shop.basket(bread, 2), key), 422, "idempotency-mismatch")
    assert shop.sales() == 1 and shop.stock(bread) == 9


def test_no_token_is_401_with_a_challenge(any_api, shop):
    answer = any_api.sell(shop.basket(shop.product()), token=None)
    assert_problem(answer, 401, "token-missing")
    assert answer.headers["www-authenticate"] == 'Bearer realm="tillway"'
    assert shop.sales() == 0


def test_a_cashier_may_not_create_a_product(any_api):
    assert_problem(any_api.post("/v1/products", json={"name": "Tea", "price": 3}), 403, "forbidden")


def test_a_recorded_sale_can_be_read(any_api, shop):
    sale = any_api.sell(shop.basket(shop.product()))
    read = any_api.get(sale.headers["location"])
    assert read.status_code == 200 and read.json() == sale.json()


# ---- keys -----------------------------------------------------------------------------------------


def test_a_key_is_required(api, shop):
    answer = api.post("/v1/transactions", json=shop.basket(shop.product()))
    assert_problem(answer, 400, "idempotency-key-missing")


def test_the_tills_transaction_id_is_a_key(api, shop):
    """A till that made its sale offline repeats it by its own id, and gets that id."""
    body = shop.basket(shop.product(), transactionId=str(uuid.uuid4()))
    first, second = (api.post("/v1/transactions", json=body) for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.json()["transactionId"] == body["transactionId"]
    assert second.headers["idempotency-replayed"] == "true" and second.content == first.content
    assert shop.sales() == 1


def test_white_space_and_the_order_of_fields_do_not_matter(api, shop):
    """B1: the key stands for the sale, not for its spelling."""
    bread, key = shop.product(), str(uuid.uuid4())
    head = {"content-type": "application/json; charset=utf-8"}
    spellings = ('{"items":[{"productId":"%s","quantity":1}],"paymentMethod":"cash"}',
                 '{ "paymentMethod": "cash",\n "items": [ {"quantity": 1.0, "productId": "%s"} ] }')
    answers = [api.request("POST", "/v1/transactions", content=(text % bread).encode(), key=key,
                           headers=head) for text in spellings]
    assert [a.status_code for a in answers] == [201, 201]
    assert answers[0].content == answers[1].content and shop.sales() == 1


def test_two_users_keys_never_meet(gateway, shop):
    """B1: a key belongs to its principal."""
    body, key = shop.basket(shop.product()), "one key"
    body_ids = set()
    for name in ("ana", "ben"):
        with Api(gateway, shop.token(username=name)) as api:
            answer = api.sell(body, key="the-same-key")
            assert answer.status_code == 201 and "idempotency-replayed" not in answer.headers, key
            body_ids.add(answer.json()["transactionId"])
    assert len(body_ids) == 2


@pytest.mark.parametrize("key", ["x" * 256, "two words", "caf\u00e9".encode()])
def test_odd_keys_are_refused(api, shop, key):
    answer = api.request("POST", "/v1/transactions", json=shop.basket(shop.product()),
                         headers={"idempotency-key": key})
    assert_problem(answer, 400, "bad-request")


def test_a_refusal_uses_up_no_key(api, shop, database):
    """B1: what was refused can be sold under the same key once it can be sold."""
    bread, key = shop.product(stock=0), str(uuid.uuid4())
    assert_problem(api.sell(shop.basket(bread), key), 409, "insufficient-stock")
    database.rows("UPDATE inventory SET stock_milli = 1000 WHERE store_id = %s", shop.store)
    answer = api.sell(shop.basket(bread), key)
    assert answer.status_code == 201 and "idempotency-replayed" not in answer.headers


# ---- what is judged -------------------------------------------------------------------------------


def test_not_enough_stock_names_the_line(api, shop):
    """B8: 409, the pointer says which line, and no line of the sale is sold."""
    plenty, scarce = shop.product(stock=10), shop.product(stock=1)
    body = {"paymentMethod": "cash", "items": [{"productId": plenty, "quantity": 1},
                                               {"productId": scarce, "quantity": 1.001}]}
    problem = assert_problem(api.sell(body), 409, "insufficient-stock")
    assert [e["pointer"] for e in problem["errors"]] == ["/items/1"]
    assert (shop.stock(plenty), shop.stock(scarce), shop.sales()) == (10, 1, 0)


def test_an_unknown_product_names_the_line(api, shop):
    body = {"paymentMethod": "cash", "items": [{"productId": shop.product(), "quantity": 1},
                                               {"productId": str(uuid.uuid4()), "quantity": 1}]}
    problem = assert_problem(api.sell(body), 422, "unknown-product")
    assert [e["pointer"] for e in problem["errors"]] == ["/items/1"]


def test_a_product_that_nobody_counts_sells_freely(api, shop):
    service = shop.product()
    assert api.sell(shop.basket(service, 100000)).status_code == 201
    assert shop.stock(service) is None


def test_the_total_is_checked_when_it_is_sent(api, shop):
    bread = shop.product(250)
    assert_problem(api.sell(shop.basket(bread, total=2.49)), 422, "total-mismatch")
    assert api.sell(shop.basket(bread, total=2.5)).status_code == 201
    assert shop.sales() == 1


def test_split_payments_and_cash_change(api, shop):
    body = {"items": [{"productId": shop.product(1999), "quantity": 1}],
            "payments": [{"method": "giftcard", "amount": 5, "reference": "GC-1"},
                         {"method": "cash", "amount": 20}]}
    sale = api.sell(body).json()
    assert (sale["total"], sale["change"], sale["paymentMethod"]) == (19.99, 5.01, "mixed")
    assert sale["payments"] == [{"method": "giftcard", "amount": 5.0, "reference": "GC-1"},
                                {"method": "cash", "amount": 20.0, "reference": None}]


@pytest.mark.parametrize("payments", [
    [{"method": "cash", "amount": 2.49}],
    [{"method": "card", "amount": 2.51}],
    [{"method": "card", "amount": 5}, {"method": "cash", "amount": 1}],
])
def test_payments_must_cover_the_total_and_only_cash_may_exceed_it(api, shop, payments):
    body = {"items": [{"productId": shop.product(250), "quantity": 1}], "payments": payments}
    assert_problem(api.sell(body), 422, "payment-mismatch")
    assert shop.sales() == 0


@pytest.mark.parametrize("method, payments, taken", [
    ("card", ["card"], True), ("card", ["cash"], False), ("mixed", ["card", "card"], False),
    ("mixed", ["card", "cash"], True), ("cash", ["card", "cash"], False)])
def test_the_method_of_a_sale_is_that_of_its_payments(api, shop, method, payments, taken):
    bread = shop.product(250 * len(payments))
    body = {"items": [{"productId": bread, "quantity": 1}], "paymentMethod": method,
            "payments": [{"method": m, "amount": 2.5} for m in payments]}
    order = api.post("/v1/orders", json={"items": body["items"]}).headers["location"]
    checkout = api.post(order + "/checkout", key=str(uuid.uuid4()), json={k: body[k] for k in body if k != "items"})
    for answer in (api.sell(body), checkout):
        if taken:
            assert (answer.status_code, answer.json()["paymentMethod"]) == (201, method)
        else:
            problem = assert_problem(answer, 422, "validation-failed")
            assert [(e["pointer"], e["code"]) for e in problem["errors"]] == [("/paymentMethod", "mismatch")]


def test_discounts(api, shop):
    bread = shop.product(250)
    line = {"productId": bread, "quantity": 2, "discount": 0.5}
    sale = api.sell({"items": [line], "paymentMethod": "cash"}).json()
    assert (sale["subtotal"], sale["discountTotal"], sale["total"]) == (5.0, 0.5, 4.5)
    problem = assert_problem(api.sell({"items": [{**line, "discount": 5.01}],
                                       "paymentMethod": "cash"}), 422, "discount-too-large")
    assert problem["errors"][0]["pointer"] == "/items/0"


def test_taxes_are_rounded_half_even_per_line(api, shop):
    """0.25 with 20 % inside is 0.041666: 0.04 each; 2.5 cents of tax round to 2, 7.5 to 8."""
    lines = [(25, 200000, 0.04), (55, 100000, 0.05), (125, 0, 0.0)]
    body = {"paymentMethod": "cash", "items": [
        {"productId": shop.product(price, tax_rate_micro=rate), "quantity": 1}
        for price, rate, _ in lines]}
    sale = api.sell(body).json()
    assert [item["tax"] for item in sale["items"]] == [tax for _, _, tax in lines]
    assert (sale["taxTotal"], sale["total"]) == (0.09, 2.05)


def test_pos_options_reach_the_sale(start, shop):
    """Prices without tax, a business day that begins at four, in Berlin's time."""
    gateway = start(pos={"prices_include_tax": False, "time_zone": "Europe/Berlin",
                         "business_day_start": "4h", "currency": "JPY",
                         "sale_max_age": "0s"})
    with Api(gateway, shop.token()) as api:
        body = shop.basket(shop.product(250, tax_rate_micro=100000), timestamp="2026-07-01T01:59:59Z")
        sale = api.sell(body).json()
    assert (sale["subtotal"], sale["taxTotal"], sale["total"]) == (250, 25, 275)
    assert (sale["date"], sale["currency"]) == ("2026-06-30", "JPY")
    assert sale["timestamp"] == "2026-07-01T01:59:59.000Z" != sale["recordedAt"]


def test_receipt_numbers_have_no_gaps_per_register(api, shop):
    bread, scarce = shop.product(), shop.product(stock=0)
    numbers = []
    for register in ("a", "b", "a", "a"):
        api.sell(shop.basket(scarce, registerId=register))  # refused: takes no number
        numbers.append(api.sell(shop.basket(bread, registerId=register)).json()["receiptNumber"])
    assert numbers == [1, 1, 2, 3]


AMOUNTS = [("-1", "/payments/0/amount"), ("2.501", "/payments/0/amount"),
           ("-0", "/payments/0/amount"), ("-0.0", "/payments/0/amount"),
           ('"2.50"', "/payments/0/amount"), ("null", "/payments/0/amount"),
           ("true", "/payments/0/amount"), ("1e15", "/payments/0/amount"),
           ("10000000000000.00", "/payments/0/amount"),
           ("99999999999999999999", "/payments/0/amount"), ("1e400", "/payments/0/amount")]


@pytest.mark.parametrize("amount, pointer", AMOUNTS, ids=[a for a, _ in AMOUNTS])
def test_bad_amounts_are_named(api, shop, amount, pointer):
    """B3: 422 that names the field, whatever the number's spelling."""
    text = '{"items":[{"productId":"%s","quantity":1}],"payments":[{"method":"cash","amount":%s}]}'
    answer = api.request("POST", "/v1/transactions", key=str(uuid.uuid4()),
                         content=(text % (shop.product(), amount)).encode(),
                         headers={"content-type": "application/json"})
    problem = assert_problem(answer, 422, "validation-failed")
    assert [e["pointer"] for e in problem["errors"]] == [pointer]


@pytest.mark.parametrize("quantity", ["0", "-1", "0.0001", "1e9", '"1"'])
def test_bad_quantities_are_named(api, shop, quantity):
    """B3"""
    text = '{"items":[{"productId":"%s","quantity":%s}],"paymentMethod":"cash"}'
    answer = api.request("POST", "/v1/transactions", key=str(uuid.uuid4()),
                         content=(text % (shop.product(), quantity)).encode(),
                         headers={"content-type": "application/json"})
    problem = assert_problem(answer, 422, "validation-failed")
    assert [e["pointer"] for e in problem["errors"]] == ["/items/0/quantity"]


def test_a_sum_beyond_15_digits_is_refused(api, shop):
    """B3: checked arithmetic, not wrapped."""
    dear = shop.product(999999999999999)
    problem = assert_problem(api.sell(shop.basket(dear, 1000)), 422, "amount-out-of-range")
    assert problem["errors"][0]["pointer"] == "/items/0"
    lines = [{"productId": dear, "quantity": 1}] * 2
    assert_problem(api.sell({"items": lines, "paymentMethod": "cash"}), 422, "amount-out-of-range")
    assert api.sell(shop.basket(dear)).json()["total"] == 9999999999999.99


def test_500_lines_are_a_sale_and_501_are_not(api, shop):
    bread = shop.product(1, stock=1000)
    line = {"productId": bread, "quantity": 1}
    sale = api.sell({"items": [line] * 500, "paymentMethod": "cash"}).json()
    assert sale["total"] == 5.0 and shop.stock(bread) == 500
    assert_problem(api.sell({"items": [line] * 501, "paymentMethod": "cash"}), 422)


# ---- stores ---------------------------------------------------------------------------------------


def test_another_stores_sale_does_not_exist(gateway, shop, issuer):
    """B6: 404, exactly like an id that nobody has; an admin sees it."""
    with Api(gateway, shop.token()) as api:
        sale = api.sell(shop.basket(shop.product()))
        path = sale.headers["location"]
        other = api.get(path, token=issuer.token("manager", "elsewhere"))
        nowhere = api.get("/v1/transactions/" + str(uuid.uuid4()))
        assert_problem(other, 404, "not-found")
        different = {"requestId"}
        assert {k: v for k, v in other.json().items() if k not in different} == \
               {k: v for k, v in nowhere.json().items() if k not in different}
        assert api.get(path, token=issuer.token("admin", "elsewhere")).json() == sale.json()


def test_nobody_sells_in_another_store_but_an_admin(gateway, shop, issuer, database):
    """B6"""
    body = shop.basket(shop.product(), storeId=shop.store)
    with Api(gateway) as api:
        assert_problem(api.sell(body, token=issuer.token("manager", "elsewhere")), 403, "forbidden")
        assert shop.sales() == 0
        assert api.sell(body, token=issuer.token("admin", "elsewhere")).status_code == 201
    assert shop.sales() == 1


def test_a_token_without_a_store_sells_in_the_default_one(gateway, shop, issuer):
    with Api(gateway, issuer.token("cashier", "")) as api:
        assert api.sell(shop.basket(shop.product())).json()["storeId"] == "main"


# ---- text -----------------------------------------------------------------------------------------

INJECTIONS = ["'; DROP TABLE products; --", "' OR '1'='1", "\\'; SELECT pg_sleep(10); --",
              "$1", "${x}", "%s%n", "{1,2}", '{"a":"b"}', "NULL", "\\", "''", "a\tb\nc",
              "1;COMMIT", "E'\\x00'", "$$x$$", "/* x */"]


def test_sql_is_stored_verbatim(api, manager, shop, database):
    """B7: parameters only, also inside arrays."""
    for text in INJECTIONS:
        product = manager.post("/v1/products", json={"name": text, "price": 1, "description": text,
                                                     "category": text[:64]}).json()
        assert (product["name"], product["description"]) == (text, text)
        body = {"items": [{"productId": product["productId"], "quantity": 1}],
                "payments": [{"method": "card", "amount": 1, "reference": text}]}
        sale = api.sell(body).json()
        assert sale["items"][0]["name"] == text
        assert sale["payments"][0]["reference"] == text
        found = api.request("GET", "/v1/products", headers={}).status_code
        assert found == 200
    assert database.value("SELECT count(*) FROM products") > 200


TEXTS = ["Käse & Weißwurst <b>\"'</b>", "日本茶 玄米", "\U0001f9c0\U0001f468\u200d\U0001f469\u200d\U0001f467",
         "قهوة عربية \u202e", "e\u0301 \u00e9", "\u0001\u001f\u007f", "\ufeffbom", "\uffff\U0010ffff", "/\\u0041"]


def test_text_comes_back_byte_for_byte(api, manager, shop):
    """B4: no normalisation, escapes only where JSON needs them."""
    for text in TEXTS:
        product = manager.post("/v1/products", json={"name": text, "price": 1}).json()
        assert product["name"] == text
        read = api.get("/v1/products/" + product["productId"])
        assert read.json()["name"] == text
        sale = api.sell(shop.basket(product["productId"]))
        assert sale.json()["items"][0]["name"] == text


# ---- many at once ---------------------------------------------------------------------------------


@pytest.mark.heavy
def test_50_copies_of_a_key_are_one_sale(gateway, shop):
    """B1: 50 equal answers, of which one is the original."""
    bread, key = shop.product(stock=1000), str(uuid.uuid4())
    body, token = json.dumps(shop.basket(bread)).encode(), shop.token()
    connections = [Connection(gateway, token).connect() for _ in range(50)]
    answers = at_once(50, lambda i: connections[i].request("POST", "/v1/transactions", body, key))
    for connection in connections:
        connection.close()
    assert {status for status, _, _ in answers} == {201}
    assert len({text for _, _, text in answers}) == 1
    originals = [head for _, head, _ in answers if "Idempotency-Replayed" not in head]
    assert len(originals) == 1
    assert shop.sales() == 1 and shop.stock(bread) == 999


@pytest.mark.heavy
def test_100_tills_sell_the_last_item(gateway, shop):
    """B8: one sale; 99 times 409 that names the line; stock is 0, never less."""
    last, token = shop.product(stock=1), shop.token()
    body = json.dumps(shop.basket(last)).encode()
    connections = [Connection(gateway, token).connect() for _ in range(100)]
    answers = at_once(100, lambda i: connections[i].request("POST", "/v1/transactions", body,
                                                            str(uuid.uuid4())))
    for connection in connections:
        connection.close()
    statuses = [status for status, _, _ in answers]
    assert sorted(statuses) == [201] + [409] * 99
    for status, _, text in answers:
        if status == 409:
            assert [e["pointer"] for e in json.loads(text)["errors"]] == ["/items/0"]
    assert shop.sales() == 1 and shop.stock(last) == 0


@pytest.mark.heavy
def test_one_till_made_id_under_many_keys_is_one_sale(gateway, shop):
    """B1: the id decides too: all have the one sale, whether their batches met or not."""
    body = json.dumps(shop.basket(shop.product(), transactionId=str(uuid.uuid4()))).encode()
    token = shop.token()
    connections = [Connection(gateway, token).connect() for _ in range(20)]
    answers = at_once(20, lambda i: connections[i].request("POST", "/v1/transactions", body,
                                                           "key-%d" % i))
    for connection in connections:
        connection.close()
    assert {status for status, _, _ in answers} == {201}, [text for status, _, text in answers if status != 201]
    assert len({text for _, _, text in answers}) == 1
    assert shop.sales() == 1


@pytest.mark.heavy
def test_baskets_in_opposite_orders_do_not_deadlock(gateway, shop):
    """Every sale succeeds, and the stock adds up."""
    a, b = shop.product(stock=1000), shop.product(stock=1000)
    token, n, rounds = shop.token(), 16, 5

    def sell(i):
        connection = Connection(gateway, token)
        order = (a, b) if i % 2 else (b, a)
        body = json.dumps({"items": [{"productId": p, "quantity": 1} for p in order],
                           "paymentMethod": "cash", "registerId": "r%d" % i}).encode()
        statuses = [connection.request("POST", "/v1/transactions", body, str(uuid.uuid4()))[0]
                    for _ in range(rounds)]
        connection.close()
        return statuses

    assert {status for statuses in at_once(n, sell) for status in statuses} == {201}
    assert shop.stock(a) == shop.stock(b) == 1000 - n * rounds


# ---- the client leaves ----------------------------------------------------------------------------


def lock_stock(database, shop):
    """A transaction that holds the shop's inventory rows, until it is closed."""
    connection = database.connect(autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM inventory WHERE store_id = %s FOR UPDATE", (shop.store,))
    return connection


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "h2c"])
def test_a_sale_whose_client_leaves_is_whole(gateway, shop, database, protocol):
    """B2: the answer waits under its key."""
    bread, key = shop.product(stock=5), str(uuid.uuid4())
    body, lock = shop.basket(bread, 2), lock_stock(database, shop)
    leaver = Api(gateway, shop.token(), protocol, timeout_s=0.8)
    gone = threading.Event()

    def sell():
        try:
            leaver.sell(body, key)
        except Exception:  # its own time-out: it leaves
            leaver.close()
            gone.set()

    thread = threading.Thread(target=sell)
    thread.start()
    eventually(lambda: database.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0,
               what="the sale waits for the lock")
    assert gone.wait(10)
    lock.rollback()
    lock.close()
    thread.join()
    eventually(lambda: shop.sales() == 1, what="the sale is recorded")
    assert database.value("SELECT count(*) FROM transaction_items JOIN transactions"
                          " USING (transaction_id) WHERE store_id = %s", shop.store) == 1
    assert database.value("SELECT count(*) FROM payments JOIN transactions"
                          " USING (transaction_id) WHERE store_id = %s", shop.store) == 1
    with Api(gateway, shop.token()) as api:
        again = api.sell(body, key)
    assert again.status_code == 201 and again.headers["idempotency-replayed"] == "true"
    assert shop.sales() == 1 and shop.stock(bread) == 3


def test_half_a_request_sells_nothing(gateway, shop):
    """B2: absent, when the client left before its body was whole."""
    body = json.dumps(shop.basket(shop.product())).encode()
    before = gateway.metrics()["tillway_sale_results_total{result=\"recorded\"}"]
    with gateway.connect() as sock:
        sock.sendall(b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Idempotency-Key: half\r\nAuthorization: Bearer " + shop.token().encode() +
                     b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:-1])
    with Api(gateway, shop.token()) as api:  # behind it, on another connection
        api.get("/v1/me")
    assert shop.sales() == 0
    assert gateway.metrics()["tillway_sale_results_total{result=\"recorded\"}"] == before


# ---- who, for whom, when, and discounts on all of it -----------------------------------------------


def test_a_manager_may_sell_in_a_cashiers_name(api, manager, shop):
    """cashierId is who sells, unless a manager says for whom."""
    body = shop.basket(shop.product())
    mine = api.sell(body).json()["cashierId"]
    assert api.sell({**body, "cashierId": mine}).json()["cashierId"] == mine
    assert_problem(api.sell({**body, "cashierId": "somebody-else"}), 403, "forbidden")
    assert manager.sell({**body, "cashierId": mine}).json()["cashierId"] == mine
    assert shop.sales() == 3


def test_a_customer_is_remembered(api, shop):
    customer = str(uuid.uuid4())
    sale = api.sell(shop.basket(shop.product(), customerId=customer)).json()
    assert sale["customerId"] == customer
    assert api.get("/v1/transactions/" + sale["transactionId"]).json() == sale
    assert api.sell(shop.basket(shop.product())).json()["customerId"] is None


def test_a_baskets_discount_is_spread_over_its_lines(api, shop):
    """In proportion, half-even; what is missing to the largest line; taxes of what is left."""
    a, b, c = (shop.product(price, tax_rate_micro=200000) for price in (100, 200, 300))
    body = {"paymentMethod": "cash", "discount": 1, "total": 5,
            "items": [{"productId": p, "quantity": 1} for p in (a, b, c)]}
    sale = api.sell(body).json()
    assert [item["discount"] for item in sale["items"]] == [0.17, 0.33, 0.5]
    assert (sale["discount"], sale["discountTotal"], sale["total"]) == (1.0, 1.0, 5.0)
    assert [item["tax"] for item in sale["items"]] == [0.14, 0.28, 0.42]
    assert_problem(api.sell({**body, "discount": 6.01}), 422, "discount-too-large")


@pytest.mark.parametrize("ago_s, status", [(0, 201), (30 * 86400, 201), (-60, 201), (-3600, 422),
                                           (32 * 86400, 422)])
def test_a_tills_clock_is_believed_within_limits(api, shop, ago_s, status):
    """Not in the future beyond pos.clock_leeway, no older than pos.sale_max_age."""
    at = datetime.now(timezone.utc) - timedelta(seconds=ago_s)
    answer = api.sell(shop.basket(shop.product(), timestamp=at.strftime("%Y-%m-%dT%H:%M:%SZ")))
    assert answer.status_code == status
    if status == 422:
        assert [e["pointer"] for e in answer.json()["errors"]] == ["/timestamp"]


def test_what_was_sold_offline_has_left_the_shop(api, shop):
    """B8: recorded although the stock is short; the stock ends at nothing, the line says what lacked."""
    bread = shop.product(stock=1)
    sale = api.sell(shop.basket(bread, 3, offline=True)).json()
    assert (sale["offline"], sale["stockException"], sale["items"][0]["shortage"]) == (True, True, 2)
    assert shop.stock(bread) == 0
    assert api.get("/v1/transactions/" + sale["transactionId"]).json() == sale
    assert_problem(api.sell(shop.basket(bread)), 409, "insufficient-stock")
