#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Prints the id that a sample product has (db/sample/load.sql):   dev/product-id.sh BEV-0001
set -euo pipefail

[ $# -eq 1 ] || {
    echo "usage: dev/product-id.sh SKU" >&2
    exit 2
}
hash=$(printf 'tillway/sample/%s' "$1" | md5sum)
echo "${hash:0:8}-${hash:8:4}-8${hash:13:3}-a${hash:17:3}-${hash:20:12}"
