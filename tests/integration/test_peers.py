"""Delivery to smarthosts that nobody here wrote: Postfix (STARTTLS, SASL), Exim (TLS from the start), and smtp-sink
with everything that it can refuse."""
import os
import subprocess
import sys
import unittest

from harness import DEADLINE_S, OutboxTest, PARKED, mail, peer, wait_until   # first: it knows where the others are
import exim
import fetch
import postfix
import sinks
from certificates import make_certificate

PASSWORD = "secret7of9"


class Peers(OutboxTest):
    def login(self, port, tls, password=PASSWORD):
        """Settings of a smarthost with our certificate, and its password file."""
        return {"host": "localhost", "port": port, "tls": tls, "ca-file": str(self.folder / "ca/ca.pem"),
                "username": "app", "password-file": "peer"}

    def write_password(self, outbox, password=PASSWORD):
        path = outbox.folder / "credentials/peer"
        path.touch(0o600)
        path.write_text(password + "\n")

    def deliver_and_be_refused(self, settings, received):
        """A good recipient, and the same with a wrong password first."""
        outbox = self.make_outbox({"relay": settings})
        self.write_password(outbox, "wrong")
        outbox.expected_warnings.append(PARKED)
        outbox.start()
        queue_id = outbox.submit(mail(body=".through a real peer\r\n"), "good@dest.example")
        outbox.wait_message(queue_id, lambda m: m["recipients"][0]["waiting"] in ("account", "smarthost"))
        self.assertEqual(outbox.show(queue_id)["recipients"][0]["attempts"], 0)
        self.write_password(outbox)
        outbox.reload()
        wait_until(lambda: outbox.run("outbox", "smarthost", "unpark", "relay").returncode == 0
                   and outbox.show(queue_id)["state"] == "delivered", "the right password", step=0.5)
        wait_until(lambda: any(".through a real peer" in text for text in received()), "arrival")
        return outbox


class PostfixPeer(Peers):
    """Needs root: Postfix's master does."""

    def setUp(self):
        super().setUp()
        reason = postfix.check()
        if reason is not None:
            self.skipTest(reason)
        self.root = peer("postfix")
        self.next_hop = self.start_smarthost(name="next", users={})

    def make_users(self, config, realm):
        """A user database for Cyrus SASL; Debian's Postfix looks for smtpd.conf below its own configuration."""
        folder = config / "sasl"
        folder.mkdir(parents=True)
        tools = peer("sasl2-bin")
        subprocess.run([tools / "usr/sbin/saslpasswd2", "-p", "-c", "-f", folder / "users", "-u", realm, "app"],
                       input=PASSWORD.encode(), check=True, timeout=DEADLINE_S,
                       env={**os.environ, **self.sasl_plugins(), "LD_LIBRARY_PATH": fetch.library_path(tools)})
        (folder / "users").chmod(0o644)
        (folder / "smtpd.conf").write_text("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n"
                                           f"sasldb_path: {folder}/users\n")

    def sasl_plugins(self):
        roots = peer("libsasl2-modules"), peer("libsasl2-modules-db")
        return {"SASL_PATH": ":".join(str(path) for root in roots for path in root.glob("usr/lib/*/sasl2"))}

    def start_postfix(self):
        certificate, key = make_certificate(self.folder / "ca")
        settings = {
            "relayhost": f"[127.0.0.1]:{self.next_hop.ports['plain']}",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            "smtpd_recipient_restrictions": "check_recipient_access inline:{{nobody@dest.example = 550 5.1.1 No such user}}",
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_local_domain": "postfix.example",
            "smtpd_tls_security_level": "encrypt",
            "smtpd_tls_auth_only": "yes",
            "smtpd_tls_cert_file": certificate,
            "smtpd_tls_key_file": key,
        }
        implicit = postfix.free_port()
        service = f"127.0.0.1:{implicit} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes"
        server = postfix.Postfix(self.root, self.folder / "postfix", settings, services=[service], log="mail.log",
                                 environment=self.sasl_plugins())
        self.make_users(server.config, "postfix.example")
        server.start()
        self.addCleanup(server.stop)
        return server, implicit

    def received(self):
        return [message.data.decode() for message in self.next_hop.messages]

    def test_starttls_and_sasl(self):
        server, _ = self.start_postfix()
        try:
            outbox = self.deliver_and_be_refused(self.login(server.port, "starttls"), self.received)
            ids = [outbox.submit(mail(body=f"{number}\r\n"), [f"r{number}@dest.example", "nobody@dest.example"])
                   for number in range(10)]
            for queue_id in ids:
                outbox.wait_message(queue_id, "failed")
            rows = [row for queue_id in ids for row in outbox.show(queue_id)["recipients"]]
            self.assertEqual(sorted({(row["state"], row["class"], row["enhanced"]) for row in rows
                                     if row["address"].startswith("nobody")}),
                             [("failed", "recipients-refused", "5.1.1")])
            self.assertEqual({row["state"] for row in rows if not row["address"].startswith("nobody")}, {"delivered"})
            self.assertTrue(self.next_hop.wait_for(11))
        except BaseException:
            print(server.last_words(), file=sys.stderr)
            raise

    def test_implicit_tls(self):
        _, port = self.start_postfix()
        self.deliver_and_be_refused(self.login(port, "implicit"), self.received)


