# Everything there is to do, on a Debian machine with Go and apt.

export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin
export CGO_ENABLED := 0

version := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
sources = $$(go list -f '{{.Dir}}' ./...)
staticcheck := honnef.co/go/tools/cmd/staticcheck@v0.8.2

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what this machine lacks, by apt
	@dev/setup.sh

build: ## build/init, the static program that becomes PID 1; GOARCH=arm64: for that
	@go build -trimpath -ldflags '-s -w' -o build/programs/exporter ./cmd/exporter
	@go build -trimpath -ldflags '-s -w -X main.version=$(version)' -tags embed -overlay dev/embed.json -o build/init ./cmd/init

image: setup build ## build/image.tar, by Nix, for docker load and podman load
	@dev/image.sh

demo: image ## boot a real container and show it; GPU=1: with a driver injected
	@dev/demo.sh $(if $(GPU),gpu)

demo-clean: ## remove what make demo made
	@dev/demo.sh clean

test: image lint ## run every test, the fuzz targets for 30 s each
	@dev/driver.sh prepare 535 550
	@dev/units.sh build/units
	@go test -timeout 15m ./...
	@$(MAKE) --no-print-directory fuzz

fuzztime = 30s
fuzz: ## feed the readers of what others wrote; fuzztime=5m for longer
	@printf '%s\n' services:FuzzNotification services/unitfile:FuzzUnit services/compose:FuzzCompose services/modular:FuzzModular | \
		xargs -P 2 -I {} sh -c 'target={}; go test -run "^$$" -parallel 1 -fuzztime $(fuzztime) -fuzz "^$${target#*:}$$" ./$${target%:*} >build/fuzz-$${target#*:}.log 2>&1 && tail -n 1 build/fuzz-$${target#*:}.log || { cat build/fuzz-$${target#*:}.log; exit 255; }'

bench: setup build ## measure init, each figure against peers in the same run; as root
	@go test -run '^$$' -bench . -benchtime 25x ./cmd/init
	@mkdir -p build/bench && dev/bench/run --quick > build/bench/table.md && cat build/bench/table.md

lint: setup ## gofmt, vet, staticcheck and shellcheck
	@files=$$(git ls-files '*.go' | xargs gofmt -l); test -z "$$files" || { echo "gofmt would change $$files"; exit 1; }
	@go vet ./... && GOARCH=arm64 go vet ./...
	@go run $(staticcheck) ./...
	@shellcheck -x dev/*.sh dev/bench/run dev/bench/*.sh dev/bench/adapters/*.sh

clean: demo-clean ## remove build
	@chmod -R u+w build/nix 2>/dev/null || true
	@rm -rf build

.NOTPARALLEL:
.PHONY: help setup build image demo demo-clean test fuzz bench lint clean
