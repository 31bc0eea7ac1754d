"""hostile.py - a real agent in a folder whose owner turns names into links and pipes; what validate is shown."""
import contextlib
import ctypes
import itertools
import os
import signal
import time

from kit import Agent, World, check, equal, need_root, read, write

ALL = {"stages": [{"percent": 100}], "on_failure": "rollback"}
NOBODY = 65534
EXCHANGE = 2
SECRET = "ROOT-ONLY-CONTENT"
ENDS = ("completed", "failed", "aborted", "rolled_back")
LIBC = ctypes.CDLL(None, use_errno=True)


def setup():
    world = World("hostile").start()
    world.theirs, world.ours, world.apart = (f"{world.folder}/{n}" for n in ("theirs", "ours", "apart"))
    for folder in (world.theirs, world.ours, f"{world.apart}/one", f"{world.apart}/two"):
        os.makedirs(folder)
    write(f"{world.ours}/shadow", SECRET, 0o600)
    world.set("app/prod", {"x": "first\n", "a": "1\n", "b": "2\n"})
    world.set("look/prod", {"x": "as it should be\n"})
    world.set("twins/prod", {"a": "fine\n", "b": "fine\n"})
    Agent(world, "app", ["app/prod"], scope_settings=f"""file = x -> {world.theirs}/x.conf
group = {world.theirs}/conf.d
file = a -> {world.theirs}/conf.d/profile.sh
file = b -> {world.theirs}/conf.d/b.conf
drift_interval = 100ms
""").enroll().start()
    Agent(world, "look", ["look/prod"], scope_settings=f"""file = x -> {world.theirs}/look.conf
drift_interval = 100ms
""").enroll().start()
    Agent(world, "twins", ["twins/prod"], scope_settings=f"""file = a -> {world.apart}/one/server.conf
file = b -> {world.apart}/two/server.conf
validate = ! grep -rq broken {{dir}}/
""").enroll().start()
    for scope in ("app/prod", "look/prod", "twins/prod"):
        world.wait_agents(scope, 1)
        world.wait_state(world.start_rollout(scope, ALL), "completed")
    if os.geteuid() == 0:
        for name in ("", "/x.conf", "/look.conf", "/conf.d", "/conf.d/profile.sh", "/conf.d/b.conf"):
            os.chown(world.theirs + name, NOBODY, NOBODY)
    return world


def exchange(folder, a, b):
    return LIBC.renameat2(folder, a.encode(), folder, b.encode(), EXCHANGE) == 0


@contextlib.contextmanager
def attack(world, once):
    """A process of the folder's owner that does this over and over; of root's rights it has none."""
    folder = os.open(world.theirs, os.O_RDONLY)
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            for n in itertools.count():
                once(folder, n)
        finally:
            os._exit(1)
    try:
        yield
        equal(os.waitpid(pid, os.WNOHANG), (0, 0), "the attacker, who is still at it")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(folder)


def turn_candidates(world):
    def once(folder, n):
        for name in os.listdir(folder):
            if not name.startswith(".lockstep-"):
                continue
            with contextlib.suppress(OSError):
                os.unlink("z", dir_fd=folder)
            with contextlib.suppress(OSError):
                os.symlink(world.ours if n % 2 else f"{world.ours}/shadow", "z", dir_fd=folder)
                exchange(folder, name, "z")
    return once


def test_nothing_is_written_outside(world):
    """whoever owns the folder turns candidates into links: his rollouts may fail, nothing of others changes"""
    before = sorted(os.listdir(world.ours))
    ended = []
    with attack(world, turn_candidates(world)):
        for n in range(6):
            world.set("app/prod", {"x": f"{n}\n", "a": f"{n}\n", "b": f"{n}\n"})
            rollout = world.start_rollout("app/prod", ALL)
            ended.append(world.wait_state(rollout, *ENDS, seconds=60)["state"])
    equal(sorted(os.listdir(world.ours)), before, "what lies in a folder of others")
    equal(read(f"{world.ours}/shadow"), SECRET, "a file of others")
    equal(os.stat(f"{world.ours}/shadow").st_mode & 0o777, 0o600, "its mode")
    check(world.agents["app"].process.is_running(), f"the agent runs after {ended}")


def look(world, other):
    """The destination, which somebody changed, changes places with `other` while the agent looks at it."""
    path = f"{world.theirs}/look.conf"
    for old in (path, f"{world.theirs}/w"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(old)
    write(path, "changed\n")
    other(f"{world.theirs}/w")
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
        os.chown(f"{world.theirs}/w", NOBODY, NOBODY, follow_symlinks=False)

    def once(folder, _):
        exchange(folder, "look.conf", "w")
    with attack(world, once):
        until = time.monotonic() + 8
        said = set()
        while time.monotonic() < until:
            scope = world.ok("GET", "/servers/look")["scopes"][0]
            said.add(scope["reason"] or "")
            time.sleep(0.02)
        log = world.agents["look"].process.log_text()
    check(any("look.conf" in text for text in said), f"it was told that the file differs: {said}")
    return not any(SECRET in text for text in said) and SECRET not in log


def test_nothing_is_read_outside(world):
    """the destination changes places with a link to a file of root's while drift is looked for: none of it is told"""
    is_silent = look(world, lambda at: os.symlink(f"{world.ours}/shadow", at))
    need_root("a link of another user")  # what one's own leads to is one's own
    check(is_silent, "a file of root's was told")


def test_a_pipe_stops_nobody(world):
    """the destination changes places with a pipe: the agent does not wait for somebody to write into it"""
    look(world, os.mkfifo)
    for n in range(3):  # it still answers within the usual time
        path = f"{world.theirs}/look.conf"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        world.set("look/prod", {"x": f"again {n}\n"})
        world.wait_state(world.start_rollout("look/prod", ALL), "completed", seconds=20)
        equal(read(path), f"again {n}\n", "the file")


def test_validate_sees_both_of_one_name(world):
    """two destinations are called server.conf: validate finds what is broken in either"""
    for key in ("a", "b"):
        world.set("twins/prod", {"a": "fine\n", "b": "fine\n", key: "broken\n"})
        rollout = world.start_rollout("twins/prod", ALL)
        world.wait_state(rollout, *(e for e in ENDS if e != "completed"))
        for folder in ("one", "two"):
            equal(read(f"{world.apart}/{folder}/server.conf"), "fine\n", f"the file in {folder}")
    equal(os.listdir(f"{world.agents['twins'].folder}/state/staging"), [], "what validate was shown is gone")
