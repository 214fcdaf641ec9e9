# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus with our rules, scraping once a second."""

import os
import subprocess
import time

import httpx

from kit.processes import ROOT, eventually, free_port, spawn

OBSERVABILITY = os.path.join(ROOT, "deploy", "observability")
WEEK_S = 7 * 86400


class Prometheus:
    def __init__(self, directory, target):
        self._directory = directory
        self.port = free_port()
        self._process = None
        with open(os.path.join(OBSERVABILITY, "prometheus.yml"), encoding="utf-8") as f:
            example = f.read()
        # The example as it is, but for what it scrapes, and how often.
        config = (example.replace("15s", "1s").replace("rules/", OBSERVABILITY + "/rules/")
                  .replace("[till-1:9464, till-2:9464]", "['%s']" % target)
                  .replace("[alertmanager:9093]", "[]"))
        assert config.count(target) == 1 and config.count(": 1s") == 2
        os.makedirs(directory)
        with open(os.path.join(directory, "prometheus.yml"), "w", encoding="utf-8") as f:
            f.write(config)

    def last_week(self, lines):
        """Samples of a week ago, of series 'name{labels}': value, for what compares with them."""
        path, now = os.path.join(self._directory, "last-week"), int(time.time())
        with open(path, "w", encoding="utf-8") as f:
            for series, value in lines.items():
                for at in range(now - WEEK_S - 60, now - WEEK_S + 300, 30):
                    f.write("%s %s %d\n" % (series, value, at))
            f.write("# EOF\n")
        done = subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", path, self._data()],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def _data(self):
        return os.path.join(self._directory, "data")

    def start(self):
        with open(os.path.join(self._directory, "log"), "wb") as log:
            self._process = spawn(
                ["prometheus", "--config.file=" + os.path.join(self._directory, "prometheus.yml"),
                 "--storage.tsdb.path=" + self._data(), "--web.listen-address=127.0.0.1:%d" % self.port,
                 "--storage.tsdb.retention.time=30d", "--log.level=warn"], stdout=log, stderr=log)
        self._client = httpx.Client(base_url="http://127.0.0.1:%d" % self.port, trust_env=False, timeout=30)
        eventually(self._is_ready, 30, what="Prometheus is ready")
        return self

    def _is_ready(self):
        assert self._process.poll() is None, open(os.path.join(self._directory, "log"), encoding="utf-8").read()
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.ConnectError:
            return False

    def get(self, path, **params):
        answer = self._client.get("/api/v1/" + path, params=params).json()
        assert answer["status"] == "success", (params, answer)
        return answer["data"]

    def query(self, expression):
        """The values that there are now."""
        data = self.get("query", query=expression)
        if data["resultType"] == "scalar":
            return [float(data["result"][1])]
        return [float(sample["value"][1]) for sample in data["result"]]

    def stop(self):
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._client.close()
