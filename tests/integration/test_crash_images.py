"""Power loss: from a record of every write and sync of outboxd, the disks that a cut at any moment could have left are
rebuilt, and none may lack an acknowledged message. Two controls must lose some: replies that came before the commit,
and a disk that does not sync. $OUTBOX_CRASH_TRIALS and $OUTBOX_CRASH_SHARE make it thorough."""
import os
import pathlib
import random
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "crash"))
import replay  # noqa: E402
from harness import BACKING_OFF, OutboxTest, wait_until  # noqa: E402
from ledger import Ledger, SIZES_MOSTLY_SMALL, Submitter  # noqa: E402

MESSAGES = 100
SUBMITTERS = 4
LOG_BYTES = 8 << 20    # at least, once the spool has been idle
LOG_MAGIC = b"\x37\x7f\x06"
RESTARTED_IMAGES = 5
TRIALS = int(os.environ.get("OUTBOX_CRASH_TRIALS", "1"))
SHARE = float(os.environ.get("OUTBOX_CRASH_SHARE", "0.05"))


class CrashImages(OutboxTest):
    def setUp(self):
        super().setUp()
        self.recorder = os.environ.get("OUTBOX_CRASHREC")
        if not self.recorder or not os.path.exists(self.recorder):
            self.skipTest("OUTBOX_CRASHREC does not name the recorder")
        self.smarthost = self.start_smarthost()
        # Thousands of images are written and thrown away: in memory, where there is some.
        memory = tempfile.TemporaryDirectory(prefix="ob-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.addCleanup(memory.cleanup)
        self.scratch = pathlib.Path(memory.name) / "image"

    def record(self, rests=0, **more):
        """The events of an outboxd that accepts and delivers MESSAGES messages, with as many rests between, and is then
        stopped."""
        log = self.folder / "crashrec.log"
        outbox = self.make_outbox(self.smarthost, environment={
            "LD_PRELOAD": self.recorder, "CRASHREC_DIR": str(self.folder / f"o{len(self.outboxes)}/state"),
            "CRASHREC_LOG": str(log),
            # The recorder stands before a sanitizer's library, which is harmless and would be refused.
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0", **more})
        outbox.start()
        outbox.environment = {name: value for name, value in outbox.environment.items()
                              if not name.startswith(("LD_PRELOAD", "CRASHREC"))}   # not for the clients
        ledger = Ledger(SIZES_MOSTLY_SMALL)
        for part in range(1, rests + 2):
            written = (outbox.state / replay.DATABASE).stat().st_mtime_ns
            self.load(outbox, ledger, MESSAGES * part // (rests + 1))
            outbox.wait_empty()
            if part <= rests:
                self.rest(outbox.state, written)
        outbox.stop()
        self.assertTrue(log.exists(), "the recorder was not loaded")
        events = replay.read_log(log)
        self.assertEqual({queue_id for event in events for queue_id in replay.acknowledged(event)},
                         set(ledger.acknowledged().values()))
        return events

    def load(self, outbox, ledger, count):
        ledger.is_over.clear()
        submitters = [Submitter(outbox, ledger) for _ in range(SUBMITTERS)]
        for submitter in submitters:
            submitter.start()
        try:
            wait_until(lambda: len(ledger.acknowledged()) >= count, f"{count} acknowledged")
        finally:
            ledger.is_over.set()
            for submitter in submitters:
                submitter.join()

    def rest(self, state, written):
        """Until the spool has been idle: the log begins anew, before what it held and zeroes."""
        database, log = state / replay.DATABASE, state / f"{replay.DATABASE}-wal"
        wait_until(lambda: database.stat().st_mtime_ns > written and log.stat().st_size >= LOG_BYTES, "a rest")

    def test_no_image_loses_an_acknowledged_message(self):
        events = self.record(rests=1)
        log = replay.DATABASE + "-wal"
        self.assertTrue(any(kind == "S" and name == log for kind, name, _, _ in events))
        self.assertGreater(sum(kind == "W" and name == log and offset == 0 and data.startswith(LOG_MAGIC)
                               for kind, name, offset, data in events), 1)
        seed = random.randrange(1 << 32)
        kept = []

        def keep(folder, promised):
            """Some images are for outboxd itself to recover."""
            if random.Random(len(promised)).random() < .1 and len(kept) < RESTARTED_IMAGES:
                kept.append((shutil.copytree(folder, self.folder / f"kept{len(kept)}"), promised))

        result = replay.replay(events, self.scratch, TRIALS, seed, SHARE, keep)
        print(f"{result}, seed {seed}", file=sys.stderr)
        self.assertGreaterEqual(len(result.last_promised), MESSAGES)
        self.assertEqual((result.losing, result.damaged), (0, 0), f"seed {seed}")
        self.assertTrue(kept)
        for state, promised in kept:
            self.recover(state, promised)

    def recover(self, state, promised):
        """outboxd starts on an image, knows every promised message, and delivers what is still to be."""
        again = self.make_outbox(self.smarthost, state_directory=str(state))
        again.expected_warnings += ["in-doubt", "crash", "inflight", BACKING_OFF]
        again.start()
        known = {message["id"] for message in again.json("list", "all", "--limit", "10000")}
        self.assertLessEqual(promised, known)
        again.outbox("retry", "state=in-doubt", "--yes")
        again.wait_empty()
        again.stop()

    def test_replies_before_the_commit_are_caught(self):
        events = self.record()
        result = replay.replay(replay.with_early_replies(events), self.scratch, trials=0, share=0)
        print(f"planted bug, early replies: {result}", file=sys.stderr)
        self.assertGreater(result.losing, 0)

    def test_a_disk_that_does_not_sync_is_caught(self):
        events = self.record(CRASHREC_LIE="1")
        result = replay.replay(events, self.scratch, trials=0, share=0)
        print(f"planted bug, no sync: {result}", file=sys.stderr)
        self.assertGreater(result.losing, 0)


if __name__ == "__main__":
    unittest.main()
