// SPDX-License-Identifier: Apache-2.0
// Certificates to principals: names as RFC 2253 writes them, exact lines, what nobody can be named.
// The connection's side is tested end to end (tests/e2e/test_client_cert.py).
#include "tests/unit/test_kit.h"

#include <openssl/asn1.h>
#include <openssl/x509.h>

#include "gateway/client_cert.h"

#define EXP_UNIX_S 2000000000

static const struct tw_certificate_roles lines[] = {
    {"CN=till-7,O=Shop", TW_ROLE_CASHIER, "north"},
    {"CN=boss", TW_ROLE_MANAGER | TW_ROLE_CASHIER, NULL},
    {"CN=Caf\\C3\\A9", TW_ROLE_CASHIER, "caf\xc3\xa9"},
    {"CN=a\\,O=b", TW_ROLE_ADMIN, NULL},
};

struct part {
    const char *kind;
    int type; // V_ASN1_* or MBSTRING_*
    const char *value;
    int n; // -1: up to the NUL
};

static X509 *certificate_of(const struct part *parts, size_t n)
{
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    X509_NAME *name = X509_get_subject_name(certificate);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(X509_NAME_add_entry_by_txt(name, parts[i].kind, parts[i].type,
                                                    (const unsigned char *)parts[i].value,
                                                    parts[i].n, -1, 0),
                         1);
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(certificate), EXP_UNIX_S));
    return certificate;
}

static struct tw_principal *principal_of(const struct part *parts, size_t n, const char **reason)
{
    X509 *certificate = certificate_of(parts, n);
    struct tw_principal *principal = tw_client_cert_principal(certificate, lines, TW_COUNT(lines),
                                                              reason);
    X509_free(certificate);
    return principal;
}

#define PRINCIPAL(reason, ...)                       \
    principal_of((const struct part[]){__VA_ARGS__}, \
                 TW_COUNT(((const struct part[]){__VA_ARGS__})), (reason))

static void expect(struct tw_principal *principal, const char *subject, const char *username,
                   unsigned roles, const char *store)
{
    assert_non_null(principal);
    kit_assert_str(principal->subject, subject);
    kit_assert_str(principal->username, username);
    kit_assert_str(principal->store, store);
    assert_int_equal(principal->roles, roles);
    assert_int_equal(principal->exp_unix_s, EXP_UNIX_S);
    assert_int_equal(principal->client_id.n + principal->issuer.n + principal->scope.n, 0);
    tw_principal_unref(principal);
}

