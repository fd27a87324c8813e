/* The client side of TLS: contexts with trust anchors, sessions that verify, errors in words. */
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "error.h"
#include "invariant.h"
#include "xalloc.h"

struct tls_context {
    SLIST_ENTRY(tls_context) link;
    SSL_CTX *ctx;
    char *ca_file; /* NULL: the system's store */
    struct stat loaded;
};

struct tls {
    SSL *ssl;
    bool is_over;
    bool has_write_failed; /* in the socket: what had arrived before can still be read */
    unsigned long error;   /* of OpenSSL; 0: none */
    int system_error;      /* or of the socket */
};

struct tls_store {
    SLIST_HEAD(, tls_context) contexts; /* few: one per CA file that the configuration names */
};

struct tls_store *tls_store_new(void)
{
    struct tls_store *store = NEW(struct tls_store);

    SLIST_INIT(&store->contexts);
    return store;
}

static void context_free(struct tls_context *context)
{
    SSL_CTX_free(context->ctx);
    free(context->ca_file);
    free(context);
}

void tls_store_free(struct tls_store *store)
{
    if (store == NULL)
        return;
    while (!SLIST_EMPTY(&store->contexts)) {
        struct tls_context *context = SLIST_FIRST(&store->contexts);
        SLIST_REMOVE_HEAD(&store->contexts, link);
        context_free(context);
    }
    free(store);
}

/* The oldest error is the reason, later ones say where it passed. Static text. */
static const char *take_reason(void)
{
    unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return reason != NULL ? reason : "unknown error";
}

