"""nginx as a server of static files, tuned for it: what the machine can do at best with these bytes."""

import os
import pwd
import shutil
from pathlib import Path

from bench.processes import Unavailable

__all__ = ["find_nginx", "write_configuration"]

_CONFIGURATION = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_requests 100000000;
    open_file_cache max=10000 inactive=600s;
    open_file_cache_valid 600s;
    open_file_cache_min_uses 1;
    gzip_static on;
    default_type "application/json; charset=utf-8";
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


def find_nginx() -> str:
    """Its command; it is often outside a user's PATH. Raises Unavailable."""
    command = shutil.which("nginx") or shutil.which("nginx", path=os.pathsep.join(("/usr/sbin", "/usr/local/sbin")))
    if command is None:
        raise Unavailable("absent")
    return command


def write_configuration(folder: Path, root: Path, port: int) -> Path:
    """A configuration that serves `root` and keeps all it writes in `folder`."""
    # A worker of root's would become nobody, who may not read a temporary folder.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    folder.mkdir(exist_ok=True)
    path = folder / "nginx.conf"
    path.write_text(_CONFIGURATION.format(user=user, folder=folder, root=root, port=port))
    return path
