/* hold, release, retry, delete: bulk changes step by step; park, unpark. */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cleanup.h"
#include "invariant.h"
#include "xalloc.h"

#include "dispatcher.h"
#include "filter.h"
#include "spool.h"

#include "connection.h"
#include "request.h"

struct change {
    struct spool_change *change;
    uint64_t matched;
    uint64_t changed;
};

static const struct {
    const char *name;
    enum spool_change_kind kind;
} kinds[] = {
    {"hold",     CHANGE_HOLD   },
    { "release", CHANGE_RELEASE},
    { "retry",   CHANGE_RETRY  },
    { "delete",  CHANGE_DELETE },
};

static void change_free(void *state)
{
    struct change *change = state;

    spool_change_free(change->change);
    free(change);
}

static enum spool_change_kind kind_of(const char *name)
{
    size_t i = 0;

    while (i < COUNT_OF(kinds) && strcmp(kinds[i].name, name) != 0)
        i++;
    MUST(i < COUNT_OF(kinds)); /* commands.c knows no other name */
    return kinds[i].kind;
}

static void end_change(struct control_request *request, const struct change *change)
{
    /* An id alone means one message: that it is not there is an answer of its own. */
    const char *id = filter_exact_id(request->filter);
    bool is_by_id = request->filter_terms == 1 && id != NULL && id[0] != '\0';

    if (change->matched == 0 && is_by_id)
        control_refuse(request, EX_NOINPUT, "no such message");
    else
        control_end(request, EX_OK,
                    json_pack("{s:I,s:I}", "count", (json_int_t)change->matched, "changed",
                              (json_int_t)change->changed));
}

static void on_step(struct control_request *request);

static void next_step(struct control_request *request)
{
    struct change *change = request->state;

    control_expect(request, &change->change->request, on_step);
    spool_change_step(request->host->spool, change->change);
}

static void on_step(struct control_request *request)
{
    struct change *change = request->state;
    const struct spool_change *step = change->change;

    if (!step->request.is_ok) {
        control_refuse_spool(request, &step->request);
        return;
    }
    change->matched += step->message_count;
    change->changed += step->changed_count;
    if (!step->is_dry_run && step->key_count > 0)
        dispatcher_messages_changed(request->host->dispatcher, step->keys, step->key_count);
    if (step->is_end)
        end_change(request, change);
    else
        next_step(request);
}

void control_change(struct control_request *request)
{
    struct change *change = NEW(struct change);

    change->change = spool_change_new(request->filter, kind_of(request->command->name),
                                      control_scope(request), request->uid);
    change->change->is_dry_run = json_is_true(json_object_get(request->arguments, "dry_run"));
    change->change->now_ms = request->now_ms;
    control_state_set(request, change, change_free);
    next_step(request);
}

void control_park(struct control_request *request)
{
    const char *name = control_argument(request, "name");
    bool is_parking = strcmp(request->command->name, "park") == 0;

    if (name == NULL) {
        control_refuse(request, EX_USAGE, "the name of a smarthost is needed");
        return;
    }
    /* The dispatcher logs it, and the history keeps who it was. */
    bool is_known = is_parking ? dispatcher_park(request->host->dispatcher, name, request->uid)
                               : dispatcher_unpark(request->host->dispatcher, name, request->uid);
    if (!is_known) {
        control_refuse(request, EX_NOINPUT, "no such smarthost: %.100s", name);
        return;
    }
    control_end(request, EX_OK, NULL);
}
