// SPDX-License-Identifier: Apache-2.0
// What an app does with Cognito, by the library that apps use (amazon-cognito-identity-js).
//
//   node cognito-client.js sign-up JSON    {"username","password","code","attributes":{}}
//   node cognito-client.js sign-in JSON    {"username","password"}
//   node cognito-client.js refresh JSON    {"username","refreshToken"}
//
// JSON also has "endpoint", "pool" and "client". Prints one JSON object: the user's sub, or the
// tokens. Fails with one line on stderr.
//
// Sign-in is USER_PASSWORD_AUTH, not the library's default USER_SRP_AUTH: cognito-local 5.3.0 knows
// no SRP ("InitAuth with AuthFlow=USER_SRP_AUTH" is unsupported). The two differ in how the password
// is proved; the tokens are the same.
"use strict";

const {
  AuthenticationDetails,
  CognitoRefreshToken,
  CognitoUser,
  CognitoUserAttribute,
  CognitoUserPool,
} = require("amazon-cognito-identity-js");

const [action, json] = process.argv.slice(2);
const given = JSON.parse(json);
const pool = new CognitoUserPool({
  UserPoolId: given.pool,
  ClientId: given.client,
  endpoint: given.endpoint,
});
const user = new CognitoUser({ Username: given.username, Pool: pool });

// f(callback(error, result)) as a promise.
const done = (f) =>
  new Promise((resolve, reject) => f((error, result) => (error ? reject(error) : resolve(result))));

const tokens = (session) => ({
  accessToken: session.getAccessToken().getJwtToken(),
  idToken: session.getIdToken().getJwtToken(),
  refreshToken: session.getRefreshToken().getToken(),
});

const actions = {
  async "sign-up"() {
    const attributes = Object.entries(given.attributes).map(
      ([Name, Value]) => new CognitoUserAttribute({ Name, Value }),
    );
    const { userSub } = await done((next) =>
      pool.signUp(given.username, given.password, attributes, null, next),
    );
    await done((next) => user.confirmRegistration(given.code, false, next));
    return { sub: userSub };
  },

  async "sign-in"() {
    user.setAuthenticationFlowType("USER_PASSWORD_AUTH");
    const details = new AuthenticationDetails({
      Username: given.username,
      Password: given.password,
    });
    return tokens(
      await new Promise((onSuccess, onFailure) =>
        user.authenticateUser(details, { onSuccess, onFailure }),
      ),
    );
  },

  async refresh() {
    const token = new CognitoRefreshToken({ RefreshToken: given.refreshToken });
    return tokens(await done((next) => user.refreshSession(token, next)));
  },
};

actions[action]().then(
  (result) => console.log(JSON.stringify(result)),
  (error) => {
    console.error(`${action}: ${error.code}: ${error.message}`);
    process.exitCode = 1;
  },
);
