# SPDX-License-Identifier: Apache-2.0
"""What the log says of requests, and to whom: fields, names of people, shares, both forms."""

import collections
import json
import os
import re
import signal
import subprocess
import time
import uuid

import pytest

from kit.clients import Api, Connection, Load
from kit.processes import BINARY, eventually, free_port, patient, run, scaled
from kit.shop import Shop


def ask(gateway, token, path="/v1/me", n=1, **headers):
    """Request ids of n requests."""
    ids = ["log-" + uuid.uuid4().hex for _ in range(n)]
    with Api(gateway, token) as api:
        for name in ids:
            api.get(path, headers={"x-request-id": name, **headers})
    return ids


def line_of(gateway, request_id):
    line, = eventually(lambda: gateway.accesses(requestId=request_id), what="the line is written")
    return line


# ---- fields ----------------------------------------------------------------------------------------


def test_a_line_tells_the_time_of_the_database(gateway, shop):
    listed, me = (line_of(gateway, ask(gateway, shop.token(), path)[0])
                  for path in ("/v1/products?limit=5", "/v1/me"))
    assert 0 < listed["dbUs"] < listed["durationUs"]
    assert 0 <= listed["queueUs"] < listed["durationUs"] - listed["dbUs"] + 1000
    assert "dbUs" not in me and "queueUs" not in me


def test_a_product_from_memory_has_no_time_of_the_database(gateway, shop):
    product = shop.product()
    with Api(gateway, shop.token()) as api:
        def fate(name):
            return api.get("/v1/products/" + product,
                           headers={"x-request-id": name}).headers["cache-status"]

        name = eventually(lambda: (lambda n: "hit" in fate(n) and n)(uuid.uuid4().hex),
                          what="it is answered from memory")
    assert "dbUs" not in line_of(gateway, name)
    first = [line for line in gateway.accesses(path="/v1/products/" + product) if "dbUs" in line]
    assert first and all(line["dbUs"] <= line["durationUs"] for line in first)


@pytest.mark.parametrize("header, known", [
    ("00-%s-00f067aa0ba902b7-01", True), ("00-%s-00f067aa0ba902b7-00", True),
    ("00-%s-0000000000000000-01", False), ("ff-%s-00f067aa0ba902b7-01", False), ("%s", False)])
def test_the_trace_id_is_logged_if_it_is_one(gateway, shop, header, known):
    trace_id = uuid.uuid4().hex
    name, = ask(gateway, shop.token(), traceparent=header % trace_id)
    assert line_of(gateway, name).get("traceId") == (trace_id if known else None)


def test_the_trace_id_of_several_is_none(gateway, shop):
    name = uuid.uuid4().hex
    lines = ["GET /v1/me HTTP/1.1", "Host: till", "Connection: close", "X-Request-Id: " + name]
    lines += ["Traceparent: 00-%s-00f067aa0ba902b7-01" % uuid.uuid4().hex] * 2
    with gateway.connect() as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 401 ")
    assert "traceId" not in line_of(gateway, name)


# ---- people ----------------------------------------------------------------------------------------


def test_a_principal_is_a_hash(gateway, shop):
    """The same for the same person, another for another; the name itself stands nowhere."""
    cashier, manager = shop.token("cashier"), shop.token("manager")
    with Api(gateway, cashier) as api:
        subject = api.get("/v1/me").json()["sub"]
    first, again, other = (line_of(gateway, ask(gateway, token)[0])["principal"]
                           for token in (cashier, shop.token("cashier", ttl=1800), manager))
    assert re.fullmatch("[0-9a-f]{16}", first) and first == again != other
    assert not gateway.accesses(sub=subject) and subject not in gateway.log_text()


def test_a_public_request_has_no_principal(gateway):
    name = uuid.uuid4().hex
    with Api(gateway) as api:
        api.get("/v1/me", headers={"x-request-id": name})
    line = line_of(gateway, name)
    assert line["status"] == 401 and "principal" not in line and "sub" not in line


