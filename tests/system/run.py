"""run.py - run the system tests: each file in a process of its own, each test a line, then the counts.

A file with functions test_… is a test file; they run in order, and the first docstring line of each
is the sentence that is printed. With setup() in the file its World is handed to every test and closed at the end.
"""
import importlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = sorted(path.stem for path in pathlib.Path(HERE).glob("*.py") if "\ndef test_" in path.read_text())
LIMIT = int(os.environ.get("TEST_LIMIT", "240"))  # seconds for one test


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


def main(names):
    if len(names) == 1:
        return 0 if run_file(names[0].removesuffix(".py")) else 1
    passed = failed = 0
    for name in names or FILES:
        child = subprocess.Popen([sys.executable, "-u", __file__, name], stdout=subprocess.PIPE, text=True)
        last = ""
        for line in child.stdout:
            if last:
                print(last, end="")
            last = line
        words = last.split()
        if child.wait() not in (0, 1) or len(words) != 4:
            print(last, end="")
            words = ["0", "passed,", "1", "failed"]
        passed, failed = passed + int(words[0]), failed + int(words[2])
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
