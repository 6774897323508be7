"""The official RocketMQ 5 client for Java against a real server, where Java and Maven are installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
import unittest

from clients_test import Case
from server import ROOT

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "java")
# Kept for the next run.
LIBRARIES = os.path.join(ROOT, "build", "java")


@unittest.skipUnless(shutil.which("javac") and shutil.which("mvn"), "Java and Maven are not installed")
class Java(Case):
    SETTINGS = {
        "queue.topics": '["orders","pushed","later:delay","steps:fifo","line:fifo"]',
        "queue.groups": '["shop","push","line:fifo"]',
    }

    def test_the_client_for_java_sends_receives_delays_keeps_order_and_is_refused(self):
        # The other tests have set another one.
        home = os.environ | {"HOME": pwd.getpwuid(os.getuid()).pw_dir}
        copy = ["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", f"-DoutputDirectory={LIBRARIES}"]
        subprocess.run(copy, cwd=PROGRAM, env=home, check=True)
        self.server.api("queue-topics", {"topic": "paid", "type": "fifo"})
        self.server.api("queue-groups", {"group": "slow", "max_attempts": 2, "fifo": True})
        with tempfile.TemporaryDirectory(prefix="convoke-java-") as folder:
            path = f"{folder}:{LIBRARIES}/*"
            subprocess.run(["javac", "-cp", path, "-d", folder, "Client.java"], cwd=PROGRAM, check=True)
            key_id, secret = self.key
            own = {"QUEUE": f"127.0.0.1:{self.server.queue}", "KEY_ID": key_id, "SECRET": secret}
            command = ["java", f"-Duser.home={folder}", "-cp", path, "Client"]
            done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True)
        said = [line for line in done.stdout.splitlines() if line.endswith(": ok") or line.startswith("failed")]
        parts = ["simple consumer", "delay and recall", "push consumer", "order", "push consumer in order", "giving up"]
        self.assertEqual(said, [f"{part}: ok" for part in [*parts, "refusal"]], done)
