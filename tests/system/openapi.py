"""openapi.py - the description of the API against the running server: every operation, its answers and its refusals."""
import json
import random
import string

from described import Document, refused
from kit import Agent, World, check, equal, wait_until

SCOPE = "payments/prod"
HELD = {"stages": [{"percent": 100, "hold": True}]}
DOCUMENT = None  # what the server says of itself


def setup():
    global DOCUMENT
    world = World("openapi").start_with_secrets()
    DOCUMENT = Document(world.api("GET", "/openapi.json", raw_path=True, token=None).body)
    for scope in (SCOPE, "payments/staging", "global/prod"):
        world.set(scope, {"database.url": "postgres://db-1/payments", "limits.rate": 50, "obsolete": "yes"})
    world.ok("PUT", f"/config/{SCOPE}/database.password", {"config_value": "correct horse", "encrypt": True})
    world.ok("PUT", "/schemas/payments/limits.rate", {"type": "number"})
    Agent(world, "server-1", scopes=(SCOPE,), labels="zone=a").enroll().start()
    world.wait_agents(SCOPE, 1)
    world.wait_state(world.start_rollout(SCOPE, "all-at-once"), "completed")
    return world


# ---------------------------------------------------------------- what an operation needs before it

def key_version(world, key="database.url"):
    return world.ok("GET", f"/config/{SCOPE}/{key}?revision=head")["version"]


def new_key(world, **more):
    key = f"fresh.{random.getrandbits(60):x}"
    for value in ("one", "two"):
        world.ok("PUT", f"/config/{SCOPE}/{key}", {"config_value": value})
    return {"path": {"key": key}, **more}


def new_secret(world):
    key = f"fresh.{random.getrandbits(60):x}"
    for value in ("one", "two"):
        world.ok("PUT", f"/config/{SCOPE}/{key}", {"config_value": value, "encrypt": True})
    return {"path": {"key": key}}


def new_server(world, **more):
    name = f"server-{random.getrandbits(60):x}"
    world.ok("POST", "/servers", {"name": name, "public_key": public_key(), "scopes": ["*"]})
    return {"path": {"name": name}, **more}


def public_key():
    return "".join(random.choices(string.ascii_letters + string.digits, k=40))


def end_rollouts(world):
    """None is open any more; taking one back that is just completing opens another."""
    def are_over():
        left = world.ok("GET", "/rollouts?state=open")["rollouts"]
        for r in left:
            if r["kind"] == "change" and r["state"] in ("running", "paused", "awaiting_approval") and r["phase"] != "finalizing":
                world.api("POST", f"/rollouts/{r['id']}/rollback", {"reason": "the next one"})
        return not left
    wait_until(are_over, "no rollout is open")


def draft(world):
    end_rollouts(world)
    world.set(SCOPE, {"limits.rate": random.randrange(1 << 30)})
    return {"body": {**DOCUMENT["start_rollout"].example, "include_rolled_back": True}}


def held(world, *actions):
    """A rollout whose only stage holds."""
    draft(world)
    rollout = world.start_rollout(SCOPE, HELD, include_rolled_back=True)
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it holds")
    for action in actions:
        world.ok("POST", f"/rollouts/{rollout}/{action}", {})
    return {"path": {"id": rollout}}


def waiting(world):
    """A rollout that waits for an approval, and somebody else's token."""
    draft(world)
    world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 1})
    try:
        rollout = world.start_rollout(SCOPE, "all-at-once", include_rolled_back=True)
    finally:
        world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 0})
    return {"path": {"id": rollout}, "token": world.bootstrap_token("somebody else")}


def some_rollout(world):
    return {"path": {"id": world.ok("GET", "/rollouts?limit=1")["rollouts"][0]["id"]}}


def made(world, operation, name, answer_field=None):
    """The path parameter of a thing that is made by the example of another operation."""
    o = DOCUMENT[operation]
    body = {**o.example, "name": f"made-{random.getrandbits(60):x}"} if "name" in o.example else o.example
    answer = world.ok(o.method, o.target(), body, raw_path=True)
    return {"path": {name: answer[answer_field or name]}}


