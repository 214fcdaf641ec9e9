# SPDX-License-Identifier: Apache-2.0
"""Customers: added, found by the beginning of name, phone or e-mail, changed, erased for good."""

import uuid

import pytest

from kit.clients import Api, assert_problem

FIELDS = ["customerId", "name", "phone", "email", "notes", "createdAt", "updatedAt", "version"]


def faults(answer):
    return {(e["pointer"], e["code"]) for e in assert_problem(answer, 422, "validation-failed")["errors"]}


def patch(api, path, body, **headers):
    return api.request("PATCH", path, json=body, headers=headers)


def test_a_customer_is_added_read_and_changed(api):
    body = {"name": "Ada \U0001f9c0", "phone": "+49 (30) 12-34", "email": "ada@shop.example",
            "notes": "'; DROP TABLE customers; --"}
    made = api.post("/v1/customers", json=body)
    customer = made.json()
    assert made.status_code == 201 and list(customer) == FIELDS
    assert {k: customer[k] for k in body} == body and customer["version"] == 1
    path = made.headers["location"]
    assert path == "/v1/customers/" + customer["customerId"]
    read = api.get(path)
    assert read.json() == customer and read.headers["etag"] == made.headers["etag"] == '"1"'
    assert read.headers["cache-control"] == "no-store"
    changed = patch(api, path, {"phone": None, "notes": "likes tea"}, **{"if-match": '"1"'})
    assert changed.headers["etag"] == '"2"'
    assert changed.json() == {**customer, "phone": None, "notes": "likes tea", "version": 2,
                              "updatedAt": changed.json()["updatedAt"]}
    assert_problem(patch(api, path, {"name": "Eve"}, **{"if-match": '"1"'}), 412, "precondition-failed")
    assert api.get(path).json() == changed.json()


def test_what_is_refused(api):
    assert faults(api.post("/v1/customers", json={"phone": "none", "email": "a@b@c", "vip": True})) == {
        ("/name", "required"), ("/vip", "unknown")}
    assert faults(api.post("/v1/customers", json={"name": "x", "phone": "none", "email": "a@b@c"})) == {
        ("/phone", "format"), ("/email", "format")}
    path = api.post("/v1/customers", json={"name": "x"}).headers["location"]
    assert faults(patch(api, path, {"name": None, "email": "@"})) == {("/email", "length")}
    assert faults(patch(api, path, {"name": None, "email": "ab@"})) == {("/name", "required"),
                                                                       ("/email", "format")}
    for unknown in (str(uuid.uuid4()), "x"):
        assert_problem(api.get("/v1/customers/" + unknown), 404, "not-found")
        assert_problem(patch(api, "/v1/customers/" + unknown, {"name": "y"}), 404, "not-found")


def test_a_tills_own_id_is_taken_once(api):
    """A customer that was added offline, or twice because the answer was lost."""
    body = {"customerId": str(uuid.uuid4()), "name": "x"}
    assert api.post("/v1/customers", json=body).json()["customerId"] == body["customerId"]
    problem = assert_problem(api.post("/v1/customers", json=body), 409, "already-exists")
    assert problem["errors"][0]["pointer"] == "/customerId"


def test_customers_are_found_by_a_beginning(api):
    """Without regard to case; of a phone number only its digits count; pages in order, each once."""
    mark = uuid.uuid4().hex[:10]
    digits = str(uuid.uuid4().int)[:12]
    for n in range(7):
        api.post("/v1/customers", json={
            "name": "Zoë_%s %d" % (mark.upper(), n % 3), "phone": "+%s-%s (%d)" % (digits[:6], digits[6:], n),
            "email": "%s%%%d@x.example" % (mark.upper(), n)})

    def found(query):
        items, after = [], ""
        while after is not None:
            page = api.get("/v1/customers?limit=3" + query + (after and "&after=" + after)).json()
            items, after = items + page["items"], page["next"]
        return items

    names = [c["name"][-1] for c in found("&name=zo%C3%AB_" + mark)]
    assert names == sorted(names) and len(names) == 7
    assert found("&name=Zo__" + mark) == []  # its wildcards are text
    assert [c["email"][11] for c in found("&email=" + mark + "%25")] == list("0123456")
    assert [c["email"][11] for c in found("&email=" + mark + "%253")] == ["3"]
    phones = found("&phone=%2B" + digits[:3] + "+" + digits[3:])
    assert [c["phone"][-2] for c in phones] == list("0123456")
    everybody = [c["customerId"] for c in found("")]
    assert everybody == sorted(everybody) and len(everybody) == len(set(everybody)) >= 7


