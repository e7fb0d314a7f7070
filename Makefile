# `make` targets, each from a fresh clone. They need Python 3.11 or newer and make; what a lane needs beside that, it
# asks for in one sentence.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PORT   ?= 8080

# The compiled wheel is built anew when any file of it has come, gone or changed; see hatch_build.py.
WHEEL    := dist/compiled/.built
COMPILED := .envs/compiled
PROVIDERS := .envs/providers
CLIENTS   := .envs/clients
EVALUATION := .envs/evaluation
WEBUI     := .envs/webui
HELM     := .envs/helm
SOURCES  := dist/.sources

.PHONY: $(shell grep -oE '^[a-z-]+:' $(lastword $(MAKEFILE_LIST)) | tr -d :)  # every name below that is no path

serve: $(STAMP)  ## serve configs/quickstart.yaml on http://127.0.0.1:$(PORT)
	PENSTOCK_STARTED_BY="make serve" $(BIN)/penstock serve --port $(PORT)

help:  ## these lines
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | sed 's/$$(PORT)/$(PORT)/' | awk -F '\t' '{ printf "%-18s %s\n", $$1, $$2 }'

test: lint  ## everything light, under 5 minutes
	$(MAKE) --jobs 2 types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# Tests start a hundred interpreters: each would compile our sources anew where none may write what it has compiled.
unit: $(STAMP)
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q -n auto --dist worksteal -m "not timing and not vllm and not compiled and not store and not providers and not helm and not scaling and not clients and not slow"

test-slow: $(STAMP)  ## light tests' heavier half: what starts processes or moves megabytes, under 4 minutes
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q -n auto --dist worksteal -m "slow and not timing and not store" tests

smoke: $(STAMP)  ## `make serve` in a form that ends by itself: start, ask plain and streamed, stop
	$(BIN)/python tests/smoke.py

test-timing: $(STAMP)  ## the few tests that assert durations; run on a quiet machine
	$(BIN)/pytest -q -m timing tests

test-vllm: $(STAMP)  ## the gateway in front of real vLLM (CPU build, random-weight model made on the spot)
	$(BIN)/python tests/vllm/install.py
	$(BIN)/pytest -q -m vllm tests/vllm

test-store: $(STAMP)  ## records in SQLite and PostgreSQL, under kills; needs PostgreSQL
	$(BIN)/pytest -q -n auto --dist worksteal -m store tests/gateway/store

test-providers: $(PROVIDERS)/.installed  ## the official SDKs against the fake providers, under 3 minutes
	$(PROVIDERS)/bin/pytest -q -n auto --dist worksteal -m providers tests/providers

test-clients: $(STAMP) $(CLIENTS)/.installed  ## clients of Python and npm, unmodified, against engines that fail on purpose, and the pages in a browser; needs node, java, chromium
	$(CLIENTS)/bin/python -m pytest -q -m clients -o filterwarnings= tests/clients

test-evaluation: $(STAMP) $(EVALUATION)/.installed  ## LM Evaluation Harness and DSPy, unmodified, against a simulated model
	HF_HUB_OFFLINE=1 $(EVALUATION)/bin/python -m pytest -q -m clients -o filterwarnings= tests/clients/test_evaluation.py

test-webui: $(STAMP) $(WEBUI)/.installed  ## Open WebUI, unmodified, through its own API; 1.1 GB
	$(CLIENTS)/bin/python -m pytest -q -m clients -o filterwarnings= tests/clients/test_open_webui.py

test-scaling: $(STAMP)  ## launched engines that follow their traffic: wakes, replica changes, failing starts
	$(BIN)/pytest -q -m scaling tests/scaling

test-helm: $(HELM)/.installed  ## the chart by Helm 3 and 4: schemas, rules, upgrades; needs promtool
	$(HELM)/bin/pytest -q -n auto --dist worksteal -m helm tests/kubernetes

test-image:  ## the image, built without a daemon, and what it promises; needs root, buildah and mmdebstrap
	bash tests/image/build.sh

chart: $(STAMP)  ## write what the chart has of the gateway's declarations: its values' schema, its dashboards
	$(BIN)/python -m helm.tools

