#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Proves that directions.py breaks: each kind of violation, one at a time, in a copy of the tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fresh_copy() {
    rm -rf "$work/tree"
    mkdir "$work/tree"
    git ls-files -z -- gateway handlers auth config mint db dev |
        while IFS= read -r -d '' name; do
            [ ! -f "$name" ] || printf '%s\0' "$name"
        done | tar -c --null -T - | tar -x -C "$work/tree"
}

judge() {
    /usr/bin/python3 tests/lint/directions.py "$work/tree" >"$work/out" 2>&1
}

# breaks FILE RULE LINE [REFUSED]: with this line more, FILE (or REFUSED, which includes it) is refused
# under that rule.
breaks() {
    local file=$work/tree/$1
    cp -p "$file" "$work/before" 2>/dev/null || rm -f "$work/before"
    printf '%s\n' "$3" >>"$file"
    expect "${4:-$1}" "$2" "$3"
    rm -f "$file"
    [ ! -e "$work/before" ] || cp -p "$work/before" "$file"
}

expect() {
    if judge; then
        echo "not noticed: $1: $3"
        failures=$((failures + 1))
    elif ! grep -qE "^$1(:[0-9]+)?: $2: " "$work/out"; then
        echo "noticed for another reason: $1: $3"
        cat "$work/out"
        failures=$((failures + 1))
    fi
}

fresh_copy
if ! judge; then
    echo "the tree itself is refused:"
    cat "$work/out"
    exit 1
fi

# Rooms, downwards only.
breaks auth/jws.c direction '#include "gateway/request.h"'
breaks auth/jws.c direction '#include "handlers/money.h"'
breaks config/config.c direction '#include "auth/policy.h"'
breaks config/config.c direction '#include "gateway/shared.h"'
breaks gateway/router.c direction '#include "handlers/routes.h"'
breaks gateway/main.c direction '#include "handlers/money.h"'
breaks gateway/request.c direction '  #  include "handlers/routes.h" // in other clothes'

# Libraries, also behind headers of ours.
breaks auth/jws.c h2o '#include <h2o.h>'
breaks auth/jws.c libevent '#include <event2/event.h>'
breaks auth/jws.c libpq '#include <libpq-fe.h>'
breaks config/config.c libpq '#include <postgresql/libpq-fe.h>'
breaks config/config.c libevent '#include <event.h>'
breaks handlers/sales.c h2o '#include <h2o.h>'
breaks handlers/sales.c h2o '#include "gateway/h2o_include.h"'
breaks handlers/sales.c h2o '#include "gateway/worker.h"'
breaks handlers/sales.c libevent '#include <event2/buffer.h>'
breaks handlers/sales.c libpq '#include <libpq-fe.h>'
breaks gateway/request.c libpq '#include <libpq-fe.h>'
breaks gateway/reply.c libpq '#include "gateway/db_conn.h"'
breaks gateway/router.c libevent '#include <event2/event.h>'
breaks gateway/main.c libevent '#include <event2/event.h>'
breaks gateway/worker.c h2o '#include <h2o/http2.h>'
breaks gateway/worker.c "one loop" '#include <event2/event.h>'
breaks gateway/master.c "one loop" '#include "gateway/h2o_include.h"'
breaks gateway/master.c "one loop" '#include "gateway/worker.h"'
breaks gateway/router.h h2o '#include <h2o.h>'
breaks auth/policy.h libpq '#include <libpq-fe.h>'

# Only what talks to Redis sees hiredis.
breaks gateway/rate_limit.c hiredis '#include <hiredis/hiredis.h>'
breaks config/redis_uri.c hiredis '#include <hiredis/read.h>'

# Only mint/ uses libjwt, and only the command line and the development issuer use mint/.
breaks auth/jws.c libjwt '#include <jwt.h>'
breaks handlers/sales.c libjwt '#include <jwt.h>'
breaks gateway/authenticate.c libjwt '#include <jwt.h>'
breaks gateway/token_command.c libjwt '#include <jwt.h>'
breaks mint/token.h libjwt '#include <jwt.h>' gateway/token_command.c
breaks dev/issuer/serve.c libjwt '#include <jwt.h>'
breaks auth/verifier.c direction '#include "mint/token.h"'
breaks gateway/authenticate.c direction '#include "mint/token.h"'
breaks gateway/main.c direction '#include "mint/token.h"'
breaks gateway/worker.c direction '#include "gateway/token_command.h"'
breaks handlers/sales.c direction '#include "gateway/token_command.h"'
breaks mint/token.c direction '#include "auth/jws.h"'
breaks dev/issuer/main.c direction '#include "auth/jws.h"'

# Forms that would hide an include.
breaks gateway/router.c include '#include ROUTER_HEADER'
breaks gateway/router.c include '#include "base.h"'
breaks gateway/router.c include '#include "gateway/../handlers/routes.h"'

# Texts.
breaks handlers/sales.c sql 'static const char *q = "SELECT total FROM transactions";'
breaks handlers/sales.c sql 'static const char *q = "INSERT " "INTO sales VALUES (1)";'
breaks gateway/db.c sql 'static const char *q = "set statement_timeout = 5";'
breaks gateway/db.c sql 'static const char *q = "delete\n  from sales";'
breaks gateway/router.c length "$(yes '//' | head -n 701)"
breaks gateway/odd.c spdx '// odd: nobody knows whose it is'
breaks dev/odd.sh spdx 'echo odd'
breaks gateway/router.c machine "// see /wor""k/notes"
breaks dev/lib.sh machine "mirror=http://deb.debia""n.org/debian"
breaks dev/lib.sh machine "image=docke""r.io/library/x"

{
    echo '// SPDX-License-Identifier: Apache-2.0'
    echo '#include <string.h>'
    tail -n +2 "$work/tree/gateway/router.c"
} >"$work/router.c"
cp "$work/router.c" "$work/tree/gateway/router.c"
expect gateway/router.c "own header" "another include before its own header"
fresh_copy

# And what is no violation stays none.
{
    echo '// #include <h2o.h>, "SELECT a FROM b" in a comment'
    echo '/* #include "gateway/worker.h" */'
    echo 'static const char *t = "Update the set of rows you select from.";'
} >>"$work/tree/handlers/money.c"
if ! judge; then
    echo "refused without reason:"
    cat "$work/out"
    failures=$((failures + 1))
fi

[ "$failures" -eq 0 ] || exit 1
