"""bad_input.py - everything malformed is refused with a clear message, and nothing is half done."""
import json
import os
import signal
import socket
import subprocess
import time

from kit import BUILD, Agent, Coordinator, Process, World, check, contains, equal, free_port, read, wait_until, write

SCOPE = "demo/prod"


def setup():
    world = World("bad").start_with_secrets()
    world.set(SCOPE, {"greeting": "hello"}, "first")
    return world


def refused(answer, status, *parts, code=None):
    """An RFC 9457 problem with these words in its detail or its field errors."""
    equal(answer.status, status, f"HTTP status of {answer}")
    contains(answer.headers.get("Content-Type", ""), "application/problem+json")
    for name in ("type", "title", "status", "detail", "code"):
        check(name in answer.body, f"no {name} in {answer}")
    contains(answer.raw.decode(), *parts)
    if code:
        equal(answer["code"], code, "problem code")


def rows(world, table):
    return int(world.postgres.sql(f"SELECT count(*) FROM {table}")[0][0])


def unchanged(world, *tables):
    before = {t: rows(world, t) for t in tables}

    def ask():
        equal({t: rows(world, t) for t in tables}, before, "rows")
    return ask


def rollout_of(strategy="all-at-once", **more):
    return {"changes": [{"service": "demo", "environment": "prod"}], "strategy": strategy, **more}


def test_requests(world):
    """unknown fields, wrong types, unknown service and strategy: said by name"""
    same = unchanged(world, "rollout", "config_version", "audit", "scope", "strategy")
    post = lambda body: world.api("POST", "/rollouts", body)
    refused(post(rollout_of(stratgey="x")), 422, "stratgey")
    refused(post({"strategy": "all-at-once"}), 422, "changes")
    refused(post({"changes": "demo/prod", "strategy": "all-at-once"}), 422, "changes")
    refused(post({"changes": [], "strategy": "all-at-once"}), 422, "changes")
    refused(post({"changes": [{"service": "demo", "environment": "prod", "to_revison": 1}], "strategy": "all-at-once"}), 422, "to_revison")
    refused(post({"changes": [{"service": "demo", "environment": "prod", "to_revision": "one"}], "strategy": "all-at-once"}), 422, "to_revision")
    refused(post({"changes": [{"service": "demo", "environment": "prod", "to_revision": 99}], "strategy": "all-at-once"}), 422, "99")
    refused(post({"changes": [{"service": "nosuch", "environment": "prod"}], "strategy": "all-at-once"}), 404, "nosuch", code="unknown_scope")
    refused(post({"changes": [{"service": "demo", "environment": "moon"}], "strategy": "all-at-once"}), 404, "moon")
    refused(post(rollout_of("nosuch")), 404, "nosuch", code="unknown_strategy")
    refused(post(rollout_of(17)), 422, "strategy")
    refused(post([1, 2]), 422, "object")
    refused(world.api("PUT", f"/config/{SCOPE}/a", {"config_value": "1", "value_typ": "number"}), 422, "value_typ")
    refused(world.api("PUT", f"/config/{SCOPE}/a", {"config_value": "one", "value_type": "number"}), 422, "number")
    refused(world.api("PUT", f"/config/{SCOPE}/a", {"config_value": "1", "value_type": "integral"}), 422, "value_type")
    refused(world.api("GET", "/config/nosuch/prod/a"), 404, "nosuch")
    refused(world.api("GET", f"/config/{SCOPE}/nosuch"), 404, "nosuch")
    refused(world.api("GET", "/rollouts/nosuch"), 404, "nosuch")
    refused(world.api("POST", "/rollouts/nosuch/pause", {}), 404)
    refused(world.api("GET", "/nosuch"), 404)
    equal(world.api("PATCH", "/rollouts").status in (404, 405), True, "PATCH /rollouts is refused")
    same()


