"""nonsense_rows.py - nonsense in every column of every table: each page is answered or refused in words, nobody ends."""
import contextlib
import http.client
import json
import os

from kit import Agent, Failed, World, check, contains, equal, wait_until

SCOPE = "web/prod"
VERBOSE = "VERBOSE" in os.environ
EVERY = "EVERY" in os.environ  # each column alone, and all of its nonsense: for hours without hurry
TURNS = 99 if EVERY else 2
# What lockstepd reads when it begins to lead: it is started with nonsense there.
LOADED = ("attempt", "cluster", "command", "decision", "decision_scope", "leader", "member", "rollout", "rollout_change", "scope", "server",
          "server_scope")
HELD = {"stages": [{"percent": 50, "hold": True}, {"percent": 100}]}
NONSENSE = {
    "text": ("{column} || repeat('x', 6000)", "E'\\u2603 \"\\\\ <x>\\n' || {column}", "''", "'-1'", "NULL"),
    "bigint": ("-1", "0", "9223372036854775807", "NULL"),
    "integer": ("-1", "0", "2147483647", "NULL"),
    "smallint": ("-1", "0", "32767", "NULL"),
    "jsonb": ("'[[1], null, {\"a\": 99999999999999999999}]'", "'{\"a\": 1e400}'", "'{\"stages\": 7, \"approvals\": \"x\", \"default_strategy\": []}'",
              "'[]'", "'\"x\"'", "'null'", "'{}'", "NULL"),
    "bytea": ("'\\x'", "'\\x00ff'", "NULL"),
    "boolean": ("NOT {column}", "NULL"),
    "timestamp with time zone": ("'infinity'", "'-infinity'", "'4000-01-01 BC'", "NULL"),
    "text[]": ("'{}'", "'{NULL, \"\"}'", "NULL"),
    "bigint[]": ("'{}'", "'{-1, NULL}'", "NULL"),
}
# What the coordinator counts on in its own work at every moment: a change there is a change of leadership, not of what is shown.
LIVE = {"leader": ("gen", "epoch", "lease_until"), "leader_log": (), "audit_head": ("number", "hash"), "audit_cut": (), "migration": (), "cluster": ()}


def setup():
    world = World("rows").start_with_secrets()
    ok = world.ok
    ok("PUT", "/strategies/mine", HELD)
    ok("PUT", "/environments/prod", {"policy": "manual", "default_strategy": "canary"})
    ok("PUT", "/environments/stage", {"policy": "manual", "approvals": 1})
    ok("PUT", "/environments/qa", {"policy": "manual"})
    ok("PUT", "/freezes/f", {"environment": "qa", "reason": "none"})
    for scope in (SCOPE, "web/stage", "base/prod", "web/dev"):
        for value in ("1", "2"):
            world.set(scope, {"v": value, "n": 3, "o": [1, {"a": 2}]})
    ok("PUT", f"/config/{SCOPE}/password", {"config_value": "hidden", "encrypt": True})
    ok("PUT", "/schemas/web/n", {"type": "number"})
    ok("PUT", "/parents/child/prod", {"parents": ["base/prod"]})
    ok("POST", "/tokens", {"name": "other", "grants": [{"role": "viewer", "service": "web", "environment": "*"}]})
    subscription = ok("POST", "/config/subscribe", {"service": "web", "environment": "prod", "keys": ["*"], "url": "https://192.0.2.1/hook"})
    for n in (1, 2):
        Agent(world, f"server-{n}", scopes=(SCOPE, "base/prod"), labels="zone=a").enroll().start()
    world.wait_agents(SCOPE, 2)
    ended = world.start_rollout(SCOPE, "all-at-once")
    world.wait_state(ended, "completed")
    world.set(SCOPE, {"v": "3"})
    opened = world.start_rollout(SCOPE, HELD)
    wait_until(lambda: world.rollout(opened)["phase"] == "baking", "it holds")
    asked = world.start_rollout("web/stage", "all-at-once")
    world.pages = pages(world, (ended, opened, asked), subscription["subscription_id"])
    world.postgres.sql("".join(f"CREATE TABLE saved_{t} AS TABLE {t};" for t in tables(world)))
    return world


