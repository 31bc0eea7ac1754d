"""secrets.py - secret values: sealed at the write, shown to few, rewrapped, destroyed, and nowhere in the clear."""
import hashlib
import hmac
import json
import os
import pty
import random
import subprocess
import termios
import threading

from api import completed, pointers, problem
from keyring import TOKEN, Vault, kill_waiting_rewrap
from kit import BUILD, World, check, contains, equal, wait_until, write
from schemas import costly

PLAIN = "correct-horse-battery"  # every secret of these tests has it in it


def lockstepd(world, *words):
    return subprocess.run([f"{BUILD}/lockstepd", "--config", world.coordinators[0].settings, *words],
                          capture_output=True, text=True, timeout=120, check=False)


def make_token(world, name, *grants):
    return world.ok("POST", "/tokens", {"name": name, "grants": list(grants)}, token=world.reader)["token"]


def setup():
    world = World("secrets").start_with_secrets()
    world.key_file = f"{world.folder}/secrets.key"
    world.reader = world.token  # it holds every right
    world.token = make_token(world, "admin", {"role": "admin", "environment": "*"})
    return world


def put(world, path, value, **more):
    return world.ok("PUT", f"/config/{path}", {"config_value": value, **more})


def hidden(item):
    equal(item.get("encrypted"), True, f"encrypted in {item}")
    check("config_value" not in item and "value" not in item, f"a value in {item}")
    return item


def test_written_and_read(world):
    """a secret is sealed at the write; without the right one sees that it is one, with it the value, which nobody keeps"""
    made = hidden(put(world, "shop/prod/db.password", f"{PLAIN}-1", encrypt=True, description="of the database"))
    equal((made["version"], made["value_type"], made["changed"]), (1, "string", True), "what was written")
    put(world, "shop/prod/db.host", "db1")
    rows = world.postgres.json("SELECT key, value, secret FROM config_version WHERE secret IS NOT NULL")
    equal(json.loads(rows[0]["value"]), {"$secret": rows[0]["secret"]}, "what the version has")
    for path in ("/config/shop/prod/db.password?revision=head", "/config/shop/prod?revision=1"):
        answer = world.api("GET", path)
        item = answer.body["configs"][0] if "configs" in answer.body else answer.body
        hidden(item)
        check("no-store" not in answer.headers["Cache-Control"], "nothing to hide")
        answer = world.api("GET", path, token=world.reader)
        item = answer.body["configs"][0] if "configs" in answer.body else answer.body
        equal((item["config_value"], item["encrypted"]), (f"{PLAIN}-1", True), "with the right")
        equal(answer.headers["Cache-Control"], "no-store", "who may keep it")
    problem(world.api("GET", "/config/shop/prod/db.password?revision=head&raw=1"), 403, "forbidden", "secret.read")
    equal(world.api("GET", "/config/shop/prod/db.password?revision=head&raw=1", token=world.reader).raw.decode(), f"{PLAIN}-1", "raw")


def test_the_same_again(world):
    """the value that is there already makes no version; a key stays a secret until somebody says otherwise"""
    equal(put(world, "same/prod/k", PLAIN, encrypt=True)["version"], 1, "version")
    equal(put(world, "same/prod/k", PLAIN)["changed"], False, "the same value")
    equal(put(world, "same/prod/k", PLAIN, encrypt=True)["changed"], False, "the same value")
    again = hidden(put(world, "same/prod/k", f"{PLAIN}-2"))
    equal((again["version"], again["changed"]), (2, True), "another value")
    described = hidden(put(world, "same/prod/k", f"{PLAIN}-2", description="new words"))
    equal((described["version"], described["description"]), (3, "new words"), "another description")
    equal(len(world.postgres.sql("SELECT DISTINCT secret FROM config_version WHERE key = 'k' AND secret IS NOT NULL AND version > 1")), 1,
          "envelopes of the two versions")
    equal(world.ok("GET", "/config/same/prod/k?revision=head", token=world.reader)["config_value"], f"{PLAIN}-2", "it opens")
    plain = put(world, "same/prod/k", "public", encrypt=False)
    equal((plain["config_value"], plain.get("encrypted")), ("public", None), "a plain version")
    number = hidden(put(world, "same/prod/n", 42, encrypt=True))
    equal(number["value_type"], "number", "type")
    equal(world.ok("GET", "/config/same/prod?revision=head&format=json", token=world.reader)["n"], 42, "a number")
    problem(world.api("PUT", "/config/same/prod/fake", {"config_value": {"$secret": rows_digest(world)}}), 422, None, "encrypt")


