"""courier.py - subscriptions: real receivers get signed messages, whatever happens in between."""
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import threading
import time

from kit import BUILD, PATIENCE, World, check, contains, equal, wait_until, write
from api import completed, pointers, problem
from keyring import kill_waiting_rewrap

RUNS = "first"
ALLOW = "[courier]\nallow = 127.0.0.1\n"


class Receiver:
    """An HTTP server that verifies every signature itself and answers as it was told to."""

    def __init__(self, *answers):
        self.answers, self.secret, self.got, self.faults, self.lock = list(answers), "", [], [], threading.Lock()
        self.release = threading.Event()  # ends the answers "wait"
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def do_GET(self):
                receiver.faults.append("a redirect was followed")
                receiver.take(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.connections, accept = 0, self.server.get_request

        def counted():
            self.connections += 1
            return accept()

        self.server.get_request = counted
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def verify(self, headers, body):
        """As Standard Webhooks says, without a line of the program under test."""
        stamp, message = headers["webhook-timestamp"], headers["webhook-id"]
        key = base64.b64decode(self.secret.removeprefix("whsec_"), validate=True)
        signed = hmac.new(key, f"{message}.{stamp}.".encode() + body, hashlib.sha256).digest()
        wanted = "v1," + base64.b64encode(signed).decode()
        if not hmac.compare_digest(wanted, headers["webhook-signature"] or ""):
            self.faults.append(f"signature {headers['webhook-signature']} instead of {wanted}")
        if abs(time.time() - int(stamp)) > 60:
            self.faults.append(f"timestamp {stamp}")
        if headers["Content-Type"] != "application/json":
            self.faults.append(f"content type {headers['Content-Type']}")

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        try:
            self.verify(handler.headers, body)
        except Exception as e:  # pylint: disable=broad-except
            self.faults.append(repr(e))
        with self.lock:
            self.got.append((handler.headers["webhook-id"], json.loads(body or b"null"), time.monotonic()))
            status, headers = self.answers.pop(0) if self.answers else (204, {})
        if status == "wait":
            self.release.wait(10 * PATIENCE)
            status = 500
        with contextlib.suppress(OSError):
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            if status != 204:
                handler.send_header("Content-Length", "0")
            handler.end_headers()

    def wait(self, count, what):
        wait_until(lambda: len(self.got) >= count, lambda: f"{what}: {count} requests, not {len(self.got)}")
        equal(self.faults, [], "every message is in order")
        return [g[1] for g in self.got]


def setup():
    world = World("courier")
    world.postgres.start()
    world.postgres.sql("CREATE DATABASE lockstep", "postgres")
    for name in ("lockstepd-1", "lockstepd-2"):
        world.add_coordinator(name, ALLOW).start()
    world.token = world.bootstrap_token("tests")
    return world


def ask(world, scope, keys, url, **more):
    service, environment = scope.split("/")
    return world.api("POST", "/config/subscribe", {"service": service, "environment": environment, "keys": keys, "url": url, **more})


def ask_as(world, token, scope, url):
    service, environment = scope.split("/")
    return world.api("POST", "/config/subscribe", {"service": service, "environment": environment, "keys": ["*"], "url": url}, token=token)


def subscribe(world, receiver, scope, *keys):
    """A subscription; the receiver knows its secret."""
    answer = ask(world, scope, list(keys) or ["*"], receiver.url)
    equal(answer.status, 201, repr(answer))
    receiver.secret = answer["secret"]
    return answer["subscription_id"]


def get(world, subscription):
    return world.ok("GET", f"/subscriptions/{subscription}")


def outbox(world, subscription):
    return world.postgres.json(f"SELECT state, attempts, last_status, last_reason FROM outbox WHERE subscription_id = '{subscription}' ORDER BY outbox_id")


def test_api(world):
    """a subscription is made, shown without its secret, listed page by page, and deleted"""
    completed(world, "subs/prod", a=1)
    made = ask(world, "subs/production", ["db.*", "a"], "https://hooks.example.com/in?x=secret-path")
    equal(made.status, 201, repr(made))
    equal(made.headers["Location"], f"/api/v1/subscriptions/{made['subscription_id']}", "Location")
    check(re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", made["secret"]), f"the secret is {made['secret']}")
    equal([made[n] for n in ("service", "environment", "subscribed_keys", "status", "last_notified_at", "url")],
          ["subs", "prod", ["db.*", "a"], "active", None, "https://hooks.example.com/in?x=secret-path"], "answer")
    shown = get(world, made["subscription_id"])
    equal(shown, {k: v for k, v in made.body.items() if k != "secret"}, "shown")
    equal((made["service_name"], made["webhook_url"]), ("subs", made["url"]), "the published names")
    published = {"service_name": "subs", "environment": "prod", "config_keys": ["*"], "webhook_url": "http://example.com:8080"}
    other = world.ok("POST", "/config/subscribe", published)["subscription_id"]
    twice = world.api("POST", "/config/subscribe", {**published, "url": "http://example.com:8080"})
    equal(pointers(problem(twice, 422)), ["/webhook_url"], "an address said twice")
    first = world.ok("GET", "/subscriptions?limit=1")
    second = world.ok("GET", f"/subscriptions?limit=1&cursor={first['next']}")
    equal({s["subscription_id"] for s in first["subscriptions"] + second["subscriptions"]}, {made["subscription_id"], other}, "two pages")
    equal(second["next"], None, "no third page")
    check("whsec_" not in json.dumps([first, second]), "secrets are shown once")
    for s in (made["subscription_id"], other):
        world.ok("DELETE", f"/subscriptions/{s}")
        problem(world.api("DELETE", f"/subscriptions/{s}"), 404, "unknown_subscription")
        problem(world.api("GET", f"/subscriptions/{s}"), 404, "unknown_subscription")
    trail = [a for a in world.audit() if a["action"].startswith("subscription.")]
    equal([a["action"] for a in trail], ["subscription.create"] * 2 + ["subscription.delete"] * 2, "audit")
    equal(trail[0]["data"], {"subscription": made["subscription_id"], "keys": ["db.*", "a"], "to": "https://hooks.example.com"}, "audit data")


def test_once(world):
    """a repeated Idempotency-Key makes no second subscription, and keeps no secret"""
    body = {"service": "subs", "environment": "prod", "keys": ["*"], "url": "https://example.com"}
    once = lambda: world.api("POST", "/config/subscribe", body, headers={"Idempotency-Key": "subscribe-once"})
    made = once()
    equal(made.status, 201, repr(made))
    problem(once(), 409, "idempotency_answer_lost")
    equal([s["subscription_id"] for s in world.ok("GET", "/subscriptions")["subscriptions"]], [made["subscription_id"]], "one")
    equal(world.postgres.sql("SELECT count(*) FROM claim WHERE position('whsec_'::bytea IN body) > 0"), [["0"]], "no secret is kept there")
    world.ok("DELETE", f"/subscriptions/{made['subscription_id']}")


def test_refused(world):
    """what is wrong is named, and who may not see a scope may not subscribe to it"""
    problem(ask(world, "nosuch/prod", ["*"], "https://example.com"), 404, "unknown_scope")
    wrong = world.api("POST", "/config/subscribe", {"service": "a/b", "keys": [], "url": "ftp://x", "more": 1})
    equal(pointers(problem(wrong, 422)), ["/environment", "/keys", "/more", "/service", "/url"], "what is wrong")
    for url in ("", "x", "https://", "https:///x", "http://u:p@example.com/", "https://example.com/#x", "https://exa mple.com", "javascript:x://y", "http://:80/",
                "http://e.com/\r\nx: y", "x" * 3000):
        problem(ask(world, "subs/prod", ["*"], url), 422)
    for keys in ([""], [1], ["k" * 501], ["*"] * 101, "*"):
        problem(ask(world, "subs/prod", keys, "https://example.com"), 422)
    problem(ask(world, "subs/prod", ["a\0b"], "https://example.com"), 400)
    grant = lambda role, service: world.ok("POST", "/tokens", {"name": f"{role}-{service}", "grants": [{"role": role, "environment": "*", "service": service}]})["token"]
    body = {"service": "subs", "environment": "prod", "keys": ["*"], "url": "https://example.com"}
    for token in (grant("viewer", "subs"), grant("editor", "other")):
        refused = world.api("POST", "/config/subscribe", body, token=token)
        equal((refused.status, refused["right"]), (403, "subscription.write"), "not theirs")
    mine = ask(world, "subs/prod", ["*"], "https://example.com")["subscription_id"]
    stranger = grant("viewer", "other")
    equal(world.api("GET", "/subscriptions", token=stranger)["subscriptions"], [], "not seen")
    equal(world.api("GET", f"/subscriptions/{mine}", token=stranger).status, 403, "not shown")
    equal(world.api("DELETE", f"/subscriptions/{mine}", token=grant("viewer", "subs")).status, 403, "not deleted")
    equal(world.api("GET", "/subscriptions", token=None).status, 401, "no token")
    world.ok("DELETE", f"/subscriptions/{mine}")


def test_delivered(world):
    """a release is told once: keys and versions that match, no values; drafts are not told"""
    completed(world, "told/prod", **{"db.url": "hush-1", "other": 1})
    with Receiver() as receiver, Receiver() as bystander:
        subscription = subscribe(world, receiver, "told/prod", "db.*")
        subscribe(world, bystander, "told/prod", "nothing.*")
        world.set("told/prod", {"db.url": "hush-2", "db.pool": 5, "other": 2})
        completed(world, "told/prod", **{"db.url": "hush-3"})
        body = receiver.wait(1, "a release")[0]
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body.pop("timestamp")), "a time")
        equal(body, {"type": "config.changed", "data": {"service": "told", "environment": "prod", "revision": 3, "has_more": False,
              "changes": [{"key": "db.pool", "version": 1}, {"key": "db.url", "version": 3}]}}, "the message")
        wait_until(lambda: get(world, subscription)["last_notified_at"], "the subscription shows it")
        world.ok("DELETE", "/config/told/prod/db.pool")
        completed(world, "told/prod", other=3)
        equal(receiver.wait(2, "a deletion")[1]["data"]["changes"], [{"key": "db.pool", "version": 2, "deleted": True}], "deleted")
        wait_until(lambda: {m["state"] for m in outbox(world, subscription)} == {"delivered"}, "all is delivered")
        equal(([m["attempts"] for m in outbox(world, subscription)], len(receiver.got)), ([1, 1], 2), "each once, by one of two coordinators")
        equal(bystander.got, [], "other keys are told to nobody")
    check("hush" not in world.logs(), "values are not in logs")


