# SPDX-License-Identifier: Apache-2.0
"""Third issue, Show 2: hundreds of tokens, each judged by the gateway and by aws-jwt-verify, Amazon's
own verifier (tests/npm/verify-corpus.js). What we accept it accepts, without exception; what it
accepts and we refuse stands in STRICTER with the reason. FAULTS A5.

The tokens are made anew for each run by kit/corpus.py. What they are stands there for wrong bytes, and
here for wrong words, one function for each family. Both sides forgive the same LEEWAY_S."""

import fnmatch
import hmac
import json
import os
import re
import socket
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from kit.corpus import (AUDIENCE, CLIENT, GONE, HASHES, LEEWAY_S, NPM, ODD_KIDS, OIDC, P256_ORDER, POOL,
                        TOKEN_MAX_BYTES, UNTAKEN_KIDS, Key, Workshop, dump, encode, encoding, of_size,
                        serialisation, signatures, why_absent)
from kit.gateway import Gateway, deep_merge
from kit.processes import run

# What aws-jwt-verify accepts and we refuse: why, and names of tokens (patterns of fnmatch). Each name
# must be needed, and must match nothing that both refuse.
STRICTER = {
    "RFC 9068 section 2.2 requires exp (RFC 7519 section 4.1.4 does not): a token must end.":
        ["claims/exp missing"],
    "RFC 9068 section 2.2 requires sub: it is who has sold.": ["claims/sub missing", "claims/sub empty"],
    "RFC 7519 section 2: a NumericDate counts seconds from 1970; before, or after 9999, it is no time.":
        ["claims/[ei]* 1e300", "claims/[ei]* year 10000", "claims/exp in milliseconds",
         "claims/[in]* -1", "claims/[in]* -1e300"],
    "RFC 7519 section 4.1.4: \"on or after\"; an exp within a second counts as that second's begin.":
        ["clock/exp passes within the second"],
    "RFC 7519 section 4.1.6: iat is when the token was issued; ahead of us, a clock or the token lies.":
        ["claims/iat ahead"],
    "RFC 8259 section 6: numbers that no 64 bits hold are read differently by different readers.":
        ["claims/[ei]* 20 digits", "json/payload, 30 digits", "json/payload, 1e400",
         "json/payload, 19 digits, too many"],
    "RFC 7519 section 4.1.1: iss is the configured issuer; Cognito's global form is another text.":
        ["claims/iss global form"],
    "RFC 7519 section 4.1.3: who is not in aud must refuse, also where client_id is ours.":
        ["claims/aud foreign beside client_id", "claims/aud empty array beside client_id"],
    "RFC 8259 section 9 allows bounds: identities stand in logs and SQL, short and without controls.":
        ["claims/sub 257 bytes", "claims/sub control", "claims/sub line feed", "claims/jti 257 bytes",
         "claims/jti control", "claims/scope control", "claims/username 257 bytes",
         "claims/username line feed"],
    "RFC 7519 section 4.3: private claims mean what both sides agree on, and these two are texts.":
        ["claims/username number", "claims/username null", "claims/custom:storeId number"],
    "RFC 9068 section 2.2.3.1: groups are a list of names; what is none could be misread as a right.":
        ["claims/cognito:groups *"],
    "RFC 8725 section 3.1: only algorithms that the issuer's rules allow, and one for each key.":
        ["confusion/RS??? under bare", "confusion/E*[6A], signed with RS256 under bare",
         "confusion/RS256, signed with ES256 under bare-ec", "confusion/RS512 under a key bound to it",
         "confusion/* where it is not allowed", "confusion/key ec384"],
    "RFC 7518 section 3.4: ES256 is P-256 and no other curve of that size.": ["confusion/key koblitz"],
    "RFC 8037 section 3.1 has two curves for EdDSA: our table of algorithms has Ed25519 alone.":
        ["confusion/key ed448"],
    "RFC 7518 section 3.3: RSA keys have 2048 bits or more.": ["confusion/key of 1024 bits"],
    "RFC 7517 section 4.3: a key whose key_ops lack verify checks nothing.": ["confusion/key to sign"],
    "RFC 7517 section 9.2: a private key that was published proves nothing any more.":
        ["confusion/key private"],
    "RFC 7515 section 2: base64url without padding.":
        ["encoding/header, =, signed", "encoding/payload, =, signed", "encoding/signature, =",
         "encoding/header, ==, signed", "encoding/payload, ==, signed", "encoding/* signature, ==",
         "encoding/signature, =="],
    "RFC 4648 section 3.5: spare bits are zero, or one token has many spellings.":
        ["encoding/*, another last letter, signed", "encoding/*signature, another last letter",
         "encoding/signature, spelling *"],
    "RFC 9110 section 5.4: a field has a limit; tokens have 8 KiB, of which the header 2.":
        ["encoding/8193 bytes", "encoding/10192 bytes", "header/over 2 KiB"],
    "RFC 7515 section 4 and RFC 7519 section 4: names are unique, or two readers see two tokens.":
        ["json/* twice, good last", "json/* twice, equal", "json/* twice, escaped last",
         "json/* twice, escaped", "json/payload, sub twice", "json/payload, groups twice",
         "json/*n inner name twice", "json/*n unknown name twice", "json/*the empty name twice"],
    "RFC 8259 section 8.1: JSON is UTF-8; aws-jwt-verify puts U+FFFD for what is none.":
        ["json/payload, 0xFF", "json/*overlong UTF-8*", "json/payload, UTF-8 cut off",
         "json/payload, surrogate in UTF-8", "json/payload, beyond U+10FFFF", "json/header, invalid UTF-8"],
    "RFC 8259 section 8.2: a lone surrogate is no character.":
        ["json/*, lone surrogate", "json/payload, surrogates swapped"],
    "RFC 8259 section 9 allows bounds on characters: U+0000 ends a text in C, and PostgreSQL has none.":
        ["json/payload, escaped NUL*", "claims/custom:storeId control"],
    "RFC 8259 section 9 allows a bound on depth: 32.": ["json/*, nesting of *0*"],
    "RFC 8725 section 3.10: neither a key nor where to fetch one comes from the token.":
        ["jwk/signed by own key", "jku/signed by own key", "x5?/signed by own key", "j??/null", "x5?/null",
         "json/header, escaped jwk"],
    "RFC 7515 section 4.1.11: whoever does not understand what crit names must refuse.":
        ["crit/*", "b64/false and critical", "json/header, escaped crit"],
    "RFC 7797 section 7: b64 has no place in a JWT.": ["b64/false", "b64/true", "b64/null"],
    "RFC 7515 section 4.1.4 leaves kid open: ours has 1 to 256 bytes.": ["kid/empty", "kid/257 bytes"],
    "RFC 8725 section 3.11: typ tells kinds of tokens apart; we take JWT and at+jwt (RFC 9068).":
        ["typ/*"],
}