def test_a_page_ends_where_it_ended_whatever_becomes_of_its_last(api, manager):
    """The last customer of a page is renamed, or erased, before the next page is asked for: nobody is
    left out, nobody comes twice."""
    mark = uuid.uuid4().hex[:10]
    made = [api.post("/v1/customers", json={
        "name": "%s \u0130%d" % (mark, n), "email": "%s%d@x.example" % (mark, n), "phone": "%d%d" % (int(mark, 16), n)
    }).json() for n in range(6)]

    def page(query, after=None):
        answer = api.get("/v1/customers?limit=2&%s" % query + (after and "&after=" + after or ""))
        assert answer.status_code == 200, answer.text
        return [c["customerId"] for c in answer.json()["items"]], answer.json()["next"]

    queries = ["name=" + mark, "email=" + mark, "phone=%d" % int(mark, 16)]
    ids = [c["customerId"] for c in made]
    first = [page(query) for query in queries]
    assert [items for items, _ in first] == [ids[:2]] * 3
    assert api.request("PATCH", "/v1/customers/" + ids[1], json={
        "name": mark + " zzz", "email": mark + "9@x.example", "phone": "%d9" % int(mark, 16)}).status_code == 200
    second = [page(query, after) for query, (_, after) in zip(queries, first)]
    assert [items for items, _ in second] == [ids[2:4]] * 3
    assert manager.request("DELETE", "/v1/customers/" + ids[3]).status_code == 204
    third = [page(query, after) for query, (_, after) in zip(queries, second)]
    assert [items for items, _ in third] == [ids[4:]] * 3
    last = [page(query, after) for query, (_, after) in zip(queries, third)]
    assert last == [([ids[1]], None)] * 3
    for after in (ids[0], ids[0] + ".", ids[0] + ".6", ids[0] + ".6g", ids[0] + ".ff", ids[0] + ".00", "x.61"):
        if after != ids[0] + ".":  # from the beginning of what is looked for
            assert_problem(api.get("/v1/customers?name=a&after=" + after), 400, "invalid-parameter")
    assert_problem(api.get("/v1/customers?after=%s.61" % ids[0]), 400, "invalid-parameter")


@pytest.mark.parametrize("query, code", [
    ("name=a&phone=1", "invalid-parameter"), ("phone=x", "invalid-parameter"),
    ("after=x", "invalid-parameter"), ("limit=501", "invalid-parameter"), ("q=a", "unknown-parameter")])
def test_bad_parameters_are_refused(api, query, code):
    assert_problem(api.get("/v1/customers?" + query), 400, code)


def test_erasing_leaves_an_id_and_nothing_else(api, manager, database):
    """Nothing personal is left in any column, of the audit log neither; the id is nobody else's."""
    secret = uuid.uuid4().hex
    body = {"name": "N" + secret, "phone": "030 1", "email": secret + "@x.example", "notes": secret}
    path = api.post("/v1/customers", json=body).headers["location"]
    patch(api, path, {"notes": "more " + secret})
    assert_problem(api.request("DELETE", path), 403, "forbidden")
    assert_problem(manager.request("DELETE", path, headers={"if-match": '"1"'}), 412)
    for _ in range(2):
        assert manager.request("DELETE", path).status_code == 204
    customer = path.rsplit("/", 1)[1]
    assert_problem(api.get(path), 404, "not-found")
    assert_problem(patch(api, path, {"name": "x"}), 404, "not-found")
    assert_problem(api.post("/v1/customers", json={"name": "x", "customerId": customer}), 409)
    assert api.get("/v1/customers?name=N" + secret).json()["items"] == []
    assert database.value("SELECT count(*) FROM customers c WHERE c::text LIKE %s", "%" + secret + "%") == 0
    assert database.value("SELECT count(*) FROM audit_log a WHERE a::text LIKE %s", "%" + secret + "%") == 0
    assert [row[0] for row in database.rows("SELECT action FROM audit_log WHERE entity_id = %s"
                                            " ORDER BY id", customer)] == [
        "customer.create", "customer.update", "customer.erase"]
    assert_problem(manager.request("DELETE", "/v1/customers/" + str(uuid.uuid4())), 404, "not-found")


def test_customers_are_the_same_in_all_stores(gateway, api, issuer):
    path = api.post("/v1/customers", json={"name": "x"}).headers["location"]
    with Api(gateway, issuer.token("cashier", "elsewhere")) as other:
        assert other.get(path).status_code == 200
