"""How long one message is under way when nothing else is: from the client's dot to the smarthost's 250.

One client, and the session to the smarthost is open. The next message follows a pause that is longer than all the
work on the last one. Load generator and sink note times by the same clock. What a commit costs at that moment is
measured by SQLite alone, with the same pauses: a disk that was at rest answers later than a busy one.
"""

import pathlib
import sqlite3
import struct
import time

from figures import NOT_MEASURED, Cell, Goal, Measure, median

TITLES = {"latency": "One message at a time, at rest, the session to the smarthost open"}
MEASURES = (
    Measure("latency", "delivered_ms", "delivered p50", 2),
    Measure("latency", "delivered_p95_ms", "delivered p95", 2),
    Measure("latency", "accepted_ms", "accepted p50", 2),
    Measure("latency", "commit_ms", "commit p50", 2),
)
ROUNDS_QUICK, ROUNDS_FULL = 1, 5
QUICK, FULL = 35, 85
WARM_UP = 5          # connections are opened, and files have grown
PAUSE_MS = 40
LIMIT_S = 60
SIZE_BYTES = 4096
OVERTAKEN_MAX = 0.1  # of the messages
ONE_CLIENT = Cell(1, 0)
BARE = "bare SQLite"
COMMITS, MARGIN_MS = 2, 1

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE message(id INTEGER PRIMARY KEY, state INTEGER, due INTEGER, body BLOB);
CREATE INDEX message_due ON message(state, due);
"""


def reached(summary):
    way, commit = median(summary, "latency", "delivered_ms"), median(summary, "latency", "commit_ms", BARE)
    if way is None or commit is None:
        return NOT_MEASURED
    limit = COMMITS * commit + MARGIN_MS
    return f"{way:.2f} ms; {COMMITS} commits + {MARGIN_MS} ms are {limit:.2f} ms", way <= limit


GOALS = (Goal(f"idle latency from the client's dot to the smarthost's 250: at most {COMMITS} commits + {MARGIN_MS} ms",
              reached),)


def run(bench, number):
    messages = FULL if bench.full else QUICK
    measures = {name: relay for name, kind in bench.kinds.items() if kind.relays}
    if "bound" in bench.kinds:
        measures["bound"] = accept
    measures[BARE] = commit
    for name in bench.rotated(measures, number):
        try:
            bench.record(test="latency", subject=name, round=number, **measures[name](bench, name, messages))
        except (RuntimeError, OSError) as error:
            bench.complain(name, "latency", error)


def relay(bench, name, messages):
    folder = bench.new_folder("latency")
    folder.mkdir()
    sink = bench.new_sink(messages, "-t", folder / "taken")
    try:
        result, dots, replies = paused_load(bench, name, messages, folder, sink)
    finally:
        sink.stop()
    counters = sink.counters()
    if name == "outboxd" and counters["sessions"] != 1:
        bench.complain(name, "latency", f"{counters['sessions']} sessions to the sink: none was open all the time")
    taken = numbers_of(folder / "taken")
    ways = [at - dot for dot, at, next_dot in zip(dots, taken, dots[1:]) if dot < at < next_dot][WARM_UP:]
    if len(ways) < (messages - WARM_UP) * (1 - OVERTAKEN_MAX):
        raise RuntimeError(f"only {len(ways)} of {messages} had arrived when the next began")
    return dict(
        **accepted(result, dots, replies), delivered=counters["messages"], repeats=counters["repeats"],
        sink_sessions=counters["sessions"], delivered_ms=quantile_ms(ways, 50), delivered_p95_ms=quantile_ms(ways, 95),
    )


def accept(bench, name, messages):
    folder = bench.new_folder("latency")
    folder.mkdir()
    return accepted(*paused_load(bench, name, messages, folder))


def accepted(result, dots, replies):
    waits = [reply - dot for dot, reply in zip(dots, replies) if reply > 0][WARM_UP:]
    if not waits:
        raise RuntimeError(f"nothing accepted: {result['problem']}")
    return dict(acknowledged=result["acknowledged"], failed=result["failed"], problem=result["problem"],
                accepted_ms=quantile_ms(waits, 50))


def paused_load(bench, name, messages, folder, sink=None):
    """What the load generator says, and when each message's dot went and its reply came."""
    sent = folder / "sent"
    subject = bench.started(name, sink and sink.port)
    try:
        result = bench.load(subject, ONE_CLIENT, messages, LIMIT_S * 1000, "-w", str(PAUSE_MS), "-m", sent)
        if sink:
            sink.wait_for(result["acknowledged"], time.monotonic() + LIMIT_S)
    finally:
        subject.stop()
    numbers = numbers_of(sent)
    return result, numbers[::2], numbers[1::2]


def commit(bench, _, messages):
    """The least that a durable queue must do for a message, in this process: one row, one commit."""
    folder = bench.new_folder("latency")
    folder.mkdir()
    database = sqlite3.connect(folder / "bare.db", isolation_level=None)
    database.executescript(SCHEMA)
    times = []
    for number in range(messages):
        begin = time.monotonic_ns()
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO message(state, due, body) VALUES(0, ?1, ?2)", (number, bytes(SIZE_BYTES)))
        database.execute("COMMIT")
        times.append(time.monotonic_ns() - begin)
        time.sleep(PAUSE_MS / 1000)
    database.close()
    return dict(commit_ms=quantile_ms(times[WARM_UP:], 50))


def numbers_of(path):
    data = path.read_bytes()
    return struct.unpack(f"{len(data) // 8}Q", data)


def quantile_ms(times_ns, percent):
    return sorted(times_ns)[len(times_ns) * percent // 100] / 1e6
