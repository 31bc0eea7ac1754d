"""nginx.py - three real nginx servers take a good change, refuse a broken one, survive a bad one."""
import os
import sys

from kit import Agent, Process, SteadyClient, World, check, contains, equal, free_port, read, wait_until, write

SCOPE = "web/prod"
STAGED = {"stages": [{"name": "first", "count": 1}, {"name": "rest", "percent": 100}]}
# Everybody is asked and heard to the end: the budget is broken by the last of three refusals.
ALL_ASKED = {"stages": [{"percent": 100, "max_failed": "2"}]}

# `nginx -s reload` returns before the workers have changed: what it should have waited for.
RELOAD = '''import os, subprocess, sys, time
prefix, conf = sys.argv[1:]
master = int(open(prefix + "/nginx.pid").read())
def children():
    return set(open(f"/proc/{master}/task/{master}/children").read().split())
def is_serving(pid):
    try:
        return "shutting down" not in open(f"/proc/{pid}/cmdline").read()
    except OSError:
        return False
old = children()
done = subprocess.run(["/usr/sbin/nginx", "-p", prefix, "-c", conf, "-s", "reload"])
if done.returncode:
    sys.exit(done.returncode)
end = time.monotonic() + 8
while not children() - old or any(is_serving(p) for p in old):
    if time.monotonic() > end:
        sys.exit("nginx did not change its workers")
    time.sleep(0.01)
'''

GET = '''import sys, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=3).read()
except Exception as problem:
    sys.exit(f"GET {sys.argv[1]}: {problem}")
'''


def conf(action, note=""):
    """The same file for every server; the port is each server's own affair."""
    return f"""# {note}
daemon off;
pid nginx.pid;
error_log error.log;
worker_processes 2;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    server {{
        include listen.conf;
        location / {{ {action} }}
    }}
}}
"""


class Nginx:
    """One nginx under its own folder, and the agent beside it."""

    def __init__(self, world, name):
        self.name, self.port, self.folder = name, free_port(), f"{world.folder}/nginx-{name}"
        os.makedirs(self.folder)
        self.conf = f"{self.folder}/nginx.conf"
        write(self.conf, conf('return 200 "zero\\n";'))
        write(f"{self.folder}/listen.conf", f"listen 127.0.0.1:{self.port};\n")
        self.process = Process(f"nginx-{name}", ["/usr/sbin/nginx", "-p", self.folder, "-c", self.conf],
                               f"{self.folder}/nginx.log", death="TERM")
        world.others.append(self.process)
        self.process.start()
        wait_until(lambda: self.get() == (200, "zero"), lambda: f"nginx answers: {self.process.log_text()}")
        self.agent = Agent(world, name, [SCOPE], scope_settings=f"""file = nginx.conf -> {self.conf} mode=0644
validate = /usr/sbin/nginx -p {self.folder} -t -c {{file}}
reload = {sys.executable} {world.folder}/reload.py {self.folder} {self.conf}
check = {sys.executable} {world.folder}/get.py http://127.0.0.1:{self.port}/
check_attempts = 1
""")
        self.agent.enroll().start()

    def get(self):
        client = SteadyClient(self.port)
        return client.once()


def setup():
    world = World("nginx").start()
    write(f"{world.folder}/reload.py", RELOAD)
    write(f"{world.folder}/get.py", GET)
    world.ok("POST", f"/config/{SCOPE}", {"set": {"note": "created"}})
    world.nginx = [Nginx(world, f"nginx-{i}") for i in (1, 2, 3)]
    world.wait_agents(SCOPE, 3)
    return world


def change(world, action, description):
    world.set(SCOPE, {"nginx.conf": conf(action, description)}, description)
    done = world.cli("rollout", "start", SCOPE, "--strategy", "one-then-rest", "--wait", "--timeout", "60s", "-o", "json")
    latest = world.ok("GET", f"/rollouts?service=web&environment=prod&limit=1")["rollouts"][0]
    return done, latest


def obeyed(world):
    """The newest decision each server obeyed: nothing was activated when it did not move."""
    return {n.name: n.agent.dump()["scopes"][SCOPE]["obeyed"] for n in world.nginx}


def test_good_change(world):
    """a good change, staged: every server answers with the new content and no request fails"""
    world.ok("PUT", "/strategies/one-then-rest", STAGED)
    clients = [SteadyClient(n.port, keep=keep) for n in world.nginx for keep in (True, False)]
    for c in clients:
        c.start()
    wait_until(lambda: all(c.count > 20 for c in clients), "the clients are at work")
    done, rollout = change(world, 'return 200 "one\\n";', "good")
    counts = [c.count for c in clients]
    wait_until(lambda: all(c.count > n + 20 for c, n in zip(clients, counts)), "the clients go on")
    for c in clients:
        c.finish()
    equal(done.returncode, 0, f"exit code of rollout start --wait ({done.stderr})")
    equal(rollout["state"], "completed", "state")
    equal([s["servers"] for s in rollout["stages"]], [1, 2], "servers per stage")
    equal([n.get() for n in world.nginx], [(200, "one")] * 3, "what the servers answer")
    for c in clients:
        equal(c.failures, [], f"failed requests of the steady client ({c.count} requests)")
        # While nginx changes its workers, old and new ones may answer in turn; nobody else may.
        equal((c.answers[0], set(c.answers), c.answers[-1]), ((200, "zero"), {(200, "zero"), (200, "one")}, (200, "one")),
              "answers the steady client saw")


def test_syntax_error(world):
    """a syntax error: refused in PREPARE by all, nginx's own words per server, nothing activated, exit code 6"""
    world.ok("PUT", "/strategies/one-then-rest", ALL_ASKED)
    before, files = obeyed(world), [read(n.conf) for n in world.nginx]
    done, rollout = change(world, 'retrun 200 "two\\n";', "broken")
    world.ok("PUT", "/strategies/one-then-rest", STAGED)
    equal(done.returncode, 6, f"exit code ({done.stdout} {done.stderr})")
    equal(rollout["state"], "aborted", "state")
    servers = world.servers_of(rollout["id"])
    equal(len(servers), 3, "servers of the rollout")
    for name, server in servers.items():
        equal((server["state"], server["detail"]), ("failed", "refused"), f"state of {name}")
        contains(server["reason"], 'unknown directive "retrun"', ":12")
    equal(obeyed(world), before, "newest decision obeyed")
    equal([read(n.conf) for n in world.nginx], files, "the files")
    equal([n.get() for n in world.nginx], [(200, "one")] * 3, "what the servers answer")


def test_answers_500(world):
    """a valid file that answers 500: the first server reverts, the rollout goes back, the others never saw it"""
    before = obeyed(world)
    done, rollout = change(world, "return 500;", "answers 500")
    equal(done.returncode, 6, f"exit code ({done.stdout} {done.stderr})")
    equal(rollout["state"], "rolled_back", "state")
    servers = world.servers_of(rollout["id"])
    first = next(n for n, s in servers.items() if s["stage"] in (0, 1, "first") and s["state"] != "pending")
    contains(servers[first]["reason"], "check", "500")
    after = obeyed(world)
    for n in world.nginx:
        equal(n.get(), (200, "one"), f"what {n.name} answers")
        check('return 200 "one' in read(n.conf), f"{n.name} has its file back")
        if n.name != first:
            equal(after[n.name], before[n.name], f"newest decision {n.name} obeyed")
            equal(servers.get(n.name, {"state": "pending"})["state"], "pending", f"state of {n.name}")
