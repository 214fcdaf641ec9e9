// SPDX-License-Identifier: Apache-2.0
//
// A key belongs to one set of eight entries, two cache lines. An entry is its key's tag and state,
// changed only as one 16-byte word (cmpxchg16b, casp): no time is ever written under a tag that it
// was not meant for. The state is a time and a bit: an entry is claimed for a key first, without a
// charge, and settled with the first charge. Nobody waits for anybody; all accesses are
// sequentially consistent, which "before" below means. Every change raises an entry's time, so a
// swap that succeeds proves that nothing happened in between. (A cut after a change of rule lowers
// it: then the entry would have to come back to the same 63-bit time while one caller stands
// still.)
//
// 1. A key has at most one settled entry. An entry e becomes settled only by a process that saw it
//    claimed and after that saw every other entry of the set not to be the key's, or made it so
//    (settle). Suppose P settles e and Q settles f, and neither saw the other's settled. Then P
//    read f before f was claimed, Q saw f claimed, then read e before e was claimed, and P saw e
//    claimed before it read f: a circle. (Had one killed the other's claim, that one's swap would
//    fail.)
// 2. So all charges of a key with an entry are swaps of one word: exact, as GCRA is for one
// process.
// 3. An entry changes hands only by a swap from the very state that was found at rest, so a debt is
//    never dropped, however late the process that drops it; and a key at rest owes nothing.
// 4. Overflow. A key that found its set full charges the shared bucket, notes at the set until when
//    it owes, then looks for its entry again and, if there is one meanwhile, takes from that as
//    well. Whoever settles an entry has claimed it (or seen it claimed) before reading what the set
//    owes, and begins there. Either that reading finds the charge, or the claim came before the
//    charge's last look, which finds it: no charge is forgotten, whichever way a key moves. The
//    shared bucket has the same rule; the debts of others in it make it stricter only.
// 5. A raise is a charge like any other, of what brings the time to its floor, but always fits: the
//    same swaps in the same order, so 1 to 4 hold for it, and times only go up. It stays below what
//    is cut. Where the set is full it does nothing: what a key's newcomers share was never exact.
// 6. A process dies: between two swaps there are a claim without a charge, which anybody settles
// or,
//    after a millisecond, evicts; or a charge whose request will not be answered.
// 7. Progress: a swap fails only because another process's succeeded. Of several claims for a key
//    the one at the lowest index stays, so claims do not kill each other in turn.
#include "gateway/limit.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "auth/siphash.h"

#define WAYS          8
#define SHARDS_MAX    1024
#define ENTRIES_MAX   ((size_t)1 << 32)
#define UNITS         ((uint64_t)TW_LIMIT_UNITS_PER_US)
#define NOW_MAX       ((uint64_t)1 << 62) // in units, 29 years
#define WINDOW_MAX    ((uint64_t)1 << 61)
#define OVERDRAFT_MAX ((uint64_t)1 << 60)
#define CLAIM_LIFE    (1000 * UNITS)     // a claim that old was left by a dead or stopped process
#define CUT_SLACK     (10000000 * UNITS) // a late caller must not take a newer debt for an old rule's
#define SETTLED       ((uint64_t)1)      // lowest bit of a state; the time stands above it
#define TIME(state)   ((state) >> 1)
#define CLAIMED(time) ((time) << 1)
#define AT_REST(time) ((time) << 1 | SETTLED)

struct pair {
    uint64_t tag, state;
};

// Tag 0: nobody's.
union entry {
    struct {
        _Atomic uint64_t tag, state;
    };
    unsigned __int128 both;
};

struct set {
    union entry ways[WAYS];
} __attribute__((aligned(128)));

struct tw_limit_table {
    size_t bytes;
    size_t set_mask, shard_mask;
    struct set *sets;
    _Atomic uint64_t *owing;  // [set]: when all who met this set full owe nothing any more
    _Atomic uint64_t *shared; // [shard][policy]: times of the shared buckets; sets share a shard
    unsigned char hash_keys[TW_LIMIT_POLICIES_MAX][TW_SIPHASH_KEY_BYTES]; // keeps policies apart
    _Atomic uint64_t names[TW_LIMIT_POLICIES_MAX]; // hash of the policy's name; 0: not given out
    _Atomic uint64_t overflows;
};

