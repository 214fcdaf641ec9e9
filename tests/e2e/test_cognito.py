# SPDX-License-Identifier: Apache-2.0
"""Third issue, Show 1: users of a local Cognito, who signed up with the library that apps use, sell.
kit/cognito.py tells how its tokens differ from Amazon's."""

import os
import time
import uuid

import jwt
import pytest

from kit.clients import Api, Connection, assert_problem
from kit.cognito import Cognito, why_absent
from kit.gateway import Gateway, deep_merge
from kit.processes import eventually, patient

MIN_REFETCH_S = 1  # auth.jwks.min_refetch of the tests
SHORT_S = 8        # how long the tokens of an impatient app live


@pytest.fixture(scope="module")
def new_cognito(work):
    """new_cognito() starts one with keys and data of its own."""
    if why_absent():
        pytest.skip(why_absent())
    started = []

    def start_one():
        started.append(Cognito(os.path.join(work, "cognito-%d" % len(started))))
        return started[-1].start()

    yield start_one
    for one in started:
        one.stop()


@pytest.fixture(scope="module")
def cognito(new_cognito):
    return new_cognito()


@pytest.fixture(scope="module")
def pool(cognito):
    """The pool whose users may come in, through two of its apps: `till` and `impatient`."""
    pool = cognito.pool()
    pool.till, pool.impatient = pool.client(), pool.client(SHORT_S)
    return pool


@pytest.fixture(scope="module")
def neighbour(cognito):
    """A pool that the gateway does not know, with the same keys: cognito-local has one set."""
    neighbour = cognito.pool()
    neighbour.till = neighbour.client()
    return neighbour


@pytest.fixture(scope="module")
def cognito_gateway(work, config, pool, neighbour):
    """The neighbour's app is an audience, so that nothing but `iss` tells its users from ours."""
    entry = pool.yaml(pool.till, pool.impatient, neighbour.till)
    gateway = Gateway(work, deep_merge(config, {
        "auth": {"issuers": [entry], "leeway": "0s"}})).start()
    yield gateway
    gateway.stop()


@pytest.fixture
def gateway(cognito_gateway, request):
    request.node.gateways = [cognito_gateway]
    cognito_gateway.mark()
    before = cognito_gateway.workers()
    yield cognito_gateway
    assert cognito_gateway.workers() == before, "a worker has gone"


def claims(token):
    return jwt.decode(token, options={"verify_signature": False})


def kid(token):
    return jwt.get_unverified_header(token)["kid"]


def assert_refused(answer, code="token-invalid"):
    assert_problem(answer, 401, code)
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


# ---- who may do what ------------------------------------------------------------------------------


def test_a_cashier_who_signed_up_sells(gateway, pool, shop, database):
    """By access token and by ID token: 201, one row each, and a repetition is a replay. Only the ID
    token knows the store; the access token, as Amazon's, sells in the default one."""
    ana = pool.user(pool.till, "cashier", store=shop.store)
    tokens = ana.sign_in()
    bread = shop.product(250)
    assert claims(tokens["idToken"])["custom:storeId"] == shop.store
    assert "custom:storeId" not in claims(tokens["accessToken"])
    for use, store in (("access", "main"), ("id", shop.store)):
        with Api(gateway, tokens[use + "Token"]) as api:
            me = api.get("/v1/me").json()
            assert (me["sub"], me["username"], me["tokenUse"]) == (ana.sub, ana.sub, use)
            assert (me["storeId"], me["roles"]) == (store, ["cashier"])
            body, key = shop.basket(bread), str(uuid.uuid4())
            first, second = api.sell(body, key), api.sell(body, key)
        assert (first.status_code, second.status_code) == (201, 201)
        assert "idempotency-replayed" not in first.headers
        assert second.headers["idempotency-replayed"] == "true" and second.content == first.content
        rows = database.rows("SELECT transaction_id, total_minor FROM transactions"
                             " WHERE cashier_id = %s AND store_id = %s", ana.sub, store)
        assert rows == [(uuid.UUID(first.json()["transactionId"]), 250)]


def test_who_is_in_no_group_may_not_sell(gateway, pool, shop, database):
    ben = pool.user(pool.till, store=shop.store)
    tokens = ben.sign_in()
    bread = shop.product()
    with Api(gateway) as api:
        for use in ("access", "id"):
            token = tokens[use + "Token"]
            assert "cognito:groups" not in claims(token)
            answer = api.sell(shop.basket(bread), token=token)
            assert_problem(answer, 403, "forbidden")
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
            assert api.get("/v1/me", token=token).json()["roles"] == []
    assert database.value("SELECT count(*) FROM transactions WHERE cashier_id = %s", ben.sub) == 0


def test_a_manager_adds_a_product_and_a_cashier_may_not(gateway, pool, shop):
    tea = {"name": "Tea", "price": 3.2}
    cem = pool.user(pool.till, "cashier", store=shop.store)
    with Api(gateway, cem.sign_in()["idToken"]) as api:
        assert_problem(api.post("/v1/products", json=tea), 403, "forbidden")
    dora = pool.user(pool.till, "cashier", "manager", store=shop.store)
    tokens = dora.sign_in()
    with Api(gateway) as api:
        made = [api.post("/v1/products", json=tea, token=tokens[use + "Token"])
                for use in ("access", "id")]
        assert [answer.status_code for answer in made] == [201, 201]
        sale = api.sell(shop.basket(made[0].json()["productId"]), token=tokens["idToken"])
    assert sale.status_code == 201 and sale.json()["total"] == 3.2
    assert shop.sales() == 1


