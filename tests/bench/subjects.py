"""What is measured: outboxd, the bound, and peers. All have one shape, so that runs are comparable.

A subject starts in an empty folder, says where it takes mail, and which processes are its own. Nothing is deleted
when it stops: on ext4 a mass deletion makes creating files many times dearer for minutes, which would spoil the next
measurement. The caller removes the folders when all is done.
"""

import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import time

CLIENTS_MAX = 200
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 30
STALL_S = 20         # nothing delivered for so long: the rest never will be
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Absent(Exception):
    """This subject can't be measured here; the text says why."""


def connect(address):
    if address.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        target = address[len("unix:"):]
    else:
        client = socket.socket()
        host, port = address.rsplit(":", 1)
        target = (host, int(port))
    client.settimeout(5)
    client.connect(target)
    return client


def wait_for_banner(address, process, log):
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with connect(address) as client:
                if client.recv(4).startswith(b"220"):
                    client.sendall(b"QUIT\r\n")
                    return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no banner on {address}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.005)


def cpu_s(pids):
    """Processor time of the processes and of their children that have ended."""
    ticks = 0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):    # it ended before it was opened, or read
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_S


def memory_kib(pids, field):
    """Sum of one field of /proc/PID/status: VmRSS now, VmHWM at most so far. Shared pages count once per process."""
    total = 0
    for pid in pids:
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):    # it ended before it was opened, or read
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{field}:"))
    return total


class Subject:
    """A program that takes mail. sink is the port to deliver to, None to keep everything (delivery paused)."""

    name = ""
    note = ""           # for the legend below the tables
    accepts = True      # whether it takes part in the measurement of acceptance
    relays = False      # whether it takes part in the end-to-end measurement
    rounds_max = None   # fewer rounds of acceptance than the others
    relay_rounds_max = None
    relay_messages = (None, None)   # fewer messages end to end than the others: quick, full
    command_prefix = ()  # of the program: strace, for one

    def __init__(self, bindir, peers_folder):
        """Raises Absent. peers_folder is where packages are unpacked."""
        self.bindir = bindir
        self.peers_folder = peers_folder
        self.address = None

    def start(self, folder, sink):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def version(self):
        """While it runs. Empty for tools of the bench."""
        return ""

    def pids(self):
        raise NotImplementedError


class Program(Subject):
    """A subject that is one process of ours, on a Unix socket."""

    program = ""

    def __init__(self, bindir, peers_folder):
        super().__init__(bindir, peers_folder)
        if not os.access(bindir / self.program, os.X_OK):
            raise Absent(f"no {bindir / self.program}")

    def start(self, folder, sink):
        folder.mkdir(parents=True)
        # A socket's path has at most 107 bytes; folder may be deeper than that.
        self.runtime = pathlib.Path(tempfile.mkdtemp(prefix="outbox-bench-"))
        log = folder / "log"
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                [*self.command_prefix, *self.command(folder, sink)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )
        try:
            wait_for_banner(self.address, self.process, log)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        for pid in self.pids()[-1:]:
            os.kill(pid, 15)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.runtime, ignore_errors=True)

    def pids(self):
        """The program's own process is the last: behind its prefix."""
        if self.process.poll() is not None:
            return []
        pid = self.process.pid
        if not self.command_prefix:
            return [pid]
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *(int(child) for child in children)]

    def command(self, folder, sink):
        raise NotImplementedError


class Outboxd(Program):
    name = "outboxd"
    program = "outboxd"
    note = "outboxd: its defaults, on its Unix socket; its log goes to a file; paused by a port where nobody listens"
    relays = True
    clients_max = CLIENTS_MAX
    state = None        # its state-directory, if not one of its own
    CONFIG = """hostname = "bench.src.example";
default-domain = "src.example";
state-directory = "{state}";
runtime-directory = "{runtime}";
drop-directory = "none";
smarthosts = {{ sink = {{ host = "127.0.0.1"; port = {port}; tls = "none"; }}; }};
access = ( {{ user = "*"; connections-max = {clients_max}; }} );
"""

    def command(self, folder, sink):
        self.address = f"unix:{self.runtime}/submit.sock"
        # Paused: a port that is ours and that nobody listens on, so that every connection is refused at once.
        self.dead_end = socket.socket()
        self.dead_end.bind(("127.0.0.1", 0))
        port = sink or self.dead_end.getsockname()[1]
        self.state = self.state or folder / "state"
        self.config = folder / "outbox.conf"
        self.config.write_text(self.CONFIG.format(folder=folder, state=self.state, runtime=self.runtime,
                                                  port=port, clients_max=self.clients_max))
        return [str(self.bindir / self.program), "-c", str(self.config)]

    def stop(self):
        super().stop()
        self.dead_end.close()

    def version(self):
        done = subprocess.run([self.bindir / self.program, "--version"], capture_output=True, text=True)
        return done.stdout.split()[-1]


class Bound(Program):
    name = "bound"
    program = "bench-bound"
    note = "bound: not a mailer; the least program that queues durably (one thread, SQLite WAL, one sync per group)"

    def command(self, folder, sink):
        self.address = f"unix:{self.runtime}/submit.sock"
        return [str(self.bindir / self.program), "-D", str(folder / "bound.db"), self.address]


class Ceiling(Program):
    name = "sink"
    program = "bench-sink"
    note = "sink: keeps nothing; the ceiling of load generator and sink (first round only)"
    rounds_max = 1

    def command(self, folder, sink):
        self.address = f"unix:{self.runtime}/submit.sock"
        return [str(self.bindir / self.program), self.address]


class Sink:
    """bench-sink on a port of its own; its counters are read from a mapped file."""

    FIELDS = ("messages", "bytes", "first_ns", "last_ns", "sessions", "repeats", "live")

    def __init__(self, bindir, folder, expected, *options):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "sink.counters"
        command = [bindir / "bench-sink", "-q", "-u", str(expected), "-m", self.path, *options, "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(":", 1)[1])
        self.address = f"127.0.0.1:{self.port}"

    def counters(self):
        size = 8 * len(self.FIELDS)
        return dict(zip(self.FIELDS, struct.unpack(f"{len(self.FIELDS)}Q", self.path.read_bytes()[:size])))

    def wait_for(self, messages, deadline):
        """Until so many arrived, or until nothing more comes."""
        last, last_change = -1, time.monotonic()
        while True:
            count = self.counters()["messages"]
            now = time.monotonic()
            if count != last:
                last, last_change = count, now
            if count >= messages or now > deadline or now - last_change > STALL_S:
                return
            time.sleep(0.005)

    def stop(self):
        self.process.terminate()
        self.process.communicate()
