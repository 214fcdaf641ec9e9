# SPDX-License-Identifier: Apache-2.0
"""What a worker may ask of the kernel: the filter of system calls and the account, each way."""

import errno
import os
import pwd

import pytest

from gateway import eventually

REFUSED = ["exec", "fork", "ptrace", "kill", "setuid", "unshare", "bpf", "write-file", "make-file",
           "make-directory", "map-code", "data-into-code", "packet-socket", "x25-socket", "listen",
           "limit-master"]
NEEDED = ["thread", "read-file", "resolve", "udp-socket", "own-limit"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def status_of(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def test_what_no_server_needs_is_refused(start):
    g = start(workers=1)
    pid = g.pids()[0]
    assert {word: int(g.command("try " + word)) for word in REFUSED} == dict.fromkeys(REFUSED, errno.EPERM)
    assert int(g.command("try clone3")) == errno.ENOSYS, "so that libc takes clone"
    assert {word: int(g.command("try " + word)) for word in NEEDED} == dict.fromkeys(NEEDED, 0)
    assert g.pids()[0] == pid, "nobody is killed by it"
    status = status_of(pid)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("mode,filters", [("off", "0"), ("log", "2")])
def test_the_filter_can_be_switched_off_or_only_tell(start, mode, filters):
    g = start(workers=1, extra="seccomp: %s" % mode)
    assert {int(g.command("try " + word)) for word in ("fork", "write-file", "map-code", *NEEDED)} == {0}
    status = status_of(g.pids()[0])
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", filters)


@needs_root
def test_workers_are_another_user_and_the_master_is_not(start):
    """Also after a death and a reload; and a worker that hangs may still leave a core (P2)."""
    nobody = pwd.getpwnam("nobody")
    g = start(workers=1, extra="user: nobody\nseccomp: off")

    def judge():
        pid = int(g.command("who").split()[1])  # who answers has become what it is
        status = status_of(pid)
        assert set(status["Uid"].split()) == {str(nobody.pw_uid)}
        assert set(status["Gid"].split()) == {str(nobody.pw_gid)}
        assert status["Groups"].split() == [str(nobody.pw_gid)]
        assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == int(status["CapAmb"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert os.stat("/proc/%d/status" % pid).st_uid == nobody.pw_uid, "it can be dumped"
        assert int(g.command("try setuid")) == errno.EPERM, "there is no way back"
        assert status_of(g.pid)["Uid"].split()[0] == "0"
        return pid

    first = judge()
    g.command("exit 3")
    second = eventually(lambda: {g.pids().get(0)} - {first, None}).pop()
    assert judge() == second
    g.process.send_signal(1)
    assert eventually(lambda: g.events("reloaded"))
    eventually(lambda: len(g.events("worker_exited")) == 2)
    assert judge() not in (first, second)


@needs_root
def test_a_group_of_its_own(start):
    g = start(workers=1, extra="user: '4242'\ngroup: daemon")
    status = status_of(g.pids()[0])
    assert status["Uid"].split()[0] == "4242" and status["Gid"].split()[0] == status["Groups"].split()[0] == "1"
