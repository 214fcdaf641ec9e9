// SPDX-License-Identifier: Apache-2.0
// bench-verifier: what one token costs the verifier, in CPU time. Called by identity.sh.
//
//   bench-verifier ISSUER KEY_SET_FILE <tokens     lines of: name, tab, token
//
// For each token a line "name checked recalled" in microseconds: the median over batches of
// tw_verifier_verify, which always checks the signature, and of tw_verifier_recall. The whole is
// done ROUNDS times and the best median counts, because neighbours on the same core only add.
// Not for: the way of a token through HTTP (identity.sh counts that in instructions).
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/verifier.h"

#define ROUNDS         5
#define BATCHES        21
#define VERIFICATIONS  50 // in a batch: about a millisecond
#define RECALLS        5000
#define LINE_MAX_BYTES 16384

struct subject {
    struct tw_verifier *verifier;
    struct tw_str token;
    int64_t now_unix_s;
};

static _Noreturn void fail(const char *what, const char *detail)
{
    fprintf(stderr, "bench-verifier: %s: %s\n", what, detail);
    exit(1);
}

static double cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void verify(const struct subject *subject)
{
    struct tw_auth_result result = tw_verifier_verify(subject->verifier, subject->token,
                                                      subject->now_unix_s);
    if (result.status != TW_OK)
        fail("a token is refused", result.reason);
    tw_principal_unref(result.principal);
}

static void recall(const struct subject *subject)
{
    struct tw_principal *known = tw_verifier_recall(subject->verifier, subject->token,
                                                    subject->now_unix_s);
    if (!known)
        fail("a token is forgotten", subject->token.p);
    tw_principal_unref(known);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_us(void (*step)(const struct subject *), const struct subject *subject,
                        unsigned calls)
{
    double batches[BATCHES];
    for (unsigned i = 0; i < BATCHES; i++) {
        double began_us = cpu_us();
        for (unsigned call = 0; call < calls; call++)
            step(subject);
        batches[i] = (cpu_us() - began_us) / calls;
    }
    qsort(batches, BATCHES, sizeof(batches[0]), by_size);
    return batches[BATCHES / 2];
}

static double best_median_us(void (*step)(const struct subject *), const struct subject *subject,
                             unsigned calls)
{
    double best = median_us(step, subject, calls);
    for (unsigned round = 1; round < ROUNDS; round++) {
        double median = median_us(step, subject, calls);
        best = median < best ? median : best;
    }
    return best;
}

static struct tw_verifier *verifier_of(const char *issuer, struct tw_str key_set)
{
    static const char *audiences[] = {"tillway-pos"};
    const struct tw_issuer_rules rules = {
        .issuer = issuer,
        .audiences = audiences,
        .n_audiences = 1,
        .token_uses = TW_TOKEN_USE_ACCESS,
        .algorithms = TW_ALGORITHM_RS256 | TW_ALGORITHM_ES256,
    };
    const struct tw_verifier_config config = {
        .issuers = &rules,
        .n_issuers = 1,
        .leeway_s = 30,
        .cache_entries = TW_VERIFIER_CACHE_ENTRIES,
    };
    struct tw_jwks_report report;
    struct tw_verifier *verifier = tw_verifier_new(&config);
    if (!verifier)
        fail("no verifier", "out of memory");
    if (!tw_verifier_set_keys(verifier, 0, key_set, 1, &report))
        fail("the key set is refused", report.reason);
    return verifier;
}

int main(int argc, char **argv)
{
    static char key_set[1 << 20], line[LINE_MAX_BYTES];
    if (argc != 3)
        fail("usage", "bench-verifier ISSUER KEY_SET_FILE <TOKENS");
    FILE *file = fopen(argv[2], "re");
    if (!file)
        fail("cannot read", argv[2]);
    size_t n = fread(key_set, 1, sizeof(key_set), file);
    fclose(file);
    struct subject subject = {
        verifier_of(argv[1], (struct tw_str){key_set, n}), {NULL, 0}, (int64_t)time(NULL)};
    while (fgets(line, sizeof(line), stdin)) {
        char *tab = strchr(line, '\t');
        if (!tab)
            fail("a line without a tab", line);
        line[strcspn(line, "\n")] = 0;
        *tab = 0;
        subject.token = tw_str_of(tab + 1);
        double checked_us = best_median_us(verify, &subject, VERIFICATIONS);
        double recalled_us = best_median_us(recall, &subject, RECALLS);
        printf("%s %.2f %.3f\n", line, checked_us, recalled_us);
    }
    tw_verifier_free(subject.verifier);
    return 0;
}
