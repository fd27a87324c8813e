#!/usr/bin/env python3
"""Guards against regressions without a clock: what a message costs now and before, counted.

guard.py [--before COMMIT] [--allow TEXT]   the work tree and its last commit, or the one before when nothing is edited
guard.py [--allow TEXT] NOW BEFORE          two programs
guard.py --profile [NOW]                    where the instructions of one message are spent

Counted for accepting a message, and for delivering it (the difference to a load that also delivers):
  instructions  in outboxd itself, by callgrind; at most 5 % more than before. Those in libraries are only told.
  writes        to files of the state directory, by strace; exactly, not one more than before.
  commits       of the spool; not one more than before, and one for an accepted message.
  syncs         exactly one per commit, and none of other files. No commit message allows more.

A rise that is meant is announced in the commit message, each by a line of its own with the reason:
  Guard: deliver writes +10%, because the outcome has an index now
A work tree that differs from its last commit has no message yet: use --allow 'deliver writes +10%, because ...'.

Exit status: 0 fine, 1 a regression, 77 nothing to compare with.
"""

import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import builds
import callgrind
import syscalls
import workload

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = TOP / "build/guard"
SKIPPED = 77
LIMITS = {"instructions": 0.05, "writes": 0, "commits": 0}   # by how much each may rise
ANNOUNCEMENT = re.compile(r"(accept|deliver) (\w+) \+(\d+(?:\.\d+)?)%, because \S.*")

# of one message; libraries are for information
Cost = collections.namedtuple("Cost", "instructions libraries writes commits")


class Misspelt(Exception):
    """A line that should allow something, but can't be read."""


def announced(lines):
    """{(work, what): rise} from the lines of commit messages."""
    allowed = {}
    for line in lines:
        if not line.startswith("Guard:"):
            continue
        match = ANNOUNCEMENT.fullmatch(line.removeprefix("Guard:").strip())
        if match is None or match[2] not in LIMITS:
            raise Misspelt(f"not understood: {line!r}; instead: Guard: accept|deliver {'|'.join(LIMITS)} "
                           "+N%, because ...")
        work, what, percent = match.groups()
        allowed[work, what] = max(float(percent) / 100, allowed.get((work, what), 0))
    return allowed


def measure(program, folder):
    """{work: Cost} of accepting and of delivering, and the complaints about syncs, which need no comparison."""
    costs, complaints = {}, []
    for is_delivering in (False, True):
        runs = folder / ("both" if is_delivering else "accept")
        profile = callgrind.measure(program, runs / "callgrind", is_delivering)
        counts = syscalls.measure(program, runs / "strace", is_delivering)
        complaints += sync_complaints(runs.name, counts)
        costs[runs.name] = Cost(callgrind.own(profile), callgrind.libraries(profile), sum(counts.writes.values()),
                                counts.commits / counts.messages)
    both = costs.pop("both")
    costs["deliver"] = Cost(*(all_of_it - accept for all_of_it, accept in zip(both, costs["accept"])))
    return costs, complaints


def sync_complaints(work, counts):
    if counts.syncs != counts.commits:
        yield f"{work}: {counts.syncs} syncs for {counts.commits} commits"
    if counts.stray_syncs:
        yield f"{work}: syncs of other files: {', '.join(counts.stray_syncs)}"
    if work == "accept" and counts.commits != counts.messages:
        yield f"{work}: {counts.commits} commits for {counts.messages} messages that came one by one"


def compare(now, before, allowed):
    """What costs more than it may."""
    for work in now:
        for what, limit in LIMITS.items():
            limit = max(limit, allowed.get((work, what), 0))
            new, old = getattr(now[work], what), getattr(before[work], what)
            if new > old * (1 + limit):
                yield f"{work}: {number(new)} {what} per message, {number(old)} before, {limit:.0%} more allowed"


def number(value):
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.2f}"


def print_table(now, before):
    print(f"{'per message':24}{'before':>12}{'now':>12}{'change':>10}")
    for work in now:
        for what in Cost._fields:
            new, old = getattr(now[work], what), getattr(before[work], what)
            change = f"{(new - old) / old:+.1%}" if old else ""
            print(f"{work:8} {what:15}{number(old):>12}{number(new):>12}{change:>10}")


def print_profile(program, folder):
    for is_delivering in (False, True):
        profile = callgrind.measure(program, folder / str(is_delivering), is_delivering)
        print("instructions per message, accepted and delivered" if is_delivering
              else "instructions per message, accepted")
        print("\n".join(callgrind.table(profile)))
        print()


def check_tools():
    for tool in (["valgrind", "-q", "--tool=none", "true"], ["strace", "-qq", "-o", "/dev/null", "true"]):
        if not shutil.which(tool[0]):
            raise builds.Impossible(f"{tool[0]} is not installed")
        done = subprocess.run(tool, capture_output=True, text=True)
        if done.returncode != 0:
            raise builds.Impossible(f"{tool[0]} does not work here: {done.stderr[-300:]}")


def guard(options, folder):
    """The complaints."""
    lines = [f"Guard: {text}" for text in options.allow]
    if options.programs:
        program, program_before = options.programs
    else:
        commit = builds.commit_before(TOP, options.before)
        lines += builds.messages_since(TOP, commit)
        announced(lines)   # before the long part
        program = builds.build_now(TOP, FOLDER)
        program_before = builds.build_before(TOP, FOLDER, commit)
        print(f"before: {builds.title(TOP, commit)}")
    try:
        before, _ = measure(program_before, folder / "before")
    except workload.Broken as error:
        raise builds.Impossible(f"the one before does not work: {error}") from None
    now, complaints = measure(program, folder / "now")
    print_table(now, before)
    return [*complaints, *compare(now, before, announced(lines))]


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", type=pathlib.Path, metavar="PROGRAM", help="outboxd, now and before")
    parser.add_argument("--before", metavar="COMMIT", help="what to compare with")
    parser.add_argument("--allow", action="append", default=[], metavar="TEXT", help="a rise that is meant")
    parser.add_argument("--profile", action="store_true", help="only show where instructions are spent")
    options = parser.parse_args()
    if len(options.programs) not in ((0, 1) if options.profile else (0, 2)):
        parser.error("give two programs, NOW and BEFORE, or none")
    return options


def run(options):
    check_tools()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=FOLDER) as folder:
        if options.profile:
            print_profile(*options.programs or [builds.build_now(TOP, FOLDER)], pathlib.Path(folder))
            return 0
        complaints = guard(options, pathlib.Path(folder))
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


def main():
    try:
        return run(read_options())
    except builds.Impossible as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    except subprocess.CalledProcessError as error:
        print(error.stdout[-4000:], error, sep="\n")
        return 1
    except (Misspelt, workload.Broken) as error:
        print(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
