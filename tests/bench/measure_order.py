"""That every 250 for a message leaves after the sync of its transaction: checked in a trace of all that is written."""

import shutil

import order
from figures import Cell, Measure, most

TITLES = {"order": "Accepted means synced, under strace"}
MEASURES = (
    Measure("order", "replies", "250s checked", 0),
    Measure("order", "syncs", "syncs", 0),
    Measure("order", "early", "250s before sync", 0),
)
ROUNDS_QUICK, ROUNDS_FULL = 1, 1
QUICK = (Cell(1, 1), Cell(10, 100))
FULL = (*QUICK, Cell(1, 100), Cell(10, 1))
GOALS = tuple(most(f"{cell.clients} client{'s' if cell.clients > 1 else ''}, {cell.per_session} per connection: "
                   "no 250 leaves before the sync of its transaction", 0, "early", 0, "order", "early",
                   **cell._asdict()) for cell in FULL)
MESSAGES = 60


def run(bench, number):
    if not shutil.which("strace"):
        bench.absent["strace"] = "not installed: neither syncs nor the order of sync and reply are looked at"
        return
    if "outboxd" in bench.kinds:
        for cell in FULL if bench.full else QUICK:
            check(bench, cell, number)


def check(bench, cell, number):
    folder = bench.new_folder("order")
    folder.mkdir(parents=True)
    trace = folder / "strace"
    subject = bench.made(bench.kinds["outboxd"])
    subject.command_prefix = (*order.STRACE, "-o", str(trace))
    subject.start(folder / "spool", None)
    try:
        result = bench.load(subject, cell, MESSAGES, 30_000)
    finally:
        subject.stop()
    report = order.check(trace.read_text(errors="replace").splitlines(), result["acknowledged"])
    for violation in report.violations[:3]:
        bench.complain("outboxd", "order", violation)
    bench.record(test="order", subject="outboxd", round=number, **cell._asdict(), replies=report.replies,
                 syncs=report.syncs, early=len(report.violations))
