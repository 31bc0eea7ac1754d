"""access.py - who may do what: tokens, every route with every role, approvals, broken glass, the audit trail."""
import datetime
import json
import os
import subprocess
import threading
import time
import urllib.parse

import judge
from kit import BUILD, Agent, World, check, contains, equal, wait_until

ROLES = ["viewer", "editor", "releaser", "approver", "admin", "hook"]


def setup():
    world = World("access").start()
    world.set("web/prod", {"k": "1"})
    world.set("web/dev", {"k": "1"})
    return world


def problem(answer, status, code=None, *parts):
    equal(answer.status, status, f"HTTP status of {answer}")
    if code:
        equal(answer["code"], code, f"code of {answer}")
    contains(answer.raw.decode(), *parts)
    return answer


def soon(minutes=60):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def make(world, name, *grants, **more):
    """A token: its answer."""
    answer = world.api("POST", "/tokens", {"name": name, "grants": list(grants), **more})
    equal(answer.status, 201, f"a token for {name}: {answer}")
    return answer.body


def role(name, environment="*", **more):
    return {"role": name, "environment": environment, **more}


def routes():
    """(method, pattern, right, roles) of the router's own table."""
    done = subprocess.run([f"{BUILD}/tests/unit/roles", "--print"], capture_output=True, text=True, check=True)
    return [(w[0], w[1], w[2], w[3:]) for w in (line.split() for line in done.stdout.splitlines())]


def test_every_route_with_every_role(world):
    """every route × every role, as the router's own table says; 403 names the right; without a token 401"""
    tokens = {r: make(world, f"the-{r}", role(r))["token"] for r in ROLES}
    tried = 0
    for method, pattern, right, allowed in routes():
        path = pattern
        for name, value in (("{service}", "web"), ("{environment}", "prod"), ("{key}", "nothing"), ("{name}", "nothing"), ("{id}", "nothing")):
            path = path.replace(name, value)
        path += "?timeout=0" if "/watch/" in path else ""
        body = {} if method in ("POST", "PUT") else None
        if right == "open":
            check(world.api(method, path, raw_path=True, token=None).status == 200, f"{path} is open")
            continue
        equal(world.api(method, path, body, raw_path=True, token=None).status, 401, f"{method} {path} without a token")
        for r in ROLES:
            answer = world.api(method, path, body, raw_path=True, token=tokens[r])
            tried += 1
            check(answer.status not in (401, 500), f"{method} {path} as {r}: {answer}")
            # DELETE /tokens/nothing, PUT {} and the like fail later, for other reasons: allowed is what is not 403.
            equal(answer.status == 403, right != "token" and r not in allowed, f"{method} {path} as {r}, which needs {right}: {answer}")
            if answer.status == 403:
                contains(answer["detail"], right)
                equal(answer["right"], right, "the right, for programs")
    check(tried > 200, f"only {tried} calls")


def test_scopes(world):
    """editors of dev write dev, not prod; a service pattern holds; lists leave out what is not theirs"""
    ed = make(world, "ed", role("editor", "development"), role("viewer", "prod", service="sea*"))["token"]
    world.set("search/prod", {"k": "1"})
    equal(world.api("PUT", "/config/web/dev/k", {"config_value": "2"}, token=ed).status, 200, "dev")
    problem(world.api("PUT", "/config/search/prod/k", {"config_value": "2"}, token=ed), 403, "forbidden", "config.write", "search/prod")
    problem(world.api("GET", "/config/web/production/k", token=ed), 403, "forbidden", "config.read", "web/prod")
    problem(world.api("GET", "/config/web/production/k?revision=head", token=ed), 403)
    equal(world.api("GET", "/config/search/prod/k?revision=head", token=ed).status, 200, "by pattern")
    equal([(s["service"], s["environment"]) for s in world.ok("GET", "/services", token=ed)["services"]], [("search", "prod"), ("web", "dev")], "services")
    found = world.ok("GET", "/config/search?key=k&revision=head", token=ed)["configs"]
    equal({(c["service_name"], c["environment"]) for c in found}, {("search", "prod"), ("web", "dev")}, "found keys")
    problem(world.api("POST", "/config/batch", {"service_name": "web", "environment": "production", "config_keys": ["k"]}, token=ed), 403, "forbidden", "config.read")
    rollout = world.start_rollout("web/prod", "all-at-once")
    world.wait_state(rollout, "completed")
    problem(world.api("GET", f"/rollouts/{rollout}", token=ed), 403, "forbidden", "rollout.read")
    for path in ("servers", "events"):
        problem(world.api("GET", f"/rollouts/{rollout}/{path}", token=ed), 403)
    equal([r for r in world.ok("GET", "/rollouts", token=ed)["rollouts"] if r["id"] == rollout], [], "rollouts")
    rel = make(world, "rel", role("releaser", "dev"))["token"]
    problem(world.api("POST", "/rollouts", {"changes": [{"service": "web", "environment": "prod"}]}, token=rel), 403, "forbidden", "rollout.start", "web/prod")
    problem(world.api("POST", f"/rollouts/{rollout}/rollback", {}, token=rel), 403, "forbidden", "rollout.rollback")


