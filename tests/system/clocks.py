"""clocks.py - bakes count the time in which a coordinator watched: restarts neither begin them anew nor cut them short."""
import time

from kit import Agent, World, check, equal, wait_until

RUNS = "first"
SCOPE = "clocks/prod"
BAKE = 8
STRATEGY = {"stages": [{"count": 1, "bake": f"{BAKE}s"}, {"percent": 100}]}


def setup():
    world = World("clocks", lease="3s").start()
    world.set(SCOPE, {"v": "0"})
    for i in range(3):
        Agent(world, f"server-{i + 1}", scopes=[SCOPE]).enroll().start()
    world.wait_agents(SCOPE, 3)
    wait_until(world.leader, "somebody leads")
    return world


def begin(world, value):
    world.set(SCOPE, {"v": value})
    rollout = world.start_rollout(SCOPE, STRATEGY)
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "it bakes")
    return rollout


def has_opened_the_rest(world, rollout):
    return int(world.postgres.sql(f"SELECT count(*) FROM attempt AS a JOIN rollout AS r USING (rollout_id)"
                                  f" WHERE r.public_id = '{rollout}' AND a.stage = 1")[0][0]) > 0


def bake_seconds(world, rollout):
    """From the stage being applied to the next being opened, by the rows."""
    return float(world.postgres.sql(f"SELECT extract(epoch FROM b.opened_at - a.applied_at) FROM attempt AS a"
                                    f" JOIN attempt AS b USING (rollout_id) JOIN rollout AS r USING (rollout_id)"
                                    f" WHERE r.public_id = '{rollout}' AND a.stage = 0 AND b.stage = 1")[0][0])


def test_a_bake_goes_on_through_restarts(world):
    """a bake during which lockstepd is restarted every 3 seconds takes as long as a quiet one, and the time nobody led"""
    coordinator = world.coordinators[0]
    quiet = begin(world, "quiet")
    world.wait_state(quiet, "completed", seconds=60)
    usual = bake_seconds(world, quiet)
    check(usual >= BAKE - 0.1, f"a quiet bake took {usual:.1f} s")
    rollout, away, restarts, until = begin(world, "restarts"), 0.0, 0, time.monotonic() + 90
    while not has_opened_the_rest(world, rollout):
        check(time.monotonic() < until, f"still baking after {restarts} restarts, {away:.1f} s of them without a leader")
        time.sleep(3)
        began = time.monotonic()
        equal(coordinator.process.stop(), 0, "exit code of a coordinator that is asked to end")
        coordinator.start()
        wait_until(world.leader, "it leads again")
        away, restarts = away + time.monotonic() - began, restarts + 1
    world.wait_state(rollout, "completed", seconds=60)
    took = bake_seconds(world, rollout)
    check(restarts >= 2, f"{restarts} restarts")
    check(took >= BAKE - 0.1, f"the bake took {took:.1f} s")
    check(took <= usual + away + 10, f"the bake took {took:.1f} s, a quiet one {usual:.1f} s, and {away:.1f} s nobody led")


def test_a_bake_is_not_cut_short(world):
    """time in which no coordinator ran is no part of a bake"""
    coordinator = world.coordinators[0]
    rollout = begin(world, "away")
    time.sleep(2)
    coordinator.process.kill()
    time.sleep(BAKE)
    coordinator.start()
    world.wait_state(rollout, "completed", seconds=90)
    took = bake_seconds(world, rollout)
    check(took >= 2 * BAKE - 1, f"the bake took {took:.1f} s with {BAKE} s in which nobody watched")
