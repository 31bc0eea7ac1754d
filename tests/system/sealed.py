"""sealed.py - secrets on the servers: fetched inside CURVE, sealed at rest, in files for their readers, shredded."""
import os
import signal
import subprocess

from kit import BUILD, Agent, World, check, contains, equal, read, wait_until

SCOPE = "shop/prod"
PLAIN = "correct-horse-battery"  # every secret of these tests has it in it
ALL = {"stages": [{"percent": 100}], "on_failure": "rollback"}


def setup():
    world = World("sealed")
    world.postgres.start()
    world.postgres.sql("CREATE DATABASE lockstep", "postgres")
    world.key_file = f"{world.folder}/kek"
    c = world.add_coordinator("lockstepd-1", f"[secrets]\nprovider = file\nkey_file = {world.key_file}\n")
    done = subprocess.run([f"{BUILD}/lockstepd", "--config", c.settings, "new-secret-key"], capture_output=True, text=True, check=False)
    equal(done.returncode, 0, "exit code")
    c.start()
    world.token = world.bootstrap_token("tests")
    world.files = f"{world.folder}/files"
    os.makedirs(world.files)
    world.password, world.host = f"{world.files}/password", f"{world.files}/host"
    world.ok("PUT", f"/config/{SCOPE}/db.host", {"config_value": "db1"})
    world.one = Agent(world, "server-1", [SCOPE], scope_settings=f"""file = db.password -> {world.password} optional
file = db.host -> {world.host}
document = json -> {world.files}/all.json
validate = ! grep -q refused {{db.password}} || {{ cat {{db.password}}; exit 3; }}
""").enroll().start()
    world.wait_agents(SCOPE, 1)
    return world


def roll(world, state="completed", **values):
    """These keys, secrets all of them, released; what the server says about it."""
    if values:
        world.ok("POST", f"/config/{SCOPE}", {"set": {k.replace("_", "."): {"config_value": v, "encrypt": True} for k, v in values.items()}})
    rollout = world.start_rollout(SCOPE, ALL)
    world.wait_state(rollout, state)
    return world.servers_of(rollout)["server-1"]


def lies_in(text, *paths):
    """Below these paths, in any byte of any file."""
    return subprocess.run(["grep", "-rlaF", "--", text, *paths], capture_output=True, text=True, check=False).stdout.split()


def check_nowhere(world):
    """In the files of its readers and nowhere else: not in LMDB, published files, logs, database, WAL."""
    world.postgres.sql("CHECKPOINT")
    found = [p for p in lies_in(PLAIN, world.folder) if not p.startswith(world.files)]
    equal(found, [], "where secrets lie in the clear")


def destroy(world, *versions):
    """Shred these versions of the password in the database, and say so as a commit does."""
    world.postgres.sql(f"""WITH gone AS (DELETE FROM secret_key k USING secret s WHERE s.digest = k.digest
                               AND s.version IN ({", ".join(map(str, versions))}) RETURNING s.digest)
                           UPDATE secret SET destroyed_at = now() WHERE digest IN (SELECT digest FROM gone);
                           NOTIFY lockstep, '0 config.destroy'""")


def mode(path):
    return os.stat(path).st_mode & 0o7777


def test_in_files_alone(world):
    """a secret reaches its file with mode 0600, and lies nowhere else in the clear"""
    roll(world, db_password=f"{PLAIN}-1")
    equal(read(world.password), f"{PLAIN}-1", "the password's file")
    contains(read(f"{world.files}/all.json"), f'"db.password": "{PLAIN}-1"', '"db.host": "db1"')
    equal((mode(world.password), mode(f"{world.files}/all.json"), mode(world.host)), (0o600, 0o600, 0o644), "modes")
    equal(mode(f"{world.one.folder}/state/secrets.key"), 0o400, "mode of the agent's own key")
    check_nowhere(world)


def test_printed_by_a_command(world):
    """a validation that prints the secret is told without it"""
    told = roll(world, "aborted", db_password=f"{PLAIN}-refused")
    contains(told["reason"], "validate ended with 3", "[secret]")
    check(PLAIN not in str(told), "the reason quotes it")
    equal(read(world.password), f"{PLAIN}-1", "the password's file")
    equal(lies_in("refused", world.files), [], "candidates left behind")
    check_nowhere(world)


def test_long(world):
    """a secret of half a MiB comes in pieces, and back as it was"""
    long = "".join(f"{PLAIN}-{i}\n" for i in range(20000))
    roll(world, db_password=long)
    equal(read(world.password) == long, True, "the value came whole")
    roll(world, db_password=f"{PLAIN}-2")
    check_nowhere(world)


def test_schema(world):
    """a secret that breaks its schema is refused without being quoted"""
    world.ok("PUT", "/schemas/shop/db.password", {"type": "string", "minLength": 10})
    answer = world.api("PUT", f"/config/{SCOPE}/db.password", {"config_value": "zz-short", "encrypt": True})
    equal(answer.status, 422, "status")
    check("zz-short" not in str(answer), "the answer quotes it")
    roll(world, db_password=f"{PLAIN}-3")
    equal(read(world.password), f"{PLAIN}-3", "the password's file")


