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
import threading
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("CONVOKE", os.path.join(ROOT, "target", "debug", "convoke"))
READY_WITHIN_S = 60
CHOICES_OF_PORTS = 10
LISTENERS = ["mqtt.listen", "mqtt.tls_listen", "http.listen", "http.tls_listen", "queue.listen"]


def held_port():
    """A port held by a socket that does not listen: only who names it can get it, as the server does."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


class Server:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="convoke-paho-")
        self.data = os.path.join(self.folder.name, "data")
        self.process, self.was_ready = None, False
        # Further keys of the configuration.
        self.settings = {}
        # Further options of the command.
        self.options = []
        self._choose_ports()

    def _choose_ports(self):
        self.held = [held_port() for _ in LISTENERS]
        self.mqtt, self.mqtts, self.http, self.https, self.queue = [held.getsockname()[1] for held in self.held]

    def start(self):
        for _ in range(1 if self.was_ready else CHOICES_OF_PORTS):
            self._run()
            if self._is_ready():
                self.was_ready = True
                return
            log = self.log()
            if "cannot listen on" not in log:
                break
            self._release_ports()
            self._choose_ports()
        raise AssertionError("the server ended before it was ready:\n" + log)

    def _run(self):
        command = [PROGRAM, "serve", "--dev", "--data", self.data]
        for key in ("media.listen", "metrics.listen"):
            command += ["--set", f"{key}=127.0.0.1:0"]
        for key, held in zip(LISTENERS, self.held):
            command += ["--set", f"{key}=127.0.0.1:{held.getsockname()[1]}"]
        command += self.options
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        with open(os.path.join(self.folder.name, "server.log"), "a") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)

    def _is_ready(self):
        """False when it has ended before."""
        timer = threading.Timer(READY_WITHIN_S, self.process.kill)
        timer.start()
        with self.process.stdout as said:
            is_ready = b"Convoke is ready.\n" in said
        timer.cancel()
        if not is_ready:
            self.process.wait()
        return is_ready

    def _release_ports(self):
        for held in self.held:
            held.close()

    def log(self):
        with open(os.path.join(self.folder.name, "server.log")) as file:
            return file.read()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self._release_ports()
        self.folder.cleanup()

    @property
    def ca(self):
        return os.path.join(self.data, "tls", "ca.pem")

    def register(self, user, device):
        return self.api(f"users/{user}/devices", {"device": f"{user}-{device}"})

    def api(self, path, body, method="POST"):
        with open(os.path.join(self.data, "api-key")) as file:
            key = file.read().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/api/v1/{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    def legacy(self, call, signed, others):
        """The token service as the reference product's own clients ask it."""
        with open(os.path.join(self.data, "access-key")) as file:
            key = json.load(file)
        pairs = sorted((name, ",".join(sorted(value.split(",")))) for name, value in signed.items())
        text = "&".join(f"{name}={value}" for name, value in pairs)
        digest = hmac.new(key["secret"].encode(), text.encode(), hashlib.sha1).digest()
        form = signed | others | {"accessKey": key["key_id"], "signature": base64.b64encode(digest).decode()}
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/token/{call}", data=data) as answer:
            return json.load(answer) | {"username": f"Token|{key['key_id']}|{key['instance']}"}

    def service(self, client_id):
        """Username and password of a service (Signature login)."""
        with open(os.path.join(self.data, "access-key")) as file:
            key = json.load(file)
        digest = hmac.new(key["secret"].encode(), client_id.encode(), hashlib.sha1).digest()
        return f"Signature|{key['key_id']}|{key['instance']}", base64.b64encode(digest).decode()
