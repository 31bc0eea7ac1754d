"""failover.py - two PostgreSQL servers: the standby is promoted, and everything goes on there with all that was acknowledged."""
import os

from kit import Agent, Failed, Postgres, World, check, contains, equal, wait_until

SCOPE = "demo/prod"
HELD = {"stages": [{"percent": 50, "hold": True}, {"percent": 100}], "unreachable": "wait"}
AGENTS = 4


class Twin(Postgres):
    """One of two: lockstepd knows both."""
    twins = ()

    @property
    def url(self):
        hosts, ports = ",".join(t.sockets for t in self.twins), ",".join(str(t.port) for t in self.twins)
        return f"host={hosts} port={ports} user=lockstep dbname={self.name} target_session_attrs=read-write"

    def is_standby(self):
        return self.sql("SELECT pg_is_in_recovery()", "postgres")[0][0] == "t"

    def follow_synchronously(self):
        """What is committed here is applied on the standby before anybody hears of it."""
        for setting in ("synchronous_standby_names = '*'", "synchronous_commit = remote_apply"):
            self.sql(f"ALTER SYSTEM SET {setting}", "postgres")
        self.sql("SELECT pg_reload_conf()", "postgres")
        wait_until(lambda: self.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'", "postgres"), "the standby follows")

    def promote(self):
        equal(self.sql("SELECT pg_promote()", "postgres")[0][0], "t", "promoted")

    def sessions(self):
        """What lockstepd has open here."""
        return [row[0] for row in self.sql("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'lockstepd%'", "postgres")]


def setup():
    world = World("failover", lease="3s")
    first = Twin(f"{world.folder}/first")
    first.start().sql("CREATE DATABASE lockstep", "postgres")
    second = Twin(f"{world.folder}/second", source=first).start()
    Twin.twins = (first, second)
    world.postgres = first
    world.others.append(second.process)
    check(second.is_standby(), "the second one is a standby")
    first.follow_synchronously()
    for i in range(2):
        world.add_coordinator(f"lockstepd-{i + 1}").start()
    world.token = world.bootstrap_token("tests")
    world.set(SCOPE, {"greeting": "0"})
    for i in range(AGENTS):
        Agent(world, f"server-{i + 1}").enroll().start()
    world.wait_agents(SCOPE, AGENTS)
    wait_until(world.leader, "somebody leads")
    return world


def begin(world, value):
    """A rollout whose first stage is applied, and which waits there."""
    world.set(SCOPE, {"greeting": value})
    rollout = world.start_rollout(SCOPE, HELD)
    wait_until(lambda: world.rollout(rollout)["phase"] == "baking", "the first stage is applied")
    return rollout


def members(postgres, rollout):
    return postgres.sql("SELECT s.name, m.state, m.ready_at, m.applied_at FROM member m JOIN server s USING (server_id)"
                        f" JOIN rollout r USING (rollout_id) WHERE r.public_id = '{rollout}' ORDER BY 1")


def decisions(postgres):
    return postgres.sql("SELECT dseq, kind, md5(body) FROM decision ORDER BY 1")


def promote(world, rollout):
    """A connection may still lead to the server that is none any more: 503 says to ask again."""
    answer = world.api("POST", f"/rollouts/{rollout}/promote", {})
    check(answer.status in (200, 202, 503), f"promote: {answer}")
    return answer.status != 503


def goes_on(world, rollout, before, epoch):
    """On the promoted one: somebody leads there, later than before, and the rollout completes on every server."""
    wait_until(lambda: world.leader() and int(world.postgres.sql("SELECT epoch FROM leader")[0][0]) >= epoch, "somebody leads")
    for c in world.coordinators:
        check(c.process.is_running(), f"{c.name} lives")
        c.wait_ready()
    equal(decisions(world.postgres)[:len(before)], before, "decisions that were there before")
    wait_until(lambda: promote(world, rollout), "it takes the command")
    world.wait_state(rollout, "completed", seconds=90)
    equal(sorted(s["state"] for s in world.servers_of(rollout).values()), ["applied"] * AGENTS, "states of the servers")
    equal(world.postgres.sql("SELECT count(*) FROM audit_faults()"), [["0"]], "faults of the audit trail")
    value = world.ok("GET", f"/config/{SCOPE}/greeting")["config_value"]
    for agent in world.agents.values():
        wait_until(lambda a=agent: value in str(a.dump()) or str(world.ok("GET", f"/config/{SCOPE}")["revision"]) in str(a.dump()), f"{agent.name} has {value}")


def test_the_primary_dies(world):
    """the primary is killed in mid-rollout and the synchronous standby promoted: nothing that was acknowledged is missing, the rollout completes"""
    first, second = Twin.twins
    rollout = begin(world, "died")
    epoch = int(first.sql("SELECT epoch FROM leader")[0][0])
    counted, before = members(first, rollout), decisions(first)
    first.process.kill()
    second.promote()
    world.postgres = second
    equal(members(second, rollout), counted, "acknowledgements that were receipted")
    goes_on(world, rollout, before, epoch)


def test_the_primary_is_demoted(world):
    """the primary is made read only and stays up while its standby is promoted: every connection leaves it, the rollout completes"""
    dead, old = Twin.twins
    new = Twin(f"{world.folder}/third", source=old)
    new.start()
    world.others.append(new.process)
    os.rename(dead.sockets, dead.sockets + ".gone")
    os.symlink(new.sockets, dead.sockets)  # where lockstepd looks for the first of its two
    old.follow_synchronously()
    rollout = begin(world, "demoted")
    epoch = int(old.sql("SELECT epoch FROM leader")[0][0])
    counted, before = members(old, rollout), decisions(old)
    old.sql("ALTER SYSTEM SET default_transaction_read_only = on", "postgres")
    old.sql("SELECT pg_reload_conf()", "postgres")
    new.promote()
    world.postgres = new
    equal(members(new, rollout), counted, "acknowledgements that were receipted")
    goes_on(world, rollout, before, epoch)
    wait_until(lambda: not old.sessions(), lambda: f"all leave the demoted one; there are {old.sessions()}")
    logs = "".join(c.process.log_text() for c in world.coordinators)
    check("went back" not in logs, "a reader stayed behind: the numbers of the audit trail went back")
    try:
        old.sql("CREATE TABLE nothing ()")
        check(False, "the demoted one takes writes")
    except Failed as problem:
        contains(problem, "read-only")
