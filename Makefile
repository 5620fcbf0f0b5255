# Everything that one does with this repository by hand. Needs Go and git: tools come as Go modules, at fixed versions, and Chromium is installed on Debian if
# it is missing.

GO          ?= go
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 60s
SIMTIME     ?= 1h
COMPAT_CHECKS ?= 10000
BENCH       ?= run
REV         ?= main
BENCHMARKS  ?= .
PACKAGES    ?= ./...
BENCHSTAT   ?= $(GO) run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

# The core has to run in a browser too.
WASM_PACKAGES = ./raft/... ./wal/... ./engine/... ./sim ./lab
# Directories with a go.mod of their own: what they need never enters ours.
MODULES = $(patsubst %/go.mod,%,$(wildcard */go.mod))

.PHONY: help demo build sim site test race fuzz crashpoints mutants compat bench microbench bench-compare figures lint wasm chromium modules

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## build, start three members on this machine and watch them
	@exec bin/balsa demo

build: ## build bin/balsa
	@mkdir -p bin
	$(GO) build -tags grpcnotrace -buildvcs=auto -o bin/balsa ./cmd/balsa

sim: build ## simulate deployments under every fault for SIMTIME (1h), and stop at the first bug
	@exec bin/balsa sim --for $(SIMTIME)

site: ## build the lab as a static site, in site/
	$(GO) run ./lab/site/build site

test: lint wasm chromium ## check everything that a change has to pass
	$(GO) test -timeout 20m ./...
	@set -e; for module in $(MODULES); do echo "cd $$module && $(GO) test -timeout 20m ./..."; (cd $$module && $(GO) test -timeout 20m ./...); done

# What is allocated is counted without the detector: with it, pools forget at random.
race: ## run the tests under the race detector
	$(GO) test -race -timeout 40m -skip Allocates ./...

fuzz: ## run each fuzz test for FUZZTIME (60s)
	@set -e; for package in $$($(GO) list ./...); do \
		for name in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "fuzz $$package $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s $$package; \
		done; \
	done

crashpoints: ## crash at every file operation, lose every subset of what was not synced, flip every byte
	$(GO) test ./sim -run 'TestCrashPoints|TestEveryFlipOfACluster' -crashpoints -v -timeout 4h

mutants: ## hunt every deliberate bug with the simulator, and write the table into docs/simulation.md
	$(GO) run ./sim/mutants -write

compat: ## ask Balsa and a real etcd the same, COMPAT_CHECKS (10000) times over
	cd compat && $(GO) test -count=1 -timeout 4h -run TestBalsaAnswersAsEtcdDoes . -rapid.checks=$(COMPAT_CHECKS)

bench: ## measure Balsa beside other libraries, etcd and the machine's limits, into docs/benchmarks (BENCH="run -h" tells of more)
	cd bench && $(GO) run . $(BENCH)

microbench: ## run the benchmarks of each room
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-compare: ## show what the changes since REV (main) do to the benchmarks of each room
	@set -e; then=$$(mktemp -d); trap 'git worktree remove --force '$$then'/tree; rm -rf '$$then EXIT INT TERM; \
	git worktree add -q --detach $$then/tree $(REV); \
	for round in 1 2 3 4 5 6; do \
		echo "round $$round of 6"; \
		(cd $$then/tree && $(GO) test -run '^$$' -bench '$(BENCHMARKS)' -benchmem $(PACKAGES) >> $$then/then.txt); \
		$(GO) test -run '^$$' -bench '$(BENCHMARKS)' -benchmem $(PACKAGES) >> $$then/now.txt; \
	done; \
	$(BENCHSTAT) $$then/then.txt $$then/now.txt

figures: build ## measure writes and failover on this machine, and put them into the first pages
	bin/balsa bench --markdown bin
	@set -e; for page in README.md README.zh-CN.md; do \
		awk -v block="bin/figures$${page#README}" ' \
			/^<!-- end of figures -->$$/ { inside = 0 } \
			!inside { print } \
			/^<!-- figures -->$$/ { inside = 1; print ""; while ((getline line < block) > 0) print line; print "" }' $$page > bin/page; \
		cat bin/page > $$page; \
	done
	@rm bin/page; echo; cat bin/figures.md

lint: ## check formatting, go vet, staticcheck
	@unformatted=$$(gofmt -l .); \
		if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...
	@set -e; for module in $(MODULES); do echo "cd $$module && $(GO) vet ./... && staticcheck ./..."; (cd $$module && $(GO) vet ./... && $(STATICCHECK) ./...); done

# The lab's page is tested in a real browser. On Debian it is installed if it is missing; elsewhere BALSA_CHROMIUM names it.
chromium:
	@if [ -n "$$BALSA_CHROMIUM" ] || command -v chromium chromium-browser google-chrome >/dev/null; then exit 0; fi; \
		if ! command -v apt-get >/dev/null; then echo "the lab's tests need Chromium: install it, or name it in BALSA_CHROMIUM"; exit 1; fi; \
		echo "installing Chromium for the lab's tests"; \
		as=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk >/dev/null

wasm:
	GOOS=js GOARCH=wasm $(GO) build $(WASM_PACKAGES)