def rows_digest(world):
    return world.postgres.sql("SELECT digest FROM secret LIMIT 1")[0][0]


def test_many_and_formats(world):
    """batch, document, history, diff, search and watch: values with the right, never without; YAML never"""
    changes = world.ok("POST", "/config/forms/prod", {"set": {
        "a.secret": {"config_value": f"{PLAIN}-a", "encrypt": True}, "a.plain": "p",
        "j": {"config_value": {"token": PLAIN}, "encrypt": True}}})["changes"]
    equal({c["key"]: (c["new"], c.get("encrypted")) for c in changes}, {"a.secret": (None, True), "a.plain": ("p", None), "j": (None, True)}, "the write's answer")
    world.start_rollout("forms/prod", "all-at-once")
    wait = world.ok("GET", "/watch/forms/prod?since=0&timeout=20")
    equal({c["key"]: c.get("value") for c in wait["changes"]}, {"a.plain": "p", "a.secret": None, "j": None}, "watch")
    seen = {c["key"]: c.get("value") for c in world.ok("GET", "/watch/forms/prod?since=0", token=world.reader)["changes"]}
    equal(seen, {"a.plain": "p", "a.secret": f"{PLAIN}-a", "j": {"token": PLAIN}}, "watch with the right")
    ask = {"service_name": "forms", "environment": "prod", "config_keys": ["a.secret", "a.plain"]}
    values = lambda answer: [c.get("config_value") for c in answer]
    for _ in range(2):  # what is kept of the first is not the secret
        equal(values(world.ok("POST", "/config/batch", ask, token=world.reader)["configs"]), [f"{PLAIN}-a", "p"], "batch with the right")
        equal(values(world.ok("POST", "/config/batch", ask)["configs"]), [None, "p"], "batch")
    equal(values(world.ok("GET", "/config/search?key=a.*&service=forms")["configs"]), ["p", None], "search")
    equal(values(world.ok("GET", "/config/search?key=a.*&service=forms", token=world.reader)["configs"]), ["p", f"{PLAIN}-a"], "search with the right")
    hidden(world.ok("GET", "/config/forms/prod/a.secret/history")["versions"][0])
    equal(world.ok("GET", "/config/forms/prod/a.secret/history", token=world.reader)["versions"][0]["config_value"], f"{PLAIN}-a", "history")
    for token in ("", world.reader):
        diff = {c["key"]: c for c in world.ok("GET", "/revisions/forms/prod/diff?from=0&to=1", token=token)["changes"]}
        equal((diff["a.secret"]["new"], diff["a.secret"]["encrypted"]), (None, True), "a difference")
        yaml = world.api("GET", "/config/forms/prod?format=yaml", token=token).raw.decode()
        contains(yaml, "secret: !secret 1", "plain: \"p\"", "j: !secret 1")
    answer = world.api("GET", "/config/forms/prod?format=json")
    equal((answer.body, sorted(answer.headers["Lockstep-Left-Out"].split(", "))), ({"a.plain": "p"}, ["a.secret", "j"]), "JSON")
    answer = world.api("GET", "/config/forms/prod?format=json", token=world.reader)
    equal((answer.body, answer.headers["Cache-Control"]), ({"a.plain": "p", "a.secret": f"{PLAIN}-a", "j": {"token": PLAIN}}, "no-store"), "JSON with the right")
    contains(world.api("GET", "/config/forms/prod?format=env", token=world.reader).raw.decode(), f"A_SECRET='{PLAIN}-a'")
    check(PLAIN not in world.api("GET", "/config/forms/prod?format=env").raw.decode(), "env without the right")


