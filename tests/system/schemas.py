"""schemas.py - JSON Schemas: kept like configuration, asked at every write, in plans and by agents."""
import json
import urllib.parse

from kit import Agent, World, check, contains, equal, wait_until
from api import completed, pointers, problem, put

PORT = {"type": "integer", "minimum": 1, "maximum": 65535}


def setup():
    return World("schemas").start()


def schema(world, service, key, body, query="", **more):
    return world.api("PUT", f"/schemas/{service}/{urllib.parse.quote(key, safe='*')}{query}", body, **more)


def post(world, scope, body, query=""):
    return world.api("POST", f"/config/{scope}{query}", body)


def violations(answer):
    return [(v["key"], v["instance_path"], v["keyword"]) for v in answer["violations"]]


def test_kept(world):
    """a schema: written, read, changed, deleted, listed; versions for ever, numbers as written"""
    first = schema(world, "kept", "port", PORT, "?change_description=ports")
    equal(first.status, 201, "a new one")
    equal((first["version"], first["changed"], first["violations"], first["schema"]), (1, True, [], PORT), "it")
    equal(first.headers["Location"], "/api/v1/schemas/kept/port?change_description=ports", "Location")
    again = schema(world, "kept", "port", {"maximum": 65535, "minimum": 1, "type": "integer"})
    equal((again.status, again["version"], again["changed"]), (200, 1, False), "the same in another order")
    raw = b'{"maximum":1.50,"minimum":-123456789012345678901234567890}'
    world.api("PUT", "/schemas/kept/port", raw_body=raw, headers={"Content-Type": "application/schema+json"})
    got = world.api("GET", "/schemas/kept/port")
    contains(got.raw.decode(), '"schema":' + raw.decode())
    equal((got["version"], got.headers["ETag"]), (2, '"2"'), "its version")
    equal(world.api("GET", "/schemas/kept/port", headers={"If-None-Match": '"2"'}).status, 304, "unchanged")
    equal(world.ok("GET", "/schemas/kept/port?version=1")["schema"], PORT, "the old one")
    problem(schema(world, "kept", "port", {}, headers={"If-Match": '"1"'}), 412, None, "current_version")
    problem(schema(world, "kept", "port", {}, headers={"If-None-Match": "*"}), 412)
    for key in ("*", "a/b %", "ключ"):
        equal(schema(world, "kept", key, {}).status, 201, key)
    equal([s["config_key"] for s in world.ok("GET", "/schemas/kept")["schemas"]], ["*", "a/b %", "port", "ключ"], "ascending")
    page = world.ok("GET", "/schemas?limit=3")
    equal(len(page["schemas"]), 3, "a page")
    rest = world.ok("GET", "/schemas?cursor=" + urllib.parse.quote(page["next"]))
    equal((rest["schemas"][0]["config_key"], rest["next"]), ("ключ", None), "the next one")
    world.ok("DELETE", "/schemas/kept/port")
    problem(world.api("GET", "/schemas/kept/port"), 404, "unknown_schema")
    problem(world.api("DELETE", "/schemas/kept/port"), 404, "unknown_schema")
    history = world.ok("GET", "/schemas/kept/port/history")["versions"]
    equal([(v["version"], v["deleted"]) for v in history], [(3, True), (2, False), (1, False)], "history")
    equal((history[2]["change_description"], history[2]["updated_by"]), ("ports", "tests"), "who and why")
    rows = [a for a in world.ok("GET", "/audit?action=schema.")["audit"] if a["data"]["key"] == "port"]
    equal([(a["action"], a["data"]["version"]) for a in rows], [("schema.delete", 3), ("schema.set", 2), ("schema.set", 1)], "audit")
    equal(json.loads(rows[2]["data"]["new"]["schema"]), PORT, "what was written")


