# SPDX-License-Identifier: Apache-2.0
"""An issuer's key endpoint that can be good, slow, wrong, or huge; counts who asks."""

import base64
import http.server
import json
import os
import ssl
import subprocess
import threading
import time

from cryptography.hazmat.primitives.asymmetric import rsa


def key_set(*kids):
    """A JWKS document with one new RSA key for each kid."""
    def number(value):
        raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    keys = []
    for kid in kids:
        public = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
        keys.append({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
                     "n": number(public.n), "e": number(public.e)})
    return json.dumps({"keys": keys}).encode()


def certificates(directory, name="localhost", ip="127.0.0.1"):
    """Makes ca.pem and server.pem (with its key) for `name` and `ip`; returns their paths."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, cwd=directory, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-days", "2", "-subj", "/CN=test CA")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr",
            "-subj", "/CN=" + name)
    with open(os.path.join(directory, "ext"), "w") as f:
        f.write("subjectAltName=DNS:%s,IP:%s\n" % (name, ip))
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", "server.crt", "-days", "2", "-extfile", "ext")
    joined = os.path.join(directory, "server.pem")
    with open(joined, "wb") as out:
        for part in ("server.crt", "server.key"):
            with open(os.path.join(directory, part), "rb") as f:
                out.write(f.read())
    return os.path.join(directory, "ca.pem"), joined


class Issuer:
    """with Issuer() as issuer: issuer.uri, issuer.asked; answer(handler) may be replaced."""

    def __init__(self, tls_pem=None, max_version=None):
        self.document = key_set("k1")
        self.asked = []  # when, in seconds of the monotonic clock
        self.headers = []
        self.answer = self.good
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                issuer.asked.append(time.monotonic())
                issuer.headers.append(dict(self.headers))
                try:
                    issuer.answer(self)
                except OSError:
                    pass  # the client has had enough

            def log_message(self, *words):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls_pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls_pem)
            if max_version:
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = max_version
                context.set_ciphers("ALL:@SECLEVEL=0")
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.uri = "%s://127.0.0.1:%d/keys.json" % ("https" if tls_pem else "http", self.port)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()

    def good(self, handler, headers=()):
        self.send(handler, 200, self.document, headers)

    @staticmethod
    def send(handler, status, body, headers=()):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def yaml(self, uri=None):
        """The auth section that points here."""
        return ("auth:\n  issuers:\n    - {issuer: 'https://id.example.com', jwksUri: '%s', "
                "audience: [tills]}\n" % (uri or self.uri))
