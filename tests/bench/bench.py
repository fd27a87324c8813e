#!/usr/bin/env python3
"""Measures outboxd beside the bound and beside peers, interleaved, and prints medians and ratios of this one run.

bench.py BINDIR [--full] [--rounds N] [--messages N] ...

BINDIR holds outboxd, bench-load, bench-sink and bench-bound. Results also go to build/bench/*.json. Every load is
bounded in count and time. Ratios are what to look at: the speed of a machine swings, most of all of a virtual one.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import time

import report
import subjects
from peer_postfix import PostfixDefault, PostfixTuned
from subjects import Absent, Bound, Ceiling, Outboxd

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SIZE_BYTES = 4096
SETTLE_S = 0.3       # what a load left behind should not run into the next one
IDLE_S = 1.0
STALL_S = 20         # nothing delivered for so long: the rest never will be
COUNTLESS = 10**6    # more than any time limit allows
SYNC_CALLS = "fsync,fdatasync,sync_file_range,msync"

# clients, messages per connection (0: one connection for all)
Cell = collections.namedtuple("Cell", "clients per_session")
Extent = collections.namedtuple("Extent", "rounds accept_ms accept relay relay_messages peer_messages tuned")
QUICK = Extent(
    rounds=3, accept_ms=1000, accept=[Cell(1, 1), Cell(10, 1), Cell(100, 1), Cell(100, 100)],
    relay=[Cell(10, 1), Cell(100, 1)], relay_messages=4000, peer_messages=1000, tuned=False,
)
FULL = Extent(
    rounds=5, accept_ms=4000, accept=[Cell(clients, per) for clients in (1, 10, 100) for per in (1, 100)],
    relay=[Cell(10, 1), Cell(10, 100), Cell(100, 1), Cell(100, 100)], relay_messages=20000, peer_messages=20000,
    tuned=True,
)


class Sink:
    """bench-sink on a port of its own; its counters are read from a mapped file."""

    FIELDS = ("messages", "bytes", "first_ns", "last_ns", "sessions", "repeats", "live")

    def __init__(self, bindir, folder, expected):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "sink.counters"
        command = [bindir / "bench-sink", "-q", "-u", str(expected), "-m", self.path, "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(":", 1)[1])

    def counters(self):
        size = 8 * len(self.FIELDS)
        return dict(zip(self.FIELDS, struct.unpack(f"{len(self.FIELDS)}Q", self.path.read_bytes()[:size])))

    def wait_for(self, messages, deadline):
        """Until so many arrived, or until nothing more comes."""
        last, last_change = -1, time.monotonic()
        while True:
            count = self.counters()["messages"]
            now = time.monotonic()
            if count != last:
                last, last_change = count, now
            if count >= messages or now > deadline or now - last_change > STALL_S:
                return
            time.sleep(0.005)

    def stop(self):
        self.process.terminate()
        self.process.communicate()


class Bench:
    """One run: its subjects, its folder on a real disk, and the records that it collects."""

    def __init__(self, options, extent):
        self.bindir = options.bindir.resolve()
        self.extent = extent
        self.folder = TOP / "build/bench" / f"run-{os.getpid()}"
        self.folder.mkdir(parents=True)
        self.records = []
        self.absent = {}
        self.kinds = {kind.name: kind for kind in self.present(options.only)}
        self.folders = 0

    def present(self, only):
        """The kinds of subjects that can be measured here; notes why others can't."""
        tuned = [PostfixTuned] if self.extent.tuned else []
        for kind in (Outboxd, Bound, PostfixDefault, *tuned, Ceiling):
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
        self.folders += 1
        return self.folder / f"{self.folders}-{name}"

    def record(self, **fields):
        self.records.append(fields)
        print(".", end="", file=sys.stderr, flush=True)

    def complain(self, name, what, error):
        self.record(test="error", subject=name, problem=f"{what}: {error}"[:1000])

    def load(self, subject, cell, messages, limit_ms):
        command = [
            self.bindir / "bench-load", "-n", str(messages), "-c", str(cell.clients), "-d", str(cell.per_session),
            "-s", str(SIZE_BYTES), "-t", str(limit_ms), subject.address,
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=limit_ms / 1000 + 60)
        return json.loads(done.stdout)

    def started(self, name, sink=None):
        subject = self.made(self.kinds[name])
        subject.start(self.new_folder(name), sink)
        return subject

    # acceptance

    def accept_round(self, number):
        """All subjects run at once, but only one is loaded at a time: neighbours in time are comparable."""
        running = {}
        try:
            for name, kind in self.kinds.items():
                if kind.rounds_max is not None and number >= kind.rounds_max:
                    continue
                try:
                    running[name] = self.started(name)
                except (RuntimeError, OSError) as error:
                    self.complain(name, "start", error)
            self.idle(running, number)
            for cell in self.extent.accept:
                for name in rotated(running, number):
                    self.accept(running[name], cell, number)
            for name, subject in running.items():
                self.record(test="memory", subject=name, round=number,
                            loaded_kib=subjects.memory_kib(subject.pids(), "VmHWM"))
        finally:
            for subject in running.values():
                subject.stop()

    def idle(self, running, number):
        before = {name: subjects.cpu_s(subject.pids()) for name, subject in running.items()}
        time.sleep(IDLE_S)
        for name, subject in running.items():
            pids = subject.pids()
            self.record(test="memory", subject=name, round=number, processes=len(pids),
                        idle_kib=subjects.memory_kib(pids, "VmRSS"),
                        idle_cpu_ms_per_s=(subjects.cpu_s(pids) - before[name]) * 1000 / IDLE_S)

    def accept(self, subject, cell, number):
        before = subjects.cpu_s(subject.pids())
        result = self.load(subject, cell, COUNTLESS, self.extent.accept_ms)
        used = subjects.cpu_s(subject.pids()) - before
        self.record(test="accept", subject=subject.name, round=number, **cell._asdict(), **result,
                    cpu_ms_per_message=used * 1000 / max(result["acknowledged"], 1))
        time.sleep(SETTLE_S)

    # from the first submission to the last delivery

    def relay_round(self, number):
        for cell in self.extent.relay:
            for name in rotated([name for name, kind in self.kinds.items() if kind.relays], number):
                try:
                    self.relay(name, cell, number)
                except (RuntimeError, OSError) as error:
                    self.complain(name, "relay", error)

    def relay(self, name, cell, number):
        messages = self.extent.relay_messages if name == "outboxd" else self.extent.peer_messages
        folder = self.new_folder("sink")
        sink = Sink(self.bindir, folder, messages)
        try:
            subject = self.started(name, sink.port)
            try:
                self.record(**self.relay_load(subject, sink, cell, messages, number))
            finally:
                subject.stop()
        finally:
            sink.stop()

    def relay_load(self, subject, sink, cell, messages, number):
        before = subjects.cpu_s(subject.pids())
        result = self.load(subject, cell, messages, 120_000)
        sink.wait_for(result["acknowledged"], time.monotonic() + 120)
        used = subjects.cpu_s(subject.pids()) - before
        counters = sink.counters()
        seconds = counters["last_ns"] / 1e9 - result["begin_s"]
        delivered = counters["messages"]
        return dict(
            test="relay", subject=subject.name, round=number, **cell._asdict(), accept_rate=result["rate"],
            rate=delivered / seconds if delivered > 0 else 0, acknowledged=result["acknowledged"],
            failed=result["failed"], problem=result["problem"], delivered=delivered, repeats=counters["repeats"],
            sink_sessions=counters["sessions"], cpu_ms_per_message=used * 1000 / max(delivered, 1),
            loaded_kib=subjects.memory_kib(subject.pids(), "VmHWM"),
        )

    # syncs: counted by strace in runs of their own, which are not timed

    def count_syncs(self):
        if not shutil.which("strace"):
            self.absent["strace"] = "not installed: syncs per message are not counted"
            return
        for clients in (1, 10, 100):
            cell = Cell(clients, 100)
            for name, delivering in (("outboxd", False), ("bound", False), ("outboxd", True)):
                if name in self.kinds:
                    self.syncs(name, cell, delivering)

    def syncs(self, name, cell, delivering):
        folder = self.new_folder(f"syncs-{name}")
        folder.mkdir(parents=True)
        trace = folder / "strace"
        messages = 100 + 20 * cell.clients
        sink = Sink(self.bindir, folder, messages) if delivering else None
        subject = self.made(self.kinds[name])
        subject.command_prefix = ("strace", "-f", "-qq", "--seccomp-bpf", "-ttt", "-e", f"trace={SYNC_CALLS}",
                                  "-o", str(trace))
        try:
            subject.start(folder / "spool", sink.port if sink else None)
            try:
                begin = time.time()
                result = self.load(subject, cell, messages, 30_000)
                if sink:
                    sink.wait_for(result["acknowledged"], time.monotonic() + 30)
                    time.sleep(SETTLE_S)
                end = time.time()
            finally:
                subject.stop()
        except (RuntimeError, OSError) as error:
            self.complain(name, "strace", error)
            return
        finally:
            if sink:
                sink.stop()
        self.record(test="syncs", subject=name, **cell._asdict(), delivering=delivering,
                    acknowledged=result["acknowledged"],
                    syncs_per_message=sync_count(trace, begin, end) / max(result["acknowledged"], 1))

    def run(self):
        for number in range(self.extent.rounds):
            self.record(test="machine", round=number, **calibration(self.folder))
            self.accept_round(number)
            self.relay_round(number)
        self.count_syncs()

    def done(self):
        """The spools go only now."""
        shutil.rmtree(self.folder, ignore_errors=True)


