"""strangers.py - whoever reaches the HTTP port, with or without a token, takes it from nobody else."""
import contextlib
import ctypes
import http.client
import os
import resource
import signal
import socket
import statistics
import sys
import threading
import time

from kit import PATIENCE, Agent, Failed, World, check, contains, equal, read, wait_until, write
from service import Manager

RUNS = "first"
STRANGER = "127.0.0.2"  # another address of this machine: what is bounded by address is bounded for it
GROWTH = 32 << 20


def memory(process):
    """Bytes of memory that it has."""
    return int(next(line for line in read(f"/proc/{process.pid}/status").splitlines() if line.startswith("VmRSS")).split()[1]) << 10


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def reach(coordinator, address=STRANGER, timeout=PATIENCE):
    s = socket.socket()
    s.settimeout(timeout)
    s.bind((address, 0))
    s.connect(("127.0.0.1", coordinator.http))
    return s


def took(world, path="/healthz"):
    """Seconds until the API answered somebody else."""
    began = time.monotonic()
    equal(world.api("GET", path, raw_path=True, token=None, timeout=PATIENCE).status, 200, path)
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
        during = [took(world) for _ in range(20)]  # somebody else is answered while they stand
        check(descriptors(process) < held + 900, f"descriptors: {descriptors(process)}")
        for s in sockets:
            s.close()
        after = [took(world) for _ in range(20)]  # and when they are gone
        print(f"     median {statistics.median(during) * 1000:.1f} ms while they stand, {statistics.median(after) * 1000:.1f} ms afterwards")
    wait_until(lambda: descriptors(process) < held + 20, "their descriptors are given back")
    growth = memory(process) - before
    check(growth < GROWTH, f"memory grew by {growth >> 20} MiB")
    check(coordinator.process.log_has("HTTP connections are turned away", "address_connections"), "it is logged")
    equal(world.api("GET", "/readyz", raw_path=True, token=None).status, 200, "ready")


def test_few_descriptors(world):
    """both ports together leave descriptors for the database and files, however few there are"""
    tight = world.add_coordinator("tight")
    tight.process.argv = ["prlimit", "--nofile=1024:1024", "--", *tight.process.argv]
    tight.start()
    sockets, most = [], 0
    for port, count, address in ((tight.router, 600, STRANGER), (tight.http, 400, STRANGER), (tight.http, 400, "127.0.0.3")):
        for _ in range(count):
            s = socket.socket()
            s.bind((address, 0))
            s.connect(("127.0.0.1", port))
            sockets.append(s)
            most = max(most, descriptors(tight.process) if len(sockets) % 50 == 0 else 0)
    for _ in range(20):
        most = max(most, descriptors(tight.process))
        time.sleep(0.05)
    check(700 < most < 1010, f"{most} of 1024 descriptors were taken for a moment, before what is too much was ended")
    wait_until(lambda: descriptors(tight.process) < 960, lambda: f"{descriptors(tight.process)} of 1024 descriptors stay taken")
    for s in sockets[600:]:
        s.close()
    text = wait_until(lambda: metrics_of(tight), "it answers again")
    check(int(text.split("\nlockstep_router_connections ")[1].split()[0]) >= 0 and "\nlockstep_router_connections_ended_total " in text, "they are counted")
    for s in sockets:
        s.close()
    equal(tight.process.stop(), 0, "it ends")
    world.coordinators.remove(tight)


def metrics_of(coordinator):
    with contextlib.suppress(OSError, http.client.HTTPException):
        answer = coordinator.api("GET", "/metrics", raw_path=True, token=None)
        return answer.raw.decode() if answer.status == 200 else None


def test_turned_away(world):
    """who has too many connections is told so"""
    coordinator = world.coordinators[0]
    sockets = burst(coordinator, 810)
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
        check(time.monotonic() - began < PATIENCE, "a slow head goes on for ever")
    equal(silent.recv(100), b"", "the silent one")
    check(5 < time.monotonic() - began, f"closed after {time.monotonic() - began:.0f} s")


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
    took(world)


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


def talk(coordinator, text, wait=2):
    """All that comes back on a connection of its own, until it is closed or nothing more comes."""
    got = b""
    with reach(coordinator, timeout=wait) as s:
        s.sendall(text)
        try:
            while part := s.recv(65536):
                got += part
        except (TimeoutError, ConnectionResetError):
            pass
    return got.decode()


