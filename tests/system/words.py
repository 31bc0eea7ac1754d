"""words.py - what a check says when it fails reaches people: table, API, timeline, command line; and what lags is not green."""
import os
import subprocess

from kit import BUILD, Agent, World, check, contains, equal, wait_until, write

SCOPE = "app/prod"
SAID = "the database answers with 500"
STAGES = {"stages": [{"count": 2, "bake": "60s", "max_failed": 1}, {"percent": 100}]}


def setup():
    world = World("words").start()
    world.set(SCOPE, {"v": "1"})
    for i in range(1, 4):
        sick, value = f"{world.folder}/sick-{i}", f"{world.folder}/value-{i}"
        Agent(world, f"server-{i}", [SCOPE],
              scope_settings=f"file = v -> {value}\ncheck = ! grep -qxFf {sick} {value} 2>/dev/null || (echo {SAID}; exit 22)\n"
                             "check_interval = 300ms\ncheck_timeout = 60s").enroll(scopes=[SCOPE]).start()
    world.wait_agents(SCOPE, 3)
    world.wait_state(world.start_rollout(SCOPE, "all-at-once"), "completed")
    return world


def sick(world, number, value=None):
    """From now on the check of that server says no of this value; None: of none."""
    path = f"{world.folder}/sick-{number}"
    write(path, f"{value}\n") if value else os.unlink(path)


def cli(world, *args):
    write(f"{world.folder}/token", world.token)
    env = {k: v for k, v in os.environ.items() if not k.startswith("LOCKSTEP_")}
    done = subprocess.run([f"{BUILD}/lockstep", "--addr", f"http://127.0.0.1:{world.coordinators[0].http}", "--token-file", f"{world.folder}/token", *args],
                          capture_output=True, text=True, timeout=120, check=False, env={**env, "HOME": world.folder})
    return done.stdout + done.stderr


def member_of(world, rollout, want):
    """The first server of the rollout that is as wanted."""
    found = [s for s in world.ok("GET", f"/rollouts/{rollout}/servers")["servers"] if want(s)]
    return found[0] if found else None


def begin(world, value, strategy):
    world.set(SCOPE, {"v": value})
    rollout = world.start_rollout(SCOPE, strategy)
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", lambda: f"{rollout} bakes: {world.rollout(rollout)}")
    return rollout, [s["server"] for s in world.ok("GET", f"/rollouts/{rollout}/servers?stage=0")["servers"]]


def test_a_failing_check_is_seen_while_it_bakes(world):
    """Within the budget: detail check_failing with the check's words in API, picture and server list, and gone when it passes again"""
    rollout, canaries = begin(world, "new 2", STAGES)
    number = int(canaries[0].split("-")[1])
    sick(world, number, "new 2")
    is_failing = lambda s: s["detail"] == "check_failing"
    wait_until(lambda: member_of(world, rollout, is_failing), lambda: f"somebody fails: {world.ok('GET', f'/rollouts/{rollout}/servers')}")
    one = member_of(world, rollout, is_failing)
    equal((one["server"], one["state"]), (canaries[0], "applied"), "who fails its check")
    contains(one["reason"], SAID)
    shown = world.rollout(rollout)
    equal((shown["check_failing"], shown["stages"][0]["check_failing"], shown["counts"]["applied"]), (1, 1, 2), "the counts")
    equal([s["server"] for s in world.ok("GET", f"/rollouts/{rollout}/servers?detail=check_failing")["servers"]], [canaries[0]], "the filter")
    scope = world.ok("GET", f"/servers/{canaries[0]}")["scopes"][0]
    equal((scope["detail"], SAID in scope["check"]["reason"]), ("check_failing", True), "the server itself")
    contains(cli(world, "rollout", "get", rollout), "1 check failing", SAID, canaries[0])
    contains(cli(world, "server", "list"), "check_failing")
    contains(cli(world, "rollout", "servers", rollout), SAID)
    trail = [e for e in world.ok("GET", "/audit?limit=500")["audit"] if e["action"] == "server.check_failing"]
    check(trail and SAID in str(trail[0]), f"the trail has it: {trail[:1]}")
    sick(world, number)
    wait_until(lambda: not member_of(world, rollout, is_failing), "the check passes again and nobody is said to fail")
    equal(world.rollout(rollout)["check_failing"], 0, "counted again")
    world.ok("POST", f"/rollouts/{rollout}/promote", {"full": True, "reason": "looks well"})
    world.wait_state(rollout, "completed")


