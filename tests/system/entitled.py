"""entitled.py - what a server may have, asked live: by one that lies, by enrolments, settings and grants that change."""
import os
import signal
import subprocess

from kit import BUILD, Agent, World, check, contains, equal, read, wait_until, write
from secrets import make_token, problem

SCOPE, OTHER = "payments/prod", "orders/prod"
ALL = {"stages": [{"percent": 100, "max_failed": 0, "ready_timeout": "20s", "apply_timeout": "20s"}], "on_failure": "rollback"}


class Stranger:
    """An enrolled peer that says whatever it is told to (tests/stranger)."""

    def __init__(self, world, name, scopes):
        self.world = world
        self.agent = Agent(world, name, scopes)
        self.agent.enroll(scopes=scopes)
        self.log = f"{self.agent.folder}/heard"
        with open(f"{world.folder}/router.key.pub", encoding="ascii") as f:
            key = next(word for word in f.read().split() if len(word) == 40)
        with open(self.log, "wb") as out:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", f"{BUILD}/tests/stranger",
                 f"tcp://127.0.0.1:{world.coordinators[0].router}", key, f"{self.agent.folder}/agent.key"],
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)

    def say(self, *words):
        self.popen.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.popen.stdin.flush()

    def heard(self, begin):
        return [line for line in read(self.log).splitlines() if line.startswith(begin)]

    def hello(self, *scopes):
        before = len(self.heard("welcome"))
        self.say("hello", *scopes)
        wait_until(lambda: len(self.heard("welcome")) > before, lambda: f"it is welcomed: {read(self.log)}")


def setup():
    world = World("entitled").start_with_secrets()
    world.reader = world.token
    world.files = f"{world.folder}/files"
    os.makedirs(world.files)
    put(world, f"{SCOPE}/host", "db1", encrypt=False)
    put(world, f"{SCOPE}/api.key", "S3cr3t-Of-Production!")
    world.one = server(world, "server-1", SCOPE)
    world.wait_agents(SCOPE, 1)
    world.wait_state(world.start_rollout(SCOPE, ALL), "completed")
    return world


def put(world, path, value, encrypt=True):
    return world.ok("PUT", f"/config/{path}", {"config_value": value, "encrypt": encrypt})


def server(world, name, *scopes):
    path = f"{world.files}/{name}"
    agent = Agent(world, name, list(scopes), scope_settings="check_interval = 0")
    agent.write_settings = lambda: write_settings(agent, path, agent.scopes)
    return agent.enroll().start()


def write_settings(agent, path, scopes):
    """A file of its own for each scope."""
    Agent.write_settings(agent)
    text = read(agent.settings)
    for scope in scopes:
        text = text.replace(f"[scope {scope}]\n", f"[scope {scope}]\nfile = host -> {path}.{scope.split('/')[0]} optional\n")
    write(agent.settings, text, 0o600)


def scopes_of(world, name):
    return sorted(f"{s['service']}/{s['environment']}" for s in world.ok("GET", f"/servers/{name}")["scopes"])


def hashes(world, scope):
    """Of the newest document, and of the secret that it names."""
    service, environment = scope.split("/")
    document = world.postgres.sql(f"SELECT encode(r.hash, 'hex') FROM revision r JOIN scope s USING (scope_id) WHERE service = '{service}'"
                                  f" AND environment = '{environment}' AND r.hash IS NOT NULL ORDER BY revision DESC LIMIT 1")[0]
    digest = world.postgres.sql("SELECT encode(decode(digest, 'base64'), 'hex') FROM secret ORDER BY created_at DESC LIMIT 1")[0]
    return first(document), first(digest)


def first(row):
    return row[0] if isinstance(row, (list, tuple)) else row


def newest_number(world):
    return int(first(world.postgres.sql("SELECT last_value FROM dseq")[0]))


