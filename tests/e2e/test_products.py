# SPDX-License-Identifier: Apache-2.0
"""The catalogue: reading one, listing all, adding."""

import json
import re
import uuid

import pytest

from kit.clients import PROTOCOLS, Api, Connection, assert_problem
from kit.processes import eventually

FIELDS = ["productId", "name", "price", "description", "category", "image", "sku", "barcode",
          "taxRate", "createdAt", "updatedAt", "version"]


def new(**more):
    return {"name": "Oat biscuits", "price": 2.49, **more}


def follow(api, path):
    """The items of every page, and how many pages there were."""
    items, pages = [], 0
    while path:
        answer = api.get(path)
        assert answer.status_code == 200 and answer.json().keys() == {"items", "next"}
        items += answer.json()["items"]
        pages += 1
        link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        assert (link is not None) == (answer.json()["next"] is not None)
        path = link and link.group(1)
    return items, pages


# ---- adding ---------------------------------------------------------------------------------------


def test_a_product_is_created_and_read(manager, api):
    body = new(description="crisp", category="Biscuits", image="/i.webp", sku="SKU-" + uuid.uuid4().hex,
               barcode=uuid.uuid4().hex[:13], taxRate=0.07)
    created = manager.post("/v1/products", json=body)
    product = created.json()
    assert created.status_code == 201 and list(product) == FIELDS
    assert {k: product[k] for k in body} == body and product["version"] == 1
    assert uuid.UUID(product["productId"]).version == 7
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", product["createdAt"])
    assert created.headers["location"] == "/v1/products/" + product["productId"]
    read = api.get(created.headers["location"])
    assert read.json() == product and read.headers["etag"] == created.headers["etag"] == '"1"'


def test_what_is_left_out_is_null(manager):
    product = manager.post("/v1/products", json={"name": "x", "price": 0}).json()
    assert [product[k] for k in ("description", "category", "image", "sku", "barcode")] == [None] * 5
    assert (product["price"], product["taxRate"]) == (0, 0)


@pytest.mark.parametrize("field", ["sku", "barcode"])
def test_duplicates_are_named(manager, field):
    value = uuid.uuid4().hex
    assert manager.post("/v1/products", json=new(**{field: value})).status_code == 201
    problem = assert_problem(manager.post("/v1/products", json=new(**{field: value})), 409,
                             "already-exists")
    assert [(e["pointer"], e["code"]) for e in problem["errors"]] == [("/" + field, "already-exists")]


def test_every_fault_of_a_body_is_told_at_once(manager):
    problem = assert_problem(manager.post("/v1/products", json={
        "name": "", "price": "2.49", "description": 7, "barcode": "a b", "taxRate": 1.0000001,
        "sku": "s" * 65, "colour": "red", "image": None, "category": []}), 422, "validation-failed")
    assert {(e["pointer"], e["code"]) for e in problem["errors"]} == {
        ("/name", "length"), ("/price", "type"), ("/description", "type"), ("/barcode", "format"),
        ("/taxRate", "decimals"), ("/sku", "length"), ("/colour", "unknown"), ("/category", "type")}


def test_null_is_the_same_as_left_out(manager):
    assert manager.post("/v1/products", json=new(image=None)).json()["image"] is None


def test_pointers_escape_what_json_pointers_escape(manager):
    """RFC 6901"""
    problem = assert_problem(manager.post("/v1/products", json=new(**{"a/b~c": 1})), 422)
    assert [e["pointer"] for e in problem["errors"]] == ["/a~1b~0c"]


@pytest.mark.parametrize("text, status, code", [
    ("[]", 422, "validation-failed"), ("[{}]", 422, "validation-failed"),
    ("1", 400, "malformed-json"), ("null", 400, "malformed-json"), ('"x"', 400, "malformed-json")])
def test_a_body_that_is_no_object_is_refused(manager, text, status, code):
    answer = manager.request("POST", "/v1/products", content=text.encode(),
                             headers={"content-type": "application/json"})
    assert_problem(answer, status, code)


def test_required_fields(manager):
    problem = assert_problem(manager.post("/v1/products", json={}), 422)
    assert {(e["pointer"], e["code"]) for e in problem["errors"]} == {("/name", "required"),
                                                                      ("/price", "required")}


# ---- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_if_none_match_is_304(gateway, shop, certificate, protocol):
    with Api(gateway, shop.token(), protocol, ca=certificate[0]) as api:
        path = "/v1/products/" + shop.product()
        etag = api.get(path).headers["etag"]
        same = api.get(path, headers={"if-none-match": etag})
        assert same.status_code == 304 and same.content == b"" and same.headers["etag"] == etag
        assert "content-length" not in same.headers and "content-type" not in same.headers
        assert api.get(path, headers={"if-none-match": '"0"'}).status_code == 200


@pytest.mark.parametrize("value", ['*', '"0", {etag}', 'W/{etag}', '{etag},"7"'])
def test_if_none_match_takes_lists_weak_tags_and_any(api, shop, value):
    """RFC 9110 §13.1.2: a list of tags, compared weakly; * is whatever there is."""
    path = "/v1/products/" + shop.product()
    etag = api.get(path).headers["etag"]
    assert api.get(path, headers={"if-none-match": value.format(etag=etag)}).status_code == 304


