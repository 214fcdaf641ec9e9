#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Prints one bearer token of the development issuer, and nothing else:
#
#   make token [ROLE=cashier] [STORE=main] [WHO=ana] [USE=access|id] [TTL=43200]
#
# ROLE may be a list with commas, or `none`. WHO is the user name; each has one subject.
set -euo pipefail

unset CONFIG
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/stack.sh"

[ -r "$var/issuer/issuer" ] || fail "there is no development issuer yet: make dev-up first"
role=${ROLE:-cashier}
case $role in
cashier) who=ana ;;
manager) who=maria ;;
admin) who=ada ;;
*) who=alex ;;
esac
exec "$root/build/tillway-issuer" token --dir "$var/issuer" --role "$role" --store "${STORE-main}" \
    --username "${WHO:-$who}" --use "${USE:-access}" --ttl "${TTL:-43200}"