def test_how_a_principal_is_named_is_an_option(start, shop):
    gateway = start(workers=1)
    token = shop.token()
    with Api(gateway, token) as api:
        subject = api.get("/v1/me").json()["sub"]
    usual = line_of(gateway, ask(gateway, token)[0])["principal"]

    def line_with(is_wanted):
        """The first such line after a reload: for a moment the old worker may still accept."""
        def one():
            line = line_of(gateway, ask(gateway, token)[0])
            return line if is_wanted(line) else None
        return eventually(one, what="the new worker answers")

    gateway.reload(log={"principal_key": "a secret of the fleet"})
    keyed = line_with(lambda line: line["principal"] != usual)["principal"]
    assert re.fullmatch("[0-9a-f]{16}", keyed)
    gateway.reload(log={"principal": "none"})
    assert "sub" not in line_with(lambda line: "principal" not in line)
    gateway.reload(log={"principal": "plain"})
    assert line_with(lambda line: "sub" in line)["sub"] == subject
    assert "a secret of the fleet" not in gateway.log_text() + gateway.get_admin("/config").text


# ---- shares ----------------------------------------------------------------------------------------


def test_a_share_is_kept_and_the_rest_is_counted(start, shop):
    """Two gateways keep the same requests; errors are all there."""
    share = {"sample_2xx": 0.25, "sample_4xx": 0}
    one, other = (start(workers=1, log=share) for _ in range(2))
    token = shop.token()
    traces = ["00-%s-00f067aa0ba902b7-00" % uuid.uuid4().hex for _ in range(200)]
    kept = []
    for gateway in (one, other):
        with Api(gateway, token) as api:
            for trace in traces:
                api.get("/v1/me", headers={"traceparent": trace})
            api.get("/v1/products/nothing")
        left_out = "tillway_log_lines_left_out_total"
        eventually(lambda g=gateway: len(g.accesses()) + g.metrics()[left_out] == len(traces) + 1,
                   what="every request is written or counted")
        kept.append({line["traceId"] for line in gateway.accesses(path="/v1/me")})
        assert not gateway.accesses(path="/v1/products/nothing")
    assert kept[0] == kept[1]
    # OpenTelemetry's rule: the random end of the trace id.
    assert kept[0] == {t[3:35] for t in traces if int(t[21:35], 16) < 0.25 * 2**56}
    assert 0 < len(kept[0]) < len(traces)


def test_without_a_trace_the_request_id_decides(start, shop):
    gateway = start(workers=1, log={"sample_2xx": 0.5})
    names = ["till-%d" % i for i in range(60)]
    kept = []
    with Api(gateway, shop.token()) as api:
        for _ in range(2):
            for name in names:
                api.get("/v1/me", headers={"x-request-id": name})
            kept.append(eventually(
                lambda: gateway.metrics()["tillway_log_lines_left_out_total"] +
                len(gateway.accesses()) == (len(kept) + 1) * len(names) and
                [line["requestId"] for line in gateway.accesses()],
                what="every request is written or counted"))
    assert kept[1] == 2 * kept[0] and 0 < len(kept[0]) < 60


# ---- for people ------------------------------------------------------------------------------------


def test_the_text_form(start, shop):
    """One line each, in columns; what a client sends cannot act on the terminal that shows it."""
    read, write = os.pipe()
    gateway = start(log_to=write, workers=1, log={"format": "text"},
                    listen=[{"address": "127.0.0.1", "port": free_port()}],
                    admin={"port": free_port()})
    os.close(write)
    text = []

    def lines():
        os.set_blocking(read, False)
        try:
            text.append(os.read(read, 1 << 20).decode())
        except BlockingIOError:
            pass
        return "".join(text).split("\n")[:-1]

    name, = ask(gateway, shop.token(), "/v1/products?limit=1")
    pattern = (r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ INFO  worker0  access 200 +\d+\.\d{3}ms "
               r"GET    /v1/products route=/v1/products queue=\d+\.\d{3}ms db=\d+\.\d{3}ms bytes=\d+ "
               r"protocol=HTTP/1.1 peer=127.0.0.1 principal=[0-9a-f]{16} requestId=%s" % name)
    eventually(lambda: [line for line in lines() if re.fullmatch(pattern, line)],
               what="the line is written")
    started = [line for line in lines() if " worker_started worker 0 started with pid " in line]
    assert len(started) == 1 and re.match(r"\S+ INFO  master   event  worker_started", started[0])
    assert not any(re.search(r"[\x00-\x1f\x7f-\x9f]", line) for line in lines())
    with pytest.raises(json.JSONDecodeError):
        json.loads(started[0])
    gateway.stop()
    os.close(read)


