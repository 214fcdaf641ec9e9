#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the container image and proves that it starts and answers (make image).
#
# With a Docker daemon: docker build. Without one: buildah as root, which needs neither a daemon nor
# a registry: when the base image cannot be pulled, debootstrap makes it from this machine's mirror.
#
#   IMAGE=tillway:dev           the name it gets
#   IMAGE_DIR=build/image       buildah's storage, logs and the archive (about 2 GB while it builds)
#
# The base image is made once and kept there; remove IMAGE_DIR (make clean) for a new one.
set -euo pipefail

image=${IMAGE:-tillway:dev}
base=debian:bookworm-slim
dir=$(realpath -ms -- "${IMAGE_DIR:-$(dirname -- "${BASH_SOURCE[0]}")/../build/image}")

# The database, the issuer and the processes of the proof are the development environment's.
export TILLWAY_VAR=$dir/proof
unset CONFIG TILLWAY_ISSUER_PORT
# shellcheck source-path=SCRIPTDIR source=../dev/stack.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../dev/stack.sh"

build() {
    local version
    version=$(awk '$2 == "TW_VERSION" { gsub(/"/, "", $3); print $3 }' "$root/gateway/version.h")
    set -- --build-arg "VERSION=$version" --build-arg "REVISION=$(revision)"
    if [ "$engine" = docker ]; then
        docker build --tag "$image" "$@" "$root"
    else
        "${buildah[@]}" bud --isolation chroot --tag "$image" "${apt_volumes[@]}" "$@" "$root"
        "${buildah[@]}" rmi --prune >/dev/null # what the name stood for before
    fi
}

revision() {
    local commit dirty=
    commit=$(git -C "$root" rev-parse HEAD 2>/dev/null) || commit=unknown
    [ -z "$(git -C "$root" status --porcelain 2>/dev/null)" ] || dirty=-dirty
    echo "$commit$dirty"
}

# ---- buildah -------------------------------------------------------------------------------------

# vfs: plain directories, which work on every file system and go away with rm.
buildah=(buildah --root "$dir/storage" --runroot "$dir/run" --storage-driver vfs)

need_space() {
    local free_kb
    free_kb=$(df -Pk -- "$dir" | awk 'NR == 2 { print $4 }')
    [ "$free_kb" -ge 3000000 ] ||
        fail "$dir has $((free_kb / 1000)) MB free; 3000 are needed: choose another IMAGE_DIR"
}

# This machine's mirrors and its rules for fetching, for apt inside a base image of our own. They
# are mounted while it builds and never part of an image.
write_apt() {
    local fields="\$(REPO_URI) \$(RELEASE) \$(COMPONENT) \$(CREATED_BY)"
    mkdir -p -- "$dir/apt/sources.list.d" "$dir/apt/apt.conf.d"
    apt-get indextargets --no-release-info --format "$fields" | awk '
        $2 ~ /^bookworm(-updates|-security)?$/ && $3 == "main" && $4 == "Packages" && !seen[$1, $2]++ {
            print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $1, $2, $3
        }' >"$dir/apt/sources.list.d/machine.list"
    grep -q ' bookworm main$' "$dir/apt/sources.list.d/machine.list" ||
        fail "apt on this machine knows no mirror of bookworm, and $base cannot be pulled"
    apt-config dump | grep -E '^Acquire::(https?::|Check-)' >"$dir/apt/apt.conf.d/machine" || true
    apt_volumes=(--volume "$dir/apt/sources.list.d:/etc/apt/sources.list.d:ro"
        --volume "$dir/apt/apt.conf.d:/etc/apt/apt.conf.d:ro")
}

