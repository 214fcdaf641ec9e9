# SPDX-License-Identifier: Apache-2.0
"""A corpus of bearer tokens, good ones and every mutation of FAULTS A5, made anew for each run.

    workshop = Workshop(directory, now)
    workshop.issuers(), workshop.verifiers()   what the gateway and aws-jwt-verify are told
    encoding(workshop); workshop.order(…)      what is wanted
    workshop.deliver()                         [Token(name, verifier, text)], signed

The maker is Debian's `jose`, which shares no code with the gateway: keys, and every signature under
a header that is a JSON object with a usable `alg`. Python makes the rest: what jose refuses to write
(broken headers, `none`) and what it does not know (Ed25519, RSA below 2048 bits, secp256k1).
A token's name is "family/what". Texts hold one character per byte (Latin-1).

Left out, because no token that reaches the gateway can carry them: CR and LF end a header field, and
spaces or tabs around its value are not part of it (RFC 9110 section 5.5). Left out as well: a good
PS256 token, because aws-jwt-verify knows no PS256 (test_ps256 asks the gateway alone)."""

import base64
import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (decode_dss_signature,
                                                               encode_dss_signature)

from kit.cognito import NPM

LEEWAY_S = 120
TOKEN_MAX_BYTES = 8192
GONE = object()  # a claim or header member that is left out; None is JSON's null
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
CLIENT, AUDIENCE = "till-client-1", "https://tills.example"
POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_"
OIDC = "https://id.example/"
HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
JOSE_ALGORITHMS = [kind + bits for kind in ("HS", "RS", "PS", "ES") for bits in HASHES]
ODD_KIDS = ["with space", "a/b+c==", "../../etc/passwd", "' OR 1=1 --", "0", "null", "\u00e9\u2028\U0001f600",
            "__proto__", "x" * 256, "a.b", "\"\\"]
UNTAKEN_KIDS = ["", "y" * 257]  # in the set, but not for us


def why_absent():
    """One line why the corpus cannot be made or judged here; None when it can."""
    if not shutil.which("jose"):
        return "jose is not installed: dev/install.sh test"
    if not shutil.which("node"):
        return "node is not installed: dev/install.sh npm"
    if not os.path.isdir(os.path.join(NPM, "node_modules/aws-jwt-verify")):
        return "the npm packages of the tests are not installed: tests/npm/install.sh"
    return None


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text):
    return int.from_bytes(decode(text), "big")


def dump(value):
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def changed(base, changes):
    return {name: value for name, value in {**base, **changes}.items() if value is not GONE}


