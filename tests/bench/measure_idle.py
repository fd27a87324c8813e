"""outboxd at rest: its memory, the wake-ups of its threads, and how soon it accepts after a start."""

import collections
import pathlib
import time

import subjects
from figures import Cell, Measure, most
from subjects import Outboxd

TITLES = {"idle": "At rest"}
MEASURES = (
    Measure("idle", "start_ms", "start ms", 0),
    Measure("idle", "rss_kib", "memory KiB", 0),
    Measure("idle", "wake_ups", "wake-ups in 10 s", 0),
)
ROUNDS_QUICK, ROUNDS_FULL = 0, 5
STARTED, WORKED = "after a start", "after deliveries"
MESSAGES = 2000
# A second after its last request the spool empties its log; five after its last client intake forgets users.
CALM_S = 6.0
REST_S = 10.0

GOALS = (
    most("start to accepting: under 100 ms", 100, "ms", 0, "idle", "start_ms", case=STARTED),
    *(most(f"at rest {case}: at most 16 MiB", 16 * 1024, "KiB", 0, "idle", "rss_kib", case=case)
      for case in (STARTED, WORKED)),
    *(most(f"at rest {case}: no wake-ups in 10 s", 0, "wake-ups", 0, "idle", "wake_ups", case=case)
      for case in (STARTED, WORKED)),
)


def run(bench, number):
    if "outboxd" not in bench.kinds:
        return
    sink = bench.new_sink(MESSAGES)
    subject = bench.made(Outboxd)
    try:
        begin = time.monotonic()
        subject.start(bench.new_folder("idle"), sink.port)
        start_ms = (time.monotonic() - begin) * 1000
        try:
            rest(bench, subject, number, STARTED, start_ms=start_ms)
            result = bench.load(subject, Cell(10, 100), MESSAGES, 30_000)
            sink.wait_for(result["acknowledged"], time.monotonic() + 30)
            rest(bench, subject, number, WORKED)
        finally:
            subject.stop()
    finally:
        sink.stop()


def rest(bench, subject, number, case, **further):
    time.sleep(CALM_S)
    before = switches(subject)
    time.sleep(REST_S)
    by_thread = switches(subject)
    by_thread.subtract(before)
    bench.record(test="idle", subject=subject.name, round=number, case=case, wake_ups=by_thread.total(),
                 rss_kib=subjects.memory_kib(subject.pids(), "VmRSS"), threads=dict(by_thread), **further)


def switches(subject):
    """How often each thread has gone to sleep: as often as it was woken up."""
    counts = collections.Counter()
    for pid in subject.pids():
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            fields = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
            counts[fields["Name"]] += int(fields["voluntary_ctxt_switches"])
    return counts