def test_claims(world):
    """a server enrolled for another scope claims payments/prod by every word and number: it gets no document, no secret and no vote"""
    world.evil = evil = Stranger(world, "evil", ["web/dev"])
    evil.hello("web/dev", SCOPE)
    contains(evil.heard("welcome")[-1], f"refused={SCOPE}")
    wait_until(lambda: scopes_of(world, "evil") == ["web/dev"], "it is a member of its own scope")
    document, digest = hashes(world, SCOPE)
    outbox = 0
    for number in range(1, newest_number(world) + 1):
        for kind in ("failed", "applied", "finalized", "rolled_back", "ready", "refused", "aborted"):
            outbox += 1
            evil.say("ack", kind, number, SCOPE, 1, document, outbox)
            if outbox % 8 == 0:  # so many of one server wait for the database
                wait_until(lambda: f" {outbox}" in "".join(evil.heard("receipt")), lambda: f"receipt of {outbox}: {evil.heard('receipt')[-1:]}")
    wait_until(lambda: world.coordinators[0].process.log_has("acknowledgement does not count", "server=evil"), "it is said, once")
    evil.hello("web/dev", SCOPE)
    evil.say("fetch", document)
    evil.say("ask", document, digest)
    wait_until(lambda: evil.heard("chunk") and evil.heard("secret"), lambda: f"answers: {read(evil.log)}")
    equal(evil.heard("chunk"), ["chunk 0 "], "what it got of the document")
    equal(scopes_of(world, "evil"), ["web/dev"], "its memberships")
    equal(world.postgres.sql("SELECT 1 FROM server_scope m JOIN server v USING (server_id) JOIN scope s USING (scope_id)"
                             " WHERE v.name = 'evil' AND s.service = 'payments'"), [], "rows")
    put(world, f"{SCOPE}/host", "db2", encrypt=False)
    rollout = world.start_rollout(SCOPE, ALL)
    evil.say("poll", SCOPE)
    world.wait_state(rollout, "completed")
    equal(list(world.servers_of(rollout)), ["server-1"], "servers of the rollout")
    equal([line for line in evil.heard("prepare") + evil.heard("finalize") + evil.heard("activate") if SCOPE in line], [], "what it was told")
    check("S3cr3t" not in read(evil.log) and "db2" not in read(evil.log), "production in what it heard")
    check("key=32" not in "".join(evil.heard("secret")), f"a data key: {evil.heard('secret')}")


def test_votes_of_others(world):
    """a stranger's FAILED spoils no way back, and its REFUSED no rollout"""
    put(world, f"{SCOPE}/host", "db3", encrypt=False)
    rollout = world.start_rollout(SCOPE, {"stages": [{"percent": 100, "bake": "60s", "max_failed": 0}], "on_failure": "rollback"})
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it bakes")
    world.ok("POST", f"/rollouts/{rollout}/rollback", {"reason": "a test"})
    document, _ = hashes(world, SCOPE)
    for number in range(newest_number(world) - 2, newest_number(world) + 1):
        world.evil.say("ack", "failed", number, SCOPE, 1, document, 0)
        world.evil.say("ack", "refused", number, SCOPE, 1, document, 0)
    world.wait_state(rollout, "rolled_back")


def test_numbers_to_come(world):
    """what answers a number that was never issued gets no receipt, and the log says what that means"""
    world.evil.say("ack", "failed", newest_number(world) + 1000, "web/dev", 0, "-", 900001)
    world.evil.say("ack", "failed", 1, "web/dev", 0, "-", 900002)
    wait_until(lambda: "900002" in "".join(world.evil.heard("receipt")), "what is obsolete is receipted")
    wait_until(lambda: world.coordinators[0].process.log_has("never issued", "server=evil"), "it is said")
    check("900001" not in "".join(world.evil.heard("receipt")), "a receipt for a number to come")


