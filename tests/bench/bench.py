#!/usr/bin/env python3
"""Measures outboxd beside the bound and beside peers, interleaved, and prints medians and ratios of this one run.

bench.py BINDIR [--full] [--rounds N] [--measures acceptance,relay,...] ...
bench.py --render FILE.json

BINDIR holds outboxd, bench-load, bench-sink and bench-bound. What is measured is in the modules measure_*.py beside
this one. Results also go to build/bench/*.json and *.svg; --render puts those of a full run into README.md. Every load is
bounded in count and time. Ratios are what to look at:
the speed of a machine swings, most of all of a virtual one.
"""

import argparse
import collections
import ctypes
import datetime
import importlib
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

import chart
import readme
import report
from peer_exim import EximPeer
from peer_postfix import PostfixDefault, PostfixDeferring, PostfixTuned
from subjects import Absent, Bound, Ceiling, Outboxd, Sink

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
SIZE_BYTES = 4096
FAILURES = (RuntimeError, OSError, ValueError, subprocess.SubprocessError)


class Bench:
    """One run: its subjects, its folder on a real disk, and the records that it collects."""

    def __init__(self, options):
        self.bindir = options.bindir.resolve()
        self.full = options.full
        self.messages = options.messages
        self.folder = TOP / "build/bench" / f"run-{os.getpid()}"
        self.folder.mkdir(parents=True)
        self.records = []
        self.absent = {}
        self.seconds = collections.Counter()    # by measure
        self.versions = {"SQLite": sqlite_version()}
        self.kinds = {kind.name: kind for kind in self.present(options.only)}
        self.folders = 0

    def present(self, only):
        """The kinds of subjects that can be measured here; notes why others can't."""
        others = [PostfixDeferring, PostfixTuned] if self.full else []
        for kind in (Outboxd, Bound, PostfixDefault, *others, EximPeer, Ceiling):
            if only and kind.name not in only.split(","):
                continue
            try:
                self.made(kind)
                yield kind
            except Absent as reason:
                self.absent[kind.name] = str(reason)

    def made(self, kind):
        return kind(self.bindir, TOP / "build/peers")

    def new_folder(self, name):
        """A path of its own; the caller makes the folder."""
        self.folders += 1
        return self.folder / f"{self.folders}-{name}"

    def new_sink(self, expected, *options):
        """A running sink; the caller stops it."""
        return Sink(self.bindir, self.new_folder("sink"), expected, *options)

    def record(self, **fields):
        self.records.append(fields)
        print(".", end="", file=sys.stderr, flush=True)

    def complain(self, name, what, error):
        self.record(test="error", subject=name, problem=f"{what}: {error}"[:1000])

    def load(self, subject, cell, messages, limit_ms, *options):
        """What bench-load says of it; options are further ones of bench-load."""
        command = [
            self.bindir / "bench-load", "-n", str(messages), "-c", str(cell.clients), "-d", str(cell.per_session),
            "-s", str(SIZE_BYTES), "-t", str(limit_ms), *options, subject.address,
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=limit_ms / 1000 + 60)
        return json.loads(done.stdout)

    def started(self, name, sink=None):
        """sink is the port to deliver to."""
        subject = self.made(self.kinds[name])
        subject.start(self.new_folder(name), sink)
        if name not in self.versions:
            self.versions[name] = subject.version()
        return subject

    @staticmethod
    def rotated(names, by):
        """Another order each round, so that nobody always follows the same neighbour."""
        order = collections.deque(names)
        order.rotate(-by)
        return order

    def run(self, modules, rounds):
        """Rounds of different measures alternate, so that all of them see the machine's good and bad moments."""
        for number in range(max(rounds.values(), default=0)):
            self.record(test="machine", round=number, **calibration(self.folder))
            for name, module in modules.items():
                if number >= rounds[name]:
                    continue
                begin = time.monotonic()
                try:
                    module.run(self, number)
                except FAILURES as error:
                    self.complain(name, "measure", error)
                self.seconds[name] += time.monotonic() - begin

    def done(self):
        """The spools go only now."""
        shutil.rmtree(self.folder, ignore_errors=True)


