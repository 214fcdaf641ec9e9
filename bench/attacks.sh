#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures what honest clients feel of HTTP/2 attacks (FAULTS H1: p99 < 2x); README.md tells what the
# figures mean.
#
#   make build build/tillway-issuer && dev/install.sh run bench && bench/attacks.sh
#   BENCH_ATTACKS="rapid_reset ping"      which kinds; see attacks.py
#   BENCH_ATTACK_ROUNDS=3                 how often each is measured
#   BENCH_ATTACKS_PER_SECOND=10           connections of the attacker, one after the other
#
# One worker; the attacker comes back for as long as it is measured. The figures go
# to standard output, the same as JSON to var/bench/attacks.json. They are told, not judged: attacker,
# clients, gateway and database share the machine.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=setting.sh
. "$bench/setting.sh"

kinds=${BENCH_ATTACKS:-rapid_reset window_update_of_0 ping settings empty_data continuation hpack_bomb}
rounds=${BENCH_ATTACK_ROUNDS:-3}
promised_ratio=2
pid="" attacker_pid=""

# shellcheck disable=SC2317  # called at the end
pids_to_end() { printf '%s\n' "$attacker_pid" "$pid"; }

# p99 in us of 400 honest requests a second for 3 s, beside an attack of kind $1 (or none).
p99_beside() {
    [ "$1" = none ] || {
        /usr/bin/python3 -B "$bench/attacks.py" "$1" "$http_port" "$token" >"$work/attacker.log" 2>&1 &
        attacker_pid=$!
        sleep 0.5
    }
    h2load --h1 -c 4 -m 1 --rps 100 -D 3 --log-file="$work/latencies" \
        -H "authorization: Bearer $token" "http://127.0.0.1:$http_port/v1/me" >"$work/h2load.log"
    [ -z "$attacker_pid" ] || {
        kill "$attacker_pid" || fail "the attacker has gone: $(tail -n 1 "$work/attacker.log")"
        wait "$attacker_pid" || true
        attacker_pid=
    }
    awk '$2 != 200 { exit 1 }' "$work/latencies" || fail "an honest client was refused"
    awk '{ print $3 }' "$work/latencies" | sort -n |
        awk '{ us[NR] = $1 } END { print us[int((NR - 1) * 0.99) + 1] }'
    rm -f -- "$work/latencies"
}

[[ $rounds =~ ^[1-9][0-9]?$ ]] || fail "'$rounds' is not a number from 1 to 99 (BENCH_ATTACK_ROUNDS)"
begin attacks
http_port=$(port_free)
admin_port=$(other_port "$http_port")
basic_config "$http_port" "$admin_port" 1 4 >"$work/config.yaml"
migrate "$work/config.yaml"
start_gateway "$work/config.yaml" "$work/gateway.log" "$admin_port"
for ((i = 0; i < rounds; i++)); do # in turns, so that a slow minute meets all
    for kind in none $kinds; do
        p99_beside "$kind" >>"$work/p99.$kind"
    done
done
quiet=$(sort -n "$work/p99.none" | head -n 1)
echo "p99 of honest requests: $quiet us when it is quiet; beside"
json=$(printf '{"quiet_us":%d' "$quiet")
for kind in $kinds; do
    one=$(sort -n "$work/p99.$kind" | head -n 1)
    awk -v a="$one" -v b="$quiet" -v kind="$kind" -v promise=$promised_ratio \
        'BEGIN { printf "  %-20s %6d us, %.2fx (promise: < %dx)\n", kind, a, a / b, promise }'
    json+=$(printf ',"%s_us":%d' "$kind" "$one")
done
printf '%s}\n' "$json" >"$var/attacks.json"
