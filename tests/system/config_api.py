"""config_api.py - the configuration service: looking keys up, going back, waiting for changes."""
import threading
import time
import urllib.parse

from kit import Agent, World, check, contains, equal, wait_until
from api import change, completed, pointers, problem, put


def setup():
    return World("config").start(coordinators=2)


def search(world, **query):
    return world.ok("GET", "/config/search?" + urllib.parse.urlencode(query))


def test_batch(world):
    """several keys in one request: what is there, what is missing, released values only"""
    completed(world, "batch/prod", **{"a": 1, "b": "two", "gone": 1})
    world.ok("POST", "/config/batch/prod", {"set": {"draft": 1}, "delete": ["gone"]})
    answer = world.ok("POST", "/config/batch", {"service_name": "batch", "environment": "production",
                                                "config_keys": ["b", "nosuch", "a", "draft", "gone", "a"]})
    equal([(c["config_key"], c["config_value"], c["value_type"]) for c in answer["configs"]],
          [("b", "two", "string"), ("a", "1", "number"), ("gone", "1", "number")], "found, in the order asked")
    equal(answer["missing"], ["nosuch", "draft"], "missing")
    ask = lambda **body: world.api("POST", "/config/batch", body)
    problem(ask(service_name="nosuch", environment="prod", config_keys=["a"]), 404, "unknown_scope")
    wrong = ask(service_name="a/b", environment="prod';--", config_keys="a", more=1)
    equal(pointers(problem(wrong, 422)), ["/config_keys", "/environment", "/more", "/service_name"], "what is wrong")
    problem(ask(service_name="batch", environment="prod", config_keys=[1]), 422)
    problem(ask(service_name="batch", environment="prod", config_keys=["k"] * 1001), 422, None, "1000")


def test_search(world):
    """globs over keys, services and environments; only what exists; pages; nothing means more than it says"""
    for scope in ("find-a/prod", "find-b/prod", "find-b/staging"):
        world.set(scope, {"db.url": "x", "db.pool": 1, "cache/100%_on": True, "dbXurl": "y"})
    world.ok("DELETE", "/config/find-a/prod/db.pool")
    found = lambda **q: [(c["service_name"], c["environment"], c["config_key"]) for c in search(world, **q)["configs"]]
    equal(found(key="db.*", service="find-*", environment="prod", revision="head"),
          [("find-a", "prod", "db.url"), ("find-b", "prod", "db.pool"), ("find-b", "prod", "db.url")], "glob")
    equal(found(key="db?url", service="find-a", revision="head"), [("find-a", "prod", "db.url"), ("find-a", "prod", "dbXurl")], "?")
    equal(found(key="*%_on", service="find-b", environment="production", revision="head"), [("find-b", "prod", "cache/100%_on")], "LIKE's own signs")
    equal(found(key="db_url", service="find-b", revision="head"), [], "an underscore is an underscore")
    for hostile in ("'; DROP TABLE scope; --", "../../etc/passwd", "\\", "%", "_", "a\\%"):
        equal(found(key=hostile, revision="head"), [], f"key {hostile!r}")
        equal(found(service=hostile), [], f"service {hostile!r}")
    equal(found(service="find-a"), [], "drafts are not released")
    seen, cursor = [], {}
    while True:
        page = search(world, service="find-*", revision="head", limit=2, **cursor)
        seen += [(c["service_name"], c["environment"], c["config_key"]) for c in page["configs"]]
        if not page["next"]:
            break
        cursor = {"cursor": page["next"]}
    equal(len(seen), 11, "all of them")
    equal(seen, sorted(set(seen)), "each once, ascending")
    problem(world.api("GET", "/config/search?cursor=abc"), 422)
    problem(world.api("GET", "/config/search?revision=3"), 422)
    problem(world.api("GET", "/config/search?colour=red"), 422)


def test_key_rollback(world):
    """a key goes back to a version by a new one; types and descriptions come along"""
    for value in ("one", "two", 3):
        put(world, "back/prod/k", value, value_type="number" if value == 3 else "string", description=f"d{value}")
    world.ok("DELETE", "/config/back/prod/k")
    at = lambda body, key="k": world.api("POST", f"/config/back/prod/{key}/rollback", body)
    back = at({"target_version": 1, "change_description": "it was better"})
    equal((back.status, back["version"], back["changed"]), (200, 5, True), "a new version")
    equal((back["previous_version"], back["rolled_back_to"], back["config_value"], back["value_type"], back["description"]),
          (4, 1, "one", "string", "done"), "its content")
    check(back["updated_at"].endswith("Z"), f"updated_at: {back}")
    history = world.ok("GET", "/config/back/prod/k/history")["versions"]
    equal([(v["version"], v["config_value"]) for v in history], [(5, "one"), (4, None), (3, "3"), (2, "two"), (1, "one")], "history is complete")
    equal(history[0]["change_description"], "it was better", "why")
    again = at({"target_version": 1})
    equal((again.status, again["changed"], again["version"]), (200, False, 5), "the same again")
    problem(at({"target_version": 4}), 409, "version_deleted")
    problem(at({"target_version": 9}), 404, "unknown_version")
    problem(at({"target_version": 1}, "never"), 404, "unknown_version")
    problem(at({"target_version": 0}), 422)
    problem(at({}), 422, None, "target_version")
    equal(problem(at({"target_version": 2, "expected_version": 4}), 409, "version_conflict")["current_version"], 5, "the current one")


