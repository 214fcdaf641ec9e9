# SPDX-License-Identifier: Apache-2.0
"""A request header in several lines: lists combine (RFC 9110 §5.3), of what is one value a second one
is refused. Over each protocol."""

import uuid

import pytest

from kit.clients import PROTOCOLS, Api, assert_problem

MATCH, NONE_MATCH, KEY = "if-match", "if-none-match", "idempotency-key"


@pytest.fixture(params=PROTOCOLS)
def manager(request, gateway, shop, certificate):
    with Api(gateway, shop.token("manager"), request.param, ca=certificate[0]) as api:
        yield api


def lines(name, *values):
    return [(name, value) for value in values]


# ---- Idempotency-Key --------------------------------------------------------------------------------


def writes(api, shop):
    """Every request that has a key: name, path, body."""
    bread = shop.product(stock=9)
    refunded, voided = (api.sell(shop.basket(bread)).json()["transactionId"] for _ in range(2))
    order = api.post("/v1/orders", json={"items": [{"productId": bread, "quantity": 1}]}).json()["orderId"]
    return {
        "sale": ("/v1/transactions", shop.basket(bread)),
        "sale with an id": ("/v1/transactions", shop.basket(bread, transactionId=str(uuid.uuid4()))),
        "refund": ("/v1/transactions/%s/refunds" % refunded, {"amount": 1}),
        "void": ("/v1/transactions/%s/void" % voided, {"reason": "mistake"}),
        "goods": ("/v1/inventory/movements", {"kind": "receive", "lines": [
            {"productId": bread, "quantity": 1}]}),
        "checkout": ("/v1/orders/%s/checkout" % order, {"paymentMethod": "card"}),
    }


def test_a_second_idempotency_key_is_refused(manager, shop):
    """Whichever of them were taken, the retry might come with the other, and be done twice."""
    for name, (path, body) in writes(manager, shop).items():
        for values in (["a", "b"], ["same", "same"], ["a", ""], ["", "b"]):
            answer = manager.post(path, json=body, headers=lines(KEY, *values))
            problem = assert_problem(answer, 400, "bad-request")
            assert problem["detail"] == "Send one Idempotency-Key header.", (name, values)
        assert manager.post(path, json=body, key=str(uuid.uuid4())).status_code == 201, name


# ---- If-None-Match ----------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [['"0"', '"1"'], ['"1"', '"0"'], ['"0"', 'W/"1"', '"2"'],
                                    ['"0", "2"', '"1"'], ["", '"1"'], ['"0"', '"0"', '"1"'], ["*", "*"]])
def test_if_none_match_in_several_lines(manager, shop, values):
    path = "/v1/products/" + shop.product()
    assert manager.get(path).headers["etag"] == '"1"'
    answer = manager.get(path, headers=lines(NONE_MATCH, *values))
    assert (answer.status_code, answer.headers["etag"]) == (304, '"1"')


def test_if_none_match_that_names_none(manager, shop):
    path = "/v1/products/" + shop.product()
    for values in (['"0"', '"2"'], ['"0"', "1"], ["", ""], ['"0', '1"']):
        assert manager.get(path, headers=lines(NONE_MATCH, *values)).status_code == 200, values


def test_a_page_of_a_list_too(manager):
    path = "/v1/products?category=%s" % uuid.uuid4()  # nobody else changes it
    etag = manager.get(path).headers["etag"]
    answer = manager.get(path, headers=lines(NONE_MATCH, '"x"', etag))
    assert answer.status_code == 304 and answer.headers["etag"] == etag


def test_only_if_there_is_none_yet(manager, shop):
    """Said twice, it is still said."""
    path, body = "/v1/products/" + shop.product(), {"name": "Bread", "price": 1}
    answer = manager.request("PUT", path, json=body, headers=lines(NONE_MATCH, "*", "*"))
    assert_problem(answer, 412, "precondition-failed")


# ---- If-Match ---------------------------------------------------------------------------------------


def resources(api, shop):
    """{name: (method, path, body)} of what can be changed on a condition, where it is kept in different
    ways: as a number, and as a text for SQL."""
    customer = api.post("/v1/customers", json={"name": "Ada"}).json()["customerId"]
    order = api.post("/v1/orders", json={"items": [
        {"productId": shop.product(), "quantity": 1}]}).json()["orderId"]
    return {
        "product": ("PATCH", "/v1/products/" + shop.product(), {"price": 3}),
        "level": ("PUT", "/v1/inventory/" + shop.product(stock=5), {"stock": 9}),
        "customer": ("PATCH", "/v1/customers/" + customer, {"notes": "likes tea"}),
        "order": ("PATCH", "/v1/orders/" + order, {"note": "x"}),
    }


def test_if_match_in_several_lines(manager, shop):
    for name, (method, path, body) in resources(manager, shop).items():
        def change(*values):
            return manager.request(method, path, json=body, headers=lines(MATCH, *values))
        etag = manager.get(path).headers["etag"]
        for values in (['"0"', '"x"'], ["W/" + etag, '"0"'], ['"0"', "\u00fc".encode("latin-1")]):
            assert_problem(change(*values), 412, "precondition-failed")
        assert manager.get(path).headers["etag"] == etag
        for place in range(3):
            values = ['"0"', '"x"']
            values.insert(place, manager.get(path).headers["etag"])
            assert change(*values).status_code == 200, (name, values)
        assert change("*", "*").status_code == 200, name
