"""retention.py - what is no longer to be kept is dropped, what is needed never, and the trail still verifies.

Time does not pass here: rows are made older than they are.
"""
import http.client

from kit import World, check, contains, equal, wait_until

SCOPE = "payments/prod"


def setup():
    world = World("retention")
    world.postgres.start()
    world.postgres.sql("CREATE DATABASE lockstep", "postgres")
    for i in range(2):
        world.add_coordinator(f"lockstepd-{i + 1}", "[retention]\ninterval = 1s\n").start()
    world.token = world.bootstrap_token("tests")
    for i in range(1, 9):
        world.set(SCOPE, {"k": str(i), **({"old": "1"} if i == 1 else {})})
        if i in (2, 4, 6):
            world.wait_state(world.start_rollout(SCOPE, "all-at-once"), "completed")
    world.rollouts = [r["id"] for r in reversed(world.ok("GET", "/rollouts")["rollouts"])]
    return world


def dropped(world, kind):
    """By both coordinators: one of them does the work."""
    total = 0
    for c in world.coordinators:
        text = c.api("GET", "/metrics", raw_path=True, token=None).raw.decode()
        total += next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f'lockstep_retention_dropped_total{{kind="{kind}"}} '))
    return total


def looked(world):
    """Everybody has looked twice since."""
    def times():
        out = []
        for c in world.coordinators:
            text = c.api("GET", "/metrics", raw_path=True, token=None).raw.decode()
            out.append(next(float(line.split()[1]) for line in text.splitlines() if line.startswith("lockstep_retention_looked_timestamp_seconds ")))
        return out
    for _ in range(2):
        before = times()
        wait_until(lambda before=before: all(now > then for now, then in zip(times(), before)), "both look for what to drop")


def streamed(world, rollout, last):
    """The names of the events of a stream, to its end."""
    c = http.client.HTTPConnection("127.0.0.1", world.coordinators[0].http, timeout=30)
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {world.token}", **({"Last-Event-ID": last} if last else {})}
    c.request("GET", f"/api/v1/rollouts/{rollout}/events", headers=headers)
    text = c.getresponse().read().decode()
    c.close()
    return [line.split(": ")[1] for line in text.splitlines() if line.startswith("event: ")]


def test_setting(world):
    """an environment says how long it keeps what; wrong wishes are refused by name"""
    equal(world.ok("GET", "/environments/prod")["retention"], None, "at first")
    for wish, words in (({"history": "5m"}, "at least 1d"), ({"history": "long"}, "history"), ({"everything": "1d"}, "everything"), ({"audit": 7}, "audit")):
        answer = world.api("PUT", "/environments/prod", {"policy": "manual", "retention": wish})
        equal(answer.status, 422, wish)
        contains(answer.raw, "/retention/", words)
    done = world.cli("environment", "set", "prod", "--retention", "acknowledgements=30d", "--retention", "events=90d")
    equal(done.returncode, 0, done.stderr)
    equal(world.ok("GET", "/environments/prod")["retention"], {"acknowledgements": "30d", "events": "90d"}, "set")
    done = world.cli("environment", "set", "prod", "--retention", "events=off", "--approvals", "0")
    equal(world.ok("GET", "/environments/prod")["retention"], {"acknowledgements": "30d"}, "one of them off")
    equal(world.cli("environment", "set", "prod", "--retention", "acknowledgements=off").returncode, 0, "off")
    equal(world.ok("GET", "/environments/prod")["retention"], None, "all off")
    check(world.cli("environment", "set", "prod", "--retention", "history").returncode == 2, "half a wish")


