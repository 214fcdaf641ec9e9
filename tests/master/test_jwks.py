# SPDX-License-Identifier: Apache-2.0
"""FAULTS A1 to A4 as far as they are the master's: who is asked when, and what gets published."""

import json
import ssl
import time

import pytest

from gateway import eventually
from issuer import Issuer, certificates, key_set

ISSUER0 = 'tillway_jwks_fetches_total{issuer="0",result="%s"}'


@pytest.fixture
def issuer():
    with Issuer() as one:
        yield one


def published(g):
    """Generation and text that a worker sees."""
    generation, _, text = g.command("keys 0").partition(" ")
    return int(generation), text.encode()


def more(issuer, **jwks):
    """The auth section with auth.jwks options."""
    return issuer.yaml() + "  jwks: {%s}\n" % ", ".join("%s: %s" % item for item in jwks.items())


def failures(g):
    return [line["message"] for line in g.events("keys_fetch_failed")]


def refused(start, issuer, **jwks):
    """The first failure's text, after a start that never gets keys."""
    g = start(more(issuer, **jwks) if jwks else issuer.yaml(), workers=1)
    text = eventually(lambda: failures(g))[0]
    assert published(g) == (0, b"")
    assert g.metrics()[ISSUER0 % "error"] >= 1
    assert 'tillway_jwks_age_seconds{issuer="0"}' not in g.metrics()
    return text


def test_first_set_is_published(start, issuer):
    g = start(issuer.yaml(), workers=1)
    assert eventually(lambda: published(g) == (1, issuer.document))
    assert g.metrics()[ISSUER0 % "ok"] == 1
    assert 0 <= g.metrics()['tillway_jwks_age_seconds{issuer="0"}'] < 2
    assert issuer.headers[0]["Host"] == "127.0.0.1:%d" % issuer.port
    assert len(issuer.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 404, 500])
def test_only_200_counts_and_nothing_is_followed(start, issuer, status):
    with Issuer() as other:
        issuer.answer = lambda h: issuer.send(h, status, other.document, [("Location", other.uri)])
        assert "answered %d" % status in refused(start, issuer)
        assert other.asked == []


@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b'{"keys": {}}', b'{"keys": []}',
                                  b'{"keys": [{"kty": "oct", "kid": "a", "k": "AAAA"}]}'])
def test_garbage_is_refused(start, issuer, body):
    issuer.answer = lambda h: issuer.send(h, 200, body)
    refused(start, issuer)


def test_garbage_never_replaces_a_good_set(start, issuer):
    g = start(more(issuer, min_refetch="1s"), workers=1)
    assert eventually(lambda: published(g)[0] == 1)
    good, issuer.document = issuer.document, b'{"keys": [1]}'
    g.command("kid 0 1")
    assert eventually(lambda: failures(g))
    assert published(g) == (1, good)


def test_a_huge_answer_is_cut_off(start, issuer):
    sent = []

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1600):
            handler.wfile.write(b" " * 65536)
            sent.append(65536)

    issuer.answer = endless
    g = start(issuer.yaml(), workers=1)
    assert eventually(lambda: failures(g))
    assert "too large" in failures(g)[0]
    assert sum(sent) < 20e6


def test_a_huge_declared_length_is_refused(start, issuer):
    def declare(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000000")
        handler.end_headers()
        handler.wfile.write(b"{")
        time.sleep(2)

    issuer.answer = declare
    assert "too large" in refused(start, issuer, timeout="1s")


@pytest.mark.parametrize("where", ["head", "body"])
def test_the_deadline_holds_against_a_trickle(start, issuer, where):
    def trickle(handler):
        if where == "body":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"H")
            time.sleep(0.1)

    issuer.answer = trickle
    begin = time.monotonic()
    assert "timed out" in refused(start, issuer, timeout="1s")
    assert time.monotonic() - begin < 7, "and not the 10 s of the trickle"


def test_half_an_answer_is_a_failure(start, issuer):
    def half(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(issuer.document)))
        handler.end_headers()
        handler.wfile.write(issuer.document[:100])
        handler.close_connection = True

    issuer.answer = half
    refused(start, issuer)


def test_failures_are_retried_with_growing_pauses_until_it_works(start, issuer):
    issuer.answer = lambda h: issuer.send(h, 500, b"")
    g = start(issuer.yaml(), workers=1)
    assert eventually(lambda: len(issuer.asked) >= 4)
    gaps = [b - a for a, b in zip(issuer.asked, issuer.asked[1:])]
    for gap, pause in zip(gaps, (0.5, 1.0, 2.0)):
        assert pause / 2 - 0.2 <= gap <= pause + 0.8, gaps  # the issuer's thread may see one late
    assert issuer.asked[3] - issuer.asked[0] >= (0.5 + 1.0 + 2.0) / 2 - 0.2, gaps
    issuer.answer = issuer.good
    assert eventually(lambda: published(g)[0] == 1)
    assert g.ready()[0] == 200


