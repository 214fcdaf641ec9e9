# SPDX-License-Identifier: Apache-2.0
# The runs of run.sh as a table (form=table) or as JSON (form=json). Input, with tabs:
#   round figure requests seconds errors p50_us p99_us gateway_ticks postgres_ticks
# Fails (status 1) after the table when a figure is invalid.

BEGIN {
    FS = "\t"
    n_figures = split(figures, order, " ")
    name["read_pgbench"] = "product read, pgbench"
    name["read_http1"] = "product read, HTTP/1.1"
    name["read_h2c"] = "product read, HTTP/2 (h2c)"
    name["sale_pgbench"] = "sale of 3 lines, pgbench"
    name["sale_http1"] = "sale of 3 lines, HTTP/1.1"
    n_columns = split("rate ratio gateway postgres p50 p99", columns, " ")
}

{
    rate[$1, $2] = $3 / $4
    errors[$2] += $5
    add($2, "rate", $3 / $4)
    if ($6 != "-") {
        add($2, "p50", $6 / 1000)
        add($2, "p99", $7 / 1000)
    }
    if ($3 > 0) {
        if ($2 !~ /pgbench/)
            add($2, "gateway", $8 / ticks_per_s * 1e6 / $3)
        add($2, "postgres", $9 / ticks_per_s * 1e6 / $3)
    }
    if ($3 == 0 || $5 > 0)
        invalid[$2] = 1
}

function add(figure, column, value) {
    values[figure, column, ++count[figure, column]] = value
}

# The median of a column; sorts it on the way.
function median(figure, column,    n, i, j, value) {
    n = count[figure, column]
    for (i = 2; i <= n; i++) {
        value = values[figure, column, i]
        for (j = i - 1; j >= 1 && values[figure, column, j] > value; j--)
            values[figure, column, j + 1] = values[figure, column, j]
        values[figure, column, j + 1] = value
    }
    return n % 2 ? values[figure, column, (n + 1) / 2] \
                 : (values[figure, column, n / 2] + values[figure, column, n / 2 + 1]) / 2
}

# As text with `format`, or - when nothing was measured.
function show(figure, column, format) {
    return count[figure, column] ? sprintf(format, median(figure, column)) : "-"
}

# Each run against pgbench's of the same round.
function add_ratios(    f, r, peer) {
    for (f = 1; f <= n_figures; f++) {
        peer = substr(order[f], 1, index(order[f], "_")) "pgbench"
        for (r = 1; r <= rounds; r++)
            if (order[f] != peer && rate[r, peer] > 0)
                add(order[f], "ratio", rate[r, order[f]] / rate[r, peer])
    }
}

function text(key) {
    return "\"" key "\": \"" ENVIRON["bench_" key] "\""
}

function print_table(    f, figure, n) {
    printf "%s, %s core(s) of %s, Linux %s, PostgreSQL %s\n", ENVIRON["bench_version"],
        ENVIRON["bench_cores"], ENVIRON["bench_cpu"], ENVIRON["bench_kernel"], ENVIRON["bench_postgres"]
    printf "one worker; medians of %d rounds of %d s; wrk -c %d -t %d, h2load -c %d -m %d, ", rounds,
        seconds, connections, threads, h2_connections, h2_streams
    printf "pgbench -M prepared -c %d -j %d\n\n", pg_connections, pg_threads
    printf "%-28s%10s %17s%10s%9s%11s%9s%9s%8s\n", "", "requests/s", "(min-max)", "x pgbench",
        "gateway", "PostgreSQL", "p50", "p99", "errors"
    printf "%-28s%10s %17s%10s%9s%11s%9s%9s\n", "", "", "", "", "us/req", "us/req", "ms", "ms"
    for (f = 1; f <= n_figures; f++) {
        figure = order[f]
        printf "%-28s%10s", name[figure], show(figure, "rate", "%.0f")
        n = count[figure, "rate"] # sorted by now
        printf " %17s", sprintf("(%.0f-%.0f)", values[figure, "rate", 1], values[figure, "rate", n])
        printf "%10s%9s%11s%9s%9s%8d%s\n", show(figure, "ratio", "%.2f"), show(figure, "gateway", "%.1f"),
            show(figure, "postgres", "%.1f"), show(figure, "p50", "%.2f"), show(figure, "p99", "%.2f"),
            errors[figure], (figure in invalid ? "  INVALID" : "")
    }
    print ""
    for (f = 1; f <= n_figures; f++)
        if (count[order[f], "ratio"])
            printf "%s: %.2fx pgbench%s\n", name[order[f]], median(order[f], "ratio"),
                (order[f] in invalid ? " INVALID" : "")
}

function print_json(    f, c, figure, n) {
    printf "{%s, %s, %s,\n", text("date"), text("version"), text("revision")
    printf " \"machine\": {%s, %s, %s, %s, %s, %s},\n", text("cores"), text("cpu"), text("kernel"),
        text("memory_mib"), text("postgres"), text("load")
    printf " \"settings\": {\"rounds\": %d, \"seconds\": %d, ", rounds, seconds
    printf "\"wrk_connections\": %d, \"wrk_threads\": %d, ", connections, threads
    printf "\"pgbench_connections\": %d, \"pgbench_threads\": %d, ", pg_connections, pg_threads
    printf "\"h2load_connections\": %d, \"h2load_streams\": %d},\n", h2_connections, h2_streams
    printf " \"figures\": ["
    for (f = 1; f <= n_figures; f++) {
        figure = order[f]
        printf "%s\n  {\"figure\": \"%s\", \"valid\": %s, \"errors\": %d", (f > 1 ? "," : ""), figure,
            (figure in invalid ? "false" : "true"), errors[figure]
        for (c = 1; c <= n_columns; c++)
            printf ", \"%s\": %s", unit[columns[c]],
                count[figure, columns[c]] ? sprintf("%.3f", median(figure, columns[c])) : "null"
        n = count[figure, "rate"]
        printf ", \"min_per_s\": %.1f, \"max_per_s\": %.1f}", values[figure, "rate", 1],
            values[figure, "rate", n]
    }
    print "\n ]}"
}

END {
    split(h2c_percentiles, h2c, " ")
    if (h2c[1] + 0 > 0) {
        add("read_h2c", "p50", h2c[1] / 1000)
        add("read_h2c", "p99", h2c[2] / 1000)
    }
    unit["rate"] = "per_s"
    unit["ratio"] = "ratio_to_pgbench"
    unit["gateway"] = "gateway_us"
    unit["postgres"] = "postgres_us"
    unit["p50"] = "p50_ms"
    unit["p99"] = "p99_ms"
    add_ratios()
    if (form == "json")
        print_json()
    else
        print_table()
    for (figure in invalid)
        exit (form != "json")
}