def test_retried(world):
    """who fails is asked again under the same id, later when it says so"""
    completed(world, "again/prod", a=1)
    with Receiver((500, {}), (503, {"Retry-After": "3600"})) as receiver:
        subscription = subscribe(world, receiver, "again/prod")
        completed(world, "again/prod", a=2)
        receiver.wait(2, "the second attempt")
        first, second = receiver.got
        equal((first[0], first[1]), (second[0], second[1]), "the same message")
        check(4 < second[2] - first[2], f"no sooner than 4.5 s: {second[2] - first[2]:.1f}")
        wait_until(lambda: outbox(world, subscription)[0]["last_status"] == 503, "it is noted")
        hours = "SELECT extract(epoch FROM next_at - now()) / 3600 FROM outbox WHERE state = 'waiting' AND last_status = 503"
        check(0.9 < float(world.postgres.sql(hours)[0][0]) <= 1.01, "Retry-After is obeyed")
        contains(get(world, subscription)["reason"], "503")
        world.postgres.sql(f"UPDATE outbox SET next_at = now() WHERE subscription_id = '{subscription}'")
        receiver.wait(3, "the third attempt")
        wait_until(lambda: outbox(world, subscription)[0]["state"] == "delivered", "delivered at last")
        check("reason" not in get(world, subscription), "nothing fails any more")


