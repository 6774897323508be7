"""The servers of these tests come up beside others that take ports."""

import socket
import unittest

from server import Server


class Ports(unittest.TestCase):
    def test_a_server_whose_port_is_taken_between_choice_and_bind_comes_up_on_another(self):
        server = Server()
        chosen = server.http
        with socket.create_server(("127.0.0.1", chosen)):
            server.start()
            self.addCleanup(server.stop)
            self.assertNotEqual(server.http, chosen)
            server.register("bob", "phone")