def jose(*words):
    done = subprocess.run(["jose", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, "jose %s: %s" % (words[:2], done.stderr[:500])
    return done.stdout.strip()


# ---- keys -----------------------------------------------------------------------------------------


class Key:
    """A key pair; `algorithm` is what it signs with unless a header says otherwise."""

    _count = itertools.count()

    def __init__(self, directory, private, algorithm, kid, by_jose=True):
        """private: a JWK of jose's, or a private key of the library `cryptography`."""
        self.algorithm, self.kid, self.by_jose = algorithm, kid, by_jose
        if not by_jose:
            self.private = private
            return
        self.jwk = {name: private[name] for name in private if name not in ("alg", "key_ops", "kid")}
        self.path = os.path.join(directory, "key-%d.jwk" % next(self._count))
        with open(self.path, "w", encoding="ascii") as f:
            json.dump(self.jwk, f)
        if private["kty"] == "RSA":
            n, e, d, p, q, dp, dq, qi = (number(private[name])
                                         for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi"))
            self.private = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e,
                n)).private_key()
        elif private["kty"] == "EC":
            curve = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}[private["crv"]]()
            self.private = ec.derive_private_key(number(private["d"]), curve)

    def public(self, **changes):
        """The JWK for a key set; changes with GONE leave a member out."""
        if self.by_jose:
            jwk = {name: self.jwk[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in self.jwk}
        else:
            jwk = self._public_by_python()
        return changed({**jwk, "kid": self.kid, "alg": self.algorithm, "use": "sig"}, changes)

    def _public_by_python(self):
        public = self.private.public_key()
        if isinstance(self.private, rsa.RSAPrivateKey):
            numbers = public.public_numbers()
            return {"kty": "RSA", "e": "AQAB",
                    "n": encode(numbers.n.to_bytes(-(-numbers.n.bit_length() // 8), "big"))}
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            numbers = public.public_numbers()
            return {"kty": "EC", "crv": "secp256k1", "x": encode(numbers.x.to_bytes(32, "big")),
                    "y": encode(numbers.y.to_bytes(32, "big"))}
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519" if len(raw) == 32 else "Ed448", "x": encode(raw)}

    def sign(self, text, algorithm=None):
        """By Python: over any bytes."""
        data, algorithm = text.encode("latin-1"), algorithm or self.algorithm
        if algorithm == "EdDSA":
            return self.private.sign(data)
        digest = HASHES[algorithm[2:]]()
        if algorithm.startswith("RS"):
            return self.private.sign(data, padding.PKCS1v15(), digest)
        if algorithm.startswith("PS"):
            return self.private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
        size = -(-self.private.curve.key_size // 8)
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def encodings(self):
        """Every spelling of the public key that somebody may have taken for a shared secret."""
        public, encoding = self.private.public_key(), serialization.Encoding
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        pem = public.public_bytes(encoding.PEM, spki)
        out = {"PEM": pem, "PEM without its last newline": pem.rstrip(),
               "DER": public.public_bytes(encoding.DER, spki),
               "JWK": dump(self.public()), "an empty secret": b""}
        if isinstance(self.private, rsa.RSAPrivateKey):
            out["PKCS1"] = public.public_bytes(encoding.PEM, serialization.PublicFormat.PKCS1)
            out["modulus"] = decode(self.jwk["n"])
        return out


# ---- tokens ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class Token:
    name: str
    verifier: str
    text: str

    @property
    def family(self):
        return self.name.partition("/")[0]


@dataclasses.dataclass
class Parts:
    """A signed token before it is put together, as three texts."""
    head: str
    body: str
    tail: str

    def __str__(self):
        return "%s.%s.%s" % (self.head, self.body, self.tail)

    @property
    def signature(self):
        return decode(self.tail)

    def with_signature(self, raw):
        return "%s.%s.%s" % (self.head, self.body, encode(raw))


@dataclasses.dataclass
class Order:
    """A token still to be signed: `head` is a dict or, for what is none, the segment's text; `body`
    is the segment's text; `bend` makes the token's text of the Parts."""
    name: str
    verifier: str
    head: object
    body: str
    key: Key
    bend: object

    @property
    def by_jose(self):
        return (self.key.by_jose and isinstance(self.head, dict) and
                self.head.get("alg") in JOSE_ALGORITHMS and "\\u0000" not in json.dumps(self.head))

    def signed_by_python(self):
        head = self.head if isinstance(self.head, str) else encode(dump(self.head))
        return Parts(head, self.body, encode(self.key.sign("%s.%s" % (head, self.body))))


class Workshop:
    """Takes orders, has them signed, and delivers tokens."""

    def __init__(self, directory, now):
        self.directory, self.now = directory, now
        self._orders = []
        self._count = itertools.count()
        self._make_keys()

    def _make_keys(self):
        def python(private, algorithm, kid):
            return Key(None, private, algorithm, kid, by_jose=False)

        wanted = {"rsa": "RS256", "bare": "RS256", "other": "RS256", "stranger": "RS256",
                  "ec": "ES256", "bare-ec": "ES256", "stranger-ec": "ES256", "ec384": "ES384"}
        made = json.loads(jose("jwk", "gen", "-i", json.dumps(
            {"keys": [{"alg": algorithm} for algorithm in wanted.values()]})))["keys"]
        self.keys = {name: Key(self.directory, jwk, algorithm, "kid-" + name)
                     for (name, algorithm), jwk in zip(wanted.items(), made)}
        for stranger, victim in (("stranger", "rsa"), ("stranger-ec", "ec"), ("other", "rsa")):
            self.keys[stranger].kid = self.keys[victim].kid
        self.keys.update({
            "short": python(rsa.generate_private_key(65537, 1024), "RS256", "kid-short"),
            "koblitz": python(ec.generate_private_key(ec.SECP256K1()), "ES256", "kid-koblitz"),
            "ed": python(ed25519.Ed25519PrivateKey.generate(), "EdDSA", "kid-ed"),
            "stranger-ed": python(ed25519.Ed25519PrivateKey.generate(), "EdDSA", "kid-ed"),
            "ed448": python(ed448.Ed448PrivateKey.generate(), "EdDSA", "kid-ed448")})

    def pool_set(self):
        """Keys of the Cognito-shaped issuers: one good key under many kids, then the questionable."""
        key, jwk = self.keys["rsa"], self.keys["rsa"].jwk
        return {"keys": [
            key.public(), self.keys["bare"].public(alg=GONE), self.keys["short"].public(),
            *(key.public(kid=kid) for kid in ODD_KIDS + UNTAKEN_KIDS),
            key.public(kid="for encryption", use="enc"), key.public(kid="to sign", key_ops=["sign"]),
            key.public(kid="to verify", key_ops=["verify"]), key.public(kid="private", **jwk),
            key.public(kid="bound to RS512", alg="RS512"), key.public(kid="bound to PS256", alg="PS256"),
            {"kty": "oct", "k": encode(b"k" * 32), "kid": "secret", "alg": "HS256"}]}

    def oidc_set(self):
        """Keys of the other issuers. `other` has the kid of `rsa`."""
        return {"keys": [self.keys["other"].public(), self.keys["ec"].public(),
                         self.keys["bare-ec"].public(alg=GONE), self.keys["ed"].public(),
                         self.keys["ec384"].public(), self.keys["koblitz"].public(),
                         self.keys["ed448"].public()]}

    # ---- orders ---------------------------------------------------------------------------------

    def claims(self, verifier="pool", **changes):
        """Good claims for a verifier, in which single ones can be replaced or left out (GONE)."""
        base = {"sub": "11111111-2222-8333-9444-555555555555", "iat": self.now, "exp": self.now + 3600,
                "jti": "%d-%d" % (self.now, next(self._count)), "scope": "openid pos/sell"}
        if verifier in ("pool", "access", "ruled"):
            base.update({"iss": POOL + verifier, "token_use": "access", "client_id": CLIENT,
                         "username": "ana", "cognito:groups": ["cashier", "till-staff"]})
        elif verifier == "id":
            base.update({"iss": POOL + "id", "token_use": "id", "aud": CLIENT, "scope": GONE,
                         "cognito:username": "ana", "custom:storeId": "main", "email_verified": True})
        else:
            base.update({"iss": OIDC + verifier, "aud": AUDIENCE})
        return changed(base, changes)

    def order(self, name, verifier="pool", payload=None, header=(), head=None, body=None, key=None,
              bend=str, **changes):
        """A token with these claims (`changes` to good ones), or with any bytes as `payload`, or any
        text as segment `body`; under these changes to the header, or any bytes or text as `head`."""
        key = key or self.keys["rsa" if verifier in ("pool", "access", "id", "ruled") else "other"]
        if head is None:
            head = changed({"alg": key.algorithm, "kid": key.kid}, dict(header))
        elif isinstance(head, bytes):
            head = encode(head)
        if body is None:
            body = encode(dump(payload if payload is not None else self.claims(verifier, **changes)))
        assert name not in {order.name for order in self._orders}, name
        self._orders.append(Order(name, verifier, head, body, key, bend))

    def deliver(self):
        """Signs all orders, those with one payload by one process of jose, and makes the tokens."""
        by_body = {}
        for order in self._orders:
            if order.by_jose:
                by_body.setdefault(order.body, []).append(order)
        parts = {order.name: order.signed_by_python() for order in self._orders if not order.by_jose}
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for made in pool.map(self._signed_by_jose, by_body.values()):
                parts.update(made)
        self.parts = parts
        done = [Token(order.name, order.verifier, order.bend(parts[order.name])) for order in self._orders]
        self._orders = []
        return done

    @staticmethod
    def _signed_by_jose(orders):
        words = []
        for order in orders:
            words += ["-s", json.dumps({"protected": order.head}), "-k", order.key.path]
        made = jose("jws", "sig", "-i", json.dumps({"payload": orders[0].body}), *words)
        # Not json.loads: jose copies a payload that is no base64url into its output as it is.
        signed = re.findall(r'"protected":"([\w-]+)","signature":"([\w-]+)"', made)
        assert len(signed) == len(orders)
        return {order.name: Parts(head, order.body, tail) for order, (head, tail) in zip(orders, signed)}

    # ---- what the two sides are told --------------------------------------------------------------

    ALGORITHMS = {"oidc": ["RS256", "ES256", "EdDSA"], "usual": None, "scoped": ["RS256"]}
    SCOPES, GROUPS = ["pos/sell", "pos/read"], ["till-staff", "Kassa \u00fcber"]

    def issuers(self):
        """Entries of auth.issuers; the key sets are written as files."""
        files = {}
        pss = {"keys": [self.keys["other"].public(alg="PS256")]}
        for name, document in (("pool", self.pool_set()), ("oidc", self.oidc_set()), ("pss", pss)):
            files[name] = os.path.join(self.directory, name + ".json")
            with open(files[name], "w", encoding="utf-8") as f:
                json.dump(document, f)
        ruled = {"scopes": self.SCOPES, "groups": self.GROUPS}
        pools = [{"issuer": POOL + name, "jwksFile": files["pool"], "clientIds": [CLIENT, "till-client-2"],
                  "tokenUse": use, **(ruled if name == "ruled" else {})}
                 for name, use in (("pool", ["access", "id"]), ("access", ["access"]), ("id", ["id"]),
                                   ("ruled", ["access", "id"]))]
        others = [{"issuer": OIDC + name, "jwksFile": files["oidc"], "audience": [AUDIENCE, "second"],
                   **({"algorithms": algorithms} if algorithms else {}),
                   **({"scopes": self.SCOPES} if name == "scoped" else {})}
                  for name, algorithms in self.ALGORITHMS.items()]
        return pools + others + [{"issuer": OIDC + "pss", "jwksFile": files["pss"], "audience": [AUDIENCE],
                                  "algorithms": ["PS256"]}]

    def verifiers(self):
        """The same for tests/npm/verify-corpus.js."""
        def options(**more):
            return {"graceSeconds": LEEWAY_S, **more}

        out = {}
        for name, use in (("pool", None), ("access", "access"), ("id", "id"), ("ruled", None)):
            ruled = {"scope": self.SCOPES, "groups": self.GROUPS} if name == "ruled" else {}
            out[name] = {"kind": "cognito", "jwks": self.pool_set(), "options": options(
                userPoolId="eu-west-1_" + name, clientId=[CLIENT, "till-client-2"], tokenUse=use, **ruled)}
        for name in self.ALGORITHMS:
            scoped = {"scope": self.SCOPES} if name == "scoped" else {}
            out[name] = {"kind": "jwt", "jwks": self.oidc_set(), "options": options(
                issuer=OIDC + name, audience=[AUDIENCE, "second"], **scoped)}
        return out


# ---- families of wrong bytes; those of wrong words are in test_corpus.py --------------------------


def of_size(w, name, size):
    """A token of exactly that many bytes."""
    for filler in range(4):  # a header of another length where the segment's cannot be met
        header = {"x": "f" * filler}
        head = len(encode(dump({"alg": "RS256", "kid": w.keys["rsa"].kid, **header})))
        letters = size - head - 2 - 342
        if letters % 4 != 1:
            claims = w.claims(pad="")
            claims["pad"] = "p" * (letters * 3 // 4 - len(dump(claims)))
            return w.order(name, payload=claims, header=header)
    raise AssertionError("no token of %d bytes" % size)


def encoding(w):
    """Base64url, white space, segments (RFC 7515 sections 2 and 7.1). `signed`: what is wrong is part
    of what has been signed, so that only strict reading can refuse it."""
    own = w.keys["rsa"]
    heads = [encode(dump({"kid": own.kid, "alg": "RS256", "x": "x" * n})) for n in range(3)]
    bodies = [encode(dump(w.claims(x="x" * n))) for n in range(3)]
    head, body = (next(t for t in texts if len(t) % 4 == 2) for texts in (heads, bodies))

    def other_last(text, by=1):
        """The same bytes when the spare bits of the last letter are not looked at."""
        return text[:-1] + LETTERS[LETTERS.index(text[-1]) ^ by]

    for what, bent in {"=": lambda t: t + "=", "==": lambda t: t + "==", "===": lambda t: t + "===",
                       "another last letter": other_last, "one letter more": lambda t: t + "A",
                       "a space": lambda t: t[:8] + " " + t[8:], "a tab": lambda t: t[:8] + "\t" + t[8:],
                       "a letter that is none": lambda t: t[:8] + "!" + t[8:],
                       "+": lambda t: t[:8] + "+" + t[9:],
                       "/": lambda t: t[:8] + "/" + t[9:], "%3D": lambda t: t + "%3D"}.items():
        w.order("encoding/header, %s, signed" % what, head=bent(head), body=body)
        w.order("encoding/payload, %s, signed" % what, body=bent(body))
        w.order("encoding/header, %s" % what, head=head, body=body,
                bend=lambda p, b=bent: "%s.%s.%s" % (b(p.head), p.body, p.tail))
        w.order("encoding/payload, %s" % what, body=body,
                bend=lambda p, b=bent: "%s.%s.%s" % (p.head, b(p.body), p.tail))
        w.order("encoding/signature, %s" % what, body=body,
                bend=lambda p, b=bent: "%s.%s.%s" % (p.head, p.body, b(p.tail)))
    for by in range(2, 16):
        w.order("encoding/signature, spelling %d" % by, body=body,
                bend=lambda p, by=by: "%s.%s.%s" % (p.head, p.body, other_last(p.tail, by)))
    for what, key in (("ES256", w.keys["ec"]), ("EdDSA", w.keys["ed"])):
        w.order("encoding/%s signature, another last letter" % what, "oidc", key=key,
                bend=lambda p: "%s.%s.%s" % (p.head, p.body, other_last(p.tail)))
        w.order("encoding/%s signature, ==" % what, "oidc", key=key, bend=lambda p: str(p) + "==")
    for what, bend in {
            "classic alphabet": lambda p: str(p).replace("-", "+").replace("_", "/"),
            "lower case": lambda p: str(p).lower(),
            "NUL behind": lambda p: "%s\0" % p,
            "NUL inside": lambda p: p.head + ".\0" + p.body + "." + p.tail,
            "U+0001 inside": lambda p: p.head + "." + p.body + "\x01." + p.tail,
            "DEL behind": lambda p: "%s\x7f" % p,
            "Latin-1 behind": lambda p: "%s\xe9" % p, "UTF-8 behind": lambda p: "%s\xc3\xa9" % p,
            "space before a dot": lambda p: p.head + " ." + p.body + "." + p.tail,
            "space behind a dot": lambda p: p.head + ". " + p.body + "." + p.tail,
            "four letters behind": lambda p: "%sAAAA" % p, "two letters behind": lambda p: "%sAA" % p,
            "three letters behind": lambda p: "%sAAA" % p,
            "dot behind": lambda p: "%s." % p, "dot before": lambda p: ".%s" % p,
            "two dots": lambda p: "%s..%s.%s" % (p.head, p.body, p.tail),
            "escaped dot": lambda p: "%s%%2E%s.%s" % (p.head, p.body, p.tail),
            "comma for a dot": lambda p: "%s,%s.%s" % (p.head, p.body, p.tail),
            "no segment": lambda p: "", "one segment": lambda p: p.head,
            "two segments": lambda p: p.head + "." + p.body,
            "four segments": lambda p: "%s.%s" % (p, p.tail),
            "five segments": lambda p: "%s.%s.%s" % (p, p.body, p.tail),
            "only dots": lambda p: "..", "four dots": lambda p: "....",
            "no header": lambda p: ".%s.%s" % (p.body, p.tail),
            "no payload": lambda p: "%s..%s" % (p.head, p.tail),
            "no signature": lambda p: "%s.%s." % (p.head, p.body),
            "in quotes": lambda p: '"%s"' % p, "twice": lambda p: "%s, %s" % (p, p),
            "parameter behind": lambda p: "%s;x=1" % p,
            "word behind": lambda p: "%s x" % p, "scheme before": lambda p: "Bearer %s" % p,
            "escaped": lambda p: str(p).replace("e", "%65"),
            "segments swapped": lambda p: "%s.%s.%s" % (p.body, p.head, p.tail),
            "whole in base64url": lambda p: encode(str(p).encode())}.items():
        w.order("encoding/%s" % what, bend=bend)
    w.order("encoding/empty payload, signed", body="")
    w.order("encoding/empty object as payload, signed", payload=b"{}")
    for size in (TOKEN_MAX_BYTES + 1, TOKEN_MAX_BYTES + 2000):
        of_size(w, "encoding/%d bytes" % size, size)


def serialisation(w):
    """What jose writes when it is not asked for the compact form (RFC 7515 section 7.2), and JWE."""
    own, other = w.keys["rsa"], w.keys["bare"]
    head = json.dumps({"protected": {"alg": "RS256", "kid": own.kid}})
    second = json.dumps({"protected": {"alg": "RS256", "kid": other.kid}})
    template = json.dumps({"payload": encode(dump(w.claims()))})
    flat = jose("jws", "sig", "-i", template, "-s", head, "-k", own.path)
    general = jose("jws", "sig", "-i", template, "-s", head, "-k", own.path, "-s", second, "-k", other.path)
    compact = jose("jws", "sig", "-c", "-i", template, "-s", head, "-k", own.path)
    made = {"flattened": flat, "general": general, "flattened in base64url": encode(flat.encode()),
            "header beside protected": json.dumps({**json.loads(flat), "header": {"kid": own.kid}}),
            "flattened between dots": ".%s." % flat, "compact in JSON text": json.dumps(compact)}
    plain, recipient = (os.path.join(w.directory, name) for name in ("plain", "recipient.jwk"))
    for what, content in (("claims", dump(w.claims())), ("a good token", compact.encode())):
        with open(plain, "wb") as f:
            f.write(content)
        for key, alg in ((own, "RSA1_5"), (w.keys["ec"], "ECDH-ES"), (w.keys["ec"], "ECDH-ES+A128KW")):
            with open(recipient, "w", encoding="ascii") as f:
                json.dump(key.public(alg=GONE, use=GONE), f)
            protected = {"protected": {"alg": alg, "enc": "A128CBC-HS256", "kid": key.kid, "cty": "JWT"}}
            made["JWE of %s by %s" % (what, alg)] = jose(
                "jwe", "enc", "-c", "-I", plain, "-k", recipient, "-i", json.dumps(protected))
    made["JWE in JSON"] = jose("jwe", "enc", "-I", plain, "-k", recipient)
    for what, text in made.items():
        w.order("serialisation/%s" % what, bend=lambda p, t=text: t)
    w.order("serialisation/compact, as jose writes it", bend=lambda p: compact)
    w.order("serialisation/nested token", header={"cty": "JWT"}, payload=compact.encode())


def signed_by(change):
    """The token with another signature, made of its own."""
    return lambda p: p.with_signature(change(p.signature))


def signatures(w):
    """Signatures of other bytes, other keys, other forms (RFC 7515 section 5.2, RFC 8017, RFC 7518
    section 3.4, RFC 8032)."""
    def flipped(raw, bit):
        bit %= 8 * len(raw)
        return raw[:bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1:]

    common = {
        "first bit": lambda s: flipped(s, 7), "last bit": lambda s: flipped(s, -8),
        "middle bit": lambda s: flipped(s, 4 * len(s) + 3),
        "a byte less": lambda s: s[:-1], "first byte less": lambda s: s[1:],
        "half": lambda s: s[:len(s) // 2], "one byte": lambda s: s[:1],
        "a byte more": lambda s: s + b"\0", "a byte before": lambda s: b"\0" + s,
        "twice": lambda s: s + s, "reversed": lambda s: s[::-1],
        "zeros": lambda s: bytes(len(s)), "ones": lambda s: b"\xff" * len(s),
        "inverted": lambda s: bytes(b ^ 255 for b in s),
        "1": lambda s: b"\1".rjust(len(s), b"\0"), "empty": lambda s: b"",
        "1000 bytes": lambda s: s.ljust(1000, b"\0"), "1030 bytes": lambda s: s.ljust(1030, b"\0")}
    for kind, verifier, stranger in (("rsa", "pool", "stranger"), ("ec", "oidc", "stranger-ec"),
                                     ("ed", "oidc", "stranger-ed")):
        key, body = w.keys[kind], encode(dump(w.claims(verifier)))
        for what, bend in common.items():
            w.order("signature/%s, %s" % (kind, what), verifier, key=key, body=body, bend=signed_by(bend))
        of_another = "good/pool" if kind == "rsa" else "good/ES256"
        exchanged = encode(dump(w.claims(verifier, sub="admin")))
        head = encode(dump({"kid": key.kid, "alg": key.algorithm}))
        for what, bend in {
                "of another token": lambda p, o=of_another: p.with_signature(w.parts[o].signature),
                "claims exchanged": lambda p, e=exchanged: "%s.%s.%s" % (p.head, e, p.tail),
                "header exchanged": lambda p, h=head: "%s.%s.%s" % (h, p.body, p.tail),
                "of the payload alone": lambda p, k=key: p.with_signature(k.sign(p.body)),
                "of the decoded text": lambda p, k=key: p.with_signature(k.sign(
                    (decode(p.head) + b"." + decode(p.body)).decode("latin-1")))}.items():
            w.order("signature/%s, %s" % (kind, what), verifier, key=key, bend=bend)
        w.order("signature/%s, another key of this kid" % kind, verifier, key=w.keys[stranger], body=body)
        w.order("signature/%s, expired and a bit flipped" % kind, verifier, key=key, exp=w.now - 3600,
                bend=signed_by(lambda s: flipped(s, 77)))
    w.order("signature/the other set's key of this kid", key=w.keys["other"])
    w.order("signature/this kid's key of the other set", "oidc", key=w.keys["rsa"])
    _rsa_signatures(w)
    _curve_signatures(w)


def _rsa_signatures(w):
    """EMSA-PKCS1-v1_5 is checked to the last bit: whoever skips a part of it can be deceived."""
    key, prefix = w.keys["rsa"], bytes.fromhex("3031300d060960864801650304020105000420")
    private = key.private.private_numbers()
    n, size = private.public_numbers.n, 256

    def padded(p, middle, fill=b"\xff", kind=b"\1", behind=b""):
        tail = b"\0" + middle + hashlib.sha256(("%s.%s" % (p.head, p.body)).encode()).digest() + behind
        block = b"\0" + kind + fill * (size - 2 - len(tail)) + tail
        return pow(int.from_bytes(block, "big"), private.d, n).to_bytes(size, "big")

    no_null = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20"
    for what, bend in {
            "no DigestInfo": lambda p: padded(p, b""),
            "no NULL in the DigestInfo": lambda p: padded(p, no_null),
            "SHA-512 in the DigestInfo": lambda p: padded(p, prefix.replace(b"\2\1\5", b"\2\3\5")),
            "bytes behind the hash": lambda p: padded(p, prefix, behind=b"x" * 32),
            "padding of zeros": lambda p: padded(p, prefix, fill=b"\0"),
            "block type 2": lambda p: padded(p, prefix, kind=b"\2"),
            "block type 0": lambda p: padded(p, prefix, kind=b"\0"),
            "n - s": lambda p: (n - int.from_bytes(p.signature, "big")).to_bytes(size, "big"),
            "n": lambda p: n.to_bytes(size, "big"), "n - 1": lambda p: (n - 1).to_bytes(size, "big"),
            "s + n": lambda p: (n + int.from_bytes(p.signature, "big")).to_bytes(size + 1, "big")}.items():
        w.order("signature/rsa, %s" % what, bend=lambda p, b=bend: p.with_signature(b(p)))
    w.order("good/RS256 by hand", bend=lambda p: p.with_signature(padded(p, prefix)))


def _curve_signatures(w):
    order = P256_ORDER.to_bytes(32, "big")
    zero, one = bytes(32), b"\1".rjust(32, b"\0")

    def integer(raw, order="big"):
        return int.from_bytes(raw, order)

    def der(s):
        return encode_dss_signature(integer(s[:32]), integer(s[32:]))

    for what, bend in {
            "DER": der, "r zero": lambda s: zero + s[32:], "s zero": lambda s: s[:32] + zero,
            "r and s one": lambda s: one + one,
            "r the order": lambda s: order + s[32:], "s the order": lambda s: s[:32] + order,
            "r and s the order": lambda s: order + order,
            "r and s swapped": lambda s: s[32:] + s[:32],
            "r negated": lambda s: (P256_ORDER - integer(s[:32])).to_bytes(32, "big") + s[32:],
            "halves of 48 bytes": lambda s: s[:32].rjust(48, b"\0") + s[32:].rjust(48, b"\0"),
            "halves of 33 bytes": lambda s: b"\0" + s[:32] + b"\0" + s[32:],
            "halves of 31 bytes": lambda s: s[1:32] + s[33:]}.items():
        w.order("signature/ec, %s" % what, "oidc", key=w.keys["ec"], bend=signed_by(bend))
    for what, bend in {
            "S + L": lambda s: s[:32] + (integer(s[32:], "little") + ED25519_ORDER).to_bytes(32, "little"),
            "S zero": lambda s: s[:32] + zero, "R the neutral element, S zero": lambda s: b"\1" + bytes(63),
            "R and S swapped": lambda s: s[32:] + s[:32]}.items():
        w.order("signature/ed, %s" % what, "oidc", key=w.keys["ed"], bend=signed_by(bend))
