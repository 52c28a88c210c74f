# Every target sets up what it needs: Python >= 3.10 and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Airflow with the FAB auth manager, whose libraries are older than the development tools allow.
FAB_VENV  := .venv-fab
FAB_READY := $(FAB_VENV)/.ready
FAB       := apache-airflow==3.3.2 apache-airflow-providers-fab

RESOLVE   := $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate

# Two processes, whatever the machine has: timings of tests were tried with two.
PARALLEL  := -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types unit integration acceptance chromium least-privilege screenshots nginx \
	coverage bench bench-quick chaos chaos-receiver forge schema constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Create .venv with Airflow, both halves and the test tools

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
	  || { echo "This needs Python 3.10 to 3.13 as $(PYTHON). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
	       && apt-get install -qq -y "python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"; } \
	  || { echo "$(PYTHON) has no venv module: install it (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

$(FAB_READY): $(READY) constraints-fab.txt
	$(PYTHON) -m venv $(FAB_VENV)
	$(FAB_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(FAB_VENV)/bin/python -m pip install --quiet -c constraints-fab.txt -e '.[airflow,outbox,postgres]' $(FAB)
	@touch $@

demo: $(READY) ## A real Airflow rings a real receiver: watch it happen; KEEP=1 leaves it up to look around
	@$(BIN)/python -m demo $(if $(KEEP),--keep)

test: lint types unit integration acceptance ## Everything that must be green

lint: $(READY) ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy --strict
	$(BIN)/mypy

unit: $(READY) ## Fast tests, no servers
	$(BIN)/python -m pytest $(PARALLEL) tests/unit --cov --cov-report=term

integration: $(READY) ## Real databases, real sockets, a built wheel
	$(BIN)/python -m pytest $(PARALLEL) -m "not alone" tests/integration
	$(BIN)/python -m pytest -m alone tests/integration

acceptance: $(READY) $(FAB_READY) chromium ## A real Airflow, and a real browser
	$(BIN)/python -m pytest tests/acceptance

# What Chromium needs to draw text comes with it only where recommended packages do.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
	       && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core; } \
	  || { echo "The page Callbacks is tested in Chromium (Debian: apt-get install chromium)"; exit 1; }

least-privilege: $(READY) $(FAB_READY) ## Of those, only the accounts that can do one thing each
	$(BIN)/python -m pytest tests/acceptance/test_least_privilege.py

screenshots: $(READY) chromium ## Write docs/images: the page Callbacks, with real deliveries
	RINGBACK_WRITE_SCREENSHOTS=1 $(BIN)/python -m pytest tests/acceptance/test_callbacks_page.py

nginx: $(READY) ## The receiver behind nginx, as docs/deploy.md has it
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
	       && apt-get install -qq -y nginx-light; } \
	  || { echo "This needs nginx (Debian: apt-get install nginx-light)"; exit 1; }
	$(BIN)/python -m pytest tests/integration/notifier/deploy/nginx_front.py

coverage: $(READY) ## Write docs/coverage.md: who reports which ending, on a real Airflow
	RINGBACK_WRITE_COVERAGE=1 $(BIN)/python -m pytest tests/acceptance/test_every_ending.py

bench: $(READY) ## Measure what the README claims: forty minutes, one table, docs/benchmarks
	$(BIN)/python -m benchmarks

bench-quick: $(READY) ## The same with few rounds and without Airflow: a few minutes
	$(BIN)/python -m benchmarks --quick

chaos: $(READY) ## 500 runs while everything is killed and the receiver misbehaves; SEED=n, RUNS=n
	$(BIN)/python -m chaos --seed $(or $(SEED),1) --runs $(or $(RUNS),500)

chaos-receiver: $(READY) ## Receivers and PostgreSQL killed under load, and nothing acknowledged lost; SEED=n, KILLS=n
	$(BIN)/python -m chaos.kill_receivers --seed $(or $(SEED),1) --kills $(or $(KILLS),30)

forge: $(READY) ## A million mutated events, of which none may be believed; SEED=n, EVENTS=n
	$(BIN)/python -m chaos.forge --seed $(or $(SEED),1) --events $(or $(EVENTS),1000000)

schema: $(READY) ## Write docs/completion-event.schema.json from the code
	$(BIN)/python -m ringback_protocol.schema docs/completion-event.schema.json

constraints: $(READY) ## Resolve constraints.txt and constraints-fab.txt anew
	$(BIN)/python -m pip install --quiet uv
	{ sed -n '/^#/p' constraints.txt; $(RESOLVE) --extra dev pyproject.toml; } > constraints.new
	mv constraints.new constraints.txt
	{ sed -n '/^#/p' constraints-fab.txt; \
	  printf '%s\n' $(FAB) | $(RESOLVE) --extra airflow --extra outbox --extra postgres pyproject.toml -; \
	} > constraints.new
	mv constraints.new constraints-fab.txt

clean: ## Remove .venv and caches
	rm -rf $(VENV) $(FAB_VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
