"""strangers.py - whoever reaches the HTTP port, with or without a token, takes it from nobody else."""
import ctypes
import os
import resource
import signal
import socket
import sys
import time

from kit import Failed, World, check, contains, equal, read, wait_until, write
from service import Manager

STRANGER = "127.0.0.2"  # another address of this machine: what is bounded by address is bounded for it
GROWTH = 32 << 20


def memory(process):
    """Bytes of memory that it has."""
    return int(next(line for line in read(f"/proc/{process.pid}/status").splitlines() if line.startswith("VmRSS")).split()[1]) << 10


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def reach(coordinator, address=STRANGER, timeout=20):
    s = socket.socket()
    s.settimeout(timeout)
    s.bind((address, 0))
    s.connect(("127.0.0.1", coordinator.http))
    return s


def took(world, path="/healthz"):
    """Seconds until the API answered somebody else."""
    began = time.monotonic()
    equal(world.api("GET", path, raw_path=True, token=None, timeout=20).status, 200, path)
    return time.monotonic() - began


def setup():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    world = World("strangers").start()
    world.set("demo/prod", {"k": "1"})
    return world


def burst(coordinator, count):
    """As many connections as may be had, as fast as they can be had; those that stood."""
    sockets = []
    try:
        for _ in range(count):
            sockets.append(reach(coordinator))
    except OSError as problem:
        check(len(sockets) > 500, f"connections of this test: {problem}")
    return sockets


