# SPDX-License-Identifier: Apache-2.0
"""FAULTS P1, P2, P3, P5 and the admin port, seen from outside of the master."""

import errno
import json
import os
import re
import signal
import socket
import time

import pytest

from gateway import Gateway, eventually, free_port

SAMPLE = re.compile(r'^[a-z_]+(\{([a-z_]+="[^"\\]*",?)+\})? -?[0-9.e+]+$')


def kill_and_wait(g, index=0, number=signal.SIGKILL):
    """Kills a worker; returns the seconds until its successor answers."""
    old = g.pids()[index]
    begin = time.monotonic()
    os.kill(old, number)
    assert eventually(lambda: g.command("who") not in ("", "%d %d" % (index, old)))
    return time.monotonic() - begin


# P1

@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_dead_worker_is_replaced_within_200_ms(start, number):
    g = start(workers=1)
    old = g.pids()[0]
    took_s = [kill_and_wait(g, number=number)]
    while min(took_s) >= 0.2:  # a busy machine may be late with one of them
        assert len(took_s) < 4, took_s
        took_s.append(kill_and_wait(g, number=number))
    line = g.events("worker_exited")[0]["message"]
    assert "worker 0 pid %d was killed by signal %d" % (old, number) in line
    assert g.metrics()["tillway_worker_restarts_total"] == len(took_s)
    assert eventually(lambda: g.ready()[0] == 200)


def test_exit_code_is_logged(start):
    g = start(workers=1)
    g.command("exit 9")
    assert eventually(lambda: g.events("worker_exited"))
    assert g.events("worker_exited")[0]["message"].endswith("exited with code 9")
    assert eventually(lambda: len(g.events("worker_started")) == 2)


def test_connection_queued_at_a_dead_worker_is_answered_by_its_successor(start):
    g = start(workers=1)
    os.kill(g.pids()[0], signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", g.http[0]), 5) as s:
        s.sendall(b"who\n")
        os.kill(g.pids()[0], signal.SIGKILL)
        assert s.recv(100).startswith(b"0 ")


def test_workers_that_always_die_are_no_fork_storm(start):
    g = start(workers=2, env={"TILLWAY_HARNESS_START": "die"}, ready=False)
    assert eventually(lambda: len(g.events("worker_backoff")) >= 3)
    # 5 deaths at once, then pauses of 1 s, 2 s, 4 s: two workers in each round.
    started = len(g.events("worker_started"))
    pauses = [line["message"] for line in g.events("worker_backoff")]
    assert started <= 12
    assert [re.search(r"for (\d+) ms", text).group(1) for text in pauses] == ["1000", "2000", "4000"]
    assert g.get("/livez")[0] == 200
    assert g.ready() == (503, {"status": "unready", "workers": {"ready": 0, "expected": 2},
                               "reasons": ["workers"]})
    begin = time.monotonic()
    g.process.terminate()
    assert g.wait() == (0, "")
    assert time.monotonic() - begin < 2, "it does not wait for the pause's end"


def test_five_kills_pause_one_second_and_it_comes_back(start):
    g = start(workers=2)
    for _ in range(5):
        pids = eventually(lambda: len(g.pids()) == 2 and g.pids())
        os.kill(pids[0], signal.SIGKILL)
        assert eventually(lambda: g.pids().get(0) not in (None, pids[0])
                          or g.events("worker_backoff"))
    assert len(g.events("worker_backoff")) == 1
    assert g.ready()[0] == 200  # the other one serves
    assert eventually(lambda: len(g.pids()) == 2)
    assert eventually(lambda: g.ready()[1]["workers"]["ready"] == 2)


# P2

@pytest.mark.parametrize("way", ["spin", "stop", "mute"])
def test_stuck_worker_is_aborted_and_replaced(start, way):
    mute = {"TILLWAY_HARNESS_START": "mute"} if way == "mute" else {}
    g = start(workers=1, env=mute, ready=way != "mute")
    pid = eventually(g.pids)[0]
    begin = time.monotonic()
    if way == "stop":
        os.kill(pid, signal.SIGSTOP)
    elif way == "spin":
        try:
            with socket.create_connection(("127.0.0.1", g.http[0]), 1) as s:
                s.sendall(b"spin\n")
                s.recv(1)
        except TimeoutError:
            pass
    assert eventually(lambda: g.events("worker_stuck"))
    assert 4.2 < time.monotonic() - begin < 9
    assert eventually(lambda: g.pids().get(0) not in (None, pid))
    expected = 9 if way == "stop" else 6  # a stopped process does not even abort
    assert "killed by signal %d " % expected in g.events("worker_exited")[0]["message"]


def test_a_paused_process_group_is_not_taken_for_stuck(start):
    g = start(workers=1)
    os.killpg(g.pid, signal.SIGSTOP)
    time.sleep(6)
    g.process.send_signal(signal.SIGCONT)
    time.sleep(1)  # the master sees the old heartbeat
    os.killpg(g.pid, signal.SIGCONT)
    time.sleep(1)
    assert g.events("worker_stuck") == []
    assert eventually(lambda: g.ready()[0] == 200)


# P3

def test_workers_leave_when_the_master_is_killed(start):
    g = start(workers=2)
    pids = g.pids().values()
    g.process.kill()
    g.process.wait()
    assert eventually(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in pids), 10)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", g.http[0]), 1)