def test_no_schema(world):
    """what is no schema is told where and why; sizes; names; nothing of it is kept"""
    bad = lambda body: problem(schema(world, "bad", "k", body), 422, "invalid_schema")
    equal(pointers(bad({"type": "integr", "minimum": "1", "properties": {"a~b/c": {"pattern": "("}}})),
          ["/minimum", "/properties/a~0b~1c/pattern", "/type"], "where")
    for body in ({"$ref": "#/definitions/none"}, {"$ref": "http://elsewhere/schema"}, {"$ref": "#"}, {"pattern": "(?R)"},
                 {"required": ["a", "a"]}, {"multipleOf": 0}, {"allOf": [{"$ref": "#"}]}):
        bad(body)
    problem(world.api("PUT", "/schemas/bad/k", raw_body=b"{", headers={"Content-Type": "application/json"}), 400)
    problem(world.api("PUT", "/schemas/bad/k", raw_body=b'{"type":"string","type":"number"}', headers={"Content-Type": "application/json"}), 400)
    problem(world.api("PUT", "/schemas/bad/k", raw_body=b"", headers={"Content-Type": "application/json"}), 400)
    problem(world.api("PUT", "/schemas/bad/k", raw_body=b"{}", headers={"Content-Type": "text/yaml"}), 415, "unsupported_media_type")
    problem(schema(world, "bad", "k", {"description": "x" * (1 << 20)}), 413)
    problem(schema(world, "bad", "k", {"anyOf": [{"minimum": i} for i in range(60000)]}), 413)
    deep = json.loads('{"not":' * 99 + "{}" + "}" * 99)
    check(schema(world, "bad", "deep", deep).status in (201, 422), "a deep one ends")
    for path in ("Bad/k", "b;--/k", "bad/%20k", "bad/" + "k" * 501):
        check(world.api("PUT", f"/schemas/{path}", {}).status == 422, path)
    problem(schema(world, "bad", "k", {}, "?nosuch=1"), 422)
    problem(world.api("GET", "/schemas/bad/k"), 404, "unknown_schema")


def test_writes(world):
    """every way to write is judged: one key, many, dry runs, back to a version, back to a revision, deletes"""
    world.set("judged/prod", {"port": 70000, "other": "x"})
    put(world, "judged/prod/port", 80)
    schema(world, "judged", "port", PORT)
    schema(world, "judged", "pool", {"type": "object", "properties": {"max": {"maximum": 10}}})
    schema(world, "judged", "text", {"type": "string", "pattern": "^[a-z]+$"})
    no = lambda answer: problem(answer, 422, "schema_violation")
    one = no(put(world, "judged/prod/port", 70000))
    equal((pointers(one), violations(one)), (["/config_value"], [("port", "", "maximum")]), "one key")
    contains(one["errors"][0]["detail"], "port", "65535", "maximum", "#/maximum")
    equal(one["violations"][0]["schema_path"], "#/maximum", "schema path")
    no(put(world, "judged/staging/port", "80"))  # a string there, in every environment
    equal(put(world, "judged/prod/port", 443).status, 200, "what fits")
    body = {"set": {"pool": {"config_value": {"max": 11}, "value_type": "json"}, "text": "Hello", "fine": 1}, "delete": ["other"]}
    for query in ("", "?dry_run=1"):
        many = no(post(world, "judged/prod", body, query))
        equal(pointers(many), ["/set/pool/config_value", "/set/text"], "many")
        equal(violations(many), [("pool", "/max", "maximum"), ("text", "", "pattern")], "many")
    equal(no(put(world, "judged/prod/pool", "max: 12", value_type="yaml"))["violations"][0]["instance_path"], "/max", "yaml")
    back = no(world.api("POST", "/config/judged/prod/port/rollback", {"target_version": 1}))
    equal(pointers(back), ["/target_version"], "back to a version")
    equal(pointers(no(post(world, "judged/prod/rollback", {"target_revision": 1}))), ["/target_revision"], "back to a revision")
    equal(world.ok("GET", "/config/judged/prod?revision=head&format=json")["port"], 443, "nothing of it was written")
    schema(world, "judged", "*", {"required": ["port"], "properties": {"count": {"type": "number"}}, "maxProperties": 3})
    gone = no(world.api("DELETE", "/config/judged/prod/port"))
    equal((pointers(gone), violations(gone)), ([""], [("*", "", "required")]), "a key that is needed")
    whole = no(post(world, "judged/prod", {"set": {"count": "many", "a": 1, "b": 2}}))
    equal(sorted(pointers(whole)), ["", "/set/count"], "the whole document")
    equal(post(world, "judged/prod", {"set": {"count": 1}}).status, 201, "three keys")
    world.ok("DELETE", "/schemas/judged/*")
    equal(world.api("DELETE", "/config/judged/prod/port").status, 200, "no schema, no objection")


