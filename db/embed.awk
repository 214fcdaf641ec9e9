# SPDX-License-Identifier: Apache-2.0
# Turns db/queries/*.sql and db/migrations/*.sql into C: `awk -v mode=M -f embed.awk FILES`, M being
#   statements-h   TW_STATEMENT_MAP(XX): one line per statement, XX(NAME, "name", LANE, KIND)
#   statements-c   the same with its text and its number of parameters
#   migrations-c   an ordered table of names, texts and, of those that say so, statements
#   fleet-script-c the one script of gateway/fleet.lua
# A statement may say how queries of one moment share a call (gateway/db_gather.h):
#   -- gather: rows $1..$4; index $5 of $6..$7; shared $8
# A migration may say that its statements run one by one, outside a transaction (gateway/db_migrate_outside.h):
#   -- tillway: outside a transaction
# Comments stay out of a statement's text and stay in a migration's. A statement's text begins with
# its name, for whoever looks into pg_stat_activity or pg_stat_statements.

function c_string(line) {
    gsub(/\\/, "&&", line)
    gsub(/"/, "\\\\&", line)
    return "    \"" line "\\n\"\n"
}

function base_name(path) {
    sub(/^.*\//, "", path)
    sub(/\.sql$/, "", path)
    return path
}

function gather_fail() {
    print "embed.awk: " name ".sql: '-- gather: rows $1..$4; index $5 of $6..$7; shared $8' must name each" \
        " parameter, in order; of a write of lane write, or a read of lane fast" > "/dev/stderr"
    failed = 1
    exit 1
}

# One character for each parameter.
function gather_roles(text,    n, words, i, role, from, to, roles) {
    gsub(/;/, " ", text)
    n = split(text, words, " ")
    for (i = 1; i <= n; i++) {
        if (words[i] ~ /^(rows|index|of|shared)$/) {
            role = words[i] == "of" ? "e" : substr(words[i], 1, 1)
            continue
        }
        from = to = words[i]
        sub(/\.\..*/, "", from)
        sub(/.*\.\./, "", to)
        for (from = substr(from, 2) + 0; from <= substr(to, 2) + 0; from++) {
            if (from != length(roles) + 1)
                gather_fail()
            roles = roles role
        }
    }
    if (roles !~ /^r+(ie+)*s*$/ || length(roles) != params || lane kind !~ /^(writewrite|fastread)$/)
        gather_fail()
    return "\"" roles "\""
}

# How dear its queries are under overload (gateway/db_statement.h); by its lane unless it says so.
function c_priority() {
    if (priority == "")
        priority = lane == "slow" ? "list" : lane == "write" ? "refund" : "lookup"
    if (priority !~ /^(sale|refund|lookup|list|report)$/) {
        print "embed.awk: " name ".sql: '-- priority: sale|refund|lookup|list|report'" > "/dev/stderr"
        failed = 1
        exit 1
    }
    return "TW_PRIORITY_" toupper(priority)
}

function outside_fail() {
    print "embed.awk: " name ".sql: outside a transaction there is CREATE [UNIQUE] INDEX CONCURRENTLY NAME and" \
        " DROP INDEX CONCURRENTLY IF EXISTS NAME, each to the end of a line" > "/dev/stderr"
    failed = 1
    exit 1
}

# A statement that may be run again: the index that it makes, and what drops half of one.
function c_step(words, n, made) {
    n = split(step_words, words, " ")
    made = words[1] == "CREATE" ? (words[2] == "UNIQUE" ? words[5] : words[4]) : ""
    if (step_words !~ /^(CREATE (UNIQUE )?INDEX CONCURRENTLY [a-z0-9_]+ ON |DROP INDEX CONCURRENTLY IF EXISTS [a-z0-9_]+; $)/)
        outside_fail()
    return "    {\n" step "    " (made == "" ? ", NULL, NULL" : ", \"" made "\", \"DROP INDEX CONCURRENTLY IF EXISTS " made "\"") "},\n"
}

function c_steps() {
    if (step != "" || steps == "")
        outside_fail()
    return "    (const struct tw_migration_step[]){\n" steps "    {NULL, NULL, NULL}},\n"
}

function finish() {
    if (name == "")
        return
    if (mode ~ /^statements/ && (lane !~ /^(fast|write|slow|session|migrate)$/ || kind !~ /^(read|write)$/)) {
        print "embed.awk: " name ".sql needs '-- lane: fast|write|slow|session|migrate' and '-- kind: read|write'" > "/dev/stderr"
        failed = 1
        exit 1
    }
    if (mode == "statements-h")
        map = map "    XX(" toupper(name) ", " toupper(lane) ", " toupper(kind) ") \\\n"
    else if (mode == "statements-c")
        rows = rows "    {\"" name "\", TW_LANE_" toupper(lane) ", " c_priority() ", " (kind == "write" ? "true" : "false") ", " params ", " (gather == "" ? "NULL" : gather_roles(gather)) ",\n    \"/* tillway:" name " */ \"\n" text "    },\n"
    else if (mode == "fleet-script-c")
        rows = text
    else
        rows = rows "    {\"" name "\",\n" text "    ,\n" (outside ? c_steps() : "    NULL\n") "    },\n"
}

FNR == 1 {
    finish()
    name = base_name(FILENAME)
    lane = kind = priority = gather = text = steps = step = step_words = ""
    params = outside = 0
}

/^-- lane: / { lane = $3 }
/^-- kind: / { kind = $3 }
/^-- priority: / { priority = $3 }
/^-- gather: / { gather = substr($0, 12) }
/^-- \$[0-9]+ / { n = substr($2, 2) + 0; if (n > params) params = n }

mode == "migrations-c" && /^-- tillway:/ {
    if ($0 != "-- tillway: outside a transaction")
        outside_fail()
    outside = 1
}
mode == "migrations-c" { text = text c_string($0) }
mode == "migrations-c" && outside && !/^ *--/ && !/^ *$/ {
    step = step c_string($0)
    step_words = step_words $0 " "
    gsub(/  +/, " ", step_words)
    if (/;$/) {
        steps = steps c_step()
        step = step_words = ""
    }
}
mode == "migrations-c" { next }
!/^ *--/ && !/^ *$/ { text = text c_string($0) }

END {
    if (failed)
        exit 1
    finish()
    print "// Generated by db/embed.awk: do not edit."
    if (mode == "statements-h") {
        print "#ifndef TW_GEN_STATEMENTS_H\n#define TW_GEN_STATEMENTS_H\n"
        print "#define TW_STATEMENT_MAP(XX) \\\n" map "\n#endif"
    } else if (mode == "statements-c") {
        print "#include \"gateway/db_statement.h\"\n"
        print "const struct tw_statement tw_statements[] = {\n" rows "};"
    } else if (mode == "fleet-script-c") {
        print "#include \"gateway/fleet.h\"\n"
        print "const char tw_fleet_script[] =\n" rows ";"
    } else {
        print "#include \"gateway/db_migrate.h\"\n"
        print "const struct tw_migration tw_migrations[] = {\n" rows "};"
        print "const size_t tw_n_migrations = sizeof(tw_migrations) / sizeof(tw_migrations[0]);"
    }
}
