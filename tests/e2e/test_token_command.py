# SPDX-License-Identifier: Apache-2.0
"""`tillway token`: what it signs is let in by a gateway that knows the key set it prints, and nobody
else's is. Its key ids are judged by hashlib, and by the example of RFC 7638."""

import base64
import hashlib
import json
import os
import pty
import re
import signal
import stat
import subprocess
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from kit.clients import Api, assert_problem
from kit.gateway import Gateway, deep_merge
from kit.processes import BINARY, ROOT, clean_environment, eventually, is_alive, run, spawn

CORPORA = os.environ.get("TILLWAY_CORPORA", os.path.join(ROOT, "..", "shared", "corpora"))
AUDIENCE = "till-smoke"
RSA, EC = "rsa", "ec"
ALGORITHM = {RSA: "RS256", EC: "ES256"}
MADE_BY = {
    RSA: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    EC: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "short": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "ed25519": ["-algorithm", "ED25519"],
    "pss": ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
}


def b64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def openssl(*words):
    done = run(["openssl", *words])
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """keys(kind) is a private key's file by openssl, mode 0600; made once."""
    directory = tmp_path_factory.mktemp("keys")

    def path_of(kind, name=None):
        path = str(directory / ((name or kind) + ".pem"))
        if not os.path.exists(path):
            openssl("genpkey", *MADE_BY[kind], "-out", path)
            os.chmod(path, 0o600)
        return path

    return path_of


def command(*words, **options):
    """What it did; no word of the private key is ever in what it says."""
    done = run([BINARY, "token", *words], **options)
    assert "PRIVATE" not in done.stdout + done.stderr
    return done


