# SPDX-License-Identifier: Apache-2.0
"""The admin port's pages about processes, and the one request that changes something."""

import http.client
import json
import os
import re
import signal
import socket
import threading

import pytest

from gateway import eventually
from test_change import leave, mode, text_of, who, workers_of  # noqa: F401


def ask(g, path, method="GET", headers=None):
    """Status, headers and parsed body."""
    connection = http.client.HTTPConnection(g.admin.partition("//")[2], timeout=20)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, json.loads(body) if body else None


def post_reload(g, headers=None):
    return ask(g, "/reload", "POST", headers)


def write(g, text):
    with open(g.config_path, "w") as f:
        f.write(text)


def list_workers(g):
    return ask(g, "/workers")[2]["workers"]


# ---- /workers ---------------------------------------------------------------------------------------


def test_workers_are_listed_with_what_they_are(start):
    g = start(workers=2)  # until one of them serves
    assert eventually(lambda: all(w["state"] != "starting" for w in list_workers(g)))
    workers = list_workers(g)
    assert [w["worker"] for w in workers] == [0, 1]
    assert {w["pid"] for w in workers} == workers_of(g)
    for w in workers:
        assert w["state"] == "serving" and w["generation"] == 1
        assert w["ready"] == ["serving", "database-read", "database-write", "keys"]
        assert 0 <= w["heartbeatAgeSeconds"] < 1 and 0 < w["ageSeconds"] < 30
        assert w["memoryBytes"] > 2 ** 20 and w["cpuSeconds"] >= 0
        assert (w["requests"], w["requestsInFlight"], w["connections"]) == (0, 0, 0)


def test_a_workers_requests_are_its_own_and_not_its_predecessors(start):
    g = start(workers=1)
    g.command("metrics")
    before, = list_workers(g)
    assert (before["requests"], before["connections"]) == (1, 7)
    os.kill(before["pid"], signal.SIGKILL)
    assert eventually(lambda: workers_of(g) and workers_of(g) != {before["pid"]})
    after, = list_workers(g)
    assert (after["requests"], after["connections"]) == (0, 0)
    assert g.metrics()["tillway_connections_accepted_total"] == 7, "the sum goes on"


def test_states_of_workers(start, mode):  # noqa: F811
    """unready, waiting in a reload, draining, stuck."""
    def states():
        return sorted(w["state"] for w in list_workers(g))

    g = start(workers=1, env={"TILLWAY_HARNESS_MODE": str(mode)}, extra="reload: {timeout: 60s}")
    g.command("ready 1")
    assert eventually(lambda: states() == ["unready"])
    g.command("ready 15")
    g.command("stubborn")
    mode.write_text("unready")
    g.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: states() == ["serving", "waiting"])
    assert ask(g, "/status.json")[2]["change"] == "reload"
    pid, = [w["pid"] for w in list_workers(g) if w["state"] == "serving"]
    os.kill(pid, signal.SIGSTOP)
    assert eventually(lambda: states() == ["stuck", "waiting"])
    os.kill(pid, signal.SIGKILL)


def test_who_drains_is_called_so(start):
    g = start(workers=1)
    g.command("stubborn")
    g.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: [(w["generation"], w["state"]) for w in list_workers(g)] ==
                      [(2, "serving"), (1, "draining")])


# ---- POST /reload -----------------------------------------------------------------------------------


def test_a_reload_is_answered_when_the_new_ones_serve(start):
    g = start(workers=1)
    old = workers_of(g)
    write(g, text_of(g).replace("workers: 1", "workers: 2") + "\nrate_limits: {entries: 4096}\n")
    status, headers, body = post_reload(g)
    assert status == 200 and headers["content-type"] == "application/json"
    assert (body["status"], body["workers"], body["generation"]) == ("reloaded", 2, 2)
    assert body["restartNeeded"] == "rate_limits.entries"
    assert re.fullmatch(r"\d{4}-.*Z", body["loadedAt"])
    assert len(g.events("reloaded")) == 1
    leave(g, old)
    assert len(workers_of(g)) == 2
    assert ask(g, "/status.json")[2]["lastReload"]["result"] == "done"


