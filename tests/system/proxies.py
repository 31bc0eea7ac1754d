"""proxies.py - real nginx and HAProxy under steady load, and a program that re-reads on SIGHUP: every swap is what they answer."""
import http.client
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: F403

EXAMPLES = os.path.abspath("agent/examples")
SWAPS = int(os.environ.get("SWAPS", "10"))
CONNECTIONS = 8
RATE = 50  # requests a second of each connection: a steady load, not as much as the machine can stand


class Example:
    """The settings of one folder of agent/examples, moved to a folder and ports of this test."""

    def __init__(self, world, name, moves):
        self.name, self.folder, self.source = name, f"{world.folder}/{name}", f"{EXAMPLES}/{name}"
        os.makedirs(self.folder)
        self.moves = {**moves, "/usr/local/share/lockstep/examples": EXAMPLES}

    def text(self, file):
        """A file of the example, its places replaced by ours."""
        found = read(f"{self.source}/{file}")
        for old, new in self.moves.items():
            found = found.replace(old, new)
        return found

    def agent(self, world):
        scope, lines = re.search(r"^\[scope (\S+)\]\n(.*)", self.text("agent.ini"), re.S | re.M).groups()
        self.scope = scope
        world.ok("POST", f"/config/{scope}", {"set": {"note": "created"}})
        self.agent_process = Agent(world, f"{self.name}-1", [scope], scope_settings=lines)
        self.agent_process.enroll().start()
        return self