def test_another_app_and_another_pool_are_refused(gateway, pool, neighbour):
    """A5: their signatures are good; `client_id` and `aud` tell the app, `iss` tells the pool."""
    eve = pool.user(pool.till, "cashier")
    mallory = neighbour.user(neighbour.till, "cashier")
    ours, other_app, other_pool = eve.sign_in(), eve.sign_in(client=pool.client()), mallory.sign_in()
    with Api(gateway) as api:
        for use in ("accessToken", "idToken"):
            assert kid(ours[use]) == kid(other_app[use]) == kid(other_pool[use])
            assert api.get("/v1/me", token=ours[use]).status_code == 200
            assert_refused(api.get("/v1/me", token=other_app[use]))
            assert_refused(api.get("/v1/me", token=other_pool[use]))


# ---- time -----------------------------------------------------------------------------------------


def test_refreshed_tokens_work_and_the_old_ones_do_until_exp(gateway, pool, shop, database):
    """An app refreshes ahead of time and uses both; later it hears token-expired, refreshes again and
    repeats its sale under the same key, also with its other token: one sale."""
    finn = pool.user(pool.impatient, "cashier")
    old = finn.sign_in()
    body, key = shop.basket(shop.product()), str(uuid.uuid4())
    with Api(gateway) as api:
        first = api.sell(body, key, token=old["accessToken"])
        assert first.status_code == 201
        new = finn.refresh(old)
        for use in ("accessToken", "idToken"):
            assert new[use] != old[use]
            assert api.get("/v1/me", token=new[use]).status_code == 200
        assert claims(old["accessToken"])["exp"] > time.time(), "the machine is too slow for SHORT_S"
        assert api.get("/v1/me", token=old["accessToken"]).status_code == 200

        for tokens in (old, new):
            for use in ("accessToken", "idToken"):
                eventually(lambda: api.get("/v1/me", token=tokens[use]).status_code == 401,
                           2 * SHORT_S, what="%s expires" % use)
                assert_refused(api.get("/v1/me", token=tokens[use]), "token-expired")
                assert claims(tokens[use])["exp"] <= time.time()
        newest = finn.refresh(new)
        for use in ("accessToken", "idToken"):
            again = api.sell(body, key, token=newest[use])
            assert again.status_code == 201 and again.content == first.content
            assert again.headers["idempotency-replayed"] == "true"
    assert database.value("SELECT count(*) FROM transactions WHERE cashier_id = %s", finn.sub) == 1


# ---- keys -----------------------------------------------------------------------------------------


def min_refetch_is_over(gateway):
    """Whether an unknown kid may cause a fetch again."""
    return gateway.metrics()['tillway_jwks_age_seconds{issuer="0"}'] >= MIN_REFETCH_S


def serving_workers(gateway):
    return {line["worker"] for line in gateway.accesses(path="/v1/me", status=200)}


def test_global_rotation_of_keys(start, new_cognito, shop):
    """Both keys of the pool are replaced at once. Sessions live on: an app refreshes, and its new
    tokens work within a second of their first use; what the removed keys signed is refused by every
    worker, also where it was cached."""
    cognito = new_cognito()
    pool = cognito.pool()
    client = pool.client()
    gateway = start(auth={"issuers": [pool.yaml(client)]})
    gita = pool.user(client, "cashier", store=shop.store)
    old = gita.sign_in()
    assert kid(old["accessToken"]) != kid(old["idToken"])
    connections = [Connection(gateway, old[use]) for use in ("accessToken", "idToken")
                   for _ in range(16)]  # to one worker all of them go twice in 2^32 times
    assert {c.request("GET", "/v1/me")[0] for c in connections} == {200}
    eventually(lambda: serving_workers(gateway) == {0, 1}, what="both workers have cached them")
    eventually(lambda: min_refetch_is_over(gateway))

    cognito.rotate()
    new = gita.refresh(old)
    assert not {kid(old[use]) for use in ("accessToken", "idToken")} & {
        kid(new[use]) for use in ("accessToken", "idToken")}
    with Api(gateway, new["idToken"]) as api:
        body, key = shop.basket(shop.product()), str(uuid.uuid4())
        sale = eventually(lambda: (answer := api.sell(body, key)).status_code == 201 and answer,
                          patient(1.0), what="the new kid works")
        assert "idempotency-replayed" not in sale.headers
        assert api.get("/v1/me", token=new["accessToken"]).status_code == 200
        eventually(lambda: {c.request("GET", "/v1/me")[0] for c in connections} == {401},
                   patient(1.0), what="the removed kids are refused by every worker")
        for use in ("accessToken", "idToken"):
            assert_refused(api.get("/v1/me", token=old[use]))
            for _ in range(12):  # on every worker
                with Api(gateway, new[use]) as another:
                    assert another.get("/v1/me").status_code == 200
    for connection in connections:
        connection.close()
    assert shop.sales() == 1 and gateway.is_ready()
