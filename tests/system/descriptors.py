"""descriptors.py - a coordinator that has no file descriptor left: it says so, goes on with what it has, and takes more when there are."""
import http.client
import json
import os
import resource
import socket
import time

from kit import Agent, World, check, contains, equal, wait_until

SCOPE = "demo/prod"
ALL = {"stages": [{"percent": 100}]}
STRANGER = "127.0.0.2"
FEW = 128


HELD = ("listener", "loader", "loader", "secrets", "writer")  # connections of those that work all the time, before there is any work


def of_threads(world):
    rows = world.postgres.sql("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'lockstepd%'")
    names = [r[0].removeprefix("lockstepd ") for r in rows]
    return [n for n in sorted(names) if n in HELD]


def setup():
    world = World("descriptors").start()
    wait_until(lambda: of_threads(world) == list(HELD), lambda: f"{HELD} have connections: {of_threads(world)}")
    world.set(SCOPE, {"k": "0"})
    Agent(world, "server-1", [SCOPE]).enroll().start()
    Agent(world, "server-2", [SCOPE]).enroll().start()
    world.wait_agents(SCOPE, 2)
    return world


class Kept:
    """One connection to the API that was there before."""

    def __init__(self, world):
        self.world, self.connection = world, http.client.HTTPConnection("127.0.0.1", world.coordinators[0].http, timeout=20)
        self.call("GET", "/servers")

    def call(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.world.token}", "Content-Type": "application/json"}
        self.connection.request(method, "/api/v1" + path, json.dumps(body) if body is not None else None, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        check(answer.status < 300, f"{method} {path}: {answer.status} {text}")
        return json.loads(text)

    def rollout(self, value):
        self.call("POST", f"/config/{SCOPE}", {"set": {"k": value}})
        ident = self.call("POST", "/rollouts", {"changes": [{"service": "demo", "environment": "prod"}], "strategy": ALL})["id"]
        return wait_until(lambda: self.call("GET", f"/rollouts/{ident}")["state"] == "completed" and self.call("GET", f"/rollouts/{ident}"),
                          lambda: f"the rollout completes: {self.call('GET', f'/rollouts/{ident}')}", 60)


def knock(world, count, address=STRANGER):
    """So many connections of somebody else; all that stood are given back open, with what the first bytes of each answer say."""
    sockets, said = [], []
    for _ in range(count):
        s = socket.socket()
        s.settimeout(10)
        s.bind((address, 0))
        s.connect(("127.0.0.1", world.coordinators[0].http))
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        sockets.append(s)
        try:
            said.append(s.recv(2000).decode())
        except (TimeoutError, ConnectionError) as problem:
            said.append(str(problem))
    return sockets, said


def is_well(world):
    try:
        return world.api("GET", "/healthz", raw_path=True, token=None, timeout=5).status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_runs_out(world):
    """nothing is left: new connections are told why, old ones and rollouts go on, and all is well when there are some again"""
    process, kept = world.coordinators[0].process, Kept(world)
    pid, (soft, hard) = process.pid, resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), hard))
    sockets, said = knock(world, 60)
    told = [s for s in said if "no file descriptor left" in s]
    check(told, f"somebody is told that there is none left: {said}")
    contains(told[-1], "503", "Retry-After", "LimitNOFILE")
    world.agents["server-2"].process.stop()
    world.agents["server-2"].start()  # it cannot come in now
    began = os.times().elapsed, cpu_of(pid)
    equal(kept.rollout("1")["counts"]["failed"], 0, "a rollout while nobody new comes in")
    time.sleep(2)
    took = os.times().elapsed - began[0], cpu_of(pid) - began[1]
    print(f"     {took[1]:.2f} s of processor time in {took[0]:.2f} s without a descriptor")
    contains(process.log_text(), "no file descriptor left")
    check(len(process.log_text().split("no file descriptor left")) < 20, "it is said without end")
    for s in sockets:
        s.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    wait_until(lambda: is_well(world), "it takes connections again")
    wait_until(lambda: all(s["scopes"][0]["state"] == "applied" and s["scopes"][0]["revision"] == 2 and s["reachable"]
                           for s in kept.call("GET", "/servers")["servers"]), "both servers are there and run it", 90)
    equal((process.pid, process.is_running()), (pid, True), "it is the same process")


def cpu_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_has_few(world):
    """ulimit -n 128: what strangers open leaves enough for agents, the database and whoever comes from elsewhere"""
    process = world.coordinators[0].process
    process.stop()
    process.argv = ["prlimit", f"--nofile={FEW}:{FEW}", *process.argv]
    world.coordinators[0].start()
    kept = wait_until(lambda: is_well(world) and Kept(world), "it starts with few descriptors")
    pid = process.pid
    equal(resource.prlimit(pid, resource.RLIMIT_NOFILE), (FEW, FEW), "its limit")
    wait_until(lambda: all(s["reachable"] for s in kept.call("GET", "/servers")["servers"]), "both agents come in", 60)
    sockets, said = knock(world, 2 * FEW)
    refused = [s for s in said if " 200 " not in s]
    check(refused and all(" 503 " in s or " 429 " in s for s in refused), f"whoever is refused is told so: {refused[:3]}")
    equal(kept.rollout("2")["counts"]["failed"], 0, "a rollout meanwhile")
    for s in sockets:
        s.close()
    wait_until(lambda: is_well(world), "it takes connections again")
    equal((process.pid, process.is_running()), (pid, True), "it is the same process")
    check("no file descriptor left" not in process.log_text().rsplit("settings read", 1)[-1], "it kept enough for itself")
