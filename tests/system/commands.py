"""commands.py - what an agent runs: nothing of a command stays, what it sees, how often it checks, what keys may become."""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time

from kit import BUILD, Agent, World, check, contains, equal, free_port, read, wait_until, write

ALL = {"stages": [{"percent": 100}]}
MANY = [f"many-{i}/prod" for i in range(6)]


def setup():
    world = World("commands")
    world.postgres.start()
    world.postgres.sql("CREATE DATABASE lockstep", "postgres")
    world.add_coordinator("lockstepd-1").start()
    world.token = world.bootstrap_token("tests")
    return world


def agent(world, name, scopes, scope_settings, general=""):
    for scope in scopes:
        world.set(scope, {"value": "1"})
    one = Agent(world, name, scopes, scope_settings=scope_settings, general=general)
    one.public = f"{one.folder}/state.public"
    one.process.env.update({"HTTP_PROXY": "http://user:hush@proxy", "PGPASSWORD": "hush", "CREDENTIALS_DIRECTORY": "/run/hush", "PASSED": "on"})
    one.enroll().start()
    for scope in scopes:
        world.wait_agents(scope, 1)
    return one


def roll(world, scope, values, *states):
    world.set(scope, values)
    rollout = world.start_rollout(scope, ALL)
    world.wait_state(rollout, *states)
    return rollout


def living(text):
    """Processes whose command line is this."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
            if line == text:
                found.append(int(pid))
        except OSError:
            pass
    return found


def status(one, scope):
    service, environment = scope.split("/")
    c = http.client.HTTPConnection("local", timeout=10)
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.settimeout(10)
    c.sock.connect(f"{one.public}/agent.sock")
    c.request("GET", "/v1/status")
    found = json.loads(c.getresponse().read())
    c.close()
    return next(s for s in found["scopes"] if (s["service_name"], s["environment"]) == (service, environment))


def test_nothing_stays(world):
    """a command over its time ends with its children of other sessions, and saw nothing of the agent's environment"""
    seconds = 40000 + os.getpid()  # found again by its command line
    seen = f"{world.folder}/seen"
    one = agent(world, "server-1", ["one/prod"], f"check_interval = 0\nenvironment = PASSED\nenvironment = SAID=two words\n"
                f"reload = env > {seen}; if [ -e {world.folder}/hang ]; then (setsid sh -c 'trap \"\" TERM; sleep {seconds}; sleep {seconds}' &); setsid sleep {seconds}; fi\n"
                "reload_timeout = 2s")
    roll(world, "one/prod", {"value": "2"}, "completed")
    lines = read(seen).splitlines()
    equal([line for line in lines if "hush" in line], [], "the agent's own variables")
    equal(sorted(line for line in lines if line.startswith(("PASSED", "SAID"))), ["PASSED=on", "SAID=two words"], "what the settings name")
    check(any(line == "LOCKSTEP_SCOPE=one/prod" for line in lines), "what the agent says")
    contains(one.process.log_text(), "commands end with all that they started")
    write(f"{world.folder}/hang", "")
    try:
        rollout = roll(world, "one/prod", {"value": "3"}, "rolled_back", "failed")
    finally:
        os.unlink(f"{world.folder}/hang")
    contains(world.servers_of(rollout)["server-1"]["reason"], "reload timed out: it took longer than 2s")
    wait_until(lambda: not living(f"sleep {seconds}"), "nothing of it stays", 10)
    one.kill()


def test_checks_one_after_the_other(world):
    """checks of many scopes never run at the same time, and come less often when they take long"""
    log = f"{world.folder}/checks"
    write(log, "")
    one = agent(world, "server-2", MANY, f"check_interval = 200ms\ncheck = echo begin >> {log}; sleep 0.3; echo end >> {log}\ncheck_timeout = 60s")
    changes = [dict(zip(("service", "environment"), scope.split("/"))) for scope in MANY]
    world.wait_state(world.ok("POST", "/rollouts", {"changes": changes, "strategy": ALL})["id"], "completed")
    write(log, "")
    wait_until(lambda: read(log).count("end") >= 8, "checks run")
    lines = read(log).split()[1:]
    pairs = [lines[i:i + 2] for i in range(0, len(lines) - 1, 2)]
    check(all(len(set(pair)) == 2 for pair in pairs) and all(a == b for a, b in zip(lines, lines[2:])), f"one ends before another begins: {lines}")
    found = wait_until(lambda: (s := status(one, MANY[0]))["check_slow"] and s["check_every_ms"] and s, "the status says so")
    check(found["check_took_ms"] >= 300 and found["check_every_ms"] >= 4 * 300, f"how long and how often: {found}")
    contains(one.process.log_text(), "check takes long and comes less often")
    one.kill()


