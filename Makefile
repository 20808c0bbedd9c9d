# Two commands are all a new machine needs (Python 3.11+ and make): `make demo` and `make test`.
SHELL := /bin/bash
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-bench demo test unit lint format sql-lint officials bench verify clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup:
	@bash scripts/setup.sh starter,pandas,service

setup-dev:
	@bash scripts/setup.sh dev

setup-bench:
	@bash scripts/setup.sh dev,bench

demo: setup  ## the main job on generated data: build, enrich, plan, sync; a second day; a third run with nothing to do
	@$(BIN)/revetl demo

test: lint unit  ## all checks and tests

# A small statement costs DuckDB thousands of small allocations. Where glibc keeps more of what was freed, the statement
# takes up to a fifth less time; without glibc this changes nothing.
MALLOC := glibc.malloc.tcache_count=2000:glibc.malloc.trim_threshold=134217728:glibc.malloc.top_pad=16777216

unit: setup-dev
	@GLIBC_TUNABLES=$(MALLOC) $(BIN)/python -m pytest -n 2 --dist loadgroup --durations=30 tests

lint: setup-dev sql-lint
	@$(BIN)/ruff format --check -q src tests benchmarks verification || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check -q src tests benchmarks verification
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

# sqlfluff reads the models through dbt, which compiles them for an empty DuckDB: no file, no secrets.
SQLFLUFF := REVETL_DUCKDB_PATH=:memory: $(BIN)/sqlfluff
STARTER_SQL := dbt_project/models dbt_project/tests
OFFICIALS_SQL := --config examples/officials/.sqlfluff $(addprefix examples/officials/,$(STARTER_SQL))

sql-lint: setup-dev
	@$(SQLFLUFF) lint -q $(STARTER_SQL)
	@$(SQLFLUFF) lint -q $(OFFICIALS_SQL)

format: setup-dev  ## formats Python and SQL
	@$(BIN)/ruff format -q src tests benchmarks verification && $(BIN)/ruff check -q --fix src tests benchmarks verification
	@$(SQLFLUFF) fix -q $(STARTER_SQL)
	@$(SQLFLUFF) fix -q $(OFFICIALS_SQL)

officials: setup  ## real input: three public files become one record per person, scored against the truth
	@$(BIN)/python benchmarks/officials.py

bench: setup-bench  ## the figures in docs/benchmarks.md, measured beside a floor and peers in one run
	@$(BIN)/python -m benchmarks

verify: setup-dev  ## the long proofs behind docs/reliability.md: simulation, kills, storms, poison, planted mistakes
	@$(BIN)/python -m verification

clean:
	@rm -rf .demo .officials .pytest_cache .mypy_cache .ruff_cache dist build