def test_a_way_back_says_what_the_check_said(world):
    """Over the budget: the reason, the decision and the servers that went back keep rule, figures and the check's own words"""
    rollout, canaries = begin(world, "new 3", STAGES)
    for name in canaries:
        sick(world, int(name.split("-")[1]), "new 3")
    done = world.wait_state(rollout, "rolled_back")
    contains(done["reason"], "2 of 2", "max_failed allows 1", canaries[0], SAID)
    for server in world.ok("GET", f"/rollouts/{rollout}/servers?stage=0")["servers"]:
        equal(server["state"], "rolled_back", "where it ended")
        contains(server["reason"], SAID)
    contains(str(world.ok("GET", f"/rollouts/{rollout}/events")), SAID)
    contains(cli(world, "rollout", "get", rollout), SAID)
    for name in canaries:
        sick(world, int(name.split("-")[1]))


def test_a_pause_says_what_the_check_said(world):
    """on_failure pause: the bar is not all well, and the pause names servers and words"""
    wait_until(lambda: not any(s["check"] for one in world.ok("GET", "/servers")["servers"] for s in one["scopes"]), "all checks pass")
    rollout, canaries = begin(world, "new 4", {**STAGES, "on_failure": "pause"})
    for name in canaries:
        sick(world, int(name.split("-")[1]), "new 4")
    paused = world.wait_state(rollout, "paused")
    contains(paused["reason"], SAID, canaries[0])
    wait_until(lambda: world.rollout(rollout)["check_failing"] == 2, "both are counted")
    contains(cli(world, "rollout", "get", rollout), "2 check failing", "╱╱")
    # Resuming changes nothing of it: the answer, the command line and the timeline say so.
    again = "over the failure budget still (stage 1 of ", "max_failed allows 1", canaries[0], "it pauses again until the checks pass", "rollback takes it back"
    contains(cli(world, "rollout", "resume", rollout, "--reason", "mistaken"), "was told to resume", "max_failed allows 1", canaries[0])
    wait_until(lambda: world.rollout(rollout)["paused"], "it pauses again")
    contains(str(world.ok("GET", f"/rollouts/{rollout}/events")), *again, "resumed as asked")
    for name in canaries:
        sick(world, int(name.split("-")[1]))
    world.ok("POST", f"/rollouts/{rollout}/rollback", {"reason": "enough"})
    world.wait_state(rollout, "rolled_back")


def test_completed_without_some_is_not_all_well(world):
    """A server that is away: completed says how many have it, names who has not, and rollout list marks what was taken back"""
    world.kill_agents("server-3")
    world.set(SCOPE, {"v": "5"})
    rollout = world.start_rollout(SCOPE, {"stages": [{"percent": 100, "ready_timeout": "20s"}], "unreachable": "skip"})
    world.wait_state(rollout, "completed", seconds=120)
    contains(cli(world, "rollout", "get", rollout), "completed, 2 of 3 servers have it", "server-3")
    world.agents["server-3"].start()
    back = world.ok("POST", f"/rollouts/{rollout}/rollback", {"reason": "to see the marks"})["id"]
    world.wait_state(back, "completed")
    contains(cli(world, "rollout", "list"), f"takes back {rollout}", f"taken back by {back}")
    contains(cli(world, "rollout", "get", rollout), f"taken back by {back}")
    contains(cli(world, "server", "list", "--wide"), "AGENT")
