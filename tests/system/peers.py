"""peers.py - servers that are let in and do as they like: the coordinator, and everybody else, hardly notices."""
import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time

from kit import BUILD, PATIENCE, Agent, Process, World, check, contains, equal, read, wait_until

RUNS = "alone"  # times of rollouts are compared

SCOPE, OTHER = "demo/prod", "web/prod"
ALL = {"stages": [{"percent": 100}]}
GROWTH_MAX = 32  # MiB that one attack may cost
SLOWER_MAX = 2  # rollouts of others, by quiet ones of the same minute
GRACE = 0.5  # s: less than that is the machine's own unrest, where a rollout takes a tenth
UNHEARD = 1024  # silent connections that one address may have (coordinator/link/connections.h)
PAIRS = 5
PEER = f"{BUILD}/tests/peer"


def setup():
    world = World("peers").start_with_secrets()
    for name, scope in (("honest", SCOPE), ("other", OTHER)):
        Agent(world, name, [scope]).enroll(scopes=[scope]).start()
    world.wait_agents(SCOPE, 1)
    world.wait_agents(OTHER, 1)
    world.router_key = read(f"{world.folder}/router.key.pub").split()[-1]
    world.round = 0
    rollout_time(world)
    return world


def coordinator(world):
    return world.coordinators[0].process


def resident(world):
    """MiB of the coordinator."""
    for line in read(f"/proc/{coordinator(world).pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Most:
    """The most memory that the coordinator has meanwhile, in MiB above what it had at first."""

    def __init__(self, world):
        self.before, self.most, self.is_over = resident(world), 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch, args=(world,), daemon=True)

    def watch(self, world):
        while not self.is_over.wait(0.02):
            with contextlib.suppress(OSError):
                self.most = max(self.most, resident(world) - self.before)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


def rollout_time(world, scope=SCOPE):
    world.round += 1
    world.set(scope, {"round": str(world.round)})
    began = time.monotonic()
    rollout = world.start_rollout(scope, ALL)
    end = began + PATIENCE
    while world.rollout(rollout)["state"] != "completed":
        check(time.monotonic() < end, f"{rollout} is {world.rollout(rollout)}")
        time.sleep(0.01)
    return time.monotonic() - began


def enroll_peer(world, name):
    """A key pair of its own, enrolled for web/prod only."""
    keys = subprocess.run([PEER, "keys"], capture_output=True, text=True, check=True).stdout.split()
    world.ok("POST", "/servers", {"name": name, "public_key": keys[0], "scopes": [OTHER]})
    return keys


def start_peer(world, name, keys, verb, *words):
    """An attacker has a machine of its own: what it computes itself comes after what is measured."""
    argv = ["nice", "-n", "10", PEER, f"tcp://127.0.0.1:{world.coordinators[0].router}", world.router_key, *keys, OTHER, "200", verb, *words]
    peer = Process(f"{name}-{verb}", argv, f"{world.folder}/{name}-{verb}.log")
    world.others.append(peer)
    return peer.start()


def compare(world, pause, go_on):
    """Rollouts of another scope while the attack goes on and while it pauses, in turns: do they take too long? And the figures."""
    attacked, quiet = [], []
    for _ in range(PAIRS):
        go_on()
        attacked.append(rollout_time(world))
        pause()
        quiet.append(rollout_time(world))
    go_on()
    a, q = statistics.median(attacked), statistics.median(quiet)
    return a > SLOWER_MAX * q + GRACE, f"rollouts of others {a / q:.2f} times the quiet ones ({a:.3f} s to {q:.3f} s, slowest {max(attacked):.2f} s to {max(quiet):.2f} s)"


def endure(world, name, pause, go_on, during=None):
    """While somebody attacks: rollouts of another scope go on, memory stays, and the process is the same. How much it logged."""
    pid, log = coordinator(world).pid, os.path.getsize(coordinator(world).log)
    with Most(world) as memory:
        rollout_time(world)  # the attack has begun
        if during:
            during()
        is_slow, words = compare(world, pause, go_on)
        if is_slow:  # somebody else's work on this machine?
            print(f"     {name}: {words}; again")
            is_slow, words = compare(world, pause, go_on)
    check(coordinator(world).is_running() and coordinator(world).pid == pid, f"the coordinator is gone: {coordinator(world).log_text()[-2000:]}")
    written = os.path.getsize(coordinator(world).log) - log
    print(f"     {name}: {memory.most:.1f} MiB more; {words}; {written} bytes of log")
    check(memory.most <= GROWTH_MAX, f"{name} made the coordinator {memory.most:.0f} MiB larger")
    check(not is_slow, f"{name}: {words}")
    return written


def endure_peer(world, peer, during=None):
    written = endure(world, peer.name, lambda: peer.send(signal.SIGSTOP), lambda: peer.send(signal.SIGCONT), during)
    check(peer.is_running(), f"{peer.name} ended by itself: {peer.log_text()}")
    peer.stop()
    return written


