# SPDX-License-Identifier: Apache-2.0
"""The catalogue changes in the midst of a sale: it is sold as it was or refused, and never by halves."""

import uuid

from kit.clients import Api, assert_problem, at_once
from kit.processes import eventually
from kit.shop import Shop

PAUSE = 20261129  # an advisory lock


def pause_after_spreading(database):
    """record_sales waits behind spread_discounts while somebody holds PAUSE."""
    database.rows("""
        ALTER FUNCTION spread_discounts RENAME TO spread_and_go_on;
        CREATE FUNCTION spread_discounts(
            p_take bool[], p_basket bigint[], p_sale int[], p_product uuid[], p_quantity bigint[],
            p_discount bigint[], p_include_tax bool, p_offline bool[] DEFAULT NULL,
            p_price bigint[] DEFAULT NULL, p_rate int[] DEFAULT NULL, OUT discounts bigint[], OUT refused bool[])
        LANGUAGE plpgsql AS $$ BEGIN
            SELECT s.discounts, s.refused INTO discounts, refused FROM spread_and_go_on(
                p_take, p_basket, p_sale, p_product, p_quantity, p_discount, p_include_tax, p_offline,
                p_price, p_rate) s;
            PERFORM pg_advisory_xact_lock_shared(%d);
        END $$""" % PAUSE)


def test_a_product_comes_back_while_a_discount_is_spread(start, own_database, issuer):
    """Its basket's discount could not be spread: the sale is refused, not recorded without it."""
    gateway = start(workers=1, http={"deadline": "20s"}, db={"url": own_database.url, "write_timeout": "60s"})
    shop = Shop(own_database, issuer)
    bread = shop.product(250, stock=10)
    with Api(gateway, shop.token()) as api, Api(gateway, shop.token("manager")) as manager:
        path = "/v1/products/" + bread
        assert manager.request("DELETE", path).status_code == 204
        pause_after_spreading(own_database)
        own_database.rows("SELECT pg_advisory_lock(%s)", PAUSE)

        def restore():
            eventually(lambda: own_database.value(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted", PAUSE))
            own_database.rows("UPDATE products SET deleted_at = NULL WHERE product_id = %s", uuid.UUID(bread))
            own_database.rows("SELECT pg_advisory_unlock(%s)", PAUSE)

        key = str(uuid.uuid4())
        answer, _ = at_once(2, lambda i: restore() if i else api.sell(shop.basket(bread, discount=0.5), key))
        assert_problem(answer, 422, "discount-too-large")
        again = api.sell(shop.basket(bread, discount=0.5), key).json()
        assert (again["discount"], again["discountTotal"], again["total"]) == (0.5, 0.5, 2)
    assert shop.sales() == 1 and shop.stock(bread) == 9
