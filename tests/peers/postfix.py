"""A private Postfix: unpacked, never installed, with its own configuration and queue, on loopback only.

Postfix's master starts as root and runs its daemons as other users, so check() names a reason to skip otherwise.
It needs no account of its own: two system users that every Debian has lend their numbers.

    postfix = Postfix(fetch.fetch("build/peers", "postfix"), run_dir, {"relayhost": "[127.0.0.1]:2600"})
    with postfix:
        ...  # talks SMTP on 127.0.0.1:postfix.port
"""

import contextlib
import grp
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import fetch

# Postfix insists that owner, postdrop group and the user of last resort are distinct and used by nothing else.
OWNERS = ("postfix", "uucp", "news", "games")
DROP_GROUPS = ("postdrop", "plugdev", "fax", "voice")
UNPRIVILEGED = ("nobody", "daemon")

OWN, DROP, SYSTEM = "owner", "drop", "system"
QUEUE_DIRECTORIES = (
    *((name, OWN, 0o700) for name in (
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace",
    )),
    ("maildrop", DROP, 0o730),
    ("public", DROP, 0o710),
    ("pid", SYSTEM, 0o755),
)

# service, type, private, wake-up, process limit, command: as Postfix ships it, nothing in a chroot.
SERVICES = (
    ("pickup", "unix", "n", "60", "1", "pickup"),
    ("cleanup", "unix", "n", "-", "0", "cleanup"),
    ("qmgr", "unix", "n", "300", "1", "qmgr"),
    ("tlsmgr", "unix", "-", "1000?", "1", "tlsmgr"),
    ("rewrite", "unix", "-", "-", "-", "trivial-rewrite"),
    ("bounce", "unix", "-", "-", "0", "bounce"),
    ("defer", "unix", "-", "-", "0", "bounce"),
    ("trace", "unix", "-", "-", "0", "bounce"),
    ("verify", "unix", "-", "-", "1", "verify"),
    ("flush", "unix", "n", "1000?", "0", "flush"),
    ("proxymap", "unix", "-", "-", "-", "proxymap"),
    ("proxywrite", "unix", "-", "-", "1", "proxymap"),
    ("smtp", "unix", "-", "-", "-", "smtp"),
    ("relay", "unix", "-", "-", "-", "smtp"),
    ("showq", "unix", "n", "-", "-", "showq"),
    ("error", "unix", "-", "-", "-", "error"),
    ("retry", "unix", "-", "-", "-", "error"),
    ("discard", "unix", "-", "-", "-", "discard"),
    ("virtual", "unix", "-", "-", "-", "virtual"),
    ("lmtp", "unix", "-", "-", "-", "lmtp"),
    ("anvil", "unix", "-", "-", "1", "anvil"),
    ("scache", "unix", "-", "-", "1", "scache"),
    ("postlog", "unix-dgram", "n", "-", "1", "postlogd"),
)

MAIN_CF = {
    "compatibility_level": "3.6",
    "myhostname": "postfix.example",
    "myorigin": "postfix.example",
    "mydestination": "",
    "mynetworks": "127.0.0.0/8",
    "inet_interfaces": "loopback-only",
    "inet_protocols": "ipv4",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "alias_maps": "",
    "alias_database": "",
    "local_transport": "error:none",
    "message_size_limit": "67108864",
    "mailbox_size_limit": "0",
    "biff": "no",
    "append_dot_mydomain": "no",
    "import_environment": "MAIL_CONFIG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH SASL_PATH SASL_CONF_PATH",
}


def check():
    """None when a private Postfix can run here, else the reason why it can't."""
    if os.geteuid() != 0:
        return "Postfix's master needs root"
    try:
        accounts()
    except LookupError as error:
        return str(error)
    return None


def accounts():
    """(owner, drop group, user of last resort): names that exist and share no number."""
    owner = first(OWNERS, pwd.getpwnam, "user")
    drop = first([name for name in DROP_GROUPS if not is_primary_group(name)], grp.getgrnam, "group")
    return owner, drop, first(UNPRIVILEGED, pwd.getpwnam, "user")


def is_primary_group(name):
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        return False
    return any(entry.pw_gid == number for entry in pwd.getpwall() if entry.pw_name != "postfix")


def first(names, lookup, kind):
    for name in names:
        try:
            lookup(name)
            return name
        except KeyError:
            continue
    raise LookupError(f"no {kind} to lend Postfix its number: none of {', '.join(names)} exists")


def is_alive(pid):
    """Whether the process runs; one that has ended but was not yet waited for does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def free_port():
    """A port the kernel had free a moment ago: Postfix can't be told to choose for itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def place(run):
    """run, unless Postfix's unprivileged daemons could not reach it (a checkout below /root): then a temporary one."""
    run = pathlib.Path(run).resolve()
    if all(parent.stat().st_mode & 0o001 for parent in run.parents if parent.exists()):
        return run, False
    return pathlib.Path(tempfile.mkdtemp(prefix="outbox-postfix-", dir="/var/tmp")), True


