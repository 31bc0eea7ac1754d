"""judge.py - after a storm: do the audit trail, the tables and the agents' logs keep what must never happen?

S1 … S15 are those of common/PROTOCOL.md. Each function checks one of them over a whole World; what an
agent made durable is read from its log (one `saved` line after each LMDB transaction).
"""
import collections
import re

from kit import check, equal

FINAL = {"completed", "aborted", "rolled_back", "rejected", "failed"}
# Events of a rollout that does not hold its scopes yet.
BEFORE = {"rollout.create", "rollout.approve", "rollout.base_moved", "rollout.reject", "rollout.withdraw"}
# PROTOCOL section 5: no edge from activating to aborting, none from aborting to activating.
NEXT = {
    "preparing": {"preparing", "deciding", "activating", "aborting", "rolling_back", "finalizing", "completed", "aborted"},
    "deciding": {"activating", "aborting", "rolling_back"},
    "activating": {"activating", "preparing", "baking", "rolling_back", "finalizing"},
    "baking": {"baking", "preparing", "activating", "finalizing", "rolling_back"},
    "finalizing": {"finalizing", "completed"},
    "aborting": {"aborting", "aborted"},
    "rolling_back": {"rolling_back", "rolled_back", "failed"},
}
FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')


def log_lines(agent, message):
    for line in agent.process.log_text().splitlines():
        fields = {k: v.strip('"') for k, v in FIELD.findall(line)}
        if fields.get("message") == message:
            yield fields


def saves(agent):
    """(obeyed, outcome, active hash, attempt of the slot) of every durable transaction, in order."""
    return [(int(f["obeyed"]), f["outcome"], f["active"], int(f.get("attempt", 0))) for f in log_lines(agent, "saved")]


class Facts:
    """The tables, once."""

    def __init__(self, world):
        p = world.postgres
        self.world = world
        self.rollouts = {r["rollout_id"]: r for r in p.json("SELECT rollout_id, public_id, state, phase, stage_count FROM rollout")}
        self.attempts = {a["number"]: a for a in p.json("SELECT number, rollout_id, stage, attempt, outcome, epoch FROM attempt")}
        self.decisions = {d["dseq"]: d for d in p.json(
            "SELECT dseq, kind, rollout_id, attempt_number, encode(s.hash, 'hex') AS hash FROM decision JOIN decision_scope s USING (dseq)")}
        self.members = p.json("SELECT rollout_id, name, stage, m.state, detail, ready_at IS NOT NULL AS was_ready, applied_at IS NOT NULL AS was_applied"
                              " FROM member m JOIN server USING (server_id)")
        self.audit = world.audit()
        self.changes = p.json("SELECT rollout_id, scope_id FROM rollout_change")

    def trail(self, rollout_id):
        return [a for a in self.audit if a["rollout_id"] == rollout_id and a["action"].startswith("rollout.")]

    def member(self, rollout_id, name):
        return next((m for m in self.members if m["rollout_id"] == rollout_id and m["name"] == name), None)


def tables(world):
    """S1, S2, S4, S6, S10, S11: decisions and who obeyed them."""
    f = Facts(world)
    one_decision(f)
    obeyed(f)
    stages(f)


def one_decision(f):
    """S1: of activate and abort at most one per attempt, told the same by every table."""
    by_attempt = collections.Counter(d["attempt_number"] for d in f.decisions.values() if d["kind"] == "activate")
    for number, a in f.attempts.items():
        equal(by_attempt[number], 1 if a["outcome"] == "activate" else 0, f"S1: ACTIVATE decisions of attempt {number} ({a['outcome']})")
    once = collections.Counter((d["rollout_id"], d["kind"]) for d in f.decisions.values() if d["kind"] in ("rollback", "finalize"))
    for (rollout, kind), count in once.items():
        equal(count, 1, f"S1: {kind} decisions of rollout {rollout}")
    for rollout_id, r in f.rollouts.items():
        kinds = {k for (r_id, k) in once if r_id == rollout_id}
        check(kinds != {"rollback", "finalize"}, f"S1: rollout {r['public_id']} was finalized and rolled back")


