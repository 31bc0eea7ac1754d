"""production.py - the README's block for a production set-up, pasted as it stands into a machine that knows nothing.

The machine is this one's root under a private overlay, in name spaces of its own for mounts, processes and network:
users, /etc, /usr/local, /var and PostgreSQL's cluster are changed there and nowhere else. Real are make install,
systemd-sysusers, systemd-tmpfiles, createuser, PostgreSQL with its usual rules of access, both programs, ports, and the units' lines
(systemctl.py says which). apt-get is asked only whether the packages are there: this machine may have no network.
"""
import json
import os
import re
import subprocess
import tempfile

from kit import BUILD, NotRun, contains, equal, need_program, read

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
HERE = os.path.dirname(os.path.abspath(__file__))

# A root of one's own, without anything of an earlier installation; "$1" is what to do in it.
MACHINE = r"""
set -e
place=$PLACE
mount -t tmpfs none "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$place/root"
root=$place/root
for folder in proc sys dev; do mount --rbind /$folder "$root/$folder"; done
for folder in tmp run; do mount -t tmpfs -o mode=1777 none "$root/$folder"; done
mkdir -p "$root$REPOSITORY" "$root$BUILT" "$root/run/stand-in" "$root/run/home"
mount --bind "$REPOSITORY" "$root$REPOSITORY"
mount --bind "$BUILT" "$root$BUILT"
ip link set lo up
rm -rf "$root"/etc/lockstep "$root"/var/lib/lockstep* "$root"/usr/local/bin/lockstep* "$root"/usr/local/share/*/lockstep* \
    "$root"/usr/local/lib/systemd "$root"/usr/local/lib/sysusers.d "$root"/usr/local/lib/tmpfiles.d "$root"/etc/postgresql/* "$root"/var/lib/postgresql/*
sed -i '/^lockstep:/d' "$root"/etc/passwd "$root"/etc/group "$root"/etc/shadow "$root"/etc/gshadow
cp "$HERE/systemctl.py" "$root/run/stand-in/systemctl"
cat >"$root/run/stand-in/apt-get" <<'END'
#!/bin/sh -e
[ "$1 $2" = "install -y" ]; shift 2
dpkg -s "$@" >/dev/null
# What installing its package does.
pg_createcluster --start "$(ls /usr/lib/postgresql | sort -n | tail -1)" main >/dev/null
END
chmod 755 "$root"/run/stand-in/*
cd /
exec chroot "$root" env -i HOME=/run/home TERM=dumb USER=root LOGNAME=root BUILD="$BUILT" CCACHE_DISABLE=1 \
    PATH=/run/stand-in:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin bash -c "cd $REPOSITORY && $1"
"""

# What a person does next: looks, and makes a bad change.
AFTERWARDS = r"""
{
    echo "motd=$(cat /etc/motd)"
    echo "list=$(lockstep server list -o json | tr -d "\n")"
    echo "rollout=$(lockstep rollout list -o json | tr -d "\n")"
    echo "users=$(ps -eo user:20,comm | grep -E ' lockstep(d|-agent)$' | sort | tr -s ' ' | tr '\n' ' ')"
    lockstep config set demo/prod motd= >/dev/null
    code=0; lockstep rollout start demo/prod --strategy all-at-once --wait >/run/bad 2>&1 || code=$?
    echo "bad=$code"
    echo "words=$(tr '\n' ' ' </run/bad)"
    echo "after=$(cat /etc/motd)"
    echo "status=$(lockstep-agent status | tr '\n' ' ')"
} >/run/found
cat /run/found >&3
"""


def block():
    blocks = re.findall(r"^```sh production\n(.*?)^```$", read(f"{ROOT}/README.md"), re.M | re.S)
    equal(len(blocks), 1, "marked blocks in the README")
    return blocks[0]


def need_machine():
    if os.geteuid() != 0:
        raise NotRun("only root can make a machine of its own (overlay, chroot)")
    for name in ("unshare", "systemd-sysusers", "systemd-tmpfiles", "pg_createcluster", "ip", "setpriv", "runuser"):
        need_program(name)
    done = subprocess.run(["unshare", "-mpn", "--fork", "--kill-child", "--mount-proc", "sh", "-ec",
                           "p=/mnt; mount -t tmpfs none $p; mkdir $p/u $p/w $p/m; mount -t overlay o -o lowerdir=/,upperdir=$p/u,workdir=$p/w $p/m"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotRun(f"no root of one's own can be made here: {done.stderr.strip()}")


def traces():
    """What the block changes, on the machine that runs this test: nothing of it may change there."""
    files = [path for path in ("/etc/passwd", "/etc/group", "/etc/motd", "/etc/lockstep/lockstepd.ini", "/etc/lockstep/agent.ini") if os.path.exists(path)]
    return {path: read(path) for path in files}, [os.path.exists(path) for path in ("/usr/local/bin/lockstepd", "/var/lib/lockstep", "/run/stand-in")]


def test_pasted():
    """the README's block sets up coordinator, database, agent and first rollout; a bad change after it comes back, and is explained"""
    need_machine()
    read_end, write_end = os.pipe()
    before = traces()
    script = f"set -euo pipefail\n{block()}\n{AFTERWARDS}"
    with tempfile.TemporaryDirectory(prefix="lockstep-machine-") as place:
        env = {**os.environ, "REPOSITORY": ROOT, "BUILT": BUILD, "HERE": HERE, "PLACE": place, "FOUND": str(write_end)}
        done = subprocess.run(["unshare", "-mpn", "--fork", "--kill-child", "--mount-proc", "bash", "-c", 'exec 3>&"$FOUND"; ' + MACHINE, "machine", script],
                              env=env, pass_fds=[write_end], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=230, check=False)
    os.close(write_end)
    with os.fdopen(read_end) as f:
        found = dict(line.split("=", 1) for line in f.read().splitlines())
    equal(done.returncode, 0, f"exit code of the block\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    contains(done.stdout, "/etc/lockstep/lockstepd.ini: fine", "/etc/lockstep/agent.ini: fine, 1 scope", "completed", "All is well.")
    equal(traces(), before, "this machine itself")
    equal(found["motd"], "Configured by Lockstep", "the file on the server")
    equal([s["name"] for s in json.loads(found["list"])["servers"]], ["web-1"], "servers")
    equal([r["state"] for r in json.loads(found["rollout"])["rollouts"]], ["completed"], "rollouts")
    equal(found["users"].split(), ["lockstep", "lockstepd", "root", "lockstep-agent"], "who runs")
    equal((found["bad"], found["after"]), ("6", "Configured by Lockstep"), f"the bad change: {found['words']}")
    contains(found["words"], "web-1", "check")
    contains(found["status"], "applied, runs revision 1", "did not take revision 2 at check")