def test_redirect(world):
    """a redirect is a failure, and is not followed"""
    completed(world, "moved/prod", a=1)
    with Receiver() as target, Receiver((302, {"Location": target.url})) as receiver:
        subscription = subscribe(world, receiver, "moved/prod")
        completed(world, "moved/prod", a=2)
        receiver.wait(1, "the redirecting one")
        message = wait_until(lambda: outbox(world, subscription)[0]["last_status"] and outbox(world, subscription)[0], "it is noted")
        equal((message["state"], message["last_status"]), ("waiting", 302), "a failure")
        contains(message["last_reason"], "redirects are not followed")
        receiver.wait(2, "the second attempt, to the same address")
        equal(target.got, [], "not followed")


def test_gone(world):
    """410 ends a subscription, and the audit trail says so"""
    completed(world, "gone/prod", a=1)
    with Receiver((410, {})) as receiver:
        subscription = subscribe(world, receiver, "gone/prod")
        completed(world, "gone/prod", a=2)
        wait_until(lambda: get(world, subscription)["status"] == "disabled", "it is disabled")
        contains(get(world, subscription)["reason"], "410")
        completed(world, "gone/prod", a=3)
        equal([m["state"] for m in outbox(world, subscription)], ["failed"], "nothing more is meant for it")
        equal(len(receiver.got), 1, "asked once")
        receiver.answers[:] = []
        again = world.ok("POST", f"/subscriptions/{subscription}/enable", {"reason": "it is back"})
        equal((again["status"], "reason" in again), ("active", False), "it is enabled")
        equal(world.ok("POST", f"/subscriptions/{subscription}/enable")["status"], "active", "repeated")
        completed(world, "gone/prod", a=4)
        wait_until(lambda: len(receiver.got) == 2, "it hears of the next change")
    equal([a["note"] for a in world.audit() if a["action"] == "subscription.enable"], ["it is back"], "audited once")
    check([a for a in world.audit() if a["action"] == "subscription.disable" and a["data"]["subscription"] == subscription], "audited")