def rotated(names, by):
    """Another order each round, so that nobody always follows the same neighbour."""
    order = collections.deque(names)
    order.rotate(-by)
    return order


def sync_count(trace, begin, end):
    """Calls begun in that time; lines are "PID SECONDS CALL(...", continued ones say "resumed"."""
    count = 0
    for line in trace.read_text(errors="replace").splitlines():
        words = line.split(None, 2)
        if len(words) == 3 and begin <= float(words[1]) <= end and words[2][:1].isalpha():
            count += 1
    return count


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
            "filesystem": filesystem(folder), "python": platform.python_version()}


def filesystem(folder):
    best = ("", "unknown")
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if pathlib.Path(point) in [folder, *folder.parents] and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("bindir", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="under two minutes (the default)")
    parser.add_argument("--full", action="store_true", help="all cells, more rounds, 20,000 messages end to end")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--messages", type=int, help="end to end, of outboxd and of peers")
    parser.add_argument("--only", help="outboxd, bound, postfix, ...: comma-separated")
    parser.add_argument("--no-syncs", action="store_true", help="do not count syncs under strace")
    parser.add_argument("--keep", action="store_true", help="keep the spools and logs of the run")
    return parser.parse_args()


def chosen_extent(options):
    extent = FULL if options.full else QUICK
    if options.rounds:
        extent = extent._replace(rounds=options.rounds)
    if options.messages:
        extent = extent._replace(relay_messages=options.messages, peer_messages=options.messages)
    return extent


def main():
    options = read_options()
    extent = chosen_extent(options)
    bench = Bench(options, extent)
    began = time.time()
    try:
        if options.no_syncs:
            bench.count_syncs = lambda: None
        bench.run()
    finally:
        print(file=sys.stderr)
        if not options.keep:
            bench.done()
    result = {
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 1),
        "machine": machine(TOP),
        "extent": extent._asdict(),
        "size_bytes": SIZE_BYTES,
        "notes": [kind.note for kind in bench.kinds.values() if kind.note],
        "absent": bench.absent,
        "records": bench.records,
    }
    result["summary"] = report.summarise(bench.records)
    stem = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path = TOP / "build/bench" / f"bench-{stem}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    report.show(result, sys.stdout)
    print(f"\nAll figures: {path.relative_to(TOP)}")
    return 1 if report.problems(bench.records) or Outboxd.name not in bench.kinds else 0


if __name__ == "__main__":
    sys.exit(main())