def test_repeated_requests(world):
    """a request that is repeated under its Idempotency-Key is known again by a hash that confirms no guess of its body"""
    body, headers = {"set": {"k": {"config_value": f"{PLAIN}-once", "encrypt": True}}}, {"Idempotency-Key": "with-a-secret"}
    made = [world.api("POST", "/config/once/prod", body, headers=headers) for _ in range(2)]
    equal(([m.status for m in made], made[1].headers["Idempotency-Replayed"]), ([201, 201], "true"), "once")
    problem(world.api("POST", "/config/once/prod", {"set": {"k": "other"}}, headers=headers), 422, "idempotency_mismatch")
    text = b"/api/v1/config/once/prod\n" + json.dumps(body).encode()
    kept = world.postgres.sql("SELECT encode(request_hash, 'hex') FROM claim WHERE key = 'with-a-secret'")[0][0]
    equal(kept, hmac.new(world.token.encode(), text, hashlib.sha256).hexdigest(), "keyed with the token")


def test_ways_back_and_down(world):
    """rollback, drafts put back, copies and inheritance carry secrets; what is copied is sealed anew, by who may read it"""
    for n in (1, 2, 3):
        put(world, "back/prod/k", f"{PLAIN}-{n}", encrypt=True)
    back = hidden(world.ok("POST", "/config/back/prod/k/rollback", {"target_version": 1}))
    equal(back["version"], 4, "a new version")
    read = lambda path: world.ok("GET", f"/config/{path}?revision=head", token=world.reader)["config_value"]
    equal(read("back/prod/k"), f"{PLAIN}-1", "the old value")
    world.ok("POST", "/config/back/prod/rollback", {"target_revision": 2})
    equal(read("back/prod/k"), f"{PLAIN}-2", "after going back")
    completed(world, "back/prod", other="1")
    put(world, "back/prod/k", f"{PLAIN}-draft")
    fixed = world.ok("PUT", "/config/back/prod/fix", {"config_value": "now", "base": "released"})
    equal(fixed["dropped_drafts"], [], "dropped")
    equal(read("back/prod/k"), f"{PLAIN}-draft", "the draft, put back")
    problem(world.api("POST", "/config/copied/staging/copy", {"from": {"service": "back", "environment": "prod"}}), 403, "forbidden", "secret.read")
    world.ok("POST", "/config/copied/staging/copy", {"from": {"service": "back", "environment": "prod"}}, token=world.reader)
    equal(read("copied/staging/k"), f"{PLAIN}-2", "the copy of what is released")
    again = world.ok("POST", "/config/copied/staging/copy", {"from": {"service": "back", "environment": "prod"}}, token=world.reader)
    equal(again["changed"], False, "the same copy again")
    equal(len(world.postgres.sql("SELECT 1 FROM secret JOIN scope USING (scope_id) WHERE service = 'copied'")), 1, "envelopes of the copy")
    put(world, "child/prod/own", "1")
    problem(world.api("PUT", "/parents/child/prod", {"parents": ["back/prod"]}), 422, None, "secret.read")
    world.ok("PUT", "/parents/child/prod", {"parents": ["back/prod"]}, token=world.reader)
    equal(read("child/prod/k"), f"{PLAIN}-draft", "inherited")
    child_only = make_token(world, "child", {"role": "viewer", "environment": "prod", "service": "child", "rights": ["secret.read"]})
    hidden(world.ok("GET", "/config/child/prod/k?revision=head", token=child_only))
    put(world, "back/prod/k", f"{PLAIN}-new")
    equal(read("child/prod/k"), f"{PLAIN}-new", "inherited again")


