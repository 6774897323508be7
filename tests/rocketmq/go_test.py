"""The official RocketMQ 5 client for Go against a real server, where Go is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
import unittest

from clients_test import Case

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "go")


@unittest.skipUnless(shutil.which("go"), "Go is not installed")
class Go(Case):
    SETTINGS = {
        "queue.topics": '["orders","pushed","later:delay","steps:fifo","line:fifo"]',
        "queue.groups": '["shop","push","line:fifo"]',
    }

    def test_the_client_for_go_sends_receives_delays_keeps_order_and_is_refused(self):
        self.server.api("queue-topics", {"topic": "paid", "type": "fifo"})
        self.server.api("queue-groups", {"group": "slow", "max_attempts": 2, "fifo": True})
        with tempfile.TemporaryDirectory(prefix="convoke-go-") as folder:
            program = os.path.join(folder, "client")
            # Where what was built and fetched before is; the other tests have set another one.
            home = {"HOME": pwd.getpwuid(os.getuid()).pw_dir}
            subprocess.run(["go", "build", "-o", program, "."], cwd=PROGRAM, env=os.environ | home, check=True)
            key_id, secret = self.key
            own = {"QUEUE": f"127.0.0.1:{self.server.queue}", "KEY_ID": key_id, "SECRET": secret, "HOME": folder}
            done = subprocess.run([program], env=os.environ | own, capture_output=True, text=True)
        said = [line for line in done.stdout.splitlines() if line.endswith(": ok") or line.startswith("failed")]
        parts = ["simple consumer", "delay and recall", "push consumer", "order", "push consumer in order", "giving up"]
        self.assertEqual(said, [f"{part}: ok" for part in [*parts, "refusal"]], done)
