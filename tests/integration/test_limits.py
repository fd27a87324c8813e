"""What is refused at the door, and that the door stays open for everybody else."""
import contextlib
import socket
import unittest

from harness import OutboxTest, mail, split_message, wait_until

SIZE_MAX = 1 << 20


class Limits(OutboxTest):
    def setUp(self):
        super().setUp()
        self.smarthost = self.start_smarthost()
        self.outbox = self.start_outbox(self.smarthost, message_size_max="1M")

    def tearDown(self):
        """Whatever was refused: the next one gets through, and it alone."""
        before = len(self.outbox.json("list", "all", "--limit", "10000"))
        queue_id = self.outbox.submit(mail(), "after@dest.example")
        self.outbox.wait_message(queue_id, "delivered")
        self.assertEqual(len(self.outbox.json("list", "all", "--limit", "10000")), before + 1)
        super().tearDown()

    def transaction(self, client, recipients=("x@dest.example",), parameters=""):
        self.assertTrue(client.say("EHLO client.example").startswith("250"))
        self.assertTrue(client.say(f"MAIL FROM:<a@example.com>{parameters}").startswith("250"))
        for recipient in recipients:
            self.assertTrue(client.say(f"RCPT TO:<{recipient}>").startswith("250"))
        self.assertTrue(client.say("DATA").startswith("354"))

    def data_reply(self, data, parameters=""):
        """What is said to the dot; the connection must be usable behind it."""
        with self.outbox.raw() as client:
            self.transaction(client, parameters=parameters)
            client.write(data + b"\r\n.\r\n")
            reply = client.reply()
            self.assertTrue(client.say("NOOP").startswith("250"))
            return reply

    def test_size_announced(self):
        with self.outbox.raw() as client:
            self.assertIn(f"SIZE {SIZE_MAX}", client.say("EHLO client.example"))
            self.assertTrue(client.say(f"MAIL FROM:<a@example.com> SIZE={SIZE_MAX + 1}").startswith("552 5.3.4"))
            self.assertTrue(client.say(f"MAIL FROM:<a@example.com> SIZE={SIZE_MAX}").startswith("250"))
            self.assertTrue(client.say("RSET").startswith("250"))
            self.assertTrue(client.say("MAIL FROM:<a@example.com> SIZE=99999999999999999999999").startswith("5"))

    def test_size_found_while_reading(self):
        line = b"x" * 78 + b"\r\n"
        self.assertTrue(self.data_reply(b"Subject: big\r\n\r\n" + line * (SIZE_MAX // 80 + 1)).startswith("552 5.3.4"))

    def test_a_thousand_recipients(self):
        recipients = [f"r{number}@dest.example" for number in range(1000)]
        queue_id = self.outbox.submit(mail(), recipients)
        self.outbox.wait_message(queue_id, "delivered")
        arrived = [recipient for message in self.smarthost.messages for recipient in message.recipients]
        self.assertEqual(sorted(arrived), sorted(recipients))

    def test_one_recipient_too_many(self):
        with self.outbox.raw() as client:
            client.say("EHLO client.example")
            client.say("MAIL FROM:<a@example.com>")
            client.write("".join(f"RCPT TO:<r{number}@dest.example>\r\n" for number in range(1001)))
            replies = [client.reply() for _ in range(1001)]
        self.assertEqual({reply[:3] for reply in replies[:1000]}, {"250"})
        self.assertTrue(replies[1000].startswith("452 4.5.3"), replies[1000])

    def test_text_that_is_refused(self):
        header = b"From: a@example.com\r\nSubject: x\r\n"
        for name, data, reply in (
                ("bare LF", header + b"\r\none\ntwo", "550 5.6.11"),
                ("bare CR", header + b"\r\none\rtwo", "550 5.6.11"),
                ("bare LF in the header", header + b"X: 1\nBcc: y@dest.example\r\n\r\ntext", "550 5.6.11"),
                ("smuggling", header + b"\r\none\n.\r\nMAIL FROM:<b@example.com>", "550 5.6.11"),
                ("smuggling by CR", header + b"\r\none\r\n.\rMAIL FROM:<b@example.com>", "550 5.6.11"),
                ("NUL", header + b"\r\none\0two", "554 5.6.0"),
                ("a loop", header + b"Received: from a by b\r\n" * 101 + b"\r\ntext", "554 5.4.6"),
                ("a long header", header + b"X-Long: y\r\n" * 30000 + b"\r\ntext", "55"),
                ("a long line in the header", header + b"X-Long: " + b"y" * 5000 + b"\r\n\r\ntext", "55")):
            with self.subTest(name):
                self.assertTrue((said := self.data_reply(data)).startswith(reply), said)

    def test_a_long_line_of_text(self):
        reply = self.data_reply(b"Subject: x\r\n\r\n" + b"y" * 5000)
        if reply.startswith("250"):
            self.assertTrue(self.smarthost.wait_for(1))   # encoded: the smarthost watches the length of lines
        else:
            self.assertTrue(reply.startswith("554 5.6.0"), reply)

    def test_a_line_of_998_octets(self):
        for text in (b"y" * 998, b"." + b"y" * 997):
            queue_id = self.outbox.submit(b"Subject: x\r\n\r\n" + text + b"\r\n", "a@dest.example")
            self.outbox.wait_message(queue_id, "delivered")
            self.assertEqual(split_message(self.smarthost.messages[-1].data)[1], text + b"\r\n")

    def test_command_lines(self):
        with self.outbox.raw() as client:
            client.say("EHLO client.example")
            self.assertTrue(client.say("NOOP " + "x" * 100_000).startswith("500"))
            self.assertTrue(client.say("NOOP").startswith("250"))
            for line in ("MAIL FROM:<a@exa\0mple.com>", "MAIL FROM:<a@example.com", "MAIL FROM:a b", "MAIL TO:<a@b.c>",
                         "MAIL FROM:<a@example.com> NONSENSE=1", "MAIL FROM:<a@example.com> SIZE=-1",
                         f"MAIL FROM:<{'a' * 300}@example.com>"):
                self.assertTrue(client.say(line).startswith("5"), line)
            self.assertTrue(client.say("MAIL FROM:<>").startswith("250"))
            for line in ("RCPT TO:<>", "RCPT TO:<a@b@c>", "RCPT FROM:<a@dest.example>", "RCPT TO:<a@dest.example> X=1"):
                self.assertTrue(client.say(line).startswith("5"), line)

    def test_a_client_that_never_ends_its_line(self):
        with self.outbox.raw() as client:
            with contextlib.suppress(OSError):
                for _ in range(64):
                    client.write(b"x" * 65536)
                client.socket.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                client.reply()

    def test_many_connections_at_once(self):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.outbox.raw()) for _ in range(40)]
            for client in clients:
                self.transaction(client)
            for client in clients:
                client.write(mail(body="together\r\n") + b".\r\n")
            self.assertEqual({client.reply()[:3] for client in clients}, {"250"})
        self.assertTrue(self.smarthost.wait_for(40))


class ConnectionsPerUser(OutboxTest):
    def test_connections_max(self):
        outbox = self.start_outbox(self.start_smarthost(), access=[{"user": "*", "connections-max": 3}])
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                self.assertTrue(stack.enter_context(outbox.raw()).greeting.startswith("220"))
            self.assertTrue(stack.enter_context(outbox.raw()).greeting.startswith("421 4.7.0"))

        def is_welcome():
            with outbox.raw() as client:
                return client.greeting.startswith("220")
        wait_until(is_welcome, "the others' end is noticed")


class Smarthosts(OutboxTest):
    """Limits towards the smarthost, and what it has not or will not take."""

    def test_recipients_max_splits(self):
        smarthost = self.start_smarthost()
        outbox = self.start_outbox({"relay": self.settings_for(smarthost, recipients_max=10)})
        recipients = [f"r{number}@dest.example" for number in range(35)]
        queue_id = outbox.submit(mail(), recipients)
        outbox.wait_message(queue_id, "delivered")
        self.assertLessEqual(max(len(message.recipients) for message in smarthost.messages), 10)
        self.assertEqual(sorted(r for message in smarthost.messages for r in message.recipients), sorted(recipients))

    def test_the_smarthosts_own_recipient_limit(self):
        smarthost = self.start_smarthost(recipients_max=7)
        outbox = self.start_outbox(smarthost)
        recipients = [f"r{number}@dest.example" for number in range(30)]
        queue_id = outbox.submit(mail(), recipients)
        outbox.wait_message(queue_id, "delivered")
        self.assertEqual(sorted(r for message in smarthost.messages for r in message.recipients), sorted(recipients))

    def test_connections_max(self):
        smarthost = self.start_smarthost()
        outbox = self.start_outbox({"relay": self.settings_for(smarthost, connections_max=2)})
        for number in range(40):
            outbox.submit(mail(body=f"{number}\r\n"), f"r{number}@dest.example")
        outbox.wait_empty()
        self.assertLessEqual(smarthost.connections, 2)

    def test_messages_per_connection(self):
        smarthost = self.start_smarthost()
        outbox = self.start_outbox({"relay": self.settings_for(smarthost, connections_max=1, messages_per_connection=5)})
        for number in range(20):
            outbox.submit(mail(), f"r{number}@dest.example")
        outbox.wait_empty()
        counts = [sum(m.connection == connection for m in smarthost.messages)
                  for connection in range(1, smarthost.connections + 1)]
        self.assertLessEqual(max(counts), 5)

    def test_what_the_smarthost_cannot_take(self):
        for name, data, options, extensions, size_max in (
                ("too large", mail(body="x" * 70 + "\r\n" + 3000 * "a long line of text\r\n"), [],
                 ("SIZE", "PIPELINING"), 10_000),
                ("8-bit", mail(body="Ä\r\n"), ["BODY=8BITMIME"], ("PIPELINING",), 1 << 20)):
            with self.subTest(name):
                smarthost = self.start_smarthost(name=name, extensions=extensions, size_max=size_max)
                outbox = self.start_outbox(smarthost)
                queue_id = outbox.submit(data, "a@dest.example", options=options)
                message = outbox.wait_message(queue_id, lambda m: m["state"] in ("failed", "delivered"))
                if message["state"] == "failed":   # else it was made to fit, which the smarthost has checked
                    self.assertEqual(message["recipients"][0]["class"], "data-error")

    def test_a_trickling_smarthost_does_not_stop_the_others(self):
        slow, good = self.start_smarthost(name="slow"), self.start_smarthost(name="good")
        slow.refuse("ehlo", "250-slow.test\n250 SIZE 1", trickle=1)
        outbox = self.start_outbox({"slow": self.settings_for(slow), "good": self.settings_for(good)},
                                   routes=[{"recipient": "*@slow.example", "smarthosts": ["slow"]},
                                           {"smarthosts": ["good"]}])
        outbox.expected_warnings.append("smarthost=slow")
        waiting = outbox.submit(mail(), "a@slow.example")
        for _ in range(10):
            outbox.wait_message(outbox.submit(mail(), "a@dest.example"), "delivered")
        self.assertEqual(outbox.show(waiting)["state"], "queued")


if __name__ == "__main__":
    unittest.main()
