#!/usr/bin/env python3
"""Fetches programs of the distribution as packages and unpacks them; nothing is ever installed.

usage: fetch.py FOLDER PACKAGE...       prints the folder of each package

Each package gets FOLDER/PACKAGE as a root of its own, together with the libraries it needs that this machine lacks,
because mail servers conflict with one another and with the one the developer uses. The system's package lists are
used when they know the package; otherwise lists of our own are fetched below FOLDER/apt, which needs no root.
"""
import fcntl
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

DEADLINE_S = 300


class Unavailable(Exception):
    """A package can't be had here; the text says why."""


class Apt:
    """apt-get and apt-cache, first with the system's lists, then with our own."""

    def __init__(self, folder):
        self.folder = folder
        self.options = []

    def run(self, *command, cwd=None):
        try:
            return subprocess.run([command[0], *self.options, *command[1:]], cwd=cwd, capture_output=True, text=True,
                                  timeout=DEADLINE_S, env={**os.environ, "LC_ALL": "C"})
        except FileNotFoundError:
            raise Unavailable(f"no {command[0]} on this system") from None
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{command[0]} took more than {DEADLINE_S} s") from None

    def use_own_lists(self):
        """Lists below our folder: for a system that has none, and for those that have aged."""
        if self.options:
            return False
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / "apt" / name).mkdir(parents=True, exist_ok=True)
        self.options = [f"-oDir::State::Lists={self.folder}/apt/lists", f"-oDir::Cache={self.folder}/apt/cache",
                        "-oAPT::Sandbox::User=", "-oDebug::NoLocking=1"]
        self.run("apt-get", "-qq", "update")   # a failure shows in the download
        return True

    def download(self, package, target):
        """The .deb of a package, in target."""
        done = self.run("apt-get", "-qq", "download", package, cwd=target)
        if done.returncode != 0 and self.use_own_lists():
            done = self.run("apt-get", "-qq", "download", package, cwd=target)
        files = sorted(target.glob(f"{package}_*.deb"))
        if done.returncode != 0 or not files:
            raise Unavailable(f"{package}: {done.stderr.strip().splitlines()[-1:] or ['apt-get download failed']}")
        return files[0]

    def libraries_of(self, package):
        """The lib* packages that it depends on and that are not installed."""
        listing = self.run("apt-cache", "depends", "--important", package).stdout
        names = re.findall(r"^[ |]*(?:Pre)?Depends: (lib[a-z0-9.+-]+)", listing, re.M)
        return [name for name in names if not is_installed(name)]


def is_installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True)
    return done.stdout.endswith(" installed")


def lacks_libraries(root):
    """Whether a program below root needs a shared library that neither root nor the system has."""
    environment = {**os.environ, "LD_LIBRARY_PATH": library_path(root), "LC_ALL": "C"}
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file() or not os.access(path, os.X_OK):
            continue
        with open(path, "rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        listing = subprocess.run(["ldd", path], env=environment, capture_output=True, text=True)
        if "not found" in listing.stdout:
            return True
    return False


def library_path(root):
    """LD_LIBRARY_PATH for programs below root."""
    folders = [root / "usr/lib/postfix", *sorted(root.glob("usr/lib/*-linux-*")), *sorted(root.glob("lib/*-linux-*")),
               root / "usr/lib"]
    return ":".join(str(folder) for folder in folders if folder.is_dir())


def unpack(apt, package, root, scratch):
    deb = apt.download(package, scratch)
    done = subprocess.run(["dpkg-deb", "-x", deb, root], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{package}: {done.stderr.strip()}")
    for path in root.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))   # nobody asked for these here


def unpack_all(apt, package, root, scratch):
    """The package, and what it depends on as long as its programs lack a library."""
    level, done = [package], set()
    while level:
        for name in level:
            unpack(apt, name, root, scratch)
        done.update(level)
        if not lacks_libraries(root):
            return
        level = sorted({library for name in level for library in apt.libraries_of(name)} - done)


def fetch(folder, package):
    """The root below which the package is unpacked; fetches it unless that was done before."""
    folder = pathlib.Path(folder).resolve()
    root, complete = folder / package, folder / f".{package}.complete"
    if complete.exists():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f".{package}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)   # tests run in parallel
        if complete.exists():
            return root
        shutil.rmtree(root, ignore_errors=True)
        apt = Apt(folder)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            unpack_all(apt, package, root, pathlib.Path(scratch))
        complete.touch()
    return root


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__.strip())
    try:
        for package in sys.argv[2:]:
            print(fetch(sys.argv[1], package))
    except Unavailable as reason:
        print(f"fetch: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
