"""Turns the records of a bench run into medians, ratios and tables."""

import collections
import statistics

BASE = "outboxd"
CEILING = "sink"  # of the tools, no rival: no ratios

# test, measure, label, how to print it. A ratio is outboxd's figure by the other's, of the same round.
Measure = collections.namedtuple("Measure", "test field label digits")
MEASURES = (
    Measure("accept", "rate", "messages/s", 0),
    Measure("accept", "p50_ms", "p50 ms", 2),
    Measure("accept", "p99_ms", "p99 ms", 2),
    Measure("accept", "cpu_ms_per_message", "cpu ms/message", 3),
    Measure("relay", "rate", "messages/s", 0),
    Measure("relay", "cpu_ms_per_message", "cpu ms/message", 3),
    Measure("relay", "loaded_kib", "peak memory KiB", 0),
    Measure("syncs", "syncs_per_message", "syncs/message", 3),
    Measure("memory", "idle_kib", "idle KiB", 0),
    Measure("memory", "loaded_kib", "peak KiB", 0),
    Measure("memory", "processes", "processes idle", 0),
    Measure("memory", "idle_cpu_ms_per_s", "idle cpu ms/s", 2),
)
TITLES = {
    "accept": "Durable acceptance, delivery paused",
    "relay": "Accept and deliver, from the first submission to the last delivery",
    "syncs": "Syncs per message, under strace, connections reused",
    "memory": "Memory (sum over processes; shared pages count once per process)",
}
FIGURE_WIDTH = 27
RATIO_WIDTH = 16


def case_of(record):
    """What makes figures comparable: the same work."""
    return tuple((key, record[key]) for key in ("clients", "per_session", "delivering") if key in record)


def case_text(case):
    fields = dict(case)
    words = []
    if "clients" in fields:
        words.append(f"{fields['clients']} client{'s' if fields['clients'] > 1 else ''}")
    if "per_session" in fields:
        words.append("one per connection" if fields["per_session"] == 1 else f"{fields['per_session']} per connection")
    if "delivering" in fields:
        words.append("delivering" if fields["delivering"] else "paused")
    return ", ".join(words)


def figures(records, measure):
    """{case: {subject: {round: figure}}}"""
    table = {}
    for record in records:
        if record["test"] == measure.test and measure.field in record:
            rounds = table.setdefault(case_of(record), {}).setdefault(record["subject"], {})
            rounds[record.get("round", 0)] = record[measure.field]
    return table


def ratio(base, other):
    """Median of the ratios within each round: what swings between rounds cancels out."""
    pairs = [base[number] / other[number] for number in base if other.get(number)]
    return statistics.median(pairs) if pairs else None


def summarise(records):
    rows = []
    for measure in MEASURES:
        for case, by_subject in figures(records, measure).items():
            row = {"test": measure.test, "measure": measure.field, **dict(case), "subjects": {}, "ratios": {}}
            for subject, rounds in by_subject.items():
                values = list(rounds.values())
                row["subjects"][subject] = {
                    "median": statistics.median(values), "min": min(values), "max": max(values), "rounds": len(values),
                }
                if subject not in (BASE, CEILING) and BASE in by_subject:
                    row["ratios"][subject] = ratio(by_subject[BASE], rounds)
            rows.append(row)
    return rows


def problems(records):
    """What makes the figures worthless: failures, and acknowledged mail that did not arrive exactly once."""
    found = []
    for record in records:
        where = f"{record.get('subject')}, {record['test']}, {case_text(case_of(record)) or 'run'}"
        if record["test"] == "error":
            found.append(f"{where}: {record['problem']}")
        elif record["test"] in ("accept", "relay") and (record["failed"] or record["problem"]):
            found.append(f"{where}: {record['failed']} failed: {record['problem']}")
        if record["test"] == "relay" and (record["delivered"] != record["acknowledged"] or record["repeats"]):
            found.append(f"{where}: {record['acknowledged']} acknowledged, {record['delivered']} delivered, "
                         f"{record['repeats']} repeated")
    return found


def figure_text(figure, digits):
    text = f"{figure['median']:,.{digits}f}"
    if figure["rounds"] > 1:
        text += f" ({figure['min']:,.{digits}f}-{figure['max']:,.{digits}f})"
    return text


def show_test(test, rows, out):
    names = []
    for row in rows:
        names += [name for name in row["subjects"] if name not in names]
    others = [name for name in names if name not in (BASE, CEILING)] if BASE in names else []
    print(f"\n{TITLES[test]}", file=out)
    header = "".join(f"{name:>{FIGURE_WIDTH}}" for name in names)
    print(f"  {'':18}{header}" + "".join(f"{'/' + name:>{RATIO_WIDTH}}" for name in others), file=out)
    labels = {measure.field: measure for measure in MEASURES if measure.test == test}
    cases = {}
    for row in rows:
        case = tuple((key, row[key]) for key in ("clients", "per_session", "delivering") if key in row)
        cases.setdefault(case, []).append(row)
    for case, members in cases.items():
        if case:
            print(f" {case_text(case)}", file=out)
        for row in members:
            measure = labels[row["measure"]]
            cells = [figure_text(row["subjects"][name], measure.digits) if name in row["subjects"] else "-"
                     for name in names]
            ratios = [row["ratios"].get(name) for name in others]
            print(f"  {measure.label:18}" + "".join(f"{cell:>{FIGURE_WIDTH}}" for cell in cells)
                  + "".join(f"{'-' if value is None else f'{value:.2f}':>{RATIO_WIDTH}}" for value in ratios),
                  file=out)


def show(result, out):
    about = result["machine"]
    print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, {about['filesystem']}; "
          f"{result['size_bytes']} byte messages, {result['extent']['rounds']} rounds, {result['seconds']:.0f} s. "
          f"Median (min-max); /x is outboxd by x within a round.", file=out)
    if about["filesystem"] == "tmpfs":
        print("The spool is in memory: syncs cost nothing here, and the figures say little.", file=out)
    for test in TITLES:
        rows = [row for row in result["summary"] if row["test"] == test]
        if rows:
            show_test(test, rows, out)
    print(file=out)
    for note in result["notes"]:
        print(note, file=out)
    for name, reason in result["absent"].items():
        print(f"{name}: absent: {reason}", file=out)
    for problem in problems(result["records"]):
        print(f"PROBLEM: {problem}", file=out)
