"""Stops, starts and trouble of the smarthost: the mail stays, and goes on where it was."""
import signal
import socket
import sqlite3
import unittest

from harness import BACKING_OFF, DEADLINE_S, OutboxTest, PARKED, Rule, libconfig, mail, wait_until

STOP_WITHIN_S = 10     # promised
EXIT_START = 71        # outboxd(8)
EXIT_MARGIN_S = 10     # for a sanitizer's leak check on a loaded machine


class Stop(OutboxTest):
    def stop_during(self, stage):
        """SIGTERM while the smarthost lets us wait at a stage; afterwards the message must still get through."""
        smarthost = self.start_smarthost()
        smarthost.behave(Rule(stage, delay=600))
        outbox = self.start_outbox(smarthost)
        queue_id = outbox.submit(mail(), "a@dest.example")
        self.assertTrue(smarthost.wait_for(lambda: any(event["event"] == "delayed" for event in smarthost.events)))
        status, seconds = outbox.terminate()
        self.assertEqual(status, 0)
        self.assertLess(seconds, STOP_WITHIN_S + EXIT_MARGIN_S)
        smarthost.disconnect()
        smarthost.behave()
        outbox.expected_warnings.append("in-doubt")
        outbox.start()
        # The smarthost has taken what it let us wait for after the dot; nobody here can know.
        is_taken = stage == "end-of-data"
        if is_taken:
            outbox.wait_message(queue_id, "in-doubt")
            outbox.outbox("retry", queue_id)
        outbox.wait_message(queue_id, "delivered")
        self.assertEqual(len(smarthost.messages), 2 if is_taken else 1)

    def test_sigterm_while_connecting(self):
        self.stop_during("connect")

    def test_sigterm_before_the_text(self):
        self.stop_during("data")

    def test_sigterm_after_the_final_dot(self):
        self.stop_during("end-of-data")

    def test_clients_are_told(self):
        outbox = self.start_outbox(self.start_smarthost())
        with outbox.raw() as client:
            client.say("EHLO client.example")
            outbox.process.send_signal(signal.SIGTERM)
            self.assertRegex(client.reply(), r"^421 4\.3\.2 ")
            self.assertEqual(client.reply(), "")
        self.assertEqual(outbox.process.wait(DEADLINE_S), 0)
        outbox.process = None

    def test_a_client_that_does_not_read_is_no_obstacle(self):
        outbox = self.start_outbox(self.start_smarthost())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(outbox.runtime / "control.sock"))
            client.settimeout(1)
            with self.assertRaises(TimeoutError):
                while True:
                    client.send(b'{"command": "status"}\n' * 100)
            status, seconds = outbox.terminate()
        self.assertEqual(status, 0)
        self.assertLess(seconds, STOP_WITHIN_S + EXIT_MARGIN_S)

    def test_the_queue_survives(self):
        smarthost = self.start_smarthost()
        smarthost.stop()
        outbox = self.start_outbox(smarthost)
        outbox.expected_warnings.append(BACKING_OFF)
        ids = [outbox.submit(mail(body=f"{number}\r\n"), f"r{number}@dest.example") for number in range(20)]
        for _ in range(2):
            outbox.stop()
            outbox.start()
            self.assertEqual(sorted(message["id"] for message in outbox.json("list")), sorted(ids))
        smarthost.start()
        outbox.wait_empty()
        self.assertEqual(sorted(message.recipients[0] for message in smarthost.messages),
                         sorted(f"r{number}@dest.example" for number in range(20)))
        for queue_id in ids:
            self.assertEqual(outbox.show(queue_id)["recipients"][0]["attempts"], 1)

    def test_only_one_daemon_per_spool(self):
        outbox = self.start_outbox(self.start_smarthost())
        second = outbox.run("outboxd", "-c", outbox.config)
        self.assertNotEqual(second.returncode, 0)
        self.assertNotEqual(second.stderr, b"")
        queue_id = outbox.submit(mail(), "a@dest.example")
        outbox.wait_message(queue_id, "delivered")

    def test_a_socket_in_use_ends_the_start(self):
        outbox = self.start_outbox(self.start_smarthost())
        second = outbox.folder / "second.conf"
        settings = {**outbox.settings, "state-directory": str(outbox.folder / "second")}
        second.write_text("".join(f"{key} = {libconfig(value)};\n" for key, value in settings.items()))
        done = outbox.run("outboxd", "-c", second)
        self.assertEqual(done.returncode, EXIT_START)
        self.assertIn("another process is listening there", done.stderr.decode())

    def test_a_damaged_or_newer_spool_is_refused_untouched(self):
        outbox = self.start_outbox(self.start_smarthost())
        outbox.submit(mail(), "a@dest.example")
        outbox.wait_empty()
        outbox.stop()
        spool = outbox.state / "spool.db"
        good = spool.read_bytes()

        def newer():
            with sqlite3.connect(spool) as database:
                database.execute("PRAGMA user_version = 9999")
            database.close()

        for name, spoil in (("newer", newer), ("no database", lambda: spool.write_bytes(b"nothing of ours\n" * 999)),
                            ("cut", lambda: spool.write_bytes(good[:len(good) // 2])),
                            ("another program's", lambda: self.foreign(spool))):
            with self.subTest(name):
                spoil()
                before = spool.read_bytes()
                done = outbox.run("outboxd", "-c", outbox.config)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("spool.db", done.stderr.decode())
                self.assertEqual(spool.read_bytes(), before)
                spool.write_bytes(good)
        outbox.start()
        self.assertEqual(len(outbox.json("list", "all")), 1)

    def foreign(self, spool):
        spool.unlink()
        database = sqlite3.connect(spool)
        database.execute("CREATE TABLE diary(day TEXT, text TEXT)")
        database.close()
        spool.chmod(0o600)


class Trouble(OutboxTest):
    """Trouble of the smarthost is not an attempt of any message."""

    def setUp(self):
        super().setUp()
        self.smarthost = self.start_smarthost()
        self.outbox = self.start_outbox(self.smarthost)

    def recipients(self):
        return [recipient for message in self.outbox.json("list") for recipient in message["recipients"]]

    def test_421_backs_off_the_smarthost(self):
        for stage in ("connect", "ehlo", "mail"):
            with self.subTest(stage):
                self.outbox.expected_warnings.append(BACKING_OFF)
                self.smarthost.disconnect()
                self.smarthost.behave(Rule(stage, reply="421 4.3.2 Restarting"))
                for number in range(5):
                    self.outbox.submit(mail(), f"r{number}@dest.example")
                self.smarthost.wait_for(lambda: sum(e["event"] == "refused" and e["stage"] == stage
                                                    for e in self.smarthost.events) >= 2)
                self.assertEqual({row["attempts"] for row in self.recipients()}, {0})
                self.smarthost.behave()
                self.outbox.wait_empty()

    def test_nobody_listens(self):
        self.outbox.expected_warnings.append(BACKING_OFF)
        self.smarthost.stop()
        queue_id = self.outbox.submit(mail(), "a@dest.example")
        message = self.outbox.wait_message(queue_id, lambda m: m["recipients"][0]["waiting"] == "smarthost")
        self.assertEqual(message["recipients"][0]["attempts"], 0)
        self.assertRegex(self.outbox.outbox("why", queue_id), "(?i)refused")
        self.smarthost.start()
        self.outbox.wait_message(queue_id, "delivered")

    def test_a_refused_password_parks_and_survives_a_restart(self):
        self.outbox.expected_warnings.append(PARKED)
        self.smarthost.refuse("auth", "535 5.7.8 Wrong password")
        ids = [self.outbox.submit(mail(), f"r{number}@dest.example") for number in range(3)]
        for queue_id in ids:
            self.outbox.wait_message(queue_id, lambda m: m["recipients"][0]["waiting"] in ("account", "smarthost"))
        wait_until(lambda: self.outbox.run("outbox", "status").returncode == 1, "status 1")
        for _ in range(2):
            self.outbox.stop()
            tries = sum(event["event"] == "refused" for event in self.smarthost.events)
            self.outbox.start()
            self.assertEqual(sorted(m["id"] for m in self.outbox.json("list")), sorted(ids))
            self.assertEqual(self.outbox.run("outbox", "status").returncode, 1)
            self.assertIn("Wrong password", self.outbox.outbox("status", status=1))
            # A lock-out is near: the password must not be tried with every start.
            self.assertEqual(sum(event["event"] == "refused" for event in self.smarthost.events), tries)
        self.assertEqual({row["attempts"] for row in self.recipients()}, {0})
        self.smarthost.behave()
        self.outbox.outbox("smarthost", "unpark", "relay")
        self.outbox.wait_empty()
        self.assertEqual(len(self.smarthost.messages), 3)

    def test_lost_after_the_dot_is_in_doubt(self):
        self.outbox.expected_warnings.append("in-doubt")
        self.smarthost.behave(Rule("end-of-data", drop=True, store=True))
        queue_id = self.outbox.submit(mail(), "a@dest.example")
        self.outbox.wait_message(queue_id, "in-doubt")
        self.smarthost.behave()
        self.outbox.outbox("retry", queue_id)
        self.outbox.wait_message(queue_id, "delivered")
        self.assertEqual(len(self.smarthost.messages), 2)

    def test_dropped_elsewhere_is_tried_again(self):
        for stage in ("connect", "ehlo", "mail", "rcpt", "data"):
            with self.subTest(stage):
                self.outbox.expected_warnings.append(BACKING_OFF)
                before = len(self.smarthost.messages)
                self.smarthost.disconnect()
                self.smarthost.behave(Rule(stage, drop=True, times=2))
                queue_id = self.outbox.submit(mail(), "a@dest.example")
                self.outbox.wait_message(queue_id, "delivered")
                self.assertEqual(len(self.smarthost.messages), before + 1)

    def test_an_idle_session_that_died_costs_nothing(self):
        for _ in range(3):
            queue_id = self.outbox.submit(mail(), "a@dest.example")
            message = self.outbox.wait_message(queue_id, "delivered")
            self.assertEqual(message["recipients"][0]["attempts"], 1)
            self.smarthost.disconnect()


if __name__ == "__main__":
    unittest.main()
