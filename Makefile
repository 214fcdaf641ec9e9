# SPDX-License-Identifier: Apache-2.0
# The commands that stay stable (DESIGN §9). Compiling is in build.mk, the development environment
# in dev/dev.mk. Every command installs the Debian packages that it needs and says so.

MAKEFLAGS += --no-print-directory
# Two jobs, unless the caller has brought job slots of its own.
INNER = $(MAKE) -f build.mk $(if $(findstring jobserver,$(MAKEFLAGS)),,-j2)

.PHONY: build test unit e2e asan lint format docs bench bench-instructions image fuzz conformance prove-h2o tls-audit chaos soak reloads screenshot money clean
.DEFAULT_GOAL := build

build:
	@dev/install.sh build
	@$(INNER) binary

unit:
	@dev/install.sh build test
	@$(INNER) unit
	@tests/run-unit.sh build

asan:
	@dev/install.sh build test
	@$(INNER) BUILD=build/asan SANITIZE=1 binary unit

e2e: build build/tillway-issuer
	@dev/install.sh run test npm browser
	@tests/npm/install.sh
	@tests/run.sh e2e

# Everything that CI checks; the last line is "N passed, N failed".
test:
	@dev/install.sh build run test npm browser lint bench
	@tests/npm/install.sh
	@$(INNER) binary unit
	@$(MAKE) build/tillway-issuer
	@$(INNER) BUILD=build/asan SANITIZE=1 binary unit
	@tests/run.sh all

lint:
	@dev/install.sh build lint
	@$(INNER) binary
	@tests/lint/run.sh

format:
	@dev/install.sh lint
	@git ls-files '*.c' '*.h' | xargs clang-format -i

docs: build
	@build/tillway options > docs/configuration.md
	@build/tillway errors > docs/errors.md
	@build/tillway metrics > docs/metrics.md

# One table, JSON in var/bench.json; with BENCH_PEERS="fastify express bun nginx haproxy" against these.
bench: build build/tillway-issuer
	@dev/install.sh run bench
	@bench/peers/install.sh $(BENCH_PEERS)
	@$(INNER) build/bench-openloop build/bench-sockets
	@bench/run.py

# Instructions of one request on each main path; fails when one takes 5 % more than bench/instructions.json.
bench-instructions: build build/tillway-issuer
	@dev/install.sh run test bench
	@bench/instructions.py

image:
	@dev/install.sh image
	@deploy/image.sh

# Each target for SECONDS_EACH (60) under ASan and UBSan; `make test` replays what was found so far.
fuzz:
	@dev/install.sh build test
	@tests/fuzz/run.sh $(TARGETS)

# Other people's corpora; TILLWAY_CORPORA names their directory (../shared/corpora).
conformance: build build/tillway-issuer
	@dev/install.sh run test
	@tests/run.sh conformance

# The connection to PostgreSQL ends after every single byte of requests and answers. Minutes.
chaos: build build/tillway-issuer
	@dev/install.sh run test
	@TILLWAY_CHAOS=every tests/run.sh e2e -k 'test_chaos or test_pooler or test_commit'

# Everything that PostgreSQL goes through in a year, in SOAK_SECONDS (600); one line of figures.
soak: build build/tillway-issuer
	@dev/install.sh run test
	@TILLWAY_TEST_LOGS=build/test-logs/soak /usr/bin/python3 -B -m pytest -p no:cacheprovider -q -s \
		--show-capture=no tests/e2e/soak.py

# docs/status-page.png: the status page of a gateway whose shops sell for SCREENSHOT_SECONDS (200).
screenshot: build build/tillway-issuer
	@dev/install.sh run test npm browser
	@tests/npm/install.sh
	@/usr/bin/python3 -B -m pytest -p no:cacheprovider -q --show-capture=no tests/e2e/screenshot.py

# 50 reloads and 10 upgrades under wrk and h2load at half of what the machine can do (RELOADS, UPGRADES).
reloads: build build/tillway-issuer
	@dev/install.sh run test bench
	@/usr/bin/python3 -B -m pytest -p no:cacheprovider -q -s --show-capture=no tests/e2e/reloads.py

prove-h2o:
	@dev/install.sh build test
	@tests/h2o/prove.sh build/prove-h2o

# What testssl.sh says of our TLS. Minutes.
tls-audit: build
	@dev/install.sh audit
	@tests/tls-audit.sh build

# A million random baskets against numeric arithmetic (the suites check 20,000). Some minutes.
money:
	@dev/install.sh run
	@tests/sql/money.sh

compile_commands.json: build.mk
	@dev/install.sh build lint
	@bear -- $(INNER) -B objects

clean:
	rm -rf build

include dev/dev.mk
