# SPDX-License-Identifier: Apache-2.0
"""Workers that are somebody else than their master, and what they may not do (docs/operations.md).
What each refused call does is in tests/master/test_rights.py."""

import os
import pwd

import pytest

from kit.clients import Api
from kit.processes import eventually, free_port, run
from test_config import BINARY, GOOD, check, written  # noqa: F401

NOBODY = pwd.getpwnam("nobody")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def status_of(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def low_port():
    """A free port that only root may open."""
    return free_port(700, 1024)


@needs_root
def test_root_opens_the_door_and_nobody_serves(start, shop, certificate):
    """Ports below 1024, also one that a reload brings, with a TLS key that root alone may read; after
    a reload and after an upgrade; no worker has a right left."""
    assert os.stat(certificate[1]).st_mode & 0o077 == 0
    gateway = start(user="nobody", listen=[{"address": "127.0.0.1", "port": low_port()},
                                           {"address": "127.0.0.1", "port": 0, "tls": {
                                               "certificate": certificate[0], "key": certificate[1]}}],
                    shutdown={"drain_timeout": "1s"})

    def serves():
        for protocol in ("HTTP/1.1", "h2 over TLS"):
            with Api(gateway, shop.token(), protocol, ca=certificate[0]) as api:
                assert api.get("/v1/products").status_code == 200
        for pid in gateway.workers().values():
            status = status_of(pid)
            assert set(status["Uid"].split()) == {str(NOBODY.pw_uid)}
            assert set(status["Gid"].split()) == {str(NOBODY.pw_gid)} == set(status["Groups"].split())
            assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == 0
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert status_of(gateway.pid)["Uid"].split()[0] == "0"
        assert not gateway.events("workers_are_root")

    serves()
    gateway.reload(listen=[{"address": "127.0.0.1", "port": low_port()}, gateway._config["listen"][1]])
    gateway._find_ports(2)
    gateway.have_left()
    serves()
    gateway.upgrade()
    serves()


def test_who_names_nobody_is_confined_as_well(gateway):
    """The filter and no_new_privs do not depend on `user`."""
    for pid in gateway.workers().values():
        status = status_of(pid)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert status["Uid"].split()[0] == str(os.geteuid())
    assert not gateway.events("seccomp_failed")
    assert len(gateway.events("workers_are_root")) == (1 if os.geteuid() == 0 else 0)


@pytest.mark.parametrize("line, wanted", [
    ("user: no-such-user", "there is no user \"no-such-user\" here; create it"),
    ("user: '4242'", "nobody has the number 4242 here: name a `group` too"),
    ("group: nogroup", "group: it needs a `user`"),
    ("user: nobody\ngroup: no-such-group", "there is no group \"no-such-group\" here; create it"),
    ("seccomp: kill", "seccomp: \"kill\""),
])
def test_a_wrong_account_is_one_line(written, line, wanted):  # noqa: F811
    done = check(written(GOOD + line + "\n"))
    assert done.returncode == 1 and wanted in done.stderr and done.stderr.count("\n") == 1, done.stderr


@needs_root
def test_what_workers_read_must_be_theirs(written, tmp_path):  # noqa: F811
    """db.password_file is read for each connection; root's own is of no use to them."""
    secret = tmp_path / "password"
    secret.write_text("hidden-word")
    secret.chmod(0o600)
    done = check(written(GOOD + "  password_file: %s\nuser: nobody\n" % secret))
    assert done.returncode == 1 and "db.password_file" in done.stderr
    assert "must be readable by nobody" in done.stderr and done.stderr.count("\n") == 1, done.stderr


@needs_root
def test_only_root_can_be_another_user(work):
    path = os.path.join(work, "root.yaml")  # where other accounts pass
    with open(path, "w", encoding="utf-8") as f:
        f.write(GOOD + "user: root\n")
    os.chmod(path, 0o644)
    done = run(["setpriv", "--reuid=nobody", "--clear-groups", BINARY, "-t", "-c", path])
    assert done.returncode == 1
    assert "user: cannot become \"root\": Operation not permitted; start as root" in done.stderr


@needs_root
def test_a_reload_with_a_wrong_account_changes_nothing(start):
    gateway = start()
    workers = gateway.workers()
    gateway.configure(user="no-such-user")
    gateway.process.send_signal(1)
    line, = eventually(lambda: gateway.events("reload_failed"))
    assert "there is no user" in line["message"]
    assert gateway.workers() == workers
