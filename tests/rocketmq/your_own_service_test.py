"""The how-to of a management service: its configuration starts a server, and its requests are made as they stand there."""

import json
import os
import re
import subprocess
import unittest

from server import ROOT, Server

HOW_TO = os.path.join(ROOT, "docs", "how-to", "your-own-service.md")


class HowTo(unittest.TestCase):
    def test_every_block_does_what_the_page_says(self):
        with open(HOW_TO) as file:
            text = file.read()
        (configuration,) = re.findall(r"^```toml file=convoke.toml\n(.*?)^```", text, re.M | re.S)
        blocks = re.findall(r"^```sh run\n(.*?)^```", text, re.M | re.S)
        server = Server()
        path = os.path.join(server.folder.name, "convoke.toml")
        with open(path, "w") as file:
            file.write(configuration)
        server.options = ["--config", path]
        server.start()
        self.addCleanup(server.stop)
        server.register("bob", "phone")
        with open(os.path.join(server.data, "access-key")) as file:
            key = json.load(file)
        environment = os.environ | {"CONVOKE": f"http://localhost:{server.http}", "KEY": f"{key['key_id']}:{key['secret']}"}
        said = [self.run_block(block, environment) for block in blocks]
        (user, devices), (place,), (grant,), (told,), (end,) = said
        self.assertEqual((user["user"], devices["items"][0]["client_id"]), ("bob", "GID_dev@@@bob-phone"))
        self.assertEqual(place, end)
        self.assertEqual((grant["app"], grant["endpoints"]), ("convoke", place["endpoints"]))
        self.assertEqual([(channel["channel"], channel["rev"]) for channel in told["snapshot"]], [("door-17", 1)])

    def run_block(self, block, environment):
        """The JSON documents that it prints."""
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, f"{block}\n{done.stderr}")
        documents, text = [], done.stdout.strip()
        while text:
            document, end = json.JSONDecoder().raw_decode(text)
            documents.append(document)
            text = text[end:].strip()
        return documents


if __name__ == "__main__":
    unittest.main()
