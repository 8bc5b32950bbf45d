# Commands for developers. Each one first creates the environments that it needs, in .venv and .venvs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet
MINUTES ?= 10
PEERS_VENV ?= $(HOME)/.cache/pyro5-bench
UNITTEST := -X dev -W error -m tests $(TESTS)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-freethreaded test-opentelemetry lint types docs site bench dist pyz vendor faults fuzz hostile races soak clean

help:
	@echo "make demo      start a name server and an object, call the object, stop both"
	@echo "make test      run all tests; options, or names of modules, in TESTS=..."
	@echo "make test-all  run all tests on every Python (3.8 and up) found on this machine"
	@echo "make test-freethreaded  run all tests on a free-threaded Python 3.13, which is built first if there is none (minutes)"
	@echo "make test-opentelemetry  run the tests of tracing and metrics with the package opentelemetry-sdk"
	@echo "make lint      check the style of the sources"
	@echo "make types     type-check the sources, and programs that use the package"
	@echo "make docs      regenerate the tables of the documentation that are made from the sources"
	@echo "make site      build the documentation as HTML in build/site/html, and check its links (Python 3.11 or newer)"
	@echo "make bench     compare calls with plain sockets; writes build/bench.json and build/bench.svg; options in BENCH=...;"
	@echo "               with PEERS=1, also pyzmq, rpyc and grpcio, in an environment outside of this folder"
	@echo "make faults    kill processes, break networks, fill disks, and check that nothing is lost; options in FAULTS=..."
	@echo "make fuzz      send a million corrupted messages; look for crashes, hangs, leaks and unexpected exceptions; options in FUZZ=..."
	@echo "make hostile   run all attacks at full size against both server types; options in HOSTILE=..."
	@echo "make races     run eight threads against every data structure that threads share"
	@echo "make soak      run mixed clients for MINUTES=10; memory, descriptors, threads and times go to build/soak/soak.svg and soak.json"
	@echo "make dist      build the source and wheel distributions in dist/"
	@echo "make pyz       build dist/pyro5.pyz, one file that needs no installation"
	@echo "make vendor DEST=folder   copy the package, and the serpent library, into a folder"
	@echo "make clean     remove everything that these commands created"

$(VENV)/ready: setup.py
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) --editable ".[msgpack]"
	@touch $@

$(VENV)/tools: $(VENV)/ready .ci/tools.txt
	$(PIP) --requirement .ci/tools.txt
	@touch $@

demo: $(VENV)/ready
	$(BIN)/python examples/greeting/demo.py

test: $(VENV)/ready
	$(BIN)/python $(UNITTEST)

test-all: $(VENV)/ready
	$(BIN)/python .ci/test_all.py -- $(UNITTEST)

# Once more what fails beside others: on such a build many tests of short time-outs take longer.
test-freethreaded:
	python=$$(.ci/freethreaded) && $(PYTHON) .ci/test_all.py --only "$$python" -- $(UNITTEST) --again

# In an environment of its own, so that the other tests show that nothing needs the package.
.venvs/opentelemetry/ready: setup.py
	$(PYTHON) -m venv --clear .venvs/opentelemetry
	PIP_DISABLE_PIP_VERSION_CHECK=1 .venvs/opentelemetry/bin/python -m pip install --quiet serpent msgpack opentelemetry-sdk
	@touch $@

test-opentelemetry: .venvs/opentelemetry/ready
	.venvs/opentelemetry/bin/python -X dev -W error -m unittest tests._observe.test_tracing tests._observe.test_processes

lint: $(VENV)/tools
	$(BIN)/ruff check --config .ci/ruff.toml Pyro5 tests examples .ci setup.py

types: $(VENV)/tools
	$(BIN)/mypy --config-file .ci/mypy.ini
	$(BIN)/python -m unittest tests.test_typed

docs: $(VENV)/ready
	$(BIN)/python -m tests.docs.test_configuration write
	$(BIN)/python -m tests.docs.test_serialization write
	$(BIN)/python -m tests.docs.test_types write
	$(BIN)/python -m tests.docs.test_scientific write
	$(BIN)/python -m tests.docs.test_wire_protocol write

# In an environment of its own: Sphinx has many dependencies, which the tests must not find.
.venvs/site/ready: setup.py .ci/site.txt
	$(PYTHON) -m venv --clear .venvs/site
	PIP_DISABLE_PIP_VERSION_CHECK=1 .venvs/site/bin/python -m pip install --quiet --requirement .ci/site.txt ".[msgpack]"
	PIP_DISABLE_PIP_VERSION_CHECK=1 .venvs/site/bin/python -m pip uninstall --quiet --yes Pyro5
	@touch $@

site: .venvs/site/ready
	.venvs/site/bin/python .ci/site/build.py build/site

ifdef PEERS
bench: $(PEERS_VENV)/ready
	$(PEERS_VENV)/bin/python -m tests.bench --json build/bench.json --svg build/bench.svg $(BENCH)
else
bench: $(VENV)/ready
	$(BIN)/python -m tests.bench --json build/bench.json --svg build/bench.svg $(BENCH)
	$(BIN)/python -m tests.bench processes
	$(BIN)/python -m tests.bench watchers
	$(BIN)/python -m tests.bench etcd
endif

# outside of this folder, because it has other libraries than the project needs
$(PEERS_VENV)/ready:
	$(PYTHON) -m venv --clear $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install --quiet serpent msgpack pyzmq rpyc grpcio
	@touch $@

faults: $(VENV)/ready
	$(BIN)/python -m tests.faults $(FAULTS)

fuzz: $(VENV)/ready
	mkdir -p build
	$(BIN)/python -m tests.fuzz --messages 1000000 --live --json build/fuzz.json $(FUZZ)

hostile: $(VENV)/ready
	$(BIN)/python -m tests.hostile $(HOSTILE)

races: $(VENV)/ready
	$(BIN)/python -X dev -W error -m tests.races

soak: $(VENV)/ready
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --output build/soak

dist: $(VENV)/tools
	rm -rf build dist
	$(BIN)/python -m build

pyz: $(VENV)/ready
	$(BIN)/python .ci/bundle.py pyz dist/pyro5.pyz

vendor: $(VENV)/ready
	$(BIN)/python .ci/bundle.py vendor "$(or $(DEST),$(error say where: make vendor DEST=folder))"

clean:
	rm -rf $(VENV) .venvs build dist *.egg-info .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
