# Fuzz targets: tests/fuzz/fuzz_NOUN.c defines LLVMFuzzerTestOneInput. With a clang that has
# libFuzzer the targets are guided by coverage; without, driver.c feeds them mutations of a seed,
# so that the smoke run does real work on every machine.

FUZZ_SECONDS := 60
FUZZ_SMOKE_SECONDS := 2
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_FLAGS := -std=gnu11 -Wall -Wextra -Werror -O1 -g -pthread -idirafter c_src \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

# Asked once per run of make, and only when a fuzz target is wanted.
FUZZ_CLANG = $(eval FUZZ_CLANG := $$(shell for clang in clang clang-19 clang-16 clang-14; do \
	echo 'int LLVMFuzzerTestOneInput(void){return 0;}' \
	| $$$$clang -x c -fsanitize=fuzzer - -o /dev/null 2>/dev/null \
	&& echo $$$$clang && break; done || true))$(FUZZ_CLANG)

build/fuzz/%: tests/fuzz/%.c tests/fuzz/driver.c $(wildcard c_src/*.[ch])
	@mkdir -p $(@D)
	$(if $(FUZZ_CLANG),$(FUZZ_CLANG) -fsanitize=fuzzer $(FUZZ_FLAGS) $<, \
	  $(CC) $(FUZZ_FLAGS) tests/fuzz/driver.c $<) $(wildcard c_src/*.c) -lm -o $@

fuzz: $(FUZZ_TARGETS:%=build/fuzz/%)
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p build/fuzz/corpus/$$target; \
	  build/fuzz/$$target -max_total_time=$(FUZZ_SECONDS) build/fuzz/corpus/$$target; done

fuzz-smoke: $(FUZZ_TARGETS:%=build/fuzz/%)
	@for target in $(FUZZ_TARGETS); do \
	  echo "fuzz: $$target for $(FUZZ_SMOKE_SECONDS) s"; \
	  build/fuzz/$$target -seed=1 -max_total_time=$(FUZZ_SMOKE_SECONDS) 2>&1 | tail -n 1; done
