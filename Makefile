# Lockstep. `make help` lists the targets; `make demo` and `make check` do their own set-up.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC = gcc
endif

# Debian 12 packages: for building, the demo and `make check`; and what `make check-all` adds.
DEPS = gcc libc6-dev libczmq-dev libzmq3-dev libpq-dev libjansson-dev libmicrohttpd-dev libgnutls28-dev \
       libcurl4-openssl-dev libssl-dev libyaml-dev libinih-dev liblmdb-dev libpcre2-dev libzstd-dev \
       libxxhash-dev uthash-dev check libsubunit-dev postgresql-15 util-linux python3 nginx haproxy hey \
       curl json-schema-test-suite ca-certificates openssl pkg-config python3-jsonschema libfaketime \
       shellcheck mandoc
DEPS_ALL = strace wrk clang spin libclang-rt-14-dev llvm cppcheck g++ zsh fish
# Whoever has an npm from elsewhere keeps it.
DEPS_ALL += $(if $(shell command -v npm),,npm)

WARN = -Wall -Wextra -Wshadow -Wconversion -Wswitch-enum -Wstrict-prototypes -Wformat=2 \
       -Wimplicit-fallthrough -Werror
# Tried one by one with the compiler at hand (clang 14 knows fewer); sanitizers go without.
HARDEN = -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
         -fcf-protection=full -ftrivial-auto-var-init=zero -fno-strict-aliasing -fPIE
TRIED = $(if $(SANITIZE),-fno-strict-aliasing -fPIE,$(HARDEN))
# Clang alone would not have MUST(!"a sentence"), nor the marked fall-throughs of uthash.
WARN += $(if $(findstring clang,$(CC)),-Wno-string-conversion -Wno-implicit-fallthrough)
HARDEN_LINK = -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--as-needed

OPT ?= -O2 -g
SANITIZE ?=
ASAN = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
COMPILE = $(CC) -std=gnu17 $(OPT) $(WARN) $(HARDENED) $(if $(SANITIZE),$(SANITIZE) -Wno-error) $(CFLAGS) -D_GNU_SOURCE -I. \
          -I/usr/include/postgresql $(CPPFLAGS) -pthread
LINK = $(CC) $(HARDEN_LINK) $(SANITIZE) $(LDFLAGS) -pthread
LIBS = -lczmq -lzmq -lpq -ljansson -lmicrohttpd -lgnutls -lcurl -lcrypto -lyaml -linih -llmdb -lpcre2-8 -lzstd -lm
LIBS_CHECK = -lcheck_pic -lsubunit -lrt

COMMON = $(wildcard common/*.c common/*/*.c)
CORE = $(wildcard coordinator/core/*.c)
AGENT_CORE = $(wildcard agent/core/*.c)
COORDINATOR = $(filter-out coordinator/main.c coordinator/core/% coordinator/cli/%, \
    $(wildcard coordinator/*.c coordinator/*/*.c coordinator/*/*/*.c))
