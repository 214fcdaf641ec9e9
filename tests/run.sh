#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs test suites on what is built already (make test builds first), and counts them.
#
#   tests/run.sh all                 everything that CI checks
#   tests/run.sh unit|e2e            the unit tests; the end-to-end tests on TILLWAY_BIN (build/tillway)
#   tests/run.sh conformance         other people's corpora, from TILLWAY_CORPORA (../shared/corpora)
#   tests/run.sh e2e -k sale         ... with words for pytest
#
# One line per suite, the output of those that fail, and as the last line "N passed, N failed"; the
# exit code says the same. Everything that a suite wrote stays under build/test-logs. PostgreSQL is
# private to the run, in var/test-run-*; whatever was started is stopped at the end, also on Ctrl-C
# and SIGTERM, and what a run that was killed has left is removed by the next one.
# Suites run two or three at a time: they wait more than they work. The end-to-end tests under the sanitizers
# have wide limits of time and a PostgreSQL of their own; so what they do meets nobody else's.
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source-path=SCRIPTDIR source=../dev/lib.sh
. dev/lib.sh

what=${1:-}
case $what in
all | conformance | e2e | unit) shift ;;
*)
    echo "usage: tests/run.sh all|conformance|e2e|unit [words for pytest]" >&2
    exit 2
    ;;
esac
words=("$@")

python=/usr/bin/python3 # Debian's, which sees Debian's pytest and libraries
suite_timeout_s=4200 # nearly four times what the longest takes on two good cores
logs=$PWD/build/test-logs
corpora=${TILLWAY_CORPORA:-$PWD/../shared/corpora}
work=

export LC_ALL=C.UTF-8
if [ -d "$corpora" ]; then export TILLWAY_CORPORA=$corpora; else unset TILLWAY_CORPORA; fi
export TILLWAY_BIN=${TILLWAY_BIN:-build/tillway}

declare -A pid_of began_of # of the suites that run
passed=0 failed=0 skipped=0

# ---- what must not be left behind ----------------------------------------------------------------

remove_work() {
    local dir=$1
    local pg
    for pg in "$dir"/pg "$dir"/pg-asan; do
        if [ -e "$pg" ] || [ -L "$pg" ]; then
            dev/postgres.sh remove "$pg" >>"$logs/postgres.log" 2>&1
        fi
    done
    rm -rf -- "$dir"
}

finish() {
    trap '' INT TERM HUP
    trap - EXIT
    local name
    for name in "${!pid_of[@]}"; do # timeout(1) passes it on to the suite's whole group
        kill -TERM "${pid_of[$name]}" 2>/dev/null || true
    done
    for name in "${!pid_of[@]}"; do
        wait "${pid_of[$name]}"
    done
    [ -z "$work" ] || remove_work "$work"
}
trap finish EXIT
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM HUP

make_work() {
    local dir
    mkdir -p -- "$logs" var
    for dir in var/test-run-*; do
        [ ! -d "$dir" ] || pid_alive "$dir/owner" >/dev/null || remove_work "$dir"
    done
    work=$(mktemp -d "$PWD/var/test-run-XXXXXX")
    chmod 711 -- "$work" # PostgreSQL's account passes through
    pid_write "$work/owner" $$
}

# ---- suites --------------------------------------------------------------------------------------

# start NAME COMMAND...: in the background, into its log.
start() {
    local name=$1
    shift
    began_of[$name]=${EPOCHREALTIME/./}
    timeout --kill-after=30 "$suite_timeout_s" "$@" >"$logs/$name.log" 2>&1 </dev/null &
    pid_of[$name]=$!
}

# end NAME: waits, counts, prints its line, and what it said when something failed. A suite's last
# line "N passed, N failed[, N skipped]" counts; one that ends without such a line is a failure.
end() {
    local name=$1 code=0 line p=0 f=0 s=0 ms verdict=ok
    wait "${pid_of[$name]}" || code=$?
    unset "pid_of[$name]"
    ms=$(((${EPOCHREALTIME/./} - ${began_of[$name]}) / 1000))
    line=$(tail -n 1 -- "$logs/$name.log")
    [ ! -s "$logs/$name.xml" ] || line=$(summary "$logs/$name.xml")
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]} s=${BASH_REMATCH[4]:-0}
        [ "$code" -eq 0 ] || [ "$f" -gt 0 ] || f=1
    elif [ "$code" -eq 0 ] && [ "$name" = lint ]; then
        p=1
    else
        f=1
    fi
    [ "$f" -eq 0 ] || verdict=FAILED
    printf '%-7s %-9s %4d passed, %2d failed, %2d skipped  %3d.%d s\n' "$verdict" "$name" \
        "$p" "$f" "$s" $((ms / 1000)) $((ms % 1000 / 100))
    [ "$f" -eq 0 ] || show_failure "$name" "$code"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

