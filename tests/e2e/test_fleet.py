# SPDX-License-Identifier: Apache-2.0
"""Limits of a fleet: two gateways, one Redis in each of its shapes, and Redis as it should not be.
The table and the parsers have unit tests (test_limit.c, test_redis*.c). Rows of FAULTS: H7, N1."""

import contextlib
import json
import re
import threading
import time

import pytest

from kit.clients import Api, Connection
from kit.gateway import deep_merge
from kit.processes import BINARY, eventually, patient, run
from kit.redis import Cluster, Redis, RedisError, Sentinels
from test_limits import Pipeline, parsed

HOUR = 3600


@pytest.fixture
def start_redis(work):
    running = []

    def start_one(*options, **how):
        running.append(Redis(work, *options, **how).start())
        return running[-1]

    yield start_one
    for redis in running:
        redis.kill()


@pytest.fixture
def redis(start_redis):
    return start_redis()


def fleet(uri, policy=None, **more):
    policy = {"name": "shared", "key": "principal", "rate": "1/h", "burst": 20, **(policy or {})}
    # A busy machine is no Redis that has gone: where its silence matters, a test says so.
    return {"limits": [policy], "fleet": {"redis": uri, "timeout": "3s", **more}}


def joined(gateway, n=2):
    """n: connections of all its workers."""
    eventually(lambda: gateway.metrics()["tillway_fleet_connections"] == n, what="the gateway has joined")


def exchanges(gateway, result="done"):
    return gateway.metrics()['tillway_fleet_exchanges_total{result="%s"}' % result]


@pytest.fixture
def pair(start):
    """pair(**configuration): two gateways that have joined."""
    def make(connections=2, **changes):
        gateways = [start(**changes) for _ in range(2)]
        for gateway in gateways:
            joined(gateway, connections)
        return gateways
    return make


def ask(gateway, token, n=1):
    """Statuses of n requests on one connection."""
    with Api(gateway, token) as api:
        return [api.get("/v1/me").status_code for _ in range(n)]


def refused_for_h(gateway, token):
    """The hours until the whole burst is back, as the gateway sees it; it is asked and refuses."""
    with Api(gateway, token) as api:
        answer = api.get("/v1/me")
    assert answer.status_code in (200, 429)
    return parsed(answer.headers["ratelimit"])["shared"]["t"] / HOUR