def test_strategies(world):
    """percentages that fall, exceed 100 or leave servers out; empty and unknown stages"""
    same = unchanged(world, "strategy", "rollout")
    put = lambda *stages, **more: world.api("PUT", "/strategies/bad", {"stages": list(stages), **more})
    refused(put({"percent": 50}, {"percent": 20}, {"percent": 100}), 422, "stage", "fall")
    refused(put({"percent": 10}, {"percent": 101}), 422, "/stages/1/percent", "at most 100")
    refused(put({"percent": 0}, {"percent": 100}), 422, "percent")
    refused(put({"percent": -5}, {"percent": 100}), 422, "percent")
    refused(put({"percent": 50}), 422, "100")
    refused(put(), 422, "stages")
    refused(put({"percent": 100, "count": 3}), 422, "count")
    refused(put({}), 422, "percent")
    refused(put({"percent": "ten"}), 422, "percent")
    refused(put({"percent": 100, "bake": "soon"}), 422, "bake", "soon")
    refused(put({"percent": 100, "max_failed": "many"}), 422, "max_failed")
    refused(put({"percent": 100, "max_failed": "120%"}), 422, "max_failed")
    refused(put({"percent": 100}, mode="three-phase"), 422, "mode")
    refused(put({"percent": 100}, unreachabel="skip"), 422, "unreachabel")
    refused(world.api("PUT", "/strategies/canary", {"stages": [{"percent": 100}]}), 409, "canary")
    same()


def test_names(world):
    """over-long and forbidden names, keys and invalid UTF-8"""
    same = unchanged(world, "scope", "config_version", "server", "audit")
    long = "x" * 101
    refused(world.api("PUT", f"/config/{long}/prod/a", {"config_value": "1"}), 422, "100")
    refused(world.api("PUT", "/config/De%20mo/prod/a", {"config_value": "1"}), 422, "service")
    refused(world.api("PUT", f"/config/demo/{long}/a", {"config_value": "1"}), (422), "environment")
    refused(world.api("PUT", f"/config/{SCOPE}/{'k' * 501}", {"config_value": "1"}), 422, "500")
    refused(world.api("POST", "/servers", {"name": long, "public_key": "x" * 40}), 422, "name")
    refused(world.api("POST", "/servers", {"name": "fine", "public_key": "short"}), 422, "public_key")
    refused(world.api("POST", "/servers", {"name": "fine", "public_key": "x" * 40}), 422, "scopes", "everything")
    refused(world.api("POST", "/servers", {"name": "fine", "public_key": "x" * 40, "scopes": []}), 422, "scopes", "everything")
    refused(world.api("PUT", f"/config/{SCOPE}/%ff%fe", {"config_value": "1"}), 400, "UTF-8")
    refused(world.api("PUT", f"/config/{SCOPE}/a%00b", {"config_value": "1"}), 400, "zero")
    refused(world.api("PUT", f"/config/{SCOPE}/a", raw_body=b'{"config_value":"\xff\xfe"}', headers={"Content-Type": "application/json"}), 400)
    refused(world.api("PUT", f"/config/{SCOPE}/a", raw_body=b'{"config_value":"a\\u0000b"}', headers={"Content-Type": "application/json"}), 400)
    same()


def test_broken_json(world):
    """broken JSON with its line, doubled fields, the wrong content type, no token, a cut token"""
    same = unchanged(world, "config_version", "rollout", "audit")
    raw = lambda body, **h: world.api("POST", "/rollouts", raw_body=body, headers={"Content-Type": "application/json", **h})
    refused(raw(b'{"changes":[],\n "strategy" "canary"}'), 400, "line 2")
    refused(raw(b""), 400)
    refused(raw(b'{"note":"a","note":"b","changes":[{"service":"demo","environment":"prod"}],"strategy":"canary"}'), 400, "note")
    refused(raw(b"<xml/>", **{"Content-Type": "text/xml"}), 415)
    refused(raw(b"[" * 100000), 400)
    refused(world.api("GET", "/rollouts", token=None), 401)
    refused(world.api("GET", "/rollouts", token=world.token[:-1]), 401)
    refused(world.api("GET", "/rollouts", token="nonsense"), 401)
    check(world.token.split("_")[2] not in "".join(c.process.log_text() for c in world.coordinators), "a secret is in the log")
    same()


JSON_TYPE = {"Content-Type": "application/json"}
LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))


