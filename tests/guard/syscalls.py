"""Runs outboxd under strace and counts, per message, its syncs and its writes to files of the state directory."""

import bisect
import collections
import pathlib
import re
import shutil
import statistics

import workload

SYNCS = ("fsync", "fdatasync", "sync_file_range", "msync", "sync", "syncfs")
WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "fallocate", "ftruncate")
WAL = "spool.db-wal"
MESSAGES = 50
SETTLE_S = 5
TRIES = 3
# "PID SECONDS CALL(FD</path>, ..."; the other half of a call that was interrupted says "resumed" instead.
CALL = re.compile(r"(?:\d+\s+)?(\d+\.\d+) (\w+)\((?:\d+<([^>]*)>)?")

Call = collections.namedtuple("Call", "time name path")
# writes: by file, of one message
Counts = collections.namedtuple("Counts", "messages commits syncs stray_syncs writes")


def read(lines, state):
    """The calls that concern a file in the folder state, and all syncs."""
    for line in lines:
        match = CALL.match(line)
        if match:
            time, name, path = match.groups()
            path = pathlib.Path(path or "")
            if name in SYNCS or path.parent == state:
                yield Call(float(time), name, path.name)


def is_settled(calls):
    """Whether the log's last write has been followed by its sync."""
    of_log = [call.name for call in calls if call.path == WAL]
    return bool(of_log) and of_log[-1] in SYNCS


def count(calls, times, commits):
    """times: when each message began, and the end. What one message writes is the median: now and then a tree of the
    database grows by a page."""
    syncs = collections.Counter()
    writes = collections.defaultdict(lambda: [0] * (len(times) - 1))
    for call in calls:
        if times[0] <= call.time < times[-1]:
            if call.name in SYNCS:
                syncs[call.path] += 1
            else:
                writes[call.path][bisect.bisect(times, call.time) - 1] += 1
    return Counts(messages=len(times) - 1, commits=commits, syncs=syncs[WAL], stray_syncs=sorted({*syncs} - {WAL}),
                  writes={path: statistics.median_low(each) for path, each in writes.items()})


def measure_once(program, folder, is_delivering):
    folder.mkdir(parents=True)
    trace = folder / "strace"
    tool = [shutil.which("strace"), "-f", "-qq", "--seccomp-bpf", "-ttt", "-y", "-s0",
            "-e", f"trace={','.join(SYNCS + WRITES)}", "-o", trace]

    def calls():
        with open(trace, encoding="utf-8", errors="replace") as lines:
            return list(read(lines, folder / "run/state"))

    times, commits = workload.run(tool, program, folder / "run", MESSAGES, is_delivering,
                                  settle=lambda: workload.wait_for(lambda: is_settled(calls()), SETTLE_S))
    return count(calls(), times, commits)


def measure(program, folder, is_delivering):
    """Again when there were other syncs: a daemon that waits for us for a second, on a busy machine, uses the time for
    a checkpoint."""
    for number in range(TRIES):
        counts = measure_once(program, folder / str(number), is_delivering)
        if not counts.stray_syncs:
            break
    return counts