# What every image leaves out: documentation, translations, caches, and what names this machine.
slim() {
    printf 'path-exclude /usr/share/%s/*\n' doc info locale man >"$1/etc/dpkg/dpkg.cfg.d/slim"
    rm -rf -- "$1"/usr/share/{doc,info,locale,man}/* "$1"/var/cache/apt/*.bin \
        "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* "$1"/var/log/*
    rm -f -- "$1/etc/apt/sources.list" "$1/etc/hostname" "$1/etc/resolv.conf"
}

# The base image from this machine's mirror: a minimal Debian with today's fixes.
bootstrap() {
    local container tree mirror
    say "$base cannot be pulled: debootstrap makes it (log: $dir/debootstrap.log)"
    mirror=$(awk '$4 == "bookworm" { print $3; exit }' "$dir/apt/sources.list.d/machine.list")
    container=$("${buildah[@]}" from scratch)
    tree=$("${buildah[@]}" mount "$container")
    debootstrap --variant=minbase --include=ca-certificates bookworm "$tree" "$mirror" \
        >"$dir/debootstrap.log" 2>&1 || {
        tail -n 5 -- "$dir/debootstrap.log" >&2
        fail "debootstrap failed (its last lines are above)"
    }
    slim "$tree"
    "${buildah[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --cmd bash "$container"
    # apt's own files cannot be replaced under a mount, so the settings are mounted elsewhere here.
    "${buildah[@]}" run --isolation chroot --volume "$dir/apt:/run/apt:ro" "$container" -- sh -euc '
        apt() {
            APT_CONFIG=/run/apt/apt.conf.d/machine DEBIAN_FRONTEND=noninteractive apt-get -qq \
                -o Dir::Etc::sourceparts=/run/apt/sources.list.d -o Dpkg::Use-Pty=0 "$@"
        }
        apt update
        apt --yes upgrade
        apt clean' >>"$dir/debootstrap.log" 2>&1 || fail "apt failed: see $dir/debootstrap.log"
    slim "$tree"
    rmdir -- "$tree/run/apt" 2>/dev/null || true
    "${buildah[@]}" umount "$container" >/dev/null
    "${buildah[@]}" commit --quiet --rm "$container" "$base" >/dev/null
    : >"$dir/bootstrapped"
}

have_base() {
    "${buildah[@]}" inspect --type image "$base" >/dev/null 2>&1
}

prepare_base() {
    [ "$(id -u)" -eq 0 ] || fail "without a Docker daemon the image is built as root: sudo make image"
    mkdir -p -- "$dir"
    need_space
    apt_volumes=()
    if have_base; then
        [ ! -e "$dir/bootstrapped" ] || write_apt
    elif ! timeout 300 "${buildah[@]}" pull "$base" >"$dir/pull.log" 2>&1; then
        write_apt
        bootstrap
    fi
}

# ---- the proof -----------------------------------------------------------------------------------
# The image's own entry point as its own user, against a private database and issuer on loopback.

write_proof_config() {
    local issuer
    issuer=$(<"$var/issuer/issuer")
    mkdir -p -- "$var/config"
    cat >"$var/config/tillway.yaml" <<END
listen: [{address: 127.0.0.1, port: $http_port}]
workers: 1
auth:
  issuers: [{issuer: "$issuer", jwksUri: "$issuer/.well-known/jwks.json", audience: [tillway-pos]}]
END
    (umask 077 && "$here/postgres.sh" url "$var/postgres" >"$var/config/db-url")
    chown 65532:65532 -- "$var/config/db-url"
    chmod 755 -- "$var/config"
    chmod 644 -- "$var/config/tillway.yaml"
}

# Runs the image with arguments "$@".
run_image() {
    local settings=(--env TILLWAY_DB_URL_FILE=/etc/tillway/db-url
        --env TILLWAY_ADMIN_ADDRESS=127.0.0.1 --env "TILLWAY_ADMIN_PORT=$admin_port"
        --volume "$var/config:/etc/tillway:ro")
    if [ "$engine" = docker ]; then
        exec docker run --rm --network host "${settings[@]}" "$image" "$@"
    else
        exec "${buildah[@]}" run --isolation chroot "${settings[@]}" "$container" -- "$entry" "$@"
    fi
}

# Prints one field of the image's configuration, such as User.
image_field() {
    if [ "$engine" = docker ]; then
        docker inspect --format "{{.Config.$1}}" "$image"
    else
        "${buildah[@]}" inspect --type image --format "{{.OCIv1.Config.$1}}" "$image"
    fi
}

descendants() {
    local pid pids
    read -rd '' -a pids < <(cat "/proc/$1"/task/*/children 2>/dev/null) || true
    for pid in "${pids[@]}"; do
        echo "$pid"
        descendants "$pid"
    done
}

# The gateway's processes, as root would see them: none may be root's. With docker they are not
# ours to see.
check_account() {
    local pid seen=0
    [ "$(image_field User)" = 65532:65532 ] || fail "the image does not run as user 65532"
    [ "$engine" = buildah ] || return 0
    for pid in $(descendants "$run_pid"); do
        [[ $(<"/proc/$pid/comm") == tillway* ]] || continue
        [ "$(awk '/^Uid:/ { print $2, $3, $4 }' "/proc/$pid/status")" = "65532 65532 65532" ] ||
            fail "process $pid of the image does not run as user 65532"
        seen=$((seen + 1))
    done
    [ "$seen" -ge 2 ] || fail "master and worker expected, $seen processes found"
}

