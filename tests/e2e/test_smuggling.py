# SPDX-License-Identifier: Apache-2.0
"""H3, H4 and H5 on HTTP/1, over clear TCP and TLS: what two parsers could read differently is refused,
the connection ends with that answer, and nothing behind it is served. Payloads are our own, after the
classes that RFC 9112 11.2 and tools such as http-garden name."""

import time

import pytest

from kit.clients import assert_problem, at_once
from kit.processes import eventually, patient
from kit.rawhttp import OVERS, Raw, exchange, split

SECOND = b"GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-Request-Id: second\r\n\r\n"


@pytest.fixture(params=OVERS)
def over(request):
    return request.param


@pytest.fixture
def token(shop):
    return shop.token("manager").encode()


def head(token, first=b"GET /v1/me HTTP/1.1", fields=b"Host: x\r\n"):
    return first + b"\r\n" + fields + b"Authorization: Bearer " + token + b"\r\n\r\n"


def post(token, fields, body, first=b"POST /v1/products HTTP/1.1"):
    return head(token, first, b"Host: x\r\nContent-Type: application/json\r\n" + fields) + body


def refused(gateway, token, request, over, statuses=(400,)):
    """One answer, its status, the end of the connection; the request behind it is not served."""
    answers, ended = exchange(gateway, request + SECOND % token, over)
    assert [a.status_code for a in answers] == [answers[0].status_code], [a.text for a in answers]
    assert answers[0].status_code in statuses, answers[0].text
    assert ended and answers[0].headers["connection"] == "close"
    return assert_problem(answers[0])


# ---- heads ----------------------------------------------------------------------------------------

GET = b"GET /v1/me HTTP/1.1"
HEADS = {
    "bare LF everywhere": b"GET /v1/me HTTP/1.1\nHost: x\n\n",
    "bare LF after the request line": b"GET /v1/me HTTP/1.1\nHost: x\r\n\r\n",
    "bare LF after a field": GET + b"\r\nHost: x\nA: b\r\n\r\n",
    "bare LF as the end": GET + b"\r\nHost: x\r\n\n",
    "bare LF first": b"\n" + GET + b"\r\nHost: x\r\n\r\n",
    "bare CR in a value": GET + b"\r\nHost: x\r\nA: b\rc\r\n\r\n",
    "bare CR as a line end": GET + b"\rHost: x\r\n\r\n",
    "CR CR LF": GET + b"\r\nHost: x\r\r\n\r\n",
    "two empty lines first": b"\r\n\r\n" + GET + b"\r\nHost: x\r\n\r\n",
    "obs-fold by SP": GET + b"\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "obs-fold by HT": GET + b"\r\nHost: x\r\nA: b\r\n\tc\r\n\r\n",
    "fold of the first field": GET + b"\r\n Host: x\r\n\r\n",
    "folded length": b"POST /v1/products HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n 2\r\n\r\n{}",
    "SP before the colon": GET + b"\r\nHost : x\r\n\r\n",
    "HT before the colon": GET + b"\r\nHost\t: x\r\n\r\n",
    "SP in a name": GET + b"\r\nHost: x\r\nA b: c\r\n\r\n",
    "empty name": GET + b"\r\nHost: x\r\n: c\r\n\r\n",
    "no colon": GET + b"\r\nHost: x\r\nA\r\n\r\n",
    "NUL in a name": GET + b"\r\nHost: x\r\nA\0: b\r\n\r\n",
    "NUL in a value": GET + b"\r\nHost: x\r\nA: \0\r\n\r\n",
    "BEL in a value": GET + b"\r\nHost: x\r\nA: \a\r\n\r\n",
    "DEL in a value": GET + b"\r\nHost: x\r\nA: \x7f\r\n\r\n",
    "VT in a value": GET + b"\r\nHost: x\r\nA: b\vc\r\n\r\n",
    "obs-text in a name": GET + b"\r\nHost: x\r\n\xc3\xa9: b\r\n\r\n",
    "quote in a name": GET + b"\r\nHost: x\r\n\"A\": b\r\n\r\n",
    "NUL in the target": b"GET /v1/me\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HT in the request line": b"GET\t/v1/me\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "two SP before the target": b"GET  /v1/me HTTP/1.1\r\nHost: x\r\n\r\n",
    "two SP before the version": b"GET /v1/me  HTTP/1.1\r\nHost: x\r\n\r\n",
    "SP behind the version": b"GET /v1/me HTTP/1.1 \r\nHost: x\r\n\r\n",
    "SP before the method": b" GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n",
    "no method": b" /v1/me HTTP/1.1\r\nHost: x\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version (0.9)": b"GET /v1/me\r\n\r\n",
    "colon in the method": b"GET: /v1/me HTTP/1.1\r\nHost: x\r\n\r\n",
    "obs-text in the method": b"G\xc3\x8bT /v1/me HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in the method": b"GET\0 /v1/me HTTP/1.1\r\nHost: x\r\n\r\n",
    "lower-case version": b"GET /v1/me http/1.1\r\nHost: x\r\n\r\n",
    "HTTP/1.10": b"GET /v1/me HTTP/1.10\r\nHost: x\r\n\r\n",
    "HTTP/1": b"GET /v1/me HTTP/1\r\nHost: x\r\n\r\n",
    "HTTP/01.1": b"GET /v1/me HTTP/01.1\r\nHost: x\r\n\r\n",
    "FTP/1.1": b"GET /v1/me FTP/1.1\r\nHost: x\r\n\r\n",
    "no Host": GET + b"\r\n\r\n",
    "empty Host": GET + b"\r\nHost:\r\n\r\n",
    "two Host": GET + b"\r\nHost: x\r\nHost: x\r\n\r\n",
    "two Host on HTTP/1.0": b"GET /v1/me HTTP/1.0\r\nHost: x\r\nhost: y\r\n\r\n",
    "Host with a path": GET + b"\r\nHost: x/v1\r\n\r\n",
    "Host with userinfo": GET + b"\r\nHost: a@x\r\n\r\n",
    "Host with a SP": GET + b"\r\nHost: x y\r\n\r\n",
    "Host with a bad port": GET + b"\r\nHost: x:8o\r\n\r\n",
    "Host with a long port": GET + b"\r\nHost: x:123456\r\n\r\n",
    "Host of an open IPv6": GET + b"\r\nHost: [::1\r\n\r\n",
    "Host with obs-text": GET + b"\r\nHost: \xc3\xa9\r\n\r\n",
    "a PROXY line": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + GET + b"\r\nHost: x\r\n\r\n",
    "TLS bytes": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}