show_failure() {
    local log=$logs/$1.log
    [ "$2" -ne 124 ] || echo "        $1 took longer than $suite_timeout_s s"
    sed -n '/^=* \(FAILURES\|ERRORS\) =*$/,$p' -- "$log" >"$log.failures"
    [ -s "$log.failures" ] || cp -- "$log" "$log.failures"
    tail -n 500 -- "$log.failures" | sed 's/^/        /'
    rm -f -- "$log.failures"
    echo "        (all of it: ${log#"$PWD/"})"
}

# start_pytest NAME WORDS...: pytest without a shell between, so that a signal reaches it and the end
# is its own.
start_pytest() {
    local name=$1
    shift
    rm -f -- "$logs/$name.xml"
    start "$name" "$python" -B -m pytest -p no:cacheprovider -q --tb=short --durations=15 \
        --junitxml="$logs/$name.xml" --basetemp="$work/tmp-$name" "$@"
}

# pytest's report as our kind of line.
summary() {
    "$python" - "$1" <<'END'
import sys, xml.etree.ElementTree as tree
suites = list(tree.parse(sys.argv[1]).getroot().iter("testsuite"))
n, failed, errors, skipped = (sum(int(s.get(k)) for s in suites)
                              for k in ("tests", "failures", "errors", "skipped"))
bad = failed + errors
print("%d passed, %d failed, %d skipped" % (max(n - bad - skipped, 0), bad, skipped))
END
}

# start_postgres NAME: at $work/NAME, with a database for the SQL tests.
start_postgres() {
    dev/postgres.sh start "$work/$1" >>"$logs/postgres.log" 2>&1 &&
        dev/postgres.sh createdb "$work/$1" sql_tests >>"$logs/postgres.log" 2>&1 && return
    tail -n 20 -- "$logs/postgres.log" >&2
    echo "the private PostgreSQL did not start (its last lines are above)" >&2
    echo "0 passed, 1 failed"
    exit 1
}

# start_e2e NAME BINARY POSTGRES [words for pytest]
start_e2e() {
    local name=$1
    TILLWAY_BIN=$2 TILLWAY_TEST_POSTGRES=$work/$3 TILLWAY_TEST_LOGS=$logs/$name start_pytest "$name" \
        tests/e2e "${@:4}"
}

# What is not there is skipped; its log says so.
start_conformance() {
    TILLWAY_TEST_POSTGRES=$work/pg TILLWAY_TEST_LOGS=$logs/conformance start_pytest conformance -rs \
        tests/conformance "$@"
}

# ---- the run -------------------------------------------------------------------------------------

make_work
began=$SECONDS
case $what in
unit)
    start unit tests/run-unit.sh build
    end unit
    ;;
conformance)
    start_postgres pg
    start_conformance "${words[@]}"
    end conformance
    grep '^SKIPPED' -- "$logs/conformance.log"
    ;;
e2e)
    start_postgres pg
    start_e2e e2e "$TILLWAY_BIN" pg "${words[@]}"
    end e2e
    ;;
all)
    start_postgres pg-asan
    start_e2e e2e-asan build/asan/tillway pg-asan # the longest: first
    [ ! -x tests/lint/run.sh ] || start lint nice -n 19 tests/lint/run.sh
    start_postgres pg
    start unit tests/run-unit.sh build
    end unit
    start unit-asan tests/run-unit.sh build/asan
    start sql tests/sql/run.sh "$(dev/postgres.sh url "$work/pg" sql_tests)"
    end unit-asan
    end sql
    start_e2e e2e build/tillway pg
    [ -z "${pid_of[lint]:-}" ] || end lint
    end e2e
    TILLWAY_MASTER_HARNESS=$PWD/build/master-harness start_pytest master tests/master
    start_conformance
    end master
    start instructions bench/instructions.py
    end conformance
    end instructions
    end e2e-asan
    ;;
esac

finish
echo "took $((SECONDS - began)) s; logs in build/test-logs"
more=
[ "$skipped" -eq 0 ] || more=", $skipped skipped"
echo "$passed passed, $failed failed$more"
[ "$failed" -eq 0 ]
