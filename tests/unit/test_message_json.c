/* What a recipient waits for, and the objects and explanations made of rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "dispatcher.h"
#include "explain.h"
#include "message_json.h"
#include "spool.h"
#include "strbuf.h"

#include <cmocka.h> /* last: it defines fail() */

enum { NOW_S = 1800000000, LATER_S = NOW_S + 60, LATEST_S = NOW_S + 600 };

static struct lane_view test_lane;

/* The only smarthost there is: "relay". */
static bool find_lane(const struct dispatcher *dispatcher, const char *smarthost,
                      struct lane_view *ret_view)
{
    (void)dispatcher;
    if (strcmp(smarthost, "relay") != 0)
        return false;
    *ret_view = test_lane;
    return true;
}

static const struct json_context context = { NULL, find_lane, NOW_S };

static struct lane_view lane_of(enum circuit_state state, enum verdict_scope scope,
                                int64_t retry_at_s)
{
    return (struct lane_view){
        .smarthost = "relay",
        .circuit = {.state = state,
                    .retry_at_s = retry_at_s,
                    .since_s = NOW_S - 120,
                    .reason = { .scope = scope, .class = CLASS_AUTH_FAILED, .rule = "auth-5xx" }},
        .reason_text = "bad password",
        .reason_code = 535,
        .reason_enhanced = "5.7.8",
    };
}

static const struct {
    const char *name;
    enum recipient_state state;
    enum recipient_waiting stored;
    int64_t due_at_s;
    enum circuit_state circuit;
    enum verdict_scope scope;
    int64_t retry_at_s;
    bool is_rate_limited;
    enum recipient_waiting waiting;
    int64_t next_attempt_at_s;
} outlooks[] = {
    {"due",                          RECIPIENT_QUEUED,    WAITING_NOW,    NOW_S,     CIRCUIT_CLOSED, SCOPE_MESSAGE,    0,       false,
     WAITING_NOW,                                                                                                                                         NOW_S    },
    { "was put off, is due now",     RECIPIENT_QUEUED,    WAITING_RETRY,  NOW_S - 5, CIRCUIT_CLOSED,
     SCOPE_MESSAGE,                                                                                                    0,       false, WAITING_NOW,       NOW_S - 5},
    { "put off",                     RECIPIENT_QUEUED,    WAITING_RETRY,  LATER_S,   CIRCUIT_CLOSED, SCOPE_MESSAGE,    0,       false,
     WAITING_RETRY,                                                                                                                                       LATER_S  },
    { "send later",                  RECIPIENT_QUEUED,    WAITING_TIME,   LATER_S,   CIRCUIT_CLOSED, SCOPE_MESSAGE,    0,
     false,                                                                                                                            WAITING_TIME,      LATER_S  },
    { "sender parked",               RECIPIENT_QUEUED,    WAITING_SENDER, LATER_S,   CIRCUIT_CLOSED, SCOPE_MESSAGE,    0,
     false,                                                                                                                            WAITING_SENDER,    LATER_S  },
    { "rate",                        RECIPIENT_QUEUED,    WAITING_NOW,    NOW_S,     CIRCUIT_CLOSED, SCOPE_MESSAGE,    0,       true,
     WAITING_RATE,                                                                                                                                        NOW_S    },
    { "rate does not matter before", RECIPIENT_QUEUED,    WAITING_RETRY,  LATER_S,   CIRCUIT_CLOSED,
     SCOPE_MESSAGE,                                                                                                    0,       true,  WAITING_RETRY,     LATER_S  },
    { "backing off",                 RECIPIENT_QUEUED,    WAITING_NOW,    NOW_S,     CIRCUIT_OPEN,   SCOPE_CONNECTION, LATER_S,
     false,                                                                                                                            WAITING_SMARTHOST, LATER_S  },
    { "backing off, later itself",   RECIPIENT_QUEUED,    WAITING_RETRY,  LATEST_S,  CIRCUIT_OPEN,
     SCOPE_CONNECTION,                                                                                                 LATER_S, false, WAITING_SMARTHOST, LATEST_S },
    { "account parked",              RECIPIENT_QUEUED,    WAITING_NOW,    NOW_S,     CIRCUIT_PARKED, SCOPE_ACCOUNT,    0,
     false,                                                                                                                            WAITING_ACCOUNT,   0        },
    { "smarthost parked until",      RECIPIENT_QUEUED,    WAITING_NOW,    NOW_S,     CIRCUIT_PARKED,
     SCOPE_SMARTHOST,                                                                                                  LATER_S, false, WAITING_SMARTHOST, LATER_S  },
    { "held",                        RECIPIENT_HELD,      WAITING_NONE,   0,         CIRCUIT_PARKED, SCOPE_ACCOUNT,    0,       false,
     WAITING_NONE,                                                                                                                                        0        },
    { "in doubt",                    RECIPIENT_IN_DOUBT,  WAITING_NONE,   LATER_S,   CIRCUIT_CLOSED, SCOPE_MESSAGE,    0,
     false,                                                                                                                            WAITING_NONE,      LATER_S  },
    { "delivered",                   RECIPIENT_DELIVERED, WAITING_NONE,   NOW_S,     CIRCUIT_OPEN,   SCOPE_MESSAGE,    LATER_S,
     false,                                                                                                                            WAITING_NONE,      0        },
};

