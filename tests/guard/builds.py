"""Builds the outboxd of the work tree and that of the commit before it, both with the flags of a release."""

import os
import shutil
import subprocess

# What the daemon is made of; manuals have no instructions.
SOURCES = ("CMakeLists.txt", "CMakePresets.json", "common", "daemon", "sql", ":!daemon/*.5", ":!daemon/*.8")


class Impossible(Exception):
    """There is nothing to compare with; the text says why."""


def git(top, *arguments):
    """Its output, None when it fails."""
    try:
        done = subprocess.run(["git", "-C", top, *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise Impossible("git is not installed") from None
    return done.stdout.strip() if done.returncode == 0 else None


def commit_before(top, wanted=None):
    """What to compare with: the last commit when the sources have been edited since, else the one before it."""
    if git(top, "rev-parse", "--show-toplevel") != str(top):
        raise Impossible("this is not a git repository of its own")
    is_edited = git(top, "status", "--porcelain", "--", *SOURCES) != ""
    name = wanted or ("HEAD" if is_edited else "HEAD~1")
    commit = git(top, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if commit is None:
        raise Impossible(f"no commit {name} here (a shallow clone?)")
    if not is_edited and git(top, "diff", "--quiet", commit, "HEAD", "--", *SOURCES) is not None:
        raise Impossible(f"nothing changed in the daemon since {title(top, commit)}")
    return commit


def title(top, commit):
    return git(top, "log", "-1", "--format=%h %s", commit)


def messages_since(top, commit):
    return git(top, "log", "--format=%B", f"{commit}..HEAD").splitlines()


def build(source, folder):
    """The program; CalledProcessError carries the compiler's words."""
    jobs = str(os.cpu_count() or 1)
    for command in (
        ["cmake", "--preset", "release", "-B", folder, f"-DCMAKE_RUNTIME_OUTPUT_DIRECTORY={folder}/bin"],
        ["cmake", "--build", folder, "--parallel", jobs, "--target", "outboxd"],
    ):
        subprocess.run(command, cwd=source, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return folder / "bin/outboxd"


def build_now(top, folder):
    return build(top, folder / "now")


def build_before(top, folder, commit):
    """What was built for the same commit is used again."""
    before = folder / "before"
    stamp = before / "commit"
    program = before / "build/bin/outboxd"
    if stamp.exists() and stamp.read_text() == commit and program.exists():
        return program
    shutil.rmtree(before, ignore_errors=True)
    before.mkdir(parents=True)
    archive = before / "source.tar"
    if git(top, "archive", "--format=tar", "-o", str(archive), commit) is None:
        raise Impossible(f"{commit} cannot be unpacked")
    shutil.unpack_archive(archive, before / "source")
    archive.unlink()
    try:
        build(before / "source", before / "build")
    except subprocess.CalledProcessError as error:
        raise Impossible(f"{title(top, commit)} cannot be built: {error.stdout[-500:]}") from None
    stamp.write_text(commit)
    return program
