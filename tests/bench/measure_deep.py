"""A queue of a million: acceptance and delivery beside an empty one, restart, questions, deletion, and memory."""

import concurrent.futures
import json
import subprocess
import time

import subjects
from figures import NOT_MEASURED, Cell, Goal, Measure, between_cases, median, most
from subjects import Outboxd

TITLES = {
    "deep": "A queue of 1,000,000 (several smarthosts, states, users and ages), and an empty one, in turn",
    "deep-restart": "Restart with a queue of 1,000,000 (page cache warm)",
    "deep-list": "outbox list --limit 50 --json, whole command, with a queue of 1,000,000",
    "deep-beside": "10 clients while the queue of 1,000,000 is gone through",
}
MEASURES = (
    Measure("deep", "rate", "accepted/s", 0),
    Measure("deep", "p99_ms", "p99 ms", 2),
    Measure("deep", "relay_rate", "delivered/s", 0),
    Measure("deep", "cpu_ms_per_message", "cpu ms/message", 3),
    Measure("deep", "rss_kib", "memory KiB", 0),
    Measure("deep-restart", "accepting_ms", "to accepting ms", 0),
    Measure("deep-restart", "delivery_ms", "to first delivery ms", 0),
    Measure("deep-list", "ms", "ms", 0),
    Measure("deep-beside", "rate", "messages/s", 0),
    Measure("deep-beside", "p99_ms", "p99 ms", 2),
    Measure("deep-beside", "max_ms", "longest ms", 1),
    Measure("deep-beside", "took_s", "the command took s", 2),
)
ROUNDS_QUICK, ROUNDS_FULL = 0, 1   # the queue is built once; what a round repeats is in TURNS
TURNS = 5
FILLED = 1_025_000                 # of them 2 % are final
QUEUE, EMPTY = "queue of 1,000,000", "empty queue"
BODY_BYTES = 300
LOAD = Cell(10, 100)
RELAY_MESSAGES = 5000
RESTART_MESSAGES = 100
COUNTLESS = 10**6
CALM_S = 2.0                       # a second after its last request the spool empties its log
BUILD_TIMEOUT_S = 600
COMMAND_TIMEOUT_S = 120
# The smarthosts of bench-fill, which are away: port 9 is nobody's.
AWAY = " ".join(f'{name} = {{{{ host = "127.0.0.1"; port = 9; tls = "none"; }}}};'
                for name in ("first", "second", "third", "rare", "later"))

# What the issue names, first and rare matches alike; then what no index can answer.
QUICK_FILTERS = ((), ("state=held",), ("state=queued",), ("state=in-doubt",), ("state=failed",), ("state=expired",),
                 ("smarthost=first",), ("smarthost=rare",), ("older=3d",), ("newer=1h",), ("newer=1s",))
SLOW_FILTERS = (("recipient=nobody@nowhere.example",), ("attempts>3",), ("tag=tag999",), ("class=auth-failed",),
                ("user=app3", "sender=*@elsewhere.example"))
SCAN = SLOW_FILTERS[0]
DELETED = "user=app7"              # a tenth of the queue, spread over all of it
SCAN_CASE, DELETE_CASE = f"list {SCAN[0]}", f"delete {DELETED} (100,000 messages)"
# The command, and how long the load goes on beside it.
BESIDE = {
    "nothing else": ((), 4000),
    SCAN_CASE: (("list", *SCAN), 10_000),
    DELETE_CASE: (("delete", DELETED, "--yes"), 25_000),
}
ID_CASE = "id=..."
SLOW_TURNS = 2                     # some seconds each
LEAD_S = 0.3


def case_of_filter(terms):
    return " ".join(terms) or "no filter"


def quickest(text, limit, filters):
    """The goal that each of the filters is answered in so many milliseconds: shows the slowest."""
    def measured(summary):
        times = {terms: median(summary, "deep-list", "ms", case=case_of_filter(terms)) for terms in filters}
        if None in times.values():
            return NOT_MEASURED
        slowest = max(times, key=times.get)
        return f"{times[slowest]:,.0f} ms: {case_of_filter(slowest)}", times[slowest] <= limit
    return Goal(text, measured)


GOALS = (
    between_cases(f"{QUEUE}: acceptance at most 20 % slower", 0.8, "deep", "rate", QUEUE, EMPTY),
    between_cases(f"{QUEUE}: acceptance and delivery at most 20 % slower", 0.8, "deep", "relay_rate", QUEUE, EMPTY),
    most(f"{QUEUE}: memory under 96 MiB", 96 * 1024, "KiB", 0, "deep", "rss_kib", case=QUEUE),
    most(f"{QUEUE}: restart to accepting under 1 s", 1000, "ms", 0, "deep-restart", "accepting_ms"),
    most(f"{QUEUE}: restart to the first delivery under 2 s", 2000, "ms", 0, "deep-restart", "delivery_ms"),
    quickest(f"{QUEUE}: list, and filters on id, state, smarthost and age, under 100 ms", 100,
             (*QUICK_FILTERS, (ID_CASE,))),
    quickest(f"{QUEUE}: any other filter under 3 s", 3000, SLOW_FILTERS),
    most(f"{QUEUE}: acceptance beside such a filter: p99 at most 40 ms", 40, "ms", 1, "deep-beside", "p99_ms",
         case=SCAN_CASE),
    most(f"{QUEUE}: deleting 100,000: no acceptance above 100 ms", 100, "ms", 1, "deep-beside", "max_ms",
         case=DELETE_CASE),
)


