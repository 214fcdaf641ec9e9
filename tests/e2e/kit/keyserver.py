# SPDX-License-Identifier: Apache-2.0
"""Issuers whose keys we hold and whose key server we can spoil: down, slow, redirecting, endless.

    with KeyServer() as server:
        ana = Realm(server, "ana")          # an issuer with one key, its documents at /ana/...
        start(auth={"issuers": [ana.yaml()]})
        server.answer(ana.jwks_path, status(500))
"""

import base64
import http.server
import json
import ssl
import threading
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

JSON = (("Content-Type", "application/json"),)


class Key:
    """A private key; ES256 unless bits says how long an RSA key is."""

    def __init__(self, kid, bits=0):
        self.kid, self.algorithm = kid, "RS256" if bits else "ES256"
        self.private = (rsa.generate_private_key(65537, bits) if bits
                        else ec.generate_private_key(ec.SECP256R1()))

    def _jwk(self, key):
        of = jwt.algorithms.RSAAlgorithm if self.algorithm == "RS256" else jwt.algorithms.ECAlgorithm
        return {**json.loads(of.to_jwk(key)), "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def public(self):
        if self.algorithm == "RS256":
            return self._jwk(self.private.public_key())
        point = self.private.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "kid": self.kid, "alg": "ES256", "use": "sig",
                "x": _base64url(point.x), "y": _base64url(point.y)}

    def with_private(self):
        """The JWK that nobody should ever publish."""
        return {**self.public(), "d": _base64url(7)}

    def sign(self, claims):
        return jwt.encode(claims, self.private, self.algorithm, headers={"kid": self.kid})


def _base64url(number):
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


def key_set(*jwks):
    return json.dumps({"keys": list(jwks)}).encode()


# ---- answers: what a handler does with one request ------------------------------------------------


def document(body, headers=()):
    return lambda handler: _send(handler, 200, body, (*JSON, *headers))


def status(code, headers=()):
    return lambda handler: _send(handler, code, b"", headers)


def redirect(uri):
    return status(302, [("Location", uri)])


def silence(released):
    """Says nothing until that event, or for a minute."""
    return lambda handler: released.wait(60)


def endless(sent):
    """100 MB without a length; sent[0] counts what the client has taken."""
    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1600):
            handler.wfile.write(b'{"keys":' + b" " * 65536)
            sent[0] += 65536
    return answer


def _send(handler, code, body, headers):
    handler.send_response(code)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class KeyServer:
    """HTTP or (tls: a file with certificate and key) HTTPS on 127.0.0.1. asked[path]: when, in
    seconds of the monotonic clock. What has no answer is 404."""

    def __init__(self, tls=None):
        self._answers = {}
        self.asked = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.setdefault(self.path, []).append(time.monotonic())
                try:
                    outer._answers.get(self.path, status(404))(self)
                except OSError:
                    pass  # the client has had enough

            def log_message(self, *words):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
        self.url = "%s://127.0.0.1:%d" % ("https" if tls else "http", self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, path, answer):
        self._answers[path] = answer

    def times_asked(self, path):
        return len(self.asked.get(path, ()))


class Realm:
    """An issuer with a name of its own on a KeyServer."""

    audience = "tillway-pos"

    def __init__(self, server, name, serve=True):
        self.server, self.name = server, name
        self.issuer = "%s/%s" % (server.url, name)
        self.jwks_path = "/%s/keys.json" % name
        self.discovery_path = "/%s/.well-known/openid-configuration" % name
        self.key = Key(name + "-1")
        if serve:
            self.serve()

    def serve(self, headers=(), path=None):
        """The key set, good and public."""
        self.server.answer(path or self.jwks_path, document(key_set(self.key.public()), headers))

    def serve_discovery(self, jwks_path=None, **changes):
        good = {"issuer": self.issuer, "jwks_uri": self.server.url + (jwks_path or self.jwks_path),
                "authorization_endpoint": self.issuer + "/authorize",
                "response_types_supported": ["code"], **changes}
        self.server.answer(self.discovery_path, document(json.dumps(good).encode()))

    def yaml(self, **more):
        """An entry of auth.issuers."""
        return {"issuer": self.issuer, "jwksUri": self.server.url + self.jwks_path,
                "audience": [self.audience], "tokenUse": ["access"], **more}

    def discovered(self):
        """An entry whose keys are found by discovery."""
        return {name: value for name, value in self.yaml().items() if name != "jwksUri"}

    def token(self, key=None, **more):
        now = int(time.time())
        return (key or self.key).sign(
            {"sub": "11111111-2222-8333-9444-555555555555", "iss": self.issuer,
             "token_use": "access", "client_id": self.audience, "username": "ana",
             "cognito:groups": ["cashier"], "iat": now, "exp": now + 3600, **more})

    def token_of_unknown_kid(self):
        """Good but for its key: makes the gateway ask for the keys again."""
        return self.token(Key("unknown-to-" + self.name))
