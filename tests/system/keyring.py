"""keyring.py - where the key of all secrets comes from: files and a Vault, as operators meet them."""
import os
import re
import subprocess
import sys

from kit import BUILD, Process, World, check, contains, equal, wait_until, write

TOKEN = "hvs.system-test-token"


class Vault:
    """The small server of vault.py."""

    def __init__(self, seed="seed"):
        here = os.path.dirname(os.path.abspath(__file__))
        self.process = subprocess.Popen([sys.executable, "-B", f"{here}/vault.py", "--token", TOKEN, "--seed", seed],
                                        stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def close(self):
        self.process.kill()
        self.process.wait()


def kill_waiting_rewrap(world):
    """rewrap, killed while it stands before a row that somebody holds."""
    rewrap = Process("rewrap", [f"{BUILD}/lockstepd", "--config", world.coordinators[0].settings, "rewrap"], f"{world.folder}/rewrap.log")
    rewrap.start()
    wait_until(lambda: "Lock" in [r[0] for r in world.postgres.sql(
        "SELECT wait_event_type FROM pg_stat_activity WHERE application_name = 'lockstepd rewrap'")], "rewrap stands before the held row")
    rewrap.kill()


def setup():
    world = World("keyring")
    world.postgres.start()
    world.postgres.sql("CREATE DATABASE lockstep", "postgres")
    write(f"{world.folder}/token", f"{TOKEN}\n", 0o600)
    return world


def settings(world, lines):
    path = f"{world.folder}/secrets.ini"
    write(path, "[secrets]\n" + "\n".join(lines) + "\n", 0o600)
    return path


def run(world, lines, command):
    done = subprocess.run([f"{BUILD}/lockstepd", "--config", settings(world, lines), command],
                          capture_output=True, text=True, timeout=30, check=False)
    check(TOKEN not in done.stdout + done.stderr, "a token was shown")
    return done


def vault_lines(world, url, key="lockstep"):
    return ["provider = vault", f"vault_url = {url}", f"vault_key = {key}", f"vault_token_file = {world.folder}/token"]


def refused(done, *parts):
    equal(done.returncode, 1, "exit code")
    equal(done.stdout, "", "standard output")
    contains(done.stderr, *parts)


def test_key_file(world):
    """A key file is made, checked, given a newest key, and missed when it is gone"""
    path = f"{world.folder}/secrets.key"
    lines = ["provider = file", f"key_file = {path}"]
    refused(run(world, lines, "check-secrets"), path, "No such file")
    first = run(world, lines, "new-secret-key")
    equal(first.returncode, 0, first.stderr)
    equal(os.stat(path).st_mode & 0o7777, 0o400, "mode")
    ids = re.findall(r"k-[0-9a-f]{8}", first.stdout)
    contains(run(world, lines, "check-secrets").stdout, f"file:{ids[0]}")
    second = run(world, lines, "new-secret-key")
    ids += re.findall(r"k-[0-9a-f]{8}", second.stdout)
    contains(run(world, lines, "check-secrets").stdout, f"file:{ids[1]}")
    with open(path, encoding="ascii") as f:
        keys = [line.split(" = ") for line in f if not line.startswith("#")]
    equal([key[0] for key in keys], ids, "ids in the file, the newest last")
    for _, key in keys:
        check(key.strip() not in first.stdout + second.stdout, "a key was shown")
    os.chmod(path, 0o440)
    refused(run(world, lines, "check-secrets"), path, "0440", "chmod 400")
    refused(run(world, lines, "new-secret-key"), path, "chmod 400")
    os.chmod(path, 0o400)
    equal(run(world, lines, "check-secrets").returncode, 0, "exit code")


def test_vault(world):
    """A Vault's key is checked there and back; what it refuses has a reason"""
    vault = Vault()
    try:
        contains(run(world, vault_lines(world, vault.url), "check-secrets").stdout, "vault:lockstep:v1")
        for key, part in [("missing", "encryption key not found"), ("sealed", "Vault is sealed"), ("old", "transit/decrypt/old"),
                          ("page", "as a Vault does"), ("liar", "another one"), ("cut", "gives no answer"), ("echo", "HTTP 400")]:
            refused(run(world, vault_lines(world, vault.url, key), "check-secrets"), vault.url, part)
        refused(run(world, vault_lines(world, vault.url, "slow") + ["vault_timeout = 200ms"], "check-secrets"), "too slow")
        write(f"{world.folder}/token", "hvs.another\n", 0o600)
        refused(run(world, vault_lines(world, vault.url), "check-secrets"), "HTTP 403", f"{world.folder}/token")
        write(f"{world.folder}/token", f"{TOKEN}\n", 0o600)
    finally:
        vault.close()
    refused(run(world, vault_lines(world, vault.url), "check-secrets"), vault.url, "gives no answer")
    refused(run(world, vault_lines(world, vault.url), "new-secret-key"), "provider must be file")


def test_wrong_settings(world):
    """Wrong settings are named, in a check and at the start"""
    for lines, part in [(["provider = valt"], "none, file or vault"), (["provider = file"], "key_file is missing"),
                        (["provider = vault"], "vault_url is missing"),
                        (vault_lines(world, "http://vault.example:8200"), "must begin with https://"),
                        (vault_lines(world, "https://vault.example", "../sys"), "vault_key")]:
        refused(run(world, lines, "check-secrets"), "[secrets]", part)
        c = world.add_coordinator("wrong", "[secrets]\n" + "\n".join(lines) + "\n")
        c.process.start()
        equal(c.process.wait(30), 1, "exit code")
        contains(c.process.log_text(), "[secrets]", part)
        os.unlink(c.process.log)
        world.coordinators.remove(c)
    refused(run(world, ["provider = none"], "check-secrets"), "switched off")


def test_a_missing_key_stops_nobody(world):
    """A coordinator without its key-encryption key says so and serves plain values"""
    path = f"{world.folder}/gone.key"
    world.add_coordinator("lockstepd-1", f"[secrets]\nprovider = file\nkey_file = {path}\n").start()
    contains(world.coordinators[0].process.log_text(), "secrets can be neither read nor written", path)
    world.token = world.bootstrap_token("tests")
    equal(world.api("PUT", "/config/demo/dev/a", {"config_value": "1"}).status // 100, 2, "status")
    equal(world.api("GET", "/config/demo/dev/a?revision=head").status, 200, "status")
