# SPDX-License-Identifier: Apache-2.0
"""How a till keeps its copy of the catalogue: what has changed since, deletions included, and nothing
missed; and looking for a part of a name."""

import re
import threading
import uuid

import pytest

from kit.clients import Api, assert_problem
from kit.processes import eventually


def changes(api, since, limit=500, query=""):
    """(items, asOf) of all pages."""
    items, path = [], "/v1/products?updatedSince=%s&limit=%d%s" % (since, limit, query)
    while path:
        answer = api.get(path)
        page = answer.json()
        assert answer.status_code == 200 and page.keys() == {"items", "next", "asOf"}
        items += page["items"]
        link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        assert (link is None) == (page["next"] is None)
        path = link and link.group(1)
    return items, page["asOf"]


def now(api):
    """As far as the catalogue has come."""
    return changes(api, "2000-01-01T00:00:00Z")[1]


def test_changes_come_in_their_order_and_deletions_too(api, manager, shop):
    since, ids = now(api), [shop.product() for _ in range(3)]
    manager.request("PATCH", "/v1/products/" + ids[0], json={"price": 7})
    manager.request("DELETE", "/v1/products/" + ids[1])
    for limit in (500, 1):
        items, as_of = changes(api, since, limit)
        mine = [item for item in items if item["productId"] in ids]
        assert [item["productId"] for item in mine] == [ids[2], ids[0], ids[1]]
        assert mine[2] == {"productId": ids[1], "deleted": True, "version": 2,
                           "updatedAt": mine[2]["updatedAt"]}
        assert mine[1]["price"] == 7 and as_of == items[-1]["updatedAt"]
        assert [i["updatedAt"] for i in items] == sorted(i["updatedAt"] for i in items)
    # What has been seen is not sent again but for the last millisecond's, and nothing else is.
    again, later = changes(api, as_of)
    assert {item["updatedAt"] for item in again} == {as_of} and later == as_of
    assert changes(api, "2999-01-01T00:00:00Z") == ([], "2999-01-01T00:00:00.000Z")
    assert ids[1] not in [i["productId"] for i in api.get("/v1/products?limit=500").json()["items"]]


def test_a_change_that_commits_late_is_not_missed(api, database, shop, gateway):
    """Two transactions, the older one commits last: now() in updated_at would hide it for ever from a
    till that has read in between."""
    early, late = shop.product(), shop.product()
    since = now(api)
    slow = database.connect(autocommit=False)
    with slow.cursor() as cursor:
        cursor.execute("SELECT now()")  # the transaction begins here
        with Api(gateway, shop.token("manager")) as manager:
            assert manager.request("PATCH", "/v1/products/" + early, json={"price": 1}).status_code == 200
        seen, as_of = changes(api, since)
        assert early in [item["productId"] for item in seen]
        cursor.execute("UPDATE products SET price_minor = 2 WHERE product_id = %s", (late,))
        slow.commit()
    slow.close()
    assert late in [item["productId"] for item in changes(api, as_of)[0]]


def test_nobody_overtakes_a_change_that_is_not_committed(api, database, shop, gateway):
    """While one is under way another waits, so that the later time cannot be seen first."""
    one, two, done = shop.product(), shop.product(), []
    since = now(api)
    slow = database.connect(autocommit=False)
    with slow.cursor() as cursor:
        cursor.execute("UPDATE products SET price_minor = 2 WHERE product_id = %s", (one,))

        def patch():
            with Api(gateway, shop.token("manager")) as manager:
                done.append(manager.request("PATCH", "/v1/products/" + two, json={"price": 1}))

        thread = threading.Thread(target=patch)
        thread.start()
        eventually(lambda: database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                                          " AND NOT granted AND database = (SELECT oid FROM pg_database"
                                          " WHERE datname = current_database())") == 1,
                   what="the other waits")
        assert changes(api, since)[1] == since  # neither has happened yet
        slow.commit()
    slow.close()
    thread.join(30)
    assert done[0].status_code == 200
    order = [item["productId"] for item in changes(api, since)[0]]
    assert order.index(one) < order.index(two)


