# GNU make 3.81 is enough. Each target first calls infra/set-up where something has changed.
.DEFAULT_GOAL := help

BIN := .venv/bin
STAMP := .venv/.set-up
PYTEST := $(BIN)/python -m pytest
FAST = $(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

# The stamp holds the checkout's path, so that a moved or copied environment is made anew;
# and without Kafka's jars there is something to do, whatever the stamp's age.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
else ifeq ($(wildcard .cache/kafka-*/pom.xml),)
.PHONY: $(STAMP)
endif

$(STAMP): pyproject.toml requirements.lock requirements-java.lock infra/kafka/pom.xml infra/set-up
	@infra/set-up

.PHONY: help run test coverage test-slow faults drill check bench lock clean

help: ## these lines
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile

run: $(STAMP) ## the whole system on this machine, until Ctrl-C
	@$(BIN)/ledger up $(ARGS)

# Two processes: most tests wait for a server at times, while those of the other process run.
test: $(STAMP) ## all tests but the slow ones (ARGS goes to pytest: -n 0 for one process)
	@$(FAST) $(ARGS)

coverage: $(STAMP) ## the same with branch coverage, which takes longer
	@$(FAST) --cov --cov-branch --cov-report=term $(ARGS)

test-slow: $(STAMP) ## the slow tests
	@$(PYTEST) -m slow $(ARGS)

faults: $(STAMP) ## breaks everything for real and writes docs/faults.md (FAULTS_RATE=n: checks a second)
	@rm -rf build/faults
	@FAULTS_TABLE=docs/faults.md FAULTS_CHECKS=$${FAULTS_CHECKS:-30000} $(PYTEST) tests/faults $(ARGS)

drill: $(STAMP) ## the outage of 5 November 2019 again, a naive service beside the ledger (2 minutes)
	@$(BIN)/ledger drill fifth-of-november $(ARGS)

check: $(STAMP) ## style, types, import contracts, and the house
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(PYTEST) --quiet tests/test_tidy.py

bench: $(STAMP) ## figures, each beside its baseline
	@$(BIN)/python -m bench $(ARGS)

LOCK := $(BIN)/uv pip compile --no-config --quiet --universal --python-version 3.11 --no-emit-index-url \
	--generate-hashes --no-header --no-annotate
lock: $(STAMP) ## write the lock files anew from pyproject.toml (UPGRADE=1: with the newest versions)
	@$(LOCK) $(if $(UPGRADE),--upgrade) --extra dev --output-file requirements.lock pyproject.toml
	@sed -n 's/^java = \["\(.*\)"\]$$/\1/p' pyproject.toml | \
		$(LOCK) $(if $(UPGRADE),--upgrade) --output-file requirements-java.lock -

clean: ## removes what the set-up and the tools have made; keeps ledger-data/, the ledger itself
	@rm -rf .venv .cache build dist .coverage .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -d ledger-data ]; then echo "kept: ledger-data/ (the ledger; remove it by hand if you mean it)"; fi
