#!/usr/bin/env python3
"""mutants.py - deliberate protocol mistakes, one at a time: the judge must notice each of them.

A mutant is an exact piece of source and what stands there instead. It is applied to a copy, so the
shipped code stays clean; a piece that is not found exactly once is a failure, so that the list keeps
up with the code. One mutant must live: without compare-and-set the fence suffices. The other way
round it does not: an old leader may still open an attempt that the new one calls unknown, and a
promise that was counted is dropped (presumed abort needs the fence).
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

RUNS = int(os.environ.get("RUNS") or 150000)
ONLY = os.environ.get("ONLY") or ""  # those whose name has this text
CC = os.environ.get("CC") or "gcc"
FOLDERS = ("common", "coordinator/core", "agent/core", "tests/sim")

FENCE = ("tests/sim/database.c", "if (q->epoch != d->epoch) {", "if (false) {")
CAS = [
    ("tests/sim/database.c", """    if (!a || r->phase != PHASE_PREPARING || r->stage != q->save.stage ||
        r->attempt != q->save.attempt || r->attempt_number != q->save.number || r->is_paused)
        return false;""", "    if (!a)\n        return false;"),
    ("tests/sim/database.c", """    if (r->is_over || r->phase != q->save.from || r->stage != q->save.stage ||
        r->attempt != q->save.attempt)
        return false;""", ""),
    ("tests/sim/database.c", "if (r->phase != q->save.from || r->is_over || r->decision_number)", "if (false)"),
]
EARLY = """            if (e->save.kind == SAVE_DECISION && e->save.decision == DECISION_ACTIVATE) {
                struct message m = *find_frame(c, MESSAGE_PREPARE, e->save.number);

                m.type = MESSAGE_DECISION;
                m.order = ORDER_ACTIVATE;
                m.attempt = m.number;
                m.number = w->database.sequence + 1;
                for (unsigned s = 0; s < w->server_count; s++)
                    send(w, who, s, &m);
            }"""
SAY = """    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_SAY,
                                                .word = %s,
                                                .gen = %s,
                                                .number = s->task->number,
                                                .scopes = s->task->scopes });
"""
NOTE = """    c->notes[c->note_count++] ="""
COUNT = """    coordinator_step(w, who, &(struct leader_event){
                                 .type = LEADER_ACKS_SAVED,
                                 .acks = &(struct ack){ .kind = kinds[m->word],
                                                        .server = m->from,
                                                        .number = m->number },
                                 .ack_count = 1 });
"""

# Where only rare worlds show a mistake, schedules begin near one of them. Others begin with the first.
FIRST = {
    "receipt across sessions": 1000000,
    "what is heard before a row is durable is lost": 11150000,
}

# name, must it die, the replacements
MUTANTS = [
    ("told before durable", True, [
        ("tests/sim/coordinator.c", "            judge_asked(w, who, &e->save);\n            submit(w, who,", EARLY + "\n            submit(w, who,")]),
    ("decided without all votes", True, [
        ("coordinator/core/tally.c", ".is_complete = n.missing == 0 && n.ok > 0,", ".is_complete = n.ok > 0,")]),
    ("READY before A1", True, [
        ("agent/core/saves.c", "        save_ack(s, ACK_WORD_READY, false);", "    {" + SAY % ("ACK_WORD_READY", "0") + "        save_ack(s, ACK_WORD_READY, false); }")]),
    ("outcome before A3", True, [
        ("agent/core/saves.c", "    settle(s, OUTCOME_OK);\n", SAY % ("success_word(s->task->order)", "s->task->gen") + "    settle(s, OUTCOME_OK);\n")]),
    ("promise dropped by time-out", True, [
        ("agent/core/participant.c", "    p->ask_ms = s->ev->now_ms + jittered(p->ask_wait_ms, s->ev->chance);\n",
         "    for (unsigned i = 0; i < p->scope_count && p->ask_wait_ms > 2000; i++)\n        p->promises[i].slot_attempt = 0;\n"
         "    p->ask_ms = s->ev->now_ms + jittered(p->ask_wait_ms, s->ev->chance);\n")]),
    ("obeyed in the order of arrival", True, [
        ("agent/core/promise.c", "return gen > pr->gen || (gen == pr->gen && dseq > pr->obeyed);", "return gen != pr->gen || dseq != pr->obeyed;")]),
    ("no attempt numbers: old ABORT meets new PREPARE", True, [
        ("agent/core/promise.c", "    if (pr->slot_attempt == attempt)\n        empty_slot(pr);", "    empty_slot(pr);"),
        ("agent/core/guards.c", "        if (s->p->promises[i].slot_attempt == s->ev->number ||\n", "        if (s->p->promises[i].slot_attempt ||\n")]),
    ("fence and compare-and-set both off", True, [FENCE] + CAS),
    ("fence alone off", True, [FENCE]),
    ("compare-and-set alone off", False, CAS),
    ("READY counted when it arrives", True, [
        ("tests/sim/coordinator.c", NOTE, COUNT + NOTE),
        ("tests/sim/database.c", "count_ready(r, a->number) < q->save.ready_min ||", "")]),
    ("receipt before C2", True, [
        ("tests/sim/coordinator.c", NOTE, """    if (m->outbox) {
        judge_receipt(w, m->from, m->outbox, m->incarnation);
        send(w, who, m->from, &(struct message){ .type = MESSAGE_RECEIPT, .outbox = m->outbox });
    }
