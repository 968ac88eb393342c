# Each command brings its own .venv; nothing has to be installed before but python3, python3-venv and make.

.DEFAULT_GOAL := help
.PHONY: benchmark benchmark-all chaos check demo fuzz help lock test system-packages

ARGS ?=
COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --no-emit-index-url --no-header $(if $(UPGRADE),--upgrade)

demo: ## Three sample PCS instances, a gateway before them and some traffic: http://127.0.0.1:8080
	@scripts/environment runtime
	@.venv/bin/pcs-gateway demo $(ARGS)

test: ## Every test (ARGS="-k name" for some of them)
	@scripts/environment development
	@.venv/bin/python -m pytest --numprocesses 2 --dist worksteal $(ARGS)

chaos: ## Every fault in every setting, some minutes (`make test` has each fault once)
	@scripts/environment development
	@.venv/bin/python -m pytest tests/chaos --chaos $(ARGS)

check: ## Formatting, lint, types and import layers
	@scripts/environment development
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

benchmark: ## Side by side with nginx, HAProxy and aiohttp, within five minutes
	@scripts/environment development
	@.venv/bin/python -m benchmarks $(ARGS)

benchmark-all: ## The same with every case and more rounds
	@scripts/environment development
	@.venv/bin/python -m benchmarks --all $(ARGS)

fuzz: ## Fuzzing by coverage, a minute for each target (ARGS="--seconds 600 chunked" for some of them)
	@scripts/environment fuzz
	@.venv/bin/python -m tests.fuzz $(ARGS)

lock: ## Pin the dependencies of pyproject.toml anew (UPGRADE=1: to their newest versions)
	@scripts/environment development
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) --group build --output-file requirements-build.lock
	$(COMPILE) pyproject.toml --constraint requirements.lock --all-extras --group test --group dev \
	    --output-file requirements-dev.lock
	$(COMPILE) --group fuzz --output-file requirements-fuzz.lock

system-packages: ## nginx, HAProxy, wrk and ab for tests and benchmarks (apt, as root)
	@scripts/system-packages

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24