# expect STATUS URL [curl's arguments]; leaves the body in $body.
expect() {
    local status
    status=$(curl -sS --noproxy '*' --max-time 5 -o "$var/run/body" -w '%{http_code}' \
        "${@:3}" "$2") || true
    body=$(<"$var/run/body")
    [ "$status" = "$1" ] || fail "$2 answered $status, not $1: $body"
}

check_answers() {
    local product api=http://127.0.0.1:$http_port/v1 admin=http://127.0.0.1:$admin_port
    product=$("$here/product-id.sh" BEV-0001)
    expect 200 "$admin/livez"
    expect 200 "$admin/readyz"
    expect 401 "$api/products/$product"
    expect 200 "$api/products/$product" -H "Authorization: Bearer $("$here/token.sh")"
    [[ $body == *'"sku":"BEV-0001"'* ]] || fail "not the product: $body"
}

# Stops the container as an orchestrator does, by the image's own stop signal.
stop_image() {
    local status=0 pid=$run_pid
    for pid in $(descendants "$run_pid"); do
        [ "$(<"/proc/$pid/comm")" != tillway ] || break
    done
    kill -s "$(image_field StopSignal)" "$pid"
    wait "$run_pid" || status=$?
    run_pid=
    [ "$status" -eq 0 ] || fail "the image ended with status $status after its stop signal"
}

prove() {
    "$here/install.sh" build run
    make --no-print-directory -C "$root" build/tillway-issuer
    http_port=$(port_free)
    until admin_port=$(port_free) && [ "$admin_port" != "$http_port" ]; do :; done
    start_postgres
    start_issuer
    write_proof_config
    if [ "$engine" = buildah ]; then
        container=$("${buildah[@]}" from --pull-never "$image")
        entry=$("${buildah[@]}" inspect --format '{{index .OCIv1.Config.Entrypoint 0}}' "$container")
    fi
    (run_image migrate -c /etc/tillway/tillway.yaml) >&2 || fail "migrate failed in the image"
    load_sample
    (close_files && run_image -c /etc/tillway/tillway.yaml) >"$var/log/gateway.log" 2>&1 </dev/null &
    run_pid=$!
    pid_write "$var/run/gateway.pid" "$run_pid"
    wait_ready || {
        tail -n 20 -- "$var/log/gateway.log" >&2
        fail "the image did not start (its last lines are above)"
    }
    check_answers
    check_account
    stop_image
    say "the image starts, answers as user 65532 and stops"
}

# ---- all of it -----------------------------------------------------------------------------------

export_image() {
    local size
    rm -f -- "$dir/tillway.tar"
    if [ "$engine" = docker ]; then
        docker save --output "$dir/tillway.tar" "$image"
    else
        "${buildah[@]}" push --quiet "$image" "docker-archive:$dir/tillway.tar:$image"
    fi
    size=$(stat -c %s -- "$dir/tillway.tar")
    say "$image: $((size / 1000000)) MB in $dir/tillway.tar, after $SECONDS s"
}

# shellcheck disable=SC2317  # called by the trap
finish() {
    local status=$? pid
    trap '' INT TERM HUP # a second Ctrl-C must not cut the cleaning short
    trap - EXIT
    if [ -n "$run_pid" ]; then
        for pid in $(descendants "$run_pid") "$run_pid"; do
            kill "$pid" 2>/dev/null || true
        done
        wait "$run_pid" || true
    fi
    stop_started
    [ ! -d "$var/postgres" ] || "$here/postgres.sh" remove "$var/postgres" || true
    [ ! -d "$dir/storage" ] || "${buildah[@]}" rm --all >/dev/null 2>&1 || true
    rm -rf -- "$dir/proof"
    exit "$status"
}

engine=buildah
apt_volumes=()
container=
run_pid=
make_directories
lock
trap finish EXIT
trap 'exit 130' INT TERM HUP
if command -v docker >/dev/null && timeout 10 docker version >/dev/null 2>&1; then
    engine=docker
else
    prepare_base
fi
build
prove
export_image