""" + NOTE)]),
    ("receipt across sessions", True, [
        ("tests/sim/coordinator.c", "if (!n->outbox || w->coordinators[who].sessions[n->ack.server] != n->session)", "if (!n->outbox)")]),
    ("ABORT after ACTIVATE", True, [
        ("coordinator/core/rollout.c", "return !f->was_activated;", "return true;")]),
    ("ABORT told before it is durable", True, [
        ("coordinator/core/rollout.c", "    (void)f;\n    move_to_aborting(r, \"aborted as asked\", out);", "    tell_abort(r, f, out);\n    move_to_aborting(r, \"aborted as asked\", out);"),
        ("coordinator/core/rollout.c", "static void move_to_aborting(", "static void tell_abort(struct rollout *r, const struct rollout_facts *f, struct effects *out);\nstatic void move_to_aborting(")]),
    ("rollback forgets late servers", True, [
        ("coordinator/core/leader.c", "ev->decision == DECISION_ROLLBACK ? &r->opened : &r->scope_members", "ev->decision == DECISION_ROLLBACK ? &r->applied : &r->scope_members")]),
    ("FINALIZE forgets those outside the stages", True, [
        ("coordinator/core/leader.c", "ev->decision == DECISION_ROLLBACK ? &r->opened : &r->scope_members", "&r->opened")]),
    ("next stage without its rule", True, [
        ("coordinator/core/tally.c", ".is_passed = r->round.state == ROUND_PASSED,", ".is_passed = r->round.is_decided,")]),
    ("retry keeps the old votes", True, [
        ("coordinator/core/rollout.c", "    bitset_clear(&r->round.ready);\n", ""),
        ("tests/sim/database.c", "count_ready(r, a->number) < q->save.ready_min ||", "")]),
    ("STATUS of a replaced attempt is unknown", True, [
        ("coordinator/core/leader_look.c", "    if (is_being_replaced(l, attempt_number))\n        return ATTEMPT_PENDING;\n", "")]),
    ("last known good forgotten", True, [
        ("agent/core/promise.c", "        pr->lkg = pr->active;\n    pr->active = *content;", "        pr->lkg = (struct content){ 0 };\n    pr->active = *content;")]),
    ("applied before the pointer is durable", True, [
        ("agent/core/saves.c", "        promise_switch(tasks_promise(s, t), &order, &t->content);\n    }\n", "        promise_switch(tasks_promise(s, t), &order, &t->content);\n    }\n    tasks_apply(s);\n")]),
    ("late FINALIZE drops the next promise", True, [
        ("agent/core/promise.c", "    if (pr->slot_attempt < order->dseq)\n", "")]),
    ("old leaders are listened to", True, [
        ("tests/sim/server.c", "if (m->epoch < v->seen_epoch) {", "if (false) {"),
        ("tests/sim/server.c", "    v->seen_epoch = m->epoch;\n", "    v->seen_epoch = 0;\n")]),
    ("goes back unasked", True, [
        ("agent/core/promise.c", "    return pr->isolation_ms && silent_ms >= pr->isolation_ms && pr->outcome == OUTCOME_OK &&", "    return silent_ms >= 3000 && pr->outcome == OUTCOME_OK &&")]),
    ("cut off and keeps the candidate", True, [
        ("agent/core/promise.c", "silent_ms >= pr->isolation_ms &&", "silent_ms >= 4 * (int64_t)pr->isolation_ms &&")]),
    ("late APPLIED undoes a going back", True, [
        ("coordinator/core/leader_acks.c", "    if (rank <= r->outcome[a->server] || bitset_has", "    if (bitset_has"),
        ("coordinator/core/leader_acks.c", "    if (a->kind == ACK_APPLIED && bitset_has(&r->failed, a->server))\n        return;",
         "    if (a->kind == ACK_APPLIED)\n        bitset_remove(&r->failed, a->server);")]),
    ("who answered late stays silent in memory", True, [
        ("coordinator/core/leader_acks.c", "    r->outcome[a->server] = rank;\n    bitset_remove(&r->silent, a->server);\n", "    r->outcome[a->server] = rank;\n")]),
    ("a deadline that passes in a pause makes silent", True, [
        ("coordinator/core/leader.c", "view->silent &&\n        !view->is_paused)", "view->silent)")]),
    ("digests and decisions go round", True, [
        ("coordinator/core/leader.c", "    else if (!is_told(l, ev))\n", "    else if ((void)is_told, true)\n")]),
    ("the last scope hides the others' checks", True, [
        ("coordinator/core/leader.c", "            r->failing.words[w] |= scope->blamed", "            r->failing.words[w] = scope->blamed")]),
    ("what is heard before a row is durable is lost", True, [
        ("coordinator/core/leader_hear.c", "    is_news = hear_check(l, server, h);\n    if (!bitset_has(&l->scopes[h->scope].members, server))\n        return;",
         "    if (!bitset_has(&l->scopes[h->scope].members, server))\n        return;\n    is_news = hear_check(l, server, h);\n")]),
    ("a check is heard of the newest attempt alone", True, [
        ("coordinator/core/leader_hear.c", "h->obeyed > r->first_number &&", "h->obeyed > r->asked[server] &&")]),
    ("a retry excuses what the change broke", True, [
        ("coordinator/core/leader.c", "static void note_unfit(const struct leader *l, struct rollout *r)\n", "void note_unfit(const struct leader *l, struct rollout *r)\n"),
        ("coordinator/core/leader_command.c", "    r->command = ev->command;\n", "    if (ev->action == ROLLOUT_ACTION_RETRY) { void note_unfit(const struct leader *l, struct rollout *r); bitset_copy(&r->round.cohort, &r->scratch); note_unfit(l, r); }\n    r->command = ev->command;\n")]),
    ("clocks start over at every takeover", True, [
        ("coordinator/core/leader_load.c", "int64_t elapsed_ms = load->elapsed_ms, left_ms;",
         "int64_t elapsed_ms = 0, left_ms;")]),
    ("time that nobody saw is counted", True, [
        ("tests/sim/leading.c", "    d->seen_ms = w->now_ms;\n", "")]),
    ("APPLIED of what failed is news after a retry", True, [
        ("coordinator/core/leader_acks.c", "    if (rank <= r->outcome[a->server] || bitset_has", "    if (bitset_has"),
        ("tests/sim/database_acks.c", "    bool is_new = m->outcome < rank;", "    bool is_new = true;")]),
    ("duties leak", True, [
        ("coordinator/core/delivery.c", "(old->kind == DECISION_ACTIVATE && old->rollout == by->rollout);", "false;")]),
    ("nobody is told again", True, [
        ("coordinator/core/leader.c", "        on_retried(l, ev, out);\n", "        (void)on_retried;\n")]),
    ("a way back that failed is never tried again", True, [
        ("agent/core/promise.c", "(kind != ORDER_ACTIVATE && pr->obeyed_kind == (uint8_t)kind", "(kind == ORDER_FINALIZE && pr->obeyed_kind == (uint8_t)kind")]),
    ("what failed is told once and no more", True, [
        ("coordinator/core/leader.c", "        delivery_retry(&l->delivery, &s->failed, scope);\n", "        (void)0;\n")]),
    ("a way back passes over who left", True, [
        ("coordinator/core/delivery.c", "    if (kind != DECISION_ROLLBACK)\n        bitset_copy", "        bitset_copy")]),
    ("declined one way back, obeys the one before", True, [
        ("agent/core/promise.c", ": pr->closed > dseq && pr->obeyed_kind != ORDER_ACTIVATE;", ": false;")]),
    ("a refusal that a retry overtook is none", True, [
        ("coordinator/core/leader_acks.c", "    note_no(r, a);\n    r->is_touched = true;\n", "    r->is_touched = true;\n")]),
    ("back in one scope is back everywhere", True, [
        ("coordinator/core/leader.c", "            r->owing.words[w] |= here & ~(s->back.words[w] | s->stuck.words[w]);",
         "            r->owing.words[w] |= here & ~(r->rolled_back.words[w] | s->back.words[w] | s->stuck.words[w]);")]),
    ("stuck in one scope is back everywhere", True, [
        ("coordinator/core/leader.c", "            r->broken.words[w] |= here & s->stuck.words[w];", "            r->broken.words[w] |= here & s->stuck.words[w] & ~r->rolled_back.words[w];"),
        ("coordinator/core/leader_acks.c", "        is_stuck |= bitset_has(&s->stuck, a->server);\n", "        is_stuck = a->kind == ACK_FAILED && !bitset_has(&r->rolled_back, a->server);\n")]),
    ("nothing to take back in one scope is nothing anywhere", True, [
        ("coordinator/core/leader_load.c", "    delivery_excuse(&l->delivery, dseq, server, scope);", "    for (scope = 0; scope < l->limits.scopes_max; scope++)\n        delivery_excuse(&l->delivery, dseq, server, scope);")]),
    ("a way back that failed is forgotten for one that is not needed", True, [
        ("coordinator/core/delivery.c", "old->kind == DECISION_ROLLBACK && by->kind == DECISION_ROLLBACK;", "false;")]),
    ("a stage that failed is passed over", True, [
        ("coordinator/core/tally.c", "        has_failed_before(r, &r->stage_members[r->stage]) ||\n        has_failed_before(r, &r->round.cohort))\n", "        false)\n"),
        ("tests/sim/database.c", "    return m->is_in && m->outcome & 1;", "    return m->is_in && false;")]),
    ("a scope that is added stays outside the promise", True, [
        ("agent/core/guards.c", "        if (unheld & BIT(s->ev->targets[i].scope) &&\n            !promise", "        if (unheld && !promise")]),
    ("rollback pushes on the unmoved", True, [
        ("agent/core/participant.c", "    find_still(&s);\n", "")]),
    ("cohort of nobody", True, [
        ("coordinator/core/tally.c", ".is_vacant = is_vacant(r, &n, is_late),", ".is_vacant = false && is_vacant(r, &n, is_late),")]),
    ("entitlement not asked", True, [
        ("tests/sim/hostile.c", "    return hostile_allowed(w, server);", "    return UINT64_MAX;")]),
    ("foreign acknowledgement counted", True, [
        ("tests/sim/database_acks.c", "        n->is_recorded = is_addressed(d, &n->ack) && look_up(d, &n->ack);\n        if (!n->is_recorded)\n            continue;",
         "        n->is_recorded = true;\n        if (!is_addressed(d, &n->ack))\n            continue;"),
        ("coordinator/core/leader_acks.c", "    if (!r || !bitset_has(asked_by(r, kind), a->server))", "    if (!r)")]),
    ("an exclusion forgets what is owed", True, [
        ("coordinator/core/leader_members.c", "    fleet_remove(&l->fleet, ev->server);\n",
         "    fleet_remove(&l->fleet, ev->server);\n    for (uint32_t i = 0; i < l->delivery.used; i++) {\n"
         "        bitset_remove(&l->delivery.duties[i].addressed, ev->server);\n"
         "        bitset_remove(&l->delivery.duties[i].owed, ev->server);\n    }\n")]),
    ("release not at the write", True, [
        ("tests/sim/readers.c", "    if (is_automatic(scope))\n        s->published", "    if (false)\n        s->published")]),
    ("FINALIZE takes readers back", True, [
        ("tests/sim/readers.c", "    if (s->published < s->released_revision)\n        s->published", "    if (true)\n        s->published")]),
    ("half applied after a crash", True, [
        ("agent/core/saves.c", "        if (first->outcome != OUTCOME_APPLYING || done & BIT(i))\n            continue;", "        continue;")]),
]


def prepare(root, name, edits):
    for path, old, new in edits:
        full = os.path.join(root, path)
        with open(full, encoding="utf-8") as f:
            text = f.read()
        if text.count(old) != 1:
            raise SystemExit(f"mutant '{name}': {path} has its piece {text.count(old)} times, not once")
        with open(full, "w", encoding="utf-8") as f:
            f.write(text.replace(old, new))


def sources(root):
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(root, folder))):
            path = f"{folder}/{name}"
            if name.endswith(".c") and (folder != "common" or name in ("invariant.c",)):
                yield path


def compile_one(root, out, path):
    target = os.path.join(out, path.replace("/", "_") + ".o")
    subprocess.run([CC, "-std=gnu17", "-O2", "-w", "-D_GNU_SOURCE", "-I.", "-c", "-o", target, path],
                   cwd=root, check=True)
    return target


def build(top, base, name, edits, out):
    """Objects of files that a mutant leaves alone are those of the sound build."""
    root = os.path.join(out, "source")
    for folder in FOLDERS:
        shutil.copytree(os.path.join(top, folder), os.path.join(root, folder))
    prepare(root, name, edits)
    changed = {path for path, _, _ in edits}
    objects = [compile_one(root, out, p) if p in changed else base[p] for p in sources(root)]
    subprocess.run([CC, "-o", os.path.join(out, "sim"), *objects, "-lm"], check=True)


def verdict(out, first):
    run = subprocess.run([os.path.join(out, "sim"), "--quick", "--runs", str(RUNS), "--first", str(first), "--jobs", "1"],
                         capture_output=True, text=True, timeout=3600, check=False)
    text = run.stdout + run.stderr
    seed = re.search(r"make sim SEED=(\d+)", text)
    why = next((line for line in text.splitlines() if re.match(r"S\d+:|liveness:|invariant", line)), "")
    return (int(seed.group(1)) if seed else None), why


def try_one(top, base, work, mutant):
    name, _, edits = mutant
    out = os.path.join(work, re.sub(r"\W+", "-", name))
    os.makedirs(out)
    build(top, base, name, edits, out)
    found = verdict(out, FIRST.get(name, 1))
    shutil.rmtree(out)
    return found


def main():
    top = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    good = bad = 0
    with tempfile.TemporaryDirectory(prefix="lockstep-mutants.") as work, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        base = dict(zip(sources(top), pool.map(lambda p: compile_one(top, work, p), sources(top))))
        chosen = [m for m in MUTANTS if ONLY in m[0]]
        results = pool.map(lambda m: try_one(top, base, work, m), chosen)
        for (name, must_die, _), (seed, why) in zip(chosen, results):
            is_well = (seed is not None) == must_die
            good, bad = good + is_well, bad + (not is_well)
            fate = f"seed {seed}" if seed is not None else "survives"
            print(f"{'ok  ' if is_well else 'BAD '} {name:48} {fate:12} {why}", flush=True)
    print(f"{good} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
