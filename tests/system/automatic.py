"""automatic.py - environments that release by themselves: readers at the write, servers when they are there."""
import os
import time

from kit import Agent, World, check, equal, read, wait_until
from api import put

RUNS = "first"
QUICK = {"ready_timeout": "2s", "apply_timeout": "2s"}
STRATEGIES = {"eventual-quick": {"mode": "eventual", "stages": [{"percent": 100, **QUICK}]},
              "strict-quick": {"stages": [{"percent": 100, **QUICK}], "unreachable": "fail"}}


def setup():
    world = World("automatic").start(coordinators=2)
    for name, strategy in STRATEGIES.items():
        world.ok("PUT", f"/strategies/{name}", strategy)
    use(world, "eventual-quick")
    return world


def use(world, strategy):
    world.postgres.sql(f"""UPDATE environment SET settings = '{{"default_strategy":"{strategy}"}}' WHERE name = 'staging'""")


def value(world, path, coordinator=0):
    answer = world.coordinators[coordinator].api("GET", f"/config/{path}")
    return answer["config_value"] if answer.status == 200 else None


def rollouts(world, service):
    """Newest first."""
    return world.ok("GET", f"/rollouts?service={service}&environment=staging")["rollouts"]


def scope(world, service):
    return next(s for s in world.ok("GET", "/services?limit=500")["services"] if s["service"] == service)


def server(world, service, check_line="true"):
    """One server of the service that writes what it is given into a file."""
    path = f"{world.folder}/{service}.out"
    agent = Agent(world, service, scopes=[f"{service}/staging"],
                  scope_settings=f"file = v -> {path}\ncheck = {check_line} {path}\ncheck_attempts = 1\npoll = 200ms\n")
    agent.enroll(scopes=[f"{service}/staging"]).start()
    world.wait_agents(f"{service}/staging", 1)
    return agent, path


def test_read_your_writes(world):
    """what was written is what is read, at once, on the coordinator that took it and soon on the others"""
    for n in range(20):
        written = put(world, "mine/staging/v", str(n))
        equal((written["released"], value(world, "mine/staging/v")), (True, str(n)), f"write {n}")
        document = world.ok("POST", "/config/mine/staging", {"set": {"w": str(n)}})
        equal((document["released"], value(world, "mine/staging/w")), (True, str(n)), f"write {n} of a whole scope")
    wait_until(lambda: value(world, "mine/staging/v", 1) == "19", "the other coordinator gives it, too", 5)
    equal(world.api("DELETE", "/config/mine/staging/w").status, 200, "deleted")
    equal(value(world, "mine/staging/w"), None, "and gone at once")
    equal((scope(world, "mine")["drafts"], world.ok("GET", "/config/mine/staging")["released"]),
          (0, scope(world, "mine")["head"]), "nothing waits")


def test_open_rollout(world):
    """an open rollout of the scope holds back servers, not readers"""
    agent, path = server(world, "held", "sleep 3; true")
    first = put(world, "held/staging/v", "one")
    second = put(world, "held/staging/v", "two")
    equal((second["rollout"], second["released"], value(world, "held/staging/v")), (None, True, "two"), "released while one is open")
    check(first["rollout"], "the first one opened it")
    wait_until(lambda: os.path.exists(path) and read(path) == "two", "the server is brought there by the next", 60)
    agent.process.stop()


def test_failed(world):
    """what servers refuse is taken back from readers, later writes stay"""
    agent, path = server(world, "fails", "! grep -q bad")
    put(world, "fails/staging/v", "good")
    wait_until(lambda: os.path.exists(path) and read(path) == "good", "it runs the good one")
    wait_until(lambda: not [r for r in rollouts(world, "fails") if r["finished_at"] is None], "nothing is open")
    bad = put(world, "fails/staging/v", "bad")
    put(world, "fails/staging/other", "stays")
    equal(value(world, "fails/staging/v"), "bad", "readers get what was written")
    world.wait_state(bad["rollout"], "rolled_back", "aborted", "failed")
    wait_until(lambda: value(world, "fails/staging/v") == "good", "the revert revision is released")
    equal(value(world, "fails/staging/other"), "stays", "the later write is none of its business")
    wait_until(lambda: read(path) == "good" and scope(world, "fails")["rollout"] is None, "and the server runs it", 60)
    agent.process.stop()


