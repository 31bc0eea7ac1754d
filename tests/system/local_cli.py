"""local_cli.py - what programs of a server read with the agent's command: get, wait, watch, exec."""
import json
import os
import re
import signal
import subprocess

from kit import BUILD, contains, equal, read, wait_until, write
from local import SCOPE, ask, local_world, roll, words


def setup():
    return local_world("local_cli")


def test_get(world):
    """get: one value, a whole document, and what is not there"""
    equal((words(world, "get", SCOPE, "flag").stdout, words(world, "get", SCOPE, "flag", "--raw").stdout), ("true\n", "true"), "a value")
    equal(json.loads(words(world, "get", SCOPE).stdout), ask(world, f"/v1/config/{SCOPE}?format=json").body, "the document")
    for form in ("yaml", "env"):
        equal(words(world, "get", "--format", form, SCOPE).stdout, ask(world, f"/v1/config/{SCOPE}?format={form}").raw.decode(), form)
    for argv, code, text in ((["get", SCOPE, "nosuch"], 3, 'no key "nosuch"'), (["get", "empty/prod"], 3, "no revision of empty/prod"),
                             (["get", "bad"], 2, "SERVICE/ENV"), (["get", SCOPE, "--format", "xml"], 2, "usage"), (["get"], 2, "usage"),
                             (["get", "empty/prod", "--wait", "100ms"], 124, "empty/prod"), (["get", SCOPE, "--wait", "soon"], 2, "--wait soon")):
        done = words(world, *argv)
        equal((done.returncode, done.stdout), (code, ""), f"{argv}: {done.stderr}")
        contains(done.stderr, text)


def test_wait(world):
    """wait: at once when there is a revision, until a newer one comes, or until the time is up"""
    now = ask(world, f"/v1/config/{SCOPE}")["revision"]
    equal(words(world, "wait", SCOPE).stdout, f"{now}\n", "what is there")
    done = words(world, "wait", SCOPE, "--revision", str(now + 1), "--timeout", "300ms")
    equal((done.returncode, done.stdout), (124, ""), f"time is up: {done.stderr}")
    waiting = subprocess.Popen([f"{BUILD}/lockstep-agent", "wait", SCOPE, "--dir", world.public, "--revision", str(now + 1)], stdout=subprocess.PIPE, text=True)
    new = roll(world, SCOPE, {"note": "waited for"})
    equal((waiting.communicate(timeout=10)[0], waiting.returncode), (f"{new}\n", 0), "a newer one")


def test_watch(world):
    """watch: a line per change, also as JSON"""
    now = ask(world, f"/v1/config/{SCOPE}")["revision"]
    lines = subprocess.Popen([f"{BUILD}/lockstep-agent", "watch", SCOPE, "--dir", world.public, "--once"], stdout=subprocess.PIPE, text=True)
    objects = subprocess.Popen([f"{BUILD}/lockstep-agent", "watch", SCOPE, "--dir", world.public, "--json"], stdout=subprocess.PIPE, text=True)
    equal(lines.stdout.readline(), f"{SCOPE}@{now}\n", "what is there")
    equal(json.loads(objects.stdout.readline())["reset"], True, "what is there, as JSON")
    new = roll(world, SCOPE, {"flag": {"config_value": "false", "value_type": "boolean"}}, ["note"])
    equal(lines.communicate(timeout=10)[0], f"{SCOPE}@{new} changed: flag; deleted: note\n", "a change")
    change = json.loads(objects.stdout.readline())
    equal((change["revision"], change["changes"]), (new, [{"key": "flag", "value": False, "value_type": "boolean"}, {"key": "note", "deleted": True}]), "a change as JSON")
    objects.kill()
    objects.wait()


def test_exec(world):
    """exec: the environment by the rules of env, prefix and choice, the command's own exit status"""
    show = 'printf "%s|%s|%s|%s" "$DATABASE_URL" "$APP_LIMITS_RPS" "$LOCKSTEP_SCOPE" "$LOCKSTEP_REVISION"'
    now = ask(world, f"/v1/config/{SCOPE}")["revision"]
    equal(words(world, "exec", SCOPE, "--", "sh", "-c", show).stdout, f"pg://db1||{SCOPE}|{now}", "environment")
    chosen = words(world, "exec", SCOPE, "--prefix", "APP_", "--only", "limits.*", "--", "sh", "-c", show, env={"DATABASE_URL": "own"})
    equal(chosen.stdout, f"own|100|{SCOPE}|{now}", "prefix and choice")
    for mode in ("ignore", "restart"):
        equal(words(world, "exec", SCOPE, "--on-change", mode, "--", "sh", "-c", "exit 7").returncode, 7, f"status with {mode}")
        done = words(world, "exec", SCOPE, "--on-change", mode, "--", "/nosuch/program")
        equal(done.returncode, 127, "no such command")
        contains(done.stderr, "/nosuch/program cannot be run")
    equal(words(world, "exec", SCOPE, "--on-change", "restart", "--", "sh", "-c", "kill -9 $$").returncode, 137, "killed")
    for argv, text in ((["exec", SCOPE], "usage"), (["exec", SCOPE, "--on-change", "explode", "--", "true"], "restart"),
                       (["exec", SCOPE, "--on-change", "signal:NOPE", "--", "true"], "signal:HUP"), (["exec", SCOPE, "true"], "put -- in front")):
        done = words(world, *argv)
        equal(done.returncode, 2, f"{argv}: {done.stderr}")
        contains(done.stderr, text)
    equal(words(world, "exec", "empty/prod", "--wait", "100ms", "--", "true").returncode, 124, "nothing is active")


