"""What a queue of 100,000 takes on the disk, and whether that is given back when it has drained."""

import time

from figures import Cell, Measure, most
from subjects import Outboxd

TITLES = {"disk": "Disk use of 100,000 queued messages"}
MEASURES = (
    Measure("disk", "spool_mib", "spool.db MiB", 0),
    Measure("disk", "per_body", "x bytes of bodies", 3),
    Measure("disk", "drain_rate", "drained messages/s", 0),
)
ROUNDS_QUICK, ROUNDS_FULL = 0, 1
MESSAGES = 100_000
LOAD = Cell(50, 100)
LIMIT_S = 180
REST_S = 60          # at most, until the file has shrunk as far as it does
REST_STEP_S = 3
MIB = 1024 * 1024
BODY_BYTES = 4096    # as bench-load sends it, with its header; outboxd adds to that
QUEUED, DRAINED = "queued", "drained"

GOALS = (
    most("100,000 queued: spool.db at most 1.5 x the bodies", 1.5, "x", 3, "disk", "per_body", case=QUEUED),
    most("100,000 queued: given back when drained (at most 0.2 x the bodies is kept)", 0.2, "x", 3,
         "disk", "per_body", case=DRAINED),
)


def run(bench, number):
    if "outboxd" not in bench.kinds:
        return
    subject = bench.made(Outboxd)
    subject.start(bench.new_folder("disk"), None)
    try:
        result = bench.load(subject, LOAD, MESSAGES, LIMIT_S * 1000)
        if result["acknowledged"] < MESSAGES:
            raise RuntimeError(f"{result['acknowledged']} of {MESSAGES} were taken: {result['problem']}")
        note(bench, subject, number, QUEUED, settled_bytes(subject.state))
    finally:
        subject.stop()
    drain(bench, subject.state, number)


def drain(bench, state, number):
    """Started anew, with a sink in place of the port where nobody listened."""
    sink = bench.new_sink(MESSAGES)
    subject = bench.made(Outboxd)
    subject.state = state
    try:
        subject.start(bench.new_folder("drain"), sink.port)
        try:
            sink.wait_for(MESSAGES, time.monotonic() + LIMIT_S)
            counters = sink.counters()
            seconds = (counters["last_ns"] - counters["first_ns"]) / 1e9
            note(bench, subject, number, DRAINED, settled_bytes(state), acknowledged=MESSAGES,
                 delivered=counters["messages"], repeats=counters["repeats"],
                 drain_rate=counters["messages"] / max(seconds, 1e-9))
        finally:
            subject.stop()
    finally:
        sink.stop()


def note(bench, subject, number, case, size, **further):
    bench.record(test="disk", subject=subject.name, round=number, case=case, spool_mib=size / MIB,
                 per_body=size / (MESSAGES * BODY_BYTES), **further)


def settled_bytes(state):
    """Size of the database when it does not change any more and its log is empty."""
    last = None
    for _ in range(REST_S // REST_STEP_S):
        time.sleep(REST_STEP_S)
        size = (state / "spool.db").stat().st_size
        if size == last and (state / "spool.db-wal").stat().st_size == 0:
            break
        last = size
    return size
