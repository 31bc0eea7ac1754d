"""crash.py - kill -9 at 30 random moments of rollouts with many agents; then everybody must agree.

The seed is printed; SEED=n runs the same choices again (the moments are as exact as the machine is).
CRASH_AGENTS=n takes so many agents: 50 of them keep two cores busy for ten minutes, so the everyday
run has fewer. What is killed, when, and how rollouts end is drawn in the same way for any number.
"""
import http.client
import os
import random
import time

import judge
from kit import Agent, Failed, World, check, equal, read, wait_until, write

RUNS = "first"
SCOPE = "demo/prod"
AGENTS = int(os.environ.get("CRASH_AGENTS", "16"))
MOMENTS = int(os.environ.get("CRASH_MOMENTS", "30"))

# What a rollout of this test may be like: a value, a strategy, and how it may end. Members that are
# silent when a stage is decided are waited for, so that only a bad value or the operator turns it.
# A busy machine may take its time: nobody is late here.
PATIENT = {"ready_timeout": "5m", "apply_timeout": "5m"}
STAGES = [{"count": 1, "bake": "200ms", **PATIENT}, {"percent": 30, "bake": "200ms", **PATIENT}, {"percent": 100, **PATIENT}]
KINDS = {
    "good": ({"stages": STAGES, "unreachable": "wait"}, {"completed"}),
    "skipping": ({"stages": STAGES, "unreachable": "skip"}, {"completed", "rolled_back", "aborted"}),
    "refused": ({"stages": [{"percent": 100, **PATIENT}], "unreachable": "wait"}, {"aborted"}),
    "unhealthy": ({"stages": STAGES, "unreachable": "wait"}, {"rolled_back"}),
    "recalled": ({"stages": [*STAGES[:2], {"percent": 100, "hold": True, **PATIENT}], "unreachable": "wait"}, {"rolled_back", "aborted"}),
}


def setup():
    world = World("crash", lease="2s")
    world.seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    world.random = random.Random(world.seed)
    print(f"     seed {world.seed}")
    world.start(coordinators=2)
    world.set(SCOPE, {"value": "first"})
    for i in range(AGENTS):
        name = f"server-{i + 1}"
        target = f"{world.folder}/{name}/value.conf"
        Agent(world, name, [SCOPE], labels=f"zone={'abc'[i % 3]}", scope_settings=f"""file = value -> {target} optional
validate = ! grep -q refused {{file}}
check = ! grep -q unhealthy {target}
check_attempts = 1
check_interval = 10s
""").enroll().start()
    world.wait_agents(SCOPE, AGENTS)
    world.kinds = ["good"] + world.random.sample([k for k in KINDS if k != "good"], len(KINDS) - 1)
    world.moments, world.kills, world.rollouts = 0, 0, {}
    return world


def victim(world):
    """A coordinator three times in ten, else an agent."""
    up = [c for c in world.coordinators if c.process.is_running()]
    if up and world.random.random() < 0.3:
        return world.leader() or up[0]
    return world.random.choice(list(world.agents.values()))


def kill_some(world):
    """At a random moment: kill one to three processes; start them again a random while later."""
    time.sleep(world.random.uniform(0, 0.6))
    down = []
    world.moments += 1
    for _ in range(world.random.choice([1, 1, 2, 3])):
        one = victim(world)
        if one.process.is_running():
            one.process.kill()
            down.append(one.process)
            world.kills += 1
    time.sleep(world.random.uniform(0, 0.8))
    for process in down:
        process.start()


def send(world, method, path, body=None):
    """A request that is repeated until somebody answers it: coordinators die here."""
    def ask():
        try:
            answer = world.api(method, path, body)
        except (OSError, StopIteration, http.client.HTTPException):
            return None
        return answer if answer.status < 500 else None
    return wait_until(ask, f"an answer to {method} {path}")


def one_rollout(world, number):
    kind = world.kinds[number] if number < len(world.kinds) else world.random.choice(world.kinds)
    strategy, endings = KINDS[kind]
    send(world, "POST", f"/config/{SCOPE}", {"set": {"value": f"{kind} {number}"}})
    answer = send(world, "POST", "/rollouts", {"changes": [{"service": "demo", "environment": "prod"}], "strategy": strategy, "note": kind})
    if answer.status == 409:  # created by a request whose answer was lost
        answer = send(world, "GET", "/rollouts?state=open")
        rollout = answer["rollouts"][0]["id"]
    else:
        equal(answer.status, 201, f"start of a rollout: {answer}")
        rollout = answer["id"]
    world.rollouts[rollout] = (kind, endings)
    for _ in range(world.random.randrange(1, 4)):
        if world.moments < MOMENTS:
            kill_some(world)
    if kind == "recalled":
        wait_until(lambda: send(world, "POST", f"/rollouts/{rollout}/rollback", {"reason": "recalled"}).status in (200, 409), "rollback")
    ended = lambda: send(world, "GET", f"/rollouts/{rollout}")["state"] in ("completed", "aborted", "rolled_back", "failed")
    wait_until(ended, lambda: f"rollout {rollout} ({kind}) ends: {send(world, 'GET', f'/rollouts/{rollout}').raw.decode()}", 120)


def test_killed(world):
    """coordinators and agents are killed at random moments; every rollout ends as it may"""
    number = 0
    while world.moments < MOMENTS:
        one_rollout(world, number)
        number += 1
    one_rollout(world, number)
    for rollout, (kind, endings) in world.rollouts.items():
        state = world.rollout(rollout)["state"]
        why = {s["server"]: s["reason"] for s in world.servers_of(rollout).values() if s["reason"]}
        check(state in endings, f"rollout {rollout} ({kind}) ended {state}, allowed: {endings}; seed {world.seed}: {why}")
    print(f"     {world.kills} kills at {world.moments} moments in {len(world.rollouts)} rollouts")