static void lines_are_matched_exactly(void **state)
{
    (void)state;
    const struct {
        struct tw_str subject;
        int line; // -1: none
    } cases[] = {
        {TW_STR("CN=till-7,O=Shop"), 0},  {TW_STR("CN=boss"), 1},
        {TW_STR("CN=Caf\\C3\\A9"), 2},    {TW_STR("cn=boss"), -1},
        {TW_STR("CN=Boss"), -1},          {TW_STR("CN=boss "), -1},
        {TW_STR("CN=bos"), -1},           {TW_STR("CN=boss\0"), -1},
        {TW_STR("O=Shop,CN=till-7"), -1}, {TW_STR("CN=till-7, O=Shop"), -1},
        {TW_STR("CN=till-7"), -1},        {TW_STR("CN=Caf\\c3\\a9"), -1},
        {TW_STR("CN=Caf\xc3\xa9"), -1},   {TW_STR(""), -1},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        assert_ptr_equal(tw_client_cert_line(lines, TW_COUNT(lines), cases[i].subject),
                         cases[i].line < 0 ? NULL : &lines[cases[i].line]);
    assert_null(tw_client_cert_line(NULL, 0, TW_STR("CN=boss")));
}

static void a_line_gives_roles_and_store(void **state)
{
    (void)state;
    const char *reason;
    expect(
        PRINCIPAL(&reason, {"O", MBSTRING_UTF8, "Shop", -1}, {"CN", MBSTRING_UTF8, "till-7", -1}),
        "CN=till-7,O=Shop", "till-7", TW_ROLE_CASHIER, "north");
    expect(PRINCIPAL(&reason, {"CN", MBSTRING_UTF8, "boss", -1}), "CN=boss", "boss",
           TW_ROLE_MANAGER | TW_ROLE_CASHIER, "");
}

static void without_a_line_there_is_no_role(void **state)
{
    (void)state;
    const char *reason;
    expect(
        PRINCIPAL(&reason, {"CN", MBSTRING_UTF8, "till-7", -1}, {"O", MBSTRING_UTF8, "Shop", -1}),
        "O=Shop,CN=till-7", "till-7", 0, "");
    expect(PRINCIPAL(&reason, {"O", MBSTRING_UTF8, "Shop", -1}), "O=Shop", "", 0, "");
}

// One text for one name, whichever string type the authority has chosen.
static void any_string_type_gives_the_same_text(void **state)
{
    (void)state;
    const char *reason;
    static const struct part cafes[] = {
        {"CN", V_ASN1_UTF8STRING, "Caf\xc3\xa9", -1},
        {"CN", V_ASN1_T61STRING, "Caf\xe9", -1},
        {"CN", V_ASN1_BMPSTRING, "\0C\0a\0f\0\xe9", 8},
    };
    for (size_t i = 0; i < TW_COUNT(cafes); i++)
        expect(principal_of(&cafes[i], 1, &reason), "CN=Caf\\C3\\A9", "Caf\xc3\xa9",
               TW_ROLE_CASHIER, "caf\xc3\xa9");
}

// A comma within a value does not become a part, so nobody can write another's name into his own.
static void a_value_cannot_leave_its_part(void **state)
{
    (void)state;
    const char *reason;
    expect(PRINCIPAL(&reason, {"CN", MBSTRING_UTF8, "till-7,O=Shop", -1}), "CN=till-7\\,O=Shop",
           "till-7,O=Shop", 0, "");
    expect(PRINCIPAL(&reason, {"CN", MBSTRING_UTF8, "a,O=b", -1}), "CN=a\\,O=b", "a,O=b",
           TW_ROLE_ADMIN, "");
    expect(PRINCIPAL(&reason, {"O", MBSTRING_UTF8, "b", -1}, {"CN", MBSTRING_UTF8, "a\\", -1}),
           "CN=a\\\\,O=b", "a\\", 0, "");
    expect(PRINCIPAL(&reason, {"CN", MBSTRING_UTF8, "boss\\00", -1}), "CN=boss\\\\00", "boss\\00",
           0, "");
}

static void the_most_specific_name_wins(void **state)
{
    (void)state;
    const char *reason;
    expect(PRINCIPAL(&reason, {"CN", MBSTRING_UTF8, "a", -1}, {"O", MBSTRING_UTF8, "b", -1},
                     {"CN", MBSTRING_UTF8, "c", -1}, {"CN", MBSTRING_UTF8, "d", -1}),
           "CN=d,CN=c,O=b,CN=a", "d", 0, "");
}

static void what_cannot_be_named_is_nobody(void **state)
{
    (void)state;
    char wide[230];
    memset(wide, 'x', sizeof(wide));
    const struct {
        struct part part;
        const char *reason;
    } cases[] = {
        {{"CN", V_ASN1_UTF8STRING, "bo\0ss", 5}, "its subject holds what is no plain text"},
        {{"CN", V_ASN1_UTF8STRING, "boss\0", 5}, "its subject holds what is no plain text"},
        {{"CN", V_ASN1_UTF8STRING, "boss\n", -1}, "its subject holds what is no plain text"},
        {{"O", V_ASN1_UTF8STRING, "boss\x7f", -1}, "its subject holds what is no plain text"},
        {{"O", V_ASN1_T61STRING, "\x1b[2J", -1}, "its subject holds what is no plain text"},
        {{"CN", V_ASN1_BMPSTRING, "\xd8\x00\xdc\x00", 4},
         "its subject holds what is no plain text"},
    };
    const char *reason;
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        reason = NULL;
        assert_null(principal_of(&cases[i].part, 1, &reason));
        assert_string_equal(reason, cases[i].reason);
    }
    assert_null(principal_of(NULL, 0, &reason));
    assert_string_equal(reason, "its subject is empty");
    // "O=" and "CN=", a comma between, and what they hold
    struct part parts[] = {{"O", V_ASN1_UTF8STRING, wide, 20},
                           {"CN", V_ASN1_UTF8STRING, wide, 230}};
    struct tw_principal *longest = principal_of(parts, 2, &reason);
    assert_non_null(longest);
    assert_int_equal(longest->subject.n, 256);
    tw_principal_unref(longest);
    parts[0].n = 21;
    assert_null(principal_of(parts, 2, &reason));
    assert_string_equal(reason, "its subject is too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_matched_exactly),
        cmocka_unit_test(a_line_gives_roles_and_store),
        cmocka_unit_test(without_a_line_there_is_no_role),
        cmocka_unit_test(any_string_type_gives_the_same_text),
        cmocka_unit_test(a_value_cannot_leave_its_part),
        cmocka_unit_test(the_most_specific_name_wins),
        cmocka_unit_test(what_cannot_be_named_is_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