def words(one, *argv, env=None, seconds=30):
    return subprocess.run([f"{BUILD}/lockstep-agent", *argv], capture_output=True, text=True, timeout=seconds, check=False,
                          env={**os.environ, "LOCKSTEP_DIR": one.public, **(env or {})})


def test_keys_are_no_names_that_programs_obey(world):
    """a key named path or ld.preload is no variable, nowhere, until somebody allows that name"""
    env = f"{world.folder}/app.env"
    one = agent(world, "server-3", ["vars/prod", "file/prod"], "check_interval = 0")
    roll(world, "vars/prod", {"path": "/evil", "ld.preload": "/evil.so", "ps4": "$(touch /evil)", "db.url": "pg://", "gone": {"config_value": "null", "value_type": "json"}}, "completed")
    done = words(one, "exec", "vars/prod", "--", "env")
    equal(done.returncode, 4, f"exec: {done.stderr}")
    contains(done.stderr, "ld.preload", "LD_PRELOAD", "the dynamic loader", "--prefix", "--allow-variable")
    done = words(one, "exec", "vars/prod", "--only", "db.*", "--only", "gone", "--", "env")
    equal([line for line in done.stdout.splitlines() if line.startswith(("DB_", "GONE"))], ["DB_URL=pg://"], "null is no variable")
    done = words(one, "exec", "vars/prod", "--prefix", "APP_", "--", "env")
    equal(sorted(line for line in done.stdout.splitlines() if line.startswith("APP_")), ["APP_DB_URL=pg://", "APP_LD_PRELOAD=/evil.so", "APP_PATH=/evil", "APP_PS4=$(touch /evil)", "APP_VALUE=1"], "a prefix")
    done = words(one, "exec", "vars/prod", "--only", "path", "--allow-variable", "PATH", "--", "env")
    contains(done.stderr, "PATH is set already and not overwritten")
    check(f"PATH={os.environ['PATH']}" in done.stdout.splitlines(), "what is set stays")
    done = words(one, "exec", "vars/prod", "--only", "path", "--allow-variable", "PATH", "--overwrite", "--", "/usr/bin/env")
    check("PATH=/evil" in done.stdout.splitlines(), f"allowed and overwritten: {done}")
    done = words(one, "exec", "vars/prod", "--only", "db.*", "--", "env", env={"DB_URL": "own"})
    check("DB_URL=own" in done.stdout.splitlines(), "what is set stays")
    equal(words(one, "exec", "vars/prod", "--prefix", "A=", "--", "env").returncode, 2, "no prefix")
    equal(words(one, "get", "vars/prod", "--format", "env").returncode, 4, "get")
    contains(words(one, "get", "vars/prod", "--format", "env", "--prefix", "X_").stdout, "X_PATH='/evil'")
    answer = world.api("GET", "/config/vars/prod?format=env")
    equal((answer.status, answer["code"]), (409, "env_reserved"), "the coordinator")
    contains(answer["detail"], "ld.preload", "?prefix=")
    contains(world.api("GET", "/config/vars/prod?format=env&prefix=A_").raw.decode(), "A_PATH='/evil'")
    equal(world.api("GET", "/config/vars/prod?format=env&prefix=1").status, 422, "no prefix")
    contains(world.cli("config", "list", "vars/prod", "--format", "env", "--allow-variable", "PATH LD_* PS4").stdout, "LD_PRELOAD='/evil.so'")
    one.scope_settings = "check_interval = 0\n"
    one.scopes = ["vars/prod"]
    one.write_settings()
    with open(one.settings, "a", encoding="utf-8") as f:
        f.write(f"[scope file/prod]\ncheck_interval = 0\ndocument = env -> {env}\nallow_variables = PS4\n")
    one.process.send(signal.SIGHUP)
    wait_until(lambda: one.process.log_has("settings read again"), "the agent has the new settings")
    world.set("file/prod", {"bash.env": "/evil"})
    rollout = world.start_rollout("file/prod", ALL)
    world.wait_state(rollout, "aborted")
    contains(world.servers_of(rollout)["server-3"]["reason"], "bash.env", "BASH_ENV", "allow_variables")
    check(not os.path.exists(env), "no file")
    world.ok("POST", "/config/file/prod", {"set": {"ps4": "+ "}, "delete": ["bash.env"]})
    world.wait_state(world.start_rollout("file/prod", ALL), "completed")
    equal(read(env), "PS4='+ '\nVALUE='1'\n", "what the settings allow")
    one.kill()