def load_modules(wanted):
    """{name: module} of every measure_NAME.py, in the order of their names; or of those that are wanted."""
    known = sorted(path.stem[len("measure_"):] for path in HERE.glob("measure_*.py"))
    names = wanted.split(",") if wanted else known
    for name in names:
        if name not in known:
            raise SystemExit(f"bench: no measure {name}: there are {', '.join(known)}")
    return {name: importlib.import_module(f"measure_{name}") for name in names}


def rounds_of(modules, options):
    """{name: how often}"""
    rounds = {name: module.ROUNDS_FULL if options.full else module.ROUNDS_QUICK for name, module in modules.items()}
    if options.rounds:
        rounds = {name: min(count, 1) * options.rounds for name, count in rounds.items()}
    return rounds


def calibration(folder):
    """What the machine gives at this moment, so that a noisy neighbour shows in the record."""
    begin = time.perf_counter()
    sum(range(2_000_000))
    cpu_ms = (time.perf_counter() - begin) * 1000
    fd = os.open(folder / "calibration", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    times = []
    for _ in range(200):
        begin = time.perf_counter()
        os.write(fd, bytes(SIZE_BYTES))
        os.fdatasync(fd)
        times.append(time.perf_counter() - begin)
    os.close(fd)
    return {"python_sum_ms": cpu_ms, "append_sync_ms": statistics.median(times) * 1000,
            "load_average": os.getloadavg()[0]}


def machine(folder):
    cpu = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    return {"cpu": cpu[0] if cpu else platform.machine(), "cores": os.cpu_count(), "kernel": platform.release(),
            "system": system_name(), "filesystem": filesystem(folder), "python": platform.python_version()}


def system_name():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def sqlite_version():
    """Of the system's library, which the programs use, too."""
    try:
        version = ctypes.CDLL("libsqlite3.so.0").sqlite3_libversion
    except OSError:
        return "unknown"
    version.restype = ctypes.c_char_p
    return version().decode()


def filesystem(folder):
    best = ("", "unknown")
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if pathlib.Path(point) in [folder, *folder.parents] and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("bindir", type=pathlib.Path, nargs="?", default=TOP / "build/bin")
    parser.add_argument("--render", type=pathlib.Path, metavar="FILE.json",
                        help="puts the figures of a full run into README.md and ends")
    parser.add_argument("--quick", action="store_true", help="under two minutes (the default)")
    parser.add_argument("--full", action="store_true", help="all measures and cells, more rounds")
    parser.add_argument("--rounds", type=int, help="of each measure that runs at all")
    parser.add_argument("--messages", type=int, help="end to end, of outboxd and of peers")
    parser.add_argument("--only", help="subjects: outboxd, bound, postfix, ...: comma-separated")
    parser.add_argument("--measures", help="acceptance, relay, syncs, ...: comma-separated")
    parser.add_argument("--keep", action="store_true", help="keep the spools and logs of the run")
    return parser.parse_args()


def render(path):
    try:
        readme.render(json.loads(path.read_text()), TOP / "README.md", "tests/bench/speed.svg")
    except (readme.Unfit, OSError, ValueError) as reason:
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    return 0


def measure(options):
    modules = load_modules(options.measures)
    rounds = rounds_of(modules, options)
    bench = Bench(options)
    began = time.time()
    try:
        bench.run(modules, rounds)
    finally:
        print(file=sys.stderr)
        if not options.keep:
            bench.done()
    result = {
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 1),
        "seconds_by_measure": {name: round(seconds, 1) for name, seconds in bench.seconds.items()},
        "machine": machine(TOP),
        "versions": {name: version for name, version in bench.versions.items() if version},
        "full": options.full and not options.messages,
        "rounds": rounds,
        "size_bytes": SIZE_BYTES,
        "notes": [kind.note for kind in bench.kinds.values() if kind.note],
        "absent": bench.absent,
        "records": bench.records,
    }
    result["summary"] = report.summarise(bench.records, modules)
    result["goals"] = report.check_goals(result["summary"], modules)
    stem = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path = TOP / "build/bench" / f"bench-{stem}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".svg").write_text(chart.draw(result))
    report.show(result, modules, sys.stdout)
    print(f"\nAll figures: {path.relative_to(TOP)}, drawn: {path.with_suffix('.svg').relative_to(TOP)}")
    return 1 if report.problems(bench.records) or Outboxd.name not in bench.kinds else 0


def main():
    options = read_options()
    return render(options.render) if options.render else measure(options)


if __name__ == "__main__":
    sys.exit(main())
