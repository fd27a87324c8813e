/* Intake when the spool is slow or broken, when the daemon ends, and when clients are hostile. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "invariant.h"
#include "strbuf.h"

#include "intake.h"

#include "intake_client.h"
#include "intake_fixture.h"

/* --- Trouble in the spool --- */

static void test_spool_failures(void **state)
{
    static const struct failure {
        const char *name;
        enum fixture_fault fault;
        int error_code;
        const char *reply;
    } failures[] = {
        {"full at the end",       FAULT_SUBMIT, ERROR_FULL,    BEGUN "452 4.3.1 *\n" BYE},
        { "broken at the end",    FAULT_SUBMIT, ERROR_IO,      BEGUN "451 4.3.0 *\n" BYE},
        { "full in the middle",   FAULT_CHUNK,  ERROR_FULL,    BEGUN "452 4.3.1 *\n" BYE},
        { "broken in the middle", FAULT_CHUNK,  ERROR_DAMAGED, BEGUN "451 4.3.0 *\n" BYE},
    };
    AUTO_STRBUF struct strbuf body;
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture.warnings_expected = COUNT_OF(failures);
    strbuf_init(&body);
    append_lines(&body, 600 * 1024);
    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        struct client client;
        print_message("%s\n", failures[i].name);
        fixture_fail_next(failures[i].fault, 1, failures[i].error_code);
        client_open(&client, &fixture);
        client_send_text(&client, BEGIN "\r\n");
        client_send(&client, body.data, body.len);
        client_send_text(&client, ".\r\n" QUIT);
        client_await_close(&client);
        client_expect(&client, failures[i].reply);
        client_close(&client);
    }
    assert_int_equal(fixture_stored_count(&fixture), 0);
    assert_int_equal(intake_counts(fixture.intake).refused, COUNT_OF(failures));
    fixture_close(&fixture);
}

/* No command is run before the answer, and none is lost. */
static void test_commands_wait_for_the_spool(void **state)
{
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture_hold_spool();
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN TEXT ".\r\nNOOP\r\n");
    client_await(&client, BEGUN);
    client_send_bytewise(&client, BYTES("NOOP\r\n" QUIT));
    assert_int_equal(client.received.len, 0);
    assert_int_equal(fixture_held_count(), 1);
    fixture_release_spool();
    client_await_close(&client);
    client_expect(&client, QUEUED "250 2.0.0 ok\n250 2.0.0 ok\n" BYE);
    client_close(&client);
    fixture_close(&fixture);
}

enum { CROWD = 5 };

struct crowd {
    struct client clients[CROWD];
    unsigned announcements;
    unsigned replies; /* that lay in the clients' sockets at the first of them */
};

static void on_announced(void *ctx)
{
    struct crowd *crowd = ctx;
    char text[128];

    if (crowd->announcements++ > 0)
        return;
    for (size_t i = 0; i < CROWD; i++) {
        ssize_t n = recv(crowd->clients[i].fd, text, sizeof text - 1, MSG_PEEK | MSG_DONTWAIT);
        text[n > 0 ? n : 0] = '\0';
        crowd->replies += strncmp(text, "250 2.0.0 queued as ", 20) == 0;
    }
}

/* Answers that come together are all passed on before the dispatcher hears of any. */
static void test_replies_come_first(void **state)
{
    struct fixture fixture;
    struct crowd crowd = { 0 };

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture.accepted_hook = on_announced;
    fixture.accepted_ctx = &crowd;
    fixture_hold_spool();
    for (size_t i = 0; i < CROWD; i++) {
        client_open(&crowd.clients[i], &fixture);
        client_send_text(&crowd.clients[i], BEGIN TEXT ".\r\n");
        client_await(&crowd.clients[i], BEGUN);
    }
    fixture_release_spool();
    fixture_await_spool(&fixture);
    for (size_t i = 0; i < CROWD; i++)
        client_await(&crowd.clients[i], QUEUED);
    assert_int_equal(crowd.announcements, CROWD);
    assert_int_equal(crowd.replies, CROWD);
    for (size_t i = 0; i < CROWD; i++)
        client_close(&crowd.clients[i]);
    fixture_close(&fixture);
}

