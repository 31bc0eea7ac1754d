#!/usr/bin/env python3
"""greeter.py - a small server that reads its folder of settings at its start and on SIGHUP.

greeter.py FOLDER PORT PIDFILE: answers every GET with the content hash of its settings and its
greeting. Its two files are read through one descriptor of their folder, so they belong together.
"""
import configparser
import http.server
import json
import os
import signal
import sys

settings = {}


def load(*_):
    """Both files of one and the same folder; what cannot be read leaves the old ones in force."""
    folder = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
    try:
        def text(name):
            with open(os.open(name, os.O_RDONLY, dir_fd=folder), encoding="utf-8") as f:
                return f.read()
        version = configparser.ConfigParser()
        version.read_string("[top]\n" + text("version.ini"))
        new = {**json.loads(text("greeter.json")), "hash": version["top"]["version"]}
        settings.update(new)
    except (OSError, ValueError, KeyError, configparser.Error) as problem:
        print(f"greeter: {problem}; going on as before", file=sys.stderr)
    finally:
        os.close(folder)


class Answer(http.server.BaseHTTPRequestHandler):
    """Every request gets the same answer."""

    def do_GET(self):
        body = f"{settings.get('hash', 'none')} {settings.get('text', '')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    load()
    signal.signal(signal.SIGHUP, load)
    server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Answer)
    with open(sys.argv[3], "w", encoding="utf-8") as pid:
        pid.write(str(os.getpid()))
    server.serve_forever()
