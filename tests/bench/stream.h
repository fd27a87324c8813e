/* A connected, non-blocking socket, in clear or under TLS: whoever reads and writes sees no difference. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct error;
struct ssl_ctx_st;
struct ssl_st;

struct stream {
    int fd;
    struct ssl_st *tls; /* NULL: in clear */
};

/* What streams under TLS share. The server's certificate and key stand in one PEM file. A client believes every
   certificate: it measures, and sends nothing secret. Caller frees by stream_context_free(). */
struct ssl_ctx_st *stream_server_context_new(const char *pem_file, struct error *err);
struct ssl_ctx_st *stream_client_context_new(void);
void stream_context_free(struct ssl_ctx_st *context);

/* Owns fd from now on. context: NULL for a stream in clear. */
void stream_init(struct stream *stream, int fd, struct ssl_ctx_st *context);
void stream_done(struct stream *stream);
/* A client under TLS speaks first: called when the socket is connected. Does nothing for others. */
void stream_shake_hands(struct stream *stream);
/* As read(2): 0 at the end, -1 with errno. EAGAIN also stands for a handshake that goes on: wait for input. */
ssize_t stream_read(struct stream *stream, void *bytes, size_t size);
/* Whether more can be read although the socket may have nothing to announce. */
bool stream_has_more(const struct stream *stream);
/* As writev(2), of two buffers. After EAGAIN the same bytes must be written first. Before the handshake has ended
   that is the answer, too; the next stream_read() that finds anything may have ended it. */
ssize_t stream_write(struct stream *stream, const struct iovec output[2]);
bool stream_is_ready(const struct stream *stream);
