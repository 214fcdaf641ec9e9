# SPDX-License-Identifier: Apache-2.0
"""Every figure of make bench: who is asked, by which client, for what, and what it is compared with."""

import fnmatch
import os
import random

from kit.processes import run

from suite.clients import CONNECTIONS
from suite.setting import BENCH, ROOT

OPEN_PART = 0.7  # of the capacity, which a closed loop of the same generator finds just before
OPEN_S, ROOM_S, CAPACITY_S = 8, 3, 2
# R of one worker's capacity; at a low rate a request costs more, as fewer share a wake-up.
ROOM_PART = {"cache": 0.15, "read": 0.07}
ROOM_BUSY_AT_MOST = 0.6
BATCH = 500
BATCH_CONNECTIONS = 2
REGISTERS = 64
GROUP = 32  # half of wrk's connections, as one call is under way and one is being gathered
GROUP_CONNECTIONS = 2
SALES_A_SECOND_AT_MOST = 30000  # prepared


class Figure:
    """measure(lab, seconds, rate) is a Result. against: the figure that it is divided by."""

    every = 1       # in every so manieth round
    seconds = None  # its own, whatever the others have
    part = None     # at a rate: this part of capacity(lab)
    needs = None    # another server, whose capacity it is
    busy_at_most = 1
    latency = None  # an extra run that tells percentiles

    def __init__(self, title, server, measure, against=None, **more):
        self.title, self.server, self.measure, self.against = title, server, measure, against
        self.__dict__.update(more)


# ---- clients of one figure ------------------------------------------------------------------------


def pgbench(script, sample=1.0, variables=lambda lab: {}):
    return lambda lab, seconds, rate: lab.load.pgbench(lab.scripts[script], seconds, sample, **variables(lab))


def _of_sale(lab):
    return {"t": lab.clock(), "products": len(lab.setting.products)}


def grouped_pgbench(lab, seconds, rate):
    return lab.load.pgbench(lab.scripts["group"], seconds, connections=GROUP_CONNECTIONS, each=GROUP, **_of_sale(lab))


def http1(server, path, script="product", token=None, expect=2):
    return lambda lab, seconds, rate: lab.load.wrk(
        script, "http://127.0.0.1:%d%s" % (lab.servers[server].port, path(lab)), seconds,
        token and lab.tokens[token], expect)


def _h2_url(lab, server, path, tls):
    target = lab.servers[server]
    return ("https://127.0.0.1:%d" % target.tls_port if tls else "http://127.0.0.1:%d" % target.port) + path(lab)


def h2(server, path, tls=False):
    """measure and latency."""
    return {"measure": lambda lab, seconds, rate: lab.load.h2load(_h2_url(lab, server, path, tls), seconds),
            "latency": lambda lab: lab.load.h2load_latency(_h2_url(lab, server, path, tls))}


def batch(lab, seconds, rate):
    return lab.load.batches(lab.servers["tillway"].port, seconds, random.Random(lab.run), BATCH, BATCH_CONNECTIONS,
                            int(seconds * SALES_A_SECOND_AT_MOST / BATCH))


def open_loop(title, server, path, part, seconds, sells=False, of=None, connections=CONNECTIONS, **more):
    """of: the server whose capacity counts, when it is another one."""
    def url(lab, name):
        return "http://127.0.0.1:%d%s" % (lab.servers[name].port, path(lab))

    return Figure(title, server, lambda lab, seconds, rate: lab.load.open_loop(
        url(lab, server), rate, seconds, sells, connections), part=part, seconds=seconds, every=2,
        capacity=lambda lab: lab.capacity(url(lab, of or server), CAPACITY_S, sells), needs=of, **more)


