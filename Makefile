.DEFAULT_GOAL := help
.PHONY: help setup test lint clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## install what building needs (Debian packages)
	@tools/setup

test: setup ## set up, build, run every test
	@tools/test

clean: ## remove the build folder
	@rm -rf build
