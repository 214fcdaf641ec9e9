# SPDX-License-Identifier: Apache-2.0
"""pytest's view of cases.py: tests/h2o/prove.sh builds the two servers."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import cases  # noqa: E402


@pytest.mark.parametrize("case", cases.CASES, ids=lambda c: c.__name__)
def test_defect(case):
    if not os.environ.get(case.needs):
        pytest.skip("%s names no hello binary (tests/h2o/prove.sh builds it)" % case.needs)
    case()
