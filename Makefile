# Everything a developer, a hook or CI runs. `make` alone lists the targets.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# Tests run side by side; WORKERS=0 runs them one by one. A file stays together, and so do the
# servers it starts. Each worker costs some 15 s of CPU before its first test, which only tests
# that mostly wait are worth.
WORKERS ?= 2
test-e2e test-integration: WORKERS = 4

BIN := $(VENV)/bin
TYPESCRIPT := examples/typescript
TOOLS := $(VENV)/.tools
RUNNABLE := $(VENV)/.runnable
INSTALLED := $(VENV)/.installed
INTEGRATION := $(VENV)/.integration
BENCH := $(VENV)/.bench
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Nothing is installed that has no hash, and nothing is built with what has none. Two have no
# wheel; they are built with requirements/build.txt.
HASHED := --require-hashes --only-binary :all: --no-binary pyvips,forbiddenfruit --no-build-isolation
# With uv, which takes a tenth of pip's time; with pip where uv's wheel is not to be had, or where
# uv can't reach the index: it doesn't read pip's configuration.
install = $(BIN)/uv pip install --quiet --python $(BIN)/python $(1) || \
	{ echo "Without uv: pip installs instead, which takes minutes"; $(PIP) install $(1); }
UPGRADE ?= --upgrade
LOCK = $(BIN)/uv pip compile $(UPGRADE) --universal --python-version 3.11 --quiet --generate-hashes \
	--no-strip-extras --no-emit-index-url --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow coverage test-unit test-e2e test-integration test-bare test-proof test-chaos soak lint \
	format bench bench-smoke bench-requests openapi docs docs-check docs-lint test-examples \
	check-ops audit terraform-check lock clean

help: ## List the targets
	@$(PYTHON) -c 'import re, sys; [print(f"  {target:18} {text}") for target, text in \
		re.findall(r"^([a-z-]+):.*? ## (.*)", open(sys.argv[1]).read(), re.M)]' Makefile

setup: $(INSTALLED) ## Make .venv with everything in it (other targets do it themselves)

run: $(RUNNABLE) ## Run the whole service on embedded parts; ARGS="--port 9000" passes options
	@exec $(BIN)/image-service dev $(ARGS)

test: $(INSTALLED) ## Run the tests of the inner loop, which need nothing else; ARGS="-k tags" selects
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not slow" $(ARGS)

test-slow: $(INSTALLED) ## Run what takes seconds a test: costly pictures, memory, load, traces, metrics
	$(BIN)/pytest $(SIDE_BY_SIDE) -m slow $(ARGS)

coverage: $(INSTALLED) ## Run both, with the lines and branches that they reach
	$(BIN)/pytest $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered $(ARGS)

test-unit: $(INSTALLED) ## Run the tests that need no server; seconds
	$(BIN)/pytest tests/unit $(ARGS)

test-e2e: $(INSTALLED) ## Run the tests of the running server over HTTP, minutes (needs curl, redis-server)
	$(BIN)/pytest $(SIDE_BY_SIDE) --ignore tests/e2e/test_getting_started.py tests/e2e $(ARGS)

test-integration: $(INTEGRATION) ## Run races, faults and storage suites on real engines (needs Java, npm, nginx, redis-server)
	tests/fetch_dynamodb_local.sh
	IMAGE_SERVICE_TEST_ENGINES=real $(BIN)/pytest $(SIDE_BY_SIDE) \
		tests/contract tests/integration tests/e2e/test_early_answers.py $(ARGS)

test-bare: ## Prove `make run` and `make test` on a bare machine; ARGS="--pip 23.0.1" takes that pip
	$(PYTHON) tests/bare.py $(ARGS)

test-proof: $(INSTALLED) ## Faults, kills, races, Schemathesis and fuzzing, a few minutes of each
	IMAGE_SERVICE_TEST_EXAMPLES_EACH=300 $(BIN)/pytest -m hypothesis tests/unit tests/contract
	$(BIN)/pytest tests/chaos tests/fuzz $(ARGS)

test-chaos: $(INSTALLED) ## The same for an hour, with new dice: 200 kills, 5 minutes of fuzzing; ARGS="-k kill" selects
	IMAGE_SERVICE_TEST_SEED=random IMAGE_SERVICE_CHAOS_ROUNDS=200 IMAGE_SERVICE_CHAOS_EXAMPLES=150 \
		IMAGE_SERVICE_FUZZ_SECONDS=300 $(BIN)/pytest tests/chaos tests/fuzz $(ARGS)

soak: $(INSTALLED) ## Measure memory over 2,000 uploads, with jemalloc and without
	$(BIN)/python -m benchmarks.soak $(ARGS)

lint: $(INSTALLED) ## Check style, types, the import rules and the words
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.house
	$(BIN)/python -m tools.locks requirements/uv.txt requirements/build.txt

format: $(INSTALLED) ## Format the code and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

check-ops: ## Check Dockerfile, compose file and workflows
	.github/check.sh

