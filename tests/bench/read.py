"""read.py - how fast single keys are read: lockstepd against nginx giving the same bytes, in one run.

A private PostgreSQL holds KEYS keys; HOT of them are read by popularity (Zipf). The last line is
`ratio N.NN`: our rate by nginx's, the median of alternating rounds with as many threads each. What
is required is listed before it; ends with 1 when something was missed.
"""
import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../system"))
from kit import BUILD, Process, World, check, free_port, read, wait_until, write  # noqa: E402

FILL = """
INSERT INTO scope (service, environment, head, released) SELECT 'service-' || to_char(i, 'FM000'), 'prod', 1, 1 FROM generate_series(0, {services} - 1) i;
INSERT INTO revision (scope_id, revision, created_by) SELECT scope_id, 1, 'bench' FROM scope;
INSERT INTO config_version (scope_id, key, version, revision, value_type, value, created_by)
    SELECT s.scope_id, 'key.' || to_char(n, 'FM0000000'), 1, 1, 'string', 'value of ' || to_char(n, 'FM0000000') || ' ' || repeat('v', 40), 'bench'
    FROM generate_series(0, {keys} - 1) n JOIN scope s ON s.service = 'service-' || to_char(n % {services}, 'FM000');
"""


class Run:
    """The load, and what was found: figures that are required come with their limit."""

    def __init__(self, world, token, args):
        self.world, self.token, self.args, self.seed, self.verdicts = world, token, args, 0, []

    def wrk(self, port, connections, seconds, mode="hot", threads=2):
        """Requests/s, p50, p99 and longest in ms: a closed loop, everybody asks again when he has his answer."""
        self.seed += 1
        env = {**os.environ, "MODE": mode, "KEYS": str(self.args.keys), "HOT": str(self.args.hot), "SERVICES": str(self.args.services),
               "TOKEN": self.token, "SEED": str(self.seed)}
        done = subprocess.run(["wrk", "-t", str(min(threads, connections)), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s",
                               "-s", f"{HERE}/read.lua", f"http://127.0.0.1:{port}"], env=env, capture_output=True, text=True, check=False)
        line = next((w for w in done.stdout.splitlines() if w.startswith("RESULT")), None)
        check(line, f"wrk failed: {done.stdout} {done.stderr}")
        rate, p50, p99, longest, bad = map(float, line.split()[1:])
        check(bad == 0, f"{bad:.0f} requests failed: {done.stdout}")
        return rate, p50 / 1000, p99 / 1000, longest / 1000

    def steady(self, port, connections, seconds, rate):
        """The same at a fixed rate, an open loop: the clock of a request runs from the moment it was due."""
        draw = random.Random(1)
        ranks = draw.choices(range(self.args.hot), weights=[1 / (i + 1) for i in range(self.args.hot)], k=200000)
        write(f"{self.world.folder}/targets", "".join(f"/api/v1/config/service-{n % self.args.services:03d}/prod/key.{n:07d}\n" for n in ranks))
        done = subprocess.run([f"{BUILD}/tests/bench", "steady", "--address", f"127.0.0.1:{port}", "--count", str(connections), "--rate", f"{rate:.0f}",
                               "--seconds", str(seconds), "--token", self.token, "--targets", f"{self.world.folder}/targets"], capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"steady: {done.stdout} {done.stderr}")
        reached, p50, p99, _, longest, bad = map(float, done.stdout.split()[1:])
        check(bad == 0, f"{bad:.0f} requests failed")
        return reached, p50, p99, longest

    def require(self, what, figure, is_good, wanted):
        self.verdicts.append((what, figure, is_good, wanted))


def show(what, result, more=""):
    rate, p50, p99, longest = result
    print(f"{what:34} {rate:9.0f}/s   p50 {p50:7.3f} ms   p99 {p99:7.3f} ms   max {longest:8.2f} ms {more}", flush=True)


def cpu_us(process):
    """Processor time of a process and its children so far."""
    pids = [process.pid, *map(int, read(f"/proc/{process.pid}/task/{process.pid}/children").split())]
    fields = [read(f"/proc/{pid}/stat").rpartition(")")[2].split() for pid in pids]
    return sum(int(f[11]) + int(f[12]) for f in fields) * 1000000 / os.sysconf("SC_CLK_TCK")


def write_answers(world, template, args):
    """What nginx may give instead of its one answer: every hot key's own, as files in memory."""
    folder = f"/dev/shm/{os.path.basename(world.folder)}"
    for n in range(args.services):
        os.makedirs(f"{folder}/api/v1/config/service-{n:03d}/prod")
    for n in range(args.hot):
        service = f"service-{n % args.services:03d}"
        with open(f"{folder}/api/v1/config/{service}/prod/key.{n:07d}", "w", encoding="utf-8") as out:
            out.write(template.replace("service-000", service).replace("0000000", f"{n:07d}"))
    return folder


