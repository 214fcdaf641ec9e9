#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the dashboards beside it from the tables below: one line per panel.

    deploy/observability/grafana/make.py           writes service.json, database.json, business.json
    deploy/observability/grafana/make.py --check   only says whether they are up to date

A panel is (title, unit, width of 24, [(query, legend)], words for it). In queries, $of stands for the
labels that the variables choose. tests/e2e/test_observability.py runs every query on a Prometheus that
scrapes a gateway."""

import json
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
HEIGHT = 8
RATE = "[$__rate_interval]"


def rate(metric, labels="", by=""):
    return "sum by (%s) (rate(%s{$of%s}%s))" % (by, metric, labels and ", " + labels, RATE)


def total(metric, labels=""):
    return "sum(rate(%s{$of%s}%s))" % (metric, labels and ", " + labels, RATE)


def quantile(q, metric, by="", labels=""):
    by = by and by + ", "
    return "histogram_quantile(%s, sum by (%sle) (rate(%s_bucket{$of%s}%s)))" % (
        q, by, metric, labels and ", " + labels, RATE)


HTTP, HTTP_TIME = "tillway_http_requests_total", "tillway_http_request_duration_seconds"
QUEUE, STATEMENT = "tillway_db_queue_wait_seconds", "tillway_db_statement_duration_seconds"

SERVICE = ("Tillway: service", [
    ("Is it well?", [
        ("Ready", "bool_yes_no", 4, [("tillway_ready{$of}", "{{instance}}")], "stat"),
        ("Requests", "reqps", 4, [(total(HTTP), "")], "stat"),
        ("Errors (5xx)", "percentunit", 4,
         [(total(HTTP, 'status="5xx"') + " / " + total(HTTP), "")], "stat"),
        ("99th percentile", "s", 4, [(quantile(0.99, HTTP_TIME), "")], "stat"),
        ("Workers ready", "short", 4, [("sum(tillway_workers_ready{$of}) / sum(tillway_workers_expected{$of})", "")], "stat"),
        ("Certificate expires", "s", 4,
         [("min(tillway_tls_certificate_expiry_timestamp_seconds{$of}) - time()", "")], "stat"),
    ]),
    ("Requests", [
        ("Requests by status", "reqps", 8, [(rate(HTTP, by="status"), "{{status}}")], "stack"),
        ("Requests by route", "reqps", 8,
         [("topk(10, " + rate(HTTP, by="method, route") + ")", "{{method}} {{route}}")], ""),
        ("Errors by code", "reqps", 8,
         [("topk(10, " + rate("tillway_problems_total", by="code") + ")", "{{code}}")], ""),
        ("Time to answer", "s", 8, [(quantile(q, HTTP_TIME), "p%g" % (q * 100)) for q in (0.5, 0.95, 0.99, 0.999)], ""),
        ("99th percentile by route", "s", 8,
         [("topk(10, " + quantile(0.99, HTTP_TIME, "method, route") + ")", "{{method}} {{route}}")], ""),
        ("How long answers take", "reqps", 8,
         [("sum by (le) (rate(%s_bucket{$of}%s))" % (HTTP_TIME, RATE), "{{le}}")], "heatmap"),
        ("In flight", "short", 8, [("sum by (instance) (tillway_requests_in_flight{$of})", "{{instance}}")], ""),
        ("Abandoned by their clients", "reqps", 8, [(total("tillway_requests_abandoned_total"), "abandoned")], ""),
        ("Connections", "short", 8, [("sum by (instance) (tillway_connections{$of})", "{{instance}}")], ""),
    ]),
    ("Who may", [
        ("Tokens checked", "ops", 8, [(rate("tillway_token_checks_total", by="result"), "{{result}}")], "stack"),
        ("Limits by policy", "reqps", 8,
         [(rate("tillway_limit_decisions_total", by="policy, result"), "{{policy}} {{result}}")], ""),
        ("Refused by the guard", "reqps", 8, [(rate("tillway_guard_refusals_total", by="reason"), "{{reason}}")], "stack"),
        ("Age of key sets", "s", 8, [("max by (instance, issuer) (tillway_jwks_age_seconds{$of})", "{{instance}} issuer {{issuer}}")], ""),
        ("TLS handshakes", "ops", 8,
         [(rate("tillway_tls_handshakes_total", by="version, resumed"), "{{version}} resumed: {{resumed}}"),
          (rate("tillway_tls_handshake_failures_total", by="reason"), "failed: {{reason}}")], ""),
        ("Connections refused", "cps", 8, [(rate("tillway_connections_refused_total", by="reason"), "{{reason}}")], ""),
    ]),
    ("Processes", [
        ("Processor time", "percentunit", 6,
         [(rate("tillway_worker_cpu_seconds_total", by="instance, worker"), "{{instance}} worker {{worker}}"),
          (rate("process_cpu_seconds_total", by="instance"), "{{instance}} master")], ""),
        ("Resident memory", "bytes", 6,
         [("tillway_worker_resident_memory_bytes{$of}", "{{instance}} worker {{worker}}"),
          ("process_resident_memory_bytes{$of}", "{{instance}} master")], ""),
        ("File descriptors used", "percentunit", 6,
         [("tillway_worker_open_fds{$of} / tillway_worker_max_fds{$of}", "{{instance}} worker {{worker}}")], ""),
        ("Age of heartbeats", "s", 6, [("tillway_worker_heartbeat_age_seconds{$of}", "{{instance}} worker {{worker}}")], ""),
        ("Restarts, reloads, upgrades", "short", 12,
         [("sum(increase(tillway_worker_restarts_total{$of}%s))" % RATE, "workers restarted"),
          ("sum by (result) (increase(tillway_config_reloads_total{$of}%s))" % RATE, "reloads {{result}}"),
          ("sum(increase(tillway_upgrade_failures_total{$of}%s))" % RATE, "upgrades failed")], ""),
        ("Log lines dropped", "ops", 12, [(total("tillway_log_lines_dropped_total"), "dropped")], ""),
    ]),
])

DATABASE = ("Tillway: database", [
    ("Lanes", [
        ("Connections", "short", 8, [("sum by (lane) (tillway_db_connections{$of})", "{{lane}}")], ""),
        ("Queries that wait", "short", 8, [("sum by (lane) (tillway_db_queue_length{$of})", "{{lane}}")], ""),
        ("Wait for a connection, 99th percentile", "s", 8, [(quantile(0.99, QUEUE, "lane"), "{{lane}}")], ""),
        ("Shed by priority", "ops", 8, [(rate("tillway_db_shed_total", by="priority"), "{{priority}}")], "stack"),
        ("Refused: queue full or too slow", "ops", 8, [(total("tillway_db_refused_total"), "refused")], ""),
        ("Priorities shed now", "short", 8, [("sum by (instance) (tillway_db_shed_level{$of})", "{{instance}}")], ""),
    ]),
    ("Statements", [
        ("Calls", "ops", 8,
         [("topk(10, " + rate(STATEMENT + "_count", by="statement") + ")", "{{statement}}")], ""),
        ("95th percentile", "s", 8, [("topk(10, " + quantile(0.95, STATEMENT, "statement") + ")", "{{statement}}")], ""),
        ("Time spent, seconds per second", "short", 8,
         [("topk(10, " + rate(STATEMENT + "_sum", by="statement") + ")", "{{statement}}")], "stack"),
        ("Rows returned", "ops", 8,
         [("topk(10, " + rate("tillway_db_statement_rows_total", by="statement") + ")", "{{statement}}")], ""),
        ("Failed, by SQLSTATE", "ops", 8,
         [(rate("tillway_db_statement_errors_total", by="sqlstate"), "{{sqlstate}}")], "stack"),
        ("Errors and retries", "ops", 8,
         [(total("tillway_db_errors_total"), "errors"), (total("tillway_db_retries_total"), "retries"),
          (total("tillway_db_batch_splits_total"), "batches split")], ""),
    ]),
    ("Batching", [
        ("Queries for each sync", "short", 8,
         [(total("tillway_db_queries_total") + " / " + total("tillway_db_syncs_total"), "queries")], ""),
        ("Queries gathered in a call (group commit)", "short", 8,
         [(total("tillway_db_batched_queries_total") + " / " + total("tillway_db_batches_total"), "queries")], ""),
        ("Connections opened and lost", "ops", 8,
         [(total("tillway_db_connects_total"), "opened"), (total("tillway_db_connection_losses_total"), "lost")], ""),
    ]),
    ("Memory instead of the database", [
        ("Reads of products", "ops", 8, [(rate("tillway_cache_reads_total", by="result"), "{{result}}")], "stack"),
        ("Hit ratio", "percentunit", 8,
         [(total("tillway_cache_reads_total", 'result="hit"') + " / " + total("tillway_cache_reads_total"), "hits")], ""),
        ("Workers that hear of changes", "short", 8, [("sum by (instance) (tillway_cache_listening{$of})", "{{instance}}")], ""),
        ("Memory", "bytes", 8, [("sum by (instance) (tillway_cache_bytes{$of})", "{{instance}}")], ""),
        ("Products remembered", "short", 8, [("sum by (instance) (tillway_cache_entries{$of})", "{{instance}}")], ""),
        ("Dropped", "ops", 8,
         [(total("tillway_cache_evictions_total"), "for room"), (total("tillway_cache_invalidations_total"), "changed")], ""),
    ]),
    ("Replicas", [
        ("Connections to replicas", "short", 12,
         [("sum(tillway_db_replica_connections{$of})", "ready"),
          ("sum(tillway_db_replica_fresh_connections{$of})", "fresh, of lane fast")], ""),
        ("Reads sent to replicas", "ops", 12, [(total("tillway_db_replica_reads_total"), "reads")], ""),
    ]),
])

SOLD, MONEY = "tillway_sales_total", "tillway_revenue_minor_total"


def per_minute(metric, by):
    return "60 * " + rate(metric, by=by)


BUSINESS = ("Tillway: business", [
    ("Now", [
        ("Sales a minute", "short", 6, [("60 * " + total(SOLD), "")], "stat"),
        ("Revenue a minute", "short", 6, [(per_minute(MONEY, "currency") + " / $minor", "{{currency}}")], "stat"),
        ("Average basket", "short", 6,
         [(rate(MONEY, by="currency") + " / $minor / " + rate(SOLD, by="currency"), "{{currency}}")], "stat"),
        ("Given back", "percentunit", 6,
         [("(%s + %s) / %s" % tuple(rate(m, by="currency") for m in
                                    ("tillway_refunded_minor_total", "tillway_voided_minor_total", MONEY)),
           "{{currency}}")], "stat"),
    ]),
    ("Sales", [
        ("Sales a minute by store", "short", 12,
         [("topk(20, " + per_minute(SOLD, "store") + ")", "{{store}}")], "stack"),
        ("Revenue a minute by store", "short", 12,
         [("topk(20, " + per_minute(MONEY, "store, currency") + " / $minor)", "{{store}} {{currency}}")], "stack"),
        ("Sales by payment method", "short", 12, [(per_minute(SOLD, "payment_method"), "{{payment_method}}")], "stack"),
        ("Revenue by payment method", "short", 12,
         [(per_minute(MONEY, "payment_method, currency") + " / $minor", "{{payment_method}} {{currency}}")], "stack"),
        ("What became of sales", "short", 12,
         [("60 * " + rate("tillway_sale_results_total", by="result"), "{{result}}")], "stack"),
        ("Time to record a sale", "s", 12,
         [(quantile(q, HTTP_TIME, labels='method="POST", route="/v1/transactions"'), "p%g" % (q * 100))
          for q in (0.5, 0.95, 0.99)], ""),
    ]),
    ("Longer", [
        ("Revenue, last hour", "short", 12,
         [("sum by (currency) (increase(%s{$of}[1h])) / $minor" % MONEY, "{{currency}}")], ""),
        ("Revenue of half an hour against the same time last week", "percentunit", 12,
         [('tillway:revenue_minor:rate30m{job="$job"} / (tillway:revenue_minor:rate30m{job="$job"} offset 1w)',
           "{{currency}}")], ""),
    ]),
    ("Stock", [
        ("Products that are low, by store", "short", 24,
         [("topk(20, max by (store) (tillway_low_stock_products{$of}))", "{{store}}")], ""),
    ]),
    ("Given back", [
        ("Refunds and voids a minute", "short", 12,
         [("60 * " + total("tillway_refunds_total"), "refunds"), ("60 * " + total("tillway_voids_total"), "voids")], ""),
        ("Money given back a minute, by store", "short", 12,
         [("topk(20, " + per_minute("tillway_refunded_minor_total", "store, currency") + " / $minor)", "{{store}} {{currency}}")], ""),
    ]),
])


# ---- Grafana's form ----------------------------------------------------------------------------------

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def targets(queries, fmt):
    return [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": query.replace("$of", 'job="$job", instance=~"$instance"'),
             "legendFormat": legend or "__auto", "format": fmt, "range": True} for i, (query, legend) in enumerate(queries)]


def panel(number, title, unit, at, queries, kind):
    out = {"id": number, "title": title, "type": {"stat": "stat", "heatmap": "heatmap"}.get(kind, "timeseries"),
           "datasource": SOURCE, "gridPos": at, "targets": targets(queries, "heatmap" if kind == "heatmap" else "time_series"),
           "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []}}
    if kind == "stack":
        out["fieldConfig"]["defaults"]["custom"] = {"stacking": {"mode": "normal"}, "fillOpacity": 30}
    if kind == "stat":
        del out["fieldConfig"]["defaults"]["min"]
        out["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
    if kind == "heatmap":
        out["options"] = {"calculate": False, "yAxis": {"unit": "s"}}
    return out


def panels(rows):
    out, y = [], 0
    for title, row in rows:
        out.append({"id": len(out) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                    "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        x, y = 0, y + 1
        for name, unit, width, queries, kind in row:
            height = HEIGHT // 2 if kind == "stat" else HEIGHT
            if x + width > 24:
                x, y = 0, y + height
            out.append(panel(len(out) + 1, name, unit, {"x": x, "y": y, "w": width, "h": height}, queries, kind))
            x += width
        y += height
    return out


def variables(has_money):
    query = "label_values(tillway_build_info%s, %s)"
    out = [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"},
           {"name": "job", "type": "query", "datasource": SOURCE, "query": query % ("", "job"), "refresh": 2, "label": "Job"},
           {"name": "instance", "type": "query", "datasource": SOURCE, "query": query % ('{job="$job"}', "instance"),
            "refresh": 2, "includeAll": True, "multi": True, "allValue": ".*", "label": "Instance",
            "current": {"text": "All", "value": "$__all"}}]
    if has_money:
        out.append({"name": "minor", "type": "textbox", "query": "100", "label": "Minor units in one",
                    "current": {"text": "100", "value": "100"}})
    return out


def dashboard(name, title, rows):
    return {"uid": "tillway-" + name, "title": title, "tags": ["tillway"], "schemaVersion": 37, "version": 1,
            "editable": True, "timezone": "browser", "refresh": "30s", "time": {"from": "now-3h", "to": "now"},
            "links": [{"type": "dashboards", "tags": ["tillway"], "title": "Tillway", "asDropdown": False, "keepTime": True}],
            "templating": {"list": variables(name == "business")}, "panels": panels(rows)}


def main():
    stale = 0
    for name, (title, rows) in (("service", SERVICE), ("database", DATABASE), ("business", BUSINESS)):
        path = os.path.join(HERE, name + ".json")
        text = json.dumps(dashboard(name, title, rows), indent=1) + "\n"
        if sys.argv[1:] != ["--check"]:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        elif not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
            print("%s is stale: run %s" % (path, __file__))
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
