"""cache.py - reads from memory: the same bytes, never stale, one query for many who miss, one revision."""
import concurrent.futures
import http.client
import json
import socket
import threading
import time

from kit import World, check, contains, equal, wait_until

NAMES = ("ETag", "Content-Type", "Cache-Control")


def setup():
    return World("cache").start(coordinators=2)


def metric(coordinator, name):
    text = coordinator.api("GET", "/metrics", raw_path=True, token=None).raw.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"lockstep_cache_{name} "))


def form(answer):
    """What a client can see of an answer."""
    return answer.status, answer.raw, [answer.headers.get(n) for n in NAMES]


def release(world, scope, values):
    world.set(scope, values)
    world.wait_state(world.start_rollout(scope, "all-at-once"), "completed")


def test_every_hit_is_counted(world):
    """what is answered from memory is counted one by one, though limits take only every tenth: 137 questions of one connection are 137 hits"""
    c = world.coordinators[0]
    release(world, "counted/prod", {"a": "1"})
    wait_until(lambda: c.api("GET", "/config/counted/prod/a").status == 200, "it is released")
    before = metric(c, "hits_total")
    connection = http.client.HTTPConnection("127.0.0.1", c.http, timeout=30)
    for _ in range(137):
        connection.request("GET", "/api/v1/config/counted/prod/a", headers={"Authorization": f"Bearer {world.token}"})
        answer = connection.getresponse()
        answer.read()
        equal(answer.status, 200, "status")
    connection.close()
    equal(metric(c, "hits_total") - before, 137, "hits counted")


def test_same_bytes(world):
    """a hit is the miss, byte by byte: values, absent keys, ETag, 304, aliases"""
    c = world.coordinators[0]
    release(world, "web/prod", {"a": "ä\"\\ \u2028", "b": {"config_value": {"z": [1, 2.50]}}, "a/b c": "1"})
    for path in ("web/prod/a", "web/production/a", "web/prod/b", "web/prod/a%2Fb%20c", "web/prod/absent", "nobody/prod/a", "web/moon/a"):
        plain = form(c.api("GET", f"/config/{path}?revision=released"))
        misses = metric(c, "misses_total")
        first, second = form(c.api("GET", f"/config/{path}")), form(c.api("GET", f"/config/{path}"))
        equal(first, plain, f"the miss of {path}")
        equal(second, plain, f"the hit of {path}")
        check(metric(c, "misses_total") <= misses + 1, f"{path} is asked for once")
    tag = c.api("GET", "/config/web/prod/a").headers["ETag"]
    hits = metric(c, "hits_total")
    for path in ("a", "a?revision=released"):
        equal(form(c.api("GET", f"/config/web/prod/{path}", headers={"If-None-Match": tag})), (304, b"", [tag, None, "no-cache"]), path)
    equal(form(c.api("GET", "/config/web/prod/b", headers={"If-None-Match": '"77"'})), form(c.api("GET", "/config/web/prod/b")), "another tag")
    check(metric(c, "hits_total") >= hits + 3, "304s come from memory")
    head = c.api("HEAD", "/config/web/prod/a")
    equal((head.status, head.raw, head.headers["ETag"]), (200, b"", tag), "HEAD")
    check(metric(c, "size") > 3 and metric(c, "bytes") > 500 and 0 < metric(c, "hit_rate") < 1, "figures")


def test_own_writes(world):
    """whoever has the answer to a write reads what it wrote, or a later one"""
    c = world.coordinators[0]
    release(world, "own/prod", {"k": "0"})
    for i in range(1, 40):
        c.api("GET", "/config/own/prod/k")
        written = c.api("PUT", "/config/own/prod/k", {"config_value": str(i)})
        equal(c.api("GET", "/config/own/prod/k")["head_version"], written["version"], "head_version after the write")
    equal(c.api("GET", "/config/own/prod/k")["config_value"], "0", "the released value")
    equal(c.api("GET", "/config/own/prod/new").status, 404, "absent")
    release(world, "own/prod", {"new": "1"})
    equal(c.api("GET", "/config/own/prod/new")["config_value"], "1", "absent no more")
    equal(c.api("GET", "/config/own/prod/k")["config_value"], "39", "released with it")
    c.api("DELETE", "/config/own/prod/new")
    contains(c.api("GET", "/config/own/prod/other").raw, c.api("GET", "/config/own/prod/other?revision=released")["detail"])