/* What every row below says; the rows only point. */
static char test_sender[] = "s@example.com";
static char test_user[] = "alice";
static char test_address[] = "a@example.com";
static char test_smarthost[] = "relay";

static struct spool_row row_of(enum recipient_state state)
{
    return (struct spool_row){
        .key = 7,
        .id = "TEST000000000000000001",
        .sender = test_sender,
        .user = test_user,
        .accepted_at_ms = (NOW_S - 300) * INT64_C(1000),
        .size_bytes = 1234,
        .has_body = true,
        .address = test_address,
        .smarthost = test_smarthost,
        .state = state,
        .changed_at_ms = (NOW_S - 200) * INT64_C(1000),
    };
}

static void test_outlook(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(outlooks); i++) {
        char smarthost[] = "relay";
        struct spool_row row = { .smarthost = smarthost,
                                 .state = outlooks[i].state,
                                 .waiting = outlooks[i].stored,
                                 .due_at_s = outlooks[i].due_at_s };
        test_lane = lane_of(outlooks[i].circuit, outlooks[i].scope, outlooks[i].retry_at_s);
        test_lane.is_rate_limited = outlooks[i].is_rate_limited;
        struct row_outlook outlook = row_outlook(&row, &context);
        if (outlook.waiting != outlooks[i].waiting)
            fail_msg("%s: waits for %d", outlooks[i].name, (int)outlook.waiting);
        if (outlook.next_attempt_at_s != outlooks[i].next_attempt_at_s)
            fail_msg("%s: next attempt at %lld", outlooks[i].name,
                     (long long)outlook.next_attempt_at_s);
    }
}

static void test_message(void **state)
{
    static const char expected[] =
        "{\"id\":\"TEST000000000000000001\",\"sender\":\"s@example.com\",\"size\":1234,"
        "\"accepted_at\":\"2027-01-15T07:55:00Z\",\"user\":\"alice\",\"tag\":null,"
        "\"smarthost\":\"other\",\"state\":\"queued\",\"recipients\":["
        "{\"address\":\"a@example.com\",\"state\":\"delivered\",\"waiting\":null,\"class\":null,"
        "\"code\":250,\"enhanced\":\"2.0.0\",\"reply\":\"ok\",\"attempts\":1,"
        "\"next_attempt_at\":null},"
        "{\"address\":\"\\\\x1B[2J@example.com\",\"state\":\"queued\",\"waiting\":\"smarthost\","
        "\"class\":\"throttled\",\"code\":null,\"enhanced\":null,\"reply\":null,\"attempts\":0,"
        "\"next_attempt_at\":null}]}";
    char ok[] = "ok";
    char enhanced[] = "2.0.0";
    char other[] = "other";
    char hostile[] = "\x1b[2J@example.com";
    char class[] = "throttled";
    struct spool_row rows[3] = { row_of(RECIPIENT_DELIVERED), row_of(RECIPIENT_QUEUED),
                                 row_of(RECIPIENT_QUEUED) };

    (void)state;
    rows[0].code = 250;
    rows[0].enhanced = enhanced;
    rows[0].reply = ok;
    rows[0].attempts = 1;
    rows[1].address = hostile;
    rows[1].smarthost = other;
    rows[1].class = class;
    rows[2].key = 8; /* of another message */
    assert_int_equal(message_row_count(rows, 3), 2);
    json_t *object = message_json(rows, 2, &context);
    AUTO_FREE char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    assert_string_equal(text, expected);
}

