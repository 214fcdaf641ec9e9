# SPDX-License-Identifier: Apache-2.0
"""What make bench, make bench-instructions and idle.py are made of; bench/README.md tells what they measure."""