class EximPeer(Peers):
    def test_implicit_tls_and_auth(self):
        roots = {package: peer(package) for package in exim.PACKAGES}
        certificate, key = make_certificate(self.folder / "ca")
        with exim.Exim(roots, self.folder / "exim", certificate, key, "app", PASSWORD) as server:
            try:
                outbox = self.deliver_and_be_refused(self.login(server.port, "implicit"), server.messages)
                queue_id = outbox.submit(mail(), ["ok@dest.example", "nobody@dest.example"])
                outbox.wait_message(queue_id, "failed")
                self.assertEqual(outbox.recipient(queue_id, "nobody@dest.example")["class"], "recipients-refused")
                self.assertEqual(outbox.recipient(queue_id, "ok@dest.example")["state"], "delivered")
            except BaseException:
                print(server.last_words(), file=sys.stderr)
                raise


# name, options of smtp-sink, what must be seen of the recipient within the deadline (a value, or several that will
# do). A row with `failed` is final; everything else must be delivered once the sink behaves.
QUEUED = {"state": "queued"}
UNTRIED = {"state": "queued", "attempts": 0}
PARKED_LANE = {"state": "queued", "attempts": 0, "waiting": ("smarthost", "account")}
BACKED_OFF = {"state": "queued", "attempts": 0, "waiting": "smarthost"}
RETRIED = {"state": "queued", "waiting": "retry", "attempts": 1}
IN_DOUBT = {"state": "in-doubt"}
DELIVERED = {"state": "delivered"}
REFUSALS = (
    ("soft-connect", ["-r", "CONNECT"], BACKED_OFF),
    ("soft-ehlo", ["-r", "EHLO,HELO"], BACKED_OFF),
    ("soft-mail", ["-r", "MAIL", "-b", "450 4.1.8 Sender domain not found now"], QUEUED),
    ("soft-rcpt", ["-r", "RCPT", "-b", "450 4.2.1 Greylisted"], {**RETRIED, "code": 450, "enhanced": "4.2.1"}),
    ("soft-data", ["-r", "DATA", "-b", "451 4.3.0 Local error"], {**QUEUED, "code": (451, None)}),
    ("soft-dot", ["-r", ".", "-b", "451 4.3.0 Local error"], {**QUEUED, "code": (451, None)}),
    ("hard-connect", ["-f", "CONNECT", "-B", "554 5.7.1 No service for you"], PARKED_LANE),
    ("hard-ehlo", ["-f", "EHLO,HELO", "-B", "550 5.7.1 Go away"], PARKED_LANE),
    ("hard-mail", ["-f", "MAIL", "-B", "550 5.7.1 You may not send as this"],
     {"state": "queued", "class": "sender-refused", "waiting": "sender"}),
    ("hard-mail-address", ["-f", "MAIL", "-B", "553 5.1.7 Bad sender address syntax"],
     {"state": "failed", "class": "sender-refused", "code": 553}),
    ("hard-rcpt", ["-f", "RCPT", "-B", "550 5.1.1 User unknown"],
     {"state": "failed", "class": "recipients-refused", "code": 550, "enhanced": "5.1.1", "attempts": 1}),
    ("hard-data", ["-f", "DATA", "-B", "554 5.6.0 Not this"], {"state": "failed", "class": "data-error", "code": 554}),
    ("hard-dot", ["-f", ".", "-B", "554 5.6.0 Not this text"],
     {"state": "failed", "class": "data-error", "code": 554, "enhanced": "5.6.0", "attempts": 1}),
    ("hard-rset-quit", ["-f", "RSET,QUIT"], DELIVERED),
    ("cut-connect", ["-q", "CONNECT"], UNTRIED),
    ("cut-ehlo", ["-q", "EHLO,HELO"], UNTRIED),
    ("cut-mail", ["-q", "MAIL"], QUEUED),
    ("cut-rcpt", ["-q", "RCPT"], QUEUED),
    ("cut-data", ["-q", "DATA"], QUEUED),
    ("cut-dot", ["-q", "."], IN_DOUBT),
    ("cut-quit", ["-q", "QUIT"], DELIVERED),
    ("bye-connect", ["-Q", "CONNECT"], BACKED_OFF),
    ("bye-ehlo", ["-Q", "EHLO"], BACKED_OFF),
    ("bye-mail", ["-Q", "MAIL"], UNTRIED),
    ("bye-rcpt", ["-Q", "RCPT"], QUEUED),
    ("bye-data", ["-Q", "DATA"], QUEUED),
    ("bye-dot", ["-Q", "."], QUEUED),
    ("abort-in-data", ["-A", "0"], {"state": ("failed", "queued", "in-doubt")}),
    ("no-esmtp", ["-e"], DELIVERED),
    ("pix", ["-P"], DELIVERED),
    ("no-pipelining", ["-p"], DELIVERED),
    ("no-enhanced-codes", ["-E", "-8", "-N", "-a", "-C", "-F"], DELIVERED),
    # smtp-sink mixes up pipelined commands when it waits before one of them.
    ("wait-mail", ["-p", "-W", "MAIL:1"], DELIVERED),
    ("wait-rcpt-and-dot", ["-p", "-W", "RCPT:1", "-W", ".:1", "-w", "1"], DELIVERED),
    ("wait-in-data", ["-H", "1", "-T", "2048"], DELIVERED),
)


