"""Syncs, counted by strace in runs of their own, which are not timed."""

import shutil
import time

from figures import Cell, Measure, most

TITLES = {"syncs": "Syncs per message, under strace, connections reused"}
MEASURES = (Measure("syncs", "syncs_per_message", "syncs/message", 3),)
ROUNDS_QUICK, ROUNDS_FULL = 1, 1
GOALS = (most("accept and deliver, 100 clients: at most 0.3 syncs per message", 0.3, "syncs", 3,
              "syncs", "syncs_per_message", clients=100, delivering=True),)
SYNC_CALLS = "fsync,fdatasync,sync_file_range,msync"
SETTLE_S = 0.3


def run(bench, number):
    if not shutil.which("strace"):
        bench.absent["strace"] = "not installed: syncs per message are not counted"
        return
    for clients in (1, 10, 100):
        cell = Cell(clients, 100)
        for name, delivering in (("outboxd", False), ("bound", False), ("outboxd", True)):
            if name in bench.kinds:
                syncs(bench, name, cell, delivering, number)


def syncs(bench, name, cell, delivering, number):
    folder = bench.new_folder(f"syncs-{name}")
    folder.mkdir(parents=True)
    trace = folder / "strace"
    messages = 100 + 20 * cell.clients
    sink = bench.new_sink(messages) if delivering else None
    subject = bench.made(bench.kinds[name])
    subject.command_prefix = ("strace", "-f", "-qq", "--seccomp-bpf", "-ttt", "-e", f"trace={SYNC_CALLS}",
                              "-o", str(trace))
    try:
        subject.start(folder / "spool", sink.port if sink else None)
        try:
            begin = time.time()
            result = bench.load(subject, cell, messages, 30_000)
            if sink:
                sink.wait_for(result["acknowledged"], time.monotonic() + 30)
                time.sleep(SETTLE_S)
            end = time.time()
        finally:
            subject.stop()
    except (RuntimeError, OSError) as error:
        bench.complain(name, "strace", error)
        return
    finally:
        if sink:
            sink.stop()
    bench.record(test="syncs", subject=name, round=number, **cell._asdict(), delivering=delivering,
                 acknowledged=result["acknowledged"],
                 syncs_per_message=sync_count(trace, begin, end) / max(result["acknowledged"], 1))


def sync_count(trace, begin, end):
    """Calls begun in that time; lines are "PID SECONDS CALL(...", continued ones say "resumed"."""
    count = 0
    for line in trace.read_text(errors="replace").splitlines():
        words = line.split(None, 2)
        if len(words) == 3 and begin <= float(words[1]) <= end and words[2][:1].isalpha():
            count += 1
    return count
