#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the static libh2o-evloop that Tillway links, from Debian's source
# package and our patches (README.md tells why).
#
#   deps/h2o/build.sh DEST
#
# leaves   DEST/lib/libh2o-evloop.a   DEST/include/   DEST/flags.mk (H2O_CFLAGS, H2O_LIBS)
# and returns at once when DEST already holds the result of the same inputs.
#
# Environment:
#   H2O_SANITIZE=1       build with AddressSanitizer and UBSan (another DEST, please)
#   H2O_PATCHES=none     leave our patches out: the library as Debian ships it, for proofs
#   H2O_DISTFILES=DIR    where the source package is kept (DEST/dist); shared by
#                        several DESTs it is fetched once, and filled by hand it
#                        needs no network. Checked against SHA256SUMS every time.
#   H2O_JOBS=N           parallel compilers (2)
#   CC, AR               the compiler and the archiver (cc, ar)
#
# The machine's apt configuration is read for its mirrors and never changed;
# no root is needed.

set -euo pipefail
export LC_ALL=C
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
self=$here/$(basename "${BASH_SOURCE[0]}")

say() { printf 'h2o: %s\n' "$*"; }
die() {
    printf 'h2o: %s\n' "$*" >&2
    exit 1
}

[ $# -eq 1 ] || die "usage: build.sh DEST"
mkdir -p "$1"
dest=$(cd "$1" && pwd -P)
dist=${H2O_DISTFILES:-$dest/dist}
sanitize=${H2O_SANITIZE:-}
variant=${H2O_PATCHES:-all}
jobs=${H2O_JOBS:-2}
export CC=${CC:-cc} AR=${AR:-ar}

case $variant in all | none) ;; *) die "H2O_PATCHES is 'all' or 'none', not '$variant'" ;; esac
case $dest in *[[:space:]]*) die "DEST must not contain spaces: $dest" ;; esac

for tool in flock sha256sum; do
    command -v "$tool" >/dev/null || die "$tool is missing: apt-get install util-linux coreutils"
done
exec 9>"$dest/.lock"
flock 9

# --- nothing to do? -----------------------------------------------------------

patches=()
if [ "$variant" = all ]; then
    while read -r name; do
        case $name in '' | '#'*) continue ;; esac
        patches+=("$here/patches/$name")
    done <"$here/patches/series"
fi

key=$({
    printf '%s\n' "$dest" "$sanitize" "$variant" "$CC" "$AR"
    "$CC" --version 2>/dev/null || true
    cat "$self" "$here/SHA256SUMS" "${patches[@]+"${patches[@]}"}"
} | sha256sum | cut -d' ' -f1)

if [ "$(cat "$dest/.stamp" 2>/dev/null)" = "$key" ] && [ -s "$dest/lib/libh2o-evloop.a" ] \
    && [ -s "$dest/flags.mk" ] && [ -s "$dest/include/h2o.h" ]; then
    exit 0
fi

for need in "dpkg-source dpkg-dev" "patch patch" "$CC gcc" "$AR binutils" "xargs findutils"; do
    command -v "${need% *}" >/dev/null || die "${need% *} is missing: apt-get install ${need##* }"
done
for header in openssl/ssl.h zlib.h; do
    echo "#include <$header>" | "$CC" -E -x c - >/dev/null 2>&1 \
        || die "<$header> is missing: apt-get install libssl-dev zlib1g-dev"
done

# --- the source package -------------------------------------------------------

