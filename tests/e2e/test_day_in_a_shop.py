# SPDX-License-Identifier: Apache-2.0
"""A day in a shop: two stores, three tills and a back office, all at once. They sell, split tenders,
park and resume, give back, count and send stock; one till is cut off for hours and comes back. The
test keeps books of its own from what the tills did, in integers, with arithmetic of its own; in the
evening the books, the API and PostgreSQL, which recomputes everything from prices and quantities,
agree to the cent. B1, B8."""

import collections
import datetime
import random
import threading
import uuid

from kit.clients import Api, assert_problem
from kit.shop import Shop

SEED = 20261120
TURNS = 50  # of each till, morning and afternoon

Product = collections.namedtuple("Product", "product_id price rate")
Line = collections.namedtuple("Line", "product milli gross discount tax total")


def half_even(n, d):
    """n / d, rounded half to even."""
    whole, rest = divmod(n, d)
    return whole + (2 * rest > d or (2 * rest == d and whole % 2 == 1))


def spread(nets, discount):
    """A basket's discount over its lines: in proportion; what rounding leaves, one unit each, is the
    largest lines', the first of equals."""
    shares = [half_even(net * discount, sum(nets)) for net in nets]
    missing = discount - sum(shares)
    able = [i for i, net in enumerate(nets) if (shares[i] < net if missing > 0 else shares[i] > 0)]
    for i in sorted(able, key=lambda i: (-nets[i], i))[:abs(missing)]:
        shares[i] += 1 if missing > 0 else -1
    return shares


def priced(items, basket_discount=0):
    """Lines of (product, milli, own discount) at prices that include tax."""
    gross = [half_even(product.price * milli, 1000) for product, milli, _ in items]
    nets = [g - own for g, (_, _, own) in zip(gross, items)]
    shares = spread(nets, basket_discount) if basket_discount else [0] * len(items)
    return [Line(product, milli, g, own + share,
                 half_even((g - own - share) * product.rate, 1000000 + product.rate), g - own - share)
            for (product, milli, own), g, share in zip(items, gross, shares)]


def minor(amount):
    return round(amount * 100)


def milli(quantity):
    return round(quantity * 1000)