PREPARED = {
    "put_key": lambda w: {"body": {**DOCUMENT["put_key"].example, "expected_version": key_version(w)}},
    "delete_key": new_key,
    "roll_key_back": new_key,
    "destroy_versions": new_secret,
    "get_subscription": lambda w: made(w, "subscribe", "id", "subscription_id"),
    "enable_subscription": lambda w: made(w, "subscribe", "id", "subscription_id"),
    "delete_subscription": lambda w: made(w, "subscribe", "id", "subscription_id"),
    "delete_schema": lambda w: made(w, "put_schema", "key", "config_key"),
    "start_rollout": draft,
    "get_rollout": some_rollout, "list_rollout_servers": some_rollout, "list_rollout_events": some_rollout,
    "pause_rollout": held, "resume_rollout": lambda w: held(w, "pause"), "promote_rollout": held, "abort_rollout": waiting,
    "roll_back_rollout": held, "retry_rollout": held, "approve_rollout": waiting, "reject_rollout": waiting,
    "enroll_server": lambda w: {"body": {**DOCUMENT["enroll_server"].example, "name": f"s{random.getrandbits(60):x}", "public_key": public_key()}},
    "forget_server": new_server, "revoke_server": new_server, "exclude_server": new_server, "include_server": new_server, "allow_server": new_server, "retry_server": new_server,
    "get_strategy": lambda w: made(w, "put_strategy", "name"), "delete_strategy": lambda w: made(w, "put_strategy", "name"),
    "get_freeze": lambda w: made(w, "put_freeze", "name"), "lift_freeze": lambda w: made(w, "put_freeze", "name"),
    "get_token": lambda w: made(w, "create_token", "id"), "revoke_token": lambda w: made(w, "create_token", "id"),
}


def send(world, o, given=None, what="the example", **more):
    """One request, made of the example, of what was prepared and of the rest; its answer must be as described."""
    given = {**(given or {}), **more}
    body = given.get("body", o.example if o.takes_body else None)
    raw = given.get("raw_body", json.dumps(body).encode() if body is not None else None)
    headers = {"Content-Type": "application/json"} if raw is not None else {}
    answer = world.api(o.method, o.target(given.get("path"), given.get("query")), raw_path=True, raw_body=raw,
                       headers={**headers, **given.get("headers", {})}, token=given.get("token", ""))
    o.judge(answer, f"{what}, {json.dumps(body)[:300]}")
    return answer


def api():
    return [o for o in DOCUMENT.operations if o.right is not None]


def every(operations, test):
    """All that is wrong at once: one finding must not hide the next."""
    wrong = []
    for o in operations:
        try:
            test(o)
        except AssertionError as problem:
            wrong.append(str(problem))
    check(not wrong, "\n     ".join([f"{len(wrong)} findings:", *wrong]))


# ---------------------------------------------------------------- tests

def test_examples(world):
    """every operation, with the example of its own: 2xx, with the fields that are described and no others"""
    viewer = world.ok("POST", "/tokens", {"name": "viewer", "grants": [{"role": "viewer", "environment": "*"}]})["token"]

    def walk(o):
        given = PREPARED.get(o.id, lambda w: {})(world)
        if o.request:
            DOCUMENT.validate(o.request, given.get("body", o.example), f"the example of {o}")
        answer = send(world, o, given)
        # Nothing failed that could be tried again.
        check(answer.status < 300 or (o.id in ("retry_rollout", "retry_server") and answer.status == 409), f"{o}: {answer}")
        if o.right == "config.read":  # who may not read secrets
            check("correct horse" not in send(world, o, given, "as a viewer", token=viewer).raw.decode(), f"{o}: a secret is shown")
        if o.method == "GET" and "ETag" in answer.headers:
            equal(send(world, o, given, headers={"If-None-Match": answer.headers["ETag"]}).status, 304, f"{o}: asked again with the ETag")
    every(DOCUMENT.operations, walk)
    end_rollouts(world)


