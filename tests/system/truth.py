"""truth.py - what is said of rollouts is so: ends that are none, releases to nobody, ways back that fail."""
import json
import re

from kit import Agent, World, contains, equal, read, wait_until, write

RUNS = "first"
SCOPE = "web/prod"
ALL = {"stages": [{"percent": 100, "ready_timeout": "5s"}]}
SPREAD = {"stages": [{"count": 1, "ready_timeout": "5s"}, {"percent": 100, "ready_timeout": "5s"}], "spread_by": "rack"}
DONE, CONFLICT, BADLY, PERSON = 0, 4, 6, 8


def setup():
    """Three servers, each in a rack of its own. Of the value in NAME.bad its check says no, of the one in NAME.no its validate."""
    world = World("truth").start()
    for i in range(1, 4):
        path = f"{world.folder}/web-{i}"
        write(f"{path}.bad", "")
        write(f"{path}.no", "")
        Agent(world, f"web-{i}", [SCOPE], labels=f"rack={i}",
              scope_settings=f"file = v -> {path}.v\ncheck = ! grep -qxFf {path}.bad {path}.v\nvalidate = ! grep -qxFf {path}.no {{v}}\ncheck_attempts = 1\ncheck_interval = 1s").enroll().start()
    world.wait_agents(SCOPE, 3)
    world.ok("PUT", "/strategies/fast", {"stages": [{"count": 1, "ready_timeout": "5s"}, {"percent": 100, "ready_timeout": "5s"}]})
    release(world, "1")
    return world


def bad(world, value, names=("web-1", "web-2", "web-3")):
    """From now on these servers' checks say no of this value; "": of none."""
    for name in names:
        write(f"{world.folder}/{name}.bad", f"{value}\n" if value else "")


def release(world, value):
    world.set(SCOPE, {"v": value})
    rollout = world.start_rollout(SCOPE, ALL)
    world.wait_state(rollout, "completed")
    return rollout


def said(world, code, *words):
    done = world.cli(*words)
    equal(done.returncode, code, f"{' '.join(words)}: {done.stdout} {done.stderr}")
    return done.stdout + done.stderr


def back(world, *names):
    for name in names:
        world.agents[name].start()
    wait_until(lambda: all(world.ok("GET", f"/servers/{n}")["reachable"] for n in names), f"{names} are back")


def test_a_way_back_that_fails_is_no_success(world):
    """A rollout that takes back and is itself rolled back, or refused: exit 6 and who is still released; a rollout that goes back as told: 0"""
    rollout = release(world, "2")
    bad(world, "1")
    text = said(world, BADLY, "rollout", "rollback", rollout, "--wait")
    contains(text, f"{rollout} was not taken back", "rolled back")
    equal(world.ok("GET", f"/config/{SCOPE}/v")["config_value"], "2", "what is released")
    bad(world, "")
    said(world, DONE, "rollout", "rollback", rollout, "--wait")
    equal(world.ok("GET", f"/config/{SCOPE}/v")["config_value"], "1", "taken back in the end")
    world.set(SCOPE, {"v": "held"})
    held = world.start_rollout(SCOPE, {"stages": [{"percent": 100, "hold": True}]})
    wait_until(lambda: world.rollout(held)["phase"] == "baking", "it holds")
    text = said(world, DONE, "rollout", "get", held)
    contains(text, f"held until somebody promotes it: lockstep rollout promote {held}")
    contains(said(world, PERSON, "rollout", "pause", held, "--wait"), "waits for a person (resume or rollback)", f"rollout resume {held}")
    said(world, DONE, "rollout", "rollback", held, "--wait")
    text = said(world, CONFLICT, "rollout", "start", SCOPE, "-s", "fast")
    contains(text, "write another value", "--include-rolled-back")


