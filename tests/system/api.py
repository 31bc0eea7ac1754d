"""api.py - the HTTP API as scripts and clients rely on it: statuses, fields, headers, limits, streams."""
import http.client
import json
import socket
import threading

from kit import Agent, World, check, contains, equal, wait_until

ZONES = "abc"


def setup():
    return World("api").start()


def problem(answer, status, code=None, *parts):
    equal(answer.status, status, f"HTTP status of {answer}")
    contains(answer.headers.get("Content-Type", ""), "application/problem+json")
    equal(answer["status"], status, "status in the body")
    if code:
        equal(answer["code"], code, f"code of {answer}")
    contains(answer.raw.decode(), *parts)
    return answer


def pointers(answer):
    return sorted(e["pointer"] for e in answer["errors"])


def put(world, path, value, headers=None, **more):
    return world.api("PUT", f"/config/{path}", {"config_value": value, **more}, headers=headers)


def change(scope):
    service, environment = scope.split("/")
    return {"service": service, "environment": environment}


def head(world, service):
    return next(s["head"] for s in world.ok("GET", "/services")["services"] if s["service"] == service)


def completed(world, scope, **values):
    """A change that is rolled out; its rollout."""
    world.set(scope, values)
    rollout = world.start_rollout(scope, "all-at-once")
    world.wait_state(rollout, "completed")
    return rollout


def test_key(world):
    """one key: types, versions, unchanged writes, released and head, history, deletion"""
    first = put(world, "keys/production/pool", 1.50, change_description="first")
    equal(first.status, 201, "a new key")
    equal(first.headers["Location"], "/api/v1/config/keys/production/pool", "Location")
    equal([first[n] for n in ("environment", "config_value", "value_type", "version", "changed", "released", "rollout")],
          ["prod", "1.5", "number", 1, True, False, None], "a draft")
    raw = world.api("PUT", "/config/keys/prod/pool", raw_body=b'{"config_value":1.50}', headers={"Content-Type": "application/json"})
    equal((raw["config_value"], raw["version"]), ("1.50", 2), "a number keeps its written text")
    again = put(world, "keys/prod/pool", "1.50")
    equal((again.status, again["changed"], again["version"]), (200, False, 2), "the same again")
    problem(world.api("GET", "/config/keys/prod/pool"), 404, "not_found", "revision=head")
    equal(world.api("GET", "/config/keys/prod/pool?revision=1")["config_value"], "1.5", "at revision 1")
    problem(world.api("GET", "/config/keys/prod/pool?revision=9"), 404, "unknown_revision")
    problem(put(world, "keys/prod/pool", "many"), 422, "invalid", "/config_value")
    for fraction in ("1.5", 1.5, "1e3"):
        problem(put(world, "keys/prod/pool", fraction, value_type="int"), 422, "invalid", "/config_value", "whole number")
    put(world, "keys/prod/a%2Fb%20%C3%A4", {"z": [1, 2.0], "a": None})
    equal(world.api("GET", "/config/keys/prod/a%2Fb%20%C3%A4?revision=head")["config_value"], '{"a":null,"z":[1,2.0]}', "canonical JSON")
    put(world, "typed/dev/y", "k: [1, two]\n", value_type="yaml")
    equal(world.ok("GET", "/config/typed/dev?format=json"), {"y": {"k": [1, "two"]}}, "yaml is typed where documents are JSON")
    equal(world.ok("GET", "/watch/typed/dev?since=0&timeout=1")["changes"][0]["value"], {"k": [1, "two"]}, "and where changes are")
    gone = world.ok("DELETE", "/config/keys/prod/pool")
    equal(gone["success"], True, "deleted")
    problem(world.api("DELETE", "/config/keys/prod/pool"), 404)
    history = world.ok("GET", "/config/keys/prod/pool/history?limit=2")
    equal([(v["version"], v["config_value"]) for v in history["versions"]], [(3, None), (2, "1.50")], "history")
    rest = world.ok("GET", f"/config/keys/prod/pool/history?cursor={history['next']}")
    equal(([v["change_description"] for v in rest["versions"]], rest["next"]), (["first"], None), "the rest of it")


