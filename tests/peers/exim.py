"""A private Exim: unpacked, never installed, with its own configuration and spool, TLS from the start, on loopback.

Debian's Exim insists on an account of its own. nss_wrapper shows it one, with the number of nobody, or of whoever
runs the test, who need not be root then.
"""
import os
import pathlib
import subprocess
import time

from fetch import library_path
from postfix import free_port, place

PACKAGES = ("exim4-daemon-light", "libnss-wrapper")
START_DEADLINE_S = 30
CONFIG = """\
primary_hostname = exim.example
spool_directory = {run}/spool
log_file_path = {run}/%slog
pid_file_path = {run}/pid
daemon_smtp_ports = {port}
tls_on_connect_ports = {port}
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
add_environment = PATH=/usr/bin:/bin
queue_only = true
acl_smtp_rcpt = rcpt

begin acl
rcpt:
  deny    local_parts = nobody
          message     = 5.1.1 Unknown user
  accept  authenticated = *
  deny    message = 5.7.1 Authenticate first

begin routers
all:
  driver = accept
  transport = file

begin transports
file:
  driver = appendfile
  file = {run}/mail

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""


class PrivateExim:
    """roots: package -> folder, of PACKAGES. Subclasses say what it is to do."""

    prepare = None    # called in Exim's process before it is Exim

    def __init__(self, roots, run):
        self.roots = roots
        self.run, _ = place(run)
        self.port = free_port()
        self.process = None

    def config(self):
        raise NotImplementedError

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.run.mkdir(parents=True, exist_ok=True)
        uid, gid = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        (self.run / "passwd").write_text(f"root:x:0:0::/:/bin/sh\nDebian-exim:x:{uid}:{gid}::{self.run}:/bin/sh\n")
        (self.run / "group").write_text(f"root:x:0:\nDebian-exim:x:{gid}:\n")
        self.place_files()
        for path in (self.run, *self.run.iterdir()):
            os.chown(path, uid, gid)
        config = self.run / "exim.conf"
        config.write_text(self.config())
        config.chmod(0o644)
        with open(self.run / "output", "ab") as output:
            self.process = subprocess.Popen([self.roots["exim4-daemon-light"] / "usr/sbin/exim4", "-bdf", "-C", config],
                                            env=self.environment(), stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=output, preexec_fn=self.prepare)
        end = time.monotonic() + START_DEADLINE_S
        while not (self.run / "pid").exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"Exim does not start: {self.last_words()}")
            time.sleep(0.01)

    def place_files(self):
        """Into self.run, before they become Exim's."""

    def environment(self):
        wrapper = next(self.roots["libnss-wrapper"].glob("usr/lib/*/libnss_wrapper.so"))
        return {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": library_path(self.roots["exim4-daemon-light"]),
                "LD_PRELOAD": str(wrapper), "NSS_WRAPPER_PASSWD": f"{self.run}/passwd",
                "NSS_WRAPPER_GROUP": f"{self.run}/group"}

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def last_words(self):
        texts = [path.read_text(errors="replace") for path in (self.run / "output", *self.run.glob("*log"))
                 if path.exists()]
        return "".join(texts)[-2000:] or "it said nothing"


class Exim(PrivateExim):
    """Takes mail over TLS from one user. The password must be of letters and digits: Exim expands it."""

    def __init__(self, roots, run, certificate, key, user, password):
        super().__init__(roots, run)
        self.settings = {"certificate": self.run / "server.pem", "key": self.run / "server.key", "user": user,
                         "password": password, "port": self.port, "run": self.run}
        self.pair = pathlib.Path(certificate), pathlib.Path(key)

    def config(self):
        return CONFIG.format(**self.settings)

    def place_files(self):
        for source, name in zip(self.pair, ("server.pem", "server.key")):
            (self.run / name).write_bytes(source.read_bytes())
            (self.run / name).chmod(0o600)

    def messages(self):
        """The bodies (as Exim spools them, with LF) of what it accepted."""
        return [path.read_text(errors="replace") for path in sorted(self.run.glob("spool/input/**/*-D"))]