# FAULTS A5, in its order, by family of tokens.
A5 = ["none", "confusion", "jwk", "jku", "x5u", "x5c", "crit", "b64", "serialisation", "json", "encoding"]

# ---- families: one function each, in which every order is one token ---------------------------------


def good(w):
    """Both must accept every one of these."""
    for verifier in ("pool", "access", "id", "ruled", "oidc", "usual", "scoped"):
        w.order("good/%s" % verifier, verifier)
    w.order("good/id token in the pool", payload=w.claims("id", iss=POOL + "pool"))
    for kid in ODD_KIDS:
        w.order("good/kid %.20s" % ascii(kid), header={"kid": kid})
    w.order("good/key without alg", key=w.keys["bare"])
    w.order("good/key with key_ops", header={"kid": "to verify"})
    for typ in ("JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"):
        w.order("good/typ %s" % typ, header={"typ": typ})
    w.order("good/ES256", "oidc", key=w.keys["ec"])
    w.order("good/ES256, key without alg", "oidc", key=w.keys["bare-ec"])
    w.order("good/ES256, high s", "oidc", key=w.keys["ec"], bend=lambda p: p.with_signature(
        p.signature[:32] + (P256_ORDER - int.from_bytes(p.signature[32:], "big")).to_bytes(32, "big")))
    w.order("good/EdDSA", "oidc", key=w.keys["ed"])
    w.order("good/header members without meaning here", header={
        "zip": "DEF", "cty": "JWT", "enc": "A256GCM", "x5t": "AAAA", "x5t#S256": "AAAA", "nonce": 1,
        "epk": {}})
    w.order("good/header with white space", head=b' {\n\t"kid" : "kid-rsa",\r\n "alg":"RS256" } \n')
    w.order("good/header with escapes", head=b'{"\\u0061lg":"R\\u0053256","kid":"kid\\u002drsa"}')
    for name, changes in {
            "many groups": {"cognito:groups": ["g%d" % i for i in range(50)]},
            "no groups": {"cognito:groups": GONE}, "empty groups": {"cognito:groups": []},
            "group of words": {"cognito:groups": ["two words", "\u00fcber \U0001f600"]},
            "no scope": {"scope": GONE}, "empty scope": {"scope": ""}, "no jti": {"jti": GONE},
            "no iat": {"iat": GONE}, "other client": {"client_id": "till-client-2"},
            "unicode": {"username": "Zo\u00eb \u4e2d\u6587 \U0001f600", "nick": "\u202e\u200b\ufeff"},
            "sub of 256 bytes": {"sub": "s" * 256},
            "odd names": {"constructor": {"a": 1}, "__proto__": {"exp": 1}, "": 0},
            "aud and client_id agree": {"aud": CLIENT}, "aud array, client_id agrees": {"aud": ["x", CLIENT]},
            "fractional times": {"exp": w.now + 100.25, "iat": w.now - 5.75, "nbf": w.now - 0.5},
            "exp at the end of 9999": {"exp": 253402300799}, "exp as far as 2100": {"exp": 4102444800.5},
            "exp passed, within leeway": {"exp": w.now - LEEWAY_S // 2},
            "nbf ahead, within leeway": {"nbf": w.now + LEEWAY_S // 2}, "nbf 0": {"nbf": 0},
            "iat ahead, within leeway": {"iat": w.now + LEEWAY_S // 2}, "iat 0": {"iat": 0}}.items():
        w.order("good/%s" % name, **changes)
    for name, changes in {"aud array": {"aud": ["x", AUDIENCE]}, "aud array of one": {"aud": ["second"]},
                          "client of another name": {"client_id": "x"},
                          "any token_use": {"token_use": "x"}}.items():
        w.order("good/%s" % name, "oidc", **changes)
    w.order("good/one scope of two", "ruled", scope="x pos/read y")
    w.order("good/scopes with two spaces", "ruled", scope="x  pos/read")
    w.order("good/one group of two", "ruled", **{"cognito:groups": ["x", "Kassa \u00fcber"]})
    w.order("good/the group as one text", "ruled", **{"cognito:groups": "till-staff"})
    for size in (TOKEN_MAX_BYTES - 1, TOKEN_MAX_BYTES):
        of_size(w, "good/%d bytes" % size, size)
    for name, text in {"pretty": json.dumps(w.claims(), indent="\t") + "\r\n ",
                       "escaped names": dump(w.claims()).decode().replace('"exp"', '"\\u0065x\\u0070"'),
                       "escaped slashes": dump(w.claims()).decode().replace("/", "\\/"),
                       "numbers": _with(w, '"a":[-0,0.0,1E5,1e-5,123456789012345678,1.5e300]'),
                       "exp with exponent": dump(w.claims(exp=GONE)).decode()[:-1] + ',"exp":4.1e9}',
                       "nesting of 30": _with(w, '"a":%s%s' % ("[" * 29, "]" * 29)),
                       "brackets in a text": _with(w, '"a":"%s"' % ("[{" * 60)),
                       "DEL and U+2028 in a text": _with(w, '"a":"\x7f\u2028"')}.items():
        w.order("good/%s" % name, payload=text.encode())


def _with(w, members):
    """Good claims with these members behind, as text."""
    return "%s,%s}" % (dump(w.claims()).decode()[:-1], members)


def claims(w):
    """Correctly signed, and claims that are wrong, missing, of another type, or far."""
    odd_times = {"null": None, "text": str(w.now + 3600), "true": True, "array": [w.now + 3600], "object": {}}
    for claim in ("exp", "nbf", "iat"):
        for what, value in odd_times.items():
            w.order("claims/%s %s" % (claim, what), **{claim: value})
        for what, text in {"-1": "-1", "1e400": "1e400", "20 digits": "9" * 20, "1e300": "1e300",
                           "-1e300": "-1e300", "year 10000": "253402300800"}.items():
            base = dump(w.claims(**{claim: GONE})).decode()
            w.order("claims/%s %s" % (claim, what),
                    payload=('%s,"%s":%s}' % (base[:-1], claim, text)).encode())
    w.order("claims/exp missing", exp=GONE)
    for what, value in {"0": 0, "1": 1, "passed": w.now - LEEWAY_S - 60,
                        "passed, a fraction": w.now - LEEWAY_S - 60.5,
                        "in milliseconds": (w.now + 3600) * 1000}.items():
        w.order("claims/exp %s" % what, exp=value)
    w.order("claims/nbf ahead", nbf=w.now + LEEWAY_S + 600)
    w.order("claims/nbf ahead, a fraction", nbf=w.now + LEEWAY_S + 600.5)
    w.order("claims/iat ahead", iat=w.now + LEEWAY_S + 600)
    pool = POOL + "pool"
    for what, value in {
            "missing": GONE, "null": None, "number": 1, "array": [pool], "empty": "",
            "foreign": "https://evil.example",
            "with slash": pool + "/", "upper case": pool.upper(), "http": pool.replace("https", "http"),
            "with NUL": pool + "\0", "with space": pool + " ", "longer": pool + "2", "shorter": pool[:-1],
            "other pool": POOL + "id", "no pool": POOL + "none", "other issuer": OIDC + "oidc",
            "global form": pool.replace("cognito-idp", "issuer-cognito-idp"),
            "very long": pool + "/" * 2000}.items():
        w.order("claims/iss %s" % what, iss=value)
    for claim, odd in {"sub": {"missing": GONE, "null": None, "number": 1, "array": ["x"], "empty": "",
                               "257 bytes": "s" * 257, "control": "a\x01b", "line feed": "a\nb"},
                       "client_id": {"missing": GONE, "null": None, "number": 1, "array": [CLIENT],
                                     "empty": "",
                                     "foreign": "other", "longer": CLIENT + "0", "upper case": CLIENT.upper(),
                                     "with space": CLIENT + " "},
                       "token_use": {"missing": GONE, "null": None, "number": 1, "array": ["access"],
                                     "empty": "",
                                     "refresh": "refresh", "upper case": "Access", "with space": "access "},
                       "jti": {"null": None, "number": 1, "257 bytes": "j" * 257, "control": "a\x1f"},
                       "scope": {"null": None, "number": 1, "array": ["pos/sell"], "object": {},
                                 "control": "a\tb"},
                       "username": {"number": 1, "null": None, "257 bytes": "u" * 257, "line feed": "a\nb"},
                       "custom:storeId": {"number": 1, "control": "a\x00"},
                       "cognito:groups": {"null": None, "number": 1, "object": {"a": 1},
                                          "array of numbers": ["a", 1],
                                          "array of arrays": [["cashier"]]},
                       "aud": {"foreign beside client_id": "other", "empty array beside client_id": [],
                               "null": None,
                               "number": 1, "array with number": [CLIENT, 1], "object": {}}}.items():
        for what, value in odd.items():
            w.order("claims/%s %s" % (claim, what), **{claim: value})
    w.order("claims/aud ours, client_id foreign", aud=CLIENT, client_id="other")
    w.order("claims/aud ours, client_id missing", aud=CLIENT, client_id=GONE)
    for what, changes in {"missing": {"aud": GONE},
                          "missing beside client_id": {"aud": GONE, "client_id": CLIENT},
                          "null": {"aud": None}, "foreign": {"aud": "other"}, "empty": {"aud": ""},
                          "empty array": {"aud": []}, "array": {"aud": [CLIENT, "x"]},
                          "foreign beside client_id": {"aud": "other", "client_id": CLIENT},
                          "longer": {"aud": CLIENT + "0"}}.items():
        w.order("claims/ID token, aud %s" % what, "id", **changes)
    w.order("claims/ID token for access", "access", token_use="id", aud=CLIENT)
    w.order("claims/access token for ID", "id", token_use="access", aud=GONE, client_id=CLIENT)
    for what, changes in {"missing": {"aud": GONE},
                          "missing beside client_id": {"aud": GONE, "client_id": AUDIENCE},
                          "null": {"aud": None}, "foreign": {"aud": "other"},
                          "empty array": {"aud": []}, "number": {"aud": 1},
                          "array of foreign": {"aud": ["a", "b"]},
                          "array with number": {"aud": [AUDIENCE, 1]},
                          "with slash": {"aud": AUDIENCE + "/"}}.items():
        w.order("claims/OIDC, aud %s" % what, "oidc", **changes)
    for what, scope in {"missing": GONE, "empty": "", "foreign": "a b", "longer": "pos/sells",
                        "prefixed": "xpos/sell",
                        "upper case": "POS/SELL", "with commas": "pos/sell,pos/read",
                        "array": ["pos/sell"]}.items():
        w.order("claims/ruled, scope %s" % what, "ruled", scope=scope)
        w.order("claims/scoped, scope %s" % what, "scoped", scope=scope)
    for what, groups in {"missing": GONE, "empty": [], "foreign": ["cashier"],
                         "longer": ["till-staffs"], "null": None,
                         "words in one text": "x till-staff", "words in one group": ["x till-staff"],
                         "half of a name": ["Kassa", "\u00fcber"], "upper case": ["TILL-STAFF"],
                         "number": 1}.items():
        w.order("claims/ruled, groups %s" % what, "ruled", **{"cognito:groups": groups})


def none(w):
    """`alg` none in all spellings (RFC 8725 section 2.1)."""
    body = encode(dump(w.claims()))
    for alg in ("none", "None", "NONE", "nOnE", "none ", "\u0000none", "unsecured", ""):
        for what, bend in {"no signature": lambda p: p.head + "." + p.body + ".", "a signature": str,
                           "one letter": lambda p: p.head + "." + p.body + ".AA"}.items():
            w.order("none/%s, %s" % (ascii(alg), what), header={"alg": alg}, body=body, bend=bend)
    w.order("none/without kid", header={"alg": "none", "kid": GONE},
            bend=lambda p: p.head + "." + p.body + ".")
    w.order("none/without last dot", header={"alg": "none"}, bend=lambda p: p.head + "." + p.body)


def confusion(w):
    """Another algorithm than the key's (RFC 8725 sections 2.1 and 3.1)."""
    for victim, verifier in (("rsa", "pool"), ("bare", "pool"), ("ec", "oidc")):
        key, body = w.keys[victim], encode(dump(w.claims(verifier)))
        for what, secret in key.encodings().items():
            for bits in HASHES if victim == "rsa" else ("256",):
                name = "confusion/HS%s by %s of %s" % (bits, what, victim)
                if secret and len(secret) * 8 >= int(bits):
                    mac = Key(w.directory, {"kty": "oct", "k": encode(secret)}, "HS" + bits, key.kid)
                    w.order(name, verifier, key=mac, body=body)
                else:  # jose refuses a short secret
                    w.order(name, verifier, key=key, head=dump({"alg": "HS" + bits, "kid": key.kid}),
                            body=body, bend=lambda p, s=secret, b=bits: p.with_signature(
                                hmac.digest(s, ("%s.%s" % (p.head, p.body)).encode(), "sha" + b)))
    secret = Key(w.directory, {"kty": "oct", "k": encode(b"k" * 32)}, "HS256", "secret")
    w.order("confusion/HS256 by a secret in the key set", key=secret)
    for victim, verifier in (("rsa", "pool"), ("bare", "pool")):
        for alg in ("RS384", "RS512", "PS256", "PS384", "PS512"):
            w.order("confusion/%s under %s" % (alg, victim), key=w.keys[victim], header={"alg": alg})
        for alg in ("ES256", "EdDSA", "ES512", "rs256", "RS256 ", "RSA", "SHA256", "1.2.840.113549.1.1.11"):
            w.order("confusion/%s, signed with RS256 under %s" % (alg, victim), head=dump(
                {"alg": alg, "kid": w.keys[victim].kid}), key=w.keys[victim])
    for victim in ("ec", "bare-ec"):
        for alg in ("RS256", "EdDSA", "ES384", "ES256K"):
            w.order("confusion/%s, signed with ES256 under %s" % (alg, victim), "oidc", head=dump(
                {"alg": alg, "kid": w.keys[victim].kid}), key=w.keys[victim])
    for alg in ("Ed25519", "ES256", "RS256", "eddsa"):
        w.order("confusion/%s, signed with EdDSA" % alg, "oidc", header={"alg": alg}, key=w.keys["ed"])
    w.order("confusion/RS512 under a key bound to it", header={"alg": "RS512", "kid": "bound to RS512"})
    w.order("confusion/RS256 under a key bound to RS512", header={"kid": "bound to RS512"})
    w.order("confusion/RS256 under a key bound to PS256", header={"kid": "bound to PS256"})
    w.order("confusion/EdDSA where it is not allowed", "usual", key=w.keys["ed"])
    w.order("confusion/ES256 where it is not allowed", "scoped", key=w.keys["ec"])
    for name in ("ec384", "koblitz", "ed448"):
        w.order("confusion/key %s" % name, "oidc", key=w.keys[name])
    w.order("confusion/key of 1024 bits", key=w.keys["short"])
    for kid in ("for encryption", "to sign", "private"):
        w.order("confusion/key %s" % kid, header={"kid": kid})


def header(w, trap):
    """Header members; whatever would be fetched points to `trap`, where nobody must come."""
    own, stranger = w.keys["rsa"], w.keys["stranger"]
    body = encode(dump(w.claims()))
    carried = {"jwk": stranger.public(), "jku": trap + "/jwks.json", "x5u": trap + "/cert.pem",
               "x5c": ["MIIBszCCAVmgAwIBAgIUAAAA"]}
    for member, value in carried.items():
        for what, key in (("stranger", stranger), ("own key", own)):
            w.order("%s/signed by %s" % (member, what), key=key, header={member: value}, body=body)
        w.order("%s/null" % member, header={member: None}, body=body)
        w.order("%s/without kid" % member, key=stranger, header={member: value, "kid": GONE}, body=body)
        w.order("%s/unknown kid" % member, key=stranger, header={member: value, "kid": "unknown"}, body=body)
    for what, value in {"b64": ["b64"], "exp": ["exp"], "unknown": ["x"], "empty": [], "null": None,
                        "text": "b64"}.items():
        w.order("crit/%s" % what, header={"crit": value, "x": 1}, body=body)
    for what, members in {"false": {"b64": False}, "true": {"b64": True}, "null": {"b64": None},
                          "false and critical": {"b64": False, "crit": ["b64"]}}.items():
        w.order("b64/%s" % what, header=members, body=body)
    clear = json.dumps(w.claims()).replace(".", "\\u002e")
    w.order("b64/false, clear payload", header={"b64": False, "crit": ["b64"]}, body=clear)
    w.order("b64/false, detached", header={"b64": False, "crit": ["b64"]},
            bend=lambda p: p.head + ".." + p.tail)
    for what, value in {"missing": GONE, "null": None, "number": 256, "array": ["RS256"], "object": {},
                        "true": True}.items():
        w.order("alg/%s" % what, header={"alg": value}, body=body)
    for what, value in {"missing": GONE, "null": None, "number": 1, "array": ["kid-rsa"], "true": True,
                        "object": {},
                        "unknown": "unknown", "upper case": "KID-RSA", "with space": " kid-rsa",
                        "with NUL": "kid-rsa\0",
                        "path": "../kid-rsa", "of another set": "kid-ec", "1500 bytes": "k" * 1500,
                        "5000 bytes": "k" * 5000, "empty": "", "257 bytes": UNTAKEN_KIDS[1]}.items():
        w.order("kid/%s" % what, header={"kid": value}, body=body)
    for typ in ("JWE", "JOSE", "dpop+jwt", "logout+jwt", "secevent+jwt", "application/jwt", "", " JWT",
                None, 1, ["JWT"]):
        w.order("typ/%s" % ascii(typ), header={"typ": typ}, body=body)
    w.order("header/over 2 KiB", header={"pad": "p" * 2048}, body=body)


def jsons(w):
    """Correctly signed texts of which only some are one strict JSON object (RFC 8259, RFC 7515
    section 4, RFC 7519 section 4)."""
    now, kid = w.now, w.keys["rsa"].kid
    good, late = ('"exp":%d' % at for at in (now + 3600, now - 3600))
    pool, evil = ('"iss":"%s"' % url for url in (POOL + "pool", "https://evil.example"))

    def payload(what, *members, instead=()):
        """Good claims with these members behind; `instead` of those claims."""
        base = dump(w.claims(**{name: GONE for name in instead})).decode()[:-1]
        text = ",".join([base, *members]) + "}"
        w.order("json/payload, %s" % what, payload=text.encode("utf-8", "surrogateescape"))

    payload("exp twice, good last", late, good, instead=["exp"])
    payload("exp twice, good first", good, late, instead=["exp"])
    payload("exp twice, equal", good, good, instead=["exp"])
    payload("exp twice, escaped last", late, good.replace("x", "\\u0078"), instead=["exp"])
    payload("exp twice, escaped first", good.replace("x", "\\u0078"), late, instead=["exp"])
    payload("iss twice, good last", evil, pool, instead=["iss"])
    payload("iss twice, good first", pool, evil, instead=["iss"])
    payload("sub twice", '"sub":"admin"')
    payload("groups twice", '"cognito:groups":["admin"]')
    payload("an inner name twice", '"a":{"b":1,"b":2}')
    payload("an unknown name twice", '"a":1', '"a":1')
    payload("the empty name twice", '"":1', '"":1')
    for what, member in {
            "NaN": '"a":NaN', "Infinity": '"a":Infinity', "hexadecimal": '"a":0x10',
            "leading zero": '"a":01', "plus": '"a":+1',
            "no digit before the point": '"a":.5', "no digit behind the point": '"a":1.',
            "open exponent": '"a":1e',
            "minus alone": '"a":-', "30 digits": '"a":' + "9" * 30, "1e400": '"a":1e400',
            "1e-400": '"a":1e-400',
            "19 digits, too many": '"a":9223372036854775808', "19 digits": '"a":9223372036854775807',
            "comment": '/* x */"a":1', "line comment": '"a":1 // x\n',
            "hash comment": '"a":1 # x\n', "single quotes": "'a':1", "bare name": "a:1",
            "number as name": "1:1", "no value": '"a":',
            "no colon": '"a" 1', "no comma": '"a":1 "b":2', "comma behind": '"a":1,',
            "comma in an array": '"a":[1,]', "True": '"a":True', "undefined": '"a":undefined',
            "overlong UTF-8": '"a":"\udcc0\udcaf"', "0xFF": '"a":"\udcff"',
            "UTF-8 cut off": '"a":"\udce2\udc82"',
            "surrogate in UTF-8": '"a":"\udced\udca0\udc80"',
            "beyond U+10FFFF": '"a":"\udcf4\udc90\udc80\udc80"', "lone surrogate": '"a":"\\ud800"',
            "surrogates swapped": '"a":"\\udc00\\ud800"', "NUL": '"a":"\0"',
            "escaped NUL": '"a":"\\u0000"', "escaped NUL in a name": '"a\\u0000":1',
            "line feed in a text": '"a":"\n"', "tab in a text": '"a":"\t"',
            "unknown escape": '"a":"\\x41"', "short escape": '"a":"\\u41"', "open text": '"a":"b',
            "form feed between": '"a":\f1', "no-break space between": '"a":\u00a01',
            "nesting of 40": '"a":%s%s' % ("[" * 40, "]" * 40),
            "nesting of 2000": '"a":%s%s' % ("[" * 2000, "]" * 2000),
            "nesting of 900 objects": '"a":' + '{"a":' * 900 + "1" + "}" * 900,
            "open nesting": '"a":' + "[" * 1000}.items():
        payload(what, member)
    text = dump(w.claims())
    for what, raw in {"BOM": b"\xef\xbb\xbf" + text, "UTF-16": text.decode().encode("utf-16-le"),
                      "UTF-16 with BOM": text.decode().encode("utf-16"),
                      "object behind": text + b"{}", "word behind": text + b" x",
                      "brace behind": text + b"}", "NUL behind": text + b"\0",
                      "comma behind all": text + b",", "not closed": text[:-1],
                      "in an array": b"[" + text + b"]", "in a text": dump(text.decode()),
                      "two lines": text + b"\n" + text, "null": b"null", "true": b"true",
                      "number": b"1", "text": b'"x"', "empty array": b"[]",
                      "white space": b" ", "form encoding": b"sub=x&exp=9999999999",
                      "form feed behind": text + b"\f"}.items():
        w.order("json/payload, %s" % what, payload=raw)
    body = encode(text)
    for what, head in {
            "alg twice, good last": '{"alg":"none","alg":"RS256","kid":"%s"}',
            "alg twice, good first": '{"alg":"RS256","alg":"none","kid":"%s"}',
            "alg twice, equal": '{"alg":"RS256","alg":"RS256","kid":"%s"}',
            "alg twice, escaped": '{"\\u0061lg":"none","alg":"RS256","kid":"%s"}',
            "kid twice, good last": '{"alg":"RS256","kid":"x","kid":"%s"}',
            "kid twice, good first": '{"alg":"RS256","kid":"%s","kid":"x"}',
            "an unknown name twice": '{"alg":"RS256","kid":"%s","a":1,"a":1}',
            "escaped crit": '{"alg":"RS256","kid":"%s","cri\\u0074":["x"]}',
            "escaped jwk": '{"alg":"RS256","kid":"%s","\\u006awk":{}}',
            "ALG and alg": '{"ALG":"none","alg":"RS256","kid":"%s"}',
            "ALG alone": '{"ALG":"RS256","kid":"%s"}', "comment": '{"alg":"RS256",/**/"kid":"%s"}',
            "comma behind": '{"alg":"RS256","kid":"%s",}',
            "object behind": '{"alg":"RS256","kid":"%s"}{}',
            "NUL behind": '{"alg":"RS256","kid":"%s"}\0', "not closed": '{"alg":"RS256","kid":"%s"',
            "in an array": '[{"alg":"RS256","kid":"%s"}]', "BOM": '\ufeff{"alg":"RS256","kid":"%s"}',
            "invalid UTF-8": '{"alg":"RS256","kid":"%s","a":"\udcff"}',
            "overlong UTF-8 as quote": '{"alg":"RS256","kid":"%s","a":"\udcc0\udca2"}',
            "lone surrogate": '{"alg":"RS256","kid":"%s","a":"\\ud800"}',
            "nesting of 40": '{"alg":"RS256","kid":"%s","a":' + "[" * 40 + "]" * 40 + "}",
            "inner alg": '{"a":{"alg":"RS256"},"kid":"%s"}'}.items():
        w.order("json/header, %s" % what, head=(head % kid).encode("utf-8", "surrogateescape"), body=body)
    for what, head in {"null": b"null", "text": b'"RS256"', "empty object": b"{}", "number": b"1",
                       "white space": b" "}.items():
        w.order("json/header, %s" % what, head=head, body=body)


def clock(w, at):
    """Around the second `at`: each is to be judged within it, before nine tenths of it are over."""
    for what, exp in {"passes now": 0, "passed a second ago": -1, "passes in a second": 1,
                      "passed half a second ago": -0.5, "passes within the second": 0.95}.items():
        w.order("clock/exp %s" % what, exp=at - LEEWAY_S + exp)
    for what, nbf in {"comes now": 0, "came a second ago": -1, "comes in a second": 1,
                      "comes within the second": 0.95}.items():
        w.order("clock/nbf %s" % what, nbf=at + LEEWAY_S + nbf)
    return w.deliver()


# ---- judgement ------------------------------------------------------------------------------------


class Line:
    """One keep-alive connection on which any bytes can be sent as a token."""

    def __init__(self, gateway):
        self._gateway, self._socket, self.connections = gateway, None, 0

    def status(self, token):
        """(status, what the challenge says)"""
        if self._socket is None:
            self._socket = self._gateway.connect()
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
        self._socket.sendall(b"GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" %
                             token.encode("latin-1"))
        answer, length = b"", None
        while length is None or len(answer) < length:
            chunk = self._socket.recv(65536)
            assert chunk, "the gateway hung up without an answer: %.80r" % token
            answer += chunk
            head, end, _ = answer.partition(b"\r\n\r\n")
            if end and length is None:
                head = head.decode("latin-1").lower()
                length = len(head) + 4 + int(re.search(r"\r\ncontent-length: (\d+)", head).group(1))
        if "connection: close" in head:
            self.close()
        said = re.search(r'error_description="([^"]*)"', head)
        return int(head.split()[1]), said.group(1) if said else ""

    def close(self):
        if self._socket:
            self._socket.close()
        self._socket = None


class Verdicts:
    """ours[name]: (status, reason); theirs[name]: why aws-jwt-verify refuses it, None when not."""

    def __init__(self, workshop):
        self._workshop = workshop
        self.ours, self.theirs, self.tokens = {}, {}, {}

    def ask_gateway(self, line, tokens):
        """Each token twice: the second answer may come from the cache of tokens."""
        for token in tokens:
            assert token.name not in self.tokens, token.name
            self.tokens[token.name] = token
            first, second = line.status(token.text), line.status(token.text)
            assert first == second, token.name
            self.ours[token.name] = first

    def ask_aws(self, directory, times):
        """times: {name: the two ends of when we judged it}; they must be of one mind about it."""
        path = os.path.join(directory, "manifest.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"verifiers": self._workshop.verifiers(), "tokens": [
                {"name": token.name, "verifier": token.verifier, "token": token.text,
                 **({"times": times[token.name]} if token.name in times else {})}
                for token in self.tokens.values()]}, f)
        done = run(["node", os.path.join(NPM, "verify-corpus.js"), path])
        assert done.returncode == 0, done.stderr
        for name, said in json.loads(done.stdout).items():
            assert len({reason is None for reason in said}) == 1, (name, said)
            self.theirs[name] = said[0]
        assert self.theirs.keys() == self.tokens.keys()

    def names(self, ours, theirs):
        """Names of the tokens that we, and they, accept (True) or refuse (False)."""
        return [name for name in self.tokens
                if (self.ours[name][0] == 200) == ours and (self.theirs[name] is None) == theirs]

    def show(self, names):
        return "\n" + "\n".join("%s: ours %s %s; aws: %s" % (
            name, *self.ours[name], self.theirs[name] or "accepted") for name in names)


def ask_at_a_second(workshop, line, verdicts):
    """Makes tokens around a second to come and sends them within it. Returns when that was."""
    for attempt in range(10):
        at = int(time.time() + 0.6 + attempt / 2) + 1  # a busy machine makes them slowly
        tokens = clock(workshop, at)
        trial = Verdicts(workshop)
        time.sleep(max(0.0, at + 0.05 - time.time()))  # the time itself is what is tested
        began = time.time()
        trial.ask_gateway(line, tokens)
        ended = time.time()
        if at <= began and ended < at + 0.9:
            verdicts.tokens.update(trial.tokens)
            verdicts.ours.update(trial.ours)
            return {token.name: [began, ended] for token in tokens}
    pytest.fail("this machine cannot judge ten tokens within a second")


@pytest.fixture(scope="module")
def trap():
    """A server that nobody may come to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture(scope="module")
def workshop(work):
    if why_absent():
        pytest.skip(why_absent())
    directory = os.path.join(work, "corpus")
    os.mkdir(directory)
    return Workshop(directory, int(time.time()))


@pytest.fixture(scope="module")
def line(work, config, workshop):
    gateway = Gateway(work, deep_merge(config, {"auth": {
        "issuers": workshop.issuers(), "leeway": "%ds" % LEEWAY_S, "failures": {"rate": 0}}})).start()
    line = Line(gateway)
    yield line
    line.close()
    gateway.stop()


@pytest.fixture(scope="module")
def verdicts(workshop, line, trap):
    workshop.now = int(time.time())  # what is within the leeway must still be so when it is judged
    for family in (good, claims, none, confusion, encoding, serialisation, jsons, signatures):
        family(workshop)
    header(workshop, "http://127.0.0.1:%d" % trap.getsockname()[1])
    verdicts = Verdicts(workshop)
    verdicts.ask_gateway(line, workshop.deliver())
    verdicts.ask_aws(workshop.directory, ask_at_a_second(workshop, line, verdicts))
    return verdicts


def test_the_corpus_is_what_it_claims_to_be(verdicts):
    """A5: hundreds of different tokens, all of its kinds, and not all of them bad."""
    assert len({token.text for token in verdicts.tokens.values()}) >= 300
    families = {token.family for token in verdicts.tokens.values()}
    assert families >= {*A5, "claims", "alg", "kid", "typ", "signature", "clock"}
    assert len(verdicts.names(True, True)) >= 40
    assert {status for status, _ in verdicts.ours.values()} <= {200, 400, 401, 403}
    refused = [name for name in verdicts.tokens if name.startswith("good/") and
               (verdicts.ours[name][0] != 200 or verdicts.theirs[name])]
    assert not refused, verdicts.show(refused)


def test_what_we_accept_amazon_accepts(verdicts):
    """A5, and no exception whatsoever."""
    laxer = verdicts.names(True, False)
    assert not laxer, verdicts.show(laxer)


def test_where_we_are_stricter_there_is_a_reason(verdicts):
    stricter = verdicts.names(False, True)
    matches = {pattern: [name for name in verdicts.tokens if fnmatch.fnmatchcase(name, pattern)]
               for patterns in STRICTER.values() for pattern in patterns}
    without = [name for name in stricter if not any(name in names for names in matches.values())]
    assert not without, verdicts.show(without)
    assert not [pattern for pattern, names in matches.items() if not names]
    too_much = sorted({name for names in matches.values() for name in names} - set(stricter))
    assert not too_much, verdicts.show(too_much)


def test_nothing_in_a_token_is_fetched(verdicts, trap):
    """A5: jku and x5u named this server, under signatures good and bad."""
    assert any(name.startswith("jku/") for name in verdicts.tokens)
    with pytest.raises(BlockingIOError):
        trap.accept()


def test_ps256(workshop, line):
    """aws-jwt-verify knows no PS256, so here the maker is the only other opinion. The salt is as long as
    the digest (RFC 7518 section 3.5)."""
    key = workshop.keys["other"]
    digest = hashes.SHA256()

    def salted(length):
        return lambda p: p.with_signature(key.private.sign(
            ("%s.%s" % (p.head, p.body)).encode(), padding.PSS(padding.MGF1(digest), length), digest))

    workshop.order("by jose", "pss", header={"alg": "PS256"})
    for name, salt_bytes in (("32", 32), ("0", 0), ("31", 31), ("longest", padding.PSS.MAX_LENGTH)):
        workshop.order(name, "pss", header={"alg": "PS256"}, bend=salted(salt_bytes))
    for alg in ("RS256", "PS384", "PS512"):
        workshop.order(alg, "pss", header={"alg": alg})
    workshop.order("signed with RS256", "pss", head=dump({"alg": "PS256", "kid": key.kid}))
    said = {token.name: line.status(token.text)[0] for token in workshop.deliver()}
    assert said == {"by jose": 200, "32": 200, "0": 401, "31": 401, "longest": 401, "RS256": 401,
                    "PS384": 401, "PS512": 401, "signed with RS256": 401}
