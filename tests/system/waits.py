"""waits.py - who waits for whom: a question holds no lock, and a lock that is held for long costs nobody the leadership."""
import http.client
import threading
import time

from kit import PATIENCE, Agent, World, check, contains, equal, wait_until

SCOPE = "waits/prod"
SLOW = {"stages": [{"percent": 50, "bake": "3s"}, {"percent": 100}]}


def setup():
    world = World("waits", lease="3s").start()
    world.set(SCOPE, {"v": "1"})
    for i in range(2):
        Agent(world, f"server-{i + 1}", scopes=[SCOPE]).enroll().start()
    world.wait_agents(SCOPE, 2)
    wait_until(world.leader, "somebody leads")
    return world


def epoch(world):
    return int(world.postgres.sql("SELECT epoch FROM leader")[0][0])


def viewer(world, name):
    return world.ok("POST", "/tokens", {"name": name, "grants": [{"role": "viewer", "service": "waits", "environment": "*"}]})["token"]


def while_held(world, statement, seconds):
    """Somebody's transaction holds a row for so long."""
    thread = threading.Thread(target=world.postgres.sql, args=(f"BEGIN; {statement}; SELECT pg_sleep({seconds}); COMMIT",))
    thread.start()
    time.sleep(0.5)
    return thread


def test_a_question_holds_no_lock(world):
    """validate with a viewer's token: answered while the scope's row is held, and the row is free while it is answered"""
    token = viewer(world, "asker")
    with world.postgres.held("SELECT 1 FROM scope WHERE service = 'waits' FOR UPDATE"):
        answer = world.api("POST", f"/config/{SCOPE}/validate", {"set": {"v": "2"}}, token=token, timeout=PATIENCE)
        equal(answer.status, 200, f"the question: {answer}")
    before = world.postgres.sql("SELECT count(*) FROM config_version")
    world.api("POST", f"/config/{SCOPE}/validate", {"set": {f"k{i}": "x" * 20 for i in range(2000)}}, token=token)
    equal(world.postgres.sql("SELECT count(*) FROM config_version"), before, "versions")


def test_one_token_waits_in_one_line(world):
    """who writes a token in many ways holds no more workers than one may: somebody else is answered by the next"""
    token, coordinator = viewer(world, "speller"), world.coordinators[0]

    def ask(spelled):
        c = http.client.HTTPConnection("127.0.0.1", coordinator.http, timeout=60, source_address=("127.0.0.2", 0))
        c.request("GET", "/api/v1/whoami", headers={"Authorization": spelled + token})
        c.getresponse().read()
        c.close()

    held = while_held(world, "LOCK TABLE token IN ACCESS EXCLUSIVE MODE", 8)
    spellings = [word + " " * n for word in ("Bearer", "bearer", "BEARER", "bEARER") for n in range(1, 8)]
    threads = [threading.Thread(target=ask, args=(spelled,)) for spelled in spellings]
    for thread in threads:
        thread.start()
    time.sleep(1)
    equal(world.api("GET", "/readyz", raw_path=True, token=None, timeout=30).status, 200, "somebody else")
    check(held.is_alive(), "the others' question waits")
    for thread in [held, *threads]:
        thread.join()


def test_a_viewer_cannot_end_a_leadership(world):
    """two clients ask about 20,000 keys again and again: the rollout goes on, nobody loses the leadership"""
    token, before, is_over = viewer(world, "many"), epoch(world), threading.Event()
    body = {"set": {f"key.{i}": "value" for i in range(20000)}}

    answers = []

    def ask():
        while not is_over.is_set():
            answers.append(world.api("POST", f"/config/{SCOPE}/validate", body, token=token, timeout=2 * PATIENCE).status)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: answers, "the first is answered", 2 * PATIENCE)
        world.set(SCOPE, {"v": "3"})
        world.wait_state(world.start_rollout(SCOPE, SLOW), "completed")
        check(all(t.is_alive() for t in threads), f"they do not ask any more: {answers}")
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    equal(epoch(world), before, "the epoch")