VERSIONS = ["HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9"]


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_is_none_is_400(gateway, token, over, name):
    """H5. With a good token in it wherever there is room for one."""
    begin, end, rest = HEADS[name].partition(b"\r\n\r\n")
    request = begin + b"\r\nAuthorization: Bearer " + token + end + rest if end else HEADS[name]
    assert refused(gateway, token, request, over)["code"] == "bad-request"


@pytest.mark.parametrize("version", VERSIONS)
def test_another_version_is_505(gateway, token, over, version):
    """H5, RFC 9110 15.6.6."""
    request = head(token, b"GET /v1/me " + version.encode())
    assert refused(gateway, token, request, over, (505,))["code"] == "http-version-not-supported"


@pytest.mark.parametrize("request_line", ["GET http://x/v1/me", "GET https://x/v1/me", "GET x:80", "CONNECT x:80",
                                          "OPTIONS *", "GET *", "GET //x/v1/me", "GET v1/me", "GET ?"])
def test_other_forms_of_target_are_400(gateway, token, over, request_line):
    """H6: refused by the router; such a head ends where it ends, so the connection goes on."""
    answers, _ = exchange(gateway, head(token, request_line.encode() + b" HTTP/1.1") +
                          (SECOND % token).replace(b"Host: x", b"Host: x\r\nConnection: close"), over)
    assert [a.status_code for a in answers] == [400, 200]
    assert_problem(answers[0], 400, "invalid-target")