def test_existing(world):
    """values that were there before a schema: listed, refused with strict, no obstacle for other keys"""
    completed(world, "before/prod", port="eighty", other=1)
    world.set("before/prod", {"port": 0})
    world.set("before/dev", {"port": 1})
    strict = problem(schema(world, "before", "port", PORT, "?strict=1"), 409, "values_violate")
    equal([(v["environment"], v["revision"], v["released"], v["keyword"]) for v in strict["violations"]],
          [("prod", 1, True, "type"), ("prod", 2, False, "minimum")], "what is there")
    problem(world.api("GET", "/schemas/before/port"), 404)
    taken = schema(world, "before", "port", PORT)
    equal((taken.status, len(taken["violations"])), (201, 2), "taken with a list")
    equal(put(world, "before/prod/other", 2).status, 200, "another key")
    refused = problem(world.api("POST", "/rollouts", {"changes": [{"service": "before", "environment": "prod"}], "dry_run": True}), 422, "schema_violation")
    equal((pointers(refused), violations(refused)), (["/changes"], [("port", "", "minimum")]), "a plan")
    equal(world.api("POST", "/rollouts", {"changes": [{"service": "before", "environment": "prod"}]}).status, 422, "a rollout")
    put(world, "before/prod/port", 80)
    completed(world, "before/prod", other=3)


def test_going_back(world):
    """what no schema was asked about then still goes out beside a change, and comes back by a rollback"""
    completed(world, "back/prod", port="eighty", other=1)
    schema(world, "back", "port", PORT)
    completed(world, "back/prod", other=2)
    equal(world.ok("GET", "/config/back/prod/port")["config_value"], "eighty", "left alone")
    better = completed(world, "back/prod", port={"config_value": 80, "value_type": "number"})
    schema(world, "back", "*", {"properties": {"other": {"const": 3}}})
    problem(post(world, "back/prod", {"set": {"fine": 1}}), 422, "schema_violation", "other")
    back = world.api("POST", f"/rollouts/{better}/rollback", {"reason": "now"})
    equal(back.status, 201, f"{back}")
    world.wait_state(back["id"], "completed")
    equal(world.ok("GET", "/config/back/prod/port")["config_value"], "eighty", "as it was")


def test_validate(world):
    """a question whether something may be written: every key that is named, the whole document; nothing is written"""
    world.set("asked/prod", {"port": 0, "other": 1})
    schema(world, "asked", "port", PORT)
    schema(world, "asked", "*", {"required": ["name"]})
    ask = lambda body, scope="asked/prod", **more: world.api("POST", f"/config/{scope}/validate", body, **more)
    equal(pointers(problem(ask({"set": {"port": 0}}), 422, "schema_violation")), ["", "/set/port"], "unchanged, and the whole")
    viewer = world.ok("POST", "/tokens", {"name": "v", "grants": [{"role": "viewer", "environment": "*"}]})["token"]
    for scope in ("asked/prod", "asked/staging"):
        answer = ask({"set": {"name": "x"}}, scope, token=viewer)
        equal((answer.status, answer["valid"], answer["keys"]), (200, True, 1), f"{answer}")
    problem(ask({"set": {"port": {"config_value": "eighty", "value_type": "number"}}}), 422, "invalid")
    equal(sorted(world.ok("GET", "/config/asked/prod?revision=head&format=json")), ["other", "port"], "nothing was written")
    problem(world.api("GET", "/config/asked/staging"), 404, "unknown_scope")


def test_children(world):
    """a change of a parent keeps to the schemas of the services that inherit it"""
    world.set("everyone/prod", {"port": 1})
    world.ok("PUT", "/parents/heir/prod", {"parents": ["everyone/prod"]})
    schema(world, "heir", "port", PORT)
    refused = problem(put(world, "everyone/prod/port", 0), 422, "schema_violation", "heir/prod")
    equal((pointers(refused), refused["violations"][0]["scope"]), (["/config_value"], "heir/prod"), "where")
    equal(put(world, "everyone/prod/port", 2).status, 200, "what fits both")
    schema(world, "second", "port", {"const": 7})
    equal(pointers(problem(world.api("PUT", "/parents/second/prod", {"parents": ["everyone/prod"]}), 422, "schema_violation")),
          ["/parents"], "naming a parent")


