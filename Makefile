# Everything a contributor or CI runs. `make help` lists it.
# Requires Python 3.11 or newer, Rust (see rust-version in Cargo.toml), a C compiler and make.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONPATH := $(CURDIR)

# `release` ships and is measured; `ci` tests: optimised, checked arithmetic, no link-time cost.
# Lints, tests, fuzzing and crash runs share `ci`, so the dependency tree is built once for them.
CARGO_CI := --workspace --profile ci --locked

ARGS ?=
ORDERS ?=
DATA ?=

PROTO := $(wildcard proto/bespeak/v1/*.proto)
PROTO_OUT := rust_core/python
BASELINE ?=

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo native-release ## Promise real grocery baskets through a live server (ORDERS=N, DATA=file)
	$(PY) -m serving demo $(if $(ORDERS),--orders $(ORDERS)) $(if $(DATA),--data $(DATA)) $(ARGS)

up: $(VENV)/.compute native-release ## Start server and worker on this machine
	$(PY) -m serving up $(ARGS)

test: venv ## Run the Rust and Python tests but those of minutes, which `make ci` runs (ARGS go to pytest)
	cargo test $(CARGO_CI)
	$(MAKE) native-ci
	.ci/tests $(or $(ARGS),--short)

lint: venv native-ci ## Check formatting, types, layering, protocol and stubs
	.ci/lint

fmt: $(VENV)/.dev ## Format Rust, Python and proto
	cargo fmt --all
	ruff format .
	ruff check --fix-only --quiet .
	buf format --write proto

bench: $(VENV)/.compute $(VENV)/.dev native-release ## Measure against the targets, JSON lines out
	$(PY) -m loadtests.measure $(ARGS)

proto: $(VENV)/.dev ## Regenerate the Python code (BASELINE=1 also accepts breaking changes)
	.ci/proto generate $(PROTO_OUT)
	$(if $(BASELINE),buf build proto --exclude-source-info --output proto/baseline.binpb)

ci: ## Everything CI runs: lint, all tests, short crash, simulation and fuzz runs
	$(MAKE) lint
	timeout 40m cargo test $(CARGO_CI) # a test that hangs is told with its name, and ends here
	.ci/proofs short
	.ci/tests $(ARGS)

fuzz: $(VENV)/.dev ## Long fuzzing of everything that decodes foreign bytes
	.ci/proofs long fuzz

crash: $(VENV)/.dev native-ci ## Long kill -9 and simulated-disk runs
	.ci/proofs long crash simulation

lock: $(VENV)/.build ## Resolve requirements/*.in again (ARGS=--upgrade moves the pins)
	UV=$(CURDIR)/$(UV) requirements/lock $(ARGS)

# Internal: one stamp a requirements list, so that each command installs no more than it needs.
.PHONY: help demo up test lint fmt bench proto ci fuzz crash lock venv native-ci native-release

venv: $(VENV)/.demo $(VENV)/.compute $(VENV)/.challengers $(VENV)/.dev

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than 3.11: set PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check \
		$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements/build.txt)
	@touch $@

$(VENV)/.build $(VENV)/.base $(VENV)/.compute $(VENV)/.challengers $(VENV)/.demo $(VENV)/.dev: \
$(VENV)/.%: requirements/%.txt $(VENV)/.created
	$(UV) pip install --quiet --requirement $<
	@touch $@

$(VENV)/.demo $(VENV)/.compute $(VENV)/.challengers $(VENV)/.dev: | $(VENV)/.build $(VENV)/.base

# maturin asks cargo what is stale, and rewrites the one _core library in the tree.
native-ci native-release: native-%: $(VENV)/.build $(VENV)/.base
	maturin develop --quiet --uv --profile $* --locked