def test_values(world):
    """values too long, too deep, exploding, doubled, beyond every number: told in a moment, nothing written"""
    same = unchanged(world, "config_version", "revision", "schema_version", "audit")
    put = lambda value, **more: world.api("PUT", f"/config/{SCOPE}/v", {"config_value": value, **more})
    raw = lambda body: world.api("PUT", f"/config/{SCOPE}/v", raw_body=body, headers=JSON_TYPE)
    began = time.monotonic()
    refused(put("x" * (1 << 20) + "x"), 413, "1048576", code="too_large")
    refused(world.api("POST", f"/config/{SCOPE}", {"set": {"v": "x" * (1 << 20) + "x"}}), 413, "/set/v", code="too_large")
    refused(raw(b"[" + b"1" * (18 << 20)), 413, code="too_large")
    for text in (LAUGHS, "a: &a [*a]", "[" * 5000 + "]" * 5000, "a: [", "a: 1\na: 2", "*nobody", "!!python/object:os.system [x]: ]"):
        refused(put(text, value_type="yaml"), 422, "YAML")
    for text in ("[" * 5000 + "]" * 5000, '{"a":1,"a":2}', '{"a":', "nul", "[1,]", "NaN", "Infinity", ""):
        refused(put(text, value_type="json"), 422, "JSON")
    for text in ("0x10", "1e", "--1", "one", "NaN", "", "1 2", "+1", "01", ".5"):
        refused(put(text, value_type="number"), 422, "number")
    for text in ("ja", "2", "TRUE!", ""):
        refused(put(text, value_type="boolean"), 422, "boolean")
    refused(raw(b'{"config_value":1e400}'), 400, "overflow")
    refused(raw(b'{"config_value":NaN}'), 400)
    refused(raw(b'{"config_value":{"a":1,"a":2}}'), 400, "a")
    for number in (b"9223372036854775808", b"99999999999999999999", b"-1", b"1.5", b"1e30"):
        refused(raw(b'{"config_value":1,"expected_version":' + number + b"}"), 422, "expected_version")
        refused(world.api("POST", "/rollouts", raw_body=b'{"changes":[{"service":"demo","environment":"prod","to_revision":' + number + b"}]}", headers=JSON_TYPE),
                422, "to_revision")
    for number in ("99999999999999999999", "9223372036854775808", "18446744073709551617"):
        refused(world.api("GET", f"/config/{SCOPE}?revision={number}"), 404, number, code="unknown_revision")
        refused(world.api("GET", f"/revisions/{SCOPE}?limit={number}"), 422, "limit")
    for schema in ([1], {"type": "nosuch"}, {"pattern": "("}, {"minimum": "x"}, {"$ref": "http://example.com/x"}, {"$ref": "#/nowhere"}, {"required": "a"},
                   {"properties": {"a": 1}}, {"additionalProperties": 3}):
        refused(world.api("PUT", "/schemas/demo/v", raw_body=json.dumps(schema).encode(), headers=JSON_TYPE), 422, code="invalid_schema")
    check(time.monotonic() - began < 30, "no answer takes long")
    same()


def test_long_numbers(world):
    """numbers beyond 64 bits are kept as they were written, wherever they are read"""
    for text in ("9223372036854775808", "-9223372036854775809", "123456789012345678901234567890", "0.1234567890123456789"):
        answer = world.api("PUT", f"/config/{SCOPE}/long", raw_body=b'{"config_value":' + text.encode() + b"}", headers=JSON_TYPE)
        equal((answer["config_value"], answer["value_type"]), (text, "number"), "written")
        contains(world.api("GET", f"/config/{SCOPE}?revision=head&format=json").raw.decode(), f'"long":{text}')
        equal(world.api("GET", f"/config/{SCOPE}/long?revision=head&raw=1").raw.decode(), text, "raw")
    world.ok("DELETE", f"/config/{SCOPE}/long")


def test_cut_tokens(world):
    """a token without one of its characters, with another one, or with one more: 401, always in the same words"""
    ask = lambda token: world.api("GET", "/whoami", token=token)
    words = ask("lst_a_b_c")
    refused(words, 401, code="unauthorized")
    token = world.token
    spoiled = [token[:i] + token[i + 1:] for i in range(len(token))] + [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1:] for i in range(len(token))]
    for wrong in [*spoiled, token + "A", token.upper(), "lst_" + token, token.replace("_", "-")]:
        answer = ask(wrong)
        equal((answer.status, answer.body), (401, words.body), f"{len(wrong)} characters")
    equal(ask(token).status, 200, "the whole token")
    check(all(token.split("_")[2] not in c.process.log_text() for c in world.coordinators), "the secret is in the log")


