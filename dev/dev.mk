# SPDX-License-Identifier: Apache-2.0
# The development environment; included by the top-level Makefile. See dev/README.md.

ISSUER_SOURCES := $(wildcard dev/issuer/*.c mint/*.c)
ISSUER_CFLAGS := -std=gnu11 -O2 -g -I. -Wall -Wextra -Wshadow -Wstrict-prototypes \
    -Wmissing-prototypes -Wcast-qual -Wpointer-arith -Wvla -Wformat=2 -Wwrite-strings -Wundef \
    -Werror -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
ISSUER_PACKAGES := libevent jansson libjwt libcrypto

.PHONY: run dev-up dev-down token dev-programs

# It shares mint/ with the gateway's command line, and nothing with what judges tokens. pkg-config is
# asked only when it is built, because this file is also read where nothing is installed yet.
build/tillway-issuer: $(ISSUER_SOURCES) $(wildcard dev/issuer/*.h mint/*.h) gateway/base.h dev/dev.mk
	@mkdir -p $(@D)
	@echo "  CC dev/issuer"
	@$(CC) $(ISSUER_CFLAGS) $$(pkg-config --cflags $(ISSUER_PACKAGES)) $(ISSUER_SOURCES) -o $@ -pie \
	    -Wl,-z,relro,-z,now $$(pkg-config --libs $(ISSUER_PACKAGES))

# What dev/run.sh and dev/up.sh ask for before they start anything.
dev-programs: build build/tillway-issuer
	@:

run:
	@dev/run.sh

dev-up:
	@dev/up.sh

dev-down:
	@dev/down.sh

token:
	@test -x build/tillway-issuer || $(MAKE) --no-print-directory -s build/tillway-issuer >&2
	@dev/token.sh