def test_who_moved_and_who_went_back(world):
    """Of a stage that was never activated the servers are untouched; what could not go back, and did later, is said to have"""
    first, second, base = "web-1", "web-2", "as it was"
    release(world, base)
    world.set(SCOPE, {"v": "half way"})
    write(f"{world.folder}/{second}.no", "half way\n")
    rollout = world.start_rollout(SCOPE, {"stages": [{"select": {"rack": "1"}}, {"percent": 100}]})
    world.wait_state(rollout, "rolled_back")
    members = world.servers_of(rollout)
    equal({n: (m["state"], m["detail"]) for n, m in members.items()}, {n: ("rolled_back", "" if n == first else "untouched") for n in world.agents}, "the members")
    contains(members[second]["reason"], "validate ended with 1")
    world.set(SCOPE, {"v": "there and back"})
    rollout = world.start_rollout(SCOPE, {"stages": [{"percent": 100, "hold": True}]})
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it holds")
    bad(world, base, [second])
    contains(said(world, BADLY, "rollout", "rollback", rollout, "--wait"), "lockstep server retry tries it again", second)
    bad(world, "")
    said(world, DONE, "server", "retry", second)
    wait_until(lambda: world.servers_of(rollout)[second]["state"] == "rolled_back", "it went back")
    contains(world.servers_of(rollout)[second]["reason"], "went back when it was told again", "check ended with 1")
    contains(said(world, DONE, "rollout", "get", rollout), "every server went back since")
    release(world, "1")


def test_who_takes_back_means_what_was_rolled_out(world):
    """Beside a rollout that waits for approvals, rollback by scope takes back the one that was started"""
    world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 1})
    world.set(SCOPE, {"v": "stale"})
    stale = world.start_rollout(SCOPE, ALL)
    world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 0})
    world.set(SCOPE, {"v": "bad news"})
    glass = world.start_rollout(SCOPE, ALL, note="it burns")
    world.wait_state(glass, "completed")
    text = said(world, DONE, "rollout", "get", stale)
    contains(text, "cannot start any more", f"lockstep rollout abort {stale}")
    equal("rollout approve" in text, False, "no advice that is refused")
    overtaken = world.rollout(stale)["changes"][0]["to_revision"]
    text = said(world, DONE, "rollout", "rollback", SCOPE, "--wait")
    contains(text, f"takes back {glass}", f"lockstep rollout abort {stale}")
    equal(world.rollout(stale)["state"], "awaiting_approval", "the one that waits")
    equal(world.ok("GET", f"/config/{SCOPE}/v")["config_value"], "1", "what is released")
    text = said(world, CONFLICT, "rollout", "start", f"{SCOPE}@{overtaken}")
    contains(text, "is older than the released revision", f"config rollback {SCOPE} --to {overtaken}")
    said(world, DONE, "rollout", "rollback", stale)
    equal(world.rollout(stale)["state"], "aborted", "by its id it is withdrawn")


def test_the_canary_is_somebody_who_is_there(world):
    """With servers away, plan and rollout draw the one that answers, also where each rack would have its turn"""
    world.kill_agents("web-1", "web-2")
    for strategy in ("fast", SPREAD):
        world.set(SCOPE, {"v": f"there {strategy == SPREAD}"})
        plan = world.ok("POST", "/rollouts?dry_run=1", {"changes": [{"service": "web", "environment": "prod"}], "strategy": strategy})
        equal(plan["stages"][0]["servers"], ["web-3"], "the plan")
        rollout = world.start_rollout(SCOPE, strategy)
        world.wait_state(rollout, "completed")
        equal({n: (s["stage"], s["state"]) for n, s in world.servers_of(rollout).items()},
              {"web-1": (1, "pending"), "web-2": (1, "pending"), "web-3": (0, "applied")}, "the members")
    back(world, "web-1", "web-2")


