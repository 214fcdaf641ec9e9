#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages of the named purposes (dev/packages) that are missing.
#
#   dev/install.sh PURPOSE...          as root, or as a user who may use sudo
#
# Silent and quick when all is there. Everything goes to stderr: stdout stays the caller's.
set -euo pipefail

list=$(dirname "${BASH_SOURCE[0]}")/packages

fail() {
    printf 'tillway: %s\n' "$*" >&2
    exit 1
}

[ $# -gt 0 ] || fail "usage: dev/install.sh PURPOSE... (build run test npm browser lint bench peers image)"

wanted=()
for purpose in "$@"; do
    known=0
    while read -r name packages; do
        [ "$name" = "$purpose" ] || continue
        read -ra more <<<"$packages"
        known=1
        for package in "${more[@]}"; do
            case $package in
            *:*) command -v "${package%%:*}" >/dev/null || wanted+=("${package#*:}") ;;
            *) wanted+=("$package") ;;
            esac
        done
    done <"$list"
    [ "$known" -eq 1 ] || fail "dev/packages knows no purpose '$purpose'"
done
[ "${#wanted[@]}" -gt 0 ] || exit 0

if ! command -v dpkg-query >/dev/null; then
    printf 'tillway: this is not Debian, so nothing is installed; needed are: %s\n' "${wanted[*]}" >&2
    exit 0
fi

declare -A have=()
while read -r status package; do
    [ "$status" = installed ] && have[$package]=1
done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)

missing=()
for package in "${wanted[@]}"; do
    [ -n "${have[$package]:-}" ] && continue
    have[$package]=1 # named by two purposes: installed once
    missing+=("$package")
done
count=${#missing[@]}
[ "$count" -gt 0 ] || exit 0

noun=packages
[ "$count" -gt 1 ] || noun=package
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
        fail "$count Debian $noun missing and neither root nor sudo here: ${missing[*]}"
    as_root=(sudo)
fi

# The server package would start a cluster on port 5432 that nobody asked for. A drop-in says no
# for as long as this installation lasts; whoever installs PostgreSQL later gets the usual one. So it
# is with the services of pgbouncer, Prometheus, Alertmanager, nginx and haproxy, whose programs we want.
drop_in_dir=/etc/postgresql-common/createcluster.d
drop_in=$drop_in_dir/zz-tillway.conf
policy=/usr/sbin/policy-rc.d
our_policy=
undo() {
    "${as_root[@]}" rm -f -- "$drop_in" ${our_policy:+"$our_policy"}
    "${as_root[@]}" rmdir --ignore-fail-on-non-empty -- "$drop_in_dir" 2>/dev/null || true
}
trap undo EXIT

printf 'tillway: installing %d Debian %s: %s\n' "$count" "$noun" "${missing[*]}" >&2
case " ${missing[*]} " in
*" postgresql-15 "*)
    "${as_root[@]}" mkdir -p -- "$drop_in_dir"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee -- "$drop_in" >/dev/null
    ;;
esac
case " ${missing[*]} " in
*" pgbouncer "* | *" prometheus "* | *" prometheus-alertmanager "* | *" nginx-light "* | *" haproxy "*)
    if [ ! -e "$policy" ]; then # else the machine has its own rule for services
        our_policy=$policy
        # shellcheck disable=SC2016
        printf '%s\n' '#!/bin/sh' \
            'case "$*" in *pgbouncer* | *prometheus* | *nginx* | *haproxy*) exit 101 ;; esac' |
            "${as_root[@]}" tee -- "$policy" >/dev/null
        "${as_root[@]}" chmod 755 -- "$policy"
    fi
    ;;
esac

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
        apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}
apt update || fail "apt-get update failed (see above)"
apt install --yes --no-install-recommends -- "${missing[@]}" ||
    fail "apt-get could not install: ${missing[*]}"
