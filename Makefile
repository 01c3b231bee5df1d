# For GNU make, which is gmake on illumos. Nothing but python3 (3.11 or newer, with its venv module), make and gcc has to be there first;
# scripts/prereqs says what is missing and how to get it. Everything else goes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TESTS  ?=
# Tests run side by side, but not on more processors than they can use.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 8 --dist loadgroup

# What the stamps hold: a virtual environment has its own path written into its scripts, so a checkout that was
# moved or copied needs a new one.
HERE := $(CURDIR)
ifneq ($(shell cat $(VENV)/.made 2>/dev/null),$(HERE))
  $(shell rm -f $(VENV)/.made $(VENV)/.installed $(VENV)/.installed-dev)
endif

unexport PYTHONDONTWRITEBYTECODE  # hundreds of programs are started: compile each module once

.NOTPARALLEL:  # two pips in one .venv do not go well
.PHONY: help prereqs test test-whole test-zfs lint demo bench conf clean
help:
	@echo 'make demo    see it work: a golden image, a build in a disposable zone, on the lab'
	@echo 'make test    run the tests (TESTS="tests/test_config.py -k layers" for some)'
	@echo 'make test-whole  the same, every fault of the sweep and every scenario on both flavours'
	@echo 'make test-zfs    the scenarios on this machine'"'"'s OpenZFS (root; POOL=POOL/DATASET)'
	@echo 'make lint    ruff and mypy'
	@echo 'make bench   measure, and write benchmarks/out/'
	@echo 'make conf    write conf/zonemgr.toml anew from zonemgr/config.py'
	@echo 'make clean   remove .venv and everything that was made'

prereqs:
	@PYTHON='$(PYTHON)' sh scripts/prereqs

$(VENV)/.made: | prereqs
	$(PYTHON) -m venv --clear $(VENV)
	@printf '%s\n' '$(HERE)' >$@

$(VENV)/.installed: pyproject.toml $(VENV)/.made | prereqs
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.made | prereqs
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,lint]'
	@touch $@ $(VENV)/.installed

test: $(VENV)/.installed-dev
	$(PYTEST) $(TESTS)

# What `make test` leaves out to be done in time: every fault at every question, every scenario on both flavours.
test-whole: $(VENV)/.installed-dev
	TEST_SWEEP=whole TEST_SCENARIOS=all $(PYTEST) $(TESTS)

test-zfs: $(VENV)/.installed-dev
	@ZONEMGR='$(HERE)/$(BIN)/zonemgr' POOL='$(POOL)' sh scripts/test-zfs $(TESTS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: $(VENV)/.installed
	ZONEMGR='$(HERE)/$(BIN)/zonemgr' sh test/demo.sh

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

conf: $(VENV)/.installed
	$(BIN)/python -c 'import sys; from zonemgr import config; sys.stdout.write(config.as_toml(config.Config(), reasons=True))' \
	    >conf/zonemgr.toml.new
	mv conf/zonemgr.toml.new conf/zonemgr.toml

clean:
	rm -rf $(VENV) dist build benchmarks/out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf conf/zonemgr.toml.new
	find zonemgr tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	-$(MAKE) -C test/scenarios/hello-c clean
