"""The main job: mail goes from programs through the spool to a smarthost, and can be followed."""
import base64
import unittest
import urllib.parse

from harness import BACKING_OFF, OutboxTest, PARKED, PASSWORD, mail, split_message, wait_until


class MainJob(OutboxTest):
    def setUp(self):
        super().setUp()
        self.smarthost = self.start_smarthost()
        self.outbox = self.start_outbox(self.smarthost)

    def test_sendmail_t(self):
        data = (b"From: Backup <backup@example.com>\nTo: admin@dest.example\nCc: copy@dest.example\n"
                b"Bcc: secret@dest.example\nSubject: done\n\n.leading dot\nlast line\n")
        self.outbox.sendmail("-t", "-i", data=data)
        self.assertTrue(self.smarthost.wait_for(1))
        message = self.smarthost.messages[0]
        self.assertEqual(sorted(message.recipients), ["admin@dest.example", "copy@dest.example", "secret@dest.example"])
        self.assertEqual((message.listener, message.user), ("starttls", "app"))
        self.assertIn(message.tls, ("TLSv1.2", "TLSv1.3"))
        fields, body = split_message(message.data)
        names = [name.lower() for name, _ in fields]
        self.assertEqual(names[0], "received")
        self.assertNotIn("bcc", names)
        for name in ("date", "message-id", "from", "to", "cc", "subject"):
            self.assertEqual(names.count(name), 1, name)
        self.assertEqual(body, b".leading dot\r\nlast line\r\n")
        self.assertNotIn(b"secret@", message.data)

    def test_python_over_unix_socket(self):
        with self.outbox.smtp() as client:
            refused = client.sendmail("billing@example.com", ["a@dest.example"], mail(to="a@dest.example"))
        self.assertEqual(refused, {})
        self.assertTrue(self.smarthost.wait_for(1))
        self.assertEqual(self.smarthost.messages[0].sender, "billing@example.com")
        self.outbox.wait_empty()

    def test_one_of_two_recipients_refused(self):
        self.smarthost.refuse("rcpt", "550 5.1.1 No such user here", match="nobody@*")
        queue_id = self.outbox.submit(mail(), ["anna@dest.example", "nobody@dest.example"])
        message = self.outbox.wait_message(queue_id, "failed")
        self.assertEqual(self.outbox.recipient(queue_id, "anna@dest.example")["state"], "delivered")
        nobody = self.outbox.recipient(queue_id, "nobody@dest.example")
        self.assertEqual((nobody["state"], nobody["class"], nobody["code"], nobody["enhanced"]),
                         ("failed", "recipients-refused", 550, "5.1.1"))
        self.assertIn("No such user here", nobody["reply"])
        self.assertEqual(message["sender"], "app@example.com")
        self.assertEqual([m.recipients for m in self.smarthost.messages], [["anna@dest.example"]])
        self.assertIn("No such user here", self.outbox.outbox("show", queue_id))
        self.assertEqual(self.outbox.json("list"), [])

    def test_451_is_retried_until_it_recovers(self):
        self.outbox.expected_warnings.append(BACKING_OFF)   # 4.3.x is trouble of the smarthost
        self.smarthost.refuse("end-of-data", "451 4.3.0 Being restarted")
        queue_id = self.outbox.submit(mail(), "boss@dest.example")
        message = self.outbox.wait_message(queue_id, lambda m: m["recipients"][0]["attempts"] >= 2)
        recipient = message["recipients"][0]
        self.assertEqual((message["state"], recipient["code"], recipient["enhanced"]), ("queued", 451, "4.3.0"))
        self.assertIn(queue_id, self.outbox.outbox("list"))
        self.assertIn("Being restarted", self.outbox.outbox("why", queue_id))
        self.assertEqual(self.smarthost.messages, [])
        self.smarthost.behave()
        message = self.outbox.wait_message(queue_id, "delivered")
        self.assertGreaterEqual(message["recipients"][0]["attempts"], 3)
        self.assertEqual(len(self.smarthost.messages), 1)
        log = self.outbox.outbox("log", queue_id)
        self.assertGreaterEqual(log.count("Being restarted"), 2, log)

    def test_waiting_message_says_until_when(self):
        self.outbox.settings["retry"] = {"first": "1h", "factor": 2, "max": "2h", "jitter": 0}
        self.outbox.write_config()
        self.outbox.reload()
        self.smarthost.refuse("rcpt", "450 4.2.1 Greylisted")
        wait_until(lambda: "reload" in self.outbox.log().lower(), "the reload")
        queue_id = self.outbox.submit(mail(), "boss@dest.example")
        message = self.outbox.wait_message(queue_id, lambda m: m["recipients"][0]["attempts"] == 1)
        recipient = message["recipients"][0]
        self.assertEqual((recipient["state"], recipient["waiting"]), ("queued", "retry"))
        self.assertRegex(recipient["next_attempt_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
        self.smarthost.behave()
        self.outbox.outbox("retry", queue_id)
        self.outbox.wait_message(queue_id, "delivered")

    def test_sessions_are_reused(self):
        for number in range(5):
            queue_id = self.outbox.submit(mail(body=f"{number}\r\n"), "a@dest.example")
            self.outbox.wait_message(queue_id, "delivered")
        self.assertEqual(self.smarthost.connections, 1)

    def test_recipients_share_a_transaction(self):
        recipients = [f"r{number}@dest.example" for number in range(20)]
        queue_id = self.outbox.submit(mail(), recipients)
        self.outbox.wait_message(queue_id, "delivered")
        self.assertEqual([message.recipients for message in self.smarthost.messages], [recipients])

    def test_a_long_message_comes_through_whole(self):
        body = "".join(f"line {number} {'x' * (number % 900)}\r\n.\r\n..\r\n" for number in range(4000))
        queue_id = self.outbox.submit(mail(body=body), "big@dest.example")
        self.outbox.wait_message(queue_id, "delivered")
        self.assertEqual(split_message(self.smarthost.messages[0].data)[1], body.encode())
        self.assertEqual(self.outbox.show(queue_id)["size"], len(self.smarthost.messages[0].data))


class Canary(OutboxTest):
    """The password is in no log, no file but its own, no answer, however the smarthost repeats it."""

    ECHOES = {
        "raw": PASSWORD,
        "base64": base64.b64encode(PASSWORD.encode()).decode(),
        "plain": base64.b64encode(b"\0app\0" + PASSWORD.encode()).decode(),
        "percent": "https://relay.example/login?user=app&password=" + urllib.parse.quote(PASSWORD),
        "hex": PASSWORD.encode().hex(),
    }
    # Enough of each to be recognised: quotes and backslashes are escaped on their way.
    TRACES = [PASSWORD[:13], ECHOES["base64"][:16], ECHOES["plain"][8:24], urllib.parse.quote(PASSWORD[:13]),
              ECHOES["hex"][:26]]
    REPLIES = {"auth": "535 5.7.8 Authentication failed: ", "mail": "530 5.7.0 Log in, not as ",
               "rcpt": "550 5.1.1 No such user, ", "end-of-data": "554 5.6.0 Rejected, "}

    def everything(self, outbox, queue_id):
        """All that can be seen, after the daemon has stopped."""
        seen = {" ".join(command): outbox.outbox(*command, status=None).encode()
                for command in (["list", "all"], ["list", "all", "--json"], ["show", queue_id],
                                ["show", queue_id, "--json"], ["show", queue_id, "--raw"], ["why", queue_id],
                                ["log"], ["log", "--json"], ["status"], ["status", "--json"], ["smarthost", "list"],
                                ["smarthost", "list", "--json"])}
        for path in outbox.state.iterdir():     # with the write-ahead log: the daemon runs
            seen[path.name] = path.read_bytes()
        outbox.stop()
        for path in (outbox.log_path, *outbox.state.iterdir()):
            seen[path.name + " at the end"] = path.read_bytes()
        return seen

    def test_echoes(self):
        cases = [("auth", name) for name in self.ECHOES] + [(stage, "raw") for stage in self.REPLIES if stage != "auth"]
        for stage, name in cases:
            with self.subTest(stage=stage, echo=name):
                smarthost = self.start_smarthost(name=f"{stage}-{name}")
                smarthost.refuse(stage, self.REPLIES[stage] + self.ECHOES[name])
                outbox = self.start_outbox(smarthost)
                outbox.expected_warnings.append(PARKED)
                queue_id = outbox.submit(mail(), "a@dest.example")
                wait_until(lambda: "withheld" in outbox.outbox("log"), "the refusal")
                for place, text in self.everything(outbox, queue_id).items():
                    for trace in self.TRACES:
                        self.assertNotIn(trace.encode(), text, f"{trace} in {place}")


class Connections(OutboxTest):
    """STARTTLS, implicit TLS and plain; certificates and names are verified."""

    def deliver(self, listener, **more):
        smarthost = self.start_smarthost(users={} if listener == "plain" else {"app": PASSWORD})
        outbox = self.start_outbox({"relay": self.settings_for(smarthost, listener, **more)})
        queue_id = outbox.submit(mail(), "a@dest.example")
        outbox.wait_message(queue_id, "delivered")
        return smarthost.messages[0]

    def test_starttls(self):
        self.assertIsNotNone(self.deliver("starttls").tls)

    def test_implicit_tls(self):
        self.assertIsNotNone(self.deliver("implicit").tls)

    def test_plain_on_loopback(self):
        self.assertIsNone(self.deliver("plain").tls)

    def test_without_any_extension(self):
        smarthost = self.start_smarthost(users={}, extensions=())
        outbox = self.start_outbox({"relay": self.settings_for(smarthost, "plain")})
        queue_id = outbox.submit(mail(), ["a@dest.example", "b@dest.example"])
        outbox.wait_message(queue_id, "delivered")

    def test_certificates_that_must_not_be_believed(self):
        for kind in ("expired", "wrong-name", "self-signed"):
            for listener in ("starttls", "implicit"):
                with self.subTest(certificate=kind, listener=listener):
                    smarthost = self.start_smarthost(name=f"{kind}-{listener}", certificate=kind)
                    outbox = self.start_outbox({"relay": self.settings_for(smarthost, listener)})
                    outbox.expected_warnings.append("smarthost=relay")
                    queue_id = outbox.submit(mail(), "a@dest.example")
                    self.assertTrue(smarthost.wait_for(
                        lambda: any(event["event"] in ("tls-failed", "broken") for event in smarthost.events)))
                    wait_until(lambda: "tls-failed" in outbox.log(), "the reason in the log")
                    message = outbox.show(queue_id)
                    self.assertEqual((message["state"], message["recipients"][0]["attempts"]), ("queued", 0))
                    self.assertEqual(smarthost.messages, [])
                    self.assertFalse(any(event.get("stage") == "auth" for event in smarthost.events))

    def test_right_after_the_certificate_is_mended(self):
        smarthost = self.start_smarthost(certificate="expired")
        outbox = self.start_outbox(smarthost)
        outbox.expected_warnings.append("smarthost=relay")
        queue_id = outbox.submit(mail(), "a@dest.example")
        wait_until(lambda: "tls-failed" in outbox.log(), "the reason in the log")
        smarthost.use_certificate("server")
        outbox.outbox("retry", queue_id)
        outbox.outbox("smarthost", "unpark", "relay")
        outbox.wait_message(queue_id, "delivered")


if __name__ == "__main__":
    unittest.main()
