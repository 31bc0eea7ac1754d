"""agent_status.py - what people of a server are told by its agent: `lockstep-agent status`, and a line per change."""
import json
import os
import shutil
import subprocess
import time

from judge import log_lines
from kit import BUILD, Agent, World, check, contains, equal, need_root, wait_until, write

SCOPE = "demo/prod"
ALL = {"stages": [{"percent": 100}]}
CHECK = 'file = value -> {0}/value\nvalidate = ! grep refused {{file}}\ncheck = ! grep -H broken {0}/value\ncheck_attempts = 1\ncheck_grace = 100ms\ncheck_interval = 200ms\ndrift_interval = 200ms\n'


def setup():
    world = World("agent_status").start()
    world.files = f"{world.folder}/files"
    os.mkdir(world.files)
    world.set(SCOPE, {"value": "first"})
    world.one = Agent(world, "web-1", [SCOPE], scope_settings=CHECK.format(world.files), general="log_level = info\n").enroll().start()
    world.wait_agents(SCOPE, 1)
    return world


def roll(world, value):
    """How the rollout ended; its revision and its name."""
    revision = world.set(SCOPE, {"value": value})
    rollout = world.start_rollout(SCOPE, ALL)
    return world.wait_state(rollout, "completed", "aborted", "rolled_back")["state"], revision, rollout


def status(world, code, *options):
    done = world.one.run("status", *options)
    equal(done.returncode, code, f"exit status: {done.stdout}{done.stderr}")
    return done.stdout


def wait_status(world, code, *parts):
    """The agent tells its state once a second."""
    told = []

    def is_told():
        done = world.one.run("status")
        told[:] = [done.returncode, done.stdout + done.stderr]
        return done.returncode == code and all(part in done.stdout for part in parts)
    wait_until(is_told, lambda: f"status ends with {code} and says {parts}; it was {told}")
    return told[1]


def test_nothing_yet(world):
    """before the first rollout: nothing runs, and all is well"""
    contains(wait_status(world, 0, "connected for"), f"{SCOPE}  nothing was rolled out", "All is well.", "web-1", f"tcp://127.0.0.1:{world.coordinators[0].router}")


def test_applied(world):
    """a change is one line at info, and status tells the revision and since when"""
    state, revision, rollout = roll(world, "good")
    equal(state, "completed", "state")
    contains(wait_status(world, 0, f"applied, runs revision {revision}, for", "the check passes"), "All is well.")
    lines = list(log_lines(world.one, "applied"))
    equal([(l["scope"], l["revision"], l["was"], l["rollout"]) for l in lines], [(SCOPE, str(revision), "0", rollout)], "lines about the change")
    check(int(lines[0]["took_ms"]) < 60000, f"time it took: {lines}")
    equal(list(log_lines(world.one, "step")) + list(log_lines(world.one, "saved")), [], "steps of the protocol at info")


def test_refused(world):
    """a refusal is told with its step and words; the server is well all the same"""
    state, revision, rollout = roll(world, "refused")
    equal(state, "aborted", "state")
    contains(wait_status(world, 0, f"did not take revision {revision} at validate"), "refused", "All is well.")
    line = next(log_lines(world.one, "refused: what runs stays"))
    equal((line["revision"], line["rollout"], line["at"]), (str(revision), rollout, "validate"), "the line")


def test_failed(world):
    """what failed, at which step, in the check's own words; the line says what runs again"""
    before = json.loads(status(world, 0, "-o", "json"))["scopes"][0]["revision"]
    state, revision, rollout = roll(world, "broken")
    equal(state, "rolled_back", "state")
    told = wait_status(world, 0, f"revision {revision} at check", f"runs revision {before}")
    contains(told, f"{world.files}/value:broken")
    line = next(log_lines(world.one, "not applied: what ran before runs again"))
    equal((line["revision"], line["runs"], line["at"], line["rollout"]), (str(revision), str(before), "check", rollout), "the line")


