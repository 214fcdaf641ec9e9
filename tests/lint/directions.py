#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom (DESIGN §2), and what no file may hold.

    tests/lint/directions.py [ROOT]

One line per violation: FILE: RULE: what is wrong. Reads the tracked files, or all files where there
is no git. Includes are followed through our own headers, never into the libraries'.
"""
import os
import re
import subprocess
import sys

LINES_MAX = 700

# The master's side: nobody else may see libevent.
LIBEVENT_FILES = {
    "gateway/admin.c",
    "gateway/admin_connections.c",
    "gateway/admin_host.c",
    "gateway/admin_pages.c",
    "gateway/admin_pages.h",
    "gateway/admin_reload.c",
    "gateway/file_watch.c",
    "gateway/http_get.c",
    "gateway/jwks_fetch.c",
    "gateway/master.c",
    "gateway/master_change.c",
    "gateway/supervise.c",
    "gateway/trace_export.c",
}
# Who may see hiredis.
REDIS_FILES = ("gateway/redis", "gateway/fleet.c")
# What the rooms below the gateway may see of it.
FOUNDATION = {"gateway/base.h", "gateway/log.h", "gateway/status.h"}
# Folders each room may include from.
BELOW = {
    "handlers": {"handlers", "gateway", "auth", "config"},
    "gateway": {"gateway", "auth", "config"},
    "auth": {"auth", "config"},
    "config": {"config"},
    "mint": {"mint"},
    "dev": {"dev", "mint"},
}
# The command line alone, besides what its room allows: nothing on a request's path makes a token.
COMMANDS = {
    "gateway/main.c": {"handlers/routes.h", "gateway/token_command.h"},
    "gateway/token_command.c": {"mint/key.h", "mint/token.h", "gateway/token_command.h"},
}
COMMANDS_ONLY = {"gateway/token_command.h"}

LIBRARIES = (
    ("h2o", re.compile(r"h2o(\.h$|/)")),
    ("libevent", re.compile(r"(event2/|event\.h$|evhttp\.h$|evdns\.h$|evutil\.h$)")),
    ("libpq", re.compile(r"(postgresql/)?(libpq|pg_config|postgres_ext|libpq-fe|libpq-events)[-./\w]*$")),
    ("libjwt", re.compile(r"jwt\.h$")),
    ("hiredis", re.compile(r"hiredis/")),
)

SPDX = "SPDX-License-Identifier: Apache-2.0"
SPDX_FILES = re.compile(r"(\.(c|h|def|py|sh|sql|awk|mk|lua|js)|(^|/)(Makefile|Dockerfile)|^\.ci/run)$")
# Data, other people's texts and prose are as long as they are.
ANY_LENGTH = re.compile(r"(\.(csv|patch|json|md)|(^|/)LICENSE)$")

# Split so that this file does not find itself.
MACHINE = re.compile(
    r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e]/\w+)/"
    r"|\b(?:deb|security|snapshot|ftp)\.debia[n]\.org\b"
    r"|\b(?:docke[r]|ghc[r]|qua[y]|gc[r])\.io\b"
    r"|\b(?:pyp[i]\.org|pythonhoste[d]\.org|npmj[s]\.(?:org|com)|golan[g]\.org|crate[s]\.io)\b"
)
SQL = re.compile(
    r"\bselect\s+\S.*\bfrom\b|\bselect\s+\w+\(|\binsert\s+into\b|\bupdate\s+\w+\s+set\s+\w+\s*="
    r"|\bdelete\s+from\b|\b(?:create|alter|drop)\s+(?:table|index|function|schema|role|or\s+replace)\b"
    r"|\bset\s+(?:local\s+|session\s+)?\w+\s*(?:=|to\s)|^\s*(?:listen|notify|lock\s+table|truncate)\s+\w",
    re.IGNORECASE | re.DOTALL,
)

TOKENS = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL
)
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*(.*?)[ \t]*$", re.MULTILINE)


def files(root):
    if os.path.exists(os.path.join(root, ".git")):
        out = subprocess.run(["git", "-C", root, "ls-files", "-z"], stdout=subprocess.PIPE, check=True)
        names = out.stdout.decode().split("\0")
    else:
        names = (
            os.path.relpath(os.path.join(folder, name), root)
            for folder, _, found in os.walk(root)
            for name in found
        )
    return sorted(n for n in names if n and os.path.isfile(os.path.join(root, n)))


def without_comments(text):
    def blank(match):
        token = match.group()
        return re.sub(r"[^\n]", " ", token) if token.startswith("/") else token

    return TOKENS.sub(blank, text)


def strings(code):
    """The literals of each run of adjacent ones, as one text."""
    run, end = "", 0
    for match in TOKENS.finditer(code):
        if not match.group().startswith('"'):
            continue
        if code[end : match.start()].strip():
            yield run
            run = ""
        run += match.group()[1:-1].replace("\\n", "\n").replace('\\"', '"')
        end = match.end()
    yield run


class Tree:
    def __init__(self, root):
        self.root = root
        self.names = files(root)
        self.violations = []
        self.code = {}
        self.includes = {}
        for name in self.names:
            if name.split("/")[0] in BELOW and name.endswith((".c", ".h", ".def")):
                self.code[name] = without_comments(self.read(name))
                self.includes[name] = self.read_includes(name)

    def read(self, name):
        with open(os.path.join(self.root, name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def say(self, name, rule, what):
        self.violations.append(f"{name}: {rule}: {what}")

    def read_includes(self, name):
        found = []
        for operand in INCLUDE.findall(self.code[name]):
            match = re.fullmatch(r'[<"]([^>"]+)[>"]', operand)
            if not match:
                self.say(name, "include", f"cannot tell what {operand} is")
                continue
            target = match.group(1)
            if {".", ".."} & set(target.split("/")) or (operand[0] == '"' and "/" not in target):
                self.say(name, "include", f"{operand} is not named from the root of the tree")
            found.append(target)
        return found

    def closure(self, name):
        """Everything that including it brings along, with the chain that brings it."""
        chains, todo = {}, [(name, (name,))]
        while todo:
            at, chain = todo.pop()
            for target in self.includes.get(at, ()):
                if target not in chains:
                    chains[target] = chain + (target,)
                    todo.append((target, chains[target]))
        return chains

    def libraries(self, name):
        """Library -> the chain of includes that leads to it."""
        found = {}
        for target, chain in self.closure(name).items():
            for library, pattern in LIBRARIES:
                if target not in self.names and pattern.match(target):
                    found.setdefault(library, chain)
        return found

    def check_direction(self, name):
        room = name.split("/")[0]
        for target in self.includes[name]:
            folder = target.split("/")[0]
            if folder not in BELOW or target in FOUNDATION:
                continue
            if target in COMMANDS.get(name, ()):
                continue
            if folder in BELOW[room] and target not in COMMANDS_ONLY:
                continue
            self.say(name, "direction", f"{room} may not include {target}")

    def check_libraries(self, name):
        room = name.split("/")[0]
        found = self.libraries(name)
        forbidden = {
            "auth": ("h2o", "libevent", "libpq", "libjwt", "hiredis"),
            "config": ("h2o", "libevent", "libpq", "libjwt", "hiredis"),
            "handlers": ("h2o", "libevent", "libpq", "libjwt", "hiredis"),
            "gateway": ("libjwt",),
            "mint": ("h2o", "libevent", "libpq", "hiredis"),
            "dev": ("h2o", "libpq", "libjwt", "hiredis"),
        }[room]
        for library in forbidden:
            if library in found:
                self.say(name, library, " -> ".join(found[library]))
        if room == "gateway" and "libpq" in found and not name.startswith("gateway/db"):
            self.say(name, "libpq", " -> ".join(found["libpq"]))
        if room == "gateway" and "hiredis" in found and not name.startswith(REDIS_FILES):
            self.say(name, "hiredis", " -> ".join(found["hiredis"]))
        if room == "gateway" and "libevent" in found and name not in LIBEVENT_FILES:
            self.say(name, "libevent", " -> ".join(found["libevent"]))
        if "h2o" in found and "libevent" in found:
            self.say(name, "one loop", f"{' -> '.join(found['h2o'])} and {' -> '.join(found['libevent'])}")
        for target in self.includes[name]:
            if LIBRARIES[0][1].match(target) and name != "gateway/h2o_include.h":
                self.say(name, "h2o", f"{target} without gateway/h2o_include.h")

    def check_own_header_first(self, name):
        own = name[:-2] + ".h"
        if name.endswith(".c") and own in self.names and self.includes[name][:1] != [own]:
            self.say(name, "own header", f"{own} is not the first include")

    def check_sql(self, name):
        for text in strings(self.code[name]):
            match = SQL.search(text)
            if match:
                self.say(name, "sql", f'"{match.group()[:40]}" belongs into db/')

    def check_text(self, name):
        text = self.read(name)
        if "\0" in text:
            return
        lines = text.splitlines()
        if len(lines) > LINES_MAX and not ANY_LENGTH.search(name):
            self.say(name, "length", f"{len(lines)} lines, at most {LINES_MAX}")
        first = lines[1:2] if text.startswith(("#!", "# shellcheck shell=")) else lines[:1]
        if SPDX_FILES.search(name) and not any(SPDX in line for line in first):
            self.say(name, "spdx", "does not begin with the license line")
        if name.endswith(".patch"):
            return  # other people's text
        for number, line in enumerate(lines, 1):
            match = MACHINE.search(line)
            if match:
                self.say(f"{name}:{number}", "machine", f"names {match.group()}")

    def check(self):
        for name in self.code:
            self.check_direction(name)
            self.check_libraries(name)
            self.check_own_header_first(name)
            self.check_sql(name)
        for name in self.names:
            self.check_text(name)
        return self.violations


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    tree = Tree(root)
    if not tree.code:
        sys.exit(f"{root}: no sources found")
    violations = tree.check()
    for violation in violations:
        print(violation)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
