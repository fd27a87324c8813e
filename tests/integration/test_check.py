"""outboxd --check: every error of a configuration in one run, with file and line; and reloading."""
import re
import unittest

from harness import OutboxTest, mail, wait_until

BAD = """\
hostnam = "app1.example.com";
state-directory = "{folder}/state";
runtime-directory = "{folder}/run";
message-lifetime = "5 fortnights";
workers = "many";
smarthosts = {{
    relay = {{ host = "mail.example.com"; tls = "perhaps"; }};
    plain = {{ host = "mail.example.com"; tls = "none"; }};
    open = {{ host = "localhost"; username = "app"; password-file = "readable"; }};
}};
routes = ( {{ smarthosts = [ "relai" ]; }} );
listen-tcp = [ "0.0.0.0:587" ];
"""
BAD_LINES = {1, 4, 5, 7, 8, 9, 11, 12}


class Check(OutboxTest):
    def check(self, outbox, text=None):
        if text is not None:
            outbox.config.write_text(text)
        done = outbox.run("outboxd", "-c", outbox.config, "--check")
        return done.returncode, (done.stdout + done.stderr).decode()

    def test_good(self):
        outbox = self.make_outbox(self.start_smarthost())
        self.assertEqual(self.check(outbox)[0], 0)
        self.assertFalse((outbox.state / "spool.db").exists())

    def test_every_error_has_its_line(self):
        outbox = self.make_outbox(self.start_smarthost())
        secret = outbox.folder / "credentials/readable"
        secret.write_text("secret\n")
        secret.chmod(0o644)
        status, text = self.check(outbox, BAD.format(folder=outbox.folder))
        self.assertEqual(status, 78, text)
        lines = {int(number) for number in re.findall(rf"^{re.escape(str(outbox.config))}:(\d+): ", text, re.M)}
        self.assertEqual(lines, BAD_LINES, text)
        self.assertIn('"hostname"', text.replace("'", '"').replace("did you mean hostname", 'did you mean "hostname"'))
        self.assertNotIn("secret\n", text.split("credentials")[0])

    def test_syntax_error(self):
        outbox = self.make_outbox(self.start_smarthost())
        status, text = self.check(outbox, 'hostname = "a";\nsmarthosts = {\n  relay = ( };\n')
        self.assertEqual(status, 78)
        self.assertRegex(text, rf"(?m)^{re.escape(str(outbox.config))}:3: ")

    def test_no_such_file(self):
        outbox = self.make_outbox(self.start_smarthost())
        done = outbox.run("outboxd", "-c", outbox.folder / "missing.conf", "--check")
        self.assertEqual(done.returncode, 78)
        self.assertIn(b"missing.conf", done.stderr + done.stdout)

    def test_a_bad_one_does_not_start(self):
        outbox = self.make_outbox(self.start_smarthost())
        outbox.config.write_text("nonsense = 1;\n")
        done = outbox.run("outboxd", "-c", outbox.config)
        self.assertEqual(done.returncode, 78)

    def test_usage(self):
        outbox = self.make_outbox(self.start_smarthost())
        self.assertEqual(outbox.run("outboxd", "--nonsense").returncode, 64)
        self.assertEqual(outbox.run("outboxd", "--help").returncode, 0)
        self.assertEqual(outbox.run("outboxd", "--version").returncode, 0)

    def test_reload(self):
        first, second = self.start_smarthost(name="first"), self.start_smarthost(name="second")
        outbox = self.start_outbox({"first": self.settings_for(first)})
        outbox.wait_message(outbox.submit(mail(), "a@dest.example"), "delivered")

        good = outbox.config.read_text()
        outbox.expected_warnings += ["reload", "config", re.escape(str(outbox.config))]
        outbox.config.write_text(good + "nonsense = 1;\n")
        outbox.reload()
        wait_until(lambda: "nonsense" in outbox.log(), "the reason in the log")
        outbox.wait_message(outbox.submit(mail(), "a@dest.example"), "delivered")
        self.assertEqual((len(first.messages), len(second.messages)), (2, 0))

        outbox.settings["smarthosts"] = {"second": self.settings_for(second)}
        outbox.write_config()
        outbox.reload()

        def goes_to_second():
            outbox.wait_message(outbox.submit(mail(), "a@dest.example"), lambda m: True)
            return second.messages
        wait_until(goes_to_second, "the new smarthost", step=0.2)
        outbox.wait_empty()


if __name__ == "__main__":
    unittest.main()
