"""A server whose own meeting service is off, and a service that runs in its place; it may be killed and run again."""

import json
import os
import subprocess
import unittest

from server import Server

READY = "The management service is ready.\n"


class ServiceCase(unittest.TestCase):
    def run(self, result=None):
        self.result = result
        return super().run(result)

    def setUp(self):
        self.server = Server()
        self.server.settings = {"queue.groups": '["meetings"]', "meeting.topics": "[]"}
        self.server.start()
        self.addCleanup(self.server.stop)
        self.log = os.path.join(self.server.folder.name, "service.log")
        self.addCleanup(self.tell)
        with open(os.path.join(self.server.data, "access-key")) as file:
            key = json.load(file)
        self.environment = os.environ | {"KEY_ID": key["key_id"], "SECRET": key["secret"]} | self.own_environment()
        self.run_service()
        self.addCleanup(lambda: self.kill_service())

    def tell(self):
        """What the service had to say, where something has failed."""
        if self.result and (self.result.failures or self.result.errors):
            with open(self.log) as file:
                print(file.read()[-5_000:])

    def command(self):
        """How the service is started."""
        raise NotImplementedError

    def own_environment(self):
        """What else the service is told by its environment."""
        return {}

    def run_service(self):
        with open(self.log, "a") as log:
            self.service = subprocess.Popen(self.command(), env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True)
        said = iter(self.service.stdout.readline, "")
        self.assertIn(READY, said, "it has ended before it was ready")

    def kill_service(self):
        self.service.kill()
        self.service.wait()
        self.service.stdout.close()
