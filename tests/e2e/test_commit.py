# SPDX-License-Identifier: Apache-2.0
"""A write is answered when PostgreSQL has committed it, not when the statement has run."""

import threading
import uuid

import pytest

from kit.clients import Api, assert_problem
from kit.processes import eventually

pytestmark = pytest.mark.heavy

FAIL_AT_COMMIT = """
    CREATE FUNCTION fail_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the commit failed' USING ERRCODE = %s; END $$;
    CREATE CONSTRAINT TRIGGER fail_at_commit AFTER INSERT ON transactions
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.register_id = 'bad')
        EXECUTE FUNCTION fail_at_commit()"""


@pytest.mark.parametrize("sqlstate, status", [("P0001", 500), ("40001", 503)])
def test_a_sale_whose_commit_fails_is_not_acknowledged(start, shop, own_database, sqlstate, status):
    """D1, D4: the statement succeeds, its commit does not, and nobody is told 201. The connection is
    as good as ever for the next sale."""
    own_database.rows(FAIL_AT_COMMIT, sqlstate)
    own_database.rows("INSERT INTO products (product_id, name, price_minor) VALUES (%s, 'x', 250)",
                      product := uuid.uuid4())
    gateway = start(workers=1, db={"url": own_database.url})
    with Api(gateway, shop.token()) as api:
        for _ in range(3):
            assert api.sell(shop.basket(str(product), registerId="good")).status_code == 201
            answer = api.sell(shop.basket(str(product), registerId="bad"))
            assert answer.status_code == status, answer.text
    assert own_database.value("SELECT count(*) FROM transactions") == 3
