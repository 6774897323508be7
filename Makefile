# The front door of Convoke. Each target installs what it needs and says so; what is there is left alone.
.DEFAULT_GOAL := help
.PHONY: help demo run release test check audit bench soak healing fuzz web pictures generate clean
SHELL := /bin/bash

help: ## this list
	@echo "Convoke: audio and video calls that always ring."
	@echo
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: ## build, then watch one whole call: killed callee, killed server, one ring, encrypted media
	@scripts/demo

run: ## build with the web terminal, start a server for trying out, print a link for each of three people
	@scripts/run

release: ## build target/release/convoke for a server, with the pages in it
	@scripts/release

test: ## every test, browsers and foreign clients included
	@scripts/test

check: ## formatting, lints, licenses, types, sizes of the web, generated files
	@scripts/check

audit: ## known vulnerabilities of dependencies (needs the internet)
	@scripts/audit

bench: ## measure against the bars: rings, storms, presence, meetings, MQTT traffic, hostile clients, durable publishing, resumes, starts
	@scripts/bench

soak: ## a simulated month of a server and of a queue, millions of crash states, thousands of power cuts, hundreds of kills (long)
	@scripts/soak

healing: ## measure how long a call takes to heal after kills and cut links (needs root; half an hour)
	@scripts/healing

fuzz: ## feed parsers with random bytes, 30 s each (needs nightly Rust and cargo-fuzz)
	@scripts/fuzz

web: ## build the web terminal into web/app/dist
	@scripts/web

pictures: ## make the pictures of README and docs anew
	@scripts/pictures

generate: ## write schemas, TypeScript types, the OpenAPI document and generated docs anew
	@scripts/generate

clean: ## remove what was built
	@cargo clean && rm -rf build web/node_modules web/app/dist
