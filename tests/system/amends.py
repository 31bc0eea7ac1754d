"""amends.py - ways back in: for servers that failed, for drafts that nobody wants any more; and what is said before."""
import os

from kit import Agent, World, check, contains, equal, read, wait_until, write

SCOPE = "amends/prod"
ALL = {"stages": [{"percent": 100, "max_failed": 1}]}


def setup():
    """Three servers. While NAME.refuses is there the check of a server fails for v=2, while NAME.down is there for all."""
    world = World("amends").start()
    for i in range(3):
        path = f"{world.folder}/server-{i + 1}"
        Agent(world, f"server-{i + 1}", scopes=[SCOPE], scope_settings=f"""file = v -> {path}.v
check = test ! -e {path}.down && {{ test ! -e {path}.refuses || ! grep -q 2 {path}.v; }}
check_attempts = 1
check_interval = 1s
""").enroll().start()
    world.wait_agents(SCOPE, 3)
    world.set(SCOPE, {"v": "1"})
    world.wait_state(world.start_rollout(SCOPE, ALL), "completed", seconds=60)
    return world


def flag(world, name, kind, is_there=True):
    path = f"{world.folder}/{name}.{kind}"
    if is_there:
        write(path, "")
    else:
        os.unlink(path)


def state(world, name):
    """Of its one scope."""
    return world.ok("GET", f"/servers/{name}")["scopes"][0]


def retry(world, name, **more):
    return world.cli("server", "retry", name, **more)


def test_who_failed_within_the_budget_comes_back_in(world):
    """completed with a failed server: every message names server retry, and after the repair that brings it to the release"""
    flag(world, "server-3", "refuses")
    world.set(SCOPE, {"v": "2"})
    rollout = world.start_rollout(SCOPE, ALL)
    world.wait_state(rollout, "completed", seconds=60)
    wait_until(lambda: state(world, "server-3")["state"] == "failed", "server-3 failed")
    answer = world.api("POST", f"/rollouts/{rollout}/retry", {})
    equal(answer.status, 409, "a retry of what is over")
    contains(answer["detail"], "lockstep server retry server-3", "is completed", "the right server.enroll")
    names = [f"z{i}-{'x' * 57}" for i in range(6)]
    world.postgres.sql("; ".join(f"""WITH s AS (INSERT INTO server (name, public_key, scopes) VALUES ('{name}', lpad('{i}', 40, '-'), '{{*}}') RETURNING server_id)
        INSERT INTO server_scope (server_id, scope_id, obeyed, outcome) SELECT s.server_id, m.scope_id, m.obeyed, m.outcome FROM s, server_scope m
        JOIN server v USING (server_id) WHERE v.name = 'server-3'""" for i, name in enumerate(names)))
    detail = world.api("POST", f"/rollouts/{rollout}/retry", {})["detail"]
    world.postgres.sql("DELETE FROM server WHERE name LIKE 'z%xxx'")
    contains(detail, f"retry server-3 {names[0]} (and 5 more);", "the right server.enroll")
    for words in (("rollout", "get", rollout), ("server", "get", "server-3")):
        done = world.cli(*words)
        contains(done.stdout + done.stderr, "lockstep server retry server-3")
    flag(world, "server-3", "refuses", False)
    done = retry(world, "server-3")
    equal(done.returncode, 0, f"the retry: {done.stderr}")
    contains(done.stdout, "was told to try again")
    wait_until(lambda: state(world, "server-3")["state"] == "applied", "server-3 runs the release")
    equal(read(f"{world.folder}/server-3.v").strip(), "2", "what it runs")
    for words in (("rollout", "get", rollout), ("server", "get", "server-3")):
        done = world.cli(*words)
        check("server retry" not in done.stdout + done.stderr, f"advice that is of no use any more: {done.stderr}")
    contains(str(world.audit()), "server.retry")


def test_nothing_failed_nothing_is_told(world):
    """a server on which nothing failed, an unknown one, an excluded one: refused, with the reason"""
    done = retry(world, "server-1")
    check(done.returncode != 0, "nothing is to be tried again on server-1")
    contains(done.stderr, "did not fail there")
    equal(world.api("POST", "/servers/nobody/retry", {}).status, 404, "an unknown server")
    world.ok("POST", "/servers/server-1/exclude", {})
    answer = world.api("POST", "/servers/server-1/retry", {})
    equal((answer.status, answer["code"]), (409, "wrong_state"), "an excluded one")
    contains(answer["detail"], "include it first")
    world.ok("POST", "/servers/server-1/include", {})


