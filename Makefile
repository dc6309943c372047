.DEFAULT_GOAL := help
.PHONY: help run stop setup build test lint fuzz bench nightly clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: setup ## build, start the daemon with a small model, say what to type
	@tools/run

stop: ## end the daemon
	@tools/stop

test: setup ## build and run every test
	@tools/test

lint: setup ## layers, forbidden calls, headers alone, format of changed lines, file lengths
	@tools/lint

fuzz: setup ## every fuzz target for FUZZ_SECONDS (30) with sanitizers
	@tools/fuzz

bench: setup ## measure against other implementations, on this machine
	@tools/bench

nightly: setup ## everything: sanitizers, long fuzzing and simulation, foreign peers
	@tools/nightly

setup: ## install what building needs (Debian packages)
	@tools/setup

build: setup ## build the dev preset without running anything
	@tools/fetch && tools/embedding-model && tools/build-llama && tools/build dev

clean: ## remove the build folder; the cache with llama.cpp and models stays
	@rm -rf build
