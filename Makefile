# The one door: `make run` shows the platform at work, `make test` checks everything.
# Every build has its own objects in build/MODE/; the private environment is .venv/.

SHELL  := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The first Python that is new enough; PYTHON=... overrides.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done || echo python3)
VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS := node,cli,dev

NATIVE := build_ext.py $(wildcard c_src/*.[ch] c_src/programs/*.c drop/_fast/*.pyx \
	drop/_fast/*.pxd drop/_fast/*.pxi drop/_fast/*_build.py)

.PHONY: help setup run test check debug asan tsan chaos sim bench bench-quick fuzz fuzz-smoke \
	c-test dist tree wheels rpm deb clean

help:
	@echo 'make setup   a private environment in .venv with everything built and installed'
	@echo 'make run     a node with the example flow on real data; leaves it for you to call'
	@echo 'make test    check, C tests, a short fuzz run, then all Python tests'
	@echo 'make check   ruff and mypy'
	@echo 'make debug   the Python tests against a debug build (asserts, leak counters)'
	@echo 'make asan    the C tests and the Python tests under AddressSanitizer and UBSan'
	@echo 'make tsan    the C tests under ThreadSanitizer'
	@echo 'make fuzz    every fuzz target for FUZZ_SECONDS ($(FUZZ_SECONDS))'
	@echo 'make sim     SIM_SEEDS ($(SIM_SEEDS)) simulated clusters in which everything goes wrong'
	@echo 'make bench   figures beside the roofline, some minutes; bench-quick: a first look'
	@echo 'make chaos   real nodes on networks that fail: how fast they see and miss each other'
	@echo 'make rpm     drop-core and drop-cli as RPM packages in dist/, with their own Python'
	@echo 'make deb     the same as Debian packages'
	@echo 'make dist    sdist and wheel in dist/'
	@echo 'make tree    DROP with its own Python in build/drop-tree/, for any x86_64 Linux since 2014'
	@echo 'make wheels  manylinux2014 wheels in dist/'
	@echo 'make clean   removes what was built; the environment too'

# ---- environment and extensions -----------------------------------------------------------------

setup: build/release/.built

$(VENV)/.installed: pyproject.toml setup.py .ci/prerequisites.py
	@$(PYTHON) .ci/prerequisites.py
	$(PYTHON) -m venv $(VENV)
	@mkdir -p build
	@$(BIN)/python -c "import tomllib; \
	  print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" \
	  > build/requires.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r build/requires.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
	  --editable '.[$(EXTRAS)]'
	@touch $@

# Large, and needed by tests and packages only.
$(VENV)/.portable: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  $$($(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb')) \
	  ['project']['optional-dependencies']['portable'])")
	@touch $@

build/%/.built: $(VENV)/.installed $(NATIVE)
	$(BIN)/python build_ext.py --mode $*
	@touch $@

# ---- the main job -------------------------------------------------------------------------------

run: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/run.sh

# Beside the yardsticks in DROP_ROOFLINE, where there are some; see docs/performance.md.
BENCH_MICRO := $(BIN)/python -m pytest bench/micro --benchmark-only -q \
	--benchmark-columns=min,median,iqr,rounds --benchmark-disable-gc

bench: setup
	$(BENCH_MICRO) --benchmark-max-time=0.5
	$(BIN)/python -m bench.micro.instructions --functions
	$(BIN)/python -m bench.system --reps 3 --seconds 1 --json build/bench/system.json

bench-quick: setup
	$(BENCH_MICRO) --benchmark-max-time=0.1
	$(BIN)/python -m bench.system --reps 1 --seconds 0.5 --quick

# ---- tests --------------------------------------------------------------------------------------

# pytest is last, so that its summary is the last line.
test: setup $(VENV)/.portable check c-test fuzz-smoke
	@$(BIN)/pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

# An extension tree of its own comes first on PYTHONPATH, see build_ext.py.
debug: build/debug/.built
	PYTHONPATH=$(CURDIR)/build/debug/site $(BIN)/pytest

# Leaks are the leak counters' matter: the interpreter itself frees little at its end.
asan: build/sanitize/.built c-test
	PYTHONPATH=$(CURDIR)/build/sanitize/site PYTHONMALLOC=malloc \
	  ASAN_OPTIONS=$(ASAN_OPTIONS):detect_leaks=0 \
	  LD_PRELOAD=$$($(CC) -print-file-name=libasan.so) $(BIN)/pytest -m 'not big'

# SIM_NODES=0: as many as the seed says, 5 to 60.
SIM_SEEDS ?= 200
SIM_NODES ?= 0

sim: setup
	$(BIN)/python -m drop.testing.simulation --seeds $(SIM_SEEDS) --nodes $(SIM_NODES)

# As root: it makes network namespaces. CHAOS_MINUTES of them with a fifth of all packets lost.
CHAOS_MINUTES ?= 10
chaos: setup
	PYTHONPATH=tests $(BIN)/python -m cluster.campaign --loss-minutes $(CHAOS_MINUTES)

include tests/c/rules.mk
include tests/fuzz/rules.mk

# ---- the rest -----------------------------------------------------------------------------------

dist: setup
	rm -rf dist
	$(BIN)/python -m build --outdir dist

# Both compile CPython once, which takes some minutes and Debian's sources; see packaging/README.md.
tree: setup
	$(BIN)/python packaging/tree/build --output build/drop-tree
	DROP_TREE=$(CURDIR)/build/drop-tree $(BIN)/pytest tests/system/test_tree_runs.py

wheels: setup
	$(BIN)/python packaging/wheels/build --output dist

# What packaging/tree/build made before and nothing has changed since is not made again.
rpm deb: setup
	$(BIN)/python packaging/tree/build --output build/drop-tree
	$(BIN)/python packaging/tree/build --client --output build/drop-client
	packaging/$@/build --tree build/drop-tree --client-tree build/drop-client --output dist

clean:
	rm -rf build dist $(VENV) *.egg-info
	find drop -name '*.so' -delete
	rm -f drop/_fast/drop-lambda drop/_fast/drop-enclose
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
