# SPDX-License-Identifier: Apache-2.0
"""A few shops on an ordinary day: reads, sales, a mistake now and then. For what people look at."""

import random
import threading
import time

from kit.clients import Api


class Traffic:
    """with Traffic(gateway, shops): one thread for each shop; pace_s is the mean pause of a till."""

    def __init__(self, gateway, shops, pace_s=0.02, seed=1):
        self._stop = threading.Event()
        self.failed = []
        self._threads = [threading.Thread(target=self._guarded, daemon=True,
                                          args=(gateway, shop, pace_s, random.Random(seed + i)))
                         for i, shop in enumerate(shops)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a till hangs"

    def _guarded(self, *words):
        try:
            self._work(*words)
        except Exception as e:  # judged by the test
            self.failed.append(repr(e))

    def _work(self, gateway, shop, pace_s, chance):
        products = [shop.product(price_minor=chance.randrange(90, 2400)) for _ in range(8)]
        with Api(gateway, shop.token("manager")) as api:
            while not self._stop.is_set():
                self._one(api, shop, products, chance)
                # Busier and calmer, as customers come.
                wave = 1.3 - 0.8 * abs((time.monotonic() / 40) % 2 - 1)
                self._stop.wait(chance.expovariate(1 / pace_s) * wave)

    @staticmethod
    def _one(api, shop, products, chance):
        dice = chance.random()
        product = chance.choice(products)
        if dice < 0.55:
            api.get("/v1/products/" + product)
        elif dice < 0.65:
            api.get("/v1/products?limit=20")
        elif dice < 0.70:
            api.get("/v1/transactions?limit=10")
        elif dice < 0.72:
            api.get("/v1/products/00000000-0000-7000-8000-000000000000")
        elif dice < 0.74:
            api.get("/v1/me")
        else:
            method = chance.choice(["card", "card", "cash"])
            api.sell(shop.basket(product, chance.randrange(1, 4), paymentMethod=method))
