# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the benchmarks in bash share: a private database and issuer, gateways of their own, and
# the end of all that was started. To be sourced, with $bench set, and $bench_var for another place
# than var/bench. The caller has a function pids_to_end, which prints what still runs, in the order
# in which it is to end.

export TILLWAY_VAR=${BENCH_VAR:-$bench/../var/${bench_var:-bench}}
unset TILLWAY_ISSUER_PORT CONFIG
# shellcheck source-path=SCRIPTDIR source=../dev/stack.sh
. "$bench/../dev/stack.sh"

binary=${TILLWAY_BIN:-$root/build/tillway}

# shellcheck disable=SC2317  # called by the trap
finish() {
    local status=$? one
    trap '' INT TERM HUP
    trap - EXIT
    for one in $(pids_to_end); do
        kill "$one" 2>/dev/null || continue
        kill -CONT "$one" 2>/dev/null || true # one that was stopped hears it only then
        wait "$one" || true
    done
    stop_started
    rm -rf -- "$work"
    exit "$status"
}

# begin NAME: the files in $work, the database at $url, the issuer at $issuer, a cashier's $token.
begin() {
    work=$var/$1
    make_directories
    trap finish EXIT
    trap 'exit 130' INT TERM HUP
    rm -rf -- "$work"
    mkdir -m 700 -- "$work"
    start_postgres
    start_issuer
    issuer=$(<"$var/issuer/issuer")
    url=$("$here/postgres.sh" url "$var/postgres")
    token=$("$here/token.sh")
}

# A free port that is none of these.
other_port() {
    local port
    port=$(port_free)
    while [[ " $* " = *" $port "* ]]; do port=$(port_free); done
    echo "$port"
}

# basic_config HTTP_PORT ADMIN_PORT WORKERS [CONNECTIONS]: a gateway's file so far; it ends within
# `auth`. Given time to connect, and no filter of system calls, for valgrind.
basic_config() {
    cat <<END
listen: [{address: 127.0.0.1, port: $1}]
admin: {address: 127.0.0.1, port: $2}
workers: $3
seccomp: "off"
db: {url: "$url", max_connections: ${4:-$((3 * $3))}, connect_timeout: 60s}
cache: {size: ${bench_cache:-0}}
auth:
  issuers: [{issuer: "$issuer", jwksUri: "$issuer/.well-known/jwks.json", audience: [tillway-pos], tokenUse: [access]}]
END
}

migrate() {
    (gateway "$binary" migrate -c "$1") >&2 || fail "tillway migrate failed"
}

is_ready_at() {
    curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:$1/readyz" >/dev/null 2>&1
}

# start_gateway FILE LOG ADMIN_PORT [words before it]: returns when it is ready; its pid is $pid.
start_gateway() {
    local file=$1 log=$2 port=$3 until=$((SECONDS + ready_timeout_s))
    shift 3
    (gateway "$@" "$binary" -c "$file") >"$log" 2>&1 </dev/null &
    pid=$!
    until is_ready_at "$port"; do
        if ! process_start "$pid" >/dev/null || [ "$SECONDS" -ge "$until" ]; then
            tail -n 20 -- "$log" >&2
            fail "the gateway did not start (its last lines are above)"
        fi
        sleep 0.05
    done
}
