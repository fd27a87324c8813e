"""Runs outboxd under callgrind and reads what it wrote: instructions by object and function, without what they call."""

import collections
import pathlib
import re
import shutil

import workload

OWN = "outboxd"
FEW, MANY = 20, 120   # messages of two runs: their difference is free of start and stop
COST = re.compile(r"(?:[-+]?\d+|\*|0x[0-9a-f]+)\s+(\d+)$")   # "LINE COST", one event
NAME = re.compile(r"(c?(?:ob|fn))=(?:(\(\d+\)))?\s*(.*)$")


class Names:
    """callgrind tells a name once, "(7) name", and by its number from then on."""

    def __init__(self):
        self.known = {}

    def resolve(self, number, text):
        if number is None:
            return text
        if text:
            self.known[number] = text
        return self.known[number]


def read(lines, program):
    """Counter of (object, function) -> instructions, each function's own. The program is called OWN."""
    objects, functions = Names(), Names()
    costs = collections.Counter()
    place = [None, None]
    is_call = False
    for line in lines:
        name = NAME.match(line)
        if name:
            kind, number, text = name.groups()
            names = objects if kind.endswith("ob") else functions
            resolved = names.resolve(number, text)
            if kind == "ob":
                place[0] = OWN if resolved == str(program) else pathlib.Path(resolved).name
            elif kind == "fn":
                place[1] = resolved
        elif line.startswith("calls="):
            is_call = True
        else:
            cost = COST.match(line)
            if cost and not is_call:
                costs[tuple(place)] += int(cost[1])
            is_call = is_call and not cost
    return costs


def profile_of(program, folder, messages, is_delivering):
    out = folder / f"callgrind.{messages}"
    folder.mkdir(parents=True, exist_ok=True)
    tool = [shutil.which("valgrind"), "-q", "--tool=callgrind", "--read-inline-info=no", f"--callgrind-out-file={out}"]
    workload.run(tool, program, folder / f"run.{messages}", messages, is_delivering)
    with open(out, encoding="utf-8", errors="replace") as lines:
        profile = read((line.rstrip("\n") for line in lines), program.resolve())
    if own(profile) == 0:
        raise workload.Broken(f"callgrind saw nothing of {program}")
    return profile


def per_message(few, many, messages):
    """What a message costs, from two runs whose difference is so many messages."""
    return {place: (many[place] - few[place]) / messages for place in {*few, *many}}


def measure(program, folder, is_delivering):
    few = profile_of(program, folder, FEW, is_delivering)
    many = profile_of(program, folder, MANY, is_delivering)
    return per_message(few, many, MANY - FEW)


def by_object(profile):
    objects = collections.Counter()
    for (place, _), cost in profile.items():
        objects[place] += cost
    return objects


def own(profile):
    return by_object(profile)[OWN]


def libraries(profile):
    return sum(profile.values()) - own(profile)


def table(profile, functions=15):
    """Lines of the profile: what is spent where, and our most expensive functions."""
    ours = collections.Counter({name: cost for (place, name), cost in profile.items() if place == OWN})
    return [*(f"{cost:11,.0f}  {place}" for place, cost in by_object(profile).most_common() if cost >= 1),
            *(f"{cost:11,.0f}    {name}" for name, cost in ours.most_common(functions))]