def test_other_coordinators_writes(world):
    """what another coordinator writes is seen within a second, notified or not"""
    one, two = world.coordinators
    release(world, "two/prod", {"k": "0"})
    for c in (one, two):
        c.api("GET", "/config/two/prod/k")
    for i in range(1, 6):
        version = one.api("PUT", "/config/two/prod/k", {"config_value": str(i)})["version"]
        wait_until(lambda: two.api("GET", "/config/two/prod/k")["head_version"] == version, "the other's write is seen", 1.5)
    # Nobody is told of this one.
    world.postgres.sql("""BEGIN; INSERT INTO config_version (scope_id, key, version, revision, value_type, value, created_by)
        SELECT scope_id, 'k', 9, head + 1, 'string', 'x', 'sql' FROM scope WHERE service = 'two';
        INSERT INTO revision (scope_id, revision, created_by) SELECT scope_id, head + 1, 'sql' FROM scope WHERE service = 'two';
        UPDATE scope SET head = head + 1 WHERE service = 'two';
        INSERT INTO audit SELECT number + 1, now(), 'sql', '', 'config.set', NULL, NULL, scope_id, '{}', '', hash FROM audit_head, scope WHERE service = 'two';
        UPDATE audit_head SET number = number + 1; COMMIT""")
    wait_until(lambda: two.api("GET", "/config/two/prod/k")["head_version"] == 9, "a commit without notification is seen", 1.5)