def test_a_bad_file_is_422_and_names_every_place(start):
    g = start(workers=1)
    old, lines = workers_of(g), len(text_of(g).splitlines())
    write(g, text_of(g) + "log:\n  level: loud\n  acces: true\n")
    status, headers, body = post_reload(g)
    assert status == 422 and headers["content-type"] == "application/problem+json"
    assert body["code"] == "config-invalid" and "log.level" in body["detail"]
    assert {(e["file"], e["line"], e["key"]) for e in body["errors"]} == \
        {(g.config_path, lines + 2, "log.level"), (g.config_path, lines + 3, "log.acces")}
    assert all(e["reason"] for e in body["errors"])
    assert workers_of(g) == old
    last = ask(g, "/status.json")[2]["lastReload"]
    assert last["result"] == "failed" and last["why"] == body["detail"]


@pytest.mark.parametrize("fault", ["die", "unready"])
def test_workers_that_do_not_come_up_are_409(start, mode, fault):  # noqa: F811
    g = start(workers=1, env={"TILLWAY_HARNESS_MODE": str(mode)}, extra="reload: {timeout: 2s}")
    old = workers_of(g)
    mode.write_text(fault)
    status, _, body = post_reload(g)
    assert (status, body["code"]) == (409, "reload-failed")
    assert ("died" if fault == "die" else "reload.timeout") in body["detail"]
    assert who(g) in old


def test_who_asks_during_a_reload_waits_for_the_next(start, mode):  # noqa: F811
    g = start(workers=1, env={"TILLWAY_HARNESS_MODE": str(mode)}, extra="reload: {timeout: 2s}")
    mode.write_text("unready")
    answers = []
    first = threading.Thread(target=lambda: answers.append(post_reload(g)))
    first.start()
    assert eventually(lambda: {w["generation"] for w in list_workers(g) if w["heartbeatAgeSeconds"] is not None}
                      == {1, 2}), "it turns: it has read the mode"
    mode.write_text("")
    status, _, body = post_reload(g)  # the first one fails meanwhile
    first.join(30)
    assert answers[0][0] == 409 and (status, body["status"]) == (200, "reloaded")


def test_a_client_that_does_not_wait_harms_nothing(start, mode):  # noqa: F811
    g = start(workers=1, env={"TILLWAY_HARNESS_MODE": str(mode)}, extra="reload: {timeout: 2s}")
    mode.write_text("unready")
    connections = []
    for _ in range(8):
        connection = http.client.HTTPConnection(g.admin.partition("//")[2], timeout=20)
        connection.request("POST", "/reload")
        connections.append(connection)
    assert eventually(lambda: post_reload(g)[0] == 503), "eight may wait"
    for connection in connections:
        connection.close()
    assert eventually(lambda: len(g.events("reload_failed")) >= 1)
    mode.write_text("")
    assert eventually(lambda: post_reload(g)[0] == 200)


def test_who_waits_for_a_reload_makes_no_room_for_others(start, mode):  # noqa: F811
    """At the cap of connections those that do nothing go; he does nothing too, but was asked to wait."""
    g = start(workers=1, env={"TILLWAY_HARNESS_MODE": str(mode)}, extra="reload: {timeout: 60s}")
    old = workers_of(g)
    mode.write_text("unready")
    first = socket.create_connection(("127.0.0.1", int(g.admin.rpartition(":")[2])), 20)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(post_reload(g)))
    waiting.start()
    assert eventually(lambda: len(workers_of(g)) == 2)
    idle = [socket.create_connection(first.getpeername(), 20) for _ in range(150)]
    assert first.recv(1) == b"", "the one that had been there for longest"
    new, = workers_of(g) - old
    os.kill(new, signal.SIGKILL)  # and the reload fails
    waiting.join(30)
    assert answers[0][0] == 409 and answers[0][2]["code"] == "reload-failed"
    for connection in [first, *idle]:
        connection.close()


def test_a_stop_answers_those_who_wait(start, mode):  # noqa: F811
    g = start(workers=1, env={"TILLWAY_HARNESS_MODE": str(mode)},
              extra="reload: {timeout: 60s}\nshutdown: {drain_delay: 2s}")
    mode.write_text("unready")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(post_reload(g)))
    waiting.start()
    assert eventually(lambda: len(workers_of(g)) == 2)
    g.process.terminate()
    waiting.join(30)
    assert answers[0][0] == 409 and answers[0][2]["code"] == "change-in-progress"
    assert post_reload(g)[0] == 409
    assert g.wait() == (0, "")


