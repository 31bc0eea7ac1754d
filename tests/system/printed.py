"""printed.py - the settings that README prints for nginx tell a broken site from a good one, every time."""
import glob
import os
import re

from kit import Agent, Process, SteadyClient, World, check, contains, equal, free_port, read, wait_until, write

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
SCOPE = "web/prod"
TRIES = 8
AT_ONCE = {"stages": [{"percent": 100, "apply_timeout": "1m"}]}


def section():
    """The lines of [scope web/prod] as README prints them."""
    text = read(f"{ROOT}/README.md")
    return re.search(rf"^\[scope {SCOPE}\]\n(.*?)^```$", text, re.M | re.S).group(1)


def adapted(world):
    """The same lines at another place: paths and port are this test's own, the words are README's."""
    lines = section()
    for printed, here in (("/etc/nginx/", f"{world.site}/"), ("/run/nginx.pid", f"{world.site}/nginx.pid"),
                          ("/usr/local/share/lockstep/examples/", f"{ROOT}/agent/examples/"),
                          ("http://127.0.0.1/", f"http://127.0.0.1:{world.port}/")):
        check(not printed.startswith("/etc") or printed in lines, f"README's lines name {printed}:\n{lines}")
        lines = lines.replace(printed, here)
    return lines + "check_attempts = 1\n"  # a pass at the first try is what is looked for


def conf(world, action):
    return f"""pid {world.site}/nginx.pid;
error_log {world.site}/error.log;
worker_processes 2;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {world.site}/tmp; proxy_temp_path {world.site}/tmp; fastcgi_temp_path {world.site}/tmp;
    uwsgi_temp_path {world.site}/tmp; scgi_temp_path {world.site}/tmp;
    server {{
        listen 127.0.0.1:{world.port};
        location / {{ {action} }}
    }}
}}
"""


def setup():
    world = World("printed").start()
    world.site, world.port = f"{world.folder}/site", free_port()
    os.mkdir(world.site)
    write(f"{world.site}/nginx.conf", conf(world, 'return 200 "zero\\n";'))
    nginx = Process("nginx", ["/usr/sbin/nginx", "-c", f"{world.site}/nginx.conf", "-g", "daemon off;"], f"{world.folder}/nginx.log", death="TERM")
    world.others.append(nginx)
    nginx.start()
    wait_until(lambda: answer(world) == (200, "zero"), lambda: f"nginx answers: {nginx.log_text()}")
    world.ok("POST", f"/config/{SCOPE}", {"set": {"note": "created"}})
    world.ok("PUT", "/strategies/at-once", AT_ONCE)
    Agent(world, "web-1", [SCOPE], scope_settings=adapted(world)).enroll().start()
    world.wait_agents(SCOPE, 1)
    return world


def answer(world):
    return SteadyClient(world.port).once()


def roll(world, action):
    """How the rollout of this content ended, and what the one server of it said."""
    world.set(SCOPE, {"nginx.conf": conf(world, action)})
    done = world.cli("rollout", "start", SCOPE, "--strategy", "at-once", "--wait", "--timeout", "90s", "-o", "json")
    check(done.returncode in (0, 6), f"exit code {done.returncode}: {done.stdout} {done.stderr}")
    latest = world.ok("GET", "/rollouts?service=web&environment=prod&limit=1")["rollouts"][0]
    return latest, world.servers_of(latest["id"])["web-1"]


def test_good(world):
    """a good site is applied, and answers as soon as it is said"""
    rollout, server = roll(world, 'return 200 "one\\n";')
    equal((rollout["state"], server["state"]), ("completed", "applied"), f"state ({server})")
    equal(answer(world), (200, "one"), "what the site answers")


def test_broken(world):
    """a site that answers 500 is never called applied, however often it is tried"""
    for i in range(TRIES):
        rollout, server = roll(world, f'return 500 "try {i}\\n";')
        check(rollout["state"] != "completed", f"try {i} of a site that answers 500 completed: {rollout['reason']}")
        equal((server["state"], server["failed_step"]), ("rolled_back", "check"), f"state and step in try {i} ({server})")
        equal(answer(world), (200, "one"), f"what the site answers after try {i}")


def test_elsewhere(_):
    """no example says `nginx -s reload` or `systemctl reload nginx`: both end before nginx has changed"""
    pages = glob.glob(f"{ROOT}/*.md") + glob.glob(f"{ROOT}/[a-z]*/*.md") + glob.glob(f"{ROOT}/agent/examples/*/agent.ini")
    for path in pages:
        for line in re.findall(r"^reload = .*nginx.*", read(path), re.M):
            contains(line, "reload.sh")
