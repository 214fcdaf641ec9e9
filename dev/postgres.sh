#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A private PostgreSQL cluster in one directory: for development, tests and benchmarks.
#
#   dev/postgres.sh start [DIR [PORT]]       made when absent; back when it answers
#   dev/postgres.sh stop|status [DIR]
#   dev/postgres.sh url [DIR [NAME]]         of database NAME, "tillway" unless given
#   dev/postgres.sh restart-immediate [DIR]  as after a crash (for fault tests)
#   dev/postgres.sh stop-immediate DIR       as by a crash
#   dev/postgres.sh standby DIR FROM [PORT]  a streaming standby of the cluster in FROM, which runs
#   dev/postgres.sh promote DIR              the standby is a primary; back when it takes writes
#   dev/postgres.sh remove DIR               stops it and deletes all of it
#   dev/postgres.sh createdb|dropdb DIR NAME
#
# DIR is var/postgres unless given. It listens on 127.0.0.1 with a generated password (scram) and
# on a Unix socket in DIR/socket; both stay as they are over restarts, and so does the port.
# As root the server runs as the account `postgres`, else as the caller. When that account cannot
# reach DIR, or DIR is too long for a Unix socket (107 bytes), DIR becomes a link to a directory
# under /var/tmp that belongs to that account alone.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

usage="usage: dev/postgres.sh start [DIR [PORT]] | stop|status|restart-immediate [DIR] |
       url [DIR [NAME]] | remove|stop-immediate|promote DIR | createdb|dropdb DIR NAME |
       standby DIR FROM [PORT]"
command=${1:-}
dir=${2:-$here/../var/postgres}
dir=$(realpath -ms -- "$dir")
database=tillway
superuser=tillway
bin=/usr/lib/postgresql/15/bin
socket_max=$((107 - 25)) # what is left for DIR: "/socket/.s.PGSQL.65535" and the NUL

export LC_ALL=C.UTF-8
[ -x "$bin/postgres" ] || bin=$(pg_config --bindir 2>/dev/null || true)
[ -x "$bin/postgres" ] || fail "PostgreSQL is not installed: dev/install.sh run"

account=$(id -un)
as_account=(env -i)
if [ "$(id -u)" -eq 0 ]; then
    account=postgres
    id -u "$account" >/dev/null 2>&1 || fail "PostgreSQL refuses to run as root and there is no account '$account'"
    as_account=(setpriv --reuid "$account" --regid "$account" --init-groups env -i)
fi
as_account+=("PATH=$bin:/usr/bin:/bin" "LC_ALL=$LC_ALL" "HOME=/nonexistent")

# Runs a command as the server's account from / and with a clean environment. It inherits no file
# but the three standard ones, so that a server never holds its caller's pipes and locks.
as() {
    (
        cd /
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            [ "$fd" -le 2 ] || eval "exec $fd>&-" 2>/dev/null || true
        done
        exec "${as_account[@]}" "$@"
    )
}

# Runs a shell script as the account, in DIR: what stands there is never written as root.
as_in_dir() {
    # shellcheck disable=SC2016
    as bash -euc 'umask 077; cd -- "$1"; shift; eval "$1"' as_in_dir "$dir" "$@"
}

port() {
    cat -- "$dir/port"
}

# The postmaster's pid, if it runs in this very directory (it works in its data directory).
postmaster() {
    # shellcheck disable=SC2016
    [ -d "$dir/data" ] && as_in_dir '
        read -r pid <data/postmaster.pid
        [ "$(readlink "/proc/$pid/cwd")" = "$(realpath data)" ] && echo "$pid"' 2>/dev/null
}

# After a crash the pid file and the socket's lock may name a stranger, or a zombie that nobody
# waits for; PostgreSQL would refuse to start. They are removed once no process at all works in the
# data directory: orphaned backends have gone, so there is nothing left to protect.
drop_stale_locks() {
    # shellcheck disable=SC2016
    as_in_dir '
        works_here() {
            for cwd in /proc/[0-9]*/cwd; do
                [ "$(readlink "$cwd" 2>/dev/null)" = "$here" ] && return 0
            done
            return 1
        }
        here=$(realpath data)
        [ -e data/postmaster.pid ] || compgen -G "socket/.s.*" >/dev/null || exit 0
        for try in {1..100}; do
            works_here || { rm -f data/postmaster.pid socket/.s.*; exit 0; }
            sleep 0.1
        done'
}