def test_answers_say_what_stays(world):
    """a write after a rollback that changes nothing, or is refused, tells of versions that are there afterwards"""
    agents = {}
    for service in ("same", "refused"):
        agents[service], path = server(world, service, "! grep -q bad")
        put(world, f"{service}/staging/v", "good")
        wait_until(lambda: os.path.exists(path) and read(path) == "good", "it runs the good one")
        wait_until(lambda: scope(world, service)["rollout"] is None, "nothing is open")
    bad = [put(world, f"{service}/staging/v", "bad")["rollout"] for service in agents]
    # Nobody takes it back meanwhile: who would, asks for freezes first.
    with world.postgres.held("LOCK TABLE change_freeze IN ACCESS EXCLUSIVE MODE"):
        for rollout in bad:
            wait_until(lambda: world.postgres.sql(f"SELECT 1 FROM rollout WHERE public_id = '{rollout}' AND finished_at IS NOT NULL"), "it was rolled back")
        equal([scope(world, service)["head"] for service in agents], [2, 2], "nothing was taken back yet")
        same = put(world, "same/staging/v", "good")
        equal((same["changed"], same["version"], same["released"]), (False, 3, True), "version 3 takes version 2 back, and nothing more is to be done")
        refused = world.api("PUT", "/config/refused/staging/v", {"config_value": "x", "expected_version": 1})
        equal((refused.status, refused["current_version"]), (409, 3), "a write that expects another version")
        for service in agents:
            equal(world.ok("GET", f"/config/{service}/staging/v?revision=head")["version"], 3, f"the version that the answer for {service} named")
            equal(value(world, f"{service}/staging/v"), "good", "what readers get")
    for agent in agents.values():
        agent.process.stop()


def nobody(world, service, strategy):
    use(world, strategy)
    agent, path = server(world, service)
    put(world, f"{service}/staging/v", "day")
    wait_until(lambda: os.path.exists(path) and read(path) == "day", "it runs the first one")
    wait_until(lambda: scope(world, service)["rollout"] is None, "nothing is open")
    agent.process.stop()
    written = put(world, f"{service}/staging/v", "night")
    world.wait_state(written["rollout"], "completed", "rolled_back", "aborted", "failed", seconds=60)
    head = scope(world, service)
    equal((value(world, f"{service}/staging/v"), head["head"], head["released"]), ("night", 2, 2), "the release stays")
    agent.start()
    wait_until(lambda: read(path) == "night", "the server comes and is brought there", 90)
    equal([(e["action"], e["data"]) for e in world.audit() if e["action"] == "config.revert" and e["data"]["rollout"] == written["rollout"]],
          [], "nobody wrote the old value")
    equal(scope(world, service)["head"], 2, "no version more")
    agent.process.stop()


def test_nobody_was_there(world):
    """a write while every server is away stays released, and they get it when they are back"""
    nobody(world, "night", "eventual-quick")


def test_nobody_was_there_for_a_strict_strategy(world):
    """the same where the strategy fails for who cannot be reached"""
    nobody(world, "strict", "strict-quick")


def test_a_child_is_released_behind_many_that_wait(world):
    """a parent's change reaches readers of a child though more scopes than one look takes wait for the end of a freeze"""
    world.ok("PUT", "/environments/cold", {"policy": "auto", "default_strategy": "eventual"})
    world.ok("PUT", "/freezes/cold", {"environment": "cold", "reason": "winter"})
    world.postgres.sql("""WITH s AS (INSERT INTO scope (service, environment, head) SELECT 'cold-' || i, 'cold', 1 FROM generate_series(1, 230) AS i
                            RETURNING scope_id), r AS (INSERT INTO revision (scope_id, revision, created_by) SELECT scope_id, 1, 'tests' FROM s)
                          INSERT INTO config_version (scope_id, key, version, revision, value_type, value, created_by)
                            SELECT scope_id, 'k', 1, 1, 'string', 'v', 'tests' FROM s""")
    world.set("above/prod", {"inherited": "1"})
    world.ok("PUT", "/parents/below/staging", {"parents": ["above/prod"]})
    wait_until(lambda: value(world, "below/staging/inherited") == "1", "the child has it")
    world.set("above/prod", {"inherited": "2"})
    wait_until(lambda: value(world, "below/staging/inherited") == "2", "the change comes down to readers", 30)
    frozen = [s for s in world.ok("GET", "/services?limit=500")["services"] if s["environment"] == "cold"]
    equal({s["released"] for s in frozen}, {0}, "what is frozen stays unreleased")


def lines(coordinator, text):
    return coordinator.process.log_text().count(text)


def test_what_waits_is_told_once(world):
    """a scope that cannot be released is tried every second, and told of once a minute"""
    use(world, "nowhere")
    world.postgres.sql("INSERT INTO scope (service, environment) SELECT 'before-' || i, 'prod' FROM generate_series(1, 20) AS i")
    put(world, "waiting/staging/v", "1")
    unusable = [lines(c, "default strategy not usable") for c in world.coordinators]
    time.sleep(6)
    grown = [lines(c, "default strategy not usable") - n for c, n in zip(world.coordinators, unusable)]
    check(max(grown) <= 1, f"lines in six seconds: {grown}")
    for c in world.coordinators:
        c.process.stop()
    use(world, "eventual-quick")
    tight = world.add_coordinator("tight", "[limits]\nscopes = 16\n").start()
    wait_until(lambda: lines(tight, "peer=waiting/staging"), "it is told")
    time.sleep(4)
    equal(lines(tight, "peer=waiting/staging"), 1, "lines of one scope")
    tight.process.stop()
    world.coordinators.remove(tight)
    for c in world.coordinators:
        c.start()
    wait_until(lambda: scope(world, "waiting")["released"] == 1, "and released in the end")