def test_without_coordinator(world):
    """an agent that starts without any coordinator writes the secrets of memory files again"""
    world.one.process.stop()
    world.coordinators[0].process.stop()
    os.unlink(world.password)  # as a tmpfs after a reboot
    world.one.start()
    wait_until(lambda: os.path.exists(world.password), "the password's file comes back")
    equal((read(world.password), mode(world.password)), (f"{PLAIN}-3", 0o600), "what came back")
    world.coordinators[0].start()
    check_nowhere(world)


def test_own_key_lost(world):
    """an agent whose own key is gone says so, and gets its secrets again"""
    world.one.process.stop()
    os.unlink(f"{world.one.folder}/state/secrets.key")
    world.one.start()
    wait_until(lambda: world.one.process.log_has("key that sealed this server's secrets is gone", "the secret is here"), "fetched again")
    roll(world, db_password=f"{PLAIN}-4")
    equal(read(world.password), f"{PLAIN}-4", "the password's file")


def test_keyring_away(world):
    """while the key-encryption key is away the agent waits; when it is back the rollout goes on"""
    world.ok("PUT", f"/config/{SCOPE}/db.password", {"config_value": f"{PLAIN}-5", "encrypt": True})
    os.rename(world.key_file, f"{world.key_file}.away")
    rollout = world.start_rollout(SCOPE, ALL)
    wait_until(lambda: world.coordinators[0].process.log_has("agents cannot get secrets now"), "the key is missed")
    equal(world.rollout(rollout)["state"], "running", "state")
    os.rename(f"{world.key_file}.away", world.key_file)
    world.wait_state(rollout, "completed")
    equal(read(world.password), f"{PLAIN}-5", "the password's file")


def test_keyring_gone(world):
    """a key-encryption key that stays away refuses the rollout before its deadline, saying which secret and why"""
    world.ok("PUT", f"/config/{SCOPE}/db.password", {"config_value": f"{PLAIN}-gone", "encrypt": True})
    os.rename(world.key_file, f"{world.key_file}.away")
    rollout = world.start_rollout(SCOPE, {"stages": [{"percent": 100, "ready_timeout": "3s"}], "on_failure": "rollback"})
    world.wait_state(rollout, "aborted")
    told = world.servers_of(rollout)["server-1"]
    contains(told["reason"], '"db.password" is not to be had', "key file", "No such file")
    equal(told["detail"], "refused", "detail")
    os.rename(f"{world.key_file}.away", world.key_file)
    equal(read(world.password), f"{PLAIN}-5", "the password's file")


def test_not_for_this_server(world):
    """a server whose enrolment lacks the scope gets neither its documents nor its secrets"""
    stranger = Agent(world, "server-2", [SCOPE], scope_settings=f"file = db.password -> {world.folder}/stolen optional")
    stranger.enroll(scopes=["other/*"]).start()
    wait_until(lambda: stranger.process.log_has("does not allow a scope"), "it is told")
    roll(world, db_password=f"{PLAIN}-6")
    equal(read(world.password), f"{PLAIN}-6", "the password's file")
    check(not os.path.exists(f"{world.folder}/stolen"), "a file of a foreign secret")
    equal(stranger.dump()["scopes"][SCOPE]["active"]["revision"], 0, "what it runs")
    stranger.process.stop()


def test_destroyed(world):
    """a destroyed version is shredded on the agent too, at once or when it comes back; what runs stays"""
    before = read(f"{world.one.folder}/state/secrets.key")
    destroy(world, 1, 2)
    roll(world, db_password=f"{PLAIN}-7")
    newest = world.ok("GET", f"/config/{SCOPE}/db.password")["version"]
    warm = newest - 1  # what the server ran before: kept for a way back
    destroy(world, warm)
    wait_until(lambda: world.one.process.log_has("its data key is shredded here", f"version={warm}"), "the agent shreds")
    check(read(f"{world.one.folder}/state/secrets.key") != before, "the own key is the old one")
    equal(read(world.password), f"{PLAIN}-7", "the password's file")

    roll(world, db_password=f"{PLAIN}-8")
    world.one.process.stop()
    destroy(world, newest)
    world.one.start()
    wait_until(lambda: world.one.process.log_has(f"version={newest}"), "it shreds when it is back")
    check_nowhere(world)


def test_path_changed(world):
    """the path of a secret's file changes: what Lockstep writes at the new one is no original, and lies in no copy; of the old file it is said that it stays"""
    roll(world, db_password=f"{PLAIN}-9")
    old, world.password = world.password, f"{world.files}/moved"
    world.one.scope_settings = world.one.scope_settings.replace(f"-> {old}", f"-> {world.password}")
    world.one.write_settings()
    world.one.process.send(signal.SIGHUP)
    wait_until(lambda: os.path.exists(world.password), "it is written at its new path")
    equal(read(world.password), f"{PLAIN}-9", "the new file")
    check(world.one.process.log_has("a place is no destination any more", "secrets in it", old), "the file that stays is told of")
    roll(world, db_password=f"{PLAIN}-10")
    equal((read(world.password), read(old)), (f"{PLAIN}-10", f"{PLAIN}-9"), "the new file, and the one that is the server's own again")
    check_nowhere(world)
