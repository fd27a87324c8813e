"""Shows that load, sink, bound and spawnload count right: what every figure of the bench rests on. Measures no time.

smoke.py BENCH-LOAD BENCH-SINK BENCH-BOUND BENCH-SPAWNLOAD
"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))
import certificates  # noqa: E402

MESSAGES = 200


class Receiver:
    """A sink or bound for the length of a with statement; report is what it printed at its end."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.report = None

    def __enter__(self):
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise SystemExit(f"no address from {self.process.args}")
        self.address = line.split()[-1]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        output, _ = self.process.communicate(timeout=20)
        if self.process.returncode != 0:
            raise SystemExit(f"{self.process.args[0]} ended with {self.process.returncode}")
        self.report = json.loads(output)


def load(program, address, *options):
    done = subprocess.run([program, "-n", str(MESSAGES), *options, address], capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout)


def expect(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what}: {got} instead of {wanted}")


def check_sink(load_program, sink_program, scratch):
    cases = {
        "one per connection": ["-c", "3"],
        "many per connection": ["-c", "10", "-d", "7"],
        "one connection, pipelined": ["-d", "0", "-P"],
        "large": ["-c", "4", "-d", "0", "-s", "300K"],
    }
    for address in ("127.0.0.1:0", f"unix:{scratch}/sink"):
        for name, options in cases.items():
            with Receiver(sink_program, "-u", str(MESSAGES), address) as sink:
                sent = load(load_program, sink.address, *options)
                again = load(load_program, sink.address, *options)
            for result in (sent, again):
                expect(f"{name}: acknowledged", (result["acknowledged"], result["failed"]), (MESSAGES, 0))
            expect(f"{name}: received", sink.report["messages"], 2 * MESSAGES)
            expect(f"{name}: repeats", sink.report["repeats"], MESSAGES)
            expect(f"{name}: live", sink.report["live"], 0)


def check_manners(load_program, sink_program):
    with Receiver(sink_program, "-4", "127.0.0.1:0") as sink:
        refused = load(load_program, sink.address, "-c", "20")
    expect("refused", (refused["acknowledged"], refused["problem"][:3]), (0, "451"))
    expect("received though refused", sink.report["messages"], 0)
    with Receiver(sink_program, "-w", "20", "127.0.0.1:0") as sink:
        waited = load(load_program, sink.address, "-c", "20", "-d", "0")
    expect("waited", waited["acknowledged"], MESSAGES)
    expect("waits too short", waited["p50_ms"] >= 19, True)
    with Receiver(sink_program, "-l", "127.0.0.1:0") as sink:
        lmtp = load(load_program, sink.address, "-l", "-d", "0")
    expect("LMTP", (lmtp["acknowledged"], sink.report["messages"]), (MESSAGES, MESSAGES))


def check_tls(load_program, sink_program, scratch):
    identity = scratch / "identity.pem"
    identity.write_text("".join(path.read_text() for path in certificates.make_certificate(scratch)))
    for options in (["-c", "10", "-d", "7"], ["-c", "4", "-d", "0", "-P"], ["-c", "2", "-d", "0", "-s", "100K"]):
        with Receiver(sink_program, "-u", str(MESSAGES), "-T", identity, "127.0.0.1:0") as sink:
            sent = load(load_program, sink.address, "-T", *options)
            clear = load(load_program, sink.address, "-n", "1", "-t", "200")
        name = f"TLS {' '.join(options)}"
        expect(f"{name}: acknowledged", (sent["acknowledged"], sent["failed"]), (MESSAGES, 0))
        expect(f"{name}: received", (sink.report["messages"], sink.report["repeats"]), (MESSAGES, 0))
        expect(f"{name}: in clear", clear["acknowledged"], 0)
    with Receiver(sink_program, "127.0.0.1:0") as sink:
        expect("TLS to a sink in clear", load(load_program, sink.address, "-T", "-t", "200")["acknowledged"], 0)


def read_numbers(path):
    data = path.read_bytes()
    return struct.unpack(f"{len(data) // 8}Q", data)


def check_times(load_program, sink_program, scratch):
    """A client that pauses: dot, taken, reply, pause, next dot; by one clock in both programs."""
    count, pause_ms = 20, 3
    taken, sent = scratch / "taken", scratch / "sent"
    with Receiver(sink_program, "-u", str(count), "-t", taken, "127.0.0.1:0") as sink:
        result = load(load_program, sink.address, "-n", str(count), "-d", "0", "-w", str(pause_ms), "-m", sent)
    expect("times: acknowledged", (result["acknowledged"], result["sessions"]), (count, 1))
    numbers = read_numbers(sent)
    rows = list(zip(numbers[::2], read_numbers(taken), numbers[1::2]))
    expect("times: noted", len(rows), count)
    for row, after in zip(rows, rows[1:]):
        expect("times: order", 0 < row[0] <= row[1] <= row[2], True)
        expect("times: pause", after[0] - row[2] >= pause_ms * 1_000_000, True)


def check_bound(load_program, bound_program, scratch):
    for options in ([], ["-f"]):
        with Receiver(bound_program, *options, "-D", f"{scratch}/bound.db", f"unix:{scratch}/bound") as bound:
            sent = load(load_program, bound.address, "-c", "10", "-d", "20")
        expect("bound: acknowledged", sent["acknowledged"], MESSAGES)
        expect("bound: committed", bound.report["messages"], MESSAGES)
        expect("bound: groups", 1 <= bound.report["commits"] <= MESSAGES, True)


def check_spawnload(program, scratch):
    """Every run reads the same input from its start, and a command that fails is counted."""
    source, target = scratch / "input", scratch / "runs"
    source.write_text("once\n")
    append = ["/bin/sh", "-c", f"cat >> {target}"]
    done = subprocess.run([program, "-n", "7", "-i", source, *append], capture_output=True, text=True, timeout=60)
    report = json.loads(done.stdout)
    expect("spawnload: runs", (report["runs"], report["failed"], target.read_text()), (7, 0, 7 * "once\n"))
    expect("spawnload: order", 0 < report["min_ms"] <= report["p50_ms"] <= report["max_ms"], True)
    done = subprocess.run([program, "-n", "3", "/bin/false"], capture_output=True, text=True, timeout=60)
    expect("spawnload: failures", (done.returncode, json.loads(done.stdout)["failed"]), (1, 3))


def main():
    load_program, sink_program, bound_program, spawnload_program = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        check_sink(load_program, sink_program, pathlib.Path(scratch))
        check_manners(load_program, sink_program)
        check_tls(load_program, sink_program, pathlib.Path(scratch))
        check_times(load_program, sink_program, pathlib.Path(scratch))
        check_bound(load_program, bound_program, pathlib.Path(scratch))
        check_spawnload(spawnload_program, pathlib.Path(scratch))
    print("counts agree")


if __name__ == "__main__":
    main()
