"""Delivery under TLS: over four sessions that stay open, beside what the same sink takes from the load generator."""

import collections
import pathlib
import shutil
import sys
import time

import subjects
from figures import NOT_MEASURED, Cell, Goal, Measure, median

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))
import certificates  # noqa: E402

TITLES = {"tls": "Delivery under TLS over 4 reused sessions; outboxd: from the first submission to the last delivery"}
MEASURES = (
    Measure("tls", "rate", "messages/s", 0),
    Measure("tls", "cpu_ms_per_message", "cpu ms/message", 3),
)
ROUNDS_QUICK, ROUNDS_FULL = 1, 5
QUICK, FULL = 4000, 20000
SESSIONS = 4
CLIENTS = Cell(100, 100)
BARE = "bare load"
LEAST_RATE, LEAST_SHARE = 1500, 0.9
LIMIT_S = 60

# What bench.load() asks of a subject, for the load generator that speaks to the sink itself.
Target = collections.namedtuple("Target", "address")


class TlsOutboxd(subjects.Outboxd):
    """Its smarthost is a sink that speaks TLS; authority is whom to trust."""

    authority = None

    def command(self, folder, sink):
        self.CONFIG = self.CONFIG.replace('tls = "none";', f'tls = "implicit"; ca-file = "{self.authority}"; '
                                          f"connections-max = {SESSIONS}; messages-per-connection = 1000000;")
        return super().command(folder, sink)


def reached(summary):
    own, bare = median(summary, "tls", "rate"), median(summary, "tls", "rate", BARE)
    if own is None or not bare:
        return NOT_MEASURED
    return f"{own:,.0f}/s, {own / bare:.2f} x {BARE}", own >= LEAST_RATE or own >= LEAST_SHARE * bare


GOALS = (Goal(f"TLS smarthost, {SESSIONS} reused sessions: at least {LEAST_RATE:,} messages/s, or {LEAST_SHARE:.0%} of "
              "what the sink takes from a bare load generator", reached),)


def run(bench, number):
    if "outboxd" not in bench.kinds:
        return
    if not shutil.which("openssl"):
        bench.absent["TLS"] = "no openssl(1) to make a certificate with"
        return
    folder = bench.new_folder("tls")
    identity = make_identity(folder)
    measures = [lambda: bare(bench, identity, number),
                lambda: relay(bench, identity, folder / "ca.pem", number)]
    for measure in bench.rotated(measures, number):
        measure()


def make_identity(folder):
    """The sink's certificate and key in one file."""
    pair = certificates.make_certificate(folder)
    identity = folder / "identity.pem"
    identity.write_text("".join(path.read_text() for path in pair))
    return identity


def bare(bench, identity, number):
    messages = FULL if bench.full else QUICK
    sink = bench.new_sink(messages, "-T", identity)
    try:
        result = bench.load(Target(f"127.0.0.1:{sink.port}"), Cell(SESSIONS, 0), messages, LIMIT_S * 1000, "-T", "-P")
    finally:
        sink.stop()
    bench.record(test="tls", subject=BARE, round=number, **result)


def relay(bench, identity, authority, number):
    messages = FULL if bench.full else QUICK
    sink = bench.new_sink(messages, "-T", identity)
    try:
        subject = TlsOutboxd(bench.bindir, None)
        subject.authority = authority
        subject.start(bench.new_folder("tls-outboxd"), sink.port)
        try:
            bench.record(**measured(bench, subject, sink, messages, number))
        finally:
            subject.stop()
    finally:
        sink.stop()


def measured(bench, subject, sink, messages, number):
    before = subjects.cpu_s(subject.pids())
    result = bench.load(subject, CLIENTS, messages, LIMIT_S * 1000)
    sink.wait_for(result["acknowledged"], time.monotonic() + LIMIT_S)
    used = subjects.cpu_s(subject.pids()) - before
    counters = sink.counters()
    delivered = counters["messages"]
    seconds = counters["last_ns"] / 1e9 - result["begin_s"]
    if counters["sessions"] > SESSIONS:
        bench.complain(subject.name, "TLS", f"{counters['sessions']} sessions instead of {SESSIONS}")
    return dict(
        test="tls", subject=subject.name, round=number, rate=delivered / seconds if delivered > 0 else 0,
        accept_rate=result["rate"], acknowledged=result["acknowledged"], failed=result["failed"],
        problem=result["problem"], delivered=delivered, repeats=counters["repeats"],
        sink_sessions=counters["sessions"], cpu_ms_per_message=used * 1000 / max(delivered, 1),
    )
