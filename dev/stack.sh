# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by up.sh, run.sh, down.sh and token.sh: the parts of the development environment, all
# under var/ (or TILLWAY_VAR):
#
#   postgres/  issuer/  tls/   the database, the signing keys, the certificate: they outlive a stop
#   dev.yaml                   the gateway's configuration, written anew at every start
#   log/       run/            logs; pid files, and the ports in use while it runs
#
# All of it serves 127.0.0.1 only.

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=${here%/*}
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

var=$(realpath -ms -- "${TILLWAY_VAR:-$root/var}")
http_port=${TILLWAY_HTTP_PORT:-8080}
https_port=${TILLWAY_HTTPS_PORT:-8443}
admin_port=${TILLWAY_ADMIN_PORT:-9464}
ready_timeout_s=60
stop_timeout_s=30 # more than the gateway's own shutdown.drain_timeout

configs=(-c "$var/dev.yaml")
if [ -n "${CONFIG:-}" ]; then
    config_extra=$(realpath -ms -- "$CONFIG")
    [ -r "$config_extra" ] || fail "CONFIG=$CONFIG cannot be read"
    configs+=(-c "$config_extra")
fi

started=() # what this script has started, for stop_started

# Runs the gateway without our own variables, and without a database from the caller's shell: the
# development environment never touches any but its own (CONFIG=FILE may say otherwise).
gateway() {
    exec env -u TILLWAY_VAR -u TILLWAY_HTTP_PORT -u TILLWAY_HTTPS_PORT -u TILLWAY_ADMIN_PORT \
        -u TILLWAY_ISSUER_PORT -u TILLWAY_DB_URL -u TILLWAY_DB_URL_FILE -u CONFIG \
        -u MAKEFLAGS -u MAKELEVEL -u MFLAGS "$@"
}

# In a subshell that becomes a daemon: no inherited file stays open but the three standard ones.
close_files() {
    local fd
    for fd in /proc/self/fd/*; do
        fd=${fd##*/}
        [ "$fd" -le 2 ] || eval "exec $fd>&-" 2>/dev/null || true
    done
}

# Every port is judged before anything starts; each message names the variable that changes it.
check_ports() {
    local name port seen=' '
    for name in HTTP HTTPS ADMIN ISSUER; do
        case $name in
        HTTP) port=$http_port ;;
        HTTPS) port=$https_port ;;
        ADMIN) port=$admin_port ;;
        *) port=${TILLWAY_ISSUER_PORT:-} ;;
        esac
        [ -n "$port" ] || continue
        port_valid "$port" || fail "TILLWAY_${name}_PORT=$port is not a port"
        [[ $seen != *" $port "* ]] || fail "port $port is named twice: change TILLWAY_${name}_PORT"
        seen+="$port "
        [ $name = ISSUER ] && pid_alive "$var/run/issuer.pid" >/dev/null && continue
        ! port_taken "$port" ||
            fail "port $port is taken by another program: choose one with TILLWAY_${name}_PORT=…"
    done
}

# Installs what is missing, and builds.
prepare() {
    local overrides=''
    "$here/install.sh" build run
    # Variables of the command line go on to this make; its parent's job slots do not.
    [[ ${MAKEFLAGS:-} != *' -- '* ]] || overrides=" -- ${MAKEFLAGS#* -- }"
    env -u MAKELEVEL -u MFLAGS -u CONFIG "MAKEFLAGS=$overrides" \
        make --no-print-directory -C "$root" dev-programs >&2 ||
        fail "the build failed"
}

make_directories() {
    mkdir -p -- "$var/log" "$var/run" "$var/tls" 2>/dev/null || fail "cannot write into $var"
    [ -w "$var/run" ] || fail "$var belongs to $(stat -c %U -- "$var"): remove it or run as that user"
}

# One start or stop at a time. The lock ends with the script, or with `unlock`.
lock() {
    exec {lock_fd}>"$var/run/lock"
    flock -w 300 "$lock_fd" || fail "another start or stop of $var takes too long"
}

unlock() {
    exec {lock_fd}>&-
}

start_postgres() {
    "$here/postgres.sh" status "$var/postgres" >/dev/null 2>&1 || started+=(postgres)
    "$here/postgres.sh" start "$var/postgres"
}

# Starts the issuer on port $1 and waits until it says where it listens.
launch_issuer() {
    local pid line='' ready=$var/run/issuer.ready
    rm -f -- "$ready"
    mkfifo -m 600 -- "$ready"
    (
        exec >"$ready" 2>>"$var/log/issuer.log" </dev/null
        close_files
        exec setsid "$root/build/tillway-issuer" serve --dir "$var/issuer" --port "$1"
    ) &
    pid=$!
    read -r -t 20 line <"$ready" || true
    rm -f -- "$ready"
    [ -n "$line" ] && pid_write "$var/run/issuer.pid" "$pid"
}

# The port stays the same over restarts if it can, so that tokens stay valid.
start_issuer() {
    local port=${TILLWAY_ISSUER_PORT:-} url=''
    pid_alive "$var/run/issuer.pid" >/dev/null && return
    "$root/build/tillway-issuer" init "$var/issuer" || fail "cannot make signing keys in $var/issuer"
    started+=(issuer)
    if [ -z "$port" ]; then
        [ ! -r "$var/issuer/issuer" ] || url=$(<"$var/issuer/issuer")
        [[ $url =~ :([0-9]+)/ ]] && port=${BASH_REMATCH[1]}
        { [ -n "$port" ] && ! port_taken "$port"; } || port=$(port_free) || fail "no free port found"
    fi
    launch_issuer "$port" || {
        tail -n 5 -- "$var/log/issuer.log" >&2
        fail "the issuer did not start (its last lines are above)"
    }
}