def test_authors(world):
    """whoever goes back is the author of what is written, whatever the description says; drafts keep theirs"""
    mallory = world.ok("POST", "/tokens", {"name": "mallory", "grants": [{"role": "editor", "environment": "*"}]})["token"]
    author = lambda key: [v["created_by"] for v in world.ok("GET", f"/config/whose/prod/{key}/history")["versions"]]
    completed(world, "whose/prod", **{"a": "1", "b": "1"})
    for words in ("drafts put back", "drafts set aside", "anything"):
        world.ok("POST", "/config/whose/prod", {"set": {"a": words}})
        world.ok("POST", "/config/whose/prod/rollback", {"target_revision": 1, "change_description": words}, token=mallory)
        equal(author("a")[:2], ["mallory", "tests"], f"{words!r}: who went back")
    world.ok("POST", "/config/whose/prod", {"set": {"a": "draft"}})
    world.ok("POST", "/config/whose/prod", {"set": {"b": "fix"}, "base": "released", "change_description": "drafts put back"}, token=mallory)
    equal(author("a")[:3], ["tests", "mallory", "tests"], "a draft, set aside by one, put back as the other's")
    equal(author("b")[0], "mallory", "the write itself")


def test_watch(world):
    """a long poll: at once, after a release through another coordinator, at its time-out, with an unknown base"""
    def watch(since, timeout=20, via=0):
        return world.coordinators[via].api("GET", f"/watch/watched/prod?since={since}&timeout={timeout}", timeout=60)
    problem(watch(0), 404, "unknown_scope")
    world.set("watched/prod", {"a": {"config_value": "1.50", "value_type": "number"}, "b": "x"})
    began = time.monotonic()
    quiet = watch(0, 1)
    equal((quiet.status, quiet["has_changes"], quiet["changes"], quiet["latest_version"]), (200, False, [], 0), "a draft is no release")
    check(time.monotonic() - began >= 0.9, "it waited")
    answers, threads = {}, []
    for n in range(20):
        threads.append(threading.Thread(target=lambda n=n: answers.update({n: watch(0, 60, n % 2)})))
        threads[-1].start()
    world.wait_state(world.start_rollout("watched/prod", "all-at-once"), "completed")
    for t in threads:
        t.join(60)
    equal(len(answers), 20, "everybody got an answer")
    for a in answers.values():
        equal((a["has_changes"], a["reset"], a["latest_version"]), (True, False, 1), "released")
        contains(a.raw.decode(), '"value":1.50')
        equal([(c["key"], c["value"], c["version"]) for c in a["changes"]], [("a", 1.5, 1), ("b", "x", 1)], "typed values")
    world.ok("POST", "/config/watched/prod", {"set": {"c": {"config_value": {"n": [1]}}}, "delete": ["a"]})
    world.wait_state(world.start_rollout("watched/prod", "all-at-once"), "completed")
    later = watch(1)
    equal(later["changes"], [{"key": "a", "deleted": True}, {"key": "c", "value": {"n": [1]}, "value_type": "json", "version": 1}], "since 1")
    equal(watch(2, 0)["has_changes"], False, "no patience")
    reset = watch(99)
    equal((reset["reset"], [c["key"] for c in reset["changes"]], reset["latest_version"]), (True, ["b", "c"], 2), "unknown since")
    problem(watch("x"), 422)
    problem(watch(0, 301), 422)
    problem(watch(-1), 422)


def test_server(world):
    """what a server should run: the released revision, or the stage's while it is activated"""
    completed(world, "should/prod", k="1")
    for name in ("should-1", "should-2"):
        Agent(world, name, scopes=["should/prod"]).enroll().start()
    world.wait_agents("should/prod", 2)
    at = lambda name: world.api("GET", f"/config/should/prod/k?server={name}")
    equal([at(n)["config_value"] for n in ("should-1", "should-2")], ["1", "1"], "released")
    world.set("should/prod", {"k": "2"})
    rollout = world.ok("POST", "/rollouts", {"changes": [change("should/prod")], "strategy": {"stages": [{"count": 1, "hold": True}, {"percent": 100}]}})["id"]
    wait_until(lambda: sorted(at(n)["config_value"] for n in ("should-1", "should-2")) == ["1", "2"], "one of them should run the new value")
    canary = next(s["server"] for s in world.ok("GET", f"/rollouts/{rollout}/servers?stage=0")["servers"])
    equal((at(canary)["revision"], world.ok("GET", f"/config/should/prod?server={canary}&format=json")), (2, {"k": "2"}), "the canary")
    world.ok("POST", f"/rollouts/{rollout}/rollback", {"reason": "enough"})
    world.wait_state(rollout, "rolled_back")
    equal(at(canary)["config_value"], "1", "taken back")
    problem(at("nosuch"), 404, "unknown_server")
    completed(world, "other/prod", k="1")
    problem(world.api("GET", "/config/other/prod?server=should-1"), 404, "server_not_in_scope")
    problem(world.api("GET", "/config/other/prod?server=should-1&revision=1"), 422)
    for a in world.agents.values():
        a.process.stop()


