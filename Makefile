# bgremove: `make demo` shows it, `make test` checks it, `make help` lists the rest.
# Every target can be run again; what is there already is left alone.

CARGO ?= cargo
# Asked when it is wanted: what it looks for may have to be installed first.
FEATURES = $(shell bash -c '. tools/lib.sh && echo $$FEATURES')

.PHONY: help demo demo-input test bench build deps deps-test deps-bench deps-models deps-light runtime runtime-openvino runtime-webgpu runtime-cuda doctor doc-cache deb flatpak install fuzz sweep corpus parts ray sanitize analytics test-trixie test-arm64 test-webgpu audit sheet edges clips models light clean

help: ## this list
	@echo "make targets:"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r t d; do printf '  %-17s %s\n' "$$t" "$$d"; done

demo: demo-input deps runtime clips build ## cut the people out of two clips, in six formats, in layers and on a canvas, into demo/; INPUT=any.mp4 does it to your own; installs human (GPL-3.0), LIGHT_ONLY=1 does not
	@tools/demo.sh $(if $(INPUT),"$(INPUT)")

demo-input: # before anything is built
	@$(if $(INPUT),[ -f "$(INPUT)" ] || { echo "demo: error: there is no file $(INPUT)" >&2; exit 1; },:)

test: deps-test runtime clips ## set up, then format check, clippy and all tests (LANES=1: one program after the other)
	@$(CARGO) fmt --check
	@# What only the tests need is fetched while clippy computes.
	@{ tools/install_runtime.sh openvino --if-possible && tools/install_runtime.sh webgpu --if-possible && \
		tools/ray.sh --if-possible; } & installs=$$!; \
	$(CARGO) clippy --all-targets $(FEATURES) -- -D warnings && \
		RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --no-deps $(FEATURES); checks=$$?; \
	wait $$installs && exit $$checks
	@rm -f build/skipped.txt
	BGREMOVE_TEST_SKIPS="$(CURDIR)/build/skipped.txt" CARGO="$(CARGO)" LANES="$(LANES)" tools/run_tests.py $(FEATURES)
	@if [ -s build/skipped.txt ]; then echo "$$(wc -l <build/skipped.txt) parts of tests did not run:"; sort -u build/skipped.txt; else echo "No test was skipped."; fi

bench: deps-bench runtime clips ## speed beside decoding, the bare networks and what people run today, into benches/RESULTS.md, and scale into docs/scale-*.png (BENCH='--quick' for a part)
	@tools/install_runtime.sh openvino --if-possible
	@tools/bench.sh $(BENCH)

build: deps ## the plugin and the tool: target/release/libgstbgremove.so, target/release/bgremove
	$(CARGO) build --release $(FEATURES)

deps: ## Debian packages, and a look whether Rust is there
	@tools/setup.sh

deps-test: ## the same, with what the tests need: npm, and browsers and a Matroska checker as foreign eyes
	@tools/setup.sh --test

deps-bench: ## the same, with what the peers of `make bench` need
	@tools/setup.sh --bench

deps-models: ## the same, with npm, which the networks come through
	@tools/setup.sh --models

deps-light: ## the same, with what `make light` needs
	@tools/setup.sh --light

runtime: deps ## ONNX Runtime, for this user
	@tools/install_runtime.sh

runtime-openvino: deps ## ONNX Runtime with OpenVINO beside it, several times faster for the larger networks (x86-64, 127 MB)
	@tools/install_runtime.sh openvino

runtime-webgpu: deps ## ONNX Runtime with WebGPU beside it: any maker's GPU, through its Vulkan driver (x86-64, 25 MB)
	@tools/setup.sh --gpu
	@tools/install_runtime.sh webgpu

runtime-cuda: deps ## ONNX Runtime with CUDA and the libraries it needs beside it, for NVIDIA's GPUs (x86-64, 1.2 GB fetched)
	@tools/install_runtime.sh cuda

clips: deps ## the clips of the demo and the tests, into build/clips/
	@tools/fetch_clips.sh

models: deps-models ## the networks human and pro, for this user; asks about licences (ACCEPT_LICENCE=1 accepts)
	@$(CARGO) run --quiet --release --bin bgremove -- models install human pro --downloads build/downloads $(if $(ACCEPT_LICENCE),--accept-licence)

