"""A headless terminal: commands in, events out."""

import json
import os
import queue
import subprocess
import threading
import time

from server import PROGRAM

# Longer than a gRPC client waits between two tries to connect, which grows up to two minutes while a server is away.
PATIENCE_S = 150


class Terminal:
    """A headless terminal: commands in, events out."""

    def __init__(self, case, user, device="phone", media=False):
        folder, server = case.server.folder.name, case.server
        self.name, self.events, self.seen = f"{user}.{device}", queue.Queue(), []
        self.credentials = os.path.join(folder, f"{self.name}.json")
        with open(self.credentials, "w") as file:
            json.dump(server.register(user, device), file)
        self.command = [PROGRAM, "terminal", "--credentials", self.credentials, "--ca", os.path.join(server.data, "tls", "ca.pem")]
        self.command += ["--store", os.path.join(folder, self.name)] + ([] if media else ["--no-media"])
        self.start()
        case.addCleanup(self.kill)

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self.read, args=(self.process,), daemon=True).start()

    def read(self, process):
        for line in process.stdout:
            event = json.loads(line)
            self.seen.append(event)
            self.events.put(event)

    def do(self, what, **fields):
        self.process.stdin.write(json.dumps({"do": what} | fields) + "\n")
        self.process.stdin.flush()

    def find(self, event, **fields):
        """The next event of this kind; others before it are let go."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                found = self.events.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                last = [f"{one['event']} {one.get('reason', '')}" for one in self.seen[-12:]]
                raise AssertionError(f"{self.name} had no {event} {fields}; the last: {last}") from None
            if found["event"] == event and all(found.get(name) == value for name, value in fields.items()):
                return found

    def last(self, *events):
        return next((one["event"] for one in reversed(self.seen) if one["event"] in events), None)

    def until_connected(self):
        deadline = time.monotonic() + PATIENCE_S
        while self.last("synchronised", "disconnected") != "synchronised":
            assert time.monotonic() < deadline, f"{self.name} is not connected"
            time.sleep(0.01)

    def is_acknowledged(self):
        """Whether the server has the last request; not if the connection has ended before it said so."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            last = self.last("publish_acknowledged", "command_failed", "disconnected", "requested")
            if last != "requested":
                return last == "publish_acknowledged"
            time.sleep(0.002)
        raise AssertionError(f"{self.name} has no answer from the server")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