class Books:
    """What has happened, as the tills saw it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.stock = collections.Counter()  # (store, product): milli
        self.money = collections.Counter()  # (store, what): minor; what: a tender, "tax", "total", …
        self.sales = {}                     # transactionId: (store, lines, tenders)
        self.refundable = collections.defaultdict(list)
        self.shortages = 0
        self.receipts = collections.Counter()

    def sold(self, store, register, sale_id, lines, tenders, short=(), before_count=False):
        """short: what the stock lacked, milli by line. before_count: the count has seen it gone."""
        with self.lock:
            assert sale_id not in self.sales, "sold twice"
            self.sales[sale_id] = (store, lines, tenders)
            self.receipts[store, register] += 1
            for n, line in enumerate(lines):
                if not before_count:
                    self.stock[store, line.product.product_id] -= line.milli - dict(short).get(n, 0)
                self.money[store, "tax"] += line.tax
                self.money[store, "total"] += line.total
                self.money[store, "discount"] += line.discount
            for method, amount in tenders:
                self.money[store, method] += amount
            if not short and not before_count:
                self.refundable[store].append(sale_id)
            self.shortages += len(short)

    def gave_back(self, store, method, total, tax, restocked):
        with self.lock:
            self.money[store, method] -= total
            self.money[store, "tax given back"] += tax
            self.money[store, "given back"] += total
            for product, quantity in restocked:
                self.stock[store, product] += quantity

    def take_sale(self, store, of):
        with self.lock:
            sales = self.refundable[store]
            return sales.pop(of.randrange(len(sales))) if sales else None


class Till:
    def __init__(self, books, catalogue, api, store, register, seed):
        self.books, self.catalogue, self.api = books, catalogue, api
        self.store, self.register, self.random = store, register, random.Random(seed)
        self.parked, self.notebook = [], []
        self.refused = self.outdated = 0

    def basket(self):
        items = []
        for index in self.random.sample(range(len(self.catalogue)), self.random.randint(1, 4)):
            product = self.catalogue[index]
            quantity = self.random.choice((1000, 1000, 2000, 3000, 345, 1500))
            own = self.random.choice((0, 0, half_even(product.price * quantity, 10000)))
            items.append((product, quantity, own))
        return items

    @staticmethod
    def body(items):
        return [{"productId": p.product_id, "quantity": q / 1000, "discount": own / 100}
                for p, q, own in items]

    def tender(self, total):
        """What goes into the body, and what stays in the drawer of each kind."""
        kind = self.random.randrange(3)
        if kind == 0:
            return {"paymentMethod": "card"}, [("card", total)]
        part = self.random.randint(0, total) if kind == 1 else 0
        given = (total - part) // 500 * 500 + 500
        payments = [{"method": "cash", "amount": given / 100}]
        if part:
            payments.insert(0, {"method": "giftcard", "amount": part / 100, "reference": "GC-1"})
        return {"payments": payments}, [("giftcard", part), ("cash", total - part)]

    def check(self, sale, lines):
        assert [(minor(i["discount"]), minor(i["tax"]), minor(i["lineTotal"])) for i in sale["items"]] == \
               [(line.discount, line.tax, line.total) for line in lines]
        assert minor(sale["subtotal"]) == sum(line.gross for line in lines)
        assert minor(sale["total"]) == sum(line.total for line in lines)
        paid = sum(minor(p["amount"]) for p in sale["payments"])
        assert paid - minor(sale["change"]) == minor(sale["total"])

    def settle(self, answer, lines, tenders):
        if answer.status_code == 409:
            assert_problem(answer, 409, "insufficient-stock")
            self.refused += 1
            return False
        assert answer.status_code == 201, answer.text
        self.check(answer.json(), lines)
        self.books.sold(self.store, self.register, answer.json()["transactionId"], lines, tenders)
        return True

    def sell(self):
        items = self.basket()
        discount = self.random.choice((0, 0, 7, 50))
        lines = priced(items, min(discount, sum(line.total for line in priced(items))))
        total = sum(line.total for line in lines)
        payment, tenders = self.tender(total)
        body = {"items": self.body(items), "registerId": self.register, "total": total / 100, **payment}
        if discount:
            body["discount"] = min(discount, sum(line.total for line in priced(items))) / 100
        key = str(uuid.uuid4())
        answer = self.api.sell(body, key)
        if self.settle(answer, lines, tenders) and self.random.random() < 0.2:
            again = self.api.sell(body, key)  # its answer was lost
            assert again.content == answer.content

    def park(self):
        items = self.basket()
        answer = self.api.post("/v1/orders", json={"items": self.body(items), "parked": True, "label": "a"})
        assert answer.status_code == 201, answer.text
        self.parked.append((answer.headers["location"], items))

    def resume(self):
        if not self.parked:
            return
        path, items = self.parked.pop(self.random.randrange(len(self.parked)))
        what = self.random.random()
        if what < 0.2:
            assert self.api.post(path + "/cancel").json()["status"] == "cancelled"
            return
        if what < 0.5:
            items = self.basket()
            changed = self.api.request("PATCH", path, json={"items": self.body(items), "parked": False})
            assert changed.status_code == 200, changed.text
        # Prices are those of now, whatever they were when it was parked.
        now = {product.product_id: product for product in self.catalogue}
        lines = priced([(now[p.product_id], q, own) for p, q, own in items])
        total = sum(line.total for line in lines)
        payment, tenders = self.tender(total)
        answer = self.api.post(path + "/checkout", key=str(uuid.uuid4()), json={
            "registerId": self.register, "total": total / 100, **payment})
        if not self.settle(answer, lines, tenders):
            assert self.api.get(path).json()["status"] == "open"
            self.api.post(path + "/cancel")

    def note(self):
        """Sold without a network: goods and money have changed hands."""
        items = self.basket()
        lines = priced(items)
        payment, tenders = self.tender(sum(line.total for line in lines))
        at = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        named = [{**item, "unitPrice": product.price / 100, "taxRate": product.rate / 1e6}
                 for item, (product, _, _) in zip(self.body(items), items)]
        body = {"transactionId": str(uuid.uuid4()), "timestamp": at, "items": named,
                "total": sum(line.total for line in lines) / 100, "registerId": self.register, **payment}
        self.notebook.append((body, lines, tenders, len(self.notebook) < TURNS))

    def come_back(self):
        """The notebook is sent; the answer is lost, so it is sent again."""
        bodies = [body for body, *_ in self.notebook]
        first, second = (self.api.post("/v1/transactions/batch", json=bodies) for _ in range(2))
        assert first.status_code == second.status_code == 200, first.text
        assert second.json()["replayed"] == len(bodies) and second.json()["recorded"] == 0
        for result, (body, lines, tenders, before_count) in zip(first.json()["results"], self.notebook):
            assert result["status"] == 201 and result["transactionId"] == body["transactionId"], result
            assert minor(result["total"]) == sum(line.total for line in lines)
            assert result["priceException"] == any(line.product not in self.catalogue for line in lines)
            self.outdated += result["priceException"]
            short = [(s["line"], milli(s["quantity"])) for s in result.get("shortages", [])]
            self.books.sold(self.store, self.register, result["transactionId"], lines, tenders, short,
                            before_count)

    def work(self, turns):
        for _ in range(turns):
            self.random.choice((self.sell, self.sell, self.park, self.resume))()


class BackOffice:
    def __init__(self, books, catalogue, api, store, other, seed):
        self.books, self.catalogue, self.api = books, catalogue, api
        self.store, self.other, self.random = store, other, random.Random(seed)

    def move(self, kind, lines, **more):
        answer = self.api.post("/v1/inventory/movements", key=str(uuid.uuid4()), json={
            "kind": kind, "lines": [{"productId": p, "quantity": q / 1000} for p, q in lines], **more})
        assert answer.status_code in (201, 409), answer.text
        return answer if answer.status_code == 201 else None

    def receive(self):
        lines = [(p.product_id, 2500) for p in self.random.sample(self.catalogue, 2)]
        assert self.move("receive", lines)
        with self.books.lock:
            for product, quantity in lines:
                self.books.stock[self.store, product] += quantity

    def send(self):
        lines = [(p.product_id, 1000) for p in self.random.sample(self.catalogue, 3)]
        if self.move("transfer", lines, toStoreId=self.other):
            with self.books.lock:
                for product, quantity in lines:
                    self.books.stock[self.store, product] -= quantity
                    self.books.stock[self.other, product] += quantity

    def void(self):
        sale_id = self.books.take_sale(self.store, self.random)
        if not sale_id:
            return
        _, lines, tenders = self.books.sales[sale_id]
        answer = self.api.post("/v1/transactions/%s/void" % sale_id, json={"reason": "mistake"})
        method = answer.json()["paymentMethod"]
        assert method == ("mixed" if dict(tenders).get("giftcard") else tenders[-1][0]), answer.text
        self.give_back(answer, method, lines)

    def refund(self):
        """A line, at one go or in two parts, which together give back just what it cost."""
        sale_id = self.books.take_sale(self.store, self.random)
        if not sale_id:
            return
        _, lines, _ = self.books.sales[sale_id]
        n = self.random.randrange(len(lines))
        line, parts = lines[n], [lines[n].milli]
        if line.milli % 1000 == 0 and line.milli > 1000:
            parts = [1000, line.milli - 1000]
        total = tax = 0
        for part in parts:
            answer = self.api.post("/v1/transactions/%s/refunds" % sale_id, key=str(uuid.uuid4()), json={
                "items": [{"line": n, "quantity": part / 1000}], "paymentMethod": "cash"})
            assert answer.status_code == 201, answer.text
            total += minor(answer.json()["total"])
            tax += minor(answer.json()["taxTotal"])
            assert abs(minor(answer.json()["total"]) - line.total * part / line.milli) <= 1
        assert (total, tax) == (line.total, line.tax)
        self.books.gave_back(self.store, "cash", total, tax, [(line.product.product_id, line.milli)])

    def give_back(self, answer, method, lines):
        assert answer.status_code == 201, answer.text
        assert minor(answer.json()["total"]) == sum(line.total for line in lines)
        self.books.gave_back(self.store, method, sum(line.total for line in lines),
                             sum(line.tax for line in lines),
                             [(line.product.product_id, line.milli) for line in lines])

    def count(self):
        """At noon, when nothing moves: the books are right, the shelf is not quite."""
        for product in self.catalogue:
            level = self.api.get("/v1/inventory/" + product.product_id).json()
            assert milli(level["stock"]) == self.books.stock[self.store, product.product_id]
        counted = [(p.product_id, max(0, self.books.stock[self.store, p.product_id]
                                      + self.random.choice((-1000, 0, 500)))) for p in self.catalogue]
        answer = self.move("count", counted)
        assert [milli(line["stock"]) for line in answer.json()["lines"]] == [q for _, q in counted]
        self.books.stock.update({(self.store, p): q - self.books.stock[self.store, p] for p, q in counted})

    def work(self, turns):
        for _ in range(turns):
            self.random.choice((self.receive, self.send, self.void, self.refund))()


def all_together(*jobs):
    """Each job in a thread of its own; the first failure is raised."""
    failures = []

    def run(job):
        try:
            job()
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "somebody never comes home"
    if failures:
        raise failures[0]


# What every line must have cost, from its price, quantity and rate alone, in numeric; half to even.
RECOMPUTED = """
    WITH exact AS (
        SELECT t.store_id, i.*, i.unit_price_minor * i.quantity_milli / 1000.0 AS gross
          FROM transactions t JOIN transaction_items i USING (transaction_id)
         WHERE t.store_id = %(store)s
    ), line AS (
        SELECT exact.*, CASE WHEN gross - floor(gross) = 0.5 AND mod(floor(gross), 2) = 0
                             THEN floor(gross) ELSE floor(gross + 0.5) END - discount_minor AS net
          FROM exact
    ), taxed AS (
        SELECT line.*, net * tax_rate_micro / (1000000.0 + tax_rate_micro) AS tax FROM line
    )
    SELECT sum(net)::bigint,
           sum(CASE WHEN tax - floor(tax) = 0.5 AND mod(floor(tax), 2) = 0 THEN floor(tax)
                    ELSE floor(tax + 0.5) END)::bigint,
           sum(discount_minor)::bigint FROM taxed"""

MONEY = """
    SELECT (SELECT coalesce(sum(total_minor), 0)::bigint FROM transactions WHERE store_id = %(store)s),
           (SELECT coalesce(sum(tax_total_minor), 0)::bigint FROM transactions WHERE store_id = %(store)s),
           (SELECT coalesce(sum(total_minor), 0)::bigint FROM refunds WHERE store_id = %(store)s),
           (SELECT coalesce(sum(tax_total_minor), 0)::bigint FROM refunds WHERE store_id = %(store)s)"""

DRAWER = """
    SELECT coalesce((SELECT sum(p.amount_minor) FROM payments p JOIN transactions t USING (transaction_id)
                      WHERE t.store_id = %(store)s AND p.method = %(method)s), 0)::bigint
           - CASE WHEN %(method)s = 'cash' THEN coalesce((SELECT sum(change_minor) FROM transactions
                  WHERE store_id = %(store)s), 0)::bigint ELSE 0 END
           - coalesce((SELECT sum(total_minor) FROM refunds
                        WHERE store_id = %(store)s AND payment_method = %(method)s), 0)::bigint"""

# Three ways to the stock: the level, the ledger, and what the documents say was moved.
STOCK = """
    SELECT i.product_id::text, i.stock_milli,
           (SELECT sum(quantity_milli)::bigint FROM inventory_movements m
             WHERE m.store_id = i.store_id AND m.product_id = i.product_id),
           (SELECT sum(quantity_milli) FILTER (WHERE kind NOT IN ('sale', 'refund', 'void'))
              FROM inventory_movements m
             WHERE m.store_id = i.store_id AND m.product_id = i.product_id)::bigint
           - coalesce((SELECT sum(l.quantity_milli - l.shortage_milli) FROM transaction_items l
                         JOIN transactions t USING (transaction_id)
                        WHERE t.store_id = i.store_id AND l.product_id = i.product_id), 0)::bigint
           + coalesce((SELECT sum(l.quantity_milli) FROM refund_items l JOIN refunds r USING (refund_id)
                        WHERE r.store_id = i.store_id AND l.product_id = i.product_id
                          AND l.restocked), 0)::bigint
      FROM inventory i WHERE i.store_id = %(store)s"""


class Evening:
    """The books against PostgreSQL."""

    def __init__(self, database, books, store):
        self.database, self.books, self.store = database, books, store

    def one(self, sql, **more):
        connection = self.database.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, {"store": self.store, **more})
                return cursor.fetchall()
        finally:
            connection.close()

    def check(self):
        book = lambda what: self.books.money[self.store, what]  # noqa: E731
        assert self.one(RECOMPUTED) == [(book("total"), book("tax"), book("discount"))]
        assert self.one(MONEY) == [(book("total"), book("tax"), book("given back"), book("tax given back"))]
        for method in ("cash", "card", "giftcard", "mixed"):
            assert self.one(DRAWER, method=method) == [(book(method),)], method
        assert sum(book(m) for m in ("cash", "card", "giftcard", "mixed")) == book("total") - book("given back")
        for product, level, ledger, documents in self.one(STOCK):
            assert level == ledger == documents == self.books.stock[self.store, product] >= 0
        sold = {row[0] for row in self.one("SELECT transaction_id::text FROM transactions WHERE store_id = %(store)s")}
        assert sold == {sale for sale, (store, _, _) in self.books.sales.items() if store == self.store}
        for register, last, count, highest in self.one(
                "SELECT register_id, last_receipt, count(*), max(receipt_number) FROM transactions"
                " JOIN registers USING (store_id, register_id) WHERE store_id = %(store)s"
                " GROUP BY register_id, last_receipt"):
            assert last == count == highest == self.books.receipts[self.store, register]
        assert self.one("SELECT count(*) FROM orders WHERE store_id = %(store)s AND status = 'open'") == [(0,)]
        assert self.one("SELECT count(*) FROM orders o FULL JOIN transactions t USING (transaction_id)"
                        " WHERE o.store_id = %(store)s AND o.status = 'paid' AND t.store_id IS DISTINCT FROM"
                        " o.store_id") == [(0,)]


def test_a_day_in_a_shop(gateway, database, issuer):
    of = random.Random(SEED)
    books = Books()
    shops = [Shop(database, issuer) for _ in range(2)]
    stores = [shop.store for shop in shops]
    catalogue = [Product(shops[0].product(price, tax_rate_micro=rate), price, rate)
                 for price, rate in ((250, 200000), (99, 70000), (1999, 190000), (333, 0), (5, 100000),
                                     (12345, 200000), (1, 55000), (777, 77000))]
    opened, tills, offices = [], [], []

    def api(shop, role, name):
        opened.append(Api(gateway, shop.token(role, username="%s-%s" % (name, shop.store)), timeout_s=30))
        return opened[-1]

    try:
        for shop, other in (shops, shops[::-1]):
            office = BackOffice(books, catalogue, api(shop, "manager", "boss"), shop.store, other.store,
                                of.random())
            stock = [(p.product_id, of.choice((6000, 60000))) for p in catalogue]
            assert office.move("receive", stock)
            books.stock.update({(shop.store, p): quantity for p, quantity in stock})
            offices.append(office)
        for n, shop in enumerate((shops[0], shops[1], shops[1])):
            tills.append(Till(books, catalogue, api(shop, "cashier", "till%d" % n), shop.store, "r%d" % n,
                              of.random()))
        one, two, three = tills

        def cut_off():
            three.work(3)
            for _ in range(TURNS):
                three.note()

        all_together(lambda: one.work(TURNS), lambda: two.work(TURNS), cut_off,
                     *(lambda office=office: office.work(25) for office in offices))
        for office in offices:
            office.count()
        for _ in range(TURNS):
            three.note()
        # A price and a tax rate change, of which the one that is cut off knows nothing.
        other = catalogue[2]._replace(price=catalogue[2].price - 150, rate=50000)
        changed = offices[0].api.request("PATCH", "/v1/products/" + other.product_id,
                                         json={"price": other.price / 100, "taxRate": other.rate / 1e6})
        assert changed.status_code == 200, changed.text
        catalogue[2] = other
        all_together(lambda: one.work(TURNS), lambda: two.work(TURNS), three.come_back,
                     *(lambda office=office: office.work(25) for office in offices))
        # A price changes before the parked ones are resumed; what was sold keeps its own.
        dearer = catalogue[0]._replace(price=catalogue[0].price + 20)
        changed = offices[0].api.request("PATCH", "/v1/products/" + dearer.product_id,
                                         json={"price": dearer.price / 100})
        assert changed.status_code == 200, changed.text
        catalogue[0] = dearer
        for till in tills:
            while till.parked:
                till.resume()
        for office in offices:
            office.refund()
            office.void()
        for store in stores:
            Evening(database, books, store).check()
    finally:
        for client in opened:
            client.close()
    # The day had everything in it: a seed that leaves something out proves little.
    assert len(books.sales) > 40 and sum(till.refused for till in tills) > 0 and books.shortages > 0
    assert three.outdated > 0
    for store in stores:
        assert all(books.money[store, what] > 0 for what in ("giftcard", "discount", "given back"))