def ok(*words):
    done = command(*words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.rstrip("\n")


def raw(*words):
    """The same for words that are no UTF-8."""
    return subprocess.run([BINARY, "token", *words], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=30, env=clean_environment(), check=False)


def on_a_terminal(*words):
    """Its exit code and what it says when it has a terminal to ask on."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(BINARY, [BINARY, "token", *words], clean_environment())
    try:
        eventually(lambda: not is_alive(pid), what="it ends by itself")
        said = os.read(terminal, 65536).decode()
    finally:
        os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
    return code, said


def issuer_of(kind):
    return "https://%s.smoke.example.com" % kind


def token(keys, kind, *words, key=None, issuer=None):
    return ok("--key", key or keys(kind), "--issuer", issuer or issuer_of(kind), "--client", AUDIENCE,
              *words)


def claims_of(text):
    return jwt.decode(text, options={"verify_signature": False})


def fails(code, *words):
    """The one line on stderr; nothing is on stdout."""
    done = command(*words)
    assert (done.returncode, done.stdout) == (code, ""), done
    line, end, rest = done.stderr.partition("\n")
    assert (end, rest) == ("\n", "") and line.startswith("tillway token: "), done.stderr
    return line


# ---- key sets -------------------------------------------------------------------------------------


def members_of(path):
    """The public members that RFC 7638 section 3.2 hashes, by another library than ours."""
    with open(path, "rb") as f:
        public = serialization.load_pem_private_key(f.read(), None).public_key()
    numbers = public.public_numbers()

    def number(value, least=1):
        return b64url(value.to_bytes(max(least, (value.bit_length() + 7) // 8), "big"))

    if hasattr(numbers, "e"):
        return {"e": number(numbers.e), "kty": "RSA", "n": number(numbers.n)}
    return {"crv": "P-256", "kty": "EC", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}


def thumbprint(members):
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return b64url(hashlib.sha256(text.encode()).digest())


@pytest.mark.parametrize("kind", [RSA, EC])
def test_the_key_set_is_the_public_key_and_nothing_else(keys, kind):
    path = keys(kind)
    only, = json.loads(ok("--key", path, "--jwks"))["keys"]
    members = members_of(path)
    assert only == {**members, "kid": thumbprint(members), "alg": ALGORITHM[kind], "use": "sig"}
    assert jwt.get_unverified_header(token(keys, kind)) == {
        "alg": ALGORITHM[kind], "kid": only["kid"], "typ": "JWT"}


@pytest.mark.parametrize("kind", [RSA, EC])
def test_a_kid_of_ones_own_is_the_same_in_both(keys, kind):
    only, = json.loads(ok("--key", keys(kind), "--kid", "till 7 é", "--jwks"))["keys"]
    assert only["kid"] == "till 7 é"
    assert jwt.get_unverified_header(token(keys, kind, "--kid", "till 7 é"))["kid"] == "till 7 é"


def test_the_example_of_rfc_7638(tmp_path):
    """Section 3.1; its private half stands in RFC 7517 appendix A.2."""
    vector = os.path.join(CORPORA, "rfc-jose-vectors", "rfc7517_A.2.jwkset")
    if not os.path.exists(vector):
        pytest.skip("TILLWAY_CORPORA holds no rfc-jose-vectors")
    with open(vector, encoding="ascii") as f:
        jwk = next(key for key in json.load(f)["keys"] if key["kty"] == "RSA")
    path = tmp_path / "rfc7638.pem"
    path.touch(0o600)
    path.write_bytes(jwt.algorithms.RSAAlgorithm.from_jwk(jwk).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    only, = json.loads(ok("--key", str(path), "--jwks"))["keys"]
    assert only["n"] == jwk["n"] and only["kid"] == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("kind, words", [
    (RSA, ["rsa", "-traditional"]), (EC, ["ec"]), (EC, ["ec", "-param_enc", "explicit"])],
    ids=["PKCS 1", "SEC 1", "explicit parameters"])
def test_every_form_of_pem_is_the_same_key(keys, tmp_path, kind, words):
    path = tmp_path / "other.pem"
    openssl(*words, "-in", keys(kind), "-out", str(path))
    path.chmod(0o600)
    assert ok("--key", str(path), "--jwks") == ok("--key", keys(kind), "--jwks")


def test_a_key_may_come_through_a_pipe(keys):
    """So that it need not lie on a disk."""
    with open(keys(EC), "rb") as f:
        read, write = os.pipe()
        os.write(write, f.read())
        os.close(write)
    done = command("--key", "/dev/fd/%d" % read, "--jwks", pass_fds=[read])
    os.close(read)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip("\n") == ok("--key", keys(EC), "--jwks")


# ---- at a gateway ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway(work, config, keys):
    """Knows both keys by the files that `tillway token --jwks` printed. No leeway."""
    entries = []
    for kind in (RSA, EC):
        path = os.path.join(work, "jwks-%s.json" % kind)
        with open(path, "w", encoding="utf-8") as f:
            f.write(ok("--key", keys(kind), "--jwks"))
        entries.append({"issuer": issuer_of(kind), "jwksFile": path, "audience": [AUDIENCE],
                        "tokenUse": ["access", "id"]})
    gateway = Gateway(work, deep_merge(config, {
        "auth": {"issuers": entries, "leeway": "0s"}})).start()
    yield gateway
    gateway.stop()


@pytest.fixture
def api(gateway, request):
    request.node.gateways = [gateway]
    gateway.mark()
    with Api(gateway) as api:
        yield api


def refused(api, text, code="token-invalid"):
    assert_problem(api.get("/v1/me", token=text), 401, code)


@pytest.mark.parametrize("kind", [RSA, EC])
def test_a_token_by_default(api, keys, kind):
    """A cashier of the default store, for an hour."""
    text = token(keys, kind)
    me = api.get("/v1/me", token=text).json()
    claims = claims_of(text)
    assert (me["username"], me["clientId"], me["storeId"]) == ("smoke-test", AUDIENCE, "main")
    assert (me["roles"], me["tokenUse"], me["scope"]) == (["cashier"], "access", "openid")
    assert me["sub"] == claims["sub"] and claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 30
    assert api.get("/v1/products?limit=1", token=text).status_code == 200


@pytest.mark.parametrize("kind", [RSA, EC])
def test_everything_that_was_wished_is_in_it(api, keys, kind):
    text = token(keys, kind, "--role", "manager", "--role", "baker", "--store", "north", "--sub",
                 "till-7", "--username", "maria", "--scope", "pos/sell pos/read", "--ttl", "1h30m",
                 "--claim", 'custom:till={"number": 7}', "--claim", "version=null")
    me = api.get("/v1/me", token=text).json()
    assert (me["sub"], me["username"], me["storeId"]) == ("till-7", "maria", "north")
    assert (me["roles"], me["scope"]) == (["cashier", "manager"], "pos/sell pos/read")
    claims = claims_of(text)
    assert claims["cognito:groups"] == ["manager", "baker"] and claims["exp"] - claims["iat"] == 5400
    assert claims["custom:till"] == {"number": 7} and "version" not in claims


def test_an_id_token(api, keys):
    text = token(keys, EC, "--use", "id", "--username", "maria", "--role", "admin")
    me = api.get("/v1/me", token=text).json()
    assert (me["username"], me["tokenUse"], me["scope"]) == ("maria", "id", None)
    assert me["roles"][-1] == "admin"
    claims = claims_of(text)
    assert claims["aud"] == AUDIENCE and "client_id" not in claims and "scope" not in claims
    assert claims["email"] == "maria@example.com" and claims["email_verified"] is True


def test_no_role_no_store(api, keys):
    text = token(keys, EC, "--role", "none", "--store", "")
    assert not {"cognito:groups", "custom:storeId"} & set(claims_of(text))
    me = api.get("/v1/me", token=text).json()
    assert (me["roles"], me["storeId"]) == ([], "main")
    assert_problem(api.get("/v1/products", token=text), 403, "forbidden")


def test_the_same_user_name_is_the_same_subject(keys):
    first, again, other = (claims_of(token(keys, EC, "--username", name))
                           for name in ("ana", "ana", "anna"))
    assert first["sub"] == again["sub"] != other["sub"]
    assert first["jti"] != again["jti"]


def test_it_expires(api, keys):
    text = token(keys, EC, "--ttl", "4s")
    assert api.get("/v1/me", token=text).status_code == 200
    eventually(lambda: api.get("/v1/me", token=text).status_code == 401)
    refused(api, text, "token-expired")


def test_what_is_not_signed_by_the_known_key_is_refused(api, keys):
    stranger = keys(EC, "stranger")
    kid = json.loads(ok("--key", keys(EC), "--jwks"))["keys"][0]["kid"]
    refused(api, token(keys, EC, "--kid", "wrong"))
    refused(api, token(keys, EC, key=stranger))
    refused(api, token(keys, EC, "--kid", kid, key=stranger))
    refused(api, token(keys, RSA, issuer=issuer_of(EC)))
    refused(api, token(keys, EC, issuer="https://nobody.example.com"))
    refused(api, token(keys, EC, "--claim", 'client_id="somebody-else"'))
    assert api.get("/v1/me", token=token(keys, EC)).status_code == 200


def test_texts_of_all_alphabets_and_lengths(api, keys):
    """libjwt's base64 breaks lines unless it is told: the longest token there may be, and beyond."""
    name = "Zoë \"quote\" \\ 吧 🛒"
    assert api.get("/v1/me", token=token(keys, RSA, "--username", name)).json()["username"] == name
    for n in (1000, 4000, 5000):
        text = token(keys, RSA, "--claim", 'padding="%s"' % ("x" * n))
        assert api.get("/v1/me", token=text).status_code == 200, n
    assert "a gateway takes 8192: ask for fewer" in fails(
        1, "--key", keys(RSA), "--issuer", "x", "--client", "y", "--claim", 'a="%s"' % ("x" * 6000))


# ---- keys that will not do ------------------------------------------------------------------------


@pytest.mark.parametrize("kind, says", [
    ("short", "holds an RSA key of 1024 bits: make one of 2048 to 8192 bits"),
    ("p384", "holds an EC key on secp384r1: make one on P-256 (prime256v1)"),
    ("ed25519", "holds a key of type ED25519: make an RSA key, or an EC key on P-256"),
    ("pss", "holds a key of type RSA-PSS: make an RSA key, or an EC key on P-256")])
def test_other_keys(keys, kind, says):
    path = keys(kind)
    assert fails(1, "--key", path, "--jwks") == "tillway token: %s %s" % (path, says)
    assert fails(1, "--key", path, "--issuer", "x", "--client", "y").endswith(says)


@pytest.mark.parametrize("words", [["pkey", "-aes256"], ["rsa", "-traditional", "-aes256"]],
                         ids=["PKCS 8", "traditional"])
def test_an_encrypted_key_is_refused_and_no_passphrase_asked(keys, tmp_path, words):
    path = tmp_path / "encrypted.pem"
    openssl(*words, "-passout", "pass:swordfish", "-in", keys(RSA), "-out", str(path))
    assert fails(1, "--key", str(path), "--jwks").endswith(
        " is encrypted: write it without a passphrase (openssl pkey -in FILE -out PEM)")
    code, said = on_a_terminal("--key", str(path), "--jwks")
    assert code == 1 and "is encrypted" in said and "pass phrase" not in said


def test_files_that_hold_no_key(keys, tmp_path):
    def says(content):
        path = tmp_path / "file"
        path.write_bytes(content)
        path.chmod(0o600)
        line = fails(1, "--key", str(path), "--jwks")
        return line.removeprefix("tillway token: %s " % path)

    none = "holds no private key in PEM: write one as PEM (openssl pkey -in FILE -out PEM)"
    with open(keys(EC), "rb") as f:
        pem = f.read()
    assert says(b"") == none
    assert says(b"\0\1\2" * 100) == none
    assert says(pem[:100]) == none
    assert says(openssl("pkey", "-in", keys(EC), "-pubout").encode()) == none
    assert says(b"x" * 65537) == "is longer than 64 KiB: it is no private key"
    assert says(damaged(pem)) == "holds a key whose two halves do not fit: it is damaged, use another"


def damaged(pem):
    """That key with another one's public half, which stands at the end of PKCS 8."""
    stranger = openssl("genpkey", *MADE_BY[EC])
    one, other = (base64.b64decode("".join(text.strip().splitlines()[1:-1]))
                  for text in (pem.decode(), stranger))
    both = base64.encodebytes(one[:-65] + other[-65:]).decode()
    return ("-----BEGIN PRIVATE KEY-----\n%s-----END PRIVATE KEY-----\n" % both).encode()


def test_files_that_cannot_be_read(keys, tmp_path):
    missing = str(tmp_path / "missing")
    assert fails(1, "--key", missing, "--jwks") == (
        "tillway token: cannot read %s: No such file or directory: name a file that you may read"
        % missing)
    assert "Is a directory" in fails(1, "--key", str(tmp_path), "--jwks")
    if os.geteuid() != 0:
        os.chmod(keys(EC, "locked"), 0)
        assert "Permission denied" in fails(1, "--key", keys(EC, "locked"), "--jwks")


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_used_with_a_warning(keys, mode):
    path = keys(EC, "shared")
    os.chmod(path, mode)
    done = command("--key", path, "--jwks")
    warned = "tillway token: warning: others can read %s (mode %04o): chmod 600 %s\n" % (
        path, mode, path)
    assert (done.returncode, done.stderr) == (
        0, warned if mode & (stat.S_IRGRP | stat.S_IROTH) else "")
    assert json.loads(done.stdout)["keys"]


# ---- wrong words ----------------------------------------------------------------------------------

WHOLE = ["--key", "KEY", "--issuer", "https://x.example.com", "--client", "c"]
TTL = "wants whole seconds from 1s to 8760h, such as 90s or 1h30m"
CLAIM = "wants NAME=JSON in UTF-8; a text is quoted: 'name=\"text\"'"


@pytest.mark.parametrize("words, says", [
    ([], "--key is missing"),
    (["--jwks"], "--key is missing"),
    (["--key"], "--key: wants a value"),
    (["--key", "KEY"], "--issuer is missing"),
    (["--key", "KEY", "--issuer", "", "--client", "c"], "--issuer is missing"),
    (["--key", "KEY", "--issuer", "x"], "--client is missing"),
    (["--key", "KEY", "--jwks", "--role", "admin"], "--role does not go with --jwks"),
    (["--key", "KEY", "--jwks", "--ttl", "1h"], "--ttl does not go with --jwks"),
    (["--key", "KEY", "--jwks", "--kid", ""], "--kid wants 1 to 256 bytes of UTF-8"),
    (["--key", "KEY", "--jwks", "--kid", "x" * 257], "--kid wants 1 to 256 bytes of UTF-8"),
    (["--key", "KEY", "--jwks", "--kid", b"\xff"], "--kid wants 1 to 256 bytes of UTF-8"),
    ([*WHOLE, "--use", "refresh"], "--use refresh: is access or id"),
    ([*WHOLE, "--role", ""], "--role wants a name in UTF-8, or none"),
    ([*WHOLE, "--role", b"\xff"], "--role wants a name in UTF-8, or none"),
    *(([*WHOLE, "--ttl", ttl], "--ttl %s: %s" % (ttl, TTL)) for ttl in (
        "", "0s", "1", "-1s", "1500ms", "999ms", "8760h1s", "9999999999999999999h", "1m1h", "1 h")),
    *(([*WHOLE, "--claim", claim], "--claim %s: %s" % (claim, CLAIM)) for claim in (
        "", "x", "=1", "x=", "x=text", 'x={"a":1,"a":2}', "x=1 2")),
    ([*WHOLE, "--claim", b'x="\xff"'], None),
    ([*WHOLE, "--nonsense"], "--nonsense: no such option"),
    ([*WHOLE, "--secret=1"], "--secret=1: no such option"),
    ([*WHOLE, "-k"], "-k: no such option"),
    ([*WHOLE, "word"], "word: no such option"),
], ids=lambda v: " ".join(map(str, v))[-40:] if isinstance(v, list) else "")
def test_wrong_words(keys, words, says):
    words = [keys(EC) if word == "KEY" else word for word in words]
    if any(isinstance(word, bytes) for word in words):
        done = raw(*words)
        assert (done.returncode, done.stdout) == (2, b"") and done.stderr.count(b"\n") == 1
        assert says is None or says.encode() in done.stderr
    else:
        assert fails(2, *words) == "tillway token: %s (see tillway token --help)" % says


def test_the_limits_of_ttl(keys):
    for ttl, seconds in (("1s", 1), ("8760h", 365 * 86400), ("1000ms", 1), ("1m30s", 90)):
        claims = claims_of(token(keys, EC, "--ttl", ttl))
        assert claims["exp"] - claims["iat"] == seconds


def test_a_text_that_is_not_utf8_makes_no_token(keys):
    done = raw("--key", keys(EC), "--issuer", b"\xff", "--client", "c")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"tillway token: cannot make claims (is every text UTF-8?)\n"


def test_output_that_cannot_be_written(keys):
    with open("/dev/full", "w", encoding="ascii") as full:
        process = spawn([BINARY, "token", "--key", keys(EC), "--jwks"], stdout=full, stderr=-1,
                        env=clean_environment())
        said = process.communicate(timeout=20)[1].decode()
    assert process.returncode == 1
    assert said == "tillway token: cannot print: No space left on device\n"


def test_help():
    done = run([BINARY, "token", "--help"])
    assert done.returncode == 0 and done.stderr == "" and "--jwks" in done.stdout
    assert "tillway token" in run([BINARY, "help"]).stdout


def test_the_recipe_of_the_document(start, tmp_path):
    """docs/identity.md, "A token of your own", to the letter."""
    with open(os.path.join(ROOT, "docs", "identity.md"), encoding="utf-8") as f:
        recipe, = re.findall(r"```sh\n(.*?tillway token .*?)```", f.read(), re.S)
    issuer = re.search(r"^# +auth\.issuers: - (.*)$", recipe, re.M).group(1)
    os.symlink(BINARY, tmp_path / "tillway")
    done = run(["bash", "-euc", recipe], cwd=tmp_path,
               env={**clean_environment(), "PATH": "%s:%s" % (tmp_path, os.environ["PATH"])})
    assert done.returncode == 0, done.stderr
    known = issuer.replace("jwksFile: ", "jwksFile: %s/" % tmp_path)
    gateway = start(env={"TILLWAY_AUTH_ISSUERS": "[%s]" % known})
    with Api(gateway, done.stdout.rstrip("\n")) as api:
        assert api.get("/v1/me").json()["roles"] == ["cashier"]