// One question, in units.
struct ask {
    struct tw_limit_table *table;
    struct set *set;
    _Atomic uint64_t *owing, *shared;
    uint64_t tag;
    uint64_t now, interval, window, charge;
    uint64_t most;  // what a key may owe under its rule
    uint64_t floor; // a raise: its time is to be this at least; 0 for a take
};

// An entry as it was when it was looked at; `entry` NULL: there was none.
struct seen {
    union entry *entry;
    struct pair was;
};

enum verdict { DONE, AGAIN };

// ---- rule and table -----------------------------------------------------------------------------

bool tw_limit_rule_make(uint64_t rate, uint64_t period_us, uint64_t burst,
                        struct tw_limit_rule *rule)
{
    uint64_t units, window;
    if (rate == 0 || period_us == 0 || burst == 0 || period_us > WINDOW_MAX / UNITS)
        return false;
    units = period_us * UNITS;
    if (rate > units)
        return false;
    uint64_t interval = units / rate + (units % rate > 0);
    if (__builtin_mul_overflow(interval, burst, &window) || window > WINDOW_MAX)
        return false;
    *rule = (struct tw_limit_rule){.interval = interval, .burst = burst};
    return true;
}

void tw_limit_rule_overdraw(struct tw_limit_rule *rule, uint64_t bursts)
{
    if (__builtin_mul_overflow(rule->interval * rule->burst, bursts, &rule->overdraft) ||
        rule->overdraft > OVERDRAFT_MAX)
        rule->overdraft = OVERDRAFT_MAX;
}

static size_t power_of_two(size_t at_least)
{
    size_t n = 1;
    while (n < at_least)
        n *= 2;
    return n;
}

static bool random_keys(struct tw_limit_table *table)
{
    for (unsigned i = 0; i < TW_LIMIT_POLICIES_MAX; i++) {
        ssize_t n;
        do
            n = getrandom(table->hash_keys[i], TW_SIPHASH_KEY_BYTES, 0);
        while (n < 0 && errno == EINTR);
        if (n != TW_SIPHASH_KEY_BYTES) // so few come whole or not at all
            return false;
    }
    return true;
}

struct tw_limit_table *tw_limit_table_new(size_t entries)
{
    if (entries == 0 || entries > ENTRIES_MAX)
        return NULL;
    size_t sets = power_of_two((entries + WAYS - 1) / WAYS);
    size_t shards = sets < SHARDS_MAX ? sets : SHARDS_MAX;
    size_t head = (sizeof(struct tw_limit_table) + sizeof(struct set) - 1) / sizeof(struct set);
    struct tw_limit_table *table;
    size_t bytes = (head + sets) * sizeof(struct set) + sets * sizeof(table->owing[0]) +
                   shards * TW_LIMIT_POLICIES_MAX * sizeof(table->shared[0]);
    table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        return NULL;
    if (!random_keys(table)) {
        munmap(table, bytes);
        return NULL;
    }
    table->bytes = bytes;
    table->set_mask = sets - 1;
    table->shard_mask = shards - 1;
    table->sets = (struct set *)(void *)table + head;
    table->owing = (_Atomic uint64_t *)(void *)(table->sets + sets);
    table->shared = table->owing + sets;
    return table;
}

size_t tw_limit_table_bytes(const struct tw_limit_table *table)
{
    return table->bytes;
}

uint64_t tw_limit_overflows(const struct tw_limit_table *table)
{
    return atomic_load(&table->overflows);
}

// Names are told apart by 64 bits of a hash under the table's own key.
unsigned tw_limit_policy_id(struct tw_limit_table *table, struct tw_str name)
{
    uint64_t hash = tw_siphash(table->hash_keys[0], name);
    for (unsigned id = TW_LIMIT_POLICIES_FIXED; id < TW_LIMIT_POLICIES_MAX; id++) {
        uint64_t owner = 0;
        if (atomic_compare_exchange_strong(&table->names[id], &owner, hash) || owner == hash)
            return id;
    }
    return TW_LIMIT_POLICIES_FIXED +
           (unsigned)(hash % (TW_LIMIT_POLICIES_MAX - TW_LIMIT_POLICIES_FIXED));
}

// ---- entries ------------------------------------------------------------------------------------

// One instruction (build.mk, -mcx16). A compiler that does not make it one leaves a symbol that
// nobody defines: never a lock of libatomic's, which would be of one process only.
static bool entry_swap(union entry *entry, struct pair from, struct pair to)
{
    unsigned __int128 expected, desired;
    memcpy(&expected, &from, sizeof expected);
    memcpy(&desired, &to, sizeof desired);
    return __sync_bool_compare_and_swap(&entry->both, expected, desired);
}

