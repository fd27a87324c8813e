"""What the integration tests share: a private outboxd of the build under test, its clients, and a test case around them.

Nothing is installed and nothing outside a temporary folder is touched. $OUTBOX_BIN is the folder with the programs;
$OUTBOX_KEEP=1 keeps the temporary folders. Times here are deadlines, generous for a loaded machine under a sanitizer;
no test waits for one that passes.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "fakes"), str(TESTS / "peers")]
import fetch  # noqa: E402
from smarthost import Rule, Smarthost  # noqa: E402,F401

DEADLINE_S = 90
STOP_DEADLINE_S = 30      # DESIGN 1: 10 s; a sanitizer's leak check comes on top
REPORT = re.compile(r"(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:|MUST failed")
BACKING_OFF = r"backing-off smarthost="
PARKED = r"parked smarthost="
FINAL = ("delivered", "failed", "expired", "cancelled")
PASSWORD = "correct horse 7%\"\\"


class UnixSMTP(smtplib.SMTP):
    """smtplib over a Unix socket: this is what an application writes."""

    def _get_socket(self, host, port, timeout):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect(host)
        except OSError:
            connection.close()
            raise
        return connection


def programs():
    """The folder of outboxd, outbox and sendmail."""
    folder = os.environ.get("OUTBOX_BIN")
    if not folder or not os.access(pathlib.Path(folder) / "outboxd", os.X_OK):
        raise unittest.SkipTest(f"OUTBOX_BIN does not name a folder with outboxd: {folder!r}")
    return pathlib.Path(folder).resolve()


def peer(package):
    """The folder of a package of the distribution, fetched when it isn't there; the test is skipped when it can't be
    had, unless $OUTBOX_REQUIRE_PEERS says that this is a failure."""
    folder = os.environ.get("OUTBOX_PEERS")
    if not folder:
        raise unittest.SkipTest("OUTBOX_PEERS does not say where to unpack packages")
    try:
        return fetch.fetch(folder, package)
    except fetch.Unavailable as reason:
        if os.environ.get("OUTBOX_REQUIRE_PEERS"):
            raise
        raise unittest.SkipTest(f"cannot be fetched: {reason}") from None


def libconfig(value, indent=""):
    """A Python value in libconfig's syntax."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        inner = indent + "    "
        lines = [f"{inner}{key} = {libconfig(item, inner)};\n" for key, item in value.items()]
        return "{\n" + "".join(lines) + indent + "}"
    if isinstance(value, (list, tuple)):
        brackets = "()" if any(isinstance(item, dict) for item in value) else "[]"
        return brackets[0] + ", ".join(libconfig(item, indent) for item in value) + brackets[1]
    return str(value)


def wait_until(condition, what, timeout=DEADLINE_S, step=0.02):
    """The first true value of condition(); TimeoutError otherwise."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(step)


class Dialogue:
    """A connection on which a test says every byte itself. The greeting has been read."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def write(self, data, bytewise=False):
        data = data.encode() if isinstance(data, str) else data
        for at in range(len(data) if bytewise else 0):
            self.socket.sendall(data[at:at + 1])
        if not bytewise:
            self.socket.sendall(data)

    def reply(self):
        """The next reply, lines joined by newline, "" at the end of the connection."""
        lines = []
        while True:
            line = self.file.readline().decode().rstrip("\r\n")
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    def say(self, line):
        self.write(line + "\r\n")
        return self.reply()


