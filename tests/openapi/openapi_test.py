"""Requests made from the whole OpenAPI document, good and bad ones, against a real server: no answer is a 5xx for no
reason, or one that the document does not name, or has another shape than it says, and none takes long.

What the document cannot say is not asked for: that a good request is done. A group must be one that exists, a `next`
one that the server gave. Nor is what the server bounds: who guesses keys is soon told 429, not 401. (Which key opens which
route is a matrix of its own: crates/accounts/src/http/tests/owners.rs.)

`CONVOKE_OPENAPI_EXAMPLES` (for each operation, 5 without it) and `CONVOKE_OPENAPI_SEED` (a number; a fixed one without it,
so that a change and nothing else makes this fail) are for longer runs.
"""

import os
import subprocess
import sys
import unittest

from server import ROOT, Server

EXAMPLES = os.environ.get("CONVOKE_OPENAPI_EXAMPLES", "5")
SEED = os.environ.get("CONVOKE_OPENAPI_SEED", "20261130")
ANSWER_WITHIN_S = 10

# What stands behind each parameter of a path, once it is there.
NAMES = """
[parameters]
"path.client_id" = "GID_phone@@@d1"
"path.grantee" = "GID_phone"
"path.group" = "GID_phone"
"path.key" = "billing"
"path.topic" = "orders-up"
"path.user" = "ann"

[[operations]]
include-path-regex = "^/api/v1/queue-groups/"
parameters = { "path.group" = "convoke-broker" }
"""


class OpenApi(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.server.start()
        self.addCleanup(self.server.stop)

    def check(self, *options):
        with open(os.path.join(self.server.data, "api-key")) as file:
            key = file.read().strip()
        command = [sys.executable, "-m", "schemathesis.cli", "run", os.path.join(ROOT, "docs", "openapi.json")]
        command += ["--url", f"http://127.0.0.1:{self.server.http}", "--header", f"Authorization: Bearer {key}"]
        command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance,ignored_auth"]
        command += ["--mode", "all", "--continue-on-failure", "--no-color", "--warnings", "off"]
        command += ["--max-examples", EXAMPLES, "--seed", SEED, "--request-timeout", str(ANSWER_WITHIN_S), *options]
        run = subprocess.run(command, cwd=self.server.folder.name, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, f"\n{run.stdout[-20_000:]}\n{run.stderr[-5_000:]}")
        self.assertIsNone(self.server.process.poll(), "the server has ended")

    def test_each_answer_is_one_that_the_document_names(self):
        self.check()

    def test_so_is_each_about_what_is_there(self):
        self.server.api("groups", {"group": "GID_phone"})
        self.server.api("topics", {"topic": "orders-up", "rule": "both"})
        self.server.api("grants", {"group": "GID_phone", "topic": "orders-up"})
        self.server.api("users/ann/devices", {"group": "GID_phone", "device": "d1"})
        self.server.api("keys", {"key": "billing", "kind": "access", "scopes": ["topics", "devices"]})
        with open(os.path.join(self.server.folder.name, "schemathesis.toml"), "w") as file:
            file.write(NAMES)
        # What is removed would not be there any more.
        self.check("--exclude-method", "DELETE")


if __name__ == "__main__":
    unittest.main()
