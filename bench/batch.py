# SPDX-License-Identifier: Apache-2.0
"""Sales of three lines over one connection: single POSTs, and batches of 500 (bench/batch.sh).

    batch.py PORT TOKEN PRODUCTS SECONDS ROUNDS    rates on standard output; 1 when below the promise

The bodies are made before the clock starts; each answer is read whole and counted."""

import http.client
import json
import random
import statistics
import sys
import time
import uuid

port, token, products, seconds, rounds = sys.argv[1:]
products = open(products, encoding="utf-8").read().split()
seconds, rounds = float(seconds), int(rounds)
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
HEAD = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}


def sale():
    return {"transactionId": str(uuid.uuid4()), "paymentMethod": "card", "registerId": "r%d" % random.randint(1, 8),
            "items": [{"productId": p, "quantity": 1} for p in random.sample(products, 3)]}


def post(path, body):
    connection.request("POST", path, body=body, headers=HEAD)
    answer = connection.getresponse()
    return answer.status, answer.read()


def singles():
    bodies = [json.dumps(sale()).encode() for _ in range(int(6000 * seconds))]
    began, n = time.monotonic(), 0
    while time.monotonic() - began < seconds and n < len(bodies):
        status, text = post("/v1/transactions", bodies[n])
        assert status == 201, text
        n += 1
    return n / (time.monotonic() - began)


def batches():
    bodies = [json.dumps([sale() for _ in range(500)]).encode() for _ in range(int(40 * seconds))]
    began, n = time.monotonic(), 0
    for body in bodies:
        status, text = post("/v1/transactions/batch", body)
        assert status == 200, text
        recorded = json.loads(text)["recorded"]
        assert recorded == 500, text[:500]
        n += recorded
        if time.monotonic() - began >= seconds:
            break
    return n / (time.monotonic() - began)


rates = {"single": [], "batch": []}
singles(), batches()
for _ in range(rounds):
    rates["single"].append(singles())
    rates["batch"].append(batches())
single, batch = (statistics.median(rates[kind]) for kind in ("single", "batch"))
wanted = max(5000, 3 * single)
for kind, found in rates.items():
    print("%-7s %8.0f sales/s (median; %s)" % (kind, statistics.median(found),
                                              " ".join("%.0f" % rate for rate in found)))
print("promised %7.0f sales/s in batches: 5,000 or three times the single rate" % wanted)
sys.exit(batch < wanted)
