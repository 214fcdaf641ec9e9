# SPDX-License-Identifier: Apache-2.0
"""An OTLP collector over HTTP: keeps the spans that it was sent, and answers as it is told."""

import http.server
import json
import ssl
import threading


class Collector:
    """with Collector() as c: c.url, c.spans(), c.posts; c.status is what it answers, once c.answers is set."""

    def __init__(self, certificate=None):
        """certificate: (certificate, key) files, for https."""
        collector = self
        self.posts, self.status, self._lock = [], 200, threading.Lock()
        self.answers = threading.Event()
        self.answers.set()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with collector._lock:
                    status = collector.status
                    collector.posts.append((self.path, dict(self.headers), json.loads(body), status))
                collector.answers.wait()
                self.send_response(status)  # as the post says, whatever the test has set meanwhile
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = "%s:%d/v1/traces" % ("https://localhost" if certificate else "http://127.0.0.1",
                                        self.port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def resources(self):
        return [attributes(r["resource"]) for _, _, body, _ in list(self.posts)
                for r in body["resourceSpans"]]

    def spans(self, status=200, **wanted):
        """Of the posts answered so; attributes as a dict, times as numbers."""
        found = []
        for _, _, body, answered in list(self.posts):
            for span in (s for r in body["resourceSpans"] for scope in r["scopeSpans"]
                         for s in scope["spans"]):
                span = {**span, "attributes": attributes(span), "from": int(span["startTimeUnixNano"]),
                        "to": int(span["endTimeUnixNano"])}
                if answered == status and all(span.get(k) == v for k, v in wanted.items()):
                    found.append(span)
        return found

    def servers(self, **wanted):
        return self.spans(kind=2, **wanted)


def attributes(holder):
    kinds = {"stringValue": str, "intValue": int}
    found = {}
    for attribute in holder["attributes"]:
        (kind, value), = attribute["value"].items()
        assert isinstance(value, str) and attribute["key"] not in found
        found[attribute["key"]] = kinds[kind](value)
    return found
