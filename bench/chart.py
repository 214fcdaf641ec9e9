#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""A result of make bench as an SVG of bars: requests a second over HTTP/1.1 beside ceilings and peers.

    bench/chart.py bench/results/DATE.json > bench/chart.svg

Colours are readable on white and on black; the chart brings its own white ground all the same."""

import html
import json
import sys

from suite.figures import FIGURES
from suite.summary import summaries

GROUPS = (
    ("A product from memory", ("hello_http1", "cache_http1", "cache_h2c", "cache_tls")),
    ("A product from the database", ("read_pgbench", "read_http1", "read_h2c", "read_tls", "bun_read",
                                     "fastify_read", "haproxy_read", "nginx_read", "express_read")),
    ("A sale of three lines", ("sale_pgbench", "sale_http1", "batch_http1", "fastify_sale")),
)
OURS, CEILING, PEER = "#1f77b4", "#7f7f7f", "#d08c3f"
LEFT, WIDTH, BAR, GAP = 230, 760, 18, 6
LABEL = 120  # behind the longest bar


def colour(name):
    if name.startswith("hello") or name.endswith("pgbench"):
        return CEILING
    return OURS if name.split("_")[0] in ("cache", "read", "sale", "batch") else PEER


def text(x, y, words, anchor="start", weight="normal"):
    return '<text x="%d" y="%d" text-anchor="%s" font-weight="%s">%s</text>' % (
        x, y, anchor, weight, html.escape(words))


def group(title, bars, y):
    """[(label, rate, colour)]; each group has its own scale."""
    longest = max(rate for _, rate, _ in bars)
    out = [text(0, y + 13, title, weight="bold")]
    y += 24
    for label, rate, fill in bars:
        width = max(1, round((WIDTH - LEFT - LABEL) * rate / longest))
        out.append(text(LEFT - 8, y + 13, label, "end"))
        out.append('<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>' % (LEFT, y, width, BAR, fill))
        out.append(text(LEFT + width + 6, y + 13, "{:,.0f}/s".format(rate)))
        y += BAR + GAP
    return out, y + 14


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        result = json.load(f)
    all_of, body, y = summaries(result, FIGURES), [], 8
    for title, names in GROUPS:
        bars = [(FIGURES[n].title, all_of[n].rate, colour(n)) for n in names if n in all_of]
        if bars:
            out, y = group(title, bars, y)
            body += out
    m = result["machine"]
    body.append(text(0, y + 8, "%s, %s cores of %s, PostgreSQL %s, one worker, client and server on one machine" % (
        m["date"][:10], m["cores"], m["cpu"], m["postgres"].split()[0])))
    print('<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 0 %d %d" font-family="sans-serif" '
          'font-size="13" fill="#222222">' % (WIDTH + 24, y + 24))
    print('<rect x="-12" width="%d" height="%d" fill="#ffffff"/>' % (WIDTH + 24, y + 24))
    print("\n".join(body))
    print("</svg>")


if __name__ == "__main__":
    main()
