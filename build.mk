# SPDX-License-Identifier: Apache-2.0
# How the program and its unit tests are compiled. Called by the Makefile, which installs first:
#   make -f build.mk [BUILD=build] [SANITIZE=1] TARGET
# Targets: binary, unit (the unit tests' programs), objects, print-cflags.

BUILD ?= build

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual \
    -Wpointer-arith -Wvla -Wformat=2 -Wwrite-strings -Wundef -Werror
ifdef SANITIZE
HARDENING := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS   := -fsanitize=address,undefined
else
HARDENING := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LDFLAGS   := -pie -Wl,-z,relro,-z,now
endif

# The program is optimised as a whole, with the library: 6 to 8 % fewer instructions a request. Objects have machine
# code as well, for the many programs of the tests, which so are linked at once.
ifeq ($(or $(SANITIZE),$(COMPILER)),)
LTO := -flto=auto -ffat-lto-objects
endif

# ccache when it is there: a clean build then takes seconds.
CC := $(shell command -v ccache) $(or $(COMPILER),gcc)

PACKAGES := zlib libpq libevent libevent_openssl jansson yaml-0.1 libjwt libssl libcrypto hiredis libseccomp libxxhash
CFLAGS := -std=gnu11 -g -fno-omit-frame-pointer $(HARDENING) $(WARNINGS) \
    -I. -I$(BUILD) $(shell pkg-config --cflags $(PACKAGES)) $(EXTRA_CFLAGS)
LIBS := $(shell pkg-config --libs $(PACKAGES)) -lm

include $(BUILD)/h2o/flags.mk
# The library's headers are system headers, which -MMD leaves out: with another library all is anew.
H2O_BUILT := $(BUILD)/h2o/flags.mk

GENERATED := $(BUILD)/gen/statements.h $(BUILD)/gen/statements.c $(BUILD)/gen/migrations.c \
    $(BUILD)/gen/fleet_script.c $(BUILD)/gen/status_page.c
SOURCES := $(wildcard gateway/*.c auth/*.c config/*.c handlers/*.c mint/*.c)
OBJECTS := $(SOURCES:%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/gen/statements.o $(BUILD)/obj/gen/migrations.o \
    $(BUILD)/obj/gen/fleet_script.o $(BUILD)/obj/gen/status_page.o
LIBRARY_OBJECTS := $(filter-out $(BUILD)/obj/gateway/main.o,$(OBJECTS))
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

# The master with a worker that does as it is told (tests/master).
HARNESS := $(BUILD)/master-harness

.PHONY: binary unit objects
binary: $(BUILD)/tillway
unit: $(UNIT) $(HARNESS)
objects: $(OBJECTS)

$(BUILD)/h2o/flags.mk: deps/h2o/build.sh deps/h2o/SHA256SUMS $(wildcard deps/h2o/patches/*)
	H2O_DISTFILES=$(CURDIR)/build/distfiles H2O_SANITIZE=$(SANITIZE) deps/h2o/build.sh $(BUILD)/h2o
	@touch $@

$(BUILD)/gen/statements.h: db/embed.awk $(wildcard db/queries/*.sql)
	@mkdir -p $(@D)
	@awk -v mode=statements-h -f $^ > $@.new && mv $@.new $@
$(BUILD)/gen/statements.c: db/embed.awk $(wildcard db/queries/*.sql)
	@mkdir -p $(@D)
	@awk -v mode=statements-c -f $^ > $@.new && mv $@.new $@
$(BUILD)/gen/migrations.c: db/embed.awk $(wildcard db/migrations/*.sql)
	@mkdir -p $(@D)
	@awk -v mode=migrations-c -f $^ > $@.new && mv $@.new $@
$(BUILD)/gen/fleet_script.c: db/embed.awk gateway/fleet.lua
	@mkdir -p $(@D)
	@awk -v mode=fleet-script-c -f $^ > $@.new && mv $@.new $@
$(BUILD)/gen/status_page.c: $(wildcard gateway/status_page/*)
	@mkdir -p $(@D)
	@gateway/status_page/build.sh $@

# The limit table swaps 16 bytes at once: x86-64 has to be told that it may, arm64 has not.
ifneq ($(findstring x86_64,$(shell $(CC) -dumpmachine)),)
$(BUILD)/obj/gateway/limit.o: CFLAGS += -mcx16
endif

$(BUILD)/obj/%.o: %.c $(H2O_BUILT) | $(GENERATED)
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CFLAGS) $(LTO) $(H2O_CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c | $(GENERATED)
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CFLAGS) $(LTO) -MMD -MP -c $< -o $@

$(BUILD)/tillway: $(OBJECTS)
	@echo "  LINK $@"
	@$(CC) $(HARDENING) $(LTO) $(LDFLAGS) $^ -o $@ $(H2O_LIBS) $(LIBS)

$(BUILD)/libtillway.a: $(LIBRARY_OBJECTS)
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libtillway.a
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CFLAGS) $(H2O_CFLAGS) -MMD -MP -fno-lto $(LDFLAGS) $< $(MORE_SOURCES) $(BUILD)/libtillway.a -o $@ -lcmocka $(H2O_LIBS) $(LIBS)

# Its programs for libFuzzer are built by tests/fuzz/run.sh.
FUZZED := tests/fuzz/targets.c tests/fuzz/http1.c
$(BUILD)/unit/test_fuzz_corpora: $(FUZZED)
$(BUILD)/unit/test_fuzz_corpora: MORE_SOURCES := $(FUZZED)

$(HARNESS): tests/master/harness.c tests/master/rights.c $(BUILD)/libtillway.a
	@echo "  CC $<"
	@$(CC) $(CFLAGS) -MMD -MP -fno-lto $(LDFLAGS) $< tests/master/rights.c $(BUILD)/libtillway.a -o $@ $(LIBS)

# What a token costs (bench/identity.sh).
$(BUILD)/bench-verifier: bench/verifier.c $(BUILD)/libtillway.a
	@echo "  CC $<"
	@$(CC) $(CFLAGS) -MMD -MP -fno-lto $(LDFLAGS) $< $(BUILD)/libtillway.a -o $@ $(LIBS)

# The one of bench/overload.sh: it tells what is refused from what is done, and makes its requests.
$(BUILD)/bench-openloop: bench/openloop.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CFLAGS) -MMD -MP -fno-lto $(LDFLAGS) $< -o $@ -lm

# What no server does with less than: beside it stand the worker's CPU and peers (make bench).
$(BUILD)/bench-sockets: bench/sockets.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CFLAGS) -MMD -MP -fno-lto $(LDFLAGS) $< -o $@

# For tests/lint: how each source is compiled.
.PHONY: print-cflags
print-cflags:
	@printf '%s\n' '$(CFLAGS) $(H2O_CFLAGS)'

-include $(OBJECTS:.o=.d) $(HARNESS).d $(BUILD)/bench-verifier.d $(BUILD)/bench-openloop.d $(BUILD)/bench-sockets.d $(addsuffix .d,$(UNIT))
