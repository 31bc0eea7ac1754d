"""local.py - what programs of a server read over HTTP: on its Unix socket and on loopback."""
import contextlib
import grp
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from kit import BUILD, Agent, Answer, World, check, contains, equal, free_port, need_root, read, wait_until, write

ALL = {"stages": [{"percent": 100}]}
SCOPE, OTHER = "demo/prod", "closed/prod"
VALUES = {"database.url": "pg://db1", "limits.rps": {"config_value": "100", "value_type": "number"}, "flag": {"config_value": "true", "value_type": "boolean"},
          "list": {"config_value": "[1,2]", "value_type": "json"}, "odd key/%": "with 'quotes'\nand lines"}


class Unix(http.client.HTTPConnection):
    """http.client over a Unix socket."""

    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(world, path, method="GET", headers=None, body=None, timeout=30, connection=None):
    c = connection or Unix(world.socket, timeout)
    try:
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return Answer(r.status, r.headers, r.read())
    finally:
        if not connection:
            c.close()


class Stream:
    """Server-sent events, read as they come."""

    def __init__(self, world, path, headers=None):
        self.connection = Unix(world.socket)
        self.connection.request("GET", path, headers={"Accept": "text/event-stream", **(headers or {})})
        self.answer = self.connection.getresponse()

    def next(self):
        """The next event: {field: text}; None at the end."""
        event = {}
        while line := self.answer.readline().decode():
            line = line.rstrip("\n")
            if not line and "data" in event:
                return {**event, "data": json.loads(event["data"])}
            if ": " in line and not line.startswith(":"):
                name, text = line.split(": ", 1)
                event[name] = text
        return None

    def close(self):
        self.connection.close()


def roll(world, scope, values, delete=()):
    """One revision, released; its number."""
    revision = world.ok("POST", f"/config/{scope}", {"set": values, "delete": list(delete)})["revision"]
    world.wait_state(world.start_rollout(scope, ALL), "completed")
    return revision


def words(world, *argv, seconds=30, env=None):
    """lockstep-agent as any program of the server runs it: without settings."""
    return subprocess.run([f"{BUILD}/lockstep-agent", *argv], capture_output=True, text=True, timeout=seconds, check=False,
                          env={**os.environ, "LOCKSTEP_DIR": world.public, **(env or {})})


def local_world(name):
    """A coordinator and an agent whose local HTTP is on; the first revision is released."""
    world = World(name)
    world.postgres.start()
    world.postgres.sql("CREATE DATABASE lockstep", "postgres")
    c = world.add_coordinator("lockstepd-1", f"[secrets]\nprovider = file\nkey_file = {world.folder}/kek\n")
    subprocess.run([f"{BUILD}/lockstepd", "--config", c.settings, "new-secret-key"], capture_output=True, check=True)
    c.start()
    world.token = world.bootstrap_token("tests")
    world.set(SCOPE, VALUES)
    world.set(OTHER, {"a": "b"})
    world.port, world.metrics = free_port(), f"{world.folder}/agent.prom"
    os.mkfifo(world.metrics + ".new")  # nobody reads from it, and nobody may wait for that
    world.one = Agent(world, "server-1", ["empty/prod"], scope_settings=f"check_interval = 5s\n[scope {SCOPE}]\nfile = database.url -> {world.folder}/url\n"
                      f"[scope {OTHER}]\nreaders_group = {'daemon' if os.geteuid() == 0 else grp.getgrgid(os.getegid()).gr_name}\n", general=f"""[local]
mode = 0666
listen = 127.0.0.1:{world.port}
connections = 32
secret_users = {pwd.getpwuid(os.geteuid()).pw_name}
metrics_file = {world.metrics}
metrics_interval = 200ms
""")
    world.public = f"{world.one.folder}/state.public"
    world.socket = f"{world.public}/agent.sock"
    world.set("empty/prod", {"never": "rolled out"})
    world.one.enroll().start()
    for scope in (SCOPE, OTHER, "empty/prod"):
        world.wait_agents(scope, 1)
    world.first = roll(world, SCOPE, {"note": "first"})
    return world


