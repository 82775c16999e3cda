# Faregate's commands. Everything is set up on the way; nothing but Python 3.11 and make is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
NODE_MODULES := tests/e2e/node/node_modules

.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@scripts/make_venv $(PYTHON) $(VENV)

$(VENV)/run.stamp: requirements/run.lock requirements/build.lock pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/run.lock -r requirements/build.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock $(VENV)/run.stamp
	$(PIP) --require-hashes -r requirements/dev.lock
	@touch $@

.venv-openai-previous/stamp: requirements/openai-previous.lock
	@scripts/make_venv $(PYTHON) .venv-openai-previous
	.venv-openai-previous/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r $<
	@touch $@

# Without what LiteLLM asks for and a client of it never loads: requirements/litellm.without.
.venv-litellm/stamp: requirements/litellm.lock
	@scripts/make_venv $(PYTHON) .venv-litellm
	.venv-litellm/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps -r $<
	@touch $@

# The wheel of Node carries npm, so that Node's SDKs are tested on a machine that has none.
$(NODE_MODULES)/stamp: tests/e2e/node/package-lock.json $(VENV)/dev.stamp
	cd tests/e2e/node && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: run
run: $(VENV)/run.stamp  ## set up, start the gateway on 127.0.0.1:8080, print a key and a first call
	@exec $(BIN)/faregate up $(ARGS)

.PHONY: install
install: $(VENV)/run.stamp  ## set up what serving needs, and start nothing

.PHONY: setup
setup: $(VENV)/dev.stamp .venv-openai-previous/stamp .venv-litellm/stamp $(NODE_MODULES)/stamp  ## install what tests and checks need

.PHONY: test
test: setup  ## run all tests, some files at a time
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

.PHONY: soak
soak: setup  ## run what takes minutes: faults at their full size, memory over time
	$(BIN)/python -m pytest -m soak tests/soak $(ARGS)

.PHONY: check
check: $(VENV)/dev.stamp  ## lint and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

.PHONY: format
format: $(VENV)/dev.stamp  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/run.stamp  ## measure against the direct upstream and, where installed, nginx
	$(BIN)/python -m bench $(ARGS)

.PHONY: lock
lock: $(VENV)/dev.stamp  ## renew the locked dependencies, a week old at the least
	$(PIP) uv
	for name in run build dev openai-previous litellm; do \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --python-version 3.11 --no-header \
	    --exclude-newer "$$(date -u -d '7 days ago' +%F)" $$(ls requirements/$$name.without 2>/dev/null | sed 's/^/--excludes /') \
	    --upgrade requirements/$$name.in -o requirements/$$name.lock; \
	done

.PHONY: clean
clean:  ## remove what make has installed
	rm -rf $(VENV) .venv-openai-previous .venv-litellm $(NODE_MODULES)
