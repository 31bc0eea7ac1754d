"""kit.py - a throwaway Lockstep for tests: PostgreSQL, coordinators and agents as real processes.

Everything lives under one temporary folder and dies with the test: every process is started with
a parent-death signal, and World.close() ends them. Logs are kept while the test runs and their
tails are printed when it fails. Nothing here sleeps to let something happen: wait_until() polls.
"""
import contextlib
import http.client
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
PG_BIN = os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin")
# Where nginx and haproxy are, which an ordinary user's PATH leaves out.
os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"
PATIENCE = float(os.environ.get("PATIENCE", "60"))  # how long anything may take before a test gives up on it


class Failed(AssertionError):
    """A test found something that must not be."""


class NotRun(Exception):
    """What a test was to show cannot be shown here; it counts neither as passed nor as failed."""


def need_root(what):
    if os.geteuid() != 0:
        raise NotRun(f"{what}: only root can act as several users")


def need_program(*names):
    """One of these; its path."""
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        raise NotRun(f"{' or '.join(names)} is not installed")
    return found


def need_mounts():
    """A name space of mounts of one's own."""
    done = subprocess.run(["unshare", "-rm", "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotRun(f"no mounts may be made here: {done.stderr.strip()}")


def check(fact, sentence):
    if not fact:
        raise Failed(sentence)


def equal(found, wanted, what):
    check(found == wanted, f"{what}: found {found!r}, wanted {wanted!r}")


def contains(text, *parts):
    for part in parts:
        check(part.lower() in str(text).lower(), f"expected {part!r} in: {text}")


def wait_until(condition, what, seconds=PATIENCE):
    """Poll until the condition gives something true, and return that."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        check(time.monotonic() < end, f"waited {seconds:.0f} s in vain: {what() if callable(what) else what}")
        time.sleep(0.05)


PORTS_FIRST, PORTS_PER_LANE = 10000, 2750  # below those that the kernel gives to outgoing connections
_ports = iter(random.SystemRandom().sample(range(PORTS_PER_LANE), PORTS_PER_LANE))


def free_port():
    """A port nobody listens on, out of those of this lane (see run.py); never the same twice in one run."""
    while True:
        port = PORTS_FIRST + int(os.environ.get("LANE", "0")) * PORTS_PER_LANE + next(_ports)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def running(argument):
    """The processes that were started with this argument."""
    pids = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if argument.encode() in f.read().split(b"\0"):
                    pids.append(int(pid))
    return pids


class Process:
    """A program with its log; can be stopped, killed and started again."""

    def __init__(self, name, argv, log, env=None, user=None, death="KILL", cwd=None):
        self.name, self.argv, self.log, self.user, self.cwd = name, argv, log, user, cwd
        self.env, self.death, self.popen = {**os.environ, **(env or {})}, death, None
        if os.geteuid() != 0:  # its descriptors and maps are looked at, which only root may of what writes no core dump
            self.env.setdefault("LOCKSTEP_CORE_DUMPS", "1")

    def start(self):
        setpriv = ["setpriv", "--pdeathsig", self.death]
        if self.user:
            setpriv += [f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"]
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(setpriv + ["--"] + self.argv, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, env=self.env, cwd=self.cwd)
        return self

    @property
    def pid(self):
        return self.popen.pid

    def is_running(self):
        return self.popen is not None and self.popen.poll() is None

    def send(self, number):
        if self.is_running():
            self.popen.send_signal(number)

    def kill(self):
        """kill -9, and wait until it is gone."""
        self.send(signal.SIGKILL)
        return self.wait()

    def stop(self, number=signal.SIGTERM, seconds=10):
        self.send(signal.SIGCONT)
        self.send(number)
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} did not end within {seconds} s after signal {number}") from None

    def wait(self, seconds=10):
        return self.popen.wait(seconds) if self.popen else None

    def log_text(self):
        return read(self.log) if os.path.exists(self.log) else ""

    def log_has(self, *parts):
        text = self.log_text()
        return all(p in text for p in parts)


class Postgres:
    """A private PostgreSQL on a Unix socket; as root it runs as another user. With a source it is the standby of that one."""

    def __init__(self, folder, is_durable=False, source=None):
        self.folder, self.port, self.name = folder, 5432, "lockstep"
        self.data, self.sockets = f"{folder}/data", f"{folder}/s"
        self.user = None
        os.makedirs(folder)
        if not is_durable and (place := os.environ.get("LOCKSTEP_PG_FOLDER")):
            self.data = tempfile.mkdtemp(prefix="lockstep-pg-", dir=place) + "/data"
        if os.geteuid() == 0:
            names = {p.pw_name: p for p in pwd.getpwall()}
            self.user = names.get("postgres") or names["nobody"]
            for place in {folder, os.path.dirname(self.data)}:
                os.chown(place, self.user.pw_uid, self.user.pw_gid)
        self._run(["mkdir", "-p", self.sockets])
        if source:
            self._run([f"{PG_BIN}/pg_basebackup", "-D", self.data, "-U", "lockstep", "-h", source.sockets, "-R", "-X", "stream", "-c", "fast", "-N"])
        elif ready := os.environ.get("LOCKSTEP_PG_DATA"):  # the same, made once for all tests
            self._run(["cp", "-a", ready, self.data])
        else:
            self._run([f"{PG_BIN}/initdb", "-D", self.data, "-U", "lockstep", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"])
        self.process = Process("postgres", [
            f"{PG_BIN}/postgres", "-D", self.data, "-k", self.sockets, "-c", "listen_addresses=", "-c", f"fsync={'on' if is_durable else 'off'}",
            "-c", "max_connections=200", "-c", "log_min_messages=warning", "-c", "shared_buffers=64MB"],
            f"{folder}/postgres.log", user=self.user, death="QUIT")

    def _run(self, argv):
        extra = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        done = subprocess.run(argv, capture_output=True, text=True, cwd="/", check=False, **extra)
        check(done.returncode == 0, f"{argv[0]}: {done.stderr}")

    @property
    def url(self):
        return f"host={self.sockets} port={self.port} user=lockstep dbname={self.name}"

    def start(self):
        with contextlib.suppress(FileNotFoundError):  # left behind by an immediate stop
            os.unlink(f"{self.data}/postmaster.pid")
        self.process.start()
        wait_until(self.is_ready, lambda: f"PostgreSQL starts: {self.process.log_text()[-2000:]}")
        return self

    def is_ready(self):
        return subprocess.run([f"{PG_BIN}/pg_isready", "-q", "-U", "lockstep", "-d", "postgres", "-h", self.sockets], check=False).returncode == 0

    def stop_at_once(self):
        """As `pg_ctl stop -m immediate`: sessions are cut, recovery follows at the next start."""
        self.process.stop(signal.SIGQUIT)

    def sql(self, statement, database=None):
        """Rows as lists of texts; NULL is ''."""
        argv = [f"{PG_BIN}/psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e", "-v", "ON_ERROR_STOP=1", "-h", self.sockets,
                "-U", "lockstep", "-d", database or self.name, "-c", statement]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"SQL failed: {done.stderr.strip()} in {statement}")
        text = done.stdout.rstrip("\n")
        return [row.split("\x1f") for row in text.split("\x1e")] if text else []

    @contextlib.contextmanager
    def held(self, statement):
        """Somebody's transaction holds what the statement locks, for as long as it takes."""
        with subprocess.Popen([f"{PG_BIN}/psql", "-X", "-q", self.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            try:
                holder.stdin.write(f"BEGIN; {statement}; SELECT 'it is held';\n")
                holder.stdin.flush()
                while "it is held" not in holder.stdout.readline():
                    check(holder.poll() is None, "nobody holds it")
                yield
            finally:
                holder.kill()

    def json(self, query):
        """The rows of a query as objects."""
        return json.loads(self.sql(f"SELECT coalesce(json_agg(q), '[]') FROM ({query}) q")[0][0])


class Answer:
    """What the HTTP API said."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.raw = status, headers, body
        try:
            self.body = json.loads(body) if body else None
        except ValueError:
            self.body = None

    def __getitem__(self, name):
        check(isinstance(self.body, dict) and name in self.body, f"no {name!r} in HTTP {self.status}: {self.raw[:500]!r}")
        return self.body[name]

    def __repr__(self):
        return f"HTTP {self.status} {self.raw[:800].decode(errors='replace')}"


class Coordinator:
    """One lockstepd."""

    def __init__(self, world, name, lease="2s", extra=""):
        self.world, self.name = world, name
        self.http, self.router = free_port(), free_port()
        self.settings = f"{world.folder}/{name}.ini"
        write(self.settings, f"""[database]
url = {world.postgres.url}
[http]
listen = 127.0.0.1:{self.http}
[router]
bind = tcp://127.0.0.1:{self.router}
key_file = {world.folder}/router.key
[coordinator]
lease = {lease}
heartbeat = 1s
session_grace = 5s
{extra}""", 0o600)
        self.process = Process(name, [f"{BUILD}/lockstepd", "--config", self.settings], f"{world.folder}/{name}.log")

    @property
    def addr(self):
        return f"http://127.0.0.1:{self.http}"

    def start(self, wait=True):
        self.process.start()
        if wait:
            self.wait_ready()
        return self

    def is_ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.api("GET", "/readyz", raw_path=True, token=None, timeout=5).status == 200
        check(self.process.is_running(), f"{self.name} ended: {self.process.log_text()[-2000:]}")
        return False

    def wait_ready(self):
        wait_until(self.is_ready, lambda: f"{self.name} is ready: {self.process.log_text()[-2000:]}")

    def api(self, method, path, body=None, headers=None, token="", raw_path=False, timeout=30, raw_body=None):
        """One request. token: '' is the world's admin token, None none at all."""
        c = http.client.HTTPConnection("127.0.0.1", self.http, timeout=timeout)
        try:
            h = {"Accept": "application/json", **(headers or {})}
            if token is not None:
                h["Authorization"] = f"Bearer {token or self.world.token}"
            data = raw_body
            if body is not None:
                data = json.dumps(body).encode()
                h.setdefault("Content-Type", "application/json")
            c.request(method, path if raw_path else "/api/v1" + path, data, h)
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()


class Agent:
    """One lockstep-agent with its own folder, keys and settings."""

    def __init__(self, world, name, scopes=("demo/prod",), labels="", scope_settings="", general=""):
        self.world, self.name = world, name
        self.folder = f"{world.folder}/{name}"
        os.makedirs(self.folder)
        self.settings = f"{self.folder}/agent.ini"
        self.labels, self.scopes, self.scope_settings, self.general = labels, scopes, scope_settings, general
        self.process = Process(name, [f"{BUILD}/lockstep-agent", "--config", self.settings], f"{self.folder}/agent.log", cwd=self.folder)

    def write_settings(self):
        general = f"""[agent]
name = {self.name}
coordinators = {" ".join(f"tcp://127.0.0.1:{c.router}" for c in self.world.coordinators)}
server_key_file = {self.world.folder}/router.key.pub
key_file = {self.folder}/agent.key
state_dir = {self.folder}/state
labels = {self.labels}
{"" if "log_level" in self.general else "log_level = debug"}
{self.general}"""
        write(self.settings, general + "".join(f"[scope {s}]\n{self.scope_settings or 'check_interval = 5s'}\n" for s in self.scopes), 0o600)

    def run(self, *words, seconds=30):
        """A subcommand of the agent with its own settings."""
        return subprocess.run([f"{BUILD}/lockstep-agent", "--config", self.settings, *words], capture_output=True, text=True,
                              timeout=seconds, check=False, cwd=self.folder)

    def make_key(self):
        """A key pair of its own; the public half."""
        self.write_settings()
        done = self.run("keygen", "--key-file", f"{self.folder}/agent.key")
        check(done.returncode == 0, f"keygen: {done.stderr}")
        return done.stdout.split()[-1]

    def enroll(self, **more):
        """For every scope, unless the test says which."""
        self.world.agents[self.name] = self
        self.world.ok("POST", "/servers", {"name": self.name, "public_key": self.make_key(), "scopes": ["*"], **more})
        return self

    def start(self):
        self.process.start()
        return self

    def kill(self):
        self.process.kill()

    def dump(self):
        """What its LMDB holds: promises per scope, outbox."""
        done = self.run("dump")
        check(done.returncode == 0, f"dump of {self.name}: {done.stderr}")
        return json.loads(done.stdout)


class World:
    """One cluster: a database, coordinators, agents."""

    def __init__(self, name, lease="2s", is_durable=False):
        self.folder = tempfile.mkdtemp(prefix=f"lockstep-{name}-")
        os.chmod(self.folder, 0o755)
        self.lease, self.token = lease, ""
        self.coordinators, self.agents, self.others = [], {}, []
        self.postgres = Postgres(f"{self.folder}/pg", is_durable)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()

    def start(self, coordinators=1):
        """PostgreSQL, a database, coordinators, the first token."""
        self.postgres.start()
        self.postgres.sql("CREATE DATABASE lockstep", "postgres")
        for i in range(coordinators):
            self.add_coordinator(f"lockstepd-{i + 1}").start()
        self.token = self.bootstrap_token("tests")
        return self

    def start_with_secrets(self):
        """The same with one coordinator that has a key for secrets in a file."""
        self.postgres.start()
        self.postgres.sql("CREATE DATABASE lockstep", "postgres")
        c = self.add_coordinator("lockstepd-1", f"[secrets]\nprovider = file\nkey_file = {self.folder}/secrets.key\n")
        done = subprocess.run([f"{BUILD}/lockstepd", "--config", c.settings, "new-secret-key"], capture_output=True, text=True, timeout=30, check=False)
        check(done.returncode == 0, f"new-secret-key: {done.stderr}")
        c.start()
        self.token = self.bootstrap_token("tests")
        return self

    def add_coordinator(self, name, extra=""):
        c = Coordinator(self, name, self.lease, extra)
        self.coordinators.append(c)
        return c

    def bootstrap_token(self, name):
        done = subprocess.run([f"{BUILD}/lockstepd", "--config", self.coordinators[0].settings, "bootstrap-token", "--name", name],
                              capture_output=True, text=True, timeout=30, check=False)
        check(done.returncode == 0, f"bootstrap-token: {done.stderr}")
        return done.stdout.strip()

    def leader(self):
        """The coordinator that leads now, or None."""
        rows = self.postgres.sql("SELECT router FROM leader WHERE lease_until > now()")
        for c in self.coordinators:
            if rows and rows[0][0].endswith(f":{c.router}"):
                return c
        return None

    def api(self, method, path, body=None, **more):
        """Through any coordinator that is up: commands work on each of them."""
        return next(c for c in self.coordinators if c.process.is_running()).api(method, path, body, **more)

    def cli(self, *args, stdin=None, timeout=120, env=None):
        up = next((c for c in self.coordinators if c.process.is_running()), self.coordinators[0])
        return subprocess.run([f"{BUILD}/lockstep", *args], input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
                              env={**os.environ, "HOME": self.folder, "NO_COLOR": "1", "LOCKSTEP_ADDR": up.addr, "LOCKSTEP_TOKEN": self.token, **(env or {})})

    def ok(self, method, path, body=None, **more):
        answer = self.api(method, path, body, **more)
        check(answer.status < 300, f"{method} {path}: {answer}")
        return answer.body

    def rollout(self, rollout):
        return self.ok("GET", f"/rollouts/{rollout}")

    def wait_state(self, rollout, *states, seconds=PATIENCE):
        seen = {}

        def reached():
            seen.update(self.rollout(rollout))
            return seen["state"] in states
        wait_until(reached, lambda: f"rollout {rollout} becomes {' or '.join(states)}; it is {json.dumps(seen)}", seconds)
        return seen

    def set(self, scope, values, description=""):
        """One revision with these keys; its number."""
        body = {"set": values, **({"change_description": description} if description else {})}
        return self.ok("POST", f"/config/{scope}", body)["revision"]

    def start_rollout(self, scope, strategy, **more):
        service, environment = scope.split("/")
        change = {"service": service, "environment": environment}
        return self.ok("POST", "/rollouts", {"changes": [change], "strategy": strategy, **more})["id"]

    def wait_agents(self, scope, count, seconds=PATIENCE):
        """So many servers are connected and known to belong to the scope."""
        service, environment = scope.split("/")
        query = f"""SELECT count(*) FROM server_scope JOIN scope USING (scope_id)
                    WHERE service = '{service}' AND environment = '{environment}'"""
        wait_until(lambda: int(self.postgres.sql(query)[0][0]) >= count, f"{count} agents of {scope} are known", seconds)

    def kill_agents(self, *names):
        """These servers are away, for the leader and for who asks: the half minute in which they count as reachable has passed."""
        for name in names:
            self.agents[name].kill()
        left = sum(a.process.is_running() for a in self.agents.values())
        metrics = lambda: self.api("GET", "/metrics", raw_path=True).raw.decode()
        wait_until(lambda: f"lockstep_servers_connected {left}\n" in metrics(), lambda: f"{left} servers are connected: {metrics()}")
        listed = ", ".join(f"'{name}'" for name in names)

        def is_long_gone():
            self.postgres.sql(f"UPDATE server SET last_seen = last_seen - interval '31 s' WHERE name IN ({listed})")
            return not any(self.ok("GET", f"/servers/{name}")["reachable"] for name in names)
        wait_until(is_long_gone, f"{listed} are away")

    def servers_of(self, rollout):
        return {s["server"]: s for s in self.ok("GET", f"/rollouts/{rollout}/servers?limit=500")["servers"]}

    def audit(self):
        return self.postgres.json("SELECT number, actor, action, rollout_id, server_id, scope_id, note, data FROM audit ORDER BY number")

    def processes(self):
        for a in self.agents.values():
            yield a.process
        for c in self.coordinators:
            yield c.process
        yield from self.others
        yield self.postgres.process

    def logs(self, lines=25):
        """The tails of all logs, for a failed test."""
        out = []
        for p in self.processes():
            text = p.log_text().splitlines()[-lines:]
            if text:
                out.append(f"--- {p.name} ({p.log})\n" + "\n".join(text))
        return "\n".join(out)

    def close(self, keep=False):
        everybody = [p for p in self.processes() if p.is_running()]
        for p in everybody:
            p.send(signal.SIGCONT)
            p.send(signal.SIGKILL if p.death == "KILL" else signal.SIGTERM if p.death == "TERM" else signal.SIGQUIT)
        for p in everybody:
            with contextlib.suppress(subprocess.TimeoutExpired):
                p.wait(10)
            p.send(signal.SIGKILL)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
            shutil.rmtree(os.path.dirname(self.postgres.data), ignore_errors=True)


class SteadyClient(threading.Thread):
    """Asks a server again and again, over one kept connection or a fresh one each time.

    A server may close a kept connection while a request is on its way; when not a byte of an answer
    came, HTTP has the client ask again on a new connection (RFC 9112 section 9.3.1): counted apart.
    """

    def __init__(self, port, path="/", keep=True):
        super().__init__(daemon=True)
        self.port, self.path, self.keep = port, path, keep
        self.failures, self.answers, self.is_over, self.count, self.asked_again = [], [], False, 0, 0
        self.connection = None

    def once(self):
        """(status, text); status 0 and the reason when there was no answer."""
        was_kept = self.connection is not None
        c = self.connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self.connection = None
        try:
            c.request("GET", self.path)
            r = c.getresponse()
            seen = (r.status, r.read().decode(errors="replace").strip())
            if self.keep and not r.will_close:
                self.connection = c
            else:
                c.close()
            return seen
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as problem:
            c.close()
            if was_kept:
                self.asked_again += 1
                return self.once()
            return 0, repr(problem)
        except (OSError, http.client.HTTPException) as problem:
            c.close()
            return 0, repr(problem)

    def run(self):
        while not self.is_over:
            seen = self.once()
            self.count += 1
            if not self.answers or self.answers[-1] != seen:
                self.answers.append(seen)
            if seen[0] != 200:
                self.failures.append(seen)

    def finish(self):
        self.is_over = True
        self.join(15)
        return self