def pages(world, rollouts, subscription):
    token = world.ok("GET", "/tokens")["tokens"][0]["id"]
    v1 = ["/config/search?key=v", f"/config/{SCOPE}/v/history", f"/config/{SCOPE}", f"/config/{SCOPE}?format=yaml", f"/config/{SCOPE}?format=json",
          f"/config/{SCOPE}?format=env", f"/config/{SCOPE}@head",
          f"/config/{SCOPE}/password", f"/revisions/{SCOPE}", f"/revisions/{SCOPE}/diff?from=1&to=2", "/parents", "/parents/child/prod",
          f"/watch/{SCOPE}?since=0&timeout=0", "/subscriptions", f"/subscriptions/{subscription}", "/services", "/schemas", "/schemas/web",
          "/schemas/web/n", "/schemas/web/n/history", "/rollouts", "/servers", "/servers/server-1", "/strategies", "/strategies/mine",
          "/strategies/canary", "/environments", "/environments/prod", "/environments/stage", "/freezes", "/freezes/f", "/whoami", "/tokens",
          f"/tokens/{token}", "/audit", "/audit?canonical=1"]
    for r in rollouts:
        v1 += [f"/rollouts/{r}", f"/rollouts/{r}/servers"]
    return ["/healthz", "/readyz", "/metrics"] + ["/api/v1" + path for path in v1]


def tables(world):
    return [row[0] for row in world.postgres.sql("SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition"
                                                 " AND c.relkind IN ('r', 'p') AND c.relname NOT LIKE 'saved_%' ORDER BY 1")]


def columns(world, table):
    """Every column that a row is not found by: name and type."""
    return world.postgres.sql(
        f"SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0"
        " AND NOT a.attisdropped AND a.attgenerated = '' AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary"
        f" AND a.attnum = ANY (i.indkey)) AND a.attname <> ALL ('{{{','.join(LIVE.get(table, ()))}}}') ORDER BY a.attnum")


def spoil(world, table, some, turn):
    """What the constraints allow of the nonsense whose turn it is."""
    statements = []
    for column, kind in some:
        values = NONSENSE.get(kind, ("NULL",))
        value = values[turn % len(values)].replace("{column}", column)
        statements.append(f"BEGIN UPDATE {table} SET {column} = {value}; EXCEPTION WHEN OTHERS THEN NULL; END;")
    world.postgres.sql(f"DO $nonsense$ BEGIN {' '.join(statements)} END $nonsense$")


def put_back(world, table, some):
    keys = [row[0] for row in world.postgres.sql("SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
                                                 f" WHERE i.indrelid = '{table}'::regclass AND i.indisprimary")]
    same = " AND ".join(f"t.{k} = s.{k}" for k in keys)
    values = ", ".join(f"{column} = s.{column}" for column, _ in some)
    try:
        world.postgres.sql(f"SET session_replication_role = replica; UPDATE {table} AS t SET {values} FROM saved_{table} AS s WHERE {same}")
    except Failed as problem:  # the trail is never changed, so nothing is to be put back there
        contains(problem, "never changed")


