# Shortcuts for people who change the code. Users need none of them: see README.md.
BIN := .venv/bin
export DAGSTER_DISABLE_TELEMETRY := yes
export DBT_SEND_ANONYMOUS_USAGE_STATS := false

.PHONY: check test format lock lint types imports dbt defs quick

check: lint types imports dbt defs quick ## everything that needs no running service, under two minutes

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types:
	$(BIN)/pyright

imports:
	$(BIN)/lint-imports --no-cache

dbt:
	$(BIN)/dbt parse --project-dir dbt --profiles-dir dbt --quiet

defs:
	$(BIN)/dg check defs

quick:
	$(BIN)/pytest -q tests/unit tests/graph tests/contract tests/polaris

test: ## check, and the integration tests on a real stack
	./millrace test

format: ## what `check` asks for, as far as a tool can do it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## requirements.lock from pyproject.toml, with hashes, for all supported platforms
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --extra dev pyproject.toml -o requirements.lock
