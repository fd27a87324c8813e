"""smtp-sink of Postfix: a smarthost that does nothing but misbehave as its options say. Runs as any user."""
import os
import pathlib
import pwd
import socket
import subprocess
import time

from fetch import library_path
from postfix import free_port

START_DEADLINE_S = 30
ATTEMPTS = 5     # a port that was free may be somebody else's a moment later


class SmtpSink:
    """options as in smtp-sink(1). What it accepted is counted, not kept."""

    def __init__(self, root, folder, *options):
        self.root = pathlib.Path(root)
        self.folder = pathlib.Path(folder)
        self.options = options
        self.port = None
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self, options=None):
        """Returns once somebody listens. Again after stop(), with other options, on the same port."""
        if options is not None:
            self.options = options
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o777)    # as root it wants to be somebody else
        for _ in range(ATTEMPTS):
            port = self.port or free_port()
            if self._launch(port):
                self.port = port
                return self
        raise RuntimeError(f"smtp-sink does not start: {(self.folder / 'log').read_text(errors='replace')[-1000:]}")

    def _launch(self, port):
        user = ["-u", pwd.getpwuid(65534).pw_name] if os.geteuid() == 0 else []
        command = [self.root / "usr/sbin/smtp-sink", "-4", *user, "-d", f"{self.folder}/mail.", *self.options,
                   f"inet:127.0.0.1:{port}", "100"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "LD_LIBRARY_PATH": library_path(self.root)})
        end = time.monotonic() + START_DEADLINE_S
        while self.process.poll() is None and time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return True
            time.sleep(0.01)
        self.stop()
        return False

    def stop(self):
        if self.process is not None:
            self.process.kill()    # it has nothing to finish
            self.process.wait()
            self.process = None

    def messages(self):
        """The text of each transaction that got as far as DATA, with smtp-sink's X-Rcpt-Args and the like on top."""
        return [path.read_text(errors="replace") for path in sorted(self.folder.glob("mail.*"))]
