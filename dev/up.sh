#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Starts the development environment in the background (make dev-up); back when /readyz is 200.
# When it is already up it says so and changes nothing. When it cannot get ready it shows the end
# of the log, stops what it has started and fails.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/stack.sh"

# Ports or a file that differ from what runs would be ignored silently: refused.
already_up() {
    local http https admin config asked
    pid_alive "$var/run/gateway.pid" >/dev/null || return 1
    read -r http https admin config <"$var/run/settings"
    asked="${TILLWAY_HTTP_PORT:-$http} ${TILLWAY_HTTPS_PORT:-$https} ${TILLWAY_ADMIN_PORT:-$admin}"
    [ "$asked ${config_extra:-$config}" = "$http $https $admin $config" ] ||
        fail "already up with other ports or another CONFIG: make dev-down first"
    http_port=$http https_port=$https admin_port=$admin
}

make_directories
lock
if already_up; then
    start_postgres # either may have been stopped, or died
    start_issuer
    wait_ready || fail "it runs but is not ready: see $var/log/gateway.log, or make dev-down"
    say "already up"
    print_welcome
    exit 0
fi

check_ports
prepare
trap stop_started EXIT
trap 'exit 130' INT TERM HUP
start_surroundings
start_gateway >"$var/log/gateway.log" 2>&1
if ! wait_ready; then
    tail -n 30 -- "$var/log/gateway.log" >&2
    fail "not started (the gateway's last lines are above)"
fi
trap - EXIT
print_welcome