def test_schemas(world):
    """schemas judge the value at the write, and no error tells it"""
    world.ok("PUT", "/schemas/judged/pin", {"type": "string", "minLength": 8, "format": "email"})
    wrong = world.api("PUT", "/config/judged/prod/pin", {"config_value": "hunter2", "encrypt": True})
    problem(wrong, 422, "schema_violation", "at least 8")
    check(b"hunter2" not in wrong.raw, f"the value in {wrong}")
    equal(pointers(wrong)[0], "/config_value", "pointer")
    put(world, "judged/prod/pin", f"{PLAIN}@example.com", encrypt=True)
    wrong = world.api("PUT", "/config/judged/prod/n", {"config_value": "hunter2", "value_type": "number", "encrypt": True})
    problem(wrong, 422, "invalid", "no valid number")
    wrong2 = world.api("POST", "/config/judged/prod/validate", {"set": {"pin": {"config_value": "hunter2", "encrypt": True}}})
    problem(wrong2, 422, "schema_violation")
    broken = world.api("PUT", "/config/judged/prod/n", raw_body=b'{"config_value": "hunter2" "x"}', headers={"Content-Type": "application/json"})
    problem(broken, 400, "malformed", "line 1")
    for answer in (wrong, wrong2, broken):
        check(b"hunter2" not in answer.raw, f"the value in {answer}")
    existing = world.api("PUT", "/schemas/judged/pin", {"type": "string", "maxLength": 3})
    check(PLAIN.encode() not in existing.raw, f"the value in {existing}")


def test_work_of_another_request(world):
    """a secret is judged with all the work of its own request, whatever the one before took"""
    narrow = world.add_coordinator("narrow", f"[secrets]\nprovider = file\nkey_file = {world.key_file}\n[http]\nworkers = 1\n").start()
    body = costly(world, "costly")
    for n in range(12):
        world.ok("PUT", f"/schemas/costly/key-{n}", body)
    world.ok("PUT", "/schemas/modest/password", {"type": "string"})
    problem(narrow.api("POST", "/config/costly/prod/validate", {"set": {f"key-{n}": "x" for n in range(12)}}), 413, "too_large", "steps of work")
    answer = narrow.api("POST", "/config/modest/prod/validate", {"set": {"password": {"config_value": PLAIN, "encrypt": True}}})
    equal(answer.status, 200, f"the next one: {answer}")
    equal(narrow.process.stop(), 0, "it ends")
    world.coordinators.remove(narrow)


def test_keyring_away(world):
    """without the key, plain values go on; secrets say why not"""
    completed(world, "away/prod", plain="1")
    put(world, "away/prod/k", PLAIN, encrypt=True)
    os.rename(world.key_file, f"{world.key_file}.gone")
    try:
        equal(world.ok("GET", "/config/away/prod/plain", token=world.reader)["config_value"], "1", "plain")
        equal(put(world, "away/prod/plain", "2")["changed"], True, "a plain write")
        problem(world.api("GET", "/config/away/prod/k?revision=head", token=world.reader), 503, "secrets_unavailable", world.key_file)
        hidden(world.ok("GET", "/config/away/prod/k?revision=head"))
        listed = {c["config_key"]: c for c in world.ok("GET", "/config/away/prod?revision=head", token=world.reader)["configs"]}
        contains(hidden(listed["k"])["unavailable"], world.key_file)
        equal(listed["plain"]["config_value"], "2", "plain, beside it")
        problem(world.api("GET", "/config/away/prod?revision=head&format=json", token=world.reader), 503, "secrets_unavailable")
        for body in ({"config_value": PLAIN}, {"config_value": "other"}):
            problem(world.api("PUT", "/config/away/prod/k", body), 503, "secrets_unavailable")
        problem(world.api("PUT", "/config/away/prod/new", {"config_value": "x", "encrypt": True}), 503, "secrets_unavailable")
        equal(put(world, "away/prod/k", "public", encrypt=False)["config_value"], "public", "in the clear")
    finally:
        os.rename(f"{world.key_file}.gone", world.key_file)


