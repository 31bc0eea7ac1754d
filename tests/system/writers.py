"""writers.py - 64 writers on the same 100 keys, through two coordinators: nothing is lost, doubled or left out.

WRITERS_SECONDS (8) is how long they write.
"""
import collections
import http.client
import json
import os
import random
import threading
import time

from kit import World, check, equal

SECONDS = float(os.environ.get("WRITERS_SECONDS", "8"))
WRITERS, KEYS = 64, 100
SCOPE = "race/prod"


def setup():
    return World("writers").start(coordinators=2)


class Writer(threading.Thread):
    """One client with a connection of its own. Even keys are counters that are raised with expected_version only:
    the value of version N is N, or somebody's update was lost. Odd keys are written blindly, alone and in groups, and deleted."""

    def __init__(self, world, number, until):
        super().__init__(daemon=True)
        self.world, self.number, self.until = world, number, until
        self.draw = random.Random(number)
        self.connection = http.client.HTTPConnection("127.0.0.1", world.coordinators[number % 2].http, timeout=60)
        self.written = []  # (key, version, revision, value or None) as answered
        self.refused, self.problems, self.count = 0, [], 0

    def ask(self, method, path, body=None):
        data = json.dumps(body) if body is not None else None
        self.connection.request(method, "/api/v1" + path, data, {"Authorization": f"Bearer {self.world.token}", "Content-Type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def expect(self, wanted, status, body):
        if status not in wanted:
            self.problems.append((status, body))
        return status

    def raise_counter(self):
        """Again until it worked: what it read was stale when somebody was faster."""
        key = f"key.{self.draw.randrange(0, KEYS, 2):02d}"
        status, item = self.ask("GET", f"/config/{SCOPE}/{key}?revision=head")
        while time.monotonic() < self.until:
            version = item["version"] if status == 200 else item.get("current_version", 0)
            status, item = self.ask("PUT", f"/config/{SCOPE}/{key}", {"config_value": str(version + 1), "expected_version": version})
            if self.expect((200, 201, 409), status, item) != 409:
                self.written.append((key, item["version"], item["revision"], str(version + 1)))
                return
            self.refused += 1

    def value(self):
        self.count += 1
        return f"writer {self.number} value {self.count}"

    def odd_key(self):
        return f"key.{self.draw.randrange(1, KEYS, 2):02d}"

    def write_one(self):
        key, value = self.odd_key(), self.value()
        status, item = self.ask("PUT", f"/config/{SCOPE}/{key}", {"config_value": value})
        if self.expect((200, 201), status, item) < 300:
            self.written.append((key, item["version"], item["revision"], value))

    def write_some(self):
        values = {self.odd_key(): self.value() for _ in range(5)}
        status, body = self.ask("POST", f"/config/{SCOPE}", {"set": values})
        if self.expect((200, 201), status, body) < 300:
            self.written += [(key, None, body["revision"], value) for key, value in values.items()]

    def delete_one(self):
        key = self.odd_key()
        self.expect((200, 404), *self.ask("DELETE", f"/config/{SCOPE}/{key}"))

    def run(self):
        try:
            while time.monotonic() < self.until:
                self.draw.choices((self.raise_counter, self.write_one, self.write_some, self.delete_one), (6, 5, 2, 1))[0]()
        except (OSError, http.client.HTTPException, KeyError, ValueError) as problem:
            self.problems.append(repr(problem))
        self.connection.close()


def test_writers(world):
    """64 writers write through two coordinators, and every answer is one that may be"""
    until = time.monotonic() + SECONDS
    world.writers = [Writer(world, i, until) for i in range(WRITERS)]
    for w in world.writers:
        w.start()
    for w in world.writers:
        w.join(SECONDS + 90)
        check(not w.is_alive(), f"writer {w.number} hangs")
    problems = [p for w in world.writers for p in w.problems]
    equal(problems[:3], [], "answers that must not be")
    written = sum(len(w.written) for w in world.writers)
    print(f"     {written} keys written in {SECONDS:.0f} s, {sum(w.refused for w in world.writers)} stale updates refused")
    check(written > 20 * SECONDS, f"only {written} were written")
    check(sum(w.refused for w in world.writers) > 0, "nobody was ever too late: that was no race")


def test_versions(world):
    """versions and revisions without gaps or doubles, in the same order"""
    sql = world.postgres.sql
    equal(sql("""SELECT key, count(*), min(version), max(version) FROM config_version JOIN scope USING (scope_id) WHERE service = 'race'
                 GROUP BY key HAVING count(*) <> max(version) OR min(version) <> 1 OR count(DISTINCT version) <> count(*)"""), [], "versions with gaps")
    equal(sql("""SELECT s.head = count(*) AND s.head = max(r.revision) AND min(r.revision) = 1 FROM scope s JOIN revision r USING (scope_id)
                 WHERE s.service = 'race' GROUP BY s.head"""), [["t"]], "revisions 1 to the head")
    equal(sql("""SELECT key, version FROM (SELECT key, version, revision, lag(revision) OVER (PARTITION BY scope_id, key ORDER BY version) AS before
                 FROM config_version) v WHERE revision <= before"""), [], "versions in another order than their revisions")
    equal(sql("""SELECT r.revision FROM revision r LEFT JOIN config_version v USING (scope_id, revision) WHERE v.key IS NULL"""), [], "revisions that change nothing")
    equal(sql("SELECT v.key, v.version FROM config_version v LEFT JOIN revision r USING (scope_id, revision) WHERE r.revision IS NULL"), [], "versions of no revision")


def test_nothing_lost(world):
    """what was answered is there, what is there was answered, and no counter lost a step"""
    rows = world.postgres.sql("SELECT key, version, revision, CASE WHEN is_deleted THEN NULL ELSE value END FROM config_version")
    there = {(key, int(revision)): (int(version), value) for key, version, revision, value in rows}
    answered = [(key, revision, version, value) for w in world.writers for key, version, revision, value in w.written]
    equal(len({a[:2] for a in answered}), len(answered), "two answers for one version")
    for key, revision, version, value in answered:
        found = there.get((key, revision))
        check(found and found[1] == value and version in (None, found[0]), f"{key}, revision {revision}: answered {version} {value!r}, there is {found}")
    equal(len([v for v in there.values() if v[1]]), len(answered), "values that nobody got an answer for")
    lost = [(key, version, value) for (key, _), (version, value) in there.items() if int(key[4:]) % 2 == 0 and value != str(version)]
    equal(lost, [], "counters that lost an update")


def test_history(world):
    """the history of every key is complete through the API, page by page, and the document is its end"""
    rows = world.postgres.json("SELECT key, version, revision, is_deleted, value FROM config_version ORDER BY key, version DESC")
    by_key = collections.defaultdict(list)
    for row in rows:
        by_key[row["key"]].append(row)
    for i, (key, versions) in enumerate(by_key.items()):
        told, cursor = [], ""
        while cursor is not None:
            page = world.coordinators[i % 2].api("GET", f"/config/{SCOPE}/{key}/history?limit=500" + (f"&cursor={cursor}" if cursor else "")).body
            told += page["versions"]
            cursor = page["next"]
        equal([(v["version"], v["revision"]) for v in told], [(v["version"], v["revision"]) for v in versions], f"history of {key}")
    document = world.ok("GET", f"/config/{SCOPE}?revision=head&format=json")
    newest = {key: versions[0]["value"] for key, versions in by_key.items() if not versions[0]["is_deleted"]}
    equal(document, newest, "the document at the head")


def test_trail(world):
    """every revision has its row in the audit trail, and the chain holds"""
    equal(world.postgres.sql("""SELECT r.revision FROM revision r JOIN scope s USING (scope_id) LEFT JOIN audit a ON a.scope_id = r.scope_id
                 AND a.action LIKE 'config.%' AND (a.data->>'revision')::bigint = r.revision GROUP BY r.revision HAVING count(a.number) <> 1"""), [], "revisions without one row")
    equal(world.postgres.sql("SELECT * FROM audit_faults()"), [], "faults of the chain")
