#!/bin/sh
# Installs what building and testing need, by the distribution's package manager; says so and does nothing else.
# Nothing to do: no output. Cannot do it: a list of what is missing, exit status 1.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build
[ build/dependencies -nt tests/dependencies.sh ] && exit 0

packages="cmake gcc clang libclang-rt-14-dev libc6-dev pkgconf libevent-dev libsqlite3-dev libssl-dev libcmocka-dev
libconfig-dev libjansson-dev libsmartcols-dev uthash-dev openssl python3 curl strace valgrind mandoc clang-format"

if ! command -v apt-get > /dev/null 2>&1; then
    missing=
    for tool in cmake gcc clang pkg-config python3 openssl curl mandoc; do
        command -v "$tool" > /dev/null 2>&1 || missing="$missing $tool"
    done
    for library in libevent sqlite3 openssl cmocka libconfig jansson smartcols; do
        pkg-config --exists "$library" 2> /dev/null || missing="$missing $library(development files)"
    done
    [ -z "$missing" ] || {
        echo "outbox needs these, please install them with your package manager:$missing (and uthash)" >&2
        exit 1
    }
    : > build/dependencies
    exit 0
fi

missing=
for package in $packages; do
    case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2> /dev/null) in
        ii*) ;;
        *) missing="$missing $package" ;;
    esac
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "outbox needs these packages; please run: sudo apt-get install$missing" >&2
        exit 1
    fi
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install -y --no-install-recommends $missing; } > build/packages.log 2>&1 || {
        tail -n 20 build/packages.log >&2
        exit 1
    }
fi
: > build/dependencies