# ---- log.file --------------------------------------------------------------------------------------


def parsed(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.split("\n")[:-1]]


def rotate(gateway, number):
    """As logrotate does it: rename, then the signal."""
    path = "%s.%d" % (gateway.log_path, number)
    os.rename(gateway.log_path, path)
    gateway.process.send_signal(signal.SIGUSR1)
    eventually(lambda: gateway.events("log_reopened"), what="the log is opened anew")
    return path


def test_rotation_loses_no_line(start, shop, tmp_path):
    """Under load; then by a reload, which opens another file, and an upgrade, which opens the same."""
    # As root, with workers that could not open the file themselves.
    rights = {"user": "nobody"} if os.geteuid() == 0 else {}
    gateway = start(log={"file": str(tmp_path / "tillway.log")}, **rights)
    before, files = gateway.workers(), []

    def ask_once(connection):
        assert connection.request("GET", "/v1/me")[0] == 200

    # So many connections do not all go to one worker: twice in 2^32 times.
    with Load(gateway, shop.token(), 32, ask_once) as load:
        for number in range(5):
            enough = load.done + scaled(200)
            eventually(lambda n=enough: load.done > n or load.errors)
            files.append(rotate(gateway, number))
    assert load.errors == [] and load.lost == 0
    assert gateway.metrics()["tillway_log_lines_dropped_total"] == 0

    def lines():
        return [line for path in [*files, gateway.log_path] for line in parsed(path)]

    def accesses():
        return [line for line in lines() if line["kind"] == "access"]

    eventually(lambda: len(accesses()) >= load.done, what="every request is in one of the files")
    assert len({line["requestId"] for line in accesses()}) == len(accesses()) == load.done
    assert {line["worker"] for line in parsed(gateway.log_path) + parsed(files[-1])
            if line["kind"] == "access"} == {0, 1}
    started = [line for line in lines() if line.get("event") == "worker_started"]
    assert len(started) == len(before), "no worker has been replaced"
    ask(gateway, shop.token(), n=20)
    eventually(lambda: len(accesses()) == load.done + 20, what="what comes later is in the new file")
    assert not [line for line in lines() if line.get("event") == "signal_ignored"]
    assert os.stat(gateway.log_path).st_mode & 0o777 == 0o640
    gateway.upgrade()
    name, = ask(gateway, shop.token())
    line_of(gateway, name)


def test_a_reload_changes_the_file(start, shop, tmp_path):
    one, other = (str(tmp_path / name) for name in ("one.log", "other.log"))
    gateway = start(workers=1, log={"file": one})
    gateway.configure(log={"file": other})
    gateway.process.send_signal(signal.SIGHUP)
    gateway.log_path = other
    eventually(lambda: gateway.events("reloaded"), what="it is reloaded")
    gateway.have_left(1)
    name, = ask(gateway, shop.token())
    line_of(gateway, name)
    assert not [line for line in parsed(one) if line.get("event") == "reloaded"]
    # One that cannot be opened is a bad reload: nothing changes.
    gateway.configure(log={"file": str(tmp_path / "none" / "x.log")})
    gateway.process.send_signal(signal.SIGHUP)
    failed = eventually(lambda: gateway.events("reload_failed"), what="it is refused")
    assert "log.file: cannot open" in failed[0]["message"]
    check = run([BINARY, "-t", "-c", gateway.config_path])
    assert check.returncode == 1 and "log.file: cannot open" in check.stderr
    assert line_of(gateway, ask(gateway, shop.token())[0])["status"] == 200


def test_a_file_that_cannot_be_opened_anew_stays(start, shop, tmp_path):
    directory = tmp_path / "logs"
    directory.mkdir()
    gateway = start(workers=1, log={"file": str(directory / "t.log")})
    directory.rename(tmp_path / "moved")
    gateway.log_path = str(tmp_path / "moved" / "t.log")
    gateway.process.send_signal(signal.SIGUSR1)
    line, = eventually(lambda: gateway.events("log_reopen_failed"), what="it is told")
    assert line["kind"] == "error" and "No such file" in line["message"]
    assert line_of(gateway, ask(gateway, shop.token())[0])["status"] == 200


