# SPDX-License-Identifier: Apache-2.0
"""GET /v1/transactions: filters, pages, stores, and an index behind each way."""

import json
import os
import re
import urllib.parse
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from kit.clients import assert_problem
from kit.processes import ROOT

PATH = "/v1/transactions"


def at(days):
    return (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%dT12:00:00Z")


@pytest.fixture
def sales(api, manager, shop):
    """12 sales on 4 days, by two cashiers and three methods; one voided, two refunded in part."""
    bread = shop.product(250)
    made = []
    for i in range(12):
        body = {"items": [{"productId": bread, "quantity": 2}], "paymentMethod": ("cash", "card", "giftcard")[i % 3],
                "timestamp": at(1 + i // 3)}
        made.append((manager if i % 4 == 0 else api).sell(body).json())
    today = api.sell(shop.basket(bread)).json()
    made.append(today)
    assert manager.post(PATH + "/%s/void" % today["transactionId"]).status_code == 201
    for i in (2, 7):
        assert manager.post(PATH + "/%s/refunds" % made[i]["transactionId"], json={"amount": 1},
                            key=str(uuid.uuid4())).status_code == 201
    return made


def pages(api, query="", limit=5):
    """All items by following Link, and how many pages there were."""
    items, path, n = [], "%s?limit=%d%s" % (PATH, limit, query), 0
    while path:
        answer = api.get(path)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        items += body["items"]
        n += 1
        link = answer.headers.get("link")
        assert (body["next"] is None) == (link is None)
        path = link and re.fullmatch(r'<(.*)>; rel="next"', link).group(1)
    return items, n


def ids(sales):
    newest = sorted(sales, key=lambda s: (s["date"], s["transactionId"]), reverse=True)
    return [s["transactionId"] for s in newest]


def test_filters_and_pages(api, sales):
    """The newest first; each filter alone and with others; every sale once over all pages."""
    got, n = pages(api)
    assert [s["transactionId"] for s in got] == ids(sales) and n == 3
    plain = {k: v for k, v in sales[1].items() if k != "refunds"}
    assert plain in got
    day, days = sales[4]["date"], sorted({s["date"] for s in sales})
    undone = {sales[12]["transactionId"], sales[2]["transactionId"], sales[7]["transactionId"]}
    cases = {
        "&date=" + day: lambda s: s["date"] == day,
        "&from=" + days[1]: lambda s: s["date"] >= days[1],
        "&to=" + days[1]: lambda s: s["date"] <= days[1],
        "&from=%s&to=%s" % (days[1], days[2]): lambda s: days[1] <= s["date"] <= days[2],
        "&cashierId=" + sales[0]["cashierId"]: lambda s: s["cashierId"] == sales[0]["cashierId"],
        "&paymentMethod=card": lambda s: s["paymentMethod"] == "card",
        "&status=voided": lambda s: s is sales[12],
        "&status=partially_refunded": lambda s: s in (sales[2], sales[7]),
        "&status=refunded": lambda s: False,
        "&status=completed": lambda s: s["transactionId"] not in undone,
        "&status=completed&paymentMethod=cash": lambda s: s["transactionId"] not in undone and
        s["paymentMethod"] == "cash",
        "&status=partially_refunded&paymentMethod=cash": lambda s: False,
        "&cashierId=%s&paymentMethod=card&date=%s" % (sales[4]["cashierId"], day): lambda s: s is sales[4],
        "&cashierId=%s&status=voided" % sales[12]["cashierId"]: lambda s: s is sales[12],
    }
    for query, wanted in cases.items():
        for limit in (2, 100):
            got, _ = pages(api, query, limit)
            assert [s["transactionId"] for s in got] == ids([s for s in sales if wanted(s)]), query


def test_bad_parameters(api):
    for query, code in (("date=2026-13-01", "invalid-parameter"), ("date=2026-02-30", "invalid-parameter"),
                        ("from=yesterday", "invalid-parameter"), ("date=2026-01-01&to=2026-01-02", "invalid-parameter"),
                        ("status=lost", "invalid-parameter"), ("limit=0", "invalid-parameter"),
                        ("limit=501", "invalid-parameter"), ("after=x", "invalid-parameter"),
                        ("exception=some", "invalid-parameter"), ("exception=", "invalid-parameter"),
                        ("exception=stock,price", "invalid-parameter"), ("store=main", "unknown-parameter")):
        assert_problem(api.get(PATH + "?" + query), 400, code)


def test_stores(api, sales, issuer, shop):
    """B6: a list holds the caller's store alone, whatever it is asked; an admin's holds all."""
    other = issuer.token("manager", "elsewhere-" + uuid.uuid4().hex)
    assert api.get(PATH, token=other).json() == {"items": [], "next": None}
    after = "&after=" + sales[3]["transactionId"]
    assert api.get(PATH + "?limit=500" + after, token=other).json()["items"] == []
    date = sales[0]["date"]
    got = api.get(PATH + "?limit=500&date=%s&cashierId=%s" % (date, sales[0]["cashierId"]),
                  token=issuer.token("admin", "elsewhere")).json()["items"]
    assert [s["transactionId"] for s in got] == ids([
        s for s in sales if s["date"] == date and s["cashierId"] == sales[0]["cashierId"]])
    assert {s["storeId"] for s in got} == {shop.store}


def test_exceptions(api, manager, shop, database, sales, issuer):
    """By kind, or any of them; with the other filters, page by page, of one store or of all."""
    bread, short = shop.product(250), shop.product(100, stock=1)
    body = {"paymentMethod": "cash", "offline": True, "timestamp": at(2)}
    wants = {"stock": [], "price": [], "any": []}
    for kinds, item in (((), {}), (("price",), {"unitPrice": 2}), (("stock",), {"productId": short, "quantity": 3}),
                        (("price",), {"unitPrice": 1, "productId": bread}),
                        (("stock", "price"), {"productId": short, "unitPrice": 9})):
        sold = manager.sell({**body, "items": [{"productId": bread, "quantity": 1, **item}]}).json()
        assert (sold["stockException"], sold["priceException"]) == ("stock" in kinds, "price" in kinds), sold
        for kind in (*kinds, *(["any"] if kinds else [])):
            wants[kind].append(sold)
    for kind, wanted in wants.items():
        for limit in (1, 100):
            got, _ = pages(api, "&exception=" + kind, limit)
            assert [s["transactionId"] for s in got] == ids(wanted), (kind, limit)
    day, first = wants["any"][0]["date"], wants["price"][0]
    assert manager.post(PATH + "/%s/refunds" % first["transactionId"], json={"amount": 1},
                        key=str(uuid.uuid4())).status_code == 201
    for query, wanted in (("&date=" + day, wants["any"]), ("&from=2999-01-01", []), ("&to=2000-01-01", []),
                          ("&status=partially_refunded", [first]), ("&paymentMethod=card", []),
                          ("&cashierId=" + first["cashierId"], wants["any"]), ("&cashierId=nobody", [])):
        assert [s["transactionId"] for s in pages(api, "&exception=any" + query)[0]] == ids(wanted), query
    assert pages(api, "&exception=amount")[0] == []
    admin = issuer.token("admin", "elsewhere")
    got = api.get(PATH + "?exception=any&storeId=" + shop.store, token=admin).json()["items"]
    assert [s["transactionId"] for s in got] == ids(wants["any"])
    every = api.get(PATH + "?exception=any&limit=500&date=" + day, token=admin).json()["items"]
    assert set(ids(wants["any"])) <= {s["transactionId"] for s in every}


def test_an_admin_asks_for_one_store(api, sales, issuer, shop):
    """And nobody else for another one than his own."""
    query = "&storeId=" + shop.store
    assert [s["transactionId"] for s in pages(api, query)[0]] == ids(sales)  # his own
    assert_problem(api.get(PATH + "?storeId=elsewhere"), 403, "forbidden")
    assert_problem(api.get(PATH + "?storeId=" + shop.store, token=issuer.token("manager", "elsewhere")),
                   403, "forbidden")
    admin = issuer.token("admin", "elsewhere")
    got, path = [], PATH + "?limit=5" + query
    while path:
        answer = api.get(path, token=admin)
        got += answer.json()["items"]
        path = answer.headers.get("link") and re.fullmatch(r'<(.*)>; rel="next"', answer.headers["link"]).group(1)
    assert [s["transactionId"] for s in got] == ids(sales)
    assert api.get(PATH + "?storeId=nowhere-" + uuid.uuid4().hex, token=admin).json() == {"items": [], "next": None}


def test_injection(api, sales):
    """B7"""
    for text in ("' OR 1=1 --", "%27%29%3B%20DROP%20TABLE%20transactions%3B--"):
        assert api.get(PATH + "?" + urllib.parse.urlencode({"cashierId": text})).json()["items"] == []
        assert len(api.get(PATH).json()["items"]) == len(sales)


@pytest.mark.heavy
def test_every_way_walks_an_index(own_database):
    """Show 4: over 200,000 sales each way to ask reads a page's worth of blocks (a store alone has 900),
    and a deep page no more than the first."""
    db = own_database
    db.rows("""INSERT INTO transactions (transaction_id, sold_at, business_date, store_id, register_id, cashier_id,
        currency, prices_include_tax, subtotal_minor, discount_total_minor, tax_total_minor, total_minor,
        change_minor, payment_method, status, receipt_number)
        SELECT gen_random_uuid(), now(), date '2026-01-01' + n % 300, 'store' || n % 5, 'r' || n % 3, 'c' || n % 50,
               'EUR', true, 100, 0, 0, 100, 0, CASE WHEN n % 1000 = 0 THEN 'giftcard' ELSE 'card' END,
               CASE WHEN n % 500 = 0 THEN 'voided' ELSE 'completed' END, n
          FROM generate_series(1, 200000) n""")
    db.rows("INSERT INTO transaction_items (transaction_id, line_no, product_id, name, quantity_milli, unit_price_minor,"
            " discount_minor, tax_rate_micro, tax_minor, line_total_minor) SELECT transaction_id, 1, transaction_id, 'x',"
            " 1000, 100, 0, 0, 0, 100 FROM transactions")
    db.rows("INSERT INTO payments SELECT transaction_id, 1, 'card', 100 FROM transactions")
    db.rows("INSERT INTO registers (store_id, register_id, last_receipt) SELECT 'store' || n % 5, 'r' || n, 1"
            " FROM generate_series(0, 14) n")
    db.rows("ANALYZE")
    with open(os.path.join(ROOT, "db", "queries", "transaction_list.sql"), encoding="utf-8") as f:
        sql = "\n".join(line for line in f.read().splitlines() if not line.lstrip().startswith("--"))
    connection = db.connect()
    with connection.cursor() as cursor:
        cursor.execute("SET plan_cache_mode = force_generic_plan; SET jit = off")
        cursor.execute("PREPARE list (text, text, text, text, text, text, uuid, int, text) AS " + sql)

        def explain(*values):
            words = ", ".join("NULL" if v is None else "'%s'" % v for v in values)
            cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE list (%s, 101, NULL)" % words)
            plan = cursor.fetchone()[0]
            plan = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
            return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], json.dumps(plan)

        cursor.execute("SELECT transaction_id FROM transactions WHERE store_id = 'store1'"
                       " ORDER BY business_date DESC, transaction_id DESC OFFSET 35000 LIMIT 1")
        deep = cursor.fetchone()[0]
        for filters in ((None, None, None, None, None), (None, None, "c1", None, None), ("2026-03-01", "2026-03-02", None, None, None),
                        (None, None, None, "voided", None), (None, None, None, "completed", None),
                        (None, None, None, None, "giftcard"), (None, None, "c1", "voided", "card")):
            first, plan = explain("store1", *filters, None)
            assert "Seq Scan" not in plan
            assert first < 2500, (filters, first)
            later, _ = explain("store1", *filters, deep)
            assert later <= 1.5 * first + 20, (filters, first, later)
        every, plan = explain(None, None, None, None, None, None, None)
        assert "Seq Scan" not in plan and every < 5000, every
    connection.close()
