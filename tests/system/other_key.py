"""other_key.py - a coordinator whose key for secrets is not the one of the database's: said by check-secrets and the metric."""
import subprocess

from kit import BUILD, World, check, contains, equal, wait_until


def setup():
    return World("other-key").start_with_secrets()


def lockstepd(coordinator, *words):
    return subprocess.run([f"{BUILD}/lockstepd", "--config", coordinator.settings, *words], capture_output=True, text=True, timeout=60, check=False)


def available(coordinator):
    text = coordinator.api("GET", "/metrics", raw_path=True, token=None).raw.decode()
    return [line.split()[-1] for line in text.splitlines() if line.startswith("lockstep_secrets_available ")]


def test_other_key(world):
    """a key file that is whole and holds other keys is not fine: exit 1 with the key that lacks, 0 in the metric, said in the log"""
    first = world.coordinators[0]
    other = world.add_coordinator("lockstepd-2", f"[secrets]\nprovider = file\nkey_file = {world.folder}/other.key\n")
    equal(lockstepd(other, "new-secret-key").returncode, 0, "another key")
    equal(lockstepd(other, "check-secrets").returncode, 0, "there is no secret yet")
    world.ok("PUT", "/config/shop/prod/password", {"config_value": "x", "encrypt": True})
    equal(lockstepd(first, "check-secrets").returncode, 0, "the right key")
    key = world.postgres.sql("SELECT key_id FROM secret_key")[0][0]
    done = lockstepd(other, "check-secrets")
    equal((done.returncode, done.stdout), (1, ""), "exit code and output of the other one")
    contains(done.stderr, key, "give every coordinator the same keys")
    other.start()
    wait_until(lambda: other.process.log_has("secrets of the database cannot be opened here", key), "the log says so")
    wait_until(lambda: available(other) == ["0"], lambda: f"the metric says so: {available(other)}")
    check(available(first) == ["1"], f"the metric of the right one: {available(first)}")
