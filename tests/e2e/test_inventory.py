# SPDX-License-Identifier: Apache-2.0
"""Stock: levels read and set, movements, what is low, transfers; that it never goes below zero and
always equals the ledger's sum."""

import json
import re
import uuid

import pytest

from kit.clients import Api, Connection, assert_problem, at_once

LEVEL = ["storeId", "productId", "name", "sku", "barcode", "stock", "lowStockAt", "low", "updatedAt"]
MOVEMENTS = "/v1/inventory/movements"


def move(api, kind, lines, key=None, **more):
    body = {"kind": kind, "lines": [{"productId": p, "quantity": q} for p, q in lines], **more}
    return api.post(MOVEMENTS, json=body, key=key or str(uuid.uuid4()))


def path_of(product):
    return "/v1/inventory/" + product


def assert_ledger(database, *stores):
    """The sum of all movements is the level, for everything that is counted."""
    assert database.rows(
        "SELECT store_id, product_id, stock_milli, sum(quantity_milli) FROM inventory"
        " LEFT JOIN inventory_movements USING (store_id, product_id) WHERE store_id = ANY(%s)"
        " GROUP BY store_id, product_id HAVING stock_milli <> coalesce(sum(quantity_milli), 0)",
        list(stores)) == []


def faults(answer, status=422, code="validation-failed"):
    return {(e["pointer"], e["code"]) for e in assert_problem(answer, status, code)["errors"]}


# ---- levels ---------------------------------------------------------------------------------------


def test_a_level_is_set_and_read(api, manager, shop, database):
    bread = shop.product()
    assert_problem(api.get(path_of(bread)), 404, "not-found")
    made = manager.request("PUT", path_of(bread), json={"stock": 12.5, "lowStockAt": 3})
    assert made.status_code == 201 and list(made.json()) == LEVEL
    read = api.get(path_of(bread))
    assert read.json() == made.json() and read.headers["etag"] == made.headers["etag"]
    level = read.json()
    assert (level["stock"], level["lowStockAt"], level["low"]) == (12.5, 3, False)
    assert (level["storeId"], level["productId"], level["name"]) == (shop.store, bread, "Bread")
    assert api.get(path_of(bread), headers={"if-none-match": read.headers["etag"]}).status_code == 304
    api.sell(shop.basket(bread, 9.5))
    assert (api.get(path_of(bread)).json()["stock"], api.get(path_of(bread)).json()["low"]) == (3, True)
    assert_ledger(database, shop.store)


def test_fields_of_a_level_are_set_one_by_one(manager, shop):
    bread = shop.product(stock=5)

    def put(**body):
        level = manager.request("PUT", path_of(bread), json=body).json()
        return level["stock"], level["lowStockAt"]

    assert put(lowStockAt=2) == (5, 2)
    assert put(stock=4) == (4, 2)
    assert put(lowStockAt=None) == (4, None)
    assert put(stock=0, lowStockAt=0) == (0, 0)


def test_if_match_guards_a_level(manager, api, shop):
    bread = shop.product(stock=5)
    etag = manager.get(path_of(bread)).headers["etag"]
    api.sell(shop.basket(bread))

    def put(tag):
        return manager.request("PUT", path_of(bread), json={"stock": 9}, headers={"if-match": tag})

    for tag in (etag, '"x"', 'W/' + manager.get(path_of(bread)).headers["etag"], "\u00fc".encode("latin-1")):
        assert_problem(put(tag), 412, "precondition-failed")
    assert shop.stock(bread) == 4
    assert put('"1", ' + manager.get(path_of(bread)).headers["etag"]).status_code == 200
    assert put("*").status_code == 200 and shop.stock(bread) == 9


def test_what_a_level_refuses(manager, shop):
    bread = shop.product()
    put = lambda body: manager.request("PUT", path_of(bread), json=body)  # noqa: E731
    assert faults(put({})) == {("", "required")}
    assert faults(put({"lowStockAt": 1})) == {("/stock", "required")}
    assert faults(put({"stock": -1, "lowStockAt": 0.0001, "level": 1})) == {
        ("/stock", "range"), ("/lowStockAt", "decimals"), ("/level", "unknown")}
    for unknown in (str(uuid.uuid4()), "x"):
        assert_problem(manager.request("PUT", path_of(unknown), json={"stock": 1}), 404, "not-found")


# ---- movements ------------------------------------------------------------------------------------


