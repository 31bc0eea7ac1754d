"""agent.py - one real agent and what it owes its server: last known good, groups, originals, catching up."""
import os
import random
import signal

from kit import Agent, World, check, contains, equal, read, wait_until, write

ONE, TWO = "demo/prod", "other/prod"
ALL = {"stages": [{"percent": 100}]}


def setup():
    world = World("agent").start()
    folder = f"{world.folder}/files"
    os.makedirs(folder)
    world.paths = {ONE: f"{folder}/one", TWO: f"{folder}/two"}
    write(world.paths[ONE], "as it was\n", 0o640)
    for scope in (ONE, TWO):
        world.set(scope, {"note": "created"})
    lines = {s: f"""file = value -> {world.paths[s]} optional
document = json -> {world.paths[s]}.json
validate = ! grep -q refused {{file}}
reload = echo $LOCKSTEP_SCOPE@$LOCKSTEP_REVISION >> {folder}/reloads; ! grep -q unloadable {world.paths[s]}
check = ! grep -q unhealthy {world.paths[s]}
check_attempts = 2
check_grace = 100ms
""" for s in (ONE, TWO)}
    world.reloads = f"{folder}/reloads"
    world.one = Agent(world, "server-1", [ONE], scope_settings=f"{lines[ONE]}\n[scope {TWO}]\n{lines[TWO]}").enroll().start()
    for scope in (ONE, TWO):
        world.wait_agents(scope, 1)
    return world


def roll(world, values, *states, strategy=None):
    """One rollout over the scopes of `values`, to its end."""
    for scope, value in values.items():
        world.set(scope, {"value": value})
    changes = [dict(zip(("service", "environment"), s.split("/"))) for s in values]
    rollout = world.ok("POST", "/rollouts", {"changes": changes, "strategy": strategy or ALL})["id"]
    return rollout, world.wait_state(rollout, *states)


def held(world):
    return {s: world.one.dump()["scopes"][s]["active"] for s in (ONE, TWO)}


def test_two_scopes(world):
    """a rollout over two scopes reaches both; the document is there as JSON too"""
    roll(world, {ONE: "first one\n", TWO: "first two\n"}, "completed")
    equal([read(world.paths[s]) for s in (ONE, TWO)], ["first one\n", "first two\n"], "files")
    equal(os.stat(world.paths[ONE]).st_mode & 0o7777, 0o640, "the mode is kept")
    contains(read(f"{world.paths[ONE]}.json"), '"value": "first one\\n"', '"note": "created"')


def test_both_go_back(world):
    """when one of two scopes fails its check, both go back to the last known good"""
    before = held(world)
    rollout, seen = roll(world, {ONE: "second one\n", TWO: "unhealthy two\n"}, "rolled_back")
    contains(world.servers_of(rollout)["server-1"]["reason"], "check ended with 1")
    equal([read(world.paths[s]) for s in (ONE, TWO)], ["first one\n", "first two\n"], "files")
    equal(held(world), before, "what is active")


def test_reload_fails(world):
    """a failing reload is told with its step, and the old content is loaded again"""
    rollout, seen = roll(world, {ONE: "unloadable\n"}, "rolled_back")
    told = world.servers_of(rollout)["server-1"]
    contains(told["reason"], "reload ended with 1")
    equal(told["failed_step"], "reload", "the step that failed")
    names = [s["step"] for s in told["steps"]]
    equal([n for n in names if n in ("pointer", "files", "reload", "check", "revert")],
          ["pointer", "files", "reload", "revert"], "steps: no check after a reload that failed")
    check(all(s["took_ms"] >= 0 for s in told["steps"]), "each took its time")
    runs = next(s for s in world.ok("GET", "/servers/server-1")["scopes"] if f"{s['service']}/{s['environment']}" == ONE)
    equal([(b["revision"], b["hash"]) for b in told["reverted_to"]], [(runs["revision"], runs["hash"])], "reverted to")
    equal(read(world.paths[ONE]), "first one\n", "file")
    check(len([r for r in read(world.reloads).splitlines() if r.startswith(f"{ONE}@")]) >= 4, "reloaded on the way back too")


def test_without_coordinator(world):
    """without a coordinator the agent starts again, touches nothing, and is back when the coordinator is"""
    coordinator = world.coordinators[0]
    files = {s: (read(world.paths[s]), os.stat(world.paths[s]).st_mtime_ns) for s in (ONE, TWO)}
    reloads, before = read(world.reloads), held(world)
    coordinator.process.stop()
    world.one.kill()
    world.one.start()
    wait_until(lambda: world.one.process.log_has("no coordinator"), "it says that it is alone")
    check(world.one.process.is_running(), "it runs on")
    equal({s: (read(world.paths[s]), os.stat(world.paths[s]).st_mtime_ns) for s in (ONE, TWO)}, files, "files")
    equal(read(world.reloads), reloads, "reloads")
    equal(held(world), before, "what is active")
    coordinator.start()
    roll(world, {ONE: "after the night\n"}, "completed")
    equal(read(world.paths[ONE]), "after the night\n", "file")