def test_a_broken_server_comes_back_in(world):
    """the way back failed on one server and its rollout is over: after the repair, and after a change of leaders, it goes back and is broken no more"""
    base = read(f"{world.folder}/server-2.v")
    world.set(SCOPE, {"v": "3"})
    rollout = world.start_rollout(SCOPE, {"stages": [{"percent": 100, "hold": True}]})
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it holds")
    flag(world, "server-2", "down")
    world.wait_state(rollout, "rolled_back", "failed", seconds=200)
    wait_until(lambda: state(world, "server-2")["detail"] == "broken", "server-2 is broken")
    coordinator = world.coordinators[0]
    coordinator.process.kill()
    coordinator.start()
    wait_until(world.leader, "somebody leads")
    wait_until(lambda: world.agents["server-2"].process.log_text().count("outcome=broken") > 1, "it was told again with its hello, in vain")
    flag(world, "server-2", "down", False)
    done = retry(world, "server-2")
    equal(done.returncode, 0, f"the retry: {done.stderr}")
    wait_until(lambda: state(world, "server-2")["state"] == "applied", "server-2 is back")
    equal(state(world, "server-2")["detail"], "", "broken no more")
    equal(read(f"{world.folder}/server-2.v"), base, "what it runs")
    members = {m["server"]: m["state"] for m in world.ok("GET", f"/rollouts/{rollout}/servers")["servers"]}
    equal(members["server-2"], "rolled_back", "in the record of the rollout")


def cli(world, *words):
    done = world.cli(*words)
    equal(done.returncode, 0, f"{' '.join(words)}: {done.stderr}")
    return done.stdout + done.stderr


def test_drafts_end(world):
    """config discard: the head is what is released again, twice is nothing to do, and history says what became of every revision"""
    scope = "drafts/prod"
    path = f"{world.folder}/drafts.v"
    Agent(world, "server-d", scopes=[scope], scope_settings=f"file = v -> {path}\nvalidate = ! grep -q bad {{file}}\ncheck_attempts = 1").enroll().start()
    world.set(scope, {"v": "1"})
    world.wait_agents(scope, 1)
    world.wait_state(world.start_rollout(scope, {"stages": [{"percent": 100}]}), "completed", seconds=60)
    world.set(scope, {"v": "bad"})
    world.wait_state(world.start_rollout(scope, {"stages": [{"percent": 100}]}), "aborted", seconds=60)
    world.set(scope, {"v": "worse"})
    contains(cli(world, "config", "discard", scope), "its drafts are discarded", "revision 1")
    equal(cli(world, "config", "get", f"{scope}@head", "v").strip(), "1", "the head")
    contains(cli(world, "config", "discard", scope), "nothing to discard")
    summary = [s for s in world.ok("GET", "/services")["services"] if s["service"] == "drafts"][0]
    equal(summary["drafts"], 0, "drafts")
    answer = world.api("POST", "/rollouts", {"changes": [{"service": "drafts", "environment": "prod"}], "strategy": "all-at-once"})
    equal((answer.status, answer["code"]), (409, "nothing_to_change"), "a rollout of what is released")
    contains(cli(world, "config", "history", scope), "refused", "released", "draft")


def test_a_plan_says_what_stands_against_it(world):
    """rollout plan: approvals and the freeze that would refuse it, with its end; start names the command that approves"""
    world.set(SCOPE, {"v": "5"})
    plan = lambda: cli(world, "rollout", "plan", SCOPE, "--strategy", "all-at-once")
    body = {"changes": [{"service": "amends", "environment": "prod"}], "strategy": "all-at-once", "dry_run": True}
    equal(world.ok("POST", "/rollouts", body)["blocked_by"], None, "nothing blocks")
    check("blocked now" not in plan() and "approval" not in plan(), "nothing stands against it")
    world.ok("PUT", "/freezes/holidays", {"environment": "prod", "reason": "nobody is here", "ends_at": "2099-01-02T00:00:00Z"})
    contains(world.ok("POST", "/rollouts", body)["blocked_by"], "holidays", "until 2099-01-02", "nobody is here")
    contains(plan(), "blocked now: amends/prod is frozen by holidays")
    world.ok("DELETE", "/freezes/holidays")
    world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 1})
    contains(plan(), "needs 1 approval")
    said = cli(world, "rollout", "start", SCOPE, "--strategy", "all-at-once")
    world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 0})
    rollout = world.ok("GET", "/rollouts?state=open")["rollouts"][0]["id"]
    contains(said, f"lockstep rollout approve {rollout}")
    world.ok("POST", f"/rollouts/{rollout}/abort", {})


def test_a_mistyped_scope_is_told(world):
    """config set and rollout start of a scope that no server reads warn; a missing environment is not promised to be made"""
    contains(cli(world, "config", "set", "amedns/prod", "v=1"), "no server that was ever seen reads amedns/prod")
    contains(cli(world, "rollout", "start", "amedns/prod", "--strategy", "all-at-once"), "no server that was ever seen reads amedns/prod")
    check("no server" not in cli(world, "config", "set", SCOPE, "v=6"), "servers read this one")
    done = world.cli("config", "get", "amends/prdo", "v")
    check(done.returncode != 0, "there is no such scope")
    contains(done.stderr, "is a name mistyped?", "in an environment that exists")


def test_a_default_strategy_stays(world):
    """a strategy that an environment uses by default is not deleted: the answer names the environment"""
    world.ok("PUT", "/strategies/mine", {"stages": [{"percent": 100}]})
    world.ok("PUT", "/environments/prod", {"policy": "manual", "default_strategy": "mine"})
    answer = world.api("DELETE", "/strategies/mine")
    equal((answer.status, answer["code"]), (409, "wrong_state"), "the deletion")
    contains(answer["detail"], "prod", "--default-strategy")
    world.ok("PUT", "/environments/prod", {"policy": "manual"})
    world.ok("DELETE", "/strategies/mine")