class Hammer:
    """Asks gateways with several connections each as fast as they answer."""

    def __init__(self, gateways, token, threads=2):
        self.answers, self._stop, self._token = [], threading.Event(), token
        self._threads = [threading.Thread(target=self._run, args=(i, gateway))
                         for i, gateway in enumerate(gateways) for _ in range(threads)]

    def __enter__(self):
        self.began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        self.took_s = time.monotonic() - self.began

    def _run(self, i, gateway):
        connection = Connection(gateway, self._token)
        while not self._stop.is_set():
            began = time.monotonic()
            status = connection.request("GET", "/v1/me")[0]
            self.answers.append((began - self.began, i, status, time.monotonic() - began))
            self._stop.wait(0.002)
        connection.close()

    def admitted(self, since_s=0, until_s=1e9, of=None):
        return sum(1 for at, i, status, _ in self.answers
                   if since_s <= at < until_s and status == 200 and of in (None, i))

    def slowest_of_100_s(self):
        return sorted(took for *_, took in self.answers)[-len(self.answers) // 100]

    def assert_well(self):
        assert {status for _, _, status, _ in self.answers} <= {200, 429}


# ---- together ----------------------------------------------------------------------------------------


def test_the_fleet_admits_what_one_would(pair, redis, issuer):
    """H7 over machines: the limit, not the limit times the nodes."""
    gateways = pair(**fleet(redis.uri, {"rate": "40/s", "burst": 40}))
    with Hammer(gateways, issuer.token()) as hammer:
        time.sleep(3)
    hammer.assert_well()
    fair = 40 + 40 * hammer.took_s
    assert 0.8 * fair <= hammer.admitted() <= 1.25 * fair < 0.8 * (40 + fair + 40 * hammer.took_s)
    for i in (0, 1):
        assert hammer.admitted(of=i) > 10  # both serve


def test_what_is_used_here_is_gone_there(pair, redis, issuer):
    a, b = pair(**fleet(redis.uri))
    token = issuer.token()
    assert ask(a, token, 20) == [200] * 20
    eventually(lambda: redis.command("DBSIZE") == 1)
    assert ask(b, token) == [200]  # nobody has asked there before
    eventually(lambda: ask(b, token) == [429])
    assert ask(b, issuer.token(username="another"), 20) == [200] * 20


def test_an_overshoot_is_paid_back(pair, redis, issuer):
    """Both nodes give a whole burst in the same moment: twice as long until there is anything again."""
    a, b = pair(**fleet(redis.uri, interval="1s"))
    token = issuer.token()
    before = exchanges(a), exchanges(b)
    admitted = ask(a, token, 25).count(200) + ask(b, token, 25).count(200)
    assert 20 <= admitted <= 40
    eventually(lambda: exchanges(a) > before[0] and exchanges(b) > before[1])
    key, = redis.command("KEYS", "*")

    def owed_h():
        return redis.command("PTTL", key) / 1000 / HOUR
    eventually(lambda: owed_h() >= admitted - 0.1, what="all that was admitted is told")
    assert refused_for_h(a, token) > admitted - 21 or refused_for_h(b, token) > admitted - 21
    assert owed_h() <= admitted + 0.1


def test_names_in_redis_tell_nobody(start, redis, issuer):
    one = start(**fleet(redis.uri, prefix="shop:", secret="of the fleet"))
    joined(one)
    assert ask(one, issuer.token(username="ana"), 2) == [200] * 2
    eventually(lambda: redis.command("DBSIZE") == 1)
    key, = redis.command("KEYS", "*")
    assert re.fullmatch("shop:[0-9a-f]{32}", key)
    assert 0 < redis.command("PTTL", key) <= 2 * HOUR * 1000 + 1  # fleet.lua rounds up
    assert float(redis.command("GET", key)) > time.time() * 1e6
    other = start(**fleet(redis.uri, prefix="shop:", secret="of another"))
    joined(other)
    assert ask(other, issuer.token(username="ana")) == [200]
    eventually(lambda: redis.command("DBSIZE") == 2)


def test_a_policy_may_stay_at_home(start, redis, issuer):
    gateway = start(**fleet(redis.uri, {"fleet": False}))
    joined(gateway)
    assert ask(gateway, issuer.token(), 3) == [200] * 3
    at = exchanges(gateway)
    time.sleep(0.3)
    assert redis.command("DBSIZE") == 0 and exchanges(gateway) == at == 0


def test_more_keys_than_an_exchange_holds(start, redis, issuer):
    """What does not fit is counted, and limited by the node: 200 keys come in less than four intervals."""
    gateway = start(workers=1, **fleet(redis.uri, {"burst": 1}, interval="1s", keys_max=64))
    joined(gateway, 1)
    asked = [("/v1/me", ["Authorization: Bearer " + issuer.token(username="u%d" % i)]) for i in range(200)]
    with contextlib.closing(Pipeline(gateway)) as pipeline:
        assert set(pipeline.statuses(asked)) == {200}
        assert set(pipeline.statuses(asked)) == {429}

    def counted():
        metrics = gateway.metrics()
        return [metrics['tillway_fleet_keys_total{result="%s"}' % r] for r in ("told", "dropped")]
    eventually(lambda: sum(counted()) == 200)
    told, dropped = counted()
    assert dropped > 0 and told >= 64 and redis.command("DBSIZE") == told


# ---- Redis is gone, or slow --------------------------------------------------------------------------


def lost_and_back(gateway, workers=None):
    """One line for both of each worker that has noticed (None: whoever has), whatever was tried in between."""
    eventually(lambda: len(gateway.events("fleet_joined")) == 2 + (workers or len(gateway.events("fleet_lost"))))
    assert len(gateway.events("fleet_lost")) == workers or workers is None


@pytest.mark.heavy
def test_redis_dies_and_comes_back(pair, start_redis, issuer):
    """N1: the node's limit at once, no 5xx; when it is back the fleet counts together again."""
    redis = start_redis()
    rate = 20
    gateways = pair(**fleet(redis.uri, {"rate": "%d/s" % rate, "burst": 20}))
    with Hammer(gateways, issuer.token()) as hammer:
        time.sleep(0.7)
        redis.kill()
        gone = time.monotonic() - hammer.began
        time.sleep(1.5)
        back = time.monotonic() - hammer.began
        redis.spawn()
        for gateway in gateways:
            lost_and_back(gateway, 2)
        again = time.monotonic() - hammer.began
        time.sleep(2)
    hammer.assert_well()
    for i in (0, 1):
        alone = hammer.admitted(gone, back, of=i)
        assert 0.6 * rate * (back - gone) <= alone <= 1.1 * rate * (back - gone) + 20
    assert hammer.admitted(again + 0.5) <= 1.3 * rate * (hammer.took_s - again - 0.5) + 5
    assert hammer.slowest_of_100_s() < patient(0.25)


@pytest.mark.heavy
def test_redis_forgets(pair, start_redis, issuer):
    """What it has lost, the nodes tell it: a restart without a disk gives nobody a new burst."""
    redis = start_redis()
    a, b = pair(**fleet(redis.uri))
    token = issuer.token()
    assert ask(a, token, 20) == [200] * 20
    eventually(lambda: redis.command("DBSIZE") == 1)
    redis.kill()
    redis.start()
    assert redis.command("DBSIZE") == 0
    for gateway in (a, b):
        lost_and_back(gateway, 2)
    assert ask(b, token) == [200]  # brings what it knows: one
    eventually(lambda: exchanges(b) > 0)
    assert ask(a, token) == [429]


@pytest.mark.heavy
def test_nobody_waits_for_a_slow_redis(pair, redis, issuer):
    gateways = pair(**fleet(redis.uri, {"rate": "100/s", "burst": 40}, timeout="1s"))
    with Hammer(gateways, issuer.token()) as hammer:
        time.sleep(0.3)
        redis.freeze()
        for gateway in gateways:
            eventually(lambda g=gateway: g.events("fleet_lost"))  # an idle worker asks nothing
        assert "in time" in gateways[0].events("fleet_lost")[0]["message"]
        time.sleep(0.5)
        redis.thaw()
        for gateway in gateways:
            lost_and_back(gateway)
    hammer.assert_well()
    assert hammer.slowest_of_100_s() < patient(0.25)


def test_absent_from_the_start_and_never_there(start, issuer):
    gateway = start(**fleet("redis://127.0.0.1:1,localhost:1"))
    assert ask(gateway, issuer.token(), 21) == [200] * 20 + [429]
    eventually(lambda: len(gateway.events("fleet_lost")) == 2)
    assert "Connection refused" in gateway.events("fleet_lost")[0]["message"]
    metrics = gateway.metrics()
    assert metrics["tillway_fleet_connections"] == 0
    assert metrics["tillway_fleet_connection_losses_total"] >= 2


# ---- passwords and TLS -------------------------------------------------------------------------------


def test_a_password(start, start_redis, issuer):
    redis = start_redis(password="s3cret/@%")
    gateway = start(**fleet("redis://:s3cret%%2f%%40%%25@localhost:%d/3" % redis.port))
    joined(gateway)
    assert ask(gateway, issuer.token()) == [200]
    eventually(lambda: "db3:keys=1" in redis.command("INFO", "keyspace"))
    redis.command("ACL", "SETUSER", "gate", "on", ">another1", "~tillway:limit:*", "+evalsha",
                  "+script|load", "+ping", "+time", "+get", "+set", "+select")  # docs/fleet.md
    second = start(**fleet("redis://gate:another1@127.0.0.1:%d/3" % redis.port))
    joined(second)
    assert ask(second, issuer.token(username="bob")) == [200]
    eventually(lambda: exchanges(second) == 1)
    wrong = start(**fleet("redis://gate:not-it-17@127.0.0.1:%d/3" % redis.port))
    assert ask(wrong, issuer.token(username="ana"), 21) == [200] * 20 + [429]
    eventually(lambda: wrong.metrics()["tillway_fleet_connection_losses_total"] > 4)
    lost = wrong.events("fleet_lost")
    assert len(lost) == 2 and "WRONGPASS" in lost[0]["message"]
    for gateway in (gateway, wrong):
        assert not re.search("s3cret|not-it-17|another1", gateway.log_text() +
                             gateway.get_admin("/config").text)


def test_tls(start, start_redis, certificate, issuer, tmp_path):
    redis = start_redis(certificate=certificate)
    for host in ("localhost", "127.0.0.1"):
        gateway = start(**fleet("rediss://%s:%d" % (host, redis.tls_port), ca_file=certificate[0]))
        joined(gateway)
        assert ask(gateway, issuer.token()) == [200]
    eventually(lambda: redis.command("DBSIZE") == 1)
    stranger = start(**fleet("rediss://localhost:%d" % redis.tls_port))
    eventually(lambda: stranger.events("fleet_lost"))
    assert "TLS: self-signed certificate" in stranger.events("fleet_lost")[0]["message"]
    assert ask(stranger, issuer.token(username="ana")) == [200]


def test_tls_for_another_name(start, start_redis, certificate):
    redis = start_redis(certificate=certificate)
    gateway = start(**fleet("rediss://127.0.0.2:%d,127.0.0.2:1" % redis.tls_port,
                            ca_file=certificate[0]))
    eventually(lambda: len(gateway.events("fleet_lost")) == 2)
    time.sleep(0.3)
    assert gateway.metrics()["tillway_fleet_connections"] == 0


# ---- sentinel and cluster ----------------------------------------------------------------------------


@pytest.mark.heavy
def test_sentinel(start, work, start_redis, issuer):
    """The master dies: the replica is found, and what is used counts there."""
    sentinels = Sentinels(work, start_redis)
    gateway = start(**fleet("redis://127.0.0.1:1,127.0.0.1:%d" % sentinels.sentinel.port,
                            mode="sentinel", sentinel_master="shop"))
    joined(gateway)
    token = issuer.token()
    assert ask(gateway, token, 5) == [200] * 5
    eventually(lambda: sentinels.replica.command("DBSIZE") == 1)
    sentinels.master.kill()
    assert ask(gateway, token, 5) == [200] * 5
    lost_and_back(gateway, 2)
    assert ask(gateway, token) == [200]  # tells what nobody has heard
    key, = sentinels.replica.command("KEYS", "*")
    eventually(lambda: sentinels.replica.command("PTTL", key) > 10.5 * HOUR * 1000)


def test_sentinel_without_that_master(start, start_redis, issuer):
    sentinel = start_redis(sentinel=True)
    gateway = start(**fleet(sentinel.uri, mode="sentinel", sentinel_master="nobody"))
    eventually(lambda: gateway.events("fleet_lost"))
    assert "no master of that name" in gateway.events("fleet_lost")[0]["message"]
    assert ask(gateway, issuer.token()) == [200]


def slot_of(node, key):
    return node.command("CLUSTER", "KEYSLOT", key)


@pytest.mark.heavy
def test_cluster(pair, start_redis, issuer):
    """Keys spread over the nodes; a slot that moves is followed, also while it is under way."""
    cluster = Cluster(start_redis)
    a, b = pair(6, **fleet("redis://127.0.0.1:%d" % cluster.nodes[0].port, mode="cluster"))
    tokens = []
    while len(tokens) < 12 or not all(cluster.keys()):  # until every node has some
        assert len(tokens) < 100
        tokens.append(issuer.token(username="u%d" % len(tokens)))
        assert ask(a, tokens[-1], 10) == [200] * 10
        eventually(lambda: sum(len(keys) for keys in cluster.keys()) == len(tokens))
    for token in tokens[:4]:
        ask(b, token)
        eventually(lambda t=token: refused_for_h(b, t) > 10)

    source, target = next((n, m) for n in cluster.nodes for m in cluster.nodes
                          if n is not m and n.command("DBSIZE") > 0)
    slot = slot_of(source, source.command("KEYS", "*")[0])
    for _ in cluster.move_slot(slot, source, target):
        told = a.metrics()['tillway_fleet_keys_total{result="told"}']
        for token in tokens:
            ask(a, token)
        eventually(lambda: a.metrics()['tillway_fleet_keys_total{result="told"}'] >= told + len(tokens))
    owed = {}
    for node in cluster.nodes:
        for key in node.command("KEYS", "*"):
            try:
                owed[key] = max(node.command("PTTL", key) / 1000 / HOUR, owed.get(key, 0))
            except RedisError:
                pass  # it has moved away
    assert len(owed) == len(tokens) and min(owed.values()) > 11.9
    assert not a.events("fleet_lost") and not b.events("fleet_lost")


def test_a_server_that_is_no_cluster(start, redis, issuer):
    gateway = start(**fleet(redis.uri, mode="cluster"))
    eventually(lambda: gateway.events("fleet_lost"))
    assert "cluster support disabled" in gateway.events("fleet_lost")[0]["message"]
    assert ask(gateway, issuer.token()) == [200]


# ---- what a server may do ----------------------------------------------------------------------------


def test_scripts_flushed_and_a_replica(start, redis, start_redis, issuer):
    """Each is an error of the script's call: the connection is made anew."""
    gateway = start(**fleet(redis.uri))
    joined(gateway)
    redis.command("SCRIPT", "FLUSH")
    token = issuer.token()

    def told():
        ask(gateway, token)
        return redis.command("DBSIZE") == 1
    eventually(told)
    joined(gateway)
    master = start_redis()
    redis.command("REPLICAOF", "127.0.0.1", master.port)
    eventually(lambda: ask(gateway, token) and [line for line in gateway.events("fleet_lost")
                                                if "READONLY" in line["message"]])
    redis.command("REPLICAOF", "NO", "ONE")
    joined(gateway)


# ---- refused configurations --------------------------------------------------------------------------


@pytest.mark.parametrize("settings, wanted", [
    ({"redis": "http://x"}, "must begin with redis://"), ({"redis": "redis://"}, "must begin with"),
    ({"redis": "redis://:topsecret@"}, "no valid host"), ({"redis": "redis://u@h"}, "without a password"),
    ({"redis": "redis://h:99999"}, "no valid host"), ({"redis": "redis://h/x"}, "database's number"),
    ({"redis": "redis://h/1", "mode": "cluster"}, "none but 0"), ({"mode": "ring"}, "is not one of"),
    ({"redis": "redis://h", "mode": "sentinel"}, "needs fleet.sentinel_master"),
    ({"redis": "rediss://h", "ca_file": "/nowhere.pem"}, "cannot read /nowhere.pem"),
    ({"redis": "rediss://h", "ca_file": "/proc/version"}, "fleet.ca_file")])
def test_refused_settings(config, tmp_path, settings, wanted):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(deep_merge(config, {"fleet": settings})))
    done = run([BINARY, "-t", "-c", str(path)])
    assert done.returncode == 1 and wanted in done.stderr and "topsecret" not in done.stderr
