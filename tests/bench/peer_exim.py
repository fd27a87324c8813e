"""Exim as a peer of the bench: fetched as a package and unpacked, private; any user may run it."""

import ctypes
import os
import pathlib
import shutil
import signal
import sys
import time

from subjects import Absent, Subject, connect

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import exim  # noqa: E402
import fetch  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36
STOP_TIMEOUT_S = 20
LIBC = ctypes.CDLL(None)

# Debian's defaults but for the limits per client, and but for the tenth message of a connection, after which Exim
# leaves delivery to a queue runner.
CONFIG = """\
primary_hostname = bench.src.example
exim_path = {program}
spool_directory = {run}/spool
log_file_path = {run}/%slog
pid_file_path = {run}/pid
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
tls_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
keep_environment = LD_LIBRARY_PATH : LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
add_environment = PATH=/usr/bin:/bin
smtp_accept_max = 200
smtp_connect_backlog = 200
smtp_accept_queue_per_connection = 0
message_size_limit = 64M
acl_smtp_rcpt = rcpt
queue_only = {paused}

begin acl
rcpt:
  accept

begin routers
smart:
  driver = manualroute
  transport = remote
  route_list = * 127.0.0.1
  self = send

begin transports
remote:
  driver = smtp
  port = {sink}
  allow_localhost
  hosts_avoid_tls = *

begin retry
* * F,2h,15m
"""


def become_subreaper():
    """Delivery processes outlive those that started them: the daemon waits for them, and their time is in its sum."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Server(exim.PrivateExim):
    prepare = staticmethod(become_subreaper)
    sink = None

    def config(self):
        return CONFIG.format(program=self.roots["exim4-daemon-light"] / "usr/sbin/exim4", run=self.run, port=self.port,
                             paused="true" if self.sink is None else "false", sink=self.sink or 25)


class EximPeer(Subject):
    name = "exim"
    note = ("exim: its defaults, a delivery process per message, on loopback TCP; paused by queue_only; end to end "
            "in the first round only, with fewer messages; its processor time lacks children that it does not wait for")
    relays = True
    relay_rounds_max = 1
    relay_messages = (100, 1000)

    def __init__(self, bindir, peers_folder):
        super().__init__(bindir, peers_folder)
        if not shutil.which("apt-get") and not (peers_folder / exim.PACKAGES[0]).exists():
            raise Absent("no apt-get to fetch it")
        try:
            self.roots = {package: fetch.fetch(peers_folder, package) for package in exim.PACKAGES}
        except fetch.Unavailable as error:
            raise Absent(str(error)) from error

    def start(self, folder, sink):
        self.server = Server(self.roots, folder)
        self.server.sink = sink
        self.server.start()
        self.address = f"127.0.0.1:{self.server.port}"

    def stop(self):
        pids = self.pids()
        self.server.stop()
        # What still delivers soon ends by itself, for the sink answers or is gone.
        end = time.monotonic() + STOP_TIMEOUT_S
        while any(map(self.is_ours, pids)) and time.monotonic() < end:
            time.sleep(0.05)
        for pid in filter(self.is_ours, pids):
            os.kill(pid, signal.SIGKILL)

    def version(self):
        """As its banner says: 220 NAME ESMTP Exim VERSION DATE."""
        with connect(self.address) as client:
            words = client.recv(200).decode().split()
            client.sendall(b"QUIT\r\n")
        return words[words.index("Exim") + 1]

    def is_ours(self, pid):
        """Whether it still is a process of this Exim."""
        try:
            return os.readlink(f"/proc/{pid}/exe").startswith(str(self.roots["exim4-daemon-light"]))
        except OSError:
            return False

    def pids(self):
        """The daemon and everything that it has started, and that its children have."""
        process = self.server.process
        return [] if process is None or process.poll() is not None else family(process.pid)


def family(pid):
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in family(int(child)))]
