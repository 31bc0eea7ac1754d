"""late.py - whoever comes late runs what it should in the end, and never what was taken back."""
import ctypes
import datetime
import glob
import os
import shutil
import time

from kit import BUILD, Agent, World, check, contains, equal, read, wait_until, write

SCOPE = "demo/prod"
ALL = {"stages": [{"percent": 100}], "unreachable": "skip"}
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def agent(world, name):
    """A server that notes every value it ever runs; while there is a gate, what it stages waits."""
    folder = f"{world.folder}/files"
    return Agent(world, name, [SCOPE], scope_settings=f"""file = value -> {folder}/{name}
validate = while [ -e {folder}/{name}.gate ]; do sleep 0.05; done
reload = cat {folder}/{name} >> {folder}/{name}.seen
check = ! grep -q bad {folder}/{name}
check_attempts = 1
poll = 200ms
""")


def path(world, name, suffix=""):
    return f"{world.folder}/files/{name}{suffix}"


def setup():
    world = World("late").start()
    os.makedirs(f"{world.folder}/files")
    world.set(SCOPE, {"value": "one\n"})
    for name in ("steady", "late"):
        agent(world, name).enroll().start()
    world.wait_agents(SCOPE, 2)
    roll(world, "two\n", "completed")
    return world


def roll(world, value, state):
    world.set(SCOPE, {"value": value})
    rollout = world.start_rollout(SCOPE, ALL)
    world.wait_state(rollout, state, seconds=60)
    return rollout


def scope_of(world, name):
    return world.ok("GET", f"/servers/{name}")["scopes"][0]


def released(world):
    return next(s for s in world.ok("GET", "/services")["services"] if s["service"] == "demo")["released"]


def has_converged(world, name, value):
    s = scope_of(world, name)
    return s["revision"] == s["desired_revision"] == released(world) and s["state"] == "applied" and read(path(world, name)) == value


def wait_converged(world, name, value):
    wait_until(lambda: os.path.exists(path(world, name)) and has_converged(world, name, value),
               lambda: f"{name} runs {value!r}: {scope_of(world, name)}")
    equal(scope_of(world, name)["detail"], "", "detail")


def wait_detail(world, name, detail):
    wait_until(lambda: scope_of(world, name)["detail"] == detail, lambda: f"{name} is {detail}: {scope_of(world, name)}", 60)


def is_long_gone(world, name):
    """After half a minute of silence, which is passed over here."""
    world.postgres.sql(f"UPDATE server SET last_seen = last_seen - interval '1 minute' WHERE name = '{name}'")
    return scope_of(world, name)["detail"] == "offline"


def test_slept_through_three(world):
    """offline for three rollouts, one of them rolled back: it comes to the newest, by way of none of the others"""
    late = world.agents["late"]
    late.process.stop()
    roll(world, "three\n", "completed")
    bad = roll(world, "bad\n", "rolled_back")
    equal(world.servers_of(bad).get("late", {}).get("state", "pending"), "pending", "it had no part in it")
    newest = roll(world, "four\n", "completed")
    wait_until(lambda: is_long_gone(world, "late"), "it is offline")
    contains(world.servers_of(newest)["late"]["reason"], "did not apply")
    write(path(world, "late", ".gate"), "")
    late.start()
    wait_detail(world, "late", "catching_up")
    contains(world.cli("server", "list").stdout, "catching_up")
    equal(read(path(world, "late")), "two\n", "meanwhile it serves what it has")
    os.unlink(path(world, "late", ".gate"))
    wait_converged(world, "late", "four\n")
    equal(read(path(world, "late", ".seen")).split()[-2:], ["two", "four"], "what it ran")


def test_imaged_anew(world):
    """the same key and an empty disk: it is brought to what is released, and its old words do not count"""
    late = world.agents["late"]
    late.kill()
    shutil.rmtree(f"{late.folder}/state")
    os.unlink(path(world, "late"))
    late.start()
    wait_converged(world, "late", "four\n")
    wait_until(lambda: not late.dump()["outbox"], "its outbox drains")


def test_imaged_anew_in_mid_bake(world):
    """imaged anew while a stage bakes: it is brought to its base and to the stage's revision again"""
    late = world.agents["late"]
    world.set(SCOPE, {"value": "five\n"})
    rollout = world.start_rollout(SCOPE, {"stages": [{"percent": 100, "hold": True}], "unreachable": "skip"})
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it bakes")
    late.kill()
    shutil.rmtree(f"{late.folder}/state")
    os.unlink(path(world, "late"))
    late.start()
    wait_until(lambda: os.path.exists(path(world, "late")) and read(path(world, "late")) in ("four\n", "five\n"), "it is served again")
    world.ok("POST", f"/rollouts/{rollout}/promote", {})
    world.wait_state(rollout, "completed", seconds=60)
    wait_converged(world, "late", "five\n")