def test_secrets_in_errors(world):
    """what is written encrypted stands in no error, log or audit row, whatever is wrong with it"""
    canary = "hunter2-canary"
    world.ok("PUT", "/schemas/demo/secret.short", {"maxLength": 3})
    for body in ({"value_type": "number"}, {"value_type": "json"}, {"value_type": "boolean"}, {"nosuch": 1}, {"expected_version": 99}, {"value_type": "nosuch"}, {"base": "nosuch"}):
        answer = world.api("PUT", f"/config/{SCOPE}/secret.a", {"config_value": canary, "encrypt": True, **body})
        check(answer.status >= 400 and canary not in answer.raw.decode(), f"{body}: {answer}")
    answers = [world.api("PUT", f"/config/{SCOPE}/secret.short", {"config_value": canary, "encrypt": True}),
               world.api("POST", f"/config/{SCOPE}", {"set": {"secret.short": {"config_value": canary, "encrypt": True}}}),
               world.api("POST", f"/config/{SCOPE}/validate", {"set": {"secret.short": {"config_value": canary, "encrypt": True}}}),
               world.api("PUT", f"/config/{SCOPE}/secret.a", raw_body=b'{"encrypt":true,"config_value":"' + canary.encode() + b'\x01"}', headers=JSON_TYPE)]
    for answer in answers:
        check(answer.status >= 400 and canary not in answer.raw.decode(), f"{answer}")
    check(all(canary not in c.process.log_text() for c in world.coordinators), "it is in the log")
    check(canary not in str(world.audit()), "it is in the audit trail")


def test_import(world):
    """import of broken JSON and YAML says the line; several documents and a byte-order mark are fine"""
    f = f"{world.folder}/import"
    cases = {"broken.yaml": (b"a: 1\nb: [1, 2\nc: 3\n", ":3"), "broken.json": (b'{"a": 1,\n "b" 2}', ":2"),
             "twice.yaml": (b"a:\n  b: 1\na.b: 2\n", "a.b"), "latin.yaml": (b"a: \xff\xfe\n", "UTF-8")}
    same = unchanged(world, "config_version", "audit")
    os.makedirs(f)
    for name, (text, said) in cases.items():
        with open(f"{f}/{name}", "wb") as out:
            out.write(text)
        done = world.cli("config", "import", SCOPE, f"{f}/{name}")
        equal(done.returncode, 7, f"exit code for {name} ({done.stdout} {done.stderr})")
        contains(done.stderr, name, said)
    missing = world.cli("config", "import", SCOPE, f"{f}/nosuch.yaml")
    check(missing.returncode not in (0, 7), "a missing file is no success")
    contains(missing.stderr, "nosuch.yaml")
    same()
    with open(f"{f}/real.yaml", "wb") as out:
        out.write(b"\xef\xbb\xbfdatabase:\n  url: postgres://one\n  pool: 5\n---\ndatabase:\n  pool: 9\n")
    done = world.cli("config", "import", SCOPE, f"{f}/real.yaml")
    equal(done.returncode, 0, f"import of a real file ({done.stderr})")
    contains(done.stderr, "database.pool")
    equal(world.ok("GET", f"/config/{SCOPE}/database.pool?revision=head")["config_value"], "9", "overlaid value")
    equal(world.ok("GET", f"/config/{SCOPE}/database.url?revision=head")["config_value"], "postgres://one", "value")


def test_usage(world):
    """the command line: unknown words and options are exit code 2, with what there is"""
    for words, said in ((["rollout", "strat"], "strat"), (["nosuch"], "nosuch"), (["rollout", "start", SCOPE, "--stratgey", "x"], "stratgey"),
                        (["config", "set", SCOPE], "KEY=VALUE"), (["rollout", "start", "noslash"], "SERVICE/ENV")):
        done = world.cli(*words)
        equal(done.returncode, 2, f"exit code of lockstep {' '.join(words)} ({done.stderr})")
        contains(done.stderr, said)
    equal(world.cli("rollout", "get", "nosuch").returncode, 3, "exit code for what is not there")
    done = world.cli("server", "list", env={"LOCKSTEP_TOKEN": "nonsense"})
    equal(done.returncode, 5, f"exit code without a right ({done.stderr})")
    done = world.cli("server", "list", env={"LOCKSTEP_ADDR": f"http://127.0.0.1:{free_port()}"})
    equal(done.returncode, 1, "exit code when nobody answers")
    contains(done.stderr, "127.0.0.1")