def test_tokens(world):
    """made once, shown once; listed without the secret; used, expired, revoked, cut, forged; giving away"""
    made = make(world, "robot", role("viewer", "dev", service="web"), expires_at=soon())
    token, path = made["token"], f"/tokens/{made['id']}"
    shown = world.ok("GET", path)
    check("token" not in shown and token not in json.dumps(world.ok("GET", "/tokens?limit=500")), "shown once")
    equal((shown["name"], shown["created_by"], shown["last_used_at"], shown["revoked_at"]), ("robot", "tests", None, None), "as made")
    who = world.ok("GET", "/whoami", token=token)
    equal((who["name"], who["grants"], who["address"]), ("robot", [role("viewer", "dev", service="web")], "127.0.0.1"), "whoami")
    check(world.ok("GET", path)["last_used_at"], "last used")
    for bad in (token[:-1], token[1:], token[:-9], token.swapcase(), token + "0", "lst_", "", token[:20] + "A" + token[21:]):
        if bad != token:
            problem(world.api("GET", "/whoami", headers={"Authorization": f"Bearer {bad}"}, token=None), 401, "unauthorized")
    check(token not in world.logs(), "no log has the token")
    world.postgres.sql(f"UPDATE token SET expires_at = now() - interval '1 s' WHERE token_id = '{made['id']}'")
    other = make(world, "robot", role("viewer", "dev"))
    wait_until(lambda: world.api("GET", "/whoami", token=token).status == 401, "it expires", 10)
    equal(world.api("GET", "/config/web/dev/k", token=other["token"]).status, 200, "the other one")
    for _ in range(2):
        equal(world.api("DELETE", f"/tokens/{other['id']}").status, 200, "revoked, and again")
        problem(world.api("GET", "/whoami", token=other["token"]), 401)
        problem(world.api("GET", "/config/web/dev/k", token=other["token"]), 401)
    problem(world.api("DELETE", "/tokens/nothing"), 404, "unknown_token")
    refused = lambda body: sorted(e["pointer"] for e in problem(world.api("POST", "/tokens", body), 422, "invalid")["errors"])
    equal(refused({}), ["/grants", "/name"], "nothing said")
    equal(refused({"name": "x", "grants": []}), ["/grants"], "no grants")
    problem(world.api("POST", "/tokens", {"name": "lockstepd", "grants": [role("viewer")]}), 422, "invalid", "audit trail")
    equal(refused({"name": "x\ny", "grants": [role("viewer")]}), ["/name"], "two lines")
    equal(refused({"name": "x", "grants": [role("king")]}), ["/grants/0/role"], "an unknown role")
    equal(refused({"name": "x", "grants": [{"environment": "dev", "rights": ["config.eat"]}]}), ["/grants/0/rights"], "an unknown right")
    equal(refused({"name": "x", "grants": [role("viewer")], "expires_at": "2020-01-01T00:00:00Z"}), ["/expires_at"], "a past end")
    equal(refused({"name": "x", "grants": [role("viewer")], "expires_at": "2020-02-31T00:00:00Z"}), ["/expires_at"], "no such day")
    equal(refused({"name": "x", "grants": [{"environment": "*", "rights": ["rollout.break_glass"]}]}), ["/grants"], "glass without an end")
    admin = make(world, "admin-2", role("admin"))["token"]
    body = {"name": "y", "grants": [role("viewer", rights=["secret.read"])]}
    equal(problem(world.api("POST", "/tokens", body, token=admin), 403, "forbidden", "secret.read")["right"], "secret.read", "not theirs to give")
    equal(world.api("POST", "/tokens", body).status, 201, "by who has it")


def test_rights_end(world):
    """what a token makes ends with the rights it comes from, and with the token; what it issued is named"""
    hour = soon()
    short = make(world, "short", role("admin", rights=["secret.read"], until=hour))["token"]
    late = lambda token, **more: world.api("POST", "/tokens", {"name": "late", "grants": [role("viewer", rights=["secret.read"])], **more}, token=token)
    problem(late(short, expires_at="2999-01-01T00:00:00Z"), 403, "forbidden", hour[:16], "expires_at")
    problem(late(short), 403, "forbidden", "until")
    equal(late(short, expires_at=hour).status, 201, "no longer than its own")
    ending = make(world, "ending", role("admin"), expires_at=hour)["token"]
    problem(world.api("POST", "/tokens", {"name": "x", "grants": [role("viewer")]}, token=ending), 403, "forbidden", "until")
    maker = make(world, "maker", role("admin"))
    mine = world.ok("POST", "/tokens", {"name": "laptop", "grants": [role("admin")]}, token=maker["token"])
    deeper = world.ok("POST", "/tokens", {"name": "script", "grants": [role("viewer")]}, token=mine["token"])
    equal((mine["subject"], deeper["subject"], deeper["made_by"]), ("maker", "maker", mine["id"]), "whose they are")
    equal(world.ok("GET", "/whoami", token=deeper["token"])["subject"], "maker", "whoami")
    equal(world.ok("DELETE", f"/tokens/{maker['id']}")["revoked"], sorted([maker["id"], mine["id"], deeper["id"]]), "all three")
    for token in (maker, mine, deeper):
        problem(world.api("GET", "/whoami", token=token["token"]), 401)
    issuer = make(world, "issuer", role("admin", rights=["token.issue"]))
    issued = world.ok("POST", "/tokens", {"name": "eve", "grants": [role("viewer")]}, token=issuer["token"])
    equal(issued["subject"], "eve", "for somebody else")
    equal((world.ok("DELETE", f"/tokens/{issuer['id']}")["issued"]), [issued["id"]], "it goes on, and is named")
    equal(world.api("GET", "/whoami", token=issued["token"]).status, 200, "it goes on")
    equal(world.ok("DELETE", f"/tokens/{issuer['id']}?issued=1")["revoked"], [issued["id"]], "unless that was asked for")
    problem(world.api("GET", "/whoami", token=issued["token"]), 401)


