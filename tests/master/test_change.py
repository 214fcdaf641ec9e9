# SPDX-License-Identifier: Apache-2.0
"""Changing over, seen from the master: other files (SIGHUP), another binary (SIGUSR2), and every way in
which that can fail. Workers are the harness's: they wait until they are told to accept."""

import os
import re
import signal
import socket
import time

import pytest

from gateway import eventually, free_port


def workers_of(g):
    return {int(p) for p in os.listdir("/proc") if p.isdigit() and parent_of(int(p)) == g.pid}


def parent_of(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
            return None if fields[0] == "Z" else int(fields[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def reload(g, text=None):
    if text is not None:
        with open(g.config_path, "w") as f:
            f.write(text)
    before = len(g.events("reloaded")) + len(g.events("reload_failed"))
    g.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: len(g.events("reloaded")) + len(g.events("reload_failed")) > before)


def text_of(g):
    with open(g.config_path) as f:
        return f.read()


def who(g):
    return int(g.command("who").split()[1])


def leave(g, old):
    assert eventually(lambda: not old & workers_of(g))


@pytest.fixture
def mode(tmp_path):
    """What new workers do at their start, and the environment that makes them look."""
    path = tmp_path / "mode"
    path.write_text("")
    return path


def test_a_reload_is_a_new_generation_on_the_same_sockets(start):
    """P4: other pids, same port; the old ones leave, and the master's descriptors are as many."""
    g = start(workers=2)
    for _ in range(3):
        old, fds, ports = workers_of(g), len(os.listdir("/proc/%d/fd" % g.pid)), g.http
        reload(g)
        leave(g, old)
        assert len(workers_of(g)) == 2 and who(g) in workers_of(g)
        assert eventually(lambda: len(os.listdir("/proc/%d/fd" % g.pid)) <= fds)
        assert g.events("listening")[-1]["message"].count(str(ports[0])) == 1
    assert g.ready()[0] == 200
    assert g.metrics()['tillway_config_reloads_total{result="done"}'] == 3
    assert g.metrics()["tillway_worker_restarts_total"] == 0


def test_a_reload_is_done_when_the_old_ones_no_longer_accept(start):
    """P4: whether they have left does not matter. Two seconds are the most, or a worker that hangs would
    keep its master from changing."""
    g = start(workers=1, extra="shutdown: {drain_timeout: 60s}")
    g.command("linger")
    old = workers_of(g)
    reload(g)
    assert old < workers_of(g)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    leave(g, old)
    g.command("stubborn")
    begin = time.monotonic()
    reload(g)
    assert time.monotonic() - begin >= 2 and not g.events("reload_failed")


def test_a_bad_file_changes_nothing_and_is_one_line(start):
    """P4: file, line, key and reason; the old workers serve on."""
    g = start(workers=1)
    pid = who(g)
    reload(g, text_of(g) + "log:\n  level: loud\n  acces: true\n")
    line, = g.events("reload_failed")
    where = g.config_path + ":%d" % (len(text_of(g).splitlines()) - 1)
    assert where in line["message"] and "log.level" in line["message"], line
    assert "loud" in line["message"] and "\n" not in line["message"] and line["level"] == "error"
    assert who(g) == pid and workers_of(g) == {pid}
    samples = g.metrics()
    assert samples['tillway_config_reloads_total{result="failed"}'] == 1
    assert samples['tillway_config_reloads_total{result="done"}'] == 0
    assert abs(samples["tillway_config_loaded_timestamp_seconds"] - samples["process_start_time_seconds"]) < 10


def test_what_needs_a_restart_is_named_and_keeps_its_value(start):
    g = start(workers=1)
    reload(g, re.sub(r"admin: \{address: 127.0.0.1, port: \d+\}",
                     "admin: {address: 127.0.0.1, port: 1}\nrate_limits: {entries: 4096}", text_of(g)))
    line, = eventually(lambda: g.events("restart_needed"))
    assert "admin.port" in line["message"] and "rate_limits.entries" in line["message"]
    assert "workers" not in line["message"]
    shown = g.get("/config")[2]
    assert "entries: 262144" in shown and "port: 0 #" in shown


@pytest.mark.parametrize("fault", ["die", "unready"])
def test_workers_that_do_not_come_up_are_given_up(start, mode, fault):
    """P4: they are killed, whoever serves stays, and the next reload is as good as any."""
    g = start(workers=2, env={"TILLWAY_HARNESS_MODE": str(mode)}, extra="reload: {timeout: 2s}")
    old = workers_of(g)
    mode.write_text(fault)
    reload(g)
    line, = g.events("reload_failed")
    assert ("died" if fault == "die" else "reload.timeout") in line["message"]
    assert eventually(lambda: workers_of(g) == old) and who(g) in old
    assert g.ready()[0] == 200
    mode.write_text("")
    reload(g)
    leave(g, old)
    assert len(g.events("reloaded")) == 1


def test_nobody_is_served_by_workers_on_trial(start, mode):
    """P4: until all new ones are ready the old ones answer everything, then the new ones do."""
    g = start(workers=2, env={"TILLWAY_HARNESS_MODE": str(mode)}, extra="reload: {timeout: 60s}")
    old = workers_of(g)
    mode.write_text("unready")
    g.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: len(workers_of(g)) == 4)
    assert {who(g) for _ in range(20)} <= old
    g.process.terminate()  # a stop does not wait for them
    assert g.wait() == (0, "")
    assert not g.events("reloaded")


def test_the_number_of_workers_and_the_addresses_change(start):
    """More and fewer workers, one address more and one less; what stays keeps its socket."""
    g = start(workers=2, listen='[{address: 127.0.0.1, port: 0}]')
    port, text = g.http[0], text_of(g)
    for n in (4, 1, 3):
        old = workers_of(g)
        reload(g, text.replace("workers: 2", "workers: %d" % n))
        leave(g, old)
        assert len(workers_of(g)) == n and g.ready()[1]["workers"] == {"ready": n, "expected": n}
        assert {who(g) for _ in range(40)} <= workers_of(g)
        assert g.http[0] == port
    more = '[{address: 127.0.0.1, port: 0}, {address: 127.0.0.2, port: 0}]'
    reload(g, text.replace("[{address: 127.0.0.1, port: 0}]", more))
    urls = g.events("listening")[-1]["message"].split()
    assert urls[0].endswith(":%d" % port)
    added = int(urls[1].rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.2", added), 5) as s:
        s.sendall(b"who\n")
        assert s.recv(100)
    old = workers_of(g)
    reload(g, text)
    leave(g, old)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", added), 1)
    assert who(g) in workers_of(g)


@pytest.mark.parametrize("before, after", [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_a_port_does_not_move_between_an_address_and_all_of_them(start, before, after):
    """The line says who has the port, and what to do; whoever serves goes on."""
    listen = "[{address: %s, port: %d}]"
    port = free_port()
    g = start(workers=1, listen=listen % (before, port))
    pid, text = who(g), text_of(g)
    reload(g, text.replace(listen % (before, port), listen % (after, port)))
    line, = g.events("reload_failed")
    assert "cannot listen on %s:%d: tillway itself has %s:%d until it is restarted" % (
        after, port, before, port) in line["message"]
    assert who(g) == pid
    reload(g, text.replace(listen % (before, port), listen % (after, free_port())))
    assert len(g.events("reloaded")) == 1, "to another port it may"


def test_signals_that_come_meanwhile_are_done_afterwards(start):
    g = start(workers=1)
    for _ in range(20):
        g.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: g.events("reloaded"))
    g.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: len(g.events("reloaded")) >= 2)
    assert eventually(lambda: len(workers_of(g)) == 1)


def adopt(g):
    """The master that has taken over; it belongs to the same group, and ends with it."""
    line, = g.events("taken_over")
    g.pid = int(re.search(r"pid (\d+)", line["message"]).group(1))


def test_an_upgrade_is_another_process_on_the_same_sockets(start):
    """P4: the same ports, the admin port included; the old master leaves with code 0."""
    g = start(workers=2)
    old, old_master = workers_of(g), g.pid
    g.process.send_signal(signal.SIGUSR2)
    assert g.process.wait(40) == 0
    adopt(g)
    assert g.pid != old_master and len(workers_of(g)) == 2 and not old & workers_of(g)
    assert who(g) in workers_of(g)
    assert eventually(lambda: g.ready()[0] == 200)
    assert g.events("listening")[-1]["message"] == g.events("listening")[0]["message"]
    os.kill(g.pid, signal.SIGTERM)
    assert eventually(lambda: len(g.events("stopped")) == 2)


@pytest.mark.parametrize("fault", ["die", "unready", "file"])
def test_a_binary_that_does_not_come_up_changes_nothing(start, mode, fault):
    """P4: the old one goes on as if nothing had happened, but for one line."""
    g = start(workers=2, env={"TILLWAY_HARNESS_MODE": str(mode)}, extra="reload: {timeout: 2s}")
    old, text = workers_of(g), text_of(g)
    if fault == "file":
        with open(g.config_path, "a") as f:
            f.write("nonsense: true\n")
    else:
        mode.write_text(fault)
    g.process.send_signal(signal.SIGUSR2)
    line = eventually(lambda: g.events("upgrade_failed"))[0]
    assert "this one goes on" in line["message"]
    assert eventually(lambda: workers_of(g) == old) and who(g) in old
    assert g.ready()[0] == 200 and not g.events("upgraded")
    assert g.metrics()["tillway_upgrade_failures_total"] == 1
    mode.write_text("")
    with open(g.config_path, "w") as f:
        f.write(text)
    reload(g)
    leave(g, old)


def test_the_service_manager_is_told(start, tmp_path):
    """sd_notify(3): READY, RELOADING with its time, READY, MAINPID, STOPPING; and the watchdog is fed."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(30)

        def hear(wanted):
            while True:
                words = sock.recv(4096).decode().split("\n")
                if wanted in [word.split("=")[0] for word in words]:
                    return dict(word.split("=", 1) for word in words)

        g = start(workers=1, env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"})
        assert hear("READY")["READY"] == "1"
        assert hear("WATCHDOG")["WATCHDOG"] == "1"
        g.process.send_signal(signal.SIGHUP)
        assert int(hear("RELOADING")["MONOTONIC_USEC"]) > 0
        assert hear("READY")["READY"] == "1"
        eventually(lambda: len(workers_of(g)) == 1)
        g.process.send_signal(signal.SIGUSR2)
        main_pid = int(hear("MAINPID")["MAINPID"])
        assert g.process.wait(40) == 0
        adopt(g)
        assert main_pid == g.pid
        os.kill(g.pid, signal.SIGTERM)
        assert hear("STOPPING")["STOPPING"] == "1"
