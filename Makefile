# `make help` lists what there is. `make run` and `make test` are all that a
# newcomer needs.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# Some errors are sentences for tenants and begin with a capital (ST1005).
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2 -checks inherit,-ST1005

# What Lambda runs is one static file named bootstrap. lambda.norpc leaves out
# the RPC mode of the retired go1.x runtime. Without the commit's name in it the
# same code is the same file, and need not be deployed again.
FUNCTIONS := $(sort $(patsubst functions/%/main.go,%,$(wildcard functions/*/main.go)))
GOARCH_LAMBDA ?= arm64
GO_BUILD_LAMBDA = CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH_LAMBDA) go build -tags lambda.norpc -trimpath -buildvcs=false -ldflags "-s -w"

NODE_MODULES := infra/local/node_modules/.package-lock.json
PORTAL_MODULES := portal/node_modules/.package-lock.json
PORTAL_SOURCES := $(shell find portal/src portal/public -type f ! -name '*.test.*') \
	$(addprefix portal/,index.html package.json vite.config.ts tsconfig.json scripts/size.mjs)
LINT_VENV := .venv/lint/installed
MOTO_VENV := .venv/moto/installed
REHEARSE_VENV := .venv/rehearse/installed
SAM_VENV := .venv/sam/installed
BENCH_VENV := .venv/bench/installed

.PHONY: help
help: ## Lists the targets.
	@awk -F ': .*## ' '/^[a-z0-9-]+: .*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: deps
deps: $(NODE_MODULES) $(PORTAL_MODULES) ## Fetches the Node packages of the local stack and the portal.

# npm writes this file last, so one older than the lock file is from an older
# or an unfinished install.
$(NODE_MODULES): infra/local/package-lock.json infra/local/package.json
	cd infra/local && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

$(PORTAL_MODULES): portal/package-lock.json portal/package.json
	cd portal && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: run
run: deps portal ## Serves Rekindle on this machine. ARGS="-listen 127.0.0.1:9000" passes flags.
	go run ./infra/local $(ARGS)

.PHONY: portal
portal: portal/dist/index.html ## Builds the portal into portal/dist, if it has changed.

portal/dist/index.html: $(PORTAL_MODULES) $(PORTAL_SOURCES)
	cd portal && npm run --silent build || { rm -f dist/index.html; exit 1; }
	@touch $@

.PHONY: test
test: deps portal ## Runs every test, with the race detector.
	go vet ./...
	go test -race -timeout 15m ./...
	cd portal && npm run --silent test
	@if [ "$$REKINDLE_REQUIRE_CHROMIUM" = 1 ] || node portal/e2e/chromium.mjs >/dev/null 2>&1; then $(MAKE) --no-print-directory e2e; \
	else echo "Not run: the portal's browser tests, for no Chromium was found. 'make chromium' installs Debian's (as root); or set CHROMIUM to the path of one."; fi
	@if [ -e $(MOTO_VENV) ]; then $(MAKE) --no-print-directory moto; \
	else echo "Not run: the store's suite on a second database. 'make moto' installs and runs it (Python 3.11)."; fi

.PHONY: e2e
e2e: deps portal ## Drives the portal in a Chromium, against a local stack of its own. ARGS="-g restart" chooses tests.
	cd portal && npm run --silent e2e -- $(ARGS)

.PHONY: screenshots
screenshots: deps portal ## Takes the pictures in portal/screenshots/ anew, and prints how soon a page can be used.
	cd portal && npm run --silent screenshots -- $(ARGS)

.PHONY: chromium
chromium: ## Installs Debian's Chromium with apt-get, as root, where none is found.
	@if found=$$(node portal/e2e/chromium.mjs 2>/dev/null); then echo "Nothing to do: Chromium is at $$found"; \
	elif ! command -v apt-get >/dev/null; then echo "No apt-get here: install Chromium or Chrome yourself, on PATH or with its path in CHROMIUM."; exit 1; \
	elif [ "$$(id -u)" != 0 ]; then echo "Installing a package needs root: sudo make chromium"; exit 1; \
	else echo "Installing the package chromium with apt-get."; set -e; \
		apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium; \
		node portal/e2e/chromium.mjs; fi

# Without what makes thousands of calls about the handlers: moto is slow, and
# one database is enough to ask them.
.PHONY: moto
moto: $(NODE_MODULES) $(MOTO_VENV) ## Runs the store's suite on a second, independent database, and the launcher on a second Batch (moto).
	REKINDLE_TEST_DATABASE=moto go test -count=1 -short -timeout 25m -skip 'OWASP|EachPathUnderEachFault' ./internal/dynamo ./internal/api ./internal/settle ./internal/output
	REKINDLE_TEST_DATABASE=moto go test -count=1 -run Moto ./internal/launch
	REKINDLE_TEST_DATABASE=moto go test -count=1 -short -run NoInterleaving ./internal/model

CHECKS ?= 370
.PHONY: model
model: $(NODE_MODULES) ## Holds random interleavings against the state machine, CHECKS (370) of about 28 steps.
	go test -count=1 -timeout 30m -v -run NoInterleaving ./internal/model -rapid.checks=$(CHECKS)

.PHONY: crashes
crashes: $(NODE_MODULES) ## Cuts each write path at each of its calls, and has each come after it who may: 8 minutes.
	go test -count=1 -timeout 30m -v -run CrashAtEach ./internal/model -recoveries

$(MOTO_VENV): requirements-moto.txt
	python3 -m venv --clear .venv/moto
	.venv/moto/bin/pip install --quiet --disable-pip-version-check --requirement requirements-moto.txt
	@touch $@

.PHONY: rehearse
rehearse: $(REHEARSE_VENV) ## Deploys template.yaml to an emulator of AWS, drives it, and holds policies against calls.
	go run ./infra/rehearse -python .venv/rehearse/bin/python $(ARGS)

$(REHEARSE_VENV): requirements-rehearse.txt
	python3 -m venv --clear .venv/rehearse
	.venv/rehearse/bin/pip install --quiet --disable-pip-version-check --requirement requirements-rehearse.txt
	@touch $@

.PHONY: docker
docker: ## Starts a Docker engine where none answers, as root on Debian: installs docker.io and runs dockerd.
	@infra/sam/docker.sh

# SAM_BASE_IMAGE=build makes an image of Lambda's emulator alone instead of
# pulling the public one.
.PHONY: sam
sam: $(NODE_MODULES) $(SAM_VENV) $(MOTO_VENV) ## Validates and builds by the SAM CLI, and invokes each function in its container (Docker).
	@infra/sam/base.sh
	REKINDLE_TEST_SAM=1 go test -count=1 -timeout 30m -v ./infra/sam

$(SAM_VENV): requirements-sam.txt
	python3 -m venv --clear .venv/sam
	.venv/sam/bin/pip install --quiet --disable-pip-version-check --requirement requirements-sam.txt
	@touch $@

FUZZTIME ?= 20s
.PHONY: fuzz
fuzz: deps ## Looks for inputs that break the readers, FUZZTIME (20s) a target.
	@for target in internal/token:FuzzVerify internal/project:FuzzTexts internal/api:FuzzEvent internal/api:FuzzBody internal/api:FuzzCursor \
		infra/local:FuzzSeed internal/template:FuzzOpen internal/runner:FuzzProgress; do \
		go test -run '^$$' -fuzz "^$${target#*:}$$" -fuzztime $(FUZZTIME) ./$${target%:*} || exit 1; \
	done

ROUNDS ?= 20
.PHONY: kill
kill: $(NODE_MODULES) ## Kills parts of the local stack ROUNDS (20) times, fills its disks (as root), sets its clock: nothing is lost.
	go test -count=1 -run ClockSet ./infra/local
	go run ./infra/prove/kill -rounds $(ROUNDS)

SECONDS ?= 60
CLIENTS ?= 64
.PHONY: load
load: $(NODE_MODULES) ## Has CLIENTS (64) call the local stack for SECONDS (60), and holds 2,000 projects against the answers.
	go run ./infra/prove/load -seconds $(SECONDS) -clients $(CLIENTS)

.PHONY: lint
lint: $(LINT_VENV) $(PORTAL_MODULES) ## Checks formatting, Go code, and template.yaml before and after SAM's transform.
	@unformatted=$$(gofmt -l functions infra internal); \
	if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	.venv/lint/bin/cfn-lint template.yaml
	.venv/lint/bin/python infra/sam/check_transform.py .aws-sam/lint/template.json
	.venv/lint/bin/cfn-lint .aws-sam/lint/template.json
	cd portal && npm run --silent lint

$(LINT_VENV): requirements-lint.txt
	python3 -m venv --clear .venv/lint
	.venv/lint/bin/pip install --quiet --disable-pip-version-check --requirement requirements-lint.txt
	@touch $@

.PHONY: audit
audit: ## Looks for known vulnerabilities in what the project depends on. AUDIT_OFFLINE=1 lists what it can't reach.
	go run ./infra/audit

.PHONY: bench
bench: $(NODE_MODULES) $(BENCH_VENV) ## Measures speed and cost, and prints one table. QUICK=1 is a look of minutes. ARGS="-h" says more.
	go run ./infra/bench $(if $(QUICK),-quick) $(ARGS)

.PHONY: scale
scale: ## Works out how far Rekindle goes and what that costs: the tables of docs/scale.md. ARGS=-update writes them there.
	@go run ./infra/bench/scale $(ARGS)

# What Rekindle is measured beside: the same calls in Python.
$(BENCH_VENV): requirements-bench.txt
	python3 -m venv --clear .venv/bench
	.venv/bench/bin/pip install --quiet --disable-pip-version-check --requirement requirements-bench.txt
	@touch $@

.PHONY: sizes
sizes: build ## Prints the size of each function, in bytes, and fails one over its limit.
	@for f in $(FUNCTIONS); do \
		limit=10000000; case $$f in status) limit=8000000;; esac; \
		size=$$(wc -c < bin/$$f/bootstrap); printf '%9d %s\n' $$size $$f; \
		if [ $$size -gt $$limit ]; then echo "$$f is over $$limit bytes"; exit 1; fi; \
	done

.PHONY: build
build: $(FUNCTIONS:%=bin/%/bootstrap) ## Builds the functions into bin/, for Lambda on GOARCH_LAMBDA (arm64).

# Always made anew: go itself knows best what has changed.
.PHONY: always
bin/%/bootstrap: always
	$(GO_BUILD_LAMBDA) -o $@ ./functions/$*

# What `sam build` calls, by way of infra/sam/: RunFunction is functions/run.
build-%Function: always
	$(GO_BUILD_LAMBDA) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/$$(echo $* | tr A-Z a-z)

.PHONY: deploy
deploy: ## Builds and deploys ENV of samconfig.toml. SET="RunnerTag=2" overrides, FLAGS= go to sam deploy.
	@python3 infra/sam/deploy.py $(ENV) $(SET) $(FLAGS)

BASE ?= scratch
IMAGE ?= rekindle-runner:dev
PLATFORM ?= linux/amd64
IMAGE_CONTEXT := bin/runner-image
GO_BUILD_IMAGE = CGO_ENABLED=0 GOOS=linux GOARCH=$(notdir $(PLATFORM)) go build -trimpath -ldflags "-s -w"
.PHONY: runner-image
runner-image: ## Builds the runner's image, IMAGE (rekindle-runner:dev) over BASE (scratch) for PLATFORM (linux/amd64).
	rm -rf $(IMAGE_CONTEXT)
	mkdir -p $(IMAGE_CONTEXT)/bin $(IMAGE_CONTEXT)/folders/work
	mkdir -m 1777 $(IMAGE_CONTEXT)/folders/tmp
	$(GO_BUILD_IMAGE) -o $(IMAGE_CONTEXT)/bin/rekindle-runner ./infra/runner
	$(GO_BUILD_IMAGE) -o $(IMAGE_CONTEXT)/bin/rekindle-sample ./infra/sample
	chmod -R go+rX $(IMAGE_CONTEXT)
	docker build --platform $(PLATFORM) --build-arg BASE=$(BASE) --tag $(IMAGE) --file infra/runner/Dockerfile $(IMAGE_CONTEXT)

.PHONY: runner-test
runner-test: $(NODE_MODULES) ## Builds the runner's image and tests it in Docker, on Linux.
	REKINDLE_TEST_DOCKER=1 go test -count=1 -timeout 15m ./infra/runner

.PHONY: clean
clean: ## Removes what was built and fetched, but no data.
	rm -rf bin .aws-sam .venv infra/local/node_modules portal/node_modules portal/dist portal/e2e/results