class DeepOutboxd(Outboxd):
    """Knows the smarthosts of the queue. What is submitted goes to the sink."""

    CONFIG = (Outboxd.CONFIG.replace("sink = {{", f"{AWAY} sink = {{{{")
              + 'routes = ( {{ smarthosts = [ "sink" ]; }} );\n')

    def outbox(self, *arguments):
        """What the command line prints, and how long that takes in ms."""
        begin = time.perf_counter()
        done = subprocess.run([self.bindir / "outbox", "-c", self.config, *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=True, timeout=COMMAND_TIMEOUT_S)
        return done.stdout, (time.perf_counter() - begin) * 1000


def run(bench, number):
    if "outboxd" not in bench.kinds:
        return
    states = {QUEUE: bench.new_folder("queue"), EMPTY: bench.new_folder("empty")}
    for state in states.values():
        state.mkdir(mode=0o700, parents=True)
    fill = [bench.bindir / "bench-fill", "-n", str(FILLED), "-s", str(BODY_BYTES), states[QUEUE]]
    subprocess.run(fill, stdout=subprocess.DEVNULL, check=True, timeout=BUILD_TIMEOUT_S)
    sink = bench.new_sink(COUNTLESS)
    running = {}
    try:
        for case, state in states.items():
            running[case] = started(bench, state, sink.port)
        for turn in range(TURNS):
            for case in bench.rotated(running, turn):
                relay(bench, running[case], sink, case, turn)
        for turn in range(TURNS):
            ask_all(bench, running[QUEUE], turn)
        for case in BESIDE:
            beside(bench, running[QUEUE], case)
    finally:
        for subject in running.values():
            subject.stop()
        sink.stop()
    for turn in range(TURNS):
        restart(bench, states[QUEUE], turn)


def started(bench, state, port):
    subject = bench.made(DeepOutboxd)
    subject.state = state
    subject.start(bench.new_folder("deep"), port)
    return subject


def relay(bench, subject, sink, case, turn):
    """From the first submission to the last delivery."""
    time.sleep(CALM_S)
    already = sink.counters()["messages"]
    before = subjects.cpu_s(subject.pids())
    result = bench.load(subject, LOAD, RELAY_MESSAGES, 60_000)
    sink.wait_for(already + result["acknowledged"], time.monotonic() + 60)
    used = subjects.cpu_s(subject.pids()) - before
    counters = sink.counters()
    delivered = counters["messages"] - already
    seconds = counters["last_ns"] / 1e9 - result["begin_s"]
    bench.record(test="deep", subject=subject.name, round=turn, case=case, **result, delivered=delivered,
                 relay_rate=delivered / seconds, cpu_ms_per_message=used * 1000 / max(delivered, 1),
                 rss_kib=subjects.memory_kib(subject.pids(), "VmRSS"))


def ask_all(bench, subject, turn):
    last = json.loads(subject.outbox("list", "--limit", "50", "--json")[0].splitlines()[-1])["id"]
    for terms in QUICK_FILTERS:
        ask(bench, subject, terms, case_of_filter(terms), turn)
    ask(bench, subject, (f"id={last}",), ID_CASE, turn)
    for terms in SLOW_FILTERS if turn < SLOW_TURNS else ():
        ask(bench, subject, terms, case_of_filter(terms), turn)


def ask(bench, subject, terms, case, turn):
    text, ms = subject.outbox("list", *terms, "--limit", "50", "--json")
    bench.record(test="deep-list", subject=subject.name, round=turn, case=case, ms=ms, rows=text.count("\n"))


def beside(bench, subject, case):
    """The load begins before the command, and is shown to last longer."""
    arguments, limit_ms = BESIDE[case]
    time.sleep(CALM_S)
    took_ms = 0
    with concurrent.futures.ThreadPoolExecutor() as pool:
        load = pool.submit(bench.load, subject, LOAD, COUNTLESS, limit_ms)
        time.sleep(LEAD_S)
        if arguments:
            _, took_ms = subject.outbox(*arguments)
        if load.done():
            raise RuntimeError(f"{case}: the load ended before the command did")
        result = load.result()
    bench.record(test="deep-beside", subject=subject.name, case=case, took_s=took_ms / 1000, **result)


def restart(bench, state, turn):
    """Some mail that could not go out, SIGTERM, and a start that finds a sink."""
    subject = started(bench, state, None)
    try:
        bench.load(subject, LOAD, RESTART_MESSAGES, 30_000)
    finally:
        subject.stop()
    sink = bench.new_sink(COUNTLESS)
    try:
        begin = time.monotonic()
        subject = started(bench, state, sink.port)
        accepting = time.monotonic()
        try:
            sink.wait_for(1, begin + 30)
            first_s = sink.counters()["first_ns"] / 1e9
        finally:
            subject.stop()
        if first_s == 0:
            raise RuntimeError("nothing was delivered after the restart")
        bench.record(test="deep-restart", subject=subject.name, round=turn, accepting_ms=(accepting - begin) * 1000,
                     delivery_ms=(first_s - begin) * 1000)
    finally:
        sink.stop()