AGENT = $(filter-out agent/main.c agent/core/% agent/client/%,$(wildcard agent/*.c agent/*/*.c))
CLIENT = $(wildcard agent/client/*.c)
CLI = $(wildcard coordinator/cli/*.c)
UNIT = $(wildcard tests/unit/*.c)
SIM = $(wildcard tests/sim/*.c)
DB = $(filter-out tests/db/kit.c,$(wildcard tests/db/*.c))
DB_KIT = $(wildcard tests/db/kit.c)
TEST_MAIN = tests/test.c
BENCH = $(wildcard tests/bench/*.c)
BENCH_CLIENT = $(wildcard tests/bench/client/*.c)
PEER = $(wildcard tests/peer/*.c)
STRANGER = $(wildcard tests/stranger/*.c)
FUZZ = $(wildcard tests/fuzz/*.c)
PAGE = $(wildcard dashboards/web/*)
OPENAPI = coordinator/http/openapi.json
COMPLETION = $(wildcard coordinator/cli/completion.*)
SQL = $(sort $(wildcard sql/*.sql))

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
# What applications link: one library that is shared, one that is not.
CLIENT_VERSION = 0.1.0
CLIENT_SONAME = liblockstep.so.0
LIBRARIES = $(BUILD)/liblockstep.a $(BUILD)/liblockstep.so.$(CLIENT_VERSION)
PROGRAMS = $(BUILD)/lockstepd $(BUILD)/lockstep $(BUILD)/lockstep-agent
UNIT_TESTS = $(patsubst %.c,$(BUILD)/%,$(UNIT))
DB_TESTS = $(patsubst %.c,$(BUILD)/%,$(DB))
SIM_TEST = $(if $(SIM),$(BUILD)/tests/sim)
FUZZERS = $(patsubst %.c,$(BUILD)/%,$(FUZZ))
BENCHES = $(if $(PEER),$(BUILD)/tests/peer) $(if $(STRANGER),$(BUILD)/tests/stranger) $(if $(BENCH),$(BUILD)/tests/bench) $(if $(BENCH_CLIENT),$(BUILD)/tests/client/bench)
EXAMPLES = $(patsubst agent/client/%.c,$(BUILD)/%,$(wildcard agent/client/examples/*.c))

.DEFAULT_GOAL := all
.PHONY: all tests deps deps-all help map tidy unit db system sim kills mutants model fsm check check-all bench bench-read bench-client \
        demo fuzz fuzzers analyze install uninstall clean

# Goals that compile nothing need neither the packages nor the compiler's answers.
IDLE = deps deps-all help map tidy clean uninstall install-packages
ifneq ($(filter-out $(IDLE),$(or $(MAKECMDGOALS),all)),)
include $(BUILD)/hardened-$(notdir $(CC)).mk
# Objects depend on the command that makes them, archives on the list of sources: both are written
# down when they have changed.
note = $(if $(subst x$(strip $(file <$(BUILD)/$(1))),,x$(strip $(2))),$(shell mkdir -p $(BUILD))$(file >$(BUILD)/$(1),$(2)))
$(call note,command,$(COMPILE))
$(call note,sources,$(COMMON) $(CORE) $(AGENT_CORE) $(COORDINATOR) $(AGENT) $(CLI) $(CLIENT))
endif

all: $(PROGRAMS) $(LIBRARIES) ## build the three programs and the library
tests: $(UNIT_TESTS) $(DB_TESTS) $(SIM_TEST) $(BENCHES) $(EXAMPLES) ## build the test programs

deps: ## install the Debian packages that are missing (root or sudo)
	@sh tests/deps.sh $(DEPS)

deps-all: ## and those that only check-all needs
	@sh tests/deps.sh $(DEPS) $(DEPS_ALL)

# Looked at again only when packages came or went, or when the list changed.
$(BUILD)/deps.stamp: Makefile $(wildcard /var/lib/dpkg/status)
	@sh tests/deps.sh $(DEPS)
	@mkdir -p $(@D)
	@touch $@

$(BUILD)/hardened-$(notdir $(CC)).mk: $(BUILD)/deps.stamp
	@for flag in $(TRIED); do \
	    echo 'int main(void) { return 0; }' | $(CC) -O2 -Werror $$flag -x c -o /dev/null - 2>/dev/null \
	        && printf '%s ' "$$flag"; done | sed 's/^/HARDENED = /' > $@

$(BUILD)/obj/%.o: %.c $(BUILD)/command
	@mkdir -p $(@D)
	$(call quiet,CC,$<)$(COMPILE) -MMD -MP -c -o $@ $<

# One short line per file; `make V=1` shows the commands.
quiet = $(if $(V),,@printf '%-6s %s\n' $(1) $(2);)

$(BUILD)/libcommon.a: $(call obj,$(COMMON))
$(BUILD)/libcore.a: $(call obj,$(CORE))
$(BUILD)/libagentcore.a: $(call obj,$(AGENT_CORE))
$(BUILD)/libcoordinator.a: $(call obj,$(COORDINATOR)) $(BUILD)/obj/sql/migrations.o $(BUILD)/obj/dashboards/page_files.o $(BUILD)/obj/dashboards/openapi.o
$(BUILD)/libagent.a: $(call obj,$(AGENT))
# Position independent and with hidden symbols, whether shared or not.
$(call obj,$(CLIENT)): COMPILE += -fPIC -fvisibility=hidden
$(BUILD)/liblockstep.a: $(call obj,$(CLIENT))
$(BUILD)/liblockstep.so.$(CLIENT_VERSION): $(call obj,$(CLIENT))
	$(call quiet,LD,$@)$(CC) -shared -Wl,-soname,$(CLIENT_SONAME) -Wl,-z,nodelete \
	    $(filter-out -pie,$(HARDEN_LINK)) $(if $(SANITIZE),$(SANITIZE),-Wl,-z,defs) $(LDFLAGS) -pthread -o $@ $^
$(BUILD)/libcli.a: $(call obj,$(filter-out coordinator/cli/main.c,$(CLI))) $(BUILD)/obj/cli/completion.o
$(BUILD)/lib%.a: $(BUILD)/sources
	@rm -f $@
	$(call quiet,AR,$@)ar rcs $@ $(filter %.o,$^)

$(BUILD)/lockstepd: $(call obj,$(wildcard coordinator/main.c)) $(BUILD)/libcoordinator.a $(BUILD)/libcore.a $(BUILD)/libcommon.a
$(BUILD)/lockstep: $(call obj,$(wildcard coordinator/cli/main.c)) $(BUILD)/libcli.a $(BUILD)/libcommon.a
$(BUILD)/lockstep-agent: $(call obj,$(wildcard agent/main.c)) $(BUILD)/libagent.a $(BUILD)/libagentcore.a $(BUILD)/liblockstep.a $(BUILD)/libcommon.a
$(PROGRAMS):
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS)

# Files travel inside a program as rows of a table: $(call embed,HEADER,PREFIX,TYPE TABLE,NAME OF A FILE,FILES).
embed = { echo '\#include "$(1)"'; n=0; rows=; for f in $(5); do n=$$((n + 1)); \
	echo "__asm__(\".section .rodata; $(2)_$$n: .incbin \\\"$$f\\\"; $(2)_end_$$n: .byte 0; .previous\");"; \
	echo "extern const char $(2)_$$n[], $(2)_end_$$n[];"; \
	rows="$$rows{ \"$$(basename $$f $(4))\", $(2)_$$n, $(2)_end_$$n }, "; done; \
	echo "const struct $(3)[] = { $$rows{ 0, 0, 0 } };"; }
$(BUILD)/sql/migrations.c: $(SQL) Makefile
	@mkdir -p $(@D)
	@$(call embed,coordinator/store/migrate.h,sql,migration_text migration_texts,.sql,$(SQL)) >$@
$(BUILD)/dashboards/page_files.c: $(PAGE) Makefile
	@mkdir -p $(@D)
	@$(call embed,coordinator/http/admin/page.h,page,page_file page_files,,$(PAGE)) >$@
$(BUILD)/dashboards/openapi.c: $(OPENAPI) Makefile
	@mkdir -p $(@D)
	@$(call embed,coordinator/http/admin/openapi.h,openapi,page_file openapi_files,,$(OPENAPI)) >$@
$(BUILD)/cli/completion.c: $(COMPLETION) Makefile
	@mkdir -p $(@D)
	@$(call embed,coordinator/cli/complete.h,completion,completion_script completion_scripts,,$(COMPLETION)) >$@
$(BUILD)/obj/sql/migrations.o: $(BUILD)/sql/migrations.c $(BUILD)/command
$(BUILD)/obj/dashboards/page_files.o: $(BUILD)/dashboards/page_files.c $(BUILD)/command
$(BUILD)/obj/dashboards/openapi.o: $(BUILD)/dashboards/openapi.c $(BUILD)/command
$(BUILD)/obj/cli/completion.o: $(BUILD)/cli/completion.c $(BUILD)/command
$(BUILD)/obj/sql/migrations.o $(BUILD)/obj/dashboards/page_files.o $(BUILD)/obj/dashboards/openapi.o $(BUILD)/obj/cli/completion.o:
	@mkdir -p $(@D)
	$(call quiet,CC,$<)$(COMPILE) -c -o $@ $<

# Each file in tests/unit and tests/db is a program of its own; it links what it names. Those with
# this kit start the agent itself.
$(patsubst %.c,$(BUILD)/%,$(shell grep -l '"tests/unit/agent_kit.h"' $(UNIT))): | $(BUILD)/lockstep-agent
$(UNIT_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(call obj,$(TEST_MAIN)) $(BUILD)/libcli.a $(BUILD)/libagent.a $(BUILD)/liblockstep.a $(BUILD)/libcoordinator.a $(BUILD)/libcore.a $(BUILD)/libagentcore.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS_CHECK) $(LIBS)
$(DB_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(call obj,$(TEST_MAIN) $(DB_KIT)) $(BUILD)/libcoordinator.a $(BUILD)/libcore.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS_CHECK) $(LIBS)
$(BUILD)/tests/sim: $(call obj,$(SIM)) $(BUILD)/libcore.a $(BUILD)/libagentcore.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS)
$(BUILD)/tests/client/bench: $(call obj,$(BENCH_CLIENT)) $(BUILD)/libagent.a $(BUILD)/libcoordinator.a $(BUILD)/libcore.a $(BUILD)/libagentcore.a $(BUILD)/liblockstep.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS_CHECK) $(LIBS)
# The examples are compiled as a stranger would, by the public header alone.
$(EXAMPLES): $(BUILD)/%: agent/client/%.c agent/client/lockstep.h $(BUILD)/liblockstep.a
	@mkdir -p $(@D)
	$(call quiet,CC,$@)$(CC) -std=gnu99 $(WARN) $(SANITIZE) -Iagent/client -pthread -o $@ $< $(BUILD)/liblockstep.a
$(BUILD)/tests/stranger: $(call obj,$(STRANGER)) $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS)
$(BUILD)/tests/peer: $(call obj,$(PEER)) $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS)
$(BUILD)/tests/bench: $(call obj,$(BENCH)) $(BUILD)/libcoordinator.a $(BUILD)/libcore.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS)

demo: $(PROGRAMS) ## half a minute: a good rollout and two bad ones on 20 agents
	@sh coordinator/cli/demo.sh '$(BUILD)'

AGENTS ?= 1000
REPEAT ?= 5
bench: $(PROGRAMS) $(BENCHES) ## a durable rollout to AGENTS=n against a plain echo (CURVE=1, REPEAT=n, AUTO=1: a write)
	@BUILD='$(BUILD)' python3 -u tests/bench/run.py --agents $(AGENTS) --repeat $(REPEAT) $(if $(CURVE),--curve) $(if $(AUTO),--auto)

bench-read: $(PROGRAMS) $(BENCHES) ## reads of single keys against nginx giving the same bytes (KEYS=n, ROUNDS=n)
	@BUILD='$(BUILD)' python3 -u tests/bench/read.py $(if $(KEYS),--keys $(KEYS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-client: $(PROGRAMS) $(BENCHES) ## local reads against LMDB, decisions on their way to readers, the agent's memory
	@$(BUILD)/tests/client/bench

CHECK = MAKE='$(MAKE)' BUILD='$(BUILD)' CC='$(CC)' SEED='$(SEED)' AGENTS='$(AGENTS)' bash tests/check.sh

tidy: ## the house rules that a compiler cannot check
	@$(CHECK) tidy

unit: $(UNIT_TESTS) ## build and run the unit tests
	@$(CHECK) unit

db: $(DB_TESTS) ## the statements, against a throwaway PostgreSQL
	@$(CHECK) db

sim: $(SIM_TEST) ## bad days of the shipped cores (SEED=n replays one, RUNS=n runs so many)
	@$(BUILD)/tests/sim $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS))

model: ## the decision core, explored by Spin
	@bash tests/model/check.sh

fsm: $(BUILD)/tests/unit/matrix ## the tables of rules, every state with every event
	@$< --print

mutants: ## deliberate protocol mistakes: the simulator's judge must notice each (ONLY=part of a name)
	@RUNS='$(RUNS)' ONLY='$(ONLY)' CC='$(CC)' python3 -B tests/sim/mutants.py

system: $(PROGRAMS) $(BUILD)/tests/unit/roles $(BUILD)/tests/peer $(BUILD)/tests/stranger ## real processes: nginx, crashes, takeovers, bad input (ONLY=nginx for one, LANES=1: one after the other)
	@ONLY='$(ONLY)' $(CHECK) system

kills: all $(BUILD)/tests/unit/agent_kills ## a real agent, killed at KILLS=n random moments and at every system call
	@KILLS=$(or $(KILLS),10000) CALLS=1 $(BUILD)/tests/unit/agent_kills

check: all tests ## everything quick: tidy, circles of calls, unit, db, simulator, system
	@$(CHECK) tidy circles unit db sim system

check-all: deps-all all tests ## and clang, sanitizers, fuzzing, deliberate mistakes, linters, a small benchmark
	@$(CHECK) tidy circles unit db sim system clang asan swaps fuzz mutants model openapi analyze kills crash writers proxies bench

$(FUZZERS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(BUILD)/libcli.a $(BUILD)/libagent.a $(BUILD)/liblockstep.a $(BUILD)/libcoordinator.a $(BUILD)/libcore.a $(BUILD)/libagentcore.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(call quiet,LD,$@)$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBS)
fuzzers: $(FUZZERS)
fuzz: deps-all ## feed the decoders random bytes (FUZZ_SECONDS=20 each)
	@$(CHECK) fuzz

# Macros that cppcheck does not see through, in words it knows; uninitvar takes `T own, *p = &own` for a read.
CPPCHECK_MACROS = -DCOMMON_INVARIANT_H '-DMUST(x)=if(!(x))abort()' '-DIMPLIES(a,b)=(!(a)||(b))' \
    '-DREQUEST_ONLY_QUERY(...)=0' '-Djson_array_foreach(a,i,v)=for(i=0;(v=json_array_get(a,i));i++)' \
    '-Djson_object_foreach(o,k,v)=for(k=0;(v=json_object_get(o,k));)'
analyze: ## cppcheck over everything
	@cppcheck -q -j 2 --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 --suppress=uninitvar \
	    --suppress=missingIncludeSystem $(CPPCHECK_MACROS) -I. -D_GNU_SOURCE coordinator agent common

# What is installed names its own place.
placed = sed 's|@PREFIX@|$(PREFIX)|g; s|/usr/local/share/lockstep|$(PREFIX)/share/lockstep|g'
MANUALS = $(wildcard coordinator/*.[158] coordinator/cli/*.[158] agent/*.[158] agent/client/*.3)
# The pages keep their folders, and so their links.
PAGES = README.md coordinator/STRATEGY.md coordinator/SECRETS.md common/PROTOCOL.md common/ARCHITECTURE.md common/SECURITY.md \
        $(filter-out agent/client/%,$(wildcard agent/*.md)) agent/client/README.md
UNITS = $(wildcard coordinator/*.service agent/*.service)
FUNCTIONS = $$(grep -oE '\blockstep_[a-z_]+\(' agent/client/lockstep.h | tr -d '(' | sort -u)

install: all ## into $(DESTDIR)$(PREFIX)
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	install -D -m 644 coordinator/lockstep.sysusers '$(DESTDIR)$(PREFIX)/lib/sysusers.d/lockstep.conf'
	install -D -m 644 coordinator/lockstep.tmpfiles '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/lockstep.conf'
	install -m 755 $(PROGRAMS) '$(DESTDIR)$(PREFIX)/bin'
	for unit in $(UNITS); do \
	    $(placed) $$unit > "$(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}" || exit 1; done
	install -d '$(DESTDIR)$(PREFIX)/share/lockstep'
	cp -R agent/examples '$(DESTDIR)$(PREFIX)/share/lockstep'
	for file in agent/examples/*/agent.ini; do \
	    $(placed) $$file > "$(DESTDIR)$(PREFIX)/share/lockstep/$${file#agent/}" || exit 1; done
	install -m 644 coordinator/lockstepd.ini agent/agent.ini '$(DESTDIR)$(PREFIX)/share/lockstep'
	for page in $(PAGES); do \
	    install -D -m 644 $$page "$(DESTDIR)$(PREFIX)/share/doc/lockstep/$$page" || exit 1; done
	ln -sfn ../../../lockstep/examples '$(DESTDIR)$(PREFIX)/share/doc/lockstep/agent/examples'
	install -d '$(DESTDIR)$(PREFIX)/lib/pkgconfig' '$(DESTDIR)$(PREFIX)/include'
	install -m 644 agent/client/lockstep.h '$(DESTDIR)$(PREFIX)/include'
	install -m 644 $(LIBRARIES) '$(DESTDIR)$(PREFIX)/lib'
	ln -sf liblockstep.so.$(CLIENT_VERSION) '$(DESTDIR)$(PREFIX)/lib/$(CLIENT_SONAME)'
	ln -sf $(CLIENT_SONAME) '$(DESTDIR)$(PREFIX)/lib/liblockstep.so'
	sed 's|@PREFIX@|$(PREFIX)|g; s|@VERSION@|$(CLIENT_VERSION)|g' agent/client/liblockstep.pc.in \
	    > '$(DESTDIR)$(PREFIX)/lib/pkgconfig/liblockstep.pc'
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/share/doc/liblockstep/examples' agent/client/examples/*.c
	install -m 644 agent/client/README.md '$(DESTDIR)$(PREFIX)/share/doc/liblockstep'
	for page in $(MANUALS); do \
	    install -D -m 644 $$page "$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}" || exit 1; done
	install -D -m 644 coordinator/cli/completion.bash '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/lockstep'
	install -D -m 644 coordinator/cli/completion.zsh '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_lockstep'
	install -D -m 644 coordinator/cli/completion.fish '$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/lockstep.fish'
	for name in $(FUNCTIONS); do \
	    ln -sf liblockstep.3 "$(DESTDIR)$(PREFIX)/share/man/man3/$$name.3" || exit 1; done

uninstall: ## remove what install put there; settings, keys and databases stay
	cd '$(DESTDIR)$(PREFIX)' && rm -f $(addprefix bin/,$(notdir $(PROGRAMS))) \
	    $(addprefix lib/systemd/system/,$(notdir $(UNITS))) lib/sysusers.d/lockstep.conf lib/tmpfiles.d/lockstep.conf include/lockstep.h \
	    $(addprefix lib/,$(notdir $(LIBRARIES)) $(CLIENT_SONAME) liblockstep.so pkgconfig/liblockstep.pc) \
	    share/bash-completion/completions/lockstep share/zsh/site-functions/_lockstep share/fish/vendor_completions.d/lockstep.fish
	cd '$(DESTDIR)$(PREFIX)' && rm -rf share/lockstep share/doc/lockstep share/doc/liblockstep
	for page in $(notdir $(MANUALS)); do rm -f "$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$page"; done
	for name in $(FUNCTIONS); do rm -f "$(DESTDIR)$(PREFIX)/share/man/man3/$$name.3"; done

map: ## what every folder and every file is for
	@sed '/^#/d; /^$$/d' tests/rooms
	@echo
	@git ls-files '*.c' '*.h' '*.sql' '*.js' '*.sh' '*.py' '*.pl' | while read -r f; do \
	    printf '%-48s %s\n' "$$f" "$$(grep -m1 -oE '[a-z0-9_-]+\.(c|h|sql|js|sh|py|pl) - .*' "$$f" | sed 's/^[^ ]* - //; s| \*/$$||')"; done

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

clean: ## remove everything built
	rm -rf $(BUILD)

.SECONDARY:
.DELETE_ON_ERROR:
-include $(wildcard $(addsuffix *.d,$(sort $(dir $(call obj,$(BENCH_CLIENT) $(COMMON) $(CORE) $(AGENT_CORE) $(COORDINATOR) $(AGENT) $(CLIENT) $(CLI) $(UNIT) $(SIM) $(DB) $(BENCH) \
    $(PEER) $(STRANGER) $(FUZZ))))))
