#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Lets libFuzzer search each target of tests/fuzz/targets.h under ASan and UBSan.
#
#   tests/fuzz/run.sh [TARGET...]        SECONDS_EACH=60 by default
#
# Starts from the committed corpus; what is new lies in build/fuzz/corpus afterwards. An input that
# breaks a promise is kept as tests/fuzz/corpus/TARGET/crash-*: commit it with the mend, and the
# unit tests replay it for ever. With KEEP=1 the corpus is replaced by the least set of files that
# reaches all that was reached. Last line: "N passed, N failed".
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

seconds_each=${SECONDS_EACH:-60}
out=build/fuzz
mkdir -p "$out"
mapfile -t all < <(sed -n 's/^ *XX(\([a-z_]*\)).*/\1/p' tests/fuzz/targets.h | grep -v '^name$')
[ $# -gt 0 ] || set -- "${all[@]}"

# Only what the targets need: of h2o its parser of HTTP/1, with our patches; no libevent, no libpq.
sources=(auth/*.c config/*.c gateway/{base,status,router,client_address,discovery,freshness}.c
    gateway/{proxy_header,json_out,uuid,negotiate}.c handlers/{json_text,money,params,schema}.c
    tests/fuzz/{targets,http1}.c build/h2o/src/deps/picohttpparser/picohttpparser.c)
make --no-print-directory -f build.mk build/gen/statements.h build/h2o/flags.mk >/dev/null
read -ra more <<<"$(pkg-config --cflags jansson yaml-0.1 libcrypto)"
flags=(-std=gnu11 -g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined -I. -Ibuild
    -isystem build/h2o/include "${more[@]}")
libraries=$(pkg-config --libs jansson yaml-0.1 libcrypto)

objects=()
for source in "${sources[@]}"; do
    object=$out/obj/${source%.c}.o
    mkdir -p "${object%/*}"
    clang "${flags[@]}" -fsanitize=fuzzer-no-link,address,undefined -c "$source" -o "$object"
    objects+=("$object")
done

passed=0 failed=0
for target in "$@"; do
    corpus=tests/fuzz/corpus/$target found=$out/corpus/$target
    mkdir -p "$found" "$corpus"
    # shellcheck disable=SC2086 # words
    clang "${flags[@]}" -fsanitize=fuzzer,address,undefined -DTW_FUZZ_TARGET="tw_fuzz_$target" \
        tests/fuzz/entry.c "${objects[@]}" $libraries -lm -o "$out/$target"
    options=(-max_len=16384 -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1)
    if "$out/$target" "${options[@]}" -max_total_time="$seconds_each" \
        -artifact_prefix="$corpus/" "$found" "$corpus" >"$out/$target.log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$target.log")
        printf 'ok       %-14s %9d runs\n' "$target" "$runs"
        passed=$((passed + 1))
    else
        printf 'FAILED   %s (all of it: %s)\n' "$target" "$out/$target.log"
        tail -n 40 "$out/$target.log" | sed 's/^/         /'
        failed=$((failed + 1))
    fi
    if [ -n "${KEEP:-}" ]; then
        rm -rf "$out/least"
        mkdir -p "$out/least"
        "$out/$target" "${options[@]}" -merge=1 "$out/least" "$found" "$corpus" >/dev/null 2>&1
        find "$corpus" -type f ! -name 'crash-*' ! -name 'seed-*' -delete
        cp -n "$out/least/"* "$corpus/"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
