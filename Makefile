# Lockstep. `make help` lists the targets.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC = gcc

PACKAGES = libzmq libczmq libpq jansson libmicrohttpd libcurl libcrypto yaml-0.1 libpcre2-8 libzstd
WARN = -Wall -Wextra -Wshadow -Wconversion -Wswitch-enum -Wstrict-prototypes -Wformat=2 -Wimplicit-fallthrough -Werror
HARDEN = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection=full \
         -ftrivial-auto-var-init=zero -fno-strict-aliasing -fPIE
OPT ?= -O2 -g
CFLAGS += -std=gnu17 $(OPT) $(WARN) $(HARDEN) $(SANITIZE) -D_GNU_SOURCE -I. -MMD -MP -pthread
LDFLAGS += -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code $(SANITIZE) -pthread
LIBS = -lczmq -lzmq -lpq -ljansson -lmicrohttpd -lcurl -lcrypto -lyaml -linih -llmdb -lpcre2-8 -lzstd -lm
CPPFLAGS += -I$(shell pg_config --includedir 2>/dev/null || echo /usr/include/postgresql)

COMMON = $(wildcard common/*.c)
CORE = $(wildcard coordinator/core/*.c)
AGENT_CORE = $(wildcard agent/core/*.c)
COORDINATOR = $(filter-out coordinator/main.c,$(wildcard coordinator/*.c coordinator/store/*.c coordinator/http/*.c))
AGENT = $(filter-out agent/main.c,$(wildcard agent/*.c))
CLI = $(wildcard coordinator/cli/*.c)
UNIT = $(wildcard tests/unit/*.c)
SIM = $(wildcard tests/sim/*.c)
DB = $(wildcard tests/db/*.c)
BENCH = $(wildcard tests/bench/*.c)

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

.DEFAULT_GOAL := all
.PHONY: all help map clean unit check format

all: $(BUILD)/lockstepd $(BUILD)/lockstep $(BUILD)/lockstep-agent ## build the three programs

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/libcommon.a: $(call obj,$(COMMON))
$(BUILD)/libcore.a: $(call obj,$(CORE))
$(BUILD)/libagentcore.a: $(call obj,$(AGENT_CORE))
$(BUILD)/libcoordinator.a: $(call obj,$(COORDINATOR))
$(BUILD)/libagent.a: $(call obj,$(AGENT))
$(BUILD)/lib%.a:
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/lockstepd: $(call obj,coordinator/main.c) $(BUILD)/libcoordinator.a $(BUILD)/libcore.a $(BUILD)/libcommon.a
$(BUILD)/lockstep: $(call obj,$(CLI)) $(BUILD)/libcommon.a
$(BUILD)/lockstep-agent: $(call obj,agent/main.c) $(BUILD)/libagent.a $(BUILD)/libagentcore.a $(BUILD)/libcommon.a
$(BUILD)/lockstepd $(BUILD)/lockstep $(BUILD)/lockstep-agent:
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# Each file in tests/unit and tests/db is a program of its own; it links what it names.
$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libagent.a $(BUILD)/libcoordinator.a $(BUILD)/libcore.a $(BUILD)/libagentcore.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) $(LIBS)
$(BUILD)/tests/db/%: $(BUILD)/obj/tests/db/%.o $(BUILD)/libcoordinator.a $(BUILD)/libcore.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) $(LIBS)
$(BUILD)/tests/sim: $(call obj,$(SIM)) $(BUILD)/libcore.a $(BUILD)/libagentcore.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lcrypto -lm

unit: $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(UNIT)) ## build and run the unit tests
	@for t in $^; do $$t || exit 1; done

map: ## what every file is for
	@for f in $$(git ls-files '*.c' '*.h' '*.sql' '*.js' '*.sh'); do sed -n '1s|^|'$$f': |p' $$f; done

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

clean: ## remove everything built
	rm -rf $(BUILD)

.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
