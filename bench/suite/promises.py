# SPDX-License-Identifier: Apache-2.0
"""What is promised about speed, and whether a result keeps it. Told, not judged by the exit status: a ratio
belongs to the machine, and the machine may be a busy one."""

from suite.summary import open_spread, paired, rate, server_us

# What it is called, at least or at most, of which functions below.
PROMISES = (
    ("product from the database, HTTP/1.1, beside pgbench", ">=", 1.3, lambda f: f.ratio("read_http1")),
    ("product from the database, h2c, beside pgbench", ">=", 2, lambda f: f.ratio("read_h2c")),
    ("CPU us of the worker for it, HTTP/1.1", "<=", 8, lambda f: f.server_us("read_http1")),
    ("    without any gateway: the bare library", "<=", 8, lambda f: f.server_us("hello_http1")),
    ("    without HTTP: sockets alone", "<=", 8, lambda f: f.server_us("sockets_http1")),
    ("product from memory beside the bare library", ">=", 0.75, lambda f: f.ratio("cache_http1")),
    ("sales beside pgbench, one by one", ">=", 4, lambda f: f.ratio("sale_http1")),
    ("sales beside Fastify's bare insert", ">=", 2.5, lambda f: f.times("sale_http1", "fastify_sale")),
    ("    without any gateway: pgbench, 32 a call, beside it", ">=", 2.5, lambda f: f.times("sale_grouped", "fastify_sale")),
    ("product from the database beside Fastify", ">=", 8, lambda f: f.times("read_http1", "fastify_read")),
    ("    the same, as configured by default", ">=", 8, lambda f: f.times("cache_http1", "fastify_read")),
    ("product from the database beside Bun", ">=", 5, lambda f: f.times("read_http1", "bun_read")),
    ("    the same, as configured by default", ">=", 5, lambda f: f.times("cache_http1", "bun_read")),
    ("    without any gateway: the bare library beside it", ">=", 5, lambda f: f.times("hello_http1", "bun_read")),
    ("    without HTTP: sockets alone beside it", ">=", 5, lambda f: f.times("sockets_http1", "bun_read")),
    ("product from the database beside Express", ">=", 20, lambda f: f.times("read_http1", "express_read")),
    ("    the same, as configured by default", ">=", 20, lambda f: f.times("cache_http1", "express_read")),
    ("part of Fastify's memory", "<=", 0.2, lambda f: f.memory("read_http1", "fastify_read")),
    ("part of Bun's memory", "<=", 0.2, lambda f: f.memory("read_http1", "bun_read")),
    ("part of Express's memory", "<=", 0.2, lambda f: f.memory("read_http1", "express_read")),
    ("two workers' CPU per request beside one's, cache", "<=", 1.1, lambda f: f.room("cache")),
    ("two workers' CPU per request beside one's, database", "<=", 1.1, lambda f: f.room("read")),
    ("open loop, cache: p99 beside p50", "<=", 5, lambda f: f.spread("open_cache")),
    ("open loop, cache: p99.9 in ms", "<=", 20, lambda f: f.p999_ms("open_cache")),
    ("open loop, database: p99 beside p50", "<=", 5, lambda f: f.spread("open_read")),
    ("open loop, database: p99.9 in ms", "<=", 20, lambda f: f.p999_ms("open_read")),
    ("open loop, sales: p99 beside p50", "<=", 5, lambda f: f.spread("open_sale")),
    ("open loop, sales: p99.9 in ms", "<=", 20, lambda f: f.p999_ms("open_sale")),
    ("    without any gateway: the bare library's p99 beside p50", "<=", 5, lambda f: f.spread("open_hello")),
    ("    and its p99.9 in ms", "<=", 20, lambda f: f.p999_ms("open_hello")),
)


class Found:
    """What a result says; None of what was not measured or is invalid."""

    def __init__(self, result, all_of):
        self._result = result
        self._all = {name: s for name, s in all_of.items() if s.is_valid}

    def _paired(self, ours, theirs, value):
        return paired(self._result, ours, theirs, value) if {ours, theirs} <= set(self._all) else None

    def ratio(self, name):
        return self._all[name].ratio if name in self._all else None

    def server_us(self, name):
        return self._all[name].server_us if name in self._all else None

    def times(self, ours, peer):
        return self._paired(ours, peer, rate)

    def memory(self, ours, peer):
        return self._paired(ours, peer, lambda run: run["memory_kib"])

    def room(self, kind):
        return self._paired("room_%s_two" % kind, "room_%s_one" % kind, server_us)

    def spread(self, name):
        return open_spread(self._all[name]) if name in self._all else None

    def p999_ms(self, name):
        return self._all[name].ms[2] if name in self._all else None


def show(result, all_of, _):
    found = [(words, sign, bound, value(Found(result, all_of))) for words, sign, bound, value in PROMISES]
    found = [row for row in found if row[3] is not None]
    if found:
        print("\npromised (README.md tells what stands in the way of those that fall short)")
    for words, sign, bound, value in found:
        kept = value >= bound if sign == ">=" else value <= bound
        print("  %-60s %8.2f %s %-5g %s" % (words, value, sign, bound, "kept" if kept else "SHORT"))
