"""Certificates for tests: a CA and server certificates below it, made by openssl(1) into a directory.

server      localhost and 127.0.0.1, valid: what a client that trusts ca.pem must accept
expired     the same, ended yesterday
wrong-name  valid, but for another host
self-signed valid and for the right host, but from nobody that ca.pem knows
"""
import pathlib
import subprocess

NAMES = {
    "server": "DNS:localhost,IP:127.0.0.1",
    "expired": "DNS:localhost,IP:127.0.0.1",
    "wrong-name": "DNS:mail.elsewhere.example",
    "self-signed": "DNS:localhost,IP:127.0.0.1",
}
NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")


def make_authority(directory):
    """ca.pem and ca.key in directory, unless they are there."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    ca = directory / "ca.pem"
    if not ca.exists():
        openssl("req", "-x509", *NEW_KEY, "-keyout", directory / "ca.key", "-out", ca, "-days", 2,
                "-subj", "/CN=Authority of the tests", "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign")
    return ca


def make_certificate(directory, kind="server"):
    """KIND.pem (certificate) and KIND.key in directory; returns both paths. Makes the CA when it is missing."""
    directory = pathlib.Path(directory)
    certificate, key = directory / f"{kind}.pem", directory / f"{kind}.key"
    ca = make_authority(directory)
    subject = ["-subj", f"/CN={kind}"]
    if certificate.exists():
        return certificate, key
    if kind == "self-signed":
        openssl("req", "-x509", *NEW_KEY, "-keyout", key, "-out", certificate, "-days", 2, *subject,
                "-addext", f"subjectAltName={NAMES[kind]}")
        return certificate, key
    request, extensions = directory / f"{kind}.csr", directory / f"{kind}.ext"
    extensions.write_text(f"subjectAltName={NAMES[kind]}\n")
    openssl("req", *NEW_KEY, "-keyout", key, "-out", request, *subject)
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", directory / "ca.key", "-CAcreateserial",
            "-days", -1 if kind == "expired" else 2, "-extfile", extensions, "-out", certificate)
    return certificate, key
