# SPDX-License-Identifier: Apache-2.0
"""What `make bench` makes of our statements for pgbench fits them as they are now."""

import os
import sys
import types

from kit.processes import ROOT


def test_scripts_have_the_statements_parameters(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [os.path.join(ROOT, "bench"), *sys.path])
    from suite import figures
    scripts = figures.write_scripts(types.SimpleNamespace(work=str(tmp_path), products=["1", "2"]))
    for path in scripts.values():
        with open(path, encoding="utf-8") as f:
            assert "$" not in f.read(), path