dsc=$(awk '$2 ~ /\.dsc$/ { print $2 }' "$here/SHA256SUMS")
version=${dsc#h2o_}
version=${version%.dsc}

dist_is_good() { (cd "$dist" 2>/dev/null && sha256sum --check --status "$here/SHA256SUMS" 2>/dev/null); }

# Every mirror of the machine that carries a "main", whatever the format of its
# sources; apt itself reads them. Which of them is a Debian mirror is found out
# by asking for bookworm with Debian's key.
mirrors() {
    local fields="\$(REPO_URI) \$(RELEASE) \$(COMPONENT) \$(CREATED_BY)"
    apt-get indextargets --no-release-info --format "$fields" \
        | awk '$3 == "main" && ($4 == "Packages" || $4 == "Sources") && $2 !~ /[-\/]/ && !seen[$1]++ { print $1 }'
}

# fetch_from MIRROR KEYRING: the source package into $dist, by apt with lists,
# cache and sources of its own.
fetch_from() {
    local apt=$dest/apt
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/state" "$dist"
    {
        printf 'Types: deb-src\nURIs: %s\nSuites: bookworm\nComponents: main\n' "$1"
        if [ -n "$2" ]; then printf 'Signed-By: %s\n' "$2"; fi
    } >"$apt/h2o.sources"

    local opts=(-qq
        -o "Dir::Etc::sourcelist=$apt/h2o.sources" -o "Dir::Etc::sourceparts=-"
        -o "Dir::State=$apt/state" -o "Dir::State::lists=$apt/lists"
        -o "Dir::State::status=/var/lib/dpkg/status" -o "Dir::Cache=$apt/cache"
        -o "APT::Update::Error-Mode=any" -o "Acquire::Languages=none")
    # apt would read as _apt, who may not enter DEST
    if [ "$(id -u)" -eq 0 ]; then opts+=(-o "APT::Sandbox::User=root"); fi

    {
        apt-get "${opts[@]}" update \
            && (cd "$dist" && apt-get "${opts[@]}" source --download-only "h2o=$version")
    } >>"$dest/fetch.log" 2>&1 && dist_is_good
}

fetch() {
    command -v apt-get >/dev/null || die "apt-get is missing: put the files of SHA256SUMS into $dist"
    local mirror keyring keyrings=("")
    if [ -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then
        keyrings=(/usr/share/keyrings/debian-archive-keyring.gpg "")
    fi
    : >"$dest/fetch.log"
    for mirror in $(mirrors); do
        for keyring in "${keyrings[@]}"; do
            if fetch_from "$mirror" "$keyring"; then
                rm -rf "$dest/apt"
                return 0
            fi
        done
    done
    die "no apt mirror of this machine gave h2o $version of bookworm: see $dest/fetch.log"
}

if ! dist_is_good; then
    say "fetching Debian's source of h2o $version"
    fetch
fi
dist_is_good || die "the files in $dist are not those of SHA256SUMS"

src=$dest/src
rm -rf "$src" "$dest/.stamp"
dpkg-source --no-check --no-copy -x "$dist/$dsc" "$src" >"$dest/unpack.log" 2>&1 \
    || die "dpkg-source failed: see $dest/unpack.log"
for p in "${patches[@]+"${patches[@]}"}"; do
    patch -d "$src" -p1 -F0 --no-backup-if-mismatch <"$p" >>"$dest/unpack.log" 2>&1 \
        || die "$(basename "$p") does not apply: see $dest/unpack.log"
done

# --- compile ------------------------------------------------------------------

# The list is upstream's own; websocket, brotli, mruby and picotls are separate
# lists in CMakeLists.txt and stay out.
sources=$(sed -n '/^SET(LIB_SOURCE_FILES/,/)/p' "$src/CMakeLists.txt" | grep -o '[a-z][A-Za-z0-9_/-]*\.c')
[ -n "$sources" ] || die "no list of sources in CMakeLists.txt"

# A head, or a header block split over CONTINUATION frames, takes 64 KiB of memory
# at most (408 KiB by default); consumers are told the same. Not for proofs, whose
# unpatched side is Debian's.
limits=
if [ "$variant" = all ]; then limits=" -DH2O_MAX_REQLEN=65536"; fi

# Assertions stay on, as in Debian's build: a broken invariant costs a worker.
cflags="-std=gnu99 -O2 -g -fno-omit-frame-pointer -fPIC -pthread -fstack-protector-strong
    -ffile-prefix-map=$src/=h2o/ -Wall -Wno-unused-value -Wno-unused-function
    -Wno-unused-but-set-variable -Wno-unused-result -Wno-deprecated-declarations
    -D_GNU_SOURCE -DH2O_USE_LIBUV=0 -DH2O_USE_EPOLL=1 -DH2O_ROOT=\"/nonexistent\"$limits
    -Iinclude -Ideps/cloexec -Ideps/golombset -Ideps/libgkc -Ideps/libyrmcds
    -Ideps/klib -Ideps/picohttpparser -Ideps/yoml"
sanitizers=
if [ "$sanitize" = 1 ]; then
    sanitizers=-fsanitize=address,undefined
    cflags="$cflags $sanitizers"
else
    cflags="$cflags -D_FORTIFY_SOURCE=2"
    # For those who link with -flto; for the others there is machine code (gcc only).
    lto="-flto=auto -ffat-lto-objects"
    # shellcheck disable=SC2086 # two words
    if "$CC" $lto -x c -c /dev/null -o /dev/null 2>/dev/null; then cflags="$cflags $lto"; fi
fi

say "compiling $(wc -w <<<"$sources") files ($variant patches${sanitizers:+, sanitizers})"
cd "$src"
# shellcheck disable=SC2016 # $0 and $1 belong to the inner shell
tr ' ' '\n' <<<"$sources" | CFLAGS=$cflags xargs -P "$jobs" -n 1 sh -c '
    set -f
    o=obj/$(printf %s "$1" | tr / _).o
    mkdir -p obj && exec $CC $CFLAGS -c "$1" -o "$o"' cc >"$dest/compile.log" 2>&1 \
    || {
        grep -m5 'error' "$dest/compile.log" >&2 || true
        die "the compiler failed: see $dest/compile.log"
    }

# --- install ------------------------------------------------------------------

rm -rf "${dest:?}/lib" "${dest:?}/include"
mkdir -p "$dest/lib" "$dest/include"
"$AR" rcsD "$dest/lib/libh2o-evloop.a" obj/*.o
cp -R include/. "$dest/include/"
# what h2o's headers include (yoml.h, khash.h), and the parser, for the guard
cp deps/yoml/yoml.h deps/klib/khash.h deps/picohttpparser/picohttpparser.h "$dest/include/"

cat >"$dest/flags.mk" <<EOF
# made by deps/h2o/build.sh
H2O_VERSION := $version
H2O_CFLAGS := -isystem $dest/include -DH2O_USE_LIBUV=0 -DH2O_USE_EPOLL=1$limits${sanitizers:+ $sanitizers}
H2O_LIBS := $dest/lib/libh2o-evloop.a -lssl -lcrypto -lz -lpthread -ldl -lm${sanitizers:+ $sanitizers}
EOF
printf '%s\n' "$key" >"$dest/.stamp"
say "$dest/lib/libh2o-evloop.a is ready"