# Makes DIR: where it was asked for if the account can work there, else under /var/tmp.
make_dir() {
    local parent=${dir%/*} real hash
    [ -L "$dir" ] || [ -d "$dir" ] || {
        mkdir -p -- "$parent"
        if [ ${#dir} -le $socket_max ] && as test -x "$parent"; then
            (umask 077 && mkdir -p -- "$dir")
            [ "$(id -u)" -ne 0 ] || chown -- "$account:" "$dir"
        else
            hash=$(printf '%s' "$dir" | sha256sum)
            ln -s -- "/var/tmp/tillway-${hash:0:16}" "$dir"
        fi
    }
    real=$dir
    if [ -L "$dir" ]; then
        real=$(readlink -- "$dir")
        as mkdir -m 700 -- "$real" 2>/dev/null || true
    fi
    # Somebody else may have taken a name under /var/tmp before us; a real directory it must be.
    if [ ! -d "$real" ] || [ -L "$real" ] || [ "$(stat -c %U -- "$real")" != "$account" ]; then
        fail "$real is not a directory of account $account: refused"
    fi
    [ "$(stat -c %a -- "$real")" = 700 ] || fail "$real must have mode 0700"
    as test -x "$real" || fail "$account cannot enter $real: remove $dir and start again"
    dir=$(realpath -- "$dir")
    [ ${#dir} -le $socket_max ] || fail "$dir is too long for a Unix socket: remove it and start again"
}

init_cluster() {
    # The version file comes late; "ready" is ours and comes last. Half a cluster is made anew.
    [ ! -e "$dir/ready" ] || return 0
    # shellcheck disable=SC2016
    as_in_dir '
        rm -rf data socket
        mkdir socket
        head -c 24 /dev/urandom | od -An -tx1 | tr -d " \n" >password
        initdb -D data -U '"$superuser"' --pwfile=password --auth=scram-sha-256 \
            --encoding=UTF8 --locale=C.UTF-8 --no-instructions >initdb.log 2>&1 ||
            { cat initdb.log >&2; exit 1; }
        printf "include_if_exists = %s\n" "'\''tillway.conf'\''" >>data/postgresql.conf
        printf "*:*:*:'"$superuser"':%s\n" "$(cat password)" >pgpass
        touch ready' || fail "initdb failed in $dir"
}

# A copy of the running cluster in $1, with its password, that will follow it.
copy_cluster() {
    [ ! -e "$dir/ready" ] || return 0
    # shellcheck disable=SC2016
    as_in_dir '
        rm -rf data socket
        mkdir socket
        cp "$2/password" "$2/pgpass" .
        PGPASSFILE=$PWD/pgpass pg_basebackup -h 127.0.0.1 -p "$(cat "$2/port")" -U '"$superuser"' -D data \
            -X stream -c fast -N -R >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
        touch ready' "$1" || fail "pg_basebackup of $1 failed"
}

# fsync stays on: that a commit survives is part of what is tested. The rest fits a small machine.
write_settings() {
    as_in_dir 'cat >data/tillway.conf' <<END
listen_addresses = '127.0.0.1'
port = $1
unix_socket_directories = '${dir//\'/\'\'}/socket'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 256MB
effective_cache_size = 1GB
max_wal_size = 2GB
checkpoint_completion_target = 0.9
fsync = on
synchronous_commit = on
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C.UTF-8'
cluster_name = 'tillway'
log_line_prefix = '%m [%p] %q%u@%d '
END
    as_in_dir "echo $1 >port"
}

run_psql() {
    as "PGPASSFILE=$dir/pgpass" psql -X -q -v ON_ERROR_STOP=1 -h "$dir/socket" -p "$(port)" -U "$superuser" "$@"
}

# Creates database $1 unless it exists.
create_database() {
    local sql="select 1 from pg_database where datname = '$1'"
    [ "$(run_psql -d postgres -Atc "$sql")" = 1 ] ||
        run_psql -d postgres -c "create database \"$1\" template template0 encoding 'UTF8'"
}

start() {
    local asked=${1:-} try port attempts=1
    [ -z "$asked" ] || port_valid "$asked" || fail "'$asked' is not a port"
    make_dir
    exec 9<"$dir"
    flock -w 120 9 || fail "another start of $dir takes too long"
    if postmaster >/dev/null; then
        [ -z "$asked" ] || [ "$asked" = "$(port)" ] ||
            fail "PostgreSQL in $dir already listens on port $(port), not $asked: stop it first"
        return
    fi
    init_cluster
    drop_stale_locks
    port=$asked
    [ -n "$port" ] || port=$(port 2>/dev/null || true)
    if [ -n "$asked" ]; then
        ! port_taken "$port" || fail "port $port is taken, so PostgreSQL in $dir cannot start"
    else
        attempts=5 # the port is ours to choose, and somebody may be quicker
    fi
    for ((try = 1; try <= attempts; try++)); do
        { [ -n "$port" ] && ! port_taken "$port"; } || port=$(port_free) || fail "no free port found"
        write_settings "$port"
        as_in_dir 'rm -f log; touch log'
        if as pg_ctl start -D "$dir/data" -l "$dir/log" -w -t 60 -s 2>/dev/null; then
            create_database "$database"
            return
        fi
        grep -q 'could not bind' "$dir/log" || break
        port=
    done
    tail -n 20 -- "$dir/log" >&2
    fail "PostgreSQL in $dir did not start (its last lines are above)"
}

standby() {
    local from
    from=$(realpath -- "$1")
    [ -e "$from/ready" ] || fail "no PostgreSQL cluster in $1"
    make_dir
    copy_cluster "$from"
    start "${2:-}"
}

promote() {
    as pg_ctl promote -D "$dir/data" -w -t 60 -s || fail "PostgreSQL in $dir was not promoted"
}

stop() {
    [ -d "$dir" ] || return 0
    local pid
    pid=$(postmaster) || return 0
    as pg_ctl stop -D "$dir/data" -m fast -w -t 60 -s ||
        as pg_ctl stop -D "$dir/data" -m immediate -w -t 30 -s ||
        fail "PostgreSQL in $dir (pid $pid) does not stop"
}

# Deletes a cluster, the link to it too. Only what has this script's mark is deleted.
remove() {
    [ -e "$dir" ] || [ -L "$asked_dir" ] || return 0
    if [ -e "$dir" ]; then
        [ -e "$dir/initdb.log" ] || fail "$dir is not a cluster of this script: nothing removed"
        stop
        # shellcheck disable=SC2016
        as_in_dir 'rm -rf data socket; rm -f -- *'
        if [ -L "$asked_dir" ]; then as rmdir -- "$dir"; else rmdir -- "$dir"; fi
    fi
    [ ! -L "$asked_dir" ] || rm -- "$asked_dir"
}

need_running() {
    postmaster >/dev/null || fail "no PostgreSQL runs in $dir"
}

name_valid() {
    [[ $1 =~ ^[a-z_][a-z0-9_]{0,62}$ ]] || fail "'$1' is not a plain database name (a-z, 0-9, _)"
}

asked_dir=$dir
[ ! -d "$dir" ] || dir=$(realpath -- "$dir")
case $command in
start)
    start "${3:-}"
    ;;
stop)
    stop
    ;;
status)
    if pid=$(postmaster); then
        echo "running: pid $pid, port $(port), $dir"
    else
        echo "not running: $dir"
        exit 3
    fi
    ;;
url)
    [ -r "$dir/port" ] || fail "no PostgreSQL cluster in $dir (or it belongs to somebody else)"
    echo "postgresql://$superuser:$(cat -- "$dir/password")@127.0.0.1:$(port)/${3:-$database}"
    ;;
restart-immediate)
    need_running
    as pg_ctl restart -D "$dir/data" -l "$dir/log" -m immediate -w -t 60 -s ||
        fail "PostgreSQL in $dir did not come back"
    ;;
stop-immediate)
    need_running
    as pg_ctl stop -D "$dir/data" -m immediate -w -t 60 -s || fail "PostgreSQL in $dir does not stop"
    ;;
standby)
    [ $# -ge 3 ] || fail "$usage"
    standby "$3" "${4:-}"
    ;;
promote)
    need_running
    promote
    ;;
remove)
    [ $# -eq 2 ] || fail "$usage"
    remove
    ;;
createdb)
    [ $# -eq 3 ] || fail "$usage"
    name_valid "$3"
    need_running
    create_database "$3"
    ;;
dropdb)
    [ $# -eq 3 ] || fail "$usage"
    name_valid "$3"
    need_running
    run_psql -d postgres -c "drop database if exists \"$3\" with (force)" 2>/dev/null
    ;;
*)
    fail "$usage"
    ;;
esac
