"""installed.py - the first day by hand: make install, the README's block, the manuals, make uninstall."""
import glob
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile

from kit import BUILD, NotRun, PG_BIN, Postgres, Process, check, contains, equal, free_port, need_mounts, need_program, read, wait_until, write

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))


class Place:
    """A folder that stands for the machine's root, and a database."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="lockstep-installed-")
        os.chmod(self.folder, 0o755)
        self.root = f"{self.folder}/root"
        os.mkdir(self.root)
        self.postgres = Postgres(f"{self.folder}/pg")
        self.postgres.start()
        # As a package leaves it: the superuser is postgres, and nobody is lockstep.
        self.postgres.sql("CREATE ROLE postgres SUPERUSER LOGIN", "postgres")
        subprocess.run(["psql", "-Xqh", self.postgres.sockets, "-U", "postgres", "-d", "postgres", "-c", "ALTER ROLE lockstep RENAME TO first"], check=True)
        self.lockstepd = None

    def logs(self):
        return self.lockstepd.log_text()[-3000:] if self.lockstepd else ""

    def close(self, keep=False):
        if self.lockstepd:
            self.lockstepd.stop()
        self.postgres.stop_at_once()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def make(place, target):
    done = subprocess.run(["make", "-C", ROOT, "--no-print-directory", f"BUILD={BUILD}", target, f"DESTDIR={place.root}"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=False)
    equal(done.returncode, 0, f"exit code of make {target}\n{done.stdout}\n{done.stderr}")


def lockstepd(*words, env=None, before=()):
    return subprocess.run([*before, f"{BUILD}/lockstepd", *words], capture_output=True, text=True, timeout=30, check=False,
                          env={**os.environ, **(env or {})})


def setup():
    return Place()


# What the words of the block are where nothing may happen to this machine itself: systemd is asked
# to judge the units, the database is this test's, the user of the new group is whoever runs the test.
STAND_IN = """
apt-get() { [ "$1 $2" = "install -y" ]; }
make() { [ $# = 0 ] || command make -s -C "$REPOSITORY" BUILD="$BUILT" "$@" DESTDIR="$ROOT"; }
systemd-sysusers() { grep -q "^u lockstep " "$ROOT"/usr/local/lib/sysusers.d/lockstep.conf; }
systemd-tmpfiles() { # makes the folder itself as root alone
    [ "$*" = "--create lockstep.conf" ] && grep -q "^d /etc/lockstep 0755 " "$ROOT"/usr/local/lib/tmpfiles.d/lockstep.conf && mkdir -p "$ROOT"/etc/lockstep
}
su() { [ "$1 $2" = "postgres -c" ] && sh -c "$3"; }
lockstepd() { [ "$1" = check-settings ] && command lockstepd check-settings "$ROOT/etc/lockstep/lockstepd.ini"; }
install() { # the group is not there
    case "$*" in "-m 640 -g lockstep "*) shift 4; set -- -m 640 "$@" ;; esac
    command install "$@"
}
systemctl() { case $1 in daemon-reload) ;; enable) [ -f "$ROOT/usr/local/lib/systemd/system/${!#}" ] ;; *) return 1 ;; esac; }
"""


def test_block(world):
    """the README's block for production, up to its first token, by an ordinary user: a coordinator that is ready (all of it: production.py)"""
    blocks = re.findall(r"^```sh production\n(.*?)\n\n# An administrator's token", read(f"{ROOT}/README.md"), re.M | re.S)
    equal(len(blocks), 1, "marked blocks in the README")
    sockets = world.postgres.sockets
    env = {**os.environ, "ROOT": world.root, "REPOSITORY": ROOT, "BUILT": BUILD, "PGHOST": sockets, "PGUSER": "postgres",
           "PATH": f"{world.root}/usr/local/bin:{PG_BIN}:{os.environ['PATH']}"}
    text = re.sub(r" (/etc/lockstep|/usr/local/share)", rf" {world.root}\1", blocks[0])
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", STAND_IN + text], cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=200, check=False)
    equal(done.returncode, 0, f"exit code of\n{text}\n{done.stdout}\n{done.stderr}")
    settings = f"{world.root}/etc/lockstep/lockstepd.ini"
    equal(os.stat(settings).st_mode & 0o777, 0o640, "mode of the settings")
    contains(done.stdout, f"{settings}: fine")
    port = free_port()
    own = {"LOCKSTEP_DATABASE_URL": f"host={sockets} dbname=lockstep user=lockstep", "LOCKSTEP_HTTP_LISTEN": f"127.0.0.1:{port}",
           "LOCKSTEP_ROUTER_BIND": f"tcp://127.0.0.1:{free_port()}", "LOCKSTEP_ROUTER_KEY_FILE": f"{world.folder}/router.key"}
    world.lockstepd = Process("lockstepd", [f"{world.root}/usr/local/bin/lockstepd", "--config", settings], f"{world.folder}/lockstepd.log", env=own)
    world.lockstepd.start()
    wait_until(lambda: status(port, "/readyz") == 200, lambda: f"it is ready: {world.logs()}")
    check(world.lockstepd.log_has("settings read", settings), f"it says where its settings come from: {world.logs()}")
    done = lockstepd("--config", settings, "bootstrap-token", "--name", "you", env=own)
    equal(done.returncode, 0, f"exit code of bootstrap-token: {done.stderr}")
    equal(status(port, "/api/v1/servers", done.stdout.strip()), 200, "an answer to the first token")