def start_nginx(world, answer, args):
    """nginx that gives one of our answers, headers included, to everybody; and on a second port the files."""
    threads, files = args.threads, free_port()
    port = free_port()
    body = answer.raw.decode().rstrip("\n").replace("\\", "\\\\").replace('"', '\\"').replace("$", "${dollar}")
    write(f"{world.folder}/nginx.conf", f"""daemon off; worker_processes {threads}; pid {world.folder}/nginx.pid; error_log {world.folder}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; tcp_nodelay on; server_tokens off;
    client_body_temp_path {world.folder}/nb; proxy_temp_path {world.folder}/np; fastcgi_temp_path {world.folder}/nf; uwsgi_temp_path {world.folder}/nu; scgi_temp_path {world.folder}/ns;
    server {{ listen 127.0.0.1:{port} backlog=4096; default_type application/json;
        location / {{ add_header ETag '"1"'; add_header Cache-Control no-cache; add_header X-Content-Type-Options nosniff; return 200 "{body}\\n"; }} }}
    server {{ listen 127.0.0.1:{files} backlog=4096; default_type application/json; root /dev/shm/{os.path.basename(world.folder)};
        location / {{ add_header Cache-Control no-cache; add_header X-Content-Type-Options nosniff; }} }} }}
""")
    nginx = Process("nginx", ["nginx", "-c", f"{world.folder}/nginx.conf"], f"{world.folder}/nginx.log")
    world.others.append(nginx)
    nginx.start()
    wait_until(lambda: subprocess.run(["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"], check=False).returncode == 0, "nginx answers")
    got = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"], capture_output=True, check=True).stdout
    check(got == answer.raw, f"nginx gives other bytes: {got!r}")
    return port, files, nginx


def metric(c, name):
    text = c.api("GET", "/metrics", raw_path=True, token=None).raw.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"lockstep_cache_{name} "))


def hit_rate(c, before):
    hits, misses = metric(c, "hits_total") - before[0], metric(c, "misses_total") - before[1]
    return hits / max(1, hits + misses)


def fill(world, args):
    began = time.monotonic()
    for statement in FILL.format(keys=args.keys, services=args.services).strip().split(";\n"):
        world.postgres.sql(statement)
    world.postgres.sql("ANALYZE")
    print(f"{args.keys} keys in {args.services} scopes, {time.monotonic() - began:.0f} s; {args.hot} of them hot")
    sizes = world.postgres.sql("""SELECT t.name, pg_size_pretty(sum(pg_table_size(p.relid))), pg_size_pretty(sum(pg_indexes_size(p.relid)))
        FROM (VALUES ('config_version'), ('revision'), ('scope')) AS t (name), pg_partition_tree(t.name::regclass) AS p GROUP BY t.name ORDER BY 1""")
    for name, table, indexes in sizes:
        print(f"    {name}: {table}, indexes {indexes}")


def restart(world, is_warm):
    """Seconds until it answers a read of a key."""
    c = world.coordinators[0]
    c.process.stop()
    write(c.settings, read(c.settings).partition("[cache]")[0] + f"[cache]\nwarm_up = {'true' if is_warm else 'false'}\n", 0o600)
    began = time.monotonic()
    c.start()
    check(c.api("GET", "/config/service-000/prod/key.0000000").status == 200, "the first read")
    return time.monotonic() - began


def compare(world, run, args):
    """Rounds in turn, so that whatever else the machine does happens to both."""
    c = world.coordinators[0]
    answer = c.api("GET", "/config/service-000/prod/key.0000000")
    theirs, files, nginx = start_nginx(world, answer, args)
    sides = [("lockstepd", c.http, c.process), ("nginx", theirs, nginx)]
    rates, cpu = {name: [] for name, _, _ in sides}, {name: [] for name, _, _ in sides}
    before = metric(c, "hits_total"), metric(c, "misses_total")
    for i in range(args.rounds):
        for name, port, process in sides if i % 2 == 0 else sides[::-1]:
            began = cpu_us(process)
            result = run.wrk(port, 64, args.seconds)
            cost = (cpu_us(process) - began) / (result[0] * args.seconds)
            rates[name].append(result[0])
            cpu[name].append(cost)
            show(f"{name}, 64 connections, round {i + 1}", result, f"  {cost:5.2f} us of processor each")
    rate = hit_rate(c, before)
    print(f"    {metric(c, 'size'):.0f} answers, {metric(c, 'bytes') / 1e6:.0f} MB")
    run.require("hit rate", f"{100 * rate:.2f} %", rate > 0.95, "> 95 %")
    for n in (128, 129, 256, 512):
        results = [run.wrk(port, n, args.seconds) for _, port, _ in sides]
        for (name, _, _), result in zip(sides, results):
            show(f"{name}, {n} connections", result)
        ratio = results[0][0] / results[1][0]
        run.require(f"rate at {n} connections, by nginx's", f"{ratio:.2f}", ratio > 0.5, "> 0.5: no stall")
    folder = write_answers(world, answer.raw.decode(), args)
    for i in range(2):
        result = run.wrk(files, 64, args.seconds)
    shutil.rmtree(folder)
    show("nginx, every key's own file", result)
    ours, others = (statistics.median(rates[name]) for name, _, _ in sides)
    print(f"processor time per request: {statistics.median(cpu['lockstepd']):.2f} us, nginx {statistics.median(cpu['nginx']):.2f} us (medians)")
    ratio = statistics.median(a / b for a, b in zip(rates["lockstepd"], rates["nginx"]))
    run.require("rate by nginx's, median of the rounds", f"{ratio:.2f} ({ours:.0f}/s by {others:.0f}/s)", ratio >= 1.0, ">= 1.0")
    half(run, args, sides, ours / 2)
    return ratio