def quickly(connection, n):
    """n requests; none waits."""
    slowest = 0
    for _ in range(n):
        began = time.monotonic()
        assert connection.request("GET", "/v1/me")[0] == 200
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < patient(0.5)


def dropped(gateway):
    return gateway.metrics()["tillway_log_lines_dropped_total"]


def test_a_full_disk_costs_lines_only(start, shop, tmp_path):
    """P7. A limit on the size of files is a disk that is full; cutting the file makes room again."""
    gateway = start(workers=1, prefix=["prlimit", "--fsize=20000"],
                    log={"file": str(tmp_path / "tillway.log")})
    connection = Connection(gateway, shop.token())
    quickly(connection, 200)

    def written():
        """Lines that are whole: what is torn is taken back yet."""
        return sum('"kind":"access"' in line for line in gateway.log_text().split("\n")[:-1])

    eventually(lambda: written() + dropped(gateway) >= 200,
               what="lines are dropped and counted, and none is on its way any more")
    assert dropped(gateway) > 50
    full = parsed(gateway.log_path)
    assert len(full) > 20 and os.path.getsize(gateway.log_path) <= 20000
    os.truncate(gateway.log_path, 0)
    quickly(connection, 10)
    connection.close()
    eventually(lambda: len(gateway.accesses()) == 10, what="with room the log goes on")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_small_file_system_that_is_full(start, shop, tmp_path):
    """P7 with the real thing; lines that were written in part are not there."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", tmp_path],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here: %s" % mounted.stderr.decode().strip())
    try:
        gateway = start(log={"file": str(tmp_path / "tillway.log")})
        connection = Connection(gateway, shop.token())
        quickly(connection, 300)
        eventually(lambda: dropped(gateway) > 50, what="lines are dropped and counted")
        assert len(parsed(gateway.log_path)) > 20
        old = tmp_path / "old.log"
        os.rename(gateway.log_path, old)
        gateway.process.send_signal(signal.SIGUSR1)
        eventually(lambda: os.path.exists(gateway.log_path), what="the file is there anew")
        old.unlink()
        quickly(connection, 10)
        connection.close()
        eventually(lambda: len(gateway.accesses()) >= 10, what="with room the log goes on")
        gateway.stop()
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_reader_that_stops(start, shop, tmp_path):
    """P7: SIGSTOP to who reads the pipe. Nobody waits; what it gets afterwards is whole lines."""
    read, write = os.pipe()
    with open(tmp_path / "read", "wb") as out:
        reader = subprocess.Popen(["cat"], stdin=read, stdout=out)
    os.close(read)
    gateway = start(log_to=write, workers=1, listen=[{"address": "127.0.0.1", "port": free_port()}],
                    admin={"port": free_port()})
    os.close(write)
    try:
        reader.send_signal(signal.SIGSTOP)
        connection = Connection(gateway, shop.token())
        quickly(connection, 500)
        eventually(lambda: dropped(gateway) > 50, what="lines are dropped and counted")
        reader.send_signal(signal.SIGCONT)
        eventually(lambda: (quickly(connection, 1), parsed_so_far(tmp_path / "read")[-1])[1].get(
            "status") == 200 and reader_has_caught_up(gateway), what="the reader is served again")
        connection.close()
        gateway.stop()
        assert reader.wait(30) == 0
    finally:
        reader.kill()
        reader.wait()
    lines = parsed(tmp_path / "read")
    counted = collections.Counter(line["kind"] for line in lines)
    assert counted["access"] > 20 and lines[-1]["event"] == "stopped"
    assert "eyJ" not in (tmp_path / "read").read_text()


def parsed_so_far(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f.read().split("\n")[:-1]] or [{}]


def reader_has_caught_up(gateway):
    before = dropped(gateway)
    time.sleep(0.1)
    return dropped(gateway) == before


# ---- who changed what ------------------------------------------------------------------------------


def audits(gateway, **wanted):
    return [line for line in gateway.lines() if line["kind"] == "audit" and
            all(line.get(k) == v for k, v in wanted.items())]


def test_changes_of_managers_are_audited(gateway, shop, manager, api):
    name = "audit-" + uuid.uuid4().hex
    trace = uuid.uuid4().hex
    made = manager.post("/v1/products", json={"name": "Bread", "price": 2.5}, headers={
        "x-request-id": name, "traceparent": "00-%s-00f067aa0ba902b7-01" % trace})
    line, = eventually(lambda: audits(gateway, requestId=name), what="the change is audited")
    assert line.items() >= {
        "outcome": "done", "status": 201, "method": "POST", "route": "/v1/products",
        "entity": made.headers["location"], "store": shop.store, "traceId": trace,
        "level": "info", "peer": "127.0.0.1"}.items()
    assert line["principal"] == line_of(gateway, name)["principal"] and "sub" not in line
    path = made.headers["location"]
    manager.request("DELETE", path, headers={"if-match": made.headers["etag"], "x-request-id": name + "d"})
    line, = eventually(lambda: audits(gateway, requestId=name + "d"), what="the change is audited")
    assert (line["method"], line["entity"], line["route"]) == (
        "DELETE", path, "/v1/products/{productId}")


def test_refunds_are_audited_once_and_sales_are_not(gateway, shop, manager, api):
    sold = api.sell(shop.basket(shop.product()), headers={"x-request-id": "sale-" + shop.store})
    path, key = sold.headers["location"] + "/refunds", str(uuid.uuid4())
    for name in ("first-", "again-"):
        manager.post(path, json={"amount": 1}, key=key, headers={"x-request-id": name + shop.store})
    for name, outcome in (("first-", "done"), ("again-", "replayed")):
        line, = eventually(lambda n=name: audits(gateway, requestId=n + shop.store), what="it is audited")
        assert (line["outcome"], line["entity"]) == (outcome, path)
    assert line_of(gateway, "sale-" + shop.store) and not audits(gateway, requestId="sale-" + shop.store)


def test_what_is_denied_is_audited(gateway, shop, api, manager):
    name = "denied-" + shop.store
    api.post("/v1/products", json={"name": "x", "price": 1}, headers={"x-request-id": name})
    line, = eventually(lambda: audits(gateway, requestId=name), what="the attempt is audited")
    assert line["outcome"] == "denied" and line["code"] == "forbidden" and line["principal"]
    manager.get("/v1/audit", headers={"x-request-id": "read-" + shop.store})
    assert line_of(gateway, "read-" + shop.store) and not audits(gateway, requestId="read-" + shop.store)


def test_audit_lines_are_written_whatever_else_is_not(start, shop):
    gateway = start(workers=1, log={"access": False, "sample_2xx": 0})
    with Api(gateway, shop.token("manager")) as api:
        api.post("/v1/products", json={"name": "x", "price": 1})
        eventually(lambda: audits(gateway, status=201), what="the change is audited")
        assert not gateway.accesses()
    gateway.reload(log={"audit": False})
    gateway.have_left(1)
    with Api(gateway, shop.token("manager")) as api:
        api.post("/v1/products", json={"name": "y", "price": 1})
    gateway.reload(log={"access": True, "sample_2xx": 1})
    gateway.have_left(1)
    line_of(gateway, ask(gateway, shop.token())[0])
    assert len(audits(gateway)) == 1


# ---- what went wrong -------------------------------------------------------------------------------


def test_a_failure_is_told_with_its_cause(start, issuer, own_database):
    gateway = start(workers=1, db={"url": own_database.url}, log={"access": False})
    shop = Shop(own_database, issuer)
    own_database.rows("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE 'the shelf is broken'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON transaction_items FOR EACH ROW
            EXECUTE FUNCTION refuse()""")
    product = shop.product()
    with Api(gateway, shop.token()) as api:
        for i in range(30):
            answer = api.sell(shop.basket(product), headers={"x-request-id": "broken-%d" % i})
            assert answer.status_code == 500
    cause = eventually(lambda: gateway.events("db_query_failed"), what="the cause is told")[0]
    assert cause["kind"] == "error" and cause["requestId"] == "broken-0"
    assert "record_sales: SQLSTATE P0001: the shelf is broken" in cause["message"]
    failed = eventually(lambda: gateway.events("request_failed"), what="the failure is told")
    assert failed[0].items() >= {
        "kind": "error", "level": "error", "requestId": "broken-0", "status": 500,
        "code": "internal", "route": "/v1/transactions", "method": "POST"}.items()
    assert re.fullmatch(r"Internal error; queue \d+ ms, database \d+ ms", failed[0]["message"])
    assert failed[0]["principal"] and failed[0]["durationUs"] > 0
    assert not gateway.accesses()
