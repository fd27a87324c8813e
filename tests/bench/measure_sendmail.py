"""The sendmail command: how long a program waits that hands over one message of 4 KiB by it.

Beside it the least that a durable queue costs (4 KiB appended to a file and synced) and what starting any program
costs. Delivery is paused. Each command is started again when the last one has ended.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

from figures import NOT_MEASURED, PEERS, Goal, Measure, median, most_ratio

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import fetch  # noqa: E402

TITLES = {"sendmail": "The sendmail command, 4 KiB, delivery paused, one after another"}
MEASURES = (
    Measure("sendmail", "p50_ms", "p50 ms", 2),
    Measure("sendmail", "p95_ms", "p95 ms", 2),
    Measure("sendmail", "cpu_ms", "cpu ms/command", 2),
)
ROUNDS_QUICK, ROUNDS_FULL = 1, 5
QUICK, FULL = 60, 200
SIZE_BYTES = 4096
LIMIT_S = 120
SENDER, RECIPIENT = "bench@src.example", "user@dest.example"
SYNC, SPAWN = "bare fdatasync", "/bin/true"
MARGIN_MS = 3


def reached(summary):
    own, sync = median(summary, "sendmail", "p50_ms"), median(summary, "sendmail", "p50_ms", SYNC)
    if own is None or sync is None:
        return NOT_MEASURED
    return f"{own - sync:.2f} ms more", own - sync <= MARGIN_MS


GOALS = (
    Goal(f"sendmail command, 4 KiB: at most {MARGIN_MS} ms more than one fdatasync", reached),
    most_ratio("sendmail command, 4 KiB: below every peer's", 1, "sendmail", "p50_ms", PEERS),
)


def outbox_command(bench, folder, _):
    return [bench.bindir / "sendmail"], {"OUTBOX_CONFIG": str(folder / "outbox.conf")}


def postfix_command(bench, folder, subject):
    root, config = subject.server.root, subject.server.config
    return [root / "usr/sbin/sendmail", "-C", config], {"LD_LIBRARY_PATH": fetch.library_path(root)}


def exim_command(bench, folder, subject):
    server = subject.server
    return [server.roots["exim4-daemon-light"] / "usr/sbin/exim4", "-C", server.run / "exim.conf"], server.environment()


# The command of each subject that has one, and what it must find in its environment.
COMMANDS = {"outboxd": outbox_command, "postfix": postfix_command, "exim": exim_command}


def run(bench, number):
    runs = FULL if bench.full else QUICK
    folder = bench.new_folder("sendmail")
    folder.mkdir()
    message = folder / "message"
    message.write_text(message_text())
    measures = {name: command for name in COMMANDS if name in bench.kinds}
    measures.update({SYNC: sync, SPAWN: spawn})
    for name in bench.rotated(measures, number):
        try:
            bench.record(test="sendmail", subject=name, round=number, **measures[name](bench, name, runs, message))
        except (RuntimeError, OSError) as error:
            bench.complain(name, "sendmail", error)


def message_text():
    header = f"From: <{SENDER}>\nTo: <{RECIPIENT}>\nSubject: bench\n\n"
    return header + ("x" * 76 + "\n") * ((SIZE_BYTES - len(header)) // 77)


def command(bench, name, runs, message):
    folder = bench.new_folder(f"sendmail-{name}")
    subject = bench.made(bench.kinds[name])
    prepare(subject)
    subject.start(folder, None)
    try:
        program, environment = COMMANDS[name](bench, folder, subject)
        return measured(bench, [*program, "-i", RECIPIENT], environment, runs, message)
    finally:
        subject.stop()


def prepare(subject):
    """Postfix's HOLD is for what comes by SMTP: what comes by command waits for a transport that is deferred. Its
    command starts another one, which may need libraries of the unpacked package."""
    if hasattr(subject, "settings"):
        subject.settings = {**subject.settings, "defer_transports": "smtp",
                            "export_environment": "TZ MAIL_CONFIG LANG LD_LIBRARY_PATH"}


def spawn(bench, _, runs, message):
    return measured(bench, ["/bin/true"], {}, runs, message)


def measured(bench, arguments, environment, runs, message):
    done = subprocess.run([bench.bindir / "bench-spawnload", "-n", str(runs), "-i", message, *arguments],
                          env={**os.environ, **environment}, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode != 0:
        raise RuntimeError(f"{done.returncode}: {done.stdout} {done.stderr.strip()}")
    result = json.loads(done.stdout)
    return dict(runs=result["runs"], failed=result["failed"], p50_ms=result["p50_ms"], p95_ms=result["p95_ms"],
                cpu_ms=result["cpu_s"] * 1000 / result["runs"])


def sync(bench, _, runs, message):
    text = message.read_bytes()
    times = []
    fd = os.open(message.with_name("appended"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(runs):
        begin = time.monotonic_ns()
        os.write(fd, text)
        os.fdatasync(fd)
        times.append((time.monotonic_ns() - begin) / 1e6)
    os.close(fd)
    times.sort()
    return dict(runs=runs, p50_ms=times[runs // 2], p95_ms=times[runs * 95 // 100])
