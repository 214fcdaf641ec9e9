# SPDX-License-Identifier: Apache-2.0
# Makes a pgbench script of a statement of db/queries: comments go, and each $N becomes line N of
# the file `expressions`.
#
#   awk -v expressions=FILE -f bench/statement.awk db/queries/NAME.sql
#
# Fails when statement and expressions do not use the same parameters, so that the two cannot drift
# apart unseen.

BEGIN {
    while ((getline line < expressions) > 0)
        values[++n_values] = line
}

/^[ \t]*--/ { next }

{
    out = ""
    rest = $0
    while (match(rest, /\$[0-9]+/)) {
        number = substr(rest, RSTART + 1, RLENGTH - 1) + 0
        if (!(number in values)) {
            print "bench: " FILENAME " has a new parameter $" number >"/dev/stderr"
            failed = 1
            exit 1
        }
        used[number] = 1
        out = out substr(rest, 1, RSTART - 1) values[number]
        rest = substr(rest, RSTART + RLENGTH)
    }
    text = text out rest "\n"
}

END {
    for (number = 1; number <= n_values && !failed; number++)
        if (!(number in used)) {
            print "bench: " FILENAME " no longer has a parameter $" number >"/dev/stderr"
            failed = 1
        }
    if (failed)
        exit 1
    sub(/\n+$/, "", text)
    print text ";"
}