def test_burst(world):
    """10,050 connections that say nothing: the API goes on, no descriptor and little memory stay behind"""
    coordinator = world.coordinators[0]
    process, count = coordinator.process, min(10050, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    took(world)
    before, held = memory(process), descriptors(process)
    for _ in range(2):
        sockets = burst(coordinator, count)
        during = max(took(world) for _ in range(20))
        check(during < 2, f"somebody else is answered while they stand, after {during:.2f} s")
        check(descriptors(process) < held + 1100, f"descriptors: {descriptors(process)}")
        for s in sockets:
            s.close()
        after = max(took(world) for _ in range(20))
        check(after < 2, f"and when they are gone, after {after:.2f} s")
    wait_until(lambda: descriptors(process) < held + 20, "their descriptors are given back")
    growth = memory(process) - before
    check(growth < GROWTH, f"memory grew by {growth >> 20} MiB")
    check(coordinator.process.log_has("HTTP connections are turned away", "address_connections"), "it is logged")
    equal(world.api("GET", "/readyz", raw_path=True, token=None).status, 200, "ready")


def test_turned_away(world):
    """who has too many connections is told so"""
    coordinator = world.coordinators[0]
    sockets = burst(coordinator, 1010)
    last = sockets[-1]
    text = last.recv(4096).decode()
    contains(text, "HTTP/1.1 429", "application/problem+json", "address_connections")
    for s in sockets:
        s.close()
    wait_until(lambda: reach_works(coordinator), "there are seats again")


def reach_works(coordinator):
    with reach(coordinator) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        return s.recv(12) == b"HTTP/1.1 200"


def test_silent(world):
    """a connection that sends no complete request is closed after some seconds, however it is fed"""
    coordinator = world.coordinators[0]
    silent, slow, began = reach(coordinator), reach(coordinator), time.monotonic()
    slow.sendall(b"GET /healthz HTTP/1.1\r\n")
    slow.settimeout(1)
    while True:
        try:
            slow.sendall(b"X: y\r\n")
            if slow.recv(100) == b"":
                break
        except TimeoutError:
            pass
        except OSError:
            break
        check(time.monotonic() - began < 30, "a slow head goes on for ever")
    equal(silent.recv(100), b"", "the silent one")
    check(5 < time.monotonic() - began < 20, f"closed after {time.monotonic() - began:.0f} s")


MIB = 1 << 20


def test_bodies(world):
    """17 bodies of 16 MiB without a token: refused at their headers, none is kept, others' bodies are taken"""
    coordinator, before = world.coordinators[0], memory(world.coordinators[0].process)
    sockets = [reach(coordinator) for _ in range(17)]
    for i, s in enumerate(sockets):
        framing = b"Transfer-Encoding: chunked" if i % 2 else b"Content-Length: %d" % (16 * MIB + 1)
        token = b"Authorization: Bearer lst_aaaaaaaa_nobody\r\n" if i % 3 == 0 else b""
        s.sendall(b"PUT /api/v1/config/demo/prod/k HTTP/1.1\r\nHost: x\r\n" + token + framing + b"\r\nContent-Type: application/json\r\n\r\n")
        s.settimeout(5)
        try:
            for _ in range(64):
                s.sendall(b"40000\r\n" + b"x" * (256 << 10) + b"\r\n" if i % 2 else b"x" * (256 << 10))
        except OSError:
            pass  # it does not read on
    growth = memory(coordinator.process) - before
    check(growth < GROWTH, f"memory grew by {growth >> 20} MiB")
    world.set("demo/prod", {f"big.{i}": "y" * 900_000 for i in range(5)})
    for s in sockets:
        s.close()
    check(took(world) < 2, "the API answers")


def test_body_answers(world):
    """without a token, or with a wrong one, the answer comes before the body; with 100-continue no body is asked for"""
    coordinator = world.coordinators[0]
    head = b"PUT /api/v1/config/demo/prod/k HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for token in (b"", b"Authorization: Bearer lst_aaaaaaaa_nobody\r\n"):
        with reach(coordinator) as s:
            s.sendall(head + token + b"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
            contains(s.recv(4096).decode(), "HTTP/1.1 401")
    body = b'{"config_value":"2"}'
    with reach(coordinator) as s:  # first asked in the database, then known
        for _ in range(2):
            s.sendall(head + b"Authorization: Bearer " + world.token.encode() + b"\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
            contains(s.recv(4096).decode(), "HTTP/1.1 100")
            s.sendall(body)
            contains(s.recv(4096).decode(), "HTTP/1.1 200")
    with reach(coordinator) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        contains(s.recv(4096).decode(), "HTTP/1.1 400", "takes no body")


class Tracer:
    """Runs a program under ptrace, so that one of its threads can be stopped while the others run."""
    TRACEME, CONT, SETOPTIONS = 0, 7, 0x4200
    CLONE, EXITKILL, WALL = 8, 0x100000, 0x40000000

    def __init__(self, name_file, argv):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.name_file, self.frozen, self.known = name_file, set(), set()
        signal.signal(signal.SIGUSR1, self.freeze)
        self.pid = os.fork()
        if self.pid == 0:
            self.libc.ptrace(self.TRACEME, 0, None, None)
            os.execv(argv[0], argv)

    def freeze(self, *_):
        """The first thread of the name that stands in the file."""
        name = read(self.name_file).strip()
        for tid in sorted(map(int, os.listdir(f"/proc/{self.pid}/task"))):
            if read(f"/proc/{self.pid}/task/{tid}/comm").strip() == name:
                self.frozen.add(tid)
                self.libc.tgkill(self.pid, tid, signal.SIGSTOP)
                return

    def run(self):
        while True:
            tid, status = os.waitpid(-1, self.WALL)
            if not os.WIFSTOPPED(status):
                if tid == self.pid:
                    return
                continue
            number = os.WSTOPSIG(status)
            if tid not in self.known:
                self.known.add(tid)
                self.libc.ptrace(self.SETOPTIONS, tid, None, self.CLONE | self.EXITKILL)
                number = 0 if number in (signal.SIGSTOP, signal.SIGTRAP) else number
            if number == signal.SIGSTOP and tid in self.frozen:
                continue  # it stays where it is
            self.libc.ptrace(self.CONT, tid, None, 0 if number == signal.SIGTRAP else number)


def stuck(world, name, thread):
    """A coordinator one thread of which is stopped: its watchdog is fed until then, and no more."""
    coordinator = world.add_coordinator(name)
    manager = Manager(f"{world.folder}/{name}.notify")
    name_file = f"{world.folder}/{name}.thread"
    write(name_file, thread)
    coordinator.process.env.update({**manager.env, "WATCHDOG_USEC": "2000000"})
    coordinator.process.argv = [sys.executable, __file__, name_file, *coordinator.process.argv]
    try:
        coordinator.start()
        manager.wait("WATCHDOG", "it is alive")
        coordinator.process.send(signal.SIGUSR1)
        found = wait_until(lambda: next((a for a in [ready(coordinator)] if a is not None and a.status == 503), None),
                           lambda: f"it says that it is stuck: {coordinator.process.log_text()[-2000:]}", 60)
        contains(found["detail"], f'"{thread}" does not move')
        before = manager.count()
        time.sleep(3)  # more than its watchdog's time, in which nothing may be said
        equal([m for _, m in manager.hear()[before:] if "WATCHDOG" in m], [], "the watchdog is fed")
        check(coordinator.process.log_has("a thread does not move any more"), "it is logged")
    finally:
        coordinator.process.kill()
        world.coordinators.remove(coordinator)


def ready(coordinator):
    try:
        return coordinator.api("GET", "/readyz", raw_path=True, token=None, timeout=3)
    except (OSError, Failed):
        return None


def test_watchdog_http(world):
    """an HTTP thread that does not move starves the watchdog, although the main loop is fine"""
    stuck(world, "io", "http i/o")


def test_watchdog_others(world):
    """so does any other thread that serves"""
    stuck(world, "writing", "writer")


if __name__ == "__main__":
    Tracer(sys.argv[1], sys.argv[2:]).run()