def test_settings_files(world):
    """a settings file with an unknown key or a wrong value: file and line, and no start"""
    good = read(world.coordinators[0].settings)
    for text, line, said in ((good + "\n[http]\nlisen = 1\n", None, "lisen"), ("[nosuch]\na = 1\n", 2, "nosuch"), ("[coordinator]\nlease = soon\n", 2, "soon"),
                             ("[http\n", 1, "")):
        path = f"{world.folder}/bad.ini"
        write(path, text, 0o600)
        done = subprocess.run([f"{BUILD}/lockstepd", "--config", path], capture_output=True, text=True, timeout=20, check=False)
        check(done.returncode not in (0, -6), f"lockstepd starts with {text!r}")
        contains(done.stderr, f"bad.ini:{line or len(text.splitlines())}", said)
    agent = Agent(world, "settings")
    agent.make_key()
    good = read(agent.settings)
    for text, said in ((good + "relaod = true\n", "relaod"), (good + "file = x -> relative/path\n", "relative/path"),
                       (good.replace("[scope demo/prod]", "[scope demo]"), "demo"), (good + "check_timeout = 1 fortnight\n", "check_timeout")):
        write(agent.settings, text, 0o600)
        done = subprocess.run(agent.process.argv, capture_output=True, text=True, timeout=20, check=False)
        check(done.returncode not in (0, -6), f"the agent starts with {text!r}")
        contains(done.stderr, "agent.ini:", said)


def test_port_in_use(world):
    """a coordinator whose HTTP port is taken by another does not start beside it: it says which address"""
    taken = world.coordinators[0]
    late = Coordinator(world, "late")
    write(late.settings, read(late.settings).replace(f"127.0.0.1:{late.http}", f"127.0.0.1:{taken.http}"), 0o600)
    done = subprocess.run(late.process.argv, capture_output=True, text=True, timeout=20, check=False)
    equal(done.returncode, 1, "exit status")
    contains(done.stderr, f"127.0.0.1:{taken.http}", "Address already in use")


def test_missing_database(world):
    """a missing database: says which host and why, waits, and works when it is there"""
    c = Coordinator(world, "early")
    text = read(c.settings).replace(world.postgres.url, f"host={world.postgres.sockets} port=1 user=lockstep password=hush dbname=lockstep")
    write(c.settings, text, 0o600)
    c.start(wait=False)
    try:
        wait_until(lambda: c.process.log_has(world.postgres.sockets) or not c.process.is_running(), lambda: f"says so: {c.process.log_text()}", 20)
        check(c.process.is_running(), f"it waits: {c.process.log_text()}")
        check("hush" not in c.process.log_text(), "the password is in the log")
        c.process.stop()
        write(c.settings, read(c.settings).replace("port=1 user=lockstep password=hush", "port=5432 user=lockstep").replace("dbname=lockstep", "dbname=later"), 0o600)
        c.start(wait=False)
        wait_until(lambda: c.process.log_has("later"), lambda: f"names the database: {c.process.log_text()}", 20)
        world.postgres.sql("CREATE DATABASE later", "postgres")
        c.wait_ready()
    finally:
        c.process.stop()


def test_busy_scope(world):
    """a second rollout on a busy scope: 409 that names the open one; a stage without servers completes"""
    agent = Agent(world, "busy-1").enroll().start()
    world.wait_agents(SCOPE, 1)
    world.set(SCOPE, {"greeting": "busy"})
    first = world.start_rollout(SCOPE, {"stages": [{"percent": 100, "hold": True}]})
    world.set(SCOPE, {"greeting": "busier"})
    refused(world.api("POST", "/rollouts", rollout_of()), 409, first, code="scope_busy")
    done = world.cli("rollout", "start", SCOPE, "--strategy", "all-at-once")
    equal(done.returncode, 4, f"exit code of a conflict ({done.stderr})")
    contains(done.stderr, first)
    wait_until(lambda: world.rollout(first)["phase"] == "baking", "the first one bakes")
    refused(world.api("POST", f"/rollouts/{first}/abort", {"reason": "too late"}), 409, "rollback", code="wrong_state")
    world.ok("POST", f"/rollouts/{first}/rollback", {"reason": "test"})
    world.wait_state(first, "rolled_back")
    refused(world.api("POST", "/rollouts", rollout_of({"stages": [{"select": {"zone": "nowhere"}}, {"percent": 100}]})), 422, "zone")
    agent.process.stop()