def test_broken_bodies(world):
    """fields missing, unknown, of another type, beyond their limits, at every depth: 422 that names the field"""
    end_rollouts(world)  # a busy scope would be said first

    def walk(o):
        given = some_rollout(world) if "{id}" in o.path else {}
        for what, name, body in DOCUMENT.broken(o.request, o.example):
            answer = send(world, o, given, what, body=body)
            check(answer.status == 422, f"{o}: {what} is taken: {answer}")
            check(name in answer.raw.decode() and answer.body.get("errors"), f"{o}: {what} is not named: {answer}")
    every([o for o in api() if o.takes_body and o.id != "put_schema"], walk)


def test_unreadable_bodies(world):
    """another content type, no JSON, doubled fields, no object, no body, a body where none belongs"""
    def walk(o):
        given = some_rollout(world) if "{id}" in o.path else {}
        if not o.takes_body:
            refused(send(world, o, given, "a body", raw_body=b"{}"), 400, "body")
            return
        refused(send(world, o, given, "text/plain", headers={"Content-Type": "text/plain"}), 415, "application/json")
        refused(send(world, o, given, "broken", raw_body=b'{"a":\n!}'), 400, "line 2")
        refused(send(world, o, given, "doubled", raw_body=b'{"a":1,"a":2}'), 400, "a")
        if o.id != "put_schema":
            refused(send(world, o, given, "a list", body=[1]), (400, 422), "object")
        if o.needs_body:
            refused(send(world, o, given, "nothing", raw_body=b"", headers={"Content-Type": "application/json"}), 400, "body")
    every(api(), walk)


def test_tokens_and_rights(world):
    """without a token, with one that is cut, with one that may do something else only: 401, and 403 that names the right"""
    little = world.ok("POST", "/tokens", {"name": "little", "grants": [{"environment": "*", "rights": ["hook.call"]}]})["token"]

    def walk(o):
        given = {"path": {"id": "nosuch"}} if "{id}" in o.path else {}
        refused(send(world, o, given, "no token", token=None), 401, "token")
        refused(send(world, o, given, "a cut token", token=world.token[:-1]), 401)
        if o.right:
            answer = send(world, o, given, "another right", token=little)
            refused(answer, 403, o.right)
            equal(answer["right"], o.right, f"right of {o}")
    every(api(), walk)


def test_absent_objects(world):
    """things that are not there: 404 with the code that says which"""
    makes = {"put_key", "put_schema", "put_strategy", "put_environment", "put_freeze", "write_scope", "validate_scope", "copy_scope", "put_parents"}

    def walk(o):
        # The scope's own names first, then what lies in it.
        for name in o.names("path"):
            if o.id in makes and name != "environment" or o.id in ("put_environment", "list_schemas_of_service"):
                continue
            answer = send(world, o, what=f"no such {name}", path={name: "nosuch"})
            refused(answer, 404, "nosuch")
    every(api(), walk)


# None of these is a name; many mean something to a database, a file system, a shell, a page or a pattern.
HOSTILE = ["'; DROP TABLE scope; --", "' OR '1'='1", "../../etc/passwd", "..", ".", "a/b", "a\\b", "%", "_", "*", "?", "$(id)", "`id`", "-rf", "a b", " ", "A",
           "a\nb", "\x7f", "\u202ea", "\u00fc", '"', "<script>", "{service}", "${jndi:x}", "x" * 101, "x" * 3000]


