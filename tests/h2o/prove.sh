#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Proves the patches of deps/h2o (make prove-h2o): builds the library without
# and with them, the server hello.c on each, and runs every attack against both.
#
#   tests/h2o/prove.sh [DIR]        DIR: where to build (build/prove-h2o)
#
# H2O_SANITIZE=1 builds the patched side with sanitizers. One line per case,
# the last line is "N passed, N failed".

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "${1:-$root/build/prove-h2o}"
dir=$(cd "${1:-$root/build/prove-h2o}" && pwd)

python=/usr/bin/python3 # Debian's, which sees python3-hyperframe and python3-hpack
"$python" -c 'import hpack, hyperframe' 2>/dev/null || {
    echo "prove-h2o: apt-get install python3-hyperframe python3-hpack" >&2
    exit 1
}

export H2O_DISTFILES=${H2O_DISTFILES:-$dir/dist}
sanitize=${H2O_SANITIZE:-}
H2O_SANITIZE='' H2O_PATCHES=none "$root/deps/h2o/build.sh" "$dir/unpatched"
H2O_SANITIZE=$sanitize H2O_PATCHES=all "$root/deps/h2o/build.sh" "$dir/patched"

# flag NAME VARIANT: a variable of the flags.mk of that build
flag() { sed -n "s/^$1 := //p" "$dir/$2/flags.mk"; }

for variant in unpatched patched; do
    read -ra cflags <<<"$(flag H2O_CFLAGS "$variant")"
    read -ra libs <<<"$(flag H2O_LIBS "$variant")"
    "${CC:-cc}" -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIE -pie "${cflags[@]}" \
        "$here/hello.c" "${libs[@]}" -o "$dir/hello-$variant"
done

TILLWAY_H2O_HELLO=$dir/hello-patched TILLWAY_H2O_HELLO_UNPATCHED=$dir/hello-unpatched \
    exec "$python" -B "$here/cases.py"
