# What people type. `make help` lists it; `make test` runs everything, with what it needs.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

BIN       := $(CURDIR)/.cache/bin
RESULTS   := $(CURDIR)/.cache/test
GOTESTSUM := $(BIN)/gotestsum --format standard-quiet
FUZZTIME  ?= 10s
BENCH     ?= .

# What `make test` runs, in this order; all of it, even after one has failed.
STEPS := lint race evaluator check-deploy vuln-if-reachable rig e2e e2e-thanos

.PHONY: help build test unit race evaluator lint vuln vuln-if-reachable check-deploy e2e e2e-thanos \
        rig torture bench accuracy fuzz demo tools tools-thanos clean distclean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

build: ## the relay, as ./relay
	go build -o relay ./cmd/relay

demo: ## the whole story on one machine, in under a minute
	go run ./cmd/relay demo

# --- tests

test: tools tools-thanos ## everything, including what it needs (Go, gcc, and Debian's apt-get for one peer)
	@rm -rf $(RESULTS); mkdir -p $(RESULTS)
	@status=0; for step in $(STEPS); do \
	  echo "== make $$step"; start=$$SECONDS; \
	  $(MAKE) --no-print-directory $$step || { status=1; echo "make $$step failed" | tee -a $(RESULTS)/notices; }; \
	  echo "== make $$step: $$((SECONDS - start)) s"; \
	done; \
	tools/closing-line.sh $(RESULTS); exit $$status

unit: $(BIN)/gotestsum ## the tests that need no other program
	@mkdir -p $(RESULTS)
	$(GOTESTSUM) --jsonfile $(RESULTS)/unit.json -- ./...

race: $(BIN)/gotestsum ## the same under the race detector, but for the evaluator's simulations
	@mkdir -p $(RESULTS)
	$(GOTESTSUM) --jsonfile $(RESULTS)/race.json -- -race -timeout 20m $$(go list ./... | grep -v '/internal/accuracy$$')
	$(GOTESTSUM) --jsonfile $(RESULTS)/race-through.json -- -race -run Relay ./internal/accuracy

# Arithmetic in one goroutine: the race detector would find nothing in it, ten times as slowly.
evaluator: $(BIN)/gotestsum ## how far from the truth, by class, in the short form
	@mkdir -p $(RESULTS)
	$(GOTESTSUM) --jsonfile $(RESULTS)/evaluator.json -- -count 1 -timeout 20m ./internal/accuracy

# Waiting for scrapes is most of their time, so they run side by side on any number of cores.
e2e: tools ## from a real Prometheus through the relay binary to a real Prometheus
	@mkdir -p $(RESULTS)
	$(GOTESTSUM) --jsonfile $(RESULTS)/e2e.json -- -tags e2e -count 1 -parallel 8 -timeout 10m ./internal/e2e

e2e-thanos: tools tools-thanos ## the same with Thanos Receive as the upstream
	@mkdir -p $(RESULTS)
	$(GOTESTSUM) --jsonfile $(RESULTS)/e2e-thanos.json -- -tags e2e,thanos -count 1 -parallel 8 -timeout 10m -run Thanos ./internal/e2e

# What looks at memory and speed runs without the race detector, the rest with it, relay included.
MEASURED := TestBacklogTakesNoMemory
rig: $(BIN)/gotestsum ## crashes, rot, and whatever an upstream does, on the relay's binary with kill points in it
	@mkdir -p $(RESULTS)
	$(GOTESTSUM) --jsonfile $(RESULTS)/rig.json -- -race -tags rig -count 1 -parallel 10 -timeout 20m -skip '$(MEASURED)' ./internal/rig
	$(GOTESTSUM) --jsonfile $(RESULTS)/rig-measured.json -- -tags rig -count 1 -timeout 15m -run '$(MEASURED)' ./internal/rig

torture: ## the same and more at the sizes of docs/reliability.md, for hours; goes on where it was interrupted (ROWS=kill,rot)
	go run ./internal/rig/torture $(if $(ROWS),-only $(ROWS))

bench: build ## what relaying costs, against docs/performance.md (LONG=1: all of it; OTHER=path: another relay in turn; MICRO=1: benchmarks of each step, BENCH=regexp)
ifdef MICRO
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./pkg/...
else
	go run ./internal/bench/cmd --relay=./relay $(if $(LONG),--long --json=docs/performance.json --page=docs/performance.md --plots=docs/img) $(if $(OTHER),--other='$(OTHER)') $(BENCHFLAGS)
endif

accuracy: build ## how far from the truth, by class, in Prometheus' own PromQL: 20 seeds of eight times 10 h (SEED=1), with a plot of each class, some 20 min; exits with 1 if a figure is beyond its reach
	go run ./internal/accuracy/cmd -seed $(or $(SEED),1) -seeds 20 -hours 10 -relay ./relay -relay-seeds 4 -json docs/accuracy.json -plots docs/img/accuracy

fuzz: ## every fuzzer for FUZZTIME each (10s)
	tools/fuzz.sh $(FUZZTIME)

# --- checks

lint: $(BIN)/golangci-lint ## layout, go vet and the few linters of .golangci.yml
	go vet ./...
	go vet -tags e2e,thanos ./internal/e2e
	go vet -tags rig ./internal/rig
	$(BIN)/golangci-lint run ./...

vuln: $(BIN)/govulncheck ## known vulnerabilities; VULNDB names a mirror (URL or file://)
	tools/vuln/scan.sh $(BIN)/govulncheck

vuln-if-reachable: $(BIN)/govulncheck
	@mkdir -p $(RESULTS)
	@NOTICES=$(RESULTS)/notices tools/vuln/scan.sh $(BIN)/govulncheck

check-deploy: tools ## the files of docker-compose.yaml, by the programs they belong to
	$(BIN)/promtool check config --lint=none deploy/prometheus.yml
	$(BIN)/promtool check web-config deploy/admin-web.yml
	go run ./cmd/relay check-config deploy/relay.yml

# --- what the tests need; each is built again only when its pinned version changes

tools: $(BIN)/gotestsum $(BIN)/golangci-lint $(BIN)/govulncheck $(BIN)/prometheus $(BIN)/promtool $(BIN)/prometheus-debian ## build the other programs but Thanos
tools-thanos: $(BIN)/thanos ## build Thanos

# Without service discovery and its cloud SDKs the server builds in half the time.
$(BIN)/prometheus $(BIN)/promtool: $(BIN)/%: tools/prometheus/go.mod tools/prometheus/go.sum
	cd tools/prometheus && go build -tags remove_all_sd,netgo -o $@ github.com/prometheus/prometheus/cmd/$*

$(BIN)/thanos: tools/thanos/go.mod tools/thanos/go.sum
	cd tools/thanos && go build -tags netgo,slicelabels -o $@ github.com/thanos-io/thanos/cmd/thanos

$(BIN)/golangci-lint: tools/lint/go.mod tools/lint/go.sum
	cd tools/lint && go build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(BIN)/govulncheck: tools/vuln/go.mod tools/vuln/go.sum
	cd tools/vuln && go build -o $@ golang.org/x/vuln/cmd/govulncheck

$(BIN)/gotestsum: tools/gotestsum/go.mod tools/gotestsum/go.sum
	cd tools/gotestsum && go build -o $@ gotest.tools/gotestsum

$(BIN)/prometheus-debian: tools/debian.sh
	tools/debian.sh $@

clean: ## what was built and what the tests left
	rm -rf relay bin data $(RESULTS)

distclean: clean ## the other programs too
	rm -rf .cache