def pages(world, path, token):
    """Everything a list says, page by page of one item, cursors too."""
    texts, cursor = [], ""
    while cursor is not None and len(texts) < 100:
        answer = world.api("GET", f"{path}{'&' if '?' in path else '?'}limit=1{cursor}", token=token)
        equal(answer.status, 200, f"{path}: {answer}")
        texts.append(answer.raw.decode())
        cursor = f"&cursor={urllib.parse.quote(answer['next'], safe='')}" if answer["next"] else None
    return texts


def test_lists_by_scope(world):
    """lists, their pages and cursors tell a viewer of dev nothing of prod: names, keys, drift, reasons, labels"""
    for scope in ("aaa-hidden/prod", "mid/dev", "zzz-hidden/prod"):
        world.set(scope, {"plain": "HIDDEN-VALUE" if "hidden" in scope else "seen"})
    world.set("mid/prod", {"hidden-key": "HIDDEN-VALUE"})
    for service in ("aaa-hidden", "mid", "zzz-hidden"):
        world.ok("PUT", f"/schemas/{service}/{service}-key", {"type": "string"})
    world.ok("PUT", "/parents/aaa-hidden/prod", {"parents": ["zzz-hidden/prod"]})
    world.ok("POST", "/config/subscribe", {"service": "aaa-hidden", "environment": "prod", "keys": ["*"], "url": "https://hidden.example/x"})
    world.ok("PUT", "/freezes/hidden-freeze", {"environment": "prod", "service": "aaa-hidden", "reason": "HIDDEN-REASON"})
    world.start_rollout("zzz-hidden/prod", "all-at-once")
    for name, scopes in (("aaa-hidden-1", ["aaa-hidden/prod"]), ("both-1", ["mid/dev", "mid/prod"]), ("zzz-hidden-1", ["zzz-hidden/prod"])):
        Agent(world, name, scopes=scopes, labels="rack=hidden-rack" if "hidden" in name else "rack=seen").enroll(scopes=scopes).start()
    for scope in ("aaa-hidden/prod", "mid/dev", "mid/prod", "zzz-hidden/prod"):
        world.wait_agents(scope, 1)
    world.postgres.sql("UPDATE server_scope AS m SET drift = '-HIDDEN-DRIFT', reason = 'HIDDEN-OUTPUT' FROM scope AS s WHERE m.scope_id = s.scope_id AND s.environment = 'prod'")
    viewer = make(world, "dev-viewer", role("viewer", "dev", service="mid"))["token"]
    lists = ("/services", "/config/search?key=*&revision=head", "/parents", "/schemas", "/subscriptions", "/servers", "/rollouts", "/freezes")
    for path in lists[:-1]:
        found = "".join(pages(world, path, viewer))
        check("hidden" not in found.lower(), f"{path} tells a viewer of dev: {found}")
        check("hidden" in "".join(pages(world, path, world.token)).lower() or path == "/rollouts", f"{path} tells an administrator")
    check("hidden" not in world.api("GET", "/freezes", token=viewer).raw.decode().lower(), "freezes of other environments")
    problem(world.api("GET", "/servers/aaa-hidden-1", token=viewer), 404, "unknown_server")
    problem(world.api("GET", "/freezes/hidden-freeze", token=viewer), 404, "unknown_freeze")
    world.ok("PUT", "/parents/mid/prod", {"parents": ["mid/dev"]})
    world.set("mid-below/dev", {"plain": "seen"})
    world.ok("PUT", "/parents/mid-below/dev", {"parents": ["mid/dev"]})
    equal(world.ok("GET", "/parents/mid/dev")["children"], ["mid/prod", "mid-below/dev"], "all who inherit from it")
    equal(world.ok("GET", "/parents/mid/dev", token=viewer)["children"], [], "of them, those that the viewer may read")
    wider = make(world, "wider", role("viewer", "dev"))["token"]
    equal(world.ok("GET", "/parents/mid/dev", token=wider)["children"], ["mid-below/dev"], "of them, those in dev")
    both = world.ok("GET", "/servers/both-1", token=viewer)
    equal(([s["environment"] for s in both["scopes"]], both["allowed_scopes"]), (["dev"], ["mid/dev"]), "what is theirs")
    equal(len(world.ok("GET", "/servers/both-1")["scopes"]), 2, "an administrator sees both")
    equal([s["name"] for s in world.ok("GET", "/servers?environment=prod", token=viewer)["servers"]], [], "nor by asking for it")
    world.ok("DELETE", "/freezes/hidden-freeze")


