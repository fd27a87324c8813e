"""Rebuilds, for cut points of a log of crashrec.c, what a power cut could have left on the disk, and checks it.

Images of a cut point: `strict` (no write survives that was not synced), `all` (every one does), `prefix` (a random
prefix of the unsynced writes of each file, the last of them in part) and `torn` (each unsynced write kept, dropped, or
kept per sector).

The model: no write moves across a sync; fsync of a new file persists its name (ext4); names made, changed or removed
since the directory was synced are back in `strict` and as programs saw them in the others; the disk honours flushes.
It holds for one writing thread, which is what the spool has. Files are told apart by base name.
"""
import os
import pathlib
import random
import re
import shutil
import sqlite3
import struct

READY = re.compile(rb"^220 ")                                          # the promise counts from here
ACKNOWLEDGED = re.compile(rb"^250 2\.0\.0 queued as ([0-9A-Z]+)")      # "this message is safe"
DATABASE = "spool.db"
# What the recovered spool holds, and whether each message is whole: all its recipients, and its body while it needs one.
QUERY = """
SELECT queue_id,
       recipient_count = (SELECT count(*) FROM recipient WHERE id BETWEEN key << 16 AND (key << 16) + 65535)
       AND ((has_body = 0 AND open_count = 0)
            OR size_bytes = (SELECT sum(length(data)) FROM chunk WHERE id BETWEEN key << 16 AND (key << 16) + 65535))
FROM message
"""
SECTOR = 512
HEAD = struct.Struct("=cHqI")


def read_log(path):
    """[(kind, base name of the file, offset, data)]; see crashrec.c for the kinds."""
    data = pathlib.Path(path).read_bytes()
    events, at = [], 0
    while at + HEAD.size <= len(data):
        kind, name_len, offset, size = HEAD.unpack_from(data, at)
        at += HEAD.size
        name = os.path.basename(data[at:at + name_len].decode())
        at += name_len
        events.append((kind.decode(), name, offset, data[at:at + size]))
        at += size
    return events


def acknowledged(event):
    """IDs that an event told somebody."""
    kind, _, _, data = event
    lines = data.splitlines() if kind == "A" else []
    return [match[1].decode() for match in map(ACKNOWLEDGED.match, lines) if match]


def with_early_replies(events):
    """The same log as if every acknowledgement had been written before the sync that made it true: a planted bug."""
    result = []
    for event in events:
        if not acknowledged(event):
            result.append(event)
            continue
        at = max((index for index, earlier in enumerate(result) if earlier[0] == "S"), default=len(result))
        result.insert(at, event)
    return result


class Content:
    """The bytes of a file. Zeroes at its end are only counted: a log written beforehand has millions of them."""

    def __init__(self, data=b"", size=0):
        self.data, self.size = bytearray(data), size

    def copy(self):
        return Content(self.data, self.size)

    def write(self, offset, data):
        self.size = max(self.size, offset + len(data))
        if offset >= len(self.data) and data.count(0) == len(data):
            return
        self.data.extend(bytes(max(0, offset - len(self.data))))
        self.data[offset:offset + len(data)] = data

    def truncate(self, size):
        self.size = size
        del self.data[size:]


class File:
    def __init__(self):
        self.durable = Content()
        self.pending = []


def apply(content, change):
    kind, offset, data = change
    if kind == "W":
        content.write(offset, data)
    else:
        content.truncate(offset)