def setup():
    world = local_world("local")
    world.dribbled = 0
    threading.Thread(target=dribble, args=[world], daemon=True).start()
    return world


def dribble(world):
    """One byte ten times a second, until the other side has enough; how long that took."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as slow:
        slow.connect(world.socket)
        slow.settimeout(0.1)
        began = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in b"GET /v1/config/demo/prod HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100:
                slow.send(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if not slow.recv(1):
                        break
        world.dribbled = time.monotonic() - began


def test_document(world):
    """the document: items, json, yaml, env; ETag is the content hash; a known one is 304"""
    whole = ask(world, f"/v1/config/{SCOPE}")
    equal((whole.status, whole["service_name"], whole["environment"], whole["revision"]), (200, "demo", "prod", world.first), "document")
    items = {c["config_key"]: (c["config_value"], c["value_type"], c["is_secret"]) for c in whole["configs"]}
    equal(items["limits.rps"], ("100", "number", False), "an item")
    equal(items["odd key/%"], ("with 'quotes'\nand lines", "string", False), "an odd item")
    equal(whole.headers["ETag"], f'"{whole["hash"]}"', "ETag")
    wanted = {"database.url": "pg://db1", "limits.rps": 100, "flag": True, "list": [1, 2], "odd key/%": "with 'quotes'\nand lines", "note": "first"}
    equal(ask(world, f"/v1/config/{SCOPE}?format=json").body, wanted, "as JSON")
    contains(ask(world, f"/v1/config/{SCOPE}?format=yaml").raw.decode(), "database:\n  url: \"pg://db1\"")
    done = subprocess.run(["sh", "-c", 'eval "$0"; printf %s "$DATABASE_URL,$ODD_KEY__,$LIMITS_RPS"', ask(world, f"/v1/config/{SCOPE}?format=env").raw.decode()],
                          capture_output=True, text=True, check=True)
    equal(done.stdout, "pg://db1,with 'quotes'\nand lines,100", "variables of a shell")
    for suffix in ("", "?format=json", "/flag"):
        known = ask(world, f"/v1/config/{SCOPE}{suffix}", headers={"If-None-Match": whole.headers["ETag"]})
        equal((known.status, known.raw), (304, b""), f"what is known{suffix}")
    equal(ask(world, f"/v1/config/{SCOPE}", "HEAD").raw, b"", "HEAD")
    equal(ask(world, "/v1/config/demo/production").status, 200, "an alias of the environment")


def test_key(world):
    """one key, also raw; keys are one percent-encoded segment"""
    one = ask(world, f"/v1/config/{SCOPE}/limits.rps")
    equal((one["config_key"], one["config_value"], one["value_type"], one["revision"]), ("limits.rps", "100", "number", world.first), "key")
    raw = ask(world, f"/v1/config/{SCOPE}/odd%20key%2F%25?raw=1")
    equal((raw.status, raw.raw), (200, b"with 'quotes'\nand lines"), "raw value")
    with contextlib.closing(Unix(world.socket)) as kept:
        for _ in range(3):
            equal(ask(world, f"/v1/config/{SCOPE}/flag?raw=1", connection=kept).raw, b"true", "over one connection")


def test_curl(world):
    """curl reads the same"""
    done = subprocess.run(["curl", "-fsS", "--unix-socket", world.socket, f"http://local/v1/config/{SCOPE}/database.url?raw=1"],
                          capture_output=True, text=True, check=False)
    equal((done.returncode, done.stdout), (0, "pg://db1"), "curl")


def test_refusals(world):
    """everything wrong is a problem that says what and why"""
    for path, method, status, code, words in (
            (f"/v1/config/{SCOPE}/nosuch", "GET", 404, "not_found", "no key"), ("/v1/config/no/such", "GET", 404, "unknown_scope", "no/such"),
            ("/v1/config/empty/prod", "GET", 404, "no_configuration", "empty/prod"), ("/v1/config/Bad/prod", "GET", 422, "invalid", "service"),
            (f"/v1/config/{SCOPE}?revision=1", "GET", 422, "invalid", "revision"), (f"/v1/config/{SCOPE}?format=xml", "GET", 422, "invalid", "json, yaml or env"),
            (f"/v1/config/{SCOPE}/a%00b", "GET", 400, "malformed", "%25"), (f"/v1/config/{SCOPE}/%zz", "GET", 400, "malformed", "%25"),
            (f"/v1/config/{SCOPE}/%ff", "GET", 400, "malformed", "UTF-8"), ("/nowhere", "GET", 404, "not_found", "/v1/config/SERVICE/ENV"),
            (f"/v1/config/{SCOPE}", "DELETE", 405, "method_not_allowed", "DELETE"), (f"/v1/watch/{SCOPE}?since=-1", "GET", 422, "invalid", "since"),
            (f"/v1/watch/{SCOPE}?timeout=9999", "GET", 422, "invalid", "300"), (f"/v1/watch/{SCOPE}?since=1&since=2", "GET", 400, "malformed", "twice"),
            (f"/v1/config/{SCOPE}/a/b/c", "GET", 404, "not_found", "nothing")):
        a = ask(world, path, method)
        equal((a.status, a["status"], a["code"], a.headers["Content-Type"]), (status, status, code, "application/problem+json"), f"{method} {path}")
        contains(a["detail"], words)
    equal(ask(world, f"/v1/config/{SCOPE}", "PUT").headers["Allow"], "GET, HEAD", "Allow")
    equal(ask(world, f"/v1/config/{SCOPE}", "POST", body=b"x" * 20000)["code"], "too_large", "a large body")
    with contextlib.closing(Unix(world.socket)) as c:
        c.putrequest("GET", f"/v1/config/{SCOPE}")
        c.putheader("Content-Length", "0")
        c.putheader("Content-Length", "5")
        c.endheaders()
        equal(c.getresponse().status, 400, "two lengths")


def test_long_poll(world):
    """the long poll answers at once when there is news, when news comes, or when its time is up"""
    now = ask(world, f"/v1/config/{SCOPE}")["revision"]
    began = time.monotonic()
    quiet = ask(world, f"/v1/watch/{SCOPE}?since={now}&timeout=1")
    equal((quiet["has_changes"], quiet["reset"], quiet["changes"], quiet["latest_version"]), (False, False, [], now), "nothing new")
    check(time.monotonic() - began >= 0.9, "it waited")
    answers = []
    waiting = [threading.Thread(target=lambda: answers.append(ask(world, f"/v1/watch/{SCOPE}?since={now}&timeout=60", timeout=70))) for _ in range(10)]
    for t in waiting:
        t.start()
    new = roll(world, SCOPE, {"limits.rps": "200", "added": "x"}, ["note"])
    for t in waiting:
        t.join(30)
    equal(len(answers), 10, "answers")
    for a in answers:
        equal((a["has_changes"], a["reset"], a["latest_version"]), (True, False, new), "news")
        equal(a["changes"], [{"key": "added", "value": "x", "value_type": "string"}, {"key": "limits.rps", "value": 200, "value_type": "number"},
                             {"key": "note", "deleted": True}], "changes")
    unknown = ask(world, f"/v1/watch/{SCOPE}?since=99999")
    equal((unknown["has_changes"], unknown["reset"], len(unknown["changes"])), (True, True, 6), "a revision that is not kept")


def test_events(world):
    """a stream tells each change; who comes back with Last-Event-ID is told what it missed"""
    now = ask(world, f"/v1/config/{SCOPE}")["revision"]
    stream = Stream(world, f"/v1/events/{SCOPE}")
    equal(stream.answer.getheader("Content-Type"), "text/event-stream", "type")
    first = stream.next()
    equal((first["id"], first["event"], first["data"]["reset"], first["data"]["revision"]), (str(now), "change", True, now), "what is there")
    new = roll(world, SCOPE, {"note": "by stream"})
    second = stream.next()
    equal((second["id"], second["data"]["reset"], second["data"]["from_revision"], second["data"]["changes"]), (str(new), False, now, [{"key": "note"}]), "a change")
    stream.close()
    newer = roll(world, SCOPE, {"note": "missed"}, ["added"])
    back = Stream(world, f"/v1/events/{SCOPE}", {"Last-Event-ID": str(new)})
    missed = back.next()
    equal((missed["id"], missed["data"]["changes"]), (str(newer), [{"key": "added", "deleted": True}, {"key": "note"}]), "what was missed")
    back.close()
    current = Stream(world, f"/v1/events/{SCOPE}", {"Last-Event-ID": str(newer)})
    newest = roll(world, SCOPE, {"note": "live again"})
    equal(current.next()["id"], str(newest), "nothing is told twice")
    current.close()
    strange = Stream(world, f"/v1/events/{SCOPE}", {"Last-Event-ID": "99999"})
    equal(strange.next()["data"]["reset"], True, "an id that is not kept")
    strange.close()
    equal(ask(world, f"/v1/events/{SCOPE}", headers={"Last-Event-ID": "x"}).status, 422, "an id that is none")


def test_agent_itself(world):
    """health, status and metrics tell what the agent runs, and the file of metrics says the same"""
    equal(ask(world, "/healthz").body, {"status": "ok", "connected": True}, "health")

    def settled():
        status = ask(world, "/v1/status").body
        return status if status["connection"] == "welcomed" and not status["outbox"] else None
    status = wait_until(settled, "the status is settled")
    scopes = {f"{s['service_name']}/{s['environment']}": s for s in status["scopes"]}
    now = ask(world, f"/v1/config/{SCOPE}")
    one = scopes[SCOPE]
    equal((one["state"], one["revision"], one["hash"], one["drifted"], one["check_failing"]), ("ok", now["revision"], now["hash"], False, False), "state of a scope")
    check(one["counts"]["applied"] >= 4 and one["last_apply_at"], f"its applies: {one}")
    equal((scopes["empty/prod"]["state"], scopes["empty/prod"]["revision"], scopes["empty/prod"]["hash"]), ("none", 0, None), "a scope without configuration")
    text = ask(world, "/metrics")
    contains(text.headers["Content-Type"], "version=0.0.4")
    values = parse_metrics(text.raw.decode())
    equal(values[f'lockstep_agent_scope_revision{{scope="{SCOPE}"}}'], now["revision"], "revision")
    equal(values[f'lockstep_agent_scope_state{{scope="{SCOPE}",state="ok"}}'], 1, "state")
    equal(values[f'lockstep_agent_scope_info{{scope="{SCOPE}",active="{now["hash"]}",desired="{now["hash"]}"}}'], 1, "hashes")
    equal((values["lockstep_agent_connected"], values["lockstep_agent_outbox_length"]), (1, 0), "the agent")
    wait_until(lambda: parse_metrics(read(world.metrics)).get(f'lockstep_agent_scope_revision{{scope="{SCOPE}"}}') == now["revision"], "the file says the same")


def parse_metrics(text):
    """Strictly: HELP, TYPE, then samples of that name; no sample twice."""
    values, name = {}, None
    for line in text.splitlines():
        if m := re.fullmatch(r"# HELP (\w+) [A-Z0-9].*\.", line):
            name = m.group(1)
        elif m := re.fullmatch(r"# TYPE (\w+) (gauge|counter)", line):
            equal(m.group(1), name, "the name of TYPE")
            check((m.group(2) == "counter") == name.endswith("_total"), f"{name} is a {m.group(2)}")
        else:
            m = re.fullmatch(r"(\w+)(\{\w+=\"[^\"]*\"(?:,\w+=\"[^\"]*\")*\})? (-?[0-9.e+]+)", line)
            check(m and m.group(1) == name, f"a sample: {line}")
            check(m.group(1) + (m.group(2) or "") not in values, f"twice: {line}")
            values[m.group(1) + (m.group(2) or "")] = float(m.group(3))
    return values


def test_loopback(world):
    """over loopback the same is read, but not by a page in a browser, and not what has readers of its own"""
    def over(path, headers=None):
        return ask(world, path, headers=headers, connection=http.client.HTTPConnection("127.0.0.1", world.port, timeout=10))
    equal(over(f"/v1/config/{SCOPE}/flag?raw=1").raw, b"true", "a key")
    equal(over(f"/v1/config/{OTHER}").status, 403, "a scope with a readers_group")
    equal(over(f"/v1/config/{SCOPE}", {"Origin": "http://evil.example"}).status, 403, "a page")
    equal(over(f"/v1/config/{SCOPE}", {"Host": "evil.example"}).status, 403, "another name for loopback")
    check(OTHER not in str(over("/v1/status").body), "its status is not shown either")


AS_USER = """import http.client, socket, sys
c = http.client.HTTPConnection("localhost"); c.sock = socket.socket(socket.AF_UNIX); c.sock.connect(sys.argv[1])
c.request("GET", sys.argv[2]); print(c.getresponse().status)"""


def test_users(world):
    """who is not in a scope's readers_group is refused, whoever else may connect"""
    need_root("requests of other users")
    roll(world, OTHER, {"a": "c"})
    os.chmod(world.one.folder, 0o755)
    users = {p.pw_name: p for p in pwd.getpwall()}

    def status_for(user, group=None):
        extra = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [group] if group else []}
        return int(subprocess.run(["python3", "-c", AS_USER, world.socket, f"/v1/config/{OTHER}"], capture_output=True, text=True, check=True, cwd="/", **extra).stdout)
    equal([status_for(users[name]) for name in ("nobody", "daemon")], [403, 200], "another user, and one whose first group it is")
    equal(status_for(users["nobody"], users["daemon"].pw_gid), 200, "a user with that group besides")
    equal(ask(world, f"/v1/config/{OTHER}").status, 200, "root")
    program = shutil.copy(f"{BUILD}/lockstep-agent", f"{world.folder}/lockstep-agent")  # the build may lie where nobody else looks
    done = subprocess.run([program, "get", OTHER, "a", "--wait", "20s", "--dir", world.public], capture_output=True, text=True, timeout=10, check=False, cwd="/", user=users["nobody"].pw_uid, group=users["nobody"].pw_gid, extra_groups=[])
    equal(done.returncode, 5, f"exit code of get for another user: {done.stderr}")
    contains(done.stderr, "readers_group")