def test_every_kind_of_movement(manager, shop, database):
    bread, milk = shop.product(stock=10), shop.product()
    answer = move(manager, "receive", [(bread, 2.5), (milk, 6)], note="delivery 7")
    document = answer.json()
    assert answer.status_code == 201
    assert list(document) == ["movementId", "kind", "storeId", "toStoreId", "note", "lines",
                              "createdBy", "createdAt"]
    assert document["lines"] == [{"productId": bread, "quantity": 2.5, "stock": 12.5},
                                 {"productId": milk, "quantity": 6, "stock": 6}]
    assert (document["kind"], document["note"], document["toStoreId"]) == ("receive", "delivery 7", None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["createdAt"])
    counted = move(manager, "count", [(bread, 12), (milk, 6)]).json()
    assert [line["stock"] for line in counted["lines"]] == [12, 6]
    adjusted = move(manager, "adjust", [(bread, -1), (milk, 0.5)]).json()
    assert [line["stock"] for line in adjusted["lines"]] == [11, 6.5]
    rows = database.rows(
        "SELECT kind, quantity_milli, principal FROM inventory_movements WHERE store_id = %s"
        " AND product_id = %s ORDER BY movement_id", shop.store, uuid.UUID(bread))
    assert [row[:2] for row in rows] == [("count", 10000), ("receive", 2500), ("count", -500),
                                         ("adjust", -1000)]
    assert {row[2] for row in rows[1:]} == {document["createdBy"]}
    assert_ledger(database, shop.store)


def test_a_transfer_leaves_one_store_and_reaches_another(gateway, shop, issuer, database, manager):
    """Two movements under one document; a store that never kept stock is a slip of the pen, unless
    an admin says it."""
    bread, east = shop.product(stock=10), shop.store + "-east"
    refused = move(manager, "transfer", [(bread, 4)], toStoreId=east)
    assert faults(refused, code="unknown-store") == {("/toStoreId", "unknown-store")}
    with Api(gateway, issuer.token("admin", shop.store)) as admin:
        document = move(admin, "transfer", [(bread, 4)], toStoreId=east).json()
    assert document["lines"][0]["stock"] == 6
    assert (shop.stock(bread), database.stock_of(east, bread)) == (6, 4)
    assert move(manager, "transfer", [(bread, 6)], toStoreId=east).status_code == 201
    short = move(manager, "transfer", [(bread, 0.001)], toStoreId=east)
    assert faults(short, 409, "insufficient-stock") == {("/lines/0", "insufficient-stock")}
    assert database.rows("SELECT store_id, quantity_milli FROM inventory_movements WHERE reference = %s"
                         " ORDER BY quantity_milli", uuid.UUID(document["movementId"])) == [
        (shop.store, -4000), (east, 4000)]
    assert_ledger(database, shop.store, east)


def test_a_repeated_movement_moves_nothing_more(manager, shop, database):
    """B1: the same answer; another body under the key is refused, also a sale."""
    bread, key = shop.product(stock=1), str(uuid.uuid4())
    first, second = (move(manager, "receive", [(bread, 2)], key=key) for _ in range(2))
    assert second.content == first.content and second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers and shop.stock(bread) == 3
    assert_problem(move(manager, "receive", [(bread, 3)], key=key), 422, "idempotency-mismatch")
    assert_problem(manager.sell(shop.basket(bread), key=key), 422, "idempotency-mismatch")
    answer = manager.post(MOVEMENTS, json={"kind": "count", "lines": [{"productId": bread, "quantity": 1}]})
    assert_problem(answer, 400, "idempotency-key-missing")
    assert shop.stock(bread) == 3 and shop.sales() == 0


def test_stock_never_goes_below_zero_by_hand(manager, shop, database):
    """B8: 409 names the line; no line is moved and the key stays free."""
    bread, milk, key = shop.product(stock=5), shop.product(stock=1), str(uuid.uuid4())
    short = move(manager, "adjust", [(bread, -1), (milk, -1.001)], key=key)
    assert faults(short, 409, "insufficient-stock") == {("/lines/1", "insufficient-stock")}
    assert (shop.stock(bread), shop.stock(milk)) == (5, 1)
    assert move(manager, "adjust", [(bread, -1), (milk, -1)], key=key).status_code == 201
    assert_ledger(database, shop.store)


