"""run.py - run the system tests: each file in a process of its own, each test a line, then the counts.

A file with functions test_… is a test file; they run in order, and the first docstring line of each
is the sentence that is printed. With setup() in the file its World is handed to every test and closed at the end.

Files run in lanes beside each other, since most of their time is waiting: LANES=n says how many
(1: one after the other). Each lane has ports of its own; folders are temporary ones anyway. A file
says of itself with `RUNS = "first"` that it takes long, and with `RUNS = "alone"` that it compares
times or fills the machine: it waits until nothing else runs.
"""
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
        return True
    except BaseException as problem:  # a test must never end the run
        signal.alarm(0)
        print(f"FAIL {name}: {sentence} ({time.monotonic() - began:.1f} s)\n     {problem}")
        print("".join(traceback.format_exception(problem)[-4:]))
        if isinstance(problem, KeyboardInterrupt):
            raise
        return False
    finally:
        signal.alarm(0)


def run_file(name):
    """All tests of one file; every later test of a broken set-up fails with it."""
    sys.path.insert(0, HERE)
    module = importlib.import_module(name)
    tests = [f for n, f in vars(module).items() if n.startswith("test_")]
    only = os.environ.get("TEST")
    tests = [t for t in tests if not only or only in t.__name__]
    passed, world = 0, None
    try:
        if hasattr(module, "setup"):
            world = module.setup()
        for test in tests:
            good = run_test(name, test, world)
            passed += good
    except Exception:
        traceback.print_exc(file=sys.stdout)
    finally:
        if world is not None and passed < len(tests):
            print(world.logs())
        if world is not None:
            world.close(keep="KEEP" in os.environ)
    print(f"{passed} passed, {len(tests) - passed} failed")
    return passed == len(tests)


class Run:
    """Files in lanes: whoever is free takes the next one; what runs alone comes at the end."""

    def __init__(self, names):
        order = {"first": 0, "": 1, "alone": 2}
        self.left = sorted(names, key=lambda name: order[runs(name)])
        self.lock = threading.Lock()  # of everything here, and of what is printed
        self.passed = self.failed = 0
        self.seconds = {}

    def next(self, alone):
        with self.lock:
            if self.left and (runs(self.left[0]) == "alone") == alone:
                return self.left.pop(0)
        return None

    def work(self, lane, alone=False):
        while name := self.next(alone):
            began = time.monotonic()
            self.add(*self.run(name, lane))
            self.seconds[name] = time.monotonic() - began

    def add(self, passed, failed):
        with self.lock:
            self.passed, self.failed = self.passed + passed, self.failed + failed

    def say(self, lines):
        with self.lock:
            print("".join(lines), end="", flush=True)

    def run(self, name, lane):
        """What a file prints stays together from one test's line to the next."""
        child = subprocess.Popen([sys.executable, "-u", __file__, name], stdout=subprocess.PIPE, text=True, errors="replace",
                                 env={**os.environ, "LANE": str(lane)})
        block, last = [], ""
        for line in child.stdout:
            if last.startswith("ok ") or line.startswith(("ok ", "FAIL ")):
                self.say(block)
                block = []
            block.append(line)
            last = line
        words = last.split()
        if child.wait() in (0, 1) and len(words) == 4 and words[1] == "passed,":
            self.say(block[:-1])
            return int(words[0]), int(words[2])
        self.say([*block, f"{name}: ended without its counts\n"])
        return 0, 1


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
    print(f"{run.passed} passed, {run.failed} failed")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