GOOD = {
    "plain": GET + b"\r\nHost: x\r\n\r\n",
    "one empty line first": b"\r\n" + GET + b"\r\nHost: x\r\n\r\n",
    "HTTP/1.0 without Host": b"GET /v1/me HTTP/1.0\r\n\r\n",
    "white space around a value": GET + b"\r\nHost: \t x \t\r\nA: \t b \t c \t\r\n\r\n",
    "empty value": GET + b"\r\nHost: x\r\nA:\r\n\r\n",
    "obs-text in a value": GET + b"\r\nHost: x\r\nA: caf\xc3\xa9\r\n\r\n",
    "every token character": GET + b"\r\nHost: x\r\n!#$%&'*+-.^_`|~09az: b\r\n\r\n",
    "Host of IPv6": GET + b"\r\nHost: [::1]:8080\r\n\r\n",
    "Host of a reg-name": GET + b"\r\nHost: a-b.c_d~e!$&'()*+,;=:65535\r\n\r\n",
    "length 0": GET + b"\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_valid_is_served(gateway, token, over, name):
    request = GOOD[name].replace(b"\r\n\r\n", b"\r\nConnection: close\r\nAuthorization: Bearer " + token + b"\r\n\r\n")
    answers, ended = exchange(gateway, request, over)
    assert [a.status_code for a in answers] == [200] and ended, answers[0].text


# ---- framing --------------------------------------------------------------------------------------

CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
FRAMINGS = {
    "CL.TE": (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
    "TE.CL": (b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", CHUNKS),
    "CL 0 and TE": (b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
    "TE and bad CL": (b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n", CHUNKS),
    "two CL": (b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{}"),
    "two equal CL": (b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"),
    "CL list": (b"Content-Length: 2, 2\r\n", b"{}"),
    "CL with a sign": (b"Content-Length: +2\r\n", b"{}"),
    "CL below zero": (b"Content-Length: -2\r\n", b"{}"),
    "CL minus zero": (b"Content-Length: -0\r\n", b"{}"),
    "CL hexadecimal": (b"Content-Length: 0x2\r\n", b"{}"),
    "CL with a point": (b"Content-Length: 2.0\r\n", b"{}"),
    "CL with an underscore": (b"Content-Length: 0_2\r\n", b"{}"),
    "CL with a SP": (b"Content-Length: 2 2\r\n", b"{}"),
    "CL empty": (b"Content-Length:\r\n", b""),
    "CL quoted": (b"Content-Length: \"2\"\r\n", b"{}"),
    "CL beyond 64 bits": (b"Content-Length: 18446744073709551618\r\n", b"{}"),
    "CL of 2^64": (b"Content-Length: 18446744073709551616\r\n", b"{}"),
    "CL by underscore": (b"Content_Length: 2\r\nContent-Length: 2\r\n", b"{}"),
    "TE by underscore": (b"Transfer_Encoding: chunked\r\nContent-Length: 2\r\n", b"{}"),
    "TE unknown": (b"Transfer-Encoding: xchunked\r\n", CHUNKS),
    "TE identity": (b"Transfer-Encoding: identity\r\n", CHUNKS),
    "TE empty": (b"Transfer-Encoding:\r\n", CHUNKS),
    "TE not last": (b"Transfer-Encoding: chunked, gzip\r\n", CHUNKS),
    "TE twice in a line": (b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS),
    "TE in two lines": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
    "TE hidden behind another": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", CHUNKS),
    "TE with a parameter": (b"Transfer-Encoding: chunked;q=1\r\n", CHUNKS),
    "TE with a comma": (b"Transfer-Encoding: chunked,\r\n", CHUNKS),
    "TE with a comma before": (b"Transfer-Encoding: ,\r\n", CHUNKS),
    "TE quoted": (b"Transfer-Encoding: \"chunked\"\r\n", CHUNKS),
    "TE by VT": (b"Transfer-Encoding: \vchunked\r\n", CHUNKS),
    "TE with SP before the colon": (b"Transfer-Encoding : chunked\r\n", CHUNKS),
    "TE folded": (b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS),
    "TE behind a bare LF": (b"A: b\nTransfer-Encoding: chunked\r\nContent-Length: 12\r\n", CHUNKS),
    "TE behind a bare CR": (b"A: b\rTransfer-Encoding: chunked\r\nContent-Length: 12\r\n", CHUNKS),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_framing_of_two_meanings_is_400(gateway, token, over, name):
    """H5: the classes of request smuggling; the request behind it is the one that would be smuggled."""
    assert refused(gateway, token, post(token, *FRAMINGS[name]), over)["code"] == "bad-request"


@pytest.mark.parametrize("value", ["gzip, chunked", "gzip,chunked", "identity, chunked", "x , chunked"])
def test_a_coding_before_chunked_is_501(gateway, token, over, value):
    """RFC 9112 6.1"""
    request = post(token, b"Transfer-Encoding: " + value.encode() + b"\r\n", CHUNKS)
    assert refused(gateway, token, request, over, (501,))["code"] == "not-implemented"


def test_chunked_on_http_1_0_is_400(gateway, token, over):
    refused(gateway, token, post(token, b"Transfer-Encoding: chunked\r\n", CHUNKS,
                                 b"POST /v1/products HTTP/1.0"), over)


def test_a_body_of_a_get_is_framed_too(gateway, token, over):
    """What looks like a request inside a body is a body."""
    inner = SECOND % token
    answers, _ = exchange(gateway, head(token, fields=b"Host: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(inner)) +
                          inner + head(token, fields=b"Host: x\r\nConnection: close\r\nX-Request-Id: third\r\n"), over)
    assert len(answers) == 2 and answers[1].status_code == 200
    assert "second" not in [a.headers["x-request-id"] for a in answers]


# ---- chunks ---------------------------------------------------------------------------------------

NAME = b'{"name":"x","price":1}'  # 22 bytes, hexadecimal 16
BAD_CHUNKS = {
    "no size": b"\r\n" + NAME + b"\r\n0\r\n\r\n",
    "SP before the size": b" 16\r\n" + NAME + b"\r\n0\r\n\r\n",
    "SP behind the size": b"16 \r\n" + NAME + b"\r\n0\r\n\r\n",
    "SP before the extension": b"16 ;a\r\n" + NAME + b"\r\n0\r\n\r\n",
    "SP behind the last size": b"16\r\n" + NAME + b"\r\n0 \r\n\r\n",
    "HT behind the size": b"16\t\r\n" + NAME + b"\r\n0\r\n\r\n",
    "prefix 0x": b"0x16\r\n" + NAME + b"\r\n0\r\n\r\n",
    "a plus": b"+16\r\n" + NAME + b"\r\n0\r\n\r\n",
    "a minus": b"-16\r\n" + NAME + b"\r\n0\r\n\r\n",
    "an underscore": b"1_6\r\n" + NAME + b"\r\n0\r\n\r\n",
    "17 digits": b"00000000000000016\r\n" + NAME + b"\r\n0\r\n\r\n",
    "beyond 64 bits": b"10000000000000016\r\n" + NAME + b"\r\n0\r\n\r\n",
    "bare LF behind the size": b"16\n" + NAME + b"\r\n0\r\n\r\n",
    "bare CR behind the size": b"16\r" + NAME + b"\r\n0\r\n\r\n",
    "CR CR LF behind the size": b"16\r\r\n" + NAME + b"\r\n0\r\n\r\n",
    "bare LF behind the data": b"16\r\n" + NAME + b"\n0\r\n\r\n",
    "CR CR LF behind the data": b"16\r\n" + NAME + b"\r\r\n0\r\n\r\n",
    "nothing behind the data": b"16\r\n" + NAME + b"0\r\n\r\n",
    "junk behind the data": b"16\r\n" + NAME + b"XX0\r\n\r\n",
    "size too small": b"15\r\n" + NAME + b"\r\n0\r\n\r\n",
    "bare LF in an extension": b"16;a\n" + NAME + b"\r\n0\r\n\r\n",
    "bare CR in an extension": b"16;a=b\rc\r\n" + NAME + b"\r\n0\r\n\r\n",
    "NUL in an extension": b"16;a=\0\r\n" + NAME + b"\r\n0\r\n\r\n",
    "an extension without a size": b";a\r\n" + NAME + b"\r\n0\r\n\r\n",
    "long extension": b"16;" + b"a" * 9000 + b"\r\n" + NAME + b"\r\n0\r\n\r\n",
    "bare LF behind the last size": b"16\r\n" + NAME + b"\r\n0\n\r\n",
    "bare LF as the end": b"16\r\n" + NAME + b"\r\n0\r\n\n",
    "CR CR LF as the end": b"16\r\n" + NAME + b"\r\n0\r\n\r\r\n",
    "trailer Content-Length": b"16\r\n" + NAME + b"\r\n0\r\nContent-Length: 5\r\n\r\n",
    "trailer Transfer-Encoding": b"16\r\n" + NAME + b"\r\n0\r\ntransfer-encoding: chunked\r\n\r\n",
    "trailer Host": b"16\r\n" + NAME + b"\r\n0\r\nHost: y\r\n\r\n",
    "trailer Authorization": b"16\r\n" + NAME + b"\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
    "trailer Content_Length": b"16\r\n" + NAME + b"\r\n0\r\nContent_Length: 5\r\n\r\n",
    "trailer without a colon": b"16\r\n" + NAME + b"\r\n0\r\nGET /v1/me HTTP/1.1\r\n\r\n",
    "trailer without a name": b"16\r\n" + NAME + b"\r\n0\r\n: a\r\n\r\n",
    "trailer with SP before the colon": b"16\r\n" + NAME + b"\r\n0\r\nA : b\r\n\r\n",
    "trailer folded": b"16\r\n" + NAME + b"\r\n0\r\nA: b\r\n c\r\n\r\n",
    "trailer with a bare LF": b"16\r\n" + NAME + b"\r\n0\r\nA: b\n\r\n",
    "trailer with a control": b"16\r\n" + NAME + b"\r\n0\r\nA: \a\r\n\r\n",
    "long trailers": b"16\r\n" + NAME + b"\r\n0\r\n" + b"A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n" * 300 + b"\r\n",
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_a_wrong_chunk_is_400(gateway, token, over, name):
    """H5: no handler sees such a body, and what follows is not a request."""
    request = post(token, b"Transfer-Encoding: chunked\r\n", BAD_CHUNKS[name])
    assert refused(gateway, token, request, over)["code"] == "bad-request"


GOOD_CHUNKS = {
    "one": b"16\r\n" + NAME + b"\r\n0\r\n\r\n",
    "many": b"".join(b"1\r\n%c\r\n" % c for c in NAME) + b"0\r\n\r\n",
    "leading zeros": b"0000000000000016\r\n" + NAME + b"\r\n000\r\n\r\n",
    "capitals": b"A\r\n" + NAME[:10] + b"\r\nC\r\n" + NAME[10:] + b"\r\n0\r\n\r\n",
    "extensions": b"16;a;b=c; d=\"e f\"\r\n" + NAME + b"\r\n0;z\r\n\r\n",
    "trailers": b"16\r\n" + NAME + b"\r\n0\r\nVary: *\r\nX-Check:\tsum \r\nEmpty:\r\n\r\n",
}


@pytest.mark.parametrize("name", GOOD_CHUNKS)
@pytest.mark.parametrize("pause", ["at once", "byte by byte"])
def test_chunked_is_taken(gateway, token, over, name, pause):
    """Show 7: exactly `chunked` works by default, and the next request on the connection too. Trailers
    and extensions are read and thrown away."""
    request = post(token, b"Transfer-Encoding: Chunked \r\n", GOOD_CHUNKS[name])
    close = b"GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
    with Raw(gateway, over) as raw:
        if pause == "at once":
            raw.send(request + close)
        else:
            cut = request.index(b"\r\n\r\n") - 3
            raw.send(request[:cut])
            for i in range(cut, len(request)):
                raw.send(request[i:i + 1])
            raw.send(close)
        answers = split(raw.rest())
    assert [a.status_code for a in answers] == [201, 200], [a.text for a in answers]


# ---- sizes ----------------------------------------------------------------------------------------

BODY_MAX, HEAD_MAX = 1024 * 1024, 16 * 1024


def test_chunks_beyond_the_limit_are_413(gateway, token, over):
    """H4: as soon as a chunk's size says so, or when many small ones add up."""
    for body in (b"100001\r\n", b"ffffffffffffffff\r\n", b"10000\r\n" + b" " * 65536 + b"\r\nf0001\r\n",
                 (b"10000\r\n" + b" " * 65536 + b"\r\n") * 17):
        request = post(token, b"Transfer-Encoding: chunked\r\n", body)
        assert refused(gateway, token, request, over, (413,))["code"] == "payload-too-large"


def test_chunks_of_just_the_limit_are_taken(gateway, token, over):
    text = NAME + b" " * (BODY_MAX - len(NAME))
    body = b"".join(b"10000\r\n" + text[i:i + 65536] + b"\r\n" for i in range(0, BODY_MAX, 65536))
    answers, _ = exchange(gateway, post(token, b"Connection: close\r\nTransfer-Encoding: chunked\r\n",
                                        body + b"0\r\n\r\n"), over)
    assert [a.status_code for a in answers] == [201]


def of_length(token, n):
    rest = head(token, fields=b"Host: x\r\nConnection: close\r\nX: ")
    begin, end = rest.split(b"X: ")
    return begin + b"X: " + b"x" * (n - len(rest) - 2) + b"\r\n" + end


def test_a_head_beyond_16_kib_is_431(gateway, token, over):
    """H4: 16 KiB are taken, and no byte more, whether the end has come or not."""
    assert len(of_length(token, HEAD_MAX)) == HEAD_MAX
    answers, _ = exchange(gateway, of_length(token, HEAD_MAX), over)
    assert [a.status_code for a in answers] == [200]
    for request in (of_length(token, HEAD_MAX + 1), of_length(token, 200000),
                    GET + b"\r\nHost: x\r\nX: " + b"x" * HEAD_MAX, GET + b"\r\n" + b"A: b\r\n" * 3000):
        problem = refused(gateway, token, request, over, (431,))
        assert problem["code"] == "head-too-large"


def test_more_than_100_fields_are_431(gateway, token, over):
    """H4"""
    for n, status in ((100, 200), (101, 431)):
        request = head(token, fields=b"Host: x\r\nConnection: close\r\n" + b"A: b\r\n" * (n - 3))
        answers, _ = exchange(gateway, request, over)
        assert [a.status_code for a in answers] == [status]


def test_a_target_beyond_all_limits_is_414(gateway, token, over):
    """H4"""
    for target in (b"/" + b"a" * 4096, b"/" + b"a" * 16000, b"/" + b"a" * 100000):
        answers, _ = exchange(gateway, head(token, b"GET " + target + b" HTTP/1.1",
                                            b"Host: x\r\nConnection: close\r\n"), over)
        assert [a.status_code for a in answers] == [414]
        assert_problem(answers[0], 414, "uri-too-long")
    refused(gateway, token, b"GET /" + b"a" * 20000, over, (414,))


# ---- the last answer arrives ----------------------------------------------------------------------

def test_a_413_reaches_a_client_that_only_sends(gateway, token, over):
    """H4: 10 MiB by a client that reads when it has sent everything: no reset takes its answer away."""
    request = head(token, b"POST /v1/products HTTP/1.1", b"Host: x\r\nContent-Length: 10485760\r\n")
    with Raw(gateway, over) as raw:
        assert raw.send(request)
        for _ in range(160):
            assert raw.send(b" " * 65536), "it was cut off"
        answers = split(raw.rest())
        assert [a.status_code for a in answers] == [413] and raw.ended and not raw.was_reset


def test_the_answers_before_a_refused_request_arrive(gateway, token, over):
    """A pipeline of good requests, a bad one and a lot behind it: every answer comes, in order."""
    good = SECOND % token
    with Raw(gateway, over) as raw:
        raw.send(good * 5 + b"BAD\r\n\r\n" + good * 100 + b"x" * 1000000)
        answers = split(raw.rest())
    assert [a.status_code for a in answers] == [200] * 5 + [400]


def test_a_client_that_never_stops_is_cut_off(gateway, token):
    """The reading after the last answer is bounded: 16 MiB, 5 s."""
    began = time.monotonic()
    with Raw(gateway, timeout_s=30) as raw:
        raw.send(b"BAD\r\n\r\n")
        while raw.send(b"x" * 65536):
            assert time.monotonic() - began < patient(10), "it still listens"
    assert time.monotonic() - began < patient(10)


def test_a_good_answer_is_not_waited_for(gateway, token, over):
    """Where nothing more can come, the connection ends at once."""
    began = time.monotonic()
    answers, ended = exchange(gateway, head(token, fields=b"Host: x\r\nConnection: close\r\n"), over)
    assert [a.status_code for a in answers] == [200] and ended
    assert time.monotonic() - began < 1.8  # and not the 2 s of a refused one


def test_refused_connections_do_not_stay(gateway):
    """A client that neither sends nor closes holds them for 2 s."""
    open_now = gateway.metrics()["tillway_connections"]
    raws = [Raw(gateway) for _ in range(20)]
    for raw in raws:
        raw.send(b"BAD\r\n\r\n")
    for raw in raws:
        assert raw.rest()
    eventually(lambda: gateway.metrics()["tillway_connections"] <= open_now, patient(5),
               what="the connections have gone")
    for raw in raws:
        raw.sock.close()


# ---- slowness -------------------------------------------------------------------------------------

SLOW = {
    "head": (b"GET /v1/me HTT", b"P/1.1\r\nHost: x\r\nA: b\r\n"),
    "body": (b"POST /v1/products HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", b" " * 50),
    "chunks": (b"POST /v1/products HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 5),
    "trailers": (b"POST /v1/products HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 5),
}


@pytest.fixture
def hasty(start):
    return start(http={"request_timeout": "1s"})


def test_slow_senders_are_told_408(hasty, over):
    """H3: a byte every now and then re-arms nothing; within http.request_timeout it is over."""
    def send(kind):
        name, (first, slowly) = list(SLOW.items())[kind]
        with Raw(hasty, over, timeout_s=patient(5)) as raw:
            began = time.monotonic()
            raw.send(first)
            for i in range(3):
                time.sleep(0.25)  # the slowness itself
                raw.send(slowly[i:i + 1])
            answers = split(raw.rest())
            took = time.monotonic() - began
        assert [a.status_code for a in answers] == [408], name
        assert_problem(answers[0], 408, "request-timeout")
        assert raw.ended and 0.9 < took < patient(2), "%s: %.1f s" % (name, took)

    at_once(len(SLOW), send)


def test_an_idle_connection_is_closed_without_a_word(hasty, over):
    """H3: nobody has asked anything."""
    with Raw(hasty, over, timeout_s=patient(5)) as raw:
        assert raw.rest() == b"" and raw.ended


# ---- protocols ------------------------------------------------------------------------------------

def test_the_preface_comes_first_or_not_at_all(gateway, token):
    """H5: HTTP/2 does not begin behind an HTTP/1 request (RFC 9113 3.3)."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    answers, ended = exchange(gateway, SECOND % token + preface)
    assert [a.status_code for a in answers] == [200, 505] and ended
    with Raw(gateway) as raw:
        raw.send(preface)
        assert raw.rest(5, until=b"\0\0\0\4\1")  # SETTINGS, acknowledged


def test_upgrade_to_h2c_is_ignored(gateway, token):
    """A proxy that lets the header through would become a tunnel."""
    fields = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    answers, _ = exchange(gateway, head(token, fields=fields) + SECOND % token, "clear")
    assert {a.status_code for a in answers} == {200}
    assert answers[0].json()["username"] and "upgrade" not in answers[0].headers


def test_nothing_of_a_request_gets_into_a_head_of_ours(gateway, token, over):
    """H5: no CR, LF or NUL in what we send: what a head reflects is checked or encoded."""
    for value in (b"a\x0b", b"a%0d%0aX:1", b"a\xe2\x80\xa8", b"\"a\""):
        answers, _ = exchange(gateway, head(token, fields=(
            b"Host: x\r\nConnection: close\r\nX-Request-Id: %s\r\nOrigin: %s\r\n" % (value, value))), over)
        for answer in answers:
            assert "x" not in answer.headers
            assert all(c >= " " for v in answer.headers.values() for c in v)


# ---- what is told of it ---------------------------------------------------------------------------

REASONS = {
    "syntax": b"BAD\r\n\r\n", "version": b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", "host": b"GET / HTTP/1.1\r\n\r\n",
    "content-length": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    "transfer-encoding": b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n",
    "length-and-coding": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunk": b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx",
    "head-size": b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * HEAD_MAX,
    "field-count": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    "target-size": b"GET /" + b"x" * HEAD_MAX,
    "body-size": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
    "expectation": b"GET / HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n",
}


@pytest.mark.parametrize("reason", REASONS)
def test_every_refusal_is_counted_and_logged(gateway, reason):
    """tillway_guard_refusals_total, and a line in the access log with the id that the client was told."""
    name = 'tillway_guard_refusals_total{reason="%s"}' % reason
    before = gateway.metrics()[name]
    answers, _ = exchange(gateway, REASONS[reason])
    assert len(answers) == 1
    eventually(lambda: gateway.metrics()[name] == before + 1, what="it is counted")
    wanted = {"requestId": answers[0].json()["requestId"], "status": answers[0].status_code}
    line, = eventually(lambda: gateway.accesses(**wanted), what="the line is written")
    assert line["code"] == answers[0].json()["code"]