def test_every_fault_of_a_movement_is_told_at_once(manager, shop):
    bread = shop.product(stock=5)
    assert faults(move(manager, "count", [("x", 1), (bread, 0.0001)], note="", to="b")) == {
        ("/lines/0/productId", "format"), ("/lines/1/quantity", "decimals"), ("/note", "length"),
        ("/to", "unknown")}
    assert faults(move(manager, "receive", [(bread, 0), (bread, 1), (bread, -1)], toStoreId="b")) == {
        ("/lines/0/quantity", "range"), ("/lines/2/quantity", "range"), ("/toStoreId", "value")}
    assert faults(move(manager, "adjust", [(bread, 0)])) == {("/lines/0/quantity", "range")}
    assert faults(move(manager, "count", [(bread, -1)])) == {("/lines/0/quantity", "range")}
    assert faults(move(manager, "give", [(bread, 1)])) == {("/kind", "value")}
    assert faults(move(manager, "transfer", [(bread, 1)])) == {("/toStoreId", "required")}
    assert faults(move(manager, "transfer", [(bread, 1)], toStoreId=shop.store)) == {
        ("/toStoreId", "value")}
    assert faults(move(manager, "count", [(bread, 1), (bread, 2)])) == {("/lines/1", "duplicate")}
    assert faults(move(manager, "count", [])) == {("/lines", "length")}
    unknown = move(manager, "receive", [(bread, 1), (str(uuid.uuid4()), 1)])
    assert faults(unknown, code="unknown-product") == {("/lines/1", "unknown-product")}
    assert shop.stock(bread) == 5


def test_what_is_left_of_a_deleted_product_can_be_cleared(gateway, manager, shop, issuer, database):
    """Counted, written off, sent away; but where there is none of it nobody begins to count it."""
    bread, tea, east = shop.product(stock=10), shop.product(), shop.store + "-east"
    sale = manager.sell(shop.basket(bread, 2)).json()["transactionId"]
    for product in (bread, tea):
        assert manager.request("DELETE", "/v1/products/" + product).status_code == 204
    back = manager.post("/v1/transactions/%s/refunds" % sale, json={"amount": 1}, key=str(uuid.uuid4()))
    assert back.status_code == 201 and shop.stock(bread) == 8
    with Api(gateway, issuer.token("admin", shop.store)) as admin:
        assert move(admin, "transfer", [(bread, 3)], toStoreId=east).status_code == 201
    assert move(manager, "adjust", [(bread, -2)]).status_code == 201
    assert move(manager, "count", [(bread, 1)]).status_code == 201
    cleared = manager.request("PUT", path_of(bread), json={"stock": 0}, headers={
        "if-match": manager.get(path_of(bread)).headers["etag"]})
    assert (cleared.status_code, shop.stock(bread)) == (200, 0)
    assert faults(move(manager, "receive", [(bread, 1), (tea, 1)]), code="unknown-product") == {
        ("/lines/1", "unknown-product")}
    assert_problem(manager.request("PUT", path_of(tea), json={"stock": 1}), 404, "not-found")
    assert_ledger(database, shop.store, east)


# ---- lists ----------------------------------------------------------------------------------------


def test_the_list_and_what_is_low(api, manager, shop):
    """Pages of a store's own stock; the low ones are those at or below their mark at this moment."""
    products = sorted(shop.product(stock=n) for n in range(7))
    for product in products:
        manager.request("PUT", path_of(product), json={"lowStockAt": 2})
    seen, path = [], "/v1/inventory?limit=3"
    while path:
        answer = api.get(path)
        seen += answer.json()["items"]
        link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        path = link and link.group(1)
    assert [level["productId"] for level in seen] == products
    low = [level["productId"] for level in seen if level["stock"] <= 2]
    assert len(low) == 3

    def listed(query):
        return [level["productId"] for level in api.get("/v1/inventory?" + query).json()["items"]]

    assert listed("low=true") == low and listed("low=true&limit=2") == low[:2]
    assert listed("low=true&after=" + low[0]) == low[1:] and listed("low=false") == products
    plenty = next(level["productId"] for level in seen if level["stock"] == 6)
    api.sell(shop.basket(plenty, 4))
    assert listed("low=true") == sorted(low + [plenty])
    move(manager, "receive", [(low[0], 100)])
    assert listed("low=true") == sorted(low[1:] + [plenty])
    manager.request("PUT", path_of(plenty), json={"lowStockAt": None})
    assert listed("low=true") == low[1:]


@pytest.mark.parametrize("query, code", [
    ("low=yes", "invalid-parameter"), ("limit=0", "invalid-parameter"),
    ("after=x", "invalid-parameter"), ("stock=1", "unknown-parameter")])
def test_bad_parameters_are_refused(api, query, code):
    assert_problem(api.get("/v1/inventory?" + query), 400, code)


# ---- who may --------------------------------------------------------------------------------------