def obeyed(f):
    """S2, S4, S6, S10: what agents did is covered by a decision that names them, in growing order."""
    for name, agent in f.world.agents.items():
        last, ran = 0, {"0" * 64}
        for dseq, outcome, active, _ in saves(agent):
            check(dseq >= last, f"S4: {name} obeyed {dseq} after {last}")
            if dseq == 0:
                continue
            last = dseq
            check(dseq in f.decisions, f"S2: {name} obeyed decision {dseq}, which the database does not have")
            d = f.decisions[dseq]
            allowed = {(d["hash"] or "0" * 64)} | (ran if outcome != "ok" else set())
            check(active in allowed, f"S2: {name} made {active} {outcome} by decision {dseq}, which names {d['hash']}")
            if outcome == "ok":
                ran.add(active)
            if d["kind"] == "activate":
                m = f.member(d["rollout_id"], name)
                check(m, f"S10: {name} obeyed {dseq} and is no member of its rollout")
                check(m["stage"] <= f.attempts[d["attempt_number"]]["stage"], f"S10: {name} of stage {m['stage']} obeyed an earlier stage's decision {dseq}")
        for step in log_lines(agent, "step"):
            if step.get("on") == "ABORT":
                number = int(step["number"])
                check(number not in f.attempts or f.attempts[number]["outcome"] != "activate", f"S6: {name} was sent ABORT of attempt {number}, which was activated")


def stages(f):
    """S11: a stage is opened after the one opened before it was found applied, and not over a budget of 0."""
    for rollout_id, r in f.rollouts.items():
        opened, applied = None, set()
        for a in f.trail(rollout_id):
            d = a["data"]
            if a["action"] == "rollout.move" and d["to"] == "baking":
                applied.add(d["stage"])
            if a["action"] == "rollout.attempt":
                check(opened in (None, d["stage"]) or opened in applied,
                      f"S11: stage {d['stage']} of {r['public_id']} was opened before stage {opened} was applied")
                opened = d["stage"]
        if r["state"] == "completed":
            bad = [m["name"] for m in f.members if m["rollout_id"] == rollout_id and m["state"] == "failed" and m["detail"] != "silent"]
            equal(bad, [], f"S11: failed members of {r['public_id']}, completed with a budget of 0")


def trail(world):
    """S7, S12, S13, S14: one audit row per transition, no gaps, no overlaps, nothing started unapproved, no epoch that was not taken."""
    f = Facts(world)
    numbers = [a["number"] for a in f.audit]
    equal(numbers, list(range(1, len(numbers) + 1)), "S14: event numbers")
    equal(int(world.postgres.sql("SELECT number FROM audit_head")[0][0]), len(numbers), "S14: head of the audit trail")
    epochs = [a["data"]["epoch"] for a in f.audit if a["action"] == "leader.take"]
    check(epochs == sorted(set(epochs)), f"S7: epochs taken {epochs}")
    leading = 0
    for a in f.audit:
        if a["action"] == "leader.take":
            leading = a["data"]["epoch"]
        elif "epoch" in a["data"]:
            equal(a["data"]["epoch"], leading, f"S15: epoch that wrote event {a['number']}")
    transitions(f)
    counts(f)
    overlaps(f)
    approvals(f)
    equal(world.postgres.sql("SELECT * FROM audit_faults()"), [], "the chain of the audit trail")


def transitions(f):
    for rollout_id, r in f.rollouts.items():
        phase = "preparing"
        for a in f.trail(rollout_id):
            d = a["data"]
            if a["action"] in ("rollout.attempt", "rollout.decide", "rollout.move", "rollout.end"):
                equal(d["from"], phase, f"S14: phase before event {a['number']} of {r['public_id']}")
                check(d["to"] in NEXT[phase], f"S14: {r['public_id']} went from {phase} to {d['to']}")
                phase = d["to"]
        equal(r["phase"], phase, f"S14: phase of {r['public_id']} and its last event")
        check(r["state"] in FINAL, f"{r['public_id']} is {r['state']}")
    for action, rows, name in (("rollout.attempt", f.attempts, "number"), ("rollout.decide", f.decisions, "dseq")):
        told = [a["data"][name] for a in f.audit if a["action"] == action]
        eventual = [a["data"]["dseq"] for a in f.audit if a["action"] == "rollout.attempt" and "dseq" in a["data"]] if name == "dseq" else []
        equal(sorted(told + eventual), sorted(rows), f"S14: {action} events and rows")


