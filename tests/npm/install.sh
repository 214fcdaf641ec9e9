#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what package-lock.json names into tests/npm/node_modules, for the tests that need Node.
#
#   tests/npm/install.sh
#
# Silent and quick when that is there already: a copy of the lock file inside says what is installed,
# and it is written last. New versions: edit package.json, then
# `npm install --package-lock-only` in this directory (.npmrc keeps download addresses out).
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

node_least=18
stamp=node_modules/.installed-lock
log=../../build/test-logs/npm.log

fail() {
    printf 'tillway: %s\n' "$*" >&2
    exit 1
}

is_installed() {
    cmp -s -- package-lock.json "$stamp"
}

for program in node npm; do
    command -v "$program" >/dev/null || fail "$program is not here: dev/install.sh npm"
done
node=$(node -p process.versions.node) || fail "node does not run"
[ "${node%%.*}" -ge "$node_least" ] || fail "the tests need node $node_least or later, this is $node"

! is_installed || exit 0

mkdir -p -- "${log%/*}"
exec 9>"$log.lock" # two runs in one checkout
flock 9
! is_installed || exit 0

echo "tillway: installing the tests' npm packages" >&2
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >"$log" 2>&1 </dev/null ||
    fail "npm could not install the tests' packages: $(grep -m 1 -i 'error' "$log" ||
        tail -n 1 "$log") (all of it: build/test-logs/npm.log)"
cp -- package-lock.json "$stamp.new"
mv -- "$stamp.new" "$stamp"