def test_cashiers_read_and_managers_change(api, shop):
    bread = shop.product(stock=5)
    assert_problem(api.request("PUT", path_of(bread), json={"stock": 1}), 403, "forbidden")
    assert_problem(move(api, "count", [(bread, 1)]), 403, "forbidden")
    assert api.get(path_of(bread)).json()["stock"] == 5


def test_another_stores_stock_is_nobodys_business(gateway, shop, issuer, manager):
    """B6: 404 for its products; only an admin may name another store."""
    bread = shop.product(stock=5)
    with Api(gateway, issuer.token("manager", shop.store + "-other")) as other:
        assert_problem(other.get(path_of(bread)), 404, "not-found")
        assert other.get("/v1/inventory").json()["items"] == []
        query = "?storeId=" + shop.store
        assert_problem(other.get(path_of(bread) + query), 403, "forbidden")
        assert_problem(other.get("/v1/inventory" + query), 403, "forbidden")
        body = {"stock": 1, "storeId": shop.store}
        assert_problem(other.request("PUT", path_of(bread), json=body), 403, "forbidden")
        assert_problem(move(other, "count", [(bread, 1)], storeId=shop.store), 403, "forbidden")
    with Api(gateway, issuer.token("admin", "elsewhere")) as admin:
        assert admin.get(path_of(bread) + query).json()["stock"] == 5
        assert move(admin, "count", [(bread, 1)], storeId=shop.store).status_code == 201
    assert shop.stock(bread) == 1


def test_stock_by_hand_is_audited(manager, shop, database):
    """Who counted, adjusted, sent: append-only."""
    bread = shop.product(stock=5)
    document = move(manager, "adjust", [(bread, -1)], note="broken").json()
    manager.request("PUT", path_of(bread), json={"stock": 9})
    rows = database.rows("SELECT action, entity, entity_id, actor, before, after FROM audit_log"
                         " WHERE store_id = %s ORDER BY id", shop.store)
    assert [row[:4] for row in rows] == [
        ("stock.adjust", "stock_document", document["movementId"], document["createdBy"]),
        ("stock.level", "inventory", bread, document["createdBy"])]
    assert rows[0][5]["note"] == "broken" and rows[0][5]["quantitiesMilli"] == [-1000]
    assert rows[1][4]["stockMilli"] == 4000 and rows[1][5]["stockMilli"] == 9000


# ---- many at once ---------------------------------------------------------------------------------


@pytest.mark.heavy
def test_transfers_crossing_with_sales_do_not_deadlock(gateway, shop, issuer, database):
    """B8: 50 clients send the same goods both ways, in opposite orders, while tills sell them: no 5xx,
    nothing lost, nothing below zero."""
    east = shop.store + "-east"
    products = [shop.product(stock=40) for _ in range(4)]
    with Api(gateway, issuer.token("admin", shop.store)) as admin:
        assert move(admin, "receive", [(p, 40) for p in products], storeId=east).status_code == 201
    new = [shop.product() for _ in range(2)]  # tracked nowhere: their first rows cross, too
    tokens = {"admin": issuer.token("admin", shop.store), "cashier": shop.token()}

    def client(i):
        connection, statuses = Connection(gateway, tokens["cashier" if i % 5 == 4 else "admin"]), []
        for turn in range(4):
            order = products if (i + turn) % 2 else products[::-1]
            lines = [{"productId": p, "quantity": 1} for p in order]
            if i % 5 == 4:
                path, body = "/v1/transactions", {"items": lines, "paymentMethod": "cash"}
            elif i % 5 == 3:
                path = MOVEMENTS
                body = {"kind": "receive", "storeId": (shop.store, east)[turn % 2],
                        "lines": [{"productId": p, "quantity": 1} for p in new[::(-1, 1)[i % 2]]]}
            else:
                there, back = (shop.store, east) if i % 2 else (east, shop.store)
                path = MOVEMENTS
                body = {"kind": "transfer", "storeId": there, "toStoreId": back, "lines": lines}
            statuses.append(connection.request("POST", path, json.dumps(body).encode(),
                                               str(uuid.uuid4()))[0])
        connection.close()
        return statuses

    statuses = [status for answers in at_once(50, client) for status in answers]
    assert set(statuses) <= {201, 409}, sorted(set(statuses))
    assert statuses.count(201) > 100
    sold = shop.sales()
    for product in products:
        assert shop.stock(product) + database.stock_of(east, product) == 80 - sold
        assert shop.stock(product) >= 0 and database.stock_of(east, product) >= 0
    assert [shop.stock(p) + database.stock_of(east, p) for p in new] == [40, 40]
    assert_ledger(database, shop.store, east)
