"""Mail from programs that nobody here wrote, and dialogues in every cut."""
import os
import pwd
import resource
import shutil
import signal
import smtplib
import subprocess
import tempfile
import unittest

from harness import DEADLINE_S, OutboxTest, mail, peer, programs, split_message   # first: it knows where fetch is
import fetch

DIALOGUE = ("EHLO client.example\r\nMAIL FROM:<a@example.com> SIZE=100 BODY=8BITMIME\r\nRCPT TO:<x@dest.example>\r\n"
            "RCPT TO:<y@dest.example>\r\nDATA\r\n")
TEXT = "From: a@example.com\r\nSubject: cut\r\n\r\n..dot\r\n..\r\n"


class Submit(OutboxTest):
    def setUp(self):
        super().setUp()
        self.smarthost = self.start_smarthost()
        self.outbox = self.start_outbox(self.smarthost)

    def received(self, count=1):
        self.assertTrue(self.smarthost.wait_for(count))
        return self.smarthost.messages

    def test_lmtp_of_python(self):
        client = smtplib.LMTP(self.outbox.submit_socket, local_hostname="localhost")
        self.assertEqual(client.sendmail("app@example.com", ["one@dest.example"], mail()), {})
        client.quit()
        self.assertEqual(self.received()[0].recipients, ["one@dest.example"])

    def test_lmtp_answers_each_recipient_with_the_same_id(self):
        with self.outbox.raw() as client:
            self.assertTrue(client.say("LHLO client.example").startswith("250"))
            for line in ("MAIL FROM:<a@example.com>", "RCPT TO:<x@dest.example>", "RCPT TO:<y@dest.example>"):
                self.assertTrue(client.say(line).startswith("250"), line)
            self.assertTrue(client.say("DATA").startswith("354"))
            first = client.say(TEXT + ".")
            self.assertRegex(first, r"^250 2\.0\.0 queued as [0-9A-Z]{10,26}$")
            self.assertEqual(client.reply(), first)
            self.assertTrue(client.say("QUIT").startswith("221"))
        self.assertEqual(self.received()[0].recipients, ["x@dest.example", "y@dest.example"])

    def test_smtp_of_python(self):
        with self.outbox.smtp() as client:
            self.assertEqual(client.sendmail("app@example.com", ["a@dest.example", "b@dest.example"], mail()), {})
            self.assertEqual(client.sendmail("app@example.com", ["c@dest.example"], mail()), {})
        self.received(2)

    def test_curl(self):
        if shutil.which("curl") is None:
            self.skipTest("no curl here")
        done = subprocess.run(["curl", "-sS", "--unix-socket", self.outbox.submit_socket, "smtp://localhost",
                               "--mail-from", "app@example.com", "--mail-rcpt", "curl@dest.example", "-T", "-"],
                              input=mail(body="by curl\r\n"), capture_output=True, timeout=DEADLINE_S)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(split_message(self.received()[0].data)[1], b"by curl\r\n")

    def test_swaks(self):
        script = peer("swaks") / "usr/bin/swaks"
        done = subprocess.run(["perl", script, "--socket", self.outbox.submit_socket, "--from", "app@example.com",
                               "--to", "swaks@dest.example", "--ehlo", "client.example", "--body", "by swaks"],
                              capture_output=True, text=True, timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(b"by swaks", self.received()[0].data)

    def test_smtp_source_of_postfix(self):
        root = peer("postfix")
        messages, recipients = 60, 3
        for protocol in ("-d", "-L"):
            with self.subTest(protocol=protocol):
                before = len(self.smarthost.messages)
                done = subprocess.run(
                    [root / "usr/sbin/smtp-source", protocol, "-s", "6", "-m", str(messages), "-r", str(recipients),
                     "-l", "5000", "-f", "source@example.com", "-t", "to@dest.example", "-M", "client.example",
                     f"unix:{self.outbox.submit_socket}"],
                    env={**os.environ, "LD_LIBRARY_PATH": fetch.library_path(root)}, capture_output=True, text=True,
                    timeout=DEADLINE_S)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.received(before + messages)
        self.outbox.wait_empty()
        self.assertEqual({len(message.recipients) for message in self.smarthost.messages}, {recipients})

    def test_everything_in_one_write(self):
        with self.outbox.raw() as client:
            client.write(DIALOGUE + TEXT + ".\r\nQUIT\r\n")
            replies = [client.reply()[:3] for _ in range(7)]
        self.assertEqual(replies, ["250", "250", "250", "250", "354", "250", "221"])
        self.assertEqual(split_message(self.received()[0].data)[1], b".dot\r\n.\r\n")

    def test_one_byte_per_write(self):
        with self.outbox.raw() as client:
            client.write(DIALOGUE + TEXT + ".\r\nQUIT\r\n", bytewise=True)
            replies = [client.reply()[:3] for _ in range(7)]
        self.assertEqual(replies, ["250", "250", "250", "250", "354", "250", "221"])
        self.received()

    def test_a_client_that_goes_away_leaves_nothing(self):
        whole = DIALOGUE + TEXT
        for at in range(0, len(whole) + 1, 7):
            with self.outbox.raw() as client:
                client.write(whole[:at])
        with self.outbox.raw() as client:
            client.write(whole + ".\r")
        queue_id = self.outbox.submit(mail(), "last@dest.example")
        self.outbox.wait_message(queue_id, "delivered")
        self.assertEqual(len(self.outbox.json("list", "all")), 1)

    def test_what_is_advertised(self):
        with self.outbox.raw() as client:
            lines = client.say("EHLO client.example").splitlines()
            offers = {line[4:].split()[0] for line in lines[1:]}
            self.assertLessEqual({"PIPELINING", "8BITMIME", "SIZE", "ENHANCEDSTATUSCODES", "SMTPUTF8"}, offers)
            self.assertFalse(offers & {"STARTTLS", "AUTH", "CHUNKING"}, offers)
            for command in ("STARTTLS", "AUTH PLAIN AHgAeQ==", "BDAT 3 LAST", "NONSENSE"):
                self.assertRegex(client.say(command), r"^50[02] 5\.5\.[12]", command)
            self.assertTrue(client.say("NOOP").startswith("250"))
            self.assertTrue(client.say("RSET").startswith("250"))
            self.assertTrue(client.say("VRFY x")[:1] in "25")

    def test_order_of_commands(self):
        with self.outbox.raw() as client:
            self.assertTrue(client.say("MAIL FROM:<a@example.com>").startswith("503"))
            client.say("EHLO client.example")
            self.assertTrue(client.say("RCPT TO:<x@dest.example>").startswith("503"))
            self.assertTrue(client.say("DATA").startswith("503"))
            self.assertTrue(client.say("MAIL FROM:<a@example.com>").startswith("250"))
            self.assertTrue(client.say("MAIL FROM:<a@example.com>").startswith("503"))
            self.assertRegex(client.say("DATA"), r"^(503|554) ")

    def test_header_pass(self):
        queue_id = self.outbox.submit(b"To: a@dest.example\r\nbcc: x@dest.example,\r\n y@dest.example\r\n"
                                      b"Resent-Bcc: z@dest.example\r\nX-Kept: as  it \r\n\tis\r\n\r\nText.\r\n",
                                      "a@dest.example")
        fields, body = split_message(self.received()[0].data)
        names = [name.lower() for name, _ in fields]
        self.assertEqual(names[0], "received")
        self.assertIn(queue_id.encode(), fields[0][1])
        for name in ("date", "message-id", "from", "to", "x-kept"):
            self.assertEqual(names.count(name), 1, name)
        self.assertNotIn("bcc", names)
        self.assertNotIn("resent-bcc", names)
        self.assertIn(b"X-Kept: as  it \r\n\tis\r\n", self.smarthost.messages[0].data)
        self.assertEqual(body, b"Text.\r\n")

    def test_eight_bit_and_utf8_addresses(self):
        self.outbox.submit("Subject: grüß\r\n\r\nÄ.\r\n".encode(), "a@dest.example", options=["BODY=8BITMIME"])
        with self.outbox.raw() as client:
            client.say("EHLO client.example")
            self.assertTrue(client.say("MAIL FROM:<a@example.com> SMTPUTF8").startswith("250"))
            self.assertTrue(client.say("RCPT TO:<jürgen@dest.example>").startswith("250"))
            client.say("DATA")
            self.assertTrue(client.say("Subject: x\r\n\r\n.").startswith("250"))
        messages = self.received(2)
        self.assertEqual({message.sender_parameters.get("BODY") for message in messages} & {"8BITMIME"}, {"8BITMIME"})
        self.assertEqual(len(self.smarthost.delivered("jürgen@dest.example")), 1)


class Sendmail(OutboxTest):
    def setUp(self):
        super().setUp()
        self.smarthost = self.start_smarthost()
        self.outbox = self.start_outbox(self.smarthost)

    def test_calls_as_programs_make_them(self):
        # name, arguments (field.md has the source of each), recipients that must arrive
        to = b"To: t@dest.example\n"
        calls = [
            ("cron", ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"], b"", ["root@example.com"]),
            ("mutt", ["-oem", "-oi", "-f", "f@example.com", "--", "a@dest.example"], b"", ["a@dest.example"]),
            ("php", ["-t", "-i", "-fweb@example.com"], to, ["t@dest.example"]),
            ("rails", ["-i", "-f", "f@example.com", "--", "a@dest.example", "b@dest.example"], b"",
             ["a@dest.example", "b@dest.example"]),
            ("git", ["-f", "f@example.com", "-i", "a@dest.example"], b"", ["a@dest.example"]),
            ("sudo", ["-t"], to, ["t@dest.example"]),
        ]
        for count, (name, arguments, header, recipients) in enumerate(calls, 1):
            with self.subTest(name):
                self.outbox.sendmail(*arguments, data=header + b"Subject: " + name.encode() + b"\n\nText\n")
                self.assertTrue(self.smarthost.wait_for(count))
                self.assertEqual(sorted(self.smarthost.messages[-1].recipients), sorted(recipients))
                self.outbox.wait_empty()

    def test_the_name_that_the_caller_gives(self):
        caller = f'"CronDaemon" <{pwd.getpwuid(os.getuid()).pw_name}@example.com>'.encode()
        for count, (arguments, data, wanted) in enumerate((
                (["-FCronDaemon", "root"], b"", caller),
                (["-F", 'A "b" C', "-f", "f@other.example", "root"], b"", b'"A \\"b\\" C" <f@other.example>'),
                (["-FCronDaemon", "root"], b"From: root (Cron Daemon)\n", b"root (Cron Daemon)")), 1):
            self.outbox.sendmail(*arguments, data=data + b"Subject: x\n\nText\n")
            self.assertTrue(self.smarthost.wait_for(count))
            fields, _ = split_message(self.smarthost.messages[-1].data)
            self.assertEqual([value for name, value in fields if name == "From"], [wanted])

    def test_a_dot_ends_input_without_i(self):
        self.outbox.sendmail("-f", "f@example.com", "a@dest.example", data=b"Subject: x\n\none\n.\ntwo\n")
        self.outbox.sendmail("-i", "a@dest.example", data=b"Subject: x\n\none\n.\ntwo\n")
        self.assertTrue(self.smarthost.wait_for(2))
        bodies = sorted(split_message(message.data)[1] for message in self.smarthost.messages)
        self.assertEqual(bodies, [b"one\r\n", b"one\r\n.\r\ntwo\r\n"])

    def test_exit_statuses(self):
        self.outbox.sendmail("-t", data=b"Subject: nobody\n\nText\n", status=64)
        self.outbox.sendmail(data=b"Subject: nobody\n\nText\n", status=64)
        self.assertEqual(self.outbox.json("list", "all"), [])

    def test_verify(self):
        done = self.outbox.sendmail("-bv", "root", "a\u202eb@dest.example", data=b"")
        self.assertEqual(done.stdout, b"root ... would be queued\na\\xE2\\x80\\xAEb@dest.example ... would be queued\n")
        self.assertEqual(self.outbox.json("list", "all"), [])

    def test_without_a_daemon_it_says_try_again(self):
        self.outbox.stop()
        self.outbox.sendmail("-i", "a@dest.example", data=b"Subject: x\n\nText\n", status=75)
        self.assertRegex(self.outbox.sendmail("-bs", data=b"EHLO x\r\n", status=75).stdout, rb"^421 4\.3\.2 .*\r\n$")

    def test_line_breaks_in_arguments(self):
        for bad in ("\r", "\n", "\r\n ", "\x1b", "\x7f", "\x85", "\u2028"):
            for form in ('"a%sb"@dest.example', "a%sb@dest.example", "a@dest.example%s"):
                address = form % bad
                for arguments in (["-i", address], ["-i", "-f", address, "ok@dest.example"], ["-bv", address]):
                    with self.subTest(arguments):
                        done = self.outbox.sendmail(*arguments, data=b"Subject: x\n\nText\n", status=None)
                        self.assertIn(done.returncode, (64, 65, 67))
        # What looks like a display name must not choose the recipient.
        self.outbox.sendmail("-i", "a@dest.example\nfrom <b@dest.example>", data=b"Subject: x\n\nText\n", status=65)
        self.assertEqual(self.outbox.json("list", "all"), [])

    def test_whatever_the_caller_left_us(self):
        """Queued or "try again", never a lie."""
        def limit(what, value):
            return lambda: resource.setrlimit(what, (value, value))

        def close(*numbers):
            return lambda: [os.close(number) for number in numbers]

        def in_no_directory():
            os.chdir(tempfile.mkdtemp(dir=self.folder))
            os.rmdir(os.getcwd())

        small, big = b"Subject: x\n\nText\n", b"Subject: x\n\n" + 40000 * b"line after line after line after line\n"
        cases = [
            ("no files may be written", limit(resource.RLIMIT_FSIZE, 0), small, 0),
            ("no files may be written", limit(resource.RLIMIT_FSIZE, 0), big, 75),
            ("no descriptors", limit(resource.RLIMIT_NOFILE, 4), big, 75),
            ("no directory", in_no_directory, big, 0),
            ("no input", close(0), small, 75),
            ("no output", close(1), small, 0),
            ("no errors", close(2), small, 0),
            ("nothing at all", close(0, 1, 2), small, 75),
        ]
        for name, prepare, data, status in cases:
            with self.subTest(name, status=status):
                done = self.outbox.run("sendmail", "-i", "a@dest.example", data=data, preexec_fn=prepare)
                self.assertEqual(done.returncode, status, done.stderr)
        queued = self.outbox.json("list", "all")
        self.assertEqual(len(queued), sum(status == 0 for *_, status in cases))

    def test_a_caller_that_is_killed_leaves_nothing(self):
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with subprocess.Popen([programs() / "sendmail", "-i", "a@dest.example"], stdin=subprocess.PIPE,
                                  env=self.outbox.environment) as process:
                process.stdin.write(b"Subject: half\n\nhalf")
                process.stdin.flush()
                process.send_signal(signal_number)
                self.assertEqual(process.wait(), -signal_number)
        self.assertEqual(self.outbox.json("list", "all"), [])


if __name__ == "__main__":
    unittest.main()