def counts(f):
    """S14: the batches of acknowledgements add up to what the members say."""
    sums = collections.Counter()
    for a in f.audit:
        if a["action"] == "rollout.acks":
            for public_id, kinds in a["data"]["rollouts"].items():
                for kind, n in kinds.items():
                    sums[public_id, kind] += n
    for rollout_id, r in f.rollouts.items():
        mine = [m for m in f.members if m["rollout_id"] == rollout_id]
        back = sum(m["state"] == "rolled_back" for m in mine)
        equal(sums[r["public_id"], "rolled_back"], back, f"S14: rolled-back members of {r['public_id']} and their batches")
        if not back:
            # Who applied it late did so by the FINALIZE, and was counted there.
            in_time = sum(m["was_applied"] and m["detail"] != "late" for m in mine)
            equal(sums[r["public_id"], "applied"], in_time, f"S14: applied members of {r['public_id']} and their batches")


def overlaps(f):
    """S12: of the rollouts of one scope each began after the one before had ended."""
    for scope in {c["scope_id"] for c in f.changes}:
        spans = []
        for rollout_id in (c["rollout_id"] for c in f.changes if c["scope_id"] == scope):
            own = [a["number"] for a in f.trail(rollout_id) if a["action"] not in BEFORE]
            if own:
                spans.append((own[0], max(a["number"] for a in f.trail(rollout_id) if a["action"] == "rollout.end")))
        spans.sort()
        for (_, end), (begin, _) in zip(spans, spans[1:]):
            check(end < begin, f"S12: a rollout of scope {scope} began with event {begin} before event {end} ended another")


def approvals(f):
    """S13: nothing began without its approvals, each by another than the author and for the base it began from, or broken glass."""
    for rollout_id, r in f.rollouts.items():
        trail = f.trail(rollout_id)
        created = next((a for a in trail if a["action"] == "rollout.create"), None)
        began = next((a["number"] for a in trail if a["action"] not in BEFORE), None)
        check(created, f"S14: no event tells who created {r['public_id']}")
        by = [a for a in trail if a["action"] == "rollout.approve"]
        check(created["actor"] not in {a["actor"] for a in by}, f"S13: {r['public_id']} was approved by its author {created['actor']}")
        if began is None or not created["data"]["approvals_needed"]:
            continue
        if created["data"]["break_glass"]:
            check(created["note"].strip(), f"S13: glass was broken for {r['public_id']} without a note")
            continue
        moved = max([a["number"] for a in trail if a["action"] == "rollout.base_moved"], default=0)
        valid = {a["actor"] for a in by if moved < a["number"] < began}
        check(len(valid) >= created["data"]["approvals_needed"], f"S13: {r['public_id']} began with event {began}, approved by {sorted(valid)} of {created['data']['approvals_needed']}")


def acks(world):
    """S3, S5: every recorded acknowledgement was durable on its agent, every durable outcome is recorded.

    An agent killed between its disk and its log loses one line: so many are forgiven, and no more.
    """
    f = Facts(world)
    for name, agent in world.agents.items():
        done = saves(agent)
        ready = {attempt for *_, attempt in done}
        good = {dseq for dseq, outcome, *_ in done if outcome == "ok"}
        unbacked = []
        for m in (m for m in f.members if m["name"] == name):
            attempts = {n for n, a in f.attempts.items() if a["rollout_id"] == m["rollout_id"]}
            orders = {d["kind"]: set() for d in f.decisions.values()}
            for dseq, d in f.decisions.items():
                if d["rollout_id"] == m["rollout_id"]:
                    orders[d["kind"]].add(dseq)
            finalized = orders.get("finalize", set()) & good
            if m["was_ready"] and not attempts & ready:
                unbacked.append((m["rollout_id"], "ready"))
            if m["was_applied"] and not (orders.get("activate", set()) | finalized) & good:
                unbacked.append((m["rollout_id"], "applied"))
            if m["state"] == "rolled_back" and not orders.get("rollback", set()) & good:
                unbacked.append((m["rollout_id"], "rolled_back"))
            if orders.get("rollback", set()) & good:
                equal(m["state"], "rolled_back", f"S5: {name} in rollout {m['rollout_id']}, which it durably left")
            elif orders.get("activate", set()) & good:
                check(m["was_applied"], f"S5: {name} durably applied rollout {m['rollout_id']}; its row says {m}")
        kills = sum(1 for _ in log_lines(agent, "starting")) - 1
        check(len(unbacked) <= kills, f"S3, S5: acknowledgements of {name} that its log does not back ({kills} kills): {unbacked}")
