# SPDX-License-Identifier: Apache-2.0
"""The command line and the configuration, as an operator meets them."""

import json
import os
import re
import subprocess
import urllib.parse

import httpx
import pytest

from kit.clients import Api
from kit.database import MIGRATE_CONFIG
from kit.gateway import deep_merge
from kit.processes import BINARY, ROOT, clean_environment, eventually, is_alive, run

GOOD = """\
listen:
  - {address: 127.0.0.1, port: 0}
admin: {address: 127.0.0.1, port: 0}
auth:
  issuers:
    - {issuer: "https://id.example.com", audience: [tills]}
db:
  url: postgresql://till:hidden-word@127.0.0.1:1/pos
"""


@pytest.fixture
def written(tmp_path):
    """written(text) is the path of a file with it."""
    def write(text, name="tillway.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)
    return write


def check(*paths, **env):
    words = [word for path in paths for word in ("-c", path)]
    return run([BINARY, "-t", *words], env=clean_environment(**env))


def test_a_good_file(written):
    """-t prints what is in force, without the secret, and exits 0."""
    done = check(written(GOOD), TILLWAY_WORKERS="1")  # of as many as CPUs it may warn
    assert done.returncode == 0 and done.stderr == ""
    assert "max_connections: 16 # default" in done.stdout
    assert "hidden-word" not in done.stdout


@pytest.mark.parametrize("line, wanted", [
    ("colour: red", ":9: colour: unknown key"),
    ("http: {deadlin: 2s}", ":9: http.deadlin: unknown key"),
    ("http: {deadline: 2 parsecs}", ":9: http.deadline: \"2 parsecs\""),
    ("http: {body_max: 1TiB}", ":9: http.body_max"),
    ("workers: 0.5", ":9: workers"),
    ("workers: 100000", ":9: workers"),
    ("log: {level: loud}", ":9: log.level"),
    ("pos: {currency: EURO}", ":9: pos.currency"),
    ("db: {queue_max: 5}", ":9: "),  # a second `db`
    ("x: [", ":"),
])
def test_what_is_wrong_is_told_with_its_line(written, line, wanted):
    path = written(GOOD + line + "\n")
    done = check(path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(path + wanted), done.stderr


def test_every_problem_is_told_at_once(written):
    done = check(written(GOOD + "colour: red\nworkers: many\n"))
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 2


def test_a_missing_file(tmp_path):
    done = check(str(tmp_path / "none.yaml"))
    assert done.returncode == 1 and "none.yaml: No such file" in done.stderr


def test_bad_arguments_show_the_usage():
    done = run([BINARY, "--frobnicate"])
    assert done.returncode == 2 and done.stderr.startswith("usage: tillway")


UNDERSTOOD = "the value (hidden) cannot be understood: write postgresql://"
UNUSABLE = [("db", "url", "postgresql//till:hidden-word@db", UNDERSTOOD),
            ("db", "replica", "host=db pasword=hidden-word", UNDERSTOOD),
            ("cache", "listen_url", "hidden-word", UNDERSTOOD),
            ("db", "password_file", "/nowhere/password", '"/nowhere/password" does not exist; write the password'),
            ("db", "password_file", "/", '"/" cannot be read'),
            ("db", "password_file", "/dev/null", '"/dev/null" is empty')]


@pytest.mark.parametrize("section, key, value, wanted", UNUSABLE)
def test_what_is_said_of_the_database_must_be_usable(written, section, key, value, wanted):
    """Workers would only say so in the log, each time they try."""
    more = written(json.dumps({section: {key: value}}), "more.yaml")
    for words in (["-t"], []):
        done = run([BINARY, *words, "-c", written(GOOD), "-c", more], env=clean_environment())
        assert done.returncode == 1 and "more.yaml:1: %s.%s: %s" % (section, key, wanted) in done.stderr
        assert done.stderr.count("\n") == 1 and "hidden-word" not in done.stdout + done.stderr


def test_a_variable_that_cannot_be_understood_is_named(written):
    done = check(written(GOOD), TILLWAY_DB_REPLICA="hidden-word")
    assert done.returncode == 1 and "TILLWAY_DB_REPLICA: db.replica: the value" in done.stderr


def post_reload(gateway):
    return httpx.post("http://127.0.0.1:%d/reload" % gateway.admin, timeout=60, trust_env=False)


def test_a_reload_with_such_a_file_changes_nothing(start, config):
    gateway = start(workers=1)
    workers = gateway.workers()
    for section, key, value, wanted in UNUSABLE:
        before = config.get(section, {}).get(key)
        gateway.configure(**{section: {key: value}})
        answer = post_reload(gateway)
        error, = answer.json()["errors"]
        assert answer.status_code == 422 and error["key"] == "%s.%s" % (section, key), answer.text
        assert error["file"] == gateway.config_path and error["line"] > 1 and wanted in error["reason"]
        gateway.configure(**{section: {key: before}})
    assert gateway.workers() == workers and "hidden-word" not in gateway.log_text()
    assert post_reload(gateway).status_code == 200, "and the good one is taken again"


NO_ZONE = 'PostgreSQL knows no "Europe/Pari", and no sale could be dated: write a name such as'


def test_a_reload_with_an_unknown_time_zone_changes_nothing(start, shop):
    """-t asks PostgreSQL, a reload has new workers do it: once in force, it would fail every sale."""
    gateway = start(reload={"timeout": "10m"})
    workers, bread = gateway.workers().values(), shop.product()
    gateway.configure(pos={"time_zone": "Europe/Pari"})
    answer = post_reload(gateway)
    assert answer.status_code == 422, answer.text
    error, = answer.json()["errors"]
    assert (error["file"], error["key"]) == (gateway.config_path, "pos.time_zone") and NO_ZONE in error["reason"]
    assert NO_ZONE in eventually(lambda: gateway.events("reload_failed"))[0]["message"]
    with Api(gateway, shop.token()) as api:
        assert all(map(is_alive, workers)) and api.sell(shop.basket(bread)).status_code == 201
        gateway.configure(pos={"time_zone": "Europe/Paris"})
        assert post_reload(gateway).status_code == 200 and api.sell(shop.basket(bread)).status_code == 201
    assert not gateway.events("time_zone_unknown"), "it has never been in force"


def test_a_start_with_an_unknown_time_zone_is_unready_until_a_reload(start, shop):
    gateway = start(until="live", pos={"time_zone": "Europe/Pari"}, reload={"timeout": "10m"},
                    db={"queue_timeout": "100ms"})
    bread, token = shop.product(), shop.token()
    assert NO_ZONE in eventually(lambda: gateway.events("time_zone_unknown"))[0]["message"]
    assert gateway.unready_reasons() == ["database"]
    with Api(gateway, token) as api:
        for _ in range(3):
            assert api.sell(shop.basket(bread)).status_code == 503
        assert eventually(lambda: api.get("/v1/products/" + bread).status_code == 200), "it reads"
    assert post_reload(gateway).status_code == 422, "it is no better the second time"
    gateway.configure(pos={"time_zone": "Europe/Paris"})
    assert post_reload(gateway).status_code == 200
    eventually(gateway.is_ready)
    with Api(gateway, token) as api:
        assert api.sell(shop.basket(bread)).status_code == 201
    assert len(gateway.events("time_zone_unknown")) == 1 and not gateway.events("db_query_failed")


def test_without_a_database_nobody_judges_the_time_zone(start):
    gateway = start(until="live", db={"url": "postgresql://127.0.0.1:1/x"})
    gateway.configure(pos={"time_zone": "Europe/Pari"})
    assert post_reload(gateway).status_code == 200


def test_connections_of_as_many_workers_as_there_are_cpus(written):
    """The same line as at a start (db_connections_exceed)."""
    few = written(json.dumps({"db": {"max_connections": 2}}), "few.yaml")
    done = check(written(GOOD), few)
    assert done.returncode == 0 and done.stderr.count("\n") == 1, done.stderr
    assert re.fullmatch(r"tillway: warning: db.max_connections is 2, but \d+ workers open \d+ at the least: "
                        r"raise it, or set `workers`\n", done.stderr), done.stderr
    assert check(written(GOOD), few, TILLWAY_DB_MAX_CONNECTIONS="4096").stderr == ""


def test_a_running_start_refuses_the_same(written):
    done = run([BINARY, "-c", written(GOOD + "colour: red\n")])
    assert done.returncode == 1 and ":9: colour" in done.stderr and done.stdout == ""


def test_a_variable_wins_over_the_file(written):
    done = check(written(GOOD + "http: {deadline: 1s}\n"), TILLWAY_HTTP_DEADLINE="1500ms")
    assert "deadline: 1s500ms # TILLWAY_HTTP_DEADLINE" in done.stdout
    assert check(written(GOOD), TILLWAY_HTTP_DEADLINE="soon").returncode == 1


def test_a_secret_from_a_file(written, start, database, shop):
    """TILLWAY_DB_URL_FILE; a trailing newline does not matter."""
    secret = written(database.url + "\n", "secret")
    gateway = start(db={"url": None}, env={"TILLWAY_DB_URL_FILE": secret})
    with Api(gateway, shop.token()) as api:
        assert api.sell(shop.basket(shop.product())).status_code == 201


def test_both_a_secret_and_its_file_are_refused(written):
    done = check(written(GOOD), TILLWAY_DB_URL="postgresql://x", TILLWAY_DB_URL_FILE="/dev/null")
    assert done.returncode == 1 and "TILLWAY_DB_URL_FILE" in done.stderr


def test_a_later_file_overrides_key_by_key(written):
    first = written(GOOD + "http: {deadline: 1s, url_max: 2KiB}\n", "a.yaml")
    second = written("http: {deadline: 3s}\nlisten: [{address: 127.0.0.1, port: 1}, "
                     "{address: 127.0.0.1, port: 2}]\n", "b.yaml")
    done = check(first, second)
    assert done.returncode == 0
    assert "deadline: 3s # %s:1" % second in done.stdout and "url_max: 2KiB # %s:9" % first in done.stdout
    assert done.stdout.count('{address: "127.0.0.1"') == 2  # a list is replaced as a whole


def test_a_later_file_is_in_force(start, written, shop):
    override = written("http: {url_max: 300}\n")
    gateway = start(files=[override])
    with Api(gateway, shop.token()) as api:
        assert api.get("/v1/products?q=" + "a" * 300).status_code == 414


@pytest.mark.parametrize("chain, key, wanted", [
    ("none.pem", None, "none.pem"), (None, "other", "key"), ("key", None, "")])
def test_certificates_are_judged_at_once(config, chain, key, wanted, tmp_path):
    """A certificate that cannot be used is a line now, not a worker that dies later."""
    tls = config["listen"][1]["tls"]
    other = str(tmp_path / "other.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-out", other], check=True, capture_output=True)
    paths = {"none.pem": str(tmp_path / "none.pem"), "other": other, "key": tls["key"]}
    listen = [{"address": "127.0.0.1", "port": 0,
               "tls": {"certificate": paths.get(chain, tls["certificate"]),
                       "key": paths.get(key, tls["key"])}}]
    path = str(tmp_path / "c.yaml")
    with open(path, "w", encoding="ascii") as f:
        json.dump(deep_merge(config, {"listen": listen}), f)
    done = run([BINARY, "-t", "-c", path])
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1
    assert "listen[0].tls" in done.stderr and wanted in done.stderr


# ---- ports ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["listen", "admin"])
def test_a_second_instance_is_told_in_one_line(start, gateway, what):
    changes = ({"listen": [{"address": "127.0.0.1", "port": gateway.http}]} if what == "listen" else
               {"admin": {"port": gateway.admin}})
    second = start(until=None, **changes)
    assert second.wait(30) == 1
    lines = second.stderr().splitlines()
    port = gateway.http if what == "listen" else gateway.admin
    assert len(lines) == 1 and str(port) in lines[0] and lines[0].startswith("tillway: ")
    assert "in use" in lines[0]
    second.kill()
    with Api(gateway) as api:  # whose connections are all the first one's
        assert all(api.get("/v1/me").status_code == 401 for _ in range(20))


# ---- migrate --------------------------------------------------------------------------------------


def n_migrations():
    return len([f for f in os.listdir(os.path.join(ROOT, "db/migrations")) if f.endswith(".sql")])


def test_migrate_twice(empty_database):
    for applied in (n_migrations(), 0):
        process = empty_database.spawn_migrate()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and err == ""
        assert "%d of %d migrations applied now" % (applied, n_migrations()) in out


def test_migrate_from_five_places_at_once(empty_database):
    """One does the work, the others wait and find it done."""
    processes = [empty_database.spawn_migrate() for _ in range(5)]
    outs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 5, outs
    applied = sorted(int(out.split("tillway migrate: ")[-1].split()[0]) for out, _ in outs)
    assert applied == [0, 0, 0, 0, n_migrations()]


def test_migrate_reads_the_password_file(empty_database, tmp_path):
    parts = urllib.parse.urlsplit(empty_database.url)
    role, file = "migrator_%d" % os.getpid(), tmp_path / "password"
    empty_database.rows("CREATE ROLE %s SUPERUSER LOGIN PASSWORD 'right'" % role)
    try:
        for word, code, told in (("wrong", 1, "password authentication failed"), ("right", 0, "up to date")):
            file.write_text(word + "\n")
            done = run([BINARY, "migrate", "-c", MIGRATE_CONFIG], env=clean_environment(
                TILLWAY_DB_URL=parts._replace(netloc="%s@127.0.0.1:%d" % (role, parts.port)).geturl(),
                TILLWAY_DB_PASSWORD_FILE=str(file)))
            assert (done.returncode, told in done.stdout + done.stderr) == (code, True), done
            assert len(done.stderr.splitlines()) == code
    finally:
        empty_database.rows("REASSIGN OWNED BY %s TO CURRENT_USER" % role)
        empty_database.rows("DROP ROLE %s" % role)


def test_a_migration_that_waits_holds_nobody_up(empty_database):
    """Somebody reads for long a table that a migration changes. Who comes after that does not wait behind the one
    that waits, and the migration goes through when the reader has gone."""
    empty_database.migrated_before("0013")
    reader, seller = (empty_database.connect(autocommit=False) for _ in range(2))
    reader.cursor().execute("SELECT count(*) FROM transactions")
    process = empty_database.spawn_migrate()
    eventually(lambda: empty_database.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation ="
                                            " 'transactions'::regclass"), what="the migration waits")
    seller.cursor().execute("SET lock_timeout = '20s'; LOCK TABLE transactions IN ROW EXCLUSIVE MODE")
    assert process.poll() is None
    for connection in (seller, reader):
        connection.close()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == "" and "schema is up to date" in out


