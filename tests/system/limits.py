"""limits.py - so many requests a second: by token, by address, for pages and for values from memory."""
import http.client
import time

from access import make, problem, role
from kit import World, check, contains, equal, wait_until


def setup():
    return World("limits").start()


def test_limits(world):
    """so many requests a second per token and per address, then 429 with Retry-After; others and the health page go on"""
    limited = world.add_coordinator("limited", "[http]\ntoken_rate = 3\naddress_rate = 40\n").start()
    one, other = (make(world, f"hasty-{i}", role("viewer"))["token"] for i in range(2))
    ask = lambda token: limited.api("GET", "/whoami", token=token)
    refused = [a for a in (ask(one) for _ in range(30)) if a.status != 200]
    check(10 < len(refused) < 30, f"{len(refused)} of 30 were refused")
    problem(refused[-1], 429, "too_many_requests", "token_rate")
    equal(refused[-1].headers["Retry-After"], "1", "Retry-After")
    equal(ask(other).status, 200, "another token")
    wait_until(lambda: ask(one).status == 200, "it may ask again", 10)
    seen = {}
    for _ in range(200):
        answer = limited.api("GET", "/whoami", headers={"Authorization": "Bearer lst_no"}, token=None)
        seen[answer.status] = answer
    check(set(seen) == {401, 429}, f"by address: {set(seen)}")
    contains(seen[429].raw.decode(), "address_rate")
    asked = lambda path: {limited.api("GET", path, raw_path=True, token=None).status for _ in range(200)}
    equal(asked("/metrics"), {200, 429}, "pages that cost no worker")
    equal((asked("/healthz"), asked("/readyz")), ({200}, {200}), "what a balancer asks")
    wait_until(lambda: ask(other).status == 200, "it may ask again", 10)
    limited_hits(world, limited, other)
    equal(limited.process.stop(), 0, "it ends")
    world.coordinators.remove(limited)
    world.others.append(limited.process)


def limited_hits(world, limited, token):
    """Values from memory: the first of a connection counts and every tenth after it, however it is asked for."""
    world.set("limited/dev", {"k": "1"})
    path = "/config/limited/dev/k"
    wait_until(lambda: limited.api("GET", path, token=token).status == 200, "it is released", 20)
    time.sleep(2)  # the bucket is full
    connection = http.client.HTTPConnection("127.0.0.1", limited.http, timeout=20)
    seen = []
    for _ in range(150):
        connection.request("GET", "/api/v1" + path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        seen.append((answer.status, answer.headers["Retry-After"], answer.read()))
    connection.close()
    good = [a for a in seen if a[0] == 200]
    check(50 <= len(good) < 130, f"{len(good)} of {len(seen)} on one connection were given")
    refused = next(a for a in seen if a[0] != 200)
    equal(refused[:2], (429, "1"), "what is too much")
    contains(refused[2].decode(), "token_rate")
    for spelled in (path, path.replace("limited", "%6cimited")):  # the short way and the long one
        time.sleep(2)
        good = sum(limited.api("GET", spelled, token=token).status == 200 for _ in range(40))
        check(good < 25, f"{good} of 40 connections were given {spelled}")
