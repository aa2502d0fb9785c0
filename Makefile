# The two commands of the README are `make run` and `make test`; everything else is for those who work on the gateway.

CARGO ?= cargo
GATEWRIGHT = $(or $(CARGO_TARGET_DIR),target)/release/gatewright

.PHONY: run test check components build plugins guests languages bench soak fuzz clean

## run: build the gateway and its policies, serve gatewright.yaml in front of an embedded mock upstream
run: build plugins
	@sh tests/bench/greeting.sh
	@exec $(GATEWRIGHT) run --config gatewright.yaml --mock

## test: every test: host, policies natively, and the outer tests that drive the real binary
test: components build plugins guests
	$(CARGO) test --release --locked -p gatewright
	cd policies && $(CARGO) test --release --locked --target-dir ../target/policies
	CARGO=$(CARGO) tests/run.sh

## check: formatting, lints and documentation, without a warning
check: plugins
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --release --locked -p gatewright --all-targets --features wasi-http -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --release --locked --no-deps -p gatewright
	cd policies && $(CARGO) fmt --all --check
	cd policies && $(CARGO) clippy --release --locked --workspace --all-targets --target-dir ../target/policies -- -D warnings

## components: the gateway with components as upstreams, beside the usual one; `build` comes after it
components:
	$(CARGO) build --release --locked -p gatewright --features wasi-http
	cp $(GATEWRIGHT) $(GATEWRIGHT)-wasi-http.new
	mv $(GATEWRIGHT)-wasi-http.new $(GATEWRIGHT)-wasi-http

build:
	$(CARGO) build --release --locked -p gatewright

plugins:
	@policies/build.sh

guests:
	@tests/guests/build.sh

## languages: the policies in C, JavaScript and Python; the tests build what they need of them by themselves
languages:
	@policies/examples/build.sh

## bench: CPU time per request beside nginx, latency, reload, memory; about ten minutes on a quiet machine
bench: build plugins
	$(CARGO) run --release --locked -p gatewright-tests --bin bench

## soak: the long forms of the tests, figures included
soak: build plugins guests
	GATEWRIGHT_SOAK=1 $(CARGO) test --release --locked -p gatewright-tests -- --nocapture soak reload upgrade

## fuzz: 100,000 generated and mutated files offered to the loader (GATEWRIGHT_FUZZ_SEED says where to begin), and
## millions of changed requests, answers and streams to the dialects
fuzz: build guests
	GATEWRIGHT_FUZZ=$${GATEWRIGHT_FUZZ:-100000} $(CARGO) test --release --locked -p gatewright-tests -- --nocapture fuzz
	cd policies && GATEWRIGHT_FUZZ=$${GATEWRIGHT_FUZZ:-2000000} $(CARGO) test --release --locked --target-dir ../target/policies -p gatewright-llm -- torn:: round_trips::

clean:
	$(CARGO) clean
	rm -f plugins/*.wasm
