# `make` lists what there is. Nothing is installed outside of target/, but for `make install`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
ROUNDS ?= 5
# Bash counts SECONDS by itself, so only the one given to make is meant.
FUZZ_SECONDS = $(if $(filter command line,$(origin SECONDS)),$(SECONDS),30)

.PHONY: help machine build test bench demo tools manifests reference deny sbom fmt fmt-check lint doc fuzz install clean-tools

help: ## What can be made
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

machine:
	@tests/tools.sh machine

build: machine ## The binary, for development (target/debug/doorward)
	$(CARGO) build --locked

demo: machine ## A real Envoy, Doorward and an echo upstream, and a walk through requests; ARGS=--exit stops after it
	$(CARGO) build --locked --bin doorward --example demo
	@./target/debug/examples/demo $(ARGS)

test: machine tools fmt-check lint doc ## Everything that has to pass: format, lints, documents, all tests, a short fuzz
	$(CARGO) test --locked
	$(MAKE) --no-print-directory fuzz

bench: ## The figures beside those of other servers, into docs/benchmarks.md; ROUNDS=3 shortens, ARGS=saturated or ARGS=instances chooses
	$(CARGO) build --locked --release --example peer
	$(CARGO) bench --locked --bench bench -- $(or $(ARGS),all --rounds $(ROUNDS))

TOOLS = envoy redis schemathesis authlib openstack issuer browser promtool systemd helm kubernetes hadolint nginx caddy traefik rotel cargo-deny cyclonedx

tools: ## Finds what the tests drive (Envoy, Redis and so on), or installs it into target/tools
	@for tool in $(TOOLS); do found=$$(tests/tools.sh "$$tool"); echo "$$tool: $$found"; done

manifests: ## deploy/kubernetes, as the chart in deploy/helm makes it
	@render=$$(tests/tools.sh helm); deploy/kubernetes/manifests.sh "$$render" > target/manifests.yaml
	mv target/manifests.yaml deploy/kubernetes/doorward.yaml

fmt: ## Formats the source
	$(CARGO) fmt --all

fmt-check:
	$(CARGO) fmt --all --check

# As `cargo clippy --workspace --all-targets -- -D warnings`, which would check the dependencies beside compiling them.
lint: ## Clippy, where a warning is an error
	RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings CARGO_INCREMENTAL=0 \
		$(CARGO) build --locked --workspace --all-targets

doc: ## The documents of the source, where a warning is an error
	RUSTDOC="$(CURDIR)/tests/rustdoc.sh" $(CARGO) test --locked --doc

reference: ## docs/reference, as the code says it
	WRITE_REFERENCE=1 $(CARGO) test --locked --test it documents::reference::

deny: ## Licences, sources, banned crates and version floors of what Doorward depends on (deny.toml)
	@deny=$$(tests/tools.sh cargo-deny); "$$deny" --workspace --locked check --hide-inclusion-graph -A duplicate bans licenses sources

sbom: ## What a built Doorward is made of, as CycloneDX, into target/doorward.cdx.json
	deploy/sbom.py > target/doorward.cdx.json

fuzz: ## Each fuzz target for 30 seconds, or `make fuzz SECONDS=600`
	@fuzz/run.sh $(FUZZ_SECONDS)

install: ## doorward, and apinode-admin as its second name, into PREFIX/bin (/usr/local)
	$(CARGO) build --locked --release
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 0755 target/release/doorward "$(DESTDIR)$(PREFIX)/bin/doorward"
	ln -sfn doorward "$(DESTDIR)$(PREFIX)/bin/apinode-admin"

clean-tools: ## Takes away what was installed into target/tools
	rm -rf target/tools
