# SPDX-License-Identifier: Apache-2.0
"""Who may do what by configuration: groups, scopes, routes, public routes, several issuers."""

import json
import os

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from kit.clients import Api, assert_problem, challenge
from kit.gateway import deep_merge
from kit.issuer import Issuer
from kit.processes import BINARY, run


def routes():
    """(method, path, lowest role) of THE table."""
    done = run([BINARY, "routes"])
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def concrete(path):
    return "/".join("019a0000-0000-7000-8000-000000000000" if part.startswith("{") else part
                    for part in path.split("/"))


def test_the_routes_are_listed():
    listed = routes()
    assert ["POST", "/v1/products", "manager"] in listed and ["GET", "/v1/me", "any"] in listed
    assert len({(method, path) for method, path, _ in listed}) == len(listed) >= 6


def test_no_route_without_a_token(api):
    """H6: every route of THE table, as the table says it."""
    for method, path, role in routes():
        answer = api.request(method, concrete(path), token=None)
        assert answer.status_code == (401 if role != "public" else 200), (method, path)


def test_every_route_asks_for_its_role(api, issuer):
    order = ["none", "cashier", "manager", "admin"]
    for method, path, lowest in routes():
        for role in order:
            answer = api.request(method, concrete(path), token=issuer.token(role))
            refused = lowest != "any" and order.index(role) < order.index(lowest)
            assert (answer.status_code == 403) == refused, (method, path, role, answer.status_code)


# ---- auth.routes -----------------------------------------------------------------------------------


@pytest.fixture
def governed(start, issuer):
    return start(auth={"issuers": [issuer.yaml()], "routes": [
        {"route": "GET /v1/products", "roles": ["public"]},
        {"route": "POST /v1/products", "roles": ["admin"], "scopes": ["pos/catalogue", "pos/all"]},
        {"route": "GET /v1/me", "roles": ["cashier"]},
        {"route": "GET /v1/products/{productId}", "roles": ["any"], "scopes": ["pos/read"]}]})


def test_a_public_route_asks_nobody(governed):
    with Api(governed) as api:
        for headers in ({}, {"authorization": "Bearer nonsense"}):
            assert api.get("/v1/products?limit=1", token=None, headers=headers).status_code == 200
        assert_problem(api.get("/v1/me", token=None), 401, "token-missing")


def test_a_role_is_not_enough_where_a_scope_is_asked_for(governed, issuer):
    with Api(governed) as api:
        body = {"name": "scoped", "price": 1}
        answer = api.post("/v1/products", json=body, token=issuer.token("admin"))
        assert_problem(answer, 403, "insufficient-scope")
        said = challenge(answer)
        assert said["error"] == "insufficient_scope" and said["scope"] == "pos/catalogue pos/all"
        scoped = issuer.token("admin", claims={"scope": "openid pos/all"})
        assert api.post("/v1/products", json=body, token=scoped).status_code == 201
        manager = issuer.token("manager", claims={"scope": "pos/all"})
        answer = api.post("/v1/products", json=body, token=manager)
        assert_problem(answer, 403, "forbidden")
        assert "scope" not in challenge(answer)


def test_a_scope_is_enough_where_any_role_will_do(governed, issuer):
    """A machine's token of the client credentials grant has scopes and no groups."""
    with Api(governed) as api:
        path = concrete("/v1/products/{productId}")
        machine = issuer.token("none", claims={"scope": "pos/read", "username": None})
        assert_problem(api.get(path, token=machine), 404, "not-found")
        assert_problem(api.get(path, token=issuer.token("admin")), 403, "insufficient-scope")


def test_a_route_that_does_not_exist_is_refused_at_the_start(config, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(deep_merge(config, {"auth": {"routes": [
        {"route": "GET /v1/product", "roles": ["any"]}]}})))
    done = run([BINARY, "-t", "-c", str(path)])
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert 'auth.routes[0].route: "GET /v1/product" is no route' in done.stderr