class Postfix:
    """One instance. main_cf overrides MAIN_CF; services are further lines of master.cf, as text.

    log is the name of a file in run; without one Postfix speaks to syslog, as when installed."""

    def __init__(self, root, run, main_cf, port=0, services=(), log=None, environment=None):
        self.root = pathlib.Path(root).resolve()
        self.run, self.is_temporary = place(run)
        self.port = port or free_port()
        self.main_cf = main_cf
        self.services = services
        self.log = self.run / log if log else None
        self.environment = environment or {}
        self.master = None
        self.config = self.run / "etc"
        self.queue = self.run / "queue"
        self.data = self.run / "data"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, timeout_s=20):
        """Returns once the banner was seen."""
        self.configure()
        env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LD_LIBRARY_PATH": fetch.library_path(self.root),
            **self.environment,
        }
        command = [str(self.root / "usr/lib/postfix/sbin/master"), "-c", str(self.config), "-d"]
        with open(self.run / "master.log", "ab") as output:
            self.master = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            self.wait_for_banner(time.monotonic() + timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self, grace_s=10):
        """Ends master, which ends its daemons."""
        master, self.master = self.master, None
        if master is not None and master.poll() is None:
            self.end(master, grace_s)
        if self.is_temporary:
            shutil.rmtree(self.run, ignore_errors=True)

    def end(self, master, grace_s):
        """The daemons outlive master for a moment, and one that holds a lock keeps the next master from starting."""
        deadline = time.monotonic() + grace_s
        family = self.pids(master.pid)
        master.terminate()
        while any(is_alive(pid) for pid in family):
            if master.poll() is not None and time.monotonic() > deadline:
                for pid in filter(is_alive, family):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            elif time.monotonic() > deadline:
                master.kill()
            time.sleep(0.005)
        master.wait()

    def pids(self, master=None):
        """master and its daemons, which are all its children."""
        parent = master or self.master.pid
        children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return [parent, *(int(word) for word in children.split())]

    def configure(self):
        """Makes directories and configuration; the queue that is there stays."""
        owner, drop, unprivileged = accounts()
        for directory in (self.run, self.config, self.queue):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o755)
        make_directory(self.data, pwd.getpwnam(owner).pw_uid, 0, 0o700)
        ids = {
            OWN: (pwd.getpwnam(owner).pw_uid, 0),
            DROP: (pwd.getpwnam(owner).pw_uid, grp.getgrnam(drop).gr_gid),
            SYSTEM: (0, 0),
        }
        for name, whose, mode in QUEUE_DIRECTORIES:
            make_directory(self.queue / name, *ids[whose], mode)
        settings = {
            **MAIN_CF,
            "config_directory": self.config,
            "meta_directory": self.config,
            "queue_directory": self.queue,
            "data_directory": self.data,
            "daemon_directory": self.root / "usr/lib/postfix/sbin",
            "command_directory": self.root / "usr/sbin",
            "shlib_directory": self.root / "usr/lib/postfix",
            "mail_owner": owner,
            "setgid_group": drop,
            "default_privs": unprivileged,
            **self.main_cf,
        }
        if self.log:
            settings.update(maillog_file=self.log, maillog_file_prefixes=self.log.parent)
        lines = (f"{key} = {value}\n" for key, value in settings.items())
        (self.config / "main.cf").write_text("".join(lines))
        # Postfix waits while main.cf is younger than two seconds: somebody may still be writing it.
        os.utime(self.config / "main.cf", (0, 0))
        (self.config / "dynamicmaps.cf").write_text("")
        (self.config / "master.cf").write_text(self.master_cf())

    def master_cf(self):
        rows = [(f"127.0.0.1:{self.port}", "inet", "n", "-", "-", "smtpd"), *SERVICES]
        lines = [f"{name} {kind} {private} - n {wake} {limit} {command}"
                 for name, kind, private, wake, limit, command in rows]
        return "\n".join([*lines, *self.services, ""])

    def wait_for_banner(self, deadline):
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
                    if client.recv(4) == b"220 ":
                        client.sendall(b"QUIT\r\n")
                        return
            except OSError:
                pass
            if self.master.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postfix does not answer: {self.last_words()}")
            time.sleep(0.01)

    def last_words(self):
        texts = [path.read_text(errors="replace") for path in (self.run / "master.log", self.log)
                 if path and path.exists()]
        return "".join(texts)[-2000:] or "it said nothing"


def make_directory(path, uid, gid, mode):
    path.mkdir(exist_ok=True)
    os.chown(path, uid, gid)
    path.chmod(mode)