def test_preconditions(world):
    """expected_version is 409, If-Match 412; both name the version there is; If-None-Match"""
    problem(put(world, "pre/prod/k", "1", expected_version=3), 409, "version_conflict")
    equal(put(world, "pre/prod/k", "1", expected_version=0).status, 201, "absent as expected")
    equal(problem(put(world, "pre/prod/k", "2", expected_version=0), 409, "version_conflict")["current_version"], 1, "current")
    problem(put(world, "pre/prod/k", "2", {"If-Match": '"7"'}), 412, "precondition_failed")
    problem(put(world, "pre/prod/k", "2", {"If-None-Match": "*"}), 412)
    problem(put(world, "pre/prod/other", "2", {"If-Match": "*"}), 412)
    tag = world.api("GET", "/config/pre/prod/k?revision=head").headers["ETag"]
    equal(world.api("GET", "/config/pre/prod/k?revision=head", headers={"If-None-Match": tag}).status, 304, "not modified")
    equal(put(world, "pre/prod/k", "2", {"If-Match": tag})["version"], 2, "matched")
    raw = world.api("GET", "/config/pre/prod/k?revision=head&raw=1")
    equal((raw.raw, raw.headers["Content-Type"]), (b"2", "application/octet-stream"), "raw")


def test_many(world):
    """many changes are one revision or none; a dry run shows them; problems name their fields"""
    many = lambda body, query="": world.api("POST", f"/config/many/prod{query}", body)
    equal(many({"set": {"a": 1, "b.c": {"config_value": "x", "value_type": "yaml"}}})["revision"], 1, "revision")
    bad = many({"set": {"a": "x", "b.c": {"config_value": "[", "value_tipe": 1}, "d/e": None}, "delete": ["a"], "unknown": 1})
    problem(bad, 422, "invalid")
    equal(pointers(bad), ["/unknown"], "what is wrong with the whole is said first")
    bad = many({"set": {"x": {"value_tipe": 1}, "d/e": None}, "delete": ["x"]})
    equal(pointers(problem(bad, 422)), ["/delete", "/set/d~1e", "/set/x/config_value", "/set/x/value_tipe"], "pointers")
    bad = many({"set": {"a": "x", "b.c": {"config_value": "[", "value_type": "json"}}})
    equal(pointers(problem(bad, 422)), ["/set/a", "/set/b.c/config_value"], "pointers to values")
    dry = many({"set": {"a": 2}, "delete": ["b.c", "never"]}, "?dry_run=1")
    equal({c["key"]: c["change"] for c in dry["changes"]}, {"a": "changed", "b.c": "deleted", "never": "unchanged"}, "dry run")
    equal(head(world, "many"), 1, "nothing was written")
    equal(many({"set": {"a": 2}, "delete": ["b.c"]})["revision"], 2, "written")
    equal(many({"set": {"a": 2}})["changed"], False, "the same again")
    diff = world.ok("GET", "/revisions/many/prod/diff?from=1&to=2")["changes"]
    equal([(c["key"], c["old"], c["new"]) for c in diff], [("a", "1", "2"), ("b.c", "x", None)], "difference")
    back = world.api("POST", "/config/many/prod/rollback", {"target_revision": 1})
    equal((back.status, back["revision"], back["rolled_back_to"]), (201, 3, 1), "back to 1")
    equal(world.ok("GET", "/revisions/many/prod/diff?from=1&to=3")["changes"], [], "equal to 1")
    problem(world.api("POST", "/config/many/prod/rollback", {"target_revision": 9}), 404, "unknown_revision")
    listed = world.ok("GET", "/revisions/many/prod?limit=2")
    equal([(r["revision"], r["keys"]) for r in listed["revisions"]], [(3, ["a", "b.c"]), (2, ["a", "b.c"])], "revisions")


