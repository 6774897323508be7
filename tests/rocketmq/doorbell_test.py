"""The doorbell of the examples: mosquitto_pub and curl alone ring a phone."""

import os
import shutil
import subprocess
import unittest

from server import ROOT, Server
from terminal import Terminal

DOORBELL = os.path.join(ROOT, "examples", "doorbell", "doorbell")


@unittest.skipUnless(shutil.which("mosquitto_pub") and shutil.which("curl"), "mosquitto_pub or curl is not installed")
class Doorbell(unittest.TestCase):
    def test_a_phone_rings_while_the_bell_is_pushed_and_has_a_missed_call_after_it(self):
        self.server = Server()
        self.server.start()
        self.addCleanup(self.server.stop)
        phone = Terminal(self, "alice")
        phone.find("synchronised")
        with open(os.path.join(self.server.data, "api-key")) as file:
            environment = os.environ | {"CONVOKE": f"http://localhost:{self.server.http}", "API_KEY": file.read().strip()}
        bell = subprocess.Popen([DOORBELL, "alice", "2"], env=environment)
        ring = phone.find("ring", **{"from": "door"})
        self.assertEqual((ring["from_name"], ring["title"]), ("The door", "Somebody is at the door"))
        self.assertEqual(bell.wait(), 0)
        phone.find("missed", invitation=ring["invitation"])


if __name__ == "__main__":
    unittest.main()
