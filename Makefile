# The commands of docent's workshop. `make` lists them.

.PHONY: help demo test lint bench live-forge ci

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# The development build: it is there in half the time of the release build, and the demo waits for pip and kernels anyway.
# Without an engine the demo uses the sandbox, and says what it found; so what cannot be set up here does not stop it.
demo: ## the whole loop on this machine; ARGS=--once for one run and its report
	@scripts/setup sandbox python || true
	@scripts/setup engine || true
	cargo run --locked -- demo $(ARGS)

test: ## everything, after getting what it wants
	@scripts/test

lint: ## format, clippy, dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	@scripts/deny

bench: ## what docent costs, as ratios
	@scripts/setup engine python wrangler || true
	cargo bench --locked --bench docent

live-forge: ## the contract suite against a real forge: DOCENT_LIVE_KIND, DOCENT_LIVE_URL, DOCENT_LIVE_TOKEN
	@if [ -z "$$DOCENT_LIVE_URL" ]; then echo "not run: DOCENT_LIVE_URL names no forge (CONTRIBUTING.md says how)"; \
	else cargo test --locked --test forge_contract -- live --nocapture; fi

ci: ## what CI runs, on a fresh machine as root
	@.ci/run
