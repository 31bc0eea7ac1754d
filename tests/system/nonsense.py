"""nonsense.py - a coordinator starts from rows that make no sense, and from full tables: it never aborts, and says what is wrong."""
import contextlib
import http.client
import json
import time

from kit import Agent, World, check, contains, equal, wait_until

BROKEN = "it leads again and the nonsense is ended"
CONSTRAINTS = ("ALTER TABLE rollout DROP CONSTRAINT rollout_phase_check; ALTER TABLE rollout DROP CONSTRAINT rollout_stage_count_check;"
               "ALTER TABLE decision DROP CONSTRAINT decision_kind_check; ALTER TABLE decision DROP CONSTRAINT decision_check;"
               "ALTER TABLE command DROP CONSTRAINT command_action_check;")
STRATEGY = {"stages": [{"percent": 50, "hold": True}, {"percent": 100}]}

# What is done to the row of an opened rollout (of its own scope), and a word that its reason then has.
OPENED = {
    "phase": ("UPDATE rollout SET phase = 'dreaming' WHERE rollout_id = {id}", "dreaming"),
    "final": ("UPDATE rollout SET phase = 'completed' WHERE rollout_id = {id}", "final"),
    "stage": ("UPDATE rollout SET stage = 2147483647 WHERE rollout_id = {id}", "stage"),
    "negative": ("UPDATE rollout SET stage = -1 WHERE rollout_id = {id}", "stage"),
    "attempt": ("UPDATE rollout SET attempt = 0, attempt_number = 0 WHERE rollout_id = {id}", "attempt"),
    "huge": ("UPDATE rollout SET attempt_number = 9223372036854775807 WHERE rollout_id = {id}", ""),
    "aborting": ("UPDATE rollout SET phase = 'aborting' WHERE rollout_id = {id}", "aborting"),
    "undecided": ("UPDATE rollout SET phase = 'rolling_back', state = 'rolling_back' WHERE rollout_id = {id}", "decision"),
    "member": ("UPDATE member SET stage = 99 WHERE rollout_id = {id}", "member"),
    "scopeless": ("DELETE FROM rollout_change WHERE rollout_id = {id}", "scope"),
    "hash": ("UPDATE rollout_change SET to_hash = '\\x00' WHERE rollout_id = {id}", ""),
    "bytes": ("UPDATE decision SET body = '\\xdeadbeef' WHERE rollout_id = {id}", "decision"),
    "kind": ("UPDATE decision SET kind = 'perhaps' WHERE rollout_id = {id}", "decision"),
}


def setup():
    world = World("nonsense").start()
    Agent(world, "server-1", scopes=[f"{name}/prod" for name in OPENED]).enroll().start()
    Agent(world, "server-2", scopes=[f"{name}/prod" for name in OPENED]).enroll().start()
    for name in OPENED:
        world.set(f"{name}/prod", {"v": "1"})
        world.wait_agents(f"{name}/prod", 2)
    return world


def readyz(world):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return world.coordinators[0].api("GET", "/readyz", raw_path=True).body or {}
    return {}


def id_of(world, public_id):
    return int(world.postgres.sql(f"SELECT rollout_id FROM rollout WHERE public_id = '{public_id}'")[0][0])


def lives_and_leads(world):
    coordinator = world.coordinators[0]
    wait_until(lambda: coordinator.process.is_running() and coordinator.is_ready(), BROKEN, 60)
    for word in ("invariant broken", "Assertion"):
        check(word not in coordinator.process.log_text(), f"{word} in the log")


def test_rows_without_sense(world):
    """every kind of nonsense in the rows of open rollouts at once: it leads, serves, ends each with a reason, and servers go back"""
    coordinator, opened = world.coordinators[0], {}
    for name in OPENED:
        world.set(f"{name}/prod", {"v": "2"})
        opened[name] = world.start_rollout(f"{name}/prod", STRATEGY)
    for rollout in opened.values():
        wait_until(lambda r=rollout: world.rollout(r)["phase"] == "baking", "it bakes", 60)
    ids = {name: id_of(world, rollout) for name, rollout in opened.items()}
    coordinator.process.stop()
    world.postgres.sql(CONSTRAINTS)
    for name, (statement, _) in OPENED.items():
        world.postgres.sql(statement.format(id=ids[name]))
    world.postgres.sql("INSERT INTO rollout (public_id, stage_count, salt, strategy, created_by)"
                       " VALUES ('nostrategy', 1, 'salt', '[1, 2]', 'ann'), ('noscope', 1, 'salt', '{\"stages\": [{\"percent\": 100}]}', 'ann')")
    world.postgres.sql("INSERT INTO command (rollout_id, action, actor) SELECT rollout_id, 'fly', 'ann' FROM rollout WHERE public_id = 'noscope'")
    coordinator.start(wait=False)
    lives_and_leads(world)
    wait_until(lambda: not world.postgres.sql("SELECT 1 FROM rollout WHERE public_id LIKE 'no%' AND state = 'running'"), "those nobody opened end")
    for name, (_, word) in OPENED.items():
        if word:
            wait_until(lambda n=name: world.rollout(opened[n])["state"] in ("failed", "aborted", "rolled_back"), f"{name} ends", 60)
            reason = world.postgres.sql(f"SELECT reason FROM rollout WHERE rollout_id = {ids[name]}")[0][0]
            contains(reason, "cannot be read", word)
    world.set("late/prod", {"v": "1"})
    check(coordinator.process.is_running(), "it lives on")