def test_names(world):
    """metacharacters of SQL and paths in every name are data or refused, never more"""
    for name in ("a'b", "a;b", "..", "%2e%2e", "a%2fb", "A", "%25", "a%20b", "-a", "_a", "%C3%A4", "a" * 101):
        for path in (f"/config/{name}/prod/k", f"/config/ok/{name}/k", f"/config/{name}/prod", f"/watch/{name}/prod", f"/revisions/ok/{name}"):
            answer = world.api("GET", path)
            check(answer.status in (404, 422), f"{path}: {answer}")
    for key in ("';--", "..", "%", "a/b", "$1", "${x}", "\\", "\"", "<b>", "key with blank", "\u00e4\u20ac", "*", "search", "rollback", "history"):
        path = f"/config/odd/prod/{urllib.parse.quote(key, safe='')}"
        equal(put(world, path.removeprefix("/config/"), "v").status, 201, f"key {key!r}")
        equal(world.ok("GET", path + "?revision=head")["config_key"], key, "read back")
        equal(world.ok("GET", path + "/history")["config_key"], key, "history")
        batch = world.ok("POST", "/config/batch", {"service_name": "odd", "environment": "prod", "config_keys": [key]})
        equal(batch["missing"], [key], "in a batch: not released")
    equal(len(search(world, service="odd", revision="head", limit=500)["configs"]), 15, "all of them")


def test_idempotency(world):
    """an Idempotency-Key: once, however often it is sent; another body is refused; secrets are not kept"""
    def post(key, value, path="/config/once/prod", via=0, **more):
        return world.coordinators[via].api("POST", path, {"set": {"k": value}} if value else more, headers={"Idempotency-Key": key})
    first = post("a", "1")
    equal(first.status, 201, "the first")
    again = post("a", "1", via=1)
    equal((again.status, again.body, again.headers["Location"]), (201, first.body, first.headers["Location"]), "the same answer, elsewhere")
    equal((first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]), (None, "true"), "it says so")
    problem(post("a", "2"), 422, "idempotency_mismatch")
    problem(post("a", "1", "/config/twice/prod"), 422, "idempotency_mismatch")
    for key in ("", "x" * 256, "\u00e4"):
        problem(world.api("POST", "/config/once/prod", {"set": {"k": "9"}}, headers={"Idempotency-Key": key.encode()}), 422, "invalid", "Idempotency-Key")
    problem(post("b", None, set={"k": {"config_value": "x", "value_type": "number"}}), 422)
    equal(post("b", "3")["revision"], 2, "a refused one leaves the key free")
    answers = []
    threads = [threading.Thread(target=lambda n=n: answers.append(post("c", "4", via=n % 2))) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    statuses = sorted(a.status for a in answers)
    check(len(answers) == 16 and statuses[0] == 201 and set(statuses) <= {201, 409}, f"answers: {statuses}")
    equal(len({a.raw for a in answers if a.status == 201}), 1, "all the same")
    equal(world.ok("GET", "/config/once/prod/k?revision=head")["version"], 3, "written once")
    world.postgres.sql("UPDATE claim SET status = NULL, body = NULL WHERE key = 'a'")
    problem(post("a", "1"), 409, "idempotency_answer_lost")
    world.postgres.sql("UPDATE claim SET is_done = false WHERE key = 'a'")
    equal(post("a", "1")["revision"], 4, "nothing was committed: it is run")
    rollout = {"changes": [change("once/prod")], "strategy": "all-at-once"}
    made = [world.api("POST", "/rollouts", rollout, headers={"Idempotency-Key": "r"}) for _ in range(2)]
    equal((made[0].status, made[0]["id"]), (201, made[1]["id"]), "one rollout")
    token = {"name": "idem", "grants": [{"role": "viewer", "environment": "*"}]}
    made = [world.api("POST", "/tokens", token, headers={"Idempotency-Key": "t"}) for _ in range(2)]
    equal(made[0].status, 201, f"a token: {made[0]}")
    problem(made[1], 409, "idempotency_answer_lost")
    equal(world.postgres.sql("SELECT count(*) FROM claim WHERE encode(coalesce(body, ''), 'escape') LIKE '%lst\\_%'"), [["0"]], "no secret is kept")
    equal(world.postgres.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), [["0"]], "no key is held")