def test_tarpit(world):
    """receivers that never answer, many subscriptions of one owner: others' messages go out meanwhile"""
    completed(world, "tar/prod", a=1)
    evil = world.bootstrap_token("evil")
    with Receiver() as good, Receiver(*[("wait", {})] * 1000) as tar:
        tar.verify = lambda *_: None
        for _ in range(60):
            answer = ask_as(world, evil, "tar/prod", tar.url)
            equal(answer.status, 201, repr(answer))
        subscribe(world, good, "tar/prod", "*")
        completed(world, "tar/prod", a=2)
        good.wait(1, "the good one")
        before = sum(at < good.got[0][2] for _, _, at in tar.got)
        check(before <= 16, f"{before} of the owner's 60 were tried before somebody else's")
    world.postgres.sql("DELETE FROM subscription WHERE created_by = 'evil'")


def test_private(world):
    """without permission nothing is sent to a private address, however it is written"""
    completed(world, "inner/prod", a=1)
    with Receiver() as receiver:
        port = receiver.server.server_port
        plain = [ask(world, "inner/prod", ["*"], url)["subscription_id"] for url in
                 (f"http://127.0.0.1:{port}/", f"http://localhost:{port}/", f"http://0x7f000001:{port}/", f"http://[::ffff:127.0.0.1]:{port}/")]
        for c in world.coordinators:
            c.process.stop()
        strict = world.add_coordinator("lockstepd-3").start()
        completed(world, "inner/prod", a=2)
        for subscription in plain:
            message = wait_until(lambda s=subscription: outbox(world, s)[0]["last_reason"] and outbox(world, s)[0], "it is noted")
            contains(message["last_reason"], "no public address", "[courier] allow")
            equal((message["state"], message["last_status"]), ("waiting", 0), "it may be allowed later")
        equal((receiver.got, receiver.connections), ([], 0), "nothing came, not even a connection")
        strict.process.stop()
        world.coordinators.remove(strict)
    for subscription in plain:
        world.postgres.sql(f"DELETE FROM subscription WHERE subscription_id = '{subscription}'")
    for c in world.coordinators:
        c.start()


