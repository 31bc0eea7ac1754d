"""config_flow.py - drafts and fixes, changes that were rolled back, automatic environments, inheritance."""
from kit import Agent, World, check, contains, equal, wait_until
from api import change, completed, head, pointers, problem, put


def setup():
    world = World("flow").start(coordinators=2)
    world.ok("PUT", "/strategies/held", {"stages": [{"count": 1, "hold": True}, {"percent": 100}]})
    world.postgres.sql("""UPDATE environment SET settings = '{"default_strategy":"held"}' WHERE name = 'staging'""")
    return world


def document(world, scope, revision="head"):
    return world.ok("GET", f"/config/{scope}?format=json&revision={revision}")


def agent(world, scope):
    """One server of the scope, so that a held stage holds."""
    a = Agent(world, scope.replace("/", "-"), scopes=[scope]).enroll().start()
    world.wait_agents(scope, 1)
    return a


def rollouts(world, scope):
    """Newest first."""
    service, environment = scope.split("/")
    return world.ok("GET", f"/rollouts?service={service}&environment={environment}")["rollouts"]


def held(world, rollout):
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", lambda: f"the canary runs it: {world.rollout(rollout)}")
    return rollout


def promote(world, rollout):
    held(world, rollout)
    world.ok("POST", f"/rollouts/{rollout}/promote", {})
    world.wait_state(rollout, "completed")


def test_fix(world):
    """a fix on the released revision carries nobody's drafts; drafts come back on top, one gives way"""
    completed(world, "fix/prod", a="1", b="1")
    world.set("fix/prod", {"a": "draft", "c": "draft"})
    fixed = put(world, "fix/prod/b", "9", base="released")
    equal((fixed.status, fixed["revision"], fixed["dropped_drafts"], fixed["released"]), (200, 3, [], False), "the fix")
    equal(document(world, "fix/prod", 3), {"a": "1", "b": "9"}, "released and the fix")
    equal(document(world, "fix/prod"), {"a": "draft", "b": "9", "c": "draft"}, "drafts on top")
    many = world.ok("POST", "/config/fix/prod", {"set": {"a": "2", "d": "2"}, "base": "released"})
    equal((many["revision"], many["dropped_drafts"]), (5, ["a"]), "a draft of the same key gave way")
    equal(document(world, "fix/prod", 5), {"a": "2", "b": "1", "d": "2"}, "released and this change alone")
    equal(document(world, "fix/prod"), {"a": "2", "b": "9", "c": "draft", "d": "2"}, "the others are back")
    rollout = world.ok("POST", "/rollouts", {"changes": [{**change("fix/prod"), "to_revision": 5}], "strategy": "all-at-once"})["id"]
    world.wait_state(rollout, "completed")
    equal(world.ok("GET", "/config/fix/prod?format=json"), {"a": "2", "b": "1", "d": "2"}, "released")
    same = put(world, "fix/prod/a", "2", base="released")
    equal((same["changed"], same["dropped_drafts"]), (False, []), "released already")
    problem(put(world, "fix/prod/a", "2", base="moon"), 422, None, "released")
    problem(put(world, "fix/prod/b", "x", base="released", expected_version=1), 409, "version_conflict")
    dry = world.ok("POST", "/config/fix/prod?dry_run=1", {"set": {"c": "x"}, "base": "released"})
    equal((dry["dropped_drafts"], head(world, "fix")), (["c"], 6), "a dry run says so and writes nothing")
    back = world.api("POST", "/config/fix/prod/rollback", {"target_revision": 5})
    equal((back.status, document(world, "fix/prod")), (201, {"a": "2", "b": "1", "d": "2"}), "a head equal to 5, drafts discarded")


