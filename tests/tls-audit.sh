#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What testssl.sh says of the gateway's TLS: everything that it knows to look for. Minutes.
#
#   tests/tls-audit.sh BUILD [WORD]...     further words go to testssl.sh
#
# The gateway has a certificate on RSA and one on P-256 and needs no database for this. Fails with
# the findings when one is worse than "low" and not about the certificates that are made here.
# Everything that testssl.sh has said: BUILD/test-logs/tls-audit.txt and .json
set -euo pipefail

build=${1:?usage: tests/tls-audit.sh BUILD [WORD]...}
shift
logs=$build/test-logs
work=$(mktemp -d)
mkdir -p "$logs"
gateway=
finish() {
    if [ -n "$gateway" ]; then
        kill "$gateway" 2>/dev/null || true
        wait "$gateway" || true
    fi
    rm -rf "$work"
}
trap finish EXIT

certificate() { # NAME KEY-OPTION...
    local name=$1
    shift
    openssl genpkey "$@" -out "$work/$name.key" 2>/dev/null
    openssl req -new -key "$work/$name.key" -subj /CN=till.test -out "$work/$name.csr"
    openssl x509 -req -in "$work/$name.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial \
        -days 90 -extfile <(printf '%s\n' 'subjectAltName=DNS:till.test' 'extendedKeyUsage=serverAuth' \
            'keyUsage=critical,digitalSignature' 'basicConstraints=critical,CA:FALSE') \
        -out "$work/$name.crt" 2>/dev/null
}

openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=audit -keyout "$work/ca.key" \
    -out "$work/ca.crt" 2>/dev/null
certificate ecdsa -algorithm EC -pkeyopt ec_paramgen_curve:P-256
certificate rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
cat >"$work/audit.yaml" <<EOF
listen:
  - address: 127.0.0.1
    port: 0
    tls: {certificates: [{certificate: $work/ecdsa.crt, key: $work/ecdsa.key},
                         {certificate: $work/rsa.crt, key: $work/rsa.key}]}
admin: {address: 127.0.0.1, port: 0}
workers: 2
auth: {issuers: [{issuer: "https://issuer.test", jwksUri: "http://127.0.0.1:9/", audience: [x]}]}
db: {url: "postgresql://nobody@127.0.0.1:9/none"}
EOF
"$build/tillway" -c "$work/audit.yaml" >"$work/log" 2>&1 &
gateway=$!
for _ in $(seq 100); do
    port=$(sed -n 's|.*"https://127.0.0.1:\([0-9]*\) .*|\1|p' "$work/log")
    [ -z "$port" ] || break
    sleep 0.1
done
[ -n "$port" ] || { cat "$work/log" >&2; exit 1; }

rm -f "$logs/tls-audit.json"
testssl --quiet --color 0 --warnings batch --add-ca "$work/ca.crt" --ip 127.0.0.1 \
    --jsonfile "$logs/tls-audit.json" "$@" "till.test:$port" >"$logs/tls-audit.txt" 2>&1 || true
python3 - "$logs/tls-audit.json" <<'EOF'
import json, sys

OURS = ("cert_", "DNS_CAArecord", "OCSP_stapling")  # of certificates that nobody has issued
findings = json.load(open(sys.argv[1], encoding="utf-8"))
bad = [f for f in findings if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")
       and not f["id"].startswith(OURS)]
for f in bad:
    print("tls-audit: %s: %s: %s" % (f["severity"], f["id"], f["finding"]))
grade = next((f["finding"] for f in findings if f["id"] == "overall_grade"), "none")
print("tls-audit: %d findings, %d worse than low, grade %s" % (len(findings), len(bad), grade))
sys.exit(1 if bad or len(findings) < 20 else 0)
EOF
