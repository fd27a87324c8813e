"""One connection of a test smarthost: the dialogue of RFC 5321 from the side of the server.

Strict where real servers are lenient: what a client must not do becomes a violation of the smarthost.
"""
import base64
import binascii
import re
import socket
import ssl
import threading
import time

COMMAND_MAX = 2048   # octets with CRLF; RFC 5321 has 512, the extensions add to it
LINE_MAX = 1000      # octets of a line of text with CRLF, without the doubled dot
AUTH_LINE_MAX = 12288


class Closed(Exception):
    """This connection is over."""


class Session(threading.Thread):
    """A thread for each; runs until the client quits, goes away, or is sent away."""

    def __init__(self, smarthost, connection, listener, number):
        super().__init__(daemon=True, name=f"session {number}")
        self.smarthost = smarthost
        self.socket = connection
        self.listener = listener
        self.number = number
        self.connected_at = time.time()
        self.buffer = b""
        self.is_closed = threading.Event()
        self.helo = None
        self.is_extended = False
        self.user = None
        self.failed_auths = 0
        self._forget_transaction()

    def _forget_transaction(self):
        self.sender = None
        self.sender_parameters = {}
        self.recipients = []
        self.was_refused = False   # MAIL or every RCPT: what a pipelining client sends next is no violation

    # --- the wire ---

    def run(self):
        try:
            if self.listener == "implicit":
                self._start_tls()
            self._reply("connect", "220 smarthost.test ESMTP", self.listener)
            while True:
                self._command()
        except Closed:
            pass
        except (OSError, ssl.SSLError) as error:
            self.smarthost.note("broken", connection=self.number, error=str(error))
        finally:
            self.close()
            self.smarthost.forget(self)

    def close(self):
        self.is_closed.set()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def _start_tls(self):
        try:
            self.socket = self.smarthost.tls.wrap_socket(self.socket, server_side=True)
        except (OSError, ssl.SSLError) as error:
            self.smarthost.note("tls-failed", connection=self.number, error=str(error))
            raise Closed from error
        self.smarthost.note("tls", connection=self.number, version=self.socket.version(),
                            resumed=self.socket.session_reused)

    def is_encrypted(self):
        return isinstance(self.socket, ssl.SSLSocket)

    def _violation(self, text):
        self.smarthost.violation(f"connection {self.number}: {text}")

    def _line(self, limit):
        """The next line with its CRLF."""
        while b"\n" not in self.buffer:
            if len(self.buffer) > limit:
                self._violation(f"line of more than {limit} octets: {self.buffer[:60]!r}...")
                raise Closed
            data = self.socket.recv(65536)
            if not data:
                raise Closed
            self.buffer += data
        end = self.buffer.index(b"\n") + 1
        line, self.buffer = self.buffer[:end], self.buffer[end:]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            self._violation(f"bare CR or LF: {line[:60]!r}")
        if len(line) > limit:
            self._violation(f"line of {len(line)} octets, the limit is {limit}: {line[:60]!r}")
        if b"\0" in line:
            self._violation(f"NUL: {line[:60]!r}")
        return line

    def _send(self, text, trickle=0):
        data = text.replace("\n", "\r\n").encode() + b"\r\n"
        if trickle <= 0:
            self.socket.sendall(data)
            return
        for at in range(len(data)):
            self.socket.sendall(data[at:at + 1])
            if self.is_closed.wait(trickle):
                raise Closed

    def _reply(self, stage, usual, argument="", rule=None):
        """Answers as the rules want; returns whether the answer was positive (2xx, 3xx)."""
        rule = rule or self.smarthost.behaviour.decide(stage, argument)
        text = usual if rule.reply is None else rule.reply
        if rule.delay > 0:
            self.smarthost.note("delayed", connection=self.number, stage=stage, argument=argument)
            if self.is_closed.wait(rule.delay):
                raise Closed
        if rule.drop:
            self.smarthost.note("dropped", connection=self.number, stage=stage, argument=argument)
            raise Closed
        if text[0] not in "23":
            self.smarthost.note("refused", connection=self.number, stage=stage, argument=argument, reply=text)
        self._send(text, rule.trickle)
        if rule.close or text.startswith("421"):
            raise Closed
        return text[0] in "23"

    def _expect_no_more(self, command):
        """Nothing may follow these commands before their reply was read (RFC 2920, 3.1)."""
        if self.buffer:
            self._violation(f"{len(self.buffer)} octets behind {command}: {self.buffer[:60]!r}")

    # --- commands ---

    def _command(self):
        line = self._line(COMMAND_MAX)
        if self.buffer and "PIPELINING" not in self.smarthost.extensions:
            self._violation(f"pipelining, which was not offered: {line!r} {self.buffer[:60]!r}")
        text = line.strip(b"\r\n").decode("utf-8", "surrogateescape")
        verb, _, argument = text.partition(" ")
        handler = COMMANDS.get(verb.upper())
        if handler is None:
            self._violation(f"command not offered: {text!r}")
            self._send("502 5.5.1 Not implemented")
            return
        handler(self, argument)

    def _offers(self):
        offers = [f"SIZE {self.smarthost.size_max}" if name == "SIZE" else name for name in self.smarthost.extensions]
        if self.listener == "starttls" and not self.is_encrypted():
            offers.append("STARTTLS")
        if self._may_authenticate():
            offers.append("AUTH PLAIN LOGIN")
        return offers

    def _may_authenticate(self):
        return bool(self.smarthost.users) and (self.is_encrypted() or self.smarthost.plaintext_auth)

    def _ehlo(self, argument):
        self._expect_no_more("EHLO")
        lines = ["smarthost.test", *self._offers()]
        usual = "\n".join(f"250{' ' if line is lines[-1] else '-'}{line}" for line in lines)
        self._forget_transaction()
        if not argument:
            self._violation("EHLO without a name")
        if self._reply("ehlo", usual, argument):
            self.helo, self.is_extended = argument, True

    def _helo(self, argument):
        self._forget_transaction()
        if self._reply("ehlo", "250 smarthost.test", argument):
            self.helo, self.is_extended = argument, False

    def _starttls(self, argument):
        self._expect_no_more("STARTTLS")
        if argument or self.listener != "starttls" or self.is_encrypted() or not self.is_extended:
            self._violation("STARTTLS, which was not offered")
        if self._reply("starttls", "220 2.0.0 Go ahead"):
            self._start_tls()
            self.helo, self.is_extended = None, False   # all that was said before is forgotten

    def _auth(self, argument):
        if not self._may_authenticate():
            self._violation("AUTH, which was not offered" if self.is_encrypted() else "AUTH without TLS")
            self._send("538 5.7.11 Encryption required")
            return
        mechanism, _, initial = argument.partition(" ")
        exchange = {"PLAIN": self._auth_plain, "LOGIN": self._auth_login}.get(mechanism.upper())
        if exchange is None:
            self._violation(f"AUTH {mechanism}, which was not offered")
            self._send("504 5.5.4 Mechanism not offered")
            return
        self._expect_no_more("AUTH")
        try:
            user, password = exchange(initial)
        except (binascii.Error, ValueError):
            self._violation("AUTH: not the response it should be")
            self._send("501 5.5.2 Cannot decode that")
            return
        if self.smarthost.users.get(user) == password:
            if self._reply("auth", "235 2.7.0 Welcome", user):
                self.user = user
            return
        self.failed_auths += 1
        self._reply("auth", "535 5.7.8 Bad user name or password" if self.failed_auths < 3 else "421 4.7.0 Enough", user)

    def _challenge(self, text):
        self._send("334 " + base64.b64encode(text.encode()).decode())
        return base64.b64decode(self._line(AUTH_LINE_MAX).strip(b"\r\n"), validate=True).decode()

    def _auth_plain(self, initial):
        text = base64.b64decode(initial, validate=True).decode() if initial else self._challenge("")
        _, user, password = text.split("\0")
        return user, password

    def _auth_login(self, initial):
        user = base64.b64decode(initial, validate=True).decode() if initial else self._challenge("Username:")
        return user, self._challenge("Password:")

    def _path(self, keyword, argument):
        """ADDRESS and its parameters from `FROM:<ADDRESS> SIZE=1 ...`."""
        match = re.fullmatch(keyword + r":<([^<>\s]*)>((?: [A-Za-z0-9][A-Za-z0-9-]*(?:=[^ =]+)?)*)", argument, re.I)
        if match is None:
            self._violation(f"malformed path: {argument!r}")
            self._send("501 5.5.4 Malformed path")
            return None, None
        address = match[1]
        parameters = dict(word.upper().partition("=")[::2] for word in match[2].split())
        try:
            address.encode("ascii")
        except UnicodeEncodeError:
            if "SMTPUTF8" not in parameters and "SMTPUTF8" not in self.sender_parameters:
                self._violation(f"{address!r} without SMTPUTF8")
        return address, parameters

    def _mail(self, argument):
        if self.helo is None or self.sender is not None:
            self._violation("MAIL out of order")
            self._send("503 5.5.1 Out of order")
            return
        if self.smarthost.users and self.smarthost.auth_required and self.user is None:
            self._reply("mail", "530 5.7.0 Authentication required")
            self.was_refused = True
            return
        self._forget_transaction()
        address, parameters = self._path("FROM", argument)
        if address is None:
            return
        offered = {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "AUTH": "AUTH"}
        for name in parameters:
            if not self.is_extended or offered.get(name) not in (*self.smarthost.extensions, "AUTH"):
                self._violation(f"MAIL parameter that was not offered: {name}")
        size = int(parameters.get("SIZE", "0"))
        too_large = size > self.smarthost.size_max
        if self._reply("mail", "552 5.3.4 Too large" if too_large else "250 2.1.0 Sender ok", address):
            self.sender, self.sender_parameters = address, parameters
        else:
            self.was_refused = True

    def _rcpt(self, argument):
        if self.sender is None:
            if not self.was_refused:
                self._violation("RCPT out of order")
            self._send("503 5.5.1 MAIL first")
            return
        address, parameters = self._path("TO", argument)
        if address is None:
            return
        if parameters:
            self._violation(f"RCPT parameters that were not offered: {parameters}")
        full = len(self.recipients) >= self.smarthost.recipients_max
        if self._reply("rcpt", "452 4.5.3 Too many recipients" if full else "250 2.1.5 Recipient ok", address):
            self.recipients.append(address)
        else:
            self.was_refused = True

    def _data(self, argument):
        self._expect_no_more("DATA")
        if argument:
            self._violation(f"DATA with an argument: {argument!r}")
        if not self.recipients:
            if not self.was_refused:
                self._violation("DATA out of order")
            self._send("554 5.5.1 No valid recipients")
            return
        if not self._reply("data", "354 End with a dot"):
            return
        data = self._body()
        self._expect_no_more_data()
        rule = self.smarthost.behaviour.decide("end-of-data", self.sender)
        usual = "250 2.0.0 Accepted"
        too_large = len(data) > self.smarthost.size_max
        text = rule.reply or ("552 5.3.4 Too large" if too_large else usual)
        number = None
        if rule.store or (text.startswith("2") and not rule.drop):
            message = self._store(data)
            number = message.number
            text = f"{usual} as {number}" if text == usual else text
        # Forgotten first: whoever waits for the journal may look at the session before the reply is out.
        self._forget_transaction()
        self._reply("end-of-data", text, rule=rule)
        if number is not None:
            self.smarthost.note("said", number=number, reply=text)

    def _expect_no_more_data(self):
        if self.buffer and "PIPELINING" not in self.smarthost.extensions:
            self._violation(f"octets behind the final dot: {self.buffer[:60]!r}")

    def _body(self):
        lines = []
        is_8bit = False
        while True:
            line = self._line(LINE_MAX + 1)
            if line == b".\r\n":
                break
            if line.startswith(b"."):
                if not line.startswith(b".."):
                    self._violation(f"a dot that was not doubled: {line[:60]!r}")
                line = line[1:]
            if len(line) > LINE_MAX:
                self._violation(f"line of {len(line)} octets: {line[:60]!r}")
            is_8bit = is_8bit or not line.isascii()
            lines.append(line)
        if is_8bit and self.sender_parameters.get("BODY") != "8BITMIME":
            self._violation("8-bit text without BODY=8BITMIME")
        data = b"".join(lines)
        announced = self.sender_parameters.get("SIZE")
        if announced is not None and int(announced) != len(data):
            self._violation(f"SIZE={announced}, but {len(data)} octets came")
        return data

    def _store(self, data):
        return self.smarthost.keep(
            connection=self.number, connected_at=self.connected_at, listener=self.listener, user=self.user,
            helo=self.helo, tls=self.socket.version() if self.is_encrypted() else None,
            tls_resumed=bool(self.is_encrypted() and self.socket.session_reused), sender=self.sender,
            sender_parameters=self.sender_parameters, recipients=self.recipients, received_at=time.time(), data=data)

    def _rset(self, argument):
        if argument:
            self._violation(f"RSET with an argument: {argument!r}")
        self._forget_transaction()
        self._reply("rset", "250 2.0.0 Forgotten")

    def _noop(self, _):
        self._send("250 2.0.0 Still here")

    def _quit(self, argument):
        self._expect_no_more("QUIT")
        self._reply("quit", "221 2.0.0 Bye")
        raise Closed


COMMANDS = {
    "EHLO": Session._ehlo,
    "HELO": Session._helo,
    "STARTTLS": Session._starttls,
    "AUTH": Session._auth,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._data,
    "RSET": Session._rset,
    "NOOP": Session._noop,
    "QUIT": Session._quit,
}