def test_four_eyes(world):
    """a second token is no second person: the author's own tokens approve nothing of the author's, and one subject counts once"""
    world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 2, "default_strategy": "all-at-once"})
    author = make(world, "author", role("admin"))["token"]
    world.set("eyes/prod", {"k": "1"})
    started = world.ok("POST", "/rollouts", {"changes": [{"service": "eyes", "environment": "prod"}]}, token=author)
    approve = lambda token: world.api("POST", f"/rollouts/{started['id']}/approve", {}, token=token)
    new = lambda token, name, **more: world.api("POST", "/tokens", {"name": name, "grants": [role("approver")], **more}, token=token)
    second = new(author, "other")["token"]
    problem(approve(second), 403, "own_rollout", "author")
    problem(new(author, "other", subject="other"), 403, "forbidden", "token.issue")
    trusted = make(world, "trusted", role("admin", rights=["token.issue"]))["token"]
    mine = world.ok("POST", "/rollouts", {"changes": [{"service": "eyes", "environment": "prod"}]}, token=trusted)
    friend = new(trusted, "friend")["token"]
    problem(world.api("POST", f"/rollouts/{mine['id']}/approve", {}, token=friend), 403, "own_rollout", "made by trusted")
    world.ok("POST", f"/rollouts/{mine['id']}/abort", {}, token=trusted)
    ann = make(world, "ann", role("admin"))["token"]
    again = new(ann, "ann's other")["token"]
    equal([len(approve(t)["approvals"]["given"]) for t in (ann, again)], [1, 1], "one person, one approval")
    equal(approve(ann)["state"], "awaiting_approval", "and no more")
    equal(len(approve(friend)["approvals"]["given"]), 2, "the second person")
    world.wait_state(started["id"], "completed")
    world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 0, "default_strategy": "canary"})


def ask_for_two(world):
    world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 2, "default_strategy": "all-at-once", "allowed_strategies": ["all-at-once", "canary"]})


def test_environments(world):
    """policy, approvals, strategies; what is not offered yet is refused; a new one; old and new in the audit"""
    ask_for_two(world)
    got = world.ok("GET", "/environments/production")
    equal((got["policy"], got["approvals"], got["default_strategy"], got["allowed_strategies"]), ("manual", 2, "all-at-once", ["all-at-once", "canary"]), "as set")
    refused = lambda body: sorted(e["pointer"] for e in problem(world.api("PUT", "/environments/prod", body), 422, "invalid")["errors"])
    equal(refused({"policy": "now", "approvals": -1, "windows": [1], "objective": "x"}), ["/approvals", "/objective", "/policy", "/windows"], "pointers")
    equal(refused({"policy": "auto", "approvals": 1}), ["/approvals"], "approvals where all is automatic")
    equal(refused({"policy": "manual", "default_strategy": "nosuch"}), ["/default_strategy"], "no such strategy")
    equal(refused({"policy": "manual", "default_strategy": "percent", "allowed_strategies": ["canary"]}), ["/default_strategy"], "not among them")
    equal(refused({"policy": "manual", "allowed_strategies": ["nosuch", 7]}), ["/allowed_strategies"] * 2 + ["/default_strategy"], "unknown ones")
    equal(world.api("PUT", "/environments/qa", {"policy": "auto"}).status, 201, "a new one")
    problem(world.api("PUT", "/environments/a%2Fb", {"policy": "auto"}), 422)
    told = world.ok("GET", "/audit?action=environment.set")["audit"]
    equal((told[0]["data"]["old"], told[0]["data"]["new"]["name"]), (None, "qa"), "a new one, told")
    equal((told[1]["data"]["old"]["approvals"], told[1]["data"]["new"]["approvals"]), (0, 2), "old and new")
    problem(world.api("POST", "/rollouts", {"changes": [{"service": "web", "environment": "prod"}], "strategy": "percent"}), 409)
    world.set("web/prod", {"k": "strategies"})
    for strategy in ("percent", {"stages": [{"percent": 100}]}):
        problem(world.api("POST", "/rollouts", {"changes": [{"service": "web", "environment": "prod"}], "strategy": strategy}), 422, "invalid", "/strategy")


def test_approvals(world):
    """two others than the author; not twice the same, not the author; reject and abort; void when the base moved"""
    ask_for_two(world)
    rel, ann, bob = (make(world, n, role(r, "prod"))["token"] for n, r in (("rel-2", "releaser"), ("ann", "approver"), ("bob", "approver")))
    both = make(world, "both", role("releaser", "prod"), role("approver", "prod"))["token"]
    web = {"changes": [{"service": "web", "environment": "prod"}]}
    act = lambda rollout, action, token: world.api("POST", f"/rollouts/{rollout}/{action}", {"reason": "tests"}, token=token)
    begin = lambda token: world.ok("POST", "/rollouts", web, token=token)["id"]

    equal(world.ok("POST", "/rollouts", {**web, "dry_run": True}, token=rel)["approvals"], 2, "the plan tells")
    first = begin(both)
    one = world.rollout(first)
    equal((one["state"], one["approvals"], one["started_at"]), ("awaiting_approval", {"needed": 2, "given": [], "overtaken": False}, None), "it waits")
    equal(one["phase"], None, "and is in no phase before it starts")
    problem(act(first, "approve", both), 403, "own_rollout")
    problem(act(first, "reject", both), 403, "own_rollout")
    problem(act(first, "approve", rel), 403, "forbidden", "rollout.approve")
    for action in ("pause", "promote", "retry", "resume"):
        equal(problem(act(first, action, world.token), 409, "wrong_state")["allowed"], ["approve", "reject", "abort"], "what is possible")
    for _ in range(2):
        equal(act(first, "approve", ann)["state"], "awaiting_approval", "the first, and the same again")
    equal([a["by"] for a in world.rollout(first)["approvals"]["given"]], ["ann"], "counted once")
    # Another one does not wait for it: what waits holds no scope. It moves the base.
    second = begin(rel)
    for token in (ann, bob):
        equal(act(second, "approve", token).status, 200, "approved")
    world.wait_state(second, "completed")
    equal(act(second, "approve", bob).status, 200, "repeated")
    problem(act(second, "approve", both), 409, "wrong_state")
    problem(act(second, "reject", both), 409, "wrong_state")
    problem(act(first, "approve", bob), 409, "nothing_to_change")
    equal(act(first, "reject", bob)["state"], "rejected", "rejected")
    equal(act(first, "reject", bob)["state"], "rejected", "and again")
    problem(act(first, "approve", bob), 409, "wrong_state")
    # The base moves under one that still has something to release.
    world.set("web/prod", {"k": "b1"})
    head = world.ok("POST", "/rollouts", {**web, "dry_run": True}, token=rel)["changes"][0]["to_revision"]
    world.set("web/prod", {"k": "b2"})
    third = begin(rel)
    equal(act(third, "approve", ann).status, 200, "for the old base")
    web["changes"][0]["to_revision"] = head
    fourth = begin(rel)
    del web["changes"][0]["to_revision"]
    for token in (ann, bob):
        act(fourth, "approve", token)
    world.wait_state(fourth, "completed")
    problem(act(third, "approve", bob), 409, "base_moved")
    one = world.rollout(third)
    equal(([(a["by"], a["void"]) for a in one["approvals"]["given"]], one["changes"][0]["from_revision"]), ([("ann", True)], head), "void, and the base shown")
    equal(act(third, "approve", bob)["state"], "awaiting_approval", "one for the new base")
    equal(act(third, "approve", ann).status, 200, "and the other, anew")
    world.wait_state(third, "completed")
    equal([(a["by"], a["void"]) for a in world.rollout(third)["approvals"]["given"]], [("ann", True), ("bob", False), ("ann", False)], "all of it is kept")
    # Going back needs nobody's approval; the author may take a waiting one back.
    back = act(third, "rollback", rel)
    equal((back.status, back["approvals"]["needed"]), (201, 0), "going back")
    world.wait_state(back["id"], "completed")
    world.set("web/prod", {"k": "c"})
    fifth = begin(rel)
    equal(act(fifth, "abort", rel)["state"], "aborted", "taken back by its author")
    equal(act(fifth, "abort", rel)["state"], "aborted", "and again")


