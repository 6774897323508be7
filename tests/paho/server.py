"""A Convoke server of its own for each test case, on free loopback ports, ended by its process id."""

import base64
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("CONVOKE", os.path.join(ROOT, "target", "debug", "convoke"))
READY_WITHIN_S = 30


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Server:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="convoke-paho-")
        self.data = os.path.join(self.folder.name, "data")
        self.mqtt, self.mqtts, self.http, self.https, self.media = free_ports(5)
        self.process = None

    def start(self):
        command = [PROGRAM, "serve", "--dev", "--data", self.data]
        keys = ["mqtt.listen", "mqtt.tls_listen", "http.listen", "http.tls_listen", "media.listen"]
        for key, port in zip(keys, [self.mqtt, self.mqtts, self.http, self.https, self.media]):
            command += ["--set", f"{key}=127.0.0.1:{port}"]
        with open(os.path.join(self.folder.name, "server.log"), "a") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait_until_ready()

    def _wait_until_ready(self):
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the server was not ready in time:\n" + self.log())

    def log(self):
        with open(os.path.join(self.folder.name, "server.log")) as file:
            return file.read()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    @property
    def ca(self):
        return os.path.join(self.data, "tls", "ca.pem")

    def register(self, user, device):
        with open(os.path.join(self.data, "api-key")) as file:
            key = file.read().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/api/v1/users/{user}/devices",
            data=json.dumps({"device": f"{user}-{device}"}).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def service(self, client_id):
        """Username and password of a service (Signature login)."""
        with open(os.path.join(self.data, "access-key")) as file:
            key = json.load(file)
        digest = hmac.new(key["secret"].encode(), client_id.encode(), hashlib.sha1).digest()
        return f"Signature|{key['key_id']}|{key['instance']}", base64.b64encode(digest).decode()
