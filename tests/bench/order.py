"""Whether accepted means synced: reads a trace of outboxd by strace and looks at every 250 for a message.

A reply to a message's dot may leave only after a sync of the write-ahead log that had begun when the message, and the
frame that commits its transaction, were written. Lines of a trace are in an order that can be relied on: strace notes
a call before the kernel runs it, and its end after that, so whatever ends on an earlier line ended earlier.
"""

import collections
import itertools
import re

CALLS = "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fdatasync,fsync"
# Strings whole, paths of descriptors, threads.
STRACE = ("strace", "-f", "-qq", "-y", "-s", "400000", "-e", f"trace={CALLS}")
READS = ("read", "readv", "recvfrom", "recvmsg")
REPLIES = ("write", "writev", "sendto", "sendmsg")
WRITES = ("pwrite64", "pwritev")
SYNCS = ("fdatasync", "fsync")

LINE = re.compile(r"(\d+)\s+(.*)")
RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
UNFINISHED = " <unfinished ...>"
CALL = re.compile(r"(\w+)\(\d+<(.*?)>(.*)\)\s+= (-?\d+)")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.S)
LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"f": b"\f"}
SEQUENCE = re.compile(rb"X-Bench-Seq: (\d+)[\r\n]")
ACCEPTED = re.compile(rb"^250 [^\r\n]*queued as", re.M)

WAL_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24

# begin and end are numbers of lines
Call = collections.namedtuple("Call", "begin end name path arguments result")
Report = collections.namedtuple("Report", "replies syncs violations")


def read_calls(lines):
    """Finished calls in the order of their ends."""
    begun = {}
    for number, line in enumerate(lines):
        match = LINE.match(line)
        if not match:
            continue
        pid, text = match.groups()
        if text.endswith(UNFINISHED):
            begun[pid] = (number, text[:-len(UNFINISHED)])
            continue
        begin, resumed = number, RESUMED.match(text)
        if resumed:
            begin, start = begun.pop(pid, (number, ""))
            text = start + resumed.group(1)
        call = CALL.match(text)
        if call:
            name, path, arguments, result = call.groups()
            yield Call(begin, number, name, path, arguments, int(result))


def unescape(match):
    code = match.group(1)
    return bytes([int(code, 8)]) if code[:1].isdigit() else LETTERS.get(code, code)


def data_of(call):
    """The bytes that were read or written."""
    text = b"".join(string.encode() for string in STRING.findall(call.arguments))
    return ESCAPE.sub(unescape, text)[:max(call.result, 0)]


class Log:
    """The write-ahead log as the trace shows it: when each message in it became durable."""

    def __init__(self):
        self.image = bytearray()
        self.written = []    # calls that no sync has covered
        self.dirty = {}      # frame whose transaction is not durable -> bytes of it that were written
        self.durable = {}    # sequence -> line
        self.syncs = 0

    def on_sync(self, call):
        if call.result != 0:
            return
        self.syncs += 1
        covered = [write for write in self.written if write.end < call.begin]
        self.written = [write for write in self.written if write.end >= call.begin]
        for write in covered:
            self.apply(write)
        for frame in self.frames_committed():
            for sequence in SEQUENCE.findall(self.frame(frame)):
                self.durable.setdefault(int(sequence), call.end)
            del self.dirty[frame]

    def frames_committed(self):
        """Those up to the last frame that commits, none of them incomplete."""
        whole = list(itertools.takewhile(lambda frame: self.dirty[frame] >= self.frame_bytes(), sorted(self.dirty)))
        while whole and not any(self.frame(whole[-1])[4:8]):
            whole.pop()
        return whole

    def apply(self, call):
        data = data_of(call)
        offset = int(call.arguments.rpartition(", ")[2])
        end = offset + len(data)
        self.image.extend(bytes(max(end - len(self.image), 0)))
        self.image[offset:end] = data
        if end - offset > self.frame_bytes() and not any(data):
            return    # room for later frames
        while offset < end and end > WAL_HEADER_BYTES:
            frame = max(offset - WAL_HEADER_BYTES, 0) // self.frame_bytes()
            next_offset = min(end, WAL_HEADER_BYTES + (frame + 1) * self.frame_bytes())
            self.dirty[frame] = self.dirty.get(frame, 0) + next_offset - max(offset, WAL_HEADER_BYTES)
            offset = next_offset

    def frame_bytes(self):
        return FRAME_HEADER_BYTES + int.from_bytes(self.image[8:12], "big")

    def frame(self, number):
        """Its header, whose second word is not 0 when it commits, and its page."""
        start = WAL_HEADER_BYTES + number * self.frame_bytes()
        return self.image[start:start + self.frame_bytes()]


class Dialogues:
    """Which message each accepting reply is for: a connection's are answered in their order."""

    def __init__(self):
        self.tails = collections.defaultdict(bytes)
        self.unanswered = collections.defaultdict(collections.deque)

    def on_read(self, call):
        data = self.tails[call.path] + data_of(call)
        seen = 0
        for match in SEQUENCE.finditer(data):
            self.unanswered[call.path].append(int(match.group(1)))
            seen = match.end()
        self.tails[call.path] = data[seen:][-40:]

    def on_reply(self, call):
        """The sequences that this write accepts, None for one that was never read."""
        waiting = self.unanswered[call.path]
        return [waiting.popleft() if waiting else None for _ in ACCEPTED.findall(data_of(call))]


def check(lines, expected):
    """expected: how many messages were accepted, as their sender counted."""
    log, dialogues, violations, replies = Log(), Dialogues(), [], 0
    for call in read_calls(lines):
        is_log = call.path.endswith("-wal")
        if is_log and call.name in WRITES and call.result > 0:
            log.written.append(call)
        elif is_log and call.name in SYNCS:
            log.on_sync(call)
        elif call.path.startswith("socket:") and call.name in READS:
            dialogues.on_read(call)
        elif call.path.startswith("socket:") and call.name in REPLIES:
            for sequence in dialogues.on_reply(call):
                replies += 1
                line = log.durable.get(sequence)
                if line is None or line >= call.begin:
                    violations.append(f"message {sequence} was accepted on line {call.begin + 1} of the trace, "
                                      "before a sync of its transaction")
    if replies != expected:
        violations.append(f"{replies} replies in the trace instead of {expected}")
    return Report(replies, log.syncs, violations)