# ---- issuers ---------------------------------------------------------------------------------------


def test_groups_have_names_of_their_own(start, issuer):
    gateway = start(auth={"issuers": [issuer.yaml()], "roles": {
        "claim": "/realm_access/roles", "store": "/shop/id", "groups": [
            {"group": "till-staff", "roles": ["cashier"]}, {"group": "bosses", "roles": ["manager"]}]}})
    with Api(gateway) as api:
        def me(groups):
            token = issuer.token("admin", "elsewhere", claims={
                "realm_access": {"roles": groups}, "shop": {"id": "north"}})
            return api.get("/v1/me", token=token).json()
        assert me(["till-staff"])["roles"] == ["cashier"]
        assert me(["x", "bosses"])["roles"] == ["cashier", "manager"]
        assert me(["admin"])["roles"] == [] and me(["admin"])["storeId"] == "north"


def test_scopes_and_groups_of_an_issuer(start, issuer):
    gateway = start(auth={"issuers": [issuer.yaml(scopes=["pos/sell"], groups=["eu", "cashier"])]})
    with Api(gateway) as api:
        good = issuer.token("cashier", claims={"scope": "openid pos/sell"})
        assert api.get("/v1/me", token=good).status_code == 200
        answer = api.get("/v1/me", token=issuer.token("cashier"))
        assert_problem(answer, 403, "insufficient-scope")
        assert challenge(answer)["scope"] == "pos/sell"
        answer = api.get("/v1/me", token=issuer.token("admin", claims={"scope": "pos/sell"}))
        assert_problem(answer, 403, "forbidden")
        assert challenge(answer)["error"] == "insufficient_scope"


def test_several_issuers_each_with_its_own_keys(start, issuer, work):
    second = Issuer(os.path.join(work, "issuer-second")).start()
    try:
        gateway = start(auth={"issuers": [issuer.yaml(), second.yaml(tokenUse=["id"])]})
        with Api(gateway) as api:
            assert api.get("/v1/me", token=issuer.token()).status_code == 200
            assert api.get("/v1/me", token=second.token(use="id")).status_code == 200
            assert api.get("/v1/me", token=second.token()).status_code == 401
            forged = second.sign(second.claims(iss=issuer.url))  # its key under the other's name
            assert api.get("/v1/me", token=forged).status_code == 401
    finally:
        second.stop()


@pytest.mark.parametrize("algorithm", ["PS256", "EdDSA"])
def test_algorithms_by_option(start, issuer, work, algorithm):
    key = ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else \
        rsa.generate_private_key(65537, 2048)
    maker = jwt.algorithms.OKPAlgorithm if algorithm == "EdDSA" else jwt.algorithms.RSAAlgorithm
    public = maker.to_jwk(key.public_key())
    path = os.path.join(work, algorithm + ".json")
    with open(path, "w", encoding="ascii") as out:
        out.write('{"keys":[%s,"kid":"one"}]}' % public.rstrip().removesuffix("}"))
    url = "https://id.example.com"
    entry = {"issuer": url, "jwksFile": path, "audience": [issuer.audience]}
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                            serialization.NoEncryption())
    token = jwt.encode(issuer.claims(iss=url, aud=issuer.audience), pem, algorithm, headers={"kid": "one"})
    with Api(start(auth={"issuers": [{**entry, "algorithms": [algorithm]}, issuer.yaml()]})) as api:
        assert api.get("/v1/me", token=token).json()["roles"] == ["cashier"]
        if algorithm == "PS256":  # the key is bound to it: RS256 with the same key is refused
            other = jwt.encode(issuer.claims(iss=url, aud=issuer.audience), pem, "RS256", headers={"kid": "one"})
            assert api.get("/v1/me", token=other).status_code == 401
    if algorithm == "PS256":  # without the option its key is one for RS256
        with Api(start(auth={"issuers": [entry, issuer.yaml()]})) as api:
            assert api.get("/v1/me", token=token).status_code == 401
