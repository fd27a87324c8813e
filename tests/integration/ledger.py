"""The exactly-once ledger: what was acknowledged against what was delivered, recipient by recipient.

A message carries its number in its recipients' addresses and in its body, and the body follows from the number, so
that a lost, invented, swapped or damaged message is told from a good one at the far end.
"""
import collections
import hashlib
import random
import re
import smtplib
import threading
import time

from harness import mail, queued_id, split_message

DOMAIN = "ledger.example"
# Octets, about; the last needs two chunks of the spool.
SIZES = (0, 1, 200, 4000, 4000, 10_000, 10_000, 70_000, 300_000)
SIZES_MOSTLY_SMALL = 4 * (0, 1, 200, 1000, 4000, 4000, 4000, 10_000) + (300_000,)


def body_of(number, sizes):
    chance = random.Random(number)
    size = chance.choice(sizes)
    line = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz .", k=70))
    lines = [f"number {number}", *(f"{'.' * (count % 3)}{count} {line}" for count in range(size // 76)), f"end {number}"]
    return "".join(text + "\r\n" for text in lines)


def recipients_of(number):
    return [f"u{number}.{part}@{DOMAIN}" for part in range(1 + number % 3)]


class Submitter(threading.Thread):
    """Submits numbers from a shared counter, over a connection that it opens again whenever it breaks."""

    def __init__(self, outbox, ledger):
        super().__init__(daemon=True)
        self.outbox = outbox
        self.ledger = ledger

    def run(self):
        while not self.ledger.is_over.is_set():
            try:
                with self.outbox.smtp() as client:
                    client.ehlo()
                    self.use(client)
            except (OSError, smtplib.SMTPException):
                self.ledger.is_over.wait(0.01)   # not listening again yet

    def use(self, client):
        for _ in range(20):
            if self.ledger.is_over.is_set():
                return
            self.submit(client, self.ledger.begin())

    def submit(self, client, number):
        recipients = recipients_of(number)
        code, _ = client.mail("ledger@example.com")
        codes = [code, *(client.rcpt(recipient)[0] for recipient in recipients)]
        if any(code != 250 for code in codes):
            raise smtplib.SMTPServerDisconnected(f"refused: {codes}")
        self.ledger.mark(number, "unknown")      # from here on it may be accepted without our hearing of it
        reply = client.data(mail(body=body_of(number, self.ledger.sizes), X_Number=str(number)))
        self.ledger.mark(number, queued_id(reply) if reply[0] == 250 else "refused")


class Ledger:
    """status: number -> begun, unknown, refused, or the queue ID that acknowledged it."""

    def __init__(self, sizes=SIZES):
        self.sizes = sizes
        self.is_over = threading.Event()
        self.status = {}
        self.kills = []
        self._lock = threading.Lock()

    def begin(self):
        with self._lock:
            number = len(self.status)
            self.status[number] = "begun"
            return number

    def mark(self, number, status):
        with self._lock:
            self.status[number] = status

    def acknowledged(self):
        with self._lock:
            return {number: status for number, status in self.status.items()
                    if status not in ("begun", "unknown", "refused")}

    def note_kill(self):
        self.kills.append(time.time())

    def check(self, messages, is_in_doubt):
        """Complaints; messages are the smarthost's, is_in_doubt(queue_id, recipient) tells what the log says.
        Also returns the number of duplicates that a kill explains."""
        complaints = []
        deliveries = collections.defaultdict(list)
        for message in messages:
            complaints += self._check_content(message)
            for recipient in message.recipients:
                deliveries[recipient].append(message.connected_at)
        acknowledged = self.acknowledged()
        for number, queue_id in acknowledged.items():
            complaints += [f"LOST {queue_id} {recipient}" for recipient in recipients_of(number)
                           if recipient not in deliveries]
        explained = 0
        for recipient, times in deliveries.items():
            number = int(re.match(r"u(\d+)\.", recipient)[1])
            if self.status.get(number) in (None, "begun", "refused"):
                complaints.append(f"INVENTED {recipient}: {self.status.get(number)}")
            for earlier, later in zip(times, times[1:]):
                # By when the connections began: what was on its way at the kill is read a little later.
                has_kill = any(earlier <= kill <= later for kill in self.kills)
                queue_id = acknowledged.get(number)
                if has_kill and (queue_id is None or is_in_doubt(queue_id, recipient)):
                    explained += 1
                else:
                    complaints.append(f"DUPLICATE {queue_id} {recipient}: kill between: {has_kill}")
        return complaints, explained

    def _check_content(self, message):
        fields, body = split_message(message.data)
        numbers = [value.decode() for name, value in fields if name == "X-Number"]
        wanted = {f"u{number}." for number in numbers}
        if len(numbers) != 1 or any(not recipient.startswith(tuple(wanted)) for recipient in message.recipients):
            return [f"MISDELIVERED {message.recipients} got {numbers}"]
        if hashlib.sha256(body).digest() != hashlib.sha256(body_of(int(numbers[0]), self.sizes).encode()).digest():
            return [f"DAMAGED {numbers[0]}"]
        return []
