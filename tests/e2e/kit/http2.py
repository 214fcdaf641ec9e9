# SPDX-License-Identifier: Apache-2.0
"""One HTTP/2 request by python3-h2, for what httpx hides: resets, and answers that come before the
request's body has been sent."""

import socket
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions


class Answer:
    def __init__(self):
        self.status_code, self.headers, self.content, self.reset = 0, {}, b"", None


def request(port, headers, body=b"", timeout_s=10, stop_early=True):
    """headers begin with the pseudo-headers. stop_early: no more body once an answer has begun."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(
        header_encoding="utf-8", validate_outbound_headers=False,
        normalize_outbound_headers=False))
    answer = Answer()
    with socket.create_connection(("127.0.0.1", port), timeout_s) as sock:
        connection.initiate_connection()
        connection.send_headers(1, headers, end_stream=not body)
        sock.sendall(connection.data_to_send())
        ended, sent, deadline = False, 0, time.monotonic() + timeout_s
        while not ended and time.monotonic() < deadline:
            while sent < len(body) and not (stop_early and answer.status_code):
                room = min(connection.local_flow_control_window(1), connection.max_outbound_frame_size,
                           len(body) - sent)
                if room <= 0:
                    break
                connection.send_data(1, body[sent:sent + room], end_stream=sent + room == len(body))
                sent += room
            try:
                sock.sendall(connection.data_to_send())
                data = sock.recv(65536)
            except (TimeoutError, ConnectionError):
                break
            if not data:
                break
            ended = _take(connection, answer, connection.receive_data(data))
            sock.sendall(connection.data_to_send())
    return answer


def _take(connection, answer, events):
    for event in events:
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = {k.lower(): v for k, v in event.headers}
            answer.status_code = int(answer.headers[":status"])
        elif isinstance(event, h2.events.DataReceived):
            answer.content += event.data
            connection.acknowledge_received_data(event.flow_controlled_length, 1)
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = event.error_code
            return True
        elif isinstance(event, h2.events.ConnectionTerminated):
            answer.reset = event.error_code
            return True
        elif isinstance(event, h2.events.StreamEnded):
            return True
    return False
