"""completion.py - what the shells complete: commands, options, and names that the coordinator knows."""
import os
import pty
import select
import signal
import socket
import subprocess
import time

from cli import AT_ONCE, DONE, Dev
from kit import BUILD, PATIENCE, check, contains, equal, free_port, need_program, read


def setup():
    dev = Dev(agents=2).start()
    dev.must(DONE, "config", "set", "demo/prod", "greeting=hello", "database.url=x", "-m", "for completion")
    dev.members()
    dev.must(DONE, "rollout", "start", "demo/prod", "-s", AT_ONCE, "--wait")
    return dev


def ask(dev, line, **env):
    """The first line of the answer, and the candidates without what they are."""
    done = dev.run("__complete", *line.split(" "), **env)
    equal((done.returncode, done.stderr), (0, ""), f"exit code and messages for: lockstep {line}")
    first, *rest = done.stdout.splitlines()
    return first, [one.split("\t")[0] for one in rest]


def completes(dev, line, *names, **env):
    equal(ask(dev, line, **env)[1], list(names), f"candidates for: lockstep {line}")


def test_commands_and_options(dev):
    """commands, verbs and options come from the table, wherever the cursor is; no coordinator is asked"""
    nobody = {"LOCKSTEP_CONTEXT": "", "LOCKSTEP_ADDR": "127.0.0.1:1"}
    completes(dev, "ro", "rollout", **nobody)
    completes(dev, "rollout st", "start", "status", **nobody)
    completes(dev, "--addr x -y rollout -o json st", "start", "status", **nobody)
    completes(dev, "nonsense ", **nobody)
    completes(dev, "rollout start --w", "--wait", **nobody)
    completes(dev, "rollout start -- --w", **nobody)
    completes(dev, "dev --ag", "--agents", **nobody)
    completes(dev, "--no", "--no-color", **nobody)
    completes(dev, "environment set prod --policy ", "auto", "manual", **nobody)
    completes(dev, "environment set prod --policy=m", "--policy=manual", **nobody)
    completes(dev, "help rollout pa", "pause", **nobody)
    completes(dev, "help ex", "exit-codes", **nobody)
    completes(dev, "completion ", "bash", "zsh", "fish", **nobody)
    check("start\tBring a revision to its servers, stage by stage\n" in dev.run("__complete", "rollout", "sta").stdout, "what a verb does")
    for line, first in {"--token-file ": "files ", "--ca-file=x": "files --ca-file=", "config validate ": "dirs ", "dev --dir ": "dirs ",
                        "rollout start a/b -s @x": "files @", "rollout start a/b --strategy=@x": "files --strategy=@", "rollout list ": "words "}.items():
        equal(ask(dev, line, **nobody)[0], first, f"files for: lockstep {line}")


def test_choices_are_those_of_the_help(dev):
    """an option's choices are all in its help"""
    for words in ("config set --type", "config list --format", "token create --role", "rollout servers --state", "config get -o"):
        _, choices = ask(dev, words + " ", LOCKSTEP_CONTEXT="")
        check(len(choices) >= 3, f"{words} offers {choices}")
        contains(dev.must(DONE, "help", *(words.split()[:2] if "-o" not in words else [])), *choices)


def test_names_of_the_coordinator(dev):
    """scopes, revisions, keys, rollouts, servers, strategies and environments are those there are"""
    ident = dev.json("rollout", "list")["rollouts"][0]["id"]
    completes(dev, "config get ", "demo/prod")
    completes(dev, "rollout list --scope=de", "--scope=demo/prod")
    completes(dev, "rollout start demo/prod demo/prod@", "demo/prod@head", "demo/prod@released", "demo/prod@1")
    completes(dev, "config get demo/prod ", "database.url", "greeting")
    completes(dev, "config get demo/prod@head g", "greeting")
    completes(dev, "config set demo/prod g", "greeting=")
    completes(dev, "rollout get ", ident, "demo/prod")
    completes(dev, "rollout get " + ident[:3], ident)
    completes(dev, "server get ", "server-1", "server-2")
    completes(dev, "server forget server-1 server-", "server-1", "server-2")
    completes(dev, "server enroll ")
    completes(dev, "rollout start demo/prod -s c", "canary")
    completes(dev, "strategy get u", "urgent")
    completes(dev, "environment set st", "staging")
    completes(dev, "schema list ", "demo")
    completes(dev, "token revoke --", *[f"--{name}" for name in ("output", "no-color", "context", "addr", "token-file", "ca-file", "client-cert", "request-timeout", "yes", "verbose", "help")])
    completes(dev, f"--context {dev.dir} config get ", "demo/prod", LOCKSTEP_CONTEXT="", LOCKSTEP_ADDR="127.0.0.1:1")