wheel-compiled: $(WHEEL)  ## the wheel whose hot modules are C, in dist/; needs a C compiler

serve-compiled: $(COMPILED)/.installed  ## `make serve` from that wheel, in an environment of its own
	PENSTOCK_STARTED_BY="make serve-compiled" $(COMPILED)/bin/penstock serve --port $(PORT)

install-compiled: $(COMPILED)/.installed  ## that wheel in an environment of its own, .envs/compiled, which benchmarks start

test-compiled: $(COMPILED)/.tests  ## unit and scenario tests against that wheel
	$(COMPILED)/bin/python -m tests.compiled.run

bench-path: $(STAMP)  ## what the path costs next to its peers; needs wrk
	$(BIN)/python -m loadtests.path $(ARGS)

bench-translation: $(STAMP)  ## events translated per second of one core, next to LiteLLM, about six minutes; needs wrk
	$(BIN)/python -m loadtests.translation $(ARGS)

test-load: $(STAMP)  ## every scenario of loadtests/scenarios, about three minutes: what must hold when things break
	$(BIN)/penstock-load scenario all --out load-scenarios $(ARGS)

bench-load: $(STAMP)  ## what the load client itself can do on one core, under a minute
	$(BIN)/python -m loadtests.calibration.limits $(ARGS)

bench-peers: $(STAMP)  ## hit rate, TTFT, TPOT, goodput and CPU next to the peers, about half an hour; ARGS=--bars judges capacity and p99 next to sglang-router and vllm-router
	$(BIN)/python -m loadtests.peers $(ARGS)

bench-routing: $(STAMP)  ## routing policies on modelled fleets of 4, 16 and 64 replicas, in virtual time, and each bar met or missed; under an hour on two cores
	$(BIN)/penstock simulate-routing shared-prompts chat no-sharing shared-prompts-mixed --replicas 4,16,64 --gateways 1,2,4 $(ARGS)

bench-autoscale: $(STAMP)  ## the autoscaler against the rules of the field, in virtual time, 7 minutes of CPU per seed, on as many cores as there are; ARGS='--seeds 1 --traces night' for a part
	$(BIN)/penstock autoscale compare --seeds 3 $(ARGS)

bench-wakeups: $(STAMP)  ## what 1,000 wake-ups from zero and 500 changes of replicas lose, half an hour; needs wrk; ARGS='--wakeups 100 --changes 50' for a part
	$(BIN)/python -m loadtests.wakeups $(ARGS)

bench-vllm: $(STAMP)  ## routing policies in front of real vLLM replicas, about half an hour; ARGS='--on gpu --python PATH' on a GPU
	$(BIN)/python -m loadtests.vllm $(ARGS)

bench-stall: $(STAMP)  ## the longest hold of the event loop, per cause, some four minutes for each build; needs wrk
	$(BIN)/python -m loadtests.stall $(ARGS)

bench-tools: $(STAMP)  ## our figures next to those of GuideLLM and vllm bench serve, on one simulator
	$(BIN)/python -m loadtests.calibration.tools $(ARGS)

bench-records: $(STAMP)  ## each bar of records, met or missed, over 5 million in SQLite and PostgreSQL, about ten minutes; needs wrk
	$(BIN)/python -m tests.timing.records $(ARGS)

bench-drift: $(STAMP)  ## how often drift detection errs and how soon it sees, into docs/drift.md, some twenty minutes
	$(BIN)/python -m gateway.virtual.drift.table --into docs/drift.md $(ARGS)

bench-releases: $(STAMP)  ## how often the gate of releases errs and how soon it sees, into docs/releases.md, some twenty minutes
	$(BIN)/python -m gateway.virtual.releases.bench --write docs/releases.md $(ARGS)

bench-rollback: $(STAMP)  ## how soon a dead canary gets nothing more over two gateways of two workers, about two minutes; needs PostgreSQL
	$(BIN)/python -m tests.timing.rollback $(ARGS)

bench-reconciliation: $(STAMP)  ## whether money reconciles over 200,000 requests while everything is killed, about three minutes
	$(BIN)/python -m tests.timing.reconciliation $(ARGS)

