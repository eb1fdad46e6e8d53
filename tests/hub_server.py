"""A Hub as far as downloading and pushing a model goes, on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.file_server import QuietServer

COMMIT = "a" * 40


@contextmanager
def hub(
    repositories: dict[str, dict[str, bytes]], lies: dict[str, int | None] | None = None
) -> Iterator[str]:
    """Serve repositories (name -> file -> content), which pushes change; the address. lies: sizes
    that are stated of a repository's files instead of their own, None for none."""

    private: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for header, value in headers.items():
                self.send_header(header.replace("_", "-"), value)
            name = self.path.split("/resolve/")[0].strip("/")
            size = (lies or {}).get(name, len(body))
            if size is None:
                self.send_header("Connection", "close")
            else:
                self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def json(self, value: Any) -> None:
            self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path.split("?")[0])
            files = repositories.get(match[1]) if match else None
            if about := re.fullmatch(r"/api/models/([^/]+/[^/]+)", self.path):
                self.json({"id": about[1], "private": about[1] in private})
                return
            if match is None or files is None:
                self.answer(404, X_Error_Code="RepoNotFound")
            elif match[2] not in files:
                self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            else:
                content = files[match[2]]
                tag = hashlib.sha1(content).hexdigest()
                self.answer(200, content, ETag=f'"{tag}"', X_Repo_Commit=COMMIT)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked.get('organization') or 'owner'}/{asked['name']}"
                if name not in repositories and (
                    asked.get("private") or asked.get("visibility") == "private"
                ):
                    private.add(name)
                repositories.setdefault(name, {})
                self.json(
                    {"url": f"http://{self.headers['Host']}/{name}", "name": name, "id": name}
                )
            elif self.path == "/api/validate-yaml":
                self.json({"errors": [], "warnings": []})
            elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/.+", self.path):
                files = [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in json.loads(body)["files"]
                ]
                self.json({"files": files, "commitOid": COMMIT})
            elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/.+", self.path):
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        content = base64.b64decode(line["value"]["content"])
                        repositories[match[1]][line["value"]["path"]] = content
                place = f"http://{self.headers['Host']}/{match[1]}/commit/{COMMIT}"
                self.json({"commitUrl": place, "commitOid": COMMIT, "hookOutput": ""})
            else:
                self.answer(404)

    server = QuietServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