def test_nobody_answers(dev):
    """where nobody answers, or answers late, it says nothing and is quickly done"""
    completes(dev, "config get ", LOCKSTEP_CONTEXT="", LOCKSTEP_ADDR="127.0.0.1:1")
    completes(dev, "config get ", LOCKSTEP_CONTEXT="nowhere")
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        began = time.monotonic()
        completes(dev, "config get ", LOCKSTEP_CONTEXT="", LOCKSTEP_ADDR=f"127.0.0.1:{silent.getsockname()[1]}")
        took = time.monotonic() - began
        check(took < 20, f"it took {took:.1f} s")  # a request has 60 s, and there are two


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, dev, argv, *set_up):
        self.taken = f"{dev.folder}/taken"
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(dev.env(TERM="xterm", PATH=f"{BUILD}:{os.environ['PATH']}", XDG_DATA_HOME=dev.folder, XDG_CONFIG_HOME=dev.folder))
            os.chdir(dev.folder)
            os.execvp(argv[0], argv)
        self.said = ""
        for line in set_up:
            self.run(line)
        self.run("echo ready >taken")
        self.wait_taken()

    def run(self, line):
        os.write(self.terminal, f"{line}\r".encode())

    def wait_taken(self):
        """What a command wrote, whole; the terminal has to be read meanwhile."""
        end = time.monotonic() + PATIENCE
        while not (os.path.exists(self.taken) and read(self.taken).endswith("\n")):
            check(time.monotonic() < end, f"waited in vain for what the shell takes: {self.said!r}")
            if select.select([self.terminal], [], [], 0.05)[0]:
                self.said += os.read(self.terminal, 65536).decode(errors="replace")
        text = read(self.taken)
        os.unlink(self.taken)
        return text[:-1]

    def becomes(self, typed, wanted):
        """The line that a tabulator makes of what was typed: put between the quotes of an echo."""
        self.said = ""
        self.run(f"{typed}\t\x01echo '\x05' >taken")
        equal(self.wait_taken(), wanted, f"the line that {typed!r} becomes: {self.said!r}")

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


def completes_as_typed(shell, blank=" ", slash="/"):
    """blank, slash: what the shell puts behind a word that is whole, and behind a folder."""
    shell.becomes("lockstep rollout sta", "lockstep rollout sta")  # start, status
    shell.becomes("lockstep rollout star", f"lockstep rollout start{blank}")
    shell.becomes("lockstep config get de", f"lockstep config get demo/prod{blank}")
    shell.becomes("lockstep config get demo/prod@re", f"lockstep config get demo/prod@released{blank}")
    shell.becomes("lockstep config set demo/prod gree", "lockstep config set demo/prod greeting=")
    shell.becomes("lockstep rollout list --scope=de", f"lockstep rollout list --scope=demo/prod{blank}")
    shell.becomes("lockstep rollout list --scope=", f"lockstep rollout list --scope=demo/prod{blank}")
    shell.becomes("lockstep rollout start demo/prod -s can", f"lockstep rollout start demo/prod -s canary{blank}")
    shell.becomes("lockstep --token-file .lockstep/tok", f"lockstep --token-file .lockstep/token{blank}")
    shell.becomes("lockstep --token-file=.lockstep/tok", f"lockstep --token-file=.lockstep/token{blank}")
    shell.becomes("lockstep rollout start demo/prod -s @.lockstep/tok", f"lockstep rollout start demo/prod -s @.lockstep/token{blank}")
    shell.becomes("lockstep config import demo/prod .lock", f"lockstep config import demo/prod .lockstep{slash}")


def test_bash(dev):
    """bash: a tabulator completes words, names, names behind = and @, and files"""
    shell = Shell(dev, ["bash", "--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'", "source <(lockstep completion bash)")
    completes_as_typed(shell)
    shell.close()


def test_zsh(dev):
    """zsh: the same"""
    need_program("zsh")
    shell = Shell(dev, ["zsh", "-f", "-i"], "bindkey -e; unset zle_bracketed_paste", "autoload -Uz compinit; compinit -u -D", "source <(lockstep completion zsh)")
    completes_as_typed(shell, blank="", slash="")  # it takes them back
    shell.close()


def test_zsh_by_name(dev):
    """zsh: found by compinit in a folder of functions"""
    need_program("zsh")
    functions = f"{dev.folder}/site-functions"
    os.mkdir(functions)
    dev.file("site-functions/_lockstep", dev.run("completion", "zsh").stdout)
    shell = Shell(dev, ["zsh", "-f", "-i"], "bindkey -e; unset zle_bracketed_paste", f"fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -D")
    shell.becomes("lockstep config get de", "lockstep config get demo/prod")
    shell.becomes("lockstep rollout star", "lockstep rollout start")
    shell.close()


def test_fish(dev):
    """fish: the same"""
    need_program("fish")
    shell = Shell(dev, ["fish", "--no-config", "-i"], "lockstep completion fish | source")
    completes_as_typed(shell)
    shell.close()
