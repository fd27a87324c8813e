"""How a test smarthost misbehaves: rules, the first that fits a stage and an argument decides."""
import dataclasses
import fnmatch
import json
import os
import sys
import threading

STAGES = ("connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "end-of-data", "rset", "quit")


@dataclasses.dataclass
class Rule:
    """What to do at a stage instead of the usual."""
    stage: str
    match: str = "*"          # a glob for the address (mail, rcpt) or the argument of the command
    reply: str | None = None  # complete reply lines joined by \n; None: the usual one. 421 also closes
    times: int | None = None  # how often it applies; None: always
    delay: float = 0          # seconds before the reply
    trickle: float = 0        # seconds between any two bytes of the reply
    close: bool = False       # close behind the reply
    drop: bool = False        # close instead of replying
    store: bool = False       # at end-of-data: the message counts as accepted, whatever the client hears

    def __post_init__(self):
        if self.stage not in STAGES:
            raise ValueError(f"no such stage: {self.stage}")


class Behaviour:
    """The rules now in force, from calls or from a file that is looked at before each decision."""

    def __init__(self, path=None):
        self._path = path
        self._seen = None
        self._rules = []
        self._lock = threading.Lock()

    def set(self, *rules):
        with self._lock:
            self._rules = list(rules)

    def add(self, rule):
        with self._lock:
            self._rules.append(rule)

    def decide(self, stage, argument):
        with self._lock:
            self._read_file()
            for rule in self._rules:
                if rule.stage == stage and rule.times != 0 and fnmatch.fnmatchcase(argument.lower(),
                                                                                     rule.match.lower()):
                    if rule.times is not None:
                        rule.times -= 1
                    return rule
        return Rule(stage)

    def _read_file(self):
        if self._path is None:
            return
        try:
            status = os.stat(self._path)
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
            if seen != self._seen:
                self._rules = [Rule(**row) for row in json.loads(self._path.read_text())]
                self._seen = seen
        except FileNotFoundError:
            if self._seen is not None:
                self._rules, self._seen = [], None
        except (ValueError, TypeError) as error:   # half written, perhaps: the next decision reads it again
            print(f"{self._path}: {error}", file=sys.stderr, flush=True)