def test_killed(world):
    """kill -9 in the middle of an attempt, and before the next one, loses nothing"""
    completed(world, "killed/prod", a=1)
    with Receiver(("wait", {}), (500, {})) as receiver:
        subscription = subscribe(world, receiver, "killed/prod")
        completed(world, "killed/prod", a=2)
        receiver.wait(1, "the attempt that never ends")
        for c in world.coordinators:
            c.process.kill()
        world.coordinators[1].start()
        receiver.wait(2, "the attempt after the claim ran out")
        wait_until(lambda: outbox(world, subscription)[0]["last_status"] == 500, "it failed")
        world.coordinators[1].process.kill()
        for c in world.coordinators:
            c.start()
        world.postgres.sql(f"UPDATE outbox SET next_at = now() WHERE subscription_id = '{subscription}'")
        receiver.wait(3, "another coordinator's attempt")
        wait_until(lambda: outbox(world, subscription)[0]["state"] == "delivered", "delivered at last")
        equal(len({g[0] for g in receiver.got}), 1, "the same id")
        equal(outbox(world, subscription)[0]["attempts"], 3, "attempts are counted")


def lockstepd(world, *words):
    done = subprocess.run([f"{BUILD}/lockstepd", "--config", world.coordinators[0].settings, *words], capture_output=True, text=True, timeout=60, check=False)
    equal((done.returncode, done.stderr), (0, ""), f"lockstepd {words}")
    return done.stdout


def get_provider(world):
    """From now on both coordinators have a key file."""
    world.key_file = f"{world.folder}/secrets.key"
    for c in world.coordinators:
        c.process.stop()
        with open(c.settings, "a", encoding="utf-8") as f:
            f.write(f"[secrets]\nprovider = file\nkey_file = {world.key_file}\n")
    lockstepd(world, "new-secret-key")
    for c in world.coordinators:
        c.start()


def add_clear(world, like, count, url=None, keys="{nothing}"):
    """Subscriptions from a time without a provider; their secret."""
    secret = "whsec_" + base64.b64encode(b"of a time without provider, all alike").decode()
    world.postgres.sql("INSERT INTO subscription (subscription_id, scope_id, keys, url, secret, created_by) "
                       f"SELECT 'sub_' || md5(n || '{keys}'), scope_id, '{keys}', '{url or 'https://example.com'}', '{secret}', 'tests' "
                       f"FROM subscription, generate_series(1, {count}) AS n WHERE subscription_id = '{like}'")
    return secret


def clear_count(world):
    return int(world.postgres.sql("SELECT count(*) FROM subscription WHERE secret IS NOT NULL")[0][0])


def kill_rewrap(world):
    """rewrap, killed while it stands before the last of the rows"""
    last = world.postgres.sql("SELECT max(subscription_id) FROM subscription WHERE secret IS NOT NULL")[0][0]
    with world.postgres.held(f"SELECT FROM subscription WHERE subscription_id = '{last}' FOR UPDATE"):
        kill_waiting_rewrap(world)


def drop_old_keys(world):
    with open(world.key_file, encoding="ascii") as f:
        lines = f.readlines()
    write(f"{world.key_file}.new", "".join(line for line in lines if line.startswith("#")) + lines[-1], 0o400)
    os.replace(f"{world.key_file}.new", world.key_file)