def test_agents(world):
    """agents get the schemas with PREPARE, small ones inside it, large ones by fetching; also in eventual mode"""
    agents = [Agent(world, f"judge-{n}", scopes=["agents/prod", "agents/staging"]) for n in range(2)]
    for agent in agents:
        agent.enroll()
        agent.start()
    schema(world, "agents", "port", PORT)
    for n, scope in ((80, "agents/prod"), (81, "agents/staging")):
        world.set(scope, {"port": n})
    world.wait_agents("agents/prod", 2)
    completed(world, "agents/prod", port=82)
    for key in range(3):
        schema(world, "agents", f"large-{key}", {"description": "x" * 90000, "maximum": key})
    completed(world, "agents/prod", port=83)
    put(world, "agents/staging/port", 84)
    wait_until(lambda: world.ok("GET", "/config/agents/staging/port")["config_value"] == "84", "the automatic release")
    sets = world.postgres.sql("SELECT count(*) FROM rollout_change WHERE schemas IS NOT NULL")
    check(int(sets[0][0]) >= 3, f"rollouts with schemas: {sets}")
    for server in world.ok("GET", "/servers")["servers"]:
        wait_until(lambda: {(s["environment"], s["revision"]) for s in world.ok("GET", f"/servers/{server['name']}")["scopes"]}
                   == {("prod", 3), ("staging", 2)}, f"both on {server['name']}")


def test_torture(world):
    """values and schemas made to run for ever end in an answer"""
    nested = {"definitions": {f"d{i}": {"anyOf": [{"$ref": f"#/definitions/d{i + 1}"}] * 2} for i in range(40)}}
    nested["definitions"]["d40"] = {"type": "string"}
    nested["$ref"] = "#/definitions/d0"
    for key, body, value in (("regex", {"pattern": "^(a+)+$"}, "a" * 5000 + "!"),
                             ("tree", {"allOf": [{"$ref": "#/definitions/d0"}], **{"definitions": nested["definitions"]}}, 1),
                             ("unique", {"uniqueItems": True}, list(range(20000)))):
        put_schema = schema(world, "torture", key, body)
        if put_schema.status == 201:
            answer = world.api("PUT", f"/config/torture/prod/{key}", {"config_value": value, "value_type": "json"}, timeout=10)
            check(answer.status in (200, 201, 413, 422), f"{key}: {answer}")
        else:
            check(put_schema.status in (413, 422), f"{key}: {put_schema}")
    secret = "hunter2-" * 10
    schema(world, "torture", "password", {"type": "string", "maxLength": 3, "pattern": "^x", "enum": ["x"]})
    answer = problem(put(world, "torture/prod/password", secret), 422, "schema_violation")
    check("hunter2" not in answer.raw.decode(), "a value is never quoted")


def costly(world, service):
    """A schema of which five checks, and a few more, are the work that one request may ask for; kept for the key v."""
    for depth in range(14, 40):
        body = {"definitions": {f"d{i}": {"allOf": [{"$ref": f"#/definitions/d{i + 1}"}] * 2} for i in range(depth)}, "$ref": "#/definitions/d0"}
        body["definitions"][f"d{depth}"] = {"type": "string"}
        schema(world, service, "v", body)
        if world.api("POST", f"/config/{service}/prod/validate", {"set": {"v": "x"}}).status != 200:
            return kept
        kept = body
    check(False, "no schema is too much work")


def test_work_of_one_request(world):
    """however many scopes inherit a change, judging them all is no more work than one request may ask for"""
    body = costly(world, "measure")
    world.set("top/prod", {"k": "1"})
    for n in range(12):
        world.ok("PUT", f"/parents/below-{n}/prod", {"parents": ["top/prod"]})
    validate = lambda: world.api("POST", "/config/top/prod/validate", {"set": {"v": "x"}})
    for n in range(2):
        schema(world, f"below-{n}", "v", body)
    equal(validate().status, 200, "two of them")
    for n in range(2, 12):
        schema(world, f"below-{n}", "v", body)
    problem(validate(), 413, "too_large", "below-", "steps of work")


def test_rights(world):
    """schemas are read with schema.read in any environment; written by those who may write them all"""
    token = lambda **grant: world.ok("POST", "/tokens", {"name": "t", "grants": [grant]})["token"]
    dev, every = token(role="editor", environment="dev", service="rig*"), token(role="editor", environment="*")
    problem(schema(world, "rights", "k", {}, token=dev), 403, None, "schema.write")
    equal(schema(world, "rights", "k", {}, token=every).status, 201, "an editor of all environments")
    equal(world.api("GET", "/schemas/rights/k", token=dev).status, 200, "an editor of one reads")
    problem(world.api("GET", "/schemas/kept", token=dev), 403, None, "schema.read")
    equal({s["service_name"] for s in world.api("GET", "/schemas", token=dev)["schemas"]}, {"rights"}, "what it may see")
    problem(world.api("DELETE", "/schemas/rights/k", token=dev), 403)
