/* TLS for connections to smarthosts (RFC 8314, 3207, 9525): at least TLS 1.2, the chain and the name verified, no way to
   switch that off. The only place with OpenSSL's SSL types. A store belongs to the thread that uses it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "verdict.h"

struct bufferevent;
struct error;
struct event_base;
struct tls_store;

/* The trust anchors that this thread has loaded, by file. They are loaded when first needed, and again when the file
   has changed. */
struct tls_store *tls_store_new(void);
void tls_store_free(struct tls_store *store);

/* Begins the handshake on a connected socket; BEV_EVENT_CONNECTED ends it. host is whom the certificate must name: a
   DNS name (also sent as SNI) or an IP address. ca_file: NULL for the system's store.
   The bufferevent owns fd from then on. NULL: the trust anchors can't be loaded, fd is still the caller's. */
struct bufferevent *tls_wrap(struct tls_store *store, struct event_base *base, int fd,
                             const char *host, const char *ca_file, struct error *err);

enum { TLS_TEXT_SIZE = 400 };
/* Why the handshake, or later the connection, failed: TROUBLE_TLS_CERTIFICATE, TROUBLE_TLS_HANDSHAKE, or TROUBLE_LOST
   when TLS itself had nothing to complain about (ret_text is "" then). */
enum trouble tls_explain(struct bufferevent *bev, const char *host, char ret_text[TLS_TEXT_SIZE]);
/* Whether that text says that the peer does not speak TLS at all. */
bool tls_is_plain_peer(const char *text);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", after the handshake. */
void tls_describe(struct bufferevent *bev, char ret_text[TLS_TEXT_SIZE]);
