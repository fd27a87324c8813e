"""One daemon, one client, one message at a time: the next one begins when the last one is committed, and, with a
smarthost, delivered and its outcome committed. So no two of them share a commit, and counts do not depend on timing."""

import contextlib
import os
import pathlib
import queue
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

SIZE_BYTES = 4096
DEADLINE_S = 90      # for anything that must happen, also under valgrind on a busy machine
PROMPT_S = 5         # an outcome that is not committed by then waits for company, and company must be given
POLL_S = 0.001
CONFIG = """hostname = "guard.src.example";
default-domain = "src.example";
state-directory = "{folder}/state";
runtime-directory = "{runtime}";
drop-directory = "none";
smarthosts = {{ sink = {{
    host = "127.0.0.1"; port = {port}; tls = "none"; connections-max = 1; messages-per-connection = 1000000; }}; }};
"""


class Broken(Exception):
    """The load did not go as it must; the text says where."""


class Sink(threading.Thread):
    """A smarthost that takes everything, and answers all commands of one segment in one segment."""

    GREETING = b"220 sink.example ESMTP\r\n"
    REPLIES = {
        b"EHLO": b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 200000000\r\n"
                 b"250 ENHANCEDSTATUSCODES\r\n",
        b"DATA": b"354 go on\r\n",
        b"QUIT": b"221 2.0.0 bye\r\n",
    }
    TAKEN = b"250 2.0.0 taken\r\n"

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.taken = queue.Queue()
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, contextlib.suppress(OSError):
            connection.sendall(self.GREETING)
            unread = b""
            is_body = False
            while data := connection.recv(65536):
                unread, is_body, replies = self.answer(unread + data, is_body)
                connection.sendall(b"".join(replies))
                for _ in range(replies.count(self.TAKEN)):
                    self.taken.put(None)

    def answer(self, data, is_body):
        """(what is left, whether a body is expected, replies)"""
        replies = []
        while True:
            part, end, rest = data.partition(b"\r\n.\r\n" if is_body else b"\r\n")
            if not end:
                return data, is_body, replies
            data = rest
            replies.append(self.TAKEN if is_body else self.REPLIES.get(part[:4].upper(), b"250 2.0.0 ok\r\n"))
            is_body = not is_body and part.upper() == b"DATA"

    def stop(self):
        self.socket.close()


class Wal:
    """Counts the commits in a write-ahead log: frames whose header tells the size of the database. See "The WAL File
    Format" of SQLite. The header gets new salts whenever the log begins anew, and its frames repeat them."""

    HEADER, FRAME = struct.Struct(">8I"), struct.Struct(">6I")
    PAGE_SIZE, SALTS = 2, slice(4, 6)              # in the header
    COMMITTED_PAGES, FRAME_SALTS = 1, slice(2, 4)  # in a frame's

    def __init__(self, path):
        self.path = path
        self.salts = None
        self.offset = 0
        self.count = 0

    def commits(self):
        with contextlib.suppress(FileNotFoundError, struct.error), open(self.path, "rb") as log:
            header = self.HEADER.unpack(log.read(self.HEADER.size))
            if header[self.SALTS] != self.salts:
                self.salts = header[self.SALTS]
                self.offset = self.HEADER.size
            while True:
                log.seek(self.offset)
                frame = self.FRAME.unpack(log.read(self.FRAME.size))
                if frame[self.FRAME_SALTS] != self.salts:
                    break
                self.count += frame[self.COMMITTED_PAGES] != 0
                self.offset += self.FRAME.size + header[self.PAGE_SIZE]
        return self.count


class Client:
    """One session on the Unix socket; each command waits for its reply, as most clients do."""

    BODY = (b"From: guard@src.example\r\nTo: user@dest.example\r\nSubject: guard\r\n\r\n"
            + b"The quick brown fox jumps over the lazy dog, again and again.\r\n" * 100)[:SIZE_BYTES - 2] + b"\r\n"

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(path)
        self.expect(b"220")
        self.say(b"EHLO guard.src.example\r\n", b"250")

    def expect(self, code):
        reply = b""
        while not reply.endswith(b"\r\n") or reply.splitlines()[-1][3:4] == b"-":
            data = self.socket.recv(4096)
            if not data:
                raise Broken(f"connection closed, {code} expected")
            reply += data
        if not reply.startswith(code):
            raise Broken(f"{code} expected, heard {reply}")

    def say(self, data, code):
        self.socket.sendall(data)
        self.expect(code)

    def submit(self):
        self.say(b"MAIL FROM:<guard@src.example>\r\n", b"250")
        self.say(b"RCPT TO:<user@dest.example>\r\n", b"250")
        self.say(b"DATA\r\n", b"354")
        self.say(self.BODY + b".\r\n", b"250")

    def quit(self):
        self.say(b"QUIT\r\n", b"221")
        self.socket.close()


class Daemon:
    """outboxd behind a tool (valgrind, strace) with a spool of its own. port: of its smarthost."""

    def __init__(self, tool, program, folder, port):
        folder.mkdir(parents=True)
        self.folder = folder
        # A socket's path has at most 107 bytes; folder may be deeper than that.
        self.runtime = tempfile.mkdtemp(prefix="outbox-guard-")
        self.socket = f"{self.runtime}/submit.sock"
        self.log = folder / "log"
        config = folder / "outbox.conf"
        config.write_text(CONFIG.format(folder=folder, runtime=self.runtime, port=port))
        environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*tool, program, "-c", config], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=environment)

    def client(self):
        """The first client, as soon as the daemon listens."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                return Client(self.socket)
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Broken(f"outboxd does not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(POLL_S)

    def stop(self):
        """The daemon is the tool's child, or took its place."""
        pid = self.process.pid
        if self.process.poll() is None:
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            os.kill(int(children[0]) if children else pid, signal.SIGTERM)
        try:
            status = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Broken("outboxd does not end") from None
        finally:
            shutil.rmtree(self.runtime, ignore_errors=True)
        if status != 0:
            raise Broken(f"outboxd ended with {status}: {self.log.read_text(errors='replace')[-2000:]}")


def wait_for(condition, seconds):
    """Whether it came true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def dead_end():
    """A port that is ours and that nobody listens on: a smarthost that is away."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder


def handle(client, sink, wal, outcome_s):
    """One message, to its very end. Whether its outcome was committed in that time."""
    before = wal.commits()
    client.submit()
    if sink is None:
        return True
    sink.taken.get(timeout=DEADLINE_S)
    return wait_for(lambda: wal.commits() >= before + 2, outcome_s)


def run(tool, program, folder, messages, is_delivering, settle=lambda: None):
    """Runs the load behind one message more, which pays for what only the first one costs. Returns when each of the
    others began, and when all was over, with the commits seen between. settle() waits for what is still under way."""
    away = dead_end()
    sink = Sink() if is_delivering else None
    daemon = Daemon(tool, program, folder, sink.port if sink else away.getsockname()[1])
    try:
        client = daemon.client()
        wal = Wal(folder / "state/spool.db-wal")
        is_prompt = handle(client, sink, wal, PROMPT_S)
        settle()
        commits = wal.commits()
        times = []
        for _ in range(messages):
            times.append(time.time())
            handle(client, sink, wal, DEADLINE_S if is_prompt else 0)
        settle()
        times.append(time.time())
        commits = wal.commits() - commits
        client.quit()
    except queue.Empty:
        raise Broken("a message was not delivered") from None
    finally:
        daemon.stop()
        if sink:
            sink.stop()
        away.close()
    return times, commits
