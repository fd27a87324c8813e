#!/usr/bin/env python3
"""test_fill.py BINDIR: outboxd takes what bench-fill made; bench-chunks writes what it says."""

import json
import pathlib
import subprocess
import sys
import tempfile

from measure_deep import DeepOutboxd

MESSAGES = 1000
OPEN, HELD, IN_DOUBT, RARE = 980, 30, 10, 1   # of a thousand: the table in fill.c


def main():
    bindir = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subject = DeepOutboxd(bindir, None)
        subject.state = folder / "state"
        subject.state.mkdir(mode=0o700)
        subprocess.run([bindir / "bench-fill", "-n", str(MESSAGES), subject.state], check=True)
        subject.start(folder / "run", None)
        try:
            for terms, expected in (((), OPEN), (("state=held",), HELD), (("state=in-doubt",), IN_DOUBT),
                                    (("smarthost=rare",), RARE), (("older=4d",), 0), (("all",), MESSAGES)):
                text, _ = subject.outbox("list", *terms, "--json")
                assert text.count("\n") == expected, f"{terms}: {text.count(chr(10))}, not {expected}"
        finally:
            subject.stop()
        chunks = folder / "chunks"
        chunks.mkdir(mode=0o700)
        done = subprocess.run([bindir / "bench-chunks", "-n", "2", "-s", "1M", "-g", "3", chunks], check=True,
                              stdout=subprocess.PIPE, text=True)
        result = json.loads(done.stdout)
        assert (result["bytes"], result["commits"]) == (2 * 1024 * 1024, 3), result


if __name__ == "__main__":
    main()
