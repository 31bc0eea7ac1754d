"""rights_end.py - a token that ends while something of it is under way: a body that comes in, a stream that opens."""
import datetime
import http.client
import socket
import time

from access import make, role
from kit import PATIENCE, World, check, equal, wait_until


def setup():
    return World("rights").start()


def half_a_write(world, token, body):
    """A PUT whose body has only begun."""
    s = socket.create_connection(("127.0.0.1", world.coordinators[0].http), timeout=30)
    s.sendall((f"PUT /api/v1/config/web/dev/late HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode() + body[:1])
    time.sleep(0.5)
    return s


def rest_of_it(s, body):
    """The status of the answer."""
    s.sendall(body[1:])
    with s, s.makefile("rb") as answer:
        return int(answer.readline().split()[1])


def test_rights_end_while_a_body_comes_in(world):
    """a token that ends between the headers and the body writes nothing: revoked or expired, known to memory or asked for"""
    body = b'{"config_value": "late"}'
    for is_known in (True, False):
        made = make(world, f"slow-{is_known}", role("editor", "dev"))
        if is_known:
            equal(world.api("GET", "/whoami", token=made["token"]).status, 200, "found good a moment ago")
        s = half_a_write(world, made["token"], body)
        world.ok("DELETE", f"/tokens/{made['id']}")
        equal(rest_of_it(s, body), 401, "the revoked token")
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=5)
    ending = make(world, "slow-ending", role("editor", "dev"), expires_at=end.strftime("%Y-%m-%dT%H:%M:%SZ"))
    s = half_a_write(world, ending["token"], body)
    wait_until(lambda: world.api("GET", "/whoami", token=ending["token"]).status == 401, "it expires", 10)
    equal(rest_of_it(s, body), 401, "the expired token")
    equal(world.api("GET", "/config/web/dev/late?revision=head").status, 404, "nothing was written")
    good = make(world, "slow-good", role("editor", "dev"))["token"]
    equal(rest_of_it(half_a_write(world, good, body), body), 201, "a token that goes on")


def listen(world, rollout, token):
    connection = http.client.HTTPConnection("127.0.0.1", world.coordinators[0].http, timeout=PATIENCE)
    connection.request("GET", f"/api/v1/rollouts/{rollout}/events", headers={"Accept": "text/event-stream", "Authorization": f"Bearer {token}", "Last-Event-ID": "0"})
    return connection


def test_a_stream_opens_while_its_token_ends(world):
    """a stream whose token is revoked before it is there ends all the same"""
    made = make(world, "listener", role("viewer"))
    world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 1})
    world.set("streams/prod", {"k": "1"})
    rollout = world.start_rollout("streams/prod", "all-at-once")
    bystander = listen(world, rollout, world.token)  # who asks after changes of rights has somebody to ask them for
    equal(bystander.getresponse().status, 200, "another stream")
    with world.postgres.held("LOCK TABLE audit_cut IN ACCESS EXCLUSIVE MODE"):
        listener = listen(world, rollout, made["token"])
        wait_until(lambda: world.postgres.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM audit_cut'"),
                   "it was good when it was checked; the stream is not there yet")
        world.ok("DELETE", f"/tokens/{made['id']}")
        time.sleep(1)
    answer = listener.getresponse()
    equal(answer.status, 200, "it was good when it was checked")
    try:
        answer.read()
    except TimeoutError:
        check(False, "the stream goes on")
    bystander.close()
    world.ok("POST", f"/rollouts/{rollout}/abort", {})
    world.ok("PUT", "/environments/prod", {"policy": "manual", "approvals": 0})