light: deps-light ## make the committed networks anew and check that they come out the same
	@tools/convert_light.sh

doctor: build ## whether everything is there and works, and how fast it is
	@$(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/release/bgremove doctor

doc-cache: build ## docs/gst_plugins_cache.json, the plugin as GStreamer's documentation wants it
	@$(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/release/bgremove generate doc-cache >docs/gst_plugins_cache.json.new
	@mv docs/gst_plugins_cache.json.new docs/gst_plugins_cache.json

deb: deps ## the Debian package, into build/; ARCH=arm64 for ARM64; CHECK=1 installs it into a fresh Debian (root, debootstrap)
	@tools/deb.sh $(ARCH) $(if $(CHECK),--check)

flatpak: build runtime ## the Flatpak extension for programs from Flatpak that use GStreamer, into build/; CHECK=1 tries it in a Debian in the runtime's place (root, debootstrap)
	@tools/flatpak.sh $(if $(CHECK),--check)

install: deps ## plugin and tool into PREFIX (/usr/local), with cargo-c
	@tools/install.sh $(if $(PREFIX),"$(PREFIX)")

fuzz: deps ## the fuzz targets, FUZZ_SECONDS (60) each
	@tools/fuzz.sh

sweep: deps clips runtime ## 10,000 damaged files through GStreamer's decoders and bgremove, 1,000 through bgremove convert
	BGREMOVE_SWEEP_CASES=$(or $(CASES),10000) $(CARGO) test --test sweep -- --nocapture

corpus: deps runtime ## kinds of input (containers, codecs, times, streams, alpha) to each of the six formats, as a table
	BGREMOVE_CORPUS=all $(CARGO) test --test corpus -- --nocapture

parts: deps runtime clips ## a minute in 1, 3 and 7 parts beside the minute in one piece, as docs/parts-*.png; with human where it is installed
	$(CARGO) test --release --test parts -- --ignored --nocapture --test-threads 1 light
	@if [ -f "$${XDG_DATA_HOME:-$$HOME/.local/share}/bgremove/models/human.onnx" ]; then \
		$(CARGO) test --release --test parts -- --ignored --nocapture --test-threads 1 human; \
	else echo "SKIPPED human: it is not installed (make models)"; fi

ray: deps runtime clips ## examples/cluster/convert_ray.py on a Ray cluster of three nodes here, one of which goes in mid-run (in `make test`, too)
	@tools/ray.sh
	$(CARGO) test --test cluster -- --nocapture

test-webgpu: deps runtime runtime-webgpu clips ## the network human on WebGPU as on the CPU: minutes on a Vulkan driver that computes on the CPU (chromium's); with human where it is installed
	$(CARGO) test --release --test webgpu -- --ignored --exact --nocapture human_remembers_on_webgpu_as_on_the_cpu

sanitize: deps runtime ## the unit tests under AddressSanitizer, pipelines under valgrind
	@tools/sanitize.sh

analytics: deps runtime clips ## the feature `analytics` built and tested on GStreamer 1.26, in a Debian 13 of its own (root, debootstrap)
	@tools/trixie.sh analytics

test-trixie: deps runtime clips ## all tests on GStreamer 1.26, in the same Debian 13
	@tools/trixie.sh test

test-arm64: build runtime clips ## built for ARM64 and run under qemu: pictures as here, and the kernels' unit tests (root, debootstrap, rustup)
	@tools/arm64.sh test

audit: ## licences, sources and, where the advisories can be had, known faults of all crates
	@tools/cargo_tool.sh deny check licenses bans sources
	@tools/cargo_tool.sh deny check advisories || \
		tools/cargo_tool.sh deny --offline check advisories || \
		echo "SKIPPED: the advisories could not be had"

sheet: build runtime clips models ## the picture of the networks' mattes, docs/networks.png
	@tools/sheet_networks.sh

edges: build runtime models clips ## the pictures of docs/edges.md and docs/refine.md: hair, a hand in motion, thin things, a remembered room, before and after
	@tools/fetch_clips.sh --edges
	@tools/sheet_edges.sh
	@tools/sheet_scene.sh
	@tools/sheet_first.sh

clean: ## take away what was built, fetched and written here (not what was installed for this user)
	$(CARGO) clean
	rm -rf build demo
