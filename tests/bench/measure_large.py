"""Messages of 20 MiB: how many bytes a second are accepted, beside bare SQLite writing the same rows, and memory."""

import json
import re
import shutil
import subprocess
import time

import subjects
from figures import PEERS, Cell, Measure, least_ratio, most

TITLES = {"large": "20 MiB messages accepted, delivery paused"}
MEASURES = (
    Measure("large", "mib_per_s", "MiB/s", 0),
    Measure("large", "chunks_per_commit", "chunks/commit", 1),
    Measure("large", "peak_kib", "peak KiB", 0),
    Measure("large", "growth_kib_per_session", "growth KiB/session", 0),
)
ROUNDS_QUICK, ROUNDS_FULL = 0, 5
BARE = "bare SQLite"
SIZE_BYTES = 20 * 1024 * 1024
CHUNK_BYTES = 256 * 1024     # of a row: SPOOL_CHUNK_BYTES
MIB = 1024 * 1024
CLIENTS, MORE_CLIENTS = 4, 20
MESSAGES = 16
LIMIT_MS = 120_000
SETTLE_S = 1.5               # outboxd empties its log after a second of rest
GROUP_GUESSED = 8            # chunks, when strace is absent
FEW, MORE = f"{CLIENTS} clients", f"{MORE_CLIENTS} clients"

GOALS = (
    least_ratio(f"20 MiB, {FEW}: at least 0.75 x bare SQLite with the same rows, commits", 0.75, "large", "mib_per_s",
                [BARE], case=FEW),
    least_ratio(f"20 MiB, {FEW}: not below the best peer", 1, "large", "mib_per_s", PEERS, case=FEW),
    most(f"20 MiB, from {CLIENTS} to {MORE_CLIENTS} clients: memory grows by at most 2 MiB per session", 2048, "KiB", 0,
         "large", "growth_kib_per_session", case=MORE),
)


def run(bench, number):
    """Each subject alone, in turn: what one leaves to be written would slow down the next."""
    group = commit_size(bench)
    names = [name for name in bench.kinds if name in ("outboxd", *PEERS) and bench.kinds[name].accepts]
    for name in bench.rotated([*names, BARE], number):
        try:
            if name == BARE:
                bare(bench, number, group)
            else:
                accept(bench, name, number)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            bench.complain(name, "large", error)
        time.sleep(SETTLE_S)


def commit_size(bench):
    """Chunks in a commit of outboxd's, from its syncs under strace: bare SQLite shall commit as much at a time."""
    if "outboxd" not in bench.kinds or not shutil.which("strace"):
        return GROUP_GUESSED
    folder = bench.new_folder("strace-large")
    folder.mkdir(parents=True)
    subject = bench.made(bench.kinds["outboxd"])
    subject.command_prefix = ("strace", "-f", "-qq", "-y", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o",
                              str(folder / "trace"))
    subject.start(folder / "spool", None)
    try:
        load(bench, subject, CLIENTS, CLIENTS)
        text = (folder / "trace").read_text(errors="replace")
    finally:
        subject.stop()
    # A checkpoint syncs both files, a commit the log only.
    commits = len(re.findall(r"sync\([^)]*spool\.db-wal>", text)) - len(re.findall(r"sync\([^)]*spool\.db>", text))
    return max(CLIENTS * SIZE_BYTES / CHUNK_BYTES / max(commits, 1), 1)


def load(bench, subject, clients, messages):
    result = bench.load(subject, Cell(clients, 0), messages, LIMIT_MS, "-s", str(SIZE_BYTES))
    if result["acknowledged"] < messages:
        raise RuntimeError(f"{result['acknowledged']} of {messages} were taken: {result['problem']}")
    return {**result, "mib_per_s": result["rate"] * SIZE_BYTES / MIB}


def accept(bench, name, number):
    subject = bench.started(name)
    try:
        result = load(bench, subject, CLIENTS, MESSAGES)
        peak = subjects.memory_kib(subject.pids(), "VmHWM")
        bench.record(test="large", subject=name, round=number, case=FEW, **result, peak_kib=peak)
        if name == "outboxd":
            time.sleep(SETTLE_S)
            result = load(bench, subject, MORE_CLIENTS, MORE_CLIENTS)
            growth = subjects.memory_kib(subject.pids(), "VmHWM") - peak
            bench.record(test="large", subject=name, round=number, case=MORE, **result, peak_kib=peak + growth,
                         growth_kib_per_session=growth / (MORE_CLIENTS - CLIENTS))
    finally:
        subject.stop()


def bare(bench, number, group):
    folder = bench.new_folder("chunks")
    folder.mkdir(mode=0o700, parents=True)
    done = subprocess.run([bench.bindir / "bench-chunks", "-n", str(MESSAGES), "-s", str(SIZE_BYTES),
                           "-g", str(round(group)), folder], stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    result = json.loads(done.stdout)
    bench.record(test="large", subject=BARE, round=number, case=FEW, chunks_per_commit=group,
                 mib_per_s=result["bytes"] / MIB / result["seconds"])
