"""kill -9 under load: every acknowledged message is delivered, everything delivered was submitted, and a duplicate
exists only where a kill explains it. $OUTBOX_KILLS tells how often (5)."""
import os
import random
import sys
import unittest

from harness import BACKING_OFF, OutboxTest, wait_until
from ledger import Ledger, Submitter

KILLS = int(os.environ.get("OUTBOX_KILLS", "5"))
SUBMITTERS = 4
CONNECTIONS = 4
BETWEEN_KILLS = (10, 60)   # acknowledged messages, at random


class KillUnderLoad(OutboxTest):
    def test_exactly_once(self):
        seed = int(os.environ.get("OUTBOX_SEED", "0")) or random.randrange(1, 1 << 32)
        chance = random.Random(seed)
        smarthost = self.start_smarthost()
        outbox = self.start_outbox({"relay": self.settings_for(smarthost, connections_max=CONNECTIONS)})
        outbox.expected_warnings += [BACKING_OFF, "in-doubt", "crash"]
        ledger = Ledger()
        submitters = [Submitter(outbox, ledger) for _ in range(SUBMITTERS)]
        for submitter in submitters:
            submitter.start()
        try:
            for _ in range(KILLS):
                goal = len(ledger.acknowledged()) + chance.randint(*BETWEEN_KILLS)
                wait_until(lambda: len(ledger.acknowledged()) >= goal, f"{goal} acknowledged (seed {seed})")
                outbox.kill()
                ledger.note_kill()
                outbox.start()
        finally:
            ledger.is_over.set()
            for submitter in submitters:
                submitter.join()
        # No more than what was being delivered at a kill may be in doubt.
        self.assertLessEqual(len(outbox.json("list", "state=in-doubt", "--limit", "10000")), KILLS * CONNECTIONS)
        self.drain(outbox)
        complaints, explained = ledger.check(smarthost.messages, self.log_says_in_doubt(outbox))
        count = len(ledger.acknowledged())
        print(f"{KILLS} kills, {count} acknowledged, {len(smarthost.messages)} delivered, {explained} explained "
              f"duplicates, seed {seed}", file=sys.stderr)
        self.assertEqual(complaints, [], f"seed {seed}")
        self.assertGreaterEqual(count, KILLS * BETWEEN_KILLS[0])

    def drain(self, outbox):
        """What is in doubt, or was held after three crashes, waits for a decision; this is the one."""
        outbox.outbox("retry", "state=in-doubt", "--yes")
        outbox.outbox("release", "state=held", "--yes")
        outbox.wait_empty()

    def log_says_in_doubt(self, outbox):
        def answer(queue_id, recipient):
            return any(event["kind"] == "in-doubt" and event["recipient"] in (None, recipient)
                       for event in outbox.json("log", queue_id))
        return answer


if __name__ == "__main__":
    unittest.main()
