// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_migrate_outside.h"

#include <poll.h>
#include <stdio.h>

#include "gateway/db_migrate_session.h"

#define LOOK_MS     500 // between two looks at whom it waits for
#define LONG_MS     2000
#define PAUSE_MS    500 // after a deadlock
#define TRIES       5   // each makes the index from its beginning
#define CANCEL_SIZE 256

// One migration and the time that it has waited for others, in all.
struct watch {
    const struct tw_config *config;
    const char *name;
    PGconn *other; // which looks; NULL: none yet
    uint64_t waited_ms;
    bool is_said, is_over;
};

enum index_state { INDEX_UNKNOWN, INDEX_NONE, INDEX_BROKEN, INDEX_WHOLE };

// ---- whom it waits for --------------------------------------------------------------------------

static void cancel(PGconn *pg)
{
    char why[CANCEL_SIZE];
    PGcancel *handle = PQgetCancel(pg);
    if (handle)
        (void)PQcancel(handle, why, sizeof(why)); // it may have ended by itself
    PQfreeCancel(handle);
}

// Another session asks, as this one waits. NULL: it has gone meanwhile.
static PGresult *ask_whom(struct watch *watch, const char *sql)
{
    const char *values[] = {sql};
    if (!watch->other)
        watch->other = tw_migrate_connect(watch->config);
    if (!watch->other)
        return NULL;
    PGresult *whom = tw_migrate_run(watch->other, TW_STMT_MIGRATE_WAITS_FOR, values);
    if (!whom) {
        PQfinish(watch->other);
        watch->other = NULL;
    }
    return whom;
}

static void count_and_say(struct watch *watch, const char *whom)
{
    watch->waited_ms += LOOK_MS;
    watch->is_over = watch->waited_ms >= watch->config->db_migrate_wait_ms;
    if (watch->is_said || watch->waited_ms < LONG_MS)
        return;
    watch->is_said = true;
    (void)printf(
        "tillway migrate: %s waits for a transaction of others (%s); nobody waits for it\n",
        watch->name, whom);
    (void)fflush(stdout);
}

static void look(struct watch *watch, PGconn *pg, const char *sql)
{
    PGresult *whom = ask_whom(watch, sql);
    bool is_waiting = whom && PQntuples(whom) > 0;
    if (is_waiting)
        count_and_say(watch, PQgetvalue(whom, 0, 0));
    PQclear(whom);
    if (is_waiting && watch->is_over)
        cancel(pg);
}

// As PQexec, and looks meanwhile.
static PGresult *run_watched(struct watch *watch, PGconn *pg, const char *sql)
{
    struct pollfd readable = {.fd = PQsocket(pg), .events = POLLIN};
    PGresult *result = NULL, *next;
    if (!PQsendQuery(pg, sql))
        return NULL;
    while (PQisBusy(pg)) {
        if (poll(&readable, 1, LOOK_MS) == 0)
            look(watch, pg, sql);
        else if (!PQconsumeInput(pg))
            break; // PQgetResult says so
    }
    while ((next = PQgetResult(pg))) {
        PQclear(result);
        result = next;
    }
    return result;
}

// ---- one statement ------------------------------------------------------------------------------

static enum index_state find_index(PGconn *pg, const char *index)
{
    const char *values[] = {index};
    PGresult *found = tw_migrate_run(pg, TW_STMT_MIGRATE_INDEX, values);
    if (!found)
        return INDEX_UNKNOWN;
    enum index_state state = INDEX_NONE;
    if (PQntuples(found) > 0)
        state = PQgetvalue(found, 0, 0)[0] == 't' ? INDEX_WHOLE : INDEX_BROKEN;
    PQclear(found);
    return state;
}

static void complain_of(const struct watch *watch, bool is_busy, PGconn *pg)
{
    if (watch->is_over)
        (void)fprintf(stderr,
                      "tillway migrate: %s: it has waited db.migrate_wait for transactions of "
                      "others: see which (pg_stat_activity), and run it again\n",
                      watch->name);
    else if (is_busy)
        (void)fprintf(stderr,
                      "tillway migrate: %s: others wait for the table that it reads, and it for "
                      "them: see who (pg_stat_activity), and run it again\n",
                      watch->name);
    else
        tw_migrate_complain(watch->name, pg);
}

enum outcome { DONE, AGAIN, FAILED };

static enum outcome run_once(struct watch *watch, PGconn *pg, const char *sql, bool is_last)
{
    PGresult *result = run_watched(watch, pg, sql);
    bool ok = tw_migrate_succeeded(result), is_busy = tw_migrate_is_somebody_in_the_way(result);
    bool again = is_busy && !is_last && !watch->is_over;
    if (!ok && !again)
        complain_of(watch, is_busy, pg);
    PQclear(result);
    return ok ? DONE : again ? AGAIN : FAILED;
}

static enum outcome try_step(struct watch *watch, PGconn *pg, const struct tw_migration_step *step,
                             bool is_last)
{
    enum index_state index = step->index ? find_index(pg, step->index) : INDEX_NONE;
    if (index == INDEX_UNKNOWN)
        return FAILED;
    if (index == INDEX_WHOLE)
        return DONE;
    enum outcome outcome = DONE;
    if (index == INDEX_BROKEN)
        outcome = run_once(watch, pg, step->undo, is_last);
    return outcome == DONE ? run_once(watch, pg, step->sql, is_last) : outcome;
}

static bool run_step(struct watch *watch, PGconn *pg, const struct tw_migration_step *step)
{
    enum outcome outcome = try_step(watch, pg, step, false);
    for (int tries_left = TRIES - 1; outcome == AGAIN; tries_left--) {
        tw_migrate_pause(PAUSE_MS);
        outcome = try_step(watch, pg, step, tries_left == 1);
    }
    return outcome == DONE;
}

bool tw_migrate_outside(PGconn *pg, const struct tw_config *config,
                        const struct tw_migration *migration)
{
    struct watch watch = {.config = config, .name = migration->name};
    // Behind a pooler the session is not ours to change.
    bool ok = !config->db_prepare || tw_migrate_run_only(pg, TW_STMT_MIGRATE_PATIENT, NULL);
    for (const struct tw_migration_step *step = migration->steps; ok && step->sql; step++)
        ok = run_step(&watch, pg, step);
    PQfinish(watch.other);
    return ok;
}