def test_rolled_back(world):
    """a plan that would bring a rolled back change back says so and does not start unless told"""
    a = agent(world, "again/prod")
    completed(world, "again/prod", a="1", b="1")
    world.set("again/prod", {"a": "bad", "b": "2"})
    rollout = held(world, world.ok("POST", "/rollouts", {"changes": [change("again/prod")], "strategy": "held"})["id"])
    world.ok("POST", f"/rollouts/{rollout}/rollback", {})
    world.wait_state(rollout, "rolled_back")
    equal(document(world, "again/prod"), {"a": "bad", "b": "2"}, "the change stays as a draft")
    ask = lambda **more: world.api("POST", "/rollouts", {"changes": [change("again/prod")], "strategy": "all-at-once", **more})
    refused = problem(ask(), 409, "rolled_back", "include_rolled_back")
    equal([(r["key"], r["version"], r["rollout"]) for r in refused["rolled_back"]], [("a", 2, rollout), ("b", 2, rollout)], "which")
    equal(len(ask(dry_run=True)["rolled_back"]), 2, "the plan says so")
    put(world, "again/prod/c", "3", base="released")
    equal([r["key"] for r in problem(ask(), 409, "rolled_back")["rolled_back"]], ["a", "b"], "drafts that were put back are the same")
    put(world, "again/prod/a", "good")
    equal([r["key"] for r in problem(ask(), 409, "rolled_back")["rolled_back"]], ["b"], "a was written anew")
    told = ask(include_rolled_back=True)
    equal(told.status, 201, "told")
    world.wait_state(told["id"], "completed")
    a.process.stop()


def test_automatic(world):
    """writes of an automatic environment coalesce into one rollout of the head, whoever was restarted meanwhile"""
    a = agent(world, "auto/staging")
    first = put(world, "auto/staging/k", "0")["rollout"]
    check(first, "the first write opens a rollout")
    held(world, first)
    for n in range(1, 11):
        equal(put(world, "auto/staging/k", str(n))["rollout"], None, "busy: no rollout of its own")
    for c in world.coordinators:
        c.process.kill()
    for c in world.coordinators:
        c.start()
    promote(world, first)
    wait_until(lambda: len(rollouts(world, "auto/staging")) == 2, "a second rollout opens by itself")
    second = rollouts(world, "auto/staging")[0]
    equal(second["changes"][0]["to_revision"], 11, "it takes the head")
    promote(world, second["id"])
    equal(world.ok("GET", "/config/auto/staging/k")["config_value"], "10", "released")
    equal(len(rollouts(world, "auto/staging")), 2, "one for all of them")
    a.process.stop()


def test_automatic_taken_back(world):
    """a change that is rolled back in an automatic environment leaves the head by itself; later writes go on without it"""
    a = agent(world, "taken/staging")
    promote(world, put(world, "taken/staging/a", "good")["rollout"])
    bad = held(world, put(world, "taken/staging/a", "bad")["rollout"])
    world.ok("POST", f"/rollouts/{bad}/rollback", {})
    world.wait_state(bad, "rolled_back")
    wait_until(lambda: rollouts(world, "taken/staging")[0]["id"] != bad, "the revert is released by itself")
    promote(world, rollouts(world, "taken/staging")[0]["id"])
    equal((document(world, "taken/staging"), document(world, "taken/staging", "released")), ({"a": "good"}, {"a": "good"}), "taken back")
    bad = held(world, put(world, "taken/staging/a", "worse")["rollout"])
    equal(put(world, "taken/staging/b", "later")["rollout"], None, "busy")
    world.ok("POST", f"/rollouts/{bad}/rollback", {})
    world.wait_state(bad, "rolled_back")
    wait_until(lambda: rollouts(world, "taken/staging")[0]["id"] != bad, "the rest is released by itself")
    promote(world, rollouts(world, "taken/staging")[0]["id"])
    equal(document(world, "taken/staging", "released"), {"a": "good", "b": "later"}, "without the bad change")
    services = {s["service"]: s for s in world.ok("GET", "/services")["services"]}
    equal((services["taken"]["drafts"], services["taken"]["rollout"]), (0, None), "nothing is left")
    reverts = [e for e in world.audit() if e["action"] == "config.revert"]
    equal([e["actor"] for e in reverts], ["lockstepd"] * 2, "the audit trail says who")
    a.process.stop()