@pytest.mark.parametrize("header", ["Origin", "Sec-Fetch-Site"])
def test_no_browser_may_reload(start, header):
    """A page of another site could send it to a loopback address."""
    g = start(workers=1)
    for value in ("null", "same-origin", g.admin):
        status, _, body = post_reload(g, {header: value})
        assert (status, body["code"]) == (403, "cross-site")
    assert not g.events("reloaded")


def test_reload_is_a_post_and_nothing_else(start):
    g = start(workers=1)
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        status, headers, _ = ask(g, "/reload", method)
        assert (status, headers["allow"]) == (405, "POST")
    status, headers, _ = ask(g, "/workers", "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert not g.events("reloaded")


# ---- /status.json -----------------------------------------------------------------------------------


def sums(status):
    """{metric's name: what was added} over all samples."""
    out = {}
    for sample in status["samples"]:
        for index, value in zip(sample["m"][::2], sample["m"][1::2]):
            out[status["metrics"][index]] = out.get(status["metrics"][index], 0) + value
    return out


def test_the_status_has_history_and_goes_on_from_a_sample(start):
    g = start(workers=2)
    g.command("metrics")  # one request of 1.5 ms on row 1, 7 accepted connections
    status = eventually(lambda: (s := ask(g, "/status.json")[2])["samples"] and s)
    assert status["routes"][:2] == ["unmatched", "GET /v1/things/{thingId}"]
    assert status["bucketsUs"][0] == 250 and len(status["workers"]) == 2
    assert sums(status)["tillway_connections_accepted_total"] == 7
    requests = [row for sample in status["samples"] for row in sample["r"]]
    assert requests == [[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]]
    newest = status["samples"][-1]
    assert 1500 <= newest["ms"] <= 8000 and len(newest["q"]) == 3
    more = eventually(lambda: (s := ask(g, "/status.json?after=%d" % newest["n"])[2])["samples"] and s)
    assert more["samples"][0]["n"] == newest["n"] + 1
    assert "metrics" not in more and more["startedAt"] == status["startedAt"]
    assert more["samples"][0]["r"] == [] and "tillway_connections_accepted_total" not in \
        sums({**more, "metrics": status["metrics"]})


def test_a_wrong_query_of_the_status_is_400(start):
    g = start(workers=1)
    for query in ("after=x", "after=-1", "before=3", "after=1&after", "after=99999999999999999999"):
        status, _, body = ask(g, "/status.json?" + query)
        assert (status, body["code"]) == (400, "invalid-parameter"), query
    assert ask(g, "/status.json?after=9999999")[2]["samples"] == []


def test_the_status_says_how_it_is_with_readiness(start):
    g = start(workers=1)
    g.command("ready 9")  # no database
    status = eventually(lambda: (s := ask(g, "/status.json")[2])["readiness"]["reasons"] and s)
    assert status["readiness"]["status"] == "unready" and status["readiness"]["reasons"] == ["database"]
    assert status["readiness"]["since"] >= status["startedAt"]


# ---- the page ---------------------------------------------------------------------------------------


def test_the_page_is_one_document_that_may_ask_nobody_else(start):
    """N4; the hashes in its policy are those of its script and its style."""
    import base64
    import hashlib
    g = start(workers=1)
    status, headers, text = g.get("/")
    policy = headers["content-security-policy"]
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store" and headers["x-frame-options"] == "DENY"
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    for kind in ("script", "style"):
        inside, = re.findall("<%s>(.*)</%s>" % (kind, kind), text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert "%s-src 'sha256-%s'" % (kind, digest) in policy
    body = re.sub("<!--.*?-->|<script>.*</script>|<style>.*</style>", "", text, flags=re.DOTALL)
    assert not re.search(r"(?:src|href|action)=.?(?:https?:)?//", body)
    assert not re.search(r"\son[a-z]+=|\sstyle=", body), "what the policy forbids"
