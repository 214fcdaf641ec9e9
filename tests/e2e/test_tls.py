# SPDX-License-Identifier: Apache-2.0
"""TLS: tickets, names, reload, expiry, stapling (FAULTS H8). Real clients: Python's ssl, openssl
s_client, curl. What is refused: test_tls_refused.py; certificates of clients: test_client_cert.py."""

import contextlib
import os
import re
import shutil
import signal
import ssl
import threading
import time
import types
import uuid

import pytest
from cryptography import x509

from kit.certificates import Authority
from kit.clients import Api
from kit.processes import BINARY, SANITIZED, eventually, run
from kit.tls import (AT, HANDSHAKES, ME, VERSIONS, ask, connect, named, openssl,  # noqa: F401
                     pair, pki, serve, trusting)

# pylint: disable=redefined-outer-name,unused-import


# ---- tickets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_is_good_with_every_worker(serve, pki, version):
    gateway, tls, seen = serve(workers=4), trusting(pki, version), set()
    first = ask(gateway.https, tls)
    assert not first.reused
    asked = []

    def all_have_resumed():
        again = ask(gateway.https, tls, session=first.session)
        assert again.reused, "a full handshake"
        asked.append(again.id)
        seen.update(line["worker"] for line in gateway.accesses() if line["requestId"] in asked)
        return len(seen) == 4

    eventually(all_have_resumed)
    short = version[-3:].replace("_", ".")
    metrics = gateway.metrics()
    assert metrics[HANDSHAKES % (short, "true")] == len(asked)
    assert metrics[HANDSHAKES % (short, "false")] == 1
    assert metrics["tillway_tls_tickets_unknown_total"] == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_outlives_its_worker(serve, pki, version):
    """Also all workers at once: the keys are the master's."""
    gateway, tls = serve(workers=2), trusting(pki, version)
    first, before = ask(gateway.https, tls), gateway.workers()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(gateway.workers()) == 2 and gateway._all_ready() and
               not set(gateway.workers().values()) & set(before.values()))
    for _ in range(8):
        assert ask(gateway.https, tls, session=first.session).reused
    assert gateway.metrics()["tillway_tls_tickets_unknown_total"] == 0


def session_of(gateway, path, version, resume=None):
    """A session as s_client stores it: (name of its ticket key, whether `resume` was taken)."""
    words = ["-sess_out", path, "-ign_eof", version] + (["-sess_in", resume] if resume else [])
    text = openssl(gateway.https, *words, say=ME % uuid.uuid4().hex)
    told = re.search(r"^(New|Reused), TLSv1\.[23]", text, re.M).group(1)
    shown = run(["openssl", "sess_id", "-in", path, "-noout", "-text"]).stdout
    return re.search(r"0000 - ([0-9a-f -]{47})", shown).group(1), told == "Reused"


def test_ticket_keys_turn(serve, tmp_path):
    """After one turn a ticket is good, after three it is not; its key is still in nobody's hands."""
    gateway = serve(tls={"ticket_rotation": "%ds" % (8 if SANITIZED else 4)})
    new, old = str(tmp_path / "new"), {version: str(tmp_path / version) for version in ("-tls1_2", "-tls1_3")}

    def turned(name):
        return eventually(lambda: (now := session_of(gateway, new, "-tls1_3")[0]) != name and now, 30)

    first = turned(session_of(gateway, new, "-tls1_3")[0])  # so that the next one is at a turn's start
    assert {session_of(gateway, path, version)[0] for version, path in old.items()} == {first}
    name = turned(first)
    for version, path in old.items():
        assert session_of(gateway, new, version, path)[1], "not good after one turn"
    turned(turned(name))
    for version, path in old.items():
        assert not session_of(gateway, new, version, path)[1], "good after three turns"


def ticket_keys(path, *keys):
    with open(str(path) + ".new", "wb") as f:
        f.write(b"".join(keys))
    os.replace(str(path) + ".new", path)


