"""Acceptance and delivery at once, from the first submission to the last delivery at a sink that takes all."""

import time

import subjects
from figures import CEILING, Cell, Measure, least_ratio, most_ratio

TITLES = {"relay": "Accept and deliver, from the first submission to the last delivery"}
MEASURES = (
    Measure("relay", "rate", "messages/s", 0),
    Measure("relay", "cpu_ms_per_message", "cpu ms/message", 3),
    Measure("relay", "loaded_kib", "peak memory KiB", 0),
)
ROUNDS_QUICK, ROUNDS_FULL = 3, 5
REUSED = 100   # messages per connection
QUICK = [Cell(10, 1), Cell(100, 1)]
FULL = [Cell(clients, per_session) for clients in (10, 100) for per_session in (1, REUSED)]
OWN_QUICK, OWN_FULL = 3000, 20000
LIMIT_S = 120

# clients, of Postfix as installed, of Postfix tuned
AIMS = ((10, 6, 5), (100, 8, 7))
CEILING_MARGIN = 1.5


def goals():
    for clients, *factors in AIMS:
        for per_session in (1, REUSED):
            case = {"clients": clients, "per_session": per_session}
            where = f"accept and deliver, {clients} clients, {'one' if per_session == 1 else per_session} per connection"
            for rival, factor in zip(("postfix", "postfix-tuned"), factors):
                yield least_ratio(f"{where}: at least {factor} x {rival}", factor, "relay", "rate", [rival], **case)
            yield most_ratio(f"{where}: at most 1/{CEILING_MARGIN} of what load generator and sink can do",
                             1 / CEILING_MARGIN, "relay", "rate", [CEILING], **case)
            yield most_ratio(f"{where}: processor time at most 1/8 of Postfix's", 1 / 8, "relay",
                             "cpu_ms_per_message", ["postfix"], **case)


GOALS = tuple(goals())


def run(bench, number):
    for cell in FULL if bench.full else QUICK:
        if number == 0 and CEILING in bench.kinds:
            ceiling(bench, cell, number)
        takers = [name for name, kind in bench.kinds.items()
                  if kind.relays and (kind.relay_rounds_max is None or number < kind.relay_rounds_max)]
        for name in bench.rotated(takers, number):
            try:
                relay(bench, name, cell, number)
            except (RuntimeError, OSError) as error:
                bench.complain(name, "relay", error)


def ceiling(bench, cell, number):
    """The load straight into the sink over TCP and reused connections, as it comes from outboxd. What the load does
    on connections of its own over a Unix socket is a figure of acceptance."""
    messages = bench.messages or OWN_QUICK
    sink = bench.new_sink(messages)
    try:
        result = bench.load(sink, Cell(cell.clients, REUSED), messages, LIMIT_S * 1000)
    finally:
        sink.stop()
    bench.record(test="relay", subject=CEILING, round=number, **cell._asdict(), **result)


def message_count(bench, name):
    """Peers are slow, and their rate does not depend on the count: they are given less."""
    if bench.messages:
        return bench.messages
    return bench.kinds[name].relay_messages[bench.full] or (OWN_FULL if bench.full else OWN_QUICK)


def relay(bench, name, cell, number):
    messages = message_count(bench, name)
    sink = bench.new_sink(messages)
    try:
        subject = bench.started(name, sink.port)
        try:
            bench.record(**measured(bench, subject, sink, cell, messages, number))
        finally:
            subject.stop()
    finally:
        sink.stop()


def measured(bench, subject, sink, cell, messages, number):
    before = subjects.cpu_s(subject.pids())
    result = bench.load(subject, cell, messages, LIMIT_S * 1000)
    sink.wait_for(result["acknowledged"], time.monotonic() + LIMIT_S)
    used = subjects.cpu_s(subject.pids()) - before
    counters = sink.counters()
    seconds = counters["last_ns"] / 1e9 - result["begin_s"]
    delivered = counters["messages"]
    return dict(
        test="relay", subject=subject.name, round=number, **cell._asdict(), messages=messages,
        accept_rate=result["rate"], rate=delivered / seconds if delivered > 0 else 0,
        acknowledged=result["acknowledged"], failed=result["failed"], problem=result["problem"], delivered=delivered,
        repeats=counters["repeats"], sink_sessions=counters["sessions"],
        cpu_ms_per_message=used * 1000 / max(delivered, 1), loaded_kib=subjects.memory_kib(subject.pids(), "VmHWM"),
    )