def is_welcome(agent):
    return "welcomed" in agent.process.log_text().rsplit("stopping", 1)[-1]


def test_claimed_ids(world):
    """forty claims of the ids that come next; then an honest agent connects: nobody notices, also when the peer was revoked"""
    keys = enroll_peer(world, "claimer")
    honest = world.agents["honest"]

    def reconnect():
        honest.process.stop()
        honest.start()
        wait_until(lambda: is_welcome(honest), "the honest agent is back")
    endure_peer(world, start_peer(world, "claimer", keys, "claim"), reconnect)
    world.ok("POST", "/servers/claimer/revoke", {"reason": "test"})
    endure_peer(world, start_peer(world, "revoked", keys, "claim"), reconnect)


def test_stolen_id(world):
    """a server is gone, and a peer claims the id that its connection had: what is meant for the server is said to nobody else"""
    honest = world.agents["honest"]
    peer = start_peer(world, "thief", enroll_peer(world, "thief"), "claim")
    rollout_time(world)
    honest.kill()
    world.set(SCOPE, {"round": "stolen"})
    rollout = world.start_rollout(SCOPE, ALL)
    wait_until(lambda: world.postgres.sql("SELECT 1 FROM rollout WHERE state = 'running'"), "it is on its way")
    honest.start()
    world.wait_state(rollout, "completed")
    peer.stop()
    contains(peer.log_text(), "WELCOME")
    check("PREPARE" not in peer.log_text() and "ACTIVATE" not in peer.log_text(), f"it heard {peer.log_text()}")


def test_message_without_end(world):
    """one message of 6 GB"""
    peer = start_peer(world, "giant", enroll_peer(world, "giant"), "huge")
    endure_peer(world, peer, lambda: wait_until(lambda: coordinator(world).log_has("a message that does not end"), "it is ended"))


def flood(world, *verbs):
    for verb in verbs:
        written = endure_peer(world, start_peer(world, "flooder", enroll_peer(world, f"flooder-{verb}"), verb))
        check(written < 200_000, f"{verb} wrote {written} bytes of log")


def test_floods(world):
    """what cannot be read, messages of a thousand parts, claims of newer leaders: few lines of log, little memory"""
    flood(world, "nonsense", "parts", "stale")


def test_nonces(world):
    """boot nonces, ever new ones, and a few again and again: the same"""
    flood(world, "nonces", "replay")


def test_foreign_scope(world):
    """a flood of greetings, answers and wishes about a scope that is not the peer's: it gets no document and is no member"""
    document = world.postgres.sql("""SELECT encode(hash, 'hex') FROM revision JOIN scope USING (scope_id)
        WHERE service = 'demo' AND hash IS NOT NULL ORDER BY revision DESC LIMIT 1""")[0][0]
    peer = start_peer(world, "foreigner", enroll_peer(world, "foreigner"), "foreign", SCOPE, document)
    written = endure_peer(world, peer, lambda: wait_until(lambda: peer.log_has("first CHUNK"), lambda: f"the attack has begun: {peer.log_text()}"))
    check(written < 200_000, f"it wrote {written} bytes of log")
    contains(peer.log_text(), "WELCOME", "CHUNK")
    check("PREPARE" not in peer.log_text(), f"it heard {peer.log_text()}")
    members = "SELECT v.name FROM server_scope JOIN scope s USING (scope_id) JOIN server v USING (server_id) WHERE s.service = 'demo'"
    equal(world.postgres.sql(members), [["honest"]], "the members")


def release_large(world, count, keys, size):
    """So many documents of web/prod that have nothing in common; their hashes."""
    for _ in range(count):
        world.set(OTHER, {f"large{k}": os.urandom(size).hex() for k in range(keys)})
        world.wait_state(world.start_rollout(OTHER, ALL), "completed")
    hashes = [r[0] for r in world.postgres.sql(f"""SELECT encode(hash, 'hex') FROM revision JOIN scope USING (scope_id)
        WHERE service = 'web' AND environment = 'prod' ORDER BY revision DESC LIMIT {count}""")]
    equal(len(set(hashes)), count, "documents")
    return hashes


def test_fetches(world):
    """every difference between large documents, again and again: work is read as quickly as before, and few of them are kept"""
    hashes = release_large(world, 5, 2, 350_000)
    peer = start_peer(world, "fetcher", enroll_peer(world, "fetcher"), "fetch", *hashes)
    endure_peer(world, peer, lambda: wait_until(lambda: peer.log_has("first CHUNK"), lambda: f"the attack has begun: {peer.log_text()}"))
    contains(peer.log_text(), "CHUNK")