@pytest.mark.parametrize("version", VERSIONS)
def test_machines_share_ticket_keys(serve, pki, tmp_path, version):
    path, tls, keys = tmp_path / "tickets", trusting(pki, version), [os.urandom(80) for _ in range(3)]
    ticket_keys(path, keys[0])
    here, there = (serve(tls={"ticket_keys_file": str(path)}) for _ in range(2))
    first = ask(here.https, tls)
    assert ask(there.https, tls, session=first.session).reused
    for i, (now, good) in enumerate([((keys[1], keys[0]), True), ((keys[2], keys[1]), False)]):
        ticket_keys(path, *now)
        eventually(lambda i=i: all(len(g.events("ticket_keys_published")) > i + 1 for g in (here, there)))
        assert ask(there.https, tls, session=first.session).reused == good


@pytest.mark.parametrize("text, wanted", [
    (b"x" * 79, "79 bytes"), (b"", "0 bytes"), (b"\0" * 80, "random"),
    (b"c2VjcmV0IGtleSBvZiB0aWNrZXRz" * 20, "random"), (os.urandom(80) * 2, "same name"),
    (os.urandom(9 * 80), "larger")], ids=["short", "empty", "zeros", "text", "twice", "many"])
def test_bad_ticket_keys(serve, start, pki, tmp_path, text, wanted):
    """At the start an error; later one line, and the previous ones stay."""
    path, tls = tmp_path / "tickets", trusting(pki)
    text = text[:560] if wanted == "random" and len(text) > 80 else text
    ticket_keys(path, os.urandom(80))
    gateway = serve(tls={"ticket_keys_file": str(path)})
    first = ask(gateway.https, tls)
    ticket_keys(path, text)
    line, = eventually(lambda: gateway.events("file_refused"))
    assert "tls.ticket_keys_file" in line["message"] and wanted in line["message"]
    assert ask(gateway.https, tls, session=first.session).reused
    bad = start(None, listen=[{**AT, "tls": pair(pki.one)}], tls={"ticket_keys_file": str(path)})
    bad.expect_stderr = "ticket_keys_file"
    assert bad.wait() == 1 and len(bad.stderr().splitlines()) == 1 and wanted in bad.stderr()
    bad.kill()
    done = run([BINARY, "-t", "-c", bad.config_path])
    assert done.returncode == 1 and done.stderr == bad.stderr()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_is_of_no_use_on_another_listener(start, pki, version):
    gateway = start(listen=[{**AT, "tls": pair(pki.one)}, {**AT, "tls": pair(pki.one)}])
    urls = gateway.events("listening")[-1]["message"].split()
    here, there = (int(url.rsplit(":", 1)[1]) for url in urls if url.startswith("https"))
    tls = trusting(pki, version)
    first = ask(here, tls)
    assert ask(here, tls, session=first.session).reused
    assert not ask(there, tls, session=first.session).reused


# ---- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_the_name_decides(serve, pki, named, version):
    """Exact, wildcard (one label), any letter case; unknown or none: the first, without an alert."""
    gateway, tls = serve(named.tls), trusting(pki, version)
    one, two = {pki.one.serial(), named.rsa.serial()}, {pki.two.serial()}
    for name, wanted in [("one.test", one), ("WWW.One.Test", one), ("two.test", two), ("a.two.test", two),
                         ("B.TWO.test", two)]:
        assert ask(gateway.https, tls, name).serial in wanted, name
    tls.check_hostname = False
    for name in ("three.test", "b.a.two.test", "two.test.org", "test", "x", None):
        assert ask(gateway.https, tls, name).serial in one, name


