# SPDX-License-Identifier: Apache-2.0
"""Who may come in, and what those hear who may not. The JWS rules themselves have unit tests; where
keys come from is in test_keys.py."""

import base64
import hashlib
import hmac
import json
import os
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kit.clients import PROTOCOLS, Api, assert_problem, challenge, raw_http1
from kit.issuer import Issuer
from kit.processes import eventually

def part(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refused(api, token, code="token-invalid"):
    """The description of a 401 that this token gets."""
    answer = api.get("/v1/me", token=token)
    assert_problem(answer, 401, code)
    said = challenge(answer)
    assert said["error"] == "invalid_token" and said["realm"] == "tillway"
    assert said["error_description"] and token not in answer.text
    return said["error_description"]


# ---- who am I -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_me(gateway, shop, certificate, protocol):
    with Api(gateway, shop.token("manager", username="maria"), protocol, ca=certificate[0]) as api:
        me = api.get("/v1/me")
    assert me.headers["cache-control"] == "no-store"
    me = me.json()
    assert (me["username"], me["storeId"], me["clientId"]) == ("maria", shop.store, "tillway-pos")
    assert me["roles"] == ["cashier", "manager"] and me["tokenUse"] == "access"


def test_an_id_token_is_taken_too(gateway, issuer):
    with Api(gateway, issuer.token("cashier", use="id")) as api:
        me = api.get("/v1/me").json()
        assert (me["tokenUse"], me["clientId"]) == ("id", issuer.audience)


def test_es256_is_taken_too(work, start):
    own = Issuer(os.path.join(work, "issuer-es256"))
    own.add_key("ES256")
    own.start()
    try:
        other = start(auth={"issuers": [own.yaml()]})
        with Api(other, own.token(alg="ES256")) as api:
            assert jwt.get_unverified_header(api.token)["alg"] == "ES256"
            assert api.get("/v1/me").status_code == 200
    finally:
        own.stop()


# ---- no token -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", "Bearer", "Basic YTpi", "Token x", "eyJ.x.y"])
def test_without_a_token_there_is_a_bare_challenge(api, value):
    """RFC 6750 §3.1: no error when no token came."""
    answer = api.get("/v1/me", token=None, headers={"authorization": value} if value is not None else {})
    assert_problem(answer, 401, "token-missing")
    assert answer.headers["www-authenticate"] == 'Bearer realm="tillway"'


def test_the_scheme_is_case_insensitive(api):
    answer = api.get("/v1/me", token=None, headers={"authorization": "bEARER " + api.token})
    assert answer.status_code == 200


def test_two_authorizations_are_a_bad_request(gateway, issuer):
    """RFC 6750 §3.1: invalid_request, 400."""
    line = "Authorization: Bearer %s\r\n" % issuer.token()
    answer, = raw_http1(gateway.http, ("GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s\r\n" % (
        line, line)).encode())
    assert_problem(answer, 400, "bad-request")
    assert challenge(answer)["error"] == "invalid_request"


# ---- bad tokens -----------------------------------------------------------------------------------


def test_expired_differs_from_invalid(api, issuer):
    """A client refreshes once on the one and asks for a login on the other."""
    assert refused(api, issuer.token(ttl=-60), "token-expired") == "token has expired"
    other = issuer.token()
    assert refused(api, other[:-4] + ("AAAA" if other[-4:] != "AAAA" else "BBBB")) != "token has expired"


def test_an_expired_token_with_a_bad_signature_is_invalid(api, issuer):
    expired = issuer.token(ttl=-60)
    refused(api, expired.rpartition(".")[0] + "." + issuer.token().rpartition(".")[2])


def test_leeway(api, issuer):
    """A7: 30 seconds past exp, and not more."""
    now = int(time.time())
    assert api.get("/v1/me", token=issuer.sign(issuer.claims(exp=now - 20))).status_code == 200
    refused(api, issuer.sign(issuer.claims(exp=now - 32)), "token-expired")
    refused(api, issuer.sign(issuer.claims(nbf=now + 60)))
    refused(api, issuer.sign(issuer.claims(iat=now + 60)))


def test_a_token_that_was_good_expires_in_the_cache(api, issuer):
    """A6: the cache never outlives exp and the leeway."""
    token = issuer.sign(issuer.claims(exp=int(time.time()) - 25))
    assert api.get("/v1/me", token=token).status_code == 200
    eventually(lambda: api.get("/v1/me", token=token).status_code == 401)
    refused(api, token, "token-expired")


@pytest.mark.parametrize("changed", [
    {"client_id": "somebody-elses-app"}, {"client_id": None}, {"aud": "somebody-elses-app"},
    {"iss": "https://evil.example.com"}, {"iss": None}, {"sub": None}, {"exp": None},
    {"exp": "2999"}, {"token_use": "refresh"}, {"token_use": None}, {"cognito:groups": {"a": 1}},
    {"sub": "x" * 10000}], ids=lambda c: "%s=%.20s" % next(iter(c.items())))
def test_signed_claims_that_are_wrong(api, issuer, changed):
    refused(api, issuer.sign(issuer.claims(**changed)))


def test_forgeries(api, issuer):
    """A5: the algorithm comes from the key, never from the header; nothing in a token is fetched."""
    kid, _, pem = issuer.key()
    claims = issuer.claims(**{"cognito:groups": ["admin"]})
    stranger = rsa.generate_private_key(65537, 2048)
    public = serialization.load_pem_private_key(pem.encode(), None).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def unsigned(header, signature=b""):
        return "%s.%s.%s" % (part(header), part(claims), part(signature))

    def hmac_by_public_key(algorithm, digest):
        text = "%s.%s" % (part({"alg": algorithm, "kid": kid}), part(claims))
        return text + "." + part(hmac.new(public, text.encode(), digest).digest())

    good = issuer.sign(claims)
    head, body, signature = good.split(".")
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key()))
    tokens = {
        "another key, same kid": jwt.encode(claims, stranger, "RS256", headers={"kid": kid}),
        "unknown kid": jwt.encode(claims, stranger, "RS256", headers={"kid": "unknown"}),
        "embedded jwk": jwt.encode(claims, stranger, "RS256", headers={"kid": kid, "jwk": jwk}),
        "jku": jwt.encode(claims, stranger, "RS256", headers={"kid": kid, "jku": "http://127.0.0.1:1/"}),
        "no kid": jwt.encode(claims, stranger, "RS256"),
        "none": unsigned({"alg": "none", "kid": kid}), "None": unsigned({"alg": "None", "kid": kid}),
        "none without kid": unsigned({"alg": "none"}),
        "no algorithm": unsigned({"kid": kid}, b"x" * 256),
        "HS256 by the public key": hmac_by_public_key("HS256", hashlib.sha256),
        "HS512 by the public key": hmac_by_public_key("HS512", hashlib.sha512),
        "RS512 of the RS256 key": jwt.encode(claims, pem, "RS512", headers={"kid": kid}),
        "PS256 of the RS256 key": jwt.encode(claims, pem, "PS256", headers={"kid": kid}),
        "crit": jwt.encode(claims, pem, "RS256", headers={"kid": kid, "crit": ["b64"], "b64": True}),
        "b64 false": jwt.encode(claims, pem, "RS256", headers={"kid": kid, "b64": False}),
        "claims of another": "%s.%s.%s" % (head, part({**claims, "sub": "x"}), signature),
        "padding": good + "=", "padding twice": good + "==", "a fourth part": good + ".x",
        "two parts": head + "." + body, "JWE": ".".join([head, body, signature, body, body]),
        "trailing bytes": good + "AAAA", "dot behind": good + ".", "space inside": head + " ." + body + "." + signature,
        "not base64url": head + "." + body.replace(body[5], "+", 1) + "." + signature,
        "JSON": '{"payload":"x"}', "huge": head + "." + "A" * 12000 + "." + signature,
    }
    passed = [name for name, token in tokens.items()
              if api.get("/v1/me", token=token).status_code != 401]
    assert not passed
    assert api.get("/v1/me", token=good).json()["roles"][-1] == "admin"


