# The entries: demo, up, chat, status, test, check, bench, soak. Each makes the environment it needs.
PYTHON ?= python3
BIN := .venv/bin
# The tests mostly wait, for servers and for time to pass: five processes for each core.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(5 * (os.cpu_count() or 1))')
# Hundreds of processes are started: none of them compiles what another has compiled.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations=20
# `check` runs these, CI runs both.
OF_THE_CODE := $(addprefix tests/unit/structure/test_,$(addsuffix .py,rules imports words dead_code))

# All of their tests have marks that `test` leaves out: it need not import them.
APART := tests/browser tests/compose tests/model

.PHONY: demo test test-fast test-browser coverage test-again test-slow test-long test-acl test-model check compose-check compose-test digests digests-check advisories bench bench-peers soak up chat status lock clean help
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/.installed: requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Griot needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --upgrade --target .venv/agents-sdk \
		-r requirements/agents-sdk.lock
	@touch $@

# What pytest makes of each module of tests is made once and kept, not by each of JOBS at once: that
# took 8 seconds of a core in every one of them.
.venv/.collected: .venv/.installed
	@for part in "tests/unit tests/contract" "tests/e2e tests/faults"; do \
		PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --collect-only -qq -p no:cacheprovider $$part >/dev/null & done; wait
	@touch $@

demo: .venv/.installed ## A conversation over several sessions, from nothing, with real servers
	@$(BIN)/griot demo

test: .venv/.collected ## The suite, against real servers; TESTS=tests/unit for a part of it
	@$(if $(TESTS),,TESTS_SHARES=1) $(PYTEST) $(addprefix --ignore ,$(OF_THE_CODE) $(APART)) $(TESTS)

test-fast: .venv/.collected ## Unit and contract tests in a minute; the rules of the code are in check
	@$(PYTEST) tests/unit tests/contract --ignore tests/unit/structure

test-browser: .venv/.installed ## The web pages in chromium, axe included; skipped with a word where there is none
	@$(PYTEST) -m slow tests/browser -rs

# Every process that a test starts is measured, too, forked ones as well, which makes all
# of them slower: not in `test`.
# A part that is measured alone covers less, and its figure says so: make coverage TESTS=tests/unit
# It does not judge the tests: those that count loaded modules or CPU fail beneath the tracer.
coverage: .venv/.collected ## The suite with the branches that it takes; fails under 95 %
	@rm -f .coverage .coverage.*
	-@$(PYTEST) --cov --cov-report= -m "not model and not compose" $(TESTS)
	@$(BIN)/coverage report --skip-covered --fail-under=95

# A fault of the code fails here too; what only fails beside its neighbours is a fault of the test.
test-again: .venv/.installed ## What failed in the last run, one by one
	@$(BIN)/pytest --last-failed --last-failed-no-failures none -m "not model and not compose" -p no:randomly

test-slow: .venv/.collected ## Fail-overs of real servers, wheels, browsers, and what else is dear by itself
	@$(PYTEST) -m "slow and not model" $(TESTS)

test-long: .venv/.collected ## What is too heavy for every run: more seeds, cancels, examples
	@TESTS_LONG=1 $(PYTEST) -m long $(TESTS)

test-acl: TESTS = tests/contract tests/e2e tests/faults
test-acl: .venv/.collected ## The same with each process as its user at Redis, who may be refused nothing
	@GRIOT_TEST_ACL=1 TESTS_LONG= $(PYTEST) $(TESTS)

# Without them (280 MB) the tests of OpenAI's dialect on a real server are skipped.
.venv/.model: .venv/.installed requirements/model.lock
	-$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/model.lock && touch $@

test-model: .venv/.model ## What needs real model servers: an Ollama where one is found, llama.cpp from a wheel
	@$(BIN)/pytest -m model -p no:randomly --durations=10 $(TESTS)

check: .venv/.installed ## Style, types, layers, dead code, sizes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd tests/typing && ../../$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/pytest -q -p no:randomly $(OF_THE_CODE)

# An index without advisories, such as a mirror, fails it: nothing found there says nothing.
advisories: .venv/.installed ## Look the locked requirements up in an index of advisories
	test -x .venv/advisories/bin/pip-audit || { $(PYTHON) -m venv .venv/advisories && \
		.venv/advisories/bin/pip install --quiet --disable-pip-version-check pip-audit; }
	for lock in worker dev build; do .venv/advisories/bin/pip-audit --strict --no-deps --disable-pip \
		--require-hashes --requirement requirements/$$lock.lock || exit 1; done

bench: .venv/.installed ## The benchmark, as ratios in one run; with charts: make bench HTML=bench.html
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m bench $(if $(HTML),--html $(HTML))

bench-peers: .venv/.installed requirements/bench-peers.lock ## Install taskiq beside the environment, for the benchmark to compare with
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --upgrade --target .venv/bench-peers \
		-r requirements/bench-peers.lock

soak: .venv/.installed ## Minutes of seeded random faults: make soak MINUTES=30 SEED=7
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m tests.support.faults.soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) \
		$(if $(HTML),--html $(HTML))

compose-check: ## Whether Docker Compose is new enough and an engine answers
	@$(PYTHON) -m deploy.compose_check

compose-test: .venv/.installed ## The stack of docker-compose.yml on a real engine; skipped where none is
	@if $(PYTHON) -m deploy.compose_check; then $(BIN)/pytest -m compose -p no:randomly --durations=10 tests/compose; \
		else echo "make compose-test: skipped, for the reason above"; fi

digests: .venv/.installed ## Name each image by the digest that its tag has now
	@$(BIN)/python -m deploy.image_digests

digests-check: .venv/.installed ## Say which tags have moved since
	@$(BIN)/python -m deploy.image_digests --check

up: .venv/.installed ## Keep worker, maintenance, beat, Flower and gateway running; without settings also a Redis
	@$(BIN)/griot up --or-sandbox

AGENT ?= energy
SESSION ?= summit-energy
chat: .venv/.installed ## Talk to an agent: make chat AGENT=energy SESSION=me-1
	@$(BIN)/griot chat "$(AGENT)" "$(SESSION)"

status: .venv/.installed ## Queues, workers, what waits, models and their servers
	@$(BIN)/griot status

lock: ## Resolve the requirements anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--group dev --extra worker --extra archive --extra sandbox pyproject.toml -o requirements/dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra worker --extra archive --extra otel --constraint requirements/dev.lock pyproject.toml -o requirements/worker.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --group model -o requirements/model.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --group agents-sdk --constraint requirements/dev.lock -o requirements/agents-sdk.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --group bench-peers --constraint requirements/dev.lock -o requirements/bench-peers.lock
	echo 'hatchling==1.33.0' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --constraint requirements/dev.lock - -o requirements/build.lock

clean: ## Remove the environment and the caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis logs