def test_destroyed(world):
    """destroying shreds the data key; what is still needed is refused and named, unless forced; the trail has hashes"""
    for n in (1, 2, 3):
        put(world, "gone/prod/k", f"{PLAIN}-{n}", encrypt=True)
    destroy = lambda *versions, token="", **more: world.api("POST", "/config/gone/prod/k/destroy", {"versions": list(versions), **more}, token=token)
    world.wait_state(world.start_rollout("gone/prod", "all-at-once"), "completed")
    editor = make_token(world, "editor", {"role": "editor", "environment": "*"})
    problem(destroy(1, token=editor), 403, "forbidden", "secret.destroy")
    problem(destroy(9), 404, "unknown_version", "version 9")
    problem(destroy(), 422, None, "1 to 1000")
    needed = problem(destroy(1, 3), 409, "secret_needed", "version 3", "is released")
    equal([(n["version"], n["scope"], n["why"]) for n in needed["needed"]], [(3, "gone/prod", "is released")], "who needs it")
    done = destroy(1, 2, reason="it leaked")
    equal((done.status, done["destroyed"]), (200, [1, 2]), "destroyed")
    equal(destroy(1).status, 200, "once more")
    gone = problem(world.api("GET", "/config/gone/prod/k?revision=2", token=world.reader), 410, "secret_destroyed", "was destroyed")
    equal(gone["title"], "Gone", "what 410 is called")
    history = {v["version"]: v for v in world.ok("GET", "/config/gone/prod/k/history", token=world.reader)["versions"]}
    equal((history[3]["config_value"], hidden(history[1])["destroyed"]), (f"{PLAIN}-3", True), "history")
    answer = world.api("GET", "/config/gone/prod?revision=2&format=json", token=world.reader)
    equal((answer.body, answer.headers["Lockstep-Left-Out"]), ({}, "k"), "the document then")
    problem(world.api("POST", "/config/gone/prod/k/rollback", {"target_version": 1}), 410, "secret_destroyed")
    problem(world.api("POST", "/config/gone/prod/rollback", {"target_revision": 1}), 410, "secret_destroyed")
    forced = destroy(3, force=True)
    equal((forced.status, [n["why"] for n in forced["needed"]]), (200, ["is released"]), "forced")
    put(world, "heir/prod/own", "1")
    put(world, "gone/prod/handed-down", PLAIN, encrypt=True)
    world.ok("PUT", "/parents/heir/prod", {"parents": ["gone/prod"]}, token=world.reader)
    heir = make_token(world, "heir", {"role": "admin", "environment": "prod", "service": "heir"})
    for body in ({"versions": [1]}, {"versions": [1], "force": True}):
        problem(world.api("POST", "/config/heir/prod/handed-down/destroy", body, token=heir), 409, "inherited", "gone/prod")
    rows = [a for a in world.audit() if a["action"] == "config.destroy"]
    equal([(a["note"], [v["version"] for v in a["data"]["versions"]], a["data"]["forced"]) for a in rows],
          [("it leaked", [1, 2], False), ("", [3], True)], "the trail")
    equal(world.postgres.sql("SELECT count(*) FROM secret_key JOIN secret USING (digest) JOIN scope USING (scope_id) WHERE service = 'gone' AND key = 'k'"),
          [["0"]], "data keys that are left")
    put(world, "gone/prod/k", f"{PLAIN}-4")
    equal(world.ok("GET", "/config/gone/prod/k?revision=head", token=world.reader)["config_value"], f"{PLAIN}-4", "a new one")


