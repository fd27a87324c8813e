"""The messages that Python tests its own mail parser with pass through byte for byte, but for line ends and what the
header pass is documented to do. They are real mail, broken in every way that mail gets broken."""
import re
import unittest

from harness import OutboxTest, peer, queued_id

ADDED = {b"date", b"message-id", b"from"}     # when absent
REMOVED = {b"bcc", b"resent-bcc"}
SMTP_REFUSES = ("5.6.0", "5.6.11")            # NUL, bare CR, a line that is too long


def wire_form(data):
    """With CRLF, as a client of SMTP must send it."""
    return re.sub(rb"\r\n|\r|\n", b"\r\n", data.rstrip(b"\r\n")) + b"\r\n"


def fields_of(data):
    """The header of a message as a list of whole fields, and what stands behind them."""
    fields, at = [], 0
    for match in re.finditer(rb"([\x21-\x39\x3b-\x7e]+)[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", data):
        if match.start() != at:
            break
        fields.append((match[1].lower(), match[0]))
        at = match.end()
    return fields, data[at:]


class EmailData(OutboxTest):
    def test_byte_for_byte(self):
        folder = peer("libpython3.11-testsuite") / "usr/lib/python3.11/test/test_email/data"
        paths = sorted(folder.glob("msg_*.txt"))
        self.assertGreater(len(paths), 40)
        smarthost = self.start_smarthost()
        outbox = self.start_outbox(smarthost)
        refused = []
        for path in paths:
            with self.subTest(path.name):
                data = wire_form(path.read_bytes())
                with outbox.smtp() as client:
                    client.ehlo()
                    client.mail("app@example.com", ["BODY=8BITMIME"])
                    client.rcpt(f"{path.stem}@dest.example")
                    code, text = client.data(data)
                if code != 250:
                    refused.append(path.name)
                    self.assertTrue(text.decode().startswith(SMTP_REFUSES), (code, text))
                    continue
                outbox.wait_message(queued_id((code, text)), "delivered")
                (message,) = smarthost.delivered(f"{path.stem}@dest.example")
                self.compare(data, message.data)
        self.assertLessEqual(len(refused), 2, refused)

    def compare(self, sent, received):
        wanted, wanted_rest = fields_of(sent)
        fields, rest = fields_of(received)
        self.assertEqual(fields[0][0], b"received")
        had = {name for name, _ in wanted}
        kept = [field for name, field in fields[1:] if name in had or name not in ADDED]
        self.assertEqual(kept, [field for name, field in wanted if name not in REMOVED])
        if wanted_rest and not wanted_rest.startswith(b"\r\n"):
            wanted_rest = b"\r\n" + wanted_rest    # a header that no empty line ends gets one
        self.assertEqual(rest, wanted_rest)


if __name__ == "__main__":
    unittest.main()
