# bgremove: `make demo` shows it, `make test` checks it, `make help` lists the rest.
# Every target can be run again; what is there already is left alone.

CARGO ?= cargo

.PHONY: help demo test bench build deps deps-test deps-models runtime clips models light clean

help: ## this list
	@echo "make targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r t d; do printf '  %-12s %s\n' "$$t" "$$d"; done

demo: deps runtime clips build ## cut the person out of two clips, into demo/; INPUT=any.mp4 does it to your own
	@tools/demo.sh $(if $(INPUT),"$(INPUT)")

test: deps runtime clips ## set up, then format check, clippy and all tests
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) test

bench: deps runtime clips ## time a frame takes, beside the bare network's
	$(CARGO) bench

build: deps ## the plugin: target/release/libgstbgremove.so
	$(CARGO) build --release

deps: ## Debian packages, and a look whether Rust is there
	@tools/setup.sh

deps-models: ## the same, with what the model converters need
	@tools/setup.sh --models

runtime: deps ## ONNX Runtime, for this user
	@tools/install_runtime.sh

clips: deps ## the clips of the demo and the tests, into build/clips/
	@tools/fetch_clips.sh

models: deps-models ## the networks original, human and pro, for this user; asks about licences (ACCEPT_LICENCE=1 accepts)
	@tools/install_model.py original
	@tools/install_model.py human $(if $(ACCEPT_LICENCE),--accept-licence)
	@tools/install_model.py pro $(if $(ACCEPT_LICENCE),--accept-licence)

light: deps-models ## make the committed networks anew and check that they come out the same
	@tools/convert_light.sh

clean: ## take away what was built, fetched and written here (not what was installed for this user)
	$(CARGO) clean
	rm -rf build demo