def test_what_nobody_tested_waits_for_a_person(world):
    """The canaries are away, others are not: the rollout pauses and says what helps; resume goes on without them, retry asks them again"""
    strategy = f"{world.folder}/canary-in-rack-1.json"
    write(strategy, json.dumps({"stages": [{"select": {"rack": "1"}, "ready_timeout": "5s"}, {"percent": 100, "ready_timeout": "5s"}]}))
    has = lambda name: read(f"{world.folder}/{name}.v")
    for value, word in (("without a canary", "resume"), ("with a canary", "retry")):
        world.kill_agents("web-1")
        world.set(SCOPE, {"v": value})
        contains(said(world, DONE, "rollout", "plan", SCOPE, "-s", f"@{strategy}"), "nobody of stage 1 answers", "pauses there for a person")
        text = said(world, PERSON, "rollout", "start", SCOPE, "-s", f"@{strategy}", "--wait")
        contains(text, "nobody of the stage answered, so nobody tested the change", "stage 1 of 2: no answer of web-1", "waits for a person (resume or rollback)")
        equal(value in has("web-2") + has("web-3"), False, "it stays where it is")
        rollout = world.ok("GET", "/rollouts?limit=1")["rollouts"][0]["id"]
        if word == "retry":
            back(world, "web-1")
        said(world, DONE, "rollout", word, rollout)
        world.wait_state(rollout, "completed")
        equal((has("web-1") == value, has("web-2"), has("web-3")), (word == "retry", value, value), "who runs it")
    contains(said(world, DONE, "rollout", "status", rollout), "paused for a person", "asked again")


def test_completed_and_nobody_has_it(world):
    """Nobody reached: exit 6, how many are away; who comes and fails stands in the record, until it works"""
    world.kill_agents("web-1", "web-2", "web-3")
    world.set(SCOPE, {"v": "late"})
    text = said(world, BADLY, "rollout", "start", SCOPE, "-s", "fast", "--wait")
    contains(text, "0 of 3 servers have it", "of 3, 3 are unreachable now", "nobody of the stage before answered", "nobody of the stage asked last answered")
    rollout = world.ok("GET", "/rollouts?limit=1")["rollouts"][0]["id"]
    equal(world.rollout(rollout)["unreachable"], 3, "in the API")
    bad(world, "late", ["web-1"])
    back(world, "web-1", "web-2", "web-3")
    wait_until(lambda: world.servers_of(rollout)["web-1"]["detail"] == "failed_late", lambda: f"web-1 failed: {world.servers_of(rollout)}")
    wait_until(lambda: world.servers_of(rollout)["web-2"]["state"] == "applied", "web-2 has it")
    contains(said(world, DONE, "rollout", "get", rollout), "2 of 3 servers have it", "failed when it got the release late: check")
    bad(world, "")
    said(world, DONE, "server", "retry", "web-1")
    wait_until(lambda: (world.servers_of(rollout)["web-1"]["state"], world.servers_of(rollout)["web-1"]["detail"]) == ("applied", "late"), "web-1 has it")


def test_why_a_server_is_away(world):
    """server get says why nothing reaches a server and what helps, and that works when it is typed"""
    get = lambda name: said(world, DONE, "server", "get", name)
    spare = Agent(world, "spare", [SCOPE])
    key = spare.make_key()
    said(world, DONE, "server", "enroll", "spare", "--scope", SCOPE, "--", key)
    contains(get("spare"), "never came", "lockstep-agent show-key")
    contains(spare.run("show-key").stdout, key)
    said(world, DONE, "server", "revoke", "spare", "-y")
    contains(get("spare"), "its key is let in no more", "lockstep server forget spare")
    contains(said(world, CONFLICT, "server", "include", "spare"), "lockstep server forget spare", "enrol it anew")
    contains(said(world, CONFLICT, "server", "enroll", "spare", "--scope", SCOPE, "--", key), "after lockstep server forget spare")
    said(world, DONE, "server", "forget", "spare", "-y")
    said(world, DONE, "server", "enroll", "spare", "--scope", SCOPE, "--", key)
    said(world, DONE, "server", "forget", "spare", "-y")
    said(world, DONE, "server", "exclude", "web-1")
    contains(get("web-1"), "excluded by a person: lockstep server include web-1")
    said(world, DONE, "server", "include", "web-1")
    wait_until(lambda: world.ok("GET", "/servers/web-1")["away"] is None, "nothing is said of one that is there")
    world.kill_agents("web-2")
    contains(get("web-2"), f"not heard since {world.ok('GET', '/servers/web-2')['last_seen']}")
    back(world, "web-2")


