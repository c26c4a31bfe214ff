# The commands of a checkout. `make` lists them. Each does the set-up that it needs; see deploy/dev/setup.
# One cargo profile (dev) serves tests and demo, so that RocksDB is compiled once.

SHELL := /bin/bash
.NOTPARALLEL:
.DEFAULT_GOAL := help

CACHE := $(or $(MILLPOND_CACHE),$(CURDIR)/.cache)
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))

# For the tests and scripts that start the runtime and the Python functions.
export MILLPOND := $(TARGET)/debug/millpond
export MILLPOND_PYTHON := $(CACHE)/python/bin/python

.PHONY: help
help: ## this list
	@echo 'usage: make TARGET'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16 | sed 's/^/  /'

.PHONY: demo
demo: setup runtime ## card fraud, caught while it happens, through a kill -9, in a minute
	@$(TARGET)/debug/fraud-demo

.PHONY: demo-kafka
demo-kafka: setup runtime ## the same over Kafka topics, with a broker of its own
	@$(TARGET)/debug/fraud-demo --kafka

.PHONY: demo-python
demo-python: setup runtime ## two Python functions through a kill -9, step by step
	@$(MILLPOND_PYTHON) functions-examples/python/greeter/demo.py $(MILLPOND)

.PHONY: notifications
notifications: setup-build runtime ## 10,000 notifications through two kills: make notifications [COUNT=10000]
	@MILLPOND_NOTIFICATIONS=$(or $(COUNT),10000) deploy/dev/build test --workspace --test exactly_once -- --nocapture

.PHONY: test
test: setup ## formatting, lints and every test; what CI runs
	cargo fmt --all --check
	@$(MILLPOND_PYTHON) protocol/vectors/record.py && echo 'vectors: as the SDK says'
	@deploy/dev/build clippy --workspace --all-targets -- -D warnings
	@deploy/dev/build test --workspace

.PHONY: replay
replay: setup ## a file of bank transactions through three kills: make replay CSV=FILE.csv[.gz]
	@test -f "$(CSV)" || { echo 'error: no file `$(CSV)`' >&2; \
	  echo 'hint: make replay CSV=FILE, with columns transaction_id, account_id, type, amount (functions-examples/python/balance)' >&2; exit 2; }
	@MILLPOND_REPLAY_CSV="$(abspath $(CSV))" deploy/dev/build test --workspace --test e2e replay -- --nocapture

.PHONY: kill
kill: setup ## 50,000 events through 20 kills, and through 200 losses of power: make kill [SEED=1]
	@MILLPOND_KILL_EVENTS=50000 MILLPOND_KILL_KEYS=1000 MILLPOND_KILL_RUNTIME=20 MILLPOND_KILL_FUNCTIONS=5 \
	  MILLPOND_KILL_POWER=200 $(if $(SEED),MILLPOND_KILL_SEED=$(SEED)) \
	  deploy/dev/build test --workspace --test e2e kills:: -- --nocapture --test-threads 1

.PHONY: chaos
chaos: setup runtime ## a real Kafka, and everything dies under load, in 8 minutes: make chaos [SEED=1] [NODES=3]
	@$(TARGET)/debug/millpond-chaos kills $(if $(SEED),--seed $(SEED)) $(if $(NODES),--nodes $(NODES)) $(CHAOS)

.PHONY: outage
outage: setup runtime ## a broker that is away for 90 s under load, in 4 minutes
	@$(TARGET)/debug/millpond-chaos outage $(OUTAGE)

.PHONY: bench-ledger
bench-ledger: setup-build ## what an invocation costs the ledger: CPU of a commit; BENCH_DIR=FOLDER says on which disk
	@CARGO_PROFILE_DEV_OPT_LEVEL=3 deploy/dev/build bench --profile dev -p millpond-bench-ledger

.PHONY: limits
limits: setup-build runtime ## memory with millions of addresses, and a function that fails for ever: 20 minutes
	@deploy/dev/build run -p millpond-limits -- --millpond $(MILLPOND) $(LIMITS)

.PHONY: check-modules
check-modules: setup-build runtime ## `millpond check` over a folder of module files: make check-modules DIR=FOLDER
	@test -d "$(DIR)" || { echo 'error: no folder `$(DIR)`' >&2; echo 'hint: make check-modules DIR=FOLDER' >&2; exit 2; }
	@$(MILLPOND) check-modules "$(DIR)"

.PHONY: sim
sim: setup-build ## engine and publisher in simulated worlds full of faults: make sim SEEDS=1000
	@deploy/dev/build run -p millpond-sim -- --seeds $(or $(SEEDS),1000)

.PHONY: sim-mutations
sim-mutations: setup-build ## put known defects into a copy of the source; the simulator must find each
	@runtime/sim/mutations.py --seeds $(or $(MUTATION_SEEDS),2000)

.PHONY: fuzz
fuzz: setup-build ## every decoder, and engine inputs, on mutated bytes: make fuzz SEEDS=100000 [FUZZ=wire_answer]
	@deploy/dev/build test --workspace --test fuzz --no-run
	@$(TARGET)/debug/millpond-fuzz --seeds $(or $(SEEDS),100000) $(if $(FUZZ),--target $(FUZZ))

.PHONY: vectors
vectors: setup ## compare the golden wire vectors with the official Python SDK; WRITE=1 records them anew
	@$(MILLPOND_PYTHON) protocol/vectors/record.py $(if $(WRITE),--write) && echo 'vectors: as the SDK says'

.PHONY: module-reference
module-reference: setup-build ## write docs/module.md from the table that the parser reads by
	@MILLPOND_WRITE=1 deploy/dev/build test --workspace --lib config::reference

.PHONY: build
build: setup-build runtime ## the runtime: target/debug/millpond

.PHONY: clean
clean: ## delete what was built and installed here: target/ and .cache/
	cargo clean
	rm -rf "$(CACHE)/python"

# Set-up, quick when there is nothing to do.
.PHONY: setup setup-build runtime
setup: ## only the set-up that the others do first
	@deploy/dev/setup
setup-build:
	@deploy/dev/setup build
# The runtime, the fraud example and the chaos. Built as part of the tests, not with `cargo build`: the same features, so that no
# dependency is compiled twice.
runtime:
	@deploy/dev/build test --workspace --test e2e --test golden --test chaos --no-run