def test_worker_holds_only_what_is_its_own(start):
    g = start(workers=2)
    for _ in range(8):
        fds = g.command("fds").split()
        connection = fds.pop().split("=")[1]
        fds.remove(connection)
        # 0 to 2, two listening sockets, the ipc end, and the log's own descriptor if it has one.
        assert len(fds) in (6, 7), fds
    # The master has descriptors for the admin's clients, below and above those of a new worker.
    address = ("127.0.0.1", int(g.admin.rsplit(":", 1)[1]))
    clients = [socket.create_connection(address) for _ in range(8)]
    for client in clients:
        client.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    for client in clients[:6]:
        client.close()
    time.sleep(0.2)
    for pid in g.pids().values():
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: len(g.events("worker_started")) == 4)
    assert len(g.command("fds").split()) in (8, 9)
    for client in clients[6:]:
        client.close()


# P5

def test_stop_drains_and_exits_0(start):
    g = start(workers=2, extra="shutdown: {drain_delay: 3s, drain_timeout: 5s}")
    begin = time.monotonic()
    g.process.terminate()
    assert eventually(lambda: g.ready()[0] == 503, 2.5)
    assert g.ready()[1]["status"] == "draining"
    assert g.get("/livez")[0] == 200
    assert g.command("who")  # accepting goes on during the delay
    os.kill(g.pids()[0], signal.SIGKILL)  # and the dead are still replaced
    assert eventually(lambda: len(g.pids()) == 2)
    assert g.wait() == (0, "")
    assert 3.0 <= time.monotonic() - begin < 7
    assert len(g.events("harness_drained")) == 2


def test_who_does_not_leave_is_killed_after_the_timeout(start):
    g = start(workers=1, extra="shutdown: {drain_timeout: 1s}")
    g.command("stubborn")
    begin = time.monotonic()
    g.process.terminate()
    assert g.wait() == (0, "")
    assert 1.9 < time.monotonic() - begin < 6
    assert "killed by signal 9" in g.events("worker_exited")[0]["message"]


