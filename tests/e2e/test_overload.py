# SPDX-License-Identifier: Apache-2.0
"""D5: more work than PostgreSQL can do. Who is refused at once, who never is, and that it ends. How
much work gets done meanwhile is for bench/overload.sh to measure."""

import json
import os
import signal
import threading
import uuid

import pytest

from kit.clients import Api, Load, assert_problem
from kit.processes import eventually, patient
from kit.shop import Shop

pytestmark = pytest.mark.heavy

LEVEL = "tillway_db_shed_level"
QUEUED = 'tillway_db_queue_length{lane="slow"}'


def shed(gateway, priority):
    return gateway.metrics()['tillway_db_shed_total{priority="%s"}' % priority]


def assert_refused_at_once(answer):
    assert_problem(answer, 503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert answer.elapsed.total_seconds() < patient(0.4)  # and no 10 s


@pytest.fixture
def slow_sales(own_database):
    """A database in which each batch of sales takes 50 ms."""
    own_database.rows("""
        CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$;
        CREATE TRIGGER nap AFTER INSERT ON transactions EXECUTE FUNCTION nap()""")
    return own_database


def test_reports_and_lists_go_first_and_sales_stay(start, slow_sales, issuer):
    """A lane that stands still takes one and refuses the others, which costs other lanes nothing.
    Sales that wait for their turn cost lists theirs, and the lists come back when sales are quick."""
    gateway = start(workers=1, http={"deadline": "10s"},
                    db={"url": slow_sales.url, "max_connections": 4, "queue_timeout": "10s",
                        "queue_target": "50ms"})
    shop = Shop(slow_sales, issuer)
    bread, token = shop.product(), shop.token()
    body = json.dumps(shop.basket(bread)).encode()
    with Api(gateway, token) as api:
        assert api.get("/v1/products").status_code == 200
        slow = slow_sales.value("SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                                " AND application_name = 'tillway worker 0 slow'")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(list_once(gateway, token)))
                   for _ in range(2)]
        os.kill(slow, signal.SIGSTOP)
        try:
            for thread in threads:
                thread.start()
            eventually(lambda: gateway.metrics()[QUEUED] == 1)
            eventually(lambda: list_once(gateway, token, 1) == 503, what="the queue stands")
            assert_refused_at_once(api.get("/v1/products"))
            assert api.get("/v1/products/" + bread).status_code == 200
            assert api.sell(shop.basket(bread)).status_code == 201
            assert gateway.metrics()[LEVEL] == 0 and shed(gateway, "lookup") == 0
        finally:
            os.kill(slow, signal.SIGCONT)
        for thread in threads:
            thread.join(20)
        assert answers == [200, 200], "what had been let in is answered"
        eventually(lambda: api.get("/v1/products").status_code == 200, what="lists are back")

        wrong = []

        def sell(connection):
            status, _, text = connection.request("POST", "/v1/transactions", body, str(uuid.uuid4()))
            if status != 201:
                wrong.append(text)

        with Load(gateway, token, 12, sell) as load:
            eventually(lambda: gateway.metrics()[LEVEL] >= 2, what="reports, then lists are refused")
            assert_refused_at_once(eventually(lambda: (a := api.get("/v1/products")).status_code == 503 and a))
            assert api.get("/v1/me").status_code == 200
        assert wrong == [] and load.errors == [] and load.lost == 0
        assert shed(gateway, "sale") == 0 and shed(gateway, "list") >= 2
        eventually(lambda: gateway.metrics()[LEVEL] == 0, what="all are let in again")
        assert api.get("/v1/products").status_code == 200
    assert shop.sales() == load.done + 1


def list_once(gateway, token, timeout_s=15):
    """The status, or None when the answer is not there in time."""
    with Api(gateway, token, timeout_s=timeout_s) as api:
        try:
            return api.get("/v1/products").status_code
        except Exception:  # httpx has many kinds of timeout
            return None
