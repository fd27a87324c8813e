# outbox. Everything is built by CMake; this names the few things people type.
#   make          builds outboxd, outbox and sendmail into build/bin
#   make demo     shows the main job, start to end, in a private folder
#   make test     builds with sanitizers and runs every test
#   make guard    counts what a message costs now and before the last commit (make test does so, too)
#   make bench    measures speed beside the bound, Exim and Postfix; bench-full takes half an hour
#   make install  DESTDIR and PREFIX are honoured
# What is missing on the machine is installed first, by the distribution's package manager.

PREFIX ?= /usr/local
DESTDIR ?=
JOBS := $(shell nproc 2>/dev/null || echo 2)

# $(call quietly,LOG,COMMAND): names what runs, shows its output only when it fails.
quietly = echo "$(2)"; $(2) > build/$(1) 2>&1 || { cat build/$(1); exit 1; }

.PHONY: all programs bench-programs demo test test-clang test-tsan guard bench bench-full install lint format clean dependencies

all: programs

dependencies:
	@sh tests/dependencies.sh

build/release/CMakeCache.txt: CMakePresets.json | dependencies
	@$(call quietly,configure.log,cmake --preset release)

programs: build/release/CMakeCache.txt
	@$(call quietly,build.log,cmake --build build/release --parallel $(JOBS) --target outboxd outbox sendmail)

demo: programs
	@python3 tests/demo/demo.py build/bin

# Everything built three times: by clang for its warnings, under ThreadSanitizer to run what has threads, and under
# AddressSanitizer and UndefinedBehaviorSanitizer to run all of it: the last summary is the one that counts.
test: dependencies test-clang test-tsan
	@$(call quietly,configure-dev.log,cmake --preset dev)
	@$(call quietly,build-dev.log,cmake --build --preset dev --parallel $(JOBS))
	@ctest --preset dev --parallel $(JOBS)

test-clang: dependencies
	@$(call quietly,configure-clang.log,cmake --preset clang)
	@$(call quietly,build-clang.log,cmake --build --preset clang --parallel $(JOBS))

test-tsan: dependencies
	@$(call quietly,configure-tsan.log,cmake --preset tsan)
	@$(call quietly,build-tsan.log,cmake --build --preset tsan --parallel $(JOBS))
	@ctest --preset tsan --parallel $(JOBS) -L threads

# 77: there is nothing to compare with, which is no failure.
guard: dependencies
	@python3 tests/guard/guard.py || [ $$? -eq 77 ]

bench bench-full: bench-programs
bench-programs: programs
	@$(call quietly,build.log,cmake --build build/release --parallel $(JOBS) --target bench-programs)

bench:
	@python3 tests/bench/bench.py build/bin

bench-full:
	@python3 tests/bench/bench.py build/bin --full

install: programs
	@DESTDIR=$(DESTDIR) cmake --install build/release --prefix $(PREFIX)

# The longest functions first; over 100 lines needs a reason.
lint: dependencies
	@python3 tests/longest.py
	@mandoc -T lint -W warning client/*.1 daemon/*.5 daemon/*.8

format:
	@clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf build