def test_sealed(world):
    """with a provider signing secrets are sealed, old ones by rewrap, which goes on when killed; signatures stay, and no dump has a secret"""
    completed(world, "sealed/prod", a=1)
    with Receiver() as old, Receiver() as new:
        first = subscribe(world, old, "sealed/prod")
        equal(clear_count(world), len(world.postgres.sql("SELECT 1 FROM subscription")), "in the clear without a provider")
        get_provider(world)
        second = subscribe(world, new, "sealed/prod")
        equal(world.postgres.sql(f"SELECT secret IS NULL FROM subscription WHERE subscription_id = '{second}'"), [["t"]], "sealed with one")
        count = 0

        def told(what):
            nonlocal count
            count += 1
            completed(world, "sealed/prod", a=count + 1)
            for receiver in (old, new):
                receiver.wait(count, what)
        told("before rewrap")
        clear = [old.secret, new.secret, add_clear(world, first, 150)]
        before = clear_count(world)
        kill_rewrap(world)
        equal(clear_count(world), before - 100, "a batch is sealed, and no more, after the kill")
        contains(lockstepd(world, "rewrap"), "signing secrets that lay in the clear are sealed")
        equal(clear_count(world), 0, "in the clear")
        told("after it was sealed")
        lockstepd(world, "new-secret-key")
        lockstepd(world, "rewrap")
        drop_old_keys(world)
        told("under the newest key")
        dump = subprocess.run(["/usr/lib/postgresql/15/bin/pg_dump", "--inserts", world.postgres.url], capture_output=True, text=True, timeout=60, check=False)
        equal(dump.returncode, 0, dump.stderr)
        contains(dump.stdout, "INSERT INTO public.subscription ", "subscription.seal")
        for secret in clear:
            key = secret.removeprefix("whsec_")
            for form in (key, key.encode().hex(), base64.b64decode(key).hex()):
                check(form not in dump.stdout and form not in world.logs(), "a signing secret in the clear")
        for s in (first, second):
            world.ok("DELETE", f"/subscriptions/{s}")


def test_keyring_away(world):
    """while the key is away, messages of sealed secrets wait and say why, without an attempt; others go out; nothing is lost"""
    completed(world, "apart/prod", a=1)
    with Receiver() as sealed, Receiver() as clear:
        subscription = subscribe(world, sealed, "apart/prod")
        clear.secret = add_clear(world, subscription, 1, clear.url, "{*}")
        os.rename(world.key_file, f"{world.key_file}.gone")
        try:
            completed(world, "apart/prod", a=2)
            clear.wait(1, "a clear one goes out")
            message = lambda: outbox(world, subscription)[0]
            wait_until(lambda: world.key_file in message()["last_reason"] and message()["attempts"] == 0, lambda: f"it waits: {message()}")
            completed(world, "apart/prod", a=3)
            clear.wait(2, "and the next")
            problem(ask(world, "apart/prod", ["*"], sealed.url), 503, "secrets_unavailable", world.key_file)
            equal([m["state"] for m in outbox(world, subscription)], ["waiting"] * 2, "both wait")
            equal((sealed.got, get(world, subscription)["status"]), ([], "active"), "nothing is sent unsigned")
        finally:
            os.rename(f"{world.key_file}.gone", world.key_file)
        sealed.wait(2, "all that waited")
        wait_until(lambda: [(m["state"], m["attempts"], m["last_reason"]) for m in outbox(world, subscription)] == [("delivered", 1, "")] * 2,
                   lambda: f"it is delivered: {outbox(world, subscription)}")


def test_settings(world):
    """a wrong [courier] allow stops the start and says what is wrong"""
    c = world.add_coordinator("lockstepd-wrong", "[courier]\nallow = localhost\n")
    world.coordinators.remove(c)
    c.start(wait=False)
    check(c.process.wait(30) != 0, "it ends")
    contains(c.process.log_text(), "[courier] allow", "localhost")
