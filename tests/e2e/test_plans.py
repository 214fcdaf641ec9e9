# SPDX-License-Identifier: Apache-2.0
"""Every statement that reads has an index behind it, and a page deep in a list costs what the first does.

Reads db/queries/*.sql, so a new statement is judged without a word here. All tables are filled by
what the catalogue says of their columns, then each statement of the lanes fast and slow is planned as
the gateway's are: prepared, and without its parameters (a generic plan). 20,000 rows a table are
enough for the planner to want an index; TILLWAY_PLAN_ROWS=1000000 takes some minutes."""

import json
import os
import re
import statistics

import pytest

from kit.processes import ROOT

ROWS = int(os.environ.get("TILLWAY_PLAN_ROWS", "20000"))
QUERIES = os.path.join(ROOT, "db/queries")
PAGE = 100

# What a list asks for where its file does not say "or NULL".
SAMPLES = {"q": "v", "pattern": "%v%", "since": "1970-01-01", "store_id": "store-1",
           "limit": PAGE}

# A value of each type for row i. Text that must be unique has every row's own.
VALUES = {"uuid": "md5(i::text)::uuid", "int8": "i % 1000", "int4": "i % 1000", "int2": "i % 100",
          "timestamptz": "now() - i * interval '1 second'", "date": "current_date - (i % 1000)::int",
          "bool": "i % 2 = 0", "jsonb": "'{}'::jsonb", "bytea": "decode(md5(i::text), 'hex')",
          "text": "'v' || i % 1000", "inet": "'127.0.0.1'::inet", "numeric": "i",
          "xid8": "pg_current_xact_id()"}


class Statement:
    def __init__(self, name):
        with open(os.path.join(QUERIES, name + ".sql"), encoding="utf-8") as f:
            self.sql = f.read()
        self.name = name
        self.lane, self.kind = (re.search("^-- %s: (.*)$" % key, self.sql, re.M)[1].split()[0]
                                for key in ("lane", "kind"))
        self.params = re.findall(r"^-- \$\d+ (\S+) (.+)$", self.sql, re.M)  # (type, what it is)

    def cursors(self):
        """Parameter's number: the column of the page's last row that it is taken from."""
        found = {i: re.search(r"(?:after|the last) (\w+),? of the page before", text)
                 for i, (_, text) in enumerate(self.params)}
        return {i: match[1] for i, match in found.items() if match}

    def limit(self):
        return next((i for i, (_, text) in enumerate(self.params) if re.match(r"limit\b", text)), None)


def statements():
    all_ = [Statement(name[:-4]) for name in sorted(os.listdir(QUERIES)) if name.endswith(".sql")]
    return [s for s in all_ if s.lane in ("fast", "slow") and s.kind == "read"]


READS = statements()
LISTS = [s for s in READS if s.limit() is not None]


# ---- the database ---------------------------------------------------------------------------------


def expression(column, unique, choices):
    """SQL for one column of row i."""
    name, type_, nullable = column
    if name in choices:
        return "(ARRAY[%s])[1 + i %% %d]" % (choices[name], choices[name].count("'") // 2)
    if type_.startswith("_"):
        return "'{}'"
    assert type_ in VALUES, "no value for a column of type %s" % type_
    if name == "store_id":
        return "'store-' || i % 20"
    if name in unique and type_ in ("text", "int8", "int4"):
        return "i" if type_ != "text" else "'v' || i"
    if nullable and type_ == "timestamptz":
        return "CASE WHEN i % 20 = 0 THEN now() END"
    return VALUES[type_]


def fill(database, table):
    """Without what guards it: constraints, triggers; indexes come back when the rows are there."""
    oid = "'public.%s'::regclass" % table
    choices = dict(database.rows(
        r"SELECT a.attname, (regexp_match(pg_get_constraintdef(c.oid), 'ANY \(+ARRAY\[([^]]*)\]'))[1]"
        " FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
        " WHERE c.conrelid = %s AND c.contype = 'c' AND pg_get_constraintdef(c.oid) ~ 'ANY .*ARRAY'" % oid))
    for (name,) in database.rows("SELECT conname FROM pg_constraint WHERE conrelid = %s"
                                 " AND contype IN ('c', 'f')" % oid):
        database.rows('ALTER TABLE %s DROP CONSTRAINT "%s"' % (table, name))
    database.rows("ALTER TABLE %s DISABLE TRIGGER USER" % table)
    indexes = database.rows("SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
                            " WHERE indrelid = %s AND NOT indisunique" % oid)
    for name, _ in indexes:
        database.rows("DROP INDEX " + name)
    unique = {name for (name,) in database.rows(
        "SELECT a.attname FROM pg_index x JOIN pg_attribute a ON a.attrelid = x.indrelid"
        " AND a.attnum = ANY (x.indkey) WHERE x.indrelid = %s AND x.indisunique" % oid)}
    columns = database.rows(
        "SELECT a.attname, t.typname, NOT a.attnotnull FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
        " WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
        " AND a.attidentity = '' ORDER BY a.attnum" % oid)
    database.rows("INSERT INTO %s (%s) SELECT %s FROM generate_series(1, %d) i ON CONFLICT DO NOTHING" % (
        table, ", ".join(c[0] for c in columns),
        ", ".join(expression(c, unique, choices) for c in columns), ROWS))
    for _, definition in indexes:
        database.rows(definition)


@pytest.fixture(scope="module")
def filled(postgres):
    name = "e2e_plans_%d" % os.getpid()
    database = postgres.create(name)
    database.migrate()
    database.rows("SET synchronous_commit = off")
    for (table,) in database.rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                                  " AND relkind = 'r' AND relname <> 'tillway_migrations' ORDER BY 1"):
        fill(database, table)
    database.rows("VACUUM ANALYZE")
    database.rows("SET plan_cache_mode = force_generic_plan")
    database.rows("SET jit = off")  # as the gateway's sessions
    for statement in READS:
        database.rows("PREPARE %s AS %s" % (statement.name, statement.sql))
    yield database
    database.close()
    postgres.drop(name)


