// SPDX-License-Identifier: Apache-2.0
// me: what the gateway knows of the caller, from the token alone. Runs in: worker.
#include "gateway/reply.h"
#include "handlers/handlers.h"

static void put_roles(struct tw_json *json, unsigned roles)
{
    tw_json_key(json, TW_STR("roles"));
    tw_json_array(json);
    for (unsigned bit = 1; bit <= TW_ROLE_ADMIN; bit <<= 1)
        if (roles & bit)
            tw_json_str(json, tw_str_of(tw_role_name(bit)));
    tw_json_array_end(json);
}

static void put_text_or_null(struct tw_json *json, struct tw_str key, struct tw_str value)
{
    tw_json_key(json, key);
    if (value.n > 0)
        tw_json_str(json, value);
    else
        tw_json_null(json);
}

struct tw_verdict tw_me_get(struct tw_req *req)
{
    const struct tw_principal *principal = req->principal;
    struct tw_json json = tw_reply_body(req);
    tw_json_object(&json);
    TW_JSON_STR(&json, "sub", principal->subject);
    put_text_or_null(&json, TW_STR("username"), principal->username);
    put_text_or_null(&json, TW_STR("clientId"), principal->client_id);
    TW_JSON_STR(&json, "storeId", req->store);
    put_roles(&json, tw_policy_effective_roles(principal->roles));
    put_text_or_null(&json, TW_STR("tokenUse"), principal->token_use);
    put_text_or_null(&json, TW_STR("scope"), principal->scope);
    tw_json_key(&json, TW_STR("expiresAt"));
    tw_json_time(&json, principal->exp_unix_s * 1000);
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}