def test_long_waits_cost_no_leadership(world):
    """the scope's row, then the head of the audit trail, held for six seconds each in the middle of a rollout: the same epoch, completed"""
    before = epoch(world)
    for n, statement in enumerate(("SELECT 1 FROM scope WHERE service = 'waits' FOR UPDATE", "SELECT 1 FROM audit_head FOR UPDATE")):
        world.set(SCOPE, {"v": f"held {n}"})
        rollout = world.start_rollout(SCOPE, SLOW)
        wait_until(lambda r=rollout: world.rollout(r)["phase"] in ("activating", "baking"), "it is on its way")
        while_held(world, statement, 6).join()
        world.wait_state(rollout, "completed")
    equal(epoch(world), before, "the epoch")


def waiting_for(world, table):
    """An API transaction of the coordinator waits for this table."""
    return world.postgres.sql("SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND application_name = 'lockstepd http'"
                              f" AND relation = '{table}'::regclass")


def test_a_plan_keeps_nobody_waiting(world):
    """every kind of write that plans a rollout waits in its plan: writes of another scope are done meanwhile, for the head of the trail is taken last"""
    for scope in ("plans/dev", "plans/prod"):
        world.set(scope, {"v": "1"})
        world.set(scope, {"v": "2", "of." + scope.split("/")[1]: "x"})
    done = world.start_rollout("plans/prod", {"stages": [{"percent": 100}]})
    world.wait_state(done, "completed")
    wait_until(lambda: not world.postgres.sql("SELECT 1 FROM rollout WHERE state = 'running'"), "all rollouts end")
    writes = (("PUT", "/config/plans/dev/v", {"config_value": "3"}), ("POST", "/config/plans/dev", {"set": {"v": "4"}}),
              ("POST", "/config/plans/dev/rollback", {"target_revision": 1}), ("PUT", "/parents/plans/dev", {"parents": ["plans/prod"]}),
              ("POST", f"/rollouts/{done}/rollback", {}))
    for n, (method, path, body) in enumerate(writes):
        answers = []
        writer = threading.Thread(target=lambda m=method, p=path, b=body, a=answers: a.append(world.api(m, p, b)))
        with world.postgres.held("LOCK TABLE server_scope IN ACCESS EXCLUSIVE MODE"):
            writer.start()
            wait_until(lambda: waiting_for(world, "server_scope") or answers, f"{path} plans")
            check(not answers, f"{path} needed no plan: {answers}")
            world.set(f"signal{n}/prod", {"v": "1"})
            check(not answers, f"a write of another scope waited for {method} {path}")
        writer.join()
        check(answers[0].status < 300, f"{method} {path}: {answers[0]}")


def test_a_way_back_names_its_cause(world):
    """a rollout that goes back says for ever which server, which stage and which figure: in its reason and in its timeline"""
    path = f"{world.folder}/cause.txt"
    settings = f"file = v -> {path}\ncheck = ! grep -q refused {path}\ncheck_attempts = 1"
    agent = Agent(world, "server-9", scopes=["cause/prod"], scope_settings=settings)
    agent.enroll().start()
    world.set("cause/prod", {"v": "1"})
    world.wait_agents("cause/prod", 1)
    world.wait_state(world.start_rollout("cause/prod", {"stages": [{"percent": 100}]}), "completed")
    world.set("cause/prod", {"v": "refused"})
    rollout = world.start_rollout("cause/prod", {"stages": [{"percent": 100}]})
    world.wait_state(rollout, "rolled_back")
    reason = world.rollout(rollout)["reason"]
    contains(reason, "went back", "stage 1 of 1", "1 of 1 servers", "max_failed allows 0", "server-9 (failed)")
    contains(str(world.ok("GET", f"/rollouts/{rollout}/events")), "server-9 (failed)")
