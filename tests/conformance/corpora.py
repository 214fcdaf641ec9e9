# SPDX-License-Identifier: Apache-2.0
"""Files of a corpus, and the committed lists of what we do otherwise on purpose."""

import glob
import os
import re

import pytest

from conftest import CORPORA, HERE


def files(*pattern):
    """pytest parameters, one per file; one that skips where the corpus is absent."""
    found = sorted(glob.glob(os.path.join(CORPORA, *pattern)))
    if found:
        return [pytest.param(path, id=os.path.basename(path)) for path in found]
    return [pytest.param(None, id="absent", marks=pytest.mark.skip(
        reason="no %s in %s (TILLWAY_CORPORA)" % (os.path.join(*pattern), CORPORA)))]


def listed(name):
    """{file: (statuses, reason)} of a list: FILE STATUS[,STATUS] REASON, one per line."""
    out = {}
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                file, statuses, reason = line.split(None, 2)
                out[file] = {int(s) for s in statuses.split(",")}, reason.strip()
    return out


def decoded(path):
    """The bytes that a .http file of gunicorn's stands for."""
    with open(path, "rb") as f:
        text = f.read().replace(b"\n", b"")
    known = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0"}
    return re.sub(rb"\\(r|n|t|0|x[0-9A-Fa-f]{2})",
                  lambda m: known.get(m[1]) or bytes([int(m[1][1:], 16)]), text)