def secret_for_nobody(world):
    """The status of what another user is answered; None where we cannot be one."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return subprocess.run(["python3", "-c", AS_USER, world.socket, f"/v1/config/{SCOPE}/db.password?raw=1"], capture_output=True, text=True, check=True, cwd="/",
                          user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[]).stdout


def test_secrets(world):
    """a secret's value is given to secret_users alone, over the Unix socket; others learn that it is there"""
    plain = "correct-horse"
    world.ok("POST", f"/config/{SCOPE}", {"set": {"db.password": {"config_value": plain, "encrypt": True}}})
    world.wait_state(world.start_rollout(SCOPE, ALL), "completed")
    one = wait_until(lambda: (a := ask(world, f"/v1/config/{SCOPE}/db.password")).status == 200 and a, "the secret is there")
    equal((one["config_value"], one["value_type"], one["is_secret"]), (plain, "string", True), "for one of secret_users")
    for _ in range(20):
        raw = ask(world, f"/v1/config/{SCOPE}/db.password?raw=1")
        equal((raw.status, raw.raw), (200, plain.encode()), "raw")
    check("ETag" not in raw.headers, "nobody keeps it")
    whole = ask(world, f"/v1/config/{SCOPE}")
    equal([c for c in whole["configs"] if c["is_secret"]], [{"config_key": "db.password", "config_value": None, "value_type": "secret", "is_secret": True}], "in the document")
    for path in ("", "?format=json", "?format=env", "?format=yaml"):
        check(plain.encode() not in ask(world, f"/v1/config/{SCOPE}{path}").raw, f"not in the document{path}")
    over = ask(world, f"/v1/config/{SCOPE}/db.password?raw=1", connection=http.client.HTTPConnection("127.0.0.1", world.port, timeout=10))
    equal((over.status, over["code"]), (403, "secret"), "over loopback")
    equal(ask(world, f"/v1/config/{SCOPE}/db.password", connection=http.client.HTTPConnection("127.0.0.1", world.port, timeout=10))["config_value"], None, "over loopback")
    done = words(world, "get", SCOPE, "db.password")
    equal((done.returncode, done.stdout), (5, ""), "get")
    contains(words(world, "exec", SCOPE, "--", "env").stderr, f"1 secret of {SCOPE} left out")
    status = secret_for_nobody(world)
    world.ok("POST", f"/config/{SCOPE}", {"set": {}, "delete": ["db.password"]})
    world.wait_state(world.start_rollout(SCOPE, ALL), "completed")
    need_root("a secret for another user")
    equal(status, "403\n", "another user")