def test_one_query(world):
    """many who miss the same key at once wait for one query"""
    c = world.coordinators[0]
    release(world, "many/prod", {"k": "v"})
    c.api("GET", "/config/many/prod/other")
    # A lock that holds up whoever reads the table, until everybody is there.
    lock = threading.Thread(target=world.postgres.sql, args=("BEGIN; LOCK TABLE config_version IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.5); COMMIT",))
    lock.start()
    wait_until(lambda: world.postgres.sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'config_version'::regclass") == [["1"]], "locked")
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = [pool.submit(c.api, "GET", "/config/many/prod/k") for _ in range(100)]
        wait_until(lambda: metric(c, "misses_total") >= 100, "all are there")
        waiting = int(world.postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM config_version v%'")[0][0])
        answers = {form(a.result())[:2] for a in answers}
    lock.join()
    equal(waiting, 1, "queries in progress")
    equal(len(answers), 1, "different answers")
    equal(answers.pop()[0], 200, "status")


def test_never_stale_under_load(world):
    """readers of both coordinators under a stream of writes: nothing goes back, nothing stays"""
    release(world, "load/prod", {f"k{i}": "0" for i in range(8)})
    stop, wrong = threading.Event(), []
    newest = [0] * 8  # what a finished write reported

    def read(c):
        with_connection = http.client.HTTPConnection("127.0.0.1", c.http, timeout=20)
        seen = [0] * 8
        while not stop.is_set():
            for i in range(8):
                before = newest[i] if c is world.coordinators[0] else 0
                with_connection.request("GET", f"/api/v1/config/load/prod/k{i}", headers={"Authorization": f"Bearer {world.token}"})
                found = json.loads(with_connection.getresponse().read())["head_version"]
                if found < max(before, seen[i]):
                    wrong.append((c.name, i, found, before, seen[i]))
                seen[i] = found

    readers = [threading.Thread(target=read, args=(c,)) for c in world.coordinators * 3]
    for r in readers:
        r.start()
    end = time.monotonic() + 5
    n = 0
    while time.monotonic() < end:
        n += 1
        newest[n % 8] = world.coordinators[0].api("PUT", f"/config/load/prod/k{n % 8}", {"config_value": str(n)})["version"]
    stop.set()
    for r in readers:
        r.join()
    equal(wrong[:5], [], "answers older than what was known")
    check(n > 20, f"{n} writes")


def test_tokens(world):
    """a token that was revoked is refused from memory as well"""
    c = world.coordinators[0]
    release(world, "tok/prod", {"k": "v"})
    token = world.bootstrap_token("short")
    for _ in range(3):
        equal(c.api("GET", "/config/tok/prod/k", token=token).status, 200, "good")
    equal(c.api("GET", "/config/tok/prod/k", token=token[:-1] + ("0" if token[-1] != "0" else "1")).status, 401, "another one")
    equal(c.api("GET", "/config/tok/prod/k", token=None).status, 401, "none")
    identity = token.split("_")[1]
    equal(world.coordinators[1].api("GET", "/config/tok/prod/k", token=token).status, 200, "good there, too")
    world.ok("DELETE", f"/tokens/{identity}")
    equal(c.api("GET", "/config/tok/prod/k", token=token).status, 401, "revoked, at once where that was asked for")
    wait_until(lambda: world.coordinators[1].api("GET", "/config/tok/prod/k", token=token).status == 401, "revoked elsewhere", 1.5)


def test_rights(world):
    """who may not read a scope does not read it from memory"""
    c = world.coordinators[0]
    release(world, "mine/prod", {"k": "v"})
    viewer = world.ok("POST", "/tokens", {"name": "v", "grants": [{"role": "viewer", "environment": "prod", "service": "tok"}]})["token"]
    for _ in range(3):
        equal(c.api("GET", "/config/mine/prod/k").status, 200, "an administrator")
        equal(c.api("GET", "/config/tok/prod/k", token=viewer).status, 200, "theirs")
        refused = c.api("GET", "/config/mine/prod/k", token=viewer)
        equal((refused.status, refused["right"]), (403, "config.read"), "not theirs")
    # Where a scope ends and a key begins is no matter of taste.
    release(world, "a/prod", {"dev:k": "v"})
    stranger = world.ok("POST", "/tokens", {"name": "d", "grants": [{"role": "viewer", "environment": "dev"}]})["token"]
    for _ in range(3):
        equal(c.api("GET", "/config/a/prod/dev%3Ak")["config_value"], "v", "an administrator")
        equal(c.api("GET", "/config/a/prod/dev:k", token=stranger).status, 403, "not theirs")
        for path in ("a%3Aprod/dev/k", "a:prod/dev/k"):
            equal(c.api("GET", f"/config/{path}", token=stranger).status, c.api("GET", f"/config/{path}?revision=released").status, f"{path}, a name that is none")


def test_warm(world):
    """after a start everything released is there before anybody asks, and the same bytes"""
    c = world.coordinators[0]
    release(world, "warm/prod", {f"k{i}": str(i) for i in range(500)})
    c.api("PUT", "/config/warm/prod/draft", {"config_value": "not released"})
    cold = [form(c.api("GET", f"/config/warm/prod/k{i}")) for i in (0, 7, 499)]
    c.process.stop()
    c.start()
    wait_until(lambda: "memory is warm" in c.process.log_text().rpartition("message=ready")[2], "the memory is warm")
    misses = metric(c, "misses_total")
    check(metric(c, "size") >= 500, "what is kept")
    equal([form(c.api("GET", f"/config/warm/prod/k{i}")) for i in (0, 7, 499)], cold, "warm answers")
    # The token is asked for in the database once, the values are not.
    equal(metric(c, "misses_total"), misses, "misses")
    equal(c.api("GET", "/config/warm/prod/draft").status, 404, "a draft")


def batch(world, scope, keys, c=None, token=None):
    """(revision, values of what is there, missing) of several keys in one request."""
    service, environment = scope.split("/")
    got = (c or world.coordinators[0]).api("POST", "/config/batch", {"service_name": service, "environment": environment, "config_keys": keys}, token=token or world.token)
    if got.status != 200:
        return got.status
    return got["revision"], {item["config_key"]: item["config_value"] for item in got["configs"]}, got["missing"]


def test_batch(world):
    """a batch takes what is kept and asks for the rest in one query; all kept: for nothing"""
    c = world.coordinators[0]
    release(world, "some/prod", {f"k{i}": str(i) for i in range(9)})
    figures = lambda: (metric(c, "hits_total"), metric(c, "misses_total"))
    release(world, "some/prod", {"other": "1"})
    for i in range(3):
        one = c.api("GET", f"/config/some/prod/k{i}")
        equal(one.status, 200, "kept by a single read")
    hits, misses = figures()
    lock = threading.Thread(target=world.postgres.sql, args=("BEGIN; LOCK TABLE config_version IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.5); COMMIT",))
    lock.start()
    wait_until(lambda: world.postgres.sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'config_version'::regclass") == [["1"]], "locked")
    revision, found, missing = batch(world, "some/prod", ["k2", "k0", "k1"])
    check(lock.is_alive(), "nobody was asked")
    equal((revision, list(found), missing), (2, ["k2", "k0", "k1"], []), "from memory, in the order asked")
    equal(figures(), (hits + 3, misses), "hits")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        rest = pool.submit(batch, world, "some/prod", ["k0", "nosuch", "k7", "k1", "k8"])
        asking = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%config_version%'"
        wait_until(lambda: world.postgres.sql(asking) == [["1"]], "one asks for the rest", 1)
        equal(rest.result(), (2, {"k0": "0", "k7": "7", "k1": "1", "k8": "8"}, ["nosuch"]), "kept and asked for")
    lock.join()
    equal(figures(), (hits + 5, misses + 3), "hits and misses")
    equal(batch(world, "some/prod", ["k8", "nosuch", "k7"]), (2, {"k8": "8", "k7": "7"}, ["nosuch"]), "what was asked for is kept")
    equal(figures(), (hits + 8, misses + 3), "hits of those, the absent one as well")
    for key, status in (("k8", 200), ("nosuch", 404)):
        before = figures()
        equal(form(c.api("GET", f"/config/some/prod/{key}")), form(c.api("GET", f"/config/some/prod/{key}?revision=released")), f"kept by a batch: {key}")
        equal(figures()[1], before[1], "misses")
    viewer = world.ok("POST", "/tokens", {"name": "b", "grants": [{"role": "viewer", "environment": "prod", "service": "tok"}]})["token"]
    equal(batch(world, "some/prod", ["k0"], token=viewer), 403, "who may not read the scope")


def test_batch_sees_changes(world):
    """whoever changed a key finds it in the next batch; another coordinator within a second"""
    one, two = world.coordinators
    release(world, "turn/prod", {"a": "0", "b": "0", "c": "0"})
    for i in range(1, 8):
        for c in (one, two):
            batch(world, "turn/prod", ["a", "b", "c"], c)
        release(world, "turn/prod", {"a": str(i), "b": str(i)})
        for c in (one, two):
            wait_until(lambda: batch(world, "turn/prod", ["a", "b", "c"], c)[1] == {"a": str(i), "b": str(i), "c": "0"}, "the change is seen", 2)


RELEASE_UNHEARD = """BEGIN; INSERT INTO config_version (scope_id, key, version, revision, value_type, value, created_by)
    SELECT scope_id, k, 2, head + 1, 'string', 'new', 'sql' FROM scope, unnest('{a,b}'::text[]) k WHERE service = 'half';
    INSERT INTO revision (scope_id, revision, created_by) SELECT scope_id, head + 1, 'sql' FROM scope WHERE service = 'half';
    UPDATE scope SET head = head + 1, released = head + 1 WHERE service = 'half'; COMMIT"""


def test_batch_is_one_revision(world):
    """what memory has of one revision and the database of the next are never in one batch"""
    c = world.coordinators[0]
    release(world, "half/prod", {"a": "old", "b": "old", "c": "same"})
    equal(batch(world, "half/prod", ["a", "c"]), (1, {"a": "old", "c": "same"}, []), "kept")
    # Memory is compared with the audit trail, which does not have this one: it stays as it is.
    world.postgres.sql(RELEASE_UNHEARD)
    equal(c.api("GET", "/config/half/prod/a")["config_value"], "old", "memory has the old one")
    equal(batch(world, "half/prod", ["a", "b", "c"]), (2, {"a": "new", "b": "new", "c": "same"}, []), "one of them is not kept")
    equal(c.api("GET", "/config/half/prod/b")["config_value"], "new", "memory has half of each")
    equal(c.api("GET", "/config/half/prod/a")["config_value"], "old", "memory has half of each")
    equal(batch(world, "half/prod", ["a", "b", "c"]), (2, {"a": "new", "b": "new", "c": "same"}, []), "all of them are kept")


def test_batch_under_load(world):
    """readers of batches under a stream of releases: one revision each, none before one that was seen"""
    release(world, "pair/prod", {"a": "0", "b": "0"})
    stop, wrong = threading.Event(), []

    def read(c):
        seen = 0
        while not stop.is_set():
            revision, found, _ = batch(world, "pair/prod", ["a", "b"], c)
            if found["a"] != found["b"] or revision < seen:
                wrong.append((c.name, revision, seen, found))
            seen = revision

    readers = [threading.Thread(target=read, args=(c,)) for c in world.coordinators * 2]
    for r in readers:
        r.start()
    for i in range(1, 25):
        release(world, "pair/prod", {"a": str(i), "b": str(i)})
    stop.set()
    for r in readers:
        r.join()
    equal(wrong[:5], [], "batches of two revisions, or of an older one")


def test_database_gone(world):
    """without a database reads go on for a while; afterwards nothing old is shown"""
    one, two = world.coordinators
    release(world, "gone/prod", {"k": "1"})
    for c in (one, two):
        equal(c.api("GET", "/config/gone/prod/k")["config_value"], "1", "read")
    world.postgres.stop_at_once()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        equal(one.api("GET", "/config/gone/prod/k").status, 200, "from memory")
        equal(one.api("GET", "/services").status, 503, "from the database")
    wait_until(lambda: one.api("GET", "/config/gone/prod/k").status == 503, "in doubt for too long", 20)
    world.postgres.start()
    wait_until(lambda: one.api("GET", "/config/gone/prod/k").status == 200, "back")
    release(world, "gone/prod", {"k": "2"})
    for c in (one, two):
        wait_until(lambda: c.api("GET", "/config/gone/prod/k").body["config_value"] == "2", "the new one", 5)
