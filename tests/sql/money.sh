#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A million random baskets, or TILLWAY_BASKETS, on a private PostgreSQL (tests/sql/money_random.sql).
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
mkdir -p var
work=$(mktemp -d "$PWD/var/money-XXXXXX")
chmod 711 -- "$work"
finish() {
    dev/postgres.sh remove "$work/pg" >/dev/null 2>&1 || true
    rm -rf -- "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
dev/postgres.sh start "$work/pg" >/dev/null
dev/postgres.sh createdb "$work/pg" money >/dev/null
export TILLWAY_BASKETS=${TILLWAY_BASKETS:-1000000}
tests/sql/run.sh "$(dev/postgres.sh url "$work/pg" money)" money_random
