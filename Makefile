# make setup  installs what the others need, and they do so themselves
# make book   builds the book into _build/html (PRESET=smoke or PRESET=paper for other sizes)
# make verify executes all chapters again and compares every table and verdict with the last build
# make test   runs the tests;  make bench  measures the speed;  make lint  checks style, types and spelling
# Everything is installed into .venv from requirements.lock; nothing outside it.

VENV := .venv
$(if $(word 2,$(VENV)),$(error VENV must be a path without spaces; got "$(VENV)". Use VENV=.venv))
BIN := $(VENV)/bin
# Asking for another Python asks for another stamp.
READY := $(VENV)/.madlib-ready$(if $(PYTHON),-$(notdir $(PYTHON)))

# Bytecode written once saves every later process seconds of import.
unexport PYTHONDONTWRITEBYTECODE
WORKERS ?= 2
PRESET ?=
CANDIDATES := $(or $(PYTHON),$(wildcard $(BIN)/python) python3 python3.14 python3.13 python3.12 python3.11)

.PHONY: setup book verify test bench lint lock clean

setup: $(READY)

book: $(READY)
	@$(BIN)/python -m madlib book $(if $(PRESET),--preset $(PRESET))

verify: $(READY)
	@$(BIN)/python -m madlib book --verify $(if $(PRESET),--preset $(PRESET))

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS)

bench: $(READY)
	$(BIN)/python -m benchmarks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --level error
	$(BIN)/codespell --ignore-words-list categor,ois,ot .ci .github benchmarks book madlib tests *.md *.yml *.toml Makefile

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra book --extra test --extra cluster --group lock --quiet \
	    --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --upgrade \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    --output-file requirements.lock

clean:
	rm -rf _build .pytest_cache .ruff_cache

$(READY): requirements.lock pyproject.toml
	@for candidate in $(CANDIDATES); do \
	  if $$candidate -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "madlib needs Python 3.11 or newer with its venv module; $(if $(PYTHON),$(PYTHON) is not one,none was found). Install one (on Debian: python3 and python3-venv), or name it: make PYTHON=/path/to/python3." >&2; \
	  exit 1; \
	fi; \
	version='import sys; print(sys.version_info[:2])'; \
	if [ "$$($$python -c "$$version")" != "$$($(BIN)/python -c "$$version" 2>/dev/null)" ]; then \
	  $$python -m venv --clear $(VENV); \
	fi
	@echo "Installing the locked packages into $(VENV)."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