def test_confirm(world):
    """a program in any language is a consumer: applied waits for its word, its no takes the change back"""
    def say(body, scope=SCOPE, connection=None):
        return ask(world, f"/v1/config/{scope}/confirm", "POST", body=json.dumps(body), connection=connection)
    program = subprocess.Popen(["sleep", "300"])
    now = ask(world, f"/v1/config/{SCOPE}")
    registered = say({"name": "shop", "pid": program.pid})
    equal((registered.status, registered["confirmed"], registered["pid"]), (200, False, program.pid), "registered")
    line = wait_until(lambda: next((line for line in world.one.process.log_text().splitlines() if "consumer registered" in line), None), "it is told")
    contains(line, f'name="shop (pid {program.pid})"')
    check(" pid=" not in line, f"one number, the program's: {line}")
    equal(say({"hash": now["hash"], "pid": program.pid})["confirmed"], True, "confirmed")
    wait_until(lambda: [s["consumers"] for s in ask(world, "/v1/status")["scopes"] if s["service_name"] == "demo"] == [{"registered": 1, "confirmed": 1}], "it is counted")
    contains(ask(world, "/metrics").raw.decode(), f'lockstep_agent_scope_consumers_confirmed{{scope="{SCOPE}"}} 1')

    def answer_next(error):
        """What the program does: waits for news, then says what it makes of it."""
        seen = ask(world, f"/v1/watch/{SCOPE}?since={ask(world, f'/v1/config/{SCOPE}')['revision']}&timeout=30", timeout=40)
        say({"hash": seen["hash"], "pid": program.pid, **error})
    for error, state, words_ in (({}, "completed", ""), ({"error": "cannot bind port 99"}, "rolled_back", "cannot bind port 99")):
        thread = threading.Thread(target=answer_next, args=[error])
        thread.start()
        world.set(SCOPE, {"note": f"consumed {state}"})
        rollout = world.start_rollout(SCOPE, ALL)
        if error:  # what is gone back to wants its word, too
            thread.join(30)
            wait_until(lambda: say({"hash": last, "pid": program.pid}).status == 200, "the old content is confirmed")
        world.wait_state(rollout, state)
        thread.join(30)
        contains(world.servers_of(rollout)["server-1"]["reason"], words_)
        last = ask(world, f"/v1/config/{SCOPE}")["hash"]
    equal(say({"hash": "0" * 64, "pid": program.pid})["code"], "conflict", "another content")
    for body, code in (([], "malformed"), ({"hash": 5}, "invalid"), ({"error": "x"}, "invalid"), ({"typo": 1}, "invalid"), ({"pid": 0}, "invalid"), ({"pid": 2**22 + 1}, "forbidden")):
        equal(say(body)["code"], code, f"{body}")
    equal(say({}, connection=http.client.HTTPConnection("127.0.0.1", world.port, timeout=10)).status, 403, "over loopback")
    program.kill()
    program.wait()
    wait_until(lambda: world.one.process.log_has("consumer left"), "its end is noticed")
    roll(world, SCOPE, {"note": "nobody to wait for"})


