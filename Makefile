# Everything sets itself up: an isolated environment in .venv, the core as a wheel, both
# made anew only when their sources change. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
WHEELS := dist
export PIP_DISABLE_PIP_VERSION_CHECK := 1

CORE_SOURCES := Cargo.toml Cargo.lock $(shell find rust -type f -not -path 'rust/fuzz/*' -not -path '*/target/*' 2>/dev/null)
PACKAGE_SOURCES := pyproject.toml $(shell find pdp policies -type f -not -name '*.so' -not -path '*/__pycache__/*' -not -path 'pdp/_policies/*' 2>/dev/null)

.PHONY: help run test lint fuzz wheel format clean

help:
	@echo 'make run     set up, build and start the decision point with the sample estate;'
	@echo '             REDIS_URL=redis://127.0.0.1:6379 keeps counters and facts in that server'
	@echo 'make test    set up and run every test'
	@echo 'make lint    set up and run every check of form'
	@echo 'make fuzz    run every fuzz target for SECONDS_EACH seconds'
	@echo 'make wheel   build the wheel into $(WHEELS)/'
	@echo 'make format  format all code'
	@echo 'make clean   remove what was built'

# By the environment: what is in it is not in the list of processes.
run: $(STAMPS)/installed
	@$(if $(REDIS_URL),PDP_STATE__REDIS_URL='$(REDIS_URL)') exec $(BIN)/pdp serve --policies policies --questions $(ARGS)

test: $(STAMPS)/dev $(STAMPS)/installed
	cargo test --workspace --locked
	$(BIN)/pytest $(ARGS)

lint: $(STAMPS)/dev $(STAMPS)/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/stubtest pdp._core
	$(BIN)/python scripts/check_crates.py
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

SECONDS_EACH ?= 20
fuzz: $(STAMPS)/prerequisites
	scripts/fuzz.sh $(SECONDS_EACH)

format: $(STAMPS)/dev
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format
	cargo fmt --all

wheel: $(STAMPS)/wheel

# The tools that everything below stands on; asked for once, since their absence is seen then.
$(STAMPS)/prerequisites: scripts/prerequisites.sh
	@mkdir -p $(@D)
	@scripts/prerequisites.sh > $@.new
	@mv $@.new $@

# Made anew only when missing: others may have put tools of their own into it.
$(STAMPS)/venv: $(STAMPS)/prerequisites
	@test -x $(BIN)/python || { echo 'making $(VENV)'; "$$(cat $<)" -m venv $(VENV); }
	@touch $@

$(STAMPS)/run: requirements/run.txt requirements/build.txt $(STAMPS)/venv
	$(BIN)/pip install -r requirements/run.txt -r requirements/build.txt
	@touch $@

$(STAMPS)/dev: requirements/dev.txt $(STAMPS)/run
	$(BIN)/pip install -r requirements/dev.txt
	@touch $@

$(STAMPS)/wheel: $(CORE_SOURCES) $(PACKAGE_SOURCES) | $(STAMPS)/run
	@mkdir -p $(WHEELS) && rm -rf $(WHEELS)/pdp-*.whl pdp/_policies && cp -r policies pdp/_policies
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release --locked --out $(WHEELS)
	@touch $@

$(STAMPS)/installed: $(STAMPS)/wheel
	$(BIN)/pip install --no-deps --force-reinstall $(WHEELS)/pdp-*.whl
	@touch $@

clean:
	rm -rf $(VENV) $(WHEELS) pdp/_policies target