def test_formats(world):
    """the document as items, JSON, nested YAML and env; two keys that become one variable"""
    world.set("form/prod", {"db.url": "it's", "db.port": 5432, "on": True, "list": [1, "no"]})
    at = lambda f: world.api("GET", f"/config/form/prod?revision=head&format={f}")
    equal(at("json").body, {"db.url": "it's", "db.port": 5432, "on": True, "list": [1, "no"]}, "JSON")
    equal(at("yaml").raw.decode(), 'db:\n  port: 5432\n  url: "it\'s"\nlist: [1, "no"]\n"on": true\n', "YAML")
    equal(at("env").raw.decode(), "DB_PORT='5432'\nDB_URL='it'\\''s'\nLIST='[1,\"no\"]'\nON='true'\n", "env")
    problem(at("xml"), 422)
    tag = at("env").headers["ETag"]
    equal(world.api("GET", "/config/form/prod?revision=head&format=env", headers={"If-None-Match": tag}).status, 304, "not modified")
    items = world.ok("GET", "/config/form/prod?revision=head")
    equal([i["config_key"] for i in items["configs"]], ["db.port", "db.url", "list", "on"], "items")
    world.set("form/prod", {"db_url": "x"})
    problem(at("env"), 409, "env_collision", "db.url", "db_url")


def test_limits(world):
    """bodies of 17 MiB, values of 1 MiB, documents of 16 MiB: 413, and the connection goes on"""
    big = "x" * (1 << 20)
    equal(put(world, "big/prod/k", big).status, 201, "exactly 1 MiB")
    problem(put(world, "big/prod/k", big + "x"), 413, "too_large")
    problem(world.api("PUT", "/config/big/prod/k", raw_body=b"x" * (17 * (1 << 20) + 1), headers={"Content-Type": "application/json"}), 413)
    chunks = (b"x" * (1 << 20) for _ in range(18))
    problem(world.api("PUT", "/config/big/prod/k", raw_body=chunks, headers={"Content-Type": "application/json"}), 413)
    problem(world.api("POST", "/config/big/prod", {"set": {f"k{i}": big for i in range(16)}}), 413)
    equal(head(world, "big"), 1, "nothing of it was written")


