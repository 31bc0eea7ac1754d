"""cli.py - the command line and `lockstep dev` as people and scripts use them: words, files, exit codes."""
import glob
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from kit import BUILD, check, contains, equal, free_port, read, running, wait_until, write

DONE, FAILED, USAGE, NOT_FOUND, CONFLICT, NOT_PERMITTED = 0, 1, 2, 3, 4, 5
ENDED_BADLY, INVALID, NEEDS_PERSON, COMPARE_FAILED, TIMED_OUT, INTERRUPTED = 6, 7, 8, 9, 124, 130
DIFFERS = 1
AT_ONCE = "all-at-once"


class Dev:
    """One `lockstep dev` and its command line."""

    def __init__(self, agents=3):
        self.folder = tempfile.mkdtemp(prefix="lockstep-cli-")
        os.chmod(self.folder, 0o755)
        self.dir, self.out, self.agents, self.process = f"{self.folder}/.lockstep", f"{self.folder}/out", agents, None

    def start(self):
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                [f"{BUILD}/lockstep", "dev", "--dir", self.dir, "--agents", str(self.agents), "--http", "0", "--router", "0"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_until(self.is_ready, lambda: f"lockstep dev is ready: {read(self.out)}")
        return self

    def is_ready(self):
        check(self.process.poll() is None, f"lockstep dev ended: {read(self.out)}")
        return "\nReady" in read(self.out)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self, keep=False):
        if self.process and self.process.poll() is None:
            self.stop()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def logs(self):
        paths = [self.out, f"{self.dir}/log/lockstepd.log", f"{self.dir}/log/server-1.log"]
        return "".join(f"--- {p}\n" + "\n".join(read(p).splitlines()[-15:]) + "\n" for p in paths if os.path.exists(p))

    def env(self, **more):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LOCKSTEP_")}
        return {**clean, "HOME": self.folder, "LOCKSTEP_CONTEXT": self.dir, "LC_ALL": "C", "TERM": "xterm", **more}

    def run(self, *args, stdin=None, cwd=None, **env):
        return subprocess.run([f"{BUILD}/lockstep", *args], input=stdin, capture_output=True, text=True, timeout=120, check=False,
                              cwd=cwd or self.folder, env=self.env(**env))

    def must(self, code, *args, **more):
        """Insist on an exit code; returns what was said on both."""
        done = self.run(*args, **more)
        equal(done.returncode, code, f"exit code of lockstep {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def json(self, *args):
        done = self.run(*args, "-o", "json")
        equal(done.returncode, DONE, f"lockstep {' '.join(args)}: {done.stderr}")
        return json.loads(done.stdout)

    def file(self, name, text):
        path = f"{self.folder}/{name}"
        if isinstance(text, bytes):
            with open(path, "wb") as f:
                f.write(text)
        else:
            write(path, text)
        return path

    def on_disk(self, server, scope="demo-prod"):
        """The document as that server's program reads it."""
        path = f"{self.dir}/agents/{server}/files/{scope}.json"
        return json.loads(read(path)) if os.path.exists(path) else None

    def members(self, scope="demo/prod"):
        wait_until(lambda: len(self.json("server", "list", "--scope", scope)["servers"]) == self.agents, f"agents know {scope}")

    def children(self):
        """Processes that have the folder of this kit in their command line, this one aside."""
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as f:
                    line = f.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(self.dir in word for word in line) and line[0] != f"{BUILD}/lockstep":
                found.append(line[0])
        return found


def setup():
    return Dev().start()


def test_before_the_first_write(dev):
    """A scope that servers read and that has no configuration yet is offered as well"""
    wait_until(lambda: len(dev.json("server", "list", "--scope", "demo/prod")["servers"]) == dev.agents, "agents read demo/prod")
    contains(dev.must(NOT_FOUND, "config", "list", "dmeo/prod"), "Did you mean demo/prod?")


def test_write_and_read(dev):
    """config set, get, list, diff, unset, history: drafts, released values, exit codes"""
    out = dev.must(DONE, "config", "set", "demo/prod", "greeting=hello", "workers=4", "-m", "first")
    contains(out, "demo/prod@1 is a draft")
    dev.members()
    dev.must(NOT_FOUND, "config", "get", "demo/prod", "greeting")
    equal(dev.run("config", "get", "demo/prod@head", "greeting").stdout, "hello\n", "the draft")
    equal(dev.run("config", "get", "demo/production", "greeting", "-r", "1").stdout, "hello\n", "an alias and a number")
    contains(dev.must(FAILED, "config", "diff", "demo/prod"), "+ greeting = hello")
    contains(dev.must(FAILED, "config", "set", "demo/prod", "greeting=hey", "--plan"), "- greeting = hello", "+ greeting = hey")
    dev.must(DONE, "config", "set", "demo/prod", "greeting=hello", "--plan")
    contains(dev.must(DONE, "config", "set", "demo/prod", "greeting=hello"), "nothing changed")
    equal(dev.run("config", "set", "demo/prod", "big", "-", stdin="a\nb\n", ).returncode, DONE, "a value from standard input")
    equal(dev.json("config", "get", "demo/prod@head", "big")["config_value"], "a\nb\n", "as it is")
    equal(dev.run("config", "set", "demo/prod", "n", "-t", "number", "-o", "name", "--", "-5").stdout, "demo/prod@3\n", "a negative number")
    contains(dev.must(INVALID, "config", "set", "demo/prod", "n=x"), "number")
    dev.must(CONFLICT, "config", "set", "demo/prod", "n=6", "--expect", "7")
    dev.must(DONE, "config", "unset", "demo/prod", "big", "n")
    equal(dev.run("config", "list", "demo/prod@head", "-o", "name").stdout.split(), ["greeting", "workers"], "keys left")
    contains(dev.must(DONE, "config", "history", "demo/prod"), "first", "draft")
    contains(dev.must(DONE, "config", "history", "demo/prod", "greeting"), "hello")


def test_import(dev):
    """config import: marks, documents, warnings, plan, prune; broken files name their place"""
    path = dev.file("a.yaml", b"\xef\xbb\xbfdatabase:\n  url: x\n  pool: [1, 2.50]\nflag: yes\n---\ndatabase:\n  url: y\nport: 0x10\n")
    out = dev.must(FAILED, "config", "import", "imp/prod", path, "--plan")
    contains(out, "+ database.pool = [1,2.50]", "+ database.url = y", "+ port = 16")
    contains(out, "a.yaml:7: database.url: document 2 overrides document 1 (line 2)", "a.yaml:4: yes is taken as a string")
    dev.must(NOT_FOUND, "config", "list", "imp/prod@head")
    dev.must(DONE, "config", "import", "imp/prod", path)
    dev.must(DONE, "config", "import", "imp/prod", path, "--dry-run")
    items = {c["config_key"]: (c["config_value"], c["value_type"]) for c in dev.json("config", "list", "imp/prod@head")["configs"]}
    equal(items, {"database.url": ("y", "string"), "database.pool": ("[1,2.50]", "json"), "flag": ("yes", "string"),
                  "port": ("16", "number")}, "what was imported")
    contains(dev.must(DONE, "config", "import", "imp/prod", path, "--document", "1", "--prune"), "@2 is a draft")
    equal(dev.run("config", "list", "imp/prod@head", "-o", "name").stdout.split(), ["database.pool", "database.url", "flag"], "pruned")
    contains(dev.must(INVALID, "config", "import", "imp/prod", dev.file("b.yaml", "a: 1\nb: [1\n")), "b.yaml:3:1:")
    contains(dev.must(INVALID, "config", "import", "imp/prod", dev.file("c.yaml", "a.b: 1\na:\n  b: 2\n")), "c.yaml:3:6:", "line 1")
    contains(dev.must(INVALID, "config", "import", "imp/prod", dev.file("d.yaml", "a: 1\n".encode("utf-16"))), "UTF-16")
    dev.must(USAGE, "config", "import", "imp/prod", path, "--document", "0")
    os.makedirs(f"{dev.folder}/tree/imp2")
    dev.file("tree/imp2/dev.json", '{"a": {"b": "\\ud83d\\ude00"}}')
    dev.must(DONE, "config", "import", f"{dev.folder}/tree")
    equal(dev.run("config", "get", "imp2/dev@head", "a.b").stdout, "\U0001F600\n", "JSON's own way to write letters")


def test_schemas(dev):
    """schema set, get, list, delete; config validate: a file, a folder, nothing written, exit code 7"""
    small = dev.file("small.json", '{"type": "number", "maximum": 5}')
    dev.must(DONE, "config", "set", "schem/prod", "n=7", "--type", "number")
    contains(dev.must(CONFLICT, "schema", "set", "schem", "n", small, "--strict"), "1 value")
    contains(dev.must(DONE, "schema", "set", "schem", "n", small, "-m", "why"), "version 1", "prod@1: must be at most 5")
    contains(dev.must(INVALID, "schema", "set", "schem", "n", dev.file("no.json", '{"type": "nothing"}')), "/type")
    equal(json.loads(dev.run("schema", "get", "schem", "n").stdout), {"type": "number", "maximum": 5}, "as it was given")
    equal(dev.json("schema", "get", "schem", "n")["change_description"], "why", "its description")
    equal(dev.run("schema", "list", "schem", "-o", "name").stdout, "n\n", "list")
    contains(dev.must(INVALID, "config", "set", "schem/prod", "n=8"), "n: must be at most 5", "maximum")
    os.makedirs(f"{dev.folder}/checked/schem")
    bad = dev.file("checked/schem/prod.yaml", "n: 7\nother: x\n")
    dev.file("checked/schem/dev.yaml", "n: 5\n")
    contains(dev.must(INVALID, "config", "validate", "schem/prod", bad), "n: must be at most 5")
    contains(dev.must(INVALID, "config", "validate", f"{dev.folder}/checked"), "schem/dev: 1 keys are valid", "must be at most 5")
    contains(dev.must(DONE, "config", "validate", "schem/prod", dev.file("good.yaml", "n: 4\na: 1\n")), "2 keys are valid")
    dev.must(NOT_FOUND, "config", "list", "schem/dev@head")
    equal(dev.run("config", "get", "schem/prod@head", "n").stdout, "7\n", "nothing was written")
    dev.must(DONE, "schema", "delete", "schem", "n")
    dev.must(NOT_FOUND, "schema", "get", "schem", "n")
    dev.must(DONE, "config", "validate", "schem/prod", bad)


def test_a_rollout_that_completes(dev):
    """rollout plan, start --wait: exit code 0, lines, the picture at the end, files on every disk"""
    plan = dev.json("rollout", "plan", "demo/prod", "-s", AT_ONCE)
    contains(dev.must(CONFLICT, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--expect-plan", "0" * 64), "plan")
    out = dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--expect-plan", plan["plan"], "--wait", "--timeout", "60s")
    contains(out, "preparing", "activating", "completed", "demo/prod 0 -> ", "###", "3 applied", "half within")
    check("\x1b" not in out, "no escapes where there is no terminal")
    for n in range(1, 4):
        equal(dev.on_disk(f"server-{n}"), {"greeting": "hello", "workers": "4"}, f"the document of server-{n}")
    equal(dev.run("config", "get", "demo/prod", "greeting").stdout, "hello\n", "released now")
    dev.must(DONE, "config", "diff", "demo/prod")


def test_references(dev):
    """A rollout is named by id, by a beginning, by SERVICE/ENV; outputs agree"""
    rollout = dev.json("rollout", "get", "demo/prod")
    ident = rollout["id"]
    equal(dev.json("rollout", "get", ident), rollout, "by id")
    equal(dev.run("rollout", "get", ident[:6], "-o", "name").stdout, f"{ident}\n", "by a beginning")
    contains(dev.must(NOT_FOUND, "rollout", "get", "zzzzzz"), "zzzzzz")
    contains(dev.must(NOT_FOUND, "rollout", "get", "imp/prod"), "no rollout yet")
    dev.must(USAGE, "rollout", "get", "a?b")
    contains(dev.must(DONE, "rollout", "get", ident, "-o", "yaml").replace('"', ""), f"id: {ident}", "state: completed")
    equal(dev.run("rollout", "list", "--scope", "demo/prod", "-o", "name").stdout.split(), [ident], "the list")
    equal([s["state"] for s in dev.json("rollout", "servers", ident)["servers"]], ["applied"] * 3, "servers")
    equal(dev.json("rollout", "servers", ident, "--stage", "1", "--label", "zone=b")["servers"][0]["server"], "server-2", "by label")
    contains(dev.must(DONE, "rollout", "status", ident), "completed")


def test_refused_and_rolled_back(dev):
    """Exit code 6: refused in PREPARE, and taken back by itself, with the words of who said no"""
    dev.must(DONE, "config", "set", "demo/prod", "greeting=oops", "demo.refuse=true")
    out = dev.must(ENDED_BADLY, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait")
    contains(out, "aborted", " failed", "demo.refuse is true")  # the first one is enough
    for more in ([], ["--wait"]):
        contains(dev.must(DONE, "rollout", "rollback", "demo/prod", *more), "aborted", "no server had activated it", "nothing was changed")
    dev.must(DONE, "config", "unset", "demo/prod", "demo.refuse")
    dev.must(DONE, "config", "set", "demo/prod", "demo.break=server-2")
    out = dev.must(ENDED_BADLY, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait")
    contains(out, "rolled_back", "server-2", "does not work with this configuration")
    contains(dev.must(ENDED_BADLY, "rollout", "watch", "demo/prod"), "rolled back")
    for n in range(1, 4):
        equal(dev.on_disk(f"server-{n}")["greeting"], "hello", f"server-{n} runs what it ran")
    dev.must(DONE, "config", "unset", "demo/prod", "demo.break")


def test_waiting_ends_in_many_ways(dev):
    """--timeout is 124, Ctrl-C 130, paused 8; a busy scope 4; the rollout goes on through all of it"""
    strategy = dev.file("slow.json", json.dumps({"stages": [{"name": "first", "count": 1, "bake": "10m"}, {"percent": 100}]}))
    contains(dev.must(CONFLICT, "rollout", "start", "demo/prod", "-s", f"@{strategy}"), "greeting was rolled back with")
    out = dev.must(TIMED_OUT, "rollout", "start", "demo/prod", "-s", f"@{strategy}", "--include-rolled-back", "--wait", "--timeout", "2s")
    contains(out, "the rollout goes on")
    ident = dev.run("rollout", "get", "demo/prod", "-o", "name").stdout.strip()
    wait_until(lambda: dev.json("rollout", "get", ident)["phase"] == "baking", "the first stage bakes")
    contains(dev.must(CONFLICT, "rollout", "start", "demo/prod"), ident)
    contains(dev.must(CONFLICT, "rollout", "abort", ident), "wrong_state")
    looker = subprocess.Popen([f"{BUILD}/lockstep", "rollout", "status", ident], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, env=dev.env())
    while "baking" not in looker.stdout.readline():
        check(looker.poll() is None, "status follows")
    looker.send_signal(signal.SIGINT)
    equal(looker.wait(10), INTERRUPTED, "exit code after Ctrl-C")
    contains(looker.stdout.read(), "the rollout goes on")
    contains(dev.must(NEEDS_PERSON, "rollout", "pause", ident, "--wait", "--reason", "let me see"), "waits for a person (resume or rollback)")
    equal(dev.json("rollout", "get", ident)["state"], "paused", "state")
    dev.must(DONE, "rollout", "resume", ident)
    dev.must(DONE, "rollout", "promote", "demo/prod", "--full", "--wait", "--timeout", "60s")
    equal(dev.json("rollout", "get", ident)["state"], "completed", "state")
    equal(dev.on_disk("server-3")["greeting"], "oops", "what came out of it")


def test_rollback(dev):
    """rollout rollback of a completed one: a rollout of its own, exit code 0"""
    dev.must(DONE, "rollout", "rollback", "demo/prod", "--wait", "--timeout", "60s", "--reason", "too rude")
    equal(dev.on_disk("server-1")["greeting"], "hello", "what runs now")
    equal(dev.json("rollout", "get", "demo/prod")["kind"], "rollback", "kind")


def test_nobody(dev):
    """a rollout that reaches nobody is done, and says that it reached nobody; one that reached somebody does not"""
    dev.must(DONE, "config", "set", "lonely/prod", "a=1")
    contains(dev.must(DONE, "rollout", "plan", "lonely/prod", "-s", AT_ONCE), "bring it to nobody")
    contains(dev.must(DONE, "rollout", "start", "lonely/prod", "-s", AT_ONCE, "--wait"), "completed", "brought to nobody: no server reads this")
    dev.must(DONE, "config", "set", "demo/prod", "reached=yes")
    out = dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait")
    check("nobody" not in out and "no server" not in out, f"somebody has it: {out}")


def test_who_approves_is_said(dev):
    """a rollout that waits for approvals ends --wait with 8, and says which commands help"""
    dev.must(DONE, "environment", "set", "asked", "--policy", "manual", "--approvals", "1")
    dev.must(DONE, "config", "set", "lonely/asked", "a=1")
    out = dev.must(NEEDS_PERSON, "rollout", "start", "lonely/asked", "-s", "all-at-once", "--wait", "--timeout", "60s")
    ident = dev.run("rollout", "get", "lonely/asked", "-o", "name").stdout.strip()
    contains(out, f"waits for a person to approve or reject it: lockstep rollout approve {ident}")
    dev.must(DONE, "rollout", "abort", ident)


def test_a_hold_needs_a_person(dev):
    """a stage that holds ends --wait with 8; promote goes on"""
    dev.must(DONE, "config", "set", "demo/prod", "greeting=held")
    strategy = dev.file("hold.json", json.dumps({"stages": [{"count": 1, "hold": True}, {"percent": 100}]}))
    contains(dev.must(NEEDS_PERSON, "rollout", "start", "demo/prod", "-s", f"@{strategy}", "--wait", "--timeout", "60s"), "promote")
    equal(sum(dev.on_disk(f"server-{n}")["greeting"] == "held" for n in range(1, 4)), 1, "servers of the first stage")
    dev.must(DONE, "rollout", "promote", "demo/prod", "--full", "--wait", "--timeout", "60s")
    equal(dev.on_disk("server-3")["greeting"], "held", "everybody")


def on_a_terminal(dev, *words, answer=b""):
    """Exit code and what was drawn; the answer is typed before it is asked for."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(f"{BUILD}/lockstep", ["lockstep", *words], dev.env(LC_ALL="C.UTF-8", NO_COLOR=""))
    os.write(terminal, answer)
    drawn = b""
    try:
        while piece := os.read(terminal, 65536):
            drawn += piece
    except OSError:
        pass  # the other end is closed
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), drawn.decode()


def test_a_rollout_that_nobody_reads(dev):
    """On a terminal the start of a rollout that no server reads is asked about; in a script it is warned of"""
    dev.must(DONE, "config", "set", "unread/prod", "k=v")
    code, text = on_a_terminal(dev, "rollout", "start", "unread/prod", answer=b"n\n")
    equal(code, FAILED, text)
    contains(text, "No server reads this: release it all the same?")
    equal(dev.json("rollout", "list", "--scope", "unread/prod")["rollouts"], [], "nothing was started")
    code, text = on_a_terminal(dev, "rollout", "start", "unread/prod", "--wait", answer=b"y\n")
    equal(code, DONE, text)


def test_watch_in_a_terminal(dev):
    """rollout watch draws bars in colour in place, and leaves the last picture"""
    dev.must(DONE, "config", "set", "demo/prod", "greeting=watched")
    dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE)
    code, text = on_a_terminal(dev, "rollout", "watch", "demo/prod")
    equal(code, DONE, "exit code")
    contains(text, "\x1b[32m█", "completed", "3 applied", "\x1b[?25h")
    check(text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown again")


def test_strategies_and_servers(dev):
    """strategy set, get, list, delete; server enroll, exclude, include, revoke, forget, list, get"""
    dev.must(DONE, "strategy", "set", "mine", "-", stdin='{"stages": [{"percent": 50, "bake": "2s"}, {"percent": 100}]}')
    contains(dev.must(DONE, "strategy", "list"), "50% (bake 2s), 100%")
    contains(dev.must(DONE, "strategy", "get", "mine"), "percent: 50")
    contains(dev.must(INVALID, "strategy", "set", "bad", "-", stdin='{"stages": [{"percent": 50}]}'), "/stages")
    contains(dev.must(INVALID, "strategy", "set", "bad", "-", stdin="{"), "1:1")
    dev.must(DONE, "strategy", "delete", "mine")
    dev.must(NOT_FOUND, "strategy", "get", "mine")
    key = "".join(chr(ord("a") + n % 26) for n in range(40))
    dev.must(DONE, "server", "enroll", "spare", key, "--scope", "demo/*")
    contains(dev.must(CONFLICT, "server", "enroll", "spare", key[::-1], "--scope", "*"), "spare")
    contains(dev.must(CONFLICT, "server", "enroll", "other", key, "--scope", "*"), "spare", "keygen")
    contains(dev.must(USAGE, "server", "enroll", "other", key[::-1]), "--scope is missing", "everything")
    dev.must(INVALID, "server", "enroll", "other", "too-short", "--scope", "*")
    dev.must(DONE, "server", "exclude", "spare")
    contains(dev.must(DONE, "server", "list"), "excluded", "zone=b", "demo/prod@")
    dev.must(DONE, "server", "include", "spare")
    dev.must(DONE, "server", "revoke", "spare")
    equal(dev.json("server", "get", "spare")["state"], "revoked", "state")
    contains(dev.must(USAGE, "server", "forget", "spare"), "-y")
    dev.must(DONE, "server", "forget", "spare", "-y")
    dev.must(NOT_FOUND, "server", "get", "spare")
    contains(dev.must(DONE, "server", "get", "server-1"), "demo/prod")
    contains(dev.must(DONE, "service", "list"), "demo/prod", "imp2/dev")
    contains(dev.must(DONE, "environment", "list"), "prod", "manual")


def test_did_you_mean(dev):
    """a name that does not exist: the one that is nearly it is offered, one at most, and nothing is asked when all is well"""
    def says(*args, code=NOT_FOUND, meant=None):
        out = dev.must(code, *args)
        offers = [line for line in out.splitlines() if "Did you mean" in line]
        equal(offers, [f"Did you mean {meant}?"] if meant else [], f"what lockstep {' '.join(args)} offers: {out}")
    says("server", "get", "sevrer-2", meant="server-2")
    says("server", "revoke", "server-", "-y")  # as near to each of them
    says("server", "get", "database")
    says("config", "list", "dmo/prod", meant="demo/prod")
    says("config", "diff", "demo/prdo", meant="demo/prod")
    says("config", "set", "demo/stagign", "a=b", meant="demo/staging")
    says("config", "list", "fresh/stagign", meant="fresh/staging")
    contains(dev.must(NOT_FOUND, "config", "list", "fresh/nosuch"), "there is no environment nosuch")
    says("strategy", "get", "cannary", meant="canary")
    says("rollout", "get", "demoo/prod", meant="demo/prod")
    ident = dev.json("rollout", "list")["rollouts"][0]["id"]
    mistyped = ident[:-1] + ("x" if ident[-1] != "x" else "y")
    says("rollout", "get", mistyped, meant=ident)
    says("config", "set", "demmo/prod", "a=b", code=DONE, meant="demo/prod")  # legal, and read by nobody
    requests = [line for line in dev.must(DONE, "-v", "server", "get", "server-2").splitlines() if ": GET http" in line or ": 200" in line]
    equal(len(requests), 2, f"requests when all is well: the greeting and the question: {requests}")


def test_who_to_speak_to(dev):
    """Addresses, tokens and contexts: which wins, and what is said when nobody answers"""
    address = [l for l in read(f"{dev.dir}/context").splitlines() if l.startswith("addr")][0].split()[-1]
    token = read(f"{dev.dir}/token").strip()
    contains(dev.must(FAILED, "--addr", "http://127.0.0.1:1", "rollout", "list"), "http://127.0.0.1:1", "--addr", "lockstep dev")
    dev.must(COMPARE_FAILED, "--addr", "http://127.0.0.1:1", "config", "diff", "demo/prod")
    contains(dev.must(NOT_PERMITTED, "--addr", address, "rollout", "list"), "no token was sent")
    dev.must(NOT_PERMITTED, "rollout", "list", LOCKSTEP_TOKEN="lst_a_b_c", LOCKSTEP_CONTEXT="", LOCKSTEP_ADDR=address)
    dev.must(DONE, "rollout", "list", LOCKSTEP_TOKEN=token, LOCKSTEP_CONTEXT="", LOCKSTEP_ADDR=address)
    dev.must(DONE, "--addr", address, "--token-file", f"{dev.dir}/token", "rollout", "list", LOCKSTEP_CONTEXT="")
    contains(dev.must(DONE, "-v", "rollout", "list", LOCKSTEP_CONTEXT=""), "from .lockstep/context")
    dev.file("contexts.ini", f"[there]\naddr = {address}\ntoken_file = {dev.dir}/token\n")
    dev.must(DONE, "--context", "there", "rollout", "list", LOCKSTEP_CONFIG=f"{dev.folder}/contexts.ini")
    dev.must(USAGE, "--context", "nowhere", "rollout", "list", LOCKSTEP_CONFIG=f"{dev.folder}/contexts.ini")
    dev.file("broken.ini", "[there]\naddr = x\ncolour = red\n")
    contains(dev.must(USAGE, "--context", "there", "rollout", "list", LOCKSTEP_CONFIG=f"{dev.folder}/broken.ini"), "broken.ini:3")


def test_several_coordinators(dev):
    """Several addresses: the first that answers is spoken to, whoever is down or hangs; all silent: each with its reason"""
    address = [l for l in read(f"{dev.dir}/context").splitlines() if l.startswith("addr")][0].split()[-1]
    token = {"LOCKSTEP_TOKEN": read(f"{dev.dir}/token").strip(), "LOCKSTEP_CONTEXT": ""}
    dead, port = "http://127.0.0.1:1", free_port()
    with socket.create_server(("127.0.0.1", port)):  # takes connections, and says nothing
        hung = f"http://127.0.0.1:{port}"
        for list_ in (f"{dead},{address}", f"{address},{dead}", f"{hung}, {address}"):
            contains(dev.must(DONE, "--addr", list_, "config", "set", "demo/prod", f"several={list_[:24]}", **token), "demo/prod@")
        dev.file("contexts.ini", f"[there]\naddr = {dead}, {address}\ntoken_file = {dev.dir}/token\n")
        dev.must(DONE, "--context", "there", "server", "list", LOCKSTEP_CONFIG=f"{dev.folder}/contexts.ini")
        contains(dev.must(FAILED, "--addr", f"{dead},{hung}", "server", "list", **token), f"{dead}: ", f"{hung}: no answer in time", "from --addr")
        contains(dev.must(FAILED, "--addr", hung, "--request-timeout", "1s", "server", "list", **token), "no answer in time", "--request-timeout")
        contains(dev.must(FAILED, "--addr", hung, "--request-timeout", "7s", "server", "list", **token), f"no answer from {hung} yet")
    contains(dev.must(USAGE, "--request-timeout", "soon", "server", "list", **token), "--request-timeout")
    dev.must(USAGE, "--addr", ",".join([dead] * 9), "server", "list", **token)


def test_contexts(dev):
    """contexts: listed, chosen, and what wins over the choice; what is no context, and an open token, is said"""
    address = [l for l in read(f"{dev.dir}/context").splitlines() if l.startswith("addr")][0].split()[-1]
    os.makedirs(f"{dev.folder}/mine", exist_ok=True)
    ini = dev.file("mine/contexts.ini", f"[default]\naddr = http://127.0.0.1:1\n[there]\naddr = {address}\ntoken_file = {dev.dir}/token\n")
    own = {"LOCKSTEP_CONFIG": ini, "LOCKSTEP_CONTEXT": "", "cwd": f"{dev.folder}/mine"}
    dev.must(FAILED, "server", "list", **own)
    contains(dev.must(NOT_FOUND, "context", "use", "nowhere", **own), "nowhere", ini, "context list")
    contains(dev.must(DONE, "context", "use", "there", **own), "there")
    listed = {c["name"]: c for c in json.loads(dev.run("context", "list", "-o", "json", **own).stdout)["contexts"]}
    equal({name: c["is_current"] for name, c in listed.items()}, {"default": False, "there": True}, "which one is in use")
    equal(listed["there"]["addr"], address, "address of it")
    contains(dev.must(DONE, "context", "list", **own), "* ", address, "127.0.0.1:1")
    dev.must(DONE, "server", "list", **own)
    dev.must(FAILED, "--context", "default", "server", "list", **own)
    dev.must(DONE, "context", "use", "default", **own)
    dev.must(FAILED, "server", "list", **own)
    dev.must(DONE, "context", "use", "there", **own)
    dev.file("mine/contexts.ini", "[default]\naddr = http://127.0.0.1:1\n")
    contains(dev.must(USAGE, "server", "list", **own), "there", "lockstep context use")
    dev.file("mine/contexts.ini", "addr = http://127.0.0.1:1\n[default]\n")
    contains(dev.must(USAGE, "--context", "default", "server", "list", **own), "contexts.ini:1", "[default]")
    token = dev.file("open.token", read(f"{dev.dir}/token"))
    os.chmod(token, 0o644)
    contains(dev.must(DONE, "--addr", address, "--token-file", token, "server", "list", **own), "open.token", "chmod 600")


def test_edit(dev):
    """config edit: what the editor changed becomes one revision; nothing changed, refused, or changed by another: said, and nothing lost"""
    head = lambda: dev.json("service", "list")["services"]
    dev.must(DONE, "config", "set", "demo/prod", "edit.one=hello", "edit.two=2", "edit.lines=@" + dev.file("lines", "first\nsecond\n"))
    dev.must(DONE, "config", "set", "demo/prod", "edit.secret=@" + dev.file("secret", "hush-hush"), "--encrypt")
    keep = dev.file("keep.sh", f"#!/bin/sh\ncp \"$1\" {dev.folder}/edited\n")
    before = head()
    contains(dev.must(DONE, "config", "edit", "demo/prod", VISUAL="", EDITOR=f"sh {keep}"), "nothing was changed")
    equal(head(), before, "revisions after an edit without a change")
    contains(read(f"{dev.folder}/edited"), '"edit.one": "hello"', "first\n", '"edit.secret": !secret 1', "# demo/prod")
    check("hush" not in read(f"{dev.folder}/edited"), "the secret is in no file")
    change = dev.file("change.sh", "#!/bin/sh\nsed -i -e 's/hello/bye/' -e '/edit.two/d' -e 's/second/third/' \"$1\"\necho 'edit.new: true' >>\"$1\"\n")
    shown = dev.must(DIFFERS, "config", "edit", "demo/prod", "--plan", VISUAL=f"sh {change}")
    contains(shown, "edit.one", "bye", "edit.new", "edit.two")
    contains(dev.must(DONE, "config", "edit", "demo/prod", "-m", "in an editor", VISUAL=f"sh {change}"), "is a draft")
    listed = {item["config_key"]: item for item in dev.json("config", "list", "demo/prod@head")["configs"]}
    equal([listed.get(key, {}).get("config_value") for key in ("edit.one", "edit.two", "edit.lines", "edit.new")],
          ["bye", None, "first\nthird\n", "true"], "values after the edit")
    equal(listed["edit.secret"]["version"], 1, "version of the secret")
    dev.must(DONE, "config", "edit", "demo/prod", "edit.one", VISUAL="", EDITOR="sed -i s/bye/good/")
    contains(dev.must(DONE, "config", "get", "demo/prod@head", "edit.one"), "good")
    contains(dev.must(INVALID, "config", "edit", "demo/prod", "edit.secret", EDITOR="true"), "is a secret", "--encrypt")
    contains(dev.must(NOT_FOUND, "config", "edit", "demo/prod", "edit.none", EDITOR="true"), "edit.none")
    other = dev.file("other.sh", f"#!/bin/sh\n{BUILD}/lockstep config set demo/prod edit.one=theirs >/dev/null 2>&1\necho mine >\"$1\"\n")
    said = dev.must(CONFLICT, "config", "edit", "demo/prod", "edit.one", VISUAL=f"sh {other}")
    kept = re.search(r"kept in (\S+)", said).group(1)
    equal(read(kept), "mine\n", "what was typed")
    contains(dev.must(DONE, "config", "get", "demo/prod@head", "edit.one"), "theirs")
    broken = dev.file("broken.sh", "#!/bin/sh\necho 'a: [' >\"$1\"\n")
    contains(dev.must(INVALID, "config", "edit", "demo/prod", VISUAL=f"sh {broken}"), "kept in", ":2:")
    contains(dev.must(FAILED, "config", "edit", "demo/prod", VISUAL="/no/such/editor"), "VISUAL", "nothing was written")
    dev.must(DONE, "config", "discard", "demo/prod")


def test_undo(dev):
    """rollout undo: back to what ran before; --to: to a revision, shown and asked about; drafts go with it"""
    revision = lambda: [s["released"] for s in dev.json("service", "list")["services"] if s["service"] == "demo" and s["environment"] == "prod"][0]
    for value in ("undo one", "undo two", "undo three"):
        dev.must(DONE, "config", "set", "demo/prod", f"greeting={value}")
        dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait", "-m", value)
        first = revision() if value == "undo one" else first
    contains(dev.must(DONE, "rollout", "undo", "demo/prod", "--wait", "-m", "too much"), "takes back")
    contains(dev.must(DONE, "config", "get", "demo/prod", "greeting"), "undo two")
    dev.must(DONE, "config", "set", "demo/prod", "draft=waits")
    contains(dev.must(USAGE, "rollout", "undo", "demo/prod", "--to", str(first)), "-y")
    contains(dev.must(DONE, "config", "get", "demo/prod", "greeting"), "undo two")
    said = dev.must(DONE, "rollout", "undo", "demo/prod", "--to", str(first), "-s", AT_ONCE, "-y", "--wait", "-m", "as on Monday")
    contains(said, "undo two", "undo one", "completed")
    contains(dev.must(DONE, "config", "get", "demo/prod", "greeting"), "undo one")
    wait_until(lambda: (dev.on_disk("server-1") or {}).get("greeting") == "undo one", "the servers run it")
    dev.must(NOT_FOUND, "config", "get", "demo/prod@head", "draft")
    dev.must(CONFLICT, "rollout", "undo", "demo/prod", "--to", str(first), "-y")
    contains(dev.must(NOT_FOUND, "rollout", "undo", "demo/prod", "--to", "99999", "-y"), "99999")
    dev.must(USAGE, "rollout", "undo", "demo/prod", "-s", "canary")


def test_usage_and_help(dev):
    """Usage errors are 2 and name the help; help, version and completion need no coordinator"""
    for words in (["rollout", "start"], ["frob"], ["rollout", "frob"], ["rollout", "list", "--nope"], ["config", "get", "NoScope"],
                  ["rollout", "list", "-o", "xml"], [], ["rollout"], ["rollout", "start", "demo/prod", "--wait", "--timeout", "soon"]):
        dev.must(USAGE, *words)
    contains(dev.must(DONE, "help"), "First steps", "rollout", "--token-file")
    contains(dev.must(DONE, "rollout", "start", "--help"), "Examples", "--strategy")
    contains(dev.must(DONE, "help", "exit-codes"), "124", "130")
    contains(dev.must(DONE, "help", "contexts"), "contexts.ini", "LOCKSTEP_CONTEXT", "[default]")
    contains(dev.must(DONE, "--version"), "lockstep 0.1.0")
    contains(dev.must(DONE, "version", "--addr", "http://127.0.0.1:1"), "lockstep ")
    for shell in ("bash", "zsh", "fish"):
        contains(dev.must(DONE, "completion", shell), "__complete")
    contains(dev.must(USAGE, "completion", "tcsh"), "bash, zsh and fish", "tcsh")


def test_dev_looks_after_its_children(dev):
    """dev refuses a second one in its folder and brings back what was killed"""
    done = dev.run("dev", "--dir", dev.dir)
    equal(done.returncode, CONFLICT, "a second dev")
    contains(done.stderr, "is at work in")
    os.kill(running(f"{dev.dir}/lockstepd.ini")[0], signal.SIGKILL)
    wait_until(lambda: dev.run("rollout", "list").returncode == DONE and "starting it again" in read(dev.out), "the coordinator is back")
    dev.must(DONE, "config", "set", "demo/prod", "greeting=back")
    dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait", "--timeout", "100s")


def test_dev_goes_on_and_leaves_nothing(dev):
    """Stopped and started again it has the data; killed with -9 it takes its children along"""
    dev.must(DONE, "config", "set", "demo/prod", "greeting=again")
    dev.members()
    dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait", "--timeout", "60s")
    check(len(dev.children()) >= dev.agents + 2, f"the agents, the coordinator and PostgreSQL run: {dev.children()}")
    equal(dev.stop(), DONE, "exit code after SIGTERM")
    equal(dev.children(), [], "processes left")
    dev.start()
    equal(dev.run("config", "get", "demo/prod", "greeting").stdout, "again\n", "what was released before")
    wait_until(lambda: all(s["reachable"] for s in dev.json("server", "list")["servers"]), "the agents are back")
    dev.stop(signal.SIGKILL)
    began = time.monotonic()
    wait_until(lambda: not dev.children(), lambda: f"its children end: {dev.children()}", 20)
    check(time.monotonic() - began < 20, "soon")
    dev.start()
    equal(dev.run("config", "get", "demo/prod", "greeting").stdout, "again\n", "nothing was lost")
