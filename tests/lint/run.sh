#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `make lint` looks at; needs build/tillway and the packages of `dev/install.sh build lint`.
#
# One line per check with its time, its findings indented below; the last line and the exit code
# say whether all is well. Checks the tracked files as they are in the work tree.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

cache=build/lint-cache
mkdir -p "$cache"
find "$cache" -type f -mtime +30 -delete
failed=0

# check NAME COMMAND...: runs it, prints one line, and what it said when it failed.
check() {
    local name=$1 begin=$EPOCHREALTIME out verdict=ok ms
    shift
    if ! out=$("$@" 2>&1); then
        verdict=FAILED
        failed=$((failed + 1))
    fi
    ms=$(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))
    printf 'lint: %-12s %-6s %3d.%d s\n' "$name" "$verdict" $((ms / 1000)) $((ms % 1000 / 100))
    [ "$verdict" = ok ] || printf '%s\n' "$out" | sed 's/^/    /'
}

# tracked PATTERN...: the tracked files of that kind which are there.
tracked() {
    local name
    git ls-files -- "$@" | while IFS= read -r name; do
        [ ! -f "$name" ] || printf '%s\n' "$name"
    done
}

# ---- the checks ---------------------------------------------------------------------------------

format() {
    tracked '*.c' '*.h' | xargs clang-format --dry-run -Werror
}

directions() {
    /usr/bin/python3 tests/lint/directions.py
}

self_test() {
    tests/lint/test_directions.sh
}

static_check() {
    tracked '*.c' | xargs cppcheck --enable=warning,performance,portability --inline-suppr \
        --suppressions-list=<(grep -v '^#' tests/lint/cppcheck.suppress) --error-exitcode=1 \
        --std=c11 --quiet -j2 -I. -Ibuild \
        --template='{file}:{line}: {severity}: {message} [{id}]'
}

tidy() {
    local flags
    flags=$(make -s -f build.mk print-cflags) || return 1
    # shellcheck disable=SC2086  # flags are words
    tracked 'gateway/*.c' 'handlers/*.c' 'auth/*.c' 'config/*.c' 'mint/*.c' 'tests/unit/*.c' |
        xargs -P2 -I{} tests/lint/tidy.sh "$cache" {} $flags
}

shell_scripts() {
    {
        tracked '*.sh'
        git grep -lE '^#!.*\b(ba|da)?sh\b' -- ':!*.sh' ':!*.patch' ':!*.md'
    } | xargs shellcheck
}

# reference COMMAND FILE: what the program says of itself is what the document says.
reference() {
    [ -f "$2" ] || return 0
    if ! diff -u --label "$2" --label "build/tillway $1" "$2" <(build/tillway "$1"); then
        echo "$2 is stale: make docs"
        return 1
    fi
}

# The table of the README has every route, in a row of the role that it asks for.
endpoints() {
    local method path role verdict=0
    while read -r method path role; do
        [ "$role" != any ] || role="any valid token"
        if ! grep -F -- "$path\`" README.md | grep -F -- "\`$method" | grep -qF -- "| $role |"; then
            echo "README.md has no row with $method $path for: $role"
            verdict=1
        fi
    done < <(build/tillway routes)
    return "$verdict"
}

documents() {
    local verdict=0
    reference options docs/configuration.md || verdict=1
    reference errors docs/errors.md || verdict=1
    reference metrics docs/metrics.md || verdict=1
    endpoints || verdict=1
    return "$verdict"
}

check format format
check directions directions
check self-test self_test
check documents documents
check shellcheck shell_scripts
check cppcheck static_check
check clang-tidy tidy

if [ "$failed" -gt 0 ]; then
    echo "lint: $failed of 7 checks failed"
    exit 1
fi
echo "lint: all 7 checks passed"