def exchange(port, request):
    """Raw bytes in, the status line out."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(request)
        return s.makefile("rb").readline().decode()


def test_http(world):
    """405 with Allow, HEAD, doubled lengths, broken escapes, keep-alive after a refusal, many connections"""
    port = world.coordinators[0].http
    answer = world.api("DELETE", "/rollouts")
    problem(answer, 405, "method_not_allowed")
    equal(answer.headers["Allow"], "POST, GET, HEAD", "Allow")
    head = world.api("HEAD", "/healthz", raw_path=True)
    equal((head.status, head.raw), (200, b""), "HEAD")
    for doubled in (b"Content-Length: 2\r\nContent-Length: 3", b"Content-Length: 2\r\nTransfer-Encoding: chunked"):
        contains(exchange(port, b"POST /api/v1/rollouts HTTP/1.1\r\nHost: x\r\n" + doubled + b"\r\n\r\n{}\r\n"), "400")
    for coding in (b"gzip, chunked", b"identity", b"xchunked"):
        contains(exchange(port, b"POST /api/v1/rollouts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + coding + b"\r\n\r\n{}\r\n"), "400")
    problem(world.api("GET", "/config/a/prod/%zz"), 400)
    problem(world.api("GET", "/rollouts?limit=501"), 422, "invalid", "500")
    problem(world.api("GET", "/rollouts?colour=red"), 422, "invalid", "colour")
    problem(world.api("GET", "/rollouts?state=glad"), 422, "invalid", "glad")
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for path, status in (("/nosuch", 404), ("/api/v1/rollouts", 401), ("/healthz", 200)):
        c.request("GET", path)
        answer = c.getresponse()
        answer.read()
        equal(answer.status, status, path)
        first = c.sock
        check(first is not None, f"{path} closed the connection")
    c.close()
    for count in (128, 129, 256, 512):
        several = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(count)]
        for s in several:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        equal({s.recv(12) for s in several}, {b"HTTP/1.1 200"}, f"{count} connections at once")
        for s in several:
            s.close()


def test_metrics(world):
    """metrics in the text format, without names of servers or keys; version; readiness"""
    answer = world.api("GET", "/metrics", raw_path=True, token=None)
    equal(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8", "content type")
    contains(answer.raw.decode(), "lockstep_leading 1", "lockstep_http_answers_total{class=\"2xx\"}")
    equal(world.api("GET", "/version", raw_path=True, token=None)["name"], "lockstepd", "version")
    equal(world.api("GET", "/readyz", raw_path=True, token=None)["is_leading"], True, "readiness")


def test_automatic(world):
    """in dev a write releases itself"""
    answer = put(world, "auto/development/k", "1")
    check(answer["rollout"], f"a rollout: {answer}")
    world.wait_state(answer["rollout"], "completed")
    equal(world.ok("GET", "/config/auto/dev/k")["config_value"], "1", "the released value")


def test_plan(world):
    """the plan that is shown is what happens: the same servers in the same stages"""
    scope, body = "plan/prod", {"changes": [change("plan/prod")], "strategy": {
        "stages": [{"name": "b", "select": {"zone": "b"}}, {"percent": 60}, {"percent": 100}], "unreachable": "wait"}}
    world.set(scope, {"k": "1"})
    for i in range(9):
        Agent(world, f"plan-{i}", scopes=[scope], labels=f"zone={ZONES[i % 3]}").enroll().start()
    world.wait_agents(scope, 9)
    wait_until(lambda: all(s["labels"].get("zone") and s["reachable"] for s in world.ok("GET", f"/servers?service=plan")["servers"]), "they are known")
    plan = world.ok("POST", "/rollouts", {**body, "dry_run": True})
    equal([len(s["servers"]) for s in plan["stages"]], [3, 3, 3], "servers per stage")
    equal(plan["stages"][0]["servers"], ["plan-1", "plan-4", "plan-7"], "zone b")
    equal((plan["unreachable"], plan["changes"][0]["keys"][0]["new"]), ([], "1"), "what it says")
    problem(world.api("POST", "/rollouts", {**body, "plan": "0" * 64}), 409, "plan_changed")
    rollout = world.ok("POST", "/rollouts", {**body, "plan": plan["plan"]})["id"]
    done = world.wait_state(rollout, "completed")
    happened = [[], [], []]
    for name, s in sorted(world.servers_of(rollout).items()):
        happened[s["stage"]].append(name)
    equal(happened, [s["servers"] for s in plan["stages"]], "who was in which stage")
    equal((done["counts"]["applied"], [s["state"] for s in done["stages"]]), (9, ["completed"] * 3), "the result")
    for kind in ("ready", "applied"):
        times = done["latency_ms"][kind]
        check(0 <= times["p50"] <= times["p99"] <= times["max"], f"latency of {kind}: {times}")
    equal(len(world.ok("GET", f"/rollouts/{rollout}/servers?stage=1&label=zone=b")["servers"]), 0, "filtered by stage and label")
    one = world.ok("GET", "/servers/plan-0")["scopes"]
    equal([(s["revision"], s["desired_revision"], s["state"]) for s in one], [(1, 1, "applied")], "what plan-0 runs")
    for a in world.agents.values():
        a.process.stop()


def stream(world, rollout, last=None, into=None):
    """The events of a live stream until its end."""
    c = http.client.HTTPConnection("127.0.0.1", world.coordinators[0].http, timeout=60)
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {world.token}"}
    c.request("GET", f"/api/v1/rollouts/{rollout}/events", headers={**headers, **({"Last-Event-ID": last} if last else {})})
    answer = c.getresponse()
    equal(answer.headers["Content-Type"], "text/event-stream", "content type")
    events = [] if into is None else into
    for block in answer.read().decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            events.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    c.close()
    return events


def test_events(world):
    """the timeline, newest first; live with ids, again from an id, and the end of it"""
    world.set("live/prod", {"k": "1"})
    rollout = world.start_rollout("live/prod", {"stages": [{"percent": 100, "hold": True}]})
    live = []
    listener = threading.Thread(target=stream, args=(world, rollout, None, live))
    listener.start()
    if world.rollout(rollout)["phase"]:
        world.api("POST", f"/rollouts/{rollout}/promote", {})
    world.wait_state(rollout, "completed")
    listener.join(30)
    check(not listener.is_alive(), "the stream ends")
    equal(live[-1][1], "end", "its last event")
    timeline = world.ok("GET", f"/rollouts/{rollout}/events?limit=500")["events"]
    before_end = [e["id"] for e in timeline if int(e["id"]) <= int(live[-2][0])]  # the promotion may have come too late
    equal(before_end, [i for i, _, _ in reversed(live[:-1])], "the same events, newest first")
    equal(live[0][1], "rollout.create", "the first event")
    again = [i for i, _, _ in stream(world, rollout, live[0][0]) if i is None or int(i) <= int(live[-2][0])]
    equal(again, [i for i, _, _ in live[1:]], "from an id on")
    two = world.ok("GET", f"/rollouts/{rollout}/events?limit=1")
    equal(world.ok("GET", f"/rollouts/{rollout}/events?limit=1&cursor={two['next']}")["events"][0]["id"], timeline[1]["id"], "paging")


def test_take_back(world):
    """a completed rollout is taken back by a new one; drafts stay on top; later ones stand in the way"""
    completed(world, "back/prod", k="old")
    first = completed(world, "back/prod", k="bad", extra="x")
    second = completed(world, "back/prod", other="y")
    refused = problem(world.api("POST", f"/rollouts/{first}/rollback", {}), 409, "superseded", second)
    equal(refused["later"], [second], "what stands on it")
    problem(world.api("POST", f"/rollouts/{first}/abort", {}), 409, "wrong_state")
    world.set("back/prod", {"draft": "d"})
    for rollout in (second, first):
        answer = world.api("POST", f"/rollouts/{rollout}/rollback", {"reason": "test"})
        equal((answer.status, answer["kind"], answer["reverts"]), (201, "rollback", rollout), "the way back")
        equal(answer.headers["Location"], f"/api/v1/rollouts/{answer['id']}", "Location")
        world.wait_state(answer["id"], "completed")
        equal(world.api("POST", f"/rollouts/{rollout}/rollback", {}).status, 200, "repeated")
        equal(world.rollout(rollout)["rolled_back_by"], answer["id"], "who took it back")
        content = {"k": "bad", "extra": "x"} if rollout == second else {"k": "old"}
        equal(world.api("GET", "/config/back/prod?format=json").body, content, "released: what was taken back stands on nothing")
        equal(world.api("GET", "/config/back/prod?format=json&revision=head").body, {**content, "draft": "d"}, "head")


def test_take_back_by_mode(world):
    """of a rollout that others stand on, its own keys are taken back, or everything since"""
    completed(world, "mode/prod", k="old", kept="1")
    first = completed(world, "mode/prod", k="bad", extra="x")
    second = completed(world, "mode/prod", other="y")
    world.set("mode/prod", {"draft": "d"})
    back = lambda rollout, **body: world.api("POST", f"/rollouts/{rollout}/rollback", body)
    problem(back(first), 409, "superseded", "revert", "restore")
    equal(pointers(problem(back(first, mode="sideways"), 422)), ["/mode"], "a mode there is not")
    content = lambda revision: world.api("GET", f"/config/mode/prod?format=json&revision={revision}").body
    answer = back(first, mode="revert")
    equal((answer.status, answer["kind"], answer["reverts"]), (201, "rollback", first), "its keys alone")
    world.wait_state(answer["id"], "completed")
    equal(content("released"), {"k": "old", "kept": "1", "other": "y"}, "what others changed stays")
    equal(content("head"), {"k": "old", "kept": "1", "other": "y", "draft": "d"}, "and so does the draft")
    third = completed(world, "mode/prod", k="bad again")
    completed(world, "mode/prod", kept="2")
    answer = back(third, mode="restore")
    equal(answer.status, 201, "everything since")
    world.wait_state(answer["id"], "completed")
    equal(content("released"), {"k": "old", "kept": "1", "other": "y"}, "as it was before")


def test_same_content(world):
    """a head with the released content is no draft, and nothing to roll out; revisions say what became of them"""
    completed(world, "same/prod", k="1")
    world.set("same/prod", {"k": "2"})
    world.set("same/prod", {"k": "3"})
    back = world.ok("POST", "/config/same/prod/rollback", {"target_revision": 1})
    problem(world.api("POST", "/rollouts", {"changes": [change("same/prod")], "strategy": "all-at-once"}), 409, "nothing_to_change", "same/prod")
    equal(next(s["drafts"] for s in world.ok("GET", "/services")["services"] if s["service"] == "same"), 0, "no drafts")
    world.set("same/prod", {"k": "4"})
    last = world.start_rollout("same/prod", "all-at-once")
    world.wait_state(last, "completed")
    states = lambda: {r["revision"]: (r["state"], r["released"]) for r in world.ok("GET", "/revisions/same/prod")["revisions"]}
    equal(states(), {1: ("released", True), 2: ("superseded", False), 3: ("superseded", False), back["revision"]: ("superseded", False),
                     back["revision"] + 1: ("released", True)}, "what became of each")
    world.set("same/prod", {"k": "5"})
    equal(states()[back["revision"] + 2], ("draft", False), "a draft")
    world.wait_state(world.ok("POST", f"/rollouts/{last}/rollback", {})["id"], "completed")
    equal(states()[back["revision"] + 1], ("rolled_back", True), "taken back")


def test_bodies_together(world):
    """many large bodies at once: refused with 503 beyond a limit, and over when they are gone"""
    size, port = 16 << 20, world.coordinators[0].http
    head = f"POST /api/v1/rollouts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {world.token}\r\nContent-Length: {size}\r\n\r\n".encode()
    senders = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(17)]
    try:
        for sender in senders:
            sender.sendall(head)
            sender.sendall(b" " * (size - 1))
        statuses = []
        for sender in senders:
            sender.sendall(b" ")
            statuses.append(sender.recv(4096).split()[1])
        check(b"503" in statuses, f"none was refused for the others: {statuses}")
        equal(set(statuses) - {b"503"}, {b"400"}, f"all others are read: {statuses}")
    finally:
        for sender in senders:
            sender.close()
    wait_until(lambda: world.api("POST", "/rollouts", raw_body=b" " * size).status == 400, "a large body is taken again")


def test_lists(world):
    """rollouts by state, scope and cursor; strategies and environments; what is not offered yet is refused"""
    all_of_them = world.ok("GET", "/rollouts?limit=2")
    equal(len(all_of_them["rollouts"]), 2, "a page")
    check(all_of_them["next"], "a cursor")
    more = world.ok("GET", f"/rollouts?limit=500&cursor={all_of_them['next']}")["rollouts"]
    check(not {r["id"] for r in more} & {r["id"] for r in all_of_them["rollouts"]}, "pages do not overlap")
    equal({r["changes"][0]["service"] for r in world.ok("GET", "/rollouts?service=back&environment=production")["rollouts"]}, {"back"}, "by scope")
    equal(world.ok("GET", "/rollouts?state=open")["rollouts"], [], "nothing is open")
    equal(world.ok("GET", "/rollouts?since=2099-01-01T00:00:00Z")["rollouts"], [], "since")
    problem(world.api("GET", "/rollouts?since=yesterday"), 422)
    names = [s["name"] for s in world.ok("GET", "/strategies")["strategies"]]
    equal(names, sorted(names), "strategies ascend")
    check({"all-at-once", "canary", "percent", "eventual", "urgent"} <= set(names), "the built-in ones")
    equal(world.api("PUT", "/strategies/mine", {"stages": [{"percent": 100}]}).status, 201, "a new one")
    equal(world.ok("GET", "/strategies/mine")["stages"][0]["ready_timeout"], "30s", "defaults written out")
    problem(world.api("DELETE", "/strategies/canary"), 409, "built_in")
    world.ok("DELETE", "/strategies/mine")
    equal([e["policy"] for e in world.ok("GET", "/environments")["environments"]], ["auto", "manual", "auto"], "policies")
    equal(world.ok("GET", "/environments/production")["default_strategy"], "canary", "an alias")
    for name, value in (("start_at", "2099-01-01T00:00:00Z"), ("on_busy", "queue")):
        equal(pointers(problem(world.api("POST", "/rollouts", {"changes": [change("back/prod")], name: value}), 422)), [f"/{name}"], name)
    problem(world.api("POST", "/rollouts", {"changes": [{**change("back/prod"), "to_revision": 1}]}), 409, "nothing_to_change")


def test_page(world):
    """the live page is served without a token, with headers that let nothing else in; what it loads is there"""
    for path, kind in (("/", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css")):
        answer = world.api("GET", path, raw_path=True, token=None)
        equal(answer.status, 200, path)
        contains(answer.headers["Content-Type"], kind)
        contains(answer.headers["Content-Security-Policy"], "default-src 'none'", "script-src 'self'", "frame-ancestors 'none'")
    contains(world.api("GET", "/", raw_path=True, token=None).raw.decode(), '"/app.js"', '"/style.css"')
    equal(world.api("GET", "/nothing.js", raw_path=True, token=None).status, 404, "a file that is not there")


def test_no_leader(world):
    """without a leader a command is withdrawn and answered 503; with one again it is carried out"""
    world.set("alone/prod", {"k": "1"})
    ghost = Agent(world, "ghost", scopes=["alone/prod"]).enroll().start()
    world.wait_agents("alone/prod", 1)
    ghost.kill()
    rollout = world.start_rollout("alone/prod", {"stages": [{"percent": 100, "ready_timeout": "10m"}], "unreachable": "wait"})
    wait_until(lambda: world.rollout(rollout)["started_at"], "it is opened")
    wait_until(lambda: world.postgres.sql("UPDATE leader SET epoch = epoch + 1, holder = 'nobody', lease_until = now() + interval '1 h' RETURNING 1"), "another leads")
    answer = problem(world.api("POST", f"/rollouts/{rollout}/pause", {"reason": "test"}), 503, "no_leader")
    check(answer.headers.get("Retry-After"), "Retry-After")
    equal(world.postgres.sql("SELECT count(*) FROM command WHERE state = 'waiting'"), [["0"]], "waiting commands")
    world.postgres.sql("UPDATE leader SET lease_until = now()")
    wait_until(world.leader, "it leads again")
    equal(world.ok("POST", f"/rollouts/{rollout}/pause", {"reason": "test"})["state"], "paused", "state")
    refused = problem(world.api("POST", f"/rollouts/{rollout}/promote", {}), 409, "wrong_state")
    check("resume" in refused["allowed"], f"what is allowed: {refused}")
    equal(world.ok("POST", f"/rollouts/{rollout}/abort", {"reason": "test"})["id"], rollout, "aborted")
    world.wait_state(rollout, "aborted")
    for action in ("abort", "rollback"):
        equal(world.api("POST", f"/rollouts/{rollout}/{action}", {}).status, 200, f"{action} again")
    equal(problem(world.api("POST", f"/rollouts/{rollout}/promote", {}), 409, "wrong_state")["allowed"], [], "what is allowed")
    world.ok("POST", "/servers/ghost/revoke")
    problem(world.api("POST", "/servers/ghost/include"), 409, "wrong_state")
    world.ok("DELETE", "/servers/ghost")
    problem(world.api("GET", "/servers/ghost"), 404, "unknown_server")
