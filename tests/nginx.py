"""nginx on loopback, as a stand-in for the load balancer."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.ports import free_port

_CONFIG = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    upstream service {{ server {upstream}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering {buffering};
        }}
    }}
}}
"""


@contextmanager
def nginx(upstream: str, *, request_buffering: bool) -> Iterator[str]:
    """In front of `upstream` ("host:port"); yields its own. Fails where it is not installed."""
    command = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if command is None:
        pytest.fail("these tests need nginx: install it (Debian: nginx-light)", pytrace=False)
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # started by root, nginx works as somebody else
        config = Path(directory, "nginx.conf")
        buffering = "on" if request_buffering else "off"
        config.write_text(
            _CONFIG.format(directory=directory, upstream=upstream, port=port, buffering=buffering)
        )
        # `-e`, because its default log is not everybody's to write.
        arguments = [command, "-p", directory, "-c", str(config), "-e", f"{directory}/error.log"]
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
        try:
            _wait_until_listening(port)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def _wait_until_listening(port: int) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("nginx does not listen", pytrace=False)
