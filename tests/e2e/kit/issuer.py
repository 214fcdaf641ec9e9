# SPDX-License-Identifier: Apache-2.0
"""The development issuer as a process, its tokens, and tokens it would never sign."""

import json
import os
import selectors
import time

import httpx
import jwt

from kit.processes import ISSUER_BINARY, clean_environment, run, spawn


class Issuer:
    audience = "tillway-pos"

    def __init__(self, directory):
        self.directory = directory
        self._process = None
        self._port = 0
        self._tokens = {}
        self._ran([ISSUER_BINARY, "init", directory])

    @staticmethod
    def _ran(argv):
        done = run(argv)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def add_key(self, algorithm):
        self._ran([ISSUER_BINARY, "init", self.directory, "--alg", algorithm])

    def start(self):
        """Serves; after a stop() again on the same port, so that tokens stay valid."""
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self._process = spawn([ISSUER_BINARY, "serve", "--dir", self.directory, "--port",
                                   str(self._port)], stdout=-1, stderr=log,
                                  env=clean_environment())
        with selectors.DefaultSelector() as sel:
            sel.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if sel.select(30) else b""
        assert line, "the issuer does not start: see %s/log" % self.directory
        hello = json.loads(line)
        self._port, self.url = hello["listening"], hello["issuer"]
        return self

    def stop(self):
        if self._process:
            self._process.terminate()
            assert self._process.wait(30) == 0
            self._process.stdout.close()
        self._process = None

    @property
    def jwks_uri(self):
        return self.url + "/.well-known/jwks.json"

    def yaml(self, **more):
        """An entry of auth.issuers."""
        return {"issuer": self.url, "jwksUri": self.jwks_uri, "audience": [self.audience],
                "tokenUse": ["access", "id"], **more}

    def token(self, role="cashier", store="main", claims=(), **options):
        """Signed by `tillway-issuer token`; options are its own (ttl, use, username, kid, ...)."""
        words = ["--role", role, "--store", store]
        for name, value in options.items():
            words += ["--" + name, str(value)]
        for name, value in dict(claims).items():
            words += ["--claim", "%s=%s" % (name, json.dumps(value))]
        key = tuple(words)
        if key not in self._tokens:
            self._tokens[key] = self._ran([ISSUER_BINARY, "token", "--dir", self.directory, *words])
        return self._tokens[key]

    def rotate(self, drop=False):
        """A new current key; drop: the old ones go."""
        answer = httpx.post(self.url + "/rotate" + ("?drop=1" if drop else ""), trust_env=False)
        assert answer.status_code == 200
        self._tokens.clear()
        return answer.json()["kid"]

    def jwks(self):
        return self._ran([ISSUER_BINARY, "jwks", "--dir", self.directory])

    def key(self):
        """kid, algorithm and private PEM of the current key."""
        with open(os.path.join(self.directory, "keys.json"), encoding="ascii") as f:
            keys = json.load(f)
        current = next(k for k in keys["keys"] if k["kid"] == keys["current"])
        return current["kid"], current["alg"], current["private"]

    def claims(self, **more):
        """Good access token claims, in which single ones can be replaced or removed (None)."""
        now = int(time.time())
        claims = {"sub": "11111111-2222-8333-9444-555555555555", "iss": self.url,
                  "token_use": "access", "client_id": self.audience, "username": "ana",
                  "cognito:groups": ["cashier"], "custom:storeId": "main", "iat": now,
                  "auth_time": now, "exp": now + 3600, **more}
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims, headers=None):
        """These claims under the issuer's current key, whatever they say."""
        kid, algorithm, pem = self.key()
        return jwt.encode(claims, pem, algorithm, headers={"kid": kid, **(headers or {})})