def is_refused(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_connections_are_refused_while_workers_drain(start):
    g = start(workers=1, extra="shutdown: {drain_timeout: 5s}")
    g.command("linger")
    g.process.terminate()
    assert eventually(lambda: g.events("draining"))
    assert eventually(lambda: is_refused(g.http[0]), 4.5)
    assert g.process.poll() is None


def test_second_sigint_is_immediate(start):
    g = start(workers=2, extra="shutdown: {drain_timeout: 60s}")
    g.command("stubborn")
    os.killpg(g.pid, signal.SIGINT)  # as a terminal does: workers get it too and stay
    time.sleep(0.5)
    assert g.process.poll() is None
    begin = time.monotonic()
    g.process.send_signal(signal.SIGINT)
    assert g.wait() == (0, "")
    assert time.monotonic() - begin < 5


def test_workers_ignore_the_groups_signals(start):
    g = start(workers=1)
    pid = g.pids()[0]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    time.sleep(0.3)
    assert g.pids() == {0: pid}
    assert g.events("stopping") == []


def test_reopening_the_log_does_nothing_on_standard_output(start):
    g = start(workers=1)
    g.process.send_signal(signal.SIGUSR1)
    assert eventually(lambda: g.events("signal_ignored"))
    assert g.ready()[0] == 200


# Start

def test_all_workers_share_the_chosen_port(start):
    g = start(workers=3)
    for listener in (0, 1):
        seen = set()
        assert eventually(lambda: seen.add(g.command("who", listener).split()[0]) or len(seen) == 3), seen
        assert seen == {"0", "1", "2"}


def failed_start(tmp_path, issuer, **options):
    g = Gateway(str(tmp_path), issuer, **options)
    g.start()
    try:
        return g.wait()
    finally:
        g.__exit__(None)


def test_second_instance_is_told(start, tmp_path, file_issuer):
    g = start(workers=2)
    code, error = failed_start(tmp_path, file_issuer,
                               listen="[{address: 127.0.0.1, port: %d}]" % g.http[0])
    assert code == 1
    assert error == ("tillway: cannot listen on 127.0.0.1:%d: address already in use "
                     "(another tillway? choose listen[0].port)\n" % g.http[0])


def test_taken_admin_port_is_told(start, tmp_path, file_issuer):
    g = start(workers=1)
    port = int(g.admin.rsplit(":", 1)[1])
    code, error = failed_start(tmp_path, file_issuer, admin_port=port)
    assert code == 1
    assert "127.0.0.1:%d: address already in use (another tillway? choose admin.port)" % port in error
    assert error.count("\n") == 1


def test_address_of_another_machine_is_told(tmp_path, file_issuer):
    code, error = failed_start(tmp_path, file_issuer, listen="[{address: 192.0.2.1, port: 0}]")
    assert code == 1
    assert "cannot listen on 192.0.2.1:0: this machine has no such address" in error


def test_port_is_free_again_at_once(start):
    g = start(workers=2, listen="[{address: 127.0.0.1, port: %d}]" % free_port())
    g.command("who")
    g.process.terminate()
    assert g.wait()[0] == 0
    again = start(workers=2, listen="[{address: 127.0.0.1, port: %d}]" % g.http[0])
    assert again.http[0] == g.http[0]


def test_bad_key_file_is_told(tmp_path, file_issuer):
    (tmp_path / "jwks.json").write_text('{"keys": []}')
    code, error = failed_start(tmp_path, file_issuer)
    assert code == 1 and "auth.issuers[0].jwksFile" in error and error.count("\n") == 1
    (tmp_path / "jwks.json").write_text('{"keys": ' + " " * 262144 + "[]}")
    code, error = failed_start(tmp_path, file_issuer)
    assert code == 1 and "larger than 256 KiB" in error


# Files (slot 1, behind the only issuer's, is the deny list)

DENY_SLOT = 1


def with_deny_file(file_issuer, path):
    return file_issuer + "  deny_file: '%s'\n" % path


def document(g, slot):
    generation, _, text = g.command("keys %d" % slot).partition(" ")
    return int(generation), text


def test_files_are_published_when_they_change(start, tmp_path, file_issuer, key_document):
    deny = tmp_path / "deny"
    deny.write_text("jti one\n")
    g = start(with_deny_file(file_issuer, deny), workers=1)
    assert document(g, 0) == (1, key_document.decode())
    assert document(g, DENY_SLOT) == (1, "jti one")
    deny.write_text("jti one\njti two\n")  # in place
    assert eventually(lambda: document(g, DENY_SLOT) == (2, "jti one\njti two"))
    os.utime(deny)  # touched, and still the same
    deny.chmod(0o600)
    time.sleep(2.2)
    assert document(g, DENY_SLOT)[0] == 2 and document(g, 0)[0] == 1


def test_a_change_of_the_same_length_a_moment_later_is_seen(start, tmp_path, file_issuer):
    """The clock of the file system may be too coarse to tell the two apart."""
    deny = tmp_path / "deny"
    deny.write_text("jti one\n")
    g = start(with_deny_file(file_issuer, deny), workers=1)
    for i in range(3):
        before = deny.stat()
        deny.write_text("jti %03d\n" % i)
        os.utime(deny, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert eventually(lambda: document(g, DENY_SLOT)[1] == "jti %03d" % i)


def test_a_file_written_slowly_is_refused_in_one_line(start, tmp_path, file_issuer, key_document):
    """Half of it is no key set; each second there is more, and at last all."""
    path = tmp_path / "jwks.json"
    g = start(file_issuer, workers=1)
    whole = key_document + b" "
    with open(path, "wb") as f:
        for part in (whole[:40], whole[40:80], whole[80:]):
            f.write(part)
            f.flush()
            end = time.monotonic() + 1.2
            while time.monotonic() < end:
                assert document(g, 0)[0] in (1, 2)
                time.sleep(0.05)
    assert eventually(lambda: document(g, 0)[0] == 2)
    assert len(g.events("file_refused")) == 1
    assert len(g.events("file_usable")) == 1
    assert g.metrics()["tillway_auth_files_refused_total"] == 1


def test_bad_deny_file_is_told(tmp_path, file_issuer):
    (tmp_path / "deny").write_text("jti a\nnobody\n")
    code, error = failed_start(tmp_path, with_deny_file(file_issuer, tmp_path / "deny"))
    assert code == 1 and "auth.deny_file" in error and "line 2" in error and error.count("\n") == 1


# Readiness

def test_readiness_follows_the_workers_bits(start):
    g = start(workers=1)
    for bits, reasons in ((0, ["database", "keys", "workers"]), (7, ["keys"]), (9, ["database"]),
                          (13, ["database"]), (14, ["workers"])):
        g.command("ready %d" % bits)
        assert g.ready() == (503, {"status": "unready", "workers": {"ready": 0, "expected": 1},
                                   "reasons": reasons})
    g.command("ready 15")
    assert g.ready() == (200, {"status": "ready", "workers": {"ready": 1, "expected": 1},
                               "reasons": []})
    assert eventually(lambda: g.events("ready"))


def test_one_settled_worker_without_database_is_unready(start):
    g = start(workers=2)
    time.sleep(1.5)  # a tick, so that both have been seen ready
    g.command("ready 9")
    assert g.ready() == (503, {"status": "unready", "workers": {"ready": 1, "expected": 2},
                               "reasons": ["database"]})


def test_replacing_a_worker_does_not_turn_it_unready(start):
    g = start(workers=2)
    for _ in range(3):
        os.kill(g.pids()[1], signal.SIGKILL)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            assert g.ready()[0] == 200
        assert eventually(lambda: g.ready()[1]["workers"]["ready"] == 2)


# Admin port

def test_pages_and_their_headers(start):
    g = start(workers=1)
    status, headers, text = g.get("/livez")
    assert (status, text.strip(), headers["Cache-Control"]) == (200, "ok", "no-store")
    assert g.get("/livez?verbose")[0] == 200
    assert g.get("/readyz", "HEAD")[2] == ""
    status, headers, text = g.get("/config")
    assert status == 200 and "hidden" not in text and "***" in text
    for path, method, code in (("/nope", "GET", "not-found"), ("//", "GET", "not-found"),
                               ("/livez", "POST", "method-not-allowed"),
                               ("/metrics", "DELETE", "method-not-allowed")):
        status, headers, text = g.get(path, method)
        problem = json.loads(text)
        assert headers["Content-Type"] == "application/problem+json"
        assert problem["code"] == code and problem["status"] == status
        assert headers["Cache-Control"] == "no-store"
        assert status != 405 or headers["Allow"] == "GET, HEAD"


def test_limits_of_the_admin_port(start):
    g = start(workers=1)
    port = int(g.admin.rsplit(":", 1)[1])
    for request, status in ((b"GET /livez HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", b" 400 "),
                            (b"POST /livez HTTP/1.1\r\nContent-Length: 2000\r\n\r\n", b" 413 ")):
        with socket.create_connection(("127.0.0.1", port), 15) as s:
            s.sendall(request)
            assert status in s.recv(1000)
    with socket.create_connection(("127.0.0.1", port), 15) as s:
        s.sendall(b"GET /livez HTTP/1.1\r\n")
        begin = time.monotonic()
        assert s.recv(1000) == b""
        assert 4 < time.monotonic() - begin < 9
    assert g.get("/livez")[0] == 200


def test_metrics_are_well_formed_and_add_up(start):
    g = start(workers=1)
    g.command("metrics")
    text = g.get("/metrics")[2]
    assert g.get("/metrics")[1]["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    typed = re.findall(r"^# TYPE (\S+) (?:counter|gauge|histogram)$", text, re.M)
    assert len(typed) == len(set(typed)) == text.count("# HELP ")
    for line in text.splitlines():
        assert line.startswith("# ") or SAMPLE.match(line), line
    m = g.metrics()
    row = 'method="GET",route="/v1/things/{thingId}"'
    assert m['tillway_http_requests_total{%s,status="2xx"}' % row] == 1
    assert m['tillway_http_request_duration_seconds_bucket{%s,le="0.001"}' % row] == 0
    assert m['tillway_http_request_duration_seconds_bucket{%s,le="0.0025"}' % row] == 1
    assert m['tillway_http_request_duration_seconds_bucket{%s,le="+Inf"}' % row] == 1
    assert m['tillway_http_request_duration_seconds_sum{%s}' % row] == 0.0015
    assert m["tillway_connections"] == 7


def test_a_dead_workers_gauges_go_and_its_counters_stay(start):
    g = start(workers=1)
    g.command("metrics")
    kill_and_wait(g)
    assert g.metrics()["tillway_connections"] == 0
    assert g.metrics()["tillway_connections_accepted_total"] == 7
