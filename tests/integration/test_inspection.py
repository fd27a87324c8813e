"""outbox list, show, why, retry, delete, hold, release, status and log: what they print, change, allow and return."""
import json
import os
import shutil
import signal
import subprocess
import unittest

from harness import DEADLINE_S, OutboxTest, PARKED, mail, programs, wait_until

MESSAGE_KEYS = {"id", "sender", "size", "accepted_at", "user", "tag", "smarthost", "state", "recipients"}
RECIPIENT_KEYS = {"address", "state", "waiting", "class", "code", "enhanced", "reply", "attempts", "next_attempt_at"}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
COMMANDS_ON_ONE = (["show"], ["show", "--raw"], ["show", "--json"], ["why"], ["hold"], ["release"], ["retry"], ["delete", "--yes"], ["log"])
NOBODY = 65534


class Inspection(OutboxTest):
    def setUp(self):
        super().setUp()
        self.smarthost = self.start_smarthost()
        self.smarthost.refuse("rcpt", "450 4.2.1 Greylisted", match="later@*")
        self.smarthost.refuse("rcpt", "550 5.1.1 No such user", match="nobody@*")
        self.outbox = self.start_outbox(self.smarthost, retry={"first": "1h", "factor": 1, "max": "1h", "jitter": 0})

    def waiting_message(self, **fields):
        queue_id = self.outbox.submit(mail(**fields), "later@dest.example")
        self.outbox.wait_message(queue_id, lambda m: m["recipients"][0]["attempts"] == 1)
        return queue_id

    def state(self, queue_id):
        return self.outbox.show(queue_id)["state"]

    def test_json_has_exactly_the_documented_keys(self):
        queue_id = self.outbox.submit(mail(), ["later@dest.example", "nobody@dest.example", "ok@dest.example"])
        self.outbox.wait_message(queue_id, lambda m: all(r["attempts"] == 1 for r in m["recipients"]))
        message = self.outbox.show(queue_id)
        listed = [m for m in self.outbox.json("list", "all") if m["id"] == queue_id]
        self.assertEqual(listed, [message])
        self.assertEqual(set(message), MESSAGE_KEYS)
        for recipient in message["recipients"]:
            self.assertEqual(set(recipient), RECIPIENT_KEYS)
        rows = {recipient["address"]: recipient for recipient in message["recipients"]}
        later, nobody, ok = (rows[f"{name}@dest.example"] for name in ("later", "nobody", "ok"))
        self.assertEqual((later["state"], later["waiting"], later["code"], later["enhanced"]),
                         ("queued", "retry", 450, "4.2.1"))
        self.assertRegex(later["next_attempt_at"], f"^{TIME}$")
        self.assertEqual((nobody["state"], nobody["waiting"], nobody["class"], nobody["code"]),
                         ("failed", None, "recipients-refused", 550))
        self.assertIsNone(nobody["next_attempt_at"])
        self.assertEqual((ok["state"], ok["waiting"], ok["class"]), ("delivered", None, None))
        self.assertEqual((message["state"], message["sender"], message["smarthost"], message["tag"]),
                         ("queued", "app@example.com", "relay", None))
        self.assertRegex(message["accepted_at"], f"^{TIME}$")
        self.assertIsInstance(message["size"], int)

    def test_list_for_people(self):
        queue_id = self.waiting_message()
        for command in (["list"], ["list", queue_id], ["show", queue_id]):
            text = self.outbox.outbox(*command)
            self.assertIn(queue_id, text)
            self.assertIn("later@dest.example", text)
        self.assertIn("Greylisted", self.outbox.outbox("show", queue_id))
        self.assertIn("Greylisted", self.outbox.outbox("why", queue_id))

    def test_filters(self):
        first = self.waiting_message()
        second = self.outbox.submit(mail(body="x" * 70 + "\r\n" + 3000 * "long line\r\n"), "ok@other.example",
                                    sender="second@example.com")
        self.outbox.wait_message(second, "delivered")
        for terms, wanted in (
                (["all"], [first, second]), ([], [first]), (["state=queued"], [first]), (["state=delivered"], [second]),
                (["domain=other.example"], [second]), (["recipient=later@*"], [first]), (["sender=second@*"], [second]),
                (["larger=10K", "all"], [second]), (["size<10000", "all"], [first]), (["older=1h", "all"], []),
                (["newer=1h", "all"], [first, second]), (["attempts>0", "state=queued"], [first]), ([second], [second]),
                (["class=server-trouble", "domain=other.example"], []), (["smarthost=relay"], [first, second]),
                (["id=" + first], [first])):
            with self.subTest(terms):
                self.assertEqual(sorted(m["id"] for m in self.outbox.json("list", *terms)), sorted(wanted))
        self.assertEqual(len(self.outbox.json("list", "all", "--limit", "1")), 1)

    def test_hold_release(self):
        queue_id = self.waiting_message()
        self.outbox.outbox("hold", queue_id)
        self.assertEqual(self.state(queue_id), "held")
        self.smarthost.behave()
        self.outbox.outbox("release", queue_id)
        self.outbox.wait_message(queue_id, "delivered")

    def test_retry(self):
        queue_id = self.waiting_message()
        self.smarthost.behave()
        self.outbox.outbox("retry", queue_id)
        self.outbox.wait_message(queue_id, "delivered")

    def test_retry_of_a_failed_recipient(self):
        queue_id = self.outbox.submit(mail(), "nobody@dest.example")
        self.outbox.wait_message(queue_id, "failed")
        self.smarthost.behave()
        self.outbox.outbox("retry", queue_id)
        self.outbox.wait_message(queue_id, "delivered")

    def test_delete(self):
        queue_id = self.waiting_message()
        self.assertEqual(self.outbox.outbox("delete", "sender=app@*", "--dry-run"), "1 messages\n")
        self.assertEqual(self.state(queue_id), "queued")
        self.outbox.outbox("delete", queue_id, "--yes")
        self.assertEqual(self.state(queue_id), "cancelled")
        self.assertEqual(self.outbox.json("list"), [])

    def test_many_at_once(self):
        ids = [self.waiting_message() for _ in range(5)]
        self.assertRegex(self.outbox.outbox("hold", "recipient=later@*", "--dry-run"), r"\b5 messages")
        self.outbox.outbox("hold", "recipient=later@*", "--yes")
        self.assertEqual({self.state(queue_id) for queue_id in ids}, {"held"})

    def test_log_tells_the_life_of_a_message(self):
        queue_id = self.waiting_message()
        self.smarthost.behave()
        self.outbox.outbox("retry", queue_id)
        self.outbox.wait_message(queue_id, "delivered")
        text = self.outbox.outbox("log", queue_id)
        for word in ("accepted", "Greylisted", "delivered"):
            self.assertIn(word, text)
        events = self.outbox.json("log", queue_id)
        self.assertGreaterEqual(len(events), 4)
        self.assertTrue(self.outbox.outbox("log"))

    def test_raw(self):
        queue_id = self.waiting_message(body="the body\r\n")
        self.assertIn("the body", self.outbox.outbox("show", queue_id, "--raw"))

    def test_exit_statuses(self):
        queue_id = self.waiting_message()
        missing = "0" * (len(queue_id) - 1) + "1"
        for status, arguments in (
                (64, []), (64, ["nonsense"]), (64, ["list", "colour=red"]), (64, ["list", "state=sleeping"]),
                (64, ["delete"]), (64, ["hold"]), (64, ["show"]), (64, ["list", "--nonsense"]),
                (66, ["show", missing]), (66, ["why", missing]), (0, ["list", "sender=nobody@at.all"]),
                (0, ["hold", "sender=nobody@at.all"]), (0, ["--help"]), (0, ["--version"])):
            with self.subTest(arguments):
                self.outbox.outbox(*arguments, status=status)
        done = self.outbox.run("outbox", "hold", "sender=nobody@at.all")
        self.assertNotEqual(done.stderr, b"")

    def test_classify(self):
        keys = ["class", "permanent", "scope", "action", "wait", "rule", "stage"]
        for stage, reply, values in (
                ("rcpt", "550 5.1.1 No such user", ("recipients-refused", "yes", "recipient", "bounce")),
                ("rcpt", "250 2.1.5 ok", (None, "no", None, None)),
                ("auth", "535 5.7.8 No", ("auth-failed", "no", "account", "park"))):
            (verdict,) = self.outbox.json("classify", "--provider", "any", "--stage", stage, reply)
            self.assertEqual(list(verdict), keys)
            self.assertEqual(tuple(verdict[key] for key in keys[:4]), values)

    def test_a_reader_that_has_seen_enough(self):
        for _ in range(300):
            self.outbox.submit(mail(), "x" * 60 + "@dest.example")
        with subprocess.Popen([programs() / "outbox", "list", "all", "--json"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.outbox.environment) as process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual((process.wait(), process.stderr.read()), (-signal.SIGPIPE, b""))

    def test_daemon_away(self):
        self.outbox.stop()
        self.outbox.outbox("list", status=69)
        self.outbox.outbox("status", status=2)
        self.outbox.start()

    def test_status(self):
        self.outbox.outbox("status", status=0)
        self.assertIsInstance(self.outbox.json("status", status=0)[0], dict)
        self.outbox.expected_warnings.append(PARKED)
        self.smarthost.behave()
        self.smarthost.disconnect()
        self.smarthost.refuse("auth", "535 5.7.8 Wrong password")
        self.outbox.submit(mail(), "ok@dest.example")
        wait_until(lambda: self.outbox.run("outbox", "status").returncode == 1, "status 1")
        self.assertIn("Wrong password", self.outbox.outbox("status", status=1))

    def test_peer_bytes_are_escaped(self):
        self.smarthost.behave()
        self.smarthost.refuse("rcpt", "550 5.1.1 \x1b[31mred\x07 \u202e evil")
        queue_id = self.outbox.submit(mail(), "x@dest.example")
        self.outbox.wait_message(queue_id, "failed")
        seen = (self.outbox.outbox("show", queue_id) + self.outbox.outbox("why", queue_id) + self.outbox.log()
                + self.outbox.outbox("log", queue_id) + json.dumps(self.outbox.show(queue_id), ensure_ascii=False))
        self.assertNotIn("\x1b", seen)
        self.assertNotIn("\x07", seen)
        self.assertIn("\\x1b", seen.lower())


class Owners(OutboxTest):
    """Another user sees and changes only their own messages."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs root, to be two users")
        self.smarthost = self.start_smarthost()
        self.smarthost.refuse("rcpt", "450 4.2.1 Greylisted")
        self.outbox = self.start_outbox(self.smarthost, retry={"first": "1h", "factor": 1, "max": "1h", "jitter": 0})
        # Where the other user can run them, wherever the build is.
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for name in ("outbox", "sendmail"):
            shutil.copy(programs() / name, self.bin / name)

    def as_nobody(self, program, *arguments, data=b""):
        return subprocess.run([self.bin / program, *arguments], input=data, capture_output=True, timeout=DEADLINE_S,
                              env=self.outbox.environment, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/")

    def test_rights(self):
        of_root = self.outbox.submit(mail(), "a@dest.example")
        done = self.as_nobody("sendmail", "-i", "-f", "web@example.com", "b@dest.example", data=b"Subject: x\n\nx\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        of_nobody = self.outbox.json("list", "sender=web@example.com")[0]["id"]
        user = self.outbox.show(of_nobody)["user"]
        self.assertTrue(user in ("nobody", f"#{NOBODY}"), user)

        listed = [json.loads(line) for line in self.as_nobody("outbox", "list", "all", "--json").stdout.splitlines()]
        self.assertEqual([message["id"] for message in listed], [of_nobody])
        for command in COMMANDS_ON_ONE:
            with self.subTest(command):
                done = self.as_nobody("outbox", command[0], of_root, *command[1:])
                nothing_done = done.returncode == 66 or (done.returncode == 0 and of_root.encode() not in done.stdout)
                self.assertTrue(nothing_done, done)
        self.assertEqual(self.outbox.show(of_root)["state"], "queued")
        events = self.outbox.json("log", of_root)
        for command in (["list", "all"], ["list", "state=queued", "--json"], ["log"], ["log", "--json"],
                        ["status", "--json"], ["hold", "all", "--yes"], ["release", "all", "--yes"],
                        ["retry", "all", "--yes"], ["delete", "all", "--yes"], ["delete", "user=root", "--yes"],
                        ["delete", "sender=app@*", "--yes"]):
            done = self.as_nobody("outbox", *command)
            self.assertIn(done.returncode, (0, 1), done)
            self.assertNotIn(of_root.encode(), done.stdout)
            self.assertNotIn(b"a@dest.example", done.stdout)
        for arguments in (["-bp"], ["-q"]):
            done = self.as_nobody("sendmail", *arguments)
            self.assertEqual((done.returncode, of_root.encode() in done.stdout), (0, False), done)
        done = self.as_nobody("sendmail", "-qI" + of_root)
        self.assertEqual((done.returncode, done.stderr), (66, b"sendmail: no such message\n"))
        self.assertEqual(self.as_nobody("outbox", "smarthost", "park", "relay").returncode, 77)
        self.assertEqual(self.outbox.json("log", of_root), events)
        self.assertEqual(self.outbox.show(of_root)["state"], "queued")
        self.assertEqual(self.outbox.show(of_nobody)["state"], "cancelled")

    def test_what_lies_on_the_disk_is_private(self):
        self.outbox.submit(mail(), "a@dest.example")
        self.assertEqual(self.outbox.state.stat().st_mode & 0o777, 0o700)
        self.assertEqual((self.outbox.state / "spool.db").stat().st_mode & 0o777, 0o600)
        for name in os.listdir(self.outbox.state):
            self.assertEqual((self.outbox.state / name).stat().st_mode & 0o077, 0, name)


if __name__ == "__main__":
    unittest.main()
