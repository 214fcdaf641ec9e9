# SPDX-License-Identifier: Apache-2.0
"""gunicorn-requests: raw requests, valid and invalid, each followed by one of ours on the same connection."""

import os
import re

import pytest

from corpora import decoded, files, listed
from kit.clients import assert_problem
from kit.rawhttp import OVERS, Raw, split

SECOND = b"GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\nX-Request-Id: second\r\n\r\n"
REFUSED, ACCEPTED = "refused_valid.txt", "accepted_invalid.txt"
# Codes of problems that say: this is no request. Others are about what it asks for.
NO_REQUEST = {"bad-request", "invalid-target", "not-implemented", "http-version-not-supported", "head-too-large",
              "uri-too-long", "request-timeout"}


def armed(request, token):
    """The same request for a path that exists, with a Host and a good token: had its fault gone unseen,
    it would be answered 200. Requests whose first line may be the fault stay as they are."""
    match = re.match(rb"([A-Z]+) /[\w/?=&.]{0,99} (HTTP/1\.[01])\r\n", request)
    if not match:
        return request
    host = b"" if re.search(rb"(?im)^host:", request) else b"Host: x\r\n"
    return b"GET /v1/me %s\r\n%sAuthorization: Bearer %s\r\n" % (match[2], host, token) + request[match.end():]


def with_host(request):
    """A Host for every head of HTTP/1.1 that has none: gunicorn does not ask for one, RFC 9112 3.2 does."""
    def add(match):
        return match[0] if re.search(rb"(?im)^host:", match[2]) else match[1] + b"Host: x\r\n" + match[2]
    return re.sub(rb"([^\r\n ]+ [^\r\n]+ HTTP/1\.1\r\n)((?:[^\r\n]+\r\n)*\r\n)", add, request)


def answers_to(gateway, over, data, heads):
    """The final answers; at most one per head, and an end of the connection that leaves nobody waiting."""
    with Raw(gateway, over, 15) as raw:
        raw.send(data)
        answers = [a for a in split(raw.rest()) if a.status_code >= 200]
        assert raw.ended, "neither answered nor closed"
    assert len(answers) <= heads, "%d answers to %d heads" % (len(answers), heads)
    assert all(a.status_code < 500 or a.status_code in (501, 505) for a in answers)
    return answers


@pytest.mark.parametrize("over", OVERS)
@pytest.mark.parametrize("path", files("gunicorn-requests", "invalid", "*.http"))
def test_invalid(hasty_gateway, shop, path, over):
    """No 2xx. One answer, and the connection ends with it: the request behind it is never served, but
    where only the target is at fault (the end of such a request is not in doubt)."""
    token, request = shop.token().encode(), decoded(path)
    accepted = listed(ACCEPTED).get(os.path.basename(path))
    for data in (request, armed(request, token)):
        answers = answers_to(hasty_gateway, over, data + SECOND % token, 2)
        if accepted and answers[0].status_code in accepted[0]:
            continue
        codes = [assert_problem(a)["code"] for a in answers if a.status_code >= 400]
        assert len(answers) < 2 or codes == ["invalid-target"], [a.text for a in answers]
        assert not answers or answers[0].status_code >= 400 and set(codes) <= NO_REQUEST, [a.text for a in answers]


@pytest.mark.parametrize("over", OVERS)
@pytest.mark.parametrize("path", files("gunicorn-requests", "valid", "*.http"))
def test_valid(hasty_gateway, shop, path, over):
    """Taken for what it is: answered about what it asks for, and what follows is answered, too. What we
    refuse all the same is in the list, with its reason."""
    token, request = shop.token().encode(), with_host(decoded(path))
    refused = listed(REFUSED).get(os.path.basename(path))
    answers = answers_to(hasty_gateway, over, request + SECOND % token, 4)
    refusals = [a for a in answers if a.status_code >= 400 and assert_problem(a)["code"] in NO_REQUEST]
    if refused:
        assert refusals and {a.status_code for a in refusals} <= refused[0], [a.text for a in answers]
    else:
        assert answers and not refusals, [a.text for a in answers]
    if not refused and b"HTTP/1.0" not in request and not re.search(rb"(?i)connection: *close", request):
        assert answers[-1].headers["x-request-id"] == "second"


@pytest.mark.parametrize("name, kind", [(REFUSED, "valid"), (ACCEPTED, "invalid")])
def test_the_lists_name_files_that_are_there(name, kind):
    known = {param.id for param in files("gunicorn-requests", kind, "*.http")}
    if known == {"absent"}:
        pytest.skip("no gunicorn-requests")
    assert listed(name).keys() <= known
