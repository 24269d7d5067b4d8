# `make test` runs everything, on a fresh Debian machine as root. It installs and starts what is missing.
# `make check unit` needs Go and a C compiler only. `make help` lists the targets.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
BENCHSTAT = golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.6.0
NFPM = github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
CYCLONEDX = github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
FUZZTIME ?= 1000x
FUZZ ?= .
PROGRAM ?= userinfo
DIST ?= dist
IMAGE ?= userinfo:latest
MANDIR ?= man
BENCH ?= .
IN ?= ./access/... ./api ./store/...

# What `make check` and `make test` say at their end about known vulnerabilities.
VULNERABILITIES = .build/vulnerabilities

# Packages with integration tests. Each package is in one of the lists: internal/archtest checks it.
#
# CLUSTER_TESTS start clusters. They run one after another, and often wait, so all other integration tests run beside them: first
# ENGINE_TESTS, which need a container engine, one after another; then CLIENT_TESTS, which need none, as many at a time as there are
# CPUs. LONGEST_TEST is the slowest package of CLIENT_TESTS. It is named first, so that it starts first. go test ignores the second
# mention.
CLUSTER_TESTS = \
	./internal/e2e \
	./store/cassandra \
	./internal/testcluster \
	./drill
ENGINE_TESTS = \
	./bench \
	./bench/target \
	./internal/e2e/compose \
	./internal/e2e/image \
	./internal/e2e/release \
	./internal/e2e/systemd \
	./internal/e2e/upgrade \
	./internal/fleet \
	./schema
CLIENT_TESTS = \
	./api \
	./internal/e2e/chart \
	./internal/e2e/firewall \
	./internal/e2e/mediawiki \
	./internal/e2e/openapi \
	./internal/e2e/proxies \
	./internal/e2e/readme \
	./internal/e2e/signatures \
	./internal/e2e/watching \
	./passwords
LONGEST_TEST = ./internal/e2e/mediawiki

.PHONY: help build release test check unit fuzz integration integration-cluster integration-others integration-engine integration-clients beside-cluster environment vulnerabilities reproducible bench benchstat image man

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '%-20s %s\n' "$$target" "$$text"; done

build: ## build the program for a release: PROGRAM, usually ./userinfo
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$$(internal/release/version.sh flags)" -o $(PROGRAM) ./cmd/userinfo

release: ## build the program, the Debian package, the SBOM and SHA256SUMS into DIST, usually dist/
	internal/release/release.sh $(DIST) $(NFPM) $(CYCLONEDX)

# environment runs beside check, so that packages and images are fetched while go vet and staticcheck compute. check needs a C compiler,
# its headers and CA certificates. If they are missing, packages.sh installs them first.
test: ## run everything; needs Debian and root, installs what is missing
	@{ echo '#include <stdlib.h>' | gcc -E - && test -e /etc/ssl/certs/ca-certificates.crt; } >/dev/null 2>&1 || internal/testenv/packages.sh
	$(MAKE) -j2 environment check
	$(MAKE) unit
	$(MAKE) -j2 integration-cluster beside-cluster
	@echo "make test: everything passed"
	@cat $(VULNERABILITIES)

environment: ## install packages, start a container engine, provide images of Cassandra and Debian, and MediaWiki
	internal/testenv/packages.sh
	internal/testenv/engine.sh
	internal/testenv/image.sh
	internal/testenv/debian-image.sh
	internal/testenv/mediawiki.sh 1.39 >/dev/null
	internal/testenv/mediawiki.sh 1.43 >/dev/null

image: ## build the container image IMAGE (default userinfo:latest)
	deploy/image/build.sh $(IMAGE)

check: vulnerabilities ## check formatting, go.mod, go vet, staticcheck and known vulnerabilities
	@files=$$(find . -name .build -prune -o -name '*.go' -print0 | xargs -0 gofmt -l) && test -z "$$files" || { echo "run gofmt -w on: $$files"; exit 1; }
	go mod tidy -diff
	go vet -tags integration ./...
	go run $(STATICCHECK) -tags integration ./...
	@cat $(VULNERABILITIES)

# A program with the race detector sleeps for a second when it ends, in case another goroutine still has a race to report. The tests
# start hundreds of programs.
unit: ## run the hermetic tests with the race detector: no containers, no network except loopback
	GORACE=atexit_sleep_ms=10 go test -race ./...

# fuzz has the lowest priority. In make test, other tests with deadlines run beside it.
fuzz: ## run the fuzz targets that match FUZZ (default all) FUZZTIME times (default 1000x), or for a time such as 1h
	nice -n 19 internal/testenv/fuzz.sh $(FUZZTIME) '$(FUZZ)'

integration: ## run all integration tests
	$(MAKE) -j2 integration-cluster integration-others

integration-cluster: ## run the integration tests that take longest, with clusters, one package after another
	internal/testenv/cluster-tests.sh $(CLUSTER_TESTS)

integration-others: ## run the integration tests that integration-cluster does not run
	$(MAKE) integration-engine
	$(MAKE) integration-clients

integration-engine: ## run the integration tests with other containers, one package after another
	internal/testenv/cluster-tests.sh $(ENGINE_TESTS)

integration-clients: ## run the integration tests that need no container: firewall, Helm chart, MediaWiki, proxies, OpenAPI, README, alerts
	go test -count=1 -tags integration -timeout 30m $(LONGEST_TEST) $(CLIENT_TESTS)

# beside-cluster is what make test runs beside the tests with clusters, one after another: reproducible deletes compiled packages from
# Go's build cache that tests of images and releases use.
beside-cluster:
	$(MAKE) integration-others
	$(MAKE) reproducible
	$(MAKE) fuzz

vulnerabilities: ## report known vulnerabilities in called code, if the database can be reached
	internal/testenv/vulnerabilities.sh $(GOVULNCHECK) $(VULNERABILITIES) $(VULNDB)
	@cat $(VULNERABILITIES)

reproducible: ## check that two releases of the same source are identical
	internal/testenv/reproducible.sh

bench: ## run the Go benchmarks of all packages
	go test -run '^$$' -bench . -benchmem ./...

benchstat: ## compare benchmarks with another commit: make benchstat OLD=COMMIT [BENCH=Get] [IN=./api]
	internal/testenv/benchstat.sh "$(OLD)" '$(BENCH)' $(BENCHSTAT) $(IN)

man: ## write the manual pages of every command to MANDIR
	go run -tags man ./cmd/userinfo man $(MANDIR)