class Outbox:
    """One outboxd with its configuration, spool and clients, all below one folder."""

    def __init__(self, folder, smarthosts, environment=None, **settings):
        self.folder = pathlib.Path(folder)
        self.runtime = self.folder / "run"
        self.state = self.folder / "state"
        self.config = self.folder / "outbox.conf"
        self.log_path = self.folder / "outboxd.log"
        self.submit_socket = str(self.runtime / "submit.sock")
        self.expected_warnings = [r"running as root"]
        self.environment = {**os.environ, "OUTBOX_CONFIG": str(self.config), **(environment or {})}
        self.environment.pop("JOURNAL_STREAM", None)   # else the log has another form
        self.process = None
        self.settings = {
            "hostname": "app1.example.com",
            "default-domain": "example.com",
            "state-directory": str(self.state),
            "drop-directory": "none",
            "runtime-directory": str(self.runtime),
            "workers": 2,
            "smarthosts": smarthosts,
            "retry": {"first": "1s", "factor": 1, "max": "1s", "jitter": 0},
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)   # another user's clients come here too
        credentials = self.folder / "credentials"
        credentials.mkdir(exist_ok=True)
        secret = credentials / "relay"
        secret.touch(0o600)
        secret.write_text(PASSWORD + "\n")
        for directory, mode in ((self.runtime, 0o755), (self.state, 0o700)):
            directory.mkdir(exist_ok=True)
            directory.chmod(mode)
        self.write_config()

    def write_config(self):
        self.config.write_text("".join(f"{key} = {libconfig(value)};\n" for key, value in self.settings.items()))

    # --- the daemon ---

    def start(self):
        """Starts outboxd and returns once it greets on its socket."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([programs() / "outboxd", "-c", self.config], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=self.environment)
        wait_until(self._is_ready, "outboxd greets")
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"outboxd ended with {self.process.returncode}:\n{self.log()[-4000:]}")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE_S)
            connection.connect(self.submit_socket)
            return connection.recv(4096).startswith(b"220")
        return False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL: nothing of the daemon's own runs any more."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def terminate(self, deadline=STOP_DEADLINE_S):
        """SIGTERM and the wait; returns the exit status and the seconds it took."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"outboxd did not end within {deadline} s of SIGTERM:\n{self.log()[-4000:]}") from None
        self.process = None
        return status, time.monotonic() - begin

    def stop(self):
        """Ends outboxd as an administrator does, and complains about whatever was not as it should be."""
        if self.process is not None:
            status, _ = self.terminate()
            if status != 0:
                raise AssertionError(f"outboxd ended with {status}:\n{self.log()[-4000:]}")
        complaints = self.complaints()
        if complaints:
            raise AssertionError("unexpected in the log of outboxd:\n" + "\n".join(complaints))

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def complaints(self):
        """Warnings that nobody announced, and everything a sanitizer said."""
        found = []
        for line in self.log().splitlines():
            is_known = any(re.search(pattern, line) for pattern in self.expected_warnings)
            if REPORT.search(line) or (is_warning(line) and not is_known):
                found.append(line)
        return found

    # --- its clients ---

    def run(self, program, *arguments, data=None, timeout=DEADLINE_S, **options):
        """Runs a client; the result has returncode, stdout and stderr (bytes)."""
        done = subprocess.run([programs() / program, *map(str, arguments)], input=data or b"", capture_output=True,
                              env=self.environment, timeout=timeout, **options)
        text = done.stderr.decode(errors="replace")
        if REPORT.search(text):
            raise AssertionError(f"{program} {arguments}: {text}")
        return done

    def outbox(self, *arguments, status=0, **options):
        """outbox(1); returns its output as text. status: the exit status that is expected, None for any."""
        done = self.run("outbox", *arguments, **options)
        if status is not None and done.returncode != status:
            raise AssertionError(f"outbox {' '.join(map(str, arguments))} ended with {done.returncode}, not {status}: "
                                 f"{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def json(self, *arguments, **options):
        """The objects that `outbox ... --json` prints."""
        return [json.loads(line) for line in self.outbox(*arguments, "--json", **options).splitlines()]

    def show(self, queue_id):
        return self.json("show", queue_id)[0]

    def recipient(self, queue_id, address):
        """One recipient object of a message."""
        rows = [row for row in self.show(queue_id)["recipients"] if row["address"] == address]
        if len(rows) != 1:
            raise AssertionError(f"{queue_id} has {len(rows)} recipients {address}")
        return rows[0]

    def wait_message(self, queue_id, condition, timeout=DEADLINE_S):
        """Until the message is in the state (a word) or condition(message) holds; returns it."""
        is_it = condition if callable(condition) else lambda message: message["state"] == condition
        last = None

        def look():
            nonlocal last
            last = self.show(queue_id)
            return is_it(last)
        try:
            wait_until(look, "message", timeout, step=0.1)
        except TimeoutError:
            raise AssertionError(f"{queue_id} is not as expected ({condition}): {json.dumps(last)}\n"
                                 f"{self.log()[-4000:]}") from None
        return last

    def wait_empty(self, timeout=DEADLINE_S):
        """Until every message is final."""
        try:
            wait_until(lambda: not self.json("list"), "an empty queue", timeout, step=0.2)
        except TimeoutError as error:
            raise AssertionError(f"{error}:\n{self.outbox('list')}\n{self.log()[-4000:]}") from None

    def smtp(self, timeout=DEADLINE_S):
        return UnixSMTP(self.submit_socket, local_hostname="localhost", timeout=timeout)

    def submit(self, message, recipients, sender="app@example.com", options=()):
        """One message by SMTP; returns its queue ID. Every recipient must be accepted."""
        recipients = [recipients] if isinstance(recipients, str) else recipients
        with self.smtp() as client:
            client.ehlo()
            expect(client.mail(sender, options), 250)
            for recipient in recipients:
                expect(client.rcpt(recipient), 250)
            return queued_id(client.data(message))

    def raw(self):
        """A connection to the submission socket for tests that write the dialogue themselves."""
        return Dialogue(self.submit_socket)

    def sendmail(self, *arguments, data, status=0):
        """sendmail(1); returns the result."""
        done = self.run("sendmail", *arguments, data=data)
        if status is not None and done.returncode != status:
            raise AssertionError(f"sendmail {arguments} ended with {done.returncode}: {done.stderr.decode()}")
        return done


def is_warning(line):
    """Whether a line of the log asks somebody to look. Lines are TIME LEVEL ID EVENT ..."""
    words = line.split(maxsplit=2)
    return len(words) < 2 or words[1] not in ("info", "debug")


def expect(reply, code):
    if reply[0] != code:
        raise AssertionError(f"expected {code}, heard {reply}")


def queued_id(reply):
    """The ID in `250 2.0.0 queued as ID`."""
    match = re.fullmatch(rb"2\.0\.0 queued as ([0-9A-Z]{10,26})", reply[1])
    if reply[0] != 250 or match is None:
        raise AssertionError(f"not accepted: {reply}")
    return match[1].decode()


def mail(subject="Hello", body="Hello.\r\n", sender="app@example.com", to="to@dest.example", **fields):
    """A plain message, as bytes with CRLF."""
    header = {"From": sender, "To": to, "Subject": subject,
              **{name.replace("_", "-"): value for name, value in fields.items()}}
    return ("".join(f"{name}: {value}\r\n" for name, value in header.items()) + "\r\n" + body).encode()


def split_message(data):
    """(list of header fields as (name, value with folds), body) of bytes with CRLF."""
    header, _, body = data.partition(b"\r\n\r\n")
    fields = [field.partition(b":") for field in re.split(rb"\r\n(?![ \t])", header) if field]
    return [(name.decode("latin-1"), value.strip()) for name, _, value in fields], body


class OutboxTest(unittest.TestCase):
    """A test with a folder of its own; what it starts is stopped and looked at again when it ends."""
    maxDiff = None

    def setUp(self):
        programs()
        base = os.environ.get("TMPDIR", "/tmp")
        # A socket's path has at most 107 bytes.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ob-", dir=base if len(base) < 60 else "/tmp"))
        self.folder.chmod(0o755)
        self.addCleanup(self._remove_folder)
        self.outboxes = []

    def _remove_folder(self):
        if os.environ.get("OUTBOX_KEEP"):
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start_smarthost(self, name="relay", **options):
        """A running smarthost whose violations fail the test."""
        options.setdefault("users", {"app": PASSWORD})
        smarthost = Smarthost(self.folder / f"smarthost-{name}", **options)
        smarthost.start()

        def finish():
            smarthost.stop()
            self.assertEqual(smarthost.violations, [])
        self.addCleanup(finish)
        return smarthost

    def settings_for(self, smarthost, listener="starttls", **more):
        """What the configuration says about a test smarthost. more: keys with _ for -."""
        more = {name.replace("_", "-"): value for name, value in more.items()}
        if listener == "plain":
            return {"host": "127.0.0.1", "port": smarthost.ports["plain"], "tls": "none", **more}
        login = {"username": "app", "password-file": "relay"} if smarthost.users else {}
        return {"host": "localhost", "port": smarthost.ports[listener], "tls": listener,
                "ca-file": str(smarthost.ca_file), **login, **more}

    def make_outbox(self, smarthosts, **settings):
        """An outboxd that is not yet started. smarthosts: a Smarthost, or NAME -> settings."""
        if isinstance(smarthosts, Smarthost):
            smarthosts = {"relay": self.settings_for(smarthosts)}
        number = len(self.outboxes)
        outbox = Outbox(self.folder / f"o{number}", smarthosts, **settings)
        self.outboxes.append(outbox)
        self.addCleanup(outbox.stop)
        return outbox

    def start_outbox(self, smarthosts, **settings):
        return self.make_outbox(smarthosts, **settings).start()