def test_asks(world):
    """every secret again and again: another server's wish is answered in its turn, behind a few of the flood's"""
    for i in range(20):
        world.ok("PUT", f"/config/{OTHER}/secret{i}", {"config_value": f"hush {i}", "encrypt": True})
    world.wait_state(world.start_rollout(OTHER, ALL), "completed")
    document = world.postgres.sql("""SELECT encode(hash, 'hex') FROM revision JOIN scope USING (scope_id)
        WHERE service = 'web' AND environment = 'prod' ORDER BY revision DESC LIMIT 1""")[0][0]
    digests = [r[0] for r in world.postgres.sql("SELECT encode(decode(digest, 'base64'), 'hex') FROM secret")]
    equal(len(digests), 20, "secrets")
    peer = start_peer(world, "asker", enroll_peer(world, "asker"), "ask", document, *enroll_peer(world, "patient"), *digests)
    endure_peer(world, peer)
    said = dict(line.split() for line in peer.log_text().splitlines())
    print(f"     {said}")
    check(int(said["SECRET"]) > 50, f"the flood: {said}")
    check(int(said["answers"]) > 20 and int(said["before"]) <= 100, f"the other server's: {said}")


def test_another_version(world):
    """an agent of another version is told so, in words that it can read, and the log names both"""
    peer = start_peer(world, "newer", enroll_peer(world, "newer"), "version")
    peer.wait(PATIENCE)
    contains(peer.log_text(), "rejected version")
    contains(coordinator(world).log_text(), "another version", "newer", "install the same release")


def test_empty_connections(world):
    """three thousand connections that say nothing: they end, and honest agents come in all the while"""
    honest, all_of_them = world.agents["honest"], []
    address = ("127.0.0.1", world.coordinators[0].router)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def connect():
        while len(all_of_them) < 3000:
            all_of_them.append(socket.create_connection(address))

    def close():
        for s in all_of_them:
            s.close()
        all_of_them.clear()

    def reconnect():
        honest.process.stop()
        honest.start()
        wait_until(lambda: is_welcome(honest), "the honest agent is back")
    connect()
    endure(world, "empty connections", close, connect, reconnect)
    close()


def shake_hands(address, go_on):
    """Greetings and first words of a handshake that nobody finishes, each on a connection of its own."""
    held = []
    while True:
        go_on.wait()
        with contextlib.suppress(OSError):
            s = socket.create_connection(address, timeout=5)
            s.sendall(GREETING + HELLO)
            held.append(s)
        if len(held) > 200:
            held.pop(0).close()


def test_handshakes(world):
    """handshakes that begin and never end, as fast as they can be begun, right after thousands of connections: few are open at a time"""
    go_on = multiprocessing.Event()
    process = multiprocessing.Process(target=shake_hands, args=(("127.0.0.1", world.coordinators[0].router), go_on), daemon=True)
    process.start()
    go_on.set()
    open_most = 0

    def count():
        nonlocal open_most
        open_most = max(open_most, len(os.listdir(f"/proc/{coordinator(world).pid}/fd")))
        go_on.set()
    try:
        endure(world, "handshakes", go_on.clear, count)
    finally:
        process.kill()
        process.join()
    print(f"     {open_most} descriptors open at most")
    check(open_most < 1500, f"{open_most} descriptors are open, and each address may have {UNHEARD} silent connections")


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(15) + b"\x00" + bytes(31)
HELLO = b"\x04\xc8\x05HELLO\x01\x00" + bytes(72) + b"k" * 32 + bytes(8) + b"x" * 80


def test_one_key_twice(world):
    """two agents with one key: both are put aside and told in words; alone again, the first is taken back by a new key"""
    first = Agent(world, "original", [OTHER]).enroll(scopes=[OTHER])
    second = Agent(world, "copy", [OTHER])
    world.agents["copy"] = second
    second.write_settings()
    shutil.copy(f"{first.folder}/agent.key", f"{second.folder}/agent.key")
    first.start()
    second.start()
    wait_until(lambda: coordinator(world).log_has("two agents answer with one key"), "the coordinator notices")
    for agent in (first, second):
        wait_until(lambda a=agent: a.process.log_has("a copy of this server's key"), f"{agent.name} is told")
    shown = wait_until(lambda: world.ok("GET", "/servers/original")["clone"], "the API shows it")
    check(shown["addresses"] == ["127.0.0.1", "127.0.0.1"] and shown["since"], f"since when, and from where: {shown}")
    check(world.ok("GET", "/servers/honest")["clone"] is None, "nothing is said of others")
    for words in (["list"], ["get", "original"]):
        done = world.cli("server", *words)
        contains(done.stdout, "clone")
        contains(done.stderr, "two agents answer with the key of original, from 127.0.0.1 and 127.0.0.1 (noticed ", "lockstep-agent keygen")
        check("key of honest" not in done.stderr, "nothing is said of others")
    first.process.stop()
    second.process.stop()
