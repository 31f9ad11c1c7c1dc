# Fuzz targets: tests/fuzz/fuzz_NOUN.c defines LLVMFuzzerTestOneInput. With a clang that has
# libFuzzer the targets are guided by coverage; without, driver.c feeds them mutations of the
# seeds, so that the smoke run does real work on every machine.
#
# tests/fuzz/seeds/fuzz_NOUN/ may hold inputs to start from. What a run finds goes to
# build/fuzz/found/; `build/fuzz/COMPILER/fuzz_NOUN FILE` replays one.

FUZZ_SECONDS ?= 60
FUZZ_SMOKE_SECONDS ?= 2
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

ifneq ($(filter test fuzz%,$(MAKECMDGOALS)),)
FUZZ_CLANG := $(shell for clang in clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do \
	echo 'int LLVMFuzzerTestOneInput(void){return 0;}' \
	| $$clang -x c -fsanitize=fuzzer - -o /dev/null 2>/dev/null \
	&& echo $$clang && break; done)
endif

ifneq ($(FUZZ_CLANG),)
FUZZ_CC := $(FUZZ_CLANG)
FUZZ_COVERAGE := -fsanitize=fuzzer-no-link
FUZZ_MAIN := -fsanitize=fuzzer
else
FUZZ_CC := $(CC)
FUZZ_MAIN := tests/fuzz/driver.c
endif

FUZZ_DIR := build/fuzz/$(notdir $(firstword $(FUZZ_CC)))
FUZZ_FLAGS := -std=gnu11 -Wall -Wextra -O1 -g -pthread -idirafter c_src -MD \
	-DDROP_SCRATCH_SIZE=4096u \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ_PROGRAMS := $(FUZZ_TARGETS:%=$(FUZZ_DIR)/%)

$(FUZZ_DIR)/src/%.o: c_src/%.c tests/fuzz/rules.mk
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_FLAGS) $(FUZZ_COVERAGE) -c $< -o $@

$(FUZZ_DIR)/libdrop.a: $(C_NOUNS:%=$(FUZZ_DIR)/src/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

$(FUZZ_PROGRAMS): $(FUZZ_DIR)/%: tests/fuzz/%.c tests/fuzz/driver.c tests/c/world.h \
		tests/fuzz/hands.h \
		$(FUZZ_DIR)/libdrop.a
	$(FUZZ_CC) $(FUZZ_FLAGS) $(FUZZ_COVERAGE) $(FUZZ_MAIN) $< $(FUZZ_DIR)/libdrop.a -lm -o $@

-include $(wildcard $(FUZZ_DIR)/src/*.d)

# A target's output is shown when it fails; else its last line, which counts the runs.
fuzz_run = for target in $(FUZZ_TARGETS); do \
	mkdir -p build/fuzz/corpus/$$target build/fuzz/found; \
	log=build/fuzz/$$target.log; seeds=$$(ls -d tests/fuzz/seeds/$$target 2>/dev/null || true); \
	printf '%s: ' $$target; \
	$(FUZZ_DIR)/$$target $(1) -artifact_prefix=build/fuzz/found/$$target- \
	  build/fuzz/corpus/$$target $$seeds > $$log 2>&1 || { cat $$log; exit 1; }; \
	tail -n 1 $$log; done

fuzz: $(FUZZ_PROGRAMS)
	@$(call fuzz_run,-max_total_time=$(FUZZ_SECONDS))

fuzz-smoke: $(FUZZ_PROGRAMS)
	@$(call fuzz_run,-seed=1 -max_total_time=$(FUZZ_SMOKE_SECONDS))
