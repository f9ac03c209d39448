# Every recipe sets up what it needs; nothing but Python 3.11+ and make has to be there before.
PYTHON ?= python3
UV := .tools/bin/uv
RUN := $(UV) run --frozen --no-sync
export UV_PYTHON_DOWNLOADS := never
export MELTANO_CLI_DISABLE_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo drop-folder hub test test-all coverage lint fmt bench service pictures crm-api simulator clean database-stop database-dump database-restore

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: .venv/.ready ## the environment in .venv, from the lock file

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .tools || { echo "python3 -m venv failed: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@echo "Setting up: uv, then the environment in .venv (once, about 30 seconds)"
	@.tools/bin/pip install --quiet --disable-pip-version-check uv==0.13.9

.venv/.ready: .tools/bin/uv uv.lock pyproject.toml */pyproject.toml $(wildcard hub/*/pyproject.toml)
	@# An older environment had two libraries in one folder `backoff`: removing one empties the other.
	@$(UV) sync --frozen --quiet --compile-bytecode --reinstall-package python-backoff --python $(PYTHON)
	@touch $@

demo: setup ## simulator, embedded PostgreSQL, two real runs, the tables (DATA=folder: real opportunities)
	@$(RUN) python -m harness.demo $(if $(DATA),--data $(DATA))

hub: setup ## copies of HubSpot and nine other sources, one run of all, the table
	@$(RUN) python -m harness.hub

drop-folder: setup ## simulator, mail server, CSV files of a booking system, one run, what became of them
	@$(RUN) python -m harness.drop_demo

test: setup lint ## linters, types and all tests but the heavy ones
	@$(RUN) pytest --numprocesses auto --dist worksteal

test-all: setup lint ## the heavy tests too
	@$(RUN) pytest -m "not benchmark" --durations 10

coverage: setup ## the tests again, with branch coverage
	@$(RUN) coverage erase
	@$(RUN) coverage run -m pytest
	@$(RUN) coverage combine --quiet
	@$(RUN) coverage report

lint: setup ## ruff, mypy, import-linter
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) lint-imports --no-cache

fmt: setup ## let ruff mend what it can
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

bench: setup ## side by side with the peers; prints the table that docs/benchmarks.md keeps
	@$(RUN) pytest -m benchmark -s

database-stop: setup ## stop the embedded PostgreSQL; whatever needs it starts it again
	@$(RUN) python -m target_deals_postgres.embedded stop

database-dump: setup ## all its data into .data/postgres.sql, before a next major version is installed
	@$(RUN) python -m target_deals_postgres.embedded dump

database-restore: setup ## a new data directory from that file, after it was installed
	@$(RUN) python -m target_deals_postgres.embedded stop
	@$(RUN) python -m target_deals_postgres.embedded restore

simulator: setup ## a HubSpot to play with on http://127.0.0.1:8650
	@$(RUN) hubspot-simulator

service: setup ## the scan service with a demo tenant, its key, web pages and a HubSpot; prints their address
	@$(RUN) hubspot-simulator --deals 100 --lives 400 --limits & hubspot=$$!; \
	trap 'kill $$hubspot 2>/dev/null' EXIT; trap 'exit 0' INT TERM; \
	export DATABASE_URL="$${DATABASE_URL:-$$($(RUN) python -m target_deals_postgres.embedded start)}"; \
	export SCAN_SERVICE_HUBSPOT_BASE_URL="$${SCAN_SERVICE_HUBSPOT_BASE_URL:-http://127.0.0.1:8650}"; \
	export SCAN_SERVICE_WAREHOUSE_URL="$${SCAN_SERVICE_WAREHOUSE_URL:-$$DATABASE_URL}"; \
	$(RUN) scan-service dev --token pat-na1-first

pictures: setup ## the README's pictures of the web pages, again (Chromium has to be there)
	@PICTURES=$$(mktemp -d) && export PICTURES && $(RUN) pytest -q tests/browser -k excel && \
	mkdir -p docs/pictures && mv "$$PICTURES/desk-scan.png" docs/pictures/scan.png && mv "$$PICTURES/desk-pipeline.png" docs/pictures/pipeline.png

crm-api: setup ## the API for end users on port 4012, with a HubSpot of its own (or CRM_API_HUBSPOT_ACCESS_TOKEN's); prints the curl lines
	@if [ -z "$$CRM_API_HUBSPOT_ACCESS_TOKEN$$HUBSPOT_REFRESH_TOKEN" ]; then \
	$(RUN) hubspot-simulator & hubspot=$$!; \
	trap 'kill $$hubspot 2>/dev/null' EXIT; trap 'exit 0' INT TERM; \
	export CRM_API_HUBSPOT_ACCESS_TOKEN=pat-na1-first CRM_API_ALLOW_OPEN_DIRECTORY=true; \
	export CRM_API_HUBSPOT_BASE_URL="$${CRM_API_HUBSPOT_BASE_URL:-http://127.0.0.1:8650}"; fi; \
	export DATABASE_URL="$${DATABASE_URL:-$$($(RUN) python -m target_deals_postgres.embedded start)}"; \
	$(RUN) crm-api dev

clean: ## all that the recipes made, the embedded database too
	@test ! -x .venv/bin/python || .venv/bin/python -m target_deals_postgres.embedded remove
	@rm -rf .venv .tools .meltano .data output