def recorded(world):
    """server: (obeyed, hash, outcome) as the database has it."""
    return {r["name"]: (r["obeyed"], r["hash"] or "", r["outcome"]) for r in world.postgres.json(
        "SELECT name, obeyed, encode(hash, 'hex') AS hash, outcome FROM server_scope JOIN server USING (server_id)")}


def held(agent):
    """The same as its LMDB has it."""
    scope = agent.dump()["scopes"][SCOPE]
    return scope["obeyed"], scope["active"]["hash"], scope["outcome"]


def released(world):
    """The hash of the content everybody is meant to run."""
    return world.postgres.sql("SELECT encode(hash, 'hex') FROM revision JOIN scope USING (scope_id) WHERE revision = released")[0][0]


def test_agree(world):
    """the database, every agent's LMDB and every rendered file agree, and the outboxes are empty"""
    for one in [*world.coordinators, *world.agents.values()]:
        if not one.process.is_running():
            one.process.start()

    def differences():
        database, content = recorded(world), released(world)
        found = {n: (database.get(n), held(a)) for n, a in world.agents.items()}
        return {n: f for n, f in found.items() if f[0] != f[1] or f[1][1] != content}
    wait_until(lambda: not differences(), lambda: f"database and agents agree: {differences()}, released is {released(world)}; seed {world.seed}", 90)
    wait_until(lambda: not any(a.dump()["outbox"] for a in world.agents.values()), "the outboxes are empty", 90)
    value = world.ok("GET", f"/config/{SCOPE}/value")["config_value"]
    for name, agent in world.agents.items():
        equal(read(f"{agent.folder}/value.conf"), value, f"file of {name}")


def test_acks(world):
    """no acknowledgement is lost or invented: what agents made durable and what members say is the same"""
    judge.acks(world)


def test_audit(world):
    """the audit trail and the tables keep S1, S2, S6, S10 … S14, and the trail its chain"""
    judge.tables(world)
    judge.trail(world)


# What a broken coordinator or agent would leave behind, and the words that must name it.
FORGERIES = {
    "the chain of the audit trail": "UPDATE audit SET actor = 'nobody' WHERE number = (SELECT max(number) / 2 FROM audit)",
    "S14: event numbers": "DELETE FROM audit WHERE number = (SELECT max(number) / 2 FROM audit)",
    "S14: head of the audit trail": "DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)",
    "S14": "UPDATE audit SET data = data || '{\"to\":\"aborting\"}' WHERE number = (SELECT min(number) FROM audit WHERE data->>'to' = 'baking')",
    "S14: phase before": "UPDATE audit SET action = 'rollout.pause' WHERE number = (SELECT max(number) FROM audit WHERE action = 'rollout.decide')",
    "S1": "UPDATE attempt SET outcome = 'abort' WHERE number = (SELECT min(number) FROM attempt WHERE outcome = 'activate')",
    "S2": "UPDATE decision_scope SET hash = (SELECT hash FROM document WHERE hash <> decision_scope.hash LIMIT 1)"
          " WHERE dseq = (SELECT max(dseq) FROM decision WHERE kind = 'finalize')",
    "S3, S5": "UPDATE member SET ready_at = now(), applied_at = now(), state = 'applied'"
              " WHERE rollout_id IN (SELECT rollout_id FROM rollout WHERE state = 'aborted')",
    "S5": "UPDATE member SET applied_at = NULL, state = 'pending' WHERE rollout_id = (SELECT max(rollout_id) FROM rollout WHERE state = 'completed')",
    "S10": "UPDATE member SET stage = 31 WHERE rollout_id = (SELECT max(rollout_id) FROM rollout WHERE state = 'completed')",
    "S11": "UPDATE audit SET data = data || '{\"stage\":0}' WHERE number = (SELECT max(a.number) FROM audit a WHERE data->>'to' = 'baking'"
           " AND data->>'stage' = '1' AND EXISTS (SELECT 1 FROM audit b WHERE b.rollout_id = a.rollout_id AND b.number > a.number"
           " AND b.action = 'rollout.attempt' AND b.data->>'stage' = '2'))",
    "S13": "UPDATE audit SET data = data || '{\"approvals_needed\":1}' WHERE action = 'rollout.create' AND rollout_id ="
           " (SELECT max(rollout_id) FROM audit WHERE action = 'rollout.attempt')",
    "the chain": "UPDATE audit SET actor = 'nobody' WHERE number = (SELECT max(number) / 2 FROM audit)",
    "S15": "UPDATE audit SET data = data || '{\"epoch\":0}' WHERE number = (SELECT max(number) FROM audit WHERE action = 'rollout.end')",
}


def test_judge(world):
    """the judge notices: forged copies of this database are each found out, in so many words"""
    for one in [*world.coordinators, *world.agents.values()]:  # nothing is asked of them any more
        one.process.stop()
    original = world.postgres.name
    for words, forgery in FORGERIES.items():
        world.postgres.sql(f"CREATE DATABASE forged TEMPLATE {original}", "postgres")
        world.postgres.name = "forged"
        try:
            world.postgres.sql(f"SET session_replication_role = replica; {forgery}")  # the guards of the trail look away
            found = verdict(world, words)
        finally:
            world.postgres.name = original
        world.postgres.sql("DROP DATABASE forged", "postgres")
        check(found and found[-1].startswith(words), f"{words} is not noticed after {forgery}; the judge said {found}")


def verdict(world, words):
    """What the parts of the judge have against this world, until one of them says these words."""
    found = []
    for part in (judge.tables, judge.trail, judge.acks):
        try:
            part(world)
        except Failed as sentence:
            found.append(str(sentence))
        if found and found[-1].startswith(words):
            break
    return found
