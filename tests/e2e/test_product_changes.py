# SPDX-License-Identifier: Apache-2.0
"""Changing the catalogue: put, patch, delete, and on which condition; finding by a code."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.clients import Api, Connection, assert_problem, at_once

TEXTS = ["description", "category", "image", "sku", "barcode"]


def whole(**more):
    return {"name": "Oat biscuits", "price": 2.49, "description": None, "category": None, "image": None,
            "sku": None, "barcode": None, "taxRate": 0, **more}


def put(api, product_id, body, **headers):
    return api.request("PUT", "/v1/products/" + product_id, json=body,
                       headers={k.replace("_", "-"): v for k, v in headers.items()})


def patch(api, product_id, body, content_type="application/merge-patch+json", **headers):
    return api.request("PATCH", "/v1/products/" + product_id, json=body,
                       headers={"content-type": content_type,
                                **{k.replace("_", "-"): v for k, v in headers.items()}})


def delete(api, product_id, **headers):
    return api.request("DELETE", "/v1/products/" + product_id,
                       headers={k.replace("_", "-"): v for k, v in headers.items()})


def faults(answer):
    return {(e["pointer"], e["code"]) for e in assert_problem(answer, 422, "validation-failed")["errors"]}


# ---- PUT ------------------------------------------------------------------------------------------


def test_put_makes_replaces_and_leaves_alone(manager, api):
    """Under an id that the client made; a put that changes nothing changes no version."""
    product_id = str(uuid.uuid4())
    made = put(manager, product_id, whole(category="Biscuits", taxRate=0.07))
    assert made.status_code == 201 and made.headers["location"] == "/v1/products/" + product_id
    assert made.headers["etag"] == '"1"' and made.json()["productId"] == product_id
    replaced = put(manager, product_id, {"name": "Rusks", "price": 1})
    assert replaced.status_code == 200 and replaced.headers["etag"] == '"2"'
    assert {k: replaced.json()[k] for k in whole()} == whole(name="Rusks", price=1)
    assert replaced.json()["updatedAt"] >= made.json()["updatedAt"]
    assert replaced.json()["createdAt"] == made.json()["createdAt"]
    again = put(manager, product_id, api.get("/v1/products/" + product_id).json())
    assert again.status_code == 200 and again.json() == replaced.json()
    assert again.headers["etag"] == '"2"'


def test_what_a_body_says_of_itself_must_be_true(manager, shop):
    product_id = shop.product()
    assert faults(put(manager, product_id, whole(productId=str(uuid.uuid4())))) == {
        ("/productId", "mismatch")}
    assert put(manager, product_id, whole(productId=product_id.upper(), version=99)).json()["version"] == 2


def test_a_product_may_be_added_under_an_id_of_the_clients(manager):
    product_id = str(uuid.uuid4())
    assert manager.post("/v1/products", json=whole(productId=product_id)).json()["productId"] == product_id
    problem = assert_problem(manager.post("/v1/products", json=whole(productId=product_id)), 409,
                             "already-exists")
    assert problem["errors"][0]["pointer"] == "/productId"


def test_every_fault_is_told_at_once(manager, shop):
    """FAULTS B3, B4"""
    bad = {"name": "", "price": -1, "barcode": "a b", "taxRate": "x", "sku": "s" * 65, "colour": 1}
    wanted = {("/name", "length"), ("/price", "range"), ("/barcode", "format"), ("/taxRate", "type"),
              ("/sku", "length"), ("/colour", "unknown")}
    product_id = shop.product()
    assert faults(put(manager, product_id, bad)) == wanted == faults(patch(manager, product_id, bad))
    assert faults(put(manager, product_id, {})) == {("/name", "required"), ("/price", "required")}
    assert manager.get("/v1/products/" + product_id).json()["version"] == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("text, status", [
    ('{"name":"\\ud800","price":1}', 400), ('{"name":"\\u0000","price":1}', 400),
    ('{"price":1,"price":2,"name":"x"}', 400), ('{"name":"x","price":1}x', 400), ("[" * 33, 400),
    ('{"name":"x","price":-0}', 422), ('{"name":"x","price":1e400}', 422),
    ('{"name":"x","price":1.001}', 422), ('{"name":"x","price":9999999999999999}', 422), ("[]", 422)])
def test_bad_text_and_numbers_are_refused(manager, shop, method, text, status):
    """FAULTS B3, B4, B5"""
    answer = manager.request(method, "/v1/products/" + shop.product(), content=text.encode(),
                             headers={"content-type": "application/json"})
    assert_problem(answer, status, "malformed-json" if status == 400 else "validation-failed")


def test_text_comes_back_byte_for_byte(manager, shop):
    """FAULTS B4, B7"""
    name = "\u202eעברית 🥖 'x'; DROP TABLE products;-- \\ \" % \x7f ﷽"
    product_id = shop.product()
    assert put(manager, product_id, whole(name=name)).json()["name"] == name
    assert patch(manager, product_id, {"description": name}).json()["description"] == name


@pytest.mark.parametrize("field", ["sku", "barcode"])
def test_what_another_has_is_refused_and_free_again_when_it_goes(manager, shop, field):
    code, one, two = uuid.uuid4().hex, shop.product(), shop.product()
    assert put(manager, one, whole(**{field: code})).status_code == 200
    for answer in (put(manager, two, whole(**{field: code})), patch(manager, two, {field: code})):
        problem = assert_problem(answer, 409, "already-exists")
        assert [(e["pointer"], e["code"]) for e in problem["errors"]] == [("/" + field, "already-exists")]
    assert delete(manager, one).status_code == 204
    assert patch(manager, two, {field: code}).json()[field] == code
    # The one that was deleted comes back only without it.
    assert_problem(put(manager, one, whole(**{field: code})), 409)
    back = put(manager, one, whole())
    assert back.status_code == 201 and back.json()["version"] == 4


# ---- PATCH ----------------------------------------------------------------------------------------


def merge(target, change):
    """RFC 7396 §2, word for word."""
    if not isinstance(change, dict):
        return change
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merge(target.get(name), value)
    return target


token = st.text("abcXYZ019-_.:", min_size=1, max_size=20)
text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1,
               max_size=15)
FIELDS = {
    "name": text, "price": st.integers(0, 10**12).map(lambda n: n / 100), "description": text,
    "category": text, "image": text,
    # Unique by chance: what another has is a test of its own.
    "sku": token.map(lambda t: t + uuid.uuid4().hex), "barcode": token.map(lambda t: t + uuid.uuid4().hex),
    "taxRate": st.integers(0, 1000000).map(lambda n: n / 1000000),
}
patches = st.fixed_dictionaries({}, optional={k: st.none() | v for k, v in FIELDS.items()})


@settings(max_examples=150, deadline=None, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=patches)
def test_a_patch_is_a_merge_patch(manager, shop, change):
    """RFC 7396: whatever is named changes, null removes, the rest stays."""
    state = getattr(shop, "patched", None)
    if state is None:
        state = shop.patched = manager.get("/v1/products/" + shop.product()).json()
    wanted = merge(state, change)
    answer = patch(manager, state["productId"], change)
    missing = {("/" + name, "required") for name in ("name", "price") if name not in wanted}
    if missing:
        assert faults(answer) == missing
        return
    wanted = {"taxRate": 0, **dict.fromkeys(TEXTS), **wanted}
    changed = {k for k in wanted if wanted[k] != state[k]}
    got = shop.patched = answer.json()
    assert answer.status_code == 200 and answer.headers["etag"] == '"%d"' % got["version"]
    assert got["version"] == state["version"] + bool(changed)
    stamp = {"updatedAt": got["updatedAt"], "version": got["version"]}
    assert got == {**wanted, **stamp}


def test_a_patch_may_be_plain_json_but_nothing_else(manager, shop):
    product_id = shop.product()
    assert patch(manager, product_id, {"price": 3}, "application/json").json()["price"] == 3
    assert_problem(patch(manager, product_id, {"price": 4}, "application/json-patch+json"), 415)
    assert faults(patch(manager, product_id, {"name": {"en": "x"}})) == {("/name", "type")}
    assert_problem(patch(manager, str(uuid.uuid4()), {"price": 3}), 404, "not-found")


# ---- conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value, holds", [
    ('"1"', True), ('"7", "1"', True), ("*", True), ('"1-gzip"', True), ('W/"1"', False), ('"2"', False),
    ("1", False), ('"01"', False), ("", False), ('"x"', False)])
def test_if_match(manager, shop, value, holds):
    """RFC 9110 §13.1.1: compared strongly; what does not hold changes nothing."""
    for change in (lambda p: put(manager, p, whole(), if_match=value),
                   lambda p: patch(manager, p, {"price": 1}, if_match=value),
                   lambda p: delete(manager, p, if_match=value)):
        product_id = shop.product()
        answer = change(product_id)
        if holds:
            assert answer.status_code in (200, 204)
        else:
            assert_problem(answer, 412, "precondition-failed")
            assert manager.get("/v1/products/" + product_id).headers["etag"] == '"1"'


def test_conditions_on_what_is_not_there(manager, shop):
    product_id = str(uuid.uuid4())
    for answer in (put(manager, product_id, whole(), if_match="*"),
                   patch(manager, product_id, {"price": 1}, if_match="*"),
                   delete(manager, product_id, if_match="*")):
        assert_problem(answer, 412, "precondition-failed")
    assert put(manager, product_id, whole(), if_none_match="*").status_code == 201
    assert_problem(put(manager, product_id, whole(price=9), if_none_match="*"), 412)
    assert manager.get("/v1/products/" + product_id).json()["price"] == 2.49


def test_of_twenty_who_change_one_state_one_wins(gateway, shop, manager):
    """No update is lost: the others are told that the state is another one."""
    product_id, token_ = shop.product(), shop.token("manager")

    def change(i):
        with Api(gateway, token_) as api:
            return patch(api, product_id, {"price": i + 10}, if_match='"1"').status_code

    statuses = at_once(20, change)
    assert sorted(statuses) == [200] + [412] * 19
    product = manager.get("/v1/products/" + product_id).json()
    assert product["version"] == 2 and product["price"] == statuses.index(200) + 10


def test_patches_of_other_fields_at_once_all_count(gateway, shop, manager):
    """Read, change and write are one statement: without a condition both changes stay."""
    product_id, token_ = shop.product(), shop.token("manager")
    fields = ["name", "description", "category", "image"] * 5

    def change(i):
        with Api(gateway, token_) as api:
            assert patch(api, product_id, {fields[i]: "%s %d" % (fields[i], i)}).status_code == 200

    at_once(len(fields), change)
    product = manager.get("/v1/products/" + product_id).json()
    assert product["version"] == 1 + len(fields)
    assert all(product[field].startswith(field) for field in fields)


# ---- DELETE ---------------------------------------------------------------------------------------


def test_a_deletion_may_be_repeated(manager, api, shop):
    product_id = shop.product()
    first = delete(manager, product_id, if_match='"1"')
    assert first.status_code == 204 and first.content == b"" and "content-type" not in first.headers
    assert_problem(api.get("/v1/products/" + product_id), 404, "not-found")
    # The answer was lost: the same again is told the same.
    assert delete(manager, product_id, if_match='"1"').status_code == 204
    assert delete(manager, product_id).status_code == 204
    assert_problem(delete(manager, product_id, if_match='"2"'), 412)
    assert_problem(delete(manager, str(uuid.uuid4())), 404, "not-found")
    assert_problem(patch(manager, product_id, {"price": 1}), 404, "not-found")
    # A new life under the same id has no tag of the old one.
    assert put(manager, product_id, whole()).headers["etag"] == '"3"'


def test_a_deleted_product_is_not_sold_but_was(api, manager, shop):
    product_id = shop.product()
    sold = api.sell(shop.basket(product_id)).json()
    assert delete(manager, product_id).status_code == 204
    assert_problem(api.sell(shop.basket(product_id)), 422, "unknown-product")
    assert api.get("/v1/transactions/" + sold["transactionId"]).json()["items"] == sold["items"]


# ---- who may --------------------------------------------------------------------------------------


def test_cashiers_read_and_managers_change(api, manager, shop):
    product_id = shop.product()
    for answer in (put(api, product_id, whole()), patch(api, product_id, {"price": 1}),
                   delete(api, product_id), api.post("/v1/products", json=whole())):
        assert_problem(answer, 403, "forbidden")
    assert api.get("/v1/products/" + product_id).headers["etag"] == '"1"'


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("product_id", ["x", "1'--", "dea1621a4b034158960034ed0dbaad54"])
def test_what_can_be_no_id_is_404(manager, method, product_id):
    """FAULTS B7"""
    answer = manager.request(method, "/v1/products/" + product_id,
                             json=whole() if method != "DELETE" else None)
    assert_problem(answer, 404, "not-found")


# ---- lookup ---------------------------------------------------------------------------------------


def test_lookup_finds_by_barcode_and_by_sku(manager, api):
    code, sku = uuid.uuid4().hex[:13], "SKU é/%&+ " + uuid.uuid4().hex
    product = manager.post("/v1/products", json=whole(barcode=code, sku=sku)).json()
    for value in (code, sku):
        answer = api._client.get("/v1/products/lookup", params={"code": value},
                                 headers={"authorization": "Bearer " + api.token})
        assert answer.json() == product and answer.headers["etag"] == '"1"'
    path = "/v1/products/lookup?code=" + code
    assert api.get(path, headers={"if-none-match": '"1"'}).status_code == 304
    assert delete(manager, product["productId"]).status_code == 204
    assert_problem(api.get(path), 404, "not-found")


@pytest.mark.parametrize("query, status, code", [
    ("", 400, "invalid-parameter"), ("?code=", 400, "invalid-parameter"),
    ("?code=" + "x" * 65, 400, "invalid-parameter"), ("?code=x&q=y", 400, "unknown-parameter"),
    ("?code=%25", 404, "not-found"), ("?code=' OR 1=1", 404, "not-found"), ("?code=nil", 404, "not-found")])
def test_lookups_that_find_nothing(gateway, shop, query, status, code):
    """FAULTS B7"""
    connection = Connection(gateway, shop.token())
    got, _, body = connection.request("GET", "/v1/products/lookup" + query.replace(" ", "+"))
    connection.close()
    assert got == status and code.encode() in body