static const struct {
    const char *name;
    enum recipient_state state;
    enum circuit_state circuit;
    bool has_words;
    const char *said;
    const char *unsaid;
} explanations[] = {
    {"parked",              RECIPIENT_QUEUED,    CIRCUIT_PARKED, true,
     "because it refused the login\n    it said: 535 5.7.8 bad password\n    Correct the user "
      "name or "
      "the password. Then reload (kill -HUP the daemon) and run: outbox smarthost unpark relay\n",                                                 "next attempt"},
    { "parked, for a user", RECIPIENT_QUEUED,    CIRCUIT_PARKED, false, "it said: 535 5.7.8 \n",
     "bad password"                                                                                                            },
    { "backing off",        RECIPIENT_QUEUED,    CIRCUIT_OPEN,   true,
     "smarthost relay is in trouble since 2027-01-15T07:58:00Z (2m ago)",                                        "unpark"      },
    { "due",                RECIPIENT_QUEUED,    CIRCUIT_CLOSED, true,  "next free connection to relay",         "unpark"      },
    { "held",               RECIPIENT_HELD,      CIRCUIT_CLOSED, true,  "outbox release TEST000000000000000001",
     "retry"                                                                                                                   },
    { "in doubt",           RECIPIENT_IN_DOUBT,  CIRCUIT_CLOSED, true,  "may deliver it twice",                  "release"     },
    { "failed",             RECIPIENT_FAILED,    CIRCUIT_CLOSED, true,  "outbox retry TEST000000000000000001",
     "release"                                                                                                                 },
    { "delivered",          RECIPIENT_DELIVERED, CIRCUIT_PARKED, true,  "delivered, smarthost relay",
     "parked"                                                                                                                  },
    { "cancelled",          RECIPIENT_CANCELLED, CIRCUIT_CLOSED, true,  "deleted by hand",                       "retry"       },
};

static void test_explanations(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(explanations); i++) {
        AUTO_STRBUF struct strbuf out;
        struct spool_row row = row_of(explanations[i].state);
        strbuf_init(&out);
        test_lane = lane_of(explanations[i].circuit, SCOPE_ACCOUNT, 0);
        explain_message(&row, 1, &context, explanations[i].has_words, &out);
        if (strstr(out.data, explanations[i].said) == NULL ||
            strstr(out.data, explanations[i].unsaid) != NULL)
            fail_msg("%s: %s", explanations[i].name, out.data);
    }
}

static void test_parked_by_hand(void **state)
{
    AUTO_STRBUF struct strbuf out;
    struct spool_row rows[2] = { row_of(RECIPIENT_QUEUED), row_of(RECIPIENT_QUEUED) };

    (void)state;
    strbuf_init(&out);
    test_lane = lane_of(CIRCUIT_PARKED, SCOPE_SMARTHOST, 0);
    test_lane.circuit.reason.rule = "operator";
    explain_message(rows, 2, &context, true, &out);
    assert_non_null(strstr(out.data, "because an administrator stopped it\n    To go on: outbox "
                                     "smarthost unpark relay\n"));
    assert_non_null(strstr(out.data, "waits for smarthost relay, see above"));
}

/* One screen, whatever the number of recipients, and those with trouble first. */
static void test_many_recipients(void **state)
{
    enum { MANY = 1000 };
    AUTO_STRBUF struct strbuf out;
    AUTO_FREE struct spool_row *rows = calloc(MANY, sizeof *rows);
    size_t lines = 0;

    (void)state;
    strbuf_init(&out);
    test_lane = lane_of(CIRCUIT_CLOSED, SCOPE_ACCOUNT, 0);
    for (size_t i = 0; i < MANY; i++)
        rows[i] = row_of(i == MANY - 1 ? RECIPIENT_FAILED : RECIPIENT_DELIVERED);
    explain_message(rows, MANY, &context, true, &out);
    for (const char *at = out.data; *at != '\0'; at++)
        lines += *at == '\n' ? 1 : 0;
    assert_true(lines < 100);
    assert_non_null(strstr(out.data, "1000 recipients: 999 delivered 1 failed"));
    assert_non_null(strstr(out.data, "<a@example.com>: failed"));
    assert_non_null(strstr(out.data, "and 988 more: outbox show"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outlook),         cmocka_unit_test(test_message),
        cmocka_unit_test(test_explanations),    cmocka_unit_test(test_parked_by_hand),
        cmocka_unit_test(test_many_recipients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