def test_heads(world):
    """a head of 20 KB is taken; one that is too large is refused once, as a problem; so is what is no request"""
    coordinator = world.coordinators[0]
    for name, size in ((b"Cookie", 4000), (b"Cookie", 8000), (b"X-Identity", 20000)):
        contains(talk(coordinator, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s: a=%s\r\n\r\n" % (name, b"c" * size)), "HTTP/1.1 200")
    for name, size in ((b"Cookie", 20000), (b"Cookie", 40000), (b"X-Identity", 40000)):
        text = talk(coordinator, b"GET /healthz HTTP/1.1\r\nHost: x\r\n%s: a=%s\r\n\r\n" % (name, b"c" * size))
        contains(text, "HTTP/1.1 431", "application/problem+json", '"status":431', "cookies")
        equal(text.count("HTTP/1.1 431"), 1, f"answers: {text}")
    for sent in (b"GET /healthz HTTP/1.1\r\n\r\n", b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n"):
        text = talk(coordinator, sent)
        contains(text, "HTTP/1.1 400", "problem+json", "Host")
        equal(text.count("HTTP/1.1 400"), 1, f"answers: {text}")


def test_absolute_form(world):
    """a target in the absolute form is its path"""
    coordinator = world.coordinators[0]
    head = b"HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + world.token.encode() + b"\r\n\r\n"
    world.set("abs/dev", {"k": "1"})
    for target in (b"http://x/healthz", b"HTTPS://x:1/healthz", b"http://x/api/v1/config/abs/dev/k?raw", b"http://x/api/v1/config/abs/dev/k"):
        wait_until(lambda: "HTTP/1.1 200" in talk(coordinator, b"GET " + target + b" " + head), f"{target} is found")
    for target in (b"http://x/nosuch", b"http://x/healthz/", b"httpx://x/healthz"):
        contains(talk(coordinator, b"GET " + target + b" " + head), "HTTP/1.1 404")


def test_conditions(world):
    """If-None-Match: weak tags, lists and *; a draft changes what the answer says, and its tag"""
    world.set("tags/dev", {"k": "1", "s": "1"})
    wait_until(lambda: world.api("GET", "/config/tags/dev/k").status == 200, "it is released")
    paths = ["/config/tags/dev/k", "/config/tags/dev/k?raw", "/config/tags/dev?format=yaml"]
    world.ok("PUT", "/schemas/tags/k", {"schema": {"type": "string"}})
    for path in [*paths, "/schemas/tags/k"]:
        for _ in range(2):  # from the database and from memory
            tag = world.api("GET", path).headers["ETag"]
            for condition, status in ((tag, 304), (f"W/{tag}", 304), (f'"x", {tag}', 304), (f'"x",W/{tag} , "y"', 304), ("*", 304),
                                      ('"x"', 200), (tag.strip('"'), 200), ('W/"x"', 200), ("", 200)):
                answer = world.api("GET", path, headers={"If-None-Match": condition})
                equal(answer.status, status, f"{path} with {condition}")
                equal(answer.headers["ETag"], tag, "the tag of it")
    world.set("tags/prod", {"k": "1"})
    revision = world.start_rollout("tags/prod", {"stages": [{"percent": 100}]})
    world.wait_state(revision, "completed")
    before = world.ok("GET", "/config/tags/prod/k")
    tag = world.api("GET", "/config/tags/prod/k").headers["ETag"]
    equal(tag, f'"{before["version"]}"', "the tag without a draft")
    world.set("tags/prod", {"k": "2"})
    after = world.api("GET", "/config/tags/prod/k", headers={"If-None-Match": tag})
    equal((after.status, after["config_value"], after["head_version"]), (200, "1", before["head_version"] + 1), "beside a draft")
    equal(world.api("GET", "/config/tags/prod/k", headers={"If-None-Match": after.headers["ETag"]}).status, 304, "and its own tag")
    refused = world.api("PUT", "/config/tags/prod/k", {"config_value": "3"}, headers={"If-Match": after.headers["ETag"]})
    equal(refused.status, 412, f"the tag of what is released is no permission to write over a draft: {refused}")


def events_of(coordinator, world, rollout, token):
    c = http.client.HTTPConnection("127.0.0.1", coordinator.http, timeout=PATIENCE)
    c.request("GET", f"/api/v1/rollouts/{rollout}/events", headers={"Accept": "text/event-stream", "Authorization": f"Bearer {token}"})
    return c, c.getresponse()


def watch(coordinator, token, scope, since, into):
    c = http.client.HTTPConnection("127.0.0.1", coordinator.http, timeout=2 * PATIENCE)
    c.request("GET", f"/api/v1/watch/{scope}?since={since}&timeout=40", headers={"Authorization": f"Bearer {token}"})
    answer = c.getresponse()
    into.append((answer.status, answer.read()))


def test_rights_end(world):
    """a poll and a stream that are open end with their token, and with a grant of it, at once"""
    coordinator = world.coordinators[0]
    world.set("ends/dev", {"k": "1"})
    released = wait_until(lambda: world.api("GET", "/config/ends/dev").status == 200 and world.ok("GET", "/watch/ends/dev?since=0&timeout=0")["latest_version"], "released")
    world.set("ends/prod", {"k": "1"})
    Agent(world, "ends-1", scopes=["ends/prod"]).enroll().start()
    world.wait_agents("ends/prod", 1)
    rollout = world.start_rollout("ends/prod", {"stages": [{"percent": 100, "bake": "10m"}]})
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it bakes")
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
    viewer = {"role": "viewer", "environment": "*", "service": "*"}
    for end, grants in (("deleted", [viewer]), ("by the clock", [{**viewer, "until": soon}])):
        made = world.ok("POST", "/tokens", {"name": f"who {end}", "grants": grants})
        token, polls = made["token"], []
        thread = threading.Thread(target=watch, args=(coordinator, token, "ends/dev", released, polls), daemon=True)
        thread.start()
        connection, stream = events_of(coordinator, world, rollout, token)
        equal((stream.status, stream.headers["X-Accel-Buffering"], stream.headers["Cache-Control"]), (200, "no", "no-cache"), "the stream")
        contains(stream.readline().decode(), "retry")
        time.sleep(0.5)  # both wait; what is tested is that they end sooner than by themselves
        check(thread.is_alive(), f"the poll waits: {polls}")
        began = time.monotonic()
        if end == "deleted":
            world.ok("DELETE", f"/tokens/{made['id']}")
        while stream.readline():
            check(time.monotonic() - began < PATIENCE, f"the stream goes on, {end}")
        thread.join(PATIENCE)  # its own end would be a 200 that says that nothing changed
        check(not thread.is_alive() and polls[0][0] in (401, 403), f"the poll, {end}: {polls}")
        connection.close()
    other = []  # somebody else's go on
    thread = threading.Thread(target=watch, args=(coordinator, world.token, "ends/dev", released, other), daemon=True)
    thread.start()
    time.sleep(0.5)  # it waits
    world.ok("POST", "/tokens", {"name": "another", "grants": [viewer]})
    world.set("ends/dev", {"k": "2"})
    thread.join(PATIENCE)
    equal(other[0][0], 200, "a poll whose token is good is answered")
    equal(world.rollout(rollout)["phase"], "baking", "the rollout whose events they were")


def test_gone(world):
    """polls whose clients are gone hold no descriptors"""
    coordinator = world.coordinators[0]
    world.set("gone/dev", {"k": "1"})
    released = wait_until(lambda: world.ok("GET", "/watch/gone/dev?since=0&timeout=0")["latest_version"], "released")
    took(world)
    before, sockets = descriptors(coordinator.process), [reach(coordinator) for _ in range(300)]
    for s in sockets:
        s.sendall(f"GET /api/v1/watch/gone/dev?since={released}&timeout=300 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.token}\r\n\r\n".encode())
    wait_until(lambda: descriptors(coordinator.process) >= before + 295, "they are there")
    time.sleep(2)  # they wait
    for s in sockets:
        s.close()
    wait_until(lambda: descriptors(coordinator.process) < before + 20, lambda: f"gone: {before}, {descriptors(coordinator.process)}")


def test_the_database_s_words(world):
    """what PostgreSQL says (its files, hosts, tables) is in the log; callers get a sentence of ours"""
    coordinator, folder = world.coordinators[0], world.postgres.folder
    world.postgres.sql("ALTER TABLE strategy RENAME TO hidden")
    answer = world.api("GET", "/strategies")
    world.postgres.sql("ALTER TABLE hidden RENAME TO strategy")
    equal(answer.status, 500, f"a statement that failed: {answer}")
    contains(answer["detail"], "the database", "the log")
    check("SQLSTATE" not in str(answer) and "relation" not in str(answer), f"its words: {answer}")
    wait_until(lambda: coordinator.process.log_has("request failed", "SQLSTATE 42P01"), "the log has them")
    world.postgres.process.kill()
    wait_until(lambda: not running_below(world.postgres), "all of PostgreSQL is gone")
    try:
        answer = wait_until(lambda: next((a for a in [world.api("GET", "/strategies")] if a.status == 503), None), "it is away")
        check(folder not in str(answer) and "socket" not in str(answer), f"where it was: {answer}")
        wait_until(lambda: coordinator.process.log_has("request failed", folder), "the log has it")
    finally:
        world.postgres.start()
    wait_until(lambda: world.api("GET", "/strategies").status == 200, "it is back")


def running_below(postgres):
    """PostgreSQL's processes: its first one is their parent, or was it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == postgres.data:
                found.append(int(pid))
        except OSError:
            pass
    return found


def test_database_hangs(world):
    """a PostgreSQL that is stopped: reads are refused while it is"""
    equal(world.api("GET", "/strategies").status, 200, "its connection was proven just now")
    processes = set()
    while found := set(running_below(world.postgres)) - processes:  # one may start another before it stands still itself
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        processes |= found
    check(len(processes) > 5, f"processes of PostgreSQL: {processes}")
    try:
        for _ in range(2):
            answer = world.api("GET", "/strategies", timeout=PATIENCE)  # answered although nothing moves
            equal(answer.status, 503, f"refused: {answer}")
            check(world.postgres.folder not in str(answer), f"where it is: {answer}")
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: world.api("GET", "/strategies").status == 200, "it goes on")


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
    """A coordinator one thread of which is stopped: its watchdog is fed until then, and no more.

    Stopped within a query it is late only when the query's own time limit is over, too. Threads that
    may be in one piece of work for two minutes are no good here.
    """
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
                           lambda: f"it says that it is stuck: {coordinator.process.log_text()[-2000:]}", 2 * PATIENCE)
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
