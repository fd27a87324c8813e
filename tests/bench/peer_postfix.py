"""Postfix as a peer of the bench: the installed one, or one fetched as a package and unpacked; always private."""

import os
import pathlib
import shutil
import subprocess
import sys

from subjects import Absent, Subject

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import fetch  # noqa: E402
import postfix  # noqa: E402

INSTALLED = pathlib.Path("/usr/lib/postfix/sbin/master")

# Debian's defaults apply but for the limits per client: all clients of a bench come from one address.
COMMON = {
    "myhostname": "bench.src.example",
    "myorigin": "src.example",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_client_connection_rate_limit": "0",
}
# What an administrator may do for speed without giving up the sync.
TUNED = {
    "default_process_limit": "150",
    "smtpd_peername_lookup": "no",
    "in_flow_delay": "0",
    "receive_override_options": "no_address_mappings,no_header_body_checks",
    "smtp_connection_cache_destinations": "127.0.0.1",
    "smtp_destination_concurrency_limit": "20",
    "initial_destination_concurrency": "20",
    "smtp_tls_security_level": "none",
    "smtpd_tls_security_level": "none",
    "smtp_dns_support_level": "disabled",
    "hash_queue_names": "deferred, defer, incoming",
}


class PostfixPeer(Subject):
    relays = True
    relay_messages = (600, 4000)
    settings = {}
    # HOLD at the door: acceptance only, no queue manager at work beside it.
    paused = {"smtpd_data_restrictions": "check_sender_access static:HOLD"}

    def __init__(self, bindir, peers_folder):
        super().__init__(bindir, peers_folder)
        self.root = unpacked(peers_folder)

    def start(self, folder, sink):
        folder.mkdir(parents=True)
        where = {"relayhost": f"[127.0.0.1]:{sink}"} if sink else self.paused
        self.server = postfix.Postfix(self.root, folder, {**COMMON, **self.settings, **where})
        self.server.start()
        self.address = f"127.0.0.1:{self.server.port}"

    def stop(self):
        self.server.stop()

    def pids(self):
        return self.server.pids()

    def version(self):
        done = subprocess.run([self.root / "usr/sbin/postconf", "-d", "-h", "mail_version"], capture_output=True,
                              text=True, env={**os.environ, "LD_LIBRARY_PATH": fetch.library_path(self.root)})
        return done.stdout.strip()


class PostfixDefault(PostfixPeer):
    name = "postfix"
    note = ("postfix: its defaults, on loopback TCP; its log goes to syslog; paused by HOLD at the door, so that it "
            "only accepts")


class PostfixDeferring(PostfixPeer):
    """As installed, with a smarthost that it is told not to try."""

    name = "postfix-deferring"
    note = "postfix-deferring: its defaults and defer_transports=smtp, so that its queue manager works, too"
    relays = False
    paused = {"defer_transports": "smtp"}


class PostfixTuned(PostfixPeer):
    name = "postfix-tuned"
    note = f"postfix-tuned: {', '.join(sorted(TUNED))}"
    settings = TUNED


def unpacked(peers_folder):
    reason = postfix.check()
    if reason:
        raise Absent(reason)
    if INSTALLED.exists():
        return pathlib.Path("/")
    if not shutil.which("apt-get"):
        raise Absent("not installed, and no apt-get to fetch it")
    try:
        return fetch.fetch(peers_folder, "postfix")
    except fetch.Unavailable as error:
        raise Absent(str(error)) from error
