"""run.py - run the system tests: each file in a process of its own, each test a line, then the counts.

A file with functions test_… is a test file; they run in order, and the first docstring line of each
is the sentence that is printed. With setup() in the file its World is handed to every test and closed at the end.
A test that raises kit.NotRun is told with its reason and counted apart.

Files run in lanes beside each other, one for each core: LANES=n says how many (1: one after the other). Each lane has ports of its own; folders are temporary ones anyway. A file
says of itself with `RUNS = "first"` that it takes long, and with `RUNS = "alone"` that it compares
times or fills the machine: it waits until nothing else runs.
"""
import collections
import importlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import traceback

from kit import NotRun

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = {path.stem: path.read_text() for path in sorted(pathlib.Path(HERE).glob("*.py"))}
FILES = [name for name, text in TEXTS.items() if "\ndef test_" in text]
LIMIT = int(os.environ.get("TEST_LIMIT", "240"))  # seconds for one test
LANES_MAX = 8  # as many as kit.py has ports for


def alarm(*_):
    raise TimeoutError(f"took longer than {LIMIT} s")


def run_test(name, test, world):
    sentence = (test.__doc__ or test.__name__).strip().splitlines()[0]
    began = time.monotonic()
    signal.signal(signal.SIGALRM, alarm)
    signal.alarm(LIMIT)
    try:
        test(world) if world is not None else test()
        print(f"ok   {name}: {sentence} ({time.monotonic() - began:.1f} s)")
        return "passed"
    except NotRun as reason:
        print(f"NOT RUN: {name}: {sentence}: {reason}")
        return "not run"
    except BaseException as problem:  # a test must never end the run
        signal.alarm(0)
        print(f"FAIL {name}: {sentence} ({time.monotonic() - began:.1f} s)\n     {problem}")
        print("".join(traceback.format_exception(problem)[-4:]))
        if isinstance(problem, KeyboardInterrupt):
            raise
        return "failed"
    finally:
        signal.alarm(0)


def run_file(name):
    """All tests of one file; every later test of a broken set-up fails with it."""
    sys.path.insert(0, HERE)
    module = importlib.import_module(name)
    tests = [f for n, f in vars(module).items() if n.startswith("test_")]
    only = os.environ.get("TEST")
    tests = [t for t in tests if not only or only in t.__name__]
    counts, world = collections.Counter(), None
    try:
        if hasattr(module, "setup"):
            world = module.setup()
        for test in tests:
            counts[run_test(name, test, world)] += 1
    except Exception:
        traceback.print_exc(file=sys.stdout)
    finally:
        good = counts["passed"] + counts["not run"]
        if world is not None and good < len(tests):
            print(world.logs())
        if world is not None:
            world.close(keep="KEEP" in os.environ)
    print(summary(counts["passed"], len(tests) - good, counts["not run"]))
    return 0 < good == len(tests)


def summary(passed, failed, not_run):
    return f"{passed} passed, {failed} failed" + (f", {not_run} not run" if not_run else "")


class Run:
    """Files in lanes: whoever is free takes the next one; what runs alone comes at the end."""

    def __init__(self, names):
        order = {"first": 0, "": 1, "alone": 2}
        self.left = sorted(names, key=lambda name: order[runs(name)])
        self.lock = threading.Lock()  # of everything here, and of what is printed
        self.counts = [0, 0, 0]  # passed, failed, not run
        self.seconds = {}

    def next(self, alone):
        with self.lock:
            if self.left and (runs(self.left[0]) == "alone") == alone:
                return self.left.pop(0)
        return None

    def work(self, lane, alone=False):
        while name := self.next(alone):
            began = time.monotonic()
            self.add(self.run(name, lane))
            self.seconds[name] = time.monotonic() - began

    def add(self, counts):
        with self.lock:
            self.counts = [a + b for a, b in zip(self.counts, counts)]

    def say(self, lines):
        with self.lock:
            print("".join(lines), end="", flush=True)

    def run(self, name, lane):
        """What a file prints stays together from one test's line to the next."""
        child = subprocess.Popen([sys.executable, "-u", __file__, name], stdout=subprocess.PIPE, text=True, errors="replace",
                                 env={**os.environ, "LANE": str(lane)})
        block, last = [], ""
        for line in child.stdout:
            if last.startswith(("ok ", "NOT RUN: ")) or line.startswith(("ok ", "FAIL ", "NOT RUN: ")):
                self.say(block)
                block = []
            block.append(line)
            last = line
        counts = re.fullmatch(r"(\d+) passed, (\d+) failed(?:, (\d+) not run)?\n", last)
        if child.wait() in (0, 1) and counts:
            self.say(block[:-1])
            found = [int(n or 0) for n in counts.groups()]
            return found if any(found) or "TEST" in os.environ else (0, 1, 0)
        self.say([*block, f"{name}: ended without its counts\n"])
        return 0, 1, 0


def runs(name):
    found = re.search(r'^RUNS = "(first|alone)"', TEXTS[name], re.M)
    return found[1] if found else ""


def main(names):
    names = [name.removesuffix(".py") for name in names]
    if len(names) == 1:
        return 0 if run_file(names[0]) else 1
    run = Run(names or FILES)
    lanes = max(1, min(LANES_MAX, int(os.environ.get("LANES") or len(os.sched_getaffinity(0)))))
    workers = [threading.Thread(target=run.work, args=(lane,)) for lane in range(lanes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    run.work(0, alone=True)
    longest = sorted(run.seconds, key=run.seconds.get, reverse=True)[:5]
    print("the longest: " + ", ".join(f"{name} {run.seconds[name]:.0f} s" for name in longest))
    print(summary(*run.counts))
    return 1 if run.counts[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