def test_history(world):
    """old revisions go, and say so; those that are left are what they were, for readers, watchers and rollbacks"""
    world.postgres.sql("UPDATE revision SET created_at = created_at - interval '400 days' WHERE revision < 7")
    looked(world)
    equal(world.ok("GET", f"/config/{SCOPE}?revision=1&format=json"), {"k": "1", "old": "1"}, "nothing is dropped unasked")
    kept = {r: world.ok("GET", f"/config/{SCOPE}?revision={r}&format=json") for r in range(4, 9)}
    equal(world.cli("environment", "set", "prod", "--retention", "history=365d").returncode, 0, "365d")
    wait_until(lambda: dropped(world, "history") > 0, "history is dropped")
    looked(world)
    # Released is 6, and the last rollout may be rolled back to 4.
    equal(world.postgres.sql("SELECT oldest FROM scope WHERE service = 'payments'"), [["4"]], "the oldest")
    for r, document in kept.items():
        equal(world.ok("GET", f"/config/{SCOPE}?revision={r}&format=json"), document, f"revision {r}")
    for method, path, body in (("GET", f"/config/{SCOPE}?revision=3", None), ("GET", f"/config/{SCOPE}/k?revision=1", None), ("GET", f"/revisions/{SCOPE}/diff?from=2", None),
                               ("POST", f"/config/{SCOPE}/rollback", {"target_revision": 3}),
                               ("POST", "/config/payments/dev/copy", {"from": {"service": "payments", "environment": "prod", "revision": 3}, "prune": True})):
        answer = world.api(method, path, body)
        equal((answer.status, answer["code"]), (404, "unknown_revision"), path)
        contains(answer["detail"], "4")
    watched = world.ok("GET", f"/watch/{SCOPE}?since=2&timeout=1")
    equal((watched["reset"], sorted(c["key"] for c in watched["changes"])), (True, ["k", "old"]), "a watcher from before")
    equal([v["version"] for v in world.ok("GET", f"/config/{SCOPE}/k/history")["versions"]], [8, 7, 6, 5, 4], "history of k")
    equal([r["revision"] for r in world.ok("GET", f"/revisions/{SCOPE}")["revisions"]], [8, 7, 6, 5, 4], "revisions")
    rows = world.postgres.json("SELECT data FROM audit WHERE action = 'retention.drop'")
    equal([(r["data"]["kind"], r["data"]["service"], r["data"]["oldest"]) for r in rows], [("history", "payments", 4)], "in the audit trail")
    back = world.ok("POST", f"/rollouts/{world.rollouts[-1]}/rollback", {"reason": "still possible"})
    wait_until(lambda: world.ok("GET", f"/config/{SCOPE}/k")["config_value"] == "4", lambda: f"the last rollout is rolled back: {back}")


def test_acknowledgements(world):
    """what servers said in old rollouts goes; the rollouts and their timelines stay"""
    world.postgres.sql("INSERT INTO member (rollout_id, server_id, stage, attempt_number) SELECT rollout_id, 1, 0, 1 FROM rollout")
    world.postgres.sql("UPDATE rollout SET finished_at = finished_at - interval '40 days'")
    equal(world.cli("environment", "set", "prod", "--retention", "acknowledgements=30d").returncode, 0, "30d")
    rollouts = int(world.postgres.sql("SELECT count(*) FROM rollout")[0][0])
    wait_until(lambda: dropped(world, "acknowledgements") > 0, "acknowledgements are dropped")
    looked(world)
    equal(world.postgres.sql("SELECT count(*), min(rollout_id) = (SELECT max(rollout_id) FROM rollout) FROM member"), [["1", "t"]], "those of the last rollout stay")
    equal(dropped(world, "acknowledgements"), rollouts - 1, "dropped")
    equal(world.rollout(world.rollouts[0])["state"], "completed", "an old rollout")
    check(len(world.ok("GET", f"/rollouts/{world.rollouts[0]}/events")["events"]) > 2, "its timeline")


def test_trail(world):
    """the trail is cut at its beginning when everybody allows it, and verifies before and after"""
    done = world.cli("audit", "verify")
    equal(done.returncode, 0, done.stdout + done.stderr)
    anchor = done.stdout.split()[-1]
    # Ten thousand rows of 30 days ago, written by the same function under another clock.
    world.postgres.sql("CREATE SCHEMA past")
    world.postgres.sql("CREATE FUNCTION past.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT now() - interval ''30 days'''")
    world.postgres.sql("SET search_path = past, pg_catalog, public; SELECT count(audit_append('lockstepd', 'test.fill', NULL, NULL, NULL, '{}')) FROM generate_series(1, 10000)")
    for name in ("prod", "dev"):
        equal(world.cli("environment", "set", name, "--retention", "events=7d", "--retention", "audit=14d").returncode, 0, name)
    looked(world)
    equal(world.postgres.sql("SELECT min(number) FROM audit"), [["1"]], "staging keeps everything")
    equal(world.cli("environment", "set", "staging", "--retention", "events=7d", "--retention", "audit=14d").returncode, 0, "staging")
    wait_until(lambda: dropped(world, "audit") > 0, "the trail is cut")
    equal(world.postgres.sql("SELECT min(number) FROM audit"), [["10000"]], "the first row that is left")
    equal(world.postgres.sql("SELECT * FROM audit_faults()"), [], "faults")
    done = world.cli("audit", "verify")
    equal(done.returncode, 0, done.stdout + done.stderr)
    contains(world.cli("audit", "verify", "--anchor", anchor).stderr, "newer anchor")
    for last, words in (("2", ["resync", "end"]), ("9999", ["end"]), (None, ["end"])):
        equal(streamed(world, world.rollouts[0], last), words, f"who comes back to a stream with {last}")
    equal(world.cli("audit", "verify", "--anchor", done.stdout.split()[-1]).returncode, 0, "a newer anchor")
    world.postgres.sql("ALTER TABLE audit DISABLE TRIGGER ALL; DELETE FROM audit WHERE number = 10000")
    done = world.cli("audit", "verify")
    equal(done.returncode, 1, "one row more is missing")
    contains(done.stdout, "not sound")