static SSL_CTX *ctx_new(const char *ca_file, struct error *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    MUST(ctx != NULL); /* memory */
    MUST(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    /* A close without close_notify is EOF to us: SMTP says itself where a reply ends. */
    (void)SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(
        ctx, 1); /* one read for a record, not one for its header and one for the rest */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    int is_loaded = ca_file != NULL ? SSL_CTX_load_verify_file(ctx, ca_file)
                                    : SSL_CTX_set_default_verify_paths(ctx);
    if (is_loaded == 1)
        return ctx;
    (void)fail(err, ERROR_CONFIG, "ca-file %s: %s", ca_file != NULL ? ca_file : "of the system",
               take_reason());
    SSL_CTX_free(ctx);
    return NULL;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool is_for(const struct tls_context *context, const char *ca_file)
{
    if (context->ca_file == NULL || ca_file == NULL)
        return context->ca_file == ca_file;
    return strcmp(context->ca_file, ca_file) == 0;
}

static struct tls_context *context_get(struct tls_store *store, const char *ca_file,
                                       struct error *err)
{
    struct stat now = { .st_ino = 0 };
    struct tls_context *context = NULL;

    if (ca_file != NULL)
        (void)stat(ca_file, &now); /* a missing file fails below, in words */
    SLIST_FOREACH(context, &store->contexts, link)
    if (is_for(context, ca_file))
        break;
    if (context != NULL && is_same_file(&context->loaded, &now))
        return context;
    SSL_CTX *ctx = ctx_new(ca_file, err);
    if (ctx == NULL)
        return NULL;
    if (context == NULL) {
        context = NEW(struct tls_context);
        context->ca_file = xstrdup_or_null(ca_file);
        SLIST_INSERT_HEAD(&store->contexts, context, link);
    }
    SSL_CTX_free(context->ctx); /* sessions in use hold their own reference */
    context->ctx = ctx;
    context->loaded = now;
    return context;
}

static bool is_ip_address(const char *host)
{
    struct in6_addr address;

    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* RFC 9525: names of the subjectAltName only, wildcards for a whole label only. */
static void expect_peer(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    char *name = xstrdup(host);
    size_t len = strlen(name);

    if (len > 1 && name[len - 1] == '.')
        name[len - 1] = '\0'; /* a fully qualified name; certificates and SNI have none */
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_ip_address(name)) {
        MUST(X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1);
    } else {
        MUST(X509_VERIFY_PARAM_set1_host(param, name, 0) == 1);
        (void)SSL_set_tlsext_host_name(ssl, name); /* fails for a name over 255 bytes only */
    }
    free(name);
}

struct tls *tls_new(struct tls_store *store, int fd, const char *host, const char *ca_file,
                    struct error *err)
{
    struct tls_context *context = context_get(store, ca_file, err);

    if (context == NULL)
        return NULL;
    ERR_clear_error();
    struct tls *tls = NEW(struct tls);
    tls->ssl = SSL_new(context->ctx);
    MUST(tls->ssl != NULL && SSL_set_fd(tls->ssl, fd) == 1);
    SSL_set_connect_state(tls->ssl);
    expect_peer(tls->ssl, host);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    if (!tls->is_over && !tls->has_write_failed && SSL_is_init_finished(tls->ssl)) {
        ERR_clear_error();
        (void)SSL_shutdown(tls->ssl); /* whether it still gets there changes nothing */
    }
    SSL_free(tls->ssl);
    ERR_clear_error();
    free(tls);
}

/* --- Bytes --- */

/* SSL_get_error() goes by the queue of errors too, so it is cleared before each call: see begin_call(). */
static enum transfer outcome_of(struct tls *tls, int result)
{
    int system_error = errno;

    if (result == 1)
        return TRANSFER_DONE;
    int reason = SSL_get_error(tls->ssl, result);
    if (reason == SSL_ERROR_WANT_READ)
        return TRANSFER_WAITS_FOR_READ;
    if (reason == SSL_ERROR_WANT_WRITE)
        return TRANSFER_WAITS_FOR_WRITE;
    /* The oldest error is the reason, later ones say where it passed. */
    tls->is_over = true;
    tls->error = ERR_get_error();
    tls->system_error = reason == SSL_ERROR_SYSCALL ? system_error : 0;
    ERR_clear_error();
    return TRANSFER_OVER;
}

static void begin_call(void)
{
    ERR_clear_error();
    errno = 0;
}

enum transfer tls_handshake(struct tls *tls)
{
    begin_call();
    return outcome_of(tls, SSL_do_handshake(tls->ssl));
}

enum transfer tls_read(struct tls *tls, char *ret_bytes, size_t size, size_t *ret_len)
{
    if (tls->is_over)
        return TRANSFER_OVER;
    int before = tls->system_error;
    begin_call();
    enum transfer transfer = outcome_of(tls, SSL_read_ex(tls->ssl, ret_bytes, size, ret_len));
    if (transfer == TRANSFER_DONE || !tls->has_write_failed)
        return transfer;
    tls->is_over = true;
    if (tls->error == 0 && tls->system_error == 0)
        tls->system_error = before;
    return TRANSFER_OVER;
}

enum transfer tls_write(struct tls *tls, const char *bytes, size_t len, size_t *ret_len)
{
    if (tls->is_over || tls->has_write_failed)
        return TRANSFER_OVER;
    begin_call();
    enum transfer transfer = outcome_of(tls, SSL_write_ex(tls->ssl, bytes, len, ret_len));
    if (transfer == TRANSFER_OVER && tls->error == 0) {
        tls->has_write_failed = true;
        tls->is_over = false;
    }
    return transfer;
}

bool tls_may_have_more(const struct tls *tls)
{
    return SSL_has_pending(tls->ssl) == 1;
}

/* --- In words --- */

static const char not_tls[] = "the smarthost does not answer in TLS";

bool tls_is_plain_peer(const char *text)
{
    return strcmp(text, not_tls) == 0;
}

/* What people can act upon, for the reasons that they meet. */
static const char *words_for(int reason)
{
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE:
        return not_tls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "the smarthost offers nothing newer than TLS 1.1";
    default:
        return NULL;
    }
}

static enum trouble explain_certificate(long result, const char *host, char ret_text[TLS_TEXT_SIZE])
{
    if (result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH)
        (void)snprintf(ret_text, TLS_TEXT_SIZE, "the certificate is not for %s", host);
    else
        (void)snprintf(ret_text, TLS_TEXT_SIZE, "the certificate is not trusted: %s",
                       X509_verify_cert_error_string(result));
    return TROUBLE_TLS_CERTIFICATE;
}

enum trouble tls_explain(const struct tls *tls, const char *host, char ret_text[TLS_TEXT_SIZE])
{
    long result = SSL_get_verify_result(tls->ssl);

    ret_text[0] = '\0';
    if (result != X509_V_OK)
        return explain_certificate(result, host, ret_text);
    if (tls->error == 0) {
        if (tls->system_error != 0)
            (void)snprintf(ret_text, TLS_TEXT_SIZE, "%s", strerror(tls->system_error));
        return TROUBLE_LOST;
    }
    const char *words = ERR_SYSTEM_ERROR(tls->error) ? strerror(ERR_GET_REASON(tls->error))
                                                     : words_for(ERR_GET_REASON(tls->error));
    if (words == NULL)
        words = ERR_reason_error_string(tls->error);
    (void)snprintf(ret_text, TLS_TEXT_SIZE, "%s", words != NULL ? words : "unknown error");
    return TROUBLE_TLS_HANDSHAKE;
}

void tls_describe(const struct tls *tls, char ret_text[TLS_TEXT_SIZE])
{
    (void)snprintf(ret_text, TLS_TEXT_SIZE, "%s %s", SSL_get_version(tls->ssl),
                   SSL_CIPHER_get_name(SSL_get_current_cipher(tls->ssl)));
}
