#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the development environment in the foreground (make run): the gateway's log on the terminal,
# and, once it is ready, a token and a curl line. Ctrl-C stops everything that this has started.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/stack.sh"

# shellcheck disable=SC2317  # called by the trap
finish() {
    local status=$?
    trap '' INT TERM HUP # a second Ctrl-C must not cut the stopping short
    trap - EXIT
    set +e # nor must a terminal that has gone
    [ "${#started[@]}" -eq 0 ] || say "stopping"
    stop_started
    exit "$status"
}

make_directories
lock
! pid_alive "$var/run/gateway.pid" >/dev/null || fail "it already runs: make dev-down first"
check_ports
prepare
trap finish EXIT
interrupted=
trap 'interrupted=1; exit 0' INT TERM HUP
start_surroundings
start_gateway
unlock
wait_ready || fail "not started (the gateway's lines are above)"
print_welcome
status=0
wait "$gateway_pid" || status=$?
[ -n "$interrupted" ] || say "the gateway has ended with status $status"
exit "$status"
