// SPDX-License-Identifier: Apache-2.0
// TLS without a handshake: which name belongs to which certificate, the ring of ticket keys, the
// document of a listener's files. Handshakes are tested end to end (tests/e2e/test_tls.py).
#include "tests/unit/test_kit.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/tls_bundle.h"
#include "gateway/tls_names.h"
#include "gateway/tls_tickets.h"

// ---- names --------------------------------------------------------------------------------------

static const struct {
    struct tw_str name;
    size_t value;
} added[] = {
    {TW_STR("shop.example.com"), 1},
    {TW_STR("*.example.com"), 2},
    {TW_STR("*.tills.example.com"), 3},
    {TW_STR("Shop.Example.COM"), 9}, // the first one stays
    {TW_STR("dot.example.org."), 4},
    {TW_STR("f*o.example.net"), 9},
    {TW_STR("*.*.example.net"), 9},
    {TW_STR("*"), 9},
    {TW_STR(""), 9},
    {TW_STR("a b.example.net"), 9},
    {TW_STR("nul\0.example.net"), 9},
    {TW_STR("a"), 5},
};

static void names_are_found(void **state)
{
    (void)state;
    const struct {
        struct tw_str name;
        size_t value;
    } cases[] = {
        {TW_STR("shop.example.com"), 1},
        {TW_STR("SHOP.example.com."), 1},
        {TW_STR("x.example.com"), 2},
        {TW_STR("x.tills.example.com"), 3},
        {TW_STR("tills.example.com"), 2},
        {TW_STR("y.x.tills.example.com"), TW_TLS_NAME_NONE},
        {TW_STR("example.com"), TW_TLS_NAME_NONE},
        {TW_STR(".example.com"), TW_TLS_NAME_NONE},
        {TW_STR("dot.example.org"), 4},
        {TW_STR("*.example.com"), TW_TLS_NAME_NONE},
        {TW_STR("foo.example.net"), TW_TLS_NAME_NONE},
        {TW_STR("a"), 5},
        {TW_STR("b"), TW_TLS_NAME_NONE},
        {TW_STR(""), TW_TLS_NAME_NONE},
        {TW_STR("."), TW_TLS_NAME_NONE},
        {TW_STR("shop.example.com\0"), TW_TLS_NAME_NONE},
        {TW_STR("a.b.example.net"), TW_TLS_NAME_NONE},
    };
    struct tw_tls_names *names = tw_tls_names_new(TW_COUNT(added));
    assert_non_null(names);
    for (size_t i = 0; i < TW_COUNT(added); i++)
        tw_tls_names_add(names, added[i].name, added[i].value);
    tw_tls_names_sort(names);
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        assert_int_equal(tw_tls_names_find(names, cases[i].name), cases[i].value);
    tw_tls_names_free(names);
}

static void a_long_name_is_none(void **state)
{
    (void)state;
    char text[TW_TLS_NAME_MAX_BYTES + 2];
    memset(text, 'a', sizeof(text));
    struct tw_tls_names *names = tw_tls_names_new(2);
    tw_tls_names_add(names, (struct tw_str){text, TW_TLS_NAME_MAX_BYTES + 1}, 1);
    tw_tls_names_add(names, (struct tw_str){text, TW_TLS_NAME_MAX_BYTES}, 2);
    tw_tls_names_sort(names);
    assert_int_equal(tw_tls_names_find(names, (struct tw_str){text, TW_TLS_NAME_MAX_BYTES}), 2);
    assert_int_equal(tw_tls_names_find(names, (struct tw_str){text, TW_TLS_NAME_MAX_BYTES + 1}),
                     TW_TLS_NAME_NONE);
    tw_tls_names_free(names);
}

// ---- ticket keys --------------------------------------------------------------------------------

static void the_ring_turns(void **state)
{
    (void)state;
    struct tw_ticket_ring ring = {.n = 0};
    assert_true(tw_ticket_ring_rotate(&ring));
    struct tw_ticket_key first = ring.keys[0];
    assert_int_equal(ring.n, 1);
    assert_true(tw_ticket_ring_rotate(&ring));
    struct tw_ticket_key second = ring.keys[0];
    assert_int_equal(ring.n, 2);
    assert_memory_equal(&ring.keys[1], &first, sizeof(first));
    assert_memory_not_equal(&second, &first, sizeof(first));
    assert_true(tw_ticket_ring_rotate(&ring));
    assert_int_equal(ring.n, 2);
    assert_memory_equal(&ring.keys[1], &second, sizeof(second));
    for (size_t i = 2; i < TW_TICKET_KEYS_MAX; i++)
        for (size_t j = 0; j < sizeof(first); j++)
            assert_int_equal(((const unsigned char *)&ring.keys[i])[j], 0);
}