/* The client is gone before the answer: the message is accepted all the same. */
static void test_client_gone_before_the_answer(void **state)
{
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture_hold_spool();
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN TEXT ".\r\n");
    client_await(&client, BEGUN);
    client_close(&client);
    fixture_release_spool();
    fixture_settle(&fixture);
    assert_int_equal(fixture.accepted_count, 1);
    assert_int_equal(fixture_stored_count(&fixture), 1);
    fixture_close(&fixture);
}

/* A spool that does not keep up: 8 MiB of a user are on their way, then the socket is not read; another user is not
   to be had in a test, but the same one's commands still work. */
static void test_back_pressure(void **state)
{
    enum { LEN = 20 * 1024 * 1024 };
    AUTO_STRBUF struct strbuf body;
    struct fixture fixture;
    struct client client;
    struct client other;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&body);
    append_lines(&body, LEN);
    fixture_hold_spool();
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN "\r\n");
    client_await(&client, BEGUN);
    size_t sent = client_send_until_blocked(&client, body.data, body.len);
    assert_true(sent > 8 * 1024 * 1024 && sent < 10 * 1024 * 1024);
    assert_in_range(fixture_held_count(), 32, 33);
    client_open(&other, &fixture);
    client_send_text(&other, EHLO);
    client_await(&other, GREETING EHLO_REPLY);
    client_close(&other);
    fixture_release_spool();
    client_send(&client, body.data + sent, body.len - sent);
    client_send_text(&client, ".\r\n");
    client_await(&client, "250 2.0.0 queued as *");
    client_close(&client);
    assert_int_equal(fixture_stored_count(&fixture), 1);
    fixture_close(&fixture);
}

static void test_gone_while_held_back(void **state)
{
    AUTO_STRBUF struct strbuf body;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&body);
    append_lines(&body, 12 * 1024 * 1024);
    fixture_hold_spool();
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN "\r\n");
    client_await(&client, BEGUN);
    (void)client_send_until_blocked(&client, body.data, body.len);
    client_close(&client);
    fixture_release_spool();
    fixture_settle(&fixture);
    assert_int_equal(fixture_stored_count(&fixture), 0);
    fixture_close(&fixture);
}

/* --- The end of the daemon, and hostile clients --- */

static void test_stop(void **state)
{
    struct fixture fixture;
    struct client idle;
    struct client reading;
    struct client committing;

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture_hold_spool();
    client_open(&idle, &fixture);
    client_await(&idle, GREETING);
    client_open(&reading, &fixture);
    client_send_text(&reading, BEGIN TEXT);
    client_await(&reading, BEGUN);
    client_open(&committing, &fixture);
    client_send_text(&committing, BEGIN TEXT ".\r\n");
    client_await(&committing, BEGUN);
    intake_stop(fixture.intake);
    client_await_close(&idle);
    client_expect(&idle, "421 4.3.2 *");
    client_await_close(&reading);
    client_expect(&reading, "421 4.3.2 *");
    assert_false(intake_is_idle(fixture.intake));
    fixture_release_spool();
    client_await_close(&committing);
    client_expect(&committing, "250 2.0.0 queued as *\n421 4.3.2 *");
    client_close(&idle);
    client_close(&reading);
    client_close(&committing);
    assert_int_equal(fixture_stored_count(&fixture), 1);
    fixture_close(&fixture);
}

/* The greeting waits for the user's name; all that can happen meanwhile. */
static void test_slow_user_database(void **state)
{
    struct fixture fixture;
    struct client patient;
    struct client gone;
    struct client half_closed;

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture_hold_resolver();
    client_open(&patient, &fixture);
    client_open(&gone, &fixture);
    client_send_text(&gone, BEGIN);
    client_open(&half_closed, &fixture);
    client_send_text(&half_closed, BEGIN TEXT ".\r\n");
    client_shutdown_write(&half_closed);
    fixture_run(&fixture);
    client_close(&gone);
    fixture_run(&fixture);
    assert_int_equal(patient.received.len, 0);
    fixture_release_resolver();
    client_await(&patient, GREETING);
    client_await_close(&half_closed);
    client_expect(&half_closed, BEGUN QUEUED);
    client_close(&half_closed);
    client_close(&patient);
    fixture_close(&fixture);
}

