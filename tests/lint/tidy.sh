#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy for one file, unless it found nothing in the very same text before.
#
#   tests/lint/tidy.sh CACHE FILE [FLAG]...
#
# CACHE holds an empty file for each clean result, named by a hash of all that the result depends
# on: the preprocessed text (with comments, for NOLINT), the flags, our settings, the program.
set -euo pipefail

cache=$1 file=$2
shift 2

checks=$(awk -v file="$file" '$1 == file { printf ",-%s", $2 }' tests/lint/clang-tidy.except)
key=$({
    clang -E -C "$@" "$file"
    printf '%s\n' "$file" "$checks" "$@"
    clang-tidy --version
    clang-tidy --dump-config "$file" --
} 2>&1 | sha256sum)
key=$cache/${key%% *}

if [ -e "$key" ]; then
    touch "$key" # used again: not to be cleaned away
    exit 0
fi
if ! clang-tidy --quiet ${checks:+"--checks=$checks"} "$file" -- "$@" 2>"$key.err"; then
    grep -E 'error: ' "$key.err" || true # what the compiler itself has to say
    rm -f "$key.err"
    exit 1
fi
rm -f "$key.err"
touch "$key"