def test_what_is_refused_later_is_said_before(world):
    """A plan names what was rolled back; a time that is none names both ways to write one; a folder that is not there is not found"""
    world.set(SCOPE, {"v": "taken back"})
    rollout = world.start_rollout(SCOPE, {"stages": [{"percent": 100, "hold": True}]})
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it holds")
    said(world, DONE, "rollout", "rollback", rollout, "--wait")
    text = said(world, DONE, "rollout", "plan", SCOPE, "-s", "fast")
    contains(text, f"v was rolled back with {rollout}")
    advice = re.search(r"lockstep (rollout start .* --include-rolled-back)", text)[1].split()
    said(world, 0, *advice)
    wait_until(lambda: world.ok("GET", "/rollouts?limit=1")["rollouts"][0]["state"] == "completed", "what was typed as printed brings it")
    for words in (("freeze", "set", "f", "-e", "prod", "-r", "x", "--until"), ("token", "create", "t", "--role", "viewer", "--expires")):
        contains(said(world, 7, *words, "soon"), f'{words[-1]}: "soon" is neither a duration', "nor a time")
    contains(said(world, 3, "config", "import", "/nonexistent"), "cannot open /nonexistent: No such file")
    contains(said(world, 2, "config", "import", SCOPE), "give SERVICE/ENV and a file")


def test_excluded_servers_are_not_denied(world):
    """All are excluded: it is not said that no server reads the scope"""
    for name in world.agents:
        world.ok("POST", f"/servers/{name}/exclude", {})
    world.set(SCOPE, {"v": "for nobody"})
    contains(said(world, DONE, "rollout", "start", SCOPE, "-s", "fast", "--wait"), "or all that do are excluded")
    for name in world.agents:
        world.ok("POST", f"/servers/{name}/include", {})


def test_the_timeline_says_what_was_refused(world):
    """A refused command stands in the timeline with its name, who and what was possible; a stage that adds nobody is not called unreached"""
    world.set(SCOPE, {"v": "quarter"})
    rollout = world.start_rollout(SCOPE, {"stages": [{"count": 1, "name": "one"}, {"percent": 25, "name": "quarter"}, {"percent": 100, "hold": True}]})
    def holds(r):
        return r["phase"] == "baking" and r["stage"] == 2 and r["counts"]["applied"] == len(world.agents)
    wait_until(lambda: holds(world.rollout(rollout)), lambda: f"it holds: {world.rollout(rollout)}")
    said(world, CONFLICT, "rollout", "retry", rollout)
    world.ok("POST", f"/rollouts/{rollout}/promote", {})
    world.wait_state(rollout, "completed")
    text = said(world, DONE, "rollout", "status", rollout)
    contains(text, "retry refused, possible: ", "by tests", "adds nobody")
    equal("not reached" in text, False, "said of a completed one")


def test_discard_keeps_what_is_rolled_out(world):
    """config discard beside an open rollout drops what was written after it, and says that the rollout's own stays"""
    world.set(SCOPE, {"v": "on its way"})
    rollout = world.start_rollout(SCOPE, {"stages": [{"percent": 100, "hold": True}]})
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it holds")
    world.set(SCOPE, {"v": "a draft"})
    contains(said(world, DONE, "config", "discard", SCOPE), "its drafts are discarded", f"rollout {rollout} is open", f"lockstep rollout rollback {rollout}")
    equal(said(world, DONE, "config", "get", f"{SCOPE}@head", "v").strip(), "on its way", "the head")
    world.ok("POST", f"/rollouts/{rollout}/rollback", {})
    world.wait_state(rollout, "rolled_back")
    contains(said(world, DONE, "config", "discard", SCOPE), "the released content")
    equal(said(world, DONE, "config", "get", f"{SCOPE}@head", "v").strip() != "on its way", True, "then it goes as well")


def test_a_freeze_of_an_automatic_environment(world):
    """A write that waits for the end of a freeze says so, and not to start what would be refused"""
    world.ok("PUT", "/freezes/h4", {"environment": "staging", "service": "*", "reason": "holidays"})
    contains(said(world, DONE, "config", "set", "web/staging", "a=1"), "goes out by itself when the freeze ends", "frozen by h4")
    world.ok("DELETE", "/freezes/h4")
