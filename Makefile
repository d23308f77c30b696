# bgremove: `make demo` shows it, `make test` checks it, `make help` lists the rest.
# Every target can be run again; what is there already is left alone.

CARGO ?= cargo

.PHONY: help demo test bench build deps deps-test deps-models deps-light runtime runtime-openvino sheet clips models light clean

help: ## this list
	@echo "make targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r t d; do printf '  %-17s %s\n' "$$t" "$$d"; done

demo: deps runtime clips build ## cut the people out of two clips, in six formats, into demo/; INPUT=any.mp4 does it to your own
	@tools/demo.sh $(if $(INPUT),"$(INPUT)")

test: deps-test runtime clips ## set up, then format check, clippy and all tests
	@tools/install_runtime.sh openvino --if-possible
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) test

bench: deps runtime clips ## time a frame takes, beside the bare network's
	$(CARGO) bench

build: deps ## the plugin and the tool: target/release/libgstbgremove.so, target/release/bgremove
	$(CARGO) build --release

deps: ## Debian packages, and a look whether Rust is there
	@tools/setup.sh

deps-test: ## the same, with what the tests need: npm, and browsers and a Matroska checker as foreign eyes
	@tools/setup.sh --test

deps-models: ## the same, with npm, which the networks come through
	@tools/setup.sh --models

deps-light: ## the same, with what `make light` needs
	@tools/setup.sh --light

runtime: deps ## ONNX Runtime, for this user
	@tools/install_runtime.sh

runtime-openvino: deps ## ONNX Runtime with OpenVINO beside it, several times faster for the larger networks (x86-64, 127 MB)
	@tools/install_runtime.sh openvino

clips: deps ## the clips of the demo and the tests, into build/clips/
	@tools/fetch_clips.sh

models: deps-models ## the networks human and pro, for this user; asks about licences (ACCEPT_LICENCE=1 accepts)
	@$(CARGO) run --quiet --release --bin bgremove -- models install human pro --downloads build/downloads $(if $(ACCEPT_LICENCE),--accept-licence)

light: deps-light ## make the committed networks anew and check that they come out the same
	@tools/convert_light.sh

sheet: build runtime clips models ## the picture of the networks' mattes, docs/networks.png
	@tools/sheet_networks.sh

clean: ## take away what was built, fetched and written here (not what was installed for this user)
	$(CARGO) clean
	rm -rf build demo