def test_the_etag_changes_with_the_product(api, shop, database):
    """With its row, whoever wrote it: the cache hears of it a moment later."""
    product = shop.product()
    path = "/v1/products/" + product
    etag = api.get(path).headers["etag"]
    database.rows("UPDATE products SET price_minor = 300, version = version + 1"
                  " WHERE product_id = %s", uuid.UUID(product))

    def has_changed():
        answer = api.get(path, headers={"if-none-match": etag})
        assert answer.status_code in (200, 304)
        return answer.status_code == 200 and answer

    changed = eventually(has_changed, 10)
    assert changed.json()["price"] == 3.0 and changed.headers["etag"] != etag


@pytest.mark.parametrize("product_id", ["00000000-0000-7000-8000-000000000000", "x", "1' OR '1'='1",
                                        "dea1621a4b0341589600" + "34ed0dbaad54"])
def test_an_unknown_product_is_404(api, product_id):
    path = "/v1/products/" + product_id.replace(" ", "+")
    assert_problem(api.get(path), 404, "not-found")


def test_a_deleted_product_is_404_and_in_no_list(api, shop, database):
    category = uuid.uuid4().hex
    product = shop.product(category=category)
    database.rows("UPDATE products SET deleted_at = now() WHERE product_id = %s", uuid.UUID(product))
    assert_problem(api.get("/v1/products/" + product), 404, "not-found")
    assert api.get("/v1/products?category=" + category).json() == {"items": [], "next": None}


# ---- lists ----------------------------------------------------------------------------------------


def test_all_pages_together_are_the_catalogue(api, database):
    """Every product once, in the order of ids, whatever the size of a page."""
    wanted = [str(row[0]) for row in database.rows(
        "SELECT product_id FROM products WHERE deleted_at IS NULL ORDER BY product_id")]
    for limit in (500, 37):
        items, pages = follow(api, "/v1/products?limit=%d" % limit)
        assert [item["productId"] for item in items] == wanted
        assert pages == -(-len(wanted) // limit)


def test_a_page_that_ends_exactly_has_no_next(api, shop):
    category = uuid.uuid4().hex
    ids = sorted(shop.product(category=category) for _ in range(4))
    items, pages = follow(api, "/v1/products?limit=2&category=" + category)
    assert [item["productId"] for item in items] == ids and pages == 2


def test_the_link_keeps_the_filters(api):
    answer = api.get("/v1/products?q=e&limit=1&category=Beverages")
    link = answer.headers["link"]
    assert "q=e&limit=1&category=Beverages&after=" in link and "/v1/products?" in link


def test_the_default_page_has_50(api):
    assert len(api.get("/v1/products").json()["items"]) == 50


def test_filters(api, shop, database, manager):
    category = "Cat & co " + uuid.uuid4().hex[:8]
    names = ["100% apple", "100x apple", "Pear_tart", "Pear tart"]
    for name in names:
        manager.post("/v1/products", json=new(name=name, category=category,
                                              sku="F-%s-%s" % (category[-8:], names.index(name))))

    def found(**params):
        answer = api._client.get("/v1/products", params={"category": category, **params},
                                 headers={"authorization": "Bearer " + api.token})
        assert answer.status_code == 200, answer.text
        # The order of ids is that of time to the millisecond only: two in one may change places.
        return sorted((item["name"] for item in answer.json()["items"]), key=names.index)

    assert found() == names
    assert found(q="APPLE") == names[:2]
    assert found(q="100%") == names[:1]  # wildcards are taken literally
    assert found(q="r_t") == ["Pear_tart"]
    assert found(q="F-%s-2" % category[-8:]) == ["Pear_tart"]
    assert found(q="nothing like it") == []
    assert found(updatedSince="2020-01-01T00:00:00Z") == names
    assert found(updatedSince="2999-01-01T00:00:00.5Z") == []


@pytest.mark.parametrize("query, code", [
    ("colour=red", "unknown-parameter"), ("Limit=1", "unknown-parameter"), ("=", "unknown-parameter"),
    ("limit=0", "invalid-parameter"), ("limit=501", "invalid-parameter"),
    ("limit=1e2", "invalid-parameter"), ("limit=", "invalid-parameter"),
    ("limit=1&limit=2", "invalid-parameter"), ("after=x", "invalid-parameter"),
    ("updatedSince=yesterday", "invalid-parameter"),
    ("updatedSince=2026-02-30T00:00:00Z", "invalid-parameter"),
    ("q=%ff", "invalid-parameter"), ("q=%00", "invalid-parameter"),
    ("category=" + "x" * 65, "invalid-parameter"),
])
def test_bad_queries_are_400(api, query, code):
    assert_problem(api.get("/v1/products?" + query), 400, code)


@pytest.mark.parametrize("query", ["q=%4", "q=%", "q=%zz", "q=a%e"])
def test_a_broken_escape_is_400(gateway, shop, query):
    """Sent raw: a client library would mend it."""
    connection = Connection(gateway, shop.token())
    status, _, text = connection.request("GET", "/v1/products?" + query)
    connection.close()
    assert (status, json.loads(text)["code"]) == (400, "invalid-parameter")