def test_plans(world):
    """a rollout that changes a secret stops for a person when it fails, unless the strategy says otherwise"""
    put(world, "plan/prod/k", PLAIN, encrypt=True)
    plan = lambda strategy: world.ok("POST", "/rollouts", {"changes": [{"service": "plan", "environment": "prod"}], "strategy": strategy, "dry_run": True})
    first = plan("canary")
    equal((first["strategy"]["on_failure"], first["pauses_for_secrets"]), ("pause", True), "said nothing")
    equal((first["changes"][0]["keys"][0]["new"], first["changes"][0]["keys"][0]["encrypted"]), (None, True), "the key")
    said = plan({"stages": [{"percent": 100}], "on_failure": "rollback"})
    equal((said["strategy"]["on_failure"], said["pauses_for_secrets"]), ("rollback", False), "said rollback")
    world.ok("PUT", "/strategies/mine", {"stages": [{"percent": 100}]})
    equal(world.ok("GET", "/strategies/mine")["on_failure"], "rollback", "what is shown")
    equal(plan("mine")["strategy"]["on_failure"], "pause", "a named one that says nothing")
    rollout = world.start_rollout("plan/prod", "mine")
    equal(world.wait_state(rollout, "completed")["strategy"]["on_failure"], "pause", "the rollout's own copy")
    put(world, "plan/prod/plain", "1")
    equal(plan("mine")["strategy"]["on_failure"], "rollback", "without a secret")


class Readers:
    """Threads that read secrets without a pause, and remember whatever was not the value."""

    def __init__(self, world, scope, count):
        self.world, self.scope, self.count = world, scope, count
        self.reads, self.wrong, self.is_over = 0, [], False
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(4)]
        for t in self.threads:
            t.start()

    def run(self, seed):
        dice = random.Random(seed)
        while not self.is_over:
            n = dice.randrange(self.count)
            answer = self.world.api("GET", f"/config/{self.scope}/k{n}?revision=head&raw=1", token=self.world.reader)
            self.reads += 1
            if (answer.status, answer.raw.decode()) != (200, f"{PLAIN}-{n}"):
                self.wrong.append(repr(answer))

    def finish(self):
        self.is_over = True
        for t in self.threads:
            t.join()
        check(self.reads > 50, f"{self.reads} reads are no load")
        equal(self.wrong[:3], [], f"wrong answers among {self.reads}")


def test_rewrapped_under_load(world):
    """all data keys get the newest key while readers read; killed in the middle it goes on; the old key may go then"""
    count = 1000
    world.ok("POST", "/config/wrap/prod", {"set": {f"k{n}": {"config_value": f"{PLAIN}-{n}", "encrypt": True} for n in range(count)}})
    envelopes = "SELECT md5(string_agg(s::text, ',' ORDER BY digest)) FROM secret s"
    before = world.postgres.sql(envelopes)
    equal(lockstepd(world, "new-secret-key").returncode, 0, "exit code")
    newest = lockstepd(world, "check-secrets").stdout.split()[-1]
    due = lambda: int(world.postgres.sql(f"SELECT count(*) FROM secret_key WHERE key_id <> '{newest}'")[0][0])
    readers = Readers(world, "wrap/prod", count)
    metrics = lambda: world.api("GET", "/metrics", raw_path=True, token=None).raw.decode().splitlines()
    wait_until(lambda: f"lockstep_secrets_due {due()}" in metrics() and "lockstep_secrets_available 1" in metrics(), "the metrics say what is due", 25)
    middle = world.postgres.sql(f"SELECT digest FROM secret_key ORDER BY digest OFFSET {count // 2} LIMIT 1")[0][0]
    with world.postgres.held(f"SELECT FROM secret_key WHERE digest = '{middle}' FOR UPDATE"):
        kill_waiting_rewrap(world)
    left = due()
    check(0 < left < count, f"{left} of {count} are due after the kill")
    again = lockstepd(world, "rewrap")
    equal((again.returncode, again.stderr), (0, ""), "the second run")
    contains(again.stdout, f"data keys are wrapped by {newest}")
    equal(due(), 0, "data keys due")
    with open(world.key_file, encoding="ascii") as f:
        lines = f.readlines()
    write(f"{world.key_file}.new", "".join(line for line in lines if line.startswith("#")) + lines[-1], 0o400)
    os.replace(f"{world.key_file}.new", world.key_file)
    seen = readers.reads
    wait_until(lambda: readers.reads > seen + 50, "reads without the old key")
    readers.finish()
    equal(world.postgres.sql(envelopes), before, "envelopes, apart from their data keys")
    contains(lockstepd(world, "rewrap").stdout, "data keys are wrapped by")
    check([a for a in world.audit() if a["action"] == "config.rewrap" and a["data"]["key_id"] == newest], "nothing in the trail")


