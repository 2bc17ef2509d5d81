# The two commands for a fresh machine are `make demo` and `make test`. They
# need Go and Python 3 with its venv module; everything else they set up.

SHELL := /bin/sh
GO ?= go
BIN := bin/pyro-dispatch
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
VENV := .venv
SOURCES = $(shell find . -name '*.go' -not -path './.venv/*') go.mod go.sum

# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(shell CC=$$($(GO) env CC); command -v "$${CC:-cc}" >/dev/null 2>&1 && echo -race)

.DEFAULT_GOAL := help
.PHONY: help build demo test lint fuzz bench docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(BIN) ## build bin/pyro-dispatch

$(BIN): $(SOURCES)
	@echo "== building $(BIN)"
	@$(GO) build $(if $(VERSION),-ldflags "-X main.version=$(VERSION)") -o $@ ./cmd/pyro-dispatch

venv: integration/requirements.txt integration/venv.sh
	@sh integration/venv.sh $(VENV) >/dev/null
.PHONY: venv

demo: $(BIN) venv ## real Pyro daemons behind the dispatcher (ONCE=1: end by itself)
	@$(VENV)/bin/python demo/demo.py $(BIN) $(if $(ONCE),--once)

test: venv ## run all tests, with real Pyro daemons and the race detector
	@echo "== go test $(RACE) ./...$(if $(RACE),, (no C compiler: without the race detector))"
	@$(GO) test $(RACE) -timeout 45m ./...

lint: ## gofmt, go vet, staticcheck
	@echo "== gofmt" && out=$$(gofmt -l $$(git ls-files '*.go')) && { [ -z "$$out" ] || { echo "$$out"; exit 1; }; }
	@echo "== go vet" && $(GO) vet ./... && $(GO) -C integration/helm vet ./...
	@echo "== staticcheck" && $(GO) tool staticcheck ./...

FUZZTIME ?= 5s
fuzz: ## fuzz every target for FUZZTIME (5s), from its seeds
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "== $$pkg $$target for $(FUZZTIME)"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

bench: ## measure beside the direct connection and HAProxy, write docs/benchmarks.md
	@mkdir -p bench-results
	$(GO) run ./bench -o docs/benchmarks.md -json bench-results/latest.json

bench-blobs: ## measure blob dispatch beside Pyro's example, into docs/benchmarks.md
	@mkdir -p bench-results
	$(GO) run ./bench blobs -o docs/benchmarks.md -json bench-results/blobs.json
.PHONY: bench-blobs

docs: ## write the generated reference pages anew
	$(GO) test ./config ./cmd/pyro-dispatch ./metrics ./admin ./deploy/helm -run 'Reference|Docs|Doc' -update

clean: ## remove what was built, and the Python environment
	rm -rf bin $(VENV) bench-results