def test_settings_drop_a_scope(world):
    """an agent that stops reading a scope is no member of it any more; rollouts of the scope go on without it, and it comes back"""
    put(world, f"{OTHER}/host", "o1", encrypt=False)
    two = server(world, "server-2", SCOPE, OTHER)
    three = server(world, "server-3", OTHER)
    world.wait_agents(OTHER, 2)
    world.wait_state(world.start_rollout(OTHER, ALL), "completed")
    two.scopes = [SCOPE]
    two.write_settings()
    two.process.send(signal.SIGHUP)
    wait_until(lambda: scopes_of(world, "server-2") == [SCOPE], "the membership ends")
    put(world, f"{OTHER}/host", "o2", encrypt=False)
    rollout = world.start_rollout(OTHER, ALL)
    world.wait_state(rollout, "completed")
    equal(list(world.servers_of(rollout)), ["server-3"], "servers of the rollout")
    check("server.leave" in {row["action"] for row in world.audit()}, "no row server.leave")
    two.scopes = [SCOPE, OTHER]
    two.write_settings()
    two.process.send(signal.SIGHUP)
    wait_until(lambda: os.path.exists(f"{world.files}/server-2.orders") and read(f"{world.files}/server-2.orders") == "o2", "it reads again, and runs what is released")
    three.process.stop()


def test_policy_is_no_vote(world):
    """REFUSED policy, from an agent that reads none of the scopes, is no vote against the content"""
    third = Stranger(world, "half", ["payments/*"])
    third.hello(SCOPE)
    wait_until(lambda: scopes_of(world, "half") == [SCOPE], "it is a member")
    put(world, f"{SCOPE}/host", "db4", encrypt=False)
    rollout = world.start_rollout(SCOPE, ALL)
    wait_until(lambda: third.heard("prepare"), "it is asked")
    third.say("hello", "web/prod")
    third.say("policy", third.heard("prepare")[-1].split()[1])
    world.wait_state(rollout, "completed")
    told = world.servers_of(rollout)["half"]
    equal(told["state"], "pending", "its place in the rollout")
    contains(told["reason"], f"does not read {SCOPE} any more")
    third.popen.kill()
    world.ok("DELETE", "/servers/half")


def test_exclude_include(world):
    """a server that was excluded while a rollout went by gets the release soon after it is included again"""
    world.ok("POST", "/servers/server-2/exclude", {})
    put(world, f"{SCOPE}/host", "db5", encrypt=False)
    world.wait_state(world.start_rollout(SCOPE, ALL), "completed")
    check(read(f"{world.files}/server-2.payments") != "db5", "an excluded server has it already")
    world.ok("POST", "/servers/server-2/include", {})
    wait_until(lambda: read(f"{world.files}/server-2.payments") == "db5", "it is served again", 25)
    world.ok("POST", "/servers/server-2/exclude", {})
    put(world, f"{SCOPE}/host", "db6", encrypt=False)
    world.wait_state(world.start_rollout(SCOPE, ALL), "completed")
    world.coordinators[0].process.stop()
    world.coordinators[0].start()
    world.ok("POST", "/servers/server-2/include", {})
    wait_until(lambda: read(f"{world.files}/server-2.payments") == "db6", "and when another leadership began meanwhile", 40)


def test_enrolment_allows_less(world):
    """an enrolment that allows less ends memberships at once, in the database and for what is sent"""
    done = world.cli("server", "allow", "server-2", "--scope", "orders/*", "--reason", "moved")
    equal((done.returncode, done.stdout), (0, "server server-2 may read orders/*, and nothing else\n"), f"server allow: {done.stderr}")
    equal(world.ok("GET", "/servers/server-2")["allowed_scopes"], ["orders/*"], "what the API says it may read")
    wait_until(lambda: scopes_of(world, "server-2") == [OTHER], "the membership ends")
    put(world, f"{SCOPE}/host", "db7", encrypt=False)
    rollout = world.start_rollout(SCOPE, ALL)
    world.wait_state(rollout, "completed")
    equal(list(world.servers_of(rollout)), ["server-1"], "servers of the rollout")
    check(read(f"{world.files}/server-2.payments") != "db7", "it got what it may not have")
    trail = [e for e in world.ok("GET", "/audit?limit=500")["audit"] if e["action"] == "server.allow"]
    equal([e["data"] for e in trail], [{"name": "server-2", "reason": "moved"}], "the trail has it, once")


