"""The ledger must notice every way in which mail goes wrong, else the kill test proves nothing."""
import dataclasses
import types
import unittest

from harness import mail
from ledger import DOMAIN, Ledger, body_of, recipients_of


@dataclasses.dataclass
class Delivered:
    recipients: list
    data: bytes
    connected_at: float = 1.0


class LedgerTest(unittest.TestCase):
    def setUp(self):
        self.ledger = Ledger()
        for number, status in enumerate(("ID0", "ID1", "unknown", "refused", "begun")):
            self.assertEqual(self.ledger.begin(), number)
            self.ledger.mark(number, status)
        self.good = [self.delivered(0), self.delivered(1)]

    def delivered(self, number, **changes):
        data = mail(body=body_of(number, self.ledger.sizes), X_Number=str(number))
        return dataclasses.replace(Delivered(recipients_of(number), data), **changes)

    def complaints(self, messages, in_doubt=True):
        found, explained = self.ledger.check(messages, lambda queue_id, recipient: in_doubt)
        return types.SimpleNamespace(words={line.split()[0] for line in found}, explained=explained)

    def test_good(self):
        self.assertEqual(self.complaints(self.good).words, set())
        self.assertEqual(self.complaints([*self.good, self.delivered(2)]).words, set())

    def test_what_must_be_noticed(self):
        swapped = self.delivered(1, recipients=recipients_of(0))
        changed = self.delivered(1, data=self.good[1].data.replace(b"end 1", b"End 1"))
        for word, messages in (
                ("LOST", self.good[:1]), ("LOST", [self.good[0], self.delivered(1, recipients=[f"u1.0@{DOMAIN}"])]),
                ("INVENTED", [*self.good, self.delivered(3)]), ("INVENTED", [*self.good, self.delivered(4)]),
                ("INVENTED", [*self.good, self.delivered(9)]), ("MISDELIVERED", [*self.good, swapped]),
                ("DAMAGED", [self.good[0], changed]), ("DUPLICATE", [*self.good, self.delivered(0)])):
            with self.subTest(word, count=len(messages)):
                self.assertIn(word, self.complaints(messages).words)

    def test_only_a_kill_explains_a_duplicate(self):
        twice = [*self.good, self.delivered(0, connected_at=3.0)]
        self.assertEqual(self.complaints(twice).words, {"DUPLICATE"})
        self.ledger.kills.append(2.0)
        self.assertEqual(self.complaints(twice, in_doubt=False).words, {"DUPLICATE"})
        self.assertEqual(self.complaints(twice).words, set())
        self.assertEqual(self.complaints(twice).explained, 1)


if __name__ == "__main__":
    unittest.main()
