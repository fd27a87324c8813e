/* Requests over socket pairs, by users of our choice, to the real commands and the real spool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "connection.h"
#include "dispatcher.h"
#include "resolver.h"
#include "spool.h"
#include "spool_fixture.h"
#include "strbuf.h"
#include "xalloc.h"

#include <cmocka.h> /* last: it defines fail() */

enum { ROOT = 0, ALICE = 54321, BOB = 54322 }; /* no such users, so no such groups */

struct world {
    struct fixture fixture;
    struct resolver *resolver;
    struct connection_host host;
    struct connection_list connections;
    char alices[QUEUE_ID_SIZE]; /* two recipients, one delivered */
    char bobs[QUEUE_ID_SIZE];
};

/* --- In place of the dispatcher --- */

static struct lane_view lane = { .smarthost = "relay" };
static size_t keys_told;

size_t dispatcher_lane_count(const struct dispatcher *dispatcher)
{
    (void)dispatcher;
    return 1;
}

struct lane_view dispatcher_lane(const struct dispatcher *dispatcher, size_t index)
{
    (void)dispatcher;
    (void)index;
    return lane;
}

bool dispatcher_lane_find(const struct dispatcher *dispatcher, const char *smarthost,
                          struct lane_view *ret_view)
{
    (void)dispatcher;
    *ret_view = lane;
    return strcmp(smarthost, "relay") == 0;
}

void dispatcher_messages_changed(struct dispatcher *dispatcher, const int64_t *keys, size_t count)
{
    (void)dispatcher;
    (void)keys;
    keys_told += count;
}

bool dispatcher_park(struct dispatcher *dispatcher, const char *smarthost, int64_t uid)
{
    (void)dispatcher;
    (void)uid;
    if (strcmp(smarthost, "relay") != 0)
        return false;
    lane.circuit.state = CIRCUIT_PARKED;
    lane.circuit.since_s = TEST_NOW_S;
    return true;
}

bool dispatcher_unpark(struct dispatcher *dispatcher, const char *smarthost, int64_t uid)
{
    (void)dispatcher;
    (void)uid;
    lane.circuit.state = CIRCUIT_CLOSED;
    return strcmp(smarthost, "relay") == 0;
}

/* --- The world --- */

static void on_finished(void *ctx)
{
    struct world *world = ctx;

    (void)event_base_loopbreak(world->fixture.base);
}

static void accept_for(struct world *world, uid_t uid, size_t recipients, char id[QUEUE_ID_SIZE])
{
    struct spool_submit *submit = message_new(&world->fixture, recipients, "relay", 1000);

    submit->uid = uid;
    memcpy(id, submit->id, QUEUE_ID_SIZE);
    assert_true(submit_one(&world->fixture, submit, NULL));
}

static int set_up(void **state)
{
    struct world *world = NEW(struct world);
    struct error err;

    fixture_init(&world->fixture);
    fixture_start(&world->fixture);
    world->resolver = resolver_start(1, &err);
    assert_non_null(world->resolver);
    LIST_INIT(&world->connections);
    world->host = (struct connection_host){ .base = world->fixture.base,
                                            .mailbox = world->fixture.mailbox,
                                            .spool = world->fixture.spool,
                                            .resolver = world->resolver,
                                            .finished = on_finished,
                                            .ctx = world };
    accept_for(world, ALICE, 2, world->alices);
    accept_for(world, BOB, 1, world->bobs);
    lane.circuit = (struct circuit){ .state = CIRCUIT_CLOSED };
    keys_told = 0;
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    assert_true(LIST_EMPTY(&world->connections));
    resolver_stop(world->resolver, 1000);
    fixture_done(&world->fixture);
    free(world);
    return 0;
}

/* --- A client --- */

struct client {
    struct world *world;
    struct connection *connection;
    struct event *readable;
    int fd;
    bool is_ended;
    struct strbuf heard;
};

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct client *client = ctx;
    char piece[8192];
    ssize_t n = recv((int)fd, piece, sizeof piece, MSG_DONTWAIT);

    (void)what;
    if (n > 0) {
        strbuf_append(&client->heard, piece, (size_t)n);
        return;
    }
    client->is_ended = true;
    (void)event_del(client->readable);
    (void)event_base_loopbreak(client->world->fixture.base);
}

static void client_init(struct client *client, struct world *world, uid_t uid)
{
    int fds[2];

    *client = (struct client){ .world = world };
    strbuf_init(&client->heard);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    client->fd = fds[0];
    client->connection = connection_new(&world->host, fds[1], uid);
    assert_non_null(client->connection);
    connection_list_insert(&world->connections, client->connection);
    client->readable =
        event_new(world->fixture.base, client->fd, EV_READ | EV_PERSIST, on_readable, client);
}

