"""Thousands of idle clients: what each costs outboxd, and whether others notice them."""

import contextlib
import resource
import time

import subjects
from figures import Cell, Measure, between_cases, most
from subjects import Outboxd

TITLES = {"sessions": "Many idle clients"}
MEASURES = (
    Measure("sessions", "kib_per_session", "memory KiB each", 2),
    Measure("sessions", "rate", "messages/s", 0),
    Measure("sessions", "p99_ms", "p99 ms", 2),
    Measure("sessions", "cpu_ms_per_message", "cpu ms/message", 3),
)
ROUNDS_QUICK, ROUNDS_FULL = 0, 5
IDLE_CLIENTS = 10_000
LOAD = Cell(10, 100)
LOAD_MS = 2000
SETTLE_S = 1.0
COUNTLESS = 10**6
DESCRIPTORS_LEFT = 5000   # by outboxd, for deliveries
ALONE, AMONG = "10 clients alone", f"10 clients beside {IDLE_CLIENTS:,} idle ones"
UNCHANGED = 0.9           # two loads of the same kind differ by that much

GOALS = (
    most(f"{IDLE_CLIENTS:,} idle clients: under 20 KiB each", 20, "KiB", 2, "sessions", "kib_per_session", case=AMONG),
    between_cases(f"{IDLE_CLIENTS:,} idle clients: no effect on 10 others (at least {UNCHANGED} x their rate)",
                  UNCHANGED, "sessions", "rate", AMONG, ALONE),
)


class Crowded(Outboxd):
    """Starts with the usual soft limit of descriptors, which it has to raise by itself."""

    command_prefix = ("sh", "-c", 'ulimit -Sn 1024; exec "$@"', "sh")
    clients_max = IDLE_CLIENTS + 100


def run(bench, number):
    if "outboxd" not in bench.kinds:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = IDLE_CLIENTS + DESCRIPTORS_LEFT + 500
    if hard < needed:
        bench.absent["idle clients"] = f"{needed} file descriptors are needed, {hard} are allowed"
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    subject = bench.made(Crowded)
    try:
        subject.start(bench.new_folder("sessions"), None)
        try:
            measure(bench, subject, number)
        finally:
            subject.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def measure(bench, subject, number):
    """Memory first, while all that is taken is for the idle ones."""
    before = subjects.memory_kib(subject.pids(), "VmRSS")
    with idle_clients(subject.address):
        each = (subjects.memory_kib(subject.pids(), "VmRSS") - before) / IDLE_CLIENTS
        bench.record(test="sessions", subject=subject.name, round=number, case=AMONG, kib_per_session=each)
    for case in bench.rotated((ALONE, AMONG), number):
        with idle_clients(subject.address) if case == AMONG else contextlib.nullcontext():
            time.sleep(SETTLE_S)
            load(bench, subject, number, case)


def load(bench, subject, number, case):
    before = subjects.cpu_s(subject.pids())
    result = bench.load(subject, LOAD, COUNTLESS, LOAD_MS)
    used = subjects.cpu_s(subject.pids()) - before
    bench.record(test="sessions", subject=subject.name, round=number, case=case, **result,
                 cpu_ms_per_message=used * 1000 / max(result["acknowledged"], 1))


@contextlib.contextmanager
def idle_clients(address):
    """Greeted, and silent from then on."""
    with contextlib.ExitStack() as clients:
        for _ in range(IDLE_CLIENTS):
            client = clients.enter_context(subjects.connect(address))
            for command, expected in ((b"", b"220"), (b"EHLO idle.example\r\n", b"250")):
                client.sendall(command)
                reply = client.recv(4096)
                if not reply.startswith(expected):
                    raise RuntimeError(f"an idle client heard {reply!r}")
        yield
