#!/usr/bin/env python3
"""The main job before the reader's eyes: from three programs through the queue to a smarthost, and what can be seen of it.

usage: demo.py FOLDER          with outboxd, outbox and sendmail in it

Every command is shown as one would type it, and is run as it is shown. Everything lives in a temporary folder and
nothing is left running. Exit status 0 if all happened that should, 1 with the reason if not.
"""
import atexit
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
DEADLINE_S = 60

CONFIG = """\
hostname          = "app1.example.com";
default-domain    = "example.com";
state-directory   = "{folder}/state";
drop-directory    = "none";
runtime-directory = "{folder}/run";

smarthosts = {{
    relay = {{
        host = "127.0.0.1"; port = {port}; tls = "starttls"; ca-file = "{folder}/smarthost/ca.pem";
        username = "app"; password-file = "relay";
    }};
}};
retry = {{ first = "1s"; factor = 2; max = "5s"; jitter = 0; }};
"""

APPLICATION = '''\
import email.message, smtplib, socket, sys

class Outbox(smtplib.SMTP):
    def _get_socket(self, path, port, timeout):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        return connection

message = email.message.EmailMessage()
message["From"] = "Billing <billing@example.com>"
message["To"] = ", ".join(sys.argv[1:])
message["Subject"] = "Invoice 4711"
message.set_content("Thank you for your order.\\n")
with Outbox("run/submit.sock", local_hostname="localhost") as outbox:
    print("refused at once:", outbox.send_message(message) or "nobody")
'''

FIRST_MAIL = """\
From: Nightly backup <backup@example.com>
To: admin@customer.example
Bcc: archive@customer.example
Subject: Backup finished

All 42 tables are safe.
"""


class Disappointed(Exception):
    """Something did not happen that should have."""