def execute(statement, values):
    words = ["NULL" if v is None else "'%s'" % v for v in values]
    return "EXECUTE %s%s" % (statement.name, "(%s)" % ", ".join(words) if words else "")


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


# ---- the tests ------------------------------------------------------------------------------------


# No client asks these. low_stock_count counts all that is low, once a minute, with the lowest priority.
COUNTS = {"low_stock_count"}


@pytest.mark.parametrize("statement", [s for s in READS if s.name not in COUNTS], ids=lambda s: s.name)
def test_no_read_scans_a_whole_table(filled, statement):
    text = execute(statement, [None] * len(statement.params))
    plan = filled.value("EXPLAIN (FORMAT JSON) " + text)[0]["Plan"]
    big = {name for (name,) in filled.rows("SELECT relname FROM pg_class WHERE relkind = 'r'"
                                           " AND reltuples >= %s", ROWS // 2)}
    scanned = [node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    assert not big.intersection(scanned), json.dumps(plan, indent=1)


def test_the_check_would_notice(filled):
    """A filter without an index, and a large table that nobody has named here."""
    plan = filled.value("EXPLAIN (FORMAT JSON) SELECT FROM products WHERE description = 'x'")[0]["Plan"]
    assert "products" in [n.get("Relation Name") for n in nodes(plan) if n["Node Type"] == "Seq Scan"]
    assert filled.value("SELECT count(*) FROM transactions") == ROWS


def cost(database, statement, values):
    """(blocks, ms) of one page; the better half of some runs, for the time."""
    runs = []
    for _ in range(7):
        top = database.value("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + execute(statement, values))[0]
        runs.append((top["Plan"]["Shared Hit Blocks"] + top["Plan"]["Shared Read Blocks"],
                     top["Execution Time"]))
    return min(blocks for blocks, _ in runs), statistics.median(sorted(ms for _, ms in runs)[:4])


@pytest.mark.parametrize("statement", LISTS, ids=lambda s: s.name)
def test_a_deep_page_costs_what_the_first_does(filled, statement):
    """In blocks, which no busy machine changes; with a million rows in time, as they are read from places
    that lie further apart, by luck."""
    cursors, limit = statement.cursors(), statement.limit()
    if not cursors:
        pytest.skip('no parameter says "after COLUMN, of the page before"')
    values = []
    for type_, text in statement.params:
        name = text.split()[0].rstrip(",:;")
        optional = "NULL" in text or type_ == "bool"
        assert optional or name in SAMPLES, "a sample is wanted for %s of %s" % (text, statement.name)
        values.append(SAMPLES[name] if not optional else "f" if type_ == "bool" else None)
    far = list(values)
    far[limit] = ROWS
    with filled._connection.cursor() as cursor:
        cursor.execute(execute(statement, far))
        rows, names = cursor.fetchall(), [column.name for column in cursor.description]
    if len(rows) < 4 * PAGE:
        pytest.skip("the rows made up here give no deep page")
    deep = list(values)
    for i, column in cursors.items():
        deep[i] = rows[len(rows) * 8 // 10][names.index(column)]
    first, there = cost(filled, statement, values), cost(filled, statement, deep)
    print("%s: first %d blocks %.2f ms, deep %d blocks %.2f ms" % ((statement.name,) + first + there))
    if ROWS < 1000000:
        assert there[0] <= 1.5 * first[0] + 20
    else:
        assert there[1] <= 1.5 * first[1] + 0.2


@pytest.mark.parametrize("kind", ["any", "stock", "price", "amount"])
@pytest.mark.parametrize("store", ["store-2", None], ids=["a store", "all stores"])
def test_exceptions_are_found_by_their_index(filled, store, kind):
    """Which no plan shows, as transaction_page walks it; the statistics of the transaction do."""
    statement = next(s for s in READS if s.name == "transaction_list")
    values = [kind if text.startswith("exception") else PAGE if text.startswith("limit") else
              store if text.startswith("store_id") else None for _, text in statement.params]
    indexes = [name for name, in filled.rows("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisprimary"
                                             " AND indrelid = 'transactions'::regclass")]

    def scans():
        return [filled.value("SELECT pg_stat_get_xact_numscans(%s::regclass)", name) for name in indexes]

    filled.rows("BEGIN")  # or they are handed over meanwhile
    try:
        before = scans()
        found = filled.rows(execute(statement, values))
        walked = {name: n - was for name, was, n in zip(indexes, before, scans()) if n > was}
    finally:
        filled.rows("ROLLBACK")
    stores = 1 if store else filled.value("SELECT count(DISTINCT store_id) FROM registers")
    assert found and walked == {"transactions_exceptions_idx": stores}


def test_a_sale_is_found_by_its_key_in_a_new_installation_too(own_database):
    """Of an empty table that was analyzed the planner knows no better index, and a prepared plan outlives
    that: the primary key must be the one that it takes when all are as good."""
    own_database.rows("VACUUM ANALYZE transactions")
    own_database.rows("SET enable_seqscan = off")
    plan = [row[0] for row in own_database.rows(
        "EXPLAIN SELECT FROM transactions WHERE transaction_id = '018f0000-0000-7000-8000-000000000001'")]
    assert any("transactions_pkey" in line for line in plan), plan
