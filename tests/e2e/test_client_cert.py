# SPDX-License-Identifier: Apache-2.0
"""Certificates of clients (mTLS): who gets through the handshake, and whom its requests act for."""

import json
import re
import socket
import ssl
import time
import types
import uuid

import pytest

from cryptography import x509
from cryptography.x509.oid import NameOID

from kit.certificates import (CLIENT_AUTH, KEY_ENCIPHERMENT, SERVER_AUTH, Authority, context,
                              name_of)
from kit.clients import Api, assert_problem
from kit.gateway import Gateway, deep_merge
from kit.processes import BINARY, eventually, run

PROTOCOLS = ("HTTP/1.1 over TLS", "h2 over TLS")
VERSIONS = ("TLSv1_2", "TLSv1_3")
LISTENERS = ("plain", "optional", "required", "office")  # in the order of the configuration
TILL = [("O", "Shop"), ("CN", "till-7")]
CAFE = [("O", "Bread, Cakes + \"Co\"; Ltd"), ("CN", "Café 北京")]
ME = b"GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def short(subject):
    return ",".join("%s=%s" % part for part in reversed(subject))


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Authorities and certificates of this module."""
    directory = str(tmp_path_factory.mktemp("pki"))
    ca, stranger = Authority(directory, "Tills"), Authority(directory, "Tills")
    office = Authority(directory, "Office", above=ca)
    # Two parts in one RDN.
    double = x509.Name([x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Shop")]),
                        x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "till-9"),
                                                        x509.NameAttribute(NameOID.USER_ID, "9")])])
    return types.SimpleNamespace(
        directory=directory, ca=ca, stranger=stranger, office=office, till=ca.issue(TILL),
        boss=ca.issue([("CN", "boss")]), cafe=ca.issue(CAFE), double=ca.issue(double),
        unknown=ca.issue([("CN", "nobody")]), clerk=office.issue([("CN", "clerk")]),
        near=ca.issue([("O", "Shop"), ("CN", "Till-7")]))


def subject_by_openssl(client):
    done = run(["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in",
                client.certificate])
    assert done.returncode == 0 and done.stdout.startswith("subject="), done.stderr
    return done.stdout[len("subject="):].rstrip("\n")


@pytest.fixture(scope="module")
def changes(config, pki):
    """The configuration with a listener of each kind, and lines for some of the certificates."""
    tls = config["listen"][1]["tls"]
    at = {"address": "127.0.0.1", "port": 0}
    return {
        "log": {"principal": "plain"},
        "workers": 1,  # so that a ticket always comes back to the worker that made it
        "listen": [at, {**at, "tls": tls},
                   {**at, "tls": {**tls, "clientCa": pki.ca.pem}},
                   {**at, "tls": {**tls, "clientCa": pki.ca.pem, "clientCertificate": "required"}},
                   {**at, "tls": {**tls, "clientCa": pki.office.pem}}],
        "auth": {"certificates": [
            {"subject": "CN=till-7,O=Shop", "roles": ["cashier"], "store": "north"},
            {"subject": "CN=boss", "roles": ["manager", "cashier"]},
            {"subject": subject_by_openssl(pki.cafe), "roles": ["cashier"], "store": "café"},
            {"subject": subject_by_openssl(pki.double), "roles": ["cashier"]},
            {"subject": "CN=clerk", "roles": ["cashier"]}]},
    }


@pytest.fixture(scope="module")
def running(work, config, changes):
    gateway = Gateway(work, deep_merge(config, changes)).start()
    urls = gateway.events("listening")[-1]["message"].split()
    ports = [int(url.rsplit(":", 1)[1]) for url in urls if url.startswith("https")]
    gateway.ports = dict(zip(LISTENERS, ports))
    yield gateway
    gateway.stop()


@pytest.fixture
def mtls(running, request):
    """Nothing a client shows may cost it a worker."""
    request.node.gateways = [running]
    running.mark()
    before = running.workers()
    yield running
    assert running.workers() == before, "a worker has gone"


@pytest.fixture
def ca(certificate):
    """What the clients trust."""
    return certificate[0]


@pytest.fixture(params=PROTOCOLS)
def call(request, mtls, ca):
    """call(listener, client) is an Api over either protocol."""
    opened = []

    def open_one(listener, client=None, token=None):
        api = Api(types.SimpleNamespace(https=mtls.ports[listener]), token, request.param,
                  tls=context(ca, client))
        opened.append(api)
        return api

    yield open_one
    for api in opened:
        api.close()


def connect(port, tls, session=None):
    return tls.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), session=session)


def read_all(sock):
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    return data


def ask(port, tls, session=None, request=ME):
    """One request on a connection of its own: (status, document, session, reused)."""
    with connect(port, tls, session) as sock:
        sock.sendall(request)
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body), sock.session, sock.session_reused


def refused(port, tls):
    """Why the handshake failed, or None. TLS 1.3: the client hears of it after its own part."""
    try:
        with connect(port, tls) as sock:
            sock.sendall(ME)
            return None if read_all(sock) else "closed"
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as e:
        return str(e)


def reasons(gateway):
    return [line["message"] for line in gateway.events("client_certificate_refused")]


# ---- the handshake ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_required_means_in_the_handshake(mtls, pki, ca, version):
    assert refused(mtls.ports["required"], context(ca, version=version))
    assert ask(mtls.ports["required"], context(ca, pki.till, version))[0] == 200


def test_required_over_both_protocols(call, pki):
    assert call("required", pki.till).get("/v1/me").json()["sub"] == "CN=till-7,O=Shop"


def test_optional_without_a_certificate_is_401(call):
    assert_problem(call("optional").get("/v1/me"), 401, "token-missing")


def bad_certificates(pki):
    alone = pki.stranger
    return {
        "expired": (pki.ca.issue(TILL, begins_d=-30, days=-1), "expired"),
        "of tomorrow": (pki.ca.issue(TILL, begins_d=1), "not yet valid"),
        "foreign, of the same names": (alone.issue(TILL), "certificate signature failure|unable to get"),
        "for servers": (pki.ca.issue(TILL, extended=(SERVER_AUTH,)), "purpose"),
        "for no signature": (pki.ca.issue(TILL, usages=(KEY_ENCIPHERMENT,)), "purpose"),
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["expired", "of tomorrow", "foreign, of the same names",
                                  "for servers", "for no signature"])
@pytest.mark.parametrize("listener", ["optional", "required"])
def test_a_bad_certificate_is_refused_in_the_handshake(mtls, pki, ca, listener, kind, version):
    """Even where none is needed: a client that shows one wants to be somebody."""
    client, wanted = bad_certificates(pki)[kind]
    before = len(reasons(mtls))
    assert refused(mtls.ports[listener], context(ca, client, version))
    line, = eventually(lambda: reasons(mtls)[before:], what="the operator is told why")
    assert line.startswith("127.0.0.1: ") and re.search(wanted, line), line


def test_the_client_hears_why(mtls, pki, ca):
    """By an alert of TLS (patch 007 of deps/h2o), so that a till can say more than "closed"."""
    expired, _ = bad_certificates(pki)["expired"]
    for version in VERSIONS:
        assert "alert certificate expired" in refused(mtls.ports["optional"],
                                                      context(ca, expired, version))
    assert "alert certificate required" in refused(mtls.ports["required"], context(ca))


def test_a_certificate_for_any_purpose_is_taken(mtls, pki, ca):
    """RFC 5280 4.2.1.12: without the extension there is no limit."""
    for extended in (None, (SERVER_AUTH, CLIENT_AUTH)):
        client = pki.ca.issue(TILL, extended=extended, usages=None)
        assert ask(mtls.ports["required"], context(ca, client))[0] == 200


def test_each_authority_of_the_file_is_an_anchor_and_nobody_else(mtls, pki, ca):
    """Of the root alone: the chain is sent. Of the office alone: the root's others stay outside."""
    assert ask(mtls.ports["optional"], context(ca, pki.clerk))[1]["sub"] == "CN=clerk"
    assert ask(mtls.ports["office"], context(ca, pki.clerk))[1]["sub"] == "CN=clerk"
    assert refused(mtls.ports["office"], context(ca, pki.till))