def test_at_the_same_time(world):
    """many approve at once: it starts once; with a busy scope the last approval waits for later"""
    ask_for_two(world)
    people = [make(world, f"person-{i}", role("approver"))["token"] for i in range(6)]
    world.set("crowd/prod", {"k": "1"})
    author = make(world, "crowd-author", role("releaser"))["token"]
    change = {"changes": [{"service": "crowd", "environment": "prod"}], "strategy": "all-at-once"}
    rollout = world.ok("POST", "/rollouts", change, token=author)["id"]
    answers = []
    threads = [threading.Thread(target=lambda t=t: answers.append(world.api("POST", f"/rollouts/{rollout}/approve", {}, token=t).status)) for t in people]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    world.wait_state(rollout, "completed")
    equal((answers.count(200), answers.count(409)), (2, 4), "two were in time")
    world.set("crowd/prod", {"k": "2"})
    ghost = Agent(world, "crowd-ghost", scopes=["crowd/prod"]).enroll().start()
    world.wait_agents("crowd/prod", 1)
    ghost.kill()
    held = world.ok("POST", "/rollouts", change, token=author)["id"]
    waiting = world.ok("POST", "/rollouts", change, token=author)["id"]
    for t in people[:2]:
        world.ok("POST", f"/rollouts/{held}/approve", {}, token=t)
    equal(world.rollout(held)["state"], "running", "it holds the scope")
    world.ok("POST", f"/rollouts/{waiting}/approve", {}, token=people[0])
    equal(problem(world.api("POST", f"/rollouts/{waiting}/approve", {}, token=people[1]), 409, "scope_busy")["rollout"], held, "who holds it")
    equal(len(world.rollout(waiting)["approvals"]["given"]), 1, "nothing was recorded")
    world.ok("POST", f"/rollouts/{held}/abort", {})
    world.wait_state(held, "aborted")
    world.ok("POST", f"/rollouts/{waiting}/abort", {})


def test_broken_glass(world):
    """a right of its own and a note; it skips approvals and stays on the rollout and in the audit for ever"""
    ask_for_two(world)
    body = {"changes": [{"service": "web", "environment": "prod"}], "break_glass": True}
    world.set("web/prod", {"k": "glass"})
    admin = make(world, "admin-3", role("admin"))["token"]
    problem(world.api("POST", "/rollouts", {**body, "note": "fire"}, token=admin), 403, "forbidden", "rollout.break_glass")
    fireman = make(world, "fireman", role("releaser", "prod", rights=["rollout.break_glass"], until=soon(30)))["token"]
    for note in ({}, {"note": ""}, {"note": " \t"}):
        equal([e["pointer"] for e in problem(world.api("POST", "/rollouts", {**body, **note}, token=fireman), 422, "invalid")["errors"]], ["/note"], "no note")
    answer = world.api("POST", "/rollouts", {**body, "note": "fire"}, token=fireman)
    equal((answer.status, answer["break_glass"], answer["state"], answer["note"]), (201, True, "running", "fire"), "it runs")
    world.wait_state(answer["id"], "completed")
    equal((world.rollout(answer["id"])["break_glass"], world.rollout(answer["id"])["approvals"]["needed"]), (True, 2), "the mark")
    told = world.ok("GET", f"/audit?rollout={answer['id']}&action=rollout.create")["audit"][0]
    equal((told["actor"], told["note"], told["address"], told["data"]["break_glass"]), ("fireman", "fire", "127.0.0.1", True), "in the audit")
    for statement in (f"UPDATE rollout SET break_glass = false WHERE public_id = '{answer['id']}' RETURNING break_glass",
                      f"UPDATE rollout SET created_by = 'x' WHERE public_id = '{answer['id']}' RETURNING break_glass"):
        equal(world.postgres.sql(statement), [["t"]], "it cannot be taken off")