def test_hostile_names(world):
    """SQL and path metacharacters in every name of every path, query and body: refused or not found, and nothing happens"""
    tables = ("scope", "server", "token", "strategy", "environment", "change_freeze", "rollout", "subscription", "revision")
    count = lambda: {t: world.postgres.sql(f"SELECT count(*) FROM {t}")[0][0] for t in tables}
    before = count()

    def walk(o):
        for name in o.names("path"):
            # A key may be written with nearly any letter: it is one of the things below.
            for text in HOSTILE if name != "key" else [] if o.method != "GET" else HOSTILE:
                answer = send(world, o, what=f"{name} {text[:40]!r}", path={name: text})
                check(answer.status in (400, 404, 422), f"{o}: {name} {text[:40]!r}: {answer}")
        for p in (p for p in o.parameters if p["in"] == "query"):
            for text in HOSTILE[::3]:  # the paths get all of them
                given = {"path": {"id": "nosuch"}} if "{id}" in o.path else {}
                if o.method == "GET":
                    answer = send(world, o, given, f"?{p['name']} {text[:40]!r}", query={p["name"]: text, "timeout": 0} if o.id == "watch_scope" else {p["name"]: text})
                    check(answer.status < 500, f"{o}: {p['name']} {text[:40]!r}: {answer}")
        for at in ("service", "service_name", "environment", "name"):
            for text in HOSTILE if at in (o.example or {}) else []:
                if (at, text) == ("environment", "*") and o.id == "put_freeze" or (at, o.id) == ("name", "create_token"):
                    continue  # every environment; a token may have any name
                answer = send(world, o, what=f"{at} {text[:40]!r}", body={**o.example, at: text})
                check(answer.status == 422, f"{o}: {at} {text[:40]!r}: {answer}")
    every(api(), walk)
    equal(count(), before, "rows of tables")
    for text in (t for t in HOSTILE if len(t) <= 500):
        path = DOCUMENT["put_key"].target({"key": text})
        answer = world.api("PUT", path, {"config_value": text}, raw_path=True)
        check(answer.status in (201, 422), f"{text!r} as a key: {answer}")
        if answer.status == 201:
            equal(world.ok("GET", f"{path}?revision=head", raw_path=True)["config_value"], text, f"{text!r} as a key, read back")
            equal(world.api("DELETE", path, raw_path=True).status, 200, f"{text!r} as a key, deleted")


def test_queries(world):
    """unknown query parameters and values that no parameter has: 422 that names the parameter"""
    def walk(o):
        given = some_rollout(world) if o.path.startswith("/api/v1/rollouts/{id}") else {}
        refused(send(world, o, given, "?nosuch=", query={"nosuch": "1"}), 422, "nosuch")
        for p in (p for p in o.parameters if p["in"] == "query"):
            schema = DOCUMENT.follow(p["schema"])
            values = {"integer": ["x", "1.5", "-1", "99999999999999999999"]}.get(schema["type"], [])
            values = values + (["soon"] if schema.get("format") == "date-time" else [])
            values = values + (["nosuch"] if "enum" in schema and "1" not in schema["enum"] else [])
            for value in values:
                refused(send(world, o, given, f"?{p['name']}={value}", query={p["name"]: value}), 422, p["name"])
        for query in ("a=%zz", "limit=1&limit=2"):
            refused(world.api(o.method, f"{o.target(given.get('path'))}?{query}", raw_path=True,
                              body=o.example if o.takes_body else None), 400, "query")
    every(api(), walk)


def test_other_methods(world):
    """a path with another method: 405, with those that it knows"""
    for path in DOCUMENT.document["paths"]:
        some = [o for o in DOCUMENT.operations if o.path == path]
        known = {o.method for o in some} | ({"HEAD"} if any(o.method == "GET" for o in some) else set())
        refusal = world.api("PATCH", some[0].target(), raw_path=True)
        equal(refusal.status, 405, f"PATCH {path}: {refusal}")
        equal(refusal["code"], "method_not_allowed", "code")
        check(known <= set(refusal.headers["Allow"].split(", ")), f"{path}: Allow is {refusal.headers['Allow']}, described are {known}")


def test_lists(world):
    """pages: one by one they give what one page gives"""
    def walk(o):
        if "cursor" not in o.names("query"):
            return
        given = some_rollout(world) if "{id}" in o.path else {}
        whole = send(world, o, given, "one page", query={"limit": 500}).body
        name = next(n for n, v in whole.items() if isinstance(v, list))
        items, cursor = [], None
        while len(items) < 12:
            page = send(world, o, given, "a small page", query={"limit": 3, **({"cursor": cursor} if cursor else {})}).body
            items, cursor = items + page[name], page["next"]
            if not cursor:
                break
        equal(len(items), min(len(whole[name]), 12) if not cursor else len(items), f"{o}: items on pages of three")
        strip = lambda item: {k: v for k, v in item.items() if k != "last_used_at"}
        equal([strip(i) for i in items], [strip(i) for i in whole[name][:len(items)]], f"{o}: the same items")
    every([o for o in api() if o.method == "GET"], walk)