def test_the_clients_abilities_decide(serve, pki, named):
    gateway = serve(named.tls)
    for version in ("-tls1_2", "-tls1_3"):
        for signatures, wanted in (("rsa_pss_rsae_sha256:RSA+SHA256", named.rsa),
                                   ("ECDSA+SHA256", pki.one),
                                   ("ECDSA+SHA256:rsa_pss_rsae_sha256:RSA+SHA256", pki.one)):
            text = openssl(gateway.https, version, "-sigalgs", signatures, "-servername", "www.one.test",
                           "-CAfile", pki.ca.pem)
            pem = re.search(r"-----BEGIN.*?END CERTIFICATE-----", text, re.S).group(0)
            got = x509.load_pem_x509_certificate(pem.encode()).serial_number
            assert got == wanted.serial(), (version, signatures)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_belongs_to_its_certificate(serve, pki, named, version):
    gateway, tls = serve(named.tls), trusting(pki, version)
    first = ask(gateway.https, tls, "one.test")
    assert not ask(gateway.https, tls, "two.test", first.session).reused
    assert ask(gateway.https, tls, "one.test", first.session).reused


def test_curl_checks_the_names(serve, pki, named):
    gateway = serve(named.tls)
    for name, good in (("one.test", True), ("deep.two.test", True), ("three.test", False)):
        done = run(["curl", "-sS", "--noproxy", "*", "--http2", "--cacert", pki.ca.pem, "--resolve",
                    "%s:%d:127.0.0.1" % (name, gateway.https), "-o", os.devnull, "-w",
                    "%{http_version} %{http_code}", "https://%s:%d/v1/me" % (name, gateway.https)])
        assert (done.returncode == 0) == good, done.stderr
        assert not good or done.stdout == "2 401"


def test_the_client_is_told_whether_its_name_is_known(serve, pki, named):
    """RFC 6066 3: by an empty extension."""
    gateway = serve(named.tls)
    for name, known in (("one.test", True), ("x.two.test", True), ("three.test", False)):
        text = openssl(gateway.https, "-servername", name, "-tlsextdebug", "-tls1_2")
        assert ('TLS server extension "server name"' in text) == known, name


# ---- reload ----------------------------------------------------------------------------------------


@pytest.fixture
def places(pki, tmp_path):
    """(certificate, key) that may be replaced; one.test's for a start."""
    at = str(tmp_path / "server.pem"), str(tmp_path / "server.key")
    pki.one.install(*at)
    return at


@contextlib.contextmanager
def load(gateway, pki):
    """New handshakes all the time, full and resumed; whatever fails fails the test."""
    stop, errors, counts = threading.Event(), [], []

    def client(version):
        tls, session, n = trusting(pki, version), None, 0
        while not stop.is_set():
            try:
                session = ask(gateway.https, tls, session=session if n % 2 else None).session
                n += 1
            except Exception as e:  # pylint: disable=broad-except
                errors.append(repr(e))
                return
        counts.append(n)

    threads = [threading.Thread(target=client, args=(version,)) for version in VERSIONS * 2]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors and min(counts) > 3, (errors, counts)


def test_certificates_change_without_a_gap(serve, pki, places):
    """New handshakes take over; what is open, and tickets, stay; no handshake fails."""
    gateway, tls = serve({"certificate": places[0], "key": places[1]}), trusting(pki)
    first, before, young = ask(gateway.https, tls), gateway.workers(), pki.ca.server("one.test")
    with Api(types.SimpleNamespace(https=gateway.https), None, "h2 over TLS",
             tls=trusting_any(pki)) as api, load(gateway, pki):
        assert api.get("/v1/me").status_code == 401
        young.install(places[0])
        time.sleep(0.7)  # an operator's two commands: no pair in between
        young.install(*places)
        eventually(lambda: ask(gateway.https, tls).serial == young.serial())
        eventually(lambda: gateway.metrics()['tillway_tls_files_total{result="loaded"}'] == 4)
        for _ in range(10):
            assert ask(gateway.https, tls).serial == young.serial()
        assert api.get("/v1/me").status_code == 401
        assert ask(gateway.https, tls, session=first.session).reused
    assert gateway.workers() == before
    assert not gateway.events("certificates_refused") and not gateway.events("file_refused")