def test_freezes(world):
    """nothing new starts while it is frozen: not by hand, not by itself, not by a last approval; going back and broken glass do"""
    world.ok("PUT", "/environments/prod", {"policy": "manual", "default_strategy": "all-at-once"})
    world.set("cold/prod", {"k": "1"})
    first = world.start_rollout("cold/prod", "all-at-once")
    world.wait_state(first, "completed")
    world.set("cold/prod", {"k": "2"})
    ask = {"changes": [{"service": "cold", "environment": "prod"}]}
    ask_for_two(world)
    waiting = world.ok("POST", "/rollouts", ask, token=make(world, "cold-author", role("releaser"))["token"])["id"]
    world.ok("PUT", "/environments/prod", {"policy": "manual", "default_strategy": "all-at-once"})
    answer = world.api("PUT", "/freezes/winter", {"environment": "*", "service": "co*", "reason": "snow", "ends_at": soon()})
    equal((answer.status, answer["active"], answer["environment"], answer["created_by"]), (201, True, "*", "tests"), "set")
    problem(world.api("POST", "/rollouts", ask), 409, "frozen", "winter", "snow")
    equal(world.api("POST", "/rollouts", {**ask, "dry_run": True}).status, 200, "a plan may be made")
    people = [make(world, f"cold-{i}", role("approver"))["token"] for i in range(2)]
    equal(world.api("POST", f"/rollouts/{waiting}/approve", {}, token=people[0]).status, 200, "not the last one")
    problem(world.api("POST", f"/rollouts/{waiting}/approve", {}, token=people[1]), 409, "frozen")
    wrote = world.api("PUT", "/config/cold/dev/k", {"config_value": "1"})
    equal((wrote.status, wrote["rollout"]), (201, None), "a write is a write")
    back = world.api("POST", f"/rollouts/{first}/rollback", {})
    equal(back.status, 201, "going back")
    world.wait_state(back["id"], "completed")
    world.set("cold/prod", {"k": "3"})
    glass = world.ok("POST", "/rollouts", {**ask, "break_glass": True, "note": "fire in the snow"})["id"]
    world.wait_state(glass, "completed")
    equal([f["name"] for f in world.ok("GET", "/freezes")["freezes"]], ["winter"], "the list")
    low = make(world, "prod-admin", role("admin", "prod"))["token"]
    problem(world.api("DELETE", "/freezes/winter", token=low), 403, "forbidden", "freeze.write")
    problem(world.api("PUT", "/freezes/winter", {"environment": "prod", "reason": "mine"}, token=low), 403, "forbidden", "freeze.write")
    equal(world.api("PUT", "/freezes/local", {"environment": "prod", "reason": "mine", "starts_at": soon()}, token=low).status, 201, "within prod")
    refused = lambda body: sorted(e["pointer"] for e in problem(world.api("PUT", "/freezes/bad", body), 422, "invalid")["errors"])
    equal(refused({"environment": "a b", "service": "'", "ends_at": "never"}), ["/ends_at", "/environment", "/reason", "/service"], "pointers")
    equal(refused({"environment": "*", "reason": "r", "ends_at": "2020-01-01T00:00:00Z"}), ["/ends_at"], "it is over")
    equal(refused({"environment": "*", "reason": "r", "starts_at": "2099-01-01T00:00:00Z", "ends_at": "2098-01-01T00:00:00Z"}), ["/ends_at"], "it never begins")
    problem(world.api("PUT", "/freezes/bad", {"environment": "prodd", "reason": "r"}), 404, "unknown_environment", "prodd")
    done = world.cli("freeze", "set", "bad", "-e", "prodd", "--reason", "r")
    equal(done.returncode, 3, "exit code")
    contains(done.stderr, "there is no environment prodd", "Did you mean prod?")
    equal(world.cli("freeze", "set", "bad", "--until", "2020-01-01T00:00:00Z", "--reason", "r").returncode, 7, "over already")
    equal(world.api("GET", "/freezes/bad").status, 404, "nothing was set")
    for words, unknown in ((("freeze", "set", "local", "-s", "nosuch", "--reason", "r"), "service nosuch"), (("token", "create", "typo", "--role", "viewer", "-e", "prodd"), "environment prodd"),
                           (("token", "create", "typo", "--role", "viewer", "-s", "nosuch"), "service nosuch"), (("schema", "set", "nosuch", "k", "-"), "service nosuch")):
        done = world.cli(*words, stdin='{"type": "string"}' if "-" in words else None)
        equal(done.returncode, 0, f"exit code of {words}: {done.stderr}")
        contains(done.stderr, f"warning: there is no {unknown}")
    check("warning" not in world.cli("token", "create", "right", "--role", "viewer", "-e", "production", "-s", "*").stderr, "names that there are")
    problem(world.api("DELETE", "/freezes/nosuch"), 404, "unknown_freeze")
    equal(world.cli("freeze", "delete", "local").returncode, 0, "lifted")
    contains(world.cli("freeze", "list").stdout, "winter", "co*", "yes", "snow")
    world.ok("DELETE", "/freezes/winter")
    wait_until(lambda: world.api("GET", "/config/cold/dev/k").status == 200, "what was written meanwhile goes out")
    equal([a["action"] for a in world.ok("GET", "/audit?action=freeze.")["audit"]][:4], ["freeze.lift", "freeze.lift", "freeze.set", "freeze.set"], "told")
    world.ok("POST", f"/rollouts/{waiting}/abort", {})


