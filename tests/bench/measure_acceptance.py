"""Durable acceptance with delivery paused: rate, latency, processor time and memory of each subject."""

import time

import subjects
from figures import CEILING, PEERS, Cell, Measure, least_ratio, most, most_ratio

TITLES = {
    "accept": "Durable acceptance, delivery paused",
    "memory": "Memory (sum over processes; shared pages count once per process)",
}
MEASURES = (
    Measure("accept", "rate", "messages/s", 0),
    Measure("accept", "p50_ms", "p50 ms", 2),
    Measure("accept", "p99_ms", "p99 ms", 2),
    Measure("accept", "cpu_ms_per_message", "cpu ms/message", 3),
    Measure("memory", "idle_kib", "idle KiB", 0),
    Measure("memory", "loaded_kib", "peak KiB", 0),
    Measure("memory", "processes", "processes idle", 0),
    Measure("memory", "idle_cpu_ms_per_s", "idle cpu ms/s", 2),
)
ROUNDS_QUICK, ROUNDS_FULL = 3, 5
QUICK = [Cell(1, 1), Cell(10, 1), Cell(100, 1), Cell(100, 100)]
FULL = [Cell(clients, per_session) for clients in (1, 10, 100) for per_session in (1, 100)]
QUICK_MS, FULL_MS = 500, 1600
COUNTLESS = 10**6    # more than any time limit allows
IDLE_S = 1.0
SETTLE_S = 0.2       # what a load left behind should not run into the next one
SETTLE_MAX_S = 5

# clients, of the bound, of the best peer one per connection, of it with reused connections
AIMS = ((1, 0.8, 1.3, 1.3), (10, 1.0, 3, 2), (100, 0.75, 8, 5))
CEILING_MARGIN = 1.5


def goals():
    for clients, of_bound, of_peer, of_peer_reused in AIMS:
        for per_session, factor in ((1, of_peer), (100, of_peer_reused)):
            case = {"clients": clients, "per_session": per_session}
            where = f"accept, {clients} client{'s' if clients > 1 else ''}, " \
                    f"{'one' if per_session == 1 else per_session} per connection, paused"
            yield least_ratio(f"{where}: at least {of_bound} x the bound", of_bound, "accept", "rate", ["bound"], **case)
            yield least_ratio(f"{where}: at least {factor} x the best peer", factor, "accept", "rate", PEERS, **case)
            yield most_ratio(f"{where}: at most 1/{CEILING_MARGIN} of what load generator and sink can do",
                             1 / CEILING_MARGIN, "accept", "rate", [CEILING], **case)
            if clients == 100:
                yield most(f"{where}: p99 at most 40 ms", 40, "ms", 1, "accept", "p99_ms", **case)
                yield most_ratio(f"{where}: processor time at most 0.1 x Postfix's", 0.1, "accept",
                                 "cpu_ms_per_message", ["postfix"], **case)


GOALS = tuple(goals())


def run(bench, number):
    """All subjects run at once, but only one is loaded at a time: neighbours in time are comparable."""
    running = {}
    try:
        for name, kind in bench.kinds.items():
            if not kind.accepts or (kind.rounds_max is not None and number >= kind.rounds_max):
                continue
            try:
                running[name] = bench.started(name)
            except (RuntimeError, OSError) as error:
                bench.complain(name, "start", error)
        if bench.full or number == 0:
            idle(bench, running, number)
        for cell in FULL if bench.full else QUICK:
            for name in bench.rotated(running, number):
                accept(bench, running[name], cell, number)
        for name, subject in running.items():
            bench.record(test="memory", subject=name, round=number,
                         loaded_kib=subjects.memory_kib(subject.pids(), "VmHWM"))
    finally:
        for subject in running.values():
            subject.stop()


def idle(bench, running, number):
    before = {name: subjects.cpu_s(subject.pids()) for name, subject in running.items()}
    time.sleep(IDLE_S)
    for name, subject in running.items():
        pids = subject.pids()
        bench.record(test="memory", subject=name, round=number, processes=len(pids),
                     idle_kib=subjects.memory_kib(pids, "VmRSS"),
                     idle_cpu_ms_per_s=(subjects.cpu_s(pids) - before[name]) * 1000 / IDLE_S)


def accept(bench, subject, cell, number):
    before = subjects.cpu_s(subject.pids())
    result = bench.load(subject, cell, COUNTLESS, FULL_MS if bench.full else QUICK_MS)
    used = settle(subject) - before
    bench.record(test="accept", subject=subject.name, round=number, **cell._asdict(), **result,
                 cpu_ms_per_message=used * 1000 / max(result["acknowledged"], 1))


def settle(subject):
    """Until it has done what the load left to it; returns its processor time then."""
    end = time.monotonic() + SETTLE_MAX_S
    last, now = None, subjects.cpu_s(subject.pids())
    while now != last and time.monotonic() < end:
        time.sleep(SETTLE_S)
        last, now = now, subjects.cpu_s(subject.pids())
    return now