def at_terminal(world, *args, typed):
    """Run the command at a terminal of its own; the exit code, and what was seen there."""
    env = {**os.environ, "HOME": world.folder, "NO_COLOR": "1", "LOCKSTEP_ADDR": world.coordinators[0].addr, "LOCKSTEP_TOKEN": world.token}
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(f"{BUILD}/lockstep", ["lockstep", *args], env)
    seen = b""
    try:
        while b"not shown" not in seen:
            seen += os.read(fd, 1000)
        wait_until(lambda: not termios.tcgetattr(fd)[3] & termios.ECHO, "the echo is off")
        os.write(fd, typed)
        while True:
            seen += os.read(fd, 1000)
    except OSError:  # it ended
        pass
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode()


def test_command_line(world):
    """the command line takes secrets from files, pipes and a prompt, shows that they are some, and destroys them"""
    def cli(code, *args, **more):
        done = world.cli(*args, **more)
        equal(done.returncode, code, f"exit code of lockstep {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr
    value = lambda: world.ok("GET", "/config/line/prod/k?revision=head", token=world.reader)["config_value"]
    check("argument" not in cli(0, "config", "set", "line/prod", "k", "-", "--encrypt", stdin=f"{PLAIN}-pipe\n"), "a warning about nothing")
    equal(value(), f"{PLAIN}-pipe", "from standard input")
    contains(cli(0, "config", "set", "line/prod", f"k={PLAIN}-argument", "--encrypt"), "warning", "argument")
    code, seen = at_terminal(world, "config", "set", "line/prod", "k", "--encrypt", typed=f"{PLAIN}-tty\n".encode())
    equal((code, value()), (0, f"{PLAIN}-tty"), seen)
    check(PLAIN not in seen, f"the terminal showed {seen}")
    code, seen = at_terminal(world, "config", "set", "line/prod", "k", "--encrypt", typed=f"{PLAIN}-never\x03".encode())
    equal((code, value()), (130, f"{PLAIN}-tty"), f"after Ctrl-C: {seen}")
    contains(cli(5, "config", "get", "line/prod@head", "k"), "(encrypted)", "secret.read")
    contains(cli(0, "config", "get", "line/prod@head", "k", env={"LOCKSTEP_TOKEN": world.reader}), f"{PLAIN}-tty")
    for words in (["list", "line/prod@head"], ["history", "line/prod", "k"], ["search", "k", "--service", "line", "-r", "head"]):
        for token in (world.token, world.reader):
            shown = cli(0, "config", *words, env={"LOCKSTEP_TOKEN": token})
            contains(shown, "(encrypted)")
            check(PLAIN not in shown, f"a table with a secret: {shown}")
    contains(cli(1, "config", "diff", "line/prod"), "+ k = (encrypted)")
    contains(cli(0, "rollout", "plan", "line/prod", "--strategy", "canary"), "(encrypted)", "secrets change")
    folder = f"{world.folder}/tree"
    cli(0, "config", "export", folder, "line/prod", env={"LOCKSTEP_TOKEN": world.reader})
    with open(f"{folder}/line/prod.yaml", encoding="utf-8") as f:
        contains(f.read(), "\"k\": !secret 3")
    cli(0, "config", "import", folder, "--plan", "--prune")
    equal(value(), f"{PLAIN}-tty", "after the import")
    contains(cli(4, "config", "destroy", "line/prod", "k", "--versions", "3", "-y"), "is the newest")
    contains(cli(0, "config", "destroy", "line/prod", "k", "--versions", "1,2", "-y", "-m", "old"), "version 1 is destroyed")
    contains(cli(0, "config", "history", "line/prod", "k", env={"LOCKSTEP_TOKEN": world.reader}), "(destroyed)")
    cli(2, "config", "destroy", "line/prod", "k")
    cli(2, "config", "destroy", "line/prod", "k", "--versions", "one", "-y")
    cli(0, "config", "set", "line/prod", "k=public", "--plain")
    contains(cli(0, "config", "get", "line/prod@head", "k"), "public")
    cli(0, "config", "set", "typed/prod", "k", "-", "--encrypt", stdin=f"{PLAIN}-pipe\n")
    contains(cli(0, "config", "set", "typed/prod", f"k={PLAIN}-argument", "open=here"), 'the value of "k" was an argument')
    check("argument" not in cli(0, "config", "set", "typed/prod", "k", "-", stdin=f"{PLAIN}-2\n") + cli(0, "config", "set", "typed/prod", "open=there"), "of what was none")


def test_vault(world):
    """with a Vault: sealed, read, and rewrapped; while it is away secrets say so, and what another key wrapped says that"""
    vault, world = Vault(), World("vaulted")
    world.postgres.start()
    world.postgres.sql("CREATE DATABASE lockstep", "postgres")
    write(f"{world.folder}/vault.token", f"{TOKEN}\n", 0o600)
    c = world.add_coordinator("vaulted", f"[secrets]\nprovider = vault\nvault_url = {vault.url}\nvault_key = lockstep\n"
                                         f"vault_token_file = {world.folder}/vault.token\nvault_timeout = 1s\n").start()
    world.token = world.bootstrap_token("tests")
    ask = lambda method, path, body=None: c.api(method, f"/config/{path}", body)
    try:
        equal(ask("POST", "vault/prod", {"set": {f"k{n}": {"config_value": f"{PLAIN}-{n}", "encrypt": True} for n in range(3)}}).status, 201, "status")
        equal(ask("GET", "vault/prod/k1?revision=head&raw=1").raw.decode(), f"{PLAIN}-1", "the value")
        equal(ask("PUT", "vault/prod/k1", {"config_value": f"{PLAIN}-1"})["changed"], False, "the same value")
        equal(len([i for i in ask("GET", "vault/prod?revision=head")["configs"] if i["config_value"].startswith(PLAIN)]), 3, "the whole")
        world.postgres.sql("""UPDATE secret_key SET key_id = 'file:elsewhere' WHERE digest = (SELECT secret FROM config_version
            WHERE key = 'k0' AND secret IS NOT NULL ORDER BY version DESC LIMIT 1)""")
        problem(ask("GET", "vault/prod/k0?revision=head"), 503, "secrets_unavailable", "file:")
        done = subprocess.run([f"{BUILD}/lockstepd", "--config", c.settings, "rewrap"], capture_output=True, text=True, timeout=60, check=False)
        equal(done.returncode, 1, "other keys are not its own")
        contains(done.stderr, "stays as it is", "still wrapped by older keys")
    finally:
        vault.close()
    problem(ask("GET", "vault/prod/k1?revision=head"), 503, "secrets_unavailable", vault.url)
    problem(ask("PUT", "vault/prod/k1", {"config_value": "other"}), 503, "secrets_unavailable")
    equal(ask("PUT", "vault/prod/plain", {"config_value": "1"}).status, 201, "a plain value")
    world.close()


def test_nothing_in_the_clear(world):
    """logs, audit, outbox and the whole database never have a secret in them"""
    dump = subprocess.run(["/usr/lib/postgresql/15/bin/pg_dump", "--inserts", world.postgres.url.replace("dbname=", "dbname=")],
                          capture_output=True, text=True, timeout=60, check=False)
    equal(dump.returncode, 0, dump.stderr)
    check("INSERT INTO public.secret " in dump.stdout and "config.set" in dump.stdout, "the dump is one")
    for hiding in (dump.stdout, *(p.log_text() for p in world.processes())):
        for line in hiding.splitlines():
            check(PLAIN not in line and "hunter2" not in line, f"in the clear: {line[:300]}")
            check(PLAIN.encode().hex() not in line, f"in hex: {line[:300]}")