def test_inheritance(world):
    """parents under children: overlay, origin of every key, own keys only, causes, cycles, automatic children"""
    completed(world, "global/prod", **{"log.level": "info", "timeout": 30})
    world.set("region/prod", {"timeout": 40})
    world.set("shop/prod", {"own": "x"})
    parents = lambda scope, *of: world.api("PUT", f"/parents/{scope}", {"parents": list(of)})
    named = parents("shop/prod", "global/prod", "region/production")
    equal((named.status, named["parents"], named["changed"], named["revision"]), (200, ["global/prod", "region/prod"], True, 2), "named")
    equal(parents("shop/prod", "global/prod", "region/prod")["changed"], False, "the same again")
    items = lambda query="": [(c["config_key"], c["config_value"], c["source"]) for c in world.ok("GET", f"/config/shop/prod?revision=head{query}")["configs"]]
    equal(items(), [("log.level", "info", "global/prod"), ("own", "x", "shop/prod"), ("timeout", "40", "region/prod")], "resolved")
    equal(items("&resolved=false"), [("own", "x", "shop/prod")], "own keys")
    equal(world.ok("GET", "/config/shop/prod?revision=head&resolved=false&format=json"), {"own": "x"}, "own document")
    equal(world.api("GET", "/config/shop/prod/timeout?revision=head&resolved=false").status, 404, "not its own")
    problem(world.api("DELETE", "/config/shop/prod/timeout"), 409, "inherited", "region/prod")
    put(world, "shop/prod/timeout", 50)
    world.set("region/prod", {"timeout": 60, "extra": 1})
    equal(items(), [("extra", "1", "region/prod"), ("log.level", "info", "global/prod"), ("own", "x", "shop/prod"), ("timeout", "50", "shop/prod")], "own wins")
    newest = world.ok("GET", "/revisions/shop/prod?limit=1")["revisions"][0]
    equal((newest["cause"], newest["keys"]), ({"service": "region", "environment": "prod", "revision": 2}, ["extra"]), "its cause")
    world.ok("DELETE", "/config/shop/prod/timeout")
    equal(("timeout", "60", "region/prod") in items(), True, "uncovered")
    problem(parents("global/prod", "shop/prod"), 422, "inheritance_cycle", "shop/prod")
    problem(parents("shop/prod", "shop/prod"), 422, "inheritance_cycle")
    wrong = parents("shop/prod", "nosuch/prod", "a/b/c", "global/prod", "global/prod", 3)
    equal(pointers(problem(wrong, 422)), ["/parents/0", "/parents/1", "/parents/3", "/parents/4"], "what is wrong")
    problem(world.api("PUT", "/parents/shop/prod", {"parents": "global/prod"}), 422)
    problem(parents("shop/nosuch", "global/prod"), 404, "unknown_environment")
    problem(parents("sh'op/prod"), 422)
    shown = world.ok("GET", "/parents/global/prod")
    equal((shown["parents"], shown["children"]), ([], ["shop/prod"]), "the other way round")
    equal([(p["service_name"], p["parents"]) for p in world.ok("GET", "/parents")["parents"]], [("shop", ["global/prod", "region/prod"])], "all of them")
    completed(world, "shop/prod", own="y")
    equal(world.ok("GET", "/config/shop/prod?format=json"), {"extra": 1, "log.level": "info", "own": "y", "timeout": 60}, "rolled out")
    actions = [e["action"] for e in world.audit()]
    check("config.inherit" in actions and "config.parents" in actions, f"audit: {set(actions)}")
    world.set("base/dev", {"k": "1"})
    equal(parents("leaf/dev", "base/dev").status, 200, "a child in an automatic environment")
    wait_until(lambda: world.api("GET", "/config/leaf/dev/k").status == 200, "what it inherits is released by itself")
    put(world, "base/dev/k", "2")
    wait_until(lambda: world.ok("GET", "/config/leaf/dev/k")["config_value"] == "2", "the parent's change reaches the child's servers by itself")