audit: ## Look the pinned requirements up for known vulnerabilities (needs the network)
	.github/check.sh audit

terraform-check: ## Check the Terraform code: format, validity, plans, checkov
	terraform/check.sh

bench: $(BENCH) bench-requests ## Measure against the original design; writes docs/benchmarks.md (needs npm, apt)
	$(BIN)/python -m benchmarks.pictures
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.soak

bench-requests: $(BENCH) ## The part of it that sends requests (npm, wrk, redis, Java)
	tests/fetch_dynamodb_local.sh
	$(BIN)/python -m benchmarks.requests $(ARGS)
	$(BIN)/python -m benchmarks.requests.together $(filter --smoke,$(ARGS))
	$(BIN)/python -m benchmarks.requests.scale $(filter --smoke,$(ARGS))
	$(BIN)/python -m benchmarks.latency $(filter --smoke,$(ARGS))

bench-smoke: $(BENCH) ## See that the benchmarks run, in a minute or two; figures go to .cache/bench/smoke
	rm -rf .cache/bench/smoke
	BENCH_RESULTS=.cache/bench/smoke/results.json $(BIN)/python -m benchmarks.pictures --quick
	BENCH_RESULTS=.cache/bench/smoke/results.json $(BIN)/python -m benchmarks.start --rounds 1
	BENCH_RESULTS=.cache/bench/smoke/results.json $(BIN)/python -m benchmarks.soak --uploads 20
	$(MAKE) bench-requests ARGS=--smoke

openapi: $(INSTALLED) ## Print the OpenAPI document
	@$(BIN)/image-service openapi

docs: $(INSTALLED) ## Make what is generated of the docs; with npm the TypeScript types, too
	$(BIN)/python -m tools.docs
	@if command -v npm >/dev/null; then cd $(TYPESCRIPT) && npm ci && npm run --silent types; \
		else echo "npm is not installed: $(TYPESCRIPT)/api.d.ts was left as it is"; fi

docs-check: $(INSTALLED) ## Check that what is generated of the docs is current (`make test` does, too)
	$(BIN)/python -m tools.docs --check

docs-lint: ## Lint docs/openapi.json with Redocly and Spectral (needs npm)
	cd .github/lint/openapi && npm ci && npm run --silent lint

test-examples: $(INSTALLED) docs-lint ## Run the docs' examples in all languages (needs Node 20, npm, curl, jq)
	cd $(TYPESCRIPT) && npm ci && npm run --silent check && npm run --silent build
	IMAGE_SERVICE_TEST_EXAMPLES=all $(BIN)/pytest tests/e2e/test_getting_started.py $(ARGS)

lock: $(TOOLS) ## Pin the requirements again; UPGRADE= keeps the pins there are
	$(LOCK) requirements/uv.in -o requirements/uv.txt
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) pyproject.toml --extra local -c requirements/runtime.txt -o requirements/local.txt
	$(LOCK) pyproject.toml --extra local --extra dev -c requirements/local.txt \
		-o requirements/dev.txt
	$(LOCK) pyproject.toml --extra local --extra dev --extra integration \
		-c requirements/dev.txt -o requirements/integration.txt
	$(LOCK) requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	$(LOCK) requirements/bench.in -c requirements/dev.txt -o requirements/bench.txt
	$(LOCK) requirements/bench-thumbor.in -o requirements/bench-thumbor.txt
	$(LOCK) .github/lint/requirements.in -o .github/lint/requirements.txt
	$(LOCK) .github/lint/checkov.in -o .github/lint/checkov.txt

clean: ## Remove the environment and everything made
	rm -rf $(VENV) .cache .image-service .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache .coverage htmlcov $(TYPESCRIPT)/node_modules $(TYPESCRIPT)/build

$(TOOLS): requirements/uv.txt requirements/build.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.13"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	-@$(PIP) install $(HASHED) -r requirements/uv.txt
	@$(call install,$(HASHED) -r requirements/build.txt)
	@touch $@

$(RUNNABLE): $(TOOLS) requirements/local.txt pyproject.toml
	@echo "Installing what the service needs into $(VENV)"
	@$(call install,$(HASHED) -r requirements/local.txt)
	@$(call install,--no-deps --no-build-isolation --editable .)
	@touch $@

$(INSTALLED): $(RUNNABLE) requirements/dev.txt
	@echo "Installing what the tests need into $(VENV)"
	@$(call install,$(HASHED) -r requirements/dev.txt)
	@touch $@

$(INTEGRATION): $(INSTALLED) requirements/integration.txt
	@$(call install,$(HASHED) -r requirements/integration.txt)
	@$(BIN)/python -m tools.locks requirements/integration.txt
	@touch $@

$(BENCH): $(INSTALLED) requirements/bench.txt
	@$(call install,$(HASHED) -r requirements/bench.txt)
	@$(BIN)/python -m tools.locks requirements/bench.txt
	@touch $@