def test_nobody_listens(start):
    with Issuer() as gone:
        pass
    g = start(gone.yaml(), workers=1)
    assert eventually(lambda: len(failures(g)) >= 2)
    assert "cannot connect to 127.0.0.1 port" in failures(g)[0]
    assert g.get("/livez")[0] == 200


def test_unknown_kids_cause_one_fetch_per_window(start, issuer):
    g = start(more(issuer, min_refetch="2s"), workers=2)
    assert eventually(lambda: published(g)[0] == 1)
    issuer.document = key_set("k1", "k2")
    begin = time.monotonic()
    g.command("kid 0 100")
    assert eventually(lambda: published(g) == (2, issuer.document), 2), "A3: within 1 s"
    while time.monotonic() - begin < 5 or len(issuer.asked) < 4:
        assert time.monotonic() - begin < 15, issuer.asked
        g.command("kid 0 200")
        g.command("kid 7 10")  # no such issuer
        time.sleep(0.01)
    took_s = time.monotonic() - begin
    windows = [b - a for a, b in zip(issuer.asked[1:], issuer.asked[2:])]
    assert all(1.7 < window < 4 for window in windows) and len(windows) <= took_s / 2, windows
    assert published(g)[0] == 2, "an equal set is not published again"
    assert eventually(lambda: g.metrics()[ISSUER0 % "ok"] == len(issuer.asked))


def test_refresh_is_planned_with_jitter_and_heeds_max_age(start, issuer):
    issuer.answer = lambda h: issuer.good(h, [("Cache-Control", "public, max-age=1, immutable")])
    start(more(issuer, min_refetch="1s", refresh="1h"), workers=1)
    assert eventually(lambda: len(issuer.asked) >= 5)
    gaps = [b - a for a, b in zip(issuer.asked, issuer.asked[1:])]
    assert all(0.7 < gap < 2 for gap in gaps), gaps


def test_stale_keys_are_withdrawn_when_due_and_come_back(start, issuer):
    g = start(more(issuer, min_refetch="1s", max_stale="2s", refresh="1s"), workers=1)
    assert eventually(lambda: published(g)[0] == 1)
    issuer.answer = lambda h: issuer.send(h, 500, b"")
    begin = time.monotonic() - g.metrics()['tillway_jwks_age_seconds{issuer="0"}']
    while time.monotonic() - begin < 1.8:
        serving = published(g) == (1, issuer.document)
        assert serving or time.monotonic() - begin > 1.95, "they serve until then"
        time.sleep(0.02)
    assert eventually(lambda: published(g) == (2, b""))
    assert time.monotonic() - begin < 4
    assert g.events("keys_withdrawn")[0]["level"] == "error"
    issuer.answer = issuer.good
    assert eventually(lambda: published(g) == (3, issuer.document)), "the same text once more"
    assert len(g.events("keys_withdrawn")) == 1


def test_keys_in_use_get_a_last_try(start, issuer):
    """However long max-age and the pauses are."""
    issuer.answer = lambda h: issuer.good(h, [("Cache-Control", "max-age=3600")])
    g = start(more(issuer, min_refetch="1s", max_stale="2s", refresh="2s"), workers=1)
    assert eventually(lambda: len(issuer.asked) >= 3)
    assert not g.events("keys_withdrawn") and published(g) == (1, issuer.document)


def test_a_slow_fetch_does_not_put_off_the_withdrawal(start, issuer):
    g = start(more(issuer, min_refetch="1s", max_stale="2s", refresh="1s", timeout="10s"), workers=1)
    assert eventually(lambda: published(g)[0] == 1)
    issuer.answer = lambda h: time.sleep(5)
    begin = time.monotonic() - g.metrics()['tillway_jwks_age_seconds{issuer="0"}']
    assert eventually(lambda: published(g) == (2, b""))
    assert 1.9 < time.monotonic() - begin < 4


# Discovery

class Discovered:
    """Answers the discovery document and the keys, both at `delay_s` after the question."""

    def __init__(self, issuer, delay_s=0.0):
        self.issuer, self.delay_s = issuer, delay_s
        self.paths = []
        self.name = issuer.uri.rsplit("/", 1)[0]
        self.jwks_path = "/keys.json"
        issuer.answer = self.answer

    def answer(self, handler):
        self.paths.append(handler.path)
        time.sleep(self.delay_s)
        if handler.path == "/.well-known/openid-configuration":
            body = json.dumps({"issuer": self.name, "jwks_uri": self.name + self.jwks_path})
            self.issuer.send(handler, 200, body.encode())
        elif handler.path == self.jwks_path:
            self.issuer.good(handler)
        else:
            self.issuer.send(handler, 404, b"")

    def yaml(self, **jwks):
        return ("auth:\n  issuers:\n    - {issuer: '%s', audience: [tills]}\n  jwks: {%s}\n" % (
            self.name, ", ".join("%s: %s" % item for item in jwks.items())))


DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys.json"


