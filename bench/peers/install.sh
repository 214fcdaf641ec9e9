#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the peers named as words need: npm packages of package-lock.json, Debian's nginx and haproxy.
#
#   bench/peers/install.sh fastify express bun nginx haproxy
#
# Silent and quick when that is there already: a copy of the lock file inside node_modules says so. New
# versions: edit package.json, then `npm install --package-lock-only` in this directory (.npmrc keeps
# download addresses out).
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

stamp=node_modules/.installed-lock

fail() {
    printf 'tillway: %s\n' "$*" >&2
    exit 1
}

[ $# -gt 0 ] || exit 0
../../dev/install.sh npm
case " $* " in *" nginx "* | *" haproxy "*) ../../dev/install.sh peers ;; esac
! cmp -s -- package-lock.json "$stamp" || exit 0
echo "tillway: installing the peers' npm packages" >&2
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 </dev/null ||
    fail "npm could not install the peers' packages (see above)"
cp -- package-lock.json "$stamp.new"
mv -- "$stamp.new" "$stamp"
