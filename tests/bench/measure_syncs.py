"""Syncs, system calls and bytes written per message, counted by strace in runs of their own, which are not timed."""

import collections
import re
import shutil
import time

from figures import Cell, Measure, most

TITLES = {"syncs": "Per message, counted under strace, connections reused"}
MEASURES = (
    Measure("syncs", "syncs_per_message", "syncs", 3),
    Measure("syncs", "calls_per_message", "system calls", 1),
    Measure("syncs", "writes_per_message", "writes to files", 2),
    Measure("syncs", "kib_per_message", "KiB to files", 1),
)
ROUNDS_QUICK, ROUNDS_FULL = 1, 5
GOALS = (most("accept and deliver, 100 clients, 100 per connection: at most 0.3 syncs per message", 0.3, "syncs", 3,
              "syncs", "syncs_per_message", clients=100, delivering=True),)
SYNC_CALLS = ("fsync", "fdatasync", "sync_file_range", "msync")
WRITE_CALLS = ("pwrite64", "pwritev", "pwritev2")   # to files, sockets have other calls
SETTLE_S = 0.3
LIMIT_S = 30

# Only the calls that are waited for stop the program, so that its groups are as large as they usually are.
FEW = ("--seccomp-bpf", "-e", f"trace={','.join(SYNC_CALLS)}")
ALL = ("-s", "0")
# "PID SECONDS CALL(...) = RESULT"; a call that others interrupted begins on a line and ends on another, "resumed"
LINE = re.compile(r"\d+ +(?P<time>[\d.]+) (?P<resumed><\.\.\. )?(?P<name>\w+)")
RESULT = re.compile(r"\) += (?P<result>\d+)$")


def run(bench, number):
    if not shutil.which("strace"):
        bench.absent["strace"] = "not installed: neither syncs nor the order of sync and reply are looked at"
        return
    for clients in (1, 10, 100):
        cell = Cell(clients, 100)
        for name, delivering in (("outboxd", False), ("bound", False), ("outboxd", True)):
            if name in bench.kinds:
                count_syncs(bench, name, cell, delivering, number)
                if number == 0 and (bench.full or clients == 100):
                    count_calls(bench, name, cell, delivering, number)


def count_syncs(bench, name, cell, delivering, number):
    calls, acknowledged = traced(bench, name, cell, delivering, FEW)
    bench.record(test="syncs", subject=name, round=number, **cell._asdict(), delivering=delivering,
                 acknowledged=acknowledged,
                 syncs_per_message=sum(calls.count[call] for call in SYNC_CALLS) / acknowledged)


def count_calls(bench, name, cell, delivering, number):
    """Of the log, too. All stops make the program slow, and thereby the groups larger than they usually are."""
    calls, acknowledged = traced(bench, name, cell, delivering, ALL)
    bench.record(test="syncs", subject=name, round=number, **cell._asdict(), delivering=delivering,
                 acknowledged=acknowledged, calls_per_message=sum(calls.count.values()) / acknowledged,
                 writes_per_message=sum(calls.count[call] for call in WRITE_CALLS) / acknowledged,
                 kib_per_message=sum(calls.result[call] for call in WRITE_CALLS) / 1024 / acknowledged)


def traced(bench, name, cell, delivering, options):
    """What it called while it took, and perhaps delivered, some messages; and how many it took."""
    folder = bench.new_folder(f"syncs-{name}")
    folder.mkdir(parents=True)
    trace = folder / "strace"
    messages = 100 + 20 * cell.clients
    sink = bench.new_sink(messages) if delivering else None
    try:
        subject = bench.made(bench.kinds[name])
        subject.command_prefix = ("strace", "-f", "-qq", "-ttt", *options, "-o", str(trace))
        subject.start(folder / "spool", sink.port if sink else None)
        try:
            begin = time.time()
            result = bench.load(subject, cell, messages, LIMIT_S * 1000)
            if sink:
                sink.wait_for(result["acknowledged"], time.monotonic() + LIMIT_S)
                time.sleep(SETTLE_S)
            end = time.time()
        finally:
            subject.stop()
    finally:
        if sink:
            sink.stop()
    if result["acknowledged"] != messages:
        raise RuntimeError(f"{name}: {result['acknowledged']} of {messages} taken: {result['problem']}")
    return Calls(trace, begin, end), messages


class Calls:
    """Calls in that time: how many began, and the sum of what they returned."""

    def __init__(self, trace, begin, end):
        self.count = collections.Counter()
        self.result = collections.Counter()
        for line in trace.read_text(errors="replace").splitlines():
            match = LINE.match(line)
            if not match or not begin <= float(match["time"]) <= end:
                continue
            name = match["name"]
            self.count[name] += match["resumed"] is None
            result = RESULT.search(line)
            self.result[name] += int(result["result"]) if result else 0