def status(port, path, token=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        c.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        return c.getresponse().status
    except OSError:
        return None
    finally:
        c.close()


def units_of(world):
    return f"{world.root}/usr/local/lib/systemd/system"


def test_units(world):
    """the units are there; the pages lie beside each other, so that their links lead somewhere"""
    equal(sorted(os.listdir(units_of(world))), ["lockstep-agent.service", "lockstepd.service"], "units")
    doc = f"{world.root}/usr/local/share/doc/lockstep"
    pages = glob.glob(f"{doc}/**/*.md", recursive=True)
    for page in ("README.md", "coordinator/STRATEGY.md", "coordinator/SECRETS.md", "agent/README.md", "common/SECURITY.md"):
        check(f"{doc}/{page}" in pages, f"{page} is installed")
    check(os.path.exists(f"{doc}/agent/examples/reload.sh"), "the examples are there from the pages")
    check(os.access(f"{world.root}/usr/local/share/lockstep/examples/reload.sh", os.X_OK), "reload.sh can be run")


def test_completion(world):
    """every shell finds its completion where it looks for it"""
    for shell, path in {"bash": "bash-completion/completions/lockstep", "zsh": "zsh/site-functions/_lockstep", "fish": "fish/vendor_completions.d/lockstep.fish"}.items():
        done = subprocess.run([f"{world.root}/usr/local/bin/lockstep", "completion", shell], capture_output=True, text=True, check=True)
        equal(read(f"{world.root}/usr/local/share/{path}"), done.stdout, f"what is installed for {shell}")


def test_systemd_takes_the_units(world):
    """systemd finds no mistake in the units"""
    need_program("systemd-analyze")
    here = f"{world.folder}/units"  # with commands that this machine has
    shutil.copytree(units_of(world), here)
    for name in os.listdir(here):
        write(f"{here}/{name}", read(f"{here}/{name}").replace("/usr/local/bin/", f"{world.root}/usr/local/bin/"))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", f"{here}/{name}"], capture_output=True, text=True, timeout=60, check=False)
        equal([line for line in done.stderr.splitlines() if name in line], [], f"what systemd-analyze says of {name}")


def test_systemd_makes_the_user(world):
    """systemd makes the user that the units name"""
    need_program("systemd-sysusers")
    write(f"{world.root}/etc/passwd", "")
    write(f"{world.root}/etc/group", "")
    done = subprocess.run(["systemd-sysusers", f"--root={world.root}", f"{world.root}/usr/local/lib/sysusers.d/lockstep.conf"],
                          capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, 0, f"exit code of systemd-sysusers: {done.stderr}")
    contains(read(f"{world.root}/etc/passwd"), "lockstep:", "/var/lib/lockstep", "nologin")


def test_systemd_makes_the_folder(world):
    """systemd makes the folder of the settings"""
    need_program("systemd-tmpfiles")
    if os.geteuid() != 0:
        raise NotRun("who is not root can give nothing to root")
    root = f"{world.folder}/made"
    os.mkdir(root)
    write(f"{world.folder}/tmpfiles.conf", read(f"{world.root}/usr/local/lib/tmpfiles.d/lockstep.conf"))
    done = subprocess.run(["systemd-tmpfiles", f"--root={root}", "--create", f"{world.folder}/tmpfiles.conf"], capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, 0, f"exit code of systemd-tmpfiles: {done.stderr}")
    equal(os.stat(f"{root}/etc/lockstep").st_mode & 0o777, 0o755, "mode of the folder")


def test_examples(_):
    """the example files are right, and so is every settings block that the README prints"""
    done = lockstepd("check-settings", f"{ROOT}/coordinator/lockstepd.ini")
    equal((done.returncode, done.stderr), (0, ""), "check-settings of lockstepd.ini")
    blocks = re.findall(r"^```ini\n(.*?)^```$", read(f"{ROOT}/README.md"), re.M | re.S)
    check(len(blocks) >= 5, f"settings blocks in the README: {len(blocks)}")
    blocks.append(read(f"{ROOT}/agent/agent.ini"))
    with tempfile.TemporaryDirectory(prefix="lockstep-blocks-") as folder:
        key = subprocess.run([f"{BUILD}/lockstep-agent", "keygen", "--key-file", f"{folder}/agent.key"], capture_output=True, text=True, check=True).stdout
        write(f"{folder}/router.key.pub", key)
        for i, text in enumerate(blocks):
            text = text.replace("/etc/lockstep/", f"{folder}/")
            path, program = f"{folder}/{i}.ini", "lockstep-agent" if "[agent]" in text else "lockstepd"
            # Certificates of others are not here; everything else is judged as it stands.
            write(path, re.sub(r"^tls_.*\n", "insecure = true\n" if "tls_cert" in text else "", re.sub(r"^tls_(key|client).*\n", "", text, flags=re.M), flags=re.M))
            done = subprocess.run([f"{BUILD}/{program}", "check-settings", path], capture_output=True, text=True, check=False)
            mistakes = [line for line in done.stderr.splitlines() if "there is no folder" not in line]  # where nginx is not installed
            equal((done.returncode, mistakes), (0, []), f"{program} check-settings of\n{text}")


WRONG = {
    "[http]\nlisten = 0.0.0.0:80\n": "tls_cert",
    "[http]\nlisten = nowhere\n": "[http] listen",
    "[http]\ntls_cert = /nowhere/x.pem\ntls_key = /nowhere/x.key\n": "/nowhere/x.pem",
    "[router]\nbind = tcp://*\n": "[router] bind",
    "[router]\nadvertise = ipc://x\n": "[router] advertise",
    "[courier]\nallow = example.org\n": "[courier] allow",
    "[secrets]\nprovider = safe\n": "[secrets] provider",
    "[database]\nurl = host:db1\n": "[database] url",
    "[database]\nurls = x\n": "urls",
    "[log]\nlevel = loud\n": "[log] level",
}


def test_check_settings(world):
    """check-settings names what is wrong, all of it, with exit code 1, and touches nothing"""
    path = f"{world.folder}/wrong.ini"
    for text, words in WRONG.items():
        write(path, text)
        done = lockstepd("check-settings", path)
        equal((done.returncode, done.stdout), (1, ""), f"exit code and output for\n{text}{done.stderr}")
        contains(done.stderr, path, words)
    write(path, "[router]\nbind = x\n[courier]\nallow = y\n[secrets]\nprovider = z\n")
    equal(lockstepd("check-settings", path).stderr.splitlines(), [
        f"lockstepd: {path}:2: [router] bind = x is no address; give tcp://HOST:PORT",
        f'lockstepd: {path}:4: [courier] allow has "y"; give addresses and networks such as 127.0.0.1 10.0.0.0/8 fd00::/8',
        f'lockstepd: {path}:6: [secrets] provider is "z"; give none, file or vault'], "lines for three mistakes")
    write(path, "[http]\nworkers = many\nlisten = nowhere\nlisten = 127.0.0.1:1\n[htpt]\na = 1\nb = 2\n[log]\nlevel = loud\nformat = odd\nwhat is this\n[cache\nentries = 1\n")
    for words in (["check-settings", path], ["--config", path]):
        done = lockstepd(*words)
        numbers = [int(line.split(":")[2]) for line in done.stderr.splitlines()]
        wanted = [2, 4, 6, 9, 10, 11, 12] if words[0] == "--config" else [2, 3, 4, 6, 9, 10, 11, 12]
        equal((done.returncode, sorted(numbers)), (1 if words[0] == "check-settings" else 2, wanted), f"each mistake with its line: {done.stderr}")
    write(path, "[agent]\nnames = x\nlog_level = info\n[scopes a/b]\nfile = a\n[scope a/b]\nfile = nonsense\ncheck_timeout = soon\n")
    done = subprocess.run([f"{BUILD}/lockstep-agent", "check-settings", path], capture_output=True, text=True, check=False)
    equal((done.returncode, [int(line.split(":")[2]) for line in done.stderr.splitlines()]), (1, [2, 5, 7, 8]), f"of an agent's file: {done.stderr}")
    write(path, f"[router]\nkey_file = {world.folder}/none.key\n")
    equal(lockstepd("check-settings", path).returncode, 0, "exit code where the key is still to be made")
    check(not os.path.exists(f"{world.folder}/none.key"), "no key was made")
    equal(lockstepd("check-settings", "/nowhere.ini").returncode, 1, "exit code for no file")
    equal(lockstepd("check-settings", path, path).returncode, 2, "exit code for two files")


def test_default_file(world):
    """without --config it reads /etc/lockstep/lockstepd.ini when it is there, and says so"""
    need_mounts()
    os.makedirs(f"{world.folder}/etc")
    write(f"{world.folder}/etc/lockstepd.ini", "[http]\nlisten = nowhere\n")
    # A name space of its own, in which /etc has another folder.
    script = 'mount -t tmpfs none /etc && mkdir /etc/lockstep && cp "$1"/etc/lockstepd.ini /etc/lockstep/ && shift && exec "$@"'
    before = ["unshare", "-rm", "sh", "-c", script, "sh", world.folder]
    done = lockstepd("check-settings", before=before)
    equal(done.returncode, 1, f"exit code {done.stderr}")
    contains(done.stderr, "/etc/lockstep/lockstepd.ini:2: [http] listen")
    done = lockstepd("check-settings", "--config", f"{ROOT}/coordinator/lockstepd.ini", before=before)
    equal(done.returncode, 0, f"--config wins ({done.stderr})")
    write(f"{world.folder}/etc/lockstepd.ini", "[nonsense\n")
    done = lockstepd(before=before)
    equal(done.returncode, 2, "exit code of a start with a wrong default file")
    contains(done.stderr, "/etc/lockstep/lockstepd.ini")


def test_no_database_named(world):
    """a database that nobody named is waited for with a word on which setting names one"""
    env = {"PGHOST": f"{world.folder}/nobody", "LOCKSTEP_LOG_FORMAT": "json"}
    start = Process("lost", [f"{BUILD}/lockstepd"], f"{world.folder}/lost.log", env=env)
    start.start()
    wait_until(lambda: start.log_text().count("waiting for the database") >= 2, lambda: f"it goes on trying: {start.log_text()}")
    start.stop()
    lines = [json.loads(line) for line in start.log_text().splitlines()]
    told = [line for line in lines if "nobody named a database" in line["message"]]
    equal(len(told), 1, "times that it is told")
    contains(told[0]["remedy"], "[database] url", "LOCKSTEP_DATABASE_URL", "/etc/lockstep/lockstepd.ini")
    named = Process("named", [f"{BUILD}/lockstepd"], f"{world.folder}/named.log", env={**env, "LOCKSTEP_DATABASE_URL": "dbname=lockstep"})
    named.start()
    wait_until(lambda: named.log_text().count("waiting for the database") >= 2, lambda: f"it waits: {named.log_text()}")
    named.stop()
    check(not named.log_has("nobody named"), "whoever named one is not told to")


MANUALS = ("man1/lockstep.1", "man8/lockstepd.8", "man8/lockstep-agent.8")


def manuals_of(world):
    return f"{world.root}/usr/local/share/man"


def test_manuals_without_mistakes(world):
    """mandoc finds no mistake in the manuals"""
    mandoc = need_program("mandoc")
    done = subprocess.run([mandoc, "-T", "lint", "-W", "warning", *[f"{manuals_of(world)}/{name}" for name in MANUALS]], capture_output=True, text=True, check=False)
    equal(done.stdout + done.stderr, "", "what mandoc says")


def test_manuals(world):
    """every program has its manual, with every setting and every word of its usage"""
    pages = {name: read(f"{manuals_of(world)}/{name}") for name in MANUALS}
    keys = re.findall(r'^    \{ "(\w+)", "(\w+)", SETTINGS_', read(f"{ROOT}/coordinator/settings/settings.c"), re.M)
    check(len(keys) > 30, f"settings found: {len(keys)}")
    for section, key in keys:
        check(re.search(rf"^\.It Ic \[{section}\] {key}\b", pages["man8/lockstepd.8"], re.M), f"lockstepd(8) lacks [{section}] {key}")
    for word in re.findall(r"^  lockstepd ([a-z][a-z-]+)", lockstepd("--help").stdout, re.M):
        check(word in pages["man8/lockstepd.8"], f"lockstepd(8) lacks {word}")
    usage = subprocess.run([f"{BUILD}/lockstep", "help"], capture_output=True, text=True, check=True).stdout
    for option in set(re.findall(r"^  (?:-\w, )?--([a-z-]+)", usage, re.M)):
        check(f"Fl {option}" in pages["man1/lockstep.1"].replace("Fl Fl", "Fl"), f"lockstep(1) lacks --{option}")


def test_uninstall(world):
    """make uninstall leaves nothing of what make install put there, and the settings"""
    make(world, "uninstall")
    left = [f"{folder}/{name}" for folder, _, names in os.walk(f"{world.root}/usr") for name in names]
    equal(left, [], "files left")
    check(os.path.exists(f"{world.root}/etc/lockstep/lockstepd.ini"), "settings stay")