// The halves may come from two moments: only a swap, or the tag read once more, tells.
static struct pair entry_load(union entry *entry)
{
    struct pair pair = {.tag = atomic_load(&entry->tag)};
    pair.state = atomic_load(&entry->state);
    return pair;
}

static bool settled(struct pair pair)
{
    return pair.state & SETTLED;
}

static bool evictable(struct pair pair, uint64_t now)
{
    return pair.tag == 0 || TIME(pair.state) + (settled(pair) ? 0 : CLAIM_LIFE) < now;
}

// Gives an entry up that bears no charge. Its time goes up, as with every change.
static bool entry_drop(union entry *entry, struct pair was)
{
    return entry_swap(entry, was, (struct pair){0, CLAIMED(TIME(was.state) + 1)});
}

static bool better_victim(const struct seen *best, struct pair pair)
{
    if (!best->entry || best->was.tag == 0)
        return !best->entry;
    return pair.tag == 0 || TIME(pair.state) < TIME(best->was.state);
}

// Looks through the set for the key's entry: the settled one, else the first claim. If there is
// none, `victim` is the one to claim: nobody's, else the one longest at rest.
static struct seen look(const struct ask *ask, struct seen *victim)
{
    struct seen mine = {0};
    *victim = (struct seen){0};
    for (unsigned i = 0; i < WAYS; i++) {
        union entry *entry = &ask->set->ways[i];
        struct pair pair = entry_load(entry);
        if (pair.tag == ask->tag && settled(pair))
            return (struct seen){entry, pair};
        if (pair.tag == ask->tag && !mine.entry)
            mine = (struct seen){entry, pair};
        else if (evictable(pair, ask->now) && better_victim(victim, pair))
            *victim = (struct seen){entry, pair};
    }
    return mine;
}

// ---- GCRA ---------------------------------------------------------------------------------------

// A debt that only another rule can have allowed.
static bool beyond_the_rule(const struct ask *ask, uint64_t time)
{
    return time > ask->now + ask->most + CUT_SLACK;
}

static bool is_raise(const struct ask *ask)
{
    return ask->floor > 0;
}

// Where a charge upon this state begins.
static uint64_t begin_at(const struct ask *ask, uint64_t time)
{
    uint64_t least = is_raise(ask) ? ask->floor : ask->now;
    return time > least ? time : least;
}

static bool fits(const struct ask *ask, uint64_t begin)
{
    return is_raise(ask) || begin + ask->charge <= ask->now + ask->window;
}

static uint64_t whole_us(uint64_t units)
{
    return units / UNITS + (units % UNITS > 0);
}

// The answer that leaves the key at `time`, which is not in the past.
static void answer(const struct ask *ask, bool allowed, uint64_t time, struct tw_limit_result *out)
{
    uint64_t full = ask->now + ask->window;
    out->allowed = allowed;
    out->remaining = time < full ? (full - time) / ask->interval : 0;
    out->retry_after_us = allowed ? 0 : whole_us(time + ask->charge - full);
    out->reset_us = whole_us(time - ask->now);
}

static enum verdict take_settled(const struct ask *ask, const struct seen *mine,
                                 struct tw_limit_result *out)
{
    uint64_t time = TIME(mine->was.state), begin = begin_at(ask, time), next = begin + ask->charge;
    if (is_raise(ask) ? begin == time : !fits(ask, begin)) {
        answer(ask, false, begin, out);
        return atomic_load(&mine->entry->tag) == ask->tag ? DONE : AGAIN;
    }
    answer(ask, true, next, out);
    struct pair charged = {ask->tag, AT_REST(next)};
    return entry_swap(mine->entry, mine->was, charged) ? DONE : AGAIN;
}

static enum verdict cut_settled(const struct ask *ask, const struct seen *mine)
{
    struct pair whole_burst = {ask->tag, AT_REST(ask->now + ask->window)};
    (void)entry_swap(mine->entry, mine->was, whole_burst);
    return AGAIN;
}

// The shared bucket's time, cut like an entry's.
static uint64_t shared_time(const struct ask *ask)
{
    uint64_t time = atomic_load(ask->shared), whole_burst = ask->now + ask->window;
    while (beyond_the_rule(ask, time))
        if (atomic_compare_exchange_weak(ask->shared, &time, whole_burst))
            return whole_burst;
    return time;
}