def test_freeze_of_an_open_rollout(world):
    """a freeze holds what is open: promote, resume and retry wait for its end, going back does not; then it goes on by itself"""
    world.ok("PUT", "/strategies/holding", {"stages": [{"count": 1, "hold": True}, {"percent": 100}]})
    world.ok("PUT", "/environments/prod", {"policy": "manual", "default_strategy": "all-at-once"})
    Agent(world, "ice-1", scopes=["ice/prod"]).enroll(scopes=["ice/prod"]).start()
    world.set("ice/prod", {"k": "1"})
    world.wait_agents("ice/prod", 1)
    act = lambda rollout, action: world.api("POST", f"/rollouts/{rollout}/{action}", {})
    baking = lambda rollout: wait_until(lambda: world.rollout(rollout)["phase"] == "baking", lambda: f"it holds: {world.rollout(rollout)}")
    first = world.start_rollout("ice/prod", "holding")
    baking(first)
    world.ok("PUT", "/freezes/ice-age", {"environment": "prod", "service": "ice", "reason": "cold"})
    for action in ("promote", "resume", "retry"):
        problem(act(first, action), 409, "frozen", "ice-age", "cold")
    wait_until(lambda: world.rollout(first)["state"] == "paused", lambda: f"it is held: {world.rollout(first)}", 10)
    contains(world.rollout(first)["reason"], "lockstepd", "frozen by ice-age")
    equal(problem(act(first, "abort"), 409, "wrong_state")["state"], "paused", "its state is said as it is shown")
    world.ok("DELETE", "/freezes/ice-age")
    wait_until(lambda: world.rollout(first)["state"] == "running", lambda: f"it goes on: {world.rollout(first)}", 10)
    equal(act(first, "promote").status, 200, "promoted")
    world.wait_state(first, "completed")
    world.set("ice/prod", {"k": "2"})
    second = world.start_rollout("ice/prod", "holding")
    baking(second)
    equal(act(second, "pause").status, 200, "paused by a person")
    world.ok("PUT", "/freezes/ice-age", {"environment": "*", "service": "i*", "reason": "cold"})
    world.ok("DELETE", "/freezes/ice-age")
    time.sleep(2.5)
    equal(world.rollout(second)["state"], "paused", "who paused it lets it go on")
    world.ok("PUT", "/freezes/ice-age", {"environment": "*", "service": "i*", "reason": "cold"})
    equal(act(second, "rollback").status, 200, "going back needs no thaw")
    world.wait_state(second, "rolled_back")
    world.ok("DELETE", "/freezes/ice-age")


def test_constraints(world):
    """S13 in the database itself: whoever writes, nothing runs unapproved and no author approves"""
    ask_for_two(world)
    world.set("law/prod", {"k": "1"})
    rollout = world.start_rollout("law/prod", "all-at-once")
    row = world.postgres.sql(f"SELECT rollout_id, created_by FROM rollout WHERE public_id = '{rollout}'")[0]
    tries = [f"UPDATE rollout SET state = 'running' WHERE rollout_id = {row[0]}",
             f"UPDATE rollout SET state = 'running', approvals = 9 WHERE rollout_id = {row[0]}",
             f"UPDATE rollout SET state = 'running', approvals_needed = 0 WHERE rollout_id = {row[0]}",
             f"UPDATE rollout SET state = 'running', break_glass = true, note = 'x' WHERE rollout_id = {row[0]}",
             f"INSERT INTO rollout_approval (rollout_id, author, actor, base) VALUES ({row[0]}, '{row[1]}', '{row[1]}', rollout_base({row[0]}))",
             f"INSERT INTO rollout_approval (rollout_id, author, actor, base) VALUES ({row[0]}, 'me', '{row[1]}', rollout_base({row[0]}))"]
    for statement in tries:
        try:
            world.postgres.sql(statement)
        except AssertionError as refused:
            contains(refused, "violates")
        else:
            check(False, f"let through: {statement}")
    world.ok("POST", f"/rollouts/{rollout}/abort", {})