def test_large_document(world):
    """a document of five megabytes arrives in chunks"""
    value = random.Random(1).randbytes(480000).hex()
    world.set(TWO, {f"padding-{i}": random.Random(i + 2).randbytes(480000).hex() for i in range(5)})
    sent = sent_bytes(world)
    roll(world, {TWO: value}, "completed")
    equal(len(read(world.paths[TWO])), len(value), "size of the file")
    check(sent_bytes(world) - sent > 2_000_000, "there is no shorter way to say it")


def sent_bytes(world):
    text = world.api("GET", "/metrics", raw_path=True, token=None).raw.decode()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("lockstep_router_sent_bytes_total "))


def test_small_change_travels_small(world):
    """of a small change to a large document only the change travels"""
    value = read(world.paths[TWO])
    sent = sent_bytes(world)
    roll(world, {TWO: value[:1000] + "a little else" + value[1000:]}, "completed")
    check("a little else" in read(world.paths[TWO]), "it arrived")
    check(sent_bytes(world) - sent < 20_000, f"{sent_bytes(world) - sent} bytes for a document of six megabytes")


def test_eventual(world):
    """in eventual mode the agent obeys at once, and a change it cannot take does not stay"""
    roll(world, {ONE: "eventually\n"}, "completed", strategy="eventual")
    equal(read(world.paths[ONE]), "eventually\n", "file")
    roll(world, {ONE: "unhealthy\n"}, "rolled_back", strategy="eventual")
    equal(read(world.paths[ONE]), "eventually\n", "file after the bad one")


def test_late_comer(world):
    """a server that slept through a rollout converges when it comes back"""
    second = Agent(world, "server-2", [ONE], scope_settings=f"file = value -> {world.folder}/files/late").enroll().start()
    world.wait_agents(ONE, 2)
    wait_until(lambda: os.path.exists(f"{world.folder}/files/late"), "the newcomer is brought up to date")
    second.process.stop()
    world.set(ONE, {"value": "while it slept\n"})
    rollout = world.start_rollout(ONE, {**ALL, "unreachable": "skip"})
    world.wait_state(rollout, "completed", seconds=60)
    check(read(f"{world.folder}/files/late") != "while it slept\n", "it slept")
    second.start()
    wait_until(lambda: read(f"{world.folder}/files/late") == "while it slept\n", "it catches up")
    wait_until(lambda: not second.dump()["outbox"], "its outbox is empty")
    second.process.stop()


def test_cut_off_during_the_bake(world):
    """when asked for, a server that hears no coordinator during the bake goes back by itself, and says so later"""
    scope, path = "cut/prod", f"{world.folder}/files/cut"
    server = Agent(world, "server-cut", [scope], scope_settings=f"file = value -> {path}\ncheck_interval = 0").enroll().start()
    world.set(scope, {"value": "before\n"})
    world.wait_agents(scope, 1)
    change = {"changes": [{"service": "cut", "environment": "prod"}]}
    world.wait_state(world.ok("POST", "/rollouts", {**change, "strategy": ALL})["id"], "completed")
    world.set(scope, {"value": "cuts the network\n"})
    strategy = {"stages": [{"percent": 100, "bake": "1h"}], "on_isolation": "revert", "isolation_timeout": "5s"}
    rollout = world.ok("POST", "/rollouts", {**change, "strategy": strategy})["id"]
    wait_until(lambda: world.ok("GET", f"/rollouts/{rollout}")["phase"] == "baking", "the bake")
    equal(read(path), "cuts the network\n", "file")
    coordinator = world.coordinators[0].process
    coordinator.send(signal.SIGSTOP)
    try:
        wait_until(lambda: read(path) == "before\n", "it goes back by itself")
    finally:
        coordinator.send(signal.SIGCONT)
    world.wait_state(rollout, "rolled_back", seconds=60)
    contains(world.servers_of(rollout)["server-cut"]["reason"], "no coordinator was heard")
    server.process.stop()


