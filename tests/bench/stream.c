/* TLS between memory and sockets, by OpenSSL. What is written together travels in one record, if one can hold it. */
#include "stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "invariant.h"

static bool load_identity(SSL_CTX *context, const char *pem_file)
{
    return SSL_CTX_use_certificate_chain_file(context, pem_file) == 1 &&
           SSL_CTX_use_PrivateKey_file(context, pem_file, SSL_FILETYPE_PEM) == 1;
}

static SSL_CTX *context_new(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);

    MUST(context != NULL); /* memory */
    MUST(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1);
    (void)SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
    /* What is offered again after EAGAIN is gathered again, at the same place or another. */
    (void)SSL_CTX_set_mode(context,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1); /* one read(2) per record, not two */
    return context;
}

struct ssl_ctx_st *stream_server_context_new(const char *pem_file, struct error *err)
{
    SSL_CTX *context = context_new(TLS_server_method());

    if (load_identity(context, pem_file))
        return context;
    const char *reason = ERR_reason_error_string(ERR_get_error());
    (void)fail(err, ERROR_CONFIG, "%s: %s", pem_file, reason != NULL ? reason : "unknown error");
    SSL_CTX_free(context);
    return NULL;
}

struct ssl_ctx_st *stream_client_context_new(void)
{
    return context_new(TLS_client_method());
}

void stream_context_free(struct ssl_ctx_st *context)
{
    SSL_CTX_free(context);
}

void stream_init(struct stream *stream, int fd, struct ssl_ctx_st *context)
{
    stream->fd = fd;
    stream->tls = NULL;
    if (context == NULL)
        return;
    stream->tls = SSL_new(context);
    MUST(stream->tls != NULL && SSL_set_fd(stream->tls, fd) == 1); /* memory */
    if (SSL_CTX_get_ssl_method(context) == TLS_server_method())
        SSL_set_accept_state(stream->tls);
    else
        SSL_set_connect_state(stream->tls);
}

void stream_done(struct stream *stream)
{
    SSL_free(stream->tls);
    stream->tls = NULL;
    if (stream->fd >= 0)
        (void)close(stream->fd);
    stream->fd = -1;
}

void stream_shake_hands(struct stream *stream)
{
    if (stream->tls != NULL && !stream_is_ready(stream))
        (void)SSL_do_handshake(stream->tls); /* what fails here fails again at the next read */
}

bool stream_is_ready(const struct stream *stream)
{
    return stream->tls == NULL || SSL_is_init_finished(stream->tls) == 1;
}

/* SSL_read() and SSL_write() in the words of read(2) and write(2). */
static ssize_t result_of(const struct stream *stream, int n)
{
    if (n > 0)
        return n;
    int reason = SSL_get_error(stream->tls, n);
    ERR_clear_error();
    if (reason == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (reason != SSL_ERROR_SYSCALL || errno == 0 || errno == EAGAIN)
        errno = EPROTO;
    return -1;
}

static int limited(size_t len)
{
    return len < SSL3_RT_MAX_PLAIN_LENGTH ? (int)len : SSL3_RT_MAX_PLAIN_LENGTH;
}

ssize_t stream_read(struct stream *stream, void *bytes, size_t size)
{
    if (stream->tls == NULL)
        return read(stream->fd, bytes, size);
    return result_of(stream, SSL_read(stream->tls, bytes, limited(size)));
}

bool stream_has_more(const struct stream *stream)
{
    return stream->tls != NULL && SSL_has_pending(stream->tls) == 1;
}

ssize_t stream_write(struct stream *stream, const struct iovec output[2])
{
    char record[SSL3_RT_MAX_PLAIN_LENGTH];
    size_t len = 0;

    if (stream->tls == NULL)
        return writev(stream->fd, output, 2);
    if (!stream_is_ready(stream)) {
        errno = EAGAIN;
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        size_t room = sizeof record - len;
        size_t part = output[i].iov_len < room ? output[i].iov_len : room;
        if (part > 0)
            (void)memcpy(record + len, output[i].iov_base, part);
        len += part;
    }
    return result_of(stream, SSL_write(stream->tls, record, (int)len));
}
