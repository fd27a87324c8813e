/* TLS for connections to smarthosts (RFC 8314, 3207, 9525): at least TLS 1.2, the chain and the name verified, no way to
   switch that off. The only place with OpenSSL's SSL types. A store belongs to the thread that uses it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "verdict.h"

struct error;
struct tls;
struct tls_store;

/* The trust anchors that this thread has loaded, by file. They are loaded when first needed, and again when the file
   has changed. */
struct tls_store *tls_store_new(void);
void tls_store_free(struct tls_store *store);

/* For a connected, non-blocking socket, which stays the caller's and is closed after tls_free. host is whom the
   certificate must name: a DNS name (also sent as SNI) or an IP address. ca_file: NULL for the system's store.
   NULL: the trust anchors can't be loaded. */
struct tls *tls_new(struct tls_store *store, int fd, const char *host, const char *ca_file,
                    struct error *err);
/* Says goodbye (close_notify) if the connection is in order. */
void tls_free(struct tls *tls);

/* What a transfer of bytes came to; of a plain socket as well. */
enum transfer {
    TRANSFER_DONE,
    TRANSFER_WAITS_FOR_READ,  /* nothing was transferred: again when the socket can be read, */
    TRANSFER_WAITS_FOR_WRITE, /* or written; either may happen in both directions */
    TRANSFER_OVER,            /* the connection has ended: tls_explain() */
};
enum transfer tls_handshake(struct tls *tls);
enum transfer tls_read(struct tls *tls, char *ret_bytes, size_t size, size_t *ret_len);
/* Takes one record of what is to be sent, in one write. After a wait the same bytes come again, perhaps elsewhere and
   with more behind them. */
enum transfer tls_write(struct tls *tls, const char *bytes, size_t len, size_t *ret_len);
/* Bytes have arrived that the socket does not announce any more. */
bool tls_may_have_more(const struct tls *tls);

enum { TLS_TEXT_SIZE = 400 };
/* Why the connection is over: TROUBLE_TLS_CERTIFICATE, TROUBLE_TLS_HANDSHAKE, or TROUBLE_LOST when TLS itself had
   nothing to complain about (ret_text is what the system says, or ""). */
enum trouble tls_explain(const struct tls *tls, const char *host, char ret_text[TLS_TEXT_SIZE]);
/* Whether that text says that the peer does not speak TLS at all. */
bool tls_is_plain_peer(const char *text);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", after the handshake. */
void tls_describe(const struct tls *tls, char ret_text[TLS_TEXT_SIZE]);