def test_audit(world):
    """who, what, when, from where, old, new, note; filters, pages; the command line checks the chain and finds a fraud"""
    token = make(world, "writer", role("editor", "dev"))["token"]
    world.api("PUT", "/config/web/dev/k", {"config_value": "before"}, token=token)
    world.api("PUT", "/config/web/dev/k", {"config_value": "after", "change_description": "because"}, token=token)
    told = world.ok("GET", "/audit?actor=writer&action=config.&limit=1&service=web&environment=development")
    row = told["audit"][0]
    equal((row["actor"], row["address"], row["action"], row["note"], row["service"], row["environment"]), ("writer", "127.0.0.1", "config.set", "because", "web", "dev"), "the row")
    equal([(c["key"], c["old"]["value"], c["new"]["value"]) for c in row["data"]["changes"]], [("k", "before", "after")], "old and new")
    rest = world.ok("GET", f"/audit?actor=writer&action=config.set&cursor={told['next']}")["audit"]
    equal([c["data"]["changes"][0]["new"]["value"] for c in rest], ["before"], "the next page")
    problem(world.api("GET", "/audit", token=token), 403, "forbidden", "audit.read")
    problem(world.api("GET", "/audit?since=yesterday"), 422)
    equal(world.ok("GET", "/audit?until=2020-01-01T00:00:00Z")["audit"], [], "until")
    check("lst_" not in json.dumps(world.ok("GET", "/audit?limit=500")), "no token is told")
    good = world.cli("audit", "verify")
    equal(good.returncode, 0, f"verified: {good.stderr}")
    anchor = good.stdout.split()[-1]
    equal(world.cli("audit", "verify", "--anchor", anchor).returncode, 0, "by its anchor")
    contains(world.cli("audit", "list", "--actor", "writer").stdout, "writer", "config.set", "because")
    everybody, people = (world.cli("audit", "list", "--limit", "500", *words).stdout for words in (["--all"], []))
    check("lockstepd" in everybody and "lockstepd" not in people and "config.set" in people, f"what people did: {people}")
    verdict = json.loads(world.cli("audit", "verify", "-o", "json").stdout)
    equal((verdict["sound"], verdict["reason"]), (True, None), "audit verify as JSON")
    check(int(verdict["anchor"].split(":")[0]) >= int(anchor.split(":")[0]), f"its anchor: {verdict}, {anchor} before")
    count = int(anchor.split(":")[0])
    forged = [f"UPDATE audit SET actor = 'eve' WHERE number = {count - 1}",
              f"DELETE FROM audit WHERE number = {count // 2}",
              f"DELETE FROM audit WHERE number > {count - 3}"]
    for fraud in forged:
        world.postgres.sql("CREATE TABLE kept AS SELECT * FROM audit; ALTER TABLE audit DISABLE TRIGGER ALL; " + fraud)
        done = world.cli("audit", "verify")
        equal(done.returncode, 1, f"{fraud}: {done.stdout} {done.stderr}")
        world.postgres.sql("INSERT INTO audit SELECT * FROM kept ON CONFLICT (number) DO UPDATE SET actor = excluded.actor; DROP TABLE kept; ALTER TABLE audit ENABLE TRIGGER ALL")
    equal(world.cli("audit", "verify").returncode, 0, "as it was")
    # A tail cut together with its head: only what was written down elsewhere tells.
    world.postgres.sql("CREATE TABLE kept AS SELECT * FROM audit; CREATE TABLE head AS SELECT * FROM audit_head; ALTER TABLE audit DISABLE TRIGGER ALL;"
                       f"UPDATE audit_head SET number = {count - 2}, hash = (SELECT previous FROM audit WHERE number = {count - 1}); DELETE FROM audit WHERE number > {count - 2}")
    equal(world.cli("audit", "verify").returncode, 0, "sound in itself")
    done = world.cli("audit", "verify", "--anchor", anchor)
    equal(done.returncode, 1, f"not by its anchor: {done.stdout}")
    world.postgres.sql("INSERT INTO audit SELECT * FROM kept ON CONFLICT DO NOTHING; UPDATE audit_head SET number = h.number, hash = h.hash FROM head AS h; DROP TABLE kept; DROP TABLE head; ALTER TABLE audit ENABLE TRIGGER ALL")


def test_command_line(world):
    """token create, list, revoke; whoami; environment set; rollout approve and reject"""
    must = lambda code, *words, **more: (lambda done: (equal(done.returncode, code, f"{words}: {done.stdout}{done.stderr}"), done.stdout)[1])(world.cli(*words, **more))
    made = json.loads(must(0, "token", "create", "carl", "--role", "approver", "--environment", "prod", "--service", "cl*", "--expires", "1h", "-o", "json"))
    carl = {"LOCKSTEP_TOKEN": made["token"]}
    equal(made["grants"], [role("approver", "prod", service="cl*")], "the grant")
    contains(must(0, "whoami", env=carl), "carl", "approver", "prod")
    contains(must(0, "token", "list"), "carl", "approver prod cl*")
    quiet = must(0, "token", "create", "dora", "--role", "viewer", "--role", "hook", "--right", "secret.read")
    check(quiet.startswith("lst_") and len(quiet.split()) == 1, f"only the token on standard output: {quiet}")
    must(7, "token", "create", "x", "--role", "king")
    must(2, "token", "create", "x")
    must(5, "token", "list", env=carl)
    must(0, "environment", "set", "prod", "--policy", "manual", "--approvals", "1", "--default-strategy", "all-at-once")
    equal(world.ok("GET", "/environments/prod")["allowed_strategies"], ["all-at-once", "canary"], "the rest is kept")
    must(0, "config", "set", "cli/prod", "k=1")
    must(0, "config", "set", "clone/prod", "k=1")
    sam = {"LOCKSTEP_TOKEN": must(0, "token", "create", "sam", "--role", "releaser").strip()}
    must(8, "rollout", "start", "cli/prod", "--wait", env=sam)
    contains(must(0, "rollout", "get", "cli/prod"), "awaiting approval")
    must(0, "rollout", "approve", "cli/prod", "--wait", env=carl)
    must(0, "rollout", "start", "clone/prod", env=sam)
    must(0, "rollout", "reject", "clone/prod", "--reason", "no", env=carl)
    contains(must(0, "rollout", "list", "--scope", "clone/prod"), "rejected")
    must(0, "token", "revoke", made["id"])
    must(5, "whoami", env=carl)


def test_trail(world):
    """the judge: every rollout of these tests began with its approvals or over broken glass"""
    for r in world.ok("GET", "/rollouts?state=open&limit=500")["rollouts"]:
        world.api("POST", f"/rollouts/{r['id']}/abort", {})
    wait_until(lambda: not world.ok("GET", "/rollouts?state=open")["rollouts"], "all is over")
    judge.trail(world)
