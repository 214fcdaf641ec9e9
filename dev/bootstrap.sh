#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make, on a machine that may not have make yet:   dev/bootstrap.sh run
# Installs what building needs when make is absent, then becomes `make "$@"` at the top of the tree.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
command -v make >/dev/null 2>&1 || "$here/install.sh" build
exec make --no-print-directory -C "$here/.." "$@"