def room(what, kind, one, two):
    """One worker at a rate, two at twice that over twice the connections, and one alone at what the two had."""
    figures = {}
    for name, words, server, times in (("one", "1 worker at R", one, 1), ("two", "2 workers at 2R", two, 2),
                                       ("double", "1 worker at 2R", one, 2)):
        figures["room_%s_%s" % (kind, name)] = open_loop(
            "%s, %s" % (what, words), server, product, ROOM_PART[kind] * times, ROOM_S, of=one,
            connections=CONNECTIONS * times // 2, busy_at_most=ROOM_BUSY_AT_MOST)
    return figures


def product(lab):
    return "/v1/products/" + lab.setting.product


def fixed(path):
    return lambda lab: path


FIGURES = {
    "sockets_http1": Figure("sockets alone, HTTP/1.1", "sockets", http1("sockets", fixed("/"))),
    "hello_http1": Figure("hello, bare h2o, HTTP/1.1", "hello", http1("hello", fixed("/"))),
    "hello_h2c": Figure("hello, bare h2o, h2c", "hello", **h2("hello", fixed("/"))),
    "hello_tls": Figure("hello, bare h2o, h2 over TLS", "hello-tls", **h2("hello-tls", fixed("/"), tls=True)),
    "cache_http1": Figure("product, cache, HTTP/1.1", "cached", http1("cached", product), "hello_http1"),
    "cache_h2c": Figure("product, cache, h2c", "cached", against="hello_h2c", **h2("cached", product)),
    "cache_tls": Figure("product, cache, h2 over TLS", "cached", against="hello_tls",
                        **h2("cached", product, tls=True)),
    "read_pgbench": Figure("product, pgbench", None, pgbench(
        "read", 0.02, lambda lab: {"id": lab.setting.product})),
    "read_http1": Figure("product, database, HTTP/1.1", "tillway", http1("tillway", product), "read_pgbench"),
    "read_h2c": Figure("product, database, h2c", "tillway", against="read_pgbench", **h2("tillway", product)),
    "read_tls": Figure("product, database, h2 over TLS", "tillway", against="read_pgbench",
                       **h2("tillway", product, tls=True)),
    "read_two": Figure("product, database, two workers", "two", http1("two", product), "read_http1"),
    "cache_two": Figure("product, cache, two workers", "two-cached", http1("two-cached", product), "cache_http1"),
    "list_pgbench": Figure("list of 50, pgbench", None, pgbench("list")),
    "list_http1": Figure("list of 50, HTTP/1.1", "tillway", http1("tillway", fixed("/v1/products?limit=50")),
                         "list_pgbench"),
    "sale_pgbench": Figure("sale of 3 lines, pgbench", None, pgbench("sale", 1.0, _of_sale)),
    "sale_grouped": Figure("sale of 3 lines, pgbench, %d a call" % GROUP, None, grouped_pgbench, "sale_pgbench"),
    "sale_http1": Figure("sale of 3 lines, HTTP/1.1", "tillway", http1("tillway", fixed("/v1/transactions"), "sale"),
                         "sale_pgbench"),
    "batch_http1": Figure("sale in a batch of 500", "tillway", batch, "sale_pgbench"),
    "refused_http1": Figure("token refused (expired)", "tillway", http1(
        "tillway", product, token="expired", expect=4)),
    "limited_http1": Figure("limited (429)", "tillway", http1("tillway", fixed("/v1/inventory"), expect=4)),
    "open_hello": open_loop("open loop: hello, bare h2o", "hello", fixed("/"), OPEN_PART, OPEN_S),
    "open_cache": open_loop("open loop: product, cache", "cached", product, OPEN_PART, OPEN_S),
    "open_read": open_loop("open loop: product, database", "tillway", product, OPEN_PART, OPEN_S),
    "open_sale": open_loop("open loop: sale of 3 lines", "tillway", fixed("/v1/transactions"), OPEN_PART, OPEN_S, True),
    **room("cache", "cache", "cached", "two-cached"),
    **room("database", "read", "tillway", "two"),
    "fastify_read": Figure("product, Fastify", "fastify", http1("fastify", product)),
    "fastify_sale": Figure("bare insert of a sale, Fastify", "fastify", http1(
        "fastify", fixed("/v1/transactions"), "sale")),
    "express_read": Figure("product, Express", "express", http1("express", product)),
    "bun_read": Figure("product, Bun", "bun", http1("bun", product)),
    "nginx_read": Figure("product, nginx + Fastify", "nginx", http1("nginx", product)),
    "haproxy_read": Figure("product, haproxy + Fastify", "haproxy", http1("haproxy", product)),
}
PEER_FIGURES = {"fastify": ["fastify_read", "fastify_sale"], "express": ["express_read"], "bun": ["bun_read"],
                "nginx": ["nginx_read"], "haproxy": ["haproxy_read"]}
OWN_FIGURES = [name for name in FIGURES if not any(name in some for some in PEER_FIGURES.values())]


def named(patterns):
    """Figures by name or pattern (read_*), in the order of the table."""
    for pattern in patterns:
        assert fnmatch.filter(FIGURES, pattern), "there is no figure '%s'; there are: %s" % (pattern, " ".join(FIGURES))
    return [name for name in FIGURES if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]


# What the database must hold afterwards.
SELLING = ("sale_pgbench", "sale_grouped", "sale_http1", "batch_http1", "open_sale", "fastify_sale")
HELLO_BYTES = 372  # as many as the sample product's answer; checked


# ---- the same statements for pgbench --------------------------------------------------------------

# Constants of the statement cost PostgreSQL nothing. A sale's id grows with time, as the gateway's own do,
# and serves as the key as well.
_SALE_END = """'{{}}'
'{{}}'
'{{}}'
'{{}}'
'EUR'
true
'UTC'
0
"""
_SALE = """ARRAY[({id})::uuid]
ARRAY['pgbench']
ARRAY[{id}]
ARRAY['\\x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'::bytea]
ARRAY['main']
ARRAY[:r::text]
ARRAY['pgbench']
ARRAY[NULL]
ARRAY['card']
ARRAY[NULL]
ARRAY[NULL]
ARRAY[NULL]
ARRAY[NULL]
ARRAY[1, 1, 1]
ARRAY[({products})[:a::int], ({products})[:b::int], ({products})[:c::int]]
ARRAY[1000, 1000, 1000]
ARRAY[0, 0, 0]
ARRAY[NULL, NULL, NULL]
ARRAY[NULL, NULL, NULL]
""" + _SALE_END
# PostgreSQL draws products and registers itself, as pgbench has no arrays: a little that the gateway's calls
# do not cost it.
_GROUP = """ARRAY(SELECT ({id})::uuid FROM generate_series(1, {n}) nth)
array_fill('pgbench'::text, ARRAY[{n}])
ARRAY(SELECT {id} FROM generate_series(1, {n}) nth)
array_fill('\\x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'::bytea, ARRAY[{n}])
array_fill('main'::text, ARRAY[{n}])
ARRAY(SELECT (1 + floor(random() * {registers}))::text FROM generate_series(1, {n}))
array_fill('pgbench'::text, ARRAY[{n}])
array_fill(NULL::timestamptz, ARRAY[{n}])
array_fill('card'::text, ARRAY[{n}])
array_fill(NULL::int8, ARRAY[{n}])
array_fill(NULL::uuid, ARRAY[{n}])
array_fill(NULL::int8, ARRAY[{n}])
array_fill(NULL::bool, ARRAY[{n}])
ARRAY(SELECT (line + 2) / 3 FROM generate_series(1, 3 * {n}) line)
ARRAY(SELECT ({products})[1 + floor(random() * :products)::int] FROM generate_series(1, 3 * {n}))
array_fill(1000::int8, ARRAY[3 * {n}])
array_fill(0::int8, ARRAY[3 * {n}])
array_fill(NULL::int8, ARRAY[3 * {n}])
array_fill(NULL::int4, ARRAY[3 * {n}])
""" + _SALE_END
_SALE_HEAD = """\\set t :t + 1
\\set a random(1, :products)
\\set b random(1, :products)
\\set c random(1, :products)
\\set r random(1, %d)
""" % REGISTERS


def _script(work, name, statement, expressions, head=""):
    """The path of a script for pgbench, made of a statement's file."""
    values, path = os.path.join(work, name + ".expressions"), os.path.join(work, name + ".pgbench")
    with open(values, "w", encoding="utf-8") as f:
        f.write(expressions)
    done = run(["awk", "-v", "expressions=" + values, "-f", os.path.join(BENCH, "statement.awk"),
                os.path.join(ROOT, statement)])
    assert done.returncode == 0, done.stderr
    with open(path, "w", encoding="utf-8") as f:
        f.write(head + done.stdout)
    return path


def write_scripts(setting):
    """{name: path}"""
    sale_id = "lpad(to_hex(%s), 12, '0') || '70008' || lpad(to_hex(:client_id::bigint), 15, '0')"
    products = "'{%s}'::uuid[]" % ",".join(setting.products)
    sale = _SALE.format(id=sale_id % ":t::bigint", products=products)
    group = _GROUP.format(id=sale_id % ":t::bigint + nth", products=products, n=GROUP, registers=REGISTERS)
    return {"read": _script(setting.work, "read", "bench/product.sql", ":id\n"),
            "list": _script(setting.work, "list", "db/queries/product_list.sql", "NULL\nNULL\n50\n"),
            "sale": _script(setting.work, "sale", "db/queries/record_sales.sql", sale, _SALE_HEAD),
            "group": _script(setting.work, "group", "db/queries/record_sales.sql", group, "\\set t :t + %d\n" % GROUP)}
