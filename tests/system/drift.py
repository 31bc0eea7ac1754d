"""drift.py - what somebody changes by hand is told with a difference, and put right where that is wanted."""
import json
import os

from kit import Agent, World, check, contains, equal, read, wait_until, write

SCOPE = "demo/prod"
ALL = {"stages": [{"percent": 100}]}


def setup():
    world = World("drift").start()
    world.files = f"{world.folder}/files"
    os.makedirs(world.files)
    world.set(SCOPE, {"value": "workers 2\nport 80\n"})
    for name, drift in (("reports", "report"), ("repairs", "repair")):
        Agent(world, name, [SCOPE], scope_settings=f"""file = value -> {world.files}/{name}
reload = echo $LOCKSTEP_REVISION >> {world.files}/{name}.reloads
check = ! grep -q sick {world.files}/{name}
check_attempts = 1
drift = {drift}
drift_interval = 100ms
""").enroll().start()
    world.wait_agents(SCOPE, 2)
    world.wait_state(world.start_rollout(SCOPE, ALL), "completed")
    return world


def scope_of(world, name):
    return world.ok("GET", f"/servers/{name}")["scopes"][0]


def events(world, action):
    return [e for e in world.audit() if e["action"] == action]


def test_reported(world):
    """a file changed by hand is told with its line, on the server, in the metrics and as an event; it stays"""
    path = f"{world.files}/reports"
    write(f"{path}.new", "workers 9\nport 80\n")
    os.replace(f"{path}.new", path)  # the agent may look at any moment
    seen = wait_until(lambda: (lambda s: s if s["detail"] == "drifted" else None)(scope_of(world, "reports")), "it is told")
    contains(seen["reason"], path, "\n-workers 9\n+workers 2\n")
    equal(seen["state"], "applied", "state")
    check(seen["drift"]["since"].endswith("Z"), "since when")
    equal(read(path), "workers 9\nport 80\n", "the file is left alone")
    wait_until(lambda: b"lockstep_servers_drifted 1\n" in world.api("GET", "/metrics", raw_path=True).raw, "metrics")
    equal(len(events(world, "server.drifted")), 1, "events, however often it is looked at")
    shown = world.cli("server", "get", "reports")
    contains(shown.stdout, "drifted", "workers 9")
    contains(world.cli("server", "list").stdout, "drifted")
    write(path, "workers 2\nport 80\n")
    wait_until(lambda: scope_of(world, "reports")["drift"] is None, "it is right again")
    equal(scope_of(world, "reports")["detail"], "", "detail")
    wait_until(lambda: events(world, "server.restored"), "and told")


def test_repaired(world):
    """with drift = repair the file is put back, the program reloaded, and that is told; not again and again"""
    path = f"{world.files}/repairs"
    reloads = read(f"{path}.reloads").count("\n")
    os.unlink(path)
    wait_until(lambda: os.path.exists(path) and read(path) == "workers 2\nport 80\n", "it is put back")
    told = wait_until(lambda: events(world, "server.repaired"), "it is told")
    contains(json.dumps(told[0]), path)
    equal(read(f"{path}.reloads").count("\n"), reloads + 1, "reloads")
    wait_until(lambda: scope_of(world, "repairs")["drift"] is None, "it is right again")
    write(path, "once more\n")
    wait_until(lambda: scope_of(world, "repairs")["detail"] == "drifted", "it came back, and waits a while")
    equal(read(path), "once more\n", "the file")
    equal(read(f"{path}.reloads").count("\n"), reloads + 1, "reloads")


def test_rollout_over_drift(world):
    """a rollout writes everything anew, drifted or not"""
    world.set(SCOPE, {"value": "workers 3\n"})
    world.wait_state(world.start_rollout(SCOPE, ALL), "completed")
    equal([read(f"{world.files}/{n}") for n in ("reports", "repairs")], ["workers 3\n"] * 2, "files")
    wait_until(lambda: not any(scope_of(world, n)["drift"] for n in ("reports", "repairs")), "nobody is drifted")


def test_takeover_remembers(world):
    """what was drifted before a new coordinator is told as ended, when it ended meanwhile"""
    path = f"{world.files}/reports"
    write(path, "by hand\n")
    wait_until(lambda: scope_of(world, "reports")["detail"] == "drifted", "it is told")
    world.coordinators[0].process.kill()
    write(path, "workers 3\n")
    world.coordinators[0].start()
    wait_until(lambda: scope_of(world, "reports")["drift"] is None, "it is right again", 30)
