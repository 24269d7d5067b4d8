# `make test` is everything, on a fresh Debian machine as root: it installs and starts what is missing.
# `make check unit` needs nothing but Go and a C compiler.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
BENCHSTAT = golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.6.0
FUZZTIME ?= 5000x

.PHONY: test check unit fuzz integration environment vulnerabilities bench benchstat

test: environment check unit fuzz integration

# Packages, a container engine that answers, an image of Cassandra.
environment:
	internal/testenv/packages.sh
	internal/testenv/engine.sh
	internal/testenv/image.sh

check: vulnerabilities
	@test -z "$$(gofmt -l .)" || { echo "not as gofmt has it:"; gofmt -l .; exit 1; }
	go mod tidy -diff
	go vet ./...
	go vet -tags integration ./...
	go run $(STATICCHECK) -tags integration ./...

# The hermetic tests: no Docker, no network but loopback.
unit:
	go test -race ./...

# Each fuzz target for a moment; the seeds have run with the tests.
fuzz:
	internal/testenv/fuzz.sh $(FUZZTIME)

# One package after another: each has the machine's only cluster to itself.
integration:
	go test -count=1 -tags integration -p 1 -timeout 25m \
		./schema ./store/cassandra/... ./api ./internal/testcluster/... ./internal/e2e/... ./drill ./bench ./bench/target

# Known vulnerabilities in what is called, where the database of them can be reached.
vulnerabilities:
	@go run $(GOVULNCHECK) ./... >.govulncheck 2>&1; code=$$?; \
	if [ $$code -eq 0 ]; then echo "govulncheck: nothing known"; \
	elif grep -q 'Vulnerability #' .govulncheck; then cat .govulncheck; exit 1; \
	else echo "govulncheck could not run here:"; grep -v "^exit" .govulncheck | tail -n 1; fi; rm -f .govulncheck

bench:
	go test -run '^$$' -bench . -benchmem ./...

# The benchmarks of another commit and of what is here, in turns, and what differs: make benchstat OLD=COMMIT [BENCH=Get] [IN=./api].
BENCH ?= .
IN ?= ./access/... ./api ./store/...
benchstat:
	internal/testenv/benchstat.sh "$(OLD)" '$(BENCH)' $(BENCHSTAT) $(IN)