def test_discovery_comes_before_each_timed_fetch(start, issuer):
    found = Discovered(issuer)
    g = start(found.yaml(min_refetch="1s", refresh="1s"), workers=1)
    assert eventually(lambda: len(found.paths) >= 4)
    assert found.paths[:4] == [DISCOVERY, KEYS] * 2
    assert published(g) == (1, issuer.document)


def test_one_deadline_holds_for_discovery_and_keys(start, issuer):
    found = Discovered(issuer, delay_s=0.7)
    g = start(found.yaml(timeout="1s"), workers=1)
    assert eventually(lambda: failures(g))
    assert "/keys.json: timed out" in failures(g)[0]
    assert published(g) == (0, b"")


def test_unknown_kids_ask_where_the_keys_were_but_not_for_ever(start, issuer):
    found = Discovered(issuer)
    g = start(found.yaml(min_refetch="1s", refresh="3s"), workers=1)
    assert eventually(lambda: published(g)[0] == 1)
    begin = time.monotonic()
    while found.paths.count(DISCOVERY) < 2:
        assert time.monotonic() - begin < 10, found.paths
        g.command("kid 0 10")
        time.sleep(0.02)
    assert found.paths[:4] == [DISCOVERY, KEYS, KEYS, KEYS]
    assert found.paths.count(DISCOVERY) == 2, "kids must not put off the next question"


def test_new_keys_are_found_while_the_discovery_document_is_down(start, issuer):
    found = Discovered(issuer)
    g = start(found.yaml(min_refetch="1s", refresh="1s"), workers=1)
    assert eventually(lambda: published(g)[0] == 1)
    found.name += "/somebody-else"
    assert eventually(lambda: failures(g))
    issuer.document = key_set("k2")
    assert eventually(lambda: g.command("kid 0 1") and published(g) == (2, issuer.document))


def test_keys_gone_from_where_they_were_are_discovered_again(start, issuer):
    found = Discovered(issuer)
    g = start(found.yaml(min_refetch="1s"), workers=1)
    assert eventually(lambda: published(g)[0] == 1)
    found.jwks_path, issuer.document = "/moved.json", key_set("k2")
    g.command("kid 0 1")
    assert eventually(lambda: published(g) == (2, issuer.document))
    assert found.paths[2:] == [KEYS, DISCOVERY, "/moved.json"]
    assert [line["message"].rsplit(" ", 1)[1] for line in g.events("keys_discovered")] == [
        found.name + KEYS, found.name + "/moved.json"]


# TLS

@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return certificates(str(tmp_path_factory.mktemp("tls")))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tls_by_address_and_by_name(start, tls, host):
    ca, pem = tls
    with Issuer(pem) as issuer:
        issuer.uri = issuer.uri.replace("127.0.0.1", host)
        g = start(more(issuer, ca_file="'%s'" % ca), workers=1)
        assert eventually(lambda: published(g) == (1, issuer.document)), failures(g)


def test_tls_of_an_unknown_authority_is_refused(start, tls):
    with Issuer(tls[1]) as issuer:
        assert "certificate refused" in refused(start, issuer)
        assert issuer.asked == []


@pytest.mark.parametrize("name,ip,host", [("wrong.example", "127.0.0.1", "localhost"),
                                          ("localhost", "127.0.0.2", "127.0.0.1")])
def test_tls_for_another_host_is_refused(start, tmp_path, name, ip, host):
    ca, pem = certificates(str(tmp_path), name, ip)
    with Issuer(pem) as issuer:
        issuer.uri = issuer.uri.replace("127.0.0.1", host)
        text = refused(start, issuer, ca_file="'%s'" % ca)
        assert "certificate refused" in text and "mismatch" in text
        assert issuer.asked == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_1_1_is_refused(start, tls, tmp_path):
    ca, pem = tls
    lax = tmp_path / "openssl.cnf"  # so that not the machine's policy refuses, but we
    lax.write_text("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n"
                   "[c]\nMinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n")
    with Issuer(pem, max_version=ssl.TLSVersion.TLSv1_1) as issuer:
        g = start(more(issuer, ca_file="'%s'" % ca), workers=1, env={"OPENSSL_CONF": str(lax)})
        assert "TLS: " in eventually(lambda: failures(g))[0]
        assert issuer.asked == []


def test_names_that_do_not_resolve_block_nobody(start, issuer):
    issuer.uri = "https://no-such-host.invalid/keys.json"
    g = start(more(issuer, timeout="1s"), workers=1)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        begin = time.monotonic()
        assert g.get("/livez")[0] == 200
        assert time.monotonic() - begin < 1.5
        time.sleep(0.02)
    assert failures(g)
    g.process.terminate()
    assert g.wait()[0] == 0


def test_bad_ca_file_is_told(tmp_path, issuer):
    from test_master import failed_start
    (tmp_path / "ca.pem").write_text("nothing")
    code, error = failed_start(tmp_path, more(issuer, ca_file="'%s'" % (tmp_path / "ca.pem")))
    assert code == 1 and "ca.pem" in error and error.count("\n") == 1
