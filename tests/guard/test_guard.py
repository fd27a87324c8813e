"""The guard's own logic: what is read from the tools, and what is complained about. Runs neither."""

import pathlib
import struct
import tempfile
import unittest

import callgrind
import guard
import syscalls
import workload
from guard import Cost

PROFILE = """version: 1
positions: line
events: Ir
summary: 999

ob=(1) /build/bin/outboxd.now
fl=(1) daemon/x.c
fn=(1) outer
10 100
+1 20
cob=(2) /lib/libc.so.6
cfi=(2) libc.c
cfn=(2) malloc
calls=3 55
* 5000
fi=(3) common/inline.h
12 3
fe=(1)
* 7
cfn=(3) inner
calls=1 +4
-2 40

fn=(3)
14 40

ob=(2)
fl=(2)
fn=(2)
55 5000
totals: 999
""".splitlines()


class Callgrind(unittest.TestCase):
    def test_costs_are_each_functions_own(self):
        self.assertEqual(callgrind.read(PROFILE, pathlib.Path("/build/bin/outboxd.now")), {
            ("outboxd", "outer"): 130, ("outboxd", "inner"): 40, ("libc.so.6", "malloc"): 5000})

    def test_what_two_runs_share_cancels_out(self):
        start = {("outboxd", "start"): 1000, ("outboxd", "work"): 20, ("libc.so.6", "malloc"): 7}
        many = {("outboxd", "start"): 1000, ("outboxd", "work"): 220, ("libc.so.6", "malloc"): 107}
        profile = callgrind.per_message(start, many, 100)
        self.assertEqual((callgrind.own(profile), callgrind.libraries(profile)), (2, 1))


class Syscalls(unittest.TestCase):
    TRACE = """7 0.5 pwrite64(5</s/state/spool.db-wal>, ""..., 24, 32) = 24
7 1.1 pwrite64(5</s/state/spool.db-wal>, ""..., 24, 32) = 24
7 1.2 pwrite64(5</s/state/spool.db-wal>, ""..., 4096, 56 <unfinished ...>
8 1.3 write(2</s/log>, ""..., 100) = 100
7 1.3 <... pwrite64 resumed>) = 4096
7 1.4 fdatasync(5</s/state/spool.db-wal> <unfinished ...>
7 1.5 <... fdatasync resumed>) = 0
7 2.1 pwrite64(5</s/state/spool.db-wal>, ""..., 24, 4152) = 24
7 2.2 pwrite64(5</s/state/spool.db-wal>, ""..., 4096, 4176) = 4096
7 2.3 pwrite64(6</s/state/inflight>, ""..., 512, 0) = 512
7 2.4 fdatasync(5</s/state/spool.db-wal>) = 0
""".splitlines()

    def counted(self, *more):
        calls = list(syscalls.read([*self.TRACE, *more], pathlib.Path("/s/state")))
        return syscalls.count(calls, [1.0, 2.0, 3.0], 2)

    def test_counts(self):
        counts = self.counted()
        self.assertEqual(counts.writes, {"spool.db-wal": 2, "inflight": 0})
        self.assertEqual((counts.messages, counts.syncs, counts.stray_syncs), (2, 2, []))
        self.assertEqual(list(guard.sync_complaints("accept", counts)), [])

    def test_a_missing_sync_is_found(self):
        self.TRACE = self.TRACE[:-1]
        self.assertRegex(" ".join(guard.sync_complaints("accept", self.counted())), "1 syncs for 2 commits")

    def test_a_sync_too_many_is_found(self):
        counts = self.counted("7 2.5 fsync(5</s/state/spool.db-wal>) = 0")
        self.assertRegex(" ".join(guard.sync_complaints("accept", counts)), "3 syncs for 2 commits")

    def test_a_sync_elsewhere_is_found(self):
        counts = self.counted("7 2.5 fdatasync(9</var/spool/other>) = 0", "7 2.6 sync() = 0")
        self.assertRegex(" ".join(guard.sync_complaints("both", counts)), "syncs of other files: , other")

    def test_messages_that_share_a_commit_are_found(self):
        counts = self.counted()._replace(messages=3)
        self.assertRegex(" ".join(guard.sync_complaints("accept", counts)), "2 commits for 3 messages")

    def test_settled(self):
        def is_settled(trace):
            return syscalls.is_settled(list(syscalls.read(trace, pathlib.Path("/s/state"))))
        self.assertTrue(is_settled(self.TRACE))
        self.assertFalse(is_settled(self.TRACE[:-1]))
        self.assertFalse(is_settled([]))


class Wal(unittest.TestCase):
    @staticmethod
    def log(salt, *committed_pages):
        return struct.pack(">8I", 0x377F0682, 3007000, 512, 0, salt, 1, 0, 0) + b"".join(
            struct.pack(">6I", 1, pages, salt, 1, 0, 0) + bytes(512) for pages in committed_pages)

    def test_commits(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "wal"
            wal = workload.Wal(path)
            self.assertEqual(wal.commits(), 0)
            path.write_bytes(self.log(1, 0, 9, 0))
            self.assertEqual(wal.commits(), 1)
            path.write_bytes(self.log(1, 0, 9, 0, 9)[:-100])
            self.assertEqual(wal.commits(), 2)
            path.write_bytes(self.log(2, 9) + self.log(1, 9)[32:])   # begun anew; what was there lies behind
            self.assertEqual(wal.commits(), 3)


class Compare(unittest.TestCase):
    BEFORE = {"accept": Cost(1000, 500, 24, 1.0), "deliver": Cost(2000, 500, 25, 1.0)}

    def complaints(self, lines=(), **changed):
        now = {**self.BEFORE, "deliver": self.BEFORE["deliver"]._replace(**changed)}
        return list(guard.compare(now, self.BEFORE, guard.announced(lines)))

    def test_limits(self):
        rows = (
            ("nothing", {}, False),
            ("less", {"instructions": 10, "writes": 1, "commits": 0}, False),
            ("up to the limit", {"instructions": 2100}, False),
            ("above the limit", {"instructions": 2101}, True),
            ("libraries are for information", {"libraries": 5000}, False),
            ("one write more", {"writes": 26}, True),
            ("a commit more, now and then", {"commits": 1.02}, True),
        )
        for name, changed, is_wrong in rows:
            with self.subTest(name):
                self.assertEqual(len(self.complaints(**changed)), int(is_wrong))

    def test_what_is_announced_is_allowed(self):
        lines = ["A subject", "", "Guard: deliver instructions +8%, because it does more",
                 "Guard: deliver writes +4%, because there is an index"]
        self.assertEqual(self.complaints(lines, instructions=2160, writes=26), [])
        self.assertEqual(len(self.complaints(lines, instructions=2161)), 1)
        self.assertEqual(len(self.complaints(["Guard: accept instructions +9%, because so"],
                                             instructions=2160)), 1)

    def test_announcements_that_cannot_be_read(self):
        for line in ("Guard: deliver instructions +8%", "Guard: deliver +8%, because so",
                     "Guard: deliver syncs +100%, because so", "Guard: all instructions +8%, because so",
                     "Guard: deliver instructions +8%, because "):
            with self.subTest(line), self.assertRaises(guard.Misspelt):
                guard.announced([line])


if __name__ == "__main__":
    unittest.main()
