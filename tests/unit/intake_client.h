/* Clients of the intake under test: they write and read only when the test says so, and run the server's loop while they
   wait. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "strbuf.h"

struct fixture;

/* --- Pieces of dialogues; a reply is a glob, its line end '\n' --- */

#define BYTES(text) (text), sizeof(text) - 1

#define GREETING "220 host.example ESMTP outbox\n"
#define EHLO     "EHLO client\r\n"
#define EHLO_REPLY                                                                                 \
    "250-host.example\n250-PIPELINING\n250-SIZE 52428800\n250-8BITMIME\n250-SMTPUTF8\n"            \
    "250-LIMITS RCPTMAX=1000\n250 ENHANCEDSTATUSCODES\n"
#define MAIL   "MAIL FROM:<a@x.example>\r\n"
#define RCPT   "RCPT TO:<b@y.example>\r\n"
#define BEGIN  EHLO MAIL RCPT "DATA\r\n"
#define BEGUN  GREETING EHLO_REPLY "250 2.1.0 ok\n250 2.1.5 ok\n354 *\n"
#define TEXT   "From: a@x.example\r\nDate: x\r\nMessage-ID: <1>\r\n\r\nText\r\n..\r\n"
#define QUEUED "250 2.0.0 queued as *\n"
#define QUIT   "QUIT\r\n"
#define BYE    "221 2.0.0 bye"

struct client {
    struct fixture *fixture;
    int fd;
    bool is_closed; /* the server has closed, or broken */
    struct strbuf received;
    size_t line_count; /* in received */
};

void client_open(struct client *client, struct fixture *fixture);
/* Writes all of it, running the loop whenever the socket is full. */
void client_send(struct client *client, const char *bytes, size_t len);
void client_send_text(struct client *client, const char *text);
/* One write per byte, each of which the server has read before the next. */
void client_send_bytewise(struct client *client, const char *bytes, size_t len);
/* As much as the socket takes while the server reads; returns how much that was. */
size_t client_send_until_blocked(struct client *client, const char *bytes, size_t len);
/* Runs the loop until so many complete lines have come, or the server has closed. */
void client_await_lines(struct client *client, size_t count);
void client_await_close(struct client *client);
/* The lines received so far, each against its glob; patterns are separated by '\n'. Then forgets them. */
void client_expect(struct client *client, const char *patterns);
/* Awaits as many lines as there are patterns first. */
void client_await(struct client *client, const char *patterns);
void client_shutdown_write(struct client *client);
void client_close(struct client *client);

/* One client says input and QUIT, and hears what it hears. */
void client_exchange(struct fixture *fixture, const char *input);
/* Lines of text that all differ, until buf has len bytes or a few more. */
void append_lines(struct strbuf *buf, size_t len);
