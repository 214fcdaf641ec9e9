#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Stops the development environment (make dev-down): gateway, issuer, PostgreSQL. Data, keys and
# logs stay. Harmless when nothing runs. Only processes whose pid and start time are ours are
# touched.
set -euo pipefail

unset CONFIG
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/stack.sh"

[ -d "$var/run" ] || [ -d "$var/postgres" ] || exit 0
make_directories
lock
for part in gateway issuer postgres; do
    stop_part "$part"
done
rm -f -- "$var/run/issuer.ready"