def test_clients_are_told_which_authorities(mtls, ca):
    def names(listener):
        text = run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % mtls.ports[listener], "-CAfile",
                    ca, "-nameopt", "RFC2253"]).stdout
        found = re.search(r"Acceptable client certificate CA names\n(.*?)\n(?:Requested|Client)", text, re.S)
        return found.group(1).split("\n") if found else []
    assert names("optional") == names("required") == ["CN=Tills,O=Shop"]
    assert names("office") == ["CN=Office,O=Shop"] and names("plain") == []


def test_a_listener_that_asks_for_none_sees_none(mtls, pki, call):
    assert_problem(call("plain", pki.till).get("/v1/me"), 401, "token-missing")
    with Api(mtls) as api:
        assert_problem(api.get("/v1/me"), 401, "token-missing")


# ---- principals ------------------------------------------------------------------------------------


def test_roles_and_store_of_the_line(call, pki):
    till, boss = call("optional", pki.till), call("optional", pki.boss)
    me = till.get("/v1/me").json()
    assert (me["sub"], me["username"], me["roles"], me["storeId"]) == (
        "CN=till-7,O=Shop", "till-7", ["cashier"], "north")
    assert me["clientId"] is None and me["tokenUse"] is None
    assert_problem(till.post("/v1/products", json={"name": "x", "price": 1}), 403, "forbidden")
    assert set(boss.get("/v1/me").json()["roles"]) == {"cashier", "manager"}
    assert boss.get("/v1/me").json()["storeId"] == "main"  # the default store
    assert boss.post("/v1/products", json={"name": "x", "price": 1}).status_code == 201