class Supervised:
    """`lockstep-agent exec` over a script that writes what happens to it into a file."""

    def __init__(self, world, name, mode, script, *more):
        self.out = f"{world.folder}/{name}"
        write(self.out, "")
        # Whatever the shell that runs the tests ignores: a command below exec is to hear it.
        self.process = subprocess.Popen(["env", "--default-signal", f"{BUILD}/lockstep-agent", "exec", SCOPE, "--dir", world.public, "--on-change", mode,
                                         *more, "--", "sh", "-c", script, self.out])

    def wait(self, text, what):
        wait_until(lambda: text in read(self.out), lambda: f"{what}: {read(self.out)!r}")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(10)


LOOP = "while test -e $0; do sleep 0.05 & wait $!; done"  # ends with the test's folder at the latest


def test_exec_restart(world):
    """exec --on-change restart: only for values that it was given, gracefully, and at last by force"""
    gentle = Supervised(world, "gentle", "restart", f"trap 'echo bye >>$0; exit 0' TERM; echo up $DATABASE_URL >>$0; {LOOP}", "--only", "database.*")
    stubborn = Supervised(world, "stubborn", "restart", f"trap '' TERM; echo up $DATABASE_URL >>$0; {LOOP}", "--stop-timeout", "200ms")
    gentle.wait("up pg://db1\n", "it runs")
    stubborn.wait("up pg://db1\n", "the other one runs")
    roll(world, SCOPE, {"note": "not its own"})
    roll(world, SCOPE, {"database.url": "pg://db2"})
    gentle.wait("up pg://db1\nbye\nup pg://db2\n", "it was restarted once, gracefully")
    stubborn.wait("up pg://db2\n", "the stubborn one was restarted")
    equal(gentle.end(), 0, "exit status after SIGTERM")
    equal(read(gentle.out), "up pg://db1\nbye\nup pg://db2\nbye\n", "what happened")
    equal(stubborn.end(signal.SIGKILL), -9, "killed")


def test_exec_signal(world):
    """exec --on-change signal:HUP: the command hears of changes and of signals sent to exec"""
    heard = Supervised(world, "heard", "signal:HUP", f"trap 'echo hup >>$0' HUP; trap 'echo usr1 >>$0' USR1; trap 'exit 3' INT; echo up >>$0; {LOOP}")
    heard.wait("up\n", "it runs")
    roll(world, SCOPE, {"note": "a change"})
    heard.wait("up\nhup\n", "it heard of the change")
    heard.process.send_signal(signal.SIGUSR1)
    heard.wait("usr1\n", "it heard the signal")
    equal(heard.end(signal.SIGINT), 3, "exit status")


def test_page(world):
    """the examples of the page work: the Python program, and the lines for a shell"""
    page = read(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../agent/LOCAL.md"))
    page = page.replace("/var/lib/lockstep/agent.sock", world.socket).replace("payments/prod", SCOPE)
    program, = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    reader = subprocess.Popen(["python3", "-c", "def use(values): print(json.dumps(values), flush=True)\n" + program], stdout=subprocess.PIPE, text=True)
    equal(json.loads(reader.stdout.readline()), ask(world, f"/v1/config/{SCOPE}?format=json").body, "what the program uses")
    roll(world, SCOPE, {"note": "for the page"})  # applied only after the program confirmed it
    equal(json.loads(reader.stdout.readline())["note"], "for the page", "what it uses then")
    reader.kill()
    reader.wait()
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```$", page, re.M | re.S) for line in block.splitlines()]
    ran = 0
    for line in lines:
        if re.match(r"lockstep-agent (get|wait .*60s)|curl -f", line):
            done = subprocess.run(["sh", "-c", line], env={**os.environ, "LOCKSTEP_DIR": world.public, "PATH": f"{BUILD}:{os.environ['PATH']}"}, capture_output=True,
                                  text=True, timeout=30, check=False)
            equal(done.returncode, 0, f"exit code of {line}: {done.stderr}")
            ran += 1
    equal(ran, 4, "lines that ran")


def test_agent_down(world):
    """while the agent is down, everything but HTTP works"""
    world.one.process.stop()
    equal(words(world, "get", SCOPE, "database.url").stdout, "pg://db2\n", "get")
    equal(words(world, "wait", SCOPE).returncode, 0, "wait")
    equal(words(world, "exec", SCOPE, "--on-change", "restart", "--", "sh", "-c", "echo $DATABASE_URL").stdout, "pg://db2\n", "exec")
    world.one.start()
    wait_until(lambda: os.path.exists(world.socket) and ask(world, "/healthz").body == {"status": "ok", "connected": True}, "it serves again")