def test_a_changed_migration_is_refused(empty_database):
    assert empty_database.spawn_migrate().wait(60) == 0
    table = empty_database.value("SELECT table_name FROM information_schema.columns"
                                 " WHERE column_name = 'sha256' AND table_schema = 'public'")
    empty_database.rows("UPDATE %s SET sha256 = repeat('0', 64)" % table)
    process = empty_database.spawn_migrate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "applied with another text" in err


def test_migrate_without_a_database_is_one_line_without_the_password(written):
    done = run([BINARY, "migrate", "-c", MIGRATE_CONFIG],
               env=clean_environment(TILLWAY_DB_URL="postgresql://till:hidden-word@127.0.0.1:1/pos"))
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1
    assert "hidden-word" not in done.stderr + done.stdout


def test_an_empty_database_is_unready_and_heals_by_migrate(start, empty_database):
    """The gateway may be there first; it says what to do, and needs no restart."""
    gateway = start(until="live", db={"url": empty_database.url, "backoff_max": "500ms"})
    eventually(lambda: gateway.events("db_prepare_failed"), what="it says what is missing")
    assert not gateway.is_ready() and "migrate" in gateway.events("db_prepare_failed")[0]["message"]
    assert empty_database.spawn_migrate().wait(60) == 0
    eventually(gateway.is_ready, what="/readyz is 200 by itself")


# ---- references -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command, word", [("options", "db.max_connections"), ("errors", "insufficient-stock"),
                                           ("metrics", "tillway_connections"), ("version", "tillway ")])
def test_references(command, word):
    done = run([BINARY, command])
    assert done.returncode == 0 and word in done.stdout and done.stderr == ""