def test_an_end_that_the_database_refuses(world):
    """a rollout that cannot be read, and whose end is refused: it is left out with its reason, and the others are led"""
    coordinator = world.coordinators[0]
    world.set("attempt/prod", {"v": "4"})
    rollout = world.start_rollout("attempt/prod", STRATEGY)
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it bakes", 60)
    coordinator.process.stop()
    world.postgres.sql(f"UPDATE rollout SET stage = -1 WHERE public_id = '{rollout}'")
    world.postgres.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not this'; END$$;"
                       f"CREATE TRIGGER refuses BEFORE UPDATE OF state ON rollout FOR EACH ROW WHEN (OLD.public_id = '{rollout}') EXECUTE FUNCTION refuse()")
    coordinator.start(wait=False)
    lives_and_leads(world)
    contains(world.postgres.sql(f"SELECT state || ' ' || reason FROM rollout WHERE public_id = '{rollout}'")[0][0], "running nobody leads it", "not this")
    world.set("final/prod", {"v": "another"})
    other = world.start_rollout("final/prod", {"stages": [{"percent": 100}]})
    wait_until(lambda: world.rollout(other)["state"] == "completed", "another one completes", 60)
    world.postgres.sql("DROP TRIGGER refuses ON rollout")
    coordinator.process.stop()
    coordinator.start()
    wait_until(lambda: world.rollout(rollout)["state"] == "failed", "once its row moves, it ends", 60)


def test_a_strategy_of_another_version(world):
    """an open rollout whose strategy this version cannot read: it gives the lease up and says so; rollback ends it, and it leads"""
    coordinator = world.coordinators[0]
    world.set("phase/prod", {"v": "3"})
    rollout = world.start_rollout("phase/prod", STRATEGY)
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it bakes", 60)
    coordinator.process.stop()
    world.postgres.sql("UPDATE rollout SET strategy = '{\"waves\": 3}' WHERE public_id = '%s'" % rollout)
    coordinator.start(wait=False)
    wait_until(lambda: rollout in json.dumps(readyz(world)), "readyz says which rollout", 30)
    contains(json.dumps(readyz(world)), "cannot be led here")
    check(coordinator.process.is_running(), "it lives")
    time.sleep(4)  # it tries again and again, and never leads without that rollout
    equal(world.postgres.sql(f"SELECT state FROM rollout WHERE public_id = '{rollout}'")[0][0], "running", "nobody led")
    equal(coordinator.api("POST", f"/rollouts/{rollout}/rollback", {}).status, 200, "the rollback of what nobody can read")
    lives_and_leads(world)
    equal(world.rollout(rollout)["state"], "failed", "its state")
    wait_until(lambda: not [a for a in world.servers_of(rollout).values() if a["state"] == "applied"], "its server goes back", 30)


def test_limits_below_what_is_open(world):
    """[limits] lowered below what is open: it does not lead without it, does not abort, and leads when the limit is raised"""
    coordinator = world.coordinators[0]
    rollouts = []
    for name in ("stage", "final"):
        world.set(f"{name}/prod", {"v": "4"})
        rollouts.append(world.start_rollout(f"{name}/prod", STRATEGY))
    for rollout in rollouts:
        wait_until(lambda r=rollout: world.rollout(r)["phase"] == "baking", "it bakes", 60)
    coordinator.process.stop()
    with open(coordinator.settings, encoding="utf-8") as f:
        before = f.read()
    with open(coordinator.settings, "w", encoding="utf-8") as f:
        f.write(before + "\n[limits]\nrollouts = 1\n")
    coordinator.start(wait=False)
    wait_until(lambda: "[limits] rollouts" in json.dumps(readyz(world)), "readyz names the limit", 30)
    check(coordinator.process.is_running(), "it lives")
    coordinator.process.stop()
    with open(coordinator.settings, "w", encoding="utf-8") as f:
        f.write(before)
    coordinator.start()
    for rollout in rollouts:
        equal(coordinator.api("POST", f"/rollouts/{rollout}/rollback", {}).status, 200, "rollback")
        world.wait_state(rollout, "rolled_back", seconds=60)
