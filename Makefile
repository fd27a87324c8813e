# outbox. Everything is built by CMake; this names the few things people type.
#   make          builds outboxd, outbox and sendmail into build/bin
#   make demo     shows the main job, start to end, in a private folder
#   make test     builds with sanitizers and runs every test
#   make bench    measures speed beside the bound and, where there is one, Postfix
#   make install  DESTDIR and PREFIX are honoured
# What is missing on the machine is installed first, by the distribution's package manager.

PREFIX ?= /usr/local
DESTDIR ?=
JOBS := $(shell nproc 2>/dev/null || echo 2)

.PHONY: all programs bench-programs demo test test-clang test-tsan bench bench-full install lint format clean dependencies

all: programs

dependencies:
	@sh tests/dependencies.sh

build/release/CMakeCache.txt: CMakePresets.json | dependencies
	@cmake --preset release > build/configure.log 2>&1 || { cat build/configure.log; exit 1; }

programs: build/release/CMakeCache.txt
	@cmake --build build/release --parallel $(JOBS) --target outboxd outbox sendmail -- --no-print-directory -s

demo: programs
	@python3 tests/demo/demo.py build/bin

# The suite three times: clang for its warnings and the pure tests, the threaded part under ThreadSanitizer, and at
# last everything under AddressSanitizer and UndefinedBehaviorSanitizer, whose summary is the one that counts.
test: dependencies test-clang test-tsan
	@cmake --preset dev > build/configure-dev.log 2>&1 || { cat build/configure-dev.log; exit 1; }
	@cmake --build --preset dev --parallel $(JOBS) -- --no-print-directory -s
	@ctest --preset dev --parallel $(JOBS)

test-clang: dependencies
	@cmake --preset clang > build/configure-clang.log 2>&1 || { cat build/configure-clang.log; exit 1; }
	@cmake --build --preset clang --parallel $(JOBS) -- --no-print-directory -s

test-tsan: dependencies
	@cmake --preset tsan > build/configure-tsan.log 2>&1 || { cat build/configure-tsan.log; exit 1; }
	@cmake --build --preset tsan --parallel $(JOBS) -- --no-print-directory -s
	@ctest --preset tsan --parallel $(JOBS) -L threads

bench bench-full: bench-programs
bench-programs: programs
	@cmake --build build/release --parallel $(JOBS) --target bench-load bench-sink bench-bound -- --no-print-directory -s

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