static void test_stop_while_the_name_is_unknown(void **state)
{
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture_hold_resolver();
    client_open(&client, &fixture);
    fixture_run(&fixture);
    intake_stop(fixture.intake);
    client_await_close(&client);
    client_expect(&client, "421 4.3.2 *");
    client_close(&client);
    fixture_release_resolver();
    fixture_close(&fixture);
}

/* Neither the last reply nor what came before it can be written. */
static void test_stop_with_a_client_that_does_not_read(void **state)
{
    AUTO_STRBUF struct strbuf input;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&input);
    while (input.len < 1024 * 1024)
        strbuf_append_text(&input, "HELP\r\n");
    client_open(&client, &fixture);
    assert_true(client_send_until_blocked(&client, input.data, input.len) < input.len);
    intake_stop(fixture.intake);
    fixture_run(&fixture);
    assert_true(intake_is_idle(fixture.intake));
    client_close(&client);
    fixture_close(&fixture);
}

static void test_reload(void **state)
{
    struct fixture fixture;
    struct client old;
    struct client new;

    (void)state;
    fixture_open(&fixture, "", 0);
    client_open(&old, &fixture);
    client_await(&old, GREETING);
    fixture_reload(&fixture, "message-size-max = \"1M\"; recipients-max = 2000;");
    client_open(&new, &fixture);
    client_send_text(&old, EHLO);
    client_await(&old, EHLO_REPLY);
    client_send_text(&new, EHLO);
    client_await(&new, GREETING "250-*\n250-*\n250-SIZE 1048576\n250-*\n250-*\n"
                                "250-LIMITS RCPTMAX=2000\n250 *\n");
    client_close(&old);
    client_close(&new);
    fixture_close(&fixture);
}

static void test_passed_descriptors_are_dropped(void **state)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
    char byte = 'N';
    struct iovec piece = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    struct fixture fixture;
    struct client client;
    int ends[2];

    (void)state;
    fixture_open(&fixture, "", 0);
    client_open(&client, &fixture);
    client_await(&client, GREETING);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    MUST(header != NULL);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    (void)memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
    assert_int_equal(sendmsg(client.fd, &message, MSG_NOSIGNAL), 1);
    (void)close(ends[1]);
    client_send_text(&client, "OOP\r\n");
    client_await(&client, "250 2.0.0 ok");
    assert_int_equal(read(ends[0], &byte, 1), 0); /* end of file: nobody holds the other end */
    (void)close(ends[0]);
    client_close(&client);
    fixture_close(&fixture);
}

/* Output that is not read is not collected without end. */
static void test_client_that_does_not_read(void **state)
{
    enum { COUNT = 100000 };
    AUTO_STRBUF struct strbuf input;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&input);
    for (unsigned i = 0; i < COUNT; i++)
        strbuf_append_text(&input, "HELP\r\n");
    client_open(&client, &fixture);
    size_t sent = client_send_until_blocked(&client, input.data, input.len);
    assert_true(sent < input.len);
    client_send(&client, input.data + sent, input.len - sent);
    client_await_lines(&client, COUNT + 1);
    assert_false(client.is_closed);
    client_close(&client);
    fixture_close(&fixture);
}

static void test_noise(void **state)
{
    struct fixture fixture;
    unsigned seed = 42;

    (void)state;
    fixture_open(&fixture, "", 0);
    for (unsigned round = 0; round < 50; round++) {
        char noise[2000];
        struct client client;
        for (size_t i = 0; i < sizeof noise; i++) {
            seed = seed * 1103515245U + 12345U;
            noise[i] = (char)(seed >> 16);
        }
        client_open(&client, &fixture);
        client_send(&client, noise, sizeof noise);
        client_close(&client);
    }
    client_exchange(&fixture, BEGIN TEXT ".\r\n");
    assert_int_equal(fixture.accepted_count, 1);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spool_failures),
        cmocka_unit_test(test_commands_wait_for_the_spool),
        cmocka_unit_test(test_replies_come_first),
        cmocka_unit_test(test_client_gone_before_the_answer),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_gone_while_held_back),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_slow_user_database),
        cmocka_unit_test(test_stop_while_the_name_is_unknown),
        cmocka_unit_test(test_stop_with_a_client_that_does_not_read),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_passed_descriptors_are_dropped),
        cmocka_unit_test(test_client_that_does_not_read),
        cmocka_unit_test(test_noise),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