def test_without_a_line_there_is_no_role(call, pki):
    """Letter case counts: CN=Till-7 is somebody else."""
    for client, subject in ((pki.unknown, "CN=nobody"), (pki.near, "CN=Till-7,O=Shop")):
        api = call("required", client)
        me = api.get("/v1/me").json()
        assert (me["sub"], me["roles"], me["storeId"]) == (subject, [], "main")
        assert_problem(api.get("/v1/products"), 403, "forbidden")


def test_it_expires_when_the_certificate_does(mtls, pki, ca):
    when = pki.ca.issue(TILL, ttl_s=3600)
    _, me, _, _ = ask(mtls.ports["optional"], context(ca, when))
    with open(when.certificate, "rb") as f:
        ends = x509.load_pem_x509_certificate(f.read()).not_valid_after
    assert me["expiresAt"].startswith(ends.strftime("%Y-%m-%dT%H:%M:%S"))


def test_an_expired_certificate_ends_on_an_open_connection(mtls, pki, ca):
    """And a ticket does not prolong it, although its handshake looks at no date."""
    client = pki.ca.issue(TILL, ttl_s=6)
    tls = context(ca, client)
    status, _, session, _ = ask(mtls.ports["required"], tls)
    assert status == 200
    with Api(types.SimpleNamespace(https=mtls.ports["required"]), None, "h2 over TLS",
             tls=context(ca, client)) as api:
        assert api.get("/v1/me").status_code == 200
        eventually(lambda: api.get("/v1/me").status_code == 401, what="it has expired")
        problem = assert_problem(api.get("/v1/me"), 401, "token-missing")
        assert problem["detail"].startswith("The client certificate has expired")
    status, _, _, reused = ask(mtls.ports["required"], tls, session)
    assert (status, reused) == (401, True)
    assert refused(mtls.ports["required"], tls)


def test_a_revoked_certificate_hears_so(start, changes, pki, ca, shop, tmp_path):
    """By the deny list, on an open connection too; a token on the same connection is another matter."""
    path = tmp_path / "deny"
    path.write_text("")
    gateway = start(**deep_merge(changes, {"auth": {"deny_file": str(path)}}))
    port = int(gateway.events("listening")[-1]["message"].split()[2].rsplit(":", 1)[1])
    with Api(types.SimpleNamespace(https=port), None, PROTOCOLS[0], tls=context(ca, pki.till)) as api:
        assert api.get("/v1/me").json()["sub"] == "CN=till-7,O=Shop"
        path.write_text("sub CN=till-7,O=Shop\n")
        answer = eventually(lambda: (a := api.get("/v1/me")).status_code != 200 and a)
        assert_problem(answer, 403, "forbidden")
        assert "certificate is revoked" in answer.json()["detail"]
        assert api.get("/v1/me", token=shop.token()).status_code == 200
        path.write_text("")
        eventually(lambda: api.get("/v1/me").status_code == 200, what="it is taken again")