// What a key without an entry may owe in the shared bucket: all that was charged by those of its
// set, for want of knowing by whom.
static uint64_t owed_by(const struct ask *ask)
{
    uint64_t of_set = atomic_load(ask->owing);
    if (of_set <= ask->now)
        return 0;
    uint64_t time = shared_time(ask);
    return time < of_set ? time : of_set;
}

// True when `claim` is the only entry of the key: then it may be settled (1).
static bool only_claim(const struct ask *ask, const struct seen *claim)
{
    for (union entry *other = ask->set->ways; other < ask->set->ways + WAYS; other++) {
        struct pair pair = entry_load(other);
        if (other == claim->entry || pair.tag != ask->tag)
            continue;
        if (settled(pair) || other < claim->entry) {
            (void)entry_drop(claim->entry, claim->was);
            return false;
        }
        if (!entry_drop(other, pair))
            return false;
    }
    return true;
}

static enum verdict settle(const struct ask *ask, const struct seen *claim,
                           struct tw_limit_result *out)
{
    if (!only_claim(ask, claim))
        return AGAIN;
    uint64_t begin = begin_at(ask, owed_by(ask)), next = begin + ask->charge;
    if (!fits(ask, begin)) {
        (void)entry_drop(claim->entry, claim->was); // who is refused takes nobody's place
        answer(ask, false, begin, out);
        return DONE;
    }
    answer(ask, true, next, out);
    if (next <= TIME(claim->was.state)) // the claimer's clock is ahead of ours
        next = TIME(claim->was.state) + 1;
    struct pair charged = {ask->tag, AT_REST(next)};
    return entry_swap(claim->entry, claim->was, charged) ? DONE : AGAIN;
}

static enum verdict claim_and_settle(const struct ask *ask, const struct seen *victim,
                                     struct tw_limit_result *out)
{
    uint64_t after = TIME(victim->was.state) + 1;
    uint64_t time = after > ask->now ? after : ask->now;
    struct seen claim = {victim->entry, {ask->tag, CLAIMED(time)}};
    if (!entry_swap(victim->entry, victim->was, claim.was))
        return AGAIN;
    return settle(ask, &claim, out);
}

static bool has_entry(const struct ask *ask)
{
    for (unsigned i = 0; i < WAYS; i++)
        if (atomic_load(&ask->set->ways[i].tag) == ask->tag)
            return true;
    return false;
}

static void raise_to(_Atomic uint64_t *cell, uint64_t time)
{
    uint64_t old = atomic_load(cell);
    while (old < time && !atomic_compare_exchange_weak(cell, &old, time))
        ;
}

// The set is full. A charge here that turns out to be needless stays: stricter, and rare.
static enum verdict take_shared(const struct ask *ask, struct tw_limit_result *out)
{
    uint64_t time, begin;
    out->overflow = true;
    atomic_fetch_add(&ask->table->overflows, 1);
    time = shared_time(ask);
    do {
        begin = begin_at(ask, time);
        if (!fits(ask, begin)) {
            answer(ask, false, begin, out);
            return DONE;
        }
    } while (!atomic_compare_exchange_weak(ask->shared, &time, begin + ask->charge));
    raise_to(ask->owing, begin + ask->charge);
    answer(ask, true, begin + ask->charge, out);
    return has_entry(ask) ? AGAIN : DONE; // (4)
}

static enum verdict try_take(const struct ask *ask, struct tw_limit_result *out)
{
    *out = (struct tw_limit_result){0};
    struct seen victim, mine = look(ask, &victim);
    if (!mine.entry && victim.entry)
        return claim_and_settle(ask, &victim, out);
    if (!mine.entry)
        return is_raise(ask) ? DONE : take_shared(ask, out);
    if (!settled(mine.was))
        return settle(ask, &mine, out);
    if (beyond_the_rule(ask, TIME(mine.was.state)))
        return cut_settled(ask, &mine);
    return take_settled(ask, &mine, out);
}

