"""other_key.py - a coordinator whose key for secrets is not the one of the database's: said, not ready, and nothing is wrapped by it."""
import os
import shutil
import subprocess

from kit import BUILD, World, check, contains, equal, wait_until


def setup():
    return World("other-key").start_with_secrets()


def lockstepd(coordinator, *words):
    return subprocess.run([f"{BUILD}/lockstepd", "--config", coordinator.settings, *words], capture_output=True, text=True, timeout=60, check=False)


def metrics(coordinator):
    return coordinator.api("GET", "/metrics", raw_path=True, token=None).raw.decode()


def ready(coordinator):
    return coordinator.api("GET", "/readyz", raw_path=True, token=None).body


def available(coordinator):
    return [line.split()[-1] for line in metrics(coordinator).splitlines() if line.startswith("lockstep_secrets_available ")]


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
    other.start(wait=False)
    wait_until(lambda: other.process.log_has("secrets of the database cannot be opened here", key), "the log says so")
    wait_until(lambda: available(other) == ["0"], lambda: f"the metric says so: {available(other)}")
    check(available(first) == ["1"], f"the metric of the right one: {available(first)}")
    wait_until(lambda: "give it the keys" in ready(other).get("detail", ""), lambda: f"it is not ready: {ready(other)}")
    equal((ready(other)["code"], key in ready(other)["detail"]), ("not_ready", False), "to anybody, without naming keys")
    equal((first.is_ready(), "lockstep_ready 0" in metrics(other)), (True, True), "the right one is ready, the other one's metric says not")


def test_nothing_is_wrapped_by_it(world):
    """secrets and subscriptions written there are refused with 503, the reason and the remedy; plain values are read and written on"""
    first, other = world.coordinators
    for method, path, body in (("PUT", "/config/shop/prod/password", {"config_value": "y", "encrypt": True}),
                               ("POST", "/config/shop/prod", {"set": {"a": {"config_value": "y", "encrypt": True}, "b": "z"}}),
                               ("POST", "/config/subscribe", {"service_name": "shop", "environment": "prod", "config_keys": ["a"], "callback_url": "https://hooks.example/x"})):
        answer = other.api(method, path, body)
        equal((answer.status, answer["code"]), (503, "secrets_unavailable"), f"{method} {path}: {answer}")
        contains(answer["detail"], "give it the keys of the other coordinators")
    equal(other.api("PUT", "/config/shop/prod/plain", {"config_value": "p"}).status, 201, "a plain value is written")
    equal(other.api("GET", "/config/shop/prod/plain?revision=head")["config_value"], "p", "and read")
    equal(lockstepd(other, "rewrap").returncode, 1, "nor does it rewrap")
    equal(world.postgres.sql("SELECT count(DISTINCT key_id), count(*) FROM secret_key"), [["1", "1"]], "what is wrapped")
    equal(first.api("PUT", "/config/shop/prod/password", {"config_value": "y", "encrypt": True}).status, 200, "the right one writes on")


def test_with_the_key_it_is_ready(world):
    """when its file gets the others' keys it is ready and writes, without a restart; one more newest key is no other keyring"""
    other = world.coordinators[1]
    os.remove(f"{world.folder}/other.key")  # nobody may write it
    shutil.copy(f"{world.folder}/secrets.key", f"{world.folder}/other.key")
    equal(lockstepd(other, "new-secret-key").returncode, 0, "a newest key of its own")
    wait_until(other.is_ready, lambda: f"ready: {ready(other)}")
    equal(other.api("PUT", "/config/shop/prod/password", {"config_value": "z", "encrypt": True}).status, 200, "it writes")
    equal(world.coordinators[0].is_ready(), True, "who lacks only the newest one is ready still")
    equal(lockstepd(world.coordinators[0], "check-secrets").returncode, 1, "and is told")


def test_damaged_keys(world):
    """some data keys are damaged at rest: that is no other keyring; what is whole is read, written and ready"""
    for i in range(3):
        world.ok("PUT", f"/config/shop/prod/more{i}", {"config_value": f"x{i}", "encrypt": True})
    world.postgres.sql("""UPDATE secret_key SET wrapped_key = set_byte(wrapped_key, length(wrapped_key) - 1, get_byte(wrapped_key, length(wrapped_key) - 1) # 1)
        WHERE digest IN (SELECT digest FROM secret_key ORDER BY digest LIMIT 2)""")
    first = world.coordinators[0]
    wait_until(lambda: available(first) == ["0"], lambda: f"the metric says so: {available(first)}")
    equal(first.is_ready(), True, "it is ready")
    equal(first.api("PUT", "/config/shop/prod/more3", {"config_value": "y", "encrypt": True}).status, 201, "it writes")
