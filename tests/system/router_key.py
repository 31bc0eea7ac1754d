"""router_key.py - one key for all coordinators of a cluster: with another one lockstepd does not start, and says what to do."""
import os
import subprocess

from kit import BUILD, World, check, contains, equal, read, write


def setup():
    return World("router-key").start()


def lockstepd(coordinator, *words):
    return subprocess.run([f"{BUILD}/lockstepd", "--config", coordinator.settings, *words], capture_output=True, text=True, timeout=60, check=False)


def refused(coordinator, *parts):
    done = lockstepd(coordinator)
    equal(done.returncode, 1, f"exit code: {done.stdout}{done.stderr}")
    contains(done.stdout + done.stderr, "cannot start", *parts, "copy the key file of another coordinator", "replace-router-key")
    check('"ready"' not in done.stdout + done.stderr, "it was ready")


def test_other_key(world):
    """a coordinator that agents would not know does not start; a lost key is not made anew; replacing it is said to all"""
    first, key = world.coordinators[0], read(f"{world.folder}/router.key.pub").strip()
    equal(world.postgres.sql("SELECT router_key FROM cluster"), [[key]], "the first one's key")
    other = world.add_coordinator("lockstepd-2")
    write(other.settings, read(other.settings).replace("/router.key", "/other.key"), 0o600)
    refused(other, f"{world.folder}/other.key is not there", key)
    check(not os.path.exists(f"{world.folder}/other.key"), "a key was made")
    done = lockstepd(other, "replace-router-key")
    equal((done.returncode, done.stderr), (0, ""), "replaced")
    new = read(f"{world.folder}/other.key.pub").strip()
    contains(done.stdout, new, "every agent", "every coordinator")
    other.start()
    first.process.stop()
    refused(first, key, new)
    equal(world.postgres.sql("SELECT data->>'public_key' FROM audit WHERE action = 'router_key.replace'"), [[new]], "in the trail")
    equal(lockstepd(first, "replace-router-key").returncode, 0, "back again")
    first.start()
