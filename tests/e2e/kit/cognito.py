# SPDX-License-Identifier: Apache-2.0
"""A local Cognito (the npm package cognito-local): pools, clients and groups by the AWS API, users by
the library that apps use (tests/npm/cognito-client.js), keys that can be rotated.

How its tokens differ from Amazon's, seen in version 5.3.0:
- no `origin_jti`; a refreshed token's `auth_time` is the refresh's, Amazon keeps the sign-in's;
- tokens live 24 hours unless the client says otherwise, and may live seconds; Amazon's live 1 hour
  and at least 5 minutes;
- one constant key and kid, which cognito-serve.js replaces by two of its own.
Like Amazon's, the access token carries `client_id`, `username`, `scope` and the groups but no
attribute of the user, so no store; the ID token has `aud`, `cognito:username` and the attributes."""

import json
import os
import selectors
import shutil
import signal
import uuid

import httpx

from kit.processes import ROOT, clean_environment, free_port, run, spawn

NPM = os.path.join(ROOT, "tests/npm")
CODE = "246813"  # what a mail to a new user says
PASSWORD = "Till-2024-way"


def why_absent():
    """One line why there is no local Cognito here; None when there is."""
    if not shutil.which("node"):
        return "node is not installed: dev/install.sh npm"
    if not os.path.isdir(os.path.join(NPM, "node_modules/cognito-local")):
        return "the npm packages of the tests are not installed: tests/npm/install.sh"
    return None


class Cognito:
    """Its data and keys stay in the directory over stop() and start()."""

    def __init__(self, directory):
        os.mkdir(directory)
        self._directory = directory
        self._keys = os.path.join(directory, "keys.json")
        self._process = None
        self._port = free_port()  # it must still be free after a stop()
        self.url = "http://127.0.0.1:%d" % self._port

    def start(self):
        """After a stop() again on the same port, so that tokens and sessions stay valid."""
        with open(self._directory + ".log", "ab") as log:
            self._process = spawn(
                ["node", os.path.join(NPM, "cognito-serve.js"), self._keys, str(self._port)],
                stdout=-1, stderr=log, cwd=self._directory, env=clean_environment(CODE=CODE))
        with selectors.DefaultSelector() as sel:
            sel.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if sel.select(20) else b""
        assert line, "cognito-local does not start: see %s.log" % self._directory
        assert json.loads(line) == {"listening": self._port}
        return self

    def stop(self):
        if self._process:
            self._process.terminate()
            code = self._process.wait(10)
            self._process.stdout.close()
            assert code == -signal.SIGTERM, "cognito-local ended by itself: see %s.log" % self._directory
        self._process = None

    def rotate(self):
        """New keys under new kids, the old ones gone at once; users and sessions stay."""
        self.stop()
        os.remove(self._keys)
        self.start()

    def call(self, operation, **body):
        """An operation of the AWS API."""
        answer = httpx.post(self.url, content=json.dumps(body), trust_env=False, timeout=20, headers={
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": "AWSCognitoIdentityProviderService." + operation})
        assert answer.status_code == 200, "%s: %s" % (operation, answer.text)
        return answer.json()

    def pool(self, groups=("cashier", "manager")):
        made = self.call("CreateUserPool", PoolName="tills", UsernameAttributes=["email"],
                         AutoVerifiedAttributes=["email"], Schema=[
                             {"Name": "storeId", "AttributeDataType": "String", "Mutable": True}])
        pool = Pool(self, made["UserPool"]["Id"])
        for group in groups:
            self.call("CreateGroup", UserPoolId=pool.id, GroupName=group)
        return pool


class Pool:
    def __init__(self, cognito, pool_id):
        self.cognito, self.id = cognito, pool_id
        self.issuer = "%s/%s" % (cognito.url, pool_id)
        self.jwks_uri = self.issuer + "/.well-known/jwks.json"

    def yaml(self, *clients, **more):
        """An entry of auth.issuers."""
        return {"issuer": self.issuer, "jwksUri": self.jwks_uri, "audience": list(clients),
                "tokenUse": ["access", "id"], **more}

    def client(self, lifetime_s=3600):
        """The id of a new app client, whose tokens live so long."""
        made = self.cognito.call(
            "CreateUserPoolClient", UserPoolId=self.id, ClientName="till",
            ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
            AccessTokenValidity=lifetime_s, IdTokenValidity=lifetime_s,
            TokenValidityUnits={"AccessToken": "seconds", "IdToken": "seconds"})
        return made["UserPoolClient"]["ClientId"]

    def user(self, client, *groups, store=None):
        """Signs up and confirms by itself; groups and store are given by an administrator, because
        what users may write about themselves must not decide what they may do."""
        user = User(self, client)
        for group in groups:
            self.cognito.call("AdminAddUserToGroup", UserPoolId=self.id, Username=user.name,
                              GroupName=group)
        if store:
            self.cognito.call("AdminUpdateUserAttributes", UserPoolId=self.id, Username=user.name,
                              UserAttributes=[{"Name": "custom:storeId", "Value": store}])
        return user


class User:
    def __init__(self, pool, client):
        self._pool, self._client = pool, client
        self.name = "%s@till.example" % uuid.uuid4().hex[:12]
        self.sub = self._do("sign-up", password=PASSWORD, code=CODE, attributes={})["sub"]

    def _do(self, action, **how):
        done = run(["node", os.path.join(NPM, "cognito-client.js"), action, json.dumps({
            "endpoint": self._pool.cognito.url + "/", "pool": self._pool.id, "client": self._client,
            "username": self.name, **how})])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def sign_in(self, **how):
        """{"accessToken", "idToken", "refreshToken"}; client=...: by another app of the pool."""
        return self._do("sign-in", password=PASSWORD, **how)

    def refresh(self, tokens):
        """The same with a new access and ID token."""
        return self._do("refresh", refreshToken=tokens["refreshToken"])