class Sink(Peers):
    def test_refusals_and_recovery(self):
        """All at once, each its own smarthost: trouble of one must not be trouble of another."""
        root = peer("postfix")
        running = {}
        for name, options, _ in REFUSALS:
            # Where the options may belong to the super-user only, -R is one of them.
            jail = ["-R", "/"] if os.geteuid() == 0 and name == "pix" else []
            running[name] = sinks.SmtpSink(root, self.folder / f"sink-{name}", *options, *jail).start()
            self.addCleanup(running[name].stop)
        outbox = self.start_outbox(
            {name: {"host": "127.0.0.1", "port": sink.port, "tls": "none"} for name, sink in running.items()},
            routes=[*({"recipient": f"*@{name}.example", "smarthosts": [name]} for name in running),
                    {"smarthosts": [REFUSALS[0][0]]}],
            retry={"first": "1h", "factor": 1, "max": "1h", "jitter": 0})
        outbox.expected_warnings.append("smarthost=")
        ids = {name: outbox.submit(mail(), f"to@{name}.example", sender=f"from@{name}.example") for name in running}
        for name, _, expected in REFUSALS:
            with self.subTest(name):
                outbox.wait_message(ids[name], lambda m: fits(m["recipients"][0], expected), timeout=30)
        for name, _, _ in REFUSALS:
            running[name].stop()
            running[name].start(options=())
        outbox.outbox("retry", "state=queued", "--yes")
        outbox.outbox("retry", "state=in-doubt", "--yes")
        for name, _, expected in REFUSALS:
            with self.subTest(name, part="recovery"):
                if expected["state"] == "failed" or outbox.show(ids[name])["state"] == "failed":
                    continue
                outbox.run("outbox", "smarthost", "unpark", name)
                outbox.wait_message(ids[name], "delivered", timeout=30)
                self.assertTrue(any(f"to@{name}.example" in text for text in running[name].messages()))


def fits(recipient, expected):
    """Whether the recipient shows the expected values; a tuple lists all that will do."""
    return all(recipient[key] in (value if isinstance(value, tuple) else (value,)) for key, value in expected.items())


if __name__ == "__main__":
    unittest.main()
