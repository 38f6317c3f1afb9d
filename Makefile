# `make` lists what can be made. `make demo` and `make test` are all that a fresh machine with Go needs.

# What is built is static, and nothing but the race detector of the tests needs a C compiler.
export CGO_ENABLED = 0

GO ?= go
# More arguments for the demo, such as DEMO_ARGS='--copies 5'.
DEMO_ARGS ?=
# What to test and how, such as TEST_ARGS='-run Lock ./locking'.
TEST_ARGS ?= ./...
# Tests mostly wait for servers and processes: more of them at a time than there are CPUs take less time.
TEST := $(GO) test -count=1 -parallel 4 -timeout 40m
# The program that tests start as a process has the race detector too, which would have each of them sleep for a second
# at its end.
RACE := env CGO_ENABLED=1 GORACE=atexit_sleep_ms=10 $(TEST) -race
# Which mutants and how, such as MUTANT_ARGS='-run lock -parallel 4'.
MUTANT_ARGS ?=
# More arguments for the benchmark, such as BENCH_ARGS='-rounds 9'.
BENCH_ARGS ?=

# The newest tag and the commit; nothing in an unpacked archive, where there is no repository.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
INSTALL := sh internal/sandbox/programs/install.sh
LINTER  := $(GO) tool -modfile=tools/go.mod golangci-lint

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
# With -trimpath, as in build, what both need is compiled once.
demo: servers build ## show on private servers what invoicer is for
	@$(GO) build -trimpath -o bin/sandbox ./internal/sandbox # go run would make a failure of Ctrl-C
	@exec ./bin/sandbox -durable -- ./bin/invoicer demo $(DEMO_ARGS)

.PHONY: test
test: tested ## run the tests on private servers
	$(GO) run ./internal/sandbox -- $(TEST) -short -skip '^TestChaos' $(TEST_ARGS)

.PHONY: race
race: raced ## as test, with the race detector, which takes three times as long
	$(GO) run ./internal/sandbox -- $(RACE) -short -skip '^TestChaos' $(TEST_ARGS)

.PHONY: test-all
test-all: race heavy ## as race, and then the heavy ones: a part of chaos, the examples, pg_upgrade, PgBouncer, pages in a browser, alerts in Prometheus, test-release
	$(GO) run ./internal/sandbox -- $(RACE) -run '^TestChaos' ./cmd/invoicer
	$(GO) run ./internal/sandbox -- $(TEST) -run '^TestHeavy' $(TEST_ARGS)
	cd internal/release && $(TEST) ./...

.PHONY: test-release
test-release: tested heavy ## test what is released: archives, packages and image, twice the same; deploy/, which is run as it says
	cd internal/release && $(TEST) ./...

.PHONY: mutants
mutants: servers pooler ## break each promise on purpose, and see a test go red each time (takes most of an hour)
	@$(GO) run ./internal/sandbox -- $(GO) run ./internal/mutants $(MUTANT_ARGS)

# How many seeds, or which one alone.
SEEDS ?= 20
SEED  ?= 0

.PHONY: chaos
chaos: raced ## kill processes and servers at every point; SEEDS=200 for more, SEED=7 for that one again
	$(GO) run ./internal/sandbox -- $(RACE) -timeout 4h -v -run '^TestChaos' ./cmd/invoicer \
		-chaos.full -chaos.seeds=$(SEEDS) -chaos.seed=$(SEED)

.PHONY: lint
lint: ## run the linters (the first time they are compiled, which takes minutes)
	$(LINTER) run ./...
	cd internal/release && $(GO) tool -modfile=../../tools/go.mod golangci-lint run ./...

.PHONY: fmt
fmt: ## format the code as the linters want it
	$(LINTER) fmt ./...

.PHONY: architecture
architecture: ## draw the packages and their imports into docs/architecture.md
	@$(GO) run ./internal/architecture -write

.PHONY: build
build: ## compile bin/invoicer
	@echo 'compiling bin/invoicer; the first time this takes minutes, as what it needs is compiled too' >&2
	@$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/invoicer ./cmd/invoicer

# Where to push the image, such as PUSH=registry.example/invoicer:v1.2.3. Nowhere, if it is empty.
PUSH ?=
# A version that was named, not the one that is made up for bin/invoicer.
NAMED = $(if $(filter command,$(origin VERSION)),$(VERSION))
# An option for the version, if it was named: git describes it otherwise.
NAMING = $(if $(NAMED),-version '$(NAMED)')

.PHONY: release
release: ## build dist/release for VERSION=v1.2.3: archives, Debian packages, SBOMs, checksums; the same commit gives the same bytes
	@[ -n '$(NAMED)' ] || { echo 'make release: name the version, as in make release VERSION=v1.2.3' >&2; exit 2; }
	@cd internal/release && $(GO) run . release $(NAMING)

.PHONY: image
image: ## build dist/image, an OCI image for amd64 and arm64, without an engine; PUSH=registry.example/invoicer:v1 pushes it
	@cd internal/release && $(GO) run . image $(NAMING) $(if $(PUSH),-push '$(PUSH)')

.PHONY: deps
deps: tested heavy ## install Redis, Postgres, PgBouncer, Chromium, axe-core, Prometheus, qpdf, and what the examples need, where missing; starts no service

.PHONY: pictures
pictures: ## draw the pages of docs/documents.md again
	@$(INSTALL) qpdf
	@$(GO) run ./internal/pagepictures

.PHONY: bench
bench: servers ## measure the worker beside its peers, in at most 20 minutes; rewrites docs/benchmarks.md
	@cd internal/benchmark && $(GO) run . -write $(BENCH_ARGS)

.PHONY: bench-full
bench-full: servers ## as bench, and latency, memory, a storm, full tables and more, in most of an hour
	@cd internal/benchmark && $(GO) run . -full -write $(BENCH_ARGS)

.PHONY: servers
servers:
	@$(INSTALL) redis-server postgres

.PHONY: tested
tested:
	@$(INSTALL) redis-server postgres pgbouncer qpdf

.PHONY: raced
raced: tested
	@$(INSTALL) cc

.PHONY: heavy
heavy:
	@$(INSTALL) chromium prometheus requests node java curl psql saxon
	@sh internal/sandbox/browsertest/axe.sh

.PHONY: pooler
pooler:
	@$(INSTALL) pgbouncer
