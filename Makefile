# Every target does its own set-up; it is done again only when what it depends on has changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Overridable: make run PORT=9000, make test ARGS='-k signature', make check PYTHON=python3.13
PYTHON ?=
PORT ?= 8080
CLOUD ?= aws
# Twice the cores of a small machine: many tests wait for a fault to pass.
WORKERS ?= 4
PROJECT ?=
ALARM_EMAIL ?=
ARGS ?=

BIN := .venv/bin
PACKAGES := core aws_lambda azure_function gcp_function cli
CODE := $(PACKAGES) examples reliability scripts benchmarks tests
# One stamp for each PYTHON asked for: asking for another one builds .venv anew.
READY := .venv/.ready$(if $(PYTHON),-$(subst /,_,$(PYTHON)))

# Candidates are tried by running them: a pyenv shim stands on PATH even where its version is not selected.
define find-python
for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	python=; \
done; \
if [ -z "$$python" ]; then \
	echo "$(if $(PYTHON),PYTHON=$(PYTHON) does not run or is older than Python 3.11.,No Python 3.11 or newer was found on PATH.)" >&2; \
	echo "Install Python 3.11 or newer (Debian: apt-get install python3), or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.13" >&2; \
	exit 1; \
fi
endef

##@ Use

.PHONY: run
run: $(READY) ## Start the receiver on this machine, emulators included (PORT=8080 CLOUD=aws)
	@exec $(BIN)/dastra-webhooks run --port $(PORT) --cloud $(CLOUD)

##@ Deploy

.PHONY: build-aws
build-aws: ## Build the Lambda bundle (build/aws/ and build/aws.zip)
	@$(find-python); "$$python" scripts/build_aws.py $(ARGS)

.PHONY: build-azure
build-azure: ## Build the directory that azd and func publish (build/azure/)
	@$(find-python); "$$python" scripts/build_azure.py $(ARGS)

.PHONY: build-gcp
build-gcp: ## Stage the directory that Google Cloud builds (build/gcp/)
	@$(find-python); "$$python" scripts/build_gcp.py $(ARGS)

.PHONY: deploy-gcp
deploy-gcp: ## Deploy to Google Cloud with gcloud (PROJECT=id ALARM_EMAIL=address ARGS=--dry-run)
	@$(MAKE) build-gcp ARGS=
	@infra/gcp/deploy.sh --project '$(PROJECT)' --alarm-email '$(ALARM_EMAIL)' $(ARGS)

.PHONY: destroy-gcp
destroy-gcp: ## Remove what deploy-gcp made (PROJECT=id ARGS=--dry-run)
	@infra/gcp/destroy.sh --project '$(PROJECT)' $(ARGS)

.PHONY: deploy-azure
deploy-azure: ## Deploy to Azure with azd (docs/deploy-azure.md)
	@azd up $(ARGS) || { \
		azd env get-value WEBHOOK_URL $(ARGS) --no-prompt </dev/null >/dev/null 2>&1 || exit 1; \
		echo "azd stopped after it had made the resources. A role that was just given may not be known everywhere yet:" >&2; \
		echo "the code is deployed once more in two minutes (Ctrl+C to leave it)." >&2; \
		sleep 120; \
		azd deploy $(ARGS); \
	}

.PHONY: try-aws
try-aws: $(READY) ## Deploy to a local AWS as it is, send, read the queue, delete: no account needed
	@$(BIN)/python scripts/aws_tools.py sam emulator
	@$(BIN)/python scripts/smoke_aws.py --local $(ARGS)

.PHONY: smoke-aws
smoke-aws: $(READY) ## The same on your AWS account, in a throwaway stack; asks first (ARGS=--dry-run)
	@$(BIN)/python scripts/aws_tools.py sam
	@$(BIN)/python scripts/smoke_aws.py $(ARGS)

.PHONY: smoke-gcp
smoke-gcp: $(READY) ## The same on Google Cloud (PROJECT=id ALARM_EMAIL=address)
	@$(MAKE) build-gcp ARGS=
	@$(BIN)/python scripts/smoke_gcp.py --project '$(PROJECT)' --alarm-email '$(ALARM_EMAIL)' $(ARGS)

.PHONY: smoke-azure
smoke-azure: $(READY) ## The same on Azure (ARGS='--subscription ID --dry-run')
	@$(BIN)/python scripts/smoke_azure.py $(ARGS)

##@ Check

.PHONY: test
test: $(READY) ## Run the tests (ARGS='-k name' for some, WORKERS=4)
	@$(BIN)/pytest -n $(WORKERS) -rfEs -m 'not slow' $(ARGS)

.PHONY: test-slow
test-slow: $(READY) tools ## The others: bundles under the real runtimes, sam deploy, scanners, LocalStack
	@$(BIN)/pytest -n $(WORKERS) -rfEs -m slow $(ARGS)

.PHONY: test-all
test-all: test test-slow ## Every test

.PHONY: check
check: lint coverage ## Everything a change must pass: lint, types, imports, lock, tests, coverage

.PHONY: bench
bench: $(READY) ## Measure: a table, and build/bench.json (ARGS='--only screening')
	@$(BIN)/python scripts/uv.py sync --locked --group bench --quiet
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: lint
lint: $(READY) ## Format, lint, types, import contracts, lock file
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/uv.py lock --check