def ask_all(world, what):
    """Every page, over one connection; those that were not answered in words."""
    coordinator, bad = world.coordinators[0], []
    connection = http.client.HTTPConnection("127.0.0.1", coordinator.http, timeout=30)
    for page in world.pages:
        try:
            connection.request("GET", page, headers={"Authorization": f"Bearer {world.token}"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status >= 500 and "/readyz" not in page:
                detail = json.loads(body)["detail"]
                if not detail:
                    bad.append(f"{what}: {page}: {answer.status} without a word")
                elif VERBOSE:
                    print(answer.status, what, page, detail)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as problem:
            bad.append(f"{what}: {page}: {problem!r}")
            break
    connection.close()
    return bad


def survive(world, what, bad):
    coordinator = world.coordinators[0]
    for process in (coordinator.process, *(a.process for a in world.agents.values())):
        if process.is_running():
            continue
        broken = [line for line in process.log_text().splitlines() if "invariant" in line or "assert" in line.lower()]
        bad.append(f"{what}: {process.name} ended: {broken[-1:]}")
        os.unlink(process.log)
        process.start()
    if VERBOSE:
        print(what, len(bad), bad[-1:], flush=True)


def turns_of(some):
    return min(TURNS, max(len(NONSENSE.get(kind, ("",))) for _, kind in some))


def groups_of(world, table):
    """The columns that hold nonsense together."""
    all_columns = columns(world, table)
    return [[c] for c in all_columns] if EVERY else [all_columns] if all_columns else []


def start_with(world, names, bad):
    """All of these tables hold nonsense at once while lockstepd starts."""
    coordinator, what = world.coordinators[0], f"a start with nonsense in {', '.join(names)}"
    coordinator.process.stop()
    for n, table in enumerate(names):
        for some in groups_of(world, table):
            spoil(world, table, some, n % 2)
    coordinator.start(wait=False)
    wait_until(lambda: is_heard(coordinator), f"{what}: lockstepd answers again")
    bad += ask_all(world, what)
    survive(world, what, bad)
    for table in names:
        put_back(world, table, columns(world, table))


def try_nonsense(world, names):
    bad = []
    for table in names:
        for some in groups_of(world, table):
            for turn in range(turns_of(some)):
                what = f"{table} {[c for c, _ in some]} turn {turn}"
                spoil(world, table, some, turn)
                bad += ask_all(world, what)
                survive(world, what, bad)
                put_back(world, table, some)
    return bad


def ends_well(world, bad):
    check(not bad, "\n".join(bad))
    world.coordinators[0].wait_ready()
    wait_until(lambda: world.leader() is world.coordinators[0], "it leads at the end")


def test_rows_that_are_loaded(world):
    """nonsense in every column of what a leader loads, as much as constraints allow: all pages are answered, nobody ends"""
    ends_well(world, try_nonsense(world, [t for t in tables(world) if t in LOADED]))


def test_starts(world):
    """lockstepd is started with nonsense in what a leader loads: it answers, and leads when the rows make sense again"""
    bad = []
    for names in (LOADED[i::4] for i in range(4)):
        start_with(world, names, bad)
    ends_well(world, bad)


def test_other_rows(world):
    """the same in all other tables: all pages are answered in words"""
    ends_well(world, try_nonsense(world, [t for t in tables(world) if t not in LOADED]))


def is_heard(coordinator):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return coordinator.api("GET", "/healthz", raw_path=True, token=None, timeout=5).status == 200
    return not coordinator.process.is_running()


def test_what_the_constraints_refuse(world):
    """settings, strategies and labels that are no objects, approvals that are no number: the database takes none of them"""
    for table, column, value in (("environment", "settings", "[]"), ("environment", "settings", "{\"approvals\": \"x\"}"),
                                 ("environment", "settings", "{\"approvals\": -1}"), ("environment", "settings", "{\"approvals\": 1e9}"),
                                 ("strategy", "body", "[1]"), ("server", "labels", "\"x\"")):
        try:
            world.postgres.sql(f"UPDATE {table} SET {column} = '{value}'")
        except Failed as problem:
            contains(problem, "check constraint")
            continue
        raise Failed(f"{table}.{column} = {value} was taken")


def test_settings_from_before_the_constraints(world):
    """settings that are no object, from before there was a rule: a problem that names the environment and the remedy, and the remedy works"""
    world.postgres.sql("ALTER TABLE environment DROP CONSTRAINT environment_settings_is_object; UPDATE environment SET settings = '[]' WHERE name = 'stage'")
    for path in ("/environments/stage", "/environments"):
        answer = world.api("GET", path)
        equal((answer.status, answer["code"]), (500, "unreadable_row"), path)
        contains(answer["detail"], "environment stage", "PUT /environments/stage")
    equal(world.ok("GET", "/environments/prod")["policy"], "manual", "another one")
    world.ok("PUT", "/environments/stage", {"policy": "manual", "approvals": 2})
    equal(world.ok("GET", "/environments/stage")["approvals"], 2, "approvals")


def test_a_strategy_of_another_version(world):
    """a stored strategy that this version does not understand: shown as it is stored, in the list, too, and deleted"""
    world.postgres.sql("UPDATE strategy SET body = '{\"waves\": 3}' WHERE name = 'mine'")
    equal(world.ok("GET", "/strategies/mine")["waves"], 3, "shown")
    equal([s["waves"] for s in world.ok("GET", "/strategies")["strategies"] if s["name"] == "mine"], [3], "listed")
    world.ok("DELETE", "/strategies/mine")