def test_names_are_as_openssl_writes_them(mtls, pki, ca):
    """UTF-8 as \\C3\\A9, special characters behind a backslash; the user name as it is."""
    _, me, _, _ = ask(mtls.ports["required"], context(ca, pki.cafe))
    assert me["sub"] == subject_by_openssl(pki.cafe)
    assert me["sub"].startswith(r"CN=Caf\C3\A9 \E5\8C\97") and r"Bread\, Cakes \+ \"Co\"\; Ltd" in me["sub"]
    assert (me["username"], me["roles"], me["storeId"]) == ("Café 北京", ["cashier"], "café")
    _, me, _, _ = ask(mtls.ports["required"], context(ca, pki.double))
    assert me["sub"] == subject_by_openssl(pki.double) and me["roles"] == ["cashier"]
    assert me["username"] == "till-9" and "+" in me["sub"]


@pytest.mark.parametrize("subject, wanted", [
    ([("O", "Shop")], ""), ([("CN", "inner"), ("O", "Shop"), ("CN", "outer")], "outer"),
    ([("CN", "x" * 64), ("OU", "y" * 64), ("O", "z" * 64), ("L", "w" * 51)], "x" * 64)])
def test_user_names(mtls, pki, ca, subject, wanted):
    """The most specific CN, if there is one; 256 bytes of name are taken."""
    _, me, _, _ = ask(mtls.ports["required"], context(ca, pki.ca.issue(subject)))
    assert (me["sub"], me["username"]) == (short(subject), wanted or None)
    assert not wanted.startswith("xx") or len(me["sub"]) == 256


@pytest.mark.parametrize("subject, wanted", [
    ([], "empty"), ([("O", "Shop"), ("CN", "till-7\n")], "no plain text"),
    ([("O", "Sh\0op"), ("CN", "till-7")], "no plain text"), ([("CN", "till-7\x7f")], "no plain text"),
    ([("CN", "x" * 64), ("OU", "y" * 64), ("O", "z" * 64), ("L", "w" * 52)], "too long"),
    ([("CN", "é" * 50), ("O", "é" * 50)], "too long")])
def test_a_name_that_cannot_be_written_down_is_nobody(mtls, pki, ca, subject, wanted):
    """The handshake is the authority's word; a principal needs a name of ours."""
    client = pki.ca.issue(name_of(subject))
    before = len(reasons(mtls))
    status, problem, _, _ = ask(mtls.ports["required"], context(ca, client))
    assert (status, problem["code"]) == (401, "token-missing")
    line, = eventually(lambda: reasons(mtls)[before:], what="the operator is told why")
    assert wanted in line


def test_a_sale_by_certificate(call, pki, shop, mtls):
    product = shop.product()
    api = call("required", pki.cafe)
    key, given = str(uuid.uuid4()), "cert-" + uuid.uuid4().hex
    sold = api.sell(shop.basket(product), key=key, headers={"x-request-id": given})
    assert sold.status_code == 201, sold.text
    assert api.sell(shop.basket(product), key=key).json() == sold.json()
    line, = eventually(lambda: mtls.accesses(requestId=given), what="the line is written")
    assert line["sub"] == subject_by_openssl(pki.cafe)
    assert api.get("/v1/transactions/" + sold.json()["transactionId"]).status_code == 200


# ---- beside a token --------------------------------------------------------------------------------


def test_a_token_decides(call, pki, shop, issuer):
    api = call("optional", pki.boss, shop.token("cashier"))
    me = api.get("/v1/me").json()
    assert me["roles"] == ["cashier"] and me["storeId"] == shop.store
    assert_problem(api.post("/v1/products", json={"name": "x", "price": 1}), 403, "forbidden")
    assert call("plain", pki.boss, shop.token("cashier")).get("/v1/me").status_code == 200


@pytest.mark.parametrize("value", ["Bearer x", "Bearer a.b.c", "Bearer", "Basic dGlsbDp0aWxs", ""])
def test_a_bad_token_is_not_saved_by_the_certificate(call, pki, value):
    """Whoever sends an Authorization header is judged by it."""
    answer = call("required", pki.boss).get("/v1/me", headers={"authorization": value})
    assert answer.status_code == 401