.PHONY: coverage
coverage: $(READY) ## Run the tests with branch coverage; core/ must reach its gate
	@$(BIN)/pytest -n $(WORKERS) -rfEs -m 'not slow' --cov --cov-report= $(ARGS)
	$(BIN)/coverage report
	$(BIN)/coverage report --include='core/*' --fail-under=98

.PHONY: load
load: $(READY) ## Load on real parts here: nothing lost, nothing forged (CLOUD=aws ARGS='--events 1000 --scenario kill')
	@$(BIN)/python -m reliability load --cloud $(CLOUD) $(ARGS)

.PHONY: soak
soak: $(READY) ## The same for half an hour, faults and kills together (CLOUD=aws ARGS='--minutes 60')
	@$(BIN)/python -m reliability load --cloud $(CLOUD) --scenario storm --minutes 30 $(ARGS)

.PHONY: fuzz
fuzz: $(READY) ## A million hostile inputs, steered by coverage (ARGS='--target screening --runs 10000')
	@$(BIN)/python -m reliability fuzz $(ARGS)

.PHONY: mutants
mutants: $(READY) ## Break signature, address and screening code on purpose: the tests must notice
	@$(BIN)/python -m reliability mutants $(ARGS)

.PHONY: sbom
sbom: $(READY) ## What each bundle is made of, as CycloneDX (build/sbom/)
	@$(BIN)/python scripts/sbom.py $(ARGS)

.PHONY: licences
licences: $(READY) ## Every package with its licence; refuses one that nobody allowed
	@$(BIN)/python scripts/licences.py $(ARGS)

.PHONY: audit
audit: $(READY) ## Look for secrets in the tree and for holes in the workflows
	@$(BIN)/python scripts/audit.py $(ARGS)

.PHONY: cost
cost: $(READY) ## What it costs: a table, for your own numbers (ARGS='--events 5000000 --junk 10')
	@$(BIN)/python scripts/cost.py $(ARGS)

##@ Change

.PHONY: keep
keep: $(READY) ## For a fork, once: keep one cloud and remove the others (CLOUD=aws, ARGS=--dry-run)
	@$(BIN)/python scripts/keep.py '$(if $(findstring command line,$(origin CLOUD)),$(CLOUD))' $(ARGS)

.PHONY: schema
schema: $(READY) ## Write docs/schema/*.json anew from the models
	@$(BIN)/python scripts/schema.py $(ARGS)

.PHONY: setup
setup: $(READY) ## Make .venv with everything the other targets need
	@:

.PHONY: tools
tools: $(READY) ## Install what test-slow needs into build/tools: SAM, Lambda's runtime, LocalStack, scanners
	@$(BIN)/python scripts/aws_tools.py sam runtime emulator localstack
	@$(BIN)/python scripts/gcp_tools.py
	@$(BIN)/python scripts/azure_tools.py
	@$(BIN)/python scripts/dastra_tools.py
	@$(BIN)/python scripts/audit.py --install

.PHONY: aws-tools gcp-tools azure-tools dastra-tools
aws-tools: $(READY)
	@$(BIN)/python scripts/aws_tools.py $(ARGS)
gcp-tools: $(READY)
	@$(BIN)/python scripts/gcp_tools.py $(ARGS)
azure-tools: $(READY)
	@$(BIN)/python scripts/azure_tools.py $(ARGS)
dastra-tools: $(READY)
	@$(BIN)/python scripts/dastra_tools.py $(ARGS)

.PHONY: fmt
fmt: $(READY) ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix-only --quiet $(CODE)
	$(BIN)/ruff format $(CODE)

.PHONY: lock
lock: ## Bring uv.lock in line with pyproject.toml (ARGS=--upgrade takes newer versions)
	@$(find-python); "$$python" scripts/uv.py lock $(ARGS)

.PHONY: hooks
hooks: $(READY) ## Check each commit before it is made (git hook, through pre-commit)
	$(BIN)/pre-commit install

.PHONY: clean
clean: ## Remove everything that make and the tools made here, .venv included
	rm -rf .venv .tools .local .aws-sam build dist htmlcov .coverage .coverage.* coverage.xml
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(wildcard $(CODE)) -type d -name __pycache__ -prune -exec rm -rf {} +

##@ Help

.PHONY: help
help: ## Show this list
	@if [ -t 1 ] && [ -z "$${NO_COLOR:-}" ]; then head=$$'\e[1m' name=$$'\e[36m' end=$$'\e[0m'; else head= name= end=; fi; \
	awk -v head="$$head" -v name="$$name" -v end="$$end" ' \
		/^##@ / { printf "\n%s%s%s\n", head, substr($$0, 5), end } \
		/^[a-z][a-z-]*:.*## / { text = $$0; sub(/^.*## /, "", text); sub(/:.*/, ""); printf "  %s%-12s%s %s\n", name, $$0, end, text } \
	' $(MAKEFILE_LIST)

$(READY): pyproject.toml uv.lock scripts/uv.py
	@$(find-python); "$$python" scripts/uv.py sync --locked
	@touch $@