def test_check_and_drift(world):
    """a check that fails between rollouts, and a file that somebody changed: exit status 1, each with its words"""
    roll(world, "again good")
    wait_status(world, 0, "the check passes")
    write(f"{world.files}/value", "broken by hand\n")
    contains(wait_status(world, 1, "the check fails", "drifted:"), "broken by hand", f"Not well: {SCOPE}: the check fails; {SCOPE} drifted.")
    scope = json.loads(status(world, 1, "--output", "json"))["scopes"][0]
    equal((scope["drifted"], scope["check_failing"], scope["reason"]), (True, True, None), "in JSON")
    contains(scope["drift_detail"], "value")
    write(f"{world.files}/value", "again good")
    wait_status(world, 0, "All is well.")


def test_alone(world):
    """without a coordinator: since when, and why; its refusals are no line each"""
    world.coordinators[0].process.stop()
    contains(wait_status(world, 1, "the last word came"), "what runs here stays", "Not well: no coordinator is heard.")
    world.coordinators[0].start()
    wait_status(world, 0, "connected for", "All is well.")


def test_outage(world):
    """while nobody leads the coordinator says so again and again: that is a line, and one how often, at the latest after a minute"""
    lines = lambda: list(log_lines(world.one, "rejected by a coordinator"))
    before = len(lines())
    world.postgres.stop_at_once()
    wait_until(lambda: len(lines()) > before, "it is told")
    until = time.monotonic() + 6  # it asks again each second or two
    wait_until(lambda: time.monotonic() > until, "a few times more")
    world.postgres.start()
    wait_status(world, 0, "connected for")
    equal([(line["reason"].split(",")[0], "again" in line) for line in lines()[before:]], [("not_leader", False), ("not_leader", True)], f"lines that it is rejected: {lines()}")


def test_after_a_restart(world):
    """what was refused before the agent started is told after it, too"""
    state, revision, _ = roll(world, "refused once more")
    equal(state, "aborted", "state")
    world.one.process.stop()
    world.one.start()
    told = wait_status(world, 0, "at validate, before the agent started: ")
    contains(told, "refused once more")


def test_nobody_there(world):
    """no agent: 3 and a sentence, whether it never ran or was killed; what is mistyped: 2"""
    world.one.kill()
    for socket, words in ((None, "nobody listens on"), (f"{world.folder}/none.sock", "there is no")):
        done = world.one.run("status", *(["--socket", socket] if socket else []))
        equal((done.returncode, done.stdout), (3, ""), f"exit status: {done.stderr}")
        contains(done.stderr, words, "no agent runs here")
    for words in (["-o", "yaml"], ["more"]):
        equal(world.one.run("status", *words).returncode, 2, f"exit status of {words}")
    done = subprocess.run([f"{BUILD}/lockstep-agent", "--config", "/nowhere.ini", "status"], capture_output=True, text=True, check=False)
    equal(done.returncode, 9, f"without settings: {done.stderr}")
    contains(done.stderr, "/nowhere.ini", "--socket FILE")
    world.one.start()
    wait_status(world, 0, "All is well.")


def test_other_users(world):
    """a user whom the socket is closed to: 5 and what helps"""
    need_root("asking as another user")
    socket = f"{world.one.folder}/state.public/agent.sock"
    for place in (world.folder, world.one.folder):
        os.chmod(place, 0o711)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"{BUILD}/lockstep-agent", "status", "--socket", socket],
                          capture_output=True, text=True, check=False)
    equal((done.returncode, done.stdout), (5, ""), f"exit status: {done.stderr}")
    contains(done.stderr, socket, "[local] mode and group")


def test_two_agents_one_key(world):
    """a copied key: both agents say so in words, and what helps; both are put aside from here on"""
    copy = Agent(world, "copy", [SCOPE])
    copy.write_settings()
    shutil.copy(f"{world.one.folder}/agent.key", f"{copy.folder}/agent.key")
    world.agents["copy"] = copy
    copy.start()
    wait_status(world, 1, "clone: another agent runs with a copy of this server's key", "Not well: no coordinator is heard.")
    for agent in (world.one, copy):
        wait_until(lambda: any(line["reason"].startswith("clone: another agent") for line in log_lines(agent, "rejected by a coordinator")),
                   lambda: f"{agent.name} says so: {agent.process.log_text()}")
    listed = world.cli("server", "list")
    contains(listed.stdout, "clone")
    contains(listed.stderr, "two agents answer with the key of web-1")