class Demo:
    def __init__(self, programs):
        self.is_terminal = sys.stdout.isatty()
        self.step_number = 0
        self.running = []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="outbox-demo-"))
        self.environment = {**os.environ, "OUTBOX_CONFIG": str(self.folder / "outbox.conf"),
                            "PATH": f"{programs}:{os.environ.get('PATH', '/usr/bin:/bin')}", "LC_ALL": "C.UTF-8"}
        atexit.register(self.leave_nothing)

    def leave_nothing(self):
        for process in reversed(self.running):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.running = []
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- telling ---

    def step(self, text):
        self.step_number += 1
        bold, plain = ("\033[1m", "\033[0m") if self.is_terminal else ("", "")
        print(f"\n{bold}{self.step_number}. {text}{plain}", flush=True)

    def show(self, text):
        print(textwrap.indent(text.rstrip("\n"), "    "), flush=True)

    # --- doing ---

    def run(self, command, data=None, status=0):
        """Runs a command line in the demo's folder, as shown; returns what it printed."""
        typed = command if data is None else f"{command} <<'END'\n{data}END"
        self.show(f"$ {typed}")
        done = subprocess.run(["sh", "-c", typed], cwd=self.folder, env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=DEADLINE_S)
        if done.stdout:
            self.show(done.stdout)
        self.expect(done.returncode == status, f"`{command}` ended with {done.returncode}, not {status}")
        return done.stdout

    def start(self, command, log):
        """Starts a command that keeps running, with its output in a file."""
        self.show(f"$ {command} 2> {log} &")
        with open(self.folder / log, "wb") as output:
            process = subprocess.Popen(["sh", "-c", f"exec {command}"], cwd=self.folder, env=self.environment,
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.running.append(process)
        return process

    def expect(self, condition, what):
        if not condition:
            raise Disappointed(what)

    def wait(self, condition, what):
        """The first true value of condition()."""
        end = time.monotonic() + DEADLINE_S
        while True:
            value = condition()
            if value:
                return value
            for process in self.running:
                self.expect(process.poll() is None, f"{what}: `{process.args[-1]}` ended with {process.returncode}")
            self.expect(time.monotonic() < end, f"{what}: not within {DEADLINE_S} seconds")
            time.sleep(0.05)

    def messages(self, *filters):
        """What `outbox list --json` knows."""
        done = subprocess.run(["outbox", "list", *filters, "--json"], env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=DEADLINE_S)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_message(self, sender, condition, what):
        return self.wait(lambda: next(filter(condition, self.messages(f"sender={sender}")), None), what)

    def received(self):
        return sorted((self.folder / "smarthost/messages").glob("*.eml"))

    # --- the story ---

    def prepare(self):
        print(f"outbox: the main job, step by step. Everything happens in {self.folder} and goes with it.")
        (self.folder / "credentials").mkdir()
        (self.folder / "run").mkdir()
        (self.folder / "state").mkdir(mode=0o700)
        secret = self.folder / "credentials/relay"
        secret.touch(0o600)
        secret.write_text(secrets.token_urlsafe() + "\n")
        (self.folder / "invoice.py").write_text(APPLICATION)
        shutil.copytree(TESTS / "fakes", self.folder / "fakes", ignore=shutil.ignore_patterns("*.c", "*.h", "__*"))

    def start_smarthost(self):
        self.step("A smarthost to deliver to: STARTTLS, a password, and a certificate made this minute.")
        process = self.start("python3 fakes/smarthost.py --directory smarthost --user app "
                             "--password-file credentials/relay", "smarthost.log")
        ports = self.folder / "smarthost/ports.json"
        self.wait(ports.exists, "the smarthost listens")
        return json.loads(ports.read_text())["starttls"]

    def start_daemon(self, port):
        self.step("The whole configuration. The password is not in it; the certificate is trusted by ca-file.")
        (self.folder / "outbox.conf").write_text(CONFIG.format(folder=self.folder, port=port))
        self.run("cat outbox.conf")
        self.run("outboxd -c outbox.conf --check")
        self.step("The daemon. From here on, programs hand over their mail and need not wait for anybody.")
        process = self.start("outboxd -c outbox.conf", "outboxd.log")
        self.wait((self.folder / "run/submit.sock").exists, "outboxd listens")
        self.wait(lambda: subprocess.run(["outbox", "status"], env=self.environment, capture_output=True,
                                         timeout=DEADLINE_S).returncode == 0, "outboxd answers")
        return process

    def send_by_sendmail(self):
        self.step("A mail through sendmail: exit 0 means that it is on the disk, synced.")
        self.run("sendmail -t -i", FIRST_MAIL)
        self.wait(lambda: len(self.received()) == 1, "the mail arrives at the smarthost")
        self.step("The same mail as the smarthost received it: Bcc is gone; Received, Date and Message-ID are there.")
        text = self.run("cat smarthost/messages/000001.eml")
        self.expect("All 42 tables are safe." in text and "Message-ID:" in text, "the mail is complete")
        self.expect("Bcc" not in text, "Bcc is removed")

    def send_by_python(self):
        self.step("A Python program, with smtplib over the Unix socket.")
        self.run("cat invoice.py")
        self.run("python3 invoice.py customer@shop.example")
        self.wait(lambda: len(self.received()) == 2, "the second mail arrives")

    def send_to_two(self):
        self.step("Two recipients, and the smarthost will refuse one of them. First it is told to:")
        self.behave([{"stage": "rcpt", "match": "nobody@*", "reply": "550 5.1.1 No such user here"}])
        self.run("python3 invoice.py anna@shop.example nobody@shop.example")
        message = self.wait(lambda: next((m for m in self.messages("recipient=nobody@*", "state=failed")), None),
                            "one recipient is refused")
        self.wait(lambda: len(self.received()) == 3, "the other one gets the mail")
        self.step("Nobody has to guess: what is in the spool, who got it, who did not and why.")
        self.run("outbox list all")
        self.run(f"outbox show {message['id']}")
        states = {r["address"]: (r["state"], r["class"]) for r in self.messages(message["id"])[0]["recipients"]}
        self.expect(states == {"anna@shop.example": ("delivered", None),
                               "nobody@shop.example": ("failed", "recipients-refused")}, f"the outcomes: {states}")

    def have_trouble(self):
        self.step("Trouble: the smarthost answers 451 to every recipient.")
        self.behave([{"stage": "rcpt", "reply": "451 4.7.1 Greylisted, come back later"}])
        self.run("sendmail -f reports@example.com -i boss@customer.example", "Subject: Weekly figures\n\nUp again.\n")
        message = self.wait_message("reports@example.com", lambda m: m["recipients"][0]["attempts"] >= 2,
                                    "the mail is tried again")
        self.step("The program went on long ago. The mail waits, and it is known for what and until when.")
        self.run("outbox list")
        self.run(f"outbox why {message['id']}")
        self.expect(len(self.received()) == 3, "nothing was delivered meanwhile")
        self.step("The smarthost recovers; the next attempt gets through by itself.")
        self.behave([])
        self.wait(lambda: not self.messages(), "the mail is delivered")
        self.run(f"outbox show {message['id']}")
        self.run(f"outbox log {message['id']}")
        self.expect(len(self.received()) == 4, "it was delivered once")
        recipient = self.messages(message["id"])[0]["recipients"][0]
        self.expect(recipient["state"] == "delivered" and recipient["attempts"] >= 3, "delivered at a later attempt")

    def behave(self, rules):
        self.run(f"echo '{json.dumps(rules)}' > smarthost/behaviour.new && "
                 "mv smarthost/behaviour.new smarthost/behaviour.json")

    def end(self, smarthost, daemon):
        self.step("The end: SIGTERM, and both leave cleanly.")
        for process, name in ((daemon, "outboxd"), (smarthost, "the smarthost")):
            process.send_signal(signal.SIGTERM)
            status = process.wait(DEADLINE_S)
            self.show(f"{name} ended with {status}")
            self.expect(status == 0, f"{name} ends cleanly")

    def play(self):
        self.prepare()
        port = self.start_smarthost()
        daemon = self.start_daemon(port)
        self.send_by_sendmail()
        self.send_by_python()
        self.send_to_two()
        self.have_trouble()
        self.end(self.running[0], daemon)
        print("\nThat was the main job. README has the five-minute set-up for a real provider.")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    programs = pathlib.Path(sys.argv[1]).resolve()
    for name in ("outboxd", "outbox", "sendmail"):
        if not os.access(programs / name, os.X_OK):
            sys.exit(f"demo: {programs / name} is missing: build first")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))   # so that nothing is left running
    demo = Demo(programs)
    try:
        demo.play()
    except (Disappointed, subprocess.TimeoutExpired, OSError) as reason:
        print(f"\ndemo: expected, but did not happen: {reason}", file=sys.stderr)
        for log in ("outboxd.log", "smarthost.log"):
            path = demo.folder / log
            if path.exists():
                print(f"--- {log}\n{path.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
