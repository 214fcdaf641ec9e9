#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the unit tests' programs of one build, from the top of the tree.
#
#   tests/run-unit.sh BUILD          build, or build/asan
#
# One line per program, the whole output of those that fail, and a last line "N passed, N failed".
# A program that dies or exits with a code other than 0 although all its tests passed (a sanitizer's
# verdict comes at the end) counts as one failure more. Full output: build/test-logs/unit-*.log
set -uo pipefail

build=${1:?usage: tests/run-unit.sh BUILD}
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1

logs=build/test-logs/unit-${build//\//-}
corpora=${TILLWAY_CORPORA:-$PWD/../shared/corpora}
[ ! -d "$corpora" ] || export TILLWAY_CORPORA=$corpora
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
rm -rf -- "$logs"
mkdir -p -- "$logs"

# How many lines of file $2 begin with cmocka's mark [ $1 ], its summary left out: that names the
# skipped tests once more.
marks() {
    sed '/test(s) run\.$/,$d' "$2" | grep -c "^\[ *$1 *\]" || true
}

total_passed=0 total_failed=0 total_skipped=0
for program in "$build"/unit/test_*; do
    case $program in *.d | *'*') continue ;; esac
    name=${program##*/}
    log=$logs/$name.log
    began=${EPOCHREALTIME/./}
    timeout --kill-after=5 120 "$program" >"$log" 2>&1 </dev/null
    code=$?
    took=$(((${EPOCHREALTIME/./} - began) / 1000))
    passed=$(marks OK "$log")
    skipped=$(marks SKIPPED "$log")
    failed=$(($(marks RUN "$log") - passed - skipped))
    [ "$code" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    if [ $((passed + failed + skipped)) -eq 0 ]; then # it ran nothing
        failed=1
    fi
    verdict=ok
    [ "$failed" -eq 0 ] || verdict=FAILED
    [ "$skipped" -eq 0 ] || verdict+=" ($skipped skipped)"
    printf '%-8s %-32s %3d tests, %5d ms\n' "$verdict" "$name" $((passed + failed + skipped)) "$took"
    if [ "$failed" -gt 0 ]; then
        echo "-------- $program: exit code $code"
        sed 's/^/         /' "$log"
    fi
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
    total_skipped=$((total_skipped + skipped))
done

if [ $((total_passed + total_failed + total_skipped)) -eq 0 ]; then
    echo "FAILED   no test programs in $build/unit: make -f build.mk BUILD=$build unit"
    total_failed=1
fi
tail=
[ "$total_skipped" -eq 0 ] || tail=", $total_skipped skipped"
echo "$total_passed passed, $total_failed failed$tail"
[ "$total_failed" -eq 0 ]