def test_stopped_while_applying(world):
    """SIGTERM in mid-apply is no failed start: the next start applies again and the rollout completes"""
    gate = f"{world.folder}/files/gate"
    third = Agent(world, "server-3", ["third/prod"], scope_settings=f"""file = value -> {world.folder}/files/third
reload = echo began > {gate}.began; while ! test -e {gate}; do sleep 0.05; done
reload_timeout = 5m
""", general="stop_timeout = 200ms\n")
    world.set("third/prod", {"value": "third\n"})
    third.enroll().start()
    world.wait_agents("third/prod", 1)
    rollout = world.start_rollout("third/prod", {**ALL, "unreachable": "wait", "stages": [{"percent": 100, "apply_timeout": "5m"}]})
    for _ in range(4):
        wait_until(lambda: os.path.exists(f"{gate}.began"), "the reload began")
        third.process.stop(signal.SIGTERM)
        os.unlink(f"{gate}.began")
        third.start()
    write(gate, "")
    world.wait_state(rollout, "completed")
    equal(read(f"{world.folder}/files/third"), "third\n", "file")
    third.process.stop()


def test_drift(world):
    """a file that somebody else changes is told as drift, and left alone"""
    write(world.paths[ONE], "touched by hand\n", 0o640)
    world.one.process.stop()
    world.one.start()
    wait_until(lambda: world.one.process.log_has("drifted"), "it says so")
    equal(read(world.paths[ONE]), "touched by hand\n", "file")
    roll(world, {ONE: "and taken back\n"}, "completed")
    equal(read(world.paths[ONE]), "and taken back\n", "file")


def test_first_taken_back(world):
    """taking back the first rollout of a scope brings back the file that was there before"""
    scope, path = "first/prod", f"{world.folder}/files/first-taken"
    write(path, "older than Lockstep\n")
    server = Agent(world, "server-first", [scope], scope_settings=f"file = value -> {path}").enroll().start()
    world.set(scope, {"value": "new\n"})
    world.wait_agents(scope, 1)
    rollout = world.ok("POST", "/rollouts", {"changes": [{"service": "first", "environment": "prod"}], "strategy": ALL})["id"]
    world.wait_state(rollout, "completed")
    equal(read(path), "new\n", "file")
    back = world.api("POST", f"/rollouts/{rollout}/rollback", {"reason": "test"})
    equal(back.status, 201, "the way back")
    world.wait_state(back["id"], "completed")
    equal(read(path), "older than Lockstep\n", "file")
    server.process.stop()


def test_without_keys(world):
    """a rollout to no keys at all runs reload and check: failing they bring it back, and it is applied only after them"""
    scope, path, bare = "bare/prod", f"{world.folder}/files/bare", f"{world.folder}/bare-is-fine"
    server = Agent(world, "server-bare", [scope], scope_settings=f"file = value -> {path}\nreload = echo $LOCKSTEP_REVISION >> {path}.reloads\n"
                   f"check = test -e {path} -o -e {bare} || (echo nothing to run with; exit 1)\ncheck_attempts = 1").enroll().start()
    world.set(scope, {"value": "here\n"})
    world.wait_agents(scope, 1)
    world.wait_state(world.start_rollout(scope, ALL), "completed")
    empty = world.ok("POST", f"/config/{scope}", {"delete": ["value"]})["revision"]
    rollout = world.start_rollout(scope, ALL)
    contains(world.wait_state(rollout, "rolled_back")["reason"], "nothing to run with")
    equal((world.servers_of(rollout)["server-bare"]["failed_step"], read(path)), ("check", "here\n"), "what failed, and what runs")
    write(bare, "")
    rollout = world.start_rollout(scope, ALL, include_rolled_back=True)
    world.wait_state(rollout, "completed")
    equal((os.path.exists(path), read(f"{path}.reloads").split().count(str(empty))), (False, 2), "the file, and reloads at both tries")
    contains([step["step"] for step in world.servers_of(rollout)["server-bare"]["steps"]], "reload", "check")
    server.process.stop()


def test_caught_up_after_a_fault(world):
    """a server whose first catching up failed is brought forward when the next rollout needs it, or when it is back"""
    scope, path, gate = "late/prod", f"{world.folder}/files/late", f"{world.folder}/late-gate"
    world.set(scope, {"value": "one\n"})
    rollout = world.ok("POST", "/rollouts", {"changes": [{"service": "late", "environment": "prod"}], "strategy": ALL})["id"]
    world.wait_state(rollout, "completed")
    server = Agent(world, "server-late", [scope], scope_settings=f"file = value -> {path}\ncheck = test -e {gate}\ncheck_attempts = 1").enroll().start()
    world.wait_agents(scope, 1)
    wait_until(lambda: world.ok("GET", "/servers/server-late")["scopes"][0]["state"] == "failed", "it fails to catch up")
    write(gate, "")
    world.set(scope, {"value": "two\n"})
    rollout = world.ok("POST", "/rollouts", {"changes": [{"service": "late", "environment": "prod"}], "strategy": ALL})["id"]
    world.wait_state(rollout, "completed")
    equal(read(path), "two\n", "file")
    equal(world.ok("GET", "/servers/server-late")["scopes"][0]["state"], "applied", "state")
    server.process.stop()
