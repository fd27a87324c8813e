"""The test smarthost itself: it must notice what a client does wrong, else the other tests prove little."""
import json
import pathlib
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest

from harness import DEADLINE_S, PASSWORD, Rule, Smarthost, TESTS, wait_until

EHLO = b"EHLO client.example\r\n"
ENVELOPE = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@dest.example>\r\n"


class SmarthostTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ob-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, **options):
        smarthost = Smarthost(self.folder, **options)
        smarthost.start()
        self.addCleanup(smarthost.stop)
        return smarthost

    def talk(self, smarthost, *steps):
        """Writes each step and reads a reply after it; the last answer."""
        with socket.create_connection(("127.0.0.1", smarthost.ports["plain"]), DEADLINE_S) as connection:
            file = connection.makefile("rb")
            last = self.read_reply(file)
            for step in steps:
                connection.sendall(step)
                last = self.read_reply(file)
            return last

    def read_reply(self, file):
        while True:
            line = file.readline()
            if line[3:4] != b"-":
                return line.decode()

    def test_violations(self):
        data = ENVELOPE[:27], ENVELOPE[27:], b"DATA\r\n"
        for name, steps, options in (
                ("bare LF in a command", [b"EHLO x\n"], {}),
                ("unknown command", [EHLO, b"XCLIENT y\r\n"], {}),
                ("AUTH without TLS", [EHLO, b"AUTH PLAIN AAAA\r\n"], {"users": {"app": "x"}}),
                ("STARTTLS that was not offered", [EHLO, b"STARTTLS\r\n"], {}),
                ("octets behind EHLO", [EHLO + b"NOOP\r\n"], {}),
                ("RCPT first", [EHLO, ENVELOPE[27:]], {}),
                ("pipelining not offered", [EHLO, ENVELOPE], {"extensions": ()}),
                ("SIZE not offered", [EHLO, b"MAIL FROM:<a@example.com> SIZE=1\r\n"], {"extensions": ()}),
                ("path without brackets", [EHLO, b"MAIL FROM: a@example.com\r\n"], {}),
                ("UTF-8 without SMTPUTF8", [EHLO, "MAIL FROM:<ä@example.com>\r\n".encode()], {}),
                ("text behind DATA", [EHLO, *data[:2], b"DATA\r\nx\r\n.\r\n"], {}),
                ("bare LF in the text", [EHLO, *data, b"x\ny\r\n.\r\n"], {}),
                ("bare CR in the text", [EHLO, *data, b"x\ry\r\n.\r\n"], {}),
                ("dot not doubled", [EHLO, *data, b".x\r\n.\r\n"], {}),
                ("long line", [EHLO, *data, b"x" * 999 + b"\r\n.\r\n"], {}),
                ("8-bit not declared", [EHLO, *data, b"\xe4\r\n.\r\n"], {}),
                ("wrong SIZE", [EHLO, b"MAIL FROM:<a@example.com> SIZE=7\r\n", *data[1:], b"x\r\n.\r\n"], {})):
            with self.subTest(name):
                smarthost = self.start(**options)
                self.talk(smarthost, *steps)
                self.assertTrue(smarthost.wait_for(lambda: smarthost.violations, 10))

    def test_a_good_client_violates_nothing(self):
        smarthost = self.start(users={"app": PASSWORD})
        trust = ssl.create_default_context(cafile=smarthost.ca_file)
        with smtplib.SMTP("localhost", smarthost.ports["starttls"]) as client:
            client.starttls(context=trust)
            client.login("app", PASSWORD)
            client.sendmail("a@example.com", ["b@dest.example"], b"Subject: x\r\n\r\n.dot\r\n" + b"x" * 998 + b"\r\n")
        with smtplib.SMTP_SSL("localhost", smarthost.ports["implicit"], context=trust) as client:
            self.assertRaises(smtplib.SMTPAuthenticationError, client.login, "app", "wrong")
        self.assertEqual(smarthost.violations, [])
        journal = [json.loads(line) for line in (self.folder / "journal").read_text().splitlines()]
        self.assertEqual([row["recipients"] for row in journal if row["event"] == "got"], [["b@dest.example"]])
        self.assertEqual((self.folder / "messages/000001.eml").read_bytes(), smarthost.messages[0].data)

    def test_certificates_are_as_bad_as_they_claim(self):
        for kind, reason in (("expired", "expired"), ("wrong-name", "mismatch"), ("self-signed", "self-signed")):
            with self.subTest(kind):
                smarthost = self.start(certificate=kind)
                trust = ssl.create_default_context(cafile=smarthost.ca_file)
                with self.assertRaisesRegex(ssl.SSLCertVerificationError, reason):
                    smtplib.SMTP_SSL("localhost", smarthost.ports["implicit"], context=trust)

    def test_rules(self):
        smarthost = self.start()
        data = EHLO, *(line + b"\r\n" for line in ENVELOPE.split(b"\r\n")[:2]), b"DATA\r\n", b"x\r\n.\r\n"
        smarthost.behave(Rule("end-of-data", reply="451 4.3.0 Later", times=1))
        self.assertEqual(self.talk(smarthost, *data), "451 4.3.0 Later\r\n")
        self.assertTrue(self.talk(smarthost, *data).startswith("250"))
        smarthost.behave(Rule("end-of-data", drop=True, store=True))
        self.assertEqual(self.talk(smarthost, *data), "")
        smarthost.behave(Rule("end-of-data", drop=True))
        self.assertEqual(self.talk(smarthost, *data), "")
        self.assertEqual(len(smarthost.messages), 2)

    def test_as_a_program(self):
        (self.folder / "password").write_text(PASSWORD + "\n")
        process = subprocess.Popen([sys.executable, "-B", TESTS / "fakes/smarthost.py", "--directory", self.folder,
                                    "--user", "app", "--password-file", self.folder / "password"],
                                   stderr=subprocess.PIPE, text=True)
        try:
            ports = self.folder / "ports.json"
            wait_until(ports.exists, "the ports")
            (self.folder / "new").write_text(json.dumps([{"stage": "connect", "reply": "554 5.3.2 No"}]))
            (self.folder / "new").rename(self.folder / "behaviour.json")
            client = smtplib.SMTP()
            self.assertEqual(client.connect("127.0.0.1", json.loads(ports.read_text())["plain"]), (554, b"5.3.2 No"))
            client.close()
        finally:
            process.terminate()
            _, complaints = process.communicate(timeout=DEADLINE_S)
        self.assertEqual((process.returncode, complaints), (0, ""))


if __name__ == "__main__":
    unittest.main()
