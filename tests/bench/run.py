"""run.py - the benchmark: a whole durable rollout to N simulated agents, against a plain echo.

A throwaway PostgreSQL (durable: fsync on), the real coordinator, a fleet that answers at once. Per
repetition a change of 4 KiB goes to everybody at once. The clock starts when the first agent has
the first PREPARE and stops when PostgreSQL has every APPLIED (the stage's own move to baking). The
rival runs before and after, alone on the machine: one ROUTER, the same number of DEALERs in the
same fleet program, 4 KiB out and an acknowledgement back, twice.

With --auto it is a write in an environment that releases by itself: the clock starts before the
request is sent and stops when PostgreSQL has every APPLIED. The rival has one round then, because
such a rollout has one.
"""
import argparse
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "system"))
import kit  # noqa: E402  (the folder must be known first)

BENCH = f"{kit.BUILD}/tests/bench"
SCOPES = {False: "bench/prod", True: "bench/dev"}  # by --auto
SIZE = 4096
PROCESS_MAX = 5000  # agents in one process: two descriptors each, 20,000 allowed
ACK_SIZE = 180      # a READY or APPLIED of one scope
PATIENCE = 300


def program(world, name, *words):
    """One of the benchmark's programs; its output is its log."""
    p = kit.Process(name, [BENCH, *words], f"{world.folder}/{name}.log", death="TERM")
    world.others.append(p)
    return p.start()


def said(process, word):
    """The lines that begin with this word, split, without it."""
    kit.check(process.is_running() or process.popen.returncode == 0, f"{process.name} ended: {process.log_text()[-500:]}")
    return [line.split()[1:] for line in process.log_text().splitlines() if line.startswith(word + " ")]


def wait_said(process, word, count=1):
    return kit.wait_until(lambda: (lambda s: s if len(s) >= count else None)(said(process, word)),
                          lambda: f"{process.name} says {word}: {process.log_text()[-500:]}", PATIENCE)


