"""takeover.py - a second coordinator carries on when the first is stopped or killed, or PostgreSQL stops."""
import signal
import time

from kit import Agent, World, check, equal, wait_until

RUNS = "first"
SCOPE = "demo/prod"
LEASE = 3
SLOW = {"stages": [{"count": 2, "bake": "1s"}, {"percent": 50, "bake": "1s"}, {"percent": 100}], "unreachable": "wait"}


def setup():
    world = World("takeover", lease=f"{LEASE}s").start(coordinators=2)
    world.set(SCOPE, {"greeting": "0"})
    for i in range(6):
        Agent(world, f"server-{i + 1}").enroll().start()
    world.wait_agents(SCOPE, 6)
    wait_until(world.leader, "somebody leads")
    return world


def begin(world, value):
    world.set(SCOPE, {"greeting": value})
    rollout = world.start_rollout(SCOPE, SLOW)
    wait_until(lambda: world.rollout(rollout)["phase"] in ("activating", "baking"), "it is on its way")
    return rollout


def ends_well(world, rollout):
    world.wait_state(rollout, "completed", seconds=90)
    servers = world.servers_of(rollout)
    equal({s["state"] for s in servers.values()}, {"applied"}, "states of the servers")
    equal(len(servers), 6, "servers")


def epoch(world):
    return int(world.postgres.sql("SELECT epoch FROM leader")[0][0])


def taken_over(world, old, before, began):
    new = wait_until(lambda: (lambda c: c if c and c is not old and epoch(world) > before else None)(world.leader()),
                     "another one leads", LEASE + 10)
    check(time.monotonic() - began < LEASE + 8, f"the takeover took {time.monotonic() - began:.1f} s")
    return new


def test_killed(world):
    """the leader is killed in mid-rollout: the other leads within the lease and a few seconds, the rollout completes"""
    rollout, old, before = begin(world, "killed"), world.leader(), epoch(world)
    old.process.kill()
    taken_over(world, old, before, time.monotonic())
    ends_well(world, rollout)
    old.start()


def test_stopped(world):
    """the leader is stopped (SIGSTOP) and wakes up after the takeover: it notices and steps down, one decision each"""
    rollout, old, before = begin(world, "stopped"), world.leader(), epoch(world)
    old.process.send(signal.SIGSTOP)
    new = taken_over(world, old, before, time.monotonic())
    wait_until(lambda: new.api("GET", f"/rollouts/{rollout}")["phase"] != "preparing", "the new leader works")
    old.process.send(signal.SIGCONT)
    ends_well(world, rollout)
    equal(world.leader(), new, "who leads at the end")
    check(old.process.is_running(), "the old one lives on as a follower")
    old.wait_ready()
    doubled = world.postgres.sql("SELECT rollout_id, attempt_number FROM decision WHERE kind = 'activate' GROUP BY 1, 2 HAVING count(*) > 1")
    equal(doubled, [], "attempts with two decisions")


def test_any_coordinator(world):
    """the one that does not lead answers reads, takes writes and commands"""
    other = next(c for c in world.coordinators if c is not world.leader())
    world.set(SCOPE, {"greeting": "commands"})
    answer = other.api("POST", "/rollouts", {"changes": [{"service": "demo", "environment": "prod"}],
                                             "strategy": {"stages": [{"count": 2, "hold": True}, {"percent": 100}]}})
    equal(answer.status, 201, f"start through the follower: {answer}")
    rollout = answer["id"]
    wait_until(lambda: other.api("GET", f"/rollouts/{rollout}")["phase"] == "baking", "it bakes")
    for action, fact in (("pause", True), ("pause", True), ("resume", False)):
        equal(other.api("POST", f"/rollouts/{rollout}/{action}", {"reason": "test"}).status, 200, action)
        equal(other.api("GET", f"/rollouts/{rollout}")["paused"], fact, f"paused after {action}")
    equal(other.api("POST", f"/rollouts/{rollout}/promote", {"reason": "test"}).status, 200, "promote")
    ends_well(world, rollout)


def test_graceful(world):
    """a leader that is asked to end gives the lease up: the other leads well before it ran out"""
    old, before = world.leader(), epoch(world)
    began = time.monotonic()
    equal(old.process.stop(), 0, "exit code of a coordinator that is asked to end")
    taken_over(world, old, before, began)
    old.start()


def test_postgres(world):
    """PostgreSQL is stopped at once and started again in the middle: nothing is lost, the rollout completes"""
    rollout = begin(world, "database")
    world.postgres.stop_at_once()
    for c in world.coordinators:
        wait_until(lambda c=c: c.api("GET", "/readyz", raw_path=True, token=None).status == 503, f"{c.name} says that it is not ready")
        equal(c.api("GET", "/healthz", raw_path=True, token=None).status, 200, f"healthz of {c.name}")
        answer = c.api("GET", f"/rollouts/{rollout}")
        equal(answer.status, 503, f"HTTP status without a database of {answer}")
        check(answer.headers.get("Retry-After"), "Retry-After")
    world.postgres.start()
    for c in world.coordinators:
        c.wait_ready()
    wait_until(world.leader, "somebody leads again")
    ends_well(world, rollout)


def test_readiness_tells_no_words_of_the_database(world):
    """somebody holds the table of the leader: whoever asks for readiness hears of it in words of ours, the log has PostgreSQL's"""
    said, expected = {}, "the database could not do this; the log of this coordinator says why"

    def ask():
        for c in world.coordinators:
            answer = c.api("GET", "/readyz", raw_path=True, token=None)
            if answer.status == 503:
                said.setdefault(answer["detail"], c)
        return expected in said and any(c.process.log_has("does not answer", world.postgres.sockets) for c in world.coordinators)

    with world.postgres.held("LOCK TABLE leader IN ACCESS EXCLUSIVE MODE"):
        wait_until(ask, lambda: f"what was said: {list(said)}", 60)
    for words in said:
        check("SQLSTATE" not in words and world.folder not in words and "timeout" not in words, f"everybody hears: {words}")
    for c in world.coordinators:
        c.wait_ready()
