#!/usr/local/bin/python -IS
"""Exits with 0 while the server in this container answers: its HEALTHCHECK.

Python, because the image has no curl; `-IS`, because it runs every few seconds and
need not look for packages.
"""

import http.client
import os
import sys

port = int(os.environ.get("IMAGE_SERVICE_PORT", "8000"))
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
connection.request("GET", "/health/live")
sys.exit(connection.getresponse().status != http.client.OK)