def half(run, args, sides, rate):
    """Both at half the rate that ours reaches: what a machine with other work does to the one it does to the other."""
    figures = {name: [] for name, _, _ in sides}
    for _ in range(3):
        for name, port, _ in sides:
            result = run.steady(port, 64, args.seconds, rate)
            figures[name].append(result[2])
            show(f"{name}, half the rate, open loop", result)
    p99 = statistics.median(figures["lockstepd"])
    run.require("hits at half the rate, p99", f"{p99:.3f} ms, nginx {statistics.median(figures['nginx']):.3f} ms", p99 < 1, "< 1 ms")


def measure(world, run, args):
    c = world.coordinators[0]
    print(f"cold start: the first read after {restart(world, False):.2f} s")
    misses = metric(c, "misses_total")
    result = run.wrk(c.http, 8, args.seconds, "cold")
    missed = metric(c, "misses_total") - misses
    show("misses, 8 connections", result, f"  {missed / (result[0] * args.seconds):.0%} missed")
    run.require("misses, p99", f"{result[2]:.2f} ms", result[2] < 10, "< 10 ms")
    before = metric(c, "hits_total"), metric(c, "misses_total")
    show("hot keys, cold memory", run.wrk(c.http, 64, args.seconds))
    print(f"    hit rate {100 * hit_rate(c, before):.2f} %")
    for _ in range(3):
        run.wrk(c.http, 64, args.seconds)
    ratio = compare(world, run, args)
    queries = world.postgres.sql("SELECT xact_commit FROM pg_stat_database WHERE datname = 'lockstep'")
    result = run.wrk(c.http, 8, args.seconds, "batch")
    time.sleep(1.2)  # the statistics of a session are told once a second
    spent = int(world.postgres.sql("SELECT xact_commit FROM pg_stat_database WHERE datname = 'lockstep'")[0][0]) - int(queries[0][0])
    show("batch of 100 keys, 8 connections", result, f"  {spent / (result[0] * args.seconds):.1f} transactions each")
    result = run.wrk(c.http, 8, args.seconds, "write")
    show("writes, 8 connections", result)
    run.require("writes, p99", f"{result[2]:.1f} ms", result[2] < 100, "< 100 ms")
    began = time.monotonic()
    first = restart(world, True)
    wait_until(lambda: "memory is warm" in c.process.log_text().rpartition("message=ready")[2], "memory is warm", 600)
    print(f"warm start: the first read after {first:.2f} s, {metric(c, 'size'):.0f} answers after {time.monotonic() - began:.1f} s, "
          f"{metric(c, 'bytes') / 1e6:.0f} MB counted, {resident(c.process) / 1024:.0f} MiB resident")
    before = metric(c, "hits_total"), metric(c, "misses_total")
    show("hot keys, warm memory", run.wrk(c.http, 64, args.seconds))
    print(f"    hit rate {100 * hit_rate(c, before):.2f} %")
    return ratio


def resident(process):
    return next(int(line.split()[1]) for line in read(f"/proc/{process.pid}/status").splitlines() if line.startswith("VmRSS:"))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--keys", type=int, default=1000000)
    p.add_argument("--hot", type=int, default=100000)
    p.add_argument("--services", type=int, default=100)
    p.add_argument("--seconds", type=int, default=4)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--serve", action="store_true", help="only fill and start; print the addresses and wait")
    args = p.parse_args()
    with World("bench-read", is_durable=True) as world:
        world.postgres.start()
        world.postgres.sql("CREATE DATABASE lockstep", "postgres")
        # One token and one address are all of the load here: their limits would be measured instead.
        world.add_coordinator("lockstepd", "[http]\ntoken_rate = 0\naddress_rate = 0\n").start()
        token = world.token = world.bootstrap_token("bench")
        fill(world, args)
        if args.serve:
            restart(world, True)
            print(f"PORT={world.coordinators[0].http} TOKEN={token} PID={world.coordinators[0].process.pid} FOLDER={world.folder}", flush=True)
            world.coordinators[0].process.popen.wait()
            return 0
        run = Run(world, token, args)
        ratio = measure(world, run, args)
        for what, figure, is_good, wanted in run.verdicts:
            print(f"{'ok  ' if is_good else 'MISSED'} {what}: {figure} (wanted {wanted})")
        print(f"ratio {ratio:.2f}")
        return 0 if all(is_good for _, _, is_good, _ in run.verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
