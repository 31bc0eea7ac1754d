"""service.py - the agent under a service manager: ready, alive, reloading, stopping; units; logs."""
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

from kit import BUILD, Agent, World, check, contains, equal, need_program, read, wait_until, write

ALL = {"stages": [{"percent": 100, "apply_timeout": "1m"}]}
SLOW = "while ! test -e {gate}; do sleep 0.05; done"


class Manager:
    """What systemd is for a program: the datagram socket that NOTIFY_SOCKET names."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(0.05)
        self.said = []  # (time, {name: value})
        self.env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}

    def hear(self):
        try:
            while True:
                text = self.socket.recv(4096).decode()
                self.said.append((time.monotonic(), dict(line.split("=", 1) for line in text.splitlines())))
        except TimeoutError:
            return self.said

    def wait(self, name, what, after=0):
        """The first message with this name after so many others."""
        return wait_until(lambda: next((m for _, m in self.hear()[after:] if name in m), None), what)

    def count(self):
        return len(self.hear())


def settings_of(scope, folder, name="one", reload="true", more=""):
    return f"""[scope {scope}]
file = value -> {folder}/{name}
reload = {reload}
reload_timeout = 1m
{more}
"""


def set_scopes(agent, general, *sections):
    """A new settings file of exactly these sections."""
    agent.general, agent.scopes = general, ()
    agent.write_settings()
    with open(agent.settings, "a", encoding="utf-8") as f:
        f.write("".join(sections))


def setup():
    world = World("service").start()
    world.files = f"{world.folder}/files"
    os.mkdir(world.files)
    for scope in ("demo/prod", "more/prod"):
        world.set(scope, {"value": "first"})
    world.manager = Manager(f"{world.folder}/notify")
    world.one = Agent(world, "server-1", ["demo/prod"], scope_settings="")
    world.one.process.env.update(world.manager.env)
    world.one.enroll()
    set_scopes(world.one, "stop_timeout = 30s\n", settings_of("demo/prod", world.files))
    world.one.start()
    world.wait_agents("demo/prod", 1)
    return world


def hangup(world):
    """SIGHUP, until the agent says that it is ready again; what it said."""
    before = world.manager.count()
    world.one.process.send(signal.SIGHUP)
    world.manager.wait("RELOADING", "it says that it reloads", before)
    world.manager.wait("READY", "it is ready again", before)
    return [m for _, m in world.manager.hear()[before:]]


def roll(world, scope, value, *states):
    world.set(scope, {"value": value})
    rollout = world.start_rollout(scope, ALL)
    world.wait_state(rollout, *(states or ("completed",)))
    return rollout


def test_ready_and_alive(world):
    """READY comes once, and the watchdog is fed twice in each of its times"""
    status = world.manager.wait("READY", "it says that it is ready")["STATUS"]
    contains(status, "serving 1 scope")
    wait_until(lambda: sum("WATCHDOG" in m for _, m in world.manager.hear()) >= 6, "it says that it is alive")
    equal(sum("READY" in m for _, m in world.manager.hear()), 1, "READY messages")


def test_hung_is_noticed(world):
    """an agent that hangs says nothing: a service manager would restart it"""
    world.one.process.send(signal.SIGSTOP)
    wait_until(lambda: ") T " in read(f"/proc/{world.one.process.pid}/stat"), "it is stopped")
    before = world.manager.count()
    time.sleep(1)  # what is tested is that nothing comes in more than twice the watchdog's time
    equal(world.manager.count(), before, "messages of a stopped process")
    world.one.process.send(signal.SIGCONT)
    world.manager.wait("WATCHDOG", "it is alive again", before)


def test_commands_are_not_the_service(world):
    """a command of the settings does not get the socket of the service manager"""
    world.env_file = f"{world.folder}/environment"
    set_scopes(world.one, "stop_timeout = 30s\n", settings_of("demo/prod", world.files, reload=f"env > {world.env_file}"))
    hangup(world)
    roll(world, "demo/prod", "second")
    check("LOCKSTEP_REVISION" in read(world.env_file), "the command has the variables of its scope")
    check("NOTIFY_SOCKET" not in read(world.env_file), "and not the socket")


def test_reload_scopes(world):
    """SIGHUP: a scope comes and is brought up to date, a command changes, over the same connection"""
    sessions = world.one.process.log_text().count("message=welcomed")
    world.one.labels = "zone=b"
    set_scopes(world.one, "stop_timeout = 30s\n", settings_of("demo/prod", world.files, more=f"check = echo ran >> {world.files}/check"),
               settings_of("more/prod", world.files, name="two"))
    said = hangup(world)
    check(any("MONOTONIC_USEC" in m for m in said), "RELOADING comes with its time")
    world.wait_agents("more/prod", 1)
    equal(world.one.process.log_text().count("message=welcomed"), sessions, "sessions")
    roll(world, "more/prod", "here")
    equal(read(f"{world.files}/two"), "here", "the file of the new scope")
    roll(world, "demo/prod", "third")
    check(os.path.exists(f"{world.files}/check"), "the new check ran")
    wait_until(lambda: world.ok("GET", "/servers/server-1")["labels"] == {"zone": "b"}, "the labels are new")


def test_scope_removed(world):
    """a scope that is no longer read keeps its file and its promises, and goes on when it is read again"""
    both = [settings_of("demo/prod", world.files), settings_of("more/prod", world.files, name="two")]
    before = world.one.dump()["scopes"]["more/prod"]
    set_scopes(world.one, "stop_timeout = 30s\n", both[0])
    hangup(world)
    equal(read(f"{world.files}/two"), "here", "the file stays")
    check("more/prod" not in world.one.dump()["scopes"], "it is not read")
    set_scopes(world.one, "stop_timeout = 30s\n", both[1], both[0])  # in another order
    hangup(world)
    equal(world.one.dump()["scopes"]["more/prod"], before, "what it holds")
    roll(world, "more/prod", "again")
    equal((read(f"{world.files}/two"), read(f"{world.files}/one")), ("again", "third"), "files")


def test_broken_settings(world):
    """a broken file changes nothing: the error names line, reason, and the agent says READY again"""
    good = read(world.one.settings)
    for text, words in ((good.replace("reload_timeout = 1m", "reload_timeout = soon", 1), (":14", "reload_timeout", "soon")),
                        (good + "[scope x/y]\nfiles = a -> /b\n", ("unknown key", "files")),
                        (good.replace(f"state_dir = {world.one.folder}/state", "state_dir = /elsewhere"), ("state_dir", "restart"))):
        write(world.one.settings, text, 0o600)
        lines = [i + 1 for i, line in enumerate(text.splitlines()) if "soon" in line]
        logged = len(world.one.process.log_text())
        hangup(world)
        error = [line for line in world.one.process.log_text()[logged:].splitlines() if "level=error" in line][-1]
        contains(error, "the old ones stay", *[f":{lines[0]}" if w.startswith(":") else w for w in words])
        done = world.one.run("check-settings", world.one.settings)
        equal(done.returncode, 0 if "restart" in words else 1, "check-settings")
    write(world.one.settings, good, 0o600)
    roll(world, "demo/prod", "fourth")
    done = world.one.run("check-settings")
    equal((done.returncode, done.stdout), (0, f"{world.one.settings}: fine, 2 scopes\n"), "check-settings of a good file")


def test_reload_while_applying(world):
    """SIGHUP in mid-apply: the apply ends first, then the new settings are followed"""
    gate = f"{world.folder}/gate"
    began = f"echo began > {gate}.began; {SLOW.format(gate=gate)}; echo by the old command > {world.files}/by"
    set_scopes(world.one, "stop_timeout = 30s\n", settings_of("demo/prod", world.files, reload=began))
    hangup(world)
    world.set("demo/prod", {"value": "fifth"})
    rollout = world.start_rollout("demo/prod", ALL)
    wait_until(lambda: os.path.exists(f"{gate}.began"), "the reload command began")
    set_scopes(world.one, "stop_timeout = 30s\n", settings_of("demo/prod", world.files))
    before = world.manager.count()
    world.one.process.send(signal.SIGHUP)
    world.manager.wait("RELOADING", "it says that it reloads", before)
    time.sleep(0.3)  # what is tested is that READY does not come
    check(not any("READY" in m for _, m in world.manager.hear()[before:]), "it waits for the apply")
    write(gate, "")
    world.manager.wait("READY", "it is ready again", before)
    equal(read(f"{world.files}/by"), "by the old command\n", "what the apply did")
    world.wait_state(rollout, "completed")
    os.unlink(gate)


def test_coordinators_change(world):
    """SIGHUP with other coordinators: the agent leaves one for the other and keeps what it holds"""
    second = world.add_coordinator("lockstepd-2").start()
    first, world.coordinators = world.coordinators[0], [second]
    held = world.one.dump()["scopes"]
    set_scopes(world.one, "stop_timeout = 30s\n", settings_of("demo/prod", world.files))
    world.coordinators = [first, second]
    hangup(world)
    equal(world.one.dump()["scopes"], held, "what it holds")
    first.process.stop()
    wait_until(lambda: world.leader() is second, "the second coordinator leads")
    roll(world, "demo/prod", "sixth")
    first.start()


def test_log_level(world):
    """SIGHUP changes the log level"""
    set_scopes(world.one, "log_level = error\n", settings_of("demo/prod", world.files))
    hangup(world)
    before = world.one.process.log_text()
    roll(world, "demo/prod", "quiet")
    equal(world.one.process.log_text(), before, "log")


def test_graceful_stop(world):
    """SIGTERM in mid-apply: STOPPING is said, the apply ends and is answered, the exit status is 0"""
    gate = f"{world.folder}/gate"
    slow = settings_of("demo/prod", world.files, reload=f"echo began > {gate}.began; {SLOW.format(gate=gate)}")
    os.unlink(f"{gate}.began")
    set_scopes(world.one, "stop_timeout = 30s\n", slow)
    hangup(world)
    world.set("demo/prod", {"value": "last words"})
    rollout = world.start_rollout("demo/prod", ALL)
    wait_until(lambda: os.path.exists(f"{gate}.began"), "the reload command began")
    world.one.process.send(signal.SIGTERM)
    world.manager.wait("STOPPING", "it says that it stops")
    check(world.one.process.is_running(), "it waits for the command")
    write(gate, "")
    equal(world.one.process.wait(), 0, "exit status")
    world.wait_state(rollout, "completed")
    os.unlink(gate)


def test_impatient_stop(world):
    """what does not end within stop_timeout is left, and applied again after the next start"""
    gate = f"{world.folder}/gate"
    os.unlink(f"{gate}.began")
    slow = settings_of("demo/prod", world.files, reload=f"echo began > {gate}.began; {SLOW.format(gate=gate)}")
    set_scopes(world.one, "stop_timeout = 100ms\n", slow)
    world.one.start()
    world.set("demo/prod", {"value": "after all"})
    rollout = world.start_rollout("demo/prod", {**ALL, "unreachable": "wait"})
    wait_until(lambda: os.path.exists(f"{gate}.began"), "the reload command began")
    world.one.process.stop(seconds=5)
    write(gate, "")
    before = world.manager.count()
    world.one.start()
    world.manager.wait("READY", "it is ready", before)
    equal(read(f"{world.files}/one"), "after all", "READY comes after what was half applied")
    world.wait_state(rollout, "completed")


def test_logs_as_json(world):
    """log_format = json: every line of agent and coordinator is one JSON object"""
    world.one.process.stop()
    set_scopes(world.one, "log_format = json\n", settings_of("demo/prod", world.files))
    os.unlink(world.one.process.log)
    world.one.start()
    roll(world, "demo/prod", "in \"quotes\"\n")
    lines = [json.loads(line) for line in world.one.process.log_text().splitlines()]
    check(any(l["message"] == "saved" and l["scope"] == "demo/prod" for l in lines), "fields of a line")
    equal({l["program"] for l in lines}, {"lockstep-agent"}, "program")
    json_coordinator = world.add_coordinator("lockstepd-3", "[log]\nformat = json\n").start()
    json_coordinator.process.stop()
    check(all(json.loads(line)["program"] == "lockstepd" for line in json_coordinator.process.log_text().splitlines()), "the coordinator's lines")
    world.coordinators.remove(json_coordinator)


def test_coordinator_as_a_service(world):
    """lockstepd says READY when it serves, RELOADING around its certificates, and STOPPING"""
    manager = Manager(f"{world.folder}/notify-2")
    third = world.add_coordinator("lockstepd-4")
    third.process.env.update(manager.env)
    third.start()
    contains(manager.wait("READY", "it is ready")["STATUS"], str(third.http))
    manager.wait("WATCHDOG", "it is alive")
    third.process.stop()
    manager.wait("STOPPING", "it says that it stops")
    world.coordinators.remove(third)


def test_bounds_of_the_unit(_):
    """lockstepd.service leaves room for the presets of its caches and for as many threads as the settings take"""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    unit = dict(re.findall(r"^(\w+)=(\S+)$", read(f"{folder}/coordinator/lockstepd.service"), re.M))
    settings = read(f"{folder}/coordinator/settings/settings.c")
    cache = int(re.search(r'AT\(cache_megabytes\), "(\d+)"', settings).group(1))
    workers = int(re.search(r'AT\(http_workers\), "\d+", 1, (\d+),', settings).group(1))
    bodies = int(re.search(r"BODIES_MAX \(\(size_t\)(\d+) << 20\)", read(f"{folder}/coordinator/http/server.c")).group(1))
    memory = int(unit["MemoryMax"].removesuffix("G")) << 10
    check(memory >= 2 * (cache + bodies), f"MemoryMax is {memory} MiB: the cache takes {cache}, bodies {bodies}, and work the rest")
    check(int(unit["TasksMax"]) >= workers + 64, f"TasksMax is {unit['TasksMax']}, workers may be {workers}")


def test_set_group_id(_):
    """the agent's unit lets folders keep their set-group-id bit: a group may replace one of mode 2775"""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    check(not re.search(r"^RestrictSUIDSGID", read(f"{folder}/agent/lockstep-agent.service"), re.M), "set-id bits may be set")


def test_units(_):
    """systemd-analyze takes both units and finds them hardened"""
    need_program("systemd-analyze")
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with tempfile.TemporaryDirectory() as units:
        for source, most in (("agent/lockstep-agent", 4.0), ("coordinator/lockstepd", 1.5)):
            name = f"{units}/{os.path.basename(source)}.service"
            write(name, read(f"{folder}/{source}.service").replace("@PREFIX@/bin", BUILD))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", name], capture_output=True, text=True, check=False)
            equal((done.returncode, done.stderr), (0, ""), f"systemd-analyze verify {source}")
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", name], capture_output=True, text=True, check=False)
            level = float(re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout).group(1))
            check(level <= most, f"{source}: exposure {level}, at most {most} is wanted")
