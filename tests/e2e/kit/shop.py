# SPDX-License-Identifier: Apache-2.0
"""A store of its own for one test, with products that nobody else touches: tests need no cleaning
and may run in any order."""

import itertools
import uuid

_numbers = itertools.count(1)


class Shop:
    def __init__(self, database, issuer):
        self._database, self._issuer = database, issuer
        self.store = "store-%d-%s" % (next(_numbers), uuid.uuid4().hex[:8])

    def token(self, role="cashier", **options):
        """Of a user who belongs to this store alone, so that plain keys meet no other test's."""
        options.setdefault("username", "%s-%s" % (role, self.store))
        return self._issuer.token(role, self.store, **options)

    def product(self, price_minor=250, stock=None, tax_rate_micro=0, name="Bread", **more):
        """A new product's id; stock in units, None when nobody counts it here."""
        product_id = uuid.uuid4()
        self._database.rows(
            "INSERT INTO products (product_id, name, price_minor, tax_rate_micro, category)"
            " VALUES (%s, %s, %s, %s, %s)", product_id, name, price_minor, tax_rate_micro,
            more.get("category"))
        if stock is not None:
            self._database.rows(
                "WITH s AS (INSERT INTO inventory (store_id, product_id, stock_milli)"
                " VALUES (%s, %s, %s) RETURNING *)"
                " INSERT INTO inventory_movements (store_id, product_id, quantity_milli, kind,"
                " principal) SELECT store_id, product_id, stock_milli, 'count', 'test' FROM s",
                self.store, product_id, int(stock * 1000))
        return str(product_id)

    @staticmethod
    def basket(product_id, quantity=1, **more):
        return {"items": [{"productId": product_id, "quantity": quantity}],
                "paymentMethod": "card", **more}

    def sales(self):
        return self._database.sales_of(self.store)

    def stock(self, product_id):
        return self._database.stock_of(self.store, product_id)
