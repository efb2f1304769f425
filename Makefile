# Everything there is to do, on a Debian machine with Go and apt.

export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin
export CGO_ENABLED := 0

version := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# What the tailnet's program tells control servers of its version.
upstream := $(shell sed -n 's|^\ttailscale.com v||p' go.mod)
tailscale = $(foreach s,shortStamp longStamp,-X tailscale.com/version.$s=$(upstream))
sources = $$(go list -f '{{.Dir}}' ./...)
staticcheck := honnef.co/go/tools/cmd/staticcheck@v0.8.2

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what this machine lacks, by apt
	@dev/setup.sh

build: ## build/init, the static program that becomes PID 1, and build/nix2vast, which makes images; GOARCH=arm64: for that
	@go build -trimpath -ldflags '-s -w' -o build/programs/exporter ./cmd/exporter
	@go build -trimpath -tags "$$(cat cmd/tailnet/tags)" -ldflags '-s -w $(tailscale)' -o build/programs/tailnet ./cmd/tailnet
	@go build -trimpath -ldflags '-s -w -X main.version=$(version)' -o build/programs/init ./cmd/init
	@env -u GOARCH go run ./dev/attach build/init build/programs/init build/programs/exporter build/programs/tailnet
	@go build -trimpath -ldflags '-s -w -X main.version=$(version)' -o build/nix2vast ./cmd/nix2vast

image: setup build ## build/plan.json, by Nix, and of it build/image.tar, for docker load and podman load
	@dev/image.sh

demo: image ## boot a real container and show it; GPU=1: with a driver injected
	@dev/demo.sh $(if $(GPU),gpu)

demo-clean: ## remove what make demo made
	@dev/demo.sh clean

test: image lint ## run every test, the fuzz targets for 30 s each
	@dev/driver.sh prepare 535 550
	@dev/units.sh build/units
	@go test -timeout 25m ./...
	@dev/services/check.sh
	@dev/nix-eval.sh --boot
	@$(MAKE) --no-print-directory fuzz

packages = ./...
stress: image ## run the tests while the processors are taken away now and then; as root; packages=./cmd/init for fewer
	@go -C dev/stress build -o $(CURDIR)/build/stress .
	@file=/proc/sys/kernel/sched_rt_runtime_us; old=$$(cat $$file); trap 'echo $$old >$$file' EXIT; echo -1 >$$file; \
		build/stress go test -count=1 -timeout 60m $(packages)

check-nix: setup build ## evaluate services and the flake, where checkouts of what they need are named; see dev/NIX.md
	@dev/services/check.sh
	@dev/nix-eval.sh

fuzztime = 30s
fuzz: ## feed the readers of what others wrote; fuzztime=5m for longer
	@printf '%s\n' services:FuzzNotification services/unitfile:FuzzUnit services/compose:FuzzCompose services/modular:FuzzModular image/plan:FuzzParse image/plan:FuzzHash | \
		xargs -P 2 -I {} dev/fuzz.sh {} $(fuzztime)

bench: setup build ## measure init, each figure against peers in the same run; as root
	@go test -run '^$$' -bench 'Banner|Status|Memory' -benchtime 25x ./cmd/init
	@mkdir -p build/bench && dev/bench/run --quick > build/bench/table.md && cat build/bench/table.md

bench-image: setup build ## measure plans, pushes and loads of 4.5 GB beside skopeo and nix2container; as root, some minutes
	@mkdir -p build/bench-image && dev/bench-image/run > build/bench-image/table.md && cat build/bench-image/table.md

bench-tailnet: setup build ## measure the tailnet beside Tailscale's own programs; as root, ten minutes
	@GOBIN=$(CURDIR)/build/peers go install -trimpath -ldflags '-s -w' $(foreach p,tailscaled tailscale containerboot,tailscale.com/cmd/$p@v$(upstream))
	@go test -run '^$$' -bench Tailnet -benchtime 5x -timeout 30m ./init/tailnet
	@go test -run '^$$' -bench Programs -benchtime 5x ./cmd/init

lint: setup ## gofmt, vet, staticcheck and shellcheck
	@files=$$(git ls-files '*.go' | xargs gofmt -l); test -z "$$files" || { echo "gofmt would change $$files"; exit 1; }
	@go vet ./... && GOARCH=arm64 go vet ./... && go vet -tags nixpkgs ./checks
	@go run $(staticcheck) ./...
	@shellcheck -x dev/*.sh config/*.sh dev/services/*.sh dev/bench/run dev/bench-image/run dev/bench-image/*.sh dev/bench/*.sh dev/bench/adapters/*.sh

clean: demo-clean ## remove build
	@chmod -R u+w build/nix 2>/dev/null || true
	@rm -rf build

.NOTPARALLEL:
.PHONY: help setup build image demo demo-clean test stress check-nix fuzz bench bench-image bench-tailnet lint clean