class Disk:
    """What is surely on the disk, what may be, and what was promised, after the events fed so far."""

    def __init__(self):
        self.names = {}            # as programs see them: name -> File
        self.durable_names = {}    # as they are after a cut, at worst
        self.promised, self.is_ready = set(), False

    def feed(self, event):
        kind, name, offset, data = event
        if kind == "C":
            file = self.names.setdefault(name, File())
            if offset:    # O_TRUNC
                file.pending.append(("T", 0, b""))
        elif kind in "WT":
            self.names.setdefault(name, File()).pending.append((kind, offset, data))
        elif kind == "S":
            self._sync(name)
        elif kind == "U":
            self.names.pop(name, None)
        elif kind == "R":
            self.names[data.decode()] = self.names.pop(name)
        elif kind == "A":
            self.is_ready = self.is_ready or READY.match(data) is not None
            self.promised.update(acknowledged(event))

    def _sync(self, name):
        if name not in self.names:    # the directory
            self.durable_names = dict(self.names)
            return
        file = self.names[name]
        for change in file.pending:
            apply(file.durable, change)
        file.pending = []
        if file not in self.durable_names.values():
            self.durable_names[name] = file

    def image(self, mode, chance):
        """File name -> content after the cut."""
        result = {}
        names = self.durable_names if mode == "strict" else self.names
        for name, file in names.items():
            if name.endswith("-shm"):
                continue
            content = file.durable.copy()
            count = {"strict": 0, "prefix": chance.randint(0, len(file.pending))}.get(mode, len(file.pending))
            for change in file.pending[:count]:
                if mode == "torn":
                    tear(content, change, chance)
                else:
                    apply(content, change)
            if mode == "prefix" and count < len(file.pending):
                apply_start(content, file.pending[count], chance)
            result[name] = content
        return result


def apply_start(content, change, chance):
    kind, offset, data = change
    if kind == "W":
        apply(content, ("W", offset, data[:chance.randrange(0, len(data) + 1, SECTOR)]))


def tear(content, change, chance):
    kind, offset, data = change
    lot = chance.random()
    if lot < .4:
        apply(content, change)
    elif lot < .7 and kind == "W":
        for at in range(0, len(data), SECTOR):
            if chance.random() < .5:
                apply(content, ("W", offset + at, data[at:at + SECTOR]))


def check(folder, promised):
    """(promised messages that are not there whole, whether the database is damaged) by SQLite's own recovery."""
    try:
        database = sqlite3.connect(os.path.join(folder, DATABASE))
        try:
            database.execute("PRAGMA synchronous = OFF")   # the image is thrown away
            is_intact = database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            whole = {queue_id for queue_id, is_whole in database.execute(QUERY) if is_whole}
        finally:
            database.close()
    except sqlite3.DatabaseError as error:
        return promised, "malformed" in str(error) or "not a database" in str(error)
    return promised - whole, not is_intact


def write_image(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(content.data)
            file.truncate(content.size)


class Result:
    def __init__(self):
        self.cuts = self.images = self.losing = self.worst = self.damaged = 0
        self.last_promised = set()

    def __str__(self):
        return (f"{self.cuts} cut points, {self.images} images, {self.losing} lost an acknowledged message "
                f"(worst {self.worst}), {self.damaged} damaged")


def replay(events, scratch, trials=1, seed=1, share=1.0, look=None):
    """Checks the images of every cut point that follows an acknowledgement or precedes a sync, and of a random share of
    the others. look(folder, promised), if given, sees each strict image behind an acknowledgement too."""
    chance = random.Random(seed)
    disk, result = Disk(), Result()
    for number, event in enumerate(events):
        disk.feed(event)
        is_last = number + 1 == len(events)
        is_promise = bool(acknowledged(event))
        is_before_sync = not is_last and events[number + 1][0] == "S"
        if not disk.is_ready or not (is_last or is_promise or is_before_sync or chance.random() < share):
            continue
        result.cuts += 1
        for mode in ["strict", "all"] + ["prefix", "torn"] * trials:
            write_image(scratch, disk.image(mode, chance))
            if look is not None and is_promise and mode == "strict":
                look(scratch, set(disk.promised))
            missing, is_damaged = check(scratch, disk.promised)
            result.images += 1
            result.losing += bool(missing)
            result.worst = max(result.worst, len(missing))
            result.damaged += is_damaged
    result.last_promised = disk.promised
    return result
