# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts of this folder: messages, ports, and processes that are surely ours.
# A pid file holds "PID STARTTIME" (field 22 of /proc/PID/stat), so a number that the kernel has
# given to somebody else since is never mistaken for our process.

say() {
    printf 'tillway: %s\n' "$*" >&2 || true
}

fail() {
    say "$@"
    exit 1
}

# A whole number in [1, 65535], without leading zeros.
port_valid() {
    [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && [ "$1" -le 65535 ]
}

# Does anything listen on PORT of 127.0.0.1 or of every address? Reads the kernel's own table, so
# it neither connects nor needs a tool. State 0A is LISTEN; addresses are in host byte order.
port_taken() {
    local tables=(/proc/net/tcp) hex
    [ -r /proc/net/tcp6 ] && tables+=(/proc/net/tcp6)
    printf -v hex '%04X' "$1"
    awk -v port="$hex" '
        $4 == "0A" && split($2, at, ":") == 2 && at[2] == port &&
            at[1] ~ /^(0100007F|0+|0000000000000000FFFF00000100007F|0+1000000)$/ { found = 1; exit }
        END { exit !found }' "${tables[@]}"
}

# Prints a port below the range of outgoing connections on which nothing listens now.
port_free() {
    local port
    for _ in {1..200}; do
        port=$((20000 + RANDOM % 12000))
        port_taken "$port" || {
            echo "$port"
            return
        }
    done
    return 1
}

# Prints the start time of process PID in clock ticks since boot; fails when there is none, or
# only a zombie. The second field may hold spaces and brackets, hence the cut at the last ')'.
process_start() {
    local stat rest
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    read -ra rest <<<"${stat##*) }"
    [ "${rest[0]:-Z}" != Z ] && echo "${rest[19]}"
}

pid_write() {
    local start
    start=$(process_start "$2") || return 1
    echo "$2 $start" >"$1"
}

# Prints the pid in pid file $1 if that very process still runs.
pid_alive() {
    local pid start
    [ -r "$1" ] && read -r pid start <"$1" && [ "$(process_start "$pid")" = "$start" ] && echo "$pid"
}

# Stops what pid file $1 names (a leader of its own process group): TERM, then after $2 seconds
# KILL for the whole group. Removes the file. Harmless when nothing runs; a process that only has
# the same number is left alone, and members of the group that outlived their leader are not.
pid_stop() {
    local file=$1 pid=0 start=- now until
    [ ! -r "$file" ] || read -r pid start <"$file" || true
    now=$(process_start "$pid") || now=
    if [ "$pid" -gt 1 ] && [ "${now:-$start}" = "$start" ] && group_runs "$pid"; then
        kill -TERM "$pid" 2>/dev/null || kill -TERM -- "-$pid" 2>/dev/null || true
        until=$((SECONDS + $2))
        while group_runs "$pid"; do
            if [ "$SECONDS" -ge "$until" ]; then
                say "process $pid did not stop within $2 s: killed"
                kill -KILL -- "-$pid" 2>/dev/null || true
                break
            fi
            sleep 0.02
        done
    fi
    rm -f -- "$file"
}

# Is there a process in group $1 that is more than a zombie nobody has waited for?
group_runs() {
    local file stat rest
    kill -0 -- "-$1" 2>/dev/null || return 1
    for file in /proc/[0-9]*/stat; do
        read -r stat 2>/dev/null <"$file" || continue # it may end at any moment
        read -ra rest <<<"${stat##*) }"
        [ "${rest[2]:-}" = "$1" ] && [ "${rest[0]}" != Z ] && return 0
    done
    return 1
}