def test_a_till_that_follows_has_what_the_catalogue_has(gateway, shop, api, database):
    """Writers change, delete and bring back while a till reads page by page: its copy ends equal."""
    ids = [shop.product() for _ in range(20)]
    since, copy = now(api), {}

    def write(n):
        with Api(gateway, shop.token("manager")) as manager:
            for round_ in range(12):
                product_id = ids[(round_ * 7 + n * 5) % len(ids)]
                body = {"name": "n%d %d" % (n, round_), "price": round_}
                if round_ % 3 == 2:
                    manager.request("DELETE", "/v1/products/" + product_id)
                else:
                    manager.request("PUT", "/v1/products/" + product_id, json=body)

    def follow(since):
        items, as_of = changes(api, since, 7)
        for item in items:
            if item["productId"] in ids:
                copy[item["productId"]] = None if item.get("deleted") else item
        return as_of

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in writers:
        thread.start()
    while any(thread.is_alive() for thread in writers):
        since = follow(since)
    follow(since)
    for product_id in copy:
        answer = api.get("/v1/products/" + product_id)
        assert (answer.json() if answer.status_code == 200 else None) == copy[product_id]
    assert len(copy) == len(ids) or database.value(
        "SELECT count(*) FROM products WHERE version = 1 AND product_id = ANY (%s::uuid[])",
        [i for i in ids if i not in copy]) == len(ids) - len(copy)


def test_filters_hold_for_changes_too(api, manager, shop):
    category, since = uuid.uuid4().hex, now(api)
    body = {"name": "Pear tart", "price": 1, "category": category}
    ids = [manager.post("/v1/products", json=body).json()["productId"] for _ in range(3)]
    manager.request("DELETE", "/v1/products/" + ids[0])
    for query in ("&category=" + category, "&category=%s&q=PEAR" % category, "&q=pear+tart"):
        found = [i for i in changes(api, since, 2, query)[0] if i["productId"] in ids]
        assert [i["productId"] for i in found] == [ids[1], ids[2], ids[0]]
    assert changes(api, since, 2, "&category=%s&q=apple" % category)[0] == []


@pytest.mark.parametrize("after", ["x", "1", "1.", ".", "1.x", "-1.00000000-0000-7000-8000-000000000000",
                                   "99999999999999999999.00000000-0000-7000-8000-000000000000",
                                   "00000000-0000-7000-8000-000000000000"])
def test_a_cursor_of_another_making_is_400(api, after):
    assert_problem(api.get("/v1/products?updatedSince=2026-01-01T00:00:00Z&after=" + after), 400,
                   "invalid-parameter")
    if after.count("-") != 4 or "." in after:
        assert_problem(api.get("/v1/products?after=" + after), 400, "invalid-parameter")


# ---- looking for a part of a name -------------------------------------------------------------------


def test_what_is_rare_is_found_behind_many_and_page_by_page(api, manager, shop):
    """More products than are walked before the indexes are asked: 2,000."""
    category, word = uuid.uuid4().hex, "zq" + uuid.uuid4().hex[:6]
    for batch in range(5):
        items = [{"name": "%s %d" % (word if n % 250 == 3 else "plain", n), "price": 1, "category": category,
                  "sku": uuid.uuid4().hex} for n in range(500)]
        results = manager.post("/v1/products/batch", json=items).json()["results"]
        assert {r["status"] for r in results} == {"created"}
    for query in ("category=%s&q=%s" % (category, word), "q=" + word.upper(), "q=" + word[:5],
                  "category=%s&q=zq" % category):
        found, after = [], ""
        while after is not None:
            page = api.get("/v1/products?limit=3&%s%s" % (query, after)).json()
            found += page["items"]
            after = page["next"] and "&after=" + page["next"]
        ids = [item["productId"] for item in found if item["name"].startswith(word)]
        assert len(ids) == 10 and ids == sorted(set(ids)), query
