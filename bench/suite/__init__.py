# SPDX-License-Identifier: Apache-2.0
"""What make bench, make bench-instructions and idle.py are made of; bench/README.md tells what they
measure. Its processes are those of the end-to-end tests: tests/e2e/kit."""

import os
import sys

sys.path.insert(0, os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", "tests", "e2e")))
