# Two commands matter: `make demo` and `make test`. Everything they need they install or build themselves.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TARGET := $(CURDIR)/target
HOST := x86_64-unknown-linux-gnu
AGENTS := $(TARGET)/release/agents
# The agents are linked statically; whatever else is released shares their dependencies, which are then built once.
RELEASE := RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target $(HOST) \
    --target-dir $(TARGET)/static
PROGRAMS := $(TARGET)/static/$(HOST)/release
# renew FROM TO: an unchanged file keeps its time.
INSTALL := renew() { cmp -s "$$1" "$$2" || install -D -m 755 "$$1" "$$2"; }

.PHONY: help tools build agents demo test test-all bench fmt clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

tools: ## Install what is missing (apt, with sudo when not root; cargo)
	@tests/install-tools

agents: tools
	@source tests/environment; $(INSTALL); \
	$(RELEASE) -p bennu-init -p bennu-runtime -p bennu-probe; \
	for agent in bennu-init bennud bennuctl bennu-forward bennu-probe; do \
	    renew $(PROGRAMS)/$$agent $(AGENTS)/$$agent; \
	done; \
	crates/bootfallback/build.sh $(AGENTS)/bootfallback.efi; \
	tests/probe/build-attack $(AGENTS)/bennu-attack; \
	tests/probe/build-measure $(AGENTS)/bennu-measure

build: agents ## Build bennu and the static agents
	@source tests/environment; $(INSTALL); \
	$(RELEASE) -p bennu; \
	renew $(PROGRAMS)/bennu $(TARGET)/release/bennu

demo: build ## Make a real Debian image, boot it, tamper with it, watch it recover
	@source tests/environment; $(RELEASE) -q -p bennu-scenarios --bin demo; $(PROGRAMS)/demo

test: build ## The test suite that CI runs
	@tests/run ci

test-all: build ## Everything, every story twice, fuzzing; resumable
	@tests/run all

bench: build ## Measure against today's tools: target/bench/report.json; ARGS="--only hash-tree"
	@source tests/environment; $(RELEASE) -q -p bennu-bench; $(PROGRAMS)/bench $(ARGS)

fmt: ## Format
	@cargo fmt --all

clean: ## Remove build output, keep downloads
	@find target -mindepth 1 -maxdepth 1 ! -name cache -exec rm -rf {} +