def test_not_enrolled(world):
    """an agent whose key is not enrolled, or revoked: it says so and goes on trying; the coordinator keeps nothing"""
    agent = Agent(world, "stranger")
    key = agent.make_key()
    try:
        equal(world.ok("GET", "/pending-servers")["pending_servers"], [], "pending servers")
        agent.start()
        wait_until(lambda: agent.process.log_has("enroll"), lambda: f"says so: {agent.process.log_text()}", 20)
        pending = world.ok("GET", "/pending-servers")["pending_servers"]
        equal([(one["public_key"], one["address"], one["revoked_server"]) for one in pending], [(key, "127.0.0.1", None)], "who asks to be let in")
        done = world.cli("server", "list", "--pending")
        contains(done.stdout + done.stderr, "127.0.0.1", f"lockstep server enroll NAME --scope SERVICE/ENV -- '{key}'")
        check(agent.process.is_running(), "it goes on trying")
        contains(agent.process.log_text(), key)
        equal(world.postgres.sql("SELECT count(*) FROM server WHERE name = 'stranger'"), [["0"]], "rows of the stranger")
        world.ok("POST", "/servers", {"name": "stranger", "public_key": key, "scopes": ["*"]})
        wait_until(lambda: world.postgres.sql("SELECT 1 FROM server JOIN server_scope USING (server_id) WHERE name = 'stranger'"), "it gets in once enrolled", 45)
        refused(world.api("POST", "/servers", {"name": "stranger", "public_key": key, "scopes": ["*"]}), 409, "stranger")
        said = len(agent.process.log_text())
        equal(world.ok("GET", "/pending-servers")["pending_servers"], [], "pending servers, once it is enrolled")
        world.ok("POST", "/servers/stranger/revoke", {"reason": "test"})
        wait_until(lambda: [one["revoked_server"] for one in world.ok("GET", "/pending-servers")["pending_servers"]] == ["stranger"], "the revoked one asks again", 45)
        contains(world.cli("server", "list", "--pending").stderr, "lockstep server forget stranger")
        wait_until(lambda: "revoked" in agent.process.log_text()[said:], lambda: f"says that it is revoked: {agent.process.log_text()[-1500:]}", 45)
    finally:
        agent.process.stop()


def test_hangup(world):
    """SIGHUP where there is nothing to read again: it says so, and what does help"""
    c = world.coordinators[0]
    c.process.send(signal.SIGHUP)
    wait_until(lambda: c.process.log_has("nothing was read again", "restart lockstepd"), lambda: f"it says so: {c.process.log_text()[-500:]}")
    equal(c.api("GET", "/readyz", raw_path=True, token=None).status, 200, "it goes on")


def test_corrupt_store(world):
    """a corrupt LMDB: the agent says which file and what to do, and does not invent a state"""
    agent = Agent(world, "corrupt").enroll().start()
    world.wait_agents(SCOPE, 1)
    wait_until(lambda: os.path.exists(f"{agent.folder}/state/data.mdb"), "the store is there")
    agent.kill()
    with open(f"{agent.folder}/state/data.mdb", "r+b") as f:
        f.write(os.urandom(16384))
    agent.start()
    status = wait_until(lambda: agent.process.popen.poll(), "the agent gives up", 20)
    check(status > 0, f"it ends with a status of its own, not by signal {-status}")
    contains(agent.process.log_text().splitlines()[-1], f"{agent.folder}/state")


def test_random_frames(world):
    """random bytes and half a handshake on every port: nothing stops"""
    c = world.coordinators[0]
    for port in (c.router, c.http):
        for size in (1, 64, 1024, 100000):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                try:
                    s.sendall(os.urandom(size))
                    s.settimeout(0.3)
                    s.recv(1000)
                except OSError:
                    pass
    with socket.create_connection(("127.0.0.1", c.router), timeout=5) as s:
        s.sendall(b"\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE" + bytes(15) + os.urandom(500))
    check(c.process.is_running(), f"it runs on: {c.process.log_text()[-1000:]}")
    equal(c.api("GET", "/healthz", raw_path=True, token=None).status, 200, "healthz")


def test_at_the_end(world):
    """after all that: the same process still runs, and a rollout goes through"""
    check(all(c.process.is_running() for c in world.coordinators), "the coordinator was not restarted")
    agent = Agent(world, "last").enroll().start()
    world.set(SCOPE, {"greeting": "still here"})
    wait_until(lambda: world.postgres.sql("SELECT 1 FROM server JOIN server_scope USING (server_id) WHERE name = 'last'"), "the agent is known")
    done = world.cli("rollout", "start", SCOPE, "--strategy", "all-at-once", "--include-rolled-back", "--wait", "--timeout", "60s")
    equal(done.returncode, 0, f"exit code ({done.stdout} {done.stderr})")
    equal(agent.process.stop(), 0, "exit code of an agent that is asked to end")