def answer(port):
    """Status, the hash that the program says, and the body, over a connection of its own."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        c.request("GET", "/", headers={"Connection": "close"})
        r = c.getresponse()
        return r.status, r.headers.get("X-Lockstep-Hash", ""), r.read().decode()
    finally:
        c.close()


def answers(port):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return answer(port)[0] == 200
    return False


class Load:
    """hey against one port until it is told to stop: what it asked, and what failed."""

    def __init__(self, port, keep):
        self.name = "kept" if keep else "closed"
        self.process = subprocess.Popen(
            ["hey", "-z", "1h", "-c", str(CONNECTIONS), "-q", str(RATE), "-t", "5", *([] if keep else ["-disable-keepalive"]),
             f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self):
        self.process.send_signal(signal.SIGINT)
        self.text = self.process.communicate(timeout=20)[0]
        answers, _, errors = self.text.partition("Error distribution:")
        statuses = {int(s): int(n) for s, n in re.findall(r"^ *\[(\d+)\]\s+(\d+) responses", answers, re.M)}
        # The request that is under way when hey is stopped is no failure of the server.
        self.errors = [(int(n), text) for n, text in re.findall(r"^ *\[(\d+)\]\s+(.*)", errors, re.M) if "context canceled" not in text]
        self.count = sum(statuses.values())
        self.failed = self.count - statuses.get(200, 0) + sum(n for n, _ in self.errors)


def start_nginx(world):
    port = free_port()
    e = Example(world, "nginx", {"/etc/nginx": f"{world.folder}/nginx/etc", "/run/nginx.pid": f"{world.folder}/nginx/pid",
                                 "/var/log/nginx": f"{world.folder}/nginx", "8080": str(port)})
    e.port, e.etc, e.reload = port, f"{e.folder}/etc", ["HUP", f"{e.folder}/pid"]
    os.makedirs(f"{e.etc}/servers.d")
    write(f"{e.etc}/nginx.conf", e.text("nginx.conf"))
    write(f"{e.etc}/servers.d/servers.conf", e.text("server.main.conf").replace("{lockstep.hash}", "none"))
    e.process = Process("nginx", ["/usr/sbin/nginx", "-c", f"{e.etc}/nginx.conf", "-g", "daemon off;"], f"{e.folder}/log", death="TERM")
    return e


def start_haproxy(world, backends):
    port = free_port()
    e = Example(world, "haproxy", {"/etc/haproxy": f"{world.folder}/haproxy/etc", "/run/haproxy": f"{world.folder}/haproxy/run",
                                   "8081": str(port), "8091": str(backends[0]), "8092": str(backends[1])})
    e.port, e.etc, e.reload = port, f"{e.folder}/etc", ["USR2", f"{e.folder}/run.pid"]
    os.makedirs(f"{e.etc}/lockstep.d")
    write(f"{e.etc}/haproxy.cfg", e.text("haproxy.cfg"))
    write(f"{e.etc}/lockstep.d/10-frontends.cfg", e.text("frontends.cfg").replace("{lockstep.hash}", "none"))
    write(f"{e.etc}/lockstep.d/20-backends.cfg", e.text("backends.cfg"))
    e.process = Process("haproxy", ["/usr/sbin/haproxy", "-W", "-p", f"{e.folder}/run.pid", "-f", f"{e.etc}/haproxy.cfg", "-f",
                                    f"{e.etc}/lockstep.d"], f"{e.folder}/log", death="TERM")
    return e


def start_backends(world):
    """Two servers behind HAProxy, which nobody reconfigures."""
    ports, folder = [free_port(), free_port()], f"{world.folder}/backends"
    os.makedirs(folder)
    servers = "".join(f'server {{ listen 127.0.0.1:{p}; location / {{ return 200 "{n}\\n"; }} }}\n' for p, n in zip(ports, "ab"))
    write(f"{folder}/nginx.conf", f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
          f"events {{ worker_connections 512; }}\nhttp {{ access_log off;\n{servers}}}\n")
    process = Process("backends", ["/usr/sbin/nginx", "-c", f"{folder}/nginx.conf"], f"{folder}/log", death="TERM")
    world.others.append(process.start())
    for p in ports:
        wait_until(lambda: answers(p), lambda: f"the backends answer: {process.log_text()}")
    return ports


def start_greeter(world):
    port = free_port()
    e = Example(world, "sighup", {"/etc/greeter": f"{world.folder}/sighup/etc", "/run/greeter.pid": f"{world.folder}/sighup/pid", "8082": str(port)})
    e.port = port
    os.makedirs(f"{e.folder}/etc")
    e.process = Process("greeter", [sys.executable, f"{EXAMPLES}/sighup/greeter.py", f"{e.folder}/etc", str(port), f"{e.folder}/pid"], f"{e.folder}/log")
    return e


def setup():
    world = World("proxies").start()
    world.nginx, world.haproxy = start_nginx(world), start_haproxy(world, start_backends(world))
    world.greeter = start_greeter(world)
    for e in (world.nginx, world.haproxy, world.greeter):
        world.others.append(e.process.start())
        wait_until(lambda: answers(e.port), lambda: f"{e.name} answers: {e.process.log_text()}")
        e.agent(world)
        world.wait_agents(e.scope, 1)
    return world


def roll_out(world, documents):
    """One rollout of these documents, to its end; the revision and hash that each agent then runs."""
    changes = []
    for e, values in documents:
        world.set(e.scope, values)
        changes.append(dict(zip(("service", "environment"), e.scope.split("/"))))
    rollout = world.ok("POST", "/rollouts", {"changes": changes, "strategy": "all-at-once"})["id"]
    done = world.wait_state(rollout, "completed", "aborted", "rolled_back", "failed")
    return done, world.servers_of(rollout)


def running_hash(e):
    return e.agent_process.dump()["scopes"][e.scope]["active"]["hash"]


def nginx_values(e, i):
    return {"nginx.conf": e.text("nginx.conf"), "server.main": e.text("server.main.conf").replace("version 1", f"version {i}")}


def haproxy_values(e, i):
    """Weights, the limit and the breaker change with every swap."""
    backends = e.text("backends.cfg").replace("weight 50", f"weight {1 + i % 100}", 1).replace("error-limit 10", f"error-limit {5 + i % 9}")
    return {"haproxy.cfg": e.text("haproxy.cfg"), "backends": backends,
            "frontends": e.text("frontends.cfg").replace("gt 100000", f"gt {100000 + i}")}


def under_load(world, work):
    """The loads that ran while the work was done, per program."""
    loads = {e: [Load(e.port, keep) for keep in (True, False)] for e in (world.nginx, world.haproxy)}
    try:
        work()
    finally:
        for pair in loads.values():
            for load in pair:
                load.finish()
    return loads


def test_swaps_under_load(world):
    """swaps under steady load: each acknowledged with the hash that nginx and HAProxy answer, and no request fails by it"""
    both = (world.nginx, world.haproxy)

    def swap_all():
        for i in range(1, SWAPS + 1):
            done, servers = roll_out(world, [(world.nginx, nginx_values(world.nginx, i)), (world.haproxy, haproxy_values(world.haproxy, i))])
            equal((done["state"], [s["state"] for s in servers.values()]), ("completed", ["applied"] * 2),
                  f"swap {i}: {[s['reason'] for s in servers.values()]}")
            for e in both:
                status, seen, body = answer(e.port)
                equal((status, seen), (200, running_hash(e)), f"what {e.name} answers after swap {i}")
            equal(answer(world.nginx.port)[2], f"version {i}\n", "the body nginx answers")

    def reload_all():
        for _ in range(SWAPS):
            for e in both:
                done = subprocess.run([f"{EXAMPLES}/reload.sh", *e.reload], capture_output=True, text=True, check=False)
                equal(done.returncode, 0, f"reload of {e.name}: {done.stderr}")

    swapped = under_load(world, swap_all)
    alone = under_load(world, reload_all)
    for e in both:
        for load, own in zip(swapped[e], alone[e]):
            print(f"     {e.name}, connections {load.name}: {load.count} requests while {SWAPS} swaps, failed {load.failed}; "
                  f"{own.count} requests while {SWAPS} reloads without Lockstep, failed {own.failed}")
            check(load.count > 20 * SWAPS, f"{e.name} was under load: {load.count} requests: {load.text}")
            # What the program's reload alone breaks is its own affair; nothing else may fail.
            check(load.failed <= own.failed, f"{e.name}, connections {load.name}: {load.errors or load.text}, without Lockstep: {own.errors}")


def test_reload_with_few_capabilities(world):
    """the reload of the examples under the capabilities of the unit: nginx by its titles, HAProxy with the remedy"""
    unit = read("agent/lockstep-agent.service")
    names = re.search(r"^CapabilityBoundingSet=(.*)", unit, re.M).group(1).split()
    bounded = ["setpriv", "--bounding-set=-all," + ",".join("+" + n[4:].lower() for n in names), "--inh-caps=-all", "--"]

    def reload_bounded(e):
        return subprocess.run([*bounded, f"{EXAMPLES}/reload.sh", *e.reload], capture_output=True, text=True, check=False)
    done = reload_bounded(world.nginx)
    equal((done.returncode, done.stderr[:300]), (0, ""), "reload of nginx")
    done = reload_bounded(world.haproxy)
    if os.geteuid() != 0:  # whose own processes need no capability to be looked at
        equal((done.returncode, done.stderr[:300]), (0, ""), "reload of one's own HAProxy")
        return
    equal(done.returncode, 1, "reload of HAProxy")
    contains(done.stderr, "CapabilityBoundingSet=CAP_SYS_PTRACE")


def test_bad_backends_are_refused(world):
    """what HAProxy calls wrong is refused in PREPARE with its words, and neither program changes"""
    before = [(answer(e.port)[1], sorted(os.listdir(e.etc))) for e in (world.nginx, world.haproxy)]
    values = {**haproxy_values(world.haproxy, 1), "backends": "backend app\n    balance sideways\n"}
    done, servers = roll_out(world, [(world.nginx, nginx_values(world.nginx, 999)), (world.haproxy, values)])
    equal(done["state"], "aborted", "state")
    contains(servers["haproxy-1"]["reason"], "20-backends.cfg:2", "balance only supports")
    equal([(answer(e.port)[1], sorted(os.listdir(e.etc))) for e in (world.nginx, world.haproxy)], before, "hash and folder")


def test_sighup(world):
    """a program that re-reads on SIGHUP: both its files change at once, it answers the new hash, and a bad one reverts"""
    e = world.greeter
    for text in ("hello", "good day"):
        done, servers = roll_out(world, [(e, {"greeting.text": text, "version": "{lockstep.hash}"})])
        equal(done["state"], "completed", f"state ({servers})")
        equal(answer(e.port)[2], f"{running_hash(e)} {text}\n", "what the greeter answers")
    good = answer(e.port)
    done, servers = roll_out(world, [(e, {"greeting.text": "lost", "version": "no hash"})])
    equal(done["state"], "rolled_back", f"state ({servers})")
    contains(servers["sighup-1"]["reason"], "check")
    equal(answer(e.port), good, "what the greeter answers after going back")


def test_noop(world):
    """lockstep-agent diff and --noop show what would change and touch nothing: 0 nothing, 1 something, 9 an error"""
    e, agent = world.greeter, world.greeter.agent_process
    before = answer(e.port)[2], {n: read(f"{e.folder}/etc/{n}") for n in os.listdir(f"{e.folder}/etc")}
    done = agent.run("diff", e.scope)
    equal((done.returncode, done.stdout, done.stderr), (0, "", ""), "diff of what is active")
    text = f"{world.folder}/document.json"
    write(text, '{"greeting.text": "bonsoir", "version": "{lockstep.hash}", "greeting.n": 1.50}')
    done = agent.run("--noop", "--document", text)
    equal(done.returncode, 1, f"exit code with differences ({done.stderr})")
    contains(done.stdout, f"--- {e.folder}/etc/greeter.json", '-  "text": "good day"', '+  "text": "bonsoir"', '+  "n": 1.50')
    write(text, '{"greeting.text": null}')
    for words, said in ((("diff", "--document", text), "null"), (("diff", "no/scope"), "[scope no/scope]"), (("diff", "--prepared"), "nothing is prepared")):
        done = agent.run(*words)
        equal((done.returncode, done.stdout), (9, ""), f"exit code of {words}")
        contains(done.stderr, said)
    equal((answer(e.port)[2], {n: read(f"{e.folder}/etc/{n}") for n in os.listdir(f"{e.folder}/etc")}), before, "nothing was touched")
    write(f"{e.folder}/etc/greeter.json", '{"text": "by hand"}\n')
    done = agent.run("diff")
    equal(done.returncode, 1, "exit code after a change by hand")
    contains(done.stdout, '-{"text": "by hand"}', '+  "text": "good day"')
    write(f"{e.folder}/etc/greeter.json", before[1]["greeter.json"])


def test_nothing_is_left_over(world):
    """when all is finalized, nothing of Lockstep lies beside the files and folders"""
    def left_over():
        return [n for e in (world.nginx, world.haproxy, world.greeter) for f in (e.folder, f"{e.folder}/etc")
                for n in os.listdir(f) if n.startswith(".lockstep-")]
    wait_until(lambda: not left_over(), lambda: f"nothing is left over: {left_over()}")
