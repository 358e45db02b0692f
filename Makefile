# Two commands matter: `make demo` shows ticketfeed running, `make test` passes every check.
# Each sets up its own virtual environment in .venv, and is quick the second time.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# The tests start thousands of processes: each reads modules that are compiled, whatever the caller's environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check tests quick connectors torture-matrix mutants bench soak outages docs format clean

demo: $(VENV)/.installed
	$(BIN)/ticketfeed demo

test: check tests

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

tests: $(READY) $(VENV)/.connectors
	$(BIN)/python -m pytest -n 4 --dist worksteal

# While you work: everything that needs no PostgreSQL and no other process, in a minute. HTTP on the memory store alone.
QUICK := tests/protocol tests/export tests/data tests/world tests/writing tests/storage tests/wrap tests/server $(wildcard tests/test_*.py)
quick: $(READY)
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 3 --dist worksteal $(QUICK) --ignore tests/storage/test_backup.py --ignore tests/storage/test_replicas.py \
	  -k "not postgres and not Postgres and not (server and sqlite)"

# Every connector, also those whose installation is large.
connectors: $(READY)
	CONNECTORS=all $(BIN)/python -m pytest tests/connectors

# Runs every fault scenario with real connectors, some of them large, and makes docs/reference/torture-matrix.md: half an hour.
torture-matrix: $(READY)
	$(BIN)/python -m tests.torture.matrix

# Plants the faults of tests/mutants.toml one by one; the tests must notice each.
mutants: $(READY)
	$(BIN)/python -m tests.mutants

bench: $(VENV)/.bench
	$(BIN)/python -m bench

bench-export: $(VENV)/.bench
	$(BIN)/python -m bench.export

# make outages MINUTES=10: four servers on PostgreSQL with a replica, each part killed in turn.
outages: $(READY)
	$(BIN)/python -m tests.outages --minutes $(MINUTES)

# make soak MINUTES=60: simulation, concurrency, crashes and attacks with new seeds, on both engines at once.
MINUTES ?= 10
soak: $(READY)
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --store sqlite & first=$$!; \
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --store postgres; second=$$?; \
	$(BIN)/python -m tests.torture.seeds --seeds 1000; third=$$?; \
	wait $$first && [ $$second = 0 ] && exit $$third

docs: $(READY)
	$(BIN)/python -m mkdocs build --strict
	@echo "build/site/index.html"

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ticketfeed needs Python 3.11 or newer; set PYTHON=python3.12, say")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	touch $@

$(READY): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,dev]'
	touch $@ $(VENV)/.installed

$(VENV)/.connectors: tests/connectors/venvs.py $(READY)
	$(BIN)/python -m tests.connectors.venvs
	touch $@

$(VENV)/.bench: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,dev,bench]'
	touch $@ $(READY) $(VENV)/.installed
