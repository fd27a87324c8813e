"""Turns the records of a bench run into medians, ratios and tables."""

import statistics

from figures import BASE, CEILING, case_of, case_text

LABEL_WIDTH = 18


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


def summarise(records, modules):
    rows = []
    for measure in [measure for module in modules.values() for measure in module.MEASURES]:
        for case, by_subject in figures(records, measure).items():
            row = {"test": measure.test, "measure": measure.field, **dict(case), "subjects": {}, "ratios": {}}
            for subject, rounds in by_subject.items():
                values = list(rounds.values())
                row["subjects"][subject] = {
                    "median": statistics.median(values), "min": min(values), "max": max(values), "rounds": len(values),
                }
                if subject != BASE and BASE in by_subject:
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
        elif record.get("failed") or record.get("problem"):
            found.append(f"{where}: {record.get('failed')} failed: {record.get('problem')}")
        if "delivered" in record and (record["delivered"] != record["acknowledged"] or record.get("repeats")):
            found.append(f"{where}: {record['acknowledged']} acknowledged, {record['delivered']} delivered, "
                         f"{record.get('repeats')} repeated")
    return found


def check_goals(summary, modules):
    """One row per goal; reached is None where this run can't tell."""
    rows = []
    for goal in [goal for module in modules.values() for goal in getattr(module, "GOALS", ())]:
        text, reached = goal.measured(summary)
        rows.append({"goal": goal.text, "measured": text, "reached": reached})
    return rows


def figure_text(figure, digits):
    text = f"{figure['median']:,.{digits}f}"
    if figure["rounds"] > 1:
        text += f" ({figure['min']:,.{digits}f}-{figure['max']:,.{digits}f})"
    return text


def show_test(title, labels, rows, out):
    """labels: field -> Measure"""
    names = []
    for row in rows:
        names += [name for name in row["subjects"] if name not in names]
    names.sort(key=lambda name: (name != BASE, name == CEILING))
    others = [name for name in names if name not in (BASE, CEILING)] if BASE in names else []
    lines = [["", *names, *(f"/{name}" for name in others)]]
    cases = {}
    for row in rows:
        cases.setdefault(case_of(row), []).append(row)
    for case, members in cases.items():
        lines += [[case_text(case)]] if case else []
        lines += [line_of(row, labels[row["measure"]], names, others) for row in members]
    print(f"\n{title}", file=out)
    show_columns(lines, out)


def line_of(row, measure, names, others):
    cells = [figure_text(row["subjects"][name], measure.digits) if name in row["subjects"] else "-" for name in names]
    ratios = [row["ratios"].get(name) for name in others]
    return [measure.label, *cells, *("-" if value is None else f"{value:.2f}" for value in ratios)]


def show_columns(lines, out):
    """A line of one cell is a heading."""
    full = [line for line in lines if len(line) > 1]
    widths = [max(len(line[column]) for line in full) for column in range(len(full[0]))]
    for line in lines:
        if len(line) == 1:
            print(f" {line[0]}", file=out)
        else:
            figures_text = "".join(f"{cell:>{width + 2}}" for cell, width in zip(line[1:], widths[1:]))
            print(f"  {line[0]:{max(widths[0], LABEL_WIDTH)}}{figures_text}", file=out)


def show_goals(goals, out):
    words = {True: "yes", False: "NO", None: "-"}
    rows = [("goal", "measured", "reached"), *((row["goal"], row["measured"], words[row["reached"]]) for row in goals)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    print(file=out)
    for goal, measured, reached in rows:
        print(f"{goal:{widths[0]}} | {measured:{widths[1]}} | {reached}", file=out)


def show(result, modules, out):
    about = result["machine"]
    print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, {about['filesystem']}; "
          f"{result['size_bytes']} byte messages, {max(result['rounds'].values())} rounds, {result['seconds']:.0f} s. "
          f"Median (min-max); /x is outboxd by x within a round.", file=out)
    if about["filesystem"] == "tmpfs":
        print("The spool is in memory: syncs cost nothing here, and the figures say little.", file=out)
    for module in modules.values():
        for test, title in module.TITLES.items():
            rows = [row for row in result["summary"] if row["test"] == test]
            labels = {measure.field: measure for measure in module.MEASURES if measure.test == test}
            if rows:
                show_test(title, labels, rows, out)
    if result["goals"]:
        show_goals(result["goals"], out)
    print(file=out)
    for note in result["notes"]:
        print(note, file=out)
    for name, reason in result["absent"].items():
        print(f"{name}: absent: {reason}", file=out)
    for problem in problems(result["records"]):
        print(f"PROBLEM: {problem}", file=out)