// A peek cuts as a take does: else a key that is only asked about would never come back.
static enum verdict try_peek(const struct ask *ask, struct tw_limit_result *out)
{
    *out = (struct tw_limit_result){0};
    struct seen victim, mine = look(ask, &victim);
    bool own = mine.entry && settled(mine.was);
    if (own && beyond_the_rule(ask, TIME(mine.was.state)))
        return cut_settled(ask, &mine);
    out->overflow = !mine.entry && !victim.entry;
    uint64_t time = own ? TIME(mine.was.state) : out->overflow ? shared_time(ask) : owed_by(ask);
    uint64_t begin = begin_at(ask, time);
    answer(ask, fits(ask, begin), begin, out);
    return !own || atomic_load(&mine.entry->tag) == ask->tag ? DONE : AGAIN;
}

// ---- public -------------------------------------------------------------------------------------

// False when the cost is above the burst or the clock beyond what a state can hold; the question is
// then what there is.
static bool make_ask(struct ask *ask, struct tw_limit_table *table, unsigned policy, uint64_t hash,
                     const struct tw_limit_rule *rule, uint64_t cost, uint64_t now_us)
{
    assert(policy < TW_LIMIT_POLICIES_MAX && rule->interval > 0 && rule->burst > 0);
    size_t set = hash & table->set_mask;
    bool in_time = now_us <= NOW_MAX / UNITS, possible = cost <= rule->burst && in_time;
    *ask = (struct ask){
        .table = table,
        .set = &table->sets[set],
        .owing = &table->owing[set],
        .shared = &table->shared[(set & table->shard_mask) * TW_LIMIT_POLICIES_MAX + policy],
        .tag = hash ? hash : 1,
        .now = in_time ? now_us * UNITS : NOW_MAX,
        .interval = rule->interval,
        .window = rule->interval * rule->burst,
        .most = rule->interval * rule->burst + rule->overdraft,
        .charge = possible ? rule->interval * cost : 0,
    };
    return possible;
}

uint64_t tw_limit_hash(const struct tw_limit_table *table, unsigned policy, struct tw_str key)
{
    assert(policy < TW_LIMIT_POLICIES_MAX);
    return tw_siphash_1_3(table->hash_keys[policy], key);
}

void tw_limit_peek_hashed(struct tw_limit_table *table, unsigned policy, uint64_t hash,
                          const struct tw_limit_rule *rule, uint64_t cost, uint64_t now_us,
                          struct tw_limit_result *out)
{
    struct ask ask;
    bool possible = make_ask(&ask, table, policy, hash, rule, cost, now_us);
    while (try_peek(&ask, out) != DONE)
        ;
    if (!possible) {
        out->allowed = false;
        out->retry_after_us = TW_LIMIT_NEVER;
    }
}

void tw_limit_take_hashed(struct tw_limit_table *table, unsigned policy, uint64_t hash,
                          const struct tw_limit_rule *rule, uint64_t cost, uint64_t now_us,
                          struct tw_limit_result *out)
{
    struct ask ask;
    if (cost == 0 || !make_ask(&ask, table, policy, hash, rule, cost, now_us)) {
        tw_limit_peek_hashed(table, policy, hash, rule, cost, now_us, out);
        return;
    }
    while (try_take(&ask, out) != DONE)
        ;
}

void tw_limit_peek(struct tw_limit_table *table, unsigned policy, struct tw_str key,
                   const struct tw_limit_rule *rule, uint64_t cost, uint64_t now_us,
                   struct tw_limit_result *out)
{
    uint64_t hash = tw_limit_hash(table, policy, key);
    tw_limit_peek_hashed(table, policy, hash, rule, cost, now_us, out);
}

void tw_limit_take(struct tw_limit_table *table, unsigned policy, struct tw_str key,
                   const struct tw_limit_rule *rule, uint64_t cost, uint64_t now_us,
                   struct tw_limit_result *out)
{
    uint64_t hash = tw_limit_hash(table, policy, key);
    tw_limit_take_hashed(table, policy, hash, rule, cost, now_us, out);
}

void tw_limit_raise(struct tw_limit_table *table, unsigned policy, uint64_t hash,
                    const struct tw_limit_rule *rule, uint64_t debt_us, uint64_t now_us)
{
    struct ask ask;
    struct tw_limit_result unused;
    if (debt_us == 0 || !make_ask(&ask, table, policy, hash, rule, 0, now_us))
        return;
    uint64_t debt = debt_us < ask.most / UNITS ? debt_us * UNITS : ask.most;
    ask.floor = ask.now + debt;
    while (try_take(&ask, &unused) != DONE)
        ;
}