def trusting_any(pki):
    made = trusting(pki)
    made.check_hostname = False
    return made


def half(path):
    with open(path, "rb") as f:
        text = f.read()
    with open(path, "wb") as f:
        f.write(text[:len(text) // 2])


@pytest.mark.parametrize("kind, wanted", [
    ("other key", "not the PEM key of"), ("half", "not a PEM certificate chain"), ("gone", "No such file"),
    ("words", "not a PEM certificate chain"), ("locked", "not the PEM key of")])
def test_a_bad_pair_leaves_the_old_one(serve, pki, places, kind, wanted):
    gateway, tls = serve({"certificate": places[0], "key": places[1]}), trusting(pki)
    before, young = ask(gateway.https, tls).serial, pki.ca.server("one.test")
    if kind == "gone":
        os.unlink(places[1])
    elif kind == "half":
        half(places[0])
    elif kind == "words":
        shutil.copy(__file__, places[0])
    elif kind == "locked":
        young.install(*places)
        done = run(["openssl", "pkey", "-in", young.key, "-aes128", "-passout", "pass:x", "-out", places[1]])
        assert done.returncode == 0, done.stderr
    else:
        young.install(places[0])
    line, = eventually(lambda: gateway.events("certificates_refused") + gateway.events("file_refused"))
    assert wanted in line["message"] and line["level"] == "error", line
    time.sleep(2.5)  # nothing more is said, and nothing changes
    assert len(gateway.events("certificates_refused") + gateway.events("file_refused")) == 1
    assert ask(gateway.https, tls).serial == before
    assert gateway.metrics()['tillway_tls_files_total{result="refused"}'] == 1
    young.install(*places)
    eventually(lambda: ask(gateway.https, tls).serial == young.serial())


def test_a_symbolic_link_is_swapped(serve, pki, tmp_path):
    """As Kubernetes replaces the files of a secret."""
    young = pki.ca.server("one.test")
    for name, client in (("v1", pki.one), ("v2", young)):
        (tmp_path / name).mkdir()
        client.install(str(tmp_path / name / "tls.crt"), str(tmp_path / name / "tls.key"))
    (tmp_path / "data").symlink_to("v1")
    gateway = serve({"certificate": str(tmp_path / "data/tls.crt"), "key": str(tmp_path / "data/tls.key")})
    assert ask(gateway.https, trusting(pki)).serial == pki.one.serial()
    (tmp_path / "new").symlink_to("v2")
    os.replace(tmp_path / "new", tmp_path / "data")
    eventually(lambda: ask(gateway.https, trusting(pki)).serial == young.serial())


@pytest.mark.parametrize("version", VERSIONS)
def test_authorities_of_clients_change(serve, pki, tmp_path, version):
    """And a ticket of the old ones is no way in."""
    old, new = (Authority(pki.directory, "Tills") for _ in range(2))
    path = str(tmp_path / "tills.pem")
    shutil.copy(old.pem, path)
    gateway = serve(pair(pki.one, clientCa=path, clientCertificate="required"))

    def till(authority):
        client, tls = authority.issue([("CN", "till")]), trusting(pki, version)
        tls.load_cert_chain(client.certificate, client.key)
        return tls

    def answered(tls, session=None):
        with connect(gateway.https, tls, session=session) as sock:
            sock.sendall((ME % "x").encode())
            data = sock.recv(65536)
            return data.startswith(b"HTTP/1.1 200") and sock.session

    before, after = till(old), till(new)
    session = answered(before)
    assert session
    shutil.copy(new.pem, path + ".new")
    os.replace(path + ".new", path)
    eventually(lambda: len(gateway.events("certificates_published")) == 2)

    def lets_in():
        try:
            return bool(answered(after))
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
            return False

    eventually(lets_in)
    eventually(lambda: gateway.metrics()['tillway_tls_files_total{result="loaded"}'] == 4)
    with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError)):
        answered(before, session)


