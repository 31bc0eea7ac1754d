#!/usr/bin/env python3
"""systemctl.py - what systemctl does with this project's units, where no systemd runs.

It takes their own lines: ExecStart= as User=, with StateDirectory=, RuntimeDirectory=, UMask=, the bounding set of
capabilities and NoNewPrivileges=, and waits for READY=1 as Type=notify says. What it leaves out: name spaces
(Protect…=, Private…=), filters of system calls, limits of memory and tasks, cgroups, and starting anew.
"""
import os
import pwd
import signal
import socket
import subprocess
import sys

UNITS, KNOWN = "/usr/local/lib/systemd/system", "/run/known-units"
PATIENCE_S = 60


def fail(words):
    sys.exit(f"systemctl: {words}")


def lines_of(name):
    """KEY: values, of [Service] and [Install]."""
    if not os.path.exists(KNOWN) or name not in open(KNOWN, encoding="utf-8").read().split():
        fail(f"unit {name} is not known; daemon-reload?")
    found = {}
    for line in open(f"{UNITS}/{name}", encoding="utf-8"):
        if not line.startswith(("#", "[")) and "=" in line:
            key, value = line.strip().split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def one(unit, key, otherwise=""):
    return unit.get(key, [otherwise])[-1]


def make_folders(unit, user):
    """The folders of the unit, owned by its user; as the variables that name them."""
    variables = {}
    for key, above in (("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")):
        for name in one(unit, key).split():
            path = f"{above}/{name}"
            os.makedirs(path, exist_ok=True)
            os.chmod(path, int(one(unit, f"{key}Mode", "0755"), 8))
            os.chown(path, user.pw_uid, user.pw_gid)
            variables["STATE_DIRECTORY" if key == "StateDirectory" else "RUNTIME_DIRECTORY"] = path
    return variables


def command(unit, user):
    words = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
    if one(unit, "NoNewPrivileges") == "yes":
        words.append("--no-new-privs")
    if "CapabilityBoundingSet" in unit:
        kept = ["+" + word.lower().removeprefix("cap_") for word in one(unit, "CapabilityBoundingSet").split()]
        words.append("--bounding-set=" + ",".join(["-all", *kept]))
    return [*words, "--", *one(unit, "ExecStart").split()]


def start(name):
    unit = lines_of(name)
    if not unit.get("WantedBy"):
        fail(f"{name} has no [Install] section")
    user = pwd.getpwnam(one(unit, "User", "root"))
    said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    said.bind(f"/run/{name}.notify")
    os.chmod(f"/run/{name}.notify", 0o777)
    said.settimeout(PATIENCE_S)
    variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": user.pw_dir,
                 "USER": user.pw_name, "LOGNAME": user.pw_name, "NOTIFY_SOCKET": f"/run/{name}.notify", **make_folders(unit, user)}
    os.umask(int(one(unit, "UMask", "0022"), 8))
    with open(f"/var/log/{name}.log", "ab") as log:
        subprocess.Popen(command(unit, user), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables, cwd="/", start_new_session=True,
                         preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN))
    try:
        while b"READY=1" not in said.recv(4096):
            pass
    except TimeoutError:
        fail(f"{name} was not ready within {PATIENCE_S} s:\n" + open(f"/var/log/{name}.log", encoding="utf-8").read()[-3000:])


def main(words):
    if words == ["daemon-reload"]:
        with open(KNOWN, "w", encoding="utf-8") as f:
            f.write("\n".join(os.listdir(UNITS)))
    elif words[:2] == ["enable", "--now"] and len(words) == 3:
        start(words[2])
    else:
        fail(f"{' '.join(words)}: this stand-in knows daemon-reload and enable --now UNIT")


if __name__ == "__main__":
    main(sys.argv[1:])