def test_the_last_character_is_not_free(api, issuer):
    """A5: spare bits of base64url are zero, or one signature has several spellings."""
    good = issuer.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert api.get("/v1/me", token=good).status_code == 200
    last = alphabet.index(good[-1])
    for other in range(last & ~15, (last & ~15) + 16):  # the same byte, other spare bits
        if other != last:
            refused(api, good[:-1] + alphabet[other])


def test_bad_tokens_do_not_reach_the_log(gateway, api):
    api.get("/v1/me", token="eyJhbGciOiJub25lIn0.eyJzZWNyZXQiOjF9.x")
    api.get("/v1/me", token=None, headers={"authorization": "Basic eyJzZWNyZXQ"})
    gateway.judge()


# ---- roles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("role, may_read, may_create", [
    ("cashier", True, False), ("manager", True, True), ("admin", True, True), ("none", False, False),
    ("janitor", False, False), ("cashier,janitor", True, False), ("Manager", False, False),
    ("janitor,admin", True, True)])
def test_roles(api, issuer, role, may_read, may_create):
    """H6, deny by default: who has no role gets /v1/me and nothing else."""
    token = issuer.token(role)
    read = api.get("/v1/products?limit=1", token=token)
    created = api.post("/v1/products", json={"name": "x", "price": 1}, token=token)
    assert read.status_code == (200 if may_read else 403)
    assert created.status_code == (201 if may_create else 403)
    assert api.get("/v1/me", token=token).status_code == 200
    for answer in (read, created):
        if answer.status_code == 403:
            assert answer.json()["code"] == "forbidden"
            assert challenge(answer)["error"] == "insufficient_scope"


def test_403_comes_before_the_body_is_judged(api, issuer):
    answer = api.request("POST", "/v1/products", content=b"{broken", token=issuer.token("none"),
                         headers={"content-type": "application/json"})
    assert_problem(answer, 403, "forbidden")


def test_401_comes_before_the_body_is_judged(api):
    answer = api.request("POST", "/v1/products", content=b"{broken", token=None,
                         headers={"content-type": "text/plain"})
    assert_problem(answer, 401, "token-missing")


def test_the_claims_names_are_options(start, issuer, shop):
    """auth.roles.claim: "an array of strings, or one string of words"."""
    gateway = start(auth={"roles": {"claim": "groups", "store": "shop"}})
    with Api(gateway) as api:
        for groups in (["openid", "cashier"], "cashier", "openid cashier"):
            token = issuer.token("none", "", claims={"groups": groups, "shop": shop.store})
            me = api.get("/v1/me", token=token).json()
            assert (me["roles"], me["storeId"]) == (["cashier"], shop.store), groups