def start_fleet(world, name, address, agents, *words):
    """The agents, in as many processes as the limit of descriptors asks for."""
    count = max(1, -(-agents // PROCESS_MAX))
    parts = [(agents * i // count, agents * (i + 1) // count) for i in range(count)]
    return [program(world, f"{name}-{i}", "fleet", "--address", address, "--keys", f"{world.folder}/keys",
                    "--first", str(first), "--count", str(end - first), *words)
            for i, (first, end) in enumerate(parts)]


def echo(world, name, agents, sizes, repetitions):
    """Seconds of the two rounds of the rival, per repetition; everything of it is gone afterwards."""
    router = program(world, f"{name}-router", "echo", "--address", "tcp://127.0.0.1:*", "--count", str(agents),
                     "--size", str(sizes[0]), "--second", str(sizes[1]), "--repeat", str(repetitions))
    address = wait_said(router, "address")[0][0]
    fleet = start_fleet(world, f"{name}-fleet", address, agents, "--echo", str(ACK_SIZE))
    seconds = [float(line[0]) for line in wait_said(router, "echo", repetitions)]
    for p in fleet:
        p.stop(seconds=60)
    router.wait(60)
    return seconds


def memory(process, field):
    """KiB of VmRSS or VmHWM."""
    for line in kit.read(f"/proc/{process.pid}/status").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise kit.Failed(f"no {field} for {process.name}")


def start_world(world, scope, agents, is_curve):
    """PostgreSQL, the coordinator, every agent enrolled, a first revision: the scope exists."""
    world.postgres.start()
    world.postgres.sql("CREATE DATABASE lockstep", "postgres")
    c = world.add_coordinator("lockstepd", "" if is_curve else "[router]\nplain = true\n")
    settings = kit.read(c.settings).replace("heartbeat = 1s", "heartbeat = 5s").replace("lease = 2s", "lease = 10s")
    kit.write(c.settings, settings.replace("session_grace = 5s", "session_grace = 30s"), 0o600)
    c.start()
    world.token = world.bootstrap_token("bench")
    world.set(scope, {"blob": "x"})
    with open(f"{world.folder}/keys", "w", encoding="ascii") as out:
        subprocess.run([BENCH, "keys", "--count", str(agents), *(["--curve"] if is_curve else [])], stdout=out, check=True)
    rows = (line.split() for line in kit.read(f"{world.folder}/keys").splitlines())
    c.process.stop()
    enroll(world, rows)
    return c.start()


def enroll(world, rows):
    """In bulk and behind the coordinator's back, which starts again afterwards."""
    for chunk in iter(lambda: [row for _, row in zip(range(1000), rows)], []):
        values = ",".join("('{}', '{}', '{{*}}')".format(name, key.replace("'", "''")) for name, key, _ in chunk)
        world.postgres.sql(f"INSERT INTO server (name, public_key, scopes) VALUES {values}")


def blob(number):
    """A value of 4 KiB that does not compress into nothing."""
    return random.Random(number).randbytes(SIZE // 2).hex()


FIGURES = """
    SELECT a.number, extract(epoch FROM a.opened_at) AS opened, extract(epoch FROM d.decided_at) AS decided,
           extract(epoch FROM a.applied_at) AS done, r.state, count(*) FILTER (WHERE m.state = 'applied') AS applied,
           percentile_disc(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY extract(epoch FROM m.ready_at)) AS ready_at,
           percentile_disc(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY extract(epoch FROM m.applied_at)) AS applied_at
    FROM rollout r JOIN member m USING (rollout_id) JOIN attempt a ON a.number = m.attempt_number JOIN decision d ON d.attempt_number = a.number
    WHERE r.public_id = '{}' GROUP BY a.number, d.decided_at, r.state"""


def wait_ended(coordinator, rollout):
    """As its log says: asking the API about ten thousand servers again and again costs PostgreSQL what is measured."""
    end = f"rollout={rollout} from=ENDING"
    kit.wait_until(lambda: end in coordinator.process.log_text(), f"the end of rollout {rollout}", PATIENCE)


def repetition(world, coordinator, fleet, agents, number):
    """One change to everybody; milliseconds since the first PREPARE arrived."""
    world.set(SCOPES[False], {"blob": blob(number)})
    rollout = world.start_rollout(SCOPES[False], "all-at-once")
    wait_ended(coordinator, rollout)
    found = world.wait_state(rollout, "completed", "aborted", "rolled_back", "failed", seconds=PATIENCE)
    kit.equal(found["state"], "completed", f"the end of rollout {rollout} ({found.get('reason')})")
    rows = world.postgres.json(FIGURES.format(rollout))
    kit.equal(len(rows), 1, "attempts at the one stage")
    row = rows[0]
    kit.equal(row["applied"], agents, "servers that applied")
    firsts = [int(ms) for p in fleet for attempt, ms in said(p, "prepare") if int(attempt) == row["number"]]
    kit.check(firsts, "no agent saw the first PREPARE")
    began = min(firsts) / 1000

    def since(seconds):
        return max(0.0, (float(seconds) - began) * 1000)
    return {"opening": (began - float(row["opened"])) * 1000, "ready": [since(s) for s in row["ready_at"]],
            "decision": since(row["decided"]), "applied": [since(s) for s in row["applied_at"]],
            "done": since(row["done"]), "api": found.get("latency_ms")}


def automatic(world, coordinator, fleet, agents, number):
    """One write that releases itself; milliseconds since before the request."""
    began = time.time()
    answer = world.ok("PUT", f"/config/{SCOPES[True]}/blob", {"config_value": blob(number)})
    answered = time.time()
    rollout = answer["rollout"]
    wait_ended(coordinator, rollout)
    found = world.wait_state(rollout, "completed", "aborted", "rolled_back", "failed", seconds=PATIENCE)
    kit.equal(found["state"], "completed", f"the end of rollout {rollout} ({found.get('reason')})")
    row = world.postgres.json(FIGURES.format(rollout))[0]
    kit.equal(row["applied"], agents, "servers that applied")
    firsts = [int(ms) / 1000 for p in fleet for attempt, ms in said(p, "prepare") if int(attempt) == row["number"]]
    times = {"answered": answered, "opened": row["opened"], "first": min(firsts), "applied": row["applied_at"][2], "done": row["done"]}
    return {name: (float(at) - began) * 1000 for name, at in times.items()}


def show_automatic(options, runs, echoes):
    print(f"{options.agents} agents, a write of {SIZE} bytes that releases itself, {len(runs)} times: medians, ms since before the request")
    for name, words in (("answered", "the write is answered"), ("opened", "attempt and decision: transaction began"), ("first", "first agent has it"),
                        ("applied", "last APPLIED: transaction began"), ("done", "every APPLIED durable")):
        print(f"{words:42}{median(runs, name):9.0f}   ({min(r[name] for r in runs):.0f} to {max(r[name] for r in runs):.0f})")
    print(f"{'plain echo, 4 KiB once':42}{statistics.median(echoes) * 1000:9.0f}   ({min(echoes) * 1000:.0f} to {max(echoes) * 1000:.0f})")


def median(runs, *path):
    def pick(run):
        for step in path:
            run = run[step]
        return run
    return statistics.median(pick(run) for run in runs)


def show(options, runs, echoes, same_size, memories):
    ways = "CURVE" if options.curve else "plain"
    print(f"{options.agents} agents ({ways}), {SIZE} bytes, {len(runs)} rollouts: medians, ms since the first PREPARE arrived")
    print(f"{'':34}{'p50':>9}{'p99':>9}{'last':>9}")
    for name in ("ready", "applied"):
        cells = "".join(f"{median(runs, name, i):9.0f}" for i in range(3))
        print(f"{name + ', transaction began':34}{cells}")
    print(f"{'decision':34}{'':18}{median(runs, 'decision'):9.0f}")
    print(f"{'every APPLIED durable':34}{'':18}{median(runs, 'done'):9.0f}   ({min(r['done'] for r in runs):.0f} to {max(r['done'] for r in runs):.0f})")
    print(f"{'attempt opened before it':34}{'':18}{median(runs, 'opening'):9.0f}")
    for name, seconds in (("plain echo, 4 KiB twice", echoes), ("plain echo, sizes of the rollout", same_size)):
        print(f"{name:34}{'':18}{statistics.median(seconds) * 1000:9.0f}   ({min(seconds) * 1000:.0f} to {max(seconds) * 1000:.0f})")
    api = runs[-1]["api"]
    if api:
        print(f"latency_ms of the last rollout, as the API tells it: {api}")
    empty, peak = memories
    print(f"coordinator memory: {empty / 1024:.0f} MiB without agents, at most {peak / 1024:.0f} MiB; "
          f"{peak / options.agents:.1f} KiB per agent, {(peak - empty) / options.agents:.1f} KiB of them grown")


def run(options, world):
    os.makedirs(world.folder, exist_ok=True)
    repetitions = options.repeat
    kit.PATIENCE = PATIENCE
    keys = subprocess.run([BENCH, "keys", "--count", str(options.agents)], capture_output=True, text=True, check=True).stdout
    kit.write(f"{world.folder}/keys", keys)
    decision_size = 150
    scope, second = SCOPES[options.auto], 0 if options.auto else SIZE
    echoes = echo(world, "echo-1", options.agents, (SIZE, second), repetitions)
    same_size = [] if options.auto else echo(world, "echo-2", options.agents, (SIZE, decision_size), repetitions)
    coordinator = start_world(world, scope, options.agents, options.curve)
    empty = memory(coordinator.process, "VmRSS")
    words = ["--service", scope.split("/")[0], "--environment", scope.split("/")[1]]
    if options.curve:
        words += ["--server-key", kit.read(f"{world.folder}/router.key.pub").split()[-1]]
    fleet = start_fleet(world, "fleet", f"tcp://127.0.0.1:{coordinator.router}", options.agents, *words)
    for p in fleet:
        wait_said(p, "open")
    world.wait_agents(scope, options.agents, PATIENCE)
    once = automatic if options.auto else repetition
    runs = [once(world, coordinator, fleet, options.agents, i) for i in range(repetitions + 1)][1:]  # the first one warms up
    peak = memory(coordinator.process, "VmHWM")
    for p in fleet + [coordinator.process]:
        p.stop(seconds=60)
    world.postgres.process.stop(signal.SIGINT, 60)
    echoes += echo(world, "echo-3", options.agents, (SIZE, second), repetitions)
    if options.auto:
        show_automatic(options, runs, echoes)
    else:
        same_size += echo(world, "echo-4", options.agents, (SIZE, decision_size), repetitions)
        show(options, runs, echoes, same_size, (empty, peak))
    print(f"ratio {median(runs, 'done') / 1000 / statistics.median(echoes):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5, help="rollouts that count, and echoes before and after")
    parser.add_argument("--curve", action="store_true", help="with CURVE between agents and coordinator")
    parser.add_argument("--auto", action="store_true", help="a write that releases itself, against one round of the echo")
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    world = kit.World("bench", is_durable=True)
    try:
        run(options, world)
    except kit.Failed as problem:
        print(f"{problem}\n{world.logs()}", file=sys.stderr)
        return 1
    finally:
        world.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