def test_newcomer(world):
    """a new server comes while a bad change is out: it never sees it"""
    write(path(world, "steady", ".gate"), "")
    world.set(SCOPE, {"value": "bad\n"})
    rollout = world.start_rollout(SCOPE, ALL)
    new = agent(world, "new").enroll().start()
    wait_until(lambda: "new" in {s["name"] for s in world.ok("GET", "/servers")["servers"] if s["scopes"]}, "it is known")
    os.unlink(path(world, "steady", ".gate"))
    world.wait_state(rollout, "rolled_back", "failed", seconds=60)
    wait_converged(world, "new", "five\n")
    equal(set(read(path(world, "new", ".seen")).split()), {"five"}, "what it ran")
    new.process.stop()


def test_wrong_clock(world):
    """an hour ahead, then an hour behind: clocks decide nothing"""
    late = world.agents["late"]
    for i, offset in enumerate(("+1h", "-1h")):
        late.process.stop()
        roll(world, f"clock {i}a\n", "completed")
        late.process.env.update(LD_PRELOAD=FAKETIME, FAKETIME=offset, FAKETIME_DONT_FAKE_MONOTONIC="1")
        late.start()
        wait_converged(world, "late", f"clock {i}a\n")
        rollout = roll(world, f"clock {i}b\n", "completed")
        equal(world.servers_of(rollout)["late"]["state"], "applied", "it takes part")
        wait_converged(world, "late", f"clock {i}b\n")
        took = [s["took_ms"] for s in world.servers_of(rollout)["late"]["steps"]]
        check(all(t < 60000 for t in took), f"steps are measured by the steady clock: {took}")
        bad = roll(world, "bad\n", "rolled_back")
        equal(world.servers_of(bad)["late"]["state"], "rolled_back", "and goes back")
    for name in ("LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"):
        del late.process.env[name]


def test_behind_in_a_rollout(world):
    """still on its way when the next rollout wants it: it is listed as catching up, and then takes part"""
    late = world.agents["late"]
    late.process.stop()
    roll(world, "behind\n", "completed")
    write(path(world, "late", ".gate"), "")
    late.start()
    wait_detail(world, "late", "catching_up")
    world.set(SCOPE, {"value": "not behind\n"})
    rollout = world.start_rollout(SCOPE, ALL)
    wait_until(lambda: world.servers_of(rollout).get("late", {}).get("detail") == "catching_up",
               lambda: f"listed as catching up: {world.servers_of(rollout)}")
    contains(world.servers_of(rollout)["late"]["reason"], "neither what the rollout replaces")
    os.unlink(path(world, "late", ".gate"))
    world.wait_state(rollout, "completed", seconds=60)
    equal(world.servers_of(rollout)["late"]["state"], "applied", "state")
    wait_converged(world, "late", "not behind\n")


def test_a_week_alone(world):
    """seven days without any coordinator, restarts among them: whoever reads notices nothing, and little is said"""
    week = agent(world, "week").enroll().start()
    wait_until(lambda: world.ok("GET", "/servers/week")["scopes"], "it is known")
    wait_converged(world, "week", read(path(world, "steady")))
    week.process.stop()
    value, lines = read(path(world, "week")), len(week.process.log_text().splitlines())
    for coordinator in world.coordinators:
        coordinator.process.stop()
    library = ctypes.CDLL(glob.glob(f"{BUILD}/liblockstep.so.*")[0])
    library.lockstep_string.argtypes = [ctypes.c_void_p] + [ctypes.c_char_p] * 3 + [ctypes.c_size_t]
    config, text = ctypes.c_void_p(), ctypes.create_string_buffer(1000)
    equal(library.lockstep_open_at(ctypes.byref(config), f"{week.folder}/state.public".encode(), SCOPE.encode(), 0), 0, "open")
    library.lockstep_string(config, b"value", b"nothing", text, len(text))
    equal(text.value.decode(), value, "what a reader sees at first")
    began, reads = time.time(), 0
    week.process.env.update(LD_PRELOAD=FAKETIME, FAKETIME="+0 x120000")
    for _ in range(4):
        week.start()
        until = time.monotonic() + 604800 / 120000 / 4 + 0.5
        while time.monotonic() < until:
            library.lockstep_string(config, b"value", b"nothing", text, len(text))
            equal(text.value.decode(), value, "what a reader sees")
            equal(read(path(world, "week")), value, "the file")
            reads += 1
        check(week.process.is_running(), "it runs")
        week.kill()
    for name in ("LD_PRELOAD", "FAKETIME"):
        del week.process.env[name]
    said = week.process.log_text().splitlines()[lines:]
    days = max(days_since(began, line) for line in said if line.startswith("time="))
    check(days > 1, f"time flew: the newest line is {days:.1f} days old")
    check(len(said) < 2000, f"{len(said)} lines in a week")
    check(reads > 1000, f"{reads} reads")
    for coordinator in world.coordinators:
        coordinator.start()
    week.start()
    world.set(SCOPE, {"value": "after a week\n"})
    world.wait_state(world.start_rollout(SCOPE, ALL), "completed", seconds=60)
    wait_converged(world, "week", "after a week\n")
    library.lockstep_string(config, b"value", b"nothing", text, len(text))
    equal(text.value.decode(), "after a week\n", "what a reader sees then")
    library.lockstep_close(config)


def days_since(began, line):
    stamp = line.split()[0].removeprefix("time=").removesuffix("Z")
    return (datetime.datetime.fromisoformat(stamp + "+00:00").timestamp() - began) / 86400