# ---- expiry ----------------------------------------------------------------------------------------


def test_certificates_that_expire_are_told(serve, pki, places):
    """At the start, also expired ones; when they come into force; and their time is a metric."""
    soon, gone = pki.ca.server("soon.test", days=10), pki.ca.server("gone.test", begins_d=-9, days=-2)
    gateway = serve({"certificate": places[0], "key": places[1],
                     "certificates": [pair(soon), pair(gone)]})
    expires, = gateway.events("certificate_expires")
    assert re.match(r"listen\[0\].tls.certificates\[0\].certificate \(soon.test\) expires in (9|10) days, at ",
                    expires["message"])
    expired, = gateway.events("certificate_expired")
    assert "(gone.test) has expired at" in expired["message"] and expired["level"] == "warn"
    name = 'tillway_tls_certificate_expiry_timestamp_seconds{listener="0",certificate="%d",name="%s"}'
    metrics = gateway.metrics()
    for i, (client, label) in enumerate(((pki.one, "one.test"), (soon, "soon.test"), (gone, "gone.test"))):
        ends = client.x509().not_valid_after.timestamp() - time.timezone
        assert abs(metrics[name % (i, label)] - ends) <= 3600, label
    pki.ca.server("one.test", days=3).install(*places)
    eventually(lambda: "(one.test)" in gateway.events("certificate_expires")[-2]["message"]
               if len(gateway.events("certificate_expires")) == 3 else False)


# ---- stapling --------------------------------------------------------------------------------------


def stapled(gateway, version, name="one.test"):
    text = openssl(gateway.https, "-status", version, "-servername", name)
    return "OCSP Response Status: successful" in text and "Cert Status: good" in text


def test_an_ocsp_response_is_stapled(serve, pki, tmp_path):
    """The certificate's own, while it is valid, in both versions; a later file takes over."""
    path = pki.ca.ocsp(str(tmp_path / "one.ocsp"), pki.one, ttl_s=20 if SANITIZED else 8)
    gateway = serve(pair(pki.one, ocspFile=path, ) | {"certificates": [pair(pki.two)]})
    for version in ("-tls1_2", "-tls1_3"):
        assert stapled(gateway, version)
        assert not stapled(gateway, version, "two.test")
    eventually(lambda: not stapled(gateway, "-tls1_3"), 40, 0.5, "it is over")
    pki.ca.ocsp(path, pki.one)
    eventually(lambda: stapled(gateway, "-tls1_3") and stapled(gateway, "-tls1_2"))
    assert not gateway.events("ocsp_not_stapled")


@pytest.mark.parametrize("kind, wanted", [
    ("expired", "has expired"), ("revoked", "revoked"), ("other", "another certificate"),
    ("future", "not valid yet"), ("words", "no OCSP response"), ("empty", "no OCSP response")])
def test_an_ocsp_response_of_no_use_is_left_out(serve, pki, tmp_path, kind, wanted):
    """It stops no certificate; the operator is told."""
    path = str(tmp_path / "one.ocsp")
    if kind in ("words", "empty"):
        (tmp_path / "one.ocsp").write_text("good\n" if kind == "words" else "")
    else:
        pki.ca.ocsp(path, pki.two if kind == "other" else pki.one, revoked=kind == "revoked",
                    ttl_s=-60 if kind == "expired" else 9000,
                    age_s={"expired": 7200, "future": -3600}.get(kind, 60))
    gateway = serve(pair(pki.one, ocspFile=path))
    line, = gateway.events("ocsp_not_stapled")
    assert wanted in line["message"] and path in line["message"]
    assert ask(gateway.https, trusting(pki)).serial == pki.one.serial() and not stapled(gateway, "-tls1_3")
