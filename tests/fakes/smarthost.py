#!/usr/bin/env python3
"""A small smarthost for tests: strict about what it is told, exact about what it took, and ill-behaved on request.

It listens on three ports of 127.0.0.1 chosen by the kernel: `plain`, `starttls` and `implicit`. What it accepted is
in DIRECTORY/messages as NNNNNN.eml (the bytes) and NNNNNN.json (the envelope), and a line about it is in
DIRECTORY/journal, on stable storage, before the 250 goes out: the journal is the truth about what was delivered.

Its behaviour is a list of rules, the first that fits decides (see Rule). As a program it reads them from
DIRECTORY/behaviour.json whenever that file changes, for example
    [{"stage": "rcpt", "match": "nobody@*", "reply": "550 5.1.1 No such user"},
     {"stage": "end-of-data", "reply": "451 4.3.0 Try again later", "times": 2}]

Whatever a client must not do (a bare LF, a missing dot-stuffing, a command that was not offered ...) is a violation:
kept in Smarthost.violations and in the journal, and the program then ends with status 1.
"""
import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import signal
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from certificates import make_authority, make_certificate  # noqa: E402
from smarthost_rules import Behaviour, Rule  # noqa: E402
from smarthost_session import Session  # noqa: E402

EXTENSIONS = ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


@dataclasses.dataclass
class Message:
    number: int
    connection: int
    connected_at: float
    listener: str
    tls: str | None
    tls_resumed: bool
    user: str | None
    helo: str
    sender: str
    sender_parameters: dict
    recipients: list
    received_at: float
    data: bytes

    def envelope(self):
        row = dataclasses.asdict(self)
        del row["data"]
        row["size"] = len(self.data)
        row["sha256"] = hashlib.sha256(self.data).hexdigest()
        return row


class Store:
    """Accepted messages and the journal."""

    def __init__(self, directory):
        self._messages = directory / "messages"
        self._messages.mkdir(parents=True, exist_ok=True)
        self._journal = os.open(directory / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def journal(self, event, durable=False, **details):
        line = json.dumps({"event": event, "at": time.time(), **details}) + "\n"
        os.write(self._journal, line.encode())
        if durable:
            os.fsync(self._journal)

    def keep(self, message):
        stem = self._messages / f"{message.number:06}"
        stem.with_suffix(".eml").write_bytes(message.data)
        stem.with_suffix(".json").write_text(json.dumps(message.envelope(), indent=1) + "\n")
        self.journal("got", durable=True, **message.envelope())

    def close(self):
        os.close(self._journal)


class Smarthost:
    """The whole smarthost; a context manager. Attributes may be changed while it runs, they hold for what comes next.

    messages, violations and events grow; wait_for() waits for what they will hold."""

    def __init__(self, directory, users=None, certificate="server", extensions=EXTENSIONS, size_max=50 << 20,
                 recipients_max=1000, auth_required=True, plaintext_auth=False, follow_file=False):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.users = dict(users or {})
        self.extensions = tuple(extensions)
        self.size_max = size_max
        self.recipients_max = recipients_max
        self.auth_required = auth_required
        self.plaintext_auth = plaintext_auth
        self.ca_file = make_authority(self.directory)
        self.behaviour = Behaviour(self.directory / "behaviour.json" if follow_file else None)
        self.messages = []
        self.violations = []
        self.events = []
        self.connections = 0
        self.ports = {}
        self.is_stopping = threading.Event()
        self._changed = threading.Condition()
        self._store = Store(self.directory)
        self._sessions = set()
        self._listeners = {}
        self._threads = []
        self.use_certificate(certificate)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def use_certificate(self, kind):
        certificate, key = make_certificate(self.directory, kind)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)

    # --- life ---

    def start(self):
        """Listens; a second start after stop() uses the same ports."""
        self.is_stopping.clear()
        for name in ("plain", "starttls", "implicit"):
            listener = socket.create_server(("127.0.0.1", self.ports.get(name, 0)), backlog=128)
            self.ports[name] = listener.getsockname()[1]
            self._listeners[name] = listener
            thread = threading.Thread(target=self._accept, args=(name, listener), daemon=True)
            thread.start()
            self._threads.append(thread)
        scratch = self.directory / "ports.json.new"
        scratch.write_text(json.dumps({**self.ports, "pid": os.getpid()}) + "\n")
        scratch.rename(self.directory / "ports.json")

    def stop(self):
        self.is_stopping.set()
        for listener in self._listeners.values():
            listener.shutdown(socket.SHUT_RDWR)   # wakes accept()
            listener.close()
        self.disconnect()
        for thread in self._threads:
            thread.join(10)
        self._listeners, self._threads = {}, []

    def disconnect(self):
        """Ends every connection, without a word."""
        with self._changed:
            sessions = list(self._sessions)
        for session in sessions:
            session.close()
        for session in sessions:
            session.join(10)

    def _accept(self, name, listener):
        while not self.is_stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self.connections += 1
                session = Session(self, connection, name, self.connections)
                self._sessions.add(session)
            self.note("connected", connection=session.number, listener=name)
            session.start()

    # --- behaviour ---

    def refuse(self, stage, reply, match="*", times=None, **more):
        self.behaviour.add(Rule(stage, match=match, reply=reply, times=times, **more))

    def behave(self, *rules):
        """Exactly these rules from now on; none: as it should be."""
        self.behaviour.set(*rules)

    # --- what happened; called by sessions and tests ---

    def note(self, event, **details):
        with self._changed:
            self._store.journal(event, **details)
            self.events.append({"event": event, **details})
            self._changed.notify_all()

    def violation(self, text):
        with self._changed:
            self.violations.append(text)
        self.note("violation", text=text)

    def keep(self, **fields):
        with self._changed:
            message = Message(number=len(self.messages) + 1, **fields)
            self._store.keep(message)
            self.messages.append(message)
            self._changed.notify_all()
        return message

    def forget(self, session):
        with self._changed:
            self._sessions.discard(session)
            self._changed.notify_all()

    def wait_for(self, condition, timeout=60):
        """Until condition() holds; a number means so many messages. Returns whether it came to hold."""
        if isinstance(condition, int):
            count = condition
            condition = lambda: len(self.messages) >= count  # noqa: E731
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def delivered(self, recipient):
        """The messages accepted for this address."""
        with self._changed:
            return [message for message in self.messages if recipient in message.recipients]


def main():
    parser = argparse.ArgumentParser(description="A small smarthost for tests.")
    parser.add_argument("--directory", required=True, type=pathlib.Path,
                        help="for ports.json, ca.pem, journal, messages/ and behaviour.json")
    parser.add_argument("--user", help="who may send; without it no AUTH is offered")
    parser.add_argument("--password-file", type=pathlib.Path)
    parser.add_argument("--certificate", default="server",
                        choices=("server", "expired", "wrong-name", "self-signed"))
    arguments = parser.parse_args()
    users = {}
    if arguments.user is not None:
        users[arguments.user] = arguments.password_file.read_text().strip()
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    with Smarthost(arguments.directory, users, arguments.certificate, follow_file=True) as smarthost:
        end.wait()
    for text in smarthost.violations:
        print("violation:", text, file=sys.stderr)
    return 1 if smarthost.violations else 0


if __name__ == "__main__":
    sys.exit(main())
