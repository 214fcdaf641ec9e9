# SPDX-License-Identifier: Apache-2.0
"""A till that was alone sends all it has sold: nothing lost, nothing twice, nobody's fault another's."""

import json
import random
import uuid
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal

import pytest

from kit.clients import Api, Connection, assert_problem, at_once
from kit.shop import Shop

PATH = "/v1/transactions/batch"


def ago(minutes):
    return (datetime.now(timezone.utc) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def offline(shop, product, quantity=1, **more):
    return shop.basket(product, quantity, **{"transactionId": str(uuid.uuid4()), "timestamp": ago(30), **more})


def send(api, sales, ndjson=False, **how):
    if ndjson:
        text = "\n".join(json.dumps(s) if isinstance(s, dict) else s for s in sales)
        how["headers"] = {"content-type": "application/x-ndjson"}
    else:
        text = json.dumps(sales)
        how["headers"] = {"content-type": "application/json"}
    return api.request("POST", PATH, content=text.encode(), **how)


def results(answer):
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert [r["index"] for r in body["results"]] == list(range(len(body["results"])))
    counted = [sum(r["status"] == 201 and r["replayed"] == replayed for r in body["results"])
               for replayed in (False, True)]
    assert counted == [body["recorded"], body["replayed"]]
    assert body["refused"] == len(body["results"]) - sum(counted)
    return body["results"]


@pytest.mark.parametrize("ndjson", [False, True])
def test_a_batch_is_recorded_and_again_is_replayed(api, shop, ndjson):
    """B1: each sale by its own id; a sale already recorded comes back as recorded, however it came."""
    bread = shop.product(250, stock=100)
    sales = [offline(shop, bread, 1 + i, registerId="r%d" % (i % 3)) for i in range(20)]
    first = api.post("/v1/transactions", json=sales[7])
    keyed = api.sell(sales[8])
    assert (first.status_code, keyed.status_code) == (201, 201)
    other = results(send(api, [{**sales[8], "items": [{"productId": bread, "quantity": 99}]}], ndjson))
    assert other[0]["problem"]["code"] == "idempotency-mismatch"
    got = results(send(api, sales[:10], ndjson))
    assert [r["status"] for r in got] == [201] * 10
    assert [r["replayed"] for r in got] == [i in (7, 8) for i in range(10)]
    assert got[8]["receiptNumber"] == keyed.json()["receiptNumber"]
    assert [r["transactionId"] for r in got] == [s["transactionId"] for s in sales[:10]]
    again = results(send(api, sales, ndjson))
    assert [r["replayed"] for r in again] == [i < 10 for i in range(20)]
    assert [r["total"] for r in again] == [2.5 * (1 + i) for i in range(20)]
    assert shop.sales() == 20
    read = api.get("/v1/transactions/" + sales[3]["transactionId"]).json()
    assert (read["receiptNumber"], read["offline"]) == (got[3]["receiptNumber"], True)


def test_a_sale_whose_answer_was_lost_comes_back_in_a_batch(api, shop):
    """B1: sold without a key, and sent again with its time: the id is its key both times."""
    bread, sale = shop.product(250, stock=10), str(uuid.uuid4())
    first = api.post("/v1/transactions", json=shop.basket(bread, transactionId=sale, total=2.5))
    again, = results(send(api, [offline(shop, bread, transactionId=sale, total=2.5)]))
    assert (first.status_code, again["status"], again["replayed"]) == (201, 201, True)
    assert again["receiptNumber"] == first.json()["receiptNumber"]
    other, = results(send(api, [offline(shop, bread, 2, transactionId=sale, total=5)]))
    assert other["problem"]["code"] == "idempotency-mismatch"
    assert shop.sales() == 1 and shop.stock(bread) == 9


def test_one_bad_sale_never_sinks_the_rest(api, shop):
    """Every kind of fault at its own index, with pointers as if it had been sent alone."""
    bread, scarce = shop.product(250, stock=1000), shop.product(stock=0)
    good = offline(shop, bread)
    cases = [
        (good, 201, None, None),
        (offline(shop, bread, quantity=-1, discuont=1), 422, "validation-failed", ["/items/0/quantity", "/discuont"]),
        (shop.basket(bread), 422, "validation-failed", ["/transactionId"]),
        ("{\"transactionId\": \"%s\", \"items\": [{\"productId\": \"%s\", \"quantity\": 1e400}],"
         "\"paymentMethod\": \"cash\"}" % (uuid.uuid4(), bread), 422, "validation-failed", ["/items/0/quantity"]),
        ("{\"transactionId\": \"%s\", \"items\": [{\"productId\": \"%s\", \"quantity\": 1, \"discount\": -0}],"
         "\"paymentMethod\": \"cash\"}" % (uuid.uuid4(), bread), 422, "validation-failed", ["/items/0/discount"]),
        ("[]", 422, "validation-failed", [""]),
        ("{\"transactionId\": ", 400, "malformed-json", None),
        (offline(shop, str(uuid.uuid4())), 422, "unknown-product", ["/items/0"]),
        (offline(shop, bread, total=1, offline=False), 422, "total-mismatch", None),
        ({**good, "total": 2.5}, 422, "idempotency-mismatch", None),
        (offline(shop, bread, storeId="elsewhere"), 403, "forbidden", None),
        (offline(shop, bread, cashierId="somebody"), 403, "forbidden", None),
        (offline(shop, bread, timestamp=ago(-60)), 422, "validation-failed", ["/timestamp"]),
        (offline(shop, scarce, offline=False), 409, "insufficient-stock", ["/items/0"]),
        (offline(shop, bread, 2), 201, None, None),
    ]
    got = results(send(api, [sale for sale, *_ in cases], ndjson=True))
    for result, (sale, status, code, pointers) in zip(got, cases):
        assert result["status"] == status, result
        if isinstance(sale, dict) and "transactionId" in sale:
            assert result["transactionId"] == sale["transactionId"]
        if code:
            problem = result["problem"]
            assert (problem["status"], problem["code"]) == (status, code)
            if pointers:
                assert [e["pointer"] for e in problem["errors"]] == pointers
    assert shop.sales() == 2 and shop.stock(bread) == 997


def test_what_was_sold_offline_is_an_exception_not_a_refusal(api, shop):
    """B8: stock never goes below zero; the answer says which lines lacked how much."""
    plenty, scarce = shop.product(stock=100), shop.product(stock=3)
    sales = [offline(shop, scarce, 2), offline(shop, scarce, 2), offline(shop, scarce, 1.5),
             {**offline(shop, plenty), "items": [{"productId": p, "quantity": 1} for p in (plenty, scarce)]}]
    got = results(send(api, sales))
    assert [r["stockException"] for r in got] == [False, True, True, True]
    assert [r.get("shortages") for r in got] == [
        None, [{"line": 0, "quantity": 1}], [{"line": 0, "quantity": 1.5}], [{"line": 1, "quantity": 1}]]
    assert (shop.stock(scarce), shop.stock(plenty)) == (0, 99)
    assert [r["stockException"] for r in results(send(api, sales))] == [False, True, True, True]
    assert (shop.stock(scarce), shop.sales()) == (0, 4)
    online = [{k: v for k, v in offline(shop, scarce).items() if k != "timestamp"}]
    assert results(send(api, online))[0]["problem"]["code"] == "insufficient-stock"


def at_price(sale, price, rate=None, **more):
    item = {**sale["items"][0], "unitPrice": price, **({} if rate is None else {"taxRate": rate})}
    return {**sale, "items": [item], **more}


def change(manager, product, **fields):
    answer = manager.request("PATCH", "/v1/products/" + product, json=fields)
    assert answer.status_code == 200, answer.text


def test_what_was_sold_offline_keeps_the_price_it_was_sold_at(api, manager, shop):
    """The catalogue changes before the till comes back: its sales are recorded as they were made."""
    bread, gone = shop.product(250, tax_rate_micro=190000), shop.product(100)
    sales = [at_price(offline(shop, bread, 2), 2.5, 0.19, total=5), at_price(offline(shop, bread), 2.5, total=2.5),
             offline(shop, bread, total=3), at_price(offline(shop, bread, discount=0.5), 2.5, 0.19, total=2),
             offline(shop, bread), offline(shop, gone, total=1), at_price(offline(shop, gone), 0.9)]
    change(manager, bread, price=3, taxRate=0.07)
    assert manager.request("DELETE", "/v1/products/" + gone).status_code == 204
    got = results(send(api, sales))
    assert [(r["status"], r["total"]) for r in got] == [
        (201, 5), (201, 2.5), (201, 3), (201, 2), (201, 3), (201, 1), (201, 0.9)]
    assert [r["priceException"] for r in got] == [True, True, False, True, False, True, True]
    first, rate_of_now = (api.get("/v1/transactions/" + s["transactionId"]).json() for s in sales[:2])
    assert (first["priceException"], first["offline"], first["taxTotal"]) == (True, True, 0.8)
    assert [(i["unitPrice"], i["taxRate"], i["tax"]) for i in first["items"]] == [(2.5, 0.19, 0.8)]
    assert [(i["unitPrice"], i["taxRate"], i["tax"]) for i in rate_of_now["items"]] == [(2.5, 0.07, 0.16)]
    again = results(send(api, sales))
    assert [(r["replayed"], r["total"], r["priceException"]) for r in again] == [
        (True, r["total"], r["priceException"]) for r in got]
    # The old total without its price is an exception, and an id stands for one sale.
    old, other = results(send(api, [offline(shop, bread, total=2.5), at_price(sales[1], 2.6, total=2.6)]))
    assert (old["status"], old["total"], old["amountException"]) == (201, 3, True)
    assert other["problem"]["code"] == "idempotency-mismatch"
    assert shop.sales() == 8


def test_a_price_of_the_till_holds_for_what_has_left_the_shop_only(api, manager, shop):
    """At the counter the catalogue's prices hold, whatever is sent; beyond the limits none is taken."""
    bread = shop.product(250)
    counter = api.sell(at_price(shop.basket(bread), 1, 0.5))
    assert (counter.json()["total"], counter.json()["priceException"]) == (2.5, False)
    alone = api.sell(at_price(shop.basket(bread), 1, 0, offline=True, total=1))
    assert (alone.status_code, alone.json()["total"], alone.json()["priceException"]) == (201, 1, True)
    batch = results(send(api, [at_price(offline(shop, bread, offline=False), 1)]))
    assert (batch[0]["total"], batch[0]["priceException"]) == (2.5, False)
    for price, rate, pointer in ((-1, 0, "unitPrice"), (2.501, 0, "unitPrice"), (1, 1.1, "taxRate"), (1, -1, "taxRate")):
        problem = assert_problem(api.sell(at_price(shop.basket(bread), price, rate, offline=True)),
                                 422, "validation-failed")
        assert [e["pointer"] for e in problem["errors"]] == ["/items/0/" + pointer]
    order = api.post("/v1/orders", json={"items": [{"productId": bread, "quantity": 1}]})
    change(manager, bread, price=2)
    paid = api.post(order.headers["location"] + "/checkout", json={"paymentMethod": "card"}, key=str(uuid.uuid4()))
    assert (paid.json()["total"], paid.json()["priceException"]) == (2, False)


def test_what_was_sold_offline_is_not_refused_because_of_its_sums(api, manager, shop):
    """The till rounds otherwise, or a payment is short: the money has been taken, so it is an exception."""
    bread = shop.product(250)
    paid = {"paymentMethod": None, "payments": [{"method": "card", "amount": 2.49}]}
    cash = {"paymentMethod": None, "payments": [{"method": "cash", "amount": 5}]}
    sales = [offline(shop, bread, **paid), offline(shop, bread, **cash, total=2.51), offline(shop, bread, total=2.49),
             offline(shop, bread, **cash, total=2.5), offline(shop, bread)]
    got = results(send(api, sales))
    assert [(r["status"], r["total"], r["amountException"]) for r in got] == [
        (201, 2.5, True), (201, 2.5, True), (201, 2.5, True), (201, 2.5, False), (201, 2.5, False)]
    assert [r["amountException"] for r in results(send(api, sales))] == [True, True, True, False, False]
    read = [api.get("/v1/transactions/" + s["transactionId"]).json() for s in sales]
    assert [(r["amountException"], r["payments"][0]["amount"], r["change"]) for r in read] == [
        (True, 2.49, 0), (True, 5, 2.49), (True, 2.49, 0), (False, 5, 2.5), (False, 2.5, 0)]
    listed = manager.get("/v1/transactions").json()["items"]
    assert sorted(r["amountException"] for r in listed) == [False, False, True, True, True]
    alone = api.sell(shop.basket(bread, **paid, offline=True))
    assert (alone.status_code, alone.json()["amountException"]) == (201, True)
    assert_problem(api.sell(shop.basket(bread, **paid)), 422, "payment-mismatch")
    back = "/v1/transactions/%s/refunds" % sales[0]["transactionId"]
    assert_problem(manager.post(back, json={"amount": 2.5}, key=str(uuid.uuid4())), 409, "refund-exceeds")
    items = {"items": [{"line": 0, "quantity": 1}]}
    assert manager.post(back, json=items, key=str(uuid.uuid4())).json()["total"] == 2.49


def test_what_was_sold_offline_does_not_undo_a_count(api, manager, shop, database):
    """The count has seen the goods gone: a sale of before takes nothing, and its void puts nothing back."""
    bread, tea = shop.product(stock=10), shop.product(stock=10)
    assert manager.request("PUT", "/v1/inventory/" + bread, json={"stock": 7}).status_code == 200
    counted = {"kind": "count", "lines": [{"productId": tea, "quantity": 7}]}
    assert manager.post("/v1/inventory/movements", json=counted, key=str(uuid.uuid4())).status_code == 201
    sales = [offline(shop, bread, 3), offline(shop, tea, 9), offline(shop, tea, 2, timestamp=None, offline=True)]
    got = results(send(api, sales))
    assert [(r["status"], r["stockException"]) for r in got] == [(201, False)] * 3
    assert (shop.stock(bread), shop.stock(tea)) == (7, 5)
    assert database.value("SELECT count(*) FROM inventory_movements WHERE store_id = %s AND kind = 'sale'",
                          shop.store) == 1
    for sale in sales[1:]:
        void = manager.post("/v1/transactions/%s/void" % sale["transactionId"])
        # The first was sold half an hour ago: before midnight, perhaps.
        assert void.status_code == 201 or void.json()["code"] == "void-too-late"
    assert (shop.stock(bread), shop.stock(tea)) == (7, 7)


def test_what_was_sold_on_other_terms_is_not_recorded_on_ours(api, manager, shop):
    """The currency, or whether prices include tax, was changed while the till was alone."""
    bread = shop.product(250, stock=10, tax_rate_micro=190000)
    answer = api.sell(shop.basket(bread, currency="BGN"))
    assert [(e["pointer"], e["code"]) for e in assert_problem(answer, 422, "validation-failed")["errors"]] == [
        ("/currency", "mismatch")]
    got = results(send(api, [offline(shop, bread, currency="BGN"), offline(shop, bread, pricesIncludeTax=False),
                             offline(shop, bread, currency="EUR", pricesIncludeTax=True),
                             offline(shop, bread, currency=None, pricesIncludeTax=None)]))
    assert [r["status"] for r in got] == [422, 422, 201, 201]
    assert [r["problem"]["errors"][0]["pointer"] for r in got[:2]] == ["/currency", "/pricesIncludeTax"]
    assert shop.sales() == 2 and shop.stock(bread) == 8


def test_what_is_no_batch_is_refused_whole(api, shop):
    sale = offline(shop, shop.product())
    for text, status, code in (
            ("", 400, "body-missing"), ("{}", 400, "malformed-json"), ("[", 400, "malformed-json"),
            (json.dumps([sale])[:-2], 400, "malformed-json"), (json.dumps([sale]) + "x", 400, "malformed-json"),
            ("[%s, tru]" % json.dumps(sale), 400, "malformed-json"), ("[]", 422, "validation-failed"),
            (json.dumps([1] * 501), 422, "validation-failed")):
        answer = api.request("POST", PATH, content=text.encode(), headers={"content-type": "application/json"})
        assert_problem(answer, status, code)
    assert_problem(api.request("POST", PATH, content=b"x", headers={"content-type": "text/plain"}), 415)
    assert shop.sales() == 0


def test_only_the_culprit_fails(start, issuer, own_database):
    """An SQL error that nothing should raise: found by halving; the other 499 are recorded."""
    gateway = start(workers=1, db={"url": own_database.url})
    shop = Shop(own_database, issuer)
    good, bad = shop.product(stock=1000), shop.product(name="bad")
    own_database.rows("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON transaction_items FOR EACH ROW
            WHEN (NEW.name = 'bad') EXECUTE FUNCTION refuse()""")
    sales = [offline(shop, bad if i in (0, 333) else good) for i in range(500)]
    with Api(gateway, shop.token()) as api:
        got = results(send(api, sales))
    assert [i for i, r in enumerate(got) if r["status"] != 201] == [0, 333]
    assert {r["problem"]["code"] for r in got if r["status"] != 201} == {"internal"}
    assert shop.sales() == 498 and shop.stock(good) == 502


def test_a_batch_that_is_too_large_for_one_call_goes_in_several(start, issuer, own_database):
    """6000 lines of half a millisecond, 2.5 s for a statement: else the till would never be rid of them."""
    gateway = start(workers=1, http={"deadline": "60s"}, db={"url": own_database.url, "write_timeout": "2500ms"})
    shop = Shop(own_database, issuer)
    bread = shop.product(stock=5998)
    own_database.rows("""
        CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM pg_sleep(count(*) / 2000.0) FROM written;
            RETURN NULL;
        END $$;
        CREATE TRIGGER dawdle AFTER INSERT ON transaction_items REFERENCING NEW TABLE AS written
            FOR EACH STATEMENT EXECUTE FUNCTION dawdle()""")
    sales = [offline(shop, bread) for _ in range(500)]
    for sale in sales:
        sale["items"] *= 12
    with Api(gateway, shop.token(), timeout_s=60) as api:
        got = results(send(api, sales))
        assert [r["status"] for r in got] == [201] * 500
        assert [r["receiptNumber"] for r in got] == list(range(1, 501))
        assert [r["stockException"] for r in got] == [False] * 499 + [True]
        assert got[-1]["shortages"] == [{"line": line, "quantity": 1} for line in (10, 11)]
        assert {r["replayed"] for r in results(send(api, sales))} == {True}
    assert shop.sales() == 500 and shop.stock(bread) == 0


@pytest.mark.heavy
def test_50_copies_of_a_batch_are_one(gateway, shop):
    """B1: every copy gets the same 30 answers, and each sale is original once."""
    bread = shop.product(250, stock=1000)
    body = json.dumps([offline(shop, bread, registerId="r%d" % (i % 4)) for i in range(30)]).encode()
    token = shop.token()

    def one(_):
        connection = Connection(gateway, token)
        status, _, text = connection.request("POST", PATH, body)
        connection.close()
        assert status == 200, text
        return json.loads(text)["results"]

    answers = at_once(50, one)
    for i in range(30):
        assert {a[i]["status"] for a in answers} == {201}
        assert len({a[i]["receiptNumber"] for a in answers}) == 1
        assert sum(not a[i]["replayed"] for a in answers) == 1
    assert shop.sales() == 30 and shop.stock(bread) == 970


# ---- properties -----------------------------------------------------------------------------------


def half_even(x):
    return int(x.quantize(Decimal(1), ROUND_HALF_EVEN))


def priced(lines, basket):
    """[(net, tax)] of lines [(price, rate_micro, milli, discount)] with tax inside, by another way."""
    nets = [half_even(Decimal(price) * milli / 1000) - discount for price, _, milli, discount in lines]
    shares = [half_even(Decimal(basket) * net / sum(nets)) if basket else 0 for net in nets]
    missing = basket - sum(shares)
    for i in sorted(range(len(nets)), key=lambda i: (-nets[i], i)):
        if missing and 0 <= shares[i] + (1 if missing > 0 else -1) <= nets[i]:
            step = 1 if missing > 0 else -1
            shares[i], missing = shares[i] + step, missing - step
    nets = [net - share for net, share in zip(nets, shares)]
    return [(net, half_even(Decimal(net) * rate / (1000000 + rate)))
            for net, (_, rate, _, _) in zip(nets, lines)]


@pytest.mark.heavy
def test_thousands_of_random_baskets(api, shop, database):
    """Show 2: totals and taxes equal exact decimal arithmetic, and PostgreSQL's own sums."""
    dice = random.Random(20261120)
    products = [(shop.product(price, tax_rate_micro=rate), price, rate)
                for price in (1, 5, 99, 250, 1999, 123456) for rate in (0, 70000, 190000, 333333)]
    for _ in range(6):
        sales, wanted = [], []
        for _ in range(500):
            lines = []
            for _ in range(dice.randint(1, 5)):
                product, price, rate = dice.choice(products)
                milli = dice.choice((1000, 2000, dice.randint(1, 5000)))
                gross = half_even(Decimal(price) * milli / 1000)
                lines.append((product, price, rate, milli, dice.choice((0, dice.randint(0, gross)))))
            left = sum(half_even(Decimal(p) * m / 1000) - d for _, p, _, m, d in lines)
            basket = dice.choice((0, dice.randint(0, left)))
            wanted.append(priced([line[1:] for line in lines], basket))
            sales.append({"transactionId": str(uuid.uuid4()), "paymentMethod": "card", "discount": basket / 100,
                          "items": [{"productId": p, "quantity": m / 1000, "discount": d / 100}
                                    for p, _, _, m, d in lines]})
        got = results(send(api, sales))
        assert [round(r["total"] * 100) for r in got] == [sum(net for net, _ in w) for w in wanted]
        rows = dict(database.rows(
            "SELECT transaction_id, array_agg(tax_minor ORDER BY line_no) FROM transaction_items"
            " WHERE transaction_id = ANY(%s) GROUP BY 1", [uuid.UUID(s["transactionId"]) for s in sales]))
        assert [rows[uuid.UUID(s["transactionId"])] for s in sales] == [[tax for _, tax in w] for w in wanted]
    assert database.value(
        "SELECT count(*) FROM transactions t WHERE store_id = %s AND (total_minor, tax_total_minor) <>"
        " (SELECT sum(line_total_minor), sum(tax_minor) FROM transaction_items i"
        " WHERE i.transaction_id = t.transaction_id)", shop.store) == 0
    assert shop.sales() == 3000
