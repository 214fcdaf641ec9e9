# SPDX-License-Identifier: Apache-2.0
"""What can be known of each statement: counters, slow ones in the log, its name in PostgreSQL; and
that what nobody waits for is not sent."""

import re
import socket
import threading
import time

import h2.connection
import h2.errors
import h2.events
import pytest

from kit.clients import Api, assert_problem
from kit.processes import eventually
from kit.shop import Shop

QUEUED = 'tillway_db_queue_length{lane="slow"}'
LISTS = 'tillway_db_statement_duration_seconds_count{statement="product_list"}'


@pytest.fixture
def held(start, own_database, issuer):
    """(a gateway with one worker, a shop, a function that locks the products until it is closed)."""
    gateway = start(workers=1, http={"deadline": "10s"},
                    db={"url": own_database.url, "slow_log": "250ms", "queue_timeout": "10s",
                        "fast_timeout": "1s", "max_connections": 4}, cache={"size": 0})
    gateway.wait_connected()

    def lock():
        connection = own_database.connect(autocommit=False)
        connection.cursor().execute("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
        return connection

    return gateway, Shop(own_database, issuer), lock


def waiting(database, statement):
    return database.rows("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                         " AND query LIKE %s", "/* tillway:%s */%%" % statement)


def test_a_slow_statement_leads_to_its_request_and_back(held, own_database):
    """D3: whoever sees it in pg_stat_activity finds its request in the log by the backend's pid,
    while it runs; how long it took stands there when it is over; counters tell how many."""
    gateway, shop, lock = held
    product = shop.product()
    with Api(gateway, shop.token()) as api:
        assert api.get("/v1/products/" + product).status_code == 200
        before = gateway.metrics()
        connection, answers = lock(), []
        thread = threading.Thread(target=lambda: answers.append(
            api.get("/v1/products?limit=1", headers={"x-request-id": "who-asks"})))
        thread.start()
        pid = eventually(lambda: waiting(own_database, "product_list"), what="it waits for the lock")[0][0]
        line = eventually(lambda: gateway.events("db_statement_running"))[0]["message"]
        assert re.fullmatch(r"product_list: no answer yet, queue \d+ ms, server \d{3,} ms, pid %d,"
                            r" request who-asks" % pid, line), line
        assert not gateway.events("db_statement_slow")
        connection.close()
        thread.join(30)
        assert answers[0].status_code == 200
        line = eventually(lambda: gateway.events("db_statement_slow"))[0]["message"]
        assert re.fullmatch(r"product_list: 1 rows, queue \d+ ms, server \d{3,} ms, pid %d,"
                            r" request who-asks" % pid, line), line

        connection = lock()
        assert_problem(api.get("/v1/products/" + product), 504, "deadline-exceeded")
        connection.close()
    after = gateway.metrics()
    assert after[LISTS] - before.get(LISTS, 0) == 1
    assert after['tillway_db_statement_duration_seconds_bucket{statement="product_list",le="0.1"}'] == 0
    assert after['tillway_db_statement_rows_total{statement="product_get"}'] == 1
    assert after['tillway_db_statement_errors_total{statement="product_get",sqlstate="57014"}'] == 1
    eventually(lambda: len(gateway.events("db_statement_running")) == len(gateway.events("db_statement_slow")) == 2)
    assert after['tillway_db_queue_wait_seconds_count{lane="slow"}'] >= 1


def reset_over_http2(gateway, token):
    """A stream that asks for a list; returns a function that resets it."""
    sock = socket.create_connection(("127.0.0.1", gateway.http), 10)
    http2 = h2.connection.H2Connection()
    http2.initiate_connection()
    http2.send_headers(1, [(":method", "GET"), (":path", "/v1/products"), (":scheme", "http"),
                           (":authority", "till"), ("authorization", "Bearer " + token)], True)
    sock.sendall(http2.data_to_send())

    def leave():
        http2.reset_stream(1, h2.errors.ErrorCodes.CANCEL)
        sock.sendall(http2.data_to_send())

    return leave, sock


def close_over_http1(gateway, token):
    sock = socket.create_connection(("127.0.0.1", gateway.http), 10)
    sock.sendall(b"GET /v1/products HTTP/1.1\r\nHost: till\r\nAuthorization: Bearer %s\r\n\r\n"
                 % token.encode())
    return sock.close, sock


def test_a_queued_read_whose_client_has_left_is_never_sent(held, own_database):
    """Over HTTP/1.1 and HTTP/2: behind a list that is held up, others wait; their clients leave, and
    PostgreSQL never hears of them. A stream that is reset leaves the queue at once, a connection
    that was closed when its turn comes."""
    gateway, shop, lock = held
    token, answers = shop.token(), []
    connection = lock()
    with Api(gateway, token) as api:
        thread = threading.Thread(target=lambda: answers.append(api.get("/v1/products")))
        thread.start()
        eventually(lambda: waiting(own_database, "product_list"), what="the lane is busy")
        sent = gateway.metrics()["tillway_db_queries_total"]
        leave1, sock1 = close_over_http1(gateway, token)
        eventually(lambda: gateway.metrics()[QUEUED] == 1)
        leave2, sock2 = reset_over_http2(gateway, token)
        eventually(lambda: gateway.metrics()[QUEUED] == 2)
        queued_at = time.monotonic()
        leave1()
        leave2()
        eventually(lambda: gateway.metrics()[QUEUED] == 1, what="the reset stream's is dropped")
        # Only of what has waited for 10 ms is it asked whether its client has left.
        eventually(lambda: time.monotonic() > queued_at + 0.02)
        connection.close()
        thread.join(60)
        assert answers[0].status_code == 200
        eventually(lambda: gateway.metrics()["tillway_requests_in_flight"] == 0)
        assert api.get("/v1/me").status_code == 200
    sock1.close()
    sock2.close()
    metrics = gateway.metrics()
    assert metrics[LISTS] == 1 and metrics["tillway_db_queries_total"] == sent
    assert metrics["tillway_db_refused_total"] == 1