def test_who_went_away_frees_its_place(world):
    """watchers that went away free their place at once, and proxies are told not to hold events back"""
    one = agent(world, "server-4", ["watch/prod"], "check_interval = 0", "[local]\nconnections = 16\n")
    roll(world, "watch/prod", {"value": "2"}, "completed")
    poll = f"GET /v1/watch/watch/prod?since={status(one, 'watch/prod')['revision']}&timeout=300 HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.ExitStack() as held:
        for _ in range(12):  # more than one user may have
            s = held.enter_context(socket.socket(socket.AF_UNIX))
            s.connect(f"{one.public}/agent.sock")
            with contextlib.suppress(OSError):
                s.send(poll.encode())
        time.sleep(2)  # all of them wait, and nothing will change

    def answers():
        try:
            return status(one, "watch/prod")
        except (OSError, http.client.HTTPException):
            return None
    wait_until(answers, "places are free again", 10)

    def begins():
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(f"{one.public}/agent.sock")
            s.send(b"GET /v1/events/watch/prod HTTP/1.1\r\nHost: x\r\n\r\n")
            return s.recv(4096).decode()
    contains(wait_until(begins, "and a stream has one"), "X-Accel-Buffering: no")
    one.kill()


def core_of(argv, ready=None):
    """Of a program that is asked for a core dump: did it leave one, its limit of them, is it another's for us?

    Whether one is left says little where core_pattern leads elsewhere or the limit is 0 from the start. The limit is what
    this user may have; and whoever cannot be dumped belongs to root in /proc, which another user than root sees."""
    pid = os.fork()
    if pid == 0:
        import resource
        most = resource.RLIM_INFINITY if os.geteuid() == 0 else resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))
        os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        os.execvp(argv[0], argv)
    wait_until(lambda: ready is None or (os.path.exists("said") and ready in read("said")), f"{argv[0]} says {ready}")
    time.sleep(0.5)
    limit = re.search(r"Max core file size +(\S+)", read(f"/proc/{pid}/limits")).group(1)
    is_others = os.stat(f"/proc/{pid}/status").st_uid != os.geteuid()
    os.kill(pid, signal.SIGABRT)
    status = os.waitpid(pid, 0)[1]
    equal(os.WTERMSIG(status), signal.SIGABRT, "how it ended")
    return os.WCOREDUMP(status), limit, is_others


def test_no_core_dump(world):
    """a crash writes nothing of the memory of lockstepd or of an agent"""
    folder = os.getcwd()
    os.chdir(world.folder)
    try:
        dumped, limit, is_others = core_of(["sleep", "100"])
        print(f"     (a program that does not mind leaves {'one' if dumped else 'none'} here)")
        check(limit != "0" or os.geteuid() != 0, "a program that does not mind has a limit, or its owner tells")
        equal(is_others, False, "a program that does not mind is its user's")
        nothing = (False, "0", os.geteuid() != 0)
        one = Agent(world, "server-5", ["core/prod"])
        one.make_key()
        os.environ.pop("LOCKSTEP_CORE_DUMPS", None)
        equal(core_of([f"{BUILD}/lockstep-agent", "--config", one.settings], "message=ready scopes"), nothing, "the agent")
        c = world.coordinators[0]
        write("again.ini", read(c.settings).replace(str(c.http), str(free_port())).replace(str(c.router), str(free_port())))
        equal(core_of([f"{BUILD}/lockstepd", "--config", "again.ini"], "message=ready http"), nothing, "lockstepd")
    finally:
        os.chdir(folder)
