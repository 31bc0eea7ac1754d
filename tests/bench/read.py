"""read.py - how fast single keys are read: lockstepd against nginx giving the same bytes, in one run.

A private PostgreSQL holds KEYS keys; HOT of them are read by popularity (Zipf). The last line is
`ratio N.NN`: our rate by nginx's, the medians of alternating rounds with as many threads each.
"""
import argparse
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../system"))
from kit import Process, World, check, free_port, wait_until, write  # noqa: E402

FILL = """
INSERT INTO scope (service, environment, head, released) SELECT 'service-' || to_char(i, 'FM000'), 'prod', 1, 1 FROM generate_series(0, {services} - 1) i;
INSERT INTO revision (scope_id, revision, created_by) SELECT scope_id, 1, 'bench' FROM scope;
INSERT INTO config_version (scope_id, key, version, revision, value_type, value, created_by)
    SELECT s.scope_id, 'key.' || to_char(n, 'FM0000000'), 1, 1, 'string', 'value of ' || to_char(n, 'FM0000000') || ' ' || repeat('v', 40), 'bench'
    FROM generate_series(0, {keys} - 1) n JOIN scope s ON s.service = 'service-' || to_char(n % {services}, 'FM000');
"""


class Run:
    def __init__(self, world, token, args):
        self.world, self.token, self.args, self.seed = world, token, args, 0

    def wrk(self, port, connections, seconds, mode="hot", pause_ms=0.0, threads=2):
        """Requests/s, p50, p99 and longest in ms."""
        self.seed += 1
        env = {**os.environ, "MODE": mode, "KEYS": str(self.args.keys), "HOT": str(self.args.hot), "SERVICES": str(self.args.services),
               "PAUSE_MS": f"{pause_ms:.3f}", "TOKEN": self.token, "SEED": str(self.seed)}
        done = subprocess.run(["wrk", "-t", str(min(threads, connections)), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s",
                               "-s", f"{HERE}/read.lua", f"http://127.0.0.1:{port}"], env=env, capture_output=True, text=True, check=False)
        line = next((w for w in done.stdout.splitlines() if w.startswith("RESULT")), None)
        check(line, f"wrk failed: {done.stdout} {done.stderr}")
        rate, p50, p99, longest, bad = map(float, line.split()[1:])
        check(bad == 0, f"{bad:.0f} requests failed: {done.stdout}")
        return rate, p50 / 1000, p99 / 1000, longest / 1000


def show(what, result, more=""):
    rate, p50, p99, longest = result
    print(f"{what:34} {rate:9.0f}/s   p50 {p50:7.3f} ms   p99 {p99:7.3f} ms   max {longest:8.2f} ms {more}", flush=True)


def start_nginx(world, answer, threads):
    """nginx that gives one of our answers, headers included, to everybody."""
    port = free_port()
    body = answer.raw.decode().rstrip("\n").replace("\\", "\\\\").replace('"', '\\"').replace("$", "${dollar}")
    write(f"{world.folder}/nginx.conf", f"""daemon off; worker_processes {threads}; pid {world.folder}/nginx.pid; error_log {world.folder}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; tcp_nodelay on; server_tokens off;
    client_body_temp_path {world.folder}/nb; proxy_temp_path {world.folder}/np; fastcgi_temp_path {world.folder}/nf; uwsgi_temp_path {world.folder}/nu; scgi_temp_path {world.folder}/ns;
    server {{ listen 127.0.0.1:{port} backlog=4096; default_type application/json;
        location / {{ add_header ETag '"1"'; add_header Cache-Control no-cache; add_header X-Content-Type-Options nosniff; return 200 "{body}\\n"; }} }} }}
""")
    Process("nginx", ["nginx", "-c", f"{world.folder}/nginx.conf"], f"{world.folder}/nginx.log").start()
    wait_until(lambda: subprocess.run(["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"], check=False).returncode == 0, "nginx answers")
    got = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"], capture_output=True, check=True).stdout
    check(got == answer.raw, f"nginx gives other bytes: {got!r}")
    return port


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
    size = world.postgres.sql("SELECT pg_size_pretty(sum(pg_total_relation_size(relid))) FROM pg_partition_tree('config_version')")[0][0]
    print(f"{args.keys} keys in {args.services} scopes: {size} in {time.monotonic() - began:.0f} s; {args.hot} of them hot")


def measure(world, run, args):
    c = world.coordinators[0]
    ours = c.http
    theirs = start_nginx(world, c.api("GET", "/config/service-000/prod/key.0000000"), args.threads)
    before = metric(c, "hits_total"), metric(c, "misses_total")
    show("first seconds, cold", run.wrk(ours, 64, args.seconds))
    print(f"    hit rate {100 * hit_rate(c, before):.2f} %")
    before = metric(c, "hits_total"), metric(c, "misses_total")
    rates = {ours: [], theirs: []}
    for i in range(args.rounds):
        for port, name in ((ours, "lockstepd"), (theirs, "nginx")):
            result = run.wrk(port, 64, args.seconds)
            rates[port].append(result[0])
            show(f"{name}, 64 connections, round {i + 1}", result)
    print(f"    hit rate {100 * hit_rate(c, before):.2f} %, {metric(c, 'size'):.0f} answers, {metric(c, 'bytes') / 1e6:.0f} MB")
    for n in (128, 129, 256, 512):
        ratio = []
        for port, name in ((ours, "lockstepd"), (theirs, "nginx")):
            result = run.wrk(port, n, args.seconds)
            ratio.append(result[0])
            show(f"{name}, {n} connections", result)
        print(f"    ratio {ratio[0] / ratio[1]:.2f}")
    half = statistics.median(rates[ours]) / 2
    show("hits at half the load", run.wrk(ours, 64, args.seconds, pause_ms=64000 / half))
    show("misses, 8 connections", run.wrk(ours, 8, args.seconds, "cold"))
    show("batch of 100 keys, 8 connections", run.wrk(ours, 8, args.seconds, "batch"))
    show("writes, 8 connections", run.wrk(ours, 8, args.seconds, "write"))
    return statistics.median(rates[ours]) / statistics.median(rates[theirs])


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--keys", type=int, default=1000000)
    p.add_argument("--hot", type=int, default=100000)
    p.add_argument("--services", type=int, default=100)
    p.add_argument("--seconds", type=int, default=5)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--serve", action="store_true", help="only fill and start; print the addresses and wait")
    args = p.parse_args()
    with World("bench-read", is_durable=True) as world:
        world.postgres.start()
        world.postgres.sql("CREATE DATABASE lockstep", "postgres")
        world.add_coordinator("lockstepd").start()
        token = world.token = world.bootstrap_token("bench")
        fill(world, args)
        began = time.monotonic()
        world.coordinators[0].process.stop()
        world.coordinators[0].start()
        print(f"started in {time.monotonic() - began:.1f} s")
        if args.serve:
            print(f"PORT={world.coordinators[0].http} TOKEN={token} PID={world.coordinators[0].process.pid} FOLDER={world.folder}", flush=True)
            world.coordinators[0].process.popen.wait()
            return
        ratio = measure(world, Run(world, token, args), args)
        print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
