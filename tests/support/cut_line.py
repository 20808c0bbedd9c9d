"""A line between a client and a server that can be cut on the client's side: the server does not hear of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Line:
    """Passes bytes on from `port` to the server's."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._clients: list[socket.socket] = []
        self._servers: list[socket.socket] = []
        self.deaf = False  # answers of the server no longer arrive
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        clients, self._clients = self._clients, []
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def close(self) -> None:
        self._listening.close()
        self.cut()
        for each in self._servers:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._clients.append(client)
                self._servers.append(server)
                threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if answers and self.deaf:
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)


@contextmanager
def line_to(server_port: int) -> Iterator[Line]:
    line = Line(server_port)
    try:
        yield line
    finally:
        line.close()