# ---- resumption ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("listener", ["optional", "required"])
def test_a_resumed_session_keeps_its_principal(mtls, pki, ca, listener, version):
    tls, port = context(ca, pki.till, version), mtls.ports[listener]
    status, me, session, reused = ask(port, tls)
    assert (status, me["sub"], reused) == (200, "CN=till-7,O=Shop", False) and session.has_ticket
    for _ in range(3):
        status, again, session, reused = ask(port, tls, session)
        assert (status, again, reused) == (200, me, True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resumed_session_stays_nobody(mtls, ca, version):
    tls, port = context(ca, None, version), mtls.ports["optional"]
    _, _, session, _ = ask(port, tls)
    status, _, _, reused = ask(port, tls, session)
    assert (status, reused) == (401, True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_of_no_use_elsewhere(mtls, pki, ca, version):
    """Neither without a certificate where one is required, nor before other authorities."""
    nobody, till = context(ca, None, version), context(ca, pki.till, version)
    _, _, session, _ = ask(mtls.ports["optional"], nobody)
    with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError, IndexError)):
        ask(mtls.ports["required"], nobody, session)
    _, _, session, _ = ask(mtls.ports["required"], till)
    with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError, IndexError)):
        ask(mtls.ports["office"], till, session)


# ---- many ------------------------------------------------------------------------------------------


def test_connections_keep_apart(mtls, pki, ca):
    """Interleaved: each has its own holder, and the one without has none."""
    clients = [pki.till, pki.boss, None, pki.cafe] * 5
    socks = [connect(mtls.ports["optional"], context(ca, client)) for client in clients]
    for sock in reversed(socks):
        sock.sendall(ME)
    answers = [read_all(sock).partition(b"\r\n\r\n") for sock in socks]
    for sock in socks:
        sock.close()
    for client, (head, _, body) in zip(clients, answers):
        assert int(head.split()[1]) == (200 if client else 401)
        assert not client or json.loads(body)["sub"] == subject_by_openssl(client)


@pytest.mark.heavy
def test_handshakes_leak_nothing(mtls, pki, ca):
    """Finished, broken off and refused ones; the sanitizers look, and no connection stays open."""
    till, foreign = context(ca, pki.till), context(ca, pki.stranger.issue(TILL))
    for i in range(60):
        with socket.create_connection(("127.0.0.1", mtls.ports["required"]), 10) as sock:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * i)
        assert refused(mtls.ports["required"], foreign)
        assert ask(mtls.ports["required"], till)[0] == 200
    eventually(lambda: mtls.metrics()["tillway_connections"] == 0, what="all are closed")


# ---- the configuration -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind, wanted", [
    ("missing", "No such file"), ("empty", "holds no PEM certificate"),
    ("words", "holds no PEM certificate"), ("key", "holds no PEM certificate"),
    ("client", "no authority's"), ("authority and client", "no authority's"),
    ("half", "bad end line|bad base64|unexpected"), ("broken", "PEM file of client authorities"),
    ("directory", "is a directory")])
def test_a_bad_file_of_authorities_is_one_line(config, changes, pki, tmp_path, kind, wanted):
    """-t and a start say the same, at once."""
    def text(path):
        with open(path, encoding="ascii") as f:
            return f.read()
    good = text(pki.ca.pem)
    texts = {"empty": "", "words": "trust everybody\n", "key": text(pki.till.key),
             "client": text(pki.till.certificate), "authority and client": good + text(pki.till.certificate),
             "half": good + good[:len(good) // 2], "broken": good.replace("\nMII", "\nMIJ", 1)}
    path = tmp_path / "authorities.pem"
    if kind == "directory":
        path.mkdir()
    elif kind != "missing":
        path.write_text(texts[kind])
    listen = changes["listen"][:2] + [deep_merge(changes["listen"][2], {"tls": {"clientCa": str(path)}})]
    file = tmp_path / "c.yaml"
    file.write_text(json.dumps(deep_merge(config, {**changes, "listen": listen})))
    for words in (["-t"], []):
        done = run([BINARY, *words, "-c", str(file)])
        assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "listen[2].tls" in done.stderr and str(path) in done.stderr
        assert re.search(wanted, done.stderr), done.stderr


def test_a_file_may_hold_several_authorities_and_words(config, changes, pki, tmp_path):
    path = tmp_path / "authorities.pem"
    with open(path, "w", encoding="ascii") as out:
        for authority in (pki.ca, pki.stranger, pki.office, pki.ca):
            out.write("# one of ours\n")
            with open(authority.pem, encoding="ascii") as f:
                out.write(f.read())
    listen = [deep_merge(changes["listen"][2], {"tls": {"clientCa": str(path)}})]
    file = tmp_path / "c.yaml"
    file.write_text(json.dumps(deep_merge(config, {**changes, "listen": listen})))
    done = run([BINARY, "-t", "-c", str(file)])
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert 'clientCertificate: optional' in done.stdout and str(path) in done.stdout
