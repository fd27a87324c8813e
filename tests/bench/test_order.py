"""Shows that order.py accepts a trace as outboxd leaves it, and catches every way in which a reply may be early.

The traces are made here, line by line, as strace prints them; one thread reads and replies, the other stores.
"""

import unittest

import order

PAGE_BYTES = 512
FRAME_BYTES = order.FRAME_HEADER_BYTES + PAGE_BYTES
LOG = "<db-wal>"
READER, STORER = 11, 12


def quoted(data):
    return '"' + "".join(f"\\{byte:03o}" for byte in data) + '"'


def write(offset, data, path=LOG):
    return f"{STORER} pwrite64(7{path}, {quoted(data)}, {len(data)}, {offset}) = {len(data)}"


def header():
    return write(0, bytes(8) + PAGE_BYTES.to_bytes(4, "big") + bytes(20))


def frame(number, text, commits):
    """The two writes of SQLite: what is before a page, and the page."""
    offset = order.WAL_HEADER_BYTES + number * FRAME_BYTES
    before = bytes(4) + (9 if commits else 0).to_bytes(4, "big") + bytes(16)
    return [write(offset, before), write(offset + len(before), text.encode().ljust(PAGE_BYTES, b"\0"))]


def message(sequence):
    return f"X-Bench-Seq: {sequence}\r\nFrom: <a@b.example>\r\n\r\n.\r\n"


def submit(sequence, client=1):
    data = message(sequence).encode()
    return f"{READER} read(5<socket:[{client}]>, {quoted(data)}, 65536) = {len(data)}"


def reply(client=1):
    return f'{READER} sendto(5<socket:[{client}]>, "250 2.0.0 queued as 1M85\\r\\n", 25, 0, NULL, 0) = 25'


SYNC = f"{STORER} fdatasync(7{LOG}) = 0"
STORED = [header(), *frame(0, message(0), False), *frame(1, "", True)]
GOOD = [submit(0), *STORED, SYNC, reply()]

ROOM = write(order.WAL_HEADER_BYTES, bytes(20 * FRAME_BYTES))

EARLY = {
    "reply before the sync": [submit(0), *STORED, reply(), SYNC],
    "no sync at all": [submit(0), *STORED, reply()],
    "reply while the sync runs": [
        submit(0), *STORED, f"{STORER} fdatasync(7{LOG} <unfinished ...>", reply(),
        f"{STORER} <... fdatasync resumed>) = 0"],
    "reply that begins while the sync runs": [
        submit(0), *STORED, f"{STORER} fdatasync(7{LOG} <unfinished ...>",
        reply().replace(") = 25", " <unfinished ...>"), f"{STORER} <... fdatasync resumed>) = 0",
        f"{READER} <... sendto resumed>) = 25"],
    "sync that failed": [submit(0), *STORED, SYNC.replace("= 0", "= -1 EIO (Input/output error)"), reply()],
    "sync of another file": [submit(0), *STORED, SYNC.replace(LOG, "<db>"), reply()],
    "sync before the page": [submit(0), *STORED[:2], SYNC, *STORED[2:], reply()],
    "sync before the commit": [submit(0), *STORED[:3], SYNC, *STORED[3:], reply()],
    "no commit": [submit(0), *STORED[:3], SYNC, reply()],
    "sync begun before the write ended": [
        submit(0), *STORED[:-1], STORED[-1].replace(") = 512", " <unfinished ...>"),
        f"{STORER + 1} fdatasync(7{LOG} <unfinished ...>", f"{STORER} <... pwrite64 resumed>) = 512",
        f"{STORER + 1} <... fdatasync resumed>) = 0", reply()],
    "page missing where there is room": [submit(0), header(), ROOM, *STORED[1:-1], SYNC, reply()],
    "another message's sync": [submit(0), submit(1, 2), *STORED, SYNC, reply(), reply(2)],
    "write to another file": [submit(0), *(line.replace(LOG, "<db>") for line in STORED), SYNC, reply()],
    "reply to nobody": [*STORED, SYNC, reply()],
}

IN_TIME = {
    "one message": (GOOD, 1),
    "two in one transaction": (
        [submit(0), submit(1, 2), header(), *frame(0, message(0) + message(1), False), *frame(1, "", True), SYNC,
         reply(2), reply()], 2),
    "next group written during the sync": (
        [submit(0), *STORED, f"{STORER} fdatasync(7{LOG} <unfinished ...>", submit(1, 2),
         f"{STORER} <... fdatasync resumed>) = 0", *frame(2, message(1), True), reply(), SYNC, reply(2)], 2),
    "log begun anew": ([*GOOD, submit(1), *frame(0, message(1), True), SYNC, reply()], 2),
    "into room made before": ([submit(0), header(), ROOM, *STORED[1:], SYNC, reply()], 1),
    "message in two reads": (
        [f'{READER} read(5<socket:[1]>, "X-Bench-Se", 10) = 10',
         f'{READER} read(5<socket:[1]>, "q: 0\\r\\n.\\r\\n", 9) = 9', *STORED, SYNC, reply()], 1),
    "reply that is not taken at first": (
        [submit(0), *STORED, SYNC, reply().replace("= 25", "= -1 EAGAIN (Try again)"), reply()], 1),
}


class TestOrder(unittest.TestCase):
    def test_in_time(self):
        for name, (lines, count) in IN_TIME.items():
            with self.subTest(name):
                report = order.check(lines, count)
                self.assertEqual((report.replies, report.violations), (count, []))

    def test_early(self):
        for name, lines in EARLY.items():
            with self.subTest(name):
                count = sum("250 2.0.0" in line for line in lines)
                violations = order.check(lines, count).violations
                self.assertEqual(len(violations), 1, violations)
                self.assertIn("before a sync", violations[0])

    def test_incomplete(self):
        for name, lines in {"no replies": GOOD[:-1], "nothing": []}.items():
            with self.subTest(name):
                self.assertEqual(order.check(lines, 1).violations, ["0 replies in the trace instead of 1"])


if __name__ == "__main__":
    unittest.main()