HOLD = """import contextlib, socket, sys, time
held = []
for _ in range(60):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    with contextlib.suppress(OSError):
        s.send(b"GET / HT")
    held.append(s)
print("held", flush=True)
time.sleep(60)"""


def test_greedy_user(world):
    """a user's idle connections do not shut out others, and do not hinder the agent"""
    need_root("requests of other users")
    nobody = pwd.getpwnam("nobody")
    greedy = subprocess.Popen(["python3", "-c", HOLD, world.socket], stdout=subprocess.PIPE, text=True, cwd="/", user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
    try:
        equal(greedy.stdout.readline(), "held\n", "the greedy one")
        for _ in range(20):
            equal(ask(world, f"/v1/config/{SCOPE}/flag?raw=1", timeout=10).raw, b"true", "an answer for somebody else")
        revision = roll(world, SCOPE, {"note": "in spite of it"})
        equal(ask(world, f"/v1/config/{SCOPE}")["revision"], revision, "the agent works")
    finally:
        greedy.kill()
        greedy.wait()


LOOPBACK = """
import socket, sys, time
held = []
for _ in range(60):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.send(b"GET / HT")
    held.append(s)
print("held", flush=True)
time.sleep(60)"""


def test_greedy_user_of_loopback(world):
    """over loopback, too, a user's connections do not shut out others"""
    need_root("requests of other users")
    nobody = pwd.getpwnam("nobody")
    greedy = subprocess.Popen(["python3", "-c", LOOPBACK, str(world.port)], stdout=subprocess.PIPE, text=True, cwd="/", user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
    try:
        equal(greedy.stdout.readline(), "held\n", "the greedy one")
        for _ in range(20):
            c = http.client.HTTPConnection("127.0.0.1", world.port, timeout=10)
            c.request("GET", f"/v1/config/{SCOPE}/flag?raw=1")
            equal(c.getresponse().read(), b"true", "an answer for somebody else")
            c.close()
    finally:
        greedy.kill()
        greedy.wait()


def test_slow_client(world):
    """a request that dribbles in for longer than ten seconds is cut off"""
    wait_until(lambda: world.dribbled, "the slow client was cut off", 20)
    check(9 < world.dribbled < 14, f"cut off after {world.dribbled:.0f} s")


def test_reload(world):
    """SIGHUP: streams of scopes that stay go on, a scope that goes is gone, one that comes is served"""
    stream = Stream(world, f"/v1/events/{SCOPE}")
    stream.next()
    leaving = Stream(world, "/v1/events/empty/prod")
    leaving.next()
    before = read(world.one.settings)
    write(world.one.settings, before.replace("[scope empty/prod]", "[scope fresh/prod]"), 0o600)
    world.one.process.send(signal.SIGHUP)
    wait_until(lambda: ask(world, "/v1/config/fresh/prod")["code"] == "no_configuration", "the new scope is known")
    equal(leaving.next(), None, "the stream of the scope that left")
    equal(ask(world, "/v1/config/empty/prod")["code"], "unknown_scope", "the scope that left")
    revision = roll(world, SCOPE, {"note": "after the reload"})
    equal(stream.next()["id"], str(revision), "the stream goes on")
    stream.close()
    write(world.one.settings, before, 0o600)
    world.one.process.send(signal.SIGHUP)
    wait_until(lambda: ask(world, "/v1/config/empty/prod")["code"] == "no_configuration", "the scope is back")


def serves(world):
    try:
        return ask(world, "/healthz").status == 200
    except OSError:
        return False


def test_stop_with_waiters(world):
    """an agent with polls and streams open stops at once, and serves again after its start"""
    stream = Stream(world, f"/v1/events/{SCOPE}")
    stream.next()
    now, answers = ask(world, f"/v1/config/{SCOPE}")["revision"], []
    poll = threading.Thread(target=lambda: answers.append(ask(world, f"/v1/watch/{SCOPE}?since={now}&timeout=60", timeout=70)))
    poll.start()
    time.sleep(0.2)  # so that it waits already; either way it must end
    equal(world.one.process.stop(seconds=5), 0, "exit status")
    poll.join(10)
    equal(answers[0].status, 503, "the poll")
    equal(stream.next(), None, "the stream ends")
    check(not os.path.exists(world.socket), "the socket is gone")
    world.one.start()
    wait_until(lambda: serves(world), "it serves again")
    world.one.kill()  # leaves its socket behind
    world.one.start()
    wait_until(lambda: world.one.process.log_text().count('message="local HTTP"') >= 3, "it listens where the dead one did")