soak: $(STAMP)  ## ten minutes of full load; prints KiB/min
	$(BIN)/python -m loadtests.path --gateways penstock --rounds 0 --open-streams 0 --soak 10

soak-chaos: $(STAMP)  ## ten minutes in which everything goes wrong; ARGS='--minutes 1' for a short one
	$(BIN)/python -m loadtests.chaos $(ARGS)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .envs build dist *.egg-info .mypy_cache .ruff_cache .hypothesis load-*/

always:

# What the wheel is made of, by name and checksum: by time stamps alone, a module that was removed would stay in it.
$(SOURCES): always
	@mkdir -p $(@D)
	@find gateway engines routing loadtests configs docs hatch_build.py pyproject.toml README.md -type f -not -name '*.pyc' -print0 \
	  | LC_ALL=C sort -z | xargs -0 cksum > $@.new
	@if cmp -s $@ $@.new; then rm $@.new; else mv $@.new $@; fi

$(WHEEL): $(STAMP) $(SOURCES)
	rm -rf dist/compiled
	PENSTOCK_COMPILE=1 $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist/compiled .
	@touch $@

$(COMPILED)/.installed: $(WHEEL)
	test -d $(COMPILED) || $(PYTHON) -m venv $(COMPILED)
	$(COMPILED)/bin/python -m pip install --quiet --upgrade pip
	$(COMPILED)/bin/python -m pip uninstall --quiet --yes penstock 2>/dev/null
	$(COMPILED)/bin/python -m pip install --quiet dist/compiled/*.whl
	@touch $@

$(COMPILED)/.tests: $(COMPILED)/.installed pyproject.toml
	$(COMPILED)/bin/python -m pip install --quiet --group dev
	@touch $@

$(CLIENTS)/.installed: pyproject.toml tests/clients/node/package.json
	@command -v npm >/dev/null || { echo "The clients of npm need node 18 or newer and npm; on Debian: apt-get install nodejs npm" >&2; exit 1; }
	test -d $(CLIENTS) || $(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet uv
	$(CLIENTS)/bin/uv pip install --quiet --python $(CLIENTS)/bin/python --group clients
	mkdir -p $(CLIENTS)/node && cp tests/clients/node/package.json $(CLIENTS)/node/
	npm install --prefix $(CLIENTS)/node --silent --no-audit --no-fund --no-package-lock
	@touch $@

$(EVALUATION)/.installed: pyproject.toml
	test -d $(EVALUATION) || $(PYTHON) -m venv $(EVALUATION)
	$(EVALUATION)/bin/python -m pip install --quiet --upgrade pip
	$(EVALUATION)/bin/python -m pip install --quiet --group evaluation
	@touch $@

# Without what it runs models with by itself (torch and the like): the gateway's engines do.
$(WEBUI)/.installed: $(CLIENTS)/.installed tests/clients/webui-without.txt
	test -d $(WEBUI) || $(CLIENTS)/bin/uv venv --quiet --python $(CLIENTS)/bin/python $(WEBUI)
	$(CLIENTS)/bin/uv pip install --quiet --python $(WEBUI)/bin/python --override tests/clients/webui-without.txt 'open-webui>=0.12,<0.13'
	@touch $@

$(PROVIDERS)/.installed: pyproject.toml
	test -d $(PROVIDERS) || $(PYTHON) -m venv $(PROVIDERS)
	$(PROVIDERS)/bin/python -m pip install --quiet --upgrade pip
	$(PROVIDERS)/bin/python -m pip install --quiet --editable . --group providers
	$(PROVIDERS)/bin/python -m pip install --quiet --no-deps 'ai21>=4.3'
	@touch $@

$(HELM)/.installed: pyproject.toml tests/kubernetes/install.py
	test -d $(HELM) || $(PYTHON) -m venv $(HELM)
	$(HELM)/bin/python -m pip install --quiet --upgrade pip
	$(HELM)/bin/python -m pip install --quiet --editable . --group helm
	$(HELM)/bin/python tests/kubernetes/install.py
	@touch $@

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Penstock needs Python 3.11 or newer; name one with PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[load]' --group dev
	@touch $@
