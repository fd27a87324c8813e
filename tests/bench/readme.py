"""Writes a run's figures into README.md, between two markers, and the picture beside the bench: nothing by hand."""

import chart
from figures import BASE, PEERS, case_of, case_text
from report import figure_text, problems

BEGIN, END = "<!-- figures of a run: bench.py --render -->", "<!-- end of figures -->"
ROUNDS_LEAST = 5
# test, field, what it is, digits, whether more is better
TABLE = (
    ("accept", "rate", "accept, messages/s", 0, True),
    ("accept", "p99_ms", "accept, p99 in ms", 1, False),
    ("accept", "cpu_ms_per_message", "accept, processor ms per message", 3, False),
    ("relay", "rate", "accept and deliver, messages/s", 0, True),
    ("relay", "cpu_ms_per_message", "accept and deliver, processor ms per message", 3, False),
)
MANY_CLIENTS = 100   # only the rates are shown for fewer, too


class Unfit(Exception):
    """These figures are no claim to be made; the text says why."""


def render(result, readme, picture):
    """Replaces what is between the markers of readme, and the picture, whose path is relative to readme's folder."""
    if not result["full"] or result["rounds"].get("acceptance", 0) < ROUNDS_LEAST \
            or result["rounds"].get("relay", 0) < ROUNDS_LEAST:
        raise Unfit(f"only a full run of at least {ROUNDS_LEAST} rounds goes into README.md: make bench-full")
    failures = [problem for problem in problems(result["records"]) if problem.startswith(f"{BASE},")]
    if failures:
        raise Unfit(f"outboxd failed in this run: {failures[0]}")
    text = readme.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Unfit(f"{readme} lacks a marker: {BEGIN} or {END}")
    (readme.parent / picture).write_text(chart.draw(result))
    readme.write_text(f"{before}{BEGIN}\n{block(result, picture)}{END}{after}")


def block(result, picture):
    return "\n".join(["", f"![Messages per second: outboxd, the bound and peers]({picture})", "", *about(result), "",
                      *table(result["summary"]), "", *goals(result["goals"]), "", *setups(result), "", ""])


def about(result):
    machine = result["machine"]
    # A peer that is measured in several ways is one program.
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if "-" not in name)
    yield (f"{result['at'][:10]}, {machine['cores']} cores ({machine['cpu']}), {machine['system']}, Linux "
           f"{machine['kernel']}, {machine['filesystem']}; {versions}. {result['size_bytes']} byte messages over "
           f"loopback, one recipient; medians of {result['rounds']['acceptance']} rounds (least to most), all of one "
           "run in which subjects alternate. Acceptance is measured with delivery paused.")


def table(summary):
    rows = [(words, digits, is_more, row) for test, field, words, digits, is_more in TABLE
            for row in summary if row["test"] == test and row["measure"] == field
            and (field == "rate" or row["clients"] == MANY_CLIENTS)]
    names = [name for name in (BASE, "bound", *PEERS) if any(name in row["subjects"] for *_, row in rows)]
    yield f"| work | {' | '.join(names)} | outboxd by the best peer |"
    yield "|---" * (len(names) + 2) + "|"
    for words, digits, is_more, row in rows:
        cells = [figure_text(row["subjects"][name], digits) if name in row["subjects"] else "" for name in names]
        ratios = [row["ratios"][name] for name in PEERS if row["ratios"].get(name)]
        best = f"{(min if is_more else max)(ratios):.2f}" if ratios else ""
        yield f"| {words}: {case_text(case_of(row))} | {' | '.join(cells)} | {best} |"


def goals(rows):
    reached = sum(row["reached"] is True for row in rows)
    yield f"<details><summary>What was aimed at: {reached} of {len(rows)} reached in this run</summary>"
    yield ""
    yield "| goal | measured | reached |"
    yield "|---|---|---|"
    words = {True: "yes", False: "**no**", None: "-"}
    for row in rows:
        yield f"| {row['goal']} | {row['measured']} | {words[row['reached']]} |"
    yield ""
    yield "</details>"


def setups(result):
    yield "<details><summary>How each was set up</summary>"
    yield ""
    yield from (f"- {note}" for note in result["notes"])
    yield from (f"- {name}: absent: {reason}" for name, reason in result["absent"].items())
    yield ""
    yield "</details>"