static void a_file_of_keys(void **state)
{
    (void)state;
    struct tw_ticket_ring ring = {.n = 0}, parsed = {.n = 0};
    char err[256];
    for (size_t i = 0; i < 3; i++)
        assert_true(tw_ticket_ring_rotate(&ring));
    struct tw_str both = {(const char *)ring.keys, 2 * TW_TICKET_KEY_BYTES};
    assert_true(tw_ticket_ring_parse(both, &parsed, err, sizeof(err)));
    assert_int_equal(parsed.n, 2);
    assert_memory_equal(parsed.keys, ring.keys, both.n);
    struct tw_str cut = {both.p, both.n - 1};
    assert_false(tw_ticket_ring_parse(cut, &parsed, err, sizeof(err)));
    assert_string_equal(err, "it holds 159 bytes, not 1 to 8 keys of 80 bytes");
    assert_false(tw_ticket_ring_parse(TW_STR(""), &parsed, err, sizeof(err)));
    assert_int_equal(parsed.n, 2); // what was there stays
    memcpy(ring.keys[1].name, ring.keys[0].name, TW_TICKET_NAME_BYTES);
    assert_false(tw_ticket_ring_parse(both, &parsed, err, sizeof(err)));
    assert_non_null(strstr(err, "same name"));
    memset(&ring.keys[1].mac, 'x', TW_TICKET_SECRET_BYTES * 2);
    assert_false(tw_ticket_ring_parse(both, &parsed, err, sizeof(err)));
    assert_non_null(strstr(err, "random"));
}

// One use of the callback as OpenSSL makes it: seals `in`, or opens it again.
struct sealed {
    unsigned char name[16], iv[EVP_MAX_IV_LENGTH], bytes[64], mac[32];
    int n;
    int verdict;
};

static void use(const struct tw_ticket_ring *ring, struct sealed *sealed, bool sealing,
                const unsigned char *in, int n)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int more = 0;
    size_t mac_n = 0;
    sealed->verdict = tw_ticket_seal(ring, sealed->name, sealed->iv, cipher, mac, sealing);
    if (sealed->verdict > 0) {
        unsigned char out[64];
        assert_int_equal(EVP_CipherUpdate(cipher, out, &sealed->n, in, n), 1);
        assert_int_equal(EVP_CipherFinal_ex(cipher, out + sealed->n, &more), 1);
        sealed->n += more;
        assert_int_equal(EVP_MAC_init(mac, NULL, 0, NULL), 1);
        assert_int_equal(EVP_MAC_update(mac, sealing ? out : in, (size_t)(sealing ? sealed->n : n)),
                         1);
        assert_int_equal(EVP_MAC_final(mac, sealed->mac, &mac_n, sizeof(sealed->mac)), 1);
        assert_int_equal(mac_n, 32);
        memcpy(sealed->bytes, out, (size_t)sealed->n);
    }
    EVP_CIPHER_CTX_free(cipher);
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
}

static void tickets_are_sealed_and_opened(void **state)
{
    (void)state;
    static const unsigned char text[] = "a session's state";
    struct tw_ticket_ring ring = {.n = 0};
    struct sealed ticket = {.n = 0}, opened;
    use(&ring, &ticket, true, text, sizeof(text));
    assert_int_equal(ticket.verdict, 0); // no key, no ticket
    assert_true(tw_ticket_ring_rotate(&ring));
    use(&ring, &ticket, true, text, sizeof(text));
    assert_int_equal(ticket.verdict, 1);
    static const int verdicts[] = {1, 2, 0}; // now, after one turn, after two
    for (size_t i = 0; i < TW_COUNT(verdicts); i++) {
        opened = ticket;
        use(&ring, &opened, false, ticket.bytes, ticket.n);
        assert_int_equal(opened.verdict, verdicts[i]);
        if (opened.verdict > 0) {
            assert_int_equal(opened.n, sizeof(text));
            assert_memory_equal(opened.bytes, text, sizeof(text));
            assert_memory_equal(opened.mac, ticket.mac, sizeof(ticket.mac));
        }
        assert_true(tw_ticket_ring_rotate(&ring));
    }
}

// ---- the document -------------------------------------------------------------------------------

static void write_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void a_bundle_is_what_the_files_hold(void **state)
{
    (void)state;
    char directory[] = "/tmp/tillway-tls-XXXXXX";
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    write_text("c", "certificate");
    write_text("k", "key");
    write_text("o", "");
    static const struct tw_certificate_files files[] = {{"c", "k", NULL}, {"k", "c", "o"}};
    struct tw_listen listen = {.certificates = files, .n_certificates = 2, .tls_client_ca = "k"};
    struct tw_tls_bundle bundle;
    char err[256];
    size_t n = 0;
    char *document = tw_tls_bundle_read(&listen, &n, err, sizeof(err));
    assert_non_null(document);
    struct tw_str text = {document, n};
    assert_true(tw_tls_bundle_parse(&listen, text, &bundle));
    kit_assert_str(bundle.certificates[0].certificate, "certificate");
    kit_assert_str(bundle.certificates[1].certificate, "key");
    kit_assert_str(bundle.certificates[1].key, "certificate");
    assert_int_equal(bundle.certificates[0].ocsp.n + bundle.certificates[1].ocsp.n, 0);
    kit_assert_str(bundle.client_ca, "key");
    for (size_t cut = 0; cut < n; cut++)
        assert_false(tw_tls_bundle_parse(&listen, (struct tw_str){document, cut}, &bundle));
    listen.n_certificates = 1;
    assert_false(tw_tls_bundle_parse(&listen, text, &bundle));
    tw_tls_bundle_free(document, n);
    assert_int_equal(remove("k"), 0);
    assert_null(tw_tls_bundle_read(&listen, &n, err, sizeof(err)));
    assert_string_equal(err, "k: No such file or directory");
    assert_int_equal(remove("c") + remove("o") + chdir("/") + rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(a_long_name_is_none),
        cmocka_unit_test(the_ring_turns),
        cmocka_unit_test(a_file_of_keys),
        cmocka_unit_test(tickets_are_sealed_and_opened),
        cmocka_unit_test(a_bundle_is_what_the_files_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
