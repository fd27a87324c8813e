"""The shapes that all measures share: what is measured, for which work, and what must be reached."""

import collections

BASE = "outboxd"
CEILING = "sink"    # of the tools, no rival: no ratios
PEERS = ("postfix", "postfix-deferring", "postfix-tuned", "exim")   # all of them sync before they answer

# test, measure, label, how to print it. A ratio is outboxd's figure by the other's, of the same round.
Measure = collections.namedtuple("Measure", "test field label digits")

# measured(summary) returns what to show and whether that is reached; (text, None) when this run can't tell.
Goal = collections.namedtuple("Goal", "text measured")

# clients, messages per connection (0: one connection for all)
Cell = collections.namedtuple("Cell", "clients per_session")

CASE_FIELDS = ("case", "clients", "per_session", "delivering")
NOT_MEASURED = ("not measured", None)


def case_of(record):
    """What makes figures comparable: the same work."""
    return tuple((key, record[key]) for key in CASE_FIELDS if key in record)


def case_text(case):
    fields = dict(case)
    words = []
    if "case" in fields:
        words.append(fields["case"])
    if "clients" in fields:
        words.append(f"{fields['clients']} client{'s' if fields['clients'] > 1 else ''}")
    if "per_session" in fields:
        words.append("one per connection" if fields["per_session"] == 1 else f"{fields['per_session']} per connection")
    if "delivering" in fields:
        words.append("delivering" if fields["delivering"] else "paused")
    return ", ".join(words)


def find_row(summary, test, field, **case):
    """The row of a summary, None when that was not measured."""
    for row in summary:
        if row["test"] == test and row["measure"] == field and all(row.get(key) == case[key] for key in case):
            return row
    return None


def median(summary, test, field, subject=BASE, **case):
    """A subject's median, None when that was not measured."""
    row = find_row(summary, test, field, **case)
    return row["subjects"][subject]["median"] if row and subject in row["subjects"] else None


def most(text, limit, unit, digits, *place, **case):
    """The goal that a median is at most the limit; place is test, field and, if not outboxd, subject."""
    def measured(summary):
        value = median(summary, *place, **case)
        return NOT_MEASURED if value is None else (f"{value:,.{digits}f} {unit}", value <= limit)
    return Goal(text, measured)


def least_ratio(text, limit, test, field, rivals, **case):
    """The goal that outboxd is at least so many times the best of the rivals: the ratio that is least."""
    return ratio_goal(text, test, field, rivals, case, min, lambda ratio: ratio >= limit)


def most_ratio(text, limit, test, field, rivals, **case):
    """The goal that outboxd takes at most so many times what each of the rivals takes."""
    return ratio_goal(text, test, field, rivals, case, max, lambda ratio: ratio <= limit)


def ratio_goal(text, test, field, rivals, case, worst, is_reached):
    def measured(summary):
        row = find_row(summary, test, field, **case)
        ratios = {name: row["ratios"][name] for name in rivals if row["ratios"].get(name)} if row else {}
        if not ratios:
            return NOT_MEASURED
        name = worst(ratios, key=ratios.get)
        return f"{ratios[name]:.2f} x {name}", is_reached(ratios[name])
    return Goal(text, measured)


def between_cases(text, limit, test, field, case, reference):
    """The goal that outboxd's median in a case is at least so many times its median in another."""
    def measured(summary):
        value, usual = (median(summary, test, field, case=name) for name in (case, reference))
        if value is None or not usual:
            return NOT_MEASURED
        return f"{value / usual:.2f} x {reference}", value >= limit * usual
    return Goal(text, measured)