# A self-signed certificate for this machine's own names; made anew within a day of its end.
make_certificate() {
    local dir=$var/tls
    [ -s "$dir/key.pem" ] &&
        openssl x509 -in "$dir/certificate.pem" -noout -checkend 86400 >/dev/null 2>&1 && return
    (
        umask 077
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 \
            -keyout "$dir/key.new" -out "$dir/certificate.new" -config <(
                cat <<'END'
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
commonName = localhost
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
END
            ) 2>"$var/log/openssl.log"
    ) || {
        cat -- "$var/log/openssl.log" >&2
        fail "openssl could not make a certificate"
    }
    chmod 644 -- "$dir/certificate.new"
    mv -- "$dir/key.new" "$dir/key.pem"
    mv -- "$dir/certificate.new" "$dir/certificate.pem"
    rm -f -- "$var/log/openssl.log"
}

# A path as a YAML double-quoted text.
quoted() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# It holds the database's password, hence the mode.
write_config() {
    local issuer url
    issuer=$(<"$var/issuer/issuer")
    url=$("$here/postgres.sh" url "$var/postgres")
    (
        umask 077
        cat >"$var/dev.yaml.new" <<END
# Written by dev/stack.sh at every start: change nothing here, use make dev-up CONFIG=FILE.
listen:
  - {address: 127.0.0.1, port: $http_port}
  - address: 127.0.0.1
    port: $https_port
    tls:
      certificate: $(quoted "$var/tls/certificate.pem")
      key: $(quoted "$var/tls/key.pem")
admin: {address: 127.0.0.1, port: $admin_port}
auth:
  issuers:
    - issuer: "$issuer"
      jwksUri: "$issuer/.well-known/jwks.json"
      audience: [tillway-pos]
      tokenUse: [access, id]
db:
  url: "$url"
END
    )
    mv -- "$var/dev.yaml.new" "$var/dev.yaml"
}

load_sample() {
    local url
    url=$("$here/postgres.sh" url "$var/postgres")
    psql -X -q -v ON_ERROR_STOP=1 -f "$root/db/sample/load.sql" "$url" \
        <"$root/db/sample/products.csv" >&2 || fail "cannot load the sample catalogue"
}

# Everything the gateway needs. Its ports are known to be free.
start_surroundings() {
    start_postgres
    start_issuer
    make_certificate
    write_config
    (gateway "$root/build/tillway" migrate "${configs[@]}") >&2 || fail "tillway migrate failed"
    load_sample
}

# Starts the gateway as a process group of its own (a terminal's Ctrl-C reaches only the script,
# which stops things in order). Standard output and error are the caller's.
start_gateway() {
    (
        close_files
        gateway setsid "$root/build/tillway" "${configs[@]}" </dev/null
    ) &
    gateway_pid=$!
    started+=(gateway)
    pid_write "$var/run/gateway.pid" "$gateway_pid" || true
    printf '%s %s %s %s\n' "$http_port" "$https_port" "$admin_port" "${config_extra:-}" >"$var/run/settings"
}

is_ready() {
    curl -fs -o /dev/null --noproxy '*' --max-time 2 "http://127.0.0.1:$admin_port/readyz"
}

# Waits until the gateway is ready. Fails when it has gone or the time is over.
wait_ready() {
    local until=$((SECONDS + ready_timeout_s))
    until is_ready; do
        pid_alive "$var/run/gateway.pid" >/dev/null || {
            say "the gateway has gone"
            return 1
        }
        [ "$SECONDS" -lt "$until" ] || {
            say "the gateway was not ready within $ready_timeout_s s"
            return 1
        }
        sleep 0.05
    done
}

stop_part() {
    case $1 in
    gateway)
        pid_stop "$var/run/gateway.pid" "$stop_timeout_s"
        rm -f -- "$var/run/settings"
        ;;
    issuer) pid_stop "$var/run/issuer.pid" 5 ;;
    postgres) "$here/postgres.sh" stop "$var/postgres" ;;
    esac
}

# Stops what this script has started, the last first.
stop_started() {
    local i
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        stop_part "${started[i]}" || true
    done
    started=()
}

print_welcome() {
    local token product key
    token=$("$here/token.sh")
    product=$("$here/product-id.sh" BEV-0001)
    key=$(</proc/sys/kernel/random/uuid)
    cat <<END

Tillway is ready.
  API        http://127.0.0.1:$http_port/v1
  with TLS   https://localhost:$https_port/v1   (curl --cacert '$var/tls/certificate.pem')
  Admin      http://127.0.0.1:$admin_port/   (/livez /readyz /metrics /config)
  Issuer     $(<"$var/issuer/issuer")
  Database   psql "\$(dev/postgres.sh url '$var/postgres')"

A cashier's token, good for 12 hours (others: make token ROLE=manager STORE=main):
$token

Sell two bottles of water:
curl -sSi http://127.0.0.1:$http_port/v1/transactions \\
  -H 'Authorization: Bearer $token' \\
  -H 'Content-Type: application/json' \\
  -H 'Idempotency-Key: $key' \\
  -d '{"items":[{"productId":"$product","quantity":2}],"paymentMethod":"card"}'

END
}