def test_enrolment_allows_more(world):
    """an enrolment that allows more is joined by the agent that was refused; who is revoked or unknown is allowed nothing"""
    equal(world.cli("server", "allow", "server-2", "--scope", "orders/*", "--scope", "payments/prod").returncode, 0, "server allow")
    wait_until(lambda: scopes_of(world, "server-2") == [OTHER, SCOPE], "the agent joins again")
    wait_until(lambda: read(f"{world.files}/server-2.payments") == "db7", "it gets what is released")
    trail = len([e for e in world.ok("GET", "/audit?limit=500")["audit"] if e["action"] == "server.allow"])
    world.ok("POST", "/servers/server-2/allow", {"scopes": ["orders/*", "payments/prod"]})
    equal(len([e for e in world.ok("GET", "/audit?limit=500")["audit"] if e["action"] == "server.allow"]), trail, "nothing changed, nothing told")
    problem(world.api("POST", "/servers/server-2/allow", {}), 422, None, "scopes", "everything")
    problem(world.api("POST", "/servers/server-2/allow", {"scopes": ["payments"]}), 422, None, "SERVICE/ENV")
    problem(world.api("POST", "/servers/nobody/allow", {"scopes": ["*"]}), 404, "unknown_server")
    done = world.cli("server", "allow", "server-2")
    equal(done.returncode, 2, "exit code")
    contains(done.stderr, "--scope is missing")
    world.ok("POST", "/servers", {"name": "gone", "public_key": "g" * 40, "scopes": ["web/*"]})
    world.ok("POST", "/servers/gone/revoke", {})
    problem(world.api("POST", "/servers/gone/allow", {"scopes": ["*"]}), 409, "wrong_state", "revoked")


def test_enrolment_names_its_scopes(world):
    """an enrolment without scopes is refused with the remedy; a key that is taken is named"""
    key = "x" * 40
    problem(world.api("POST", "/servers", {"name": "bare", "public_key": key}), 422, None, "scopes", "everything")
    world.ok("POST", "/servers", {"name": "bare", "public_key": key, "scopes": ["web/*"]})
    problem(world.api("POST", "/servers", {"name": "twin", "public_key": key, "scopes": ["web/*"]}), 409, "key_exists", "bare", "keygen")
    done = world.cli("server", "enroll", "third", "y" * 40)
    equal(done.returncode, 2, "exit code")
    contains(done.stderr, "--scope is missing", "everything")


def test_parents(world):
    """secrets come down through a parent as long as whoever named it may read them, and no other way"""
    put(world, "base/prod/plain", "1", encrypt=False)
    editor = make_token(world, "dev-editor", {"role": "editor", "environment": "dev"}, {"role": "viewer", "environment": "*"})
    problem(world.api("PUT", "/parents/web/dev", {"parents": ["base/prod"]}, token=editor), 422, None, "secret.read")
    lead = world.ok("POST", "/tokens", {"name": "lead", "grants": [{"role": "editor", "environment": "*", "rights": ["secret.read"]}]}, token=world.reader)
    world.ok("PUT", "/parents/web/dev", {"parents": ["base/prod"]}, token=lead["token"])
    put(world, "base/prod/db.password", "PROD-1")
    shown = world.ok("GET", "/parents/web/dev")
    equal((shown["grants"][0]["by"], shown["grants"][0]["open"], shown["withheld"]), ("lead", True, []), "the grant")
    version = lambda: world.ok("GET", "/config/web/dev/db.password?revision=head")["version"]
    equal(version(), 1, "it came down")
    world.ok("DELETE", f"/tokens/{lead['id']}", token=world.reader)
    put(world, "base/prod/db.password", "PROD-2")
    put(world, "base/prod/plain", "2", encrypt=False)
    equal(version(), 1, "the newest does not")
    equal(world.ok("GET", "/config/web/dev/plain?revision=head")["config_value"], "2", "what is no secret does")
    shown = world.ok("GET", "/parents/web/dev")
    equal([w["key"] for w in shown["withheld"]], ["db.password"], "withheld")
    contains(shown["withheld"][0]["reason"], "lead", "revoked", "naming the parents again")
    contains(world.cli("config", "parents", "web/dev").stdout, "withheld: db.password of base/prod", "revoked")
    world.ok("PUT", "/parents/web/dev", {"parents": ["base/prod"]}, token=world.reader)
    equal(version(), 2, "it is let in again")
