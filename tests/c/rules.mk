# C unit tests: tests/c/test_NOUN.c becomes a program that links what it uses of c_src.
# Included by the Makefile; objects are in build/asan/ and build/tsan/.

# c_src comes behind the system's directories for the reason given in build_ext.py.
C_CHECKED := -std=gnu11 -Wall -Wextra -Wconversion -Werror -O1 -g -pthread \
	-DDROP_LEAK_COUNTERS=1 -fno-omit-frame-pointer -idirafter c_src -Itests/c -MD
C_SANITIZE_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined
# gcc warns of fences, which the sanitizer does not see; what lies between ours is atomic anyway.
# It takes every clone(2) for a fork, whose child has memory of its own, and forgets all threads;
# and the descriptors of such a child for the parent's. By other names these calls pass unseen.
C_SANITIZE_tsan := -fsanitize=thread -Wno-tsan -Dclone=__clone -Ddup2=__dup2
ASAN_OPTIONS := abort_on_error=1:detect_stack_use_after_return=1

C_NOUNS := $(patsubst c_src/%.c,%,$(wildcard c_src/*.c))
C_TESTS := $(patsubst tests/c/%.c,%,$(wildcard tests/c/test_*.c))

# All of them run, also behind one that fails.
c_run = failed=0; for test in $(1); do \
	printf '%s: ' $$test; $(2) $$test || failed=1; done; exit $$failed

c-test: $(C_TESTS:%=build/asan/%)
	@export ASAN_OPTIONS=$(ASAN_OPTIONS); $(call c_run,$^)

# ThreadSanitizer of older compilers does not know the address layout of newer kernels; without
# randomisation the layout is the one it knows.
tsan: $(C_TESTS:%=build/tsan/%)
	@$(call c_run,$^,setarch -R)

define c_rules
build/$(1)/src/%.o: c_src/%.c tests/c/rules.mk
	@mkdir -p $$(@D)
	$$(CC) $$(C_CHECKED) $$(C_SANITIZE_$(1)) -c $$< -o $$@

build/$(1)/test/%.o: tests/c/%.c tests/c/rules.mk
	@mkdir -p $$(@D)
	$$(CC) $$(C_CHECKED) $$(C_SANITIZE_$(1)) -c $$< -o $$@

build/$(1)/libdrop.a: $$(C_NOUNS:%=build/$(1)/src/%.o)
	@rm -f $$@
	$$(AR) rcs $$@ $$^

$$(C_TESTS:%=build/$(1)/%): build/$(1)/%: build/$(1)/test/%.o build/$(1)/libdrop.a
	$$(CC) -pthread $$(C_SANITIZE_$(1)) $$^ -lm -o $$@

-include $$(wildcard build/$(1)/src/*.d build/$(1)/test/*.d)
endef
$(eval $(call c_rules,asan))
$(eval $(call c_rules,tsan))