static void client_say(struct client *client, const char *text)
{
    assert_int_equal(send(client->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void client_listen(struct client *client)
{
    (void)event_add(client->readable, NULL);
    while (!client->is_ended)
        (void)event_base_loop(client->world->fixture.base, EVLOOP_NO_EXIT_ON_EMPTY);
}

/* Hangs up if need be, and waits for the connection to notice. */
static void client_done(struct client *client)
{
    (void)event_del(client->readable);
    event_free(client->readable);
    (void)close(client->fd);
    while (!connection_is_finished(client->connection))
        (void)event_base_loop(client->world->fixture.base, EVLOOP_NO_EXIT_ON_EMPTY);
    connection_free(client->connection);
    strbuf_done(&client->heard);
}

/* Says requests, ends its side, returns all that it heard (caller frees). */
static char *converse(struct world *world, uid_t uid, const char *requests)
{
    struct client client;

    client_init(&client, world, uid);
    client_say(&client, requests);
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    client_listen(&client);
    char *heard = strbuf_take(&client.heard, NULL);
    client_done(&client);
    return heard;
}

/* --- Questions --- */

/* "%A" and "%B" stand for the ids of alice's and bob's message. */
static char *with_ids(const struct world *world, const char *text)
{
    AUTO_STRBUF struct strbuf out;

    strbuf_init(&out);
    while (*text != '\0') {
        const char *id = strncmp(text, "%A", 2) == 0   ? world->alices
                         : strncmp(text, "%B", 2) == 0 ? world->bobs
                                                       : NULL;
        if (id != NULL)
            strbuf_append_text(&out, id);
        else
            strbuf_append_char(&out, *text);
        text += id != NULL ? 2 : 1;
    }
    return strbuf_take(&out, NULL);
}

static const struct {
    const char *name;
    uid_t uid;
    const char *request;
    const char *said;   /* in the answer */
    const char *unsaid; /* not in the answer; NULL */
} rows[] = {
    { "root lists all", ROOT, "{\"command\":\"list\"}\n", "{\"status\":0,\"count\":2}\n", NULL },
    { "a user lists their own", ALICE, "{\"command\":\"list\"}\n", "{\"status\":0,\"count\":1}\n",
      "%B" },
    { "also with all", BOB, "{\"command\":\"list\",\"filter\":[\"all\"]}\n", "\"count\":1}", "%A" },
    { "also by id", BOB, "{\"command\":\"list\",\"filter\":[\"id=%A\"]}\n", "\"count\":0}",
      "example.com" },
    { "limit", ROOT, "{\"command\":\"list\",\"limit\":1}\n", "\"count\":1}", "%B" },
    { "a filter that is none", ROOT, "{\"command\":\"list\",\"filter\":[\"colour=red\"]}\n",
      "{\"status\":64,\"error\":", "message\":" },
    { "a filter of numbers", ROOT, "{\"command\":\"list\",\"filter\":[1]}\n", "{\"status\":64,",
      NULL },
    { "mailq", ALICE, "{\"command\":\"mailq\"}\n", "%A      1000 ", "%B" },
    { "show", ALICE, "{\"command\":\"show\",\"id\":\"%A\"}\n", "\"address\":\"rcpt1@example.com\"",
      NULL },
    { "show what is another's", ALICE, "{\"command\":\"show\",\"id\":\"%B\"}\n",
      "{\"status\":66,\"error\":\"no such message\"}", NULL },
    { "show what does not exist", ALICE,
      "{\"command\":\"show\",\"id\":\"TEST999999999999999999\"}\n",
      "{\"status\":66,\"error\":\"no such message\"}", NULL },
    { "show what is no id", ALICE, "{\"command\":\"show\",\"id\":\"../x\"}\n",
      "{\"status\":66,\"error\":\"no such message\"}", NULL },
    { "show nothing", ALICE, "{\"command\":\"show\"}\n", "{\"status\":64,", NULL },
    { "raw", ALICE, "{\"command\":\"raw\",\"id\":\"%A\"}\n", "{\"raw_bytes\":1000}\nxxx", NULL },
    { "raw of another's", ALICE, "{\"command\":\"raw\",\"id\":\"%B\"}\n",
      "{\"status\":66,\"error\":\"no such message\"}", "xxx" },
    { "why", ALICE, "{\"command\":\"why\",\"id\":\"%A\"}\n",
      "{\"text\":\"message %A from <sender@example.com>", NULL },
    { "why of another's", ALICE, "{\"command\":\"why\",\"id\":\"%B\"}\n",
      "{\"status\":66,\"error\":\"no such message\"}", NULL },
    { "log of one", ALICE, "{\"command\":\"log\",\"id\":\"%A\"}\n", "\"kind\":\"accepted\"", NULL },
    { "log of another's", ALICE, "{\"command\":\"log\",\"id\":\"%B\"}\n",
      "{\"status\":66,\"error\":\"no such message\"}", NULL },
    { "the newest events", ALICE, "{\"command\":\"log\"}\n", "\"id\":\"%A\"", "%B" },
    { "hold without a filter", ROOT, "{\"command\":\"hold\"}\n", "{\"status\":64,", NULL },
    { "dry run", ROOT, "{\"command\":\"hold\",\"filter\":[\"all\"],\"dry_run\":true}\n",
      "{\"status\":0,\"count\":2,\"changed\":2}", NULL },
    { "delete another's", BOB, "{\"command\":\"delete\",\"filter\":[\"%A\"]}\n",
      "{\"status\":66,\"error\":\"no such message\"}", NULL },
    { "delete one's own of all", BOB, "{\"command\":\"delete\",\"filter\":[\"all\"]}\n",
      "{\"status\":0,\"count\":1,\"changed\":1}", NULL },
    { "nothing matches", ROOT, "{\"command\":\"hold\",\"filter\":[\"sender=nobody\"]}\n",
      "{\"status\":0,\"count\":0,\"changed\":0}", NULL },
    { "status for root", ROOT, "{\"command\":\"status\"}\n",
      "\"queued\":2,\"held\":0,\"in-doubt\":0,\"delivered\":0,\"failed\":0,\"expired\":0,"
      "\"cancelled\":1}",
      NULL },
    { "status for a user", ALICE, "{\"command\":\"status\"}\n",
      "\"counts\":{\"queued\":2,\"held\":0,\"in-doubt\":0}", "connections" },
    { "status for another user", BOB, "{\"command\":\"status\"}\n",
      "\"counts\":{\"queued\":0,\"held\":0,\"in-doubt\":0},\"oldest_age_s\":null", NULL },
    { "smarthosts", ROOT, "{\"command\":\"smarthosts\"}\n",
      "{\"smarthost\":{\"name\":\"relay\",\"state\":\"ok\"", NULL },
    { "park", ROOT, "{\"command\":\"park\",\"name\":\"relay\"}\n{\"command\":\"status\"}\n",
      "smarthost relay is parked", NULL },
    { "park is not for users", ALICE, "{\"command\":\"park\",\"name\":\"relay\"}\n",
      "{\"status\":77,", NULL },
    { "park what is unknown", ROOT, "{\"command\":\"park\",\"name\":\"\\u001bx\"}\n",
      "{\"status\":66,\"error\":\"no such smarthost: \\\\x1Bx\"}", NULL },
    { "several questions", ALICE,
      "{\"command\":\"list\"}\n{\"command\":\"show\",\"id\":\"%A\"}\n{\"command\":\"list\"}\n",
      "\"count\":1}\n{\"message\":{\"id\":\"%A\"", NULL },
    { "an unknown command ends it", ROOT, "{\"command\":\"stop\"}\n{\"command\":\"list\"}\n",
      "{\"status\":64,\"error\":\"no such command\"}\n", "count" },
    { "no JSON ends it", ROOT, "EHLO x\r\n{\"command\":\"list\"}\n",
      "{\"status\":64,\"error\":\"not a request\"}\n", "count" },
    { "no object", ROOT, "[\"list\"]\n", "{\"status\":64,", NULL },
    { "a line that is not whole", ROOT, "{\"command\":\"list\"}", "", "status" },
};

static void test_rows(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_FREE char *request = with_ids(world, rows[i].request);
        AUTO_FREE char *said = with_ids(world, rows[i].said);
        AUTO_FREE char *unsaid =
            with_ids(world, rows[i].unsaid != NULL ? rows[i].unsaid : "\n\n\n");
        AUTO_FREE char *heard = converse(world, rows[i].uid, request);
        if (strstr(heard, said) == NULL || strstr(heard, unsaid) != NULL)
            fail_msg("%s: %s", rows[i].name, heard);
        lane.circuit.state = CIRCUIT_CLOSED;
    }
    assert_int_equal(keys_told, 1); /* the dry run and the refusals told the dispatcher nothing */
}

/* What a smarthost says of the account is for administrators; that it is parked, and why in our words, for all. */
static void test_words_about_the_account(void **state)
{
    static const char *const requests[] = { "{\"command\":\"why\",\"id\":\"%A\"}\n",
                                            "{\"command\":\"status\"}\n",
                                            "{\"command\":\"smarthosts\"}\n" };
    struct world *world = *state;

    lane.circuit = (struct circuit){
        .state = CIRCUIT_PARKED,
        .since_s = TEST_NOW_S,
        .reason = { .class = CLASS_AUTH_FAILED, .scope = SCOPE_ACCOUNT, .rule = "auth-535-refused" }
    };
    lane.reason_text = "no credit left on account 4711";
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        AUTO_FREE char *request = with_ids(world, requests[i]);
        AUTO_FREE char *of_root = converse(world, ROOT, request);
        AUTO_FREE char *of_user = converse(world, ALICE, request);
        assert_non_null(strstr(of_root, "account 4711"));
        assert_null(strstr(of_user, "account 4711"));
        assert_non_null(strstr(of_user, "parked"));
    }
    lane.reason_text = NULL;
}

static void test_long_line(void **state)
{
    struct client client;
    AUTO_FREE char *spaces = xasprintf("%70000s", "");

    client_init(&client, *state, ROOT);
    client_say(&client, spaces);
    client_listen(&client);
    assert_string_equal(client.heard.data,
                        "{\"status\":64,\"error\":\"the request is too long\"}\n");
    client_done(&client);
}

/* --- Slow and vanishing clients --- */

static void accept_many(struct world *world, size_t count)
{
    AUTO_FREE struct spool_submit **all = xcalloc(count, sizeof(struct spool_submit *));

    for (size_t i = 0; i < count; i++) {
        all[i] = message_new(&world->fixture, 1, "relay", 10);
        all[i]->uid = ALICE;
        fixture_expect(&world->fixture, &all[i]->request);
        spool_message_submit(world->fixture.spool, all[i]);
    }
    fixture_wait(&world->fixture);
    for (size_t i = 0; i < count; i++)
        spool_submit_free(all[i]);
}

/* A client that does not read stops its own listing; what waits for it stays bounded, and others are served. */
static void test_slow_client(void **state)
{
    enum { MANY = 3000 };
    struct world *world = *state;
    struct client slow;
    char tail[64];

    accept_many(world, MANY);
    client_init(&slow, world, ALICE);
    client_say(&slow, "{\"command\":\"list\"}\n");
    AUTO_FREE char *other = converse(world, BOB, "{\"command\":\"list\"}\n");
    assert_non_null(strstr(other, "{\"status\":0,\"count\":1}\n"));
    assert_int_equal(shutdown(slow.fd, SHUT_WR), 0);
    client_listen(&slow);
    (void)snprintf(tail, sizeof tail, "{\"status\":0,\"count\":%d}\n", MANY + 1);
    assert_true(slow.heard.len > 300 * 1024); /* more than the socket and one page hold */
    assert_string_equal(slow.heard.data + slow.heard.len - strlen(tail), tail);
    client_done(&slow);
}

/* At every point: before the user is known, while the spool reads, while output waits. */
static void test_vanishing_client(void **state)
{
    static const char *const requests[] = {
        "{\"command\":\"list\"}\n{\"command\":\"hold\",\"filter\":[\"all\"]}\n",
        "{\"command\":\"list\"}\n",
        "{\"command\":\"list\",\"limit\":1}\n",
        "{\"command\":\"status\"}\n{\"comm",
    };
    struct world *world = *state;
    struct client client;

    accept_many(world, 500);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        for (int turns = 0; turns < 12; turns++) {
            client_init(&client, world, ALICE);
            client_say(&client, requests[i]);
            for (int turn = 0; turn < turns; turn++)
                (void)event_base_loop(world->fixture.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
            client_done(&client);
        }
    }
}

static void test_stopping(void **state)
{
    struct world *world = *state;
    struct client idle;
    struct client busy;

    client_init(&idle, world, ALICE);
    client_init(&busy, world, ALICE);
    client_say(&busy, "{\"command\":\"list\"}\n");
    world->host.is_stopping = true;
    connection_stop(idle.connection);
    connection_stop(busy.connection);
    client_listen(&idle);
    client_listen(&busy);
    client_done(&idle);
    client_done(&busy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_words_about_the_account, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_vanishing_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stopping, set_up, tear_down),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
