"""Eclipse Paho logs in by what others have issued: JWTs and client certificates."""

import base64
import hashlib
import hmac
import json
import os
import queue
import subprocess
import time
import unittest

import paho.mqtt.client as paho

from server import Server

WAIT_S = 10
CONFIGURATION_OF_CA = """
[ca]
default_ca = devices
[devices]
database = index
crlnumber = number
default_md = default
default_crl_days = 30
"""


class Client:
    def __init__(self, client_id, username=None, password=None):
        self.connects, self.ends, self.published = queue.Queue(), queue.Queue(), queue.Queue()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        if username is not None:
            self.client.username_pw_set(username, password)
        self.client.on_connect = lambda _c, _d, _flags, reason, _p: self.connects.put(reason)
        self.client.on_disconnect = lambda _c, _d, _f, reason, _p: self.ends.put(reason)
        self.client.on_publish = lambda _c, _d, _mid, reason, _p: self.published.put(reason)

    def connect(self, port):
        self.client.connect("localhost", port)
        self.client.loop_start()
        return self.connects.get(timeout=WAIT_S)

    def publish(self, topic):
        self.client.publish(topic, b"{}", qos=1)
        return self.published.get(timeout=WAIT_S)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Case(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.folder.cleanup)

    def path(self, name):
        return os.path.join(self.server.folder.name, name)

    def start(self, **settings):
        self.server.settings = {key.replace("__", "."): value for key, value in settings.items()}
        self.server.start()
        self.addCleanup(self.server.stop)

    def read(self, name):
        with open(self.path(name)) as file:
            return file.read()

    def write(self, name, text):
        """In one step, as a file that is being followed is to be replaced."""
        with open(self.path(name + ".new"), "w") as file:
            file.write(text)
        os.rename(self.path(name + ".new"), self.path(name))


class Jwts(Case):
    SECRET = b"0123456789abcdef0123456789abcdef"

    def jwt(self, secret, **claims):
        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")

        signed = b".".join(part(json.dumps(one).encode()) for one in ({"alg": "HS256", "typ": "JWT"}, claims))
        return (signed + b"." + part(hmac.new(secret, signed, hashlib.sha256).digest())).decode()

    def test_a_jwt_of_a_configured_issuer_lets_a_registered_device_in(self):
        self.write("secret", self.SECRET.decode())
        issuer = {"name": "app", "issuer": "https://login.example.org", "audience": "convoke"}
        table = ", ".join(f'{key} = "{value}"' for key, value in (issuer | {"hs256_secret": self.path("secret")}).items())
        self.start(jwt__issuers="[{" + table + "}]")
        client_id = self.server.register("ann", "paho")["client_id"]
        claims = {"iss": issuer["issuer"], "aud": "convoke", "sub": "ann", "client_id": client_id}
        good = self.jwt(self.SECRET, **claims, exp=int(time.time()) + 3600)
        client = Client(client_id, "JWT|app|convoke", good)
        self.assertEqual(client.connect(self.server.mqtt).value, 0)
        self.assertEqual(client.publish("meeting-up/state").value, 0)
        client.close()
        forged = self.jwt(b"x" * 32, **claims, exp=int(time.time()) + 3600)
        expired = self.jwt(self.SECRET, **claims, exp=1)
        for jwt, code in [(forged, 0x86), (expired, 0x87)]:
            client = Client(client_id, "JWT|app|convoke", jwt)
            self.assertEqual(client.connect(self.server.mqtt).value, code)
            client.close()


class Certificates(Case):
    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.server.folder.name, check=True, capture_output=True)

    def issue(self, name, client_id):
        key, request, certificate = f"{name}.key", f"{name}.csr", f"{name}.pem"
        self.openssl("req", "-newkey", "ed25519", "-nodes", "-subj", f"/CN={client_id}", "-keyout", key, "-out", request)
        # With an extension, because without any OpenSSL 3.0 makes one of version 1, which is refused.
        self.write("client.cnf", "extendedKeyUsage=clientAuth\n")
        signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-days", "1", "-extfile", "client.cnf"]
        self.openssl("x509", "-req", "-in", request, *signer, "-out", certificate)

    def list(self):
        options = ["-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"]
        self.openssl("ca", *options, "-gencrl", "-out", "list.new")
        os.rename(self.path("list.new"), self.path("list.pem"))

    def client(self, client_id, name, **login):
        client = Client(client_id, **login)
        certificate, key = self.path(f"{name}.pem"), self.path(f"{name}.key")
        client.client.tls_set(ca_certs=self.server.ca, certfile=certificate, keyfile=key)
        self.addCleanup(client.close)
        return client

    def test_a_certificate_lets_a_registered_device_in_until_a_list_names_it(self):
        subject = ["-subj", "/CN=Devices", "-days", "1"]
        self.openssl("req", "-x509", "-newkey", "ed25519", "-nodes", *subject, "-keyout", "ca.key", "-out", "ca.pem")
        self.write("ca.cnf", CONFIGURATION_OF_CA)
        self.write("index", "")
        self.write("number", "01")
        self.list()
        self.start(
            client_certificates__ca=self.path("ca.pem"),
            client_certificates__revocation_lists=json.dumps([self.path("list.pem")]),
        )
        ann, bob = (self.server.register(user, "paho")["client_id"] for user in ("ann", "bob"))
        self.issue("ann", ann)
        self.issue("bob", bob)
        anns = self.client(ann, "ann")
        self.assertEqual(anns.connect(self.server.mqtts).value, 0)
        self.assertEqual(anns.publish("meeting-up/state").value, 0)
        bobs = self.client(bob, "bob", username="Certificate||convoke")
        self.assertEqual(bobs.connect(self.server.mqtts).value, 0)
        other = self.client(ann, "bob")
        self.assertEqual(other.connect(self.server.mqtts).value, 0x86)
        other.close()
        self.openssl("ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-revoke", "ann.pem")
        self.list()
        self.assertEqual(anns.ends.get(timeout=WAIT_S).value, 0x87)
        anns.close()
        self.assertEqual(bobs.publish("meeting-up/state").value, 0)
        # Its owner voids the other one, without a list.
        shown = {"token": self.read("bob.pem")}
        answer = self.server.api("tokens:query", shown)
        self.assertEqual((answer["valid"], answer["user"], answer["client_id"]), (True, "bob", bob))
        self.server.api("tokens:revoke", shown)
        self.assertEqual(bobs.ends.get(timeout=WAIT_S).value, 0x87)
        self.assertFalse(self.server.api("tokens:query", {"token": self.read("ann.pem")})["valid"])


if __name__ == "__main__":
    unittest.main()
